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

/// A value as text, which it gives up: nothing is copied that need not be.
pub fn take<'e>(value: Value<'e>) -> Result<Cow<'e, str>, String> {
    match value {
        Value::Text(text) => Ok(text),
        Value::Json(Node { value: Json::String(text), .. }) => Ok(Cow::Borrowed(text)),
        other => of(&other).map(|text| Cow::Owned(text.into_owned())),
    }
}

/// What a function makes of a text.
pub fn each<'e>(value: Value<'e>, make: impl Fn(Cow<'e, str>) -> Cow<'e, str>) -> Result<Value<'e>, String> {
    let text = take(value)?;
    // Nothing here makes more than a dozen times as much of a text.
    if text.len() > TEXT_BYTES_MAX {
        return Err(format!("takes at most {TEXT_BYTES_MAX} bytes of text"));
    }
    Ok(Value::Text(make(text)))
}

/// A text, and what is put behind or before it; nothing is as an empty one.
pub fn joined<'e>(value: Value<'e>, arguments: &[Value<'_>], is_before: bool) -> Result<Value<'e>, String> {
    let more = arguments.first().filter(|more| !more.is_null()).map(of).transpose()?.unwrap_or_default();
    let text = if value.is_null() { Cow::Borrowed("") } else { take(value)? };
    let joined = match text {
        _ if more.is_empty() => return Ok(Value::Text(text)),
        Cow::Owned(mut text) if !is_before => {
            text.push_str(&more);
            text
        }
        text if is_before => [more.as_ref(), text.as_ref()].concat(),
        text => [text.as_ref(), more.as_ref()].concat(),
    };
    Ok(Value::Text(joined.into()))
}

/// Without white space at its ends; it keeps the bytes that it has.
pub fn stripped(value: Value<'_>) -> Result<Value<'_>, String> {
    Ok(Value::Text(match take(value)? {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) if text.trim().len() == text.len() => Cow::Owned(text),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }))
}

/// In capital letters.
pub fn upcased(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.is_ascii() {
        return Cow::Owned(text.to_uppercase());
    }
    let mut text = text.into_owned();
    text.make_ascii_uppercase();
    Cow::Owned(text)
}

/// In small letters.
pub fn downcased(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.is_ascii() {
        return Cow::Owned(text.to_lowercase());
    }
    let mut text = text.into_owned();
    text.make_ascii_lowercase();
    Cow::Owned(text)
}

/// The first letter large, the others small.
pub fn capitalized(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.is_ascii() {
        let mut text = text.into_owned();
        text.make_ascii_lowercase();
        if let Some(first) = text.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        return Cow::Owned(text);
    }
    let mut letters = text.chars();
    let capitalized: String = letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters.as_str().to_lowercase().chars()).collect()
    });
    Cow::Owned(capitalized)
}

/// With the characters of HTML as entities.
pub fn escaped(text: Cow<'_, str>) -> Cow<'_, str> {
    let entity = |byte: u8| match byte {
        b'&' => "&amp;",
        b'<' => "&lt;",
        b'>' => "&gt;",
        b'"' => "&quot;",
        b'\'' => "&#39;",
        _ => "",
    };
    if !text.bytes().any(|byte| matches!(byte, b'&' | b'<' | b'>' | b'"' | b'\'')) {
        return text;
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    let mut done = 0;
    for (at, byte) in text.bytes().enumerate() {
        let entity = entity(byte);
        if !entity.is_empty() {
            escaped.push_str(&text[done..at]);
            escaped.push_str(entity);
            done = at + 1;
        }
    }
    escaped.push_str(&text[done..]);
    Cow::Owned(escaped)
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
pub fn truncated<'e>(value: Value<'e>, arguments: &[Value<'_>]) -> Result<Value<'e>, String> {
    let text = take(value)?;
    let most = arguments.first().map(count).transpose()?.unwrap_or(TRUNCATED_CHARS);
    let ellipsis = arguments.get(1).map(of).transpose()?.unwrap_or(Cow::Borrowed(ELLIPSIS));
    let is_ascii = text.is_ascii();
    if text.len() <= most || (!is_ascii && text.chars().nth(most).is_none()) {
        return Ok(Value::Text(text));
    }
    let kept = most.saturating_sub(if ellipsis.is_ascii() { ellipsis.len() } else { ellipsis.chars().count() });
    let end = match is_ascii {
        true => kept.min(text.len()),
        false => text.char_indices().nth(kept).map_or(text.len(), |(at, _)| at),
    };
    Ok(Value::Text([&text[..end], &*ellipsis].concat().into()))
}

/// With every occurrence of a text replaced by another one, or by nothing.
pub fn replaced<'e>(value: Value<'e>, arguments: &[Value<'_>]) -> Result<Value<'e>, String> {
    let text = take(value)?;
    let from = arguments.first().map(of).transpose()?.unwrap_or_default();
    let to = arguments.get(1).map(of).transpose()?.unwrap_or_default();
    if from.is_empty() {
        return Ok(Value::Text(text));
    }
    // Counted only where every byte of it could become too much.
    let bytes = || text.len() + text.matches(&*from).count() * to.len().saturating_sub(from.len());
    if text.len().saturating_mul(to.len()) > TEXT_BYTES_MAX && bytes() > TEXT_BYTES_MAX {
        return Err(format!("makes more than {TEXT_BYTES_MAX} bytes of text"));
    }
    let mut letters = from.chars();
    Ok(Value::Text(match (letters.next(), letters.next()) {
        // A single letter is found faster.
        (Some(letter), None) => with(&text, text.match_indices(letter), &to).into(),
        _ => with(&text, text.match_indices(&*from), &to).into(),
    }))
}

/// A text with something else in the place of some of its parts.
fn with<'t>(text: &str, parts: impl Iterator<Item = (usize, &'t str)>, to: &str) -> String {
    let mut replaced = String::with_capacity(text.len() + to.len());
    let mut done = 0;
    for (at, part) in parts {
        replaced.push_str(&text[done..at]);
        replaced.push_str(to);
        done = at + part.len();
    }
    replaced.push_str(&text[done..]);
    replaced
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
