//! What bounds an account: executions in a window of time, requests in flight.

use super::{execution::SourceKind, plan::Plan, timestamp::Timestamp};

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
pub struct Flight {
    /// For automations.
    pub automations: usize,
    /// For regular webhooks.
    pub regular: usize,
}

impl Flight {
    /// How many more executions of a kind may start. Each kind leaves a quarter of the slots to the other.
    pub fn free(self, kind: SourceKind, plan: Plan) -> usize {
        let slots = plan.slots();
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

/// How many requests of one webhook may be in flight: half of the account's slots, so that one slow endpoint
/// never takes them all.
pub fn webhook_slots(plan: Plan) -> usize {
    (plan.slots() / 2).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_only_count_up() {
        let window = Window { no: 3, start: Timestamp(1_000_000_000), used: 7 };
        let length_ms = 600_000;
        assert_eq!(window.at(Timestamp(1_000_000_000), length_ms), window);
        assert_eq!(window.at(Timestamp(1_599_999_999), length_ms), window);
        let next = window.at(Timestamp(1_600_000_000), length_ms);
        assert_eq!(next, Window { no: 4, start: Timestamp(1_600_000_000), used: 0 });
        let back = window.at(Timestamp(5), length_ms);
        assert_eq!(back, Window { no: 3, start: Timestamp(5), used: 7 }, "a clock set back admits nothing anew");
    }

    #[test]
    fn each_kind_leaves_a_quarter() {
        let mut flight = Flight::default();
        assert_eq!(flight.free(SourceKind::Automation, Plan::Advanced), 12);
        for _ in 0..12 {
            flight.add(SourceKind::Automation);
        }
        assert_eq!(flight.free(SourceKind::Automation, Plan::Advanced), 0);
        assert_eq!(flight.free(SourceKind::RegularWebhook, Plan::Advanced), 4);
    }
}
