//! What a file says, as it is written: numbers keep every digit, whatever they will be.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{Error as YamlError, NonFiniteFloatPolicy, Spanned, budget::BudgetBreach};

use super::CliError;
use crate::domain::json::{self, Json};

/// How many documents a file may have.
pub const DOCUMENTS_MAX: usize = 100_000;
/// How many values a file may have.
const VALUES_MAX: usize = 2_000_000;

/// A value as it is written.
#[derive(Debug, Clone, PartialEq)]
pub enum Written {
    /// `null`.
    Null,
    /// True or false, and how it is written.
    Bool(bool, String),
    /// A number, as it is written.
    Number(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Written>),
    /// Fields, in their order.
    Fields(Vec<(String, Written)>),
}

/// A value that still has to be looked up in the text.
enum Read {
    Null,
    Bool(bool),
    Number,
    Text(String),
    List(Vec<Spanned<Read>>),
    Fields(Vec<(String, Spanned<Read>)>),
}

struct ReadVisitor;

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadVisitor)
    }
}

impl<'de> Visitor<'de> for ReadVisitor {
    type Value = Read;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, true, false, a list or fields")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Read, E> {
        Ok(Read::Bool(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Read, E> {
        Ok(Read::Number)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Read, E> {
        Ok(Read::Number)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Read, E> {
        Ok(Read::Number)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Read, E> {
        Ok(Read::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Read, E> {
        Ok(Read::Number)
    }

    fn visit_str<E>(self, text: &str) -> Result<Read, E> {
        Ok(Read::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Read, E> {
        Ok(Read::Text(text))
    }

    fn visit_bytes<E: serde::de::Error>(self, _: &[u8]) -> Result<Read, E> {
        Err(E::custom("binary values have no meaning here: give a text"))
    }

    fn visit_unit<E>(self) -> Result<Read, E> {
        Ok(Read::Null)
    }

    fn visit_none<E>(self) -> Result<Read, E> {
        Ok(Read::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Read, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Read, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = access.next_element()? {
            list.push(item);
        }
        Ok(Read::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Read, A::Error> {
        let mut fields: Vec<(String, Spanned<Read>)> = Vec::new();
        while let Some((name, value)) = access.next_entry::<Option<String>, _>()? {
            // A name that is written as null is one, as any other word.
            let name = name.unwrap_or_else(|| "null".to_owned());
            if fields.iter().any(|(other, _)| *other == name) {
                return Err(A::Error::custom(format_args!("{name} is given twice")));
            }
            fields.push((name, value));
        }
        Ok(Read::Fields(fields))
    }
}

impl Written {
    /// The documents of a YAML file. The error says where it is at fault.
    pub fn documents(text: &str) -> Result<Vec<Self>, CliError> {
        // Only true and false are booleans: an id may be `no`.
        let options = serde_saphyr::options! {
            strict_booleans: true,
            // What a number is comes out where it is used: a text may be `.inf`, and a decimal is as large as it is.
            non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
            budget: serde_saphyr::budget! {
                max_documents: DOCUMENTS_MAX,
                max_nodes: VALUES_MAX,
                max_events: 4 * VALUES_MAX,
            },
        };
        let found: Vec<Spanned<Read>> =
            serde_saphyr::from_multiple_with_options(text, options).map_err(|error| fault(&error))?;
        found.into_iter().map(|document| Self::of(text, document)).collect()
    }

    fn of(text: &str, read: Spanned<Read>) -> Result<Self, CliError> {
        let place = read.defined;
        let source = || {
            let span = place.span();
            let begin = usize::try_from(span.byte_offset()?).ok()?;
            let end = begin.checked_add(usize::try_from(span.byte_len()?).ok()?)?;
            text.get(begin..end).map(|found| found.trim().to_owned())
        };
        let source = || {
            source().ok_or_else(|| {
                CliError::new(format!("line {} column {}: quote this value", place.line(), place.column()))
            })
        };
        Ok(match read.value {
            Read::Null => Written::Null,
            Read::Bool(value) => Written::Bool(value, source()?),
            Read::Number => Written::Number(source()?),
            Read::Text(text) => Written::Text(text),
            Read::List(list) => {
                Written::List(list.into_iter().map(|one| Self::of(text, one)).collect::<Result<_, _>>()?)
            }
            Read::Fields(fields) => {
                let field = |(name, value)| Ok::<_, CliError>((name, Self::of(text, value)?));
                Written::Fields(fields.into_iter().map(field).collect::<Result<_, _>>()?)
            }
        })
    }

    /// A JSON text.
    pub fn json(text: &str) -> Result<Self, CliError> {
        json::check_object(text).map_err(|error| CliError::new(error.to_string()))?;
        let tree = json::parse(text).map_err(|error| CliError::new(error.to_string()))?;
        Ok(Self::of_node(&tree))
    }

    fn of_node(node: &json::Node<'_>) -> Self {
        match &node.value {
            Json::Null => Written::Null,
            Json::Bool(value) => Written::Bool(*value, value.to_string()),
            Json::Number(digits) => Written::Number(digits.to_string()),
            Json::String(text) => Written::Text(text.to_string()),
            Json::Array(items) => Written::List(items.iter().map(Self::of_node).collect()),
            Json::Object(members) => {
                Written::Fields(members.iter().map(|(name, value)| (name.to_string(), Self::of_node(value))).collect())
            }
        }
    }

    /// A single value as a text, exactly as it is written.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Written::Text(text) | Written::Number(text) | Written::Bool(_, text) => Some(text),
            Written::Null | Written::List(_) | Written::Fields(_) => None,
        }
    }
}

/// What is wrong with a file, in words that people know.
fn fault(error: &YamlError) -> CliError {
    let place = error.location().map(|at| format!("line {} column {}: ", at.line(), at.column())).unwrap_or_default();
    let what = match error.without_snippet() {
        YamlError::Budget { breach: BudgetBreach::Documents { .. }, .. } => {
            format!("has more than {DOCUMENTS_MAX} documents: split it")
        }
        YamlError::Budget { breach: BudgetBreach::Depth { .. }, .. } => "values nest too deep".to_owned(),
        YamlError::Budget { .. }
        | YamlError::AliasReplayCounterOverflow { .. }
        | YamlError::AliasReplayLimitExceeded { .. }
        | YamlError::AliasExpansionLimitExceeded { .. }
        | YamlError::AliasReplayStackDepthExceeded { .. } => {
            "has too many values, anchors or aliases for one file: split it".to_owned()
        }
        YamlError::DuplicateMappingKey { key, .. } => match key {
            Some(key) => format!("{key} is given twice"),
            None => "a field is given twice".to_owned(),
        },
        YamlError::UnknownAnchor { .. } => "refers to an anchor that is nowhere before it".to_owned(),
        YamlError::InvalidScalar { .. }
        | YamlError::InvalidBooleanStrict { .. }
        | YamlError::InvalidBinaryBase64 { .. }
        | YamlError::BinaryNotUtf8 { .. }
        | YamlError::TaggedScalarCannotDeserializeIntoString { .. }
        | YamlError::InvalidCharNull { .. }
        | YamlError::InvalidCharNotSingleScalar { .. } => {
            "is not what its tag says: quote it, without a tag".to_owned()
        }
        other => {
            let said = other.to_string();
            said.split(" at line ").next().unwrap_or_default().to_owned()
        }
    };
    CliError::new(format!("{place}{what}"))
}

#[cfg(test)]
#[path = "tests/written.rs"]
mod tests;
