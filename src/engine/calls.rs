//! What callers of the engine get back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::oneshot;

use crate::domain::{
    attempt::Attempt,
    decision::{EventReply, command::Answer},
    refusal::Refusal,
};

/// When another try may help after an account's actor went away.
pub const RESTART_REST: Duration = Duration::from_millis(250);

/// Why the engine did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// The rules refuse it; nothing was written.
    #[error("{0}")]
    Refused(Refusal),
    /// The database or the account is in trouble, or the account's actor went away: it may or may not have been done.
    #[error("{why}")]
    Unavailable {
        /// What is the matter.
        why: String,
        /// When another try may help.
        retry_after: Duration,
    },
    /// A fault of ours; it was logged.
    #[error("{0}")]
    Internal(String),
}

/// The answer to a command.
#[derive(Debug)]
pub enum CommandReply {
    /// Decided now.
    Fresh(Answer),
    /// The stored answer to the first call of this key.
    Repeated(Vec<u8>),
}

/// What became of a test request.
#[derive(Debug)]
pub struct Tested {
    /// The attempt, as it ended.
    pub attempt: Attempt,
    /// The body that was sent.
    pub body: String,
    /// Its id.
    pub request_id: String,
}

/// What keeps the order of an account's events over several calls: it ends with the first that are turned away.
#[derive(Debug, Clone, Default)]
pub struct Order(Arc<AtomicBool>);

impl Order {
    /// Events of this order were turned away: none behind them is taken in.
    pub(super) fn end(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Events that were taken in and wait to become durable.
pub struct Pending(pub(super) Option<oneshot::Receiver<Result<Vec<EventReply>, EngineError>>>);

impl Pending {
    /// What became of each event.
    pub async fn done(self) -> Result<Vec<EventReply>, EngineError> {
        match self.0 {
            // An actor that went away has turned away whatever waited in it.
            Some(answer) => answer.await.unwrap_or_else(|_| Err(gone())),
            None => Ok(Vec::new()),
        }
    }
}

pub fn gone() -> EngineError {
    EngineError::Unavailable { why: "the account is being started anew".to_owned(), retry_after: RESTART_REST }
}
