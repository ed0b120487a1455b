use super::*;

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;
const NOW: i64 = 1_800_000_000_000_000;

fn begun(told: Option<i64>) -> Trust {
    Trust::begin(told.map(Timestamp), Timestamp(NOW), 5 * HOUR)
}

/// Whether it is trusted after so long by either clock.
fn trusts(trust: &mut Trust, wall: i64, boot: i64) -> bool {
    trust.look(Timestamp(NOW + wall), 5 * HOUR + boot);
    trust.doubt.is_none()
}

#[test]
fn a_start_is_measured_against_what_was_told() {
    let cases = [(None, true), (Some(-DAY), true), (Some(0), true), (Some(50_000_000), true)];
    let wrong = [(Some(HOUR), false), (Some(15 * DAY), false), (Some(-DAY - 1), false), (Some(-15 * DAY), false)];
    for (told, is_trusted) in cases.into_iter().chain(wrong) {
        let trust = begun(told.map(|told| NOW + told));
        assert_eq!(trust.doubt.is_none(), is_trusted, "{told:?}");
    }
}

#[test]
fn a_jump_is_doubted_for_a_day_or_until_it_is_taken_back() {
    for jump in [-15 * DAY, -HOUR - 1, HOUR + 1, 15 * DAY] {
        let mut trust = begun(None);
        assert!(trusts(&mut trust, 1_000_000, 1_000_000));
        assert!(!trusts(&mut trust, jump + 1_000_000, 1_000_000), "{jump}");
        assert!(!trusts(&mut trust, jump + DAY - 1_000_000, DAY - 1_000_000), "not for a day");
        assert!(trusts(&mut trust, jump + DAY + HOUR, DAY + HOUR), "a day later it is believed");
        assert!(!trusts(&mut trust, DAY + HOUR, DAY + HOUR), "and measured anew");
        let mut trust = begun(None);
        assert!(!trusts(&mut trust, jump, 0));
        assert!(trusts(&mut trust, HOUR, HOUR), "taken back");
    }
    let mut trust = begun(None);
    assert!(trusts(&mut trust, HOUR / 2, 0) && trusts(&mut trust, HOUR, 0), "small steps");
    assert!(!trusts(&mut trust, HOUR + 1, 0), "add up");
}

#[test]
fn a_second_jump_begins_the_day_anew() {
    let mut trust = begun(None);
    assert!(!trusts(&mut trust, 2 * HOUR, 0));
    assert!(!trusts(&mut trust, 20 * HOUR + 9 * HOUR, 20 * HOUR));
    assert!(!trusts(&mut trust, 26 * HOUR + 9 * HOUR, 26 * HOUR));
    assert!(trusts(&mut trust, 44 * HOUR + 9 * HOUR, 44 * HOUR));
}

#[test]
fn a_machine_that_starts_before_its_clock_is_set_is_trusted_once_it_is() {
    let mut trust = Trust::begin(Some(Timestamp(NOW)), Timestamp(0), 0);
    assert!(trust.doubt.is_some());
    trust.look(Timestamp(NOW + HOUR), 60_000_000);
    assert!(trust.doubt.is_none(), "its time fits what was told");
    trust.look(Timestamp(NOW + 4 * HOUR), 60_000_000);
    assert!(trust.doubt.is_some(), "from then on it is measured against the other clock");
    trust.confirm(Timestamp(NOW + 4 * HOUR), 60_000_000);
    assert!(trust.doubt.is_none());
}
