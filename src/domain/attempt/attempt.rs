//! One try to send a request.

use std::sync::Arc;

use super::outcome::Outcome;
use crate::domain::{id::ExecutionUid, timestamp::Timestamp};

/// How much of an answer is kept.
pub const RESPONSE_EXCERPT_BYTES_MAX: usize = 16 * 1024;

/// One try to send a request, as it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took, in microseconds.
    pub duration_us: i64,
    /// The URL with the endpoint's query values masked.
    pub url: String,
    /// The real URL where masking hides something; sealed when stored.
    pub secret_url: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
}

/// An attempt that ended. Reported twice, it counts once.
#[derive(Debug, Clone)]
pub struct AttemptReport {
    /// The execution.
    pub execution: ExecutionUid,
    /// The action, from 0.
    pub action_no: usize,
    /// The attempt, from 1.
    pub attempt_no: u32,
    /// The attempt, as it ended.
    pub attempt: Arc<Attempt>,
}
