//! Events: one change of one object, in the platform's own form or ours.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    id::{AccountId, EntityId, EventId, ObjectName, UserId},
    json::{self, Json, Node},
    timestamp::Timestamp,
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
    /// What happened.
    pub action: Action,
    /// Which object.
    pub entity_id: EntityId,
    /// When.
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
    /// Who may see the object, where the event says so.
    pub permitted_user_ids: Option<Vec<UserId>>,
    /// What caused it, if an execution did.
    pub cause: Option<Cause>,
    /// The W3C `traceparent` it came with.
    pub traceparent: Option<String>,
}

/// The execution that caused an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The execution, where it is known.
    pub execution_id: Option<String>,
    /// How many executions led here, one after the other.
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
    /// It happened too long ago.
    TooOld,
    /// A fault of ours; it was logged.
    Internal,
}

impl RejectionReason {
    /// Every reason.
    pub const ALL: [RejectionReason; 7] = [
        RejectionReason::InvalidJson,
        RejectionReason::InvalidField,
        RejectionReason::TooLarge,
        RejectionReason::AccountMismatch,
        RejectionReason::AccountNotFound,
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

type Taken<T> = Result<T, Rejection>;

/// Checks one JSON object of an event given in our own form.
pub fn payload_object(field: &str, bytes: &[u8]) -> Taken<String> {
    let text = payload_text(field, bytes)?;
    json::check_object(text).map_err(|error| Rejection::new(field, RejectionReason::InvalidJson, error))?;
    Ok(text.trim_ascii().to_owned())
}

fn payload_text<'a>(field: &str, bytes: &'a [u8]) -> Taken<&'a str> {
    if bytes.len() > EVENT_PAYLOAD_BYTES_MAX {
        let message = format!("has {} bytes, the limit is {EVENT_PAYLOAD_BYTES_MAX}", bytes.len());
        return Err(Rejection::new(field, RejectionReason::TooLarge, message));
    }
    std::str::from_utf8(bytes)
        .map_err(|error| Rejection::new(field, RejectionReason::InvalidJson, format!("not UTF-8: {error}")))
}

/// Reads a Pipedrive envelope, version 2 or 1.
pub fn parse_envelope(account: &AccountId, bytes: &[u8]) -> Taken<Event> {
    let text = payload_text("envelope", bytes)?;
    let members =
        json::members(text).map_err(|error| Rejection::new("envelope", RejectionReason::InvalidJson, error))?;
    let member = |name: &str| members.iter().rev().find(|(key, _)| key == name).map(|(_, raw)| *raw);
    let meta_raw = member("meta").ok_or_else(|| invalid("envelope.meta", "is missing"))?;
    let meta =
        json::parse(meta_raw).map_err(|error| Rejection::new("envelope.meta", RejectionReason::InvalidJson, error))?;
    let meta = Meta { node: &meta };
    let is_v1 = member("v") == Some("1") || meta.node.get("v").is_some_and(|v| v.raw == "1");
    meta.check_version()?;
    meta.check_company(account)?;
    let (entity_key, object_key) = if is_v1 { ("id", "object") } else { ("entity_id", "entity") };
    let entity_id: EntityId = meta.id(entity_key)?.ok_or_else(|| meta.missing(entity_key))?;
    let object: ObjectName = meta.text(object_key)?;
    let action = meta.action(is_v1)?;
    let state = if is_v1 { "current" } else { "data" };
    let now = object_or_null(state, member(state))?;
    let before = object_or_null("previous", member("previous"))?;
    let swapped = action == Action::Delete && now.is_none();
    let (data, previous) = if swapped { (before, None) } else { (now, before) };
    let data = data.ok_or_else(|| invalid(&format!("envelope.{state}"), "must be one JSON object"))?;
    Ok(Event {
        id: meta.event_id(account, &object, &entity_id, action)?,
        object,
        action,
        entity_id,
        occurred_at: meta.time()?,
        user_id: meta.id("user_id")?,
        data: data.to_owned(),
        previous: previous.map(str::to_owned),
        meta: Some(meta_raw.to_owned()),
        swapped,
        permitted_user_ids: meta.permitted()?,
        cause: None,
        traceparent: None,
    })
}

fn invalid(field: &str, message: impl fmt::Display) -> Rejection {
    Rejection::new(field, RejectionReason::InvalidField, message)
}

fn object_or_null<'a>(name: &str, raw: Option<&'a str>) -> Taken<Option<&'a str>> {
    match raw {
        None | Some("null") => Ok(None),
        Some(raw) if raw.starts_with('{') => Ok(Some(raw)),
        Some(_) => Err(invalid(&format!("envelope.{name}"), "must be one JSON object or null")),
    }
}

struct Meta<'n> {
    node: &'n Node<'n>,
}

impl Meta<'_> {
    fn missing(&self, key: &str) -> Rejection {
        invalid(&format!("envelope.meta.{key}"), "is missing")
    }

    /// An id given as a whole number or as text; absent and null are none.
    fn id<T: std::str::FromStr<Err = String>>(&self, key: &str) -> Taken<Option<T>> {
        match self.node.get(key).filter(|node| !node.is_null()) {
            None => Ok(None),
            Some(node) => id_of(&format!("envelope.meta.{key}"), node).map(Some),
        }
    }

    fn text<T: std::str::FromStr<Err = String>>(&self, key: &str) -> Taken<T> {
        let text = self.node.get(key).and_then(Node::as_str).ok_or_else(|| self.missing(key))?;
        text.parse().map_err(|error| invalid(&format!("envelope.meta.{key}"), error))
    }

    fn check_version(&self) -> Taken<()> {
        match self.node.get("version").and_then(Node::as_str) {
            None | Some("1.0" | "2.0") => Ok(()),
            Some(other) => {
                Err(invalid("envelope.meta.version", format!("is {other:?}: envelopes of 1.0 and 2.0 are known")))
            }
        }
    }

    fn check_company(&self, account: &AccountId) -> Taken<()> {
        let company = self.node.get("company_id").and_then(Node::as_id);
        match company {
            Some(company) if company != account.as_str() => Err(Rejection::new(
                "envelope.meta.company_id",
                RejectionReason::AccountMismatch,
                format!("is {company}, but the frame is for account {account}: send it in a frame of its own account"),
            )),
            _ => Ok(()),
        }
    }

    fn action(&self, is_v1: bool) -> Taken<Action> {
        let word = self.node.get("action").and_then(Node::as_str).ok_or_else(|| self.missing("action"))?;
        match (is_v1, word) {
            (false, "create") | (true, "added") => Ok(Action::Create),
            (false, "change") | (true, "updated" | "merged") => Ok(Action::Change),
            (false, "delete") | (true, "deleted") => Ok(Action::Delete),
            (false, _) => Err(invalid("envelope.meta.action", "must be create, change or delete")),
            (true, _) => Err(invalid("envelope.meta.action", "must be added, updated, merged or deleted")),
        }
    }

    fn finest_time(&self) -> Option<&Node<'_>> {
        ["timestamp_micro", "timestamp"].iter().find_map(|key| self.node.get(key).filter(|node| !node.is_null()))
    }

    fn time(&self) -> Taken<Timestamp> {
        if let Some(micro) = self.node.get("timestamp_micro").and_then(|node| node.raw.parse::<i64>().ok())
            && let Some(second) = Timestamp::from_seconds(micro.div_euclid(1_000_000))
        {
            return Ok(Timestamp(second.0 + micro.rem_euclid(1_000_000)));
        }
        let node = self.node.get("timestamp").ok_or_else(|| self.missing("timestamp"))?;
        let parsed = match &node.value {
            Json::String(text) => Timestamp::parse(text),
            Json::Number(digits) => digits.parse().ok().and_then(Timestamp::from_seconds),
            _ => None,
        };
        let wanted = "must be RFC 3339, YYYY-MM-DD HH:MM:SS in UTC, or whole seconds since 1970";
        parsed.ok_or_else(|| invalid("envelope.meta.timestamp", wanted))
    }

    fn event_id(&self, account: &AccountId, object: &ObjectName, entity: &EntityId, action: Action) -> Taken<EventId> {
        let own = self.node.get("id").and_then(Node::as_str);
        if let Some(own) = own.filter(|id| Uuid::try_parse(id).is_ok() && *id != entity.as_str()) {
            return own.parse().map_err(|error| invalid("envelope.meta.id", error));
        }
        let time = self.finest_time().ok_or_else(|| self.missing("timestamp"))?;
        let mut hash = Sha256::new();
        for part in [account.as_str(), object.as_str(), entity.as_str(), action.as_str(), time.raw] {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        let mut first = [0; 16];
        first.copy_from_slice(&digest[..16]);
        Ok(EventId::from_hash(first))
    }

    fn permitted(&self) -> Taken<Option<Vec<UserId>>> {
        let field = "envelope.meta.permitted_user_ids";
        let Some(node) = self.node.get("permitted_user_ids").filter(|node| !node.is_null()) else {
            return Ok(None);
        };
        let Json::Array(items) = &node.value else {
            return Err(invalid(field, "must be an array of user ids"));
        };
        if items.len() > PERMITTED_USERS_MAX {
            return Err(Rejection::new(
                field,
                RejectionReason::TooLarge,
                format!("more than {PERMITTED_USERS_MAX} users"),
            ));
        }
        items.iter().map(|item| id_of(field, item)).collect::<Taken<Vec<_>>>().map(Some)
    }
}

fn id_of<T: std::str::FromStr<Err = String>>(field: &str, node: &Node<'_>) -> Taken<T> {
    let text = match &node.value {
        Json::Number(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits,
        Json::String(text) => text.as_ref(),
        _ => return Err(invalid(field, "must be an id: a whole number or text")),
    };
    text.parse().map_err(|error| invalid(field, error))
}

/// How an event is stored: versioned JSON that carries the payload's own bytes.
#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    v: u8,
    object: ObjectName,
    action: Action,
    entity_id: EntityId,
    occurred_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_id: Option<UserId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    permitted_user_ids: Option<Vec<UserId>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<Cause>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    swapped: bool,
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    previous: Option<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    meta: Option<&'a RawValue>,
}

impl Event {
    /// The event as it is stored, without its id.
    pub fn to_stored(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&Stored {
            v: 1,
            object: self.object.clone(),
            action: self.action,
            entity_id: self.entity_id.clone(),
            occurred_at: self.occurred_at,
            user_id: self.user_id.clone(),
            permitted_user_ids: self.permitted_user_ids.clone(),
            cause: self.cause.clone(),
            traceparent: self.traceparent.clone(),
            swapped: self.swapped,
            data: serde_json::from_str(&self.data)?,
            previous: self.previous.as_deref().map(serde_json::from_str).transpose()?,
            meta: self.meta.as_deref().map(serde_json::from_str).transpose()?,
        })
    }

    /// Reads an event that was stored.
    pub fn from_stored(id: EventId, bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let stored: Stored<'_> = serde_json::from_slice(bytes)?;
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
            traceparent: stored.traceparent,
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
            traceparent: None,
        }
    }
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
