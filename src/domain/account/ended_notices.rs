//! How often an account tells by notices that executions failed or were stopped: a few a minute, and then how many more.

use crate::domain::timestamp::Timestamp;

/// How many of these notices an account publishes a minute; what ends beyond them is counted, and told together after it.
pub const ENDED_NOTICES_A_MINUTE_MAX: u32 = 10;
const MINUTE_MS: u64 = 60_000;

/// What was told of executions that failed or were stopped. In memory only: the history has them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EndedNotices {
    /// When the minute began.
    since: Timestamp,
    /// How many notices were published in it.
    told: u32,
    /// How many executions ended that no notice tells of.
    untold: u64,
}

impl EndedNotices {
    /// When what is untold is to be told.
    pub fn due_at(self) -> Option<Timestamp> {
        (self.untold > 0).then(|| self.since.plus_ms(MINUTE_MS))
    }

    /// Begins the next minute where this one is over. Answers how many executions ended in it that no notice tells of.
    pub fn turn(&mut self, now: Timestamp) -> u64 {
        if self.since <= now && now < self.since.plus_ms(MINUTE_MS) {
            return 0;
        }
        std::mem::replace(self, Self { since: now, told: 0, untold: 0 }).untold
    }

    /// Whether one more notice may be published, of so many executions; those of one that may not are counted.
    pub fn take(&mut self, executions: u64) -> bool {
        if self.told < ENDED_NOTICES_A_MINUTE_MAX {
            self.told += 1;
            return true;
        }
        self.untold += executions;
        false
    }
}

#[cfg(test)]
#[path = "tests/ended_notices.rs"]
mod tests;
