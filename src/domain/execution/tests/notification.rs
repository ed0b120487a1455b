use uuid::Uuid;

use super::*;
use crate::domain::{
    attempt::retry_policy::RetryPolicy,
    event::parse_envelope,
    id::WebhookUid,
    timestamp::Timestamp,
    url::{EndpointUrl, UrlPolicy},
    webhook::{WebhookKind, credentials::Credentials},
};

fn webhook(owner: &str) -> Webhook {
    Webhook {
        uid: WebhookUid(Uuid::from_u128(1)),
        id: "wh-1".parse().expect("an id"),
        display_name: "a subscription".into(),
        kind: WebhookKind::Regular,
        endpoint: EndpointUrl::parse("https://h.example/?k=", &UrlPolicy::default(), true).expect("a URL"),
        credentials: Credentials::None,
        secrets: Vec::new(),
        retry: RetryPolicy::default(),
        success: Default::default(),
        requests_per_second: None,
        disabled: None,
        owner: Some(owner.parse().expect("an id")),
        subscription: Some("*.*".parse().expect("a subscription")),
        revision: 1,
        created_at: Timestamp(0),
        updated_at: Timestamp(0),
        deleted_at: None,
    }
}

/// The samples that are events of version 2.
const SAMPLES: [&str; 6] = [
    include_str!("../../../../tests/samples/v2-change-activity.json"),
    include_str!("../../../../tests/samples/v2-change-deal-custom-field.json"),
    include_str!("../../../../tests/samples/v2-change-lead.json"),
    include_str!("../../../../tests/samples/v2-create-activity.json"),
    include_str!("../../../../tests/samples/v2-create-deal.json"),
    include_str!("../../../../tests/samples/v2-delete-activity.json"),
];

#[test]
fn the_envelope_has_the_shape_of_the_samples_key_by_key() {
    for sample in SAMPLES {
        let sent: Value = serde_json::from_str(sample).expect("JSON");
        let account: AccountId = sent["meta"]["company_id"].as_str().expect("an id").parse().expect("an id");
        let owner = sent["meta"]["webhook_owner_id"].as_str().expect("an id");
        let event = parse_envelope(&account, sample.as_bytes()).expect("an event");
        let request = notification(&account, &webhook(owner), &event, &beginning(&event));
        let got: Value = serde_json::from_str(&request.body.text()).expect("JSON");
        let mut wanted = sent.clone();
        wanted["meta"]["webhook_id"] = "wh-1".into();
        assert_eq!(got, wanted, "key by key, value by value");
        let keys = |text: &str| {
            json::members(text).expect("members").items.into_iter().map(|(key, _)| key.into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(keys(&request.body.text()), ["data", "previous", "meta"], "in this order");
        let third = request.body_of(3);
        let third: Value = serde_json::from_str(&third).expect("JSON");
        wanted["meta"]["attempt"] = 3.into();
        assert_eq!(third, wanted, "the attempt is counted, and nothing else changes");
    }
}

#[test]
fn other_events_get_the_same_shape() {
    let account: AccountId = "42".parse().expect("an id");
    let v1 = include_str!("../../../../tests/samples/v1-updated-deal.json");
    let company: Value = serde_json::from_str(v1).expect("JSON");
    let company = company["meta"]["company_id"].to_string().trim_matches('"').parse().expect("an id");
    let from_v1 = parse_envelope(&company, v1.as_bytes()).expect("an event");
    let mut native = Event::sample("e\"1");
    native.data = r#"{"n": 1.50}"#.into();
    let deleted = Event { action: Action::Delete, ..native.clone() };
    let sample: Value = serde_json::from_str(SAMPLES[4]).expect("JSON");
    let shape = |value: &Value| {
        let mut keys: Vec<_> = value["meta"].as_object().expect("an object").keys().cloned().collect();
        keys.retain(|key| key != "permitted_user_ids");
        keys.sort();
        keys
    };
    for (account, event) in [(&company, &from_v1), (&account, &native), (&account, &deleted)] {
        let request = notification(account, &webhook("9"), event, &beginning(event));
        let got: Value = serde_json::from_str(&request.body.text()).expect("JSON");
        assert_eq!(shape(&got), shape(&sample));
        assert_eq!(got["meta"]["version"], "2.0");
        for id in ["company_id", "entity_id", "id", "webhook_id", "webhook_owner_id"] {
            assert!(got["meta"][id].is_string(), "{id} is text");
        }
    }
    let got = notification(&account, &webhook("9"), &native, &beginning(&native)).body.text().into_owned();
    assert!(got.contains(r#"{"n": 1.50}"#), "numbers digit for digit");
    let got: Value =
        serde_json::from_str(&notification(&account, &webhook("9"), &deleted, &beginning(&deleted)).body.text())
            .expect("JSON");
    assert!(got["data"].is_null() && got["previous"]["n"].is_number(), "what is deleted is in previous");
}

#[test]
fn what_an_envelope_says_beside_the_state_is_carried_on() {
    let account: AccountId = "42".parse().expect("an id");
    let meta = |text: &str| {
        let event = parse_envelope(&account, text.as_bytes()).expect("an event");
        let body = notification(&account, &webhook("9"), &event, &beginning(&event)).body.text().into_owned();
        serde_json::from_str::<Value>(&body).expect("JSON")["meta"].clone()
    };
    let merged = meta(
        r#"{"meta": {"action": "delete", "entity": "deal", "entity_id": "8", "timestamp": "2026-01-01T00:00:00.5Z",
            "merged_to_id": 9, "is_bulk_edit": true, "change_source": "app"}, "data": null, "previous": {"a": 1}}"#,
    );
    assert_eq!((&merged["merged_to_id"], &merged["merged_from_id"]), (&"9".into(), &Value::Null));
    assert_eq!((&merged["is_bulk_edit"], &merged["change_source"]), (&true.into(), &"app".into()));
    let from_v1 = meta(
        r#"{"v": "1", "meta": {"action": "merged", "object": "deal", "id": 9, "timestamp": 1523440213,
            "merged_from_id": "8", "is_bulk_update": true, "change_source": "app", "host": "h.example"},
            "current": {"a": 1}}"#,
    );
    assert_eq!((&from_v1["merged_from_id"], from_v1.get("merged_to_id")), (&"8".into(), None));
    assert_eq!((&from_v1["is_bulk_edit"], &from_v1["change_source"]), (&true.into(), &"app".into()));
    assert_eq!((&from_v1["host"], &from_v1["timestamp"]), (&"h.example".into(), &"2018-04-11T09:50:13Z".into()));
}
