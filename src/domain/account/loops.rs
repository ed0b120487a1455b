//! Executions that cause each other: how deep a chain of causes may be, and how often one automation may run for one
//! object within a minute by events that executions have caused.

use std::collections::HashMap;

use uuid::Uuid;

use crate::domain::{
    id::{EntityId, ObjectName},
    timestamp::Timestamp,
};

/// How deep a chain of causes may be.
pub const CAUSATION_DEPTH_MAX: u32 = 5;
/// How often one automation may run for one object in a minute by events with a cause.
pub const CAUSED_RUNS_MAX: u32 = 20;
const PERIOD_MS: u64 = 60_000;
/// How many objects are remembered of a minute; those that came first are forgotten beyond twice as many.
const REMEMBERED_MAX: usize = 10_000;

/// What repeats: a source of executions and an object, which its kind and its id name together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LoopKey {
    /// What is run.
    pub source: Uuid,
    /// The kind of object.
    pub object: ObjectName,
    /// The id of the object.
    pub entity_id: EntityId,
}

impl LoopKey {
    /// Of a source and an object.
    pub fn new(source: Uuid, object: &ObjectName, entity_id: &EntityId) -> Self {
        Self { source, object: object.clone(), entity_id: entity_id.clone() }
    }
}

/// Runs by events with a cause, within the current minute of each automation and object. It is kept in memory only: a
/// restart lets a loop run twenty more times.
///
/// There are two generations: a new one begins when the young one is full or a minute old, and the one before the last is
/// forgotten as a whole, so that no note looks at all of them.
#[derive(Debug, Default)]
pub struct Loops {
    young: HashMap<LoopKey, (Timestamp, u32)>,
    old: HashMap<LoopKey, (Timestamp, u32)>,
    /// When the young generation began.
    since: Timestamp,
}

impl Loops {
    /// How many runs there were in the current minute.
    pub fn count(&self, key: &LoopKey, now: Timestamp) -> u32 {
        self.run(key, now).map_or(0, |(_, count)| count)
    }

    fn run(&self, key: &LoopKey, now: Timestamp) -> Option<(Timestamp, u32)> {
        let found = self.young.get(key).or_else(|| self.old.get(key)).copied();
        found.filter(|(start, _)| is_current(*start, now))
    }

    /// One more run.
    pub fn note(&mut self, key: LoopKey, now: Timestamp) {
        let (start, count) = self.run(&key, now).unwrap_or((now, 0));
        if self.young.len() >= REMEMBERED_MAX || !is_current(self.since, now) {
            self.old = std::mem::take(&mut self.young);
            self.since = now;
        }
        self.young.insert(key, (start, count + 1));
    }
}

fn is_current(start: Timestamp, now: Timestamp) -> bool {
    now >= start && now < start.plus_ms(PERIOD_MS)
}

#[cfg(test)]
#[path = "tests/loops.rs"]
mod tests;
