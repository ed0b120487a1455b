use std::sync::Arc;

use uuid::Uuid;

use super::*;
use crate::domain::attempt::Attempt;

fn ended(status: u16, duration_us: i64) -> AttemptReport {
    let outcome = Outcome::Answer {
        status,
        headers: Vec::new(),
        excerpt: Vec::new(),
        truncated: false,
        is_success: (200..=299).contains(&status),
    };
    let attempt = Attempt { started_at: Timestamp(0), duration_us, url: String::new(), secret_url: None, outcome };
    let execution = ExecutionUid(Uuid::from_u128(u128::from(status)));
    AttemptReport { execution, action_no: 0, attempt_no: 1, attempt: Arc::new(attempt) }
}

#[test]
fn a_day_is_counted_hour_by_hour() {
    let at = |hours: i64| Timestamp(1_000_000 * HOUR_US + hours * HOUR_US);
    let mut traffic = Traffic::default();
    traffic.note(&ended(200, 10), at(0));
    traffic.note(&ended(503, 30), at(0));
    traffic.note(&ended(200, 80), at(23));
    let day = traffic.day(at(23));
    assert_eq!(day, Attempts { succeeded: 2, failed: 1, mean_us: 40, slowest_us: 80 });
    let later = traffic.day(at(24));
    assert_eq!(later, Attempts { succeeded: 1, failed: 0, mean_us: 80, slowest_us: 80 }, "the first hour is over");
    assert_eq!(traffic.day(at(100)), Attempts::default());
    let hours: Vec<_> = traffic.of_hours(at(23)).collect();
    assert_eq!((hours.len(), hours[0].0, hours[23].0), (HOURS, at(0), at(23)));
    assert_eq!(hours[0].1, Attempts { succeeded: 1, failed: 1, mean_us: 20, slowest_us: 30 });
    assert_eq!((hours[1].1, hours[23].1.succeeded), (Attempts::default(), 1));
    let failure = traffic.last_failure.clone().expect("one failed");
    assert_eq!((failure.reason, failure.status, failure.at), (Reason::ServerError, Some(503), at(0)));
    let clock_set_back = at(-1);
    traffic.note(&ended(200, 1), clock_set_back);
    assert_eq!(traffic.hours.len(), 1, "what lies ahead of the clock is not counted");
}

#[test]
fn it_is_written_once_a_minute_and_stays_readable() {
    let now = Timestamp(5_000_000_000);
    let mut traffic = Traffic::default();
    assert!(!traffic.must_be_written(now));
    traffic.note(&ended(404, 7), now);
    assert!(traffic.must_be_written(now), "the first one at once");
    let mut traffic = traffic.written(now);
    traffic.note(&ended(200, 7), now);
    assert!(!traffic.must_be_written(Timestamp(now.0 + UNWRITTEN_MAX_US - 1)));
    assert!(traffic.must_be_written(Timestamp(now.0 + UNWRITTEN_MAX_US)) && traffic.is_unwritten());
    let stored = serde_json::to_string(&traffic).expect("serializes");
    let golden = r#"{"hours":[{"hour":1,"succeeded":1,"failed":1,"duration_us":14,"slowest_us":7}],"last_failure":{"at":5000000000,"reason":"REJECTED","status":404,"execution":"00000000-0000-0000-0000-000000000194"}}"#;
    assert_eq!(stored, golden);
    assert_eq!(serde_json::from_str::<Traffic>(golden).expect("reads").day(now), traffic.day(now));
}
