//! Times that depend on when the event happened: now, the beginning of a day, a week or a month, and a span before or after.

use jiff::{
    Span, Timestamp as Instant, ToSpan, Unit, Zoned,
    civil::{Date, date},
    tz::TimeZone,
};

use super::{Anchor, RelativeSpec};
use crate::domain::{
    automation::calendar::{span, zone},
    timestamp::{Timestamp, UNIX_EPOCH_JULIAN_DAY},
};

/// How long an offset, or a zone's name, may be as it is written.
const PART_BYTES_MAX: usize = 64;
/// How far from the event a relative time may lie, either way.
const OFFSET_YEARS_MAX: i64 = 100;

const EPOCH: Date = date(1970, 1, 1);

/// A relative time that is ready to be taken.
#[derive(Debug, Clone)]
pub struct RelativeTime {
    spec: RelativeSpec,
    zone: TimeZone,
    offset: Span,
}

/// What a relative time is at an event: a time, and the date of it in its zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// In nanoseconds since 1970.
    pub instant: i128,
    /// Counts days, as dates do.
    pub date: i32,
    /// As it is written there.
    pub shown: String,
}

impl RelativeTime {
    /// Checks it. The error says in which part of it what is wrong.
    pub fn new(spec: &RelativeSpec) -> Result<Self, (&'static str, String)> {
        for (part, text) in [("offset", &spec.offset), ("time_zone", &spec.time_zone)] {
            if text.len() > PART_BYTES_MAX {
                return Err((part, format!("has {} bytes, the limit is {PART_BYTES_MAX}", text.len())));
            }
        }
        let zone = match spec.time_zone.as_str() {
            "" => TimeZone::UTC,
            name => zone(name).map_err(|message| ("time_zone", message))?,
        };
        let offset = match spec.offset.as_str() {
            "" => Span::new(),
            text => span(text).map_err(|message| ("offset", message))?,
        };
        let epoch = Instant::UNIX_EPOCH.to_zoned(TimeZone::UTC);
        let furthest = [-OFFSET_YEARS_MAX, OFFSET_YEARS_MAX].map(|years| epoch.checked_add(years.years()));
        let is_near = match (epoch.checked_add(offset), furthest) {
            (Ok(moved), [Ok(first), Ok(last)]) => first <= moved && moved <= last,
            _ => false,
        };
        if !is_near {
            return Err(("offset", format!("is more than {OFFSET_YEARS_MAX} years away")));
        }
        Ok(Self { spec: spec.clone(), zone, offset })
    }

    /// What it is at a time. What would lie outside of the years that there are is the first or the last time that there is.
    pub fn at(&self, now: Timestamp) -> Moment {
        let now = Instant::from_microsecond(now.0).unwrap_or(if now.0 < 0 { Instant::MIN } else { Instant::MAX });
        let now = now.to_zoned(self.zone.clone());
        let limit = if self.offset.is_negative() { Instant::MIN } else { Instant::MAX };
        let moved = self.moved(&now).unwrap_or_else(|_| limit.to_zoned(self.zone.clone()));
        let days = moved.date().since((Unit::Day, EPOCH)).map_or(0, |since| since.get_days());
        let shown = moved.strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string();
        Moment { instant: moved.timestamp().as_nanosecond(), date: UNIX_EPOCH_JULIAN_DAY + days, shown }
    }

    fn moved(&self, now: &Zoned) -> Result<Zoned, jiff::Error> {
        let day = match self.spec.from {
            Anchor::Now => return now.checked_add(self.offset),
            Anchor::StartOfDay => now.date(),
            Anchor::StartOfWeek => now.date().checked_sub(i64::from(now.weekday().to_monday_zero_offset()).days())?,
            Anchor::StartOfMonth => now.date().first_of_month(),
        };
        if self.spec.offset.contains("hour") || self.spec.offset.contains("minute") {
            return day.to_zoned(self.zone.clone())?.checked_add(self.offset);
        }
        // Days are moved as days: one that begins at one o'clock, because midnight is left out, leads to none that does.
        day.checked_add(self.offset)?.to_zoned(self.zone.clone())
    }

    /// In words, such as `start of week - 7 days, Europe/Tallinn`.
    pub fn words(&self) -> String {
        let RelativeSpec { from, offset, time_zone } = &self.spec;
        let mut words = from.words().to_owned();
        if let Some(earlier) = offset.strip_prefix('-') {
            words.push_str(&format!(" - {earlier}"));
        } else if !offset.is_empty() {
            words.push_str(&format!(" + {}", offset.trim_start_matches('+')));
        }
        if !time_zone.is_empty() {
            words.push_str(&format!(", {time_zone}"));
        }
        words
    }
}

#[cfg(test)]
#[path = "tests/relative.rs"]
mod tests;
