//! The states of an execution.

use serde::{Deserialize, Serialize};

/// Where an execution stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Durable, waiting for a slot or its time.
    Pending,
    /// A request is being sent.
    Running,
    /// The next attempt has a time.
    Retrying,
    /// Held back.
    Paused,
    /// Final: done.
    Succeeded,
    /// Final: an action failed.
    Failed,
    /// Final: ended by a rule before anything was sent.
    Stopped,
    /// Final: ended by a person.
    Cancelled,
}

impl State {
    /// Every state, in the order of the numbers on the wire and in the database, from 1.
    pub const ALL: [State; 8] = [
        State::Pending,
        State::Running,
        State::Retrying,
        State::Paused,
        State::Succeeded,
        State::Failed,
        State::Stopped,
        State::Cancelled,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Pending => "PENDING",
            State::Running => "RUNNING",
            State::Retrying => "RETRYING",
            State::Paused => "PAUSED",
            State::Succeeded => "SUCCEEDED",
            State::Failed => "FAILED",
            State::Stopped => "STOPPED",
            State::Cancelled => "CANCELLED",
        }
    }

    /// Whether it waits: for a slot, its time, or what holds it back.
    pub fn waits(self) -> bool {
        matches!(self, State::Pending | State::Retrying | State::Paused)
    }

    /// Whether it never changes again.
    pub fn is_final(self) -> bool {
        matches!(self, State::Succeeded | State::Failed | State::Stopped | State::Cancelled)
    }
}
