use super::*;

#[test]
fn a_file_has_one_event_a_list_or_one_a_line() {
    let count = |text: &str| parse("f", text).map(|found| found.len()).map_err(|error| error.0);
    assert_eq!(count(r#"{"meta": {}}"#), Ok(1));
    assert_eq!(count("[{}, {}]"), Ok(2));
    assert_eq!(count("{}\n{}\n\n{}"), Ok(3));
    assert_eq!(count(" \n"), Err("f has no event".into()));
    assert!(count("{} nonsense").is_err_and(|error| error.starts_with("f: expected")));
    assert!(count(r#"[1]"#).is_err_and(|error| error.starts_with("f, event 1: not an event")));
}

#[test]
fn payloads_keep_their_bytes() {
    let text = r#"{"event_id": "e1", "object": "deal", "action": "EVENT_ACTION_CHANGE", "data": {"n": 1.50}}"#;
    let found = parse("f", text).expect("parses");
    let Some(Kind::Event(event)) = &found[0].input.kind else { panic!("an event") };
    assert_eq!((event.object.as_str(), &event.data[..]), ("deal", br#"{"n": 1.50}"#.as_slice()));
    let text = r#"{"event_id": 12345678901234567890123, "object": "deal", "action": "change", "entity_id": 007}"#;
    assert!(parse("f", text).is_err_and(|error| error.0.contains("f: ")), "JSON has no such number");
    let text = text.replace("007", "98765432109876543210987");
    let found = parse("f", &text).expect("parses");
    let Some(Kind::Event(event)) = &found[0].input.kind else { panic!("an event") };
    assert_eq!(
        (event.event_id.as_str(), event.entity_id.as_str()),
        ("12345678901234567890123", "98765432109876543210987")
    );
    let found = parse("f", r#"{"meta": {"id":  "x"}}"#).expect("parses");
    let Some(Kind::Envelope(bytes)) = &found[0].input.kind else { panic!("an envelope") };
    assert_eq!(&bytes[..], br#"{"meta": {"id":  "x"}}"#);
}
