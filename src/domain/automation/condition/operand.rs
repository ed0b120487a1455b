//! What a clause compares a field with, and how values of the event compare with it.

use std::{borrow::Cow, cmp::Ordering};

use unicase::UniCase;

use super::{pattern::Pattern, relative::Moment};
use crate::domain::{
    automation::value::quoted_into,
    decimal::{Decimal, are_equal},
    json::{Json, Node},
    timestamp::{parse_date, parse_instant},
};

/// A value of a clause or of an event, as it is compared.
#[derive(Debug, Clone)]
pub struct Operand<'e> {
    value: Meaning<'e>,
    /// Whether it is an id, of which no part is anything.
    is_whole: bool,
    /// A text without its case, where that does not matter.
    folded: Option<String>,
}

#[derive(Debug, Clone)]
enum Meaning<'e> {
    Null,
    Boolean(bool),
    Number(Decimal, String),
    Date(i32, String),
    /// In nanoseconds since 1970.
    Instant(i128, String),
    Text(String),
    Pattern(Pattern),
    /// A time, and its date.
    Moment(Moment),
    /// A list or an object of the event.
    Whole(&'e Node<'e>),
}

/// A text as it is compared where case does not matter.
pub fn folded(text: &str) -> String {
    UniCase::unicode(text).to_folded_case()
}

impl<'e> Operand<'e> {
    fn new(value: Meaning<'e>) -> Self {
        Self { value, is_whole: false, folded: None }
    }

    /// Null.
    pub fn null() -> Self {
        Self::new(Meaning::Null)
    }

    /// A boolean.
    pub fn boolean(value: bool) -> Self {
        Self::new(Meaning::Boolean(value))
    }

    /// A number as JSON writes it.
    pub fn number(source: &str) -> Option<Self> {
        Decimal::parse(source).map(|number| Self::new(Meaning::Number(number, source.to_owned())))
    }

    /// What a text stands for: a time, a date, or itself.
    pub fn text(text: &str) -> Self {
        Self::new(if let Some(date) = parse_date(text) {
            Meaning::Date(date, text.to_owned())
        } else if let Some(instant) = parse_instant(text) {
            Meaning::Instant(instant, text.to_owned())
        } else {
            Meaning::Text(text.to_owned())
        })
    }

    /// A pattern to look for.
    pub fn pattern(pattern: Pattern) -> Self {
        Self::new(Meaning::Pattern(pattern))
    }

    /// What a relative time is at an event.
    pub fn moment(moment: Moment) -> Self {
        Self::new(Meaning::Moment(moment))
    }

    /// A value of the event.
    pub fn of(node: Option<Cow<'e, Node<'e>>>) -> Self {
        let plain = |value: &Json<'_>| match value {
            Json::Null => Some(Self::null()),
            Json::Bool(value) => Some(Self::boolean(*value)),
            Json::Number(digits) => Self::number(digits),
            Json::String(text) => Some(Self::text(text)),
            Json::Array(_) | Json::Object(_) => None,
        };
        match node {
            None => Self::null(),
            Some(Cow::Owned(node)) => plain(&node.value).unwrap_or_else(Self::null),
            Some(Cow::Borrowed(node)) => plain(&node.value).unwrap_or_else(|| Self::new(Meaning::Whole(node))),
        }
    }

    /// The same, compared without case.
    #[must_use]
    pub fn without_case(mut self) -> Self {
        self.folded = self.as_text().map(folded);
        self
    }

    /// The same with a whole number as text.
    #[must_use]
    pub fn into_id(self) -> Self {
        match self.value {
            Meaning::Number(_, digits) => Self::new(Meaning::Text(digits)).into_whole(),
            _ => self,
        }
    }

    /// The same as an id, of which no part is anything.
    #[must_use]
    pub fn into_whole(mut self) -> Self {
        self.is_whole = true;
        self
    }

    /// The text of a text, a date or a time.
    fn as_text(&self) -> Option<&str> {
        match &self.value {
            Meaning::Text(text) | Meaning::Date(_, text) | Meaning::Instant(_, text) => Some(text),
            _ => None,
        }
    }

    /// The text to look for, without case where that does not matter; none where it is empty.
    pub fn part(&self) -> Option<&str> {
        self.folded.as_deref().or_else(|| self.as_text()).filter(|text| !self.is_whole && !text.is_empty())
    }

    /// Whether it is a text, a date or a time.
    pub fn is_text(&self) -> bool {
        self.as_text().is_some()
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Meaning::Null)
    }

    /// Whether it is a number.
    pub fn is_number(&self) -> bool {
        matches!(self.value, Meaning::Number(..))
    }

    /// Whether it is a date or a time.
    pub fn is_moment(&self) -> bool {
        matches!(self.value, Meaning::Date(..) | Meaning::Instant(..) | Meaning::Moment(_))
    }

    /// Whether a value, without case where that does not matter, is this one. Absent is null; a number is not its text.
    pub fn equals(&self, node: Option<&Node<'_>>) -> bool {
        match (&self.value, node.map(|node| &node.value)) {
            (Meaning::Null, None | Some(Json::Null)) => true,
            (Meaning::Boolean(a), Some(Json::Bool(b))) => a == b,
            (Meaning::Number(_, source), Some(Json::Number(b))) => are_equal(source, b),
            (Meaning::Instant(a, source), Some(Json::String(b))) => source == b || parse_instant(b).as_ref() == Some(a),
            (Meaning::Text(_) | Meaning::Date(..), Some(Json::String(text))) => {
                self.folded.as_deref().or_else(|| self.as_text()) == Some(text)
            }
            (Meaning::Moment(moment), Some(Json::String(b))) => match parse_date(b) {
                Some(date) => date == moment.date,
                None => parse_instant(b) == Some(moment.instant),
            },
            // As they are written: comparing them member by member would take too long in large lists.
            (Meaning::Whole(whole), Some(Json::Array(_) | Json::Object(_))) => {
                node.is_some_and(|node| node.raw == whole.raw)
            }
            _ => false,
        }
    }

    /// How a value compares with this one, where both are of one type that has an order.
    pub fn order_of(&self, value: &Ordered) -> Option<Ordering> {
        match (&self.value, value) {
            (Meaning::Number(a, _), Ordered::Number(b)) => Some(b.cmp(a)),
            (Meaning::Date(a, _), Ordered::Date(b)) => Some(b.cmp(a)),
            (Meaning::Instant(a, _), Ordered::Instant(b)) => Some(b.cmp(a)),
            (Meaning::Moment(moment), Ordered::Date(b)) => Some(b.cmp(&moment.date)),
            (Meaning::Moment(moment), Ordered::Instant(b)) => Some(b.cmp(&moment.instant)),
            _ => None,
        }
    }

    /// Which of two comes first; none where they are of different types.
    pub fn order(&self, other: &Operand<'_>) -> Option<Ordering> {
        match (&self.value, &other.value) {
            (Meaning::Number(a, _), Meaning::Number(b, _)) => Some(a.cmp(b)),
            (Meaning::Date(a, _), Meaning::Date(b, _)) => Some(a.cmp(b)),
            (Meaning::Instant(a, _), Meaning::Instant(b, _)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    /// Whether the pattern stands in a text.
    pub fn matches(&self, text: &str) -> bool {
        matches!(&self.value, Meaning::Pattern(pattern) if pattern.is_in(text))
    }

    /// The value that equal ones are found by; none of null, which absent values are, too, of times, which have many
    /// spellings, and of what is no single value.
    pub fn key(&self) -> Option<Key<'_>> {
        match &self.value {
            _ if self.folded.is_some() => None,
            Meaning::Boolean(value) => Some(Key::Boolean(*value)),
            Meaning::Number(number, _) => Some(Key::Number(number)),
            Meaning::Text(text) | Meaning::Date(_, text) => Some(Key::Text(text)),
            _ => None,
        }
    }

    /// What type it is of, in words.
    pub fn type_name(&self) -> &'static str {
        match &self.value {
            Meaning::Null => "null",
            Meaning::Boolean(_) => "a boolean",
            Meaning::Number(..) => "a number",
            Meaning::Date(..) => "a date",
            Meaning::Instant(..) => "a time",
            Meaning::Moment(_) => "a date or a time",
            Meaning::Text(_) | Meaning::Pattern(_) => "a text",
            Meaning::Whole(Node { value: Json::Array(_), .. }) => "a list",
            Meaning::Whole(_) => "an object",
        }
    }

    /// The value for an explanation.
    pub fn shown(&self) -> String {
        match &self.value {
            Meaning::Null => "null".into(),
            Meaning::Boolean(value) => value.to_string(),
            Meaning::Number(_, source) => source.clone(),
            Meaning::Text(text) | Meaning::Date(_, text) | Meaning::Instant(_, text) => shown_text(text),
            Meaning::Pattern(pattern) => shown_text(pattern.as_str()),
            Meaning::Moment(moment) => shown_text(&moment.shown),
            Meaning::Whole(node) => shown(node.raw),
        }
    }
}

/// A value of the event that has an order, read once however many it is compared with.
#[derive(Debug)]
pub enum Ordered {
    /// A number.
    Number(Decimal),
    /// A date.
    Date(i32),
    /// A time.
    Instant(i128),
}

impl Ordered {
    /// A value that has one.
    pub fn of(node: Option<&Node<'_>>) -> Option<Self> {
        match &node?.value {
            Json::Number(digits) => Decimal::parse(digits).map(Self::Number),
            Json::String(text) => match parse_date(text) {
                Some(date) => Some(Self::Date(date)),
                None => parse_instant(text).map(Self::Instant),
            },
            _ => None,
        }
    }
}

/// What equal values are found by.
#[derive(Debug)]
pub enum Key<'k> {
    /// A boolean.
    Boolean(bool),
    /// A number.
    Number(&'k Decimal),
    /// A text, or a date as it is written.
    Text(&'k str),
}

/// How much of a value an explanation shows.
const SHOWN_CHARS_MAX: usize = 120;

/// A text, as much of it as an explanation shows.
pub fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A text in quotation marks, as much of it as an explanation shows.
fn shown_text(text: &str) -> String {
    // What is left of it is enough to be quoted and cut.
    let some = text.char_indices().nth(SHOWN_CHARS_MAX + 1).map_or(text, |(end, _)| &text[..end]);
    let mut quoted = String::new();
    quoted_into(some, &mut quoted);
    shown(&quoted)
}

/// A value of the event, as much of it as an explanation shows.
pub fn shown_node(node: Option<&Node<'_>>) -> String {
    match node.map(|node| &node.value) {
        None => "absent".to_owned(),
        Some(Json::Null) => "null".to_owned(),
        Some(Json::Bool(value)) => value.to_string(),
        Some(Json::Number(digits)) => shown(digits),
        Some(Json::String(text)) => shown_text(text),
        Some(Json::Array(_) | Json::Object(_)) => shown(node.map(|node| node.raw).unwrap_or_default()),
    }
}
