//! What placeholders and filters make: values of an event, with their own bytes, or new ones.

use std::borrow::Cow;

use crate::domain::json::{self, Json, Node};

/// A value.
#[derive(Debug, Clone)]
pub enum Value<'e> {
    /// Nothing: a path leads nowhere.
    Null,
    /// True or false.
    Boolean(bool),
    /// A number, as JSON writes it.
    Number(Cow<'e, str>),
    /// A text.
    Text(Cow<'e, str>),
    /// A value of the event, with its own bytes.
    Json(&'e Node<'e>),
    /// What a path leads to in each value of a list.
    Each(Vec<Value<'e>>),
    /// A list that a filter has made.
    List(Vec<Value<'e>>),
}

impl<'e> Value<'e> {
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
            Value::Boolean(_) | Value::Number(_) | Value::Each(_) | Value::List(_) => {
                let mut text = String::new();
                self.typed_into(&mut text);
                Cow::Owned(text)
            }
        }
    }

    /// Whether it stands for nothing: null, or an empty text, list or object.
    pub fn is_empty(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Boolean(_) | Value::Number(_) => false,
            Value::Text(text) => text.is_empty(),
            // Of several values, one is enough.
            Value::Each(items) => items.iter().all(Value::is_empty),
            Value::List(items) => items.is_empty(),
            Value::Json(node) => match &node.value {
                Json::Null => true,
                Json::String(text) => text.is_empty(),
                Json::Array(items) => items.is_empty(),
                Json::Object(members) => members.is_empty(),
                Json::Bool(_) | Json::Number(_) => false,
            },
        }
    }

    /// As JSON.
    pub fn typed_into(&self, out: &mut String) {
        match self {
            Value::Null => out.push_str("null"),
            Value::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
            Value::Number(digits) => out.push_str(digits),
            Value::Json(node) => out.push_str(node.raw),
            Value::Text(text) => quoted_into(text, out),
            Value::Each(items) | Value::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { ", " });
                    item.typed_into(out);
                }
                out.push(']');
            }
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null) || matches!(self, Value::Json(node) if node.is_null())
    }

    /// The content of a text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            Value::Json(node) => node.as_str(),
            _ => None,
        }
    }

    /// A number, as JSON writes it.
    pub fn number(&self) -> Option<&str> {
        match self {
            Value::Number(digits) => Some(digits),
            Value::Json(Node { value: Json::Number(digits), .. }) => Some(digits),
            _ => None,
        }
    }

    /// True or false.
    pub fn boolean(&self) -> Option<bool> {
        match self {
            Value::Boolean(value) => Some(*value),
            Value::Json(Node { value: Json::Bool(value), .. }) => Some(*value),
            _ => None,
        }
    }

    /// The values of a list.
    pub fn items(&self) -> Option<Vec<Value<'e>>> {
        match self {
            Value::Each(items) | Value::List(items) => Some(items.clone()),
            Value::Json(Node { value: Json::Array(items), .. }) => Some(items.iter().map(Value::Json).collect()),
            _ => None,
        }
    }

    /// About how many bytes it has.
    pub fn weight(&self) -> usize {
        match self {
            Value::Null | Value::Boolean(_) => 0,
            Value::Number(text) | Value::Text(text) => text.len(),
            Value::Json(node) => node.raw.len(),
            Value::Each(items) | Value::List(items) => items.iter().map(|item| 32 + item.weight()).sum(),
        }
    }

    /// In words, such as `a number`.
    pub fn word(&self) -> &'static str {
        match self {
            _ if self.is_null() => "null",
            _ if self.boolean().is_some() => "a boolean",
            _ if self.number().is_some() => "a number",
            _ if self.text().is_some() => "a text",
            Value::Each(_) | Value::List(_) | Value::Json(Node { value: Json::Array(_), .. }) => "a list",
            _ => "an object",
        }
    }
}

/// Appends a text as a JSON string.
pub fn quoted_into(text: &str, out: &mut String) {
    out.push('"');
    json::escape_into(text, out);
    out.push('"');
}
