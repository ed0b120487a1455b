//! One bounded pass over JSON text, with or without building a tree.
//!
//! Why not `serde_json`: numbers must be copied digit for digit, typed placeholders copy the event's own bytes,
//! depth and lone surrogates must be refused, and raw bodies have placeholders in value position. The tree
//! borrows the text and keeps each value's span.

use std::{borrow::Cow, fmt};

use super::hole::{Around, closing_braces};

/// How deep arrays and objects may nest.
pub const JSON_DEPTH_MAX: usize = 64;

/// A value and the text it was read from.
#[derive(Debug, Clone, PartialEq)]
pub struct Node<'a> {
    /// The value's own text, without surrounding white space.
    pub raw: &'a str,
    /// The value.
    pub value: Json<'a>,
}

/// A JSON value that borrows its text. Numbers stay source text.
#[derive(Debug, Clone, PartialEq)]
pub enum Json<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number as it is written.
    Number(Cow<'a, str>),
    /// A string, escapes decoded.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Node<'a>>),
    /// An object in source order; of duplicate keys the last counts.
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

impl<'a> Node<'a> {
    /// The value of a key, the last one where it is given twice.
    pub fn get(&self, key: &str) -> Option<&Node<'a>> {
        match &self.value {
            Json::Object(members) => members.iter().rev().find(|(name, _)| name == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Json::Null)
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Json::String(text) => Some(text),
            _ => None,
        }
    }

    /// An id, which platforms write as a number or as text.
    pub fn as_id(&self) -> Option<&str> {
        match &self.value {
            Json::String(text) => Some(text),
            Json::Number(digits) => Some(digits),
            _ => None,
        }
    }
}

/// A placeholder found in a raw body: where it stands, and whether inside a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// The offset of `{{`.
    pub start: usize,
    /// The offset after `}}`.
    pub end: usize,
    /// Inside a string, where its value becomes text.
    pub in_string: bool,
}

/// Why a text is not the JSON we take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    /// The byte offset of the fault.
    pub offset: usize,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at line {} column {}", self.message, self.line, self.column)
    }
}

/// Reads a text into a tree. Of a key that is given twice the last counts; events that have one are refused before.
pub fn parse(text: &str) -> Result<Node<'_>, JsonError> {
    Parser::new(text).whole(Parser::value::<true>)
}

/// The members of an object, as text.
#[derive(Debug)]
pub struct Members<'a> {
    /// Each key with its value.
    pub items: Vec<(Cow<'a, str>, &'a str)>,
    /// Whether there is white space between any two of the object's tokens, however deep.
    pub is_spaced: bool,
}

/// Reads the members of one object; their values are checked, as by [`check_object`], but stay text.
pub fn members(text: &str) -> Result<Members<'_>, JsonError> {
    let mut parser = Parser::strict(text);
    let items = parser.whole_in_place(|parser| {
        parser.expect_object()?;
        let mut found = Vec::new();
        parser.object_members(|parser, key| {
            found.push((key, parser.value::<false>()?.raw));
            Ok(())
        })?;
        Ok(found)
    })?;
    Ok(Members { items, is_spaced: parser.is_spaced })
}

/// Checks that a text is one JSON object, on which every reader agrees: no object in it has a key twice. Answers whether
/// there is white space between any two of its tokens.
pub fn check_object(text: &str) -> Result<bool, JsonError> {
    let mut parser = Parser::strict(text);
    parser.whole_in_place(|parser| {
        parser.expect_object()?;
        parser.value::<false>().map(drop)
    })?;
    Ok(parser.is_spaced)
}

/// A JSON text, which was checked, without the white space between its tokens. Everything else stays byte for byte.
pub fn compact(text: &str) -> String {
    let mut compacted = String::with_capacity(text.len());
    let (mut is_in_string, mut is_escaped, mut copied) = (false, false, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if !is_escaped => is_in_string = !is_in_string,
            b' ' | b'\n' | b'\r' | b'\t' if !is_in_string => {
                compacted.push_str(&text[copied..at]);
                copied = at + 1;
            }
            _ => {}
        }
        is_escaped = is_in_string && byte == b'\\' && !is_escaped;
    }
    compacted.push_str(&text[copied..]);
    compacted
}

/// Reads JSON text with placeholders; duplicate keys and placeholders in keys are refused.
pub fn holes(text: &str) -> Result<Vec<Hole>, JsonError> {
    let mut parser = Parser { template: true, ..Parser::strict(text) };
    parser.whole_in_place(|parser| parser.value::<false>().map(drop))?;
    Ok(parser.holes)
}

/// Appends a text to JSON as the inside of a string, escaped.
pub fn escape_into(text: &str, out: &mut String) {
    let mut copied = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape: &str = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[copied..at]);
        if escape.is_empty() {
            out.push_str(&format!("\\u{byte:04x}"));
        } else {
            out.push_str(escape);
        }
        copied = at + 1;
    }
    out.push_str(&text[copied..]);
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    template: bool,
    /// Whether an object must not have a key twice.
    strict: bool,
    /// Whether there was white space between two tokens of the value.
    is_spaced: bool,
    /// The keys of the objects that are being read, and where they stand; the innermost object's come last.
    keys: Vec<(Cow<'a, str>, usize)>,
    holes: Vec<Hole>,
}

type Parsed<T> = Result<T, JsonError>;

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
            template: false,
            strict: false,
            is_spaced: false,
            keys: Vec::new(),
            holes: Vec::new(),
        }
    }

    fn strict(text: &'a str) -> Self {
        Self { strict: true, ..Self::new(text) }
    }

    fn whole<T>(mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.whole_in_place(read)
    }

    fn whole_in_place<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.space();
        self.is_spaced = false;
        let value = read(self)?;
        let is_spaced = self.is_spaced;
        self.space();
        self.is_spaced = is_spaced;
        if self.at < self.text.len() {
            return Err(self.error("there is more after the end of the value"));
        }
        Ok(value)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
            self.is_spaced = true;
        }
    }

    fn error(&self, message: impl Into<String>) -> JsonError {
        self.error_at(self.at, message)
    }

    fn error_at(&self, offset: usize, message: impl Into<String>) -> JsonError {
        let mut end = offset.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &self.text[..end];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        JsonError {
            offset: end,
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: message.into(),
        }
    }

    fn unexpected(&self, wanted: &str) -> JsonError {
        match self.text[self.at..].chars().next() {
            Some(found) => self.error(format!("{wanted} expected, found {found:?}")),
            None => self.error(format!("{wanted} expected, found the end of the text")),
        }
    }

    fn expect_object(&self) -> Parsed<()> {
        if self.peek() == Some(b'{') { Ok(()) } else { Err(self.unexpected("one JSON object")) }
    }

    fn value<const TREE: bool>(&mut self) -> Parsed<Node<'a>> {
        let start = self.at;
        let value = match self.peek() {
            Some(b'{') if self.template && self.text[self.at..].starts_with("{{") => {
                self.hole(false)?;
                Json::Null
            }
            Some(b'{') => self.object::<TREE>()?,
            Some(b'[') => self.array::<TREE>()?,
            Some(b'"') => Json::String(self.string(true)?),
            Some(b'-' | b'0'..=b'9') => Json::Number(Cow::Borrowed(self.number()?)),
            Some(b't') => self.word("true", Json::Bool(true))?,
            Some(b'f') => self.word("false", Json::Bool(false))?,
            Some(b'n') => self.word("null", Json::Null)?,
            _ => return Err(self.unexpected("a value")),
        };
        Ok(Node { raw: &self.text[start..self.at], value })
    }

    fn word(&mut self, word: &str, value: Json<'a>) -> Parsed<Json<'a>> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.unexpected("a value"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn deeper(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > JSON_DEPTH_MAX {
            return Err(self.error(format!("nested deeper than {JSON_DEPTH_MAX}")));
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    fn object<const TREE: bool>(&mut self) -> Parsed<Json<'a>> {
        let mut found = Vec::new();
        self.object_members(|parser, key| {
            let node = parser.value::<TREE>()?;
            if TREE {
                found.push((key, node));
            }
            Ok(())
        })?;
        Ok(Json::Object(found))
    }

    fn object_members(&mut self, mut member: impl FnMut(&mut Self, Cow<'a, str>) -> Parsed<()>) -> Parsed<()> {
        self.deeper()?;
        let first_key = self.keys.len();
        while self.peek() != Some(b'}') {
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a key in double quotes"));
            }
            let key_at = self.at;
            let key = self.string(false)?;
            if self.strict {
                self.keys.push((key.clone(), key_at));
            }
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("a colon"));
            }
            self.at += 1;
            self.space();
            member(self, key)?;
            self.space();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.space();
                    if self.peek() == Some(b'}') {
                        return Err(self.error("a key expected after the comma"));
                    }
                }
                Some(b'}') => {}
                _ => return Err(self.unexpected("a comma or a closing brace")),
            }
        }
        self.check_keys(first_key)?;
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    /// Refuses an object that has a key twice, and forgets its keys.
    fn check_keys(&mut self, first: usize) -> Parsed<()> {
        self.keys[first..].sort_unstable();
        let twice = self.keys[first..].windows(2).filter(|pair| pair[0].0 == pair[1].0);
        if let Some((key, at)) = twice.map(|pair| &pair[1]).min_by_key(|(_, at)| *at) {
            return Err(self.error_at(*at, format!("the key {key:?} is given twice in one object")));
        }
        self.keys.truncate(first);
        Ok(())
    }

    fn array<const TREE: bool>(&mut self) -> Parsed<Json<'a>> {
        self.deeper()?;
        let mut found = Vec::new();
        while self.peek() != Some(b']') {
            let node = self.value::<TREE>()?;
            if TREE {
                found.push(node);
            }
            self.space();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.space();
                    if self.peek() == Some(b']') {
                        return Err(self.error("a value expected after the comma"));
                    }
                }
                Some(b']') => {}
                _ => return Err(self.unexpected("a comma or a closing bracket")),
            }
        }
        self.at += 1;
        self.depth -= 1;
        Ok(Json::Array(found))
    }

    fn number(&mut self) -> Parsed<&'a str> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.unexpected("a digit")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    fn some_digits(&mut self) -> Parsed<()> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.unexpected("a digit"));
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    /// Reads a string. Where nothing is escaped the text itself is borrowed.
    fn string(&mut self, holes_allowed: bool) -> Parsed<Cow<'a, str>> {
        self.at += 1;
        let mut start = self.at;
        let mut decoded = String::new();
        loop {
            match self.peek() {
                None => return Err(self.error("the string is not closed")),
                Some(b'"') => break,
                Some(b'\\') => {
                    decoded.push_str(&self.text[start..self.at]);
                    decoded.push(self.escape()?);
                    start = self.at;
                }
                Some(0..0x20) => return Err(self.error("a control character in a string must be escaped")),
                Some(b'{') if self.template && self.text[self.at..].starts_with("{{") => {
                    if !holes_allowed {
                        return Err(self.error("a key cannot have a placeholder"));
                    }
                    self.hole(true)?;
                }
                Some(_) => self.at += 1,
            }
        }
        let tail = &self.text[start..self.at];
        self.at += 1;
        if decoded.is_empty() {
            return Ok(Cow::Borrowed(tail));
        }
        decoded.push_str(tail);
        Ok(Cow::Owned(decoded))
    }

    fn escape(&mut self) -> Parsed<char> {
        let start = self.at;
        self.at += 2;
        Ok(match self.text.as_bytes().get(start + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let high = self.hex()?;
                let code = if (0xd800..0xdc00).contains(&high) && self.text[self.at..].starts_with("\\u") {
                    self.at += 2;
                    let low = self.hex()?;
                    if (0xdc00..0xe000).contains(&low) {
                        0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
                    } else {
                        high
                    }
                } else {
                    high
                };
                char::from_u32(code).ok_or_else(|| self.error_at(start, "half of a surrogate pair"))?
            }
            _ => return Err(self.error_at(start, "an escape that JSON does not have")),
        })
    }

    fn hex(&mut self) -> Parsed<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let code = digits
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(|| self.error("four hexadecimal digits expected"))?;
        self.at += 4;
        Ok(code)
    }

    fn hole(&mut self, in_string: bool) -> Parsed<()> {
        let start = self.at;
        let around = if in_string { Around::JsonString } else { Around::Json };
        let Some(end) = closing_braces(&self.text[start + 2..], around) else {
            return Err(self.error("the placeholder is not closed with }}"));
        };
        self.at = start + 2 + end + 2;
        self.holes.push(Hole { start, end: self.at, in_string });
        Ok(())
    }
}

#[cfg(test)]
#[path = "tests/json.rs"]
mod tests;
