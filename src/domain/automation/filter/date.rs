//! Filters of dates and times, in any form that events have.

use jiff::{civil::Date, fmt::strtime, tz::TimeZone};

use super::{
    super::{
        calendar::{span, zone},
        value::Value,
    },
    syntax::shown,
    text,
};
use crate::domain::timestamp::{Timestamp, parse_date};

/// How long a format may be.
const FORMAT_BYTES_MAX: usize = 200;

/// Refuses a format that is none.
pub fn check_format(format: &str) -> Result<(), String> {
    if format.len() > FORMAT_BYTES_MAX {
        return Err(format!("a format has at most {FORMAT_BYTES_MAX} bytes"));
    }
    let sample = jiff::Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    strtime::format(format, &sample)
        .map(drop)
        .map_err(|error| format!("{:?} is no format of times: {error}", shown(format)))
}

/// What a value says of time.
enum Moment {
    /// A date alone.
    Date(Date),
    /// A moment.
    Time(jiff::Timestamp),
}

fn moment(value: &Value<'_>) -> Result<Moment, String> {
    let none = || match value.number() {
        Some(_) => "takes seconds since 1970, and no other number".to_owned(),
        None if value.text().is_some() => "takes a date or a time, not a text that is none".to_owned(),
        None => format!("takes a date or a time, not {}", value.word()),
    };
    let text = text::of(value).map_err(|_| none())?;
    let text = text.trim();
    if parse_date(text).is_some() {
        return text.parse().map(Moment::Date).map_err(|_| none());
    }
    let found = Timestamp::parse(text).or_else(|| Timestamp::parse_seconds(text)).ok_or_else(none)?;
    let late = || "takes times to the end of 9999-12-30".to_owned();
    jiff::Timestamp::from_microsecond(found.0).map(Moment::Time).map_err(|_| late())
}

/// The zone that is asked for; UTC where none is.
fn zone_of(argument: Option<&Value<'_>>) -> Result<TimeZone, String> {
    match argument.filter(|argument| !argument.is_null()) {
        // Whatever stands in the field is not told.
        Some(argument) => {
            zone(&text::of(argument)?).map_err(|_| "takes a time zone, and the field has none".to_owned())
        }
        None => Ok(TimeZone::UTC),
    }
}

/// As a format of `strftime` has it.
pub fn formatted<'e>(value: &Value<'_>, arguments: &[Value<'_>]) -> Result<Value<'e>, String> {
    let format = arguments.first().map(text::of).transpose()?.unwrap_or_default();
    let zone = zone_of(arguments.get(1))?;
    let formatted = match moment(value)? {
        Moment::Time(time) => strtime::format(&*format, &time.to_zoned(zone)),
        // It begins at midnight there; the last days that there are begin nowhere.
        Moment::Date(date) => match date.to_zoned(zone) {
            Ok(begin) => strtime::format(&*format, &begin),
            Err(_) => strtime::format(&*format, date.at(0, 0, 0, 0)),
        },
    };
    formatted.map(|text| Value::Text(text.into())).map_err(|_| "has a format that does not fit".to_owned())
}

/// A span of time later, or earlier: a date stays one where the span is of whole days.
pub fn moved<'e>(value: &Value<'_>, arguments: &[Value<'_>]) -> Result<Value<'e>, String> {
    let by = arguments.first().map(text::of).transpose()?.unwrap_or_default();
    let (by, is_short) = (span(&by)?, by.contains("minute") || by.contains("hour"));
    let zone = zone_of(arguments.get(1))?;
    let out = || "leads out of the years 1 to 9999".to_owned();
    let begin = match moment(value)? {
        Moment::Date(date) if !is_short => {
            let moved = date.checked_add(by).map_err(|_| out())?;
            return if moved.year() >= 1 { Ok(Value::Text(moved.to_string().into())) } else { Err(out()) };
        }
        Moment::Date(date) => date.to_zoned(zone).map_err(|_| out())?,
        Moment::Time(time) => time.to_zoned(zone),
    };
    let moved = begin.checked_add(by).map_err(|_| out())?.timestamp();
    if moved.to_zoned(TimeZone::UTC).year() < 1 {
        return Err(out());
    }
    Ok(Value::Text(Timestamp(moved.as_microsecond()).to_rfc3339().into()))
}
