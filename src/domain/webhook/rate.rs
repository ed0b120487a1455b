//! How many requests a second go to a webhook: never more than its limit within any second, also after a rest and over a
//! restart. The times of the last ones are kept in memory only, so a process begins as if it had just sent as many as it
//! may.

use std::collections::VecDeque;

use crate::domain::timestamp::Timestamp;

/// How many requests a second a webhook's limit may allow.
pub const PER_SECOND_MAX: u32 = 1_000;
/// A second, and a little more: requests that leave a second apart may arrive closer together.
const PERIOD_US: i64 = 1_050_000;

/// When the last requests to a webhook began.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bucket {
    /// Oldest first; as many as its limit counts.
    sent: VecDeque<Timestamp>,
    /// What was sent up to here is not known.
    unknown_until: Timestamp,
}

fn plus(time: Timestamp) -> Timestamp {
    Timestamp(time.0.saturating_add(PERIOD_US))
}

impl Bucket {
    /// Of a webhook to which requests may have gone up to a time.
    pub fn unknown_until(time: Timestamp) -> Self {
        Self { sent: VecDeque::new(), unknown_until: time }
    }

    /// How many requests may go now.
    pub fn tokens(&self, per_second: u32, now: Timestamp) -> usize {
        if now < plus(self.unknown_until) {
            return 0;
        }
        let recent = self.sent.iter().rev().take_while(|sent| now < plus(**sent)).count();
        limit(per_second).saturating_sub(recent)
    }

    /// One more request begins.
    pub fn take(&mut self, per_second: u32, now: Timestamp) {
        while self.sent.len() >= limit(per_second) {
            self.sent.pop_front();
        }
        self.sent.push_back(now);
    }

    /// The last requests, so many, have really begun at a time.
    pub fn have_begun(&mut self, count: usize, at: Timestamp) {
        self.sent.iter_mut().rev().take(count).for_each(|sent| *sent = at.max(*sent));
    }

    /// When the next request may go.
    pub fn next_at(&self, per_second: u32) -> Timestamp {
        let full_since = self.sent.len().checked_sub(limit(per_second)).map(|at| plus(self.sent[at]));
        full_since.unwrap_or_default().max(if self.unknown_until == Timestamp::default() {
            Timestamp::default()
        } else {
            plus(self.unknown_until)
        })
    }

    /// The clock was set back: nothing was sent later than now.
    pub fn set_back(&mut self, now: Timestamp) {
        self.unknown_until = self.unknown_until.min(now);
        self.sent.iter_mut().for_each(|sent| *sent = now.min(*sent));
    }
}

fn limit(per_second: u32) -> usize {
    usize::try_from(per_second.clamp(1, PER_SECOND_MAX)).unwrap_or(1)
}

#[cfg(test)]
#[path = "tests/rate.rs"]
mod tests;
