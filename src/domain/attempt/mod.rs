//! One try to send a request: how it ended, what that means, and when it is tried again.

mod attempt;
mod outcome;
mod reason;
pub mod retry_policy;
mod success;

pub use self::{
    attempt::{Attempt, AttemptReport, RESPONSE_EXCERPT_BYTES_MAX},
    outcome::{DELIVERY_DISABLE, DELIVERY_HEADER, FailureClass, Fate, Outcome, Verdict},
    reason::Reason,
    success::{SUCCESS_STATUSES_MAX, SuccessStatuses, is_success_status},
};
