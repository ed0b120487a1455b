//! Headers of actions: what a request carries beside its body, with placeholders.

use serde::{Deserialize, Serialize};

use super::placeholder::{Part, Placeholder, Rendering, Scope, ValueMissing, parse_text};
use crate::domain::{
    header::{is_kept_back, is_name, plain_name},
    id::ObjectName,
    path::FieldPath,
    refusal::Violations,
};

/// How many headers an action may have.
pub const HEADERS_MAX: usize = 20;
/// How long a value may be as it is written, and as it is rendered.
pub const HEADER_VALUE_BYTES_MAX: usize = 4_096;
/// How long all of them together may be as they are rendered.
const HEADERS_BYTES_MAX: usize = 8_192;

/// A header as it is written and stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderSpec {
    /// The name.
    pub name: String,
    /// The value, with placeholders.
    pub value: String,
}

/// Headers that are ready to be rendered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderTemplates(Vec<(String, Vec<Part>)>);

/// Why headers could not be rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderFault {
    /// They would be larger than the limit.
    TooLarge,
    /// A value that one needs is empty.
    ValueMissing,
}

impl From<ValueMissing> for HeaderFault {
    fn from(_: ValueMissing) -> Self {
        HeaderFault::ValueMissing
    }
}

impl HeaderTemplates {
    /// Checks headers and makes them ready. Faults are noted under the action's field.
    pub fn compile(specs: &[HeaderSpec], object: &ObjectName, at: &str, faults: &mut Violations) -> Option<Self> {
        if specs.len() > HEADERS_MAX {
            faults.add(at, format!("has {} headers, the limit is {HEADERS_MAX}", specs.len()));
            return None;
        }
        let mut ready = Vec::with_capacity(specs.len());
        for (index, spec) in specs.iter().enumerate() {
            let at = format!("{at}[{index}]");
            let name = faults.take(format!("{at}.name"), check_name(&spec.name, &specs[..index]));
            let parts = faults.take(format!("{at}.value"), check_value(&spec.value, object));
            ready.extend(name.zip(parts));
        }
        (ready.len() == specs.len()).then_some(Self(ready))
    }

    /// Refuses names that an action may not have. Asked when it is saved: what is stored is checked again when it is sent.
    pub fn check_names(specs: &[HeaderSpec], at: &str, faults: &mut Violations) {
        for (index, spec) in specs.iter().enumerate() {
            if let Some(why) = is_kept_back(&spec.name) {
                faults.add(format!("{at}[{index}].name"), format!("{} {why}", spec.name));
            }
        }
    }

    /// The fields that they stand for as they are.
    pub fn plain_fields(&self) -> impl Iterator<Item = &FieldPath> {
        self.holes().filter(|hole| !hole.has_filters()).filter_map(Placeholder::field)
    }

    /// The fields that they stand for.
    pub fn fields(&self) -> impl Iterator<Item = &FieldPath> {
        self.holes().flat_map(Placeholder::fields)
    }

    fn holes(&self) -> impl Iterator<Item = &Placeholder> {
        self.0.iter().flat_map(|(_, parts)| parts).filter_map(|part| match part {
            Part::Hole(hole) => Some(hole),
            Part::Literal(_) => None,
        })
    }

    /// Renders the headers. A value can add none, because every control character becomes a space; one that comes out empty
    /// is left out.
    pub fn render(&self, scope: Scope<'_>, rendering: &Rendering) -> Result<Vec<(String, String)>, HeaderFault> {
        let mut rendered = Vec::with_capacity(self.0.len());
        let mut bytes = 0;
        for (name, parts) in &self.0 {
            let mut value = String::new();
            for part in parts {
                match part {
                    Part::Literal(text) => value.push_str(text),
                    Part::Hole(hole) => {
                        let found = hole.value(scope, rendering)?;
                        let text = found.as_text();
                        if value.len() + text.len() > HEADER_VALUE_BYTES_MAX {
                            return Err(HeaderFault::TooLarge);
                        }
                        value.extend(text.chars().map(|one| if one.is_control() { ' ' } else { one }));
                    }
                }
            }
            let value = value.trim();
            if value.is_empty() {
                continue;
            }
            bytes += name.len() + value.len();
            if value.len() > HEADER_VALUE_BYTES_MAX || bytes > HEADERS_BYTES_MAX {
                return Err(HeaderFault::TooLarge);
            }
            rendered.push((name.clone(), value.to_owned()));
        }
        Ok(rendered)
    }
}

/// The name in lower case, as it is sent.
fn check_name(name: &str, before: &[HeaderSpec]) -> Result<String, String> {
    let plain = plain_name(name);
    if !is_name(name) {
        return Err("must be 1 to 64 characters of letters, digits, - and _".to_owned());
    }
    if before.iter().any(|other| plain_name(&other.name) == plain) {
        return Err(format!("{name} is given twice: names differ by more than capital letters, - and _"));
    }
    Ok(name.to_ascii_lowercase())
}

fn check_value(value: &str, object: &ObjectName) -> Result<Vec<Part>, String> {
    if value.len() > HEADER_VALUE_BYTES_MAX {
        return Err(format!("has {} bytes, the limit is {HEADER_VALUE_BYTES_MAX}", value.len()));
    }
    let parts = parse_text(value, object)?;
    let has_control = |part: &Part| matches!(part, Part::Literal(text) if text.chars().any(char::is_control));
    if parts.iter().any(has_control) {
        return Err("must have no line break and no other control character".to_owned());
    }
    if parts.is_empty() {
        return Err("is empty: leave the header out".to_owned());
    }
    Ok(parts)
}

#[cfg(test)]
#[path = "tests/header.rs"]
mod tests;
