//! Outcomes on their way to an account: gathered, so that its actor is woken once for all that end at about one time.

use std::sync::{Mutex, PoisonError};

use crate::domain::attempt::AttemptReport;

/// The outcomes that an account's actor has not looked at yet.
#[derive(Default)]
pub struct Inbox(Mutex<Vec<AttemptReport>>);

impl Inbox {
    /// Puts an outcome in. Answers whether it is the first one, so that the actor must be told.
    pub fn push(&self, ended: AttemptReport) -> bool {
        let mut outcomes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        outcomes.push(ended);
        outcomes.len() == 1
    }

    /// Takes everything out; whoever comes next is the first one again.
    pub fn take(&self) -> Vec<AttemptReport> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
