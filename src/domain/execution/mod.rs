//! Executions: one run of one source for one event, its requests and its states.

mod execution;
pub mod filter;
pub mod request;
pub mod retry;

pub use self::execution::{
    Attempt, Fate, NewExecution, Outcome, Progress, RESPONSE_EXCERPT_BYTES_MAX, Reason, Recorded, SourceKind, State,
    THE_LIMIT, Unfinished, Unreadable, Verdict, advance, fail_action, settle,
};
