use tonic::Code;
use tonic_types::StatusExt;

use super::*;

const BATCH: &str = "hookline.v1.PublishBatchRequest";

fn field_of(kind: &str, json: &str) -> Result<(), String> {
    check(kind, json.as_bytes()).map_err(|status| {
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        let violations = status.get_details_bad_request().expect("a field").field_violations;
        violations.into_iter().next().expect("a field").field
    })
}

fn list(of: &str, count: usize) -> String {
    vec![of; count].join(",")
}

#[test]
fn lists_are_counted_by_either_name_of_a_field() {
    let events = |count| format!(r#"{{"parent": "accounts/42", "events": [{}]}}"#, list("{}", count));
    assert_eq!(field_of(BATCH, &events(1_000)), Ok(()));
    assert_eq!(field_of(BATCH, &events(1_001)), Err("events[1000]".replace("[1000]", "")));
    let users =
        |name: &str, count| format!(r#"{{"events": [{{}}, {{"event": {{"{name}": [{}]}}}}]}}"#, list(r#""7""#, count));
    for name in ["permitted_user_ids", "permittedUserIds"] {
        assert_eq!(field_of(BATCH, &users(name, 10_000)), Ok(()));
        assert_eq!(field_of(BATCH, &users(name, 10_001)), Err("events[1].event.permitted_user_ids".to_owned()));
    }
    let headers = |count: usize| {
        let entries: Vec<_> = (0..count).map(|at| format!(r#""x-{at}": """#)).collect();
        let headers = entries.join(",");
        format!(r#"{{"webhook": {{"credentials": {{"headers": {{"headers": {{{headers}}}}}}}}}}}"#)
    };
    let kind = "hookline.v1.CreateWebhookRequest";
    assert_eq!(field_of(kind, &headers(100)), Ok(()));
    assert_eq!(field_of(kind, &headers(101)), Err("webhook.credentials.headers.headers".to_owned()));
    // Nobody knows how much of a list that is no field's.
    assert_eq!(field_of(BATCH, &format!(r#"{{"none": [{}]}}"#, list("1", 20_000))), Ok(()));
}

#[test]
fn all_lists_together_have_a_bound() {
    let users = format!(r#"{{"event": {{"permittedUserIds": [{}]}}}}"#, list(r#""7""#, 9_000));
    let json = format!(r#"{{"events": [{}]}}"#, list(&users, 12));
    assert_eq!(check(BATCH, json.as_bytes()).expect_err("too many").code(), Code::OutOfRange);
}

#[test]
fn what_is_no_json_says_where() {
    for json in ["", "{", "{} {}", r#"{"a": nul}"#, "\u{feff}{}", &"[".repeat(200)] {
        let status = check(BATCH, json.as_bytes()).expect_err(json);
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("it is no JSON"), "{status:?}");
    }
    assert!(check(BATCH, b"{\"parent\": \"\xff\"}").is_err());
}

#[test]
fn what_nests_too_deep_is_refused() {
    let group = |depth: usize| {
        let (open, close) = (r#"{"group": {"conditions": ["#.repeat(depth), "]}}".repeat(depth));
        format!(r#"{{"automation": {{"conditions": {{"conditions": [{open}{close}]}}}}}}"#)
    };
    let kind = "hookline.v1.CreateAutomationRequest";
    assert_eq!(field_of(kind, &group(5)), Ok(()));
    assert!(check(kind, group(30).as_bytes()).is_err());
}
