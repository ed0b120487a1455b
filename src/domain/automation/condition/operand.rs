//! What a clause compares a field with, and how values of the event compare with it.

use std::cmp::Ordering;

use crate::domain::{
    decimal::{Decimal, are_equal},
    json::{Json, Node},
    timestamp::{parse_date, parse_instant},
};

/// A value of a clause or of an event, as it is compared.
#[derive(Debug, Clone)]
pub enum Operand {
    Null,
    Boolean(bool),
    Number(Decimal, String),
    Date(i32, String),
    /// In nanoseconds since 1970.
    Instant(i128, String),
    Text(String),
}

impl Operand {
    /// What a text stands for: a time, a date, or itself.
    pub fn of_text(text: &str) -> Self {
        if let Some(date) = parse_date(text) {
            Operand::Date(date, text.to_owned())
        } else if let Some(instant) = parse_instant(text) {
            Operand::Instant(instant, text.to_owned())
        } else {
            Operand::Text(text.to_owned())
        }
    }

    /// The text of a text, a date or a time.
    pub fn text(&self) -> Option<&str> {
        match self {
            Operand::Text(text) | Operand::Date(_, text) | Operand::Instant(_, text) => Some(text),
            _ => None,
        }
    }

    /// Whether a value is this one. Absent is null; a number is not its text.
    pub fn equals(&self, node: Option<&Node<'_>>) -> bool {
        match (self, node.map(|node| &node.value)) {
            (Operand::Null, None | Some(Json::Null)) => true,
            (Operand::Boolean(a), Some(Json::Bool(b))) => a == b,
            (Operand::Number(_, source), Some(Json::Number(b))) => are_equal(source, b),
            (Operand::Instant(a, source), Some(Json::String(b))) => source == b || parse_instant(b).as_ref() == Some(a),
            (Operand::Text(a) | Operand::Date(_, a), Some(Json::String(b))) => a == b,
            _ => false,
        }
    }

    /// How a value compares with this one, where both are of one type that has an order.
    pub fn order_of(&self, node: Option<&Node<'_>>) -> Option<Ordering> {
        match (self, node.map(|node| &node.value)?) {
            (Operand::Number(a, _), Json::Number(b)) => Decimal::parse(b).map(|b| b.cmp(a)),
            (Operand::Date(a, _), Json::String(b)) => parse_date(b).map(|b| b.cmp(a)),
            (Operand::Instant(a, _), Json::String(b)) => parse_instant(b).map(|b| b.cmp(a)),
            _ => None,
        }
    }

    /// Which of two comes first; none where they are of different types.
    pub fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Operand::Number(a, _), Operand::Number(b, _)) => Some(a.cmp(b)),
            (Operand::Date(a, _), Operand::Date(b, _)) => Some(a.cmp(b)),
            (Operand::Instant(a, _), Operand::Instant(b, _)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    /// What type it is of, in words.
    pub fn type_name(&self) -> &'static str {
        match self {
            Operand::Null => "null",
            Operand::Boolean(_) => "a boolean",
            Operand::Number(..) => "a number",
            Operand::Date(..) => "a date",
            Operand::Instant(..) => "a time",
            Operand::Text(_) => "a text",
        }
    }

    /// The value for an explanation.
    pub fn shown(&self) -> String {
        match self {
            Operand::Null => "null".into(),
            Operand::Boolean(value) => value.to_string(),
            Operand::Number(_, source) => source.clone(),
            Operand::Text(text) | Operand::Date(_, text) | Operand::Instant(_, text) => shown(&format!("{text:?}")),
        }
    }
}

/// How much of a value an explanation shows.
const SHOWN_CHARS_MAX: usize = 120;

/// A text, as much of it as an explanation shows.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
