//! What bounds an account: executions in a window of time, requests in flight.

use crate::domain::{
    plan::{CROSSINGS_PERCENT, Limits},
    source::SourceKind,
    timestamp::Timestamp,
};

/// A window of executions. Its number only counts up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// Counts the windows.
    pub no: i64,
    /// When it began.
    pub start: Timestamp,
    /// How many executions it has admitted.
    pub used: i64,
}

impl Window {
    /// When it ends.
    pub fn end(self, length_ms: u64) -> Timestamp {
        self.start.plus_ms(length_ms)
    }

    /// How many more executions it admits.
    pub fn remaining(self, limit: u32) -> u64 {
        u64::try_from(i64::from(limit) - self.used).unwrap_or_default()
    }

    /// The window that a time falls into: this one, or the next. A clock that stands before the start lets the
    /// window end one length after that was noticed, by starting it anew.
    #[must_use]
    pub fn at(self, now: Timestamp, length_ms: u64) -> Self {
        if now >= self.start && now < self.start.plus_ms(length_ms) {
            return self;
        }
        if now < self.start {
            return Self { start: now, ..self };
        }
        Self { no: self.no + 1, start: now, used: 0 }
    }
}

/// The requests of an account that are in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestsInFlight {
    /// For automations.
    pub automations: usize,
    /// For regular webhooks.
    pub regular: usize,
}

impl RequestsInFlight {
    /// How many more executions of a kind may start. Each kind leaves a quarter of the slots to the other.
    pub fn free(self, kind: SourceKind, limits: &Limits) -> usize {
        let slots = slots(limits);
        let own = match kind {
            SourceKind::Automation => self.automations,
            SourceKind::RegularWebhook => self.regular,
        };
        let of_all = slots.saturating_sub(self.automations + self.regular);
        of_all.min((slots - slots / 4).saturating_sub(own))
    }

    /// One more.
    pub fn add(&mut self, kind: SourceKind) {
        match kind {
            SourceKind::Automation => self.automations += 1,
            SourceKind::RegularWebhook => self.regular += 1,
        }
    }

    /// One less.
    pub fn remove(&mut self, kind: SourceKind) {
        match kind {
            SourceKind::Automation => self.automations = self.automations.saturating_sub(1),
            SourceKind::RegularWebhook => self.regular = self.regular.saturating_sub(1),
        }
    }
}

fn slots(limits: &Limits) -> usize {
    usize::try_from(limits.requests_in_flight).unwrap_or(usize::MAX)
}

/// How many requests of one webhook may be in flight: half of the account's slots, so that one slow endpoint
/// never takes them all.
pub fn webhook_slots(limits: &Limits) -> usize {
    (slots(limits) / 2).max(1)
}

/// Executions that a limit holds back, in the order of their arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// How many there are.
    pub count: u64,
    /// The place of the newest one in the order: its arrival, or just after the one before it.
    pub newest: Timestamp,
}

impl Backlog {
    /// The place of one more that arrives now.
    pub fn next_place(self, now: Timestamp) -> Timestamp {
        now.max(Timestamp(self.newest.0 + 1))
    }
}

/// The shares of the limit that usage has crossed from one window to another or the same.
pub fn crossings(before: Window, after: Window, limit: u32) -> Vec<u32> {
    let used_before = if before.no == after.no { before.used } else { 0 };
    let mark = |percent: u32| ((i64::from(limit) * i64::from(percent) + 99) / 100).max(1);
    CROSSINGS_PERCENT
        .into_iter()
        .filter(|percent| used_before < mark(*percent) && after.used >= mark(*percent))
        .collect()
}

#[cfg(test)]
#[path = "tests/limits.rs"]
mod tests;
