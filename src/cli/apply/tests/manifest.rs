use super::*;

fn of(text: &str) -> Result<Vec<Manifest>, String> {
    parse("f.yaml", text, "accounts/42", Path::new("/nowhere")).map_err(|error| error.0)
}

#[test]
fn a_document_is_a_message_with_liberties() {
    let text = r#"
webhook: crm
display_name: CRM
endpoint_url: https://crm.example.com/
credentials: {bearer: {token: {env: PATH}}}
---
automation: mirror
display_name: Mirror
trigger_object: deal
trigger_action: change
conditions: {match: all, conditions: [{clause: {field: value, operator: gt, values: [100, won, true, null, {null: null}, 1e400]}}]}
actions: [{webhook: crm, method: PUT, path: "deals/{{deal.id}}", raw_json: "{}"}]
"#;
    let found = of(text).expect("parses");
    assert_eq!(found[0].name, "accounts/42/webhooks/crm");
    assert_eq!(found[0].value["kind"], "WEBHOOK_KIND_AUTOMATION");
    assert_eq!(found[0].value["credentials"]["bearer"]["token"], std::env::var("PATH").expect("a path"));
    let automation = &found[1].value;
    assert_eq!(automation["actions"][0]["webhook"], "accounts/42/webhooks/crm");
    assert_eq!(automation["actions"][0]["method"], "HTTP_METHOD_PUT");
    let values = &automation["conditions"]["conditions"][0]["clause"]["values"];
    assert_eq!(
        *values,
        json!([{"number": "100"}, {"text": "won"}, {"boolean": true}, {"null": null}, {"null": null},
        {"number": "1e400"}])
    );
    show::message::<crate::grpc::pb::Automation>("Automation", automation.clone()).expect("is a message");
}

#[test]
fn numbers_stay_as_they_are_written() {
    let text = r#"
webhook: crm
display_name: 007
requests_per_second: 10
credentials: {basic: {username: 00123, password: {env: PATH}}}
---
automation: mirror
conditions:
  match: ALL
  conditions:
    - clause: {field: value, operator: IN, values: [1.10, 12345678901234567890123, 1e3, {number: 1.50}, {text: 01}, -0.0]}
actions:
  - webhook: crm
    path: 007
    key_value: {entries: [{key: 1, value: 01234}, {key: a, value: 1.10}, {key: b, value: 12345678901234567890123},
                          {key: c, value: true}, {key: d, value: 0x1F}, {key: e, value: 1_000}]}
"#;
    let found = of(text).expect("parses");
    let webhook = &found[0].value;
    assert_eq!(
        (&webhook["display_name"], &webhook["credentials"]["basic"]["username"]),
        (&json!("007"), &json!("00123"))
    );
    let webhook: crate::grpc::pb::Webhook = show::message("Webhook", webhook.clone()).expect("is a message");
    assert_eq!(webhook.requests_per_second, 10);
    let automation = &found[1].value;
    let values = &automation["conditions"]["conditions"][0]["clause"]["values"];
    let wanted = json!([{"number": "1.10"}, {"number": "12345678901234567890123"}, {"number": "1e3"},
        {"number": "1.50"}, {"text": "01"}, {"number": "-0.0"}]);
    assert_eq!(*values, wanted);
    let action = &automation["actions"][0];
    assert_eq!(action["path"], "007");
    let entries: Vec<_> =
        action["key_value"]["entries"].as_array().expect("entries").iter().map(|one| &one["value"]).collect();
    assert_eq!(entries, ["01234", "1.10", "12345678901234567890123", "true", "0x1F", "1_000"]);
    assert_eq!(action["key_value"]["entries"][0]["key"], "1");
    show::message::<crate::grpc::pb::Automation>("Automation", automation.clone()).expect("is a message");
}

#[test]
fn a_fault_names_its_place_and_the_remedy() {
    let webhook = "webhook: crm\nendpoint_url: https://crm.example.com/\n";
    for (text, wanted) in [
        ("display_name: x", "document 1: begin a document with `webhook: <id>`"),
        ("webhook: 7", "the id after `webhook:` must be text"),
        ("webhook: a\nautomation: b", "begin a document with"),
        (&format!("{webhook}etag: x"), "etag cannot be set in a file: one of display_name"),
        (&format!("{webhook}kind: BEST"), "kind: BEST is none of AUTOMATION, REGULAR"),
        (&format!("{webhook}credentials: {{bearer: {{token: hunter2}}}}"), "credentials.bearer.token is a secret"),
        (&format!("{webhook}credentials: {{bearer: {{token: 123456}}}}"), "credentials.bearer.token is a secret"),
        ("webhook: a/b", "must have no slash"),
        (&format!("{webhook}credentials: {{headers: {{headers: {{x-key: k}}}}}}"), "headers.headers.x-key is a secret"),
        (&format!("{webhook}credentials: {{bearer: {{token: {{env: NO_SUCH}}}}}}"), "the variable NO_SUCH is not set"),
        (&format!("{webhook}credentials: {{bearer: {{token: {{file: no}}}}}}"), "/nowhere/no: No such file"),
        (&format!("{webhook}credentials: {{bearer: {{tokn: x}}}}"), "bearer.tokn does not exist: one of token"),
        ("webhook: a\nendpoint_url: https://a.example.com/?key=1&id=", "endpoint_url has a value in its query"),
        ("webhook: [", "f.yaml: line "),
        (&format!("{webhook}enabled:"), "document 1: enabled has no value: give one, or leave the field out"),
        ("automation: a\nactivation: ~", "activation has no value"),
        ("automation: a\nstate:", "state has no value"),
        (&format!("{webhook}enabled: 'true'"), "enabled must be true or false, without quotes"),
        (&format!("{webhook}requests_per_second: 010"), "requests_per_second must be a whole number"),
        (&format!("{webhook}requests_per_second: 1.5"), "requests_per_second must be a whole number"),
        (&format!("{webhook}retry_policy: {{preset: CUSTOM, delays: [5]}}"), "delays[0] must be a length of time"),
        (&format!("{webhook}retry_policy: {{preset: CUSTOM, delays: 5s}}"), "retry_policy.delays must be a list"),
        (&format!("{webhook}requests_per_second: -1"), "requests_per_second must be from 0 to 4294967295"),
        (&format!("{webhook}requests_per_second: 4294967296"), "requests_per_second must be from 0 to 4294967295"),
        (
            &format!("{webhook}retry_policy: {{preset: CUSTOM, delays: [999999999999999s]}}"),
            "delays[0] must be a length of time",
        ),
        (&format!("{webhook}credentials: {{basic: ~}}"), "credentials.basic has no value"),
        ("automation: a\nactions: [{webhook: crm, path: ~}]", "actions[0].path has no value"),
        (
            "automation: a\nactions: [{webhook: crm, key_value: {entries: [{key: a, value: null}]}}]",
            "actions[0].key_value.entries[0].value has no value",
        ),
        ("automation: a\nactivation: {everyone: }", "activation.everyone has no value"),
        ("automation: a\nactivation: {user_ids: [~]}", "activation.user_ids[0] has no value"),
        (
            "automation: a\nconditions: {match: ALL, conditions: [{clause: {field: a, operator: IS, values: [.inf]}}]}",
            "values[0]: .inf is no number as JSON writes it",
        ),
        (&format!("{webhook}credentials: none"), "credentials must be fields of its own"),
        ("automation: a\nactions: [{webhook: crm, path: [a]}]", "actions[0].path must be text"),
        ("automation: a\nactions: [5]", "actions[0] must be fields of its own"),
        (
            "automation: a\nconditions: {match: ALL, conditions: [{clause: {field: a, operator: IS, values: [007]}}]}",
            "values[0]: 007 is no number as JSON writes it: quote it",
        ),
        (
            "automation: a\nconditions: {match: ALL, conditions: [{clause: {field: a, operator: IS, values: [0x1F]}}]}",
            "values[0]: 0x1F is no number as JSON writes it: quote it",
        ),
    ] {
        let error = of(text).expect_err(text);
        assert!(error.contains(wanted), "{text}: {error}");
        assert!(!error.contains("hunter2"), "a secret shows: {error}");
    }
}
