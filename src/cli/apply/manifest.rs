//! What files say: one webhook or automation a document, in the fields of the API, with a few liberties for people.
//!
//! Enum values can go without their prefix (`POST` for `HTTP_METHOD_POST`), a clause's values can be plain numbers, words
//! and booleans, an action's webhook can be an id, and a secret is only ever a reference: `{env: NAME}` or
//! `{file: PATH}`.

use std::{
    cell::RefCell,
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use prost_reflect::{Kind as FieldKind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::super::{CliError, connection::account_of, show, written::Written};
use crate::{
    domain::{decimal::Decimal, timestamp::Timestamp},
    grpc::{check_automation, check_webhook},
};

/// How large a file may be.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How deep folders may nest.
const FOLDERS_DEPTH_MAX: usize = 16;

/// What is done where a value is missing.
const VALUE_OR_NOT: &str = "give one, or leave the field out; \"\" is an empty text";
/// The longest time that a message can have, in seconds.
const DURATION_SECONDS_MAX: u64 = 315_576_000_000;

/// What a document is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A webhook.
    Webhook,
    /// An automation.
    Automation,
}

impl Kind {
    /// The message of the API.
    pub fn message(self) -> &'static str {
        match self {
            Kind::Webhook => "Webhook",
            Kind::Automation => "Automation",
        }
    }

    /// The key that says what a document is about; its value is the id.
    fn key(self) -> &'static str {
        match self {
            Kind::Webhook => "webhook",
            Kind::Automation => "automation",
        }
    }

    fn collection(self) -> &'static str {
        match self {
            Kind::Webhook => "webhooks",
            Kind::Automation => "automations",
        }
    }

    /// What a document may set.
    fn fields(self) -> &'static [&'static str] {
        match self {
            Kind::Webhook => &[
                "display_name",
                "kind",
                "endpoint_url",
                "credentials",
                "enabled",
                "retry_policy",
                "success_statuses",
                "requests_per_second",
                "subscription",
                "owner_user_id",
            ],
            Kind::Automation => &[
                "display_name",
                "trigger_object",
                "trigger_action",
                "trigger_actions",
                "conditions",
                "actions",
                "state",
                "activation",
            ],
        }
    }

    /// What a file may clear with null.
    fn clearable_fields(self) -> &'static [&'static str] {
        match self {
            Kind::Webhook => &["credentials", "retry_policy", "success_statuses", "requests_per_second"],
            Kind::Automation => &["conditions"],
        }
    }

    /// What cannot be changed once it exists.
    pub fn fixed_fields(self) -> &'static [&'static str] {
        match self {
            Kind::Webhook => &["kind", "owner_user_id"],
            Kind::Automation => &[],
        }
    }
}

/// A document.
#[derive(Debug)]
pub struct Manifest {
    /// What it is about.
    pub kind: Kind,
    /// The resource's full name.
    pub name: String,
    /// Where it was read.
    pub place: String,
    /// The message, with the names and words of the API.
    pub value: Value,
    /// What references stand for, and what they are: never shown.
    references: Vec<(String, String)>,
}

/// How short a value of a reference may be and still be looked for in what is shown.
const REFERENCE_CHARS_MIN: usize = 4;

impl Manifest {
    /// The resource's id.
    pub fn id(&self) -> &str {
        show::id(&self.name)
    }

    /// A text without the values that references stand for.
    pub fn masked(&self, text: &str) -> String {
        let found = self.references.iter().filter(|(value, _)| value.chars().count() >= REFERENCE_CHARS_MIN);
        found.fold(text.to_owned(), |text, (value, name)| text.replace(value.as_str(), &format!("({name})")))
    }

    /// A value without the values that references stand for.
    pub fn masked_value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => self.masked(&text).into(),
            Value::Array(list) => list.into_iter().map(|one| self.masked_value(one)).collect(),
            Value::Object(map) => map.into_iter().map(|(key, one)| (key, self.masked_value(one))).collect(),
            other => other,
        }
    }

    /// Whether it says all that a new resource needs.
    pub fn is_whole(&self) -> bool {
        let needed: &[&str] = match self.kind {
            Kind::Webhook => &["display_name", "endpoint_url"],
            Kind::Automation => &["display_name", "trigger_object", "actions"],
        };
        let is_given = |field: &str| self.value.get(field).is_some();
        let is_triggered = is_given("trigger_action") || is_given("trigger_actions");
        needed.iter().all(|field| is_given(field)) && (is_triggered || self.kind != Kind::Automation)
    }

    /// Refuses what no server would take, before anything is changed: what only the account or its installation knows is
    /// not asked.
    pub fn check(&self) -> Result<(), CliError> {
        let checked = match self.kind {
            Kind::Webhook => check_webhook(show::message("Webhook", self.value.clone())?),
            Kind::Automation => {
                let account = account_of(&self.name).unwrap_or_default().parse().map_err(CliError::new)?;
                check_automation(&account, show::message("Automation", self.value.clone())?)
            }
        };
        checked.map_err(|status| self.refused(status))
    }

    /// What a server would say of it.
    pub fn refused(&self, status: tonic::Status) -> CliError {
        let CliError(error) = status.into();
        CliError::new(format!("{}: {}\nnothing was changed", self.place, self.masked(&error)))
    }
}

/// The documents of a file or a folder: webhooks first, because automations need them.
pub fn read(path: &Path, parent: &str) -> Result<Vec<Manifest>, CliError> {
    let mut found: Vec<Manifest> = Vec::new();
    let mut places = HashMap::new();
    for file in files(path)? {
        let shown = file.display().to_string();
        let failed = |error: std::io::Error| CliError::new(format!("{shown}: {error}"));
        if fs::metadata(&file).map_err(failed)?.len() > FILE_BYTES_MAX {
            return Err(CliError::new(format!("{shown} has more than {FILE_BYTES_MAX} bytes: split it")));
        }
        let text = fs::read_to_string(&file).map_err(failed)?;
        let folder = file.parent().unwrap_or(Path::new("."));
        for manifest in parse(&shown, &text, parent, folder)? {
            if let Some(other) = places.insert(manifest.name.clone(), manifest.place.clone()) {
                return Err(CliError::new(format!("{} is in {other} and in {}", manifest.name, manifest.place)));
            }
            found.push(manifest);
        }
    }
    if found.is_empty() {
        return Err(CliError::new(format!("{} has no document", path.display())));
    }
    found.sort_by_key(|manifest| manifest.kind != Kind::Webhook);
    Ok(found)
}

/// The YAML files of a folder and of the folders in it, in the order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>, CliError> {
    let mut found = Vec::new();
    match path.is_dir() {
        true => files_in(path, 0, &mut found)?,
        false => found.push(path.to_owned()),
    }
    Ok(found)
}

fn files_in(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), CliError> {
    let failed = |error: std::io::Error| CliError::new(format!("{}: {error}", folder.display()));
    if depth > FOLDERS_DEPTH_MAX {
        return Err(CliError::new(format!("{}: folders nest deeper than {FOLDERS_DEPTH_MAX}", folder.display())));
    }
    let entries = fs::read_dir(folder).map_err(failed)?;
    let mut entries = entries.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        let extension = path.extension().map(|one| one.to_string_lossy().to_lowercase()).unwrap_or_default();
        if is_hidden {
            continue;
        }
        if entry.file_type().map_err(failed)?.is_dir() {
            files_in(&path, depth + 1, found)?;
        } else if matches!(extension.as_str(), "yaml" | "yml") {
            found.push(path);
        }
    }
    Ok(())
}

fn parse(file: &str, text: &str, parent: &str, folder: &Path) -> Result<Vec<Manifest>, CliError> {
    let documents = Written::documents(text).map_err(|CliError(error)| CliError::new(format!("{file}: {error}")))?;
    let mut found = Vec::new();
    for (number, document) in (1..).zip(documents) {
        if document == Written::Null {
            continue;
        }
        let place = format!("{file}, document {number}");
        let manifest = manifest(&place, document, parent, folder);
        found.push(manifest.map_err(|CliError(error)| CliError::new(format!("{place}: {error}")))?);
    }
    Ok(found)
}

type Fields = Vec<(String, Written)>;

fn manifest(place: &str, document: Written, parent: &str, folder: &Path) -> Result<Manifest, CliError> {
    let wanted = "begin a document with `webhook: <id>` or `automation: <id>`";
    let Written::Fields(mut fields) = document else { return Err(CliError::new(wanted)) };
    let at = |key: &str| fields.iter().position(|(name, _)| name == key);
    let (kind, at) = match (at("webhook"), at("automation")) {
        (Some(at), None) => (Kind::Webhook, at),
        (None, Some(at)) => (Kind::Automation, at),
        _ => return Err(CliError::new(wanted)),
    };
    let (_, Written::Text(id)) = fields.remove(at) else {
        return Err(CliError::new(format!("the id after `{}:` must be text: quote it", kind.key())));
    };
    if id.contains('/') {
        return Err(CliError::new(format!("the id after `{}:` must have no slash: it is no full name", kind.key())));
    }
    if let Some((unknown, _)) = fields.iter().find(|(field, _)| !kind.fields().contains(&field.as_str())) {
        let known = kind.fields().join(", ");
        return Err(CliError::new(format!("{unknown} cannot be set in a file: one of {known}")));
    }
    let cannot_be_cleared = |(name, value): &&(String, Written)| {
        *value == Written::Null && !kind.clearable_fields().contains(&name.as_str())
    };
    if let Some((name, _)) = fields.iter().find(cannot_be_cleared) {
        return Err(CliError::new(format!("{name} has no value: {VALUE_OR_NOT}")));
    }
    if kind == Kind::Webhook && !fields.iter().any(|(name, _)| name == "kind") {
        fields.push(("kind".to_owned(), Written::Text("AUTOMATION".to_owned())));
    }
    let reading = Reading { parent, folder, references: RefCell::default() };
    let value = reading.message(&show::descriptor(kind.message())?, fields, "")?;
    let name = format!("{parent}/{}/{id}", kind.collection());
    Ok(Manifest { kind, name, place: place.to_owned(), value, references: reading.references.into_inner() })
}

/// A message of the API from fields with the same liberties; nothing in it is a reference.
pub fn liberal(kind: &str, fields: Fields) -> Result<Value, CliError> {
    let reading = Reading { parent: "", folder: Path::new("."), references: RefCell::default() };
    reading.message(&show::descriptor(kind)?, fields, "")
}

/// Reads values as the API has them.
struct Reading<'r> {
    parent: &'r str,
    folder: &'r Path,
    /// The values that references stand for, and what they are.
    references: RefCell<Vec<(String, String)>>,
}

/// Fields whose values nobody should find in a file.
fn is_secret(message: &str, field: &str) -> bool {
    matches!(
        (message, field),
        ("BasicCredentials", "password") | ("BearerCredentials", "token") | ("HeaderCredentials", "headers")
    )
}

impl Reading<'_> {
    fn message(&self, kind: &MessageDescriptor, fields: Fields, at: &str) -> Result<Value, CliError> {
        let mut read = Map::new();
        for (name, value) in fields {
            let place = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
            let field = kind.get_field_by_name(&name).or_else(|| kind.get_field_by_json_name(&name));
            let Some(field) = field else {
                let known: Vec<_> = kind.fields().map(|field| field.name().to_owned()).collect();
                return Err(CliError::new(format!("{place} does not exist: one of {}", known.join(", "))));
            };
            let value = match value {
                // It is cleared.
                Written::Null if at.is_empty() || is_null(&field) => Value::Null,
                Written::Null => {
                    return Err(CliError::new(format!("{place} has no value: {VALUE_OR_NOT}")));
                }
                Written::List(list) if field.is_list() => {
                    let item = |(at, item)| self.value(kind, &field, item, &format!("{place}[{at}]"));
                    Value::Array(list.into_iter().enumerate().map(item).collect::<Result<_, _>>()?)
                }
                Written::Fields(map) if field.is_map() => {
                    let entry = |(key, value): (String, Written)| {
                        let value = self.text(kind.name(), field.name(), &value, &format!("{place}.{key}"))?;
                        Ok::<_, CliError>((key, value))
                    };
                    Value::Object(map.into_iter().map(entry).collect::<Result<_, _>>()?)
                }
                _ if field.is_list() => return Err(CliError::new(format!("{place} must be a list"))),
                _ if field.is_map() => return Err(CliError::new(format!("{place} must have fields of its own"))),
                other => self.value(kind, &field, other, &place)?,
            };
            read.insert(field.name().to_owned(), value);
        }
        Ok(Value::Object(read))
    }

    fn value(
        &self,
        parent: &MessageDescriptor,
        field: &prost_reflect::FieldDescriptor,
        value: Written,
        place: &str,
    ) -> Result<Value, CliError> {
        let wanted = |what: &str| CliError::new(format!("{place} must be {what}"));
        match field.kind() {
            FieldKind::Message(kind) if kind.full_name() == "hookline.v1.Scalar" => self.scalar(&kind, value, place),
            FieldKind::Message(kind) if kind.full_name().starts_with("hookline.v1.") => match value {
                Written::Fields(fields) => self.message(&kind, fields, place),
                _ => Err(wanted("fields of its own")),
            },
            FieldKind::Message(kind) if kind.full_name() == "google.protobuf.Duration" => match value {
                Written::Text(text) if is_duration(&text) => Ok(text.into()),
                _ => Err(wanted("a length of time such as 5s or 1.5s")),
            },
            FieldKind::Message(kind) if kind.full_name() == "google.protobuf.Timestamp" => match value {
                Written::Text(text) if Timestamp::parse(&text).is_some() => Ok(text.into()),
                _ => Err(wanted("a time such as 2026-11-24T08:00:00Z")),
            },
            FieldKind::Enum(kind) => {
                let Some(word) = value.as_text() else { return Err(wanted("a word")) };
                let default = kind.default_value();
                let prefix = default.name().trim_end_matches("UNSPECIFIED");
                let found = [word.to_owned(), format!("{prefix}{}", word.to_uppercase())];
                let found = found.iter().find_map(|name| kind.get_value_by_name(name));
                let words = || {
                    let words = kind.values().skip(1).map(|value| value.name().trim_start_matches(prefix).to_owned());
                    words.collect::<Vec<_>>().join(", ")
                };
                let found = found.ok_or_else(|| CliError::new(format!("{place}: {word} is none of {}", words())))?;
                Ok(found.name().into())
            }
            FieldKind::String => self.text(parent.name(), field.name(), &value, place),
            FieldKind::Bool => match value {
                Written::Bool(value, _) => Ok(value.into()),
                _ => Err(wanted("true or false, without quotes")),
            },
            FieldKind::Int32 | FieldKind::Sint32 | FieldKind::Sfixed32 => whole(&value, i32::MIN, i32::MAX, place),
            FieldKind::Int64 | FieldKind::Sint64 | FieldKind::Sfixed64 => whole(&value, i64::MIN, i64::MAX, place),
            FieldKind::Uint32 | FieldKind::Fixed32 => whole(&value, u32::MIN, u32::MAX, place),
            FieldKind::Uint64 | FieldKind::Fixed64 => whole(&value, u64::MIN, u64::MAX, place),
            _ => match value {
                Written::Text(text) => Ok(text.into()),
                _ => Err(wanted("text")),
            },
        }
    }

    /// A single value stays a text exactly as it is written: 007 is not 7.
    fn text(&self, message: &str, field: &str, value: &Written, place: &str) -> Result<Value, CliError> {
        let text = match value {
            Written::Fields(reference) => return self.resolve(reference, place).map(Value::from),
            Written::Null => return Err(CliError::new(format!("{place} has no value: {VALUE_OR_NOT}"))),
            other => other.as_text(),
        };
        let Some(text) = text else { return Err(CliError::new(format!("{place} must be text"))) };
        if is_secret(message, field) && !text.is_empty() {
            return Err(CliError::new(format!(
                "{place} is a secret: refer to it as {{env: NAME}} or {{file: PATH}}, instead of writing it down"
            )));
        }
        if field == "endpoint_url" && has_query_values(text) {
            return Err(CliError::new(format!(
                "{place} has a value in its query, which may be a secret: refer to the whole URL as {{env: NAME}} or \
                 {{file: PATH}}"
            )));
        }
        if (message, field) == ("WebhookAction", "webhook") && !text.contains('/') {
            return Ok(format!("{}/webhooks/{text}", self.parent).into());
        }
        Ok(text.into())
    }

    /// A clause's value: a plain number, word, boolean or null, or as the API has it.
    fn scalar(&self, kind: &MessageDescriptor, value: Written, place: &str) -> Result<Value, CliError> {
        match value {
            Written::Number(number) if Decimal::parse(&number).is_some() => Ok(json!({ "number": number })),
            Written::Number(number) => Err(CliError::new(format!(
                "{place}: {number} is no number as JSON writes it: quote it where a text is meant, or write it as JSON does"
            ))),
            Written::Text(text) => Ok(json!({ "text": text })),
            Written::Bool(boolean, _) => Ok(json!({ "boolean": boolean })),
            Written::Null => Ok(json!({ "null": null })),
            Written::Fields(fields) => self.message(kind, fields, place),
            Written::List(_) => Err(CliError::new(format!("{place} must be a single value"))),
        }
    }

    fn resolve(&self, reference: &Fields, place: &str) -> Result<String, CliError> {
        let text = |key: &str| match reference.as_slice() {
            [(name, value)] if name == key => value.as_text(),
            _ => None,
        };
        if let Some(name) = text("env") {
            let found = std::env::var(name).ok().filter(|value| !value.is_empty());
            let found = found.ok_or_else(|| CliError::new(format!("{place}: the variable {name} is not set")))?;
            self.references.borrow_mut().push((found.clone(), format!("from env {name}")));
            return Ok(found);
        }
        if let Some(path) = text("file") {
            let path = self.folder.join(path);
            let read = fs::read_to_string(&path);
            let read = read.map_err(|error| CliError::new(format!("{place}: {}: {error}", path.display())))?;
            let read = read.trim_end_matches(['\r', '\n']).to_owned();
            self.references.borrow_mut().push((read.clone(), format!("from {}", path.display())));
            return Ok(read);
        }
        Err(CliError::new(format!("{place} must be text, {{env: NAME}} or {{file: PATH}}")))
    }
}

/// A whole number within bounds, as it is written.
fn whole(value: &Written, least: impl Into<i128>, most: impl Into<i128>, place: &str) -> Result<Value, CliError> {
    let (least, most) = (least.into(), most.into());
    let written = value.as_text().unwrap_or_default();
    match written.parse::<i128>() {
        Ok(number) if number.to_string() != written => {}
        Ok(number) if (least..=most).contains(&number) => return Ok(written.into()),
        Ok(_) => return Err(CliError::new(format!("{place} must be from {least} to {most}"))),
        Err(_) => {}
    }
    Err(CliError::new(format!("{place} must be a whole number, such as 10")))
}

/// Whether a field is for null, and nothing else.
fn is_null(field: &prost_reflect::FieldDescriptor) -> bool {
    matches!(field.kind(), FieldKind::Enum(kind) if kind.full_name() == "google.protobuf.NullValue")
}

/// Seconds as protobuf's JSON has them: `5s`, `1.5s`.
fn is_duration(text: &str) -> bool {
    let is_seconds = |text: &str| text.parse::<u64>().is_ok_and(|seconds| seconds <= DURATION_SECONDS_MAX);
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(number) = text.strip_suffix('s') else { return false };
    let number = number.strip_prefix('-').unwrap_or(number);
    match number.split_once('.') {
        Some((seconds, fraction)) => {
            is_digits(seconds) && is_seconds(seconds) && is_digits(fraction) && fraction.len() <= 9
        }
        None => is_digits(number) && is_seconds(number),
    }
}

fn has_query_values(url: &str) -> bool {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    query.split('&').any(|pair| pair.split_once('=').is_some_and(|(_, value)| !value.is_empty()))
}

#[cfg(test)]
#[path = "tests/manifest.rs"]
mod tests;
