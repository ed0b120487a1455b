//! The service's own notices as events: who hears them, and that they never go round.

use hookline::grpc::pb;
use serde_json::Value;
use tonic::Code;

use crate::harness::{
    Client, Database, Receiver, Server, account_42, automation, bad_field, deal, eventually, regular,
};

crate::on_both_databases!(
    what_happens_to_an_account_reaches_those_who_name_it,
    a_notice_counts_in_no_limit_and_causes_no_other,
    an_endpoint_that_is_left_alone_and_answers_again_is_told,
    what_came_too_deep_is_told_once,
    many_failures_are_told_by_few_notices,
);

const NOTICE: &str = "hookline_notice";

/// An automation for notices that posts their sentence to a path.
async fn tell(admin: &Client, webhook: &str, path: &str) -> pb::Automation {
    let body =
        r#"{"kind": {{hookline_notice.kind}}, "text": "{{hookline_notice.message}}", "of": {{event.entity_id}}}"#;
    let mut one = automation("42", webhook, NOTICE, pb::EventAction::Create, body);
    one.actions[0].path = path.into();
    admin.create_automation("42", one).await.expect("creates")
}

/// The bodies that came to a path.
fn told(receiver: &Receiver, path: &str) -> Vec<Value> {
    let got = receiver.got();
    let bodies = got.iter().filter(|got| got.uri == path).map(|got| serde_json::from_str(&got.body).expect("JSON"));
    bodies.collect()
}

fn kinds(bodies: &[Value]) -> Vec<&str> {
    bodies.iter().filter_map(|body| body["kind"].as_str()).collect()
}

/// A webhook that tries its requests once.
async fn once(admin: &Client, id: &str, url: &str) {
    admin.create_webhook("42", id, url).await.expect(url);
    let request = pb::UpdateWebhookRequest {
        webhook: Some(pb::Webhook {
            name: format!("accounts/42/webhooks/{id}"),
            retry_policy: Some(pb::RetryPolicy { preset: pb::RetryPreset::Custom.into(), ..Default::default() }),
            ..pb::Webhook::default()
        }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["retry_policy".into()] }),
        ..pb::UpdateWebhookRequest::default()
    };
    admin.webhooks().update_webhook(admin.ask(request)).await.expect("updates");
}

async fn all_ended(service: &Client) -> Vec<pb::Execution> {
    eventually("every execution ends", || async {
        let found = service.history("42").await;
        found.iter().all(|one| one.end_time.is_some()).then_some(found)
    })
    .await
}

async fn what_happens_to_an_account_reaches_those_who_name_it(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    tell(&admin, "hook", "told").await;
    // It is active for one user only, and notices are of nobody's making.
    let one = automation("42", "hook", NOTICE, pb::EventAction::Create, "{}");
    let mine =
        admin.create_automation("42", pb::Automation { display_name: "Mine".into(), ..one }).await.expect("creates");
    let name = || mine.name.clone();
    let off = pb::DeactivateAutomationRequest { name: name(), everyone: true, ..Default::default() };
    admin.automations().deactivate_automation(admin.ask(off)).await.expect("deactivates");
    let on = pb::ActivateAutomationRequest { name: name(), ..Default::default() };
    admin.automations().activate_automation(admin.ask(on)).await.expect("activates");
    for (id, subscription) in [("named", "create.hookline_notice"), ("all", "*.*"), ("created", "create.*")] {
        let url = format!("{}{id}", receiver.url);
        admin.webhooks().create_webhook(admin.ask(regular(id, &url, subscription))).await.expect("creates");
    }
    once(&admin, "erp", &format!("{}erp/?key=geheim&", receiver.url)).await;
    let erp = automation("42", "erp", "deal", pb::EventAction::Change, r#"{"secret": "geheim"}"#);
    admin
        .create_automation("42", pb::Automation { display_name: "Tell the ERP".into(), ..erp })
        .await
        .expect("creates");
    receiver.answer_at("/erp/", 400);
    service.publish("42", vec![deal("e-1", "8", "{}")]).await.expect("acks");
    eventually("the failure is told", || async { (!told(&receiver, "/told").is_empty()).then_some(()) }).await;
    let bodies = told(&receiver, "/told");
    assert_eq!(bodies[0]["text"], "An execution of the automation \"Tell the ERP\" failed: REJECTED.");
    let history = all_ended(&service).await;
    let failed = history.iter().find(|one| one.state() == pb::ExecutionState::Failed).expect("one failed");
    assert_eq!(bodies[0]["of"], failed.source.rsplit('/').next().expect("an id"));
    let to_named = eventually("a regular webhook gets it", || async {
        let got = receiver.got().into_iter().find(|got| got.uri == "/named" && got.body.contains("executions_ended"));
        got.map(|got| serde_json::from_str::<Value>(&got.body).expect("JSON"))
    })
    .await;
    assert_eq!(to_named["data"]["executions"][0], failed.name.rsplit('/').next().expect("an id"));
    assert_eq!(to_named["data"]["source"]["display_name"], "Tell the ERP");
    let meta = &to_named["meta"];
    assert_eq!((&meta["entity"], &meta["action"], &meta["user_id"]), (&NOTICE.into(), &"create".into(), &Value::Null));

    // A person disables a webhook, and a notice says so.
    let disable = pb::UpdateWebhookRequest {
        webhook: Some(pb::Webhook { name: "accounts/42/webhooks/erp".into(), ..pb::Webhook::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["enabled".into()] }),
        ..pb::UpdateWebhookRequest::default()
    };
    admin.webhooks().update_webhook(admin.ask(disable)).await.expect("disables");
    eventually("it is told", || async { (told(&receiver, "/told").len() == 2).then_some(()) }).await;
    assert_eq!(kinds(&told(&receiver, "/told")), ["executions_ended", "webhook_disabled"]);
    all_ended(&service).await;
    let got = receiver.got();
    let unasked = got.iter().filter(|got| ["/all", "/created"].contains(&got.uri.as_str()));
    assert!(unasked.clone().all(|got| !got.body.contains(NOTICE)), "* is everything else");
    let notices = got.iter().filter(|got| got.uri != "/erp/?key=geheim&");
    assert!(notices.clone().all(|got| !got.body.contains("geheim")), "no credentials");
    let mine = service.history("42").await.into_iter().filter(|one| one.source == mine.name).count();
    assert_eq!(mine, 0, "nobody acts in a notice");

    let user = server.client("user", "42", &["--user", "3"]).await;
    let theirs = regular("theirs", &receiver.url, "*.hookline_notice");
    let denied = user.webhooks().create_webhook(user.ask(theirs)).await.expect_err("of everybody's executions");
    assert_eq!(denied.code(), Code::PermissionDenied);
    let theirs = regular("theirs", &receiver.url, "*.*");
    user.webhooks().create_webhook(user.ask(theirs)).await.expect("creates");
    let renamed = pb::UpdateWebhookRequest {
        webhook: Some(pb::Webhook {
            name: "accounts/42/webhooks/theirs".into(),
            subscription: "create.hookline_notice".into(),
            ..pb::Webhook::default()
        }),
        ..pb::UpdateWebhookRequest::default()
    };
    let denied = user.webhooks().update_webhook(user.ask(renamed)).await.expect_err("the same");
    assert_eq!(denied.code(), Code::PermissionDenied);

    // Nobody else publishes or defines it.
    let mut forged = deal("forged", "8", "{}");
    if let Some(pb::event_input::Kind::Event(event)) = &mut forged.kind {
        event.object = NOTICE.into();
    }
    let envelope = r#"{"data":{},"previous":null,"meta":{"action":"create","entity":"hookline_notice","entity_id":"1",
        "company_id":"42","id":"5a0f5f0e-7b1c-4a0e-9a53-0e2b7c1d9f11","timestamp":"2026-11-24T08:00:00Z","version":"2.0"}}"#;
    let kind = Some(pb::event_input::Kind::Envelope(envelope.as_bytes().to_vec().into()));
    let results =
        service.publish("42", vec![forged, pb::EventInput { kind, ..Default::default() }]).await.expect("acks");
    let reasons: Vec<_> = results.iter().map(|one| (one.reason.as_str(), one.field.as_str())).collect();
    assert_eq!(
        reasons,
        [("RESERVED_OBJECT", "events[0].event.object"), ("RESERVED_OBJECT", "events[1].envelope.meta.entity")]
    );
    let define = pb::SetFieldsRequest { parent: "accounts/42".into(), object: NOTICE.into(), ..Default::default() };
    let refused = service.catalogue().set_fields(service.ask(define)).await.expect_err("built in");
    assert_eq!((refused.code(), bad_field(&refused).as_str()), (Code::InvalidArgument, "object"));
}

async fn a_notice_counts_in_no_limit_and_causes_no_other(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    let limits = pb::SetAccountLimitsRequest {
        name: "accounts/42".into(),
        limit_overrides: Some(pb::AccountLimits { executions_per_window: Some(2), ..Default::default() }),
        ..Default::default()
    };
    service.accounts().set_account_limits(service.ask(limits)).await.expect("sets");
    once(&admin, "pager", &format!("{}pager/", receiver.url)).await;
    tell(&admin, "pager", "told").await;
    // The pager refuses everything: its executions fail for good, and nothing tells of that.
    receiver.answer_at("/pager/told", 400);
    let one = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    admin.create_automation("42", one).await.expect("creates");
    let events = (0..4).map(|at| deal(&format!("e-{at}"), "8", "{}")).collect();
    service.publish("42", events).await.expect("acks");
    eventually("the crossing is told", || async { (!told(&receiver, "/pager/told").is_empty()).then_some(()) }).await;
    let found = eventually("what may run has ended", || async {
        let found = service.history("42").await;
        let open = found.iter().filter(|one| one.end_time.is_none());
        open.clone().all(|one| one.state() == pb::ExecutionState::Paused).then_some(found)
    })
    .await;
    let notices: Vec<_> = found.iter().filter(|one| one.object == NOTICE).collect();
    assert!(notices.iter().all(|one| one.state() == pb::ExecutionState::Failed), "{notices:?}");
    let told = told(&receiver, "/pager/told");
    assert_eq!(kinds(&told), vec!["limit_crossed"; told.len()], "a failed notice is told of by none");
    assert_eq!(notices.len(), told.len());
    let usage = pb::GetAccountUsageRequest { name: "accounts/42".into() };
    let usage = service.accounts().get_account_usage(service.ask(usage)).await.expect("reads").into_inner().usage;
    let usage = usage.expect("a usage");
    assert_eq!((usage.executions_used, usage.paused_executions), (2, 2), "notices run although the window is full");
}

async fn an_endpoint_that_is_left_alone_and_answers_again_is_told(database: Database) {
    let server = Server::start(&database, &["--breaker-open-ms", "300", "--retry-delays-ms", "100"]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    tell(&admin, "hook", "told").await;
    admin.create_webhook("42", "erp", &format!("{}erp/", receiver.url)).await.expect("creates");
    admin.create_webhook("42", "pager", &format!("{}pager/", receiver.url)).await.expect("creates");
    tell(&admin, "pager", "told").await;
    receiver.answer_at("/erp/", 503);
    receiver.answer_at("/pager/", 503);
    let one = automation("42", "erp", "deal", pb::EventAction::Change, "{}");
    admin.create_automation("42", one).await.expect("creates");
    // Ten first tries at once open the breaker; the pager itself fails more seldom.
    service.publish("42", (0..10).map(|at| deal(&format!("e-{at}"), "8", "{}")).collect()).await.expect("acks");
    let find = |kind: &str| told(&receiver, "/told").into_iter().find(|body| body["kind"] == kind);
    let outage = eventually("the outage is told", || async { find("endpoint_unavailable") }).await;
    assert_eq!(outage["of"], "erp");
    receiver.answer_alike();
    let back = eventually("the recovery is told", || async { find("endpoint_available") }).await;
    assert_eq!(back["of"], "erp");
}

async fn what_came_too_deep_is_told_once(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    tell(&admin, "hook", "told").await;
    let one = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    admin.create_automation("42", one).await.expect("creates");
    let caused = |id: &str, depth: u32| pb::EventInput { causation_depth: depth, ..deal(id, "8", "{}") };
    service.publish("42", vec![caused("deep", 6)]).await.expect("acks");
    eventually("the loop is told", || async { (told(&receiver, "/told").len() == 1).then_some(()) }).await;
    let got = receiver.got().into_iter().find(|got| got.uri == "/told").expect("it came");
    assert!(got.body.contains("was stopped: LOOP"), "{}", got.body);
    // What a platform makes of that notice gives its cause back, and is told no more.
    let depth: u32 = got.headers["hookline-causation-depth"].to_str().expect("text").parse().expect("a number");
    service.publish("42", vec![caused("deeper", depth)]).await.expect("acks");
    let history = all_ended(&service).await;
    let stopped = history.iter().filter(|one| one.reason == "LOOP").count();
    assert_eq!((stopped, told(&receiver, "/told").len()), (2, 1), "the chain ends");
}

async fn many_failures_are_told_by_few_notices(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    tell(&admin, "hook", "told").await;
    once(&admin, "erp", &format!("{}erp/", receiver.url)).await;
    receiver.answer_at("/erp/", 404);
    let one = automation("42", "erp", "deal", pb::EventAction::Change, "{}");
    admin
        .create_automation("42", pb::Automation { display_name: "Tell the ERP".into(), ..one })
        .await
        .expect("creates");
    for at in 0..30 {
        service.publish("42", vec![deal(&format!("e-{at}"), "8", "{}")]).await.expect("acks");
        eventually("it has failed", || async {
            (receiver.got().iter().filter(|got| got.uri == "/erp/").count() > at).then_some(())
        })
        .await;
    }
    all_ended(&service).await;
    let count = told(&receiver, "/told").len();
    assert!((1..=20).contains(&count), "at most ten a minute, and a minute may have ended: {count}");
    server.kill().await;
}
