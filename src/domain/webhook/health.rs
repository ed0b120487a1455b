//! A breaker for each webhook: an endpoint that answers nothing is left alone, asked again by one probe at a time, and
//! let back in by a ramp. And the days on which nothing succeeded.

use serde::{Deserialize, Serialize};

use crate::domain::{
    attempt::{FailureClass, Outcome},
    timestamp::Timestamp,
};

/// How many first tries in a row must fail before the endpoint is left alone.
pub const FAILURES_TO_OPEN: u32 = 10;
/// How long it is left alone at first, by default; then twice as long after each probe that fails.
pub const OPEN_MS_DEFAULT: u64 = 30_000;
/// How long it is left alone at most.
pub const OPEN_MS_MAX: u64 = 1_800_000;
/// On how many days attempts must have failed, without one success, before the webhook is disabled.
pub const FAILED_DAYS_MAX: usize = 3;
const DAY_US: i64 = 86_400_000_000;

/// Whether requests go to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Breaker {
    /// Requests go to it.
    Closed {
        /// First tries that failed in a row.
        failures: u32,
    },
    /// They do not until a time; then one at a time, as a probe.
    Open {
        /// Until when.
        until: Timestamp,
        /// How long it is left alone this time.
        open_ms: u64,
    },
    /// A probe succeeded: so many at once, twice as many after each success.
    Ramp {
        /// How many requests may be under way at once.
        at_once: usize,
        /// How long it was left alone last.
        open_ms: u64,
        /// When its probe ended: what began before says nothing new.
        #[serde(default)]
        since: Timestamp,
    },
}

/// What decides how an endpoint does, beside the attempt.
#[derive(Debug, Clone, Copy)]
pub struct Around {
    /// How many requests of the webhook may be under way.
    pub slots: usize,
    /// How long it is left alone at first.
    pub open_ms_min: u64,
    /// The time.
    pub now: Timestamp,
    /// Whether the clock is trusted to tell days apart.
    pub counts_days: bool,
}

/// How an endpoint does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Whether requests go to it.
    pub breaker: Breaker,
    /// The days since 1970 on which attempts failed since the last success.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_days: Vec<i64>,
}

impl Default for Health {
    fn default() -> Self {
        Self { breaker: Breaker::Closed { failures: 0 }, failed_days: Vec::new() }
    }
}

impl Breaker {
    /// Whether requests do not simply go to the endpoint.
    pub fn is_left_alone(self) -> bool {
        !matches!(self, Breaker::Closed { .. })
    }

    /// How many requests may be under way at a time, of so many slots.
    pub fn allowance(self, slots: usize, now: Timestamp) -> usize {
        match self {
            Breaker::Closed { .. } => slots,
            Breaker::Open { until, .. } if now < until => 0,
            Breaker::Open { .. } => 1,
            Breaker::Ramp { at_once, .. } => at_once.min(slots),
        }
    }

    /// From when on a request may go.
    pub fn opens_at(self) -> Option<Timestamp> {
        match self {
            Breaker::Open { until, .. } => Some(until),
            _ => None,
        }
    }

    /// Whether an attempt says something new: one that began before the endpoint was left alone, or let back in, does not.
    fn is_told_by(self, started_at: Timestamp) -> bool {
        match self {
            Breaker::Closed { .. } => true,
            Breaker::Open { until, .. } => started_at >= until,
            Breaker::Ramp { since, .. } => started_at >= since,
        }
    }

    /// Only a probe that fails has the endpoint left alone for longer than the last time.
    fn after_failure(self, is_first_try: bool, open_ms_min: u64, now: Timestamp) -> Self {
        let open = |open_ms: u64| Breaker::Open { until: now.plus_ms(open_ms), open_ms };
        match self {
            Breaker::Closed { failures } if !is_first_try => Breaker::Closed { failures },
            Breaker::Closed { failures } if failures + 1 < FAILURES_TO_OPEN => {
                Breaker::Closed { failures: failures + 1 }
            }
            Breaker::Closed { .. } => open(open_ms_min),
            Breaker::Open { open_ms, .. } => open((open_ms * 2).min(OPEN_MS_MAX.max(open_ms_min))),
            Breaker::Ramp { open_ms, .. } => open(open_ms),
        }
    }

    fn after_sign_of_life(self, slots: usize, now: Timestamp) -> Self {
        match self {
            Breaker::Closed { .. } => Breaker::Closed { failures: 0 },
            Breaker::Open { open_ms, .. } => Breaker::Ramp { at_once: 2, open_ms, since: now },
            Breaker::Ramp { at_once, open_ms, since } if at_once * 2 < slots => {
                Breaker::Ramp { at_once: at_once * 2, open_ms, since }
            }
            Breaker::Ramp { .. } => Breaker::Closed { failures: 0 },
        }
    }
}

impl Health {
    /// How it does after an attempt that began at a time.
    #[must_use]
    pub fn after(&self, outcome: &Outcome, started_at: Timestamp, is_first_try: bool, around: Around) -> Self {
        if outcome.is_ours() {
            return self.clone();
        }
        let Around { slots, open_ms_min, now, counts_days } = around;
        let class = outcome.failure_class();
        let counts = matches!(class, Some(FailureClass::Transport | FailureClass::Timeout | FailureClass::ServerError));
        let breaker = match class {
            _ if !self.breaker.is_told_by(started_at) => self.breaker,
            _ if counts => self.breaker.after_failure(is_first_try, open_ms_min, now),
            // Whoever asks to slow down is alive, and no reason to hurry.
            Some(FailureClass::Throttled) => match self.breaker {
                Breaker::Closed { .. } => Breaker::Closed { failures: 0 },
                other => other,
            },
            _ => self.breaker.after_sign_of_life(slots, now),
        };
        let mut failed_days = self.failed_days.clone();
        if outcome.is_success() {
            failed_days.clear();
        } else if counts_days {
            // A clock that was set back makes no day count twice.
            let today = now.0.div_euclid(DAY_US);
            if failed_days.last().is_none_or(|last| today > *last) && failed_days.len() < FAILED_DAYS_MAX {
                failed_days.push(today);
            }
        }
        Self { breaker, failed_days }
    }

    /// Whether attempts have failed on so many days, without one success, that it is no use to go on.
    pub fn is_hopeless(&self) -> bool {
        self.failed_days.len() >= FAILED_DAYS_MAX
    }

    /// Whether a change is worth writing down: the count of failures and the ramp are not.
    pub fn must_be_written(&self, after: &Self) -> bool {
        let is_open = |health: &Self| health.breaker.opens_at();
        let is_closed = |health: &Self| matches!(health.breaker, Breaker::Closed { .. });
        self.failed_days != after.failed_days
            || is_open(self) != is_open(after) && is_open(after).is_some()
            || !is_closed(self) && is_closed(after)
    }
}

#[cfg(test)]
#[path = "tests/health.rs"]
mod tests;
