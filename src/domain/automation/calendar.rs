//! Time zones and spans of time, as they are written.

use jiff::{Span, tz::TimeZone};

/// How much of what somebody has written is shown.
const SHOWN_CHARS_MAX: usize = 60;

/// A zone by its name, such as `Europe/Tallinn`.
pub fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name)
        .map_err(|_| format!("{name:?} is no time zone: names are those of IANA, such as Europe/Tallinn"))
}

/// A span of time, such as `7 days` or `-1 month`.
pub fn span(text: &str) -> Result<Span, String> {
    let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    let wanted =
        || format!("{shown:?} is no span of time: a whole number and minutes, hours, days, weeks, months or years");
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
    span.map_err(|_| format!("{shown:?} is too long a span of time"))
}
