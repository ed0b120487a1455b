//! Placeholders, and the texts and JSON bodies that have them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{
    catalogue::Catalogue,
    event::{Action, Event},
    id::{AccountId, ExecutionUid, ObjectName},
    json::{self, Json, Node},
    path::FieldPath,
    refusal::Violations,
};

/// How long a raw body's text may be.
pub const BODY_SOURCE_BYTES_MAX: usize = 64 * 1024;
/// How many entries a key-value body may have.
pub const ENTRIES_MAX: usize = 100;
/// How long a key of a key-value body may be.
pub const KEY_CHARS_MAX: usize = 255;
/// How long a text with placeholders may be: a key-value body's value.
pub const TEXT_BYTES_MAX: usize = 16 * 1024;

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
pub struct Placeholder(Source);

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
    /// A text of ours.
    Text(Cow<'e, str>),
}

impl Placeholder {
    /// Reads what stands between the braces. The error has the byte at fault.
    pub fn parse(text: &str, object: &ObjectName) -> Result<Self, (usize, String)> {
        let inner = text.trim();
        let indent = text.len() - text.trim_start().len();
        let path = FieldPath::parse(inner).map_err(|(at, message)| (at + indent, message))?;
        let (root, rest) = path.split_root();
        if root == object.as_str() {
            return Ok(Self(Source::Data(rest)));
        }
        let rest_text = inner.get(root.len() + 1..).unwrap_or_default();
        let source = match (root, rest_text) {
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
            ("event", _) => {
                return Err((indent, "event has id, action, object, entity_id, occurred_at and user_id".into()));
            }
            ("account", _) => return Err((indent, "account has id".into())),
            ("automation", _) => return Err((indent, "automation has name".into())),
            ("execution", _) => return Err((indent, "execution has id".into())),
            _ => {
                let message = format!(
                    "{root:?} is not known here: start with {object} (the trigger's object), previous, event, account, automation or execution"
                );
                return Err((indent, message));
            }
        };
        Ok(Self(source))
    }

    /// The field of the object that it stands for.
    pub fn field(&self) -> Option<&FieldPath> {
        match &self.0 {
            Source::Data(path) | Source::Previous(path) => Some(path),
            _ => None,
        }
    }

    /// What it stands for.
    pub fn value<'e>(&self, scope: Scope<'e>) -> Value<'e> {
        let event = scope.event;
        let text = |text: &'e str| Value::Text(Cow::Borrowed(text));
        match &self.0 {
            Source::Data(path) => match path.find(scope.data) {
                Some(node) => Value::Json(node),
                None => scope
                    .catalogue
                    .label(event.object.as_str(), path, scope.data)
                    .map_or(Value::Null, |label| Value::Text(Cow::Owned(label))),
            },
            Source::Previous(path) => match scope.previous.and_then(|previous| path.find(previous)) {
                Some(node) => Value::Json(node),
                None => scope
                    .previous
                    .and_then(|previous| scope.catalogue.label(event.object.as_str(), path, previous))
                    .map_or(Value::Null, |label| Value::Text(Cow::Owned(label))),
            },
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

impl Value<'_> {
    /// As text: a string's content, any other value as its JSON, null as nothing.
    pub fn as_text(&self) -> &str {
        match self {
            Value::Null => "",
            Value::Text(text) => text,
            Value::Json(node) => match &node.value {
                Json::Null => "",
                Json::String(text) => text,
                _ => node.raw,
            },
        }
    }

    fn typed_into(&self, out: &mut String) {
        match self {
            Value::Null => out.push_str("null"),
            Value::Json(node) => out.push_str(node.raw),
            Value::Text(text) => quoted_into(text, out),
        }
    }
}

fn quoted_into(text: &str, out: &mut String) {
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
        let end =
            text[inner..].find("}}").ok_or_else(|| at(start, "the placeholder is not closed with }}".to_owned()))?;
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

fn floor(text: &str, mut offset: usize) -> usize {
    offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// A body as it is written and stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodySpec {
    /// Ordered entries of a JSON object.
    KeyValue(Vec<(String, String)>),
    /// JSON text with placeholders.
    Raw(String),
}

/// A body that is ready to be rendered: for any event the result is valid JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body(Vec<Segment>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    /// JSON source between placeholders.
    Source(String),
    /// A placeholder inside a string.
    Text(Placeholder),
    /// A placeholder in value position.
    Typed(Placeholder),
}

/// The rendered body would be larger than the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyTooLarge;

impl Body {
    /// Checks a body and makes it ready. Faults are noted under the action's field.
    pub fn compile(spec: &BodySpec, object: &ObjectName, at: &str, faults: &mut Violations) -> Option<Self> {
        match spec {
            BodySpec::Raw(text) => {
                let compiled = Self::raw(text, object);
                faults.take(format!("{at}.raw_json"), compiled)
            }
            BodySpec::KeyValue(entries) => Self::key_value(entries, object, &format!("{at}.key_value"), faults),
        }
    }

    fn raw(text: &str, object: &ObjectName) -> Result<Self, String> {
        if text.len() > BODY_SOURCE_BYTES_MAX {
            return Err(format!("has {} bytes, the limit is {BODY_SOURCE_BYTES_MAX}", text.len()));
        }
        let holes = json::holes(text).map_err(|error| error.to_string())?;
        let mut segments = Vec::with_capacity(holes.len() * 2 + 1);
        let mut done = 0;
        for hole in holes {
            segments.push(Segment::Source(text[done..hole.start].to_owned()));
            let inner = hole.start + 2;
            let placeholder = Placeholder::parse(&text[inner..hole.end - 2], object).map_err(|(offset, message)| {
                let before = &text[..floor(text, inner + offset)];
                let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
                let (line, column) = (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1);
                format!("{message} at line {line} column {column}")
            })?;
            segments.push(if hole.in_string { Segment::Text(placeholder) } else { Segment::Typed(placeholder) });
            done = hole.end;
        }
        segments.push(Segment::Source(text[done..].to_owned()));
        Ok(Self(segments))
    }

    fn key_value(entries: &[(String, String)], object: &ObjectName, at: &str, faults: &mut Violations) -> Option<Self> {
        if entries.is_empty() || entries.len() > ENTRIES_MAX {
            faults.add(format!("{at}.entries"), format!("must have 1 to {ENTRIES_MAX} entries"));
            return None;
        }
        let mut segments = Vec::new();
        let mut complete = true;
        for (index, (key, value)) in entries.iter().enumerate() {
            let at = format!("{at}.entries[{index}]");
            let mut source = String::from(if index == 0 { "{" } else { "," });
            if let Err(fault) = check_key(key, &entries[..index]) {
                faults.add(format!("{at}.key"), fault);
                complete = false;
            }
            quoted_into(key, &mut source);
            source.push(':');
            match check_value(value, object) {
                Ok(parts) => value_segments(source, parts, &mut segments),
                Err(fault) => {
                    faults.add(format!("{at}.value"), fault);
                    complete = false;
                }
            }
        }
        segments.push(Segment::Source("}".to_owned()));
        complete.then_some(Self(segments))
    }

    /// The fields that it stands for.
    pub fn fields(&self) -> impl Iterator<Item = &FieldPath> {
        self.0.iter().filter_map(|segment| match segment {
            Segment::Text(hole) | Segment::Typed(hole) => hole.field(),
            Segment::Source(_) => None,
        })
    }

    /// Renders the body, at most so many bytes.
    pub fn render(&self, scope: Scope<'_>, bytes_max: usize) -> Result<String, BodyTooLarge> {
        let mut out = String::with_capacity(256);
        for segment in &self.0 {
            match segment {
                Segment::Source(text) => out.push_str(text),
                Segment::Text(hole) => {
                    let value = hole.value(scope);
                    let text = value.as_text();
                    if out.len() + text.len() > bytes_max {
                        return Err(BodyTooLarge);
                    }
                    json::escape_into(text, &mut out);
                }
                Segment::Typed(hole) => hole.value(scope).typed_into(&mut out),
            }
            if out.len() > bytes_max {
                return Err(BodyTooLarge);
            }
        }
        Ok(out)
    }
}

fn check_key(key: &str, before: &[(String, String)]) -> Result<(), String> {
    if key.is_empty() || key.chars().count() > KEY_CHARS_MAX {
        return Err(format!("must be 1 to {KEY_CHARS_MAX} characters"));
    }
    if key.contains("{{") {
        return Err("a key cannot have a placeholder".into());
    }
    if before.iter().any(|(other, _)| other == key) {
        return Err(format!("the key {key:?} is given twice"));
    }
    Ok(())
}

fn check_value(value: &str, object: &ObjectName) -> Result<Vec<Part>, String> {
    if value.len() > TEXT_BYTES_MAX {
        return Err(format!("has {} bytes, the limit is {TEXT_BYTES_MAX}", value.len()));
    }
    parse_text(value, object)
}

fn value_segments(mut source: String, parts: Vec<Part>, segments: &mut Vec<Segment>) {
    if let [Part::Hole(hole)] = parts.as_slice() {
        segments.push(Segment::Source(source));
        segments.push(Segment::Typed(hole.clone()));
        return;
    }
    source.push('"');
    for part in parts {
        match part {
            Part::Literal(text) => json::escape_into(&text, &mut source),
            Part::Hole(hole) => {
                segments.push(Segment::Source(std::mem::take(&mut source)));
                segments.push(Segment::Text(hole));
            }
        }
    }
    source.push('"');
    segments.push(Segment::Source(source));
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
    pub fn state(&self, action: Action) -> super::condition::State<'_> {
        super::condition::State { action, data: &self.data, previous: self.previous.as_ref() }
    }
}

#[cfg(test)]
#[path = "template_tests.rs"]
pub(super) mod tests;
