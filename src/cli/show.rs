//! What people see: tables, and JSON with the field names of the API.

use std::{borrow::Cow, sync::LazyLock};

use comfy_table::{ContentArrangement, Table, presets};
use prost_reflect::{
    DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage, SerializeOptions, prost::Message,
};
use serde_json::Value;

use super::CliError;
use crate::{domain::timestamp::Timestamp, grpc::pb};

static POOL: LazyLock<Option<DescriptorPool>> = LazyLock::new(|| DescriptorPool::decode(pb::FILE_DESCRIPTOR_SET).ok());

/// The description of a message of the API.
pub fn descriptor(message: &str) -> Result<MessageDescriptor, CliError> {
    let found = POOL.as_ref().and_then(|pool| pool.get_message_by_name(&format!("hookline.v1.{message}")));
    found.ok_or_else(|| CliError::new(format!("this build does not describe the message {message}")))
}

/// A message as JSON.
pub fn json<M: Message>(kind: &str, message: &M) -> Result<Value, CliError> {
    let mut dynamic = DynamicMessage::new(descriptor(kind)?);
    let broken = |error: &dyn std::error::Error| CliError::new(format!("{kind}: {error}"));
    dynamic.merge(message.encode_to_vec().as_slice()).map_err(|error| broken(&error))?;
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(true);
    dynamic.serialize_with_options(serde_json::value::Serializer, &options).map_err(|error| broken(&error))
}

/// A message from JSON.
pub fn message<M: Message + Default>(kind: &str, json: Value) -> Result<M, CliError> {
    let descriptor = descriptor(kind)?;
    let dynamic = DynamicMessage::deserialize(descriptor, json)
        .map_err(|error| CliError::new(format!("this is no {kind}: {error}")))?;
    debug_assert_eq!(dynamic.descriptor().name(), kind);
    M::decode(dynamic.encode_to_vec().as_slice()).map_err(|error| CliError::new(error.to_string()))
}

/// Prints a message as JSON.
pub fn print_json<M: Message>(kind: &str, message: &M) -> Result<(), CliError> {
    println!("{:#}", json(kind, message)?);
    Ok(())
}

/// Prints messages as one JSON list.
pub fn print_json_list<M: Message>(kind: &str, messages: &[M]) -> Result<(), CliError> {
    let list: Vec<_> = messages.iter().map(|message| json(kind, message)).collect::<Result<_, _>>()?;
    println!("{:#}", Value::Array(list));
    Ok(())
}

/// Prints a table; says so where there is nothing in it.
pub fn print_table(head: &[&str], rows: Vec<Vec<String>>, nothing: &str) {
    if rows.is_empty() {
        println!("{nothing}");
        return;
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head.iter().map(|word| word.to_uppercase()));
    table.add_rows(rows.into_iter().map(|row| row.iter().map(|cell| one_line(cell).into_owned()).collect::<Vec<_>>()));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    println!("{}", table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n"));
}

/// Prints names and values below each other.
pub fn print_facts(facts: &[(&str, String)]) {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        println!("{name:width$}  {}", one_line(value));
    }
}

/// Whether a character changes how others are shown instead of being shown: a control character, one that turns the
/// direction of writing, or one that nobody sees.
fn is_invisible(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
        || matches!(letter, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn escaped(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(|letter| is_invisible(letter) && !stays(letter)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if is_invisible(letter) && !stays(letter) {
            // As JSON writes it, so that JSON stays JSON.
            let mut units = [0; 2];
            letter.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            out.push(letter);
        }
    }
    Cow::Owned(out)
}

/// A text whose invisible characters are visible; lines stay lines. What it shows may come from an endpoint, which must
/// not move the cursor, ring a bell, or turn words around.
pub fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, |letter| letter == '\n')
}

/// A text that stays in its line.
pub fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// A time, to the second.
pub fn time(at: Option<prost_types::Timestamp>) -> String {
    at.map(|at| Timestamp(at.seconds * 1_000_000).to_rfc3339()).unwrap_or_default()
}

/// A length of time.
pub fn duration(of: Option<prost_types::Duration>) -> String {
    let Some(of) = of else { return String::new() };
    let ms = of.seconds * 1_000 + i64::from(of.nanos) / 1_000_000;
    if ms < 10_000 { format!("{ms} ms") } else { format!("{} s", ms / 1_000) }
}

/// The last part of an enum value's name, such as `FAILED` of `EXECUTION_STATE_FAILED`.
pub fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_owned()
}

/// The id at the end of a resource's name.
pub fn id(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// A text, no longer than a column should be.
pub fn short(text: &str, chars_max: usize) -> String {
    let flat: String = text.chars().map(|one| if one.is_control() { ' ' } else { one }).collect();
    if flat.chars().count() <= chars_max {
        return flat;
    }
    flat.chars().take(chars_max - 1).chain(['…']).collect()
}

#[cfg(test)]
#[path = "tests/show.rs"]
mod tests;
