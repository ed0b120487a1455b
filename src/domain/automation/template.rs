//! Placeholders, and the texts and JSON bodies that have them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{catalogue::Catalogue, condition::ObjectState};
use crate::domain::{
    event::Event,
    hole::closing_braces,
    id::{AccountId, ExecutionUid, ObjectName},
    json::{self, Json, Node},
    path::{FieldPath, Found, PathStep},
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

    fn typed_into(&self, out: &mut String) {
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
    /// No body at all; only a `DELETE` may go without one.
    None,
}

/// A body that is ready to be rendered: for any event the result is valid JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyTemplate(Vec<Segment>);

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

impl BodyTemplate {
    /// Checks a body and makes it ready. Faults are noted under the action's field.
    pub fn compile(spec: &BodySpec, object: &ObjectName, at: &str, faults: &mut Violations) -> Option<Self> {
        match spec {
            BodySpec::None => None,
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
            let written = written(&text[inner..hole.end - 2], hole.in_string);
            let placeholder = Placeholder::parse(&written, object).and_then(for_body);
            let placeholder = placeholder.map_err(|(offset, message)| {
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

    /// The fields that stand in text, where a list becomes its JSON.
    pub fn fields_in_text(&self) -> impl Iterator<Item = &FieldPath> {
        self.0.iter().filter_map(|segment| match segment {
            Segment::Text(hole) => hole.field(),
            Segment::Source(_) | Segment::Typed(_) => None,
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
                    json::escape_into(&text, &mut out);
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

/// A placeholder as it was written before the JSON string around it escaped its quotation marks.
fn written(text: &str, in_string: bool) -> Cow<'_, str> {
    let quoted = format!("\"{text}\"");
    match json::parse(&quoted) {
        Ok(Node { value: Json::String(plain), .. }) if in_string && text.contains('\\') => {
            Cow::Owned(plain.into_owned())
        }
        _ => Cow::Borrowed(text),
    }
}

/// Refuses what only paths have a use for.
fn for_body(placeholder: Placeholder) -> Result<Placeholder, (usize, String)> {
    if placeholder.is_required {
        let message = "the mark ! is for paths: a body can say null, or ask for the value in a condition";
        return Err((0, message.to_owned()));
    }
    Ok(placeholder)
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
    let parts = parse_text(value, object)?;
    for part in &parts {
        if let Part::Hole(hole) = part {
            for_body(hole.clone()).map_err(|(_, message)| message)?;
        }
    }
    Ok(parts)
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
    pub fn state<'s>(&'s self, event: &'s Event, catalogue: &'s Catalogue) -> ObjectState<'s> {
        let (action, object) = (event.action, event.object.as_str());
        ObjectState { action, data: &self.data, previous: self.previous.as_ref(), object, catalogue }
    }
}

#[cfg(test)]
#[path = "tests/template.rs"]
pub(super) mod tests;
