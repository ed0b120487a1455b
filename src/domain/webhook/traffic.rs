//! How a webhook's attempts have gone over the last day: how many succeeded, how long they took, the last failure.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::domain::{
    attempt::{AttemptReport, Outcome, Reason, Verdict},
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
    /// Why the attempt failed.
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

/// The attempts of some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attempts {
    /// How many succeeded.
    pub succeeded: u64,
    /// How many failed.
    pub failed: u64,
    /// How long they took on average, in microseconds.
    pub mean_us: u64,
    /// How long the slowest one took, in microseconds.
    pub slowest_us: u64,
}

impl Attempts {
    fn of<'h>(hours: impl Iterator<Item = &'h Hour>) -> Self {
        let mut all = Self::default();
        let mut duration_us = 0;
        for hour in hours {
            all.succeeded += hour.succeeded;
            all.failed += hour.failed;
            all.slowest_us = all.slowest_us.max(hour.slowest_us);
            duration_us += hour.duration_us;
        }
        Self { mean_us: duration_us.checked_div(all.succeeded + all.failed).unwrap_or_default(), ..all }
    }
}

fn hour_of(now: Timestamp) -> i64 {
    now.0.div_euclid(HOUR_US)
}

fn oldest_counted(now: Timestamp) -> i64 {
    hour_of(now) - i64::try_from(HOURS).unwrap_or(i64::MAX) + 1
}

impl Traffic {
    /// Counts an attempt.
    pub fn note(&mut self, ended: &AttemptReport, now: Timestamp) {
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
    pub fn day(&self, now: Timestamp) -> Attempts {
        Attempts::of(self.hours.iter().filter(|counted| counted.hour >= oldest_counted(now)))
    }

    /// The attempts of each hour of the last day, oldest first, with the time at which it began.
    pub fn of_hours(&self, now: Timestamp) -> impl Iterator<Item = (Timestamp, Attempts)> {
        (oldest_counted(now)..=hour_of(now)).map(|hour| {
            let counted = self.hours.iter().filter(|counted| counted.hour == hour);
            (Timestamp(hour * HOUR_US), Attempts::of(counted))
        })
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
#[path = "tests/traffic.rs"]
mod tests;
