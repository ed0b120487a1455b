//! How a webhook's attempts have gone over the last day: how many succeeded, how long they took, the last failure.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::domain::{
    decision::Ended,
    execution::{Outcome, Reason, Verdict},
    id::ExecutionUid,
    timestamp::Timestamp,
};

/// How many hours are counted, this one included.
pub const HOURS: usize = 24;
const HOUR_US: i64 = 3_600_000_000;
/// How long counts may stay unwritten while attempts go on; a crash loses no more.
const UNWRITTEN_MAX_US: i64 = 60_000_000;

/// The attempts that ended in an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Hour {
    /// Counted since 1970.
    hour: i64,
    succeeded: u64,
    failed: u64,
    duration_us: u64,
    slowest_us: u64,
}

/// The last attempt that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastFailure {
    /// When it ended.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
    /// The HTTP status; none where no answer came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Of which execution.
    pub execution: ExecutionUid,
}

/// How a webhook's attempts have gone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Traffic {
    hours: VecDeque<Hour>,
    /// The last failure, however long ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<LastFailure>,
    /// When it was last written; none where there is nothing to write.
    #[serde(skip)]
    written_at: Timestamp,
    #[serde(skip)]
    is_unwritten: bool,
}

/// The attempts of the last day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Day {
    /// How many succeeded.
    pub succeeded: u64,
    /// How many failed.
    pub failed: u64,
    /// How long they took on average, in microseconds.
    pub mean_us: u64,
    /// How long the slowest one took, in microseconds.
    pub slowest_us: u64,
}

fn hour_of(now: Timestamp) -> i64 {
    now.0.div_euclid(HOUR_US)
}

fn oldest_counted(now: Timestamp) -> i64 {
    hour_of(now) - i64::try_from(HOURS).unwrap_or(i64::MAX) + 1
}

impl Traffic {
    /// Counts an attempt.
    pub fn note(&mut self, ended: &Ended, now: Timestamp) {
        let attempt = &ended.attempt;
        let hour = hour_of(now);
        self.hours.retain(|counted| (oldest_counted(now)..=hour).contains(&counted.hour));
        if self.hours.back().is_none_or(|last| last.hour != hour) {
            self.hours.push_back(Hour { hour, ..Hour::default() });
        }
        if let Some(counted) = self.hours.back_mut() {
            let duration_us = u64::try_from(attempt.duration_us).unwrap_or_default();
            counted.duration_us += duration_us;
            counted.slowest_us = counted.slowest_us.max(duration_us);
            match attempt.outcome.verdict() {
                Verdict::Success => counted.succeeded += 1,
                Verdict::Retry(reason) | Verdict::Failure(reason) => {
                    counted.failed += 1;
                    let status = match attempt.outcome {
                        Outcome::Answer { status, .. } => Some(status),
                        Outcome::Error { .. } => None,
                    };
                    self.last_failure = Some(LastFailure { at: now, reason, status, execution: ended.execution });
                }
            }
        }
        self.is_unwritten = true;
    }

    /// The attempts of the last day.
    pub fn day(&self, now: Timestamp) -> Day {
        let counted = self.hours.iter().filter(|counted| counted.hour >= oldest_counted(now));
        let mut day = Day::default();
        let mut duration_us = 0;
        for hour in counted {
            day.succeeded += hour.succeeded;
            day.failed += hour.failed;
            day.slowest_us = day.slowest_us.max(hour.slowest_us);
            duration_us += hour.duration_us;
        }
        day.mean_us = duration_us.checked_div(day.succeeded + day.failed).unwrap_or_default();
        day
    }

    /// Whether something was counted that is not written.
    pub fn is_unwritten(&self) -> bool {
        self.is_unwritten
    }

    /// Whether it is time to write what was counted.
    pub fn must_be_written(&self, now: Timestamp) -> bool {
        self.is_unwritten && (now.0 - self.written_at.0).abs() >= UNWRITTEN_MAX_US
    }

    /// It was written.
    #[must_use]
    pub fn written(self, now: Timestamp) -> Self {
        Self { written_at: now, is_unwritten: false, ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::domain::execution::Attempt;

    fn ended(status: u16, duration_us: i64) -> Ended {
        let outcome = Outcome::Answer { status, headers: Vec::new(), excerpt: Vec::new(), truncated: false };
        let attempt = Attempt { started_at: Timestamp(0), duration_us, url: String::new(), secret_url: None, outcome };
        let execution = ExecutionUid(Uuid::from_u128(u128::from(status)));
        Ended { execution, action_no: 0, attempt_no: 1, attempt: Arc::new(attempt) }
    }

    #[test]
    fn a_day_is_counted_hour_by_hour() {
        let at = |hours: i64| Timestamp(1_000_000 * HOUR_US + hours * HOUR_US);
        let mut traffic = Traffic::default();
        traffic.note(&ended(200, 10), at(0));
        traffic.note(&ended(503, 30), at(0));
        traffic.note(&ended(200, 80), at(23));
        let day = traffic.day(at(23));
        assert_eq!(day, Day { succeeded: 2, failed: 1, mean_us: 40, slowest_us: 80 });
        let later = traffic.day(at(24));
        assert_eq!(later, Day { succeeded: 1, failed: 0, mean_us: 80, slowest_us: 80 }, "the first hour is over");
        assert_eq!(traffic.day(at(100)), Day::default());
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
}
