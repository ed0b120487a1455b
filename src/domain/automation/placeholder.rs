//! Placeholders: what stands between double braces, and the value that an event gives it.

use std::borrow::Cow;

use super::{catalogue::Catalogue, condition::ObjectState};
use crate::domain::{
    event::Event,
    hole::closing_braces,
    id::{AccountId, ExecutionUid, ObjectName},
    json::{self, Json, Node},
    path::{FieldPath, Found, PathStep},
};

/// What placeholders stand for in one execution.
#[derive(Clone, Copy)]
pub struct Scope<'e> {
    /// The event.
    pub event: &'e Event,
    /// The event's data.
    pub data: &'e Node<'e>,
    /// The event's old values.
    pub previous: Option<&'e Node<'e>>,
    /// The account.
    pub account: &'e AccountId,
    /// The automation's display name.
    pub automation_name: &'e str,
    /// The execution.
    pub execution: ExecutionUid,
    /// What options are called.
    pub catalogue: &'e Catalogue,
}

/// A placeholder, such as `deal.title`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placeholder {
    source: Source,
    /// Whether it must stand for something: `{{deal.id!}}`, in paths only.
    is_required: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Data(FieldPath),
    Previous(FieldPath),
    EventId,
    EventAction,
    EventObject,
    EventEntityId,
    EventTime,
    EventUser,
    AccountId,
    AutomationName,
    ExecutionId,
}

/// A placeholder's value.
#[derive(Debug, Clone)]
pub enum Value<'e> {
    /// The path leads nowhere.
    Null,
    /// A value of the event, with its own bytes.
    Json(&'e Node<'e>),
    /// What a path leads to in each element of an array.
    List(Vec<Option<&'e Node<'e>>>),
    /// A text of ours.
    Text(Cow<'e, str>),
}

/// The first words of placeholders that are not those of an object.
pub const ROOTS: [&str; 5] = ["previous", "event", "account", "automation", "execution"];

/// What begins a placeholder of one of [`ROOTS`], also where the object has the same name.
const OWN: char = '$';

/// What ends a placeholder that must stand for something.
const REQUIRED: char = '!';

impl Placeholder {
    /// Reads what stands between the braces. The error has the byte at fault.
    pub fn parse(text: &str, object: &ObjectName) -> Result<Self, (usize, String)> {
        let inner = text.trim();
        let indent = text.len() - text.trim_start().len();
        let (inner, is_required) = match inner.strip_suffix(REQUIRED) {
            Some(rest) => (rest.trim_end(), true),
            None => (inner, false),
        };
        let (path, is_own) = match inner.strip_prefix(OWN) {
            Some(rest) => (rest, true),
            None => (inner, false),
        };
        let indent = indent + inner.len() - path.len();
        let path = FieldPath::parse(path).map_err(|(at, message)| (at + indent, message))?;
        let source = source(&path, object, is_own).map_err(|message| (indent, message))?;
        Ok(Self { source, is_required })
    }

    /// The field of the object that it stands for.
    pub fn field(&self) -> Option<&FieldPath> {
        match &self.source {
            Source::Data(path) | Source::Previous(path) => Some(path),
            _ => None,
        }
    }

    /// Whether it must stand for something.
    pub fn is_required(&self) -> bool {
        self.is_required
    }

    /// What it stands for.
    pub fn value<'e>(&self, scope: Scope<'e>) -> Value<'e> {
        let event = scope.event;
        let text = |text: &'e str| Value::Text(Cow::Borrowed(text));
        match &self.source {
            Source::Data(path) => value_of(path, scope.data, scope),
            Source::Previous(path) => scope.previous.map_or(Value::Null, |previous| value_of(path, previous, scope)),
            Source::EventId => text(event.id.as_str()),
            Source::EventAction => Value::Text(Cow::Borrowed(event.action.as_str())),
            Source::EventObject => text(event.object.as_str()),
            Source::EventEntityId => text(event.entity_id.as_str()),
            Source::EventTime => Value::Text(Cow::Owned(event.occurred_at.to_rfc3339())),
            Source::EventUser => event.user_id.as_ref().map_or(Value::Null, |user| text(user.as_str())),
            Source::AccountId => text(scope.account.as_str()),
            Source::AutomationName => text(scope.automation_name),
            Source::ExecutionId => Value::Text(Cow::Owned(scope.execution.to_string())),
        }
    }
}

/// What a path stands for. Where the object has the name of one of [`ROOTS`], it is meant, unless our own is asked for.
fn source(path: &FieldPath, object: &ObjectName, is_own: bool) -> Result<Source, String> {
    let (root, rest) = path.split_root();
    if root == object.as_str() && !is_own {
        return Ok(Source::Data(rest));
    }
    let member = match rest.steps() {
        [PathStep::Key(member)] => member.as_str(),
        _ => "",
    };
    Ok(match (root, member) {
        ("previous", _) => Source::Previous(rest),
        ("event", "id") => Source::EventId,
        ("event", "action") => Source::EventAction,
        ("event", "object") => Source::EventObject,
        ("event", "entity_id") => Source::EventEntityId,
        ("event", "occurred_at") => Source::EventTime,
        ("event", "user_id") => Source::EventUser,
        ("account", "id") => Source::AccountId,
        ("automation", "name") => Source::AutomationName,
        ("execution", "id") => Source::ExecutionId,
        ("event", _) => return Err("event has id, action, object, entity_id, occurred_at and user_id".into()),
        ("account", _) => return Err("account has id".into()),
        ("automation", _) => return Err("automation has name".into()),
        ("execution", _) => return Err("execution has id".into()),
        _ => {
            let start = if is_own { String::new() } else { format!("{object} (the trigger's object), ") };
            let roots = "previous, event, account, automation or execution";
            return Err(format!("{root:?} is not known here: start with {start}{roots}"));
        }
    })
}

/// What a path leads to in data; where that is nothing, the label of an option that it asks for.
fn value_of<'e>(path: &FieldPath, data: &'e Node<'e>, scope: Scope<'e>) -> Value<'e> {
    match path.find(data) {
        Found::One(node) => Value::Json(node),
        Found::Each(found) if found.is_empty() || found.iter().any(Option::is_some) => Value::List(found),
        found => match scope.catalogue.label(scope.event.object.as_str(), path, data) {
            Some(label) => Value::Text(Cow::Owned(label)),
            None => match found {
                Found::Each(found) => Value::List(found),
                _ => Value::Null,
            },
        },
    }
}

impl Value<'_> {
    /// As text: a string's content, any other value as its JSON, null as nothing.
    pub fn as_text(&self) -> Cow<'_, str> {
        match self {
            Value::Null => Cow::Borrowed(""),
            Value::Text(text) => Cow::Borrowed(text),
            Value::Json(node) => match &node.value {
                Json::Null => Cow::Borrowed(""),
                Json::String(text) => Cow::Borrowed(text),
                _ => Cow::Borrowed(node.raw),
            },
            Value::List(_) => {
                let mut text = String::new();
                self.typed_into(&mut text);
                Cow::Owned(text)
            }
        }
    }

    /// Whether it stands for nothing: null, or an empty text, list or object.
    pub fn is_empty(&self) -> bool {
        let is_nothing = |node: &Node<'_>| match &node.value {
            Json::Null => true,
            Json::String(text) => text.is_empty(),
            Json::Array(items) => items.is_empty(),
            Json::Object(members) => members.is_empty(),
            Json::Bool(_) | Json::Number(_) => false,
        };
        match self {
            Value::Null => true,
            Value::Text(text) => text.is_empty(),
            // Of several values, one is enough.
            Value::List(items) => items.iter().flatten().all(|node| is_nothing(node)),
            Value::Json(node) => is_nothing(node),
        }
    }

    pub(super) fn typed_into(&self, out: &mut String) {
        match self {
            Value::Null => out.push_str("null"),
            Value::Json(node) => out.push_str(node.raw),
            Value::Text(text) => quoted_into(text, out),
            Value::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { ", " });
                    out.push_str(item.map_or("null", |node| node.raw));
                }
                out.push(']');
            }
        }
    }
}

pub(super) fn quoted_into(text: &str, out: &mut String) {
    out.push('"');
    json::escape_into(text, out);
    out.push('"');
}

/// A part of a text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As written.
    Literal(String),
    /// A placeholder's value.
    Hole(Placeholder),
}

/// Reads a text with placeholders. The error has the column at fault.
pub fn parse_text(text: &str, object: &ObjectName) -> Result<Vec<Part>, String> {
    let at = |offset: usize, message: String| format!("{message} at column {}", text[..offset].chars().count() + 1);
    let mut parts = Vec::new();
    let mut done = 0;
    while let Some(open) = text[done..].find("{{") {
        let start = done + open;
        if start > done {
            parts.push(Part::Literal(text[done..start].to_owned()));
        }
        let inner = start + 2;
        // Placeholders of texts may be laid out over lines, those of JSON may not.
        let end = closing_braces(&text[inner..], false).or_else(|| text[inner..].find("}}"));
        let end = end.ok_or_else(|| at(start, "the placeholder is not closed with }}".to_owned()))?;
        let hole = Placeholder::parse(&text[inner..inner + end], object)
            .map_err(|(offset, message)| at(floor(text, inner + offset), message))?;
        parts.push(Part::Hole(hole));
        done = inner + end + 2;
    }
    if done < text.len() {
        parts.push(Part::Literal(text[done..].to_owned()));
    }
    Ok(parts)
}

pub(super) fn floor(text: &str, mut offset: usize) -> usize {
    offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// The trees of an event's payload.
pub struct Trees<'e> {
    /// The data.
    pub data: Node<'e>,
    /// The old values.
    pub previous: Option<Node<'e>>,
}

impl<'e> Trees<'e> {
    /// Reads an event's payload; it was checked when the event came in.
    pub fn of(event: &'e Event) -> Result<Self, json::JsonError> {
        let data = json::parse(&event.data)?;
        let previous = event.previous.as_deref().map(json::parse).transpose()?;
        Ok(Self { data, previous })
    }

    /// What conditions look at.
    pub fn state<'s>(&'s self, event: &'s Event, catalogue: &'s Catalogue) -> ObjectState<'s> {
        let (action, object) = (event.action, event.object.as_str());
        ObjectState { action, data: &self.data, previous: self.previous.as_ref(), object, catalogue }
    }
}
