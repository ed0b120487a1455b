use super::*;

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

#[test]
fn a_stored_event_reads_back_digit_for_digit() {
    let mut event = read("8087566", "v2-change-deal-custom-field");
    event.data = r#"{"n": 1e400, "m": 123456789012345678901234567890, "x": 1.50}"#.into();
    event.cause = Some(Cause { execution_id: None, depth: 2 });
    let stored = event.to_stored().expect("serializes");
    assert!(
        stored.starts_with(
            br#"{"v":1,"object":"deal","action":"change","entity_id":"8","occurred_at":1669302715724000,"#
        )
    );
    assert_eq!(Event::from_stored(event.id.clone(), &stored).expect("reads"), event);
}
