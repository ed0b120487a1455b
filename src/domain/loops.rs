//! Executions that cause each other: how deep a chain of causes may be, and how often one automation may run for one
//! object within a minute by events that executions have caused.

use std::collections::HashMap;

use uuid::Uuid;

use super::{id::EntityId, timestamp::Timestamp};

/// How deep a chain of causes may be.
pub const CAUSATION_DEPTH_MAX: u32 = 5;
/// How often one automation may run for one object in a minute by events with a cause.
pub const CAUSED_RUNS_MAX: u32 = 20;
const PERIOD_MS: u64 = 60_000;
/// How many objects are remembered before those whose minute is over are forgotten.
const REMEMBERED_MAX: usize = 10_000;

/// What repeats: a source of executions and an object.
pub type Circle = (Uuid, EntityId);

/// Runs by events with a cause, within the current minute of each automation and object. It is kept in memory only: a
/// restart lets a loop run twenty more times.
#[derive(Debug, Default)]
pub struct Loops {
    runs: HashMap<Circle, (Timestamp, u32)>,
}

impl Loops {
    /// How many runs there were in the current minute.
    pub fn count(&self, circle: &Circle, now: Timestamp) -> u32 {
        self.runs.get(circle).filter(|(start, _)| is_current(*start, now)).map_or(0, |(_, count)| *count)
    }

    /// One more run.
    pub fn note(&mut self, circle: Circle, now: Timestamp) {
        if self.runs.len() >= REMEMBERED_MAX {
            self.runs.retain(|_, (start, _)| is_current(*start, now));
        }
        let run = self.runs.entry(circle).or_insert((now, 0));
        if !is_current(run.0, now) {
            *run = (now, 0);
        }
        run.1 += 1;
    }
}

fn is_current(start: Timestamp, now: Timestamp) -> bool {
    now >= start && now < start.plus_ms(PERIOD_MS)
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn runs_count_within_their_minute() {
        let circle = |object: &str| (Uuid::from_u128(1), object.parse().expect("an id"));
        let start = Timestamp(1_000_000_000);
        let mut loops = Loops::default();
        for _ in 0..3 {
            loops.note(circle("8"), start);
        }
        assert_eq!(loops.count(&circle("8"), start.plus_ms(59_999)), 3);
        assert_eq!(loops.count(&circle("9"), start), 0);
        assert_eq!(loops.count(&circle("8"), start.plus_ms(60_000)), 0);
        assert_eq!(loops.count(&circle("8"), start.minus_ms(1)), 0, "a clock set back begins anew");
        loops.note(circle("8"), start.plus_ms(60_000));
        assert_eq!(loops.count(&circle("8"), start.plus_ms(60_001)), 1);
    }
}
