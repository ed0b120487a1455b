//! Events that are known, and automations that are tried with them.

use hookline::grpc::pb::{self, backtest_request::Source, test_automation_request::Subject};
use tonic::Code;

use crate::harness::{
    Client, Database, Receiver, Server, account_42, automation, bad_field, condition, deal, eventually, reason,
};

crate::on_both_databases!(
    recent_events_are_shown_whether_or_not_anything_ran,
    a_draft_is_tried_with_recent_events,
    an_automation_is_tested_with_its_rendered_request,
);

async fn recent(client: &Client, page_size: i32, page_token: &str) -> pb::ListRecentEventsResponse {
    let request = pb::ListRecentEventsRequest {
        parent: "accounts/42".into(),
        page_size,
        page_token: page_token.into(),
        ..Default::default()
    };
    client.events().list_recent_events(client.ask(request)).await.expect("lists").into_inner()
}

fn native(known: &pb::KnownEvent) -> &pb::Event {
    match known.input.as_ref().and_then(|input| input.kind.as_ref()) {
        Some(pb::event_input::Kind::Event(event)) => event,
        other => panic!("not in the service's own form: {other:?}"),
    }
}

fn ids(found: &pb::ListRecentEventsResponse) -> Vec<&str> {
    found.events.iter().map(|one| native(one.event.as_ref().expect("an event")).event_id.as_str()).collect()
}

async fn get(client: &Client, id: &str) -> Result<pb::KnownEvent, tonic::Status> {
    let request = pb::GetEventRequest { parent: "accounts/42".into(), event_id: id.into() };
    Ok(client.events().get_event(client.ask(request)).await?.into_inner().event.expect("an event"))
}

/// An automation for deals whose value is above 1000 and whose currency is euro.
fn rich() -> pb::Automation {
    let mut one = automation("42", "hook", "deal", pb::EventAction::Change, r#"{"value": {{deal.value}}}"#);
    one.actions[0].path = "deals/{{deal.id}}".into();
    one.conditions = Some(condition("value", pb::Operator::Gt, &["1000"]));
    one
}

async fn recent_events_are_shown_whether_or_not_anything_ran(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    admin.create_automation("42", rich()).await.expect("creates");
    let mut other = deal("other", "9", "{}");
    if let Some(pb::event_input::Kind::Event(event)) = &mut other.kind {
        event.object = "person".into();
    }
    let events = vec![
        deal("low/1", "8", r#"{"id":8,"value":0.10}"#),
        other,
        deal("low/1", "8", r#"{"id":8,"value":0.10}"#),
        deal("high", "8", r#"{"id":8,"value":1000.50}"#),
    ];
    service.publish("42", events).await.expect("acks");
    let found = recent(&admin, 0, "").await;
    assert_eq!(ids(&found), ["high", "low/1"], "those of the trigger, newest first, each once");
    let executions: Vec<_> = found.events.iter().map(|one| one.executions).collect();
    assert_eq!((executions, found.next_page_token.as_str()), (vec![1, 0], ""));
    assert!(found.complete_since_time.is_some());
    let first = recent(&service, 1, "").await;
    let second = recent(&service, 1, &first.next_page_token).await;
    assert_eq!((ids(&first), ids(&second), second.next_page_token.as_str()), (vec!["high"], vec!["low/1"], ""));

    let known = get(&admin, "low/1").await.expect("it caused nothing, and is known");
    assert_eq!(native(&known).data_json, r#"{"id":8,"value":0.10}"#, "digit for digit");
    assert_eq!(get(&admin, "other").await.expect_err("of no trigger").code(), Code::NotFound);
    // What is shown can be tried as it is.
    let dry = pb::DryRunRequest {
        parent: "accounts/42".into(),
        source: Some(pb::dry_run_request::Source::Draft(rich())),
        subject: Some(pb::dry_run_request::Subject::Event(known.input.expect("an input"))),
    };
    assert!(!admin.explain().dry_run(admin.ask(dry)).await.expect("tries").into_inner().would_run);

    // Memory is lost with the process; the history is not.
    eventually("it has ended", || async {
        service.history("42").await.iter().all(|one| one.end_time.is_some()).then_some(())
    })
    .await;
    server.kill().await;
    let server = Server::start(&database, &[]).await;
    let service = server.client("service", "*", &[]).await;
    let after = recent(&service, 0, "").await;
    assert!(after.events.is_empty());
    assert!(after.complete_since_time.expect("a time").seconds >= found.complete_since_time.expect("a time").seconds);
    assert_eq!(native(&get(&service, "high").await.expect("it is in the history")).entity_id, "8");
    assert_eq!(get(&service, "low/1").await.expect_err("it caused nothing").code(), Code::NotFound);
    assert_eq!(bad_field(&get(&service, "").await.expect_err("no id")), "event_id");
}

async fn backtest(client: &Client, source: Source) -> pb::BacktestResponse {
    let request = pb::BacktestRequest { parent: "accounts/42".into(), source: Some(source) };
    client.explain().backtest(client.ask(request)).await.expect("tries").into_inner()
}

async fn a_draft_is_tried_with_recent_events(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    let found = backtest(&admin, Source::Draft(rich())).await;
    assert_eq!((found.events, found.complete_since_time), (0, None), "nothing has this trigger yet");
    let saved = admin.create_automation("42", rich()).await.expect("creates");
    let event = |at: usize, currency: &str| {
        deal(&format!("e-{at}"), "8", &format!(r#"{{"id":8,"value":{},"currency":"{currency}"}}"#, at * 300))
    };
    let events = (0..8).map(|at| event(at, if at % 2 == 0 { "EUR" } else { "USD" })).collect();
    service.publish("42", events).await.expect("acks");
    let found = backtest(&service, Source::Automation(saved.name)).await;
    assert_eq!((found.events, found.would_run, found.results.len()), (8, 4, 8));
    assert_eq!(found.stops.len(), 1);
    assert!(found.complete_since_time.is_some());
    let off = pb::Automation { state: pb::AutomationState::Disabled.into(), ..rich() };
    assert_eq!(backtest(&service, Source::Draft(off)).await.would_run, 4, "as if it were enabled");
    let mut draft = rich();
    let currency = pb::Clause {
        field: "currency".into(),
        operator: pb::Operator::Is.into(),
        values: vec![pb::Scalar { kind: Some(pb::scalar::Kind::Text("EUR".into())) }],
        ..Default::default()
    };
    let conditions = &mut draft.conditions.as_mut().expect("conditions").conditions;
    conditions.push(pb::Condition { kind: Some(pb::condition::Kind::Clause(currency)) });
    let found = backtest(&admin, Source::Draft(draft.clone())).await;
    let stops: Vec<_> = found
        .stops
        .iter()
        .map(|stop| (stop.path.as_str(), stop.field.as_str(), stop.operator(), stop.events))
        .collect();
    let wanted = [
        ("conditions.conditions[0]", "value", pb::Operator::Gt, 4),
        ("conditions.conditions[1]", "currency", pb::Operator::Is, 2),
    ];
    assert_eq!((stops.as_slice(), found.would_run), (wanted.as_slice(), 2));
    assert!(found.stops.iter().all(|stop| stop.check() == pb::DryRunCheckKind::Conditions));
    let newest = &found.results[0];
    assert_eq!((newest.event_id.as_str(), newest.would_run), ("e-7", false));
    assert_eq!(newest.path, "conditions.conditions[1]");
    let writer = server.client("user", "42", &["--user", "2", "--permissions", "automations.write"]).await;
    let of_user = backtest(&writer, Source::Draft(draft)).await;
    assert_eq!((of_user.stops, of_user.would_run, of_user.results.len()), (found.stops, 2, 0), "no values");
}

async fn an_automation_is_tested_with_its_rendered_request(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    admin.create_webhook("42", "query", &format!("{}query/?key=geheim&id=", receiver.url)).await.expect("creates");
    let mut one = rich();
    let mut second = one.actions[0].clone();
    second.path = "second/{{deal.title!}}".into();
    one.actions.push(second);
    let mut third = one.actions[0].clone();
    (third.webhook, third.path) = ("accounts/42/webhooks/query".into(), "{{deal.id}}".into());
    one.actions.push(third);
    let name = admin.create_automation("42", one).await.expect("creates").name;
    let test = async |client: &Client, subject: Subject, action_index: u32| {
        let request = pb::TestAutomationRequest { name: name.clone(), subject: Some(subject), action_index };
        client.explain().test_automation(client.ask(request)).await.map(tonic::Response::into_inner)
    };
    let poor = || Subject::Event(deal("e-1", "8", r#"{"id":8,"value":1.0}"#));
    // Its conditions do not hold, and it may be edited by whoever tests it.
    let writer = server.client("user", "42", &["--user", "2", "--permissions", "automations.write"]).await;
    let tested = test(&writer, poor(), 0).await.expect("tests");
    assert!(tested.succeeded);
    let got = receiver.got().remove(0);
    assert_eq!((got.uri.as_str(), got.body.as_str()), ("/deals/8", r#"{"value": 1.0}"#));
    assert_eq!(
        (got.headers["hookline-test"].to_str().expect("text"), tested.body.as_ref()),
        ("true", got.body.as_bytes())
    );
    assert_eq!(got.headers["webhook-id"].to_str().expect("text"), tested.request_id);
    assert!(got.headers.contains_key("webhook-signature"));
    assert!(service.history("42").await.is_empty(), "it is in no history");
    let usage = pb::GetAccountUsageRequest { name: "accounts/42".into() };
    let usage = service.accounts().get_account_usage(service.ask(usage)).await.expect("reads").into_inner().usage;
    assert_eq!(usage.expect("a usage").executions_used, 0);
    let audit = pb::ListAuditEntriesRequest { parent: "accounts/42".into(), ..Default::default() };
    let audit = admin.audit().list_audit_entries(admin.ask(audit)).await.expect("lists").into_inner().entries;
    let noted = audit.iter().find(|entry| entry.resource == name && entry.action() == pb::AuditAction::Tested);
    assert_eq!(noted.expect("it is noted").user_id, "2");

    for (client, is_shown) in [(&writer, false), (&admin, true)] {
        let url = test(client, poor(), 2).await.expect("tests").attempt.expect("an attempt").url;
        assert_eq!(url.contains("geheim"), is_shown, "whoever may see the query's values: {url}");
    }
    let disable = pb::UpdateWebhookRequest {
        webhook: Some(pb::Webhook { name: "accounts/42/webhooks/query".into(), ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["enabled".into()] }),
        ..Default::default()
    };
    admin.webhooks().update_webhook(admin.ask(disable)).await.expect("disables");
    let refused = test(&writer, poor(), 2).await.expect_err("what an admin has disabled");
    assert_eq!(reason(&refused), "WEBHOOK_DISABLED");
    assert!(test(&admin, poor(), 2).await.expect("they may enable it").succeeded);
    let sent = receiver.got().len();

    let refused = test(&admin, poor(), 1).await.expect_err("a value is missing");
    assert!(refused.message().contains("VALUE_MISSING"), "{refused}");
    assert_eq!(bad_field(&test(&admin, poor(), 3).await.expect_err("no such action")), "action_index");
    let denied = test(&writer, Subject::EventId("e-1".into()), 0).await.expect_err("of the history");
    assert_eq!(denied.code(), Code::PermissionDenied);
    let mut person = deal("e-2", "8", "{}");
    if let Some(pb::event_input::Kind::Event(event)) = &mut person.kind {
        event.object = "person".into();
    }
    assert_eq!(bad_field(&test(&admin, Subject::Event(person), 0).await.expect_err("another object")), "event");
    service.publish("42", vec![deal("e-3", "8", r#"{"id":"a/b","value":1}"#)]).await.expect("acks");
    receiver.answer_with(503);
    let tested = test(&admin, Subject::EventId("e-3".into()), 0).await.expect("tests");
    assert!(!tested.succeeded);
    assert_eq!(receiver.got().len(), sent + 1, "once, whatever comes of it");
    assert_eq!(receiver.got()[sent].uri, "/deals/a%2Fb");
    let plan = async |plan: pb::Plan| {
        let request = pb::SetAccountPlanRequest { name: "accounts/42".into(), plan: plan.into(), ..Default::default() };
        service.accounts().set_account_plan(service.ask(request)).await.expect("sets");
    };
    plan(pb::Plan::Essential).await;
    assert_eq!(reason(&test(&admin, poor(), 0).await.expect_err("no automations")), "PLAN_UPGRADE_REQUIRED");
    plan(pb::Plan::Power).await;
    let delete = pb::DeleteWebhookRequest { name: "accounts/42/webhooks/hook".into(), ..Default::default() };
    admin.webhooks().delete_webhook(admin.ask(delete)).await.expect("deletes");
    let refused = test(&admin, poor(), 0).await.expect_err("its webhook is gone");
    assert_eq!(reason(&refused), "WEBHOOK_NOT_FOUND");
}
