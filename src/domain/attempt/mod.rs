//! One try to send a request: how it ended, what that means, and when it is tried again.

mod attempt;
mod outcome;
mod reason;
pub mod retry_policy;

pub use self::{
    attempt::{Attempt, AttemptReport, RESPONSE_EXCERPT_BYTES_MAX},
    outcome::{FailureClass, Fate, Outcome, Verdict, is_success_status},
    reason::Reason,
};
