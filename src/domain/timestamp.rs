//! Points in time and dates, as events and conditions write them.

use serde::{Deserialize, Serialize};
use time::{
    Date, OffsetDateTime,
    format_description::{StaticFormatDescription, well_known::Rfc3339},
    macros::format_description,
};

const DATE: StaticFormatDescription = format_description!("[year]-[month]-[day]");
/// The day on which 1970 begins, as dates are counted.
pub const UNIX_EPOCH_JULIAN_DAY: i32 = 2_440_588;

/// A point in time, in microseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// The latest time we take: the end of the year 9999.
const TIMESTAMP_MAX_SECONDS: i64 = 253_402_300_799;

impl Timestamp {
    /// From whole seconds since 1970, 0 to the end of the year 9999.
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        (0..=TIMESTAMP_MAX_SECONDS).contains(&seconds).then(|| Self(seconds * 1_000_000))
    }

    /// Reads seconds since 1970, whole or with a fraction.
    pub fn parse_seconds(text: &str) -> Option<Self> {
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
        if text.ends_with('.') || !seconds.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let whole = Self::from_seconds(seconds.parse().ok()?)?;
        Some(Self(whole.0 + i64::try_from(nanos(fraction)? / 1_000).ok()?))
    }

    /// Reads a time: a date, `T` or a space, hours and minutes, perhaps seconds and up to nine digits of a fraction, and an
    /// offset: `Z`, `+02:00`, `+0200` or `+02`. Only `YYYY-MM-DD HH:MM:SS` may do without one; it is in UTC.
    pub fn parse(text: &str) -> Option<Self> {
        i64::try_from(parse_instant(text)?.div_euclid(1_000)).ok().map(Self)
    }

    /// This time and so many milliseconds.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX / 1_000).saturating_mul(1_000)))
    }

    /// This time, so many milliseconds earlier.
    #[must_use]
    pub fn minus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_sub(i64::try_from(ms).unwrap_or(i64::MAX / 1_000).saturating_mul(1_000)))
    }

    /// RFC 3339 in UTC, with as many decimals as needed.
    pub fn to_rfc3339(self) -> String {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000)
            .ok()
            .and_then(|instant| instant.format(&Rfc3339).ok())
            .unwrap_or_default()
    }

    /// Whole seconds since 1970.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }
}

/// Reads what [`Timestamp::parse`] does, in nanoseconds since 1970.
pub fn parse_instant(text: &str) -> Option<i128> {
    let date = Date::parse(text.get(..10)?, DATE).ok()?;
    let (separator, rest) = (*text.as_bytes().get(10)?, text.get(11..)?);
    let is_plain = separator == b' ' && rest.len() == 8;
    if !matches!(separator, b'T' | b't' | b' ') {
        return None;
    }
    let (clock, offset) = match rest.find(['Z', 'z', '+', '-']) {
        Some(at) => (&rest[..at], offset_seconds(&rest[at..])?),
        None if is_plain => (rest, 0),
        None => return None,
    };
    let (clock, fraction) = match clock.split_once(['.', ',']) {
        Some((clock, fraction)) if clock.len() == 8 && !fraction.is_empty() => (clock, fraction),
        Some(_) => return None,
        None => (clock, ""),
    };
    let mut parts = clock.split(':').map(two_digits);
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().unwrap_or(Some(0))?;
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = i64::from(date.to_julian_day()) - i64::from(UNIX_EPOCH_JULIAN_DAY);
    let minutes = days * 1_440 + hour * 60 + minute;
    let instant = i128::from(minutes * 60 + second.min(59) - offset) * 1_000_000_000 + nanos(fraction)?;
    if second < 60 {
        return Some(instant);
    }
    // A leap second ends a day of UTC; it has no number of its own, so it is the last moment before the next day.
    let next_day = i128::from(minutes * 60 + 60 - offset);
    (next_day % 86_400 == 0).then_some(next_day * 1_000_000_000 - 1)
}

/// Reads a date `YYYY-MM-DD`; the number counts days, so dates compare.
pub fn parse_date(text: &str) -> Option<i32> {
    (text.len() == 10).then(|| Date::parse(text, DATE).ok()).flatten().map(Date::to_julian_day)
}

fn two_digits(text: &str) -> Option<i64> {
    (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// Up to nine digits after the point, as nanoseconds.
fn nanos(fraction: &str) -> Option<i128> {
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    format!("{fraction:0<9}").parse().ok()
}

/// `Z`, `+02:00`, `+0200` or `+02`, in seconds.
fn offset_seconds(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let (sign, digits) =
        if let Some(digits) = text.strip_prefix('+') { (1, digits) } else { (-1, text.strip_prefix('-')?) };
    let (hours, minutes) = match digits.len() {
        2 => (digits, "00"),
        4 => digits.split_at_checked(2)?,
        _ => digits.split_once(':')?,
    };
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3_600 + minutes * 60))
}

#[cfg(test)]
#[path = "tests/timestamp.rs"]
mod tests;
