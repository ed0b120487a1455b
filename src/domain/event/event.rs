//! Events: one change of one object, in the platform's own form or ours.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::{
    id::{EntityId, EventId, ObjectName, UserId},
    json,
    timestamp::Timestamp,
    trace_context::TraceContext,
};

/// How large an event's payload may be.
pub const EVENT_PAYLOAD_BYTES_MAX: usize = 1024 * 1024;
/// How many users may be named as those who may see an object.
pub const PERMITTED_USERS_MAX: usize = 10_000;

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It was created.
    Create,
    /// It was changed.
    Change,
    /// It was deleted.
    Delete,
}

impl Action {
    /// The word that events use.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Create => "create",
            Action::Change => "change",
            Action::Delete => "delete",
        }
    }
}

/// One change of one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Unique in the account.
    pub id: EventId,
    /// The kind of object.
    pub object: ObjectName,
    /// What happened to the object.
    pub action: Action,
    /// The id of the object.
    pub entity_id: EntityId,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// The acting user, if any.
    pub user_id: Option<UserId>,
    /// The state now, on delete the last state: one JSON object.
    pub data: String,
    /// The old values of what changed: one JSON object.
    pub previous: Option<String>,
    /// The envelope's own meta data as it came.
    pub meta: Option<String>,
    /// Whether `data` was taken from the envelope's `previous`.
    pub swapped: bool,
    /// Who may see the object, where the event says so: an empty list is nobody.
    pub permitted_user_ids: Option<Vec<UserId>>,
    /// What caused it, if an execution did.
    pub cause: Option<Cause>,
    /// The trace context that it came with.
    pub trace: Option<TraceContext>,
}

/// The execution that caused an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The execution, where it is known.
    pub execution_id: Option<String>,
    /// How many executions led here, one after the other; 0 where only the execution is told.
    pub depth: u32,
}

/// Why an event can never be accepted as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The field at fault, such as `envelope.meta.action`.
    pub field: String,
    /// A stable reason.
    pub reason: RejectionReason,
    /// What is wrong and how to mend it.
    pub message: String,
}

/// The stable reasons of rejections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectionReason {
    /// Not the JSON that is asked for.
    InvalidJson,
    /// Missing or malformed.
    InvalidField,
    /// Larger than the limit.
    TooLarge,
    /// The envelope is another account's.
    AccountMismatch,
    /// There is no such account.
    AccountNotFound,
    /// The object is one of the service's own.
    ReservedObject,
    /// It happened too long ago.
    TooOld,
    /// A fault of ours; it was logged.
    Internal,
}

impl RejectionReason {
    /// Every reason.
    pub const ALL: [RejectionReason; 8] = [
        RejectionReason::InvalidJson,
        RejectionReason::InvalidField,
        RejectionReason::TooLarge,
        RejectionReason::AccountMismatch,
        RejectionReason::AccountNotFound,
        RejectionReason::ReservedObject,
        RejectionReason::TooOld,
        RejectionReason::Internal,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            RejectionReason::InvalidJson => "INVALID_JSON",
            RejectionReason::InvalidField => "INVALID_FIELD",
            RejectionReason::TooLarge => "TOO_LARGE",
            RejectionReason::AccountMismatch => "ACCOUNT_MISMATCH",
            RejectionReason::AccountNotFound => "ACCOUNT_NOT_FOUND",
            RejectionReason::ReservedObject => "RESERVED_OBJECT",
            RejectionReason::TooOld => "TOO_OLD",
            RejectionReason::Internal => "INTERNAL",
        }
    }
}

impl Rejection {
    /// A rejection of one field.
    pub fn new(field: impl Into<String>, reason: RejectionReason, message: impl fmt::Display) -> Self {
        Self { field: field.into(), reason, message: message.to_string() }
    }
}

/// What was read of an event, or why it is turned away.
pub(super) type Taken<T> = Result<T, Rejection>;

/// Checks one JSON object of an event given in our own form, and takes the white space between its tokens out.
pub fn payload_object(field: &str, bytes: &[u8]) -> Taken<String> {
    let text = payload_text(field, bytes)?;
    let is_spaced =
        json::check_object(text).map_err(|error| Rejection::new(field, RejectionReason::InvalidJson, error))?;
    let text = text.trim_ascii();
    Ok(if is_spaced { json::compact(text) } else { text.to_owned() })
}

/// A payload as text, if it is UTF-8 and not too large.
pub(super) fn payload_text<'a>(field: &str, bytes: &'a [u8]) -> Taken<&'a str> {
    if bytes.len() > EVENT_PAYLOAD_BYTES_MAX {
        let message = format!("has {} bytes, the limit is {EVENT_PAYLOAD_BYTES_MAX}", bytes.len());
        return Err(Rejection::new(field, RejectionReason::TooLarge, message));
    }
    std::str::from_utf8(bytes)
        .map_err(|error| Rejection::new(field, RejectionReason::InvalidJson, format!("not UTF-8: {error}")))
}

/// How an event is stored: versioned JSON that carries the payload's own bytes.
#[derive(Deserialize)]
struct StoredEvent<'a> {
    object: ObjectName,
    action: Action,
    entity_id: EntityId,
    occurred_at: Timestamp,
    #[serde(default)]
    user_id: Option<UserId>,
    #[serde(default)]
    permitted_user_ids: Option<Vec<UserId>>,
    #[serde(default)]
    cause: Option<Cause>,
    #[serde(default)]
    traceparent: Option<String>,
    #[serde(default)]
    tracestate: Option<String>,
    #[serde(default)]
    swapped: bool,
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow, default)]
    previous: Option<&'a RawValue>,
    #[serde(borrow, default)]
    meta: Option<&'a RawValue>,
}

/// The members of a stored event that come before its states, which are JSON already.
#[derive(Serialize)]
struct StoredHead<'a> {
    v: u8,
    object: &'a ObjectName,
    action: Action,
    entity_id: &'a EntityId,
    occurred_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permitted_user_ids: Option<&'a Vec<UserId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a Cause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracestate: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    swapped: bool,
}

impl Event {
    /// Appends the event as it is stored, without its id. Its states were checked and are copied as they are.
    pub fn store_into(&self, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        serde_json::to_writer(
            &mut *out,
            &StoredHead {
                v: 1,
                object: &self.object,
                action: self.action,
                entity_id: &self.entity_id,
                occurred_at: self.occurred_at,
                user_id: self.user_id.as_ref(),
                permitted_user_ids: self.permitted_user_ids.as_ref(),
                cause: self.cause.as_ref(),
                traceparent: self.trace.as_ref().map(TraceContext::traceparent),
                tracestate: self.trace.as_ref().and_then(TraceContext::tracestate),
                swapped: self.swapped,
            },
        )?;
        // The brace that closes the object comes behind the states.
        out.pop();
        let states = [("data", Some(&self.data)), ("previous", self.previous.as_ref()), ("meta", self.meta.as_ref())];
        for (name, raw) in states {
            let Some(raw) = raw else { continue };
            for part in [",\"", name, "\":", raw] {
                out.extend_from_slice(part.as_bytes());
            }
        }
        out.push(b'}');
        Ok(())
    }

    /// Reads an event that was stored.
    pub fn from_stored(id: EventId, bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let stored: StoredEvent<'_> = serde_json::from_slice(bytes)?;
        Ok(Self {
            id,
            object: stored.object,
            action: stored.action,
            entity_id: stored.entity_id,
            occurred_at: stored.occurred_at,
            user_id: stored.user_id,
            data: stored.data.get().to_owned(),
            previous: stored.previous.map(|raw| raw.get().to_owned()),
            meta: stored.meta.map(|raw| raw.get().to_owned()),
            swapped: stored.swapped,
            permitted_user_ids: stored.permitted_user_ids,
            cause: stored.cause,
            trace: stored.traceparent.and_then(|traceparent| {
                TraceContext::parse(&traceparent, stored.tracestate.as_deref().unwrap_or_default())
            }),
        })
    }

    /// About how much memory the event takes.
    pub fn weight_bytes(&self) -> usize {
        self.data.len()
            + self.previous.as_ref().map_or(0, String::len)
            + self.meta.as_ref().map_or(0, String::len)
            + 256
    }
}

#[cfg(test)]
impl Event {
    /// A change of deal 8 by nobody, without data: for tests to alter.
    pub fn sample(id: &str) -> Self {
        Self {
            id: id.parse().expect("an id"),
            object: "deal".parse().expect("a name"),
            action: Action::Change,
            entity_id: "8".parse().expect("an id"),
            occurred_at: Timestamp(1),
            user_id: None,
            data: "{}".into(),
            previous: None,
            meta: None,
            swapped: false,
            permitted_user_ids: None,
            cause: None,
            trace: None,
        }
    }
}

#[cfg(test)]
#[path = "tests/event.rs"]
mod tests;
