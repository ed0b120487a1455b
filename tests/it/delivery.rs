//! How requests are tried again, when a webhook is disabled, and signatures while secrets change.

use hookline::grpc::pb;
use standardwebhooks::Webhook as Verifier;
use tonic::Code;
use tonic_types::StatusExt;

use crate::harness::{Client, Database, Receiver, Server, account_42, automation, deal, eventually, regular};

crate::on_both_databases!(
    a_webhook_has_a_retry_policy_of_its_own,
    an_endpoint_puts_the_next_attempt_off,
    a_disabled_webhook_fails_what_comes_until_it_is_enabled,
    an_endpoint_that_is_gone_disables_its_webhook,
    secrets_overlap_while_they_change,
    later_actions_go_on_where_an_action_may_fail,
    an_endpoint_that_answers_nothing_is_left_alone_and_let_back_in,
    a_webhook_gets_no_more_a_second_than_it_wants,
    people_see_how_an_endpoint_does,
    a_new_url_gives_an_endpoint_another_chance,
);

async fn set_up(server: &Server, receiver: &Receiver) -> (Client, Client) {
    let (service, admin) = account_42(server, &receiver.url).await;
    let one = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    admin.create_automation("42", one).await.expect("creates");
    (service, admin)
}

async fn update(admin: &Client, mask: &str, webhook: pb::Webhook) -> Result<pb::Webhook, tonic::Status> {
    let request = pb::UpdateWebhookRequest {
        webhook: Some(pb::Webhook { name: "accounts/42/webhooks/hook".into(), ..webhook }),
        update_mask: Some(prost_types::FieldMask { paths: vec![mask.into()] }),
        ..Default::default()
    };
    let answer = admin.webhooks().update_webhook(admin.ask(request)).await?.into_inner();
    Ok(answer.webhook.expect("a webhook"))
}

async fn set_policy(admin: &Client, policy: pb::RetryPolicy) -> Result<pb::Webhook, tonic::Status> {
    update(admin, "retry_policy", pb::Webhook { retry_policy: Some(policy), ..Default::default() }).await
}

fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

async fn publish(service: &Client, id: &str) {
    assert_eq!(service.publish("42", vec![deal(id, "8", "{}")]).await.expect("acks"), []);
}

/// Events e0 to e9, whose first tries fail.
async fn ten_first_tries_fail(service: &Client) {
    for at in 0..10 {
        publish(service, &format!("e{at}")).await;
    }
    eventually("ten first tries fail", || async {
        let history = service.history("42").await;
        (history.iter().filter(|one| one.state() == pb::ExecutionState::Retrying).count() == 10).then_some(())
    })
    .await;
}

/// The execution of an event, once it is in a state.
async fn in_state(client: &Client, event: &str, state: pb::ExecutionState) -> pb::Execution {
    let found = eventually("the execution is there", || async {
        client.history("42").await.into_iter().find(|one| one.event_id == event && one.state() == state)
    })
    .await;
    client.execution(&found.name).await
}

async fn a_webhook_has_a_retry_policy_of_its_own(database: Database) {
    let server = Server::start(&database, &["--retry-delays-ms", "10"]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = set_up(&server, &receiver).await;
    let custom = pb::RetryPolicy {
        preset: pb::RetryPreset::Custom.into(),
        delays: vec![seconds(1)],
        final_failures: vec![pb::FailureClass::Throttled.into()],
    };
    let shown = set_policy(&admin, custom.clone()).await.expect("sets");
    assert_eq!(shown.retry_policy, Some(custom), "it is shown as it was set");
    receiver.answer_with(503);
    publish(&service, "e1").await;
    let failed = in_state(&service, "e1", pb::ExecutionState::Failed).await;
    let attempts = &failed.requests[0].attempts;
    assert_eq!(attempts.len(), 2, "one delay, two attempts");
    let start = |at: usize| {
        attempts[at].start_time.as_ref().expect("a time").seconds as f64
            + f64::from(attempts[at].start_time.as_ref().expect("a time").nanos) / 1e9
    };
    assert!(start(1) - start(0) >= 0.8, "after its own delay, not after the installation's");
    receiver.answer_with(429);
    publish(&service, "e2").await;
    let failed = in_state(&service, "e2", pb::ExecutionState::Failed).await;
    assert_eq!(failed.requests[0].attempts.len(), 1, "what the policy makes final is final");

    let pipedrive = pb::RetryPolicy { preset: pb::RetryPreset::Pipedrive.into(), ..Default::default() };
    let shown = set_policy(&admin, pipedrive.clone()).await.expect("sets");
    assert_eq!(shown.retry_policy, Some(pipedrive));
    let bad = |delays: Vec<prost_types::Duration>, preset: pb::RetryPreset| pb::RetryPolicy {
        preset: preset.into(),
        delays,
        final_failures: Vec::new(),
    };
    for (policy, field) in [
        (bad(vec![seconds(0)], pb::RetryPreset::Custom), "webhook.retry_policy.delays"),
        (bad(vec![seconds(-1)], pb::RetryPreset::Custom), "webhook.retry_policy.delays"),
        (bad(vec![seconds(259_201)], pb::RetryPreset::Custom), "webhook.retry_policy.delays"),
        (bad(vec![seconds(1); 21], pb::RetryPreset::Custom), "webhook.retry_policy.delays"),
        (bad(vec![seconds(1)], pb::RetryPreset::Pipedrive), "webhook.retry_policy.delays"),
        (pb::RetryPolicy { preset: 99, ..Default::default() }, "webhook.retry_policy.preset"),
        (pb::RetryPolicy { final_failures: vec![0], ..Default::default() }, "webhook.retry_policy.final_failures[0]"),
    ] {
        let refused = set_policy(&admin, policy).await.expect_err(field);
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(refused.get_error_details().bad_request().expect("fields").field_violations[0].field, field);
    }
}

async fn an_endpoint_puts_the_next_attempt_off(database: Database) {
    let server = Server::start(&database, &["--retry-delays-ms", "10,10"]).await;
    let receiver = Receiver::start().await;
    let (service, _) = set_up(&server, &receiver).await;
    receiver.answer_with(503);
    receiver.retry_after("600");
    publish(&service, "e1").await;
    let waiting = in_state(&service, "e1", pb::ExecutionState::Retrying).await;
    let (due, made) = (waiting.due_time.expect("a time"), waiting.create_time.expect("a time"));
    assert!((598..=605).contains(&(due.seconds - made.seconds)), "{} s", due.seconds - made.seconds);
}

async fn a_disabled_webhook_fails_what_comes_until_it_is_enabled(database: Database) {
    let server = Server::start(&database, &["--retry-delays-ms", "600000"]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = set_up(&server, &receiver).await;
    receiver.answer_with(503);
    publish(&service, "e1").await;
    in_state(&service, "e1", pb::ExecutionState::Retrying).await;
    let disabled = update(&admin, "enabled", pb::Webhook::default()).await.expect("disables");
    assert_eq!((disabled.enabled, disabled.disable_reason()), (false, pb::WebhookDisableReason::Admin));
    publish(&service, "e2").await;
    for event in ["e1", "e2"] {
        let failed = in_state(&service, event, pb::ExecutionState::Failed).await;
        assert_eq!(failed.reason, "WEBHOOK_DISABLED", "what waits and what comes");
    }
    server.kill().await;
    receiver.answer_with(200);
    let server = Server::start(&database, &[]).await;
    let service = server.client("service", "*", &[]).await;
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    publish(&service, "e3").await;
    in_state(&service, "e3", pb::ExecutionState::Failed).await;
    let enabled =
        update(&admin, "enabled", pb::Webhook { enabled: true, ..Default::default() }).await.expect("enables");
    assert_eq!((enabled.enabled, enabled.disable_reason()), (true, pb::WebhookDisableReason::Unspecified));
    publish(&service, "e4").await;
    in_state(&service, "e4", pb::ExecutionState::Succeeded).await;
    assert_eq!(receiver.got().len(), 2);
}

async fn an_endpoint_that_is_gone_disables_its_webhook(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = set_up(&server, &receiver).await;
    receiver.answer_with(410);
    publish(&service, "e1").await;
    let failed = in_state(&service, "e1", pb::ExecutionState::Failed).await;
    assert_eq!((failed.reason.as_str(), failed.requests[0].attempts[0].http_status), ("GONE", 410));
    let shown = async |id: &str| {
        let request = pb::GetWebhookRequest { name: format!("accounts/42/webhooks/{id}") };
        let shown = admin.webhooks().get_webhook(admin.ask(request)).await.expect("gets").into_inner().webhook;
        let shown = shown.expect("a webhook");
        (shown.enabled, shown.disable_reason())
    };
    let fine = (true, pb::WebhookDisableReason::Unspecified);
    assert_eq!(shown("hook").await, fine, "an automation's path names a record");
    // The URL of a regular webhook is the endpoint.
    let request = regular("all", &format!("{}hook", receiver.url), "*.lead");
    admin.webhooks().create_webhook(admin.ask(request)).await.expect("its URL may end as it likes");
    let lead = |id: &str| {
        let mut input = deal(id, "8", "{}");
        if let Some(pb::event_input::Kind::Event(event)) = &mut input.kind {
            event.object = "lead".into();
        }
        input
    };
    service.publish("42", vec![lead("e2")]).await.expect("acks");
    assert_eq!(in_state(&service, "e2", pb::ExecutionState::Failed).await.reason, "GONE");
    assert_eq!(receiver.got().last().expect("a request").uri, "/hook", "nothing is appended");
    assert_eq!(shown("all").await, (false, pb::WebhookDisableReason::Gone));
    service.publish("42", vec![lead("e3")]).await.expect("acks");
    publish(&service, "e4").await;
    in_state(&service, "e4", pb::ExecutionState::Failed).await;
    assert_eq!(receiver.got().len(), 3, "a disabled one gets nothing, the other one goes on");
}

async fn secrets_overlap_while_they_change(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = set_up(&server, &receiver).await;
    let rotate = |overlap: Option<prost_types::Duration>| pb::RotateWebhookSecretRequest {
        name: "accounts/42/webhooks/hook".into(),
        overlap,
        ..Default::default()
    };
    let first = admin.webhooks().rotate_webhook_secret(admin.ask(rotate(None))).await.expect("rotates").into_inner();
    let second = admin.webhooks().rotate_webhook_secret(admin.ask(rotate(None))).await.expect("rotates").into_inner();
    let verifies = |at: usize, secret: &str| {
        let got = &receiver.got()[at];
        Verifier::new(secret).expect("a secret").verify(got.body.as_bytes(), &got.headers).is_ok()
    };
    publish(&service, "e1").await;
    in_state(&service, "e1", pb::ExecutionState::Succeeded).await;
    assert!(verifies(0, &first.signing_secret) && verifies(0, &second.signing_secret), "both verify");
    let third = admin.webhooks().rotate_webhook_secret(admin.ask(rotate(Some(seconds(0))))).await.expect("rotates");
    let third = third.into_inner();
    server.kill().await;
    let server = Server::start(&database, &[]).await;
    let service = server.client("service", "*", &[]).await;
    publish(&service, "e2").await;
    in_state(&service, "e2", pb::ExecutionState::Succeeded).await;
    assert!(verifies(1, &third.signing_secret));
    assert!(!verifies(1, &second.signing_secret), "without an overlap the old one ends at once");
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    let long = rotate(Some(seconds(604_801)));
    let refused = admin.webhooks().rotate_webhook_secret(admin.ask(long)).await.expect_err("too long");
    assert_eq!(refused.get_error_details().bad_request().expect("fields").field_violations[0].field, "overlap");
}

async fn an_endpoint_that_answers_nothing_is_left_alone_and_let_back_in(database: Database) {
    let flags = ["--retry-delays-ms", "600000", "--breaker-open-ms", "1500"];
    let server = Server::start(&database, &flags).await;
    let receiver = Receiver::start().await;
    let (service, admin) = set_up(&server, &receiver).await;
    admin.create_webhook("42", "other", &format!("{}other/", receiver.url)).await.expect("creates");
    let other = automation("42", "other", "lead", pb::EventAction::Change, "{}");
    admin.create_automation("42", other).await.expect("creates");
    receiver.answer_with(503);
    receiver.answer_at("/other/", 200);
    ten_first_tries_fail(&service).await;
    for at in 10..16 {
        publish(&service, &format!("e{at}")).await;
    }
    let parked = in_state(&service, "e15", pb::ExecutionState::Paused).await;
    assert_eq!(parked.reason, "ENDPOINT_UNAVAILABLE");
    assert!(parked.due_time.is_none() && parked.requests[0].attempts.is_empty());
    let mut lead = deal("lead", "8", "{}");
    if let Some(pb::event_input::Kind::Event(event)) = &mut lead.kind {
        event.object = "lead".into();
    }
    service.publish("42", vec![lead]).await.expect("acks");
    in_state(&service, "lead", pb::ExecutionState::Succeeded).await;
    let probed = in_state(&service, "e10", pb::ExecutionState::Retrying).await;
    assert_eq!(probed.requests[0].attempts.len(), 1, "the oldest one was the probe");
    let history = service.history("42").await;
    assert_eq!(history.iter().filter(|one| one.state() == pb::ExecutionState::Paused).count(), 5, "one at a time");
    server.kill().await;

    receiver.answer_with(200);
    let server = Server::start(&database, &flags).await;
    let service = server.client("service", "*", &[]).await;
    let arrived = eventually("the others arrive", || async {
        let history = service.history("42").await;
        let done: Vec<_> = history.into_iter().filter(|one| one.state() == pb::ExecutionState::Succeeded).collect();
        (done.len() == 6).then_some(done)
    })
    .await;
    assert!(arrived.iter().all(|one| one.event_id != "e10"), "retries wait for their own time");
}

async fn a_webhook_gets_no_more_a_second_than_it_wants(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = set_up(&server, &receiver).await;
    let limit = |requests_per_second| pb::Webhook { requests_per_second, ..Default::default() };
    assert_eq!(update(&admin, "requests_per_second", limit(5)).await.expect("sets").requests_per_second, 5);
    let refused = update(&admin, "requests_per_second", limit(1_001)).await.expect_err("too many");
    let details = refused.get_error_details();
    assert_eq!(details.bad_request().expect("fields").field_violations[0].field, "webhook.requests_per_second");
    let events = (0..15).map(|at| deal(&format!("e{at}"), "8", "{}")).collect();
    service.publish("42", events).await.expect("acks");
    let history = eventually("all arrive", || async {
        let history = service.history("42").await;
        history.iter().all(|one| one.state() == pb::ExecutionState::Succeeded).then_some(history)
    })
    .await;
    let mut starts = Vec::new();
    for one in &history {
        let attempts = &service.execution(&one.name).await.requests[0].attempts;
        assert_eq!(attempts.len(), 1, "waiting uses up no attempt");
        let start = attempts[0].start_time.as_ref().expect("a time");
        starts.push(start.seconds * 1_000 + i64::from(start.nanos) / 1_000_000);
    }
    starts.sort_unstable();
    assert_eq!(starts.len(), 15);
    let took = starts[14] - starts[0];
    assert!(took >= 1_900, "five at once, then five a second: {took} ms");
}

async fn later_actions_go_on_where_an_action_may_fail(database: Database) {
    let server = Server::start(&database, &["--retry-delays-ms", "600000"]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = set_up(&server, &receiver).await;
    admin.create_webhook("42", "broken", &format!("{}broken/", receiver.url)).await.expect("creates");
    let several = |object: &str, continues: bool| {
        let mut several = automation("42", "hook", object, pb::EventAction::Change, r#"{"no": 1}"#);
        let action = several.actions[0].clone();
        several.actions.push(pb::WebhookAction {
            webhook: "accounts/42/webhooks/broken".into(),
            continue_on_failure: continues,
            ..action.clone()
        });
        several.actions.push(action);
        several
    };
    admin.create_automation("42", several("lead", true)).await.expect("creates");
    admin.create_automation("42", several("note", false)).await.expect("creates");
    receiver.answer_at("/broken/", 404);
    for object in ["lead", "note"] {
        let mut input = deal(object, "8", "{}");
        if let Some(pb::event_input::Kind::Event(event)) = &mut input.kind {
            event.object = object.into();
        }
        service.publish("42", vec![input]).await.expect("acks");
    }
    let went_on = in_state(&service, "lead", pb::ExecutionState::Succeeded).await;
    assert_eq!(went_on.failed_actions, 1);
    let tried: Vec<_> = went_on.requests.iter().map(|request| request.attempts.len()).collect();
    assert_eq!(tried, [1, 1, 1], "the third is sent although the second failed");
    let failed = in_state(&service, "note", pb::ExecutionState::Failed).await;
    assert_eq!(failed.reason, "REJECTED");
    let tried: Vec<_> = failed.requests.iter().map(|request| request.attempts.len()).collect();
    assert_eq!(tried, [1, 1, 0], "the third is left unsent");
}

async fn people_see_how_an_endpoint_does(database: Database) {
    let quickly_idle = ["--account-idle-ms", "100", "--retry-delays-ms", "3600000"];
    let server = Server::start(&database, &quickly_idle).await;
    let receiver = Receiver::start().await;
    let (service, _) = set_up(&server, &receiver).await;
    let user = server.client("user", "42", &["--user", "7"]).await;
    let health = async |client: &Client| {
        let request = pb::GetWebhookHealthRequest { name: "accounts/42/webhooks/hook".into() };
        let answer = client.webhooks().get_webhook_health(client.ask(request)).await.expect("reads").into_inner();
        answer.health.expect("a health")
    };
    assert_eq!(health(&user).await.success_rate, 0.0, "nothing was sent");
    receiver.answer_with(503);
    service.publish("42", vec![deal("bad", "8", "{}")]).await.expect("acks");
    let failed = eventually("it fails", || async {
        let found = service.history("42").await.into_iter().next();
        found.filter(|one| one.state() == pb::ExecutionState::Retrying).map(|one| one.name)
    })
    .await;
    receiver.answer_with(200);
    service.publish("42", vec![deal("good1", "8", "{}"), deal("good2", "8", "{}")]).await.expect("acks");
    let found = eventually("all are counted", || async {
        let found = health(&user).await;
        (found.succeeded_attempts == 2).then_some(found)
    })
    .await;
    assert_eq!((found.failed_attempts, found.unavailable), (1, false));
    assert!((found.success_rate - 2.0 / 3.0).abs() < 1e-9);
    let nanos = |duration: Option<prost_types::Duration>| duration.map(|duration| duration.nanos).unwrap_or_default();
    assert!(nanos(found.mean_duration) > 0 && nanos(found.slowest_duration) >= nanos(found.mean_duration));
    let attempts: u64 = found.hours.iter().map(|hour| hour.succeeded_attempts + hour.failed_attempts).sum();
    assert_eq!((found.hours.len(), attempts), (24, found.succeeded_attempts + found.failed_attempts));
    let list = pb::ListWebhooksRequest { parent: "accounts/42".into(), with_health: true, ..Default::default() };
    let listed = user.webhooks().list_webhooks(user.ask(list.clone())).await.expect("lists").into_inner().webhooks;
    let shown = listed.iter().find(|webhook| webhook.name.ends_with("/hook")).expect("it is listed");
    let mut of_list = shown.health.clone().expect("a health");
    let of_failure = std::mem::take(&mut of_list.last_failure.as_mut().expect("a failure").execution);
    assert_eq!((of_failure.as_str(), of_list.succeeded_attempts, of_list.hours.len()), ("", 2, 24));
    let plain = pb::ListWebhooksRequest { with_health: false, ..list };
    let listed = user.webhooks().list_webhooks(user.ask(plain)).await.expect("lists").into_inner().webhooks;
    assert!(listed.iter().all(|webhook| webhook.health.is_none()));
    let failure = found.last_failure.clone().expect("one failed");
    assert_eq!((failure.reason.as_str(), failure.http_status, &failure.execution), ("SERVER_ERROR", 503, &failed));
    server.kill().await;
    let server = Server::start(&database, &quickly_idle).await;
    let service = server.client("service", "*", &[]).await;
    assert_eq!(health(&service).await, found, "it is kept");
}

async fn a_new_url_gives_an_endpoint_another_chance(database: Database) {
    let flags = ["--retry-delays-ms", "600000", "--breaker-open-ms", "600000"];
    let server = Server::start(&database, &flags).await;
    let receiver = Receiver::start().await;
    let (service, admin) = set_up(&server, &receiver).await;
    receiver.answer_with(503);
    receiver.answer_at("/mended/", 200);
    ten_first_tries_fail(&service).await;
    publish(&service, "e10").await;
    let last = in_state(&service, "e10", pb::ExecutionState::Paused).await;
    assert_eq!(last.reason, "ENDPOINT_UNAVAILABLE");
    let mended = pb::Webhook { endpoint_url: format!("{}mended/", receiver.url), ..Default::default() };
    update(&admin, "endpoint_url", mended).await.expect("updates");
    in_state(&service, "e10", pb::ExecutionState::Succeeded).await;
}
