use prost::Message;

use super::*;
use crate::grpc::pb;

fn reachable() -> Vec<String> {
    let mut open: Vec<_> =
        POOL.services().flat_map(|service| service.methods().map(|m| m.input()).collect::<Vec<_>>()).collect();
    let (mut seen, mut lists) = (Vec::new(), Vec::new());
    while let Some(message) = open.pop() {
        if seen.contains(&message.full_name().to_owned()) {
            continue;
        }
        seen.push(message.full_name().to_owned());
        for field in message.fields() {
            if field.is_list() || field.is_map() {
                lists.push(field.full_name().to_owned());
            }
            open.extend(field.kind().as_message().cloned());
        }
    }
    lists.sort();
    lists
}

#[test]
fn every_list_of_a_request_has_a_bound_of_its_own() {
    let mut listed: Vec<_> = ELEMENTS_MAX.iter().map(|(name, _)| (*name).to_owned()).collect();
    listed.sort();
    assert_eq!(listed, reachable());
    for method in OF_EVENTS.iter().chain(&OF_RESOURCES) {
        assert!(super::method(&format!("/hookline.v1.{method}")).is_some(), "{method} exists");
    }
}

fn check(kind: &str, message: &impl Message) -> Result<(), String> {
    check_wire(&format!("hookline.v1.{kind}"), &message.encode_to_vec()).map_err(|error| error.to_string())
}

fn group(conditions: Vec<pb::Condition>) -> pb::ConditionGroup {
    pb::ConditionGroup { r#match: 1, conditions }
}

fn nested(inner: pb::ConditionGroup) -> pb::Condition {
    pb::Condition { kind: Some(pb::condition::Kind::Group(inner)) }
}

#[test]
fn lists_are_counted_before_anything_is_made_of_them() {
    let automation = |automation| pb::CreateAutomationRequest { automation: Some(automation), ..Default::default() };
    let actions = |count| pb::Automation { actions: vec![pb::WebhookAction::default(); count], ..Default::default() };
    assert_eq!(check("CreateAutomationRequest", &automation(actions(100))), Ok(()));
    let fault = check("CreateAutomationRequest", &automation(actions(101))).expect_err("too many");
    assert_eq!(fault, "automation.actions: has more than 100 elements");

    let values = pb::Clause { values: vec![pb::Scalar::default(); 201], ..Default::default() };
    let clause = pb::Condition { kind: Some(pb::condition::Kind::Clause(values)) };
    let conditions = Some(group(vec![pb::Condition::default(), nested(group(vec![clause]))]));
    let fault = check("CreateAutomationRequest", &automation(pb::Automation { conditions, ..Default::default() }));
    let fault = fault.expect_err("too many");
    assert_eq!(
        fault,
        "automation.conditions.conditions[1].group.conditions[0].clause.values: has more than 200 elements"
    );

    // Each group is small, all together are not.
    let wide = (0..4).fold(group(vec![]), |inner, _| group(vec![nested(inner); 20]));
    let fault =
        check("CreateAutomationRequest", &automation(pb::Automation { conditions: Some(wide), ..Default::default() }));
    assert!(fault.expect_err("too many").contains("elements in its lists"));
    let deep = (0..40).fold(group(vec![]), |inner, _| group(vec![nested(inner)]));
    let fault =
        check("CreateAutomationRequest", &automation(pb::Automation { conditions: Some(deep), ..Default::default() }));
    assert!(fault.expect_err("too deep").contains("nests deeper"));

    let mask = prost_types::FieldMask { paths: vec![String::new(); 300_000] };
    let request = pb::UpdateWebhookRequest { update_mask: Some(mask), ..Default::default() };
    assert_eq!(
        check("UpdateWebhookRequest", &request).expect_err("too many"),
        "update_mask.paths: has more than 100 elements"
    );
    // Packed numbers are counted, too.
    let request = pb::ListExecutionsRequest { states: vec![1; 101], ..Default::default() };
    assert_eq!(check("ListExecutionsRequest", &request).expect_err("too many"), "states: has more than 100 elements");
    let headers = (0..101).map(|at| (format!("h{at}"), String::new())).collect();
    let credentials = pb::Credentials { kind: Some(pb::credentials::Kind::Headers(pb::HeaderCredentials { headers })) };
    let webhook = Some(pb::Webhook { credentials: Some(credentials), ..Default::default() });
    let fault = check("CreateWebhookRequest", &pb::CreateWebhookRequest { webhook, ..Default::default() });
    assert_eq!(fault.expect_err("too many"), "webhook.credentials.headers.headers: has more than 100 elements");
}

#[test]
fn every_method_has_its_size() {
    let long = |bytes| pb::GetAccountRequest { name: "x".repeat(bytes) };
    assert_eq!(check("GetAccountRequest", &long(CALL_BYTES_MAX - 8)), Ok(()));
    assert!(check("GetAccountRequest", &long(CALL_BYTES_MAX)).expect_err("too large").contains("65536"));
    let events =
        |count| pb::PublishBatchRequest { events: vec![pb::EventInput::default(); count], ..Default::default() };
    assert_eq!(check("PublishBatchRequest", &events(1_000)), Ok(()));
    assert_eq!(
        check("PublishBatchRequest", &events(2_000_000)).expect_err("too many"),
        "events: has more than 1000 elements"
    );
}

#[test]
fn what_is_no_message_is_refused_and_unknown_fields_are_not_counted() {
    for wire in
        [&b"\x1a\xff\xff\xff\xff\x0f"[..], b"\x1a", b"\x0b\x0c", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"]
    {
        assert_eq!(check_wire("hookline.v1.PublishRequest", wire), Err(TooLarge::Malformed), "{wire:?}");
    }
    let unknown = [0xfa_u8, 0x7f, 0x00].repeat(10_000);
    assert_eq!(check_wire("hookline.v1.PublishRequest", &unknown), Ok(()));
}
