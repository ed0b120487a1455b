//! Points in time and dates, as events and conditions write them.

use serde::{Deserialize, Serialize};
use time::{
    Date, OffsetDateTime, PrimitiveDateTime, format_description::well_known::Rfc3339, macros::format_description,
};

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

    /// Reads RFC 3339, or `YYYY-MM-DD HH:MM:SS` in UTC.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > 40 || !text.starts_with(|first: char| first.is_ascii_digit()) {
            return None;
        }
        let instant = OffsetDateTime::parse(text, &Rfc3339).ok().or_else(|| {
            let plain = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
            PrimitiveDateTime::parse(text, plain).ok().map(PrimitiveDateTime::assume_utc)
        })?;
        i64::try_from(instant.unix_timestamp_nanos() / 1_000).ok().map(Self)
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

/// Reads a date `YYYY-MM-DD`; the number counts days, so dates compare.
pub fn parse_date(text: &str) -> Option<i32> {
    let plain = format_description!("[year]-[month]-[day]");
    (text.len() == 10).then(|| Date::parse(text, plain).ok()).flatten().map(Date::to_julian_day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_forms_that_platforms_write() {
        let instant = Timestamp(1_669_303_693_375_000);
        assert_eq!(Timestamp::parse("2022-11-24T15:28:13.375Z"), Some(instant));
        assert_eq!(Timestamp::parse("2022-11-24T17:28:13.375+02:00"), Some(instant));
        assert_eq!(Timestamp::parse("2022-11-24 15:28:13"), Some(Timestamp(1_669_303_693_000_000)));
        assert_eq!(instant.to_rfc3339(), "2022-11-24T15:28:13.375Z");
        for text in ["2022-11-24", "15:28:13", "2022-13-01T00:00:00Z", "", "tomorrow"] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
        assert!(parse_date("2024-02-29") > parse_date("2024-02-28"));
        assert_eq!(parse_date("2023-02-29"), None);
        assert_eq!(Timestamp::from_seconds(-1), None);
    }
}
