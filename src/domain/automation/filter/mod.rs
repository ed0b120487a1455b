//! Filters: what a placeholder makes of its value, `{{deal.title | strip | upcase}}`, with the names and the syntax of Liquid.
//!
//! A filter is pure and bounded. One that meets what it cannot take gives null, and says why.

mod argument;
mod date;
mod list;
mod number;
mod syntax;
mod text;

pub use self::{
    argument::Argument,
    syntax::{pieces, unquoted},
};
use super::{
    reference::{Reference, Scope},
    value::Value,
};
use crate::domain::{id::ObjectName, path::FieldPath};

/// How many filters a placeholder may have.
pub const FILTERS_MAX: usize = 20;
/// How large a text may be that a filter makes.
pub const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// How many values a list may have that a filter makes or looks at.
pub const ITEMS_MAX: usize = 10_000;

/// How many arguments a filter takes.
pub const ARGUMENTS_MAX: usize = 2;

/// What a filter does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Abs,
    Append,
    AtLeast,
    AtMost,
    Base64Encode,
    Capitalize,
    Ceil,
    Compact,
    Date,
    DatePlus,
    Default,
    DividedBy,
    Downcase,
    Escape,
    First,
    Floor,
    Join,
    Json,
    Label,
    Last,
    Map,
    Minus,
    Modulo,
    Plus,
    Prepend,
    Remove,
    Replace,
    Reverse,
    Round,
    Sha256,
    Size,
    Slice,
    Sort,
    Split,
    Strip,
    Sum,
    Times,
    Truncate,
    Uniq,
    Upcase,
    UrlEncode,
    Where,
}

/// What an argument must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Anything.
    Any,
    /// A text, or a field.
    Text,
    /// A number, or a field.
    Number,
    /// A whole number, or a field.
    Whole,
    /// A whole number that is not negative, or a field.
    Count,
    /// A whole number of at least 0 as it is written, at most 20.
    Places,
    /// The path of a member, as it is written.
    Member,
    /// A format of times, as it is written.
    Format,
    /// The name of a time zone, or a field.
    Zone,
    /// A span of time, as it is written.
    Span,
}

use Kind as K;
use Operation as O;

/// Every filter: its name, what it does, how many arguments it needs, and what each must be.
const FILTERS: [(&str, Operation, usize, &[Kind]); 42] = [
    ("abs", O::Abs, 0, &[]),
    ("append", O::Append, 1, &[K::Any]),
    ("at_least", O::AtLeast, 1, &[K::Number]),
    ("at_most", O::AtMost, 1, &[K::Number]),
    ("base64_encode", O::Base64Encode, 0, &[]),
    ("capitalize", O::Capitalize, 0, &[]),
    ("ceil", O::Ceil, 0, &[]),
    ("compact", O::Compact, 0, &[]),
    ("date", O::Date, 1, &[K::Format, K::Zone]),
    ("date_plus", O::DatePlus, 1, &[K::Span, K::Zone]),
    ("default", O::Default, 1, &[K::Any]),
    ("divided_by", O::DividedBy, 1, &[K::Number, K::Places]),
    ("downcase", O::Downcase, 0, &[]),
    ("escape", O::Escape, 0, &[]),
    ("first", O::First, 0, &[]),
    ("floor", O::Floor, 0, &[]),
    ("join", O::Join, 0, &[K::Text]),
    ("json", O::Json, 0, &[]),
    ("label", O::Label, 0, &[]),
    ("last", O::Last, 0, &[]),
    ("map", O::Map, 1, &[K::Member]),
    ("minus", O::Minus, 1, &[K::Number]),
    ("modulo", O::Modulo, 1, &[K::Number]),
    ("plus", O::Plus, 1, &[K::Number]),
    ("prepend", O::Prepend, 1, &[K::Any]),
    ("remove", O::Remove, 1, &[K::Text]),
    ("replace", O::Replace, 2, &[K::Text, K::Text]),
    ("reverse", O::Reverse, 0, &[]),
    ("round", O::Round, 0, &[K::Places]),
    ("sha256", O::Sha256, 0, &[]),
    ("size", O::Size, 0, &[]),
    ("slice", O::Slice, 1, &[K::Whole, K::Count]),
    ("sort", O::Sort, 0, &[K::Member]),
    ("split", O::Split, 1, &[K::Text]),
    ("strip", O::Strip, 0, &[]),
    ("sum", O::Sum, 0, &[K::Member]),
    ("times", O::Times, 1, &[K::Number]),
    ("truncate", O::Truncate, 0, &[K::Count, K::Text]),
    ("uniq", O::Uniq, 0, &[]),
    ("upcase", O::Upcase, 0, &[]),
    ("url_encode", O::UrlEncode, 0, &[]),
    ("where", O::Where, 1, &[K::Member, K::Any]),
];

/// A filter with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    name: &'static str,
    operation: Operation,
    arguments: Vec<Argument>,
    /// The member that it looks at in each value of a list.
    member: Option<FieldPath>,
}

impl Filter {
    /// Reads `name: argument, argument`. The error has the byte at fault.
    pub fn parse(text: &str, object: &ObjectName) -> Result<Self, (usize, String)> {
        let (name, rest) = text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest)));
        let begin = name.len() - name.trim_start().len();
        let name = name.trim();
        let found = FILTERS.iter().find(|(known, ..)| *known == name);
        let (name, operation, least, kinds) =
            *found.ok_or_else(|| (begin, syntax::unknown(name, FILTERS.map(|one| one.0))))?;
        let offset = text.len() - rest.map_or(0, str::len);
        let given = rest.map(|rest| pieces(rest, ',')).unwrap_or_default();
        if !(least..=kinds.len()).contains(&given.len()) {
            let wanted = if least == kinds.len() { format!("{least}") } else { format!("{least} to {}", kinds.len()) };
            return Err((begin, format!("{name} takes {wanted} arguments, {} given", given.len())));
        }
        let mut arguments = Vec::with_capacity(given.len());
        let mut member = None;
        for ((at, text), kind) in given.into_iter().zip(kinds) {
            let at = offset + at + (text.len() - text.trim_start().len());
            let argument = Argument::parse(text.trim(), object).map_err(|(more, message)| (at + more, message))?;
            check(name, &argument, *kind).map_err(|message| (at, message))?;
            if let (Kind::Member, Argument::Text(path)) = (kind, &argument) {
                member = Some(FieldPath::parse(path).map_err(|(more, message)| (at + 1 + more, message))?);
            } else {
                arguments.push(argument);
            }
        }
        let is_zero = |argument: &Argument| matches!(argument, Argument::Number(digits) if number::is_zero(digits));
        if matches!(operation, O::DividedBy | O::Modulo) && arguments.first().is_some_and(is_zero) {
            return Err((offset, format!("{name} by zero has no result")));
        }
        Ok(Self { name, operation, arguments, member })
    }

    /// Whether it asks for the label of the option that its field holds, which is a part of the field's path.
    pub fn is_label(&self) -> bool {
        self.operation == O::Label
    }

    /// What it is called.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The paths among its arguments.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.arguments.iter().filter_map(Argument::reference)
    }

    /// What its arguments stand for.
    pub fn arguments<'e>(&'e self, scope: Scope<'e>) -> [Value<'e>; ARGUMENTS_MAX] {
        let mut arguments = [const { Value::Null }; ARGUMENTS_MAX];
        for (place, argument) in arguments.iter_mut().zip(&self.arguments) {
            *place = argument.value(scope);
        }
        arguments
    }

    /// What it makes of a value; or why it makes nothing of it.
    pub fn apply<'e>(&self, value: Value<'e>, arguments: &[Value<'e>; ARGUMENTS_MAX]) -> Result<Value<'e>, String> {
        let made = self.made(value, &arguments[..self.arguments.len().min(ARGUMENTS_MAX)])?;
        match &made {
            Value::Text(text) if text.len() > TEXT_BYTES_MAX => {
                Err(format!("makes more than {TEXT_BYTES_MAX} bytes of text"))
            }
            Value::List(items) if items.len() > ITEMS_MAX => Err(format!("makes more than {ITEMS_MAX} values")),
            _ => Ok(made),
        }
    }

    fn made<'e>(&self, value: Value<'e>, arguments: &[Value<'e>]) -> Result<Value<'e>, String> {
        let member = self.member.as_ref();
        match self.operation {
            O::Default => Ok(match value.is_empty() || value.boolean() == Some(false) {
                true => arguments.first().cloned().unwrap_or(Value::Null),
                false => value,
            }),
            O::Json => {
                let mut json = String::new();
                value.typed_into(&mut json);
                Ok(Value::Text(json.into()))
            }
            // It was read as a part of the path.
            O::Label => Ok(value),
            O::Size if value.is_null() => Ok(Value::Number("0".into())),
            O::Append | O::Prepend => text::joined(value, arguments, self.operation == O::Prepend),
            // What is not there stays so.
            _ if value.is_null() => Ok(Value::Null),
            O::Upcase => text::each(value, text::upcased),
            O::Downcase => text::each(value, text::downcased),
            O::Capitalize => text::each(value, text::capitalized),
            O::Strip => text::stripped(value),
            O::Escape => text::each(value, text::escaped),
            O::UrlEncode => text::each(value, |text| text::url_encoded(&text).into()),
            O::Base64Encode => text::each(value, |text| text::base64(&text).into()),
            O::Sha256 => text::each(value, |text| text::sha256(&text).into()),
            O::Truncate => text::truncated(value, arguments),
            O::Replace | O::Remove => text::replaced(value, arguments),
            O::Split => text::split(&value, arguments),
            O::Size => list::size(&value),
            O::Slice => list::sliced(&value, arguments),
            O::First => {
                list::of(&value).map(|mut items| if items.is_empty() { Value::Null } else { items.swap_remove(0) })
            }
            O::Last => list::of(&value).map(|mut items| items.pop().unwrap_or(Value::Null)),
            O::Join => list::joined(&value, arguments),
            O::Reverse => list::of(&value).map(|items| Value::List(items.into_iter().rev().collect())),
            O::Compact => {
                list::of(&value).map(|items| Value::List(items.into_iter().filter(|item| !item.is_null()).collect()))
            }
            O::Uniq => list::of(&value).map(list::uniq),
            O::Map => list::of(&value).map(|items| list::mapped(&items, member)),
            O::Where => list::of(&value).and_then(|items| list::filtered(items, member, arguments.first())),
            O::Sort => list::of(&value).and_then(|items| list::sorted(items, member)),
            O::Sum => list::of(&value).and_then(|items| list::sum(&items, member)),
            O::Date => date::formatted(&value, arguments),
            O::DatePlus => date::moved(&value, arguments),
            O::Abs | O::Ceil | O::Floor | O::Round => number::of_one(self.operation, &value, arguments),
            O::Plus | O::Minus | O::Times | O::DividedBy | O::Modulo | O::AtLeast | O::AtMost => {
                number::of_two(self.operation, &value, arguments)
            }
        }
    }
}

/// Refuses an argument that can never be what a filter takes.
fn check(name: &str, argument: &Argument, kind: Kind) -> Result<(), String> {
    let is_text = matches!(argument, Argument::Text(_));
    let is_path = argument.reference().is_some();
    let places =
        || matches!(argument, Argument::Number(digits) if digits.parse::<u8>().is_ok_and(|places| places <= 20));
    let whole = |is_count: bool| match argument {
        Argument::Number(digits) if is_count => digits.parse::<u32>().is_ok(),
        Argument::Number(digits) => digits.parse::<i64>().is_ok(),
        _ => false,
    };
    let (fits, wanted) = match kind {
        Kind::Any => (true, ""),
        Kind::Text => (is_text || is_path, "a text in quotation marks, or a field"),
        Kind::Number => (matches!(argument, Argument::Number(_)) || is_path, "a number, or a field"),
        Kind::Whole => (is_path || whole(false), "a whole number, or a field"),
        Kind::Count => (is_path || whole(true), "a whole number that is not negative, or a field"),
        Kind::Places => (places(), "a number of decimal places, 0 to 20"),
        Kind::Member => (is_text, "the name of a member in quotation marks, such as 'value'"),
        Kind::Format => (is_text, "a format in quotation marks, such as '%Y-%m-%d'"),
        Kind::Zone => (is_text || is_path, "a time zone in quotation marks, such as 'Europe/Tallinn', or a field"),
        Kind::Span => (is_text, "a span of time in quotation marks, such as '7 days'"),
    };
    if !fits {
        return Err(format!("{name} takes {wanted} here"));
    }
    match (kind, argument) {
        (Kind::Format, Argument::Text(format)) => date::check_format(format),
        (Kind::Zone, Argument::Text(zone)) => super::calendar::zone(zone).map(drop),
        (Kind::Span, Argument::Text(span)) => super::calendar::span(span).map(drop),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "tests/filter.rs"]
mod tests;
