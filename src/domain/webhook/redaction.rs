//! Secrets in what endpoints answer. Many servers echo what they were sent: a redirect repeats the query, a page of errors
//! the credentials. Before an answer is kept, every secret of its webhook is replaced, in whatever form it comes back.

use std::collections::BTreeSet;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD as BASE64, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use secrecy::ExposeSecret;

use super::{credentials::Credentials, webhook::Webhook};

/// What stands for a secret.
const REPLACEMENT: &[u8] = b"***";
/// A secret of this length is replaced wherever it stands; a shorter one, which other texts have by chance, only as a whole
/// value.
const LONG_BYTES_MIN: usize = 8;
/// How much of a secret the end of a cut text must have to be taken for its beginning.
const CUT_BYTES_MIN: usize = 4;

/// Replaces the secrets of a webhook.
pub struct Redactor {
    long: ByFirst,
    short: ByFirst,
}

/// Secrets in the order of their first byte; of each the longest first, so that none is replaced in part.
struct ByFirst(Vec<Vec<u8>>);

impl ByFirst {
    fn new(mut secrets: Vec<Vec<u8>>) -> Self {
        secrets.sort_by_key(|secret| (secret[0], std::cmp::Reverse(secret.len())));
        Self(secrets)
    }

    /// Those that may begin with a byte of a text: all of them, where an escape does.
    fn beginning_with(&self, byte: u8) -> &[Vec<u8>] {
        if matches!(byte, b'%' | b'+' | b'\\' | b'&') {
            return &self.0;
        }
        let from = self.0.partition_point(|secret| secret[0] < byte);
        let count = self.0[from..].partition_point(|secret| secret[0] == byte);
        &self.0[from..from + count]
    }
}

/// How many steps a text may take, a byte, and in any case: what an endpoint answers, and which secrets it gets, its owner
/// can choose so that looking takes long.
const STEPS_OF_TEXT_MAX: usize = 32;
const STEPS_MIN: usize = 4_096;
/// How many parts of a header's value are secrets of their own.
const PARTS_MAX: usize = 8;
/// How much of a header is looked at.
const HEADER_BYTES_MAX: usize = 2_048;
/// How many readings of one escape are tried.
const READINGS_MAX: usize = 4;

/// How a secret fits a place of a text.
enum Fit {
    /// It ends here.
    Whole(usize),
    /// The text ends before the secret does; so many of its bytes are there.
    Cut(usize),
    No,
}

impl Redactor {
    /// The secrets of a webhook: its credentials, the values of its URL's query, and what signs its requests.
    pub fn of(webhook: &Webhook) -> Self {
        let mut found = BTreeSet::new();
        let mut add = |secret: &[u8]| {
            if !secret.is_empty() {
                found.insert(secret.to_vec());
            }
        };
        if let Credentials::Basic { username, password } = &webhook.credentials {
            add(username.as_bytes());
            add_encoded(password.expose_secret().as_bytes(), &mut add);
            add_encoded(format!("{username}:{}", password.expose_secret()).as_bytes(), &mut add);
        }
        if let Credentials::Bearer(token) = &webhook.credentials {
            add_encoded(token.expose_secret().as_bytes(), &mut add);
        }
        for (_, value) in webhook.credentials.headers() {
            let value = value.expose_secret();
            add_encoded(value.as_bytes(), &mut add);
            // Such as a scheme and its token; of a pair in base64 both halves.
            let parts = value.split([' ', ',', ';', '=', ':', '"']).filter(|part| part.len() >= LONG_BYTES_MIN);
            for part in parts.take(PARTS_MAX) {
                add(part.as_bytes());
            }
            for part in value.split(' ').take(PARTS_MAX) {
                let pair = BASE64.decode(part).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                if let Some((name, password)) = pair.as_deref().and_then(|pair| pair.split_once(':')) {
                    add(name.as_bytes());
                    add_encoded(password.as_bytes(), &mut add);
                }
            }
        }
        for value in webhook.endpoint.query_values() {
            add(value.as_bytes());
            add_encoded(&decoded(value), &mut add);
        }
        for secret in &webhook.secrets {
            let text = secret.secret.expose_secret();
            add(text.as_bytes());
            add(text.trim_start_matches("whsec_").as_bytes());
        }
        Self::sorted(found)
    }

    /// One secret, and nothing else.
    #[cfg(any(test, feature = "fuzzing"))]
    pub fn of_secret(secret: &str) -> Self {
        let mut found = BTreeSet::new();
        add_encoded(secret.as_bytes(), &mut |secret: &[u8]| {
            found.insert(secret.to_vec());
        });
        Self::sorted(found)
    }

    fn sorted(mut found: BTreeSet<Vec<u8>>) -> Self {
        found.remove(&Vec::new());
        let (long, short) = found.into_iter().partition(|secret| secret.len() >= LONG_BYTES_MIN);
        Self { long: ByFirst::new(long), short: ByFirst::new(short) }
    }

    /// The value of a header, without secrets.
    pub fn header(&self, value: &[u8]) -> Vec<u8> {
        if self.short.0.iter().any(|secret| secret == value) {
            return REPLACEMENT.to_vec();
        }
        // Only its beginning is kept.
        let beginning = &value[..value.len().min(HEADER_BYTES_MAX)];
        self.text(beginning, beginning.len() < value.len())
    }

    /// A text without secrets. One that was cut off may end in the beginning of a secret.
    pub fn text(&self, text: &[u8], is_cut: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let mut steps = text.len() * STEPS_OF_TEXT_MAX + STEPS_MIN;
        let mut at = 0;
        while at < text.len() {
            if steps == 0 {
                // Nobody knows what the rest holds.
                out.extend_from_slice(REPLACEMENT);
                break;
            }
            match self.secret_at(text, at, is_cut, &mut steps) {
                Some(end) => {
                    out.extend_from_slice(REPLACEMENT);
                    at = end;
                }
                None => {
                    out.push(text[at]);
                    at += 1;
                }
            }
        }
        out
    }

    /// Where the secret ends that begins at a place.
    fn secret_at(&self, text: &[u8], at: usize, is_cut: bool, steps: &mut usize) -> Option<usize> {
        let first = text[at];
        for secret in self.long.beginning_with(first) {
            match fit(&text[at..], secret, steps) {
                Fit::Whole(length) => return Some(at + length),
                Fit::Cut(bytes) if is_cut && bytes >= CUT_BYTES_MIN => return Some(text.len()),
                Fit::Cut(_) | Fit::No => {}
            }
        }
        let opening = at.checked_sub(1).map(|before| text[before]);
        let closes: &[u8] = match opening {
            Some(b'=') => b"&;#\"'<>\\ \r\n\t,)",
            Some(b'"') => b"\"\\",
            _ => return None,
        };
        for secret in self.short.beginning_with(first) {
            if let Fit::Whole(length) = fit(&text[at..], secret, steps) {
                let end = at + length;
                if text.get(end).is_none_or(|next| closes.contains(next)) {
                    return Some(end);
                }
            }
        }
        None
    }
}

/// Adds a secret, and what base64 makes of it wherever it stands in what is encoded.
fn add_encoded(secret: &[u8], add: &mut impl FnMut(&[u8])) {
    add(secret);
    if secret.is_empty() {
        return;
    }
    add(BASE64.encode(secret).as_bytes());
    add(STANDARD_NO_PAD.encode(secret).as_bytes());
    if secret.len() < LONG_BYTES_MIN {
        return;
    }
    for before in 0..3 {
        let padded = [&[0; 3][..before], secret].concat();
        // Characters that other bytes have a part in are left out.
        let (first, last) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
        for encoded in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            if let Some(inner) = encoded.as_bytes().get(first..last) {
                add(inner);
            }
        }
    }
}

/// What a value of a query stands for.
fn decoded(value: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some(first) = rest.first() {
        let escaped = rest.get(1..3).filter(|_| *first == b'%').and_then(hex);
        let escaped = escaped.and_then(|byte| u8::try_from(byte).ok());
        let (byte, length) = escaped.map_or((*first, 1), |byte| (byte, 3));
        out.push(byte);
        rest = &rest[length..];
    }
    out
}

/// Whether a text begins with a secret, each byte as it is or in one of the ways that servers escape it: percent-encoded
/// once or more often, as in a form, in JSON, or in HTML.
fn fit(text: &[u8], secret: &[u8], steps: &mut usize) -> Fit {
    // To try one is a step, too.
    *steps = steps.saturating_sub(1);
    let mut cut = 0;
    match fit_from(text, 0, secret, 0, steps, &mut cut) {
        Some(end) => Fit::Whole(end),
        None if cut > 0 => Fit::Cut(cut),
        None => Fit::No,
    }
}

/// Tries each reading of what comes next. A byte has few, and wrong ones end at once, but secrets can be made of nothing
/// but escapes, so the steps are counted.
fn fit_from(
    text: &[u8],
    mut at: usize,
    secret: &[u8],
    mut of_secret: usize,
    steps: &mut usize,
    cut: &mut usize,
) -> Option<usize> {
    while of_secret < secret.len() {
        let (rest, wanted) = (&text[at..], &secret[of_secret..]);
        if rest.is_empty() || is_cut_escape(rest) {
            *cut = (*cut).max(of_secret);
        }
        *steps = steps.checked_sub(1)?;
        let readings = readings(rest, wanted);
        let (last, others) = readings.split_last()?;
        for (length, bytes) in others {
            if let Some(end) = fit_from(text, at + length, secret, of_secret + bytes, steps, cut) {
                return Some(end);
            }
        }
        at += last.0;
        of_secret += last.1;
    }
    Some(at)
}

/// How long the next part of a text may be that stands for the next byte or character of a secret, and how many bytes of it
/// that is.
fn readings(text: &[u8], wanted: &[u8]) -> Vec<(usize, usize)> {
    let (Some(first), Some(byte)) = (text.first(), wanted.first()) else { return Vec::new() };
    let mut found = match first {
        b'%' => percent(text, *byte),
        b'+' if *byte == b' ' => vec![(1, 1)],
        b'\\' => backslash(text, wanted).into_iter().collect(),
        b'&' => entity(text, wanted).into_iter().collect(),
        _ => Vec::new(),
    };
    if first == byte {
        found.push((1, 1));
    }
    found
}

/// The escapes of a byte that a text begins with: percent-encoded once, or its percent sign encoded again and again.
fn percent(text: &[u8], wanted: u8) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 1;
    while let Some(byte) = text.get(at..at + 2).and_then(hex) {
        at += 2;
        if byte == u32::from(wanted) {
            found.push((at, 1));
        }
        if byte != u32::from(b'%') || found.len() == READINGS_MAX {
            break;
        }
    }
    found
}

fn hex(digits: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u32::from_str_radix(text, 16).ok()
}

/// Whether a character is what comes next, and how many bytes it has there.
fn is_next(code: u32, wanted: &[u8]) -> Option<usize> {
    let mut buffer = [0; 4];
    let bytes = char::from_u32(code)?.encode_utf8(&mut buffer).as_bytes();
    wanted.starts_with(bytes).then_some(bytes.len())
}

/// An escape of JSON or of a programming language, itself escaped or not.
fn backslash(text: &[u8], wanted: &[u8]) -> Option<(usize, usize)> {
    let slashes = text.iter().take_while(|byte| **byte == b'\\').count();
    let after = &text[slashes..];
    let of_code = |digits: usize| {
        let bytes = is_next(hex(after.get(1..=digits)?)?, wanted)?;
        Some((slashes + 1 + digits, bytes))
    };
    match after.first()? {
        b'u' => of_code(4),
        b'x' => of_code(2),
        next if *next == wanted[0] && next.is_ascii_punctuation() => Some((slashes + 1, 1)),
        _ => (wanted[0] == b'\\' && slashes > 1).then_some((2, 1)),
    }
    .or_else(|| (wanted[0] == b'\\' && slashes > 1).then_some((2, 1)))
}

/// A character reference of HTML.
fn entity(text: &[u8], wanted: &[u8]) -> Option<(usize, usize)> {
    let end = text.iter().take(12).position(|byte| *byte == b';')?;
    let name = std::str::from_utf8(&text[1..end]).ok()?;
    let code = match name {
        "amp" => u32::from(b'&'),
        "lt" => u32::from(b'<'),
        "gt" => u32::from(b'>'),
        "quot" => u32::from(b'"'),
        "apos" => u32::from(b'\''),
        _ => match name.strip_prefix('#')? {
            number if number.starts_with(['x', 'X']) => u32::from_str_radix(&number[1..], 16).ok()?,
            number => number.parse().ok()?,
        },
    };
    Some((end + 1, is_next(code, wanted)?))
}

/// Whether a text ends in the middle of an escape.
fn is_cut_escape(text: &[u8]) -> bool {
    match text[0] {
        b'%' => text.len() < 3,
        b'\\' => text.len() < 6,
        b'&' => text.len() < 6 && !text.contains(&b';'),
        _ => false,
    }
}

#[cfg(test)]
#[path = "tests/redaction.rs"]
mod tests;
