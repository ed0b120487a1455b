use http::HeaderValue;

use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &str)| {
        (http::HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
    };
    pairs.iter().map(pair).collect()
}

fn of_json(kind: &str, body: &str) -> Vec<Read> {
    read(&headers(&[("content-type", kind)]), &Bytes::copy_from_slice(body.as_bytes())).expect("forms")
}

fn event(read: &Read) -> pb::Event {
    match read.as_ref().expect("an event").kind.clone() {
        Some(pb::event_input::Kind::Event(event)) => event,
        other => panic!("{other:?}"),
    }
}

const CLOUD: &str = r#"{"specversion": "1.0", "id": "a1", "source": "/crm", "type": "com.example.deal.change",
    "subject": "8", "time": "2026-01-31T09:30:00Z", "userid": "7", "previous": "{\"stage_id\": 1}", "other": true,
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "data": {"value": 12345678901234567890.10}}"#;

#[test]
fn a_cloud_event_becomes_an_event() {
    for kind in ["application/cloudevents+json; charset=utf-8", "application/json"] {
        let found = event(&of_json(kind, CLOUD)[0]);
        assert_eq!((found.event_id.as_str(), found.object.as_str(), found.entity_id.as_str()), ("a1", "deal", "8"));
        assert_eq!(found.action, i32::from(pb::EventAction::Change));
        assert_eq!(
            (&*found.data, &*found.previous),
            (&br#"{"value": 12345678901234567890.10}"#[..], &br#"{"stage_id": 1}"#[..])
        );
        assert_eq!((found.user_id.as_str(), found.occur_time.expect("a time").seconds), ("7", 1_769_851_800));
    }
    let many = of_json("application/cloudevents-batch+json", &format!("[{CLOUD}, {{}}, {CLOUD}]"));
    assert_eq!(many.len(), 3);
    assert_eq!(many[1].as_ref().expect_err("no version").field, "events[1].specversion");
    let base64 = CLOUD.replace(r#""data": {"value": 12345678901234567890.10}"#, r#""data_base64": "eyJhIjogMX0=""#);
    assert_eq!(&*event(&of_json("application/json", &base64)[0]).data, br#"{"a": 1}"#);
}

#[test]
fn a_binary_cloud_event_is_a_whole_request() {
    let pairs = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "caf%C3%A9"),
        ("ce-source", "/crm"),
        ("ce-type", "deal.create"),
        ("ce-subject", "8"),
    ];
    let found = read(&headers(&pairs), &Bytes::from_static(b"{\"a\": 1}")).expect("a form");
    assert_eq!((event(&found[0]).event_id.as_str(), &*event(&found[0]).data), ("caf\u{e9}", &b"{\"a\": 1}"[..]));
    let other = pairs.map(|(name, value)| (name, if name == "content-type" { "text/xml" } else { value }));
    let fault = read(&headers(&other), &Bytes::new()).expect("a form").pop().expect("one").expect_err("no JSON");
    assert_eq!(fault.field, "events[0].datacontenttype");
}

#[test]
fn what_a_cloud_event_lacks_is_named() {
    for (old, new, field) in [
        (r#""specversion": "1.0""#, r#""specversion": "0.3""#, "specversion"),
        (r#""id": "a1","#, "", "id"),
        (r#""source": "/crm","#, "", "source"),
        (r#""subject": "8","#, "", "subject"),
        ("com.example.deal.change", "deal.merged", "type"),
        ("com.example.deal.change", "change", "type"),
        ("2026-01-31T09:30:00Z", "yesterday", "time"),
        (r#""other": true"#, r#""datacontenttype": "text/xml""#, "datacontenttype"),
        (r#""other": true"#, r#""data_base64": "eyJhIjogMX0=""#, "data_base64"),
    ] {
        let changed = CLOUD.replace(old, new);
        assert_ne!(changed, CLOUD, "{old}");
        let fault = of_json("application/json", &changed).pop().expect("one").expect_err(new);
        assert_eq!(fault.field, format!("events[0].{field}"));
    }
}

#[test]
fn a_platforms_envelope_stays_as_it_is() {
    let envelope = include_str!("../../../tests/samples/v2-change-deal-custom-field.json");
    let found = of_json("application/json", envelope).pop().expect("one").expect("an event");
    assert_eq!(found.kind, Some(pb::event_input::Kind::Envelope(envelope.trim().as_bytes().to_vec().into())));
}

#[test]
fn an_event_of_ours_has_its_state_as_it_is() {
    let json = r#"{"event_id": "e1", "object": "deal", "action": "change", "entity_id": "8",
        "occur_time": "2026-01-31T09:30:00Z", "data": {"value": 1.10}, "previous": {"value": 1.00}, "permitted_user_ids": []}"#;
    for json in [
        json.to_owned(),
        json.replace("event_id", "eventId").replace("entity_id", "entityId").replace("change", "EVENT_ACTION_CHANGE"),
    ] {
        let found = event(&of_json("application/json", &json)[0]);
        assert_eq!((&*found.data, &*found.previous), (&br#"{"value": 1.10}"#[..], &br#"{"value": 1.00}"#[..]));
        assert_eq!(found.permitted_users, Some(pb::PermittedUsers::default()));
    }
    let fault =
        of_json("application/json", &json.replace("\"data\"", "\"dato\"")).pop().expect("one").expect_err("unknown");
    assert!(fault.message.contains("dato"), "{fault:?}");
}

#[test]
fn what_is_no_form_is_refused_whole() {
    let refused = |kind: &str, body: &str| {
        read(&headers(&[("content-type", kind)]), &Bytes::copy_from_slice(body.as_bytes())).is_err()
    };
    assert!(refused("text/plain", "{}"));
    for body in ["", "[]", "{", "{} {}", "[{},]"] {
        assert!(refused("application/json", body), "{body}");
    }
    let many = |count: usize| format!("[{}]", vec!["{}"; count].join(","));
    assert!(!refused("application/json", &many(1_000)));
    assert!(refused("application/json", &many(1_001)));
    for odd in ["1", "null", "\"text\"", "[[]]", "[1]"] {
        assert!(of_json("application/json", odd)[0].is_err(), "{odd}");
    }
}
