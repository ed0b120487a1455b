//! Whether the wall clock is trusted. It is measured against a clock that nobody sets; after a jump, or where it contradicts
//! what a process has told before, what deletes, disables or ends by age waits for a day, or for a person's word.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{clock, domain::timestamp::Timestamp};

/// How far the clock may move against the one that nobody sets.
const JUMP_MAX: Duration = Duration::from_secs(3_600);
/// By how much it may stand before the time that was told last: it is set in small steps while a machine starts.
const BEFORE_TOLD_MAX: Duration = Duration::from_secs(60);
/// By how much it may stand after the time that was told last.
const AFTER_TOLD_MAX: Duration = Duration::from_secs(86_400);
/// After how long a time is believed that nobody has confirmed.
const DOUBT_LENGTH: Duration = Duration::from_secs(86_400);

/// The wall clock, and whether it is trusted.
pub struct WallClock(Mutex<Trust>);

impl WallClock {
    /// At the start of a process; the time was told by one before it.
    pub fn new(told: Option<Timestamp>) -> Self {
        Self(Mutex::new(Trust::begin(told, clock::now(), clock::since_boot_us())))
    }

    /// Looks at it. Answers the time, where it is trusted.
    pub fn look(&self) -> Option<Timestamp> {
        let now = clock::now();
        let mut trust = self.trust();
        let before = trust.doubt.is_some();
        trust.look(now, clock::since_boot_us());
        match (&trust.doubt, before) {
            (Some(doubt), false) => tracing::error!(
                why = doubt.why,
                "the clock is not trusted: nothing is deleted, disabled or ended by age for a day, or until `hookline \
                 confirm-clock` says that it is right"
            ),
            (None, true) => tracing::warn!("the clock is trusted again"),
            _ => {}
        }
        trust.doubt.is_none().then_some(now)
    }

    /// Somebody says that it is right.
    pub fn confirm(&self) -> Timestamp {
        let now = clock::now();
        let mut trust = self.trust();
        if trust.doubt.is_some() {
            tracing::warn!("somebody has confirmed the clock; it is trusted again");
        }
        trust.confirm(now, clock::since_boot_us());
        now
    }

    /// Why it is not trusted.
    pub fn doubt(&self) -> Option<String> {
        self.trust().doubt.as_ref().map(|doubt| doubt.why.clone())
    }

    /// Whether it is trusted now: a jump is noticed before anybody decides by it.
    pub fn is_trusted(&self) -> bool {
        self.look().is_some()
    }

    fn trust(&self) -> MutexGuard<'_, Trust> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the clock is measured against, and what was found.
struct Trust {
    measure: Measure,
    /// The wall clock's time when the machine was started, as it looked last.
    seen: i64,
    doubt: Option<Doubt>,
}

enum Measure {
    /// The wall clock's time when the machine was started.
    Boot(i64),
    /// The time that a process told last, and the other clock's when this one started.
    Told(Timestamp, i64),
}

struct Doubt {
    /// Since when, by the other clock.
    since: i64,
    why: String,
}

impl Trust {
    fn begin(told: Option<Timestamp>, now: Timestamp, boot: i64) -> Self {
        let seen = now.0 - boot;
        let measure = told.map_or(Measure::Boot(seen), |told| Measure::Told(told, boot));
        let mut trust = Self { measure, seen, doubt: None };
        trust.look(now, boot);
        trust
    }

    fn look(&mut self, now: Timestamp, boot: i64) {
        let seen = now.0 - boot;
        let has_jumped = seen.abs_diff(self.seen) > micros(JUMP_MAX);
        if self.is_right(now, boot) {
            if self.doubt.is_some() || matches!(self.measure, Measure::Told(..)) {
                self.confirm(now, boot);
            }
        } else if has_jumped || self.doubt.is_none() {
            let why = self.describe(now, boot);
            self.seen = seen;
            self.doubt = Some(Doubt { since: boot, why });
        } else if self.doubt.as_ref().is_some_and(|doubt| boot.abs_diff(doubt.since) >= micros(DOUBT_LENGTH)) {
            self.confirm(now, boot);
        }
    }

    fn confirm(&mut self, now: Timestamp, boot: i64) {
        self.seen = now.0 - boot;
        self.measure = Measure::Boot(self.seen);
        self.doubt = None;
    }

    fn is_right(&self, now: Timestamp, boot: i64) -> bool {
        match self.measure {
            Measure::Boot(trusted) => (now.0 - boot).abs_diff(trusted) <= micros(JUMP_MAX),
            Measure::Told(told, began) => {
                let after_told = i128::from(now.0) - i128::from(boot - began) - i128::from(told.0);
                let (before, after) = (i128::from(micros(BEFORE_TOLD_MAX)), i128::from(micros(AFTER_TOLD_MAX)));
                (-before..=after).contains(&after_told)
            }
        }
    }

    fn describe(&self, now: Timestamp, boot: i64) -> String {
        match self.measure {
            Measure::Boot(trusted) => {
                let moved = (now.0 - boot) - trusted;
                let how = if moved < 0 { "back" } else { "forward" };
                format!("the clock was set {how} by {} s", moved.unsigned_abs() / 1_000_000)
            }
            Measure::Told(told, _) => {
                let how = if now < told { "before" } else { "more than a day after" };
                format!(
                    "the clock stands at {}, {how} the last time that was known: {}",
                    now.to_rfc3339(),
                    told.to_rfc3339()
                )
            }
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "tests/wall_clock.rs"]
mod tests;
