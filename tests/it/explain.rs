//! What would be sent, and why it would not: dry runs and test requests.

use hookline::grpc::pb;
use standardwebhooks::Webhook as Verifier;
use tonic::Code;
use tonic_types::StatusExt;

use crate::harness::{
    Client, Database, Receiver, Server, account_42, automation, bad_field, condition, deal, eventually,
};

crate::on_both_databases!(
    a_dry_run_tells_what_would_be_sent_and_sends_nothing,
    a_test_request_tells_how_an_endpoint_does,
    people_learn_why_an_automation_did_not_run,
    what_would_go_wrong_is_told_beforehand,
);

async fn set_up(server: &Server, receiver: &Receiver) -> (Client, Client) {
    account_42(server, &format!("{}?key=s3cret&id=", receiver.url)).await
}

type Source = pb::dry_run_request::Source;
type Subject = pb::dry_run_request::Subject;

async fn dry_run(client: &Client, source: Source, subject: Subject) -> Result<pb::DryRunResponse, tonic::Status> {
    let request = pb::DryRunRequest { parent: "accounts/42".into(), source: Some(source), subject: Some(subject) };
    Ok(client.explain().dry_run(client.ask(request)).await?.into_inner())
}

fn failed(answer: &pb::DryRunResponse) -> Vec<pb::DryRunCheckKind> {
    answer.checks.iter().filter(|check| !check.held).map(pb::DryRunCheck::kind).collect()
}

async fn a_dry_run_tells_what_would_be_sent_and_sends_nothing(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = set_up(&server, &receiver).await;
    let mut one = automation("42", "hook", "deal", pb::EventAction::Change, r#"{"n": {{deal.n}}}"#);
    one.actions[0].path = "{{deal.id}}".into();
    one.conditions = Some(condition("n", pb::Operator::Gt, &["5"]));
    let made = admin.create_automation("42", one.clone()).await.expect("creates");
    let saved = || Source::Automation(made.name.clone());
    let event = |n: u32| Subject::Event(deal("x", "8", &format!(r#"{{"id": 8, "n": {n}}}"#)));

    let runs = dry_run(&service, saved(), event(7)).await.expect("explains");
    assert!(runs.would_run && !runs.would_pause && failed(&runs).is_empty(), "{runs:?}");
    let request = &runs.requests[0];
    assert_eq!((request.body.as_ref(), request.path.as_str()), (&br#"{"n": 7}"#[..], "8"));
    assert!(request.endpoint_url.contains("key=***"), "secrets stay masked: {}", request.endpoint_url);
    assert!(runs.explanation[0].held && runs.explanation[0].compared.contains('7'), "{:?}", runs.explanation);

    let not = dry_run(&admin, saved(), event(5)).await.expect("explains");
    assert_eq!(failed(&not), [pb::DryRunCheckKind::Conditions]);
    assert!(!not.explanation[0].held);
    let draft = pb::Automation { trigger_object: "lead".into(), state: pb::AutomationState::Disabled.into(), ..one };
    let draft = pb::Automation { actions: made.actions.clone(), ..draft };
    let refused = dry_run(&admin, Source::Draft(draft.clone()), event(7)).await.expect_err("deal is no root of a lead");
    assert_eq!(refused.code(), Code::InvalidArgument, "a draft is checked like a new automation: {refused:?}");
    let mut lead = draft;
    lead.actions[0].path.clear();
    lead.actions[0].body = Some(pb::webhook_action::Body::RawJson("{}".into()));
    let other = dry_run(&admin, Source::Draft(lead), event(7)).await.expect("explains");
    assert_eq!(failed(&other), [pb::DryRunCheckKind::Enabled, pb::DryRunCheckKind::Trigger]);

    let bad = dry_run(&admin, saved(), Subject::Event(deal("x", "8", "[]"))).await.expect_err("no object");
    let details = bad.get_error_details();
    assert_eq!(details.bad_request().expect("fields").field_violations[0].field, "event.event.data");
    let unknown = dry_run(&service, saved(), Subject::EventId("none".into())).await.expect_err("no such event");
    assert_eq!(unknown.code(), Code::NotFound);
    assert_eq!(service.history("42").await.len() + receiver.got().len(), 0, "nothing was done");

    service.publish("42", vec![deal("real", "8", r#"{"id": 8, "n": 9}"#)]).await.expect("acks");
    let stored = dry_run(&service, saved(), Subject::EventId("real".into())).await.expect("explains");
    assert!(stored.would_run);
    assert_eq!(stored.requests[0].body.as_ref(), br#"{"n": 9}"#);
    let writer = server.client("user", "42", &["--user", "2", "--permissions", "automations.write"]).await;
    let denied = dry_run(&writer, saved(), Subject::EventId("real".into())).await.expect_err("of the history");
    assert_eq!(denied.code(), Code::PermissionDenied);
    dry_run(&writer, saved(), event(7)).await.expect("one of their own");
    let limits = pb::SetAccountLimitsRequest {
        name: "accounts/42".into(),
        limit_overrides: Some(pb::AccountLimits { executions_per_window: Some(0), ..Default::default() }),
        ..Default::default()
    };
    service.accounts().set_account_limits(service.ask(limits)).await.expect("sets");
    assert!(dry_run(&service, saved(), event(7)).await.expect("explains").would_pause);
}

async fn a_test_request_tells_how_an_endpoint_does(database: Database) {
    let server = Server::start(&database, &["--request-deadline-ms", "500"]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = set_up(&server, &receiver).await;
    let other = admin.create_webhook("42", "other", &receiver.url).await.expect("creates");
    let test = || pb::TestWebhookRequest { name: "accounts/42/webhooks/other".into() };
    let good = admin.webhooks().test_webhook(admin.ask(test())).await.expect("tests").into_inner();
    let attempt = good.attempt.expect("an attempt");
    assert!(good.succeeded);
    assert_eq!((attempt.http_status, attempt.response_excerpt.as_ref()), (200, &b"the answer"[..]));
    let got = &receiver.got()[0];
    assert_eq!(got.body.as_bytes(), good.body.as_ref());
    assert!(got.body.contains(r#""test":true"#));
    assert_eq!(got.headers["webhook-id"], good.request_id.as_str());
    let verifier = Verifier::new(&other.signing_secret).expect("a secret");
    verifier.verify(got.body.as_bytes(), &got.headers).expect("it is signed like any other");
    receiver.answer_with(404);
    let bad = admin.webhooks().test_webhook(admin.ask(test())).await.expect("tests").into_inner();
    assert_eq!((bad.succeeded, bad.attempt.expect("an attempt").error_kind.as_str()), (false, "REJECTED"));
    receiver.hold();
    let slow = admin.webhooks().test_webhook(admin.ask(test())).await.expect("tests").into_inner();
    assert_eq!(slow.attempt.expect("an attempt").error_kind, "TIMEOUT");
    receiver.release();
    let user = server.client("user", "42", &["--user", "2"]).await;
    let denied = user.webhooks().test_webhook(user.ask(test())).await.expect_err("a user");
    assert_eq!(denied.code(), Code::PermissionDenied);
    eventually("nothing is in the history", || async { service.history("42").await.is_empty().then_some(()) }).await;
}

async fn misses_of(client: &Client, automation: &str) -> Result<pb::ListMissesResponse, tonic::Status> {
    let request = pb::ListMissesRequest { automation: automation.into() };
    Ok(client.explain().list_misses(client.ask(request)).await?.into_inner())
}

async fn people_learn_why_an_automation_did_not_run(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    let mut one = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    one.conditions = Some(condition("n", pb::Operator::Gt, &["5"]));
    let writer = server.client("user", "42", &["--user", "7", "--permissions", "automations.write"]).await;
    let made = writer.create_automation("42", one).await.expect("creates");
    let nothing = misses_of(&writer, &made.name).await.expect("lists");
    assert!(nothing.misses.is_empty() && nothing.complete_since_time.is_some());
    let event = |id: &str, n: u32| deal(id, "8", &format!(r#"{{"n": {n}}}"#));
    service.publish("42", vec![event("low", 5), event("high", 6)]).await.expect("acks");
    let mut of_other = event("other", 7);
    if let Some(pb::event_input::Kind::Event(event)) = &mut of_other.kind {
        event.user_id = "9".into();
    }
    service.publish("42", vec![of_other]).await.expect("acks");
    let found = misses_of(&writer, &made.name).await.expect("lists");
    let why: Vec<_> = found
        .misses
        .iter()
        .map(|miss| {
            let failed = miss.checks.iter().filter(|check| !check.held);
            (miss.event_id.as_str(), failed.map(pb::DryRunCheck::kind).collect::<Vec<_>>())
        })
        .collect();
    let expected = [("other", vec![pb::DryRunCheckKind::Activation]), ("low", vec![pb::DryRunCheckKind::Conditions])];
    assert_eq!(why, expected);
    let clause = &found.misses[1].explanation[0];
    assert!(!clause.held && clause.compared.contains('5'), "{clause:?}");

    for client in [&service, &admin] {
        assert_eq!(misses_of(client, &made.name).await.expect("lists").misses.len(), 2);
    }
    let stranger = server.client("user", "42", &["--user", "8"]).await;
    let denied = misses_of(&stranger, &made.name).await.expect_err("not theirs");
    assert_eq!(denied.code(), Code::PermissionDenied);
    let unknown = misses_of(&service, "accounts/42/automations/none").await.expect_err("unknown");
    assert_eq!(unknown.code(), Code::NotFound);
    let malformed = misses_of(&service, "accounts/42/webhooks/hook").await.expect_err("malformed");
    assert_eq!(bad_field(&malformed), "automation");
    // After a downgrade nothing runs, and that is why.
    let plan = pb::SetAccountPlanRequest {
        name: "accounts/42".into(),
        plan: pb::Plan::Essential.into(),
        ..Default::default()
    };
    service.accounts().set_account_plan(service.ask(plan)).await.expect("sets");
    service.publish("42", vec![event("late", 9)]).await.expect("acks");
    let found = misses_of(&admin, &made.name).await.expect("lists");
    let failed: Vec<_> = found.misses[0].checks.iter().filter(|check| !check.held).map(|check| check.kind()).collect();
    assert_eq!((found.misses[0].event_id.as_str(), failed), ("late", vec![pb::DryRunCheckKind::Plan]));
}

async fn what_would_go_wrong_is_told_beforehand(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (_, admin) = set_up(&server, &receiver).await;
    let mut two = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    two.actions[0].path = "{{deal.id!}}".into();
    let made = admin.create_automation("42", two).await.expect("creates");
    let look = async |data: &str| {
        let subject = Subject::Event(deal("x", "8", data));
        let answer = dry_run(&admin, Source::Automation(made.name.clone()), subject).await.expect("explains");
        assert!(answer.would_run, "it would: and then it would fail");
        assert_eq!(answer.failure, answer.requests[0].failure);
        (answer.failure, answer.failure_message)
    };
    let warnings = async || {
        let request = pb::GetAutomationRequest { name: made.name.clone() };
        let read = admin.automations().get_automation(admin.ask(request)).await.expect("reads").into_inner();
        read.automation.expect("an automation").warnings.join("\n")
    };
    assert_eq!(look(r#"{"id": 8}"#).await, (String::new(), String::new()));
    assert_eq!(look("{}").await.0, "VALUE_MISSING");
    assert!(!warnings().await.contains("webhook"));

    let webhook = pb::Webhook { name: "accounts/42/webhooks/hook".into(), enabled: false, ..Default::default() };
    let update = pb::UpdateWebhookRequest {
        webhook: Some(webhook),
        update_mask: Some(prost_types::FieldMask { paths: vec!["enabled".into()] }),
        ..Default::default()
    };
    admin.webhooks().update_webhook(admin.ask(update)).await.expect("disables");
    let (failure, message) = look(r#"{"id": 8}"#).await;
    assert!(failure == "WEBHOOK_DISABLED" && message.contains("actions[0]: the webhook is disabled"), "{message}");
    assert!(warnings().await.contains("actions[0].webhook: hook: the webhook is disabled"), "{}", warnings().await);

    let delete = pb::DeleteWebhookRequest { name: "accounts/42/webhooks/hook".into(), ..Default::default() };
    admin.webhooks().delete_webhook(admin.ask(delete)).await.expect("deletes");
    // A webhook of the same id is another one.
    admin.create_webhook("42", "hook", &receiver.url).await.expect("creates");
    let (failure, message) = look(r#"{"id": 8}"#).await;
    assert!(failure == "WEBHOOK_DELETED" && message.contains("name it again in the action"), "{message}");
    assert!(warnings().await.contains("the webhook was deleted; name it again in the action"), "{}", warnings().await);
}
