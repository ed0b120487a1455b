//! What is said of an event itself, beside the state of its object.

use std::borrow::Cow;

use super::value::Value;
use crate::domain::{event::Event, json, path::PathStep};

/// The first word of a path to one of them.
pub const EVENT: &str = "event";

/// What is said of an event itself. The last four are what a platform's envelope says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the language documents each")]
pub enum EventField {
    Id,
    Action,
    Object,
    EntityId,
    OccurredAt,
    UserId,
    ChangeSource,
    IsBulkEdit,
    MergedToId,
    MergedFromId,
}

/// Of what type it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum EventFieldKind {
    Id,
    Text,
    Time,
    Boolean,
}

/// All of them, with the names that they have behind `event.`.
const FIELDS: [(&str, EventField, EventFieldKind); 10] = [
    ("id", EventField::Id, EventFieldKind::Id),
    ("action", EventField::Action, EventFieldKind::Text),
    ("object", EventField::Object, EventFieldKind::Text),
    ("entity_id", EventField::EntityId, EventFieldKind::Id),
    ("occurred_at", EventField::OccurredAt, EventFieldKind::Time),
    ("user_id", EventField::UserId, EventFieldKind::Id),
    ("change_source", EventField::ChangeSource, EventFieldKind::Text),
    ("is_bulk_edit", EventField::IsBulkEdit, EventFieldKind::Boolean),
    ("merged_to_id", EventField::MergedToId, EventFieldKind::Id),
    ("merged_from_id", EventField::MergedFromId, EventFieldKind::Id),
];

impl EventField {
    /// The one that the steps behind `event` name.
    pub fn of(steps: &[PathStep]) -> Option<Self> {
        let [PathStep::Key(name)] = steps else { return None };
        FIELDS.iter().find(|(known, ..)| known == name).map(|(_, field, _)| *field)
    }

    /// The names of all, to be shown.
    pub fn names() -> String {
        FIELDS.map(|(name, ..)| name).join(", ")
    }

    /// Its name behind `event.`.
    pub fn name(self) -> &'static str {
        self.entry().0
    }

    /// Of what type it is.
    pub fn kind(self) -> EventFieldKind {
        self.entry().2
    }

    fn entry(self) -> (&'static str, EventField, EventFieldKind) {
        FIELDS.into_iter().find(|(_, field, _)| *field == self).unwrap_or(FIELDS[0])
    }

    /// What it is of an event.
    pub fn value(self, event: &Event) -> Value<'_> {
        let text = |text| Value::Text(Cow::Borrowed(text));
        match self {
            EventField::Id => text(event.id.as_str()),
            EventField::Action => text(event.action.as_str()),
            EventField::Object => text(event.object.as_str()),
            EventField::EntityId => text(event.entity_id.as_str()),
            EventField::OccurredAt => Value::Text(Cow::Owned(event.occurred_at.to_rfc3339())),
            EventField::UserId => event.user_id.as_ref().map_or(Value::Null, |user| text(user.as_str())),
            EventField::ChangeSource => told(event, &["change_source"], text_of),
            // Version 1 has another word for it.
            EventField::IsBulkEdit => told(event, &["is_bulk_edit", "is_bulk_update"], boolean_of),
            EventField::MergedToId => told(event, &["merged_to_id"], text_of),
            EventField::MergedFromId => told(event, &["merged_from_id"], text_of),
        }
    }
}

/// What the envelope says under one of some names.
fn told<'e>(event: &'e Event, names: &[&str], read: fn(&json::Node<'_>) -> Value<'e>) -> Value<'e> {
    // What is stored was checked; where it is no JSON all the same, it says nothing.
    let meta = event.meta.as_deref().and_then(|meta| json::parse(meta).ok());
    let found = meta.as_ref().and_then(|meta| names.iter().find_map(|name| meta.get(name)));
    found.map_or(Value::Null, read)
}

/// A text, or an id that is written as a number.
fn text_of<'e>(node: &json::Node<'_>) -> Value<'e> {
    node.as_id().map_or(Value::Null, |text| Value::Text(Cow::Owned(text.to_owned())))
}

fn boolean_of<'e>(node: &json::Node<'_>) -> Value<'e> {
    match node.value {
        json::Json::Bool(value) => Value::Boolean(value),
        _ => Value::Null,
    }
}
