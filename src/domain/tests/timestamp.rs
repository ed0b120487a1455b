use super::*;

#[test]
fn reads_the_forms_that_platforms_write() {
    let instant = Timestamp(1_669_303_693_375_000);
    assert_eq!(Timestamp::parse("2022-11-24T15:28:13.375Z"), Some(instant));
    assert_eq!(Timestamp::parse("2022-11-24T17:28:13.375+02:00"), Some(instant));
    assert_eq!(Timestamp::parse("2022-11-24 15:28:13"), Some(Timestamp(1_669_303_693_000_000)));
    assert_eq!(instant.to_rfc3339(), "2022-11-24T15:28:13.375Z");
    for text in [
        "2022-11-24T17:28:13.375+0200",
        "2022-11-24T17:28:13.375+02",
        "2022-11-24T17:28:13.375000+02",
        "2022-11-24T17:28:13.375000999+02:00",
        "2022-11-24 15:28:13.375Z",
        "2022-11-24t15:28:13,375z",
    ] {
        assert_eq!(Timestamp::parse(text), Some(instant), "{text}");
    }
    for text in ["2016-12-31T23:59:60Z", "2016-12-31T23:59:60.1Z", "2017-01-01T01:59:60+02:00"] {
        let leap = parse_instant(text);
        assert!(leap > parse_instant("2016-12-31T23:59:59.8Z"), "{text}");
        assert!(leap < parse_instant("2017-01-01T00:00:00Z"), "{text}");
    }
    let minute = Timestamp(1_669_303_680_000_000);
    for text in ["2022-11-24T15:28Z", "2022-11-24T17:28+02:00", "2022-11-24T09:58-0530", "2022-11-24 15:28+00"] {
        assert_eq!(Timestamp::parse(text), Some(minute), "{text}");
    }
    assert_eq!(Timestamp::parse("2022-11-24T15:28:13.5Z"), Some(Timestamp(1_669_303_693_500_000)));
    assert_eq!(Timestamp::parse("1969-12-31T23:59:59.5Z"), Some(Timestamp(-500_000)));
    for text in [
        "2022-11-24",
        "15:28:13",
        "2022-13-01T00:00:00Z",
        "",
        "tomorrow",
        "2022-11-24T15:28:13",
        "2022-11-24 15:28",
        "2022-11-24T15Z",
        "2022-11-24T15:28:13.Z",
        "2022-11-24T15:28.5Z",
        "2022-11-24T15:28:13.1234567890Z",
        "2022-11-24T24:00:00Z",
        "2022-11-24T15:28:60Z",
        "2016-12-31T23:59:61Z",
        "2022-11-24T15:28:13+2",
        "2022-11-24T15:28:13+02:0",
        "2022-11-24T15:28:13Z+02",
        "2022-11-24T15:28:13 +02:00",
        "2022-11-24T1\u{e9}:28:13Z",
        "2022-11-2\u{e9}T15:28:13Z",
    ] {
        assert_eq!(Timestamp::parse(text), None, "{text}");
    }
    for (text, wanted) in [
        ("1669303693", Some(1_669_303_693_000_000)),
        ("1669303693.375", Some(instant.0)),
        ("0", Some(0)),
        ("", None),
        ("-1", None),
        ("1e9", None),
        ("1669303693.", None),
        ("1669303693375", None),
    ] {
        assert_eq!(Timestamp::parse_seconds(text).map(|found| found.0), wanted, "{text}");
    }
    assert!(parse_date("2024-02-29") > parse_date("2024-02-28"));
    assert_eq!(parse_date("2023-02-29"), None);
    assert_eq!(Timestamp::from_seconds(-1), None);
}
