//! Why a request or its execution stands where it stands.

use serde::{Deserialize, Serialize};

/// Why an execution stands where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names are the meaning; DESIGN and the docs list them with remedies")]
pub enum Reason {
    WebhookDeleted,
    WebhookDisabled,
    Unauthorized,
    Rejected,
    ServerError,
    Timeout,
    Dns,
    Connect,
    Tls,
    Redirect,
    Gone,
    BlockedAddress,
    UnsafePath,
    ValueMissing,
    BodyTooLarge,
    HeadersTooLarge,
    RequestsTooLarge,
    ExecutionLimit,
    EndpointUnavailable,
    BacklogFull,
    PausedTooLong,
    Loop,
    Internal,
}

impl Reason {
    /// Every reason and its word.
    pub const WORDS: [(Reason, &'static str); 23] = [
        (Reason::WebhookDeleted, "WEBHOOK_DELETED"),
        (Reason::WebhookDisabled, "WEBHOOK_DISABLED"),
        (Reason::Unauthorized, "UNAUTHORIZED"),
        (Reason::Rejected, "REJECTED"),
        (Reason::ServerError, "SERVER_ERROR"),
        (Reason::Timeout, "TIMEOUT"),
        (Reason::Dns, "DNS"),
        (Reason::Connect, "CONNECT"),
        (Reason::Tls, "TLS"),
        (Reason::Redirect, "REDIRECT"),
        (Reason::BlockedAddress, "BLOCKED_ADDRESS"),
        (Reason::Gone, "GONE"),
        (Reason::UnsafePath, "UNSAFE_PATH"),
        (Reason::ValueMissing, "VALUE_MISSING"),
        (Reason::BodyTooLarge, "BODY_TOO_LARGE"),
        (Reason::HeadersTooLarge, "HEADERS_TOO_LARGE"),
        (Reason::RequestsTooLarge, "REQUESTS_TOO_LARGE"),
        (Reason::ExecutionLimit, "EXECUTION_LIMIT"),
        (Reason::EndpointUnavailable, "ENDPOINT_UNAVAILABLE"),
        (Reason::BacklogFull, "BACKLOG_FULL"),
        (Reason::PausedTooLong, "PAUSED_TOO_LONG"),
        (Reason::Loop, "LOOP"),
        (Reason::Internal, "INTERNAL"),
    ];

    /// The word on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(reason, _)| *reason == self).map_or("", |(_, word)| word)
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, known)| *known == word).map(|(reason, _)| *reason)
    }
}
