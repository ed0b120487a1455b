//! The one table from what went wrong to a gRPC status with details. `docs/errors.md` lists every reason with its
//! remedy; a test keeps both alike.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::bounds::TooLarge;
use crate::{
    domain::refusal::{Precondition, Refusal, Violation},
    engine::EngineError,
    store::StoreError,
};

/// The domain of every `ErrorInfo`.
pub const ERROR_DOMAIN: &str = "hookline";
/// How many field violations one status carries.
const VIOLATIONS_MAX: usize = 25;
/// How large they may be, encoded: details ride in HTTP/2 headers, which clients bound.
const VIOLATIONS_BYTES_MAX: usize = 4_096;
/// What the encoding of a violation adds to its texts at most.
const VIOLATION_FRAMING_BYTES: usize = 9;
/// How long a message may be.
const MESSAGE_CHARS_MAX: usize = 500;
/// When to try again after trouble of ours.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// What is wrong with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFault {
    /// There is none.
    Missing,
    /// It is no JWT, or not signed.
    Malformed,
    /// Its algorithm is not that of its key.
    Algorithm,
    /// No key of ours has signed it.
    Key,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// It is for another audience.
    Audience,
    /// It is from another issuer.
    Issuer,
    /// Its claims say nothing that can be used.
    Claims,
    /// No ingest identity has these credentials.
    Identity,
}

/// The stable reason of a status, in its `ErrorInfo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorReason {
    /// A field of the request can never be accepted as it is.
    InvalidArgument,
    /// The caller may not do this.
    PermissionDenied,
    /// There is no such resource.
    NotFound,
    /// The id or the name is taken.
    AlreadyExists,
    /// The account has as many as it may have.
    LimitReached,
    /// The resource has changed since it was read.
    StaleEtag,
    /// The effect of a call is not known.
    Unavailable,
    /// The database is in trouble.
    DatabaseTrouble,
    /// The server does not serve yet.
    Starting,
    /// The server does not serve any more.
    ShuttingDown,
    /// What a watch would have to show first is deleted.
    CursorExpired,
    /// The client of a watch does not read.
    SlowReader,
    /// A message is larger than it may be.
    MessageTooLarge,
    /// A message took too long to come in.
    MessageTimeout,
    /// There is no place for one more call.
    TooManyCalls,
    /// There is no room for more events.
    Full,
    /// A fault of ours.
    Internal,
    /// The token is not good.
    Token(TokenFault),
    /// Something else must happen first.
    Precondition(Precondition),
}

impl ErrorReason {
    /// The word that clients match on.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorReason::InvalidArgument => "INVALID_ARGUMENT",
            ErrorReason::PermissionDenied => "PERMISSION_DENIED",
            ErrorReason::NotFound => "NOT_FOUND",
            ErrorReason::AlreadyExists => "ALREADY_EXISTS",
            ErrorReason::LimitReached => "LIMIT_REACHED",
            ErrorReason::StaleEtag => "STALE_ETAG",
            ErrorReason::Unavailable => "EFFECT_UNKNOWN",
            ErrorReason::DatabaseTrouble => "DATABASE_TROUBLE",
            ErrorReason::Starting => "STARTING",
            ErrorReason::ShuttingDown => "SHUTTING_DOWN",
            ErrorReason::CursorExpired => "CURSOR_EXPIRED",
            ErrorReason::SlowReader => "SLOW_READER",
            ErrorReason::MessageTooLarge => "MESSAGE_TOO_LARGE",
            ErrorReason::MessageTimeout => "MESSAGE_TIMEOUT",
            ErrorReason::TooManyCalls => "TOO_MANY_CALLS",
            ErrorReason::Full => "EVENTS_FULL",
            ErrorReason::Internal => "INTERNAL",
            ErrorReason::Token(TokenFault::Missing) => "TOKEN_MISSING",
            ErrorReason::Token(TokenFault::Malformed) => "TOKEN_MALFORMED",
            ErrorReason::Token(TokenFault::Algorithm) => "TOKEN_WRONG_ALGORITHM",
            ErrorReason::Token(TokenFault::Key) => "TOKEN_UNKNOWN_KEY",
            ErrorReason::Token(TokenFault::Expired) => "TOKEN_EXPIRED",
            ErrorReason::Token(TokenFault::NotYetValid) => "TOKEN_NOT_YET_VALID",
            ErrorReason::Token(TokenFault::Audience) => "TOKEN_WRONG_AUDIENCE",
            ErrorReason::Token(TokenFault::Issuer) => "TOKEN_WRONG_ISSUER",
            ErrorReason::Token(TokenFault::Claims) => "TOKEN_BAD_CLAIMS",
            ErrorReason::Token(TokenFault::Identity) => "IDENTITY_UNKNOWN",
            ErrorReason::Precondition(reason) => reason.reason(),
        }
    }

    /// The code of its status.
    pub fn code(self) -> Code {
        match self {
            ErrorReason::InvalidArgument => Code::InvalidArgument,
            ErrorReason::PermissionDenied => Code::PermissionDenied,
            ErrorReason::NotFound => Code::NotFound,
            ErrorReason::AlreadyExists => Code::AlreadyExists,
            ErrorReason::LimitReached | ErrorReason::SlowReader | ErrorReason::TooManyCalls => Code::ResourceExhausted,
            ErrorReason::CursorExpired | ErrorReason::MessageTooLarge => Code::OutOfRange,
            ErrorReason::MessageTimeout => Code::DeadlineExceeded,
            ErrorReason::StaleEtag => Code::Aborted,
            ErrorReason::Unavailable
            | ErrorReason::DatabaseTrouble
            | ErrorReason::Starting
            | ErrorReason::ShuttingDown
            | ErrorReason::Full => Code::Unavailable,
            ErrorReason::Internal => Code::Internal,
            ErrorReason::Token(_) => Code::Unauthenticated,
            ErrorReason::Precondition(_) => Code::FailedPrecondition,
        }
    }
}

fn status(reason: ErrorReason, message: &str, metadata: HashMap<String, String>, mut details: ErrorDetails) -> Status {
    details.set_error_info(reason.as_str(), ERROR_DOMAIN, metadata);
    if reason.code() == Code::Unavailable || reason == ErrorReason::TooManyCalls {
        let delay = details.retry_info().and_then(|info| info.retry_delay);
        details.set_retry_info(Some(delay.unwrap_or(RETRY_DELAY)));
    }
    Status::with_error_details(reason.code(), shorten(message), details)
}

fn plain(reason: ErrorReason, message: &str) -> Status {
    status(reason, message, HashMap::new(), ErrorDetails::new())
}

/// The status of a refusal.
pub fn refused(refusal: &Refusal) -> Status {
    let mut details = ErrorDetails::new();
    let mut metadata = HashMap::new();
    let reason = match refusal {
        Refusal::Invalid(violations) => {
            add_violations(&mut details, violations);
            ErrorReason::InvalidArgument
        }
        Refusal::Denied { .. } => ErrorReason::PermissionDenied,
        Refusal::NotFound { kind, name } => {
            details.set_resource_info(*kind, name, "", "");
            ErrorReason::NotFound
        }
        Refusal::AlreadyExists { kind, name, .. } => {
            details.set_resource_info(*kind, name, "", "");
            ErrorReason::AlreadyExists
        }
        Refusal::Precondition { reason, subject, message } => {
            details.add_precondition_failure_violation(reason.reason(), subject, message);
            metadata.insert("subject".to_owned(), subject.clone());
            ErrorReason::Precondition(*reason)
        }
        Refusal::Exhausted { subject, message } => {
            details.add_quota_failure_violation(subject, message);
            metadata.insert("subject".to_owned(), subject.clone());
            ErrorReason::LimitReached
        }
        Refusal::StaleEtag { name } => {
            details.set_resource_info(kind_of(name), name, "", "");
            ErrorReason::StaleEtag
        }
    };
    status(reason, &refusal.to_string(), metadata, details)
}

/// The kind of resource that a name names.
fn kind_of(name: &str) -> &'static str {
    match name.split('/').nth(2) {
        Some("webhooks") => "webhook",
        Some("automations") => "automation",
        Some("executions") => "execution",
        Some("jobs") => "job",
        _ => "account",
    }
}

/// The status of an invalid field.
pub fn invalid(field: &str, message: impl Into<String>) -> Status {
    refused(&Refusal::invalid(field, message))
}

/// The status of a message that is larger than it may be, or is none.
pub fn too_large(fault: &TooLarge) -> Status {
    let message = match fault {
        TooLarge::Elements { field, most } => {
            return invalid(field, format!("has more than {most} elements: send fewer"));
        }
        TooLarge::Malformed => return malformed("it is no message of this method"),
        TooLarge::Depth(field) => return invalid(field, "nests too deep"),
        TooLarge::Bytes { .. } | TooLarge::OfAll => fault.to_string(),
    };
    plain(ErrorReason::MessageTooLarge, &message)
}

/// The status of a message of more bytes than it may have.
pub fn message_too_large(bytes: usize, most: usize) -> Status {
    too_large(&TooLarge::Bytes { bytes, most })
}

/// The status of what cannot be read as the method's message.
pub fn malformed(why: &str) -> Status {
    plain(ErrorReason::InvalidArgument, &format!("the message cannot be read: {why}"))
}

/// The status of a message that does not come in.
pub fn slow_message(timeout: Duration) -> Status {
    let message = format!("the message did not come in within {timeout:?}: send it faster, or in smaller parts");
    plain(ErrorReason::MessageTimeout, &message)
}

/// The status of a call for which there is no place.
pub fn too_many_calls(of: &str, most: usize) -> Status {
    let message = format!("{most} calls ({of}) are under way, which is the limit: wait for some to end");
    plain(ErrorReason::TooManyCalls, &message)
}

/// The status of events for which there is no room.
pub fn full() -> Status {
    let message = "as many bytes of events are held, and wait to be held, as may be: send these again in a moment";
    plain(ErrorReason::Full, message)
}

/// The status of a call whose token is not good.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
pub fn unauthenticated(fault: TokenFault, message: String) -> Status {
    plain(ErrorReason::Token(fault), &message)
}

/// The status of what the engine did not do.
pub fn engine(error: &EngineError) -> Status {
    match error {
        EngineError::Refused(refusal) => refused(refusal),
        EngineError::Unavailable { why, retry_after } => {
            let message = format!(
                "the call may or may not have been carried out ({why}): repeat it with the same request_id or event ids"
            );
            let details = ErrorDetails::with_retry_info(Some(*retry_after));
            status(ErrorReason::Unavailable, &message, HashMap::new(), details)
        }
        EngineError::Internal(why) => plain(ErrorReason::Internal, why),
    }
}

/// The status of every call until the database is open.
pub fn starting() -> Status {
    let message = "the server is starting: its database is being opened, or another process still holds it; try again";
    plain(ErrorReason::Starting, message)
}

/// The status of what a shutdown cuts short.
pub fn stopping() -> Status {
    let message = "the server is shutting down: connect again and send again what was not acknowledged";
    plain(ErrorReason::ShuttingDown, message)
}

/// The status of a watch whose cursor leads nowhere any more.
pub fn cursor_expired(why: &str) -> Status {
    plain(ErrorReason::CursorExpired, &format!("{why}: list the executions, and watch anew without a cursor"))
}

/// The status of a watch whose client does not read.
pub fn slow_reader(stall_max: Duration) -> Status {
    let message =
        format!("answers were left unread for {stall_max:?}: read faster, and go on after the last one that was read");
    plain(ErrorReason::SlowReader, &message)
}

/// The status of a read that failed; logged here, once.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
pub fn store(error: StoreError) -> Status {
    tracing::error!(error = ?error, "a read failed");
    plain(ErrorReason::DatabaseTrouble, "the database is in trouble: try again")
}

/// Names every fault there is room for, and how many more there are.
fn add_violations(details: &mut ErrorDetails, violations: &[Violation]) {
    let mut bytes = 0;
    for (at, violation) in violations.iter().enumerate() {
        bytes += violation.field.len() + violation.message.len() + VIOLATION_FRAMING_BYTES;
        if at == VIOLATIONS_MAX || bytes > VIOLATIONS_BYTES_MAX {
            details.add_bad_request_violation("", format!("and {} more", violations.len() - at));
            return;
        }
        details.add_bad_request_violation(&violation.field, &violation.message);
    }
}

fn shorten(message: &str) -> String {
    match message.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

#[cfg(test)]
#[path = "tests/status.rs"]
mod tests;
