//! Placeholders: what stands between double braces, and the value that an event gives it.

use std::cell::{Cell, RefCell};

pub use super::reference::{ROOTS, Scope};
use super::{
    catalogue::Catalogue,
    condition::ObjectState,
    filter::{Argument, FILTERS_MAX, Filter, pieces},
    reference::Reference,
    value::Value,
};
use crate::domain::{
    event::Event,
    hole::{Around, closing_braces},
    id::ObjectName,
    json::{self, Node},
    path::FieldPath,
};

/// How many bytes the filters of one request look at together, each of them 256 more.
pub const FILTER_WORK_MAX: usize = 4 * 1024 * 1024;
/// What a filter counts as that looks at nothing.
const FILTER_WORK: usize = 256;
/// How many warnings of one request are kept.
pub const WARNINGS_MAX: usize = 10;
/// How much of one is kept.
const WARNING_CHARS_MAX: usize = 200;
/// What ends a placeholder, or its path, that must stand for something.
const REQUIRED: char = '!';

/// A placeholder, such as `deal.title`, with what is made of its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placeholder {
    source: Argument,
    filters: Vec<Filter>,
    /// Whether the path must lead to something: `{{deal.id! | upcase}}`.
    needs_source: bool,
    /// Whether something must come out: `{{deal.id!}}`.
    is_required: bool,
}

/// What must stand for something stands for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueMissing;

/// One request while it is rendered: what could not be made of values, for people who read it, and how much filters may
/// still do.
#[derive(Debug)]
pub struct Rendering {
    warnings: RefCell<Vec<String>>,
    work: Cell<usize>,
}

impl Default for Rendering {
    fn default() -> Self {
        Self { warnings: RefCell::default(), work: Cell::new(FILTER_WORK_MAX) }
    }
}

impl Rendering {
    fn note(&self, warning: &str) {
        let mut noted = self.warnings.borrow_mut();
        let warning: String = warning.chars().take(WARNING_CHARS_MAX).collect();
        if noted.len() < WARNINGS_MAX && !noted.contains(&warning) {
            noted.push(warning);
        }
    }

    /// Takes the work of one filter, if so much is left.
    fn take(&self, bytes: usize) -> Result<(), String> {
        let left = self.work.get().checked_sub(FILTER_WORK + bytes);
        self.work.set(left.unwrap_or_default());
        left.map(drop).ok_or_else(|| format!("has more to do than the {FILTER_WORK_MAX} bytes that one request may"))
    }

    /// What is warned of.
    pub fn warnings(self) -> Vec<String> {
        self.warnings.into_inner()
    }
}

impl Placeholder {
    /// Reads what stands between the braces. The error has the byte at fault.
    pub fn parse(text: &str, object: &ObjectName) -> Result<Self, (usize, String)> {
        let whole = text.trim_end();
        let (whole, is_required) = without_mark(whole);
        let mut parts = pieces(whole, '|').into_iter();
        let (_, source) = parts.next().unwrap_or_default();
        let begin = source.len() - source.trim_start().len();
        let (source, needs_source) = without_mark(source.trim());
        if needs_source && is_required && !whole.contains('|') {
            return Err((begin + source.len(), "one ! is enough".to_owned()));
        }
        let source = Argument::parse(source, object).map_err(|(at, message)| (begin + at, message))?;
        let mut filters = Vec::new();
        for (at, part) in parts {
            if filters.len() >= FILTERS_MAX {
                return Err((at, format!("has more than {FILTERS_MAX} filters")));
            }
            filters.push(Filter::parse(part, object).map_err(|(more, message)| (at + more, message))?);
        }
        let placeholder = Self { source, filters, needs_source, is_required };
        placeholder.with_label().map_err(|message| (begin, message))
    }

    /// A label is a part of the field's path: it is read from the catalogue.
    fn with_label(mut self) -> Result<Self, String> {
        let asks = |filter: &Filter| filter.is_label();
        match self.filters.iter().filter(|filter| asks(filter)).count() {
            0 => Ok(self),
            1 if self.filters.first().is_some_and(asks) => {
                let field = match self.source {
                    Argument::Reference(reference) => reference.label(),
                    _ => None,
                };
                if self.needs_source {
                    return Err("label and the mark ! of its field do not go together: put the ! at the end".to_owned());
                }
                let message = "label is for a field of the object";
                self.source = Argument::Reference(field.ok_or(message)?);
                self.filters.remove(0);
                Ok(self)
            }
            _ => Err("label must be the first filter, right behind its field".to_owned()),
        }
    }

    /// The field of the object that it stands for.
    pub fn field(&self) -> Option<&FieldPath> {
        self.source.reference().and_then(Reference::field)
    }

    /// Every field that it looks at.
    pub fn fields(&self) -> impl Iterator<Item = &FieldPath> {
        let of_filters = self.filters.iter().flat_map(Filter::references);
        self.source.reference().into_iter().chain(of_filters).filter_map(Reference::field)
    }

    /// Whether it makes something of its value.
    pub fn has_filters(&self) -> bool {
        !self.filters.is_empty()
    }

    /// What it stands for. A filter that makes nothing of a value gives null, and says why.
    pub fn value<'e>(&'e self, scope: Scope<'e>, rendering: &Rendering) -> Result<Value<'e>, ValueMissing> {
        let mut value = self.source.value(scope);
        if self.needs_source && value.is_empty() {
            return Err(ValueMissing);
        }
        for filter in &self.filters {
            let made = rendering.take(value.weight()).and_then(|()| {
                let arguments = filter.arguments(scope);
                rendering.take(arguments.iter().map(Value::weight).sum())?;
                filter.apply(value, &arguments)
            });
            value = made.unwrap_or_else(|why| {
                rendering.note(&format!("the filter {} {why}", filter.name()));
                Value::Null
            });
        }
        if self.is_required && value.is_empty() { Err(ValueMissing) } else { Ok(value) }
    }
}

/// A text without the mark of what is required, and whether it had one.
fn without_mark(text: &str) -> (&str, bool) {
    text.strip_suffix(REQUIRED).map_or((text, false), |rest| (rest.trim_end(), true))
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
        // Where a quotation mark is not closed, that is said of what stands before the first braces.
        let end = closing_braces(&text[inner..], Around::Text).or_else(|| text[inner..].find("}}"));
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

pub(super) fn floor(text: &str, mut offset: usize) -> usize {
    offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
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
        ObjectState { event, data: &self.data, previous: self.previous.as_ref(), catalogue }
    }
}
