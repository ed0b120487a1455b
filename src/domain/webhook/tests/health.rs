use super::*;
use crate::domain::attempt::Reason;

const SLOTS: usize = 8;

fn answer(status: u16) -> Outcome {
    Outcome::Answer {
        status,
        headers: Vec::new(),
        excerpt: Vec::new(),
        truncated: false,
        is_success: (200..=299).contains(&status),
    }
}

fn around(now: Timestamp) -> Around {
    Around { slots: SLOTS, open_ms_min: OPEN_MS_DEFAULT, now, counts_days: true }
}

fn after(health: &Health, statuses: &[u16], now: Timestamp) -> Health {
    statuses.iter().fold(health.clone(), |health, status| health.after(&answer(*status), now, true, around(now)))
}

#[test]
fn ten_first_tries_in_a_row_open_it_and_probes_decide() {
    let now = Timestamp(1_000_000_000_000);
    let nine = after(&Health::default(), &[503; 9], now);
    assert_eq!(nine.breaker.allowance(SLOTS, now), SLOTS);
    assert_eq!(nine.after(&answer(503), now, false, around(now)).breaker, nine.breaker, "retries do not count");
    assert_eq!(after(&nine, &[404, 503], now).breaker, Breaker::Closed { failures: 1 }, "a 404 is alive");
    assert_eq!(after(&nine, &[429, 503], now).breaker, Breaker::Closed { failures: 1 }, "a 429 too");
    let timeout = Outcome::Error { kind: Reason::Timeout, message: String::new(), was_sent: true };
    let open = nine.after(&timeout, now, true, around(now));
    let until = now.plus_ms(OPEN_MS_DEFAULT);
    assert_eq!(open.breaker, Breaker::Open { until, open_ms: OPEN_MS_DEFAULT });
    assert!(nine.must_be_written(&open));
    assert_eq!((open.breaker.allowance(SLOTS, now), open.breaker.allowance(SLOTS, until)), (0, 1), "then one probe");
    assert_eq!(after(&open, &[503], now).breaker, open.breaker, "what was under way says nothing new");
    let twice = after(&open, &[503], until);
    assert_eq!(twice.breaker, Breaker::Open { until: until.plus_ms(60_000), open_ms: 60_000 });
    assert!(open.must_be_written(&twice));
    let long = (0..20).fold(twice, |health, _| after(&health, &[503], health.breaker.opens_at().expect("open")));
    assert!(matches!(long.breaker, Breaker::Open { open_ms: OPEN_MS_MAX, .. }));

    let ramp = after(&open, &[200], until);
    assert_eq!(ramp.breaker.allowance(SLOTS, until), 2);
    assert_eq!(after(&ramp, &[200], until).breaker.allowance(SLOTS, until), 4);
    assert_eq!(after(&ramp, &[429], until).breaker, ramp.breaker, "slowly while it asks for it");
    assert!(
        matches!(after(&ramp, &[500], until).breaker, Breaker::Open { open_ms: OPEN_MS_DEFAULT, .. }),
        "only a probe that fails makes it longer"
    );
    let closed = after(&ramp, &[200, 200], until);
    assert_eq!(closed.breaker, Breaker::Closed { failures: 0 });
    assert!(ramp.must_be_written(&closed) && !closed.must_be_written(&after(&closed, &[200], until)));
}

/// A burst at an endpoint that comes back: what began before tells nothing, in whatever order it ends.
#[test]
fn only_probes_move_the_hold_and_only_once() {
    let now = Timestamp(1_000_000_000_000);
    let open = after(&Health::default(), &[503; 10], now);
    let until = now.plus_ms(OPEN_MS_DEFAULT);
    let late = until.plus_ms(50);
    let end = |health: &Health, status, started_at| health.after(&answer(status), started_at, true, around(late));
    let burst = [200, 503, 200, 503, 200, 503, 503];
    let after_burst = burst.iter().fold(open.clone(), |health, status| end(&health, *status, now));
    assert_eq!(after_burst.breaker, open.breaker, "all of it began before");
    let ramp = end(&open, 200, until);
    let again = burst.iter().fold(ramp.clone(), |health, status| end(&health, *status, until));
    assert_eq!(again.breaker, ramp.breaker, "it began before the probe had ended");
    let failed = end(&ramp, 503, late);
    let twice = burst.iter().fold(failed.clone(), |health, status| end(&health, *status, late));
    assert_eq!(twice.breaker, Breaker::Open { until: late.plus_ms(OPEN_MS_DEFAULT), open_ms: OPEN_MS_DEFAULT });
}

#[test]
fn three_days_without_a_success_are_hopeless() {
    let day = |day: i64| Timestamp(day * DAY_US + 5);
    let two = after(&after(&Health::default(), &[404, 503], day(1)), &[404], day(2));
    assert_eq!(two.failed_days, [1, 2]);
    assert!(!two.is_hopeless());
    assert!(after(&two, &[404], day(5)).is_hopeless());
    assert!(!after(&after(&two, &[200], day(3)), &[404], day(4)).is_hopeless(), "a success begins anew");
    assert!(!after(&two, &[404], day(1)).is_hopeless(), "a clock set back over midnight");
    let distrusted = Around { counts_days: false, ..around(day(5)) };
    let failed = two.after(&answer(404), day(5), true, distrusted);
    assert_eq!(failed.failed_days, [1, 2], "a clock that is not trusted tells no days apart");
    let stored = serde_json::to_string(&two).expect("serializes");
    assert_eq!(stored, r#"{"breaker":{"closed":{"failures":0}},"failed_days":[1,2]}"#);
    assert_eq!(serde_json::from_str::<Health>(&stored).expect("reads"), two);
}
