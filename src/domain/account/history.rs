//! What an account knows of its own history: how much there is of it, and when the oldest of it is deleted.

use crate::domain::{
    execution::State,
    id::{EventId, ExecutionUid},
    source::SourceKind,
    timestamp::Timestamp,
};

/// How many executions of an account are in each state: counted with every change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StateCounts(pub [u64; State::ALL.len()]);

impl StateCounts {
    fn of(&mut self, state: State) -> &mut u64 {
        &mut self.0[state as usize]
    }

    /// One more.
    pub fn add(&mut self, state: State) {
        *self.of(state) += 1;
    }

    /// One less.
    pub fn remove(&mut self, state: State) {
        let count = self.of(state);
        *count = count.saturating_sub(1);
    }

    /// Of every state and its count.
    pub fn iter(&self) -> impl Iterator<Item = (State, u64)> {
        State::ALL.into_iter().zip(self.0)
    }

    /// How many wait: for a slot, their time, or what holds them back.
    pub fn waiting(&self) -> u64 {
        self.iter().filter(|(state, _)| state.waits()).map(|(_, count)| count).sum()
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// What an account knows of its own history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HistorySummary {
    /// How much there is.
    pub counts: StateCounts,
    /// How many of those that wait are of regular webhooks.
    pub regular_waiting: u64,
    /// When the oldest execution may have been kept for long enough; none where there is none.
    pub expires_at: Option<Timestamp>,
    /// No execution that was deleted had changed after this revision.
    pub expired_revision: i64,
}

impl HistorySummary {
    /// An execution of a kind is in a state.
    pub fn enter(&mut self, kind: SourceKind, state: State) {
        self.counts.add(state);
        if kind == SourceKind::RegularWebhook && state.waits() {
            self.regular_waiting += 1;
        }
    }

    /// An execution of a kind is no longer in a state.
    pub fn leave(&mut self, kind: SourceKind, state: State) {
        self.counts.remove(state);
        if kind == SourceKind::RegularWebhook && state.waits() {
            self.regular_waiting = self.regular_waiting.saturating_sub(1);
        }
    }

    /// Whether no further execution of a kind may wait, of so many in all: each kind leaves a quarter to the other.
    pub fn is_full(&self, kind: SourceKind, waiting_max: u64) -> bool {
        let waiting = self.counts.waiting();
        let of_kind = match kind {
            SourceKind::RegularWebhook => self.regular_waiting,
            SourceKind::Automation => waiting.saturating_sub(self.regular_waiting),
        };
        waiting >= waiting_max || of_kind >= waiting_max - waiting_max / 4
    }
}

/// How many executions are deleted at once where few are written: each commit is short, because others wait for it.
const EXPIRED_ROWS_MIN: usize = 50;
/// How many executions are deleted at once at most.
const EXPIRED_ROWS_MAX: usize = 500;
/// How long an account leaves its history alone, once it has deleted what was to delete.
const LOOK_AGAIN_MIN_MS: u64 = 3_600_000;
/// How long at most, so that a shorter retention takes effect within a day.
const LOOK_AGAIN_MAX_MS: u64 = 86_400_000;
const DAY_MS: u64 = 86_400_000;

/// Executions that ended so long ago that they are deleted, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiredExecutions {
    /// All of them ended before this time.
    pub ended_before: Timestamp,
    /// The executions.
    pub rows: Vec<ExpiredRow>,
    /// Where to look for more; none once everything was looked at.
    pub next: Option<ExecutionUid>,
    /// The oldest execution that stays, where everything was looked at.
    pub oldest: Option<ExecutionUid>,
}

/// An execution to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiredRow {
    /// The execution.
    pub uid: ExecutionUid,
    /// Its final state.
    pub state: State,
    /// The revision of its last change.
    pub changed_revision: i64,
    /// Its event, which is deleted with its last execution.
    pub event_id: EventId,
}

/// The time before which an execution must have ended to be deleted.
pub fn ended_before(now: Timestamp, retention_days: u32) -> Timestamp {
    now.minus_ms(u64::from(retention_days) * DAY_MS)
}

/// When to look for executions to delete: once the oldest may have been kept for long enough, but neither all the time
/// nor so late that a shorter retention would go unnoticed.
pub fn look_again_at(oldest: Timestamp, now: Timestamp, retention_days: u32) -> Timestamp {
    let due = oldest.plus_ms(u64::from(retention_days) * DAY_MS);
    due.clamp(now.plus_ms(LOOK_AGAIN_MIN_MS), now.plus_ms(LOOK_AGAIN_MAX_MS))
}

/// How many executions are deleted at once by an account whose last change had so many new ones: more, so that deleting
/// keeps ahead of writing.
pub fn expired_rows_max(new_executions: usize) -> usize {
    (2 * new_executions).clamp(EXPIRED_ROWS_MIN, EXPIRED_ROWS_MAX)
}

#[cfg(test)]
#[path = "tests/history.rs"]
mod tests;
