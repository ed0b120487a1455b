//! Filters of dates and times, in any form that events have.

use jiff::{Span, Zoned, fmt::strtime, tz::TimeZone};

use super::{super::value::Value, text};
use crate::domain::timestamp::{Timestamp, parse_date};

/// How long a format may be.
const FORMAT_BYTES_MAX: usize = 200;

/// A zone by its name, such as `Europe/Tallinn`.
pub fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name)
        .map_err(|_| format!("{name:?} is no time zone: names are those of IANA, such as Europe/Tallinn"))
}

/// Refuses a format that is none.
pub fn check_format(format: &str) -> Result<(), String> {
    if format.len() > FORMAT_BYTES_MAX {
        return Err(format!("a format has at most {FORMAT_BYTES_MAX} bytes"));
    }
    let sample = jiff::Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    strtime::format(format, &sample).map(drop).map_err(|error| format!("{format:?} is no format of times: {error}"))
}

/// A span of time, such as `7 days` or `-1 month`.
pub fn span(text: &str) -> Result<Span, String> {
    let wanted =
        || format!("{text:?} is no span of time: a whole number and minutes, hours, days, weeks, months or years");
    let (number, unit) = text.trim().split_once(' ').ok_or_else(wanted)?;
    let number: i64 = number.parse().map_err(|_| wanted())?;
    let span = Span::new();
    let span = match unit.trim() {
        "minute" | "minutes" => span.try_minutes(number),
        "hour" | "hours" => span.try_hours(number),
        "day" | "days" => span.try_days(number),
        "week" | "weeks" => span.try_weeks(number),
        "month" | "months" => span.try_months(number),
        "year" | "years" => span.try_years(number),
        _ => return Err(wanted()),
    };
    span.map_err(|_| format!("{text:?} is too long a span of time"))
}

/// A moment in a zone, and whether only its date was given, which begins at midnight there.
fn moment(value: &Value<'_>, zone: &TimeZone) -> Result<(Zoned, bool), String> {
    let none = || format!("takes a date or a time, not {}", value.word());
    let text = text::of(value).map_err(|_| none())?;
    let text = text.trim();
    if parse_date(text).is_some() {
        let date: jiff::civil::Date = text.parse().map_err(|_| none())?;
        return Ok((date.to_zoned(zone.clone()).map_err(|_| none())?, true));
    }
    let found = Timestamp::parse(text).or_else(|| Timestamp::parse_seconds(text));
    let found = found.ok_or_else(|| "takes a date or a time, not a text that is none".to_owned())?;
    let found = jiff::Timestamp::from_microsecond(found.0).map_err(|_| none())?;
    Ok((found.to_zoned(zone.clone()), false))
}

/// The zone that is asked for; UTC where none is.
fn zone_of(argument: Option<&Value<'_>>) -> Result<TimeZone, String> {
    match argument.filter(|argument| !argument.is_null()) {
        Some(argument) => zone(&text::of(argument)?),
        None => Ok(TimeZone::UTC),
    }
}

/// As a format of `strftime` has it.
pub fn formatted<'e>(value: &Value<'_>, arguments: &[Value<'_>]) -> Result<Value<'e>, String> {
    let format = arguments.first().map(text::of).transpose()?.unwrap_or_default();
    let (moment, _) = moment(value, &zone_of(arguments.get(1))?)?;
    let formatted = strtime::format(&*format, &moment).map_err(|error| error.to_string())?;
    Ok(Value::Text(formatted.into()))
}

/// A span of time later, or earlier: a date stays one where the span is of whole days.
pub fn moved<'e>(value: &Value<'_>, arguments: &[Value<'_>]) -> Result<Value<'e>, String> {
    let by = arguments.first().map(text::of).transpose()?.unwrap_or_default();
    let (by, is_short) = (span(&by)?, by.contains("minute") || by.contains("hour"));
    let (moment, is_date) = moment(value, &zone_of(arguments.get(1))?)?;
    let moved = moment.checked_add(by).map_err(|_| "leads out of the years 1 to 9999".to_owned())?;
    let text = match is_date && !is_short {
        true => moved.date().to_string(),
        false => Timestamp(moved.timestamp().as_microsecond()).to_rfc3339(),
    };
    Ok(Value::Text(text.into()))
}
