//! Placeholders, and the texts and JSON bodies that have them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use url::form_urlencoded::byte_serialize;

use super::{
    placeholder::{Part, Placeholder, Rendering, Scope, ValueMissing, floor, parse_text},
    value::quoted_into,
};
use crate::domain::{
    id::ObjectName,
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

/// A body as it is written and stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodySpec {
    /// Ordered entries of a JSON object.
    KeyValue(Vec<(String, String)>),
    /// JSON text with placeholders.
    Raw(String),
    /// Ordered entries of a form.
    Form(Vec<(String, String)>),
    /// Any text with placeholders.
    Text(String),
    /// No body at all.
    None,
}

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BodyKind {
    /// JSON.
    #[default]
    Json,
    /// A form, as HTML's are sent.
    Form,
    /// Any text.
    Text,
}

impl BodyKind {
    /// The media type that it is sent with where the action names none.
    pub fn content_type(self) -> &'static str {
        match self {
            BodyKind::Json => "application/json",
            BodyKind::Form => "application/x-www-form-urlencoded",
            BodyKind::Text => "text/plain; charset=utf-8",
        }
    }
}

/// A body that is ready to be rendered: for any event the result is valid JSON, or a form that is encoded as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyTemplate {
    kind: BodyKind,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    /// What stands between placeholders.
    Source(String),
    /// A placeholder inside a string.
    Text(Placeholder),
    /// A placeholder in value position.
    Typed(Placeholder),
    /// A placeholder in a form's value.
    Encoded(Placeholder),
    /// A placeholder in a text that is no JSON.
    Plain(Placeholder),
}

/// Why a body could not be rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFault {
    /// It would be larger than the limit.
    TooLarge,
    /// A value that it needs is empty.
    ValueMissing,
}

impl From<ValueMissing> for BodyFault {
    fn from(_: ValueMissing) -> Self {
        BodyFault::ValueMissing
    }
}

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
            BodySpec::Form(entries) => Self::form(entries, object, &format!("{at}.form"), faults),
            BodySpec::Text(text) => {
                let compiled = Self::text(text, object);
                faults.take(format!("{at}.text"), compiled)
            }
        }
    }

    /// What it is.
    pub fn kind(&self) -> BodyKind {
        self.kind
    }

    fn text(text: &str, object: &ObjectName) -> Result<Self, String> {
        if text.len() > BODY_SOURCE_BYTES_MAX {
            return Err(format!("has {} bytes, the limit is {BODY_SOURCE_BYTES_MAX}", text.len()));
        }
        if text.is_empty() {
            return Err("is empty: choose no_body where nothing is to be sent".to_owned());
        }
        let segments = parse_text(text, object)?.into_iter().map(|part| match part {
            Part::Literal(text) => Segment::Source(text),
            Part::Hole(hole) => Segment::Plain(hole),
        });
        Ok(Self { kind: BodyKind::Text, segments: segments.collect() })
    }

    /// Entries of a form; one key may have several.
    fn form(entries: &[(String, String)], object: &ObjectName, at: &str, faults: &mut Violations) -> Option<Self> {
        if entries.is_empty() || entries.len() > ENTRIES_MAX {
            faults.add(format!("{at}.entries"), format!("must have 1 to {ENTRIES_MAX} entries"));
            return None;
        }
        let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let mut segments = Vec::new();
        let mut complete = true;
        for (index, (key, value)) in entries.iter().enumerate() {
            let at = format!("{at}.entries[{index}]");
            complete &= faults.take(format!("{at}.key"), check_key(key, &[])).is_some();
            let separator = if index == 0 { "" } else { "&" };
            segments.push(Segment::Source(format!("{separator}{}=", encoded(key))));
            let parts = faults.take(format!("{at}.value"), check_value(value, object));
            complete &= parts.is_some();
            segments.extend(parts.into_iter().flatten().map(|part| match part {
                Part::Literal(text) => Segment::Source(encoded(&text)),
                Part::Hole(hole) => Segment::Encoded(hole),
            }));
        }
        complete.then_some(Self { kind: BodyKind::Form, segments })
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
            let placeholder = Placeholder::parse(&written, object);
            let placeholder = placeholder.map_err(|(offset, message)| {
                let offset = match written {
                    Cow::Borrowed(_) => offset,
                    Cow::Owned(_) => escaped_offset(&text[inner..hole.end - 2], offset),
                };
                let before = &text[..floor(text, inner + offset)];
                let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
                let (line, column) = (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1);
                format!("{message} at line {line} column {column}")
            })?;
            segments.push(if hole.in_string { Segment::Text(placeholder) } else { Segment::Typed(placeholder) });
            done = hole.end;
        }
        segments.push(Segment::Source(text[done..].to_owned()));
        Ok(Self { kind: BodyKind::Json, segments })
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
        complete.then_some(Self { kind: BodyKind::Json, segments })
    }

    /// The fields that it stands for.
    pub fn fields(&self) -> impl Iterator<Item = &FieldPath> {
        let holes = self.segments.iter().filter_map(|segment| match segment {
            Segment::Text(hole) | Segment::Typed(hole) | Segment::Encoded(hole) | Segment::Plain(hole) => Some(hole),
            Segment::Source(_) => None,
        });
        holes.flat_map(Placeholder::fields)
    }

    /// The fields that stand in text, where a list becomes its JSON.
    pub fn fields_in_text(&self) -> impl Iterator<Item = &FieldPath> {
        let in_text = self.segments.iter().filter_map(|segment| match segment {
            Segment::Text(hole) | Segment::Encoded(hole) | Segment::Plain(hole) => Some(hole),
            Segment::Source(_) | Segment::Typed(_) => None,
        });
        in_text.filter(|hole| !hole.has_filters()).filter_map(Placeholder::field)
    }

    /// Renders the body, at most so many bytes.
    pub fn render(&self, scope: Scope<'_>, bytes_max: usize, rendering: &Rendering) -> Result<String, BodyFault> {
        let mut out = String::with_capacity(256);
        for segment in &self.segments {
            match segment {
                Segment::Source(text) => out.push_str(text),
                Segment::Text(hole) => {
                    let value = hole.value(scope, rendering)?;
                    let text = value.as_text();
                    if out.len() + text.len() > bytes_max {
                        return Err(BodyFault::TooLarge);
                    }
                    json::escape_into(&text, &mut out);
                }
                Segment::Typed(hole) => hole.value(scope, rendering)?.typed_into(&mut out),
                Segment::Encoded(hole) | Segment::Plain(hole) => {
                    let value = hole.value(scope, rendering)?;
                    let text = value.as_text();
                    if out.len() + text.len() > bytes_max {
                        return Err(BodyFault::TooLarge);
                    }
                    match segment {
                        Segment::Encoded(_) => out.extend(byte_serialize(text.as_bytes())),
                        _ => out.push_str(&text),
                    }
                }
            }
            if out.len() > bytes_max {
                return Err(BodyFault::TooLarge);
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

/// Where a byte of a JSON string's content stands in the string as it is written.
fn escaped_offset(written: &str, offset: usize) -> usize {
    let (mut at, mut plain) = (0, 0);
    while at < written.len() && plain < offset {
        let rest = &written[at..];
        let next = rest.chars().next().map_or(1, char::len_utf8);
        let (length, bytes) = match rest.strip_prefix('\\') {
            Some(escape) if escape.starts_with('u') => {
                let code = escape.get(1..5).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or_default();
                match char::from_u32(code) {
                    Some(one) => (6, one.len_utf8()),
                    // Half of a pair, whose halves make four bytes.
                    None => (6, 2),
                }
            }
            Some(_) => (2, 1),
            None => (next, next),
        };
        at += length;
        plain += bytes;
    }
    at
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

#[cfg(test)]
#[path = "tests/template.rs"]
pub(super) mod tests;
