use super::*;
use crate::domain::{
    automation::condition::Anchor,
    timestamp::{parse_date, parse_instant},
};

fn spec(from: Anchor, offset: &str, time_zone: &str) -> RelativeSpec {
    RelativeSpec { from, offset: offset.into(), time_zone: time_zone.into() }
}

#[test]
fn a_relative_time_is_taken_at_the_time_of_the_event() {
    use Anchor::{Now, StartOfDay, StartOfMonth, StartOfWeek};
    for (from, offset, zone, at, wanted) in [
        (Now, "", "", "2026-11-25T10:20:30.5Z", "2026-11-25T10:20:30.5+00:00"),
        (Now, "-90 minutes", "", "2026-11-25T10:20:30Z", "2026-11-25T08:50:30+00:00"),
        (Now, "+36 hours", "", "2026-11-25T10:20:30Z", "2026-11-26T22:20:30+00:00"),
        (Now, "7 days", "Europe/Tallinn", "2026-11-25T23:20:30Z", "2026-12-03T01:20:30+02:00"),
        (StartOfDay, "", "", "2026-11-25T10:20:30Z", "2026-11-25T00:00:00+00:00"),
        // It is the next day there already.
        (StartOfDay, "", "Europe/Tallinn", "2026-11-25T23:20:30Z", "2026-11-26T00:00:00+02:00"),
        (StartOfWeek, "", "", "2026-11-25T10:20:30Z", "2026-11-23T00:00:00+00:00"),
        (StartOfWeek, "", "", "2026-11-23T00:00:00Z", "2026-11-23T00:00:00+00:00"),
        (StartOfWeek, "-1 week", "America/New_York", "2026-11-23T03:00:00Z", "2026-11-09T00:00:00-05:00"),
        (StartOfMonth, "", "", "2026-11-25T10:20:30Z", "2026-11-01T00:00:00+00:00"),
        (StartOfMonth, "1 month", "", "2026-01-31T10:20:30Z", "2026-02-01T00:00:00+00:00"),
        (Now, "1 month", "", "2026-01-31T10:00:00Z", "2026-02-28T10:00:00+00:00"),
        (Now, "-1 year", "", "2024-02-29T10:00:00Z", "2023-02-28T10:00:00+00:00"),
        // A day is a day also where the clock is changed, and begins where midnight is left out.
        (Now, "1 day", "Europe/Tallinn", "2026-03-28T10:00:00Z", "2026-03-29T12:00:00+03:00"),
        (Now, "24 hours", "Europe/Tallinn", "2026-03-28T10:00:00Z", "2026-03-29T13:00:00+03:00"),
        (StartOfDay, "", "America/Sao_Paulo", "2018-11-04T15:00:00Z", "2018-11-04T01:00:00-02:00"),
        (StartOfDay, "1 day", "America/Sao_Paulo", "2018-11-04T15:00:00Z", "2018-11-05T00:00:00-02:00"),
        (StartOfDay, "-1 day", "America/Sao_Paulo", "2018-11-05T15:00:00Z", "2018-11-04T01:00:00-02:00"),
        (StartOfDay, "90 minutes", "Europe/Tallinn", "2026-03-29T10:00:00Z", "2026-03-29T01:30:00+02:00"),
    ] {
        let time = RelativeTime::new(&spec(from, offset, zone)).expect(wanted);
        let moment = time.at(Timestamp::parse(at).expect("a time"));
        assert_eq!(moment.shown, wanted, "{from:?} {offset} {zone} at {at}");
        assert_eq!((Some(moment.instant), Some(moment.date)), (parse_instant(wanted), parse_date(&wanted[..10])));
    }
}

#[test]
fn what_would_lie_outside_of_all_years_is_the_first_or_last_time() {
    for (offset, now) in [("100 years", i64::MAX), ("-100 years", i64::MIN), ("100 years", 253_402_300_799_000_000)] {
        for from in [Anchor::Now, Anchor::StartOfDay, Anchor::StartOfWeek, Anchor::StartOfMonth] {
            let time = RelativeTime::new(&spec(from, offset, "Europe/Tallinn")).expect("good");
            assert_eq!(time.at(Timestamp(now)).instant > 0, now > 0, "{from:?} {offset}");
        }
    }
}

#[test]
fn offsets_and_zones_that_are_none_are_refused() {
    for (offset, zone, part, message) in [
        ("soon", "", "offset", "is no span of time"),
        ("7", "", "offset", "is no span of time"),
        ("1.5 days", "", "offset", "is no span of time"),
        ("7 fortnights", "", "offset", "is no span of time"),
        ("101 years", "", "offset", "more than 100 years"),
        ("-1201 months", "", "offset", "more than 100 years"),
        ("99999999999999999999 days", "", "offset", "is no span of time"),
        ("999999999 days", "", "offset", "too long a span of time"),
        (&"0".repeat(70), "", "offset", "the limit is 64"),
        ("", "Europe/Atlantis", "time_zone", "is no time zone"),
    ] {
        let (found, why) = RelativeTime::new(&spec(Anchor::Now, offset, zone)).expect_err(message);
        assert!(found == part && why.contains(message), "{offset} {zone}: {found} {why}");
    }
}
