//! Pipedrive's envelopes, in all the forms that its guides show: version 2 (`{meta, data, previous}`) and version 1
//! (`{v, meta, current, previous, event}`).

use std::fmt;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::event::{Action, Event, PERMITTED_USERS_MAX, Rejection, RejectionReason, Taken, payload_text};
use crate::domain::{
    decimal::Decimal,
    id::{AccountId, EntityId, EventId, ObjectName, UserId},
    json::{self, Json, Node},
    timestamp::Timestamp,
};

/// How much of a version that is none a message shows.
const VERSION_SHOWN_CHARS_MAX: usize = 40;
/// What `meta` says of an event beside its object, action and time.
const OF_THE_EVENT: &[&str] = &[
    "user_id",
    "merged_to_id",
    "merged_from_id",
    "permitted_user_ids",
    "change_source",
    "is_bulk_edit",
    "is_bulk_update",
];

/// Reads a Pipedrive envelope, version 2 or 1.
pub fn parse_envelope(account: &AccountId, bytes: &[u8]) -> Taken<Event> {
    let text = payload_text("envelope", bytes)?;
    let members =
        json::members(text).map_err(|error| Rejection::new("envelope", RejectionReason::InvalidJson, error))?;
    let member = |name: &str| members.items.iter().find(|(key, _)| key == name).map(|(_, raw)| *raw);
    let meta_raw = member("meta").ok_or_else(|| invalid("envelope.meta", "is missing"))?;
    let meta =
        json::parse(meta_raw).map_err(|error| Rejection::new("envelope.meta", RejectionReason::InvalidJson, error))?;
    let version = version(member("v"), &meta)?;
    let meta = Meta { node: &meta, version };
    meta.check_company(account)?;
    let entity_id = meta.entity_id()?;
    let object = meta.object()?;
    let action = meta.action()?;
    let state = match version {
        Version::One => "current",
        Version::Two => "data",
    };
    let now = object_or_null(version, state, member(state))?;
    let before = object_or_null(version, "previous", member("previous"))?;
    let swapped = action == Action::Delete && now.is_none();
    let (data, previous) = if swapped { (before, None) } else { (now, before) };
    let data = data.ok_or_else(|| invalid(format!("envelope.{state}"), "must be one JSON object"))?;
    let kept = |raw: &str| if members.is_spaced { json::compact(raw) } else { raw.to_owned() };
    Ok(Event {
        id: meta.event_id(account, &object, &entity_id, [data, previous.unwrap_or_default()])?,
        object,
        action,
        entity_id,
        occurred_at: meta.time()?,
        user_id: meta.id("user_id")?,
        data: kept(data),
        previous: previous.map(kept),
        meta: Some(kept(meta_raw)),
        swapped,
        permitted_user_ids: meta.permitted()?,
        cause: None,
        trace: None,
    })
}

/// The versions of envelopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// The version that an envelope names, as a number or as text; where it names none, the one whose words its `meta` uses.
fn version(v: Option<&str>, meta: &Node<'_>) -> Taken<Version> {
    let of_meta = |key: &str| meta.get(key).map(|node| node.raw);
    for (field, given) in
        [("envelope.v", v), ("envelope.meta.v", of_meta("v")), ("envelope.meta.version", of_meta("version"))]
    {
        let Some(given) = given.map(|raw| raw.trim_matches('"')).filter(|given| *given != "null") else { continue };
        let is = |version: &str| Decimal::parse(given).is_some_and(|given| Decimal::parse(version) == Some(given));
        return match () {
            () if is("1") => Ok(Version::One),
            () if is("2") => Ok(Version::Two),
            () => {
                let shown: String = given.chars().take(VERSION_SHOWN_CHARS_MAX).collect();
                Err(invalid(field, format!("is {shown:?}: envelopes of the versions 1.0 and 2.0 are known")))
            }
        };
    }
    let has_words_of_one = meta.get("object").is_some() && meta.get("entity").is_none();
    Ok(if has_words_of_one { Version::One } else { Version::Two })
}

fn invalid(field: impl Into<String>, message: impl fmt::Display) -> Rejection {
    Rejection::new(field, RejectionReason::InvalidField, message)
}

/// An object's state. In version 1 that of a user is the one element of an array.
fn object_or_null<'a>(version: Version, name: &str, raw: Option<&'a str>) -> Taken<Option<&'a str>> {
    let field = || format!("envelope.{name}");
    match raw {
        None | Some("null") => Ok(None),
        Some(raw) if raw.starts_with('{') => Ok(Some(raw)),
        Some(raw) if version == Version::One && raw.starts_with('[') => {
            let list =
                json::parse(raw).map_err(|error| Rejection::new(field(), RejectionReason::InvalidJson, error))?;
            let Json::Array(items) = &list.value else { return Ok(None) };
            match items.as_slice() {
                [] => Ok(None),
                [one] => object_or_null(Version::Two, &format!("{name}[0]"), Some(one.raw)),
                many => Err(invalid(field(), format!("has {} objects: send an envelope for each", many.len()))),
            }
        }
        Some(_) => Err(invalid(field(), "must be one JSON object or null")),
    }
}

struct Meta<'n> {
    node: &'n Node<'n>,
    version: Version,
}

impl<'n> Meta<'n> {
    /// What it says under a key; null is nothing.
    fn get(&self, key: &str) -> Option<&'n Node<'n>> {
        self.node.get(key).filter(|node| !node.is_null())
    }

    fn missing(&self, key: &str) -> Rejection {
        invalid(format!("envelope.meta.{key}"), "is missing")
    }

    /// An id given as a whole number or as text; absent and null are none.
    fn id<T: std::str::FromStr<Err = String>>(&self, key: &str) -> Taken<Option<T>> {
        self.get(key).map(|node| id_of(&format!("envelope.meta.{key}"), node)).transpose()
    }

    fn entity_id(&self) -> Taken<EntityId> {
        let key = match self.version {
            Version::One => "id",
            Version::Two => "entity_id",
        };
        let node = self.get(key).ok_or_else(|| self.missing(key))?;
        let node = match (self.version, &node.value) {
            // As the state of a user is one.
            (Version::One, Json::Array(items)) if items.len() == 1 => &items[0],
            _ => node,
        };
        id_of(&format!("envelope.meta.{key}"), node)
    }

    fn object(&self) -> Taken<ObjectName> {
        let key = match self.version {
            Version::One => "object",
            Version::Two => "entity",
        };
        let text = self.get(key).and_then(Node::as_str).ok_or_else(|| self.missing(key))?;
        in_snake_case(text).parse().map_err(|error| invalid(format!("envelope.meta.{key}"), error))
    }

    fn check_company(&self, account: &AccountId) -> Taken<()> {
        match self.id::<EntityId>("company_id")? {
            Some(company) if company.as_str() != account.as_str() => Err(Rejection::new(
                "envelope.meta.company_id",
                RejectionReason::AccountMismatch,
                format!("is {company}, but the frame is for account {account}: send it in a frame of its own account"),
            )),
            _ => Ok(()),
        }
    }

    fn word(&self) -> Taken<&'n str> {
        self.get("action").and_then(Node::as_str).ok_or_else(|| self.missing("action"))
    }

    fn action(&self) -> Taken<Action> {
        match (self.version, self.word()?) {
            (Version::Two, "create") | (Version::One, "added") => Ok(Action::Create),
            (Version::Two, "change") | (Version::One, "updated" | "merged") => Ok(Action::Change),
            (Version::Two, "delete") | (Version::One, "deleted") => Ok(Action::Delete),
            (Version::Two, _) => Err(invalid("envelope.meta.action", "must be create, change or delete")),
            (Version::One, _) => Err(invalid("envelope.meta.action", "must be added, updated, merged or deleted")),
        }
    }

    /// Its time in microseconds, where it has one.
    fn micro(&self) -> Option<Timestamp> {
        let micro: i64 = self.get("timestamp_micro")?.as_id()?.parse().ok()?;
        let second = Timestamp::from_seconds(micro.div_euclid(1_000_000))?;
        Some(Timestamp(second.0 + micro.rem_euclid(1_000_000)))
    }

    /// Whether its time tells events apart. Microseconds that are whole seconds are seconds.
    fn has_fine_time(&self) -> bool {
        self.micro().is_some_and(|micro| micro.0 % 1_000_000 != 0)
    }

    fn time(&self) -> Taken<Timestamp> {
        if let Some(micro) = self.micro() {
            return Ok(micro);
        }
        let node = self.get("timestamp").ok_or_else(|| self.missing("timestamp"))?;
        let parsed = match &node.value {
            Json::String(text) => Timestamp::parse(text).or_else(|| Timestamp::parse_seconds(text)),
            Json::Number(digits) => Timestamp::parse_seconds(digits),
            _ => None,
        };
        let wanted = "must be RFC 3339, YYYY-MM-DD HH:MM:SS in UTC, or seconds since 1970";
        parsed.ok_or_else(|| invalid("envelope.meta.timestamp", wanted))
    }

    /// The event's own id, or else a hash of what it is about. Two events that differ are never taken for one: where no
    /// time in microseconds tells them apart, their states do, and what `meta` says of the event. What it says of the
    /// delivery (`attempt`, `webhook_id`, `correlation_id`) differs between copies of one event.
    fn event_id(
        &self,
        account: &AccountId,
        object: &ObjectName,
        entity: &EntityId,
        states: [&str; 2],
    ) -> Taken<EventId> {
        let own = self.get("id").and_then(Node::as_str);
        if let Some(own) = own.filter(|id| Uuid::try_parse(id).is_ok() && *id != entity.as_str()) {
            return own.parse().map_err(|error| invalid("envelope.meta.id", error));
        }
        let finest = self.get("timestamp_micro").or_else(|| self.get("timestamp"));
        let finest = finest.ok_or_else(|| self.missing("timestamp"))?;
        let action = match self.word()? {
            merged @ "merged" => merged,
            _ => self.action()?.as_str(),
        };
        let mut parts = vec![account.as_str(), object.as_str(), entity.as_str(), action, finest.raw];
        if !self.has_fine_time() {
            parts.extend(states);
            for said in OF_THE_EVENT {
                // A name before its value, so that one is never taken for another.
                parts.extend(self.get(said).into_iter().flat_map(|node| [*said, node.raw]));
            }
        }
        let mut hash = Sha256::new();
        for part in parts {
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
        let Some(node) = self.get("permitted_user_ids") else {
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

/// `activityType` as objects are named here: `activity_type`.
fn in_snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 2);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}
