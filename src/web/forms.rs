//! The forms in which platforms have events: Pipedrive's envelopes, CloudEvents 1.0 and the service's own, alone or in a list.

use std::{borrow::Cow, fmt};

use axum::body::Bytes;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderMap;
use serde::{
    Deserialize,
    de::{self, Deserializer, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use tonic::Status;

use super::content::media_type;
use crate::{
    domain::timestamp::Timestamp,
    grpc::{invalid, malformed, pb, timestamp},
};

/// How many events one request has at most.
const EVENTS_MAX: usize = 1_000;
/// The version of CloudEvents that is understood.
const CLOUD_EVENTS: &str = "1.0";
/// What the headers of a CloudEvent in its binary form begin with.
const CLOUD_HEADER: &str = "ce-";

/// What is wrong with one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The field.
    pub field: String,
    /// The stable reason, as over gRPC.
    pub reason: &'static str,
    /// What is wrong, and how to mend it.
    pub message: String,
}

type Read = Result<pb::EventInput, Fault>;

/// Reads a body. What is no JSON, or in no form at all, is refused whole.
pub fn read(headers: &HeaderMap, body: &Bytes) -> Result<Vec<Read>, Status> {
    if headers.contains_key("ce-specversion") {
        return Ok(vec![binary(headers, body).map_err(|fault| fault.at(0))]);
    }
    let kind = media_type(headers).unwrap_or_default();
    let of_one: fn(&RawValue) -> Result<pb::EventInput, Wrong> = match kind.as_str() {
        "application/cloudevents+json" | "application/cloudevents-batch+json" => structured,
        "application/json" => of_its_form,
        _ => {
            let message = "must be application/json, application/cloudevents+json or application/cloudevents-batch+json; a \
                           CloudEvent in its binary form has a header ce-specversion";
            return Err(invalid("content-type", message));
        }
    };
    let OneOrMany(items) =
        serde_json::from_slice(body).map_err(|error| malformed(&format!("it is no JSON: {error}")))?;
    if items.is_empty() || items.len() > EVENTS_MAX {
        return Err(invalid("events", format!("must have 1 to {EVENTS_MAX} events")));
    }
    let read = |(at, item): (usize, &&RawValue)| of_one(item).map_err(|wrong| wrong.at(at));
    Ok(items.iter().enumerate().map(read).collect())
}

/// One value, or the values of a list.
struct OneOrMany<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for OneOrMany<'de> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let whole: &'de RawValue = Deserialize::deserialize(reader)?;
        if !whole.get().starts_with('[') {
            return Ok(Self(vec![whole]));
        }
        let mut reader = serde_json::Deserializer::from_str(whole.get());
        reader.deserialize_seq(Many).map(Self).map_err(de::Error::custom)
    }
}

struct Many;

impl<'de> Visitor<'de> for Many {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
            if items.len() > EVENTS_MAX {
                return Err(de::Error::custom(format!("more than {EVENTS_MAX} events: send them in several requests")));
            }
        }
        Ok(items)
    }
}

/// What is wrong, before it is said with which event.
#[derive(Debug)]
struct Wrong {
    field: String,
    message: String,
}

impl Wrong {
    fn new(field: &str, message: impl Into<String>) -> Self {
        Self { field: field.to_owned(), message: message.into() }
    }

    fn at(self, place: usize) -> Fault {
        let field = if self.field.is_empty() { String::new() } else { format!(".{}", self.field) };
        Fault { field: format!("events[{place}]{field}"), reason: "INVALID_FIELD", message: self.message }
    }
}

/// Which of the forms an object is in.
#[derive(Deserialize)]
struct Marks<'a> {
    #[serde(borrow)]
    specversion: Option<&'a RawValue>,
    #[serde(borrow)]
    meta: Option<&'a RawValue>,
}

fn of_its_form(item: &RawValue) -> Result<pb::EventInput, Wrong> {
    let marks: Marks<'_> =
        serde_json::from_str(item.get()).map_err(|error| Wrong::new("", format!("is no event: {error}")))?;
    match (marks.specversion, marks.meta) {
        (Some(_), _) => structured(item),
        (None, Some(_)) => {
            let envelope = Bytes::copy_from_slice(item.get().as_bytes());
            Ok(pb::EventInput { kind: Some(pb::event_input::Kind::Envelope(envelope)), ..Default::default() })
        }
        (None, None) => native(item),
    }
}

/// An event in the service's own form, its state and old values as they are.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Native<'a> {
    #[serde(alias = "eventId")]
    event_id: String,
    object: String,
    action: String,
    #[serde(alias = "entityId")]
    entity_id: String,
    #[serde(alias = "occurTime")]
    occur_time: Option<String>,
    #[serde(default, alias = "userId")]
    user_id: String,
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow)]
    previous: Option<&'a RawValue>,
    #[serde(alias = "permittedUserIds")]
    permitted_user_ids: Option<Vec<String>>,
    #[serde(default)]
    traceparent: String,
    #[serde(default)]
    tracestate: String,
    #[serde(default, alias = "causeExecutionId")]
    cause_execution_id: String,
    #[serde(default, alias = "causationDepth")]
    causation_depth: u32,
}

fn native(item: &RawValue) -> Result<pb::EventInput, Wrong> {
    let given: Native<'_> = serde_json::from_str(item.get()).map_err(|error| {
        let forms = "it has neither `meta`, as Pipedrive's envelopes have, nor `specversion`, as CloudEvents have";
        Wrong::new("", format!("is no event of ours, and {forms}: {error}"))
    })?;
    let event = pb::Event {
        event_id: given.event_id,
        object: given.object,
        action: action(&given.action).ok_or_else(|| Wrong::new("action", ACTIONS))?,
        entity_id: given.entity_id,
        occur_time: Some(time("occur_time", given.occur_time.as_deref())?),
        user_id: given.user_id,
        data: raw(given.data),
        previous: given.previous.map(raw).unwrap_or_default(),
        permitted_users: given.permitted_user_ids.map(|user_ids| pb::PermittedUsers { user_ids }),
        ..pb::Event::default()
    };
    Ok(pb::EventInput {
        kind: Some(pb::event_input::Kind::Event(event)),
        traceparent: given.traceparent,
        tracestate: given.tracestate,
        cause_execution_id: given.cause_execution_id,
        causation_depth: given.causation_depth,
    })
}

/// A CloudEvent, as far as it says something here. Other attributes are its senders' own.
#[derive(Deserialize, Default)]
struct CloudEvent<'a> {
    #[serde(borrow)]
    specversion: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    source: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    subject: Option<Cow<'a, str>>,
    #[serde(borrow)]
    time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    datacontenttype: Option<Cow<'a, str>>,
    #[serde(borrow)]
    userid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    previous: Option<Cow<'a, str>>,
    #[serde(borrow)]
    traceparent: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tracestate: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    data_base64: Option<Cow<'a, str>>,
}

fn structured(item: &RawValue) -> Result<pb::EventInput, Wrong> {
    let event: CloudEvent<'_> =
        serde_json::from_str(item.get()).map_err(|error| Wrong::new("", format!("is no CloudEvent: {error}")))?;
    let data = match (event.data, &event.data_base64) {
        (Some(_), Some(_)) => return Err(Wrong::new("data_base64", "must not be given beside data")),
        (Some(data), None) => raw(data),
        (None, Some(text)) => {
            let bytes = STANDARD.decode(text.as_bytes());
            bytes.map_err(|error| Wrong::new("data_base64", format!("is no base64: {error}")))?.into()
        }
        (None, None) => Bytes::new(),
    };
    cloud_event(&event, data)
}

/// A CloudEvent whose attributes are headers, and whose body is its data.
fn binary(headers: &HeaderMap, body: &Bytes) -> Result<pb::EventInput, BinaryFault> {
    let attribute = |name: &str| -> Result<Option<Cow<'_, str>>, Wrong> {
        let Some(value) = headers.get(format!("{CLOUD_HEADER}{name}")) else { return Ok(None) };
        let decoded = percent_encoding::percent_decode(value.as_bytes()).decode_utf8();
        decoded.map(Some).map_err(|_| Wrong::new(name, "must be text in UTF-8"))
    };
    let read = || {
        let event = CloudEvent {
            specversion: attribute("specversion")?,
            id: attribute("id")?,
            source: attribute("source")?,
            kind: attribute("type")?,
            subject: attribute("subject")?,
            time: attribute("time")?,
            datacontenttype: media_type(headers).map(Cow::Owned),
            userid: attribute("userid")?,
            previous: attribute("previous")?,
            traceparent: attribute("traceparent")?,
            tracestate: attribute("tracestate")?,
            ..CloudEvent::default()
        };
        cloud_event(&event, body.clone())
    };
    read().map_err(BinaryFault)
}

/// What is wrong with an event that is a whole request.
struct BinaryFault(Wrong);

impl BinaryFault {
    fn at(self, place: usize) -> Fault {
        self.0.at(place)
    }
}

fn cloud_event(given: &CloudEvent<'_>, data: Bytes) -> Result<pb::EventInput, Wrong> {
    let required = |name: &str, value: &Option<Cow<'_, str>>| match value.as_deref() {
        None | Some("") => Err(Wrong::new(name, "is required of a CloudEvent")),
        Some(text) => Ok(text.to_owned()),
    };
    let version = required("specversion", &given.specversion)?;
    if version != CLOUD_EVENTS {
        return Err(Wrong::new("specversion", format!("is {version:?}: only {CLOUD_EVENTS} is understood")));
    }
    let event_id = required("id", &given.id)?;
    required("source", &given.source)?;
    let kind = required("type", &given.kind)?;
    let mut steps = kind.rsplit('.');
    let (action_word, object) = (steps.next().unwrap_or_default(), steps.next().unwrap_or_default());
    let action = action(action_word).filter(|_| !object.is_empty());
    let action = action.ok_or_else(|| {
        Wrong::new("type", format!("is {kind:?}: it must end with the object and what happened, such as deal.change"))
    })?;
    let is_json = given.datacontenttype.as_deref().is_none_or(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        kind == "application/json" || kind.ends_with("+json")
    });
    if !is_json {
        return Err(Wrong::new("datacontenttype", "must be application/json: the data is the object's state"));
    }
    let optional = |value: &Option<Cow<'_, str>>| value.as_deref().unwrap_or_default().to_owned();
    let event = pb::Event {
        event_id,
        object: object.to_owned(),
        action,
        entity_id: required("subject", &given.subject)?,
        occur_time: Some(time("time", given.time.as_deref())?),
        user_id: optional(&given.userid),
        data,
        previous: optional(&given.previous).into(),
        ..pb::Event::default()
    };
    Ok(pb::EventInput {
        kind: Some(pb::event_input::Kind::Event(event)),
        traceparent: optional(&given.traceparent),
        tracestate: optional(&given.tracestate),
        ..pb::EventInput::default()
    })
}

const ACTIONS: &str = "must be create, change or delete";

fn action(word: &str) -> Option<i32> {
    let action = match word.trim_start_matches("EVENT_ACTION_").to_ascii_lowercase().as_str() {
        "create" => pb::EventAction::Create,
        "change" => pb::EventAction::Change,
        "delete" => pb::EventAction::Delete,
        _ => return None,
    };
    Some(action.into())
}

/// A time as RFC 3339 has it; now where none is given.
fn time(field: &str, text: Option<&str>) -> Result<prost_types::Timestamp, Wrong> {
    let at = match text {
        None => crate::clock::now(),
        Some(text) => Timestamp::parse(text)
            .ok_or_else(|| Wrong::new(field, "must be a time in RFC 3339, such as 2026-01-31T09:30:00Z"))?,
    };
    Ok(timestamp(at))
}

fn raw(value: &RawValue) -> Bytes {
    Bytes::copy_from_slice(value.get().as_bytes())
}

#[cfg(test)]
#[path = "tests/forms.rs"]
mod tests;
