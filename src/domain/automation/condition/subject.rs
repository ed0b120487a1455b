//! What a clause looks at: a field of the object, or one of the event itself.

use std::{borrow::Cow, fmt};

use super::ObjectState;
use crate::domain::{
    automation::{
        catalogue::LABEL,
        event_field::{EVENT, EventField, EventFieldKind},
        value::Value,
    },
    event::Action,
    json::{Json, Node},
    path::{FieldPath, PathStep},
};

/// What begins a path of the event itself in any case, as in placeholders.
const OWN: char = '$';

/// What a path leads to: values of the event, or what was made of them.
pub type Reached<'e> = Vec<Found<'e>>;

/// One of the values that a path leads to; none where it leads nowhere.
pub type Found<'e> = Option<Cow<'e, Node<'e>>>;

/// Whether a field is meant as it is, or as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// As it is; on delete as it was last.
    Now,
    /// As it was before the event: a field of which no old value is told has not changed.
    Before,
}

/// What a clause looks at.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A field of the object.
    Data {
        /// Its path.
        path: FieldPath,
        /// The field whose option's label is asked for, where the path ends so.
        labelled: Option<FieldPath>,
    },
    /// Something of the event itself.
    Event(EventField),
}

/// The field of the event itself that a path leads to; none where it is a path of the object.
pub fn event_field(text: &str) -> Option<EventField> {
    let path = FieldPath::parse(text.strip_prefix(OWN).unwrap_or(text)).ok()?;
    let is_quoted = text.trim_start_matches(OWN).starts_with('[');
    let (root, rest) = path.split_root();
    EventField::of(rest.steps()).filter(|_| root == EVENT && !is_quoted)
}

impl Subject {
    /// Reads a path; `of_event` is whether `event.…` is of the event itself. The error says what is wrong and where.
    pub fn parse(text: &str, of_event: bool) -> Result<Self, String> {
        if let Some(field) = event_field(text).filter(|_| of_event) {
            return Ok(Subject::Event(field));
        }
        if text.starts_with(OWN) {
            return Err(format!("{text:?} is nothing of the event: $event has {}", EventField::names()));
        }
        let path = FieldPath::parse(text).map_err(|(offset, message)| format!("{message} at column {}", offset + 1))?;
        Ok(Subject::Data { labelled: path.without_last(LABEL), path })
    }

    /// The path, where it is a field of the object.
    pub fn path(&self) -> Option<&FieldPath> {
        match self {
            Subject::Data { path, .. } => Some(path),
            Subject::Event(_) => None,
        }
    }

    /// Whether it is an id of the event itself, which platforms write as a number or as text.
    pub fn is_event_id(&self) -> bool {
        matches!(self, Subject::Event(field) if field.kind() == EventFieldKind::Id)
    }

    /// What it is, or was.
    pub fn reach<'e>(&self, side: Side, state: ObjectState<'e>) -> Reached<'e> {
        match side {
            Side::Now => self.now(state),
            Side::Before => self.told(state).unwrap_or_else(|| self.now(state)),
        }
    }

    /// What it is.
    pub fn now<'e>(&self, state: ObjectState<'e>) -> Reached<'e> {
        self.reach_in(state.data, state)
    }

    /// What it was, as far as the event tells.
    pub fn told<'e>(&self, state: ObjectState<'e>) -> Option<Reached<'e>> {
        let Subject::Data { path, labelled } = self else { return None };
        match (state.action(), state.previous) {
            (Action::Create, _) => Some(vec![None]),
            (Action::Change, Some(previous)) => {
                let has_options = |of: &&FieldPath| state.catalogue.has_options(state.object(), of);
                let labelled = labelled.as_ref().filter(has_options);
                let tells = |field: &FieldPath| field.is_told_by(previous, state.data);
                let is_told = tells(path) || labelled.is_some_and(tells);
                is_told.then(|| self.reach_in(previous, state))
            }
            _ => None,
        }
    }

    /// What it leads to; where that is nothing and the label of an option is asked for, the labels of those chosen.
    fn reach_in<'e>(&self, root: &'e Node<'e>, state: ObjectState<'e>) -> Reached<'e> {
        let (path, labelled) = match self {
            Subject::Data { path, labelled } => (path, labelled),
            Subject::Event(field) => return vec![node_of(field.value(state.event))],
        };
        let found = path.reach(root);
        if let Some(labelled) = labelled
            && found.iter().all(Option::is_none)
            && let Some(labels) = state.catalogue.labels(state.object(), labelled, root)
        {
            let label = |text: &'e str| node_of(Value::Text(Cow::Borrowed(text)));
            return if labels.is_empty() { vec![None] } else { labels.into_iter().map(label).collect() };
        }
        found.into_iter().map(|node| node.map(Cow::Borrowed)).collect()
    }
}

/// A value that was made, as a node without a source of its own.
fn node_of(value: Value<'_>) -> Option<Cow<'_, Node<'_>>> {
    let made = |value| Some(Cow::Owned(Node { raw: "", value }));
    match value {
        Value::Text(text) => made(Json::String(text)),
        Value::Boolean(value) => made(Json::Bool(value)),
        _ => None,
    }
}

/// What is shown where something has no size.
const NO_SIZE: &str = "no size";

/// The number of values of a list, or of characters of a text; nothing is 0, and anything else has no size.
pub fn sized<'e>(reached: Reached<'e>) -> Reached<'e> {
    let size = |node: Option<Cow<'e, Node<'e>>>| {
        let count = match node.as_deref().map(|node| &node.value) {
            None | Some(Json::Null) => 0,
            Some(Json::Array(items)) => items.len(),
            Some(Json::String(text)) => text.chars().count(),
            // It has none, which is nothing that anything is.
            Some(_) => return Some(Cow::Owned(Node { raw: NO_SIZE, value: Json::Object(Vec::new()) })),
        };
        Some(Cow::Owned(Node { raw: "", value: Json::Number(Cow::Owned(count.to_string())) }))
    };
    reached.into_iter().map(size).collect()
}

/// Whole numbers as texts, also in lists: of an id it says nothing whether it is written as the one or the other.
pub fn as_ids<'e>(reached: Reached<'e>) -> Reached<'e> {
    let id = |node: &Node<'e>| match &node.value {
        Json::Number(digits) => Node { raw: node.raw, value: Json::String(Cow::Owned(digits.to_string())) },
        _ => node.clone(),
    };
    let converted = |node: Found<'e>| match node.as_deref().map(|node| &node.value) {
        Some(Json::Number(_)) => node.map(|node| Cow::Owned(id(&node))),
        Some(Json::Array(items)) if items.iter().any(|item| matches!(item.value, Json::Number(_))) => {
            let items = items.iter().map(id).collect();
            node.map(|node| Cow::Owned(Node { raw: node.raw, value: Json::Array(items) }))
        }
        _ => node,
    };
    reached.into_iter().map(converted).collect()
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = match self {
            Subject::Data { path, .. } => path,
            Subject::Event(field) => return write!(f, "{EVENT}.{}", field.name()),
        };
        // What would be read as one of the event has its first name in brackets.
        match (event_field(&path.to_string()), path.steps()) {
            (Some(_), [_, PathStep::Key(name)]) => write!(f, "[\"{EVENT}\"].{name}"),
            _ => path.fmt(f),
        }
    }
}
