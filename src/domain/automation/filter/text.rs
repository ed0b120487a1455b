//! Filters of texts. Numbers and booleans are taken as their text.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use super::{
    super::value::Value,
    ITEMS_MAX, TEXT_BYTES_MAX,
    number::{count, whole},
};
use crate::domain::json::{Json, Node};

/// How long a truncated text is where nothing is said.
const TRUNCATED_CHARS: usize = 50;
/// What stands for the rest of it.
const ELLIPSIS: &str = "...";

/// A value as text; lists and objects are none.
pub fn of<'v>(value: &'v Value<'_>) -> Result<Cow<'v, str>, String> {
    let is_plain = value.text().is_some() || value.number().is_some() || value.boolean().is_some();
    if is_plain { Ok(value.as_text()) } else { Err(format!("takes a text, not {}", value.word())) }
}

/// What a function makes of a text.
pub fn each<'e>(value: &Value<'_>, make: impl Fn(&str) -> String) -> Result<Value<'e>, String> {
    let text = of(value)?;
    // Nothing here makes more than a dozen times as much of a text.
    if text.len() > TEXT_BYTES_MAX {
        return Err(format!("takes at most {TEXT_BYTES_MAX} bytes of text"));
    }
    Ok(Value::Text(make(&text).into()))
}

/// A text, and what is put behind or before it; nothing is as an empty one.
pub fn joined<'e>(value: &Value<'_>, arguments: &[Value<'_>], is_before: bool) -> Result<Value<'e>, String> {
    fn text<'v>(value: &'v Value<'_>) -> Result<Cow<'v, str>, String> {
        if value.is_null() { Ok(Cow::Borrowed("")) } else { of(value) }
    }
    let value = text(value)?;
    let more = arguments.first().map(text).transpose()?.unwrap_or_default();
    let joined = if is_before { [more, value].concat() } else { [value, more].concat() };
    Ok(Value::Text(joined.into()))
}

/// Without white space at its ends; it keeps the bytes that it has.
pub fn stripped(value: Value<'_>) -> Result<Value<'_>, String> {
    Ok(Value::Text(match value {
        Value::Text(Cow::Borrowed(text)) => Cow::Borrowed(text.trim()),
        Value::Json(Node { value: Json::String(text), .. }) => Cow::Borrowed(text.trim()),
        other => Cow::Owned(of(&other)?.trim().to_owned()),
    }))
}

/// In capital letters.
pub fn upcased(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_uppercase() } else { text.to_uppercase() }
}

/// In small letters.
pub fn downcased(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { text.to_lowercase() }
}

/// The first letter large, the others small.
pub fn capitalized(text: &str) -> String {
    if text.is_ascii() {
        let mut text = text.to_ascii_lowercase();
        if let Some(first) = text.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        return text;
    }
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters.as_str().to_lowercase().chars()).collect())
}

/// With the characters of HTML as entities.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut done = 0;
    for (at, byte) in text.bytes().enumerate() {
        let entity = match byte {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            b'\'' => "&#39;",
            _ => continue,
        };
        escaped.push_str(&text[done..at]);
        escaped.push_str(entity);
        done = at + 1;
    }
    escaped.push_str(&text[done..]);
    escaped
}

/// As in a form: a space becomes `+`, everything but letters, digits, `-`, `_` and `.` its percent-encoding.
pub fn url_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => encoded.push('+'),
            b'-' | b'_' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// In base64.
pub fn base64(text: &str) -> String {
    STANDARD.encode(text)
}

/// Its SHA-256, in hexadecimal digits.
pub fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// At most so many characters, of which the last ones say that something is left out.
pub fn truncated<'e>(value: &Value<'_>, arguments: &[Value<'_>]) -> Result<Value<'e>, String> {
    let text = of(value)?;
    let most = arguments.first().map(count).transpose()?.unwrap_or(TRUNCATED_CHARS);
    let ellipsis = arguments.get(1).map(of).transpose()?.unwrap_or(Cow::Borrowed(ELLIPSIS));
    if text.len() <= most || text.chars().nth(most).is_none() {
        return Ok(Value::Text(Cow::Owned(text.into_owned())));
    }
    let kept = most.saturating_sub(ellipsis.chars().count());
    Ok(Value::Text(text.chars().take(kept).chain(ellipsis.chars()).collect::<String>().into()))
}

/// With every occurrence of a text replaced by another one, or by nothing.
pub fn replaced<'e>(value: &Value<'_>, arguments: &[Value<'_>]) -> Result<Value<'e>, String> {
    let text = of(value)?;
    let from = arguments.first().map(of).transpose()?.unwrap_or_default();
    let to = arguments.get(1).map(of).transpose()?.unwrap_or_default();
    if from.is_empty() {
        return Ok(Value::Text(Cow::Owned(text.into_owned())));
    }
    // Counted only where every byte of it could become too much.
    let bytes = || text.len() + text.matches(&*from).count() * to.len().saturating_sub(from.len());
    if text.len().saturating_mul(to.len()) > TEXT_BYTES_MAX && bytes() > TEXT_BYTES_MAX {
        return Err(format!("makes more than {TEXT_BYTES_MAX} bytes of text"));
    }
    let mut letters = from.chars();
    Ok(Value::Text(match (letters.next(), letters.next()) {
        // A single letter is found faster.
        (Some(letter), None) => text.replace(letter, &to).into(),
        _ => text.replace(&*from, &to).into(),
    }))
}

/// Its parts between separators, without empty ones at the end; its characters where the separator is empty.
pub fn split<'e>(value: &Value<'_>, arguments: &[Value<'_>]) -> Result<Value<'e>, String> {
    let text = of(value)?;
    let by = arguments.first().map(of).transpose()?.unwrap_or_default();
    let parts = match by.as_ref() {
        "" => text.chars().take(ITEMS_MAX + 1).map(String::from).collect::<Vec<_>>(),
        " " => text.split_whitespace().take(ITEMS_MAX + 1).map(ToOwned::to_owned).collect(),
        by => text.split(by).take(ITEMS_MAX + 1).map(ToOwned::to_owned).collect(),
    };
    if parts.len() > ITEMS_MAX {
        return Err(format!("makes more than {ITEMS_MAX} values"));
    }
    let end = parts.iter().rposition(|part| !part.is_empty()).map_or(0, |last| last + 1);
    Ok(Value::List(parts.into_iter().take(end).map(|part| Value::Text(part.into())).collect()))
}

/// Some characters from a place on, which counts from the end where it is negative.
pub fn sliced<'e>(value: &Value<'_>, arguments: &[Value<'_>]) -> Result<Value<'e>, String> {
    let letters: Vec<char> = of(value)?.chars().collect();
    let range = range(letters.len(), arguments)?;
    Ok(Value::Text(letters[range].iter().collect::<String>().into()))
}

/// The part of so many that arguments ask for: where it begins, and how long it is, 1 where nothing is said.
pub fn range(length: usize, arguments: &[Value<'_>]) -> Result<std::ops::Range<usize>, String> {
    let begin = arguments.first().map(whole).transpose()?.unwrap_or_default();
    let begin = match usize::try_from(begin) {
        Ok(begin) => begin.min(length),
        Err(_) => match length.checked_sub(usize::try_from(begin.unsigned_abs()).unwrap_or(usize::MAX)) {
            Some(begin) => begin,
            None => return Ok(0..0),
        },
    };
    let count = arguments.get(1).map(count).transpose()?.unwrap_or(1);
    Ok(begin..begin.saturating_add(count).min(length))
}
