//! What stands before a filter, and behind it: a path, or a value as it is written.

use std::borrow::Cow;

use super::{
    super::{
        reference::{Reference, Scope},
        value::Value,
    },
    syntax::unquoted,
};
use crate::domain::{
    id::ObjectName,
    json::{self, Json},
};

/// A path, or a value as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// What a path stands for.
    Reference(Reference),
    /// A text.
    Text(String),
    /// A number, as JSON writes it.
    Number(String),
    /// True or false.
    Boolean(bool),
    /// Nothing.
    Null,
}

impl Argument {
    /// Reads it. The error has the byte at fault.
    pub fn parse(text: &str, object: &ObjectName) -> Result<Self, (usize, String)> {
        if text.starts_with(['\'', '"']) {
            return unquoted(text).map(Argument::Text);
        }
        if text == object.as_str() {
            return Reference::parse(text, object).map(Argument::Reference);
        }
        match text {
            "true" => return Ok(Argument::Boolean(true)),
            "false" => return Ok(Argument::Boolean(false)),
            "nil" | "null" => return Ok(Argument::Null),
            "" => return Err((0, "is empty: a path, a number, or a text in quotation marks expected".to_owned())),
            _ => {}
        }
        match json::parse(text).map(|node| node.value) {
            Ok(Json::Number(digits)) => Ok(Argument::Number(digits.into_owned())),
            _ => Reference::parse(text, object).map(Argument::Reference),
        }
    }

    /// The path, where it is one.
    pub fn reference(&self) -> Option<&Reference> {
        match self {
            Argument::Reference(reference) => Some(reference),
            _ => None,
        }
    }

    /// What it stands for.
    pub fn value<'e>(&'e self, scope: Scope<'e>) -> Value<'e> {
        match self {
            Argument::Reference(reference) => reference.value(scope),
            Argument::Text(text) => Value::Text(Cow::Borrowed(text)),
            Argument::Number(digits) => Value::Number(Cow::Borrowed(digits)),
            Argument::Boolean(value) => Value::Boolean(*value),
            Argument::Null => Value::Null,
        }
    }
}
