//! The one table from what went wrong to a gRPC status with details.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{
    domain::refusal::{Refusal, Violation},
    engine::EngineError,
    store::StoreError,
};

/// The domain of every `ErrorInfo`.
pub const ERROR_DOMAIN: &str = "hookline";
/// How many field violations one status carries.
const VIOLATIONS_MAX: usize = 25;
/// How large their texts may be in all: details ride in HTTP/2 headers, which clients bound.
const VIOLATIONS_BYTES_MAX: usize = 4_096;
/// When to try again after trouble of ours.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The status of a refusal.
pub fn refused(refusal: &Refusal) -> Status {
    let message = refusal.to_string();
    let mut details = ErrorDetails::new();
    let (code, reason) = match refusal {
        Refusal::Invalid(violations) => {
            add_violations(&mut details, violations);
            (Code::InvalidArgument, "INVALID_ARGUMENT")
        }
        Refusal::Denied { .. } => (Code::PermissionDenied, "PERMISSION_DENIED"),
        Refusal::NotFound { kind, name } => {
            details.set_resource_info(*kind, name, "", "");
            (Code::NotFound, "NOT_FOUND")
        }
        Refusal::AlreadyExists { kind, name, .. } => {
            details.set_resource_info(*kind, name, "", "");
            (Code::AlreadyExists, "ALREADY_EXISTS")
        }
        Refusal::Precondition { reason, subject, message } => {
            details.add_precondition_failure_violation(reason.reason(), subject, message);
            (Code::FailedPrecondition, reason.reason())
        }
        Refusal::Exhausted { subject, message } => {
            details.add_quota_failure_violation(subject, message);
            (Code::ResourceExhausted, "LIMIT_REACHED")
        }
        Refusal::StaleEtag { name } => {
            details.set_resource_info("", name, "", "");
            (Code::Aborted, "STALE_ETAG")
        }
    };
    details.set_error_info(reason, ERROR_DOMAIN, HashMap::<String, String>::new());
    Status::with_error_details(code, shorten(message), details)
}

/// The status of an invalid field.
pub fn invalid(field: &str, message: impl Into<String>) -> Status {
    refused(&Refusal::invalid(field, message))
}

/// The status of what the engine did not do.
pub fn engine(error: &EngineError) -> Status {
    match error {
        EngineError::Refused(refusal) => refused(refusal),
        EngineError::Unavailable(why) => {
            let mut details = ErrorDetails::new();
            details.set_retry_info(Some(RETRY_DELAY));
            details.set_error_info("UNAVAILABLE", ERROR_DOMAIN, HashMap::<String, String>::new());
            let message = format!(
                "the call may or may not have been carried out ({why}): repeat it with the same request_id or event ids"
            );
            Status::with_error_details(Code::Unavailable, message, details)
        }
        EngineError::Internal(why) => Status::internal(why.clone()),
    }
}

/// The status of every call until the database is open.
pub fn starting() -> Status {
    let mut details = ErrorDetails::new();
    details.set_retry_info(Some(RETRY_DELAY));
    details.set_error_info("STARTING", ERROR_DOMAIN, HashMap::<String, String>::new());
    let message = "the server is starting: its database is being opened, or another process still holds it; try again";
    Status::with_error_details(Code::Unavailable, message, details)
}

/// The status of what a shutdown cuts short.
pub fn stopping() -> Status {
    let mut details = ErrorDetails::new();
    details.set_retry_info(Some(RETRY_DELAY));
    details.set_error_info("SHUTTING_DOWN", ERROR_DOMAIN, HashMap::<String, String>::new());
    let message = "the server is shutting down: connect again and send again what was not acknowledged";
    Status::with_error_details(Code::Unavailable, message, details)
}

/// The status of a read that failed; logged here, once.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
pub fn store(error: StoreError) -> Status {
    tracing::error!(error = ?error, "a read failed");
    let mut details = ErrorDetails::new();
    details.set_retry_info(Some(RETRY_DELAY));
    Status::with_error_details(Code::Unavailable, "the database is in trouble: try again", details)
}

fn add_violations(details: &mut ErrorDetails, violations: &[Violation]) {
    let mut bytes = 0;
    for (at, violation) in violations.iter().enumerate() {
        bytes += violation.field.len() + violation.message.len();
        if at == VIOLATIONS_MAX || bytes > VIOLATIONS_BYTES_MAX {
            details.add_bad_request_violation("", format!("and {} more", violations.len() - at));
            return;
        }
        details.add_bad_request_violation(&violation.field, &violation.message);
    }
}

fn shorten(message: String) -> String {
    const MESSAGE_CHARS_MAX: usize = 1_000;
    match message.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message,
    }
}
