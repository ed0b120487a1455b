use super::*;

#[test]
fn a_moment_is_a_time_or_so_long_ago() {
    assert_eq!(moment("2026-01-31T08:00:00Z").expect("a time").seconds, 1_769_846_400);
    let now = clock::now().seconds();
    for (text, ago) in [("90m", 5_400), ("12h", 43_200), ("7d", 604_800)] {
        assert!((now - ago - moment(text).expect("a time").seconds).abs() <= 1, "{text}");
    }
    for malformed in ["", "yesterday", "7", "-1d", "7w"] {
        assert!(moment(malformed).is_err(), "{malformed}");
    }
}
