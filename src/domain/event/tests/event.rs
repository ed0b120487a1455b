use super::*;
use crate::domain::{event::envelope::parse_envelope, id::AccountId};

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/samples/{name}.json", env!("CARGO_MANIFEST_DIR"))).expect(name)
}

fn read(account: &str, name: &str) -> Event {
    parse_envelope(&account.parse().expect("an id"), &sample(name)).expect(name)
}

#[test]
fn every_sample_envelope_is_read() {
    let deal = read("8087566", "v2-change-deal-custom-field");
    assert_eq!(deal.id.as_str(), "df47d877-b58c-4886-91cd-1aa83e1d7366");
    assert_eq!((deal.object.as_str(), deal.action, deal.entity_id.as_str()), ("deal", Action::Change, "8"));
    assert_eq!(deal.user_id.as_ref().map(UserId::as_str), Some("12415231"));
    assert_eq!(deal.permitted_user_ids.as_ref().map(Vec::len), Some(2));
    assert_eq!(deal.occurred_at, Timestamp::parse("2022-11-24T15:11:55.724Z").expect("a time"));

    let lead = read("12345678", "v2-change-lead");
    assert_eq!(lead.id.as_str(), "22345678-1234-1234-1234-123456789012");
    assert!(read("8087566", "v2-create-deal").previous.is_none());

    let deleted = read("8087566", "v2-delete-activity");
    assert!(deleted.swapped && deleted.previous.is_none());
    assert!(deleted.data.contains("Call with friends"));

    let v1 = read("1234567890", "v1-updated-deal");
    assert!(v1.id.as_str().starts_with("hash-"), "an entity's id is not the event's");
    assert_eq!((v1.action, v1.entity_id.as_str()), (Action::Change, "9"));
    assert_eq!(v1.occurred_at, Timestamp(1_739_827_361_322_662));
}

#[test]
fn a_bad_envelope_names_the_field() {
    let account: AccountId = "42".parse().expect("an id");
    let cases = [
        (r#"[]"#, "envelope", RejectionReason::InvalidJson),
        (r#"{"data": {}}"#, "envelope.meta", RejectionReason::InvalidField),
        (r#"{"meta": {"company_id": 43}}"#, "envelope.meta.company_id", RejectionReason::AccountMismatch),
        (r#"{"meta": {"entity_id": 1.5}}"#, "envelope.meta.entity_id", RejectionReason::InvalidField),
        (r#"{"meta": {"entity_id": 1}}"#, "envelope.meta.entity", RejectionReason::InvalidField),
        (
            r#"{"meta": {"entity_id": 1, "entity": "deal", "action": "added"}}"#,
            "envelope.meta.action",
            RejectionReason::InvalidField,
        ),
        (
            r#"{"meta": {"entity_id": 1, "entity": "deal", "action": "change"}, "data": 7}"#,
            "envelope.data",
            RejectionReason::InvalidField,
        ),
        (
            r#"{"meta": {"entity_id": 1, "entity": "deal", "action": "change"}, "data": {}}"#,
            "envelope.meta.timestamp",
            RejectionReason::InvalidField,
        ),
        (
            r#"{"meta": {"entity_id": "a\u0000", "entity": "deal", "action": "change"}, "data": {}}"#,
            "envelope.meta.entity_id",
            RejectionReason::InvalidField,
        ),
    ];
    for (text, field, reason) in cases {
        let rejection = parse_envelope(&account, text.as_bytes()).expect_err(text);
        assert_eq!((rejection.field.as_str(), rejection.reason), (field, reason), "{text}");
    }
}

/// What an envelope of account 42 is read as.
fn of(text: &str) -> Taken<Event> {
    parse_envelope(&"42".parse().expect("an id"), text.as_bytes())
}

/// An envelope of version 1 with other members of `meta`.
fn v1(meta: &str, rest: &str) -> String {
    format!(r#"{{"meta": {{"action": "updated", "object": "deal", "id": 9, "timestamp": 1523440213{meta}}}{rest}}}"#)
}

#[test]
fn every_form_of_version_1_is_read() {
    let state = r#", "current": {"a": 1}, "previous": {"a": 0}"#;
    let versions = [
        v1("", &format!(r#"{state}, "v": 1"#)),
        v1("", &format!(r#"{state}, "v": "1""#)),
        v1("", &format!(r#"{state}, "v": "1.0""#)),
        v1(r#", "v": 1"#, state),
        v1(r#", "v": "1""#, state),
        v1(r#", "version": "1.0""#, state),
        v1("", state),
        v1(r#", "v": null"#, state),
    ];
    for text in versions {
        let event = of(&text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        assert_eq!((event.action, event.entity_id.as_str(), event.data.as_str()), (Action::Change, "9", r#"{"a":1}"#));
        assert_eq!(event.previous.as_deref(), Some(r#"{"a":0}"#));
        assert_eq!(event.occurred_at, Timestamp(1_523_440_213_000_000));
    }
    let kind = |object: &str| {
        let text = v1("", state).replace(r#""deal""#, &format!("{object:?}"));
        of(&text).map(|event| event.object.to_string()).map_err(|error| error.field)
    };
    assert_eq!(kind("activityType"), Ok("activity_type".into()));
    assert_eq!(kind("activity_type"), Ok("activity_type".into()));
    assert_eq!(kind("Deal"), Ok("deal".into()));
    assert_eq!(kind("a b"), Err("envelope.meta.object".into()));

    let user = |id: &str, current: &str, previous: &str| {
        let text = format!(
            r#"{{"v": 1, "meta": {{"action": "updated", "object": "user", "id": {id}, "timestamp": 1523440213}},
                "current": {current}, "previous": {previous}}}"#
        );
        of(&text).map(|event| (event.data, event.previous)).map_err(|error| error.field)
    };
    let read = Ok((r#"{"name":"B"}"#.to_owned(), Some(r#"{"name":"A"}"#.to_owned())));
    assert_eq!(user("7", r#"[{"name": "B"}]"#, r#"[{"name": "A"}]"#), read);
    assert_eq!(user("[7]", r#"[{"name": "B"}]"#, r#"{"name": "A"}"#), read);
    assert_eq!(user("7", r#"[{"name": "B"}]"#, "[]"), Ok((r#"{"name":"B"}"#.to_owned(), None)));
    assert_eq!(user("7", r#"[{"a": 1}, {"a": 2}]"#, "null"), Err("envelope.current".into()), "none is dropped");
    assert_eq!(user("7", "[7]", "null"), Err("envelope.current[0]".into()));
}

#[test]
fn times_are_read_as_numbers_and_as_texts() {
    let state = r#", "current": {}"#;
    let time = |given: &str| {
        let text = v1("", state).replace("1523440213", given);
        of(&text).map(|event| event.occurred_at.0).map_err(|error| error.field)
    };
    let second = 1_523_440_213_000_000;
    assert_eq!(time("1523440213"), Ok(second));
    assert_eq!(time(r#""1523440213""#), Ok(second));
    assert_eq!(time("1523440213.5"), Ok(second + 500_000));
    assert_eq!(time(r#""2018-04-11T09:50:13Z""#), Ok(second));
    assert_eq!(time(r#""2018-04-11 09:50:13""#), Ok(second));
    assert_eq!(time(r#""2018-04-11T11:50:13.25+0200""#), Ok(second + 250_000));
    assert_eq!(time("1e9"), Err("envelope.meta.timestamp".into()));
    assert_eq!(time(r#""soon""#), Err("envelope.meta.timestamp".into()));
    assert_eq!(time(r#"1, "timestamp_micro": 1523440213000007"#), Ok(second + 7));
    assert_eq!(time(r#"1, "timestamp_micro": "1523440213000007""#), Ok(second + 7));
    for form in ["1.00", "1e0", r#""1.0""#] {
        let event = of(&v1("", state).replace(r#""id": 9"#, &format!(r#""id": 9, "v": {form}"#)));
        assert!(event.is_ok(), "{form}: {event:?}");
    }
    let company = of(&v1(r#", "company_id": [43]"#, state)).expect_err("no id");
    assert_eq!((company.field.as_str(), company.reason), ("envelope.meta.company_id", RejectionReason::InvalidField));
    let unknown = of(&v1("", state).replace(r#""id": 9"#, r#""id": 9, "version": "3.0""#)).expect_err("unknown");
    assert_eq!(unknown.field, "envelope.meta.version");
}

#[test]
fn events_that_differ_have_ids_that_differ() {
    let id = |meta: &str, rest: &str| of(&v1(meta, rest)).expect("an event").id;
    let (one, two) = (r#", "current": {"a": 1}"#, r#", "current": {"a": 2}"#);
    assert_eq!(id("", one), id("", one), "the same event, sent again");
    assert_eq!(id("", one), id("", &format!(r#"{one}, "retry": 2"#)), "another attempt of its platform to send it");
    assert_eq!(id("", one), id(r#", "webhook_id": 3"#, one), "another webhook of its platform");
    assert_ne!(id("", one), id("", two), "two changes within a second");
    assert_ne!(id("", one), id("", &format!(r#"{one}, "previous": {{"a": 0}}"#)));
    let merged = of(&v1("", one).replace("updated", "merged")).expect("an event").id;
    assert_ne!(id("", one), merged);
    let fine = r#", "timestamp_micro": 1523440213000007"#;
    assert_eq!(id(fine, one), id(fine, two), "a fine time names the event");
    for said in [
        r#", "user_id": 1"#,
        r#", "user_id": 2"#,
        r#", "merged_to_id": 9"#,
        r#", "merged_to_id": 10"#,
        r#", "merged_from_id": 9"#,
        r#", "permitted_user_ids": []"#,
        r#", "permitted_user_ids": ["1"]"#,
        r#", "is_bulk_update": true"#,
        r#", "is_bulk_edit": true"#,
        r#", "change_source": "app""#,
    ] {
        assert_ne!(id("", one), id(said, one), "{said}");
        assert_eq!(id(said, one), id(said, one), "{said}");
    }
    assert_ne!(id(r#", "merged_to_id": 9"#, one), id(r#", "merged_from_id": 9"#, one));
    let whole = r#", "timestamp_micro": 1523440213000000"#;
    assert_ne!(id(whole, one), id(whole, two), "microseconds that are seconds tell nothing apart");
    let coarse = |data: &str| {
        let text = format!(
            r#"{{"meta": {{"action": "change", "entity": "user", "entity_id": 9, "id": "9",
                "timestamp": "2022-11-24T15:11:55.724Z"}}, "data": {data}}}"#
        );
        of(&text).expect("an event").id
    };
    assert_ne!(coarse("{}"), coarse(r#"{"a": 1}"#), "version 2 without an id of its own");
}

#[test]
fn a_key_that_is_given_twice_is_refused_wherever_it_stands() {
    let account: AccountId = "42".parse().expect("an id");
    let meta = r#""meta": {"entity_id": 1, "entity": "deal", "action": "change", "timestamp": 1523440213}"#;
    for text in [
        format!(r#"{{{meta}, "data": {{"status": "open", "status": "won"}}}}"#),
        format!(r#"{{{meta}, "data": {{"l": [{{"a": 1, "\u0061": 1}}]}}}}"#),
        format!(r#"{{{meta}, "data": {{}}, "previous": {{"a": 1, "a": 1}}}}"#),
        format!(r#"{{{meta}, "data": {{}}, "data": {{}}}}"#),
        format!(r#"{{{meta}, {meta}, "data": {{}}}}"#),
        format!(r#"{{{meta}, "data": {{}}}}"#).replace(r#""entity_id": 1"#, r#""entity_id": 1, "entity_id": 2"#),
    ] {
        let rejection = parse_envelope(&account, text.as_bytes()).expect_err(&text);
        assert_eq!(rejection.reason, RejectionReason::InvalidJson, "{text}");
        assert!(rejection.message.contains("given twice"), "{rejection:?}");
    }
    let rejection = payload_object("event.data", br#"{"status": "open", "status": "won"}"#).expect_err("twice");
    assert_eq!((rejection.field.as_str(), rejection.reason), ("event.data", RejectionReason::InvalidJson));
}

#[test]
fn a_stored_event_reads_back_digit_for_digit() {
    let mut event = read("8087566", "v2-change-deal-custom-field");
    event.data = r#"{"n": 1e400, "m": 123456789012345678901234567890, "x": 1.50}"#.into();
    event.cause = Some(Cause { execution_id: None, depth: 2 });
    event.trace = TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=1");
    let mut stored = Vec::new();
    event.store_into(&mut stored).expect("serializes");
    assert!(
        stored.starts_with(
            br#"{"v":1,"object":"deal","action":"change","entity_id":"8","occurred_at":1669302715724000,"#
        )
    );
    assert_eq!(Event::from_stored(event.id.clone(), &stored).expect("reads"), event);
}
