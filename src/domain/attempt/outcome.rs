//! How an attempt ended, and what that means for its request.

use serde::{Deserialize, Serialize};

use super::{reason::Reason, success::is_success_status};

/// The header of an answer by which an endpoint says whether it wants more.
pub const DELIVERY_HEADER: &str = "webhook-delivery";
/// What it says where it does not.
pub const DELIVERY_DISABLE: &str = "disable";

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// An answer came.
    Answer {
        /// The HTTP status.
        status: u16,
        /// Headers that help to understand it.
        headers: Vec<(String, String)>,
        /// The beginning of the body.
        excerpt: Vec<u8>,
        /// Whether the body was longer, or did not end in time.
        truncated: bool,
        /// Whether it is one of the answers that the webhook takes for a success.
        is_success: bool,
    },
    /// No answer came.
    Error {
        /// What kind of failure.
        kind: Reason,
        /// More about it.
        message: String,
        /// Whether the endpoint may have got the request.
        was_sent: bool,
    },
}

/// What has become of an action, as far as its attempts tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Fate {
    /// It was not carried out.
    #[default]
    Open,
    /// It may have been carried out.
    MayBeDone,
    /// The action succeeded.
    Succeeded,
}

impl Fate {
    /// Of an attempt that was written before its fate was written with it: its status tells, which none was named for then.
    pub fn of_status(status: Option<u16>) -> Self {
        if status.is_some_and(is_success_status) { Fate::Succeeded } else { Fate::Open }
    }
}

/// What an outcome means for the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The endpoint has taken the request.
    Success,
    /// It did not, and may when tried again.
    Retry(Reason),
    /// It never will.
    Failure(Reason),
}

impl Outcome {
    /// What kind of failure it is, if it is one that may be tried again.
    pub fn failure_class(&self) -> Option<FailureClass> {
        match self {
            Outcome::Answer { is_success: true, .. } => None,
            Outcome::Answer { status: 408, .. } | Outcome::Error { kind: Reason::Timeout, .. } => {
                Some(FailureClass::Timeout)
            }
            Outcome::Answer { status: 425 | 429, .. } => Some(FailureClass::Throttled),
            Outcome::Answer { status: 500..=599, .. } => Some(FailureClass::ServerError),
            Outcome::Error { kind: Reason::Dns | Reason::Connect | Reason::Tls, .. } => Some(FailureClass::Transport),
            _ => None,
        }
    }

    /// Whether it says nothing about the endpoint: a fault of ours.
    pub fn is_ours(&self) -> bool {
        matches!(self, Outcome::Error { kind: Reason::Internal, .. })
    }

    /// Whether it arrived.
    pub fn is_success(&self) -> bool {
        matches!(self.verdict(), Verdict::Success)
    }

    /// Whether the endpoint says that what was asked for is gone for good.
    pub fn is_gone(&self) -> bool {
        matches!(self, Outcome::Answer { status: 410, is_success: false, .. })
    }

    /// Whether the endpoint asks that nothing more is sent to it.
    pub fn asks_to_stop(&self) -> bool {
        let Outcome::Answer { headers, .. } = self else { return false };
        let asks = |value: &str| value.trim().eq_ignore_ascii_case(DELIVERY_DISABLE);
        headers.iter().any(|(name, value)| name == DELIVERY_HEADER && asks(value))
    }

    /// Whether the endpoint may have done what was asked, although it did not say so.
    pub fn may_be_done(&self) -> bool {
        match self {
            Outcome::Answer { status, is_success, .. } => {
                matches!(status, 408 | 500..=599) || is_success_status(*status) && !is_success
            }
            Outcome::Error { was_sent, .. } => *was_sent,
        }
    }

    /// Whether there is nothing that a `DELETE` could delete.
    pub fn finds_nothing(&self) -> bool {
        matches!(self, Outcome::Answer { status: 404 | 410, .. })
    }

    /// What it means.
    pub fn verdict(&self) -> Verdict {
        match self {
            Outcome::Answer { is_success: true, .. } => Verdict::Success,
            Outcome::Answer { status, .. } => match status {
                300..=399 => Verdict::Failure(Reason::Redirect),
                401 | 403 => Verdict::Failure(Reason::Unauthorized),
                408 => Verdict::Retry(Reason::Timeout),
                410 => Verdict::Failure(Reason::Gone),
                425 | 429 => Verdict::Retry(Reason::Rejected),
                500..=599 => Verdict::Retry(Reason::ServerError),
                _ => Verdict::Failure(Reason::Rejected),
            },
            Outcome::Error { kind, .. } => match kind {
                Reason::Timeout | Reason::Dns | Reason::Connect | Reason::Tls | Reason::Internal => {
                    Verdict::Retry(*kind)
                }
                _ => Verdict::Failure(*kind),
            },
        }
    }
}

/// Failures that are tried again, by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FailureClass {
    /// No connection, no name, no handshake.
    Transport,
    /// No answer within the deadline, or 408.
    Timeout,
    /// 425 or 429.
    Throttled,
    /// An answer of 500 to 599.
    ServerError,
}
