//! Regular webhooks: plain subscriptions, on every plan, beside automations and never mixed with them.

use hookline::grpc::pb;
use tonic::{Code, Status};

use crate::harness::{Client, Database, Receiver, Server, account_42, automation, bad_field, deal, eventually, reason};

crate::on_both_databases!(
    an_event_reaches_the_subscribers_that_may_see_it,
    the_kinds_are_never_mixed_and_each_has_its_managers,
    an_endpoint_that_fails_loses_nothing_and_holds_nobody_up,
    many_subscribers_share_one_large_event,
    an_empty_list_of_users_is_nobody_in_every_form,
);

const SAMPLE: &str = include_str!("../samples/v2-change-deal-custom-field.json");
const ACCOUNT: &str = "8087566";

fn regular(name: &str, url: &str, subscription: &str) -> pb::Webhook {
    pb::Webhook {
        display_name: name.into(),
        kind: pb::WebhookKind::Regular.into(),
        endpoint_url: url.into(),
        subscription: subscription.into(),
        ..pb::Webhook::default()
    }
}

async fn create(client: &Client, account: &str, id: &str, webhook: pb::Webhook) -> Result<pb::Webhook, Status> {
    let request = pb::CreateWebhookRequest {
        parent: format!("accounts/{account}"),
        webhook_id: id.into(),
        webhook: Some(webhook),
        request_id: String::new(),
    };
    let answer = client.webhooks().create_webhook(client.ask(request)).await?.into_inner();
    Ok(answer.webhook.expect("a webhook"))
}

fn envelope(text: &str) -> pb::EventInput {
    let kind = Some(pb::event_input::Kind::Envelope(text.as_bytes().to_vec().into()));
    pb::EventInput { kind, ..pb::EventInput::default() }
}

async fn an_event_reaches_the_subscribers_that_may_see_it(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let service = server.client("service", "*", &[]).await;
    service.create_account(ACCOUNT, pb::Plan::Essential).await.expect("creates");
    let user = async |id: &str| server.client("user", ACCOUNT, &["--user", id]).await;
    let permitted = user("123").await;
    let mut theirs = regular("theirs", &format!("{}theirs/", receiver.url), "change.deal");
    theirs.credentials = Some(pb::Credentials {
        kind: Some(pb::credentials::Kind::Basic(pb::BasicCredentials { username: "u".into(), password: "p".into() })),
    });
    theirs.retry_policy = Some(pb::RetryPolicy {
        preset: pb::RetryPreset::Custom.into(),
        delays: vec![prost_types::Duration { seconds: 1, nanos: 0 }],
        ..pb::RetryPolicy::default()
    });
    let made = create(&permitted, ACCOUNT, "theirs", theirs).await.expect("any user may");
    assert_eq!((made.owner_user_id.as_str(), made.subscription.as_str()), ("123", "change.deal"));
    for (user_id, id, subscription) in [("456", "any", "*.*"), ("789", "hidden", "*.*"), ("123", "other", "create.*")] {
        let url = format!("{}{id}/", receiver.url);
        let made = create(&user(user_id).await, ACCOUNT, id, regular(id, &url, subscription)).await.expect("creates");
        assert_eq!(made.retry_policy.expect("a policy").preset(), pb::RetryPreset::Pipedrive, "their own schedule");
    }
    receiver.answer_with(503);
    receiver.answer_at("/any/", 200);
    assert_eq!(service.publish(ACCOUNT, vec![envelope(SAMPLE)]).await.expect("acks"), []);
    eventually("the first attempts end", || async { (receiver.got().len() == 2).then_some(()) }).await;
    receiver.answer_with(200);
    eventually("the other attempt follows", || async { (receiver.got().len() == 3).then_some(()) }).await;
    let history = eventually("all end", || async {
        let found = service.history(ACCOUNT).await;
        found.iter().all(|one| one.end_time.is_some()).then_some(found)
    })
    .await;
    let mut got = receiver.got();
    got.sort_by_key(|got| got.uri.clone());
    let uris: Vec<_> = got.iter().map(|got| got.uri.as_str()).collect();
    assert_eq!(uris, ["/any/", "/theirs/", "/theirs/"], "789 may not see the deal, create.* does not fit");
    assert_eq!(got[1].headers["authorization"], "Basic dTpw");
    assert_eq!(got[1].headers["webhook-id"], got[2].headers["webhook-id"]);
    let mut wanted: serde_json::Value = serde_json::from_str(SAMPLE).expect("JSON");
    for (got, id, owner, attempt) in
        [(&got[0], "any", "456", 1), (&got[1], "theirs", "123", 1), (&got[2], "theirs", "123", 2)]
    {
        let body: serde_json::Value = serde_json::from_str(&got.body).expect("JSON");
        wanted["meta"]["webhook_id"] = id.into();
        wanted["meta"]["webhook_owner_id"] = owner.into();
        wanted["meta"]["attempt"] = attempt.into();
        assert_eq!(body, wanted, "the sample key by key");
    }
    assert!(history.iter().all(|one| one.source_kind() == pb::SourceKind::RegularWebhook));
    let theirs = history.iter().find(|one| one.source.ends_with("/theirs")).expect("it is there");
    assert_eq!(theirs.source, format!("accounts/{ACCOUNT}/webhooks/theirs"));
    let usage = pb::GetAccountUsageRequest { name: format!("accounts/{ACCOUNT}") };
    let usage = service.accounts().get_account_usage(service.ask(usage)).await.expect("reads").into_inner().usage;
    assert_eq!(usage.expect("a usage").executions_used, 0, "they count in no usage");
    let read: Vec<_> = permitted.history(ACCOUNT).await.into_iter().map(|one| one.source).collect();
    assert_eq!(read, std::slice::from_ref(&theirs.source), "an owner reads what their webhooks sent");
    permitted.execution(&theirs.name).await;

    // Run again, it counts its attempts anew.
    let again = pb::RetryExecutionRequest {
        name: theirs.name.clone(),
        start: pb::RetryStart::First.into(),
        ..Default::default()
    };
    service.executions().retry_execution(service.ask(again)).await.expect("retries");
    eventually("it arrives", || async { (receiver.got().len() == 4).then_some(()) }).await;
    assert!(receiver.got()[3].body.contains("\"attempt\":1,"));
    // Many at once, too, although this plan has no executions: regular webhooks count in no window.
    let filter = pb::ExecutionFilter { states: vec![pb::ExecutionState::Succeeded.into()], ..Default::default() };
    let many = pb::RetryExecutionsRequest {
        parent: format!("accounts/{ACCOUNT}"),
        filter: Some(filter),
        start: pb::RetryStart::First.into(),
        ..Default::default()
    };
    eventually("the retry ends", || async {
        service.history(ACCOUNT).await.iter().all(|one| one.end_time.is_some()).then_some(())
    })
    .await;
    let job =
        service.jobs().retry_executions(service.ask(many)).await.expect("starts").into_inner().job.expect("a job");
    let job = eventually("the job ends", || async {
        let request = pb::GetJobRequest { name: job.name.clone() };
        let found = service.jobs().get_job(service.ask(request)).await.expect("gets").into_inner().job?;
        (found.state() == pb::JobState::Succeeded).then_some(found)
    })
    .await;
    assert_eq!((job.done, job.skipped), (2, 1), "the last run of each");
}

async fn many_subscribers_share_one_large_event(database: Database) {
    const SUBSCRIBERS: usize = 30;
    let receiver = Receiver::start().await;
    let server = Server::start(&database, &[]).await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    for at in 0..SUBSCRIBERS {
        let mut webhook = regular(&format!("n{at}"), &format!("{}{at}/", receiver.url), "*.deal");
        webhook.retry_policy = Some(pb::RetryPolicy {
            preset: pb::RetryPreset::Custom.into(),
            delays: vec![prost_types::Duration { seconds: 3, nanos: 0 }; 3],
            ..pb::RetryPolicy::default()
        });
        create(&admin, "42", &format!("n{at}"), webhook).await.expect("creates");
    }
    receiver.answer_with(503);
    // Of a kind that cannot be packed to nothing.
    let text: String = (0..10_000).map(|_| uuid::Uuid::now_v7().simple().to_string()).collect();
    let data = format!(r#"{{"n":1.50,"text":"{}"}}"#, &text[..300_000]);
    service.publish("42", vec![deal("e1", "8", &data)]).await.expect("acks");
    eventually("the first attempts fail", || async {
        let history = service.history("42").await;
        (history.iter().filter(|one| one.state() == pb::ExecutionState::Retrying).count() == SUBSCRIBERS).then_some(())
    })
    .await;
    server.kill().await;
    let stored = database
        .numbers(
            "SELECT CAST((SELECT SUM(LENGTH(part)) FROM executions) + (SELECT SUM(LENGTH(bytes)) FROM parts) AS bigint)",
        )
        .await[0];
    assert!(stored < 300_000, "the event is stored once, its {SUBSCRIBERS} executions refer to it: {stored} bytes");
    receiver.answer_with(200);
    let before = receiver.got().len();
    let server = Server::start(&database, &[]).await;
    let service = server.client("service", "*", &[]).await;
    let history = eventually("all arrive", || async {
        let history = service.history("42").await;
        history.iter().all(|one| one.state() == pb::ExecutionState::Succeeded).then_some(history)
    })
    .await;
    let got = receiver.got();
    assert!(got.len() >= before + SUBSCRIBERS);
    for request in &got[before..] {
        assert!(request.body.contains(&data), "the whole event, digit for digit");
        let body: serde_json::Value = serde_json::from_str(&request.body).expect("JSON");
        assert!(body["meta"]["attempt"].as_u64() > Some(1), "{}", body["meta"]);
    }
    let shown = service.execution(&history[0].name).await.requests[0].body.clone();
    assert!(String::from_utf8_lossy(&shown).contains(&data), "and the history shows it");
    // A retry by a person is the same again.
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    let request = pb::RetryExecutionRequest {
        name: history[0].name.clone(),
        start: pb::RetryStart::First.into(),
        ..Default::default()
    };
    let count = receiver.got().len();
    admin.executions().retry_execution(admin.ask(request)).await.expect("retries");
    eventually("it arrives again", || async { (receiver.got().len() == count + 1).then_some(()) }).await;
    assert_eq!(receiver.got()[count].body.as_bytes(), &shown[..]);
}

async fn the_kinds_are_never_mixed_and_each_has_its_managers(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    let user = server.client("user", "42", &["--user", "7"]).await;
    let other = server.client("user", "42", &["--user", "8"]).await;
    let of_automations = pb::Webhook {
        kind: pb::WebhookKind::Automation.into(),
        subscription: String::new(),
        ..regular("a", &receiver.url, "")
    };
    let denied = create(&user, "42", "a", of_automations.clone()).await.expect_err("only an admin");
    assert_eq!(denied.code(), Code::PermissionDenied);
    assert!(denied.message().contains("WEBHOOK_KIND_REGULAR"), "it says what they may: {}", denied.message());
    create(&user, "42", "sub", regular("sub", &format!("{}?key=s3cret&id=", receiver.url), "*.deal"))
        .await
        .expect("creates");
    let denied = create(&service, "42", "b", regular("b", &receiver.url, "*.*")).await.expect_err("not a user");
    assert_eq!(denied.code(), Code::PermissionDenied);

    let name = "accounts/42/webhooks/sub".to_owned();
    let shown = async |client: &Client| {
        let request = pb::GetWebhookRequest { name: name.clone() };
        client
            .webhooks()
            .get_webhook(client.ask(request))
            .await
            .expect("reads")
            .into_inner()
            .webhook
            .expect("a webhook")
    };
    assert!(shown(&user).await.endpoint_url.contains("s3cret"), "its owner sees all of it");
    assert!(!shown(&other).await.endpoint_url.contains("s3cret"), "others do not");
    let update = |field: &str, webhook: pb::Webhook| pb::UpdateWebhookRequest {
        webhook: Some(webhook),
        update_mask: Some(prost_types::FieldMask { paths: vec![field.into()] }),
        ..Default::default()
    };
    let change = || {
        update(
            "subscription",
            pb::Webhook { name: name.clone(), subscription: "create.*".into(), ..Default::default() },
        )
    };
    let denied = other.webhooks().update_webhook(other.ask(change())).await.expect_err("not theirs");
    assert_eq!(denied.code(), Code::PermissionDenied);
    user.webhooks().update_webhook(user.ask(change())).await.expect("their own");
    admin.webhooks().update_webhook(admin.ask(change())).await.expect("an admin, too");
    let hook = "accounts/42/webhooks/hook".to_owned();
    let of_admin =
        update("display_name", pb::Webhook { name: hook.clone(), display_name: "x".into(), ..Default::default() });
    let denied = user.webhooks().update_webhook(user.ask(of_admin)).await.expect_err("an automation webhook");
    assert_eq!(denied.code(), Code::PermissionDenied);
    let subscribe =
        update("subscription", pb::Webhook { name: hook, subscription: "*.*".into(), ..Default::default() });
    let mixed = admin.webhooks().update_webhook(admin.ask(subscribe)).await.expect_err("the other kind");
    assert_eq!((mixed.code(), reason(&mixed).as_str()), (Code::FailedPrecondition, "WRONG_WEBHOOK_KIND"));
    assert!(mixed.message().contains("WEBHOOK_KIND_REGULAR"), "{}", mixed.message());
    let uses = automation("42", "sub", "deal", pb::EventAction::Change, "{}");
    let mixed = admin.create_automation("42", uses).await.expect_err("a regular webhook");
    assert_eq!((mixed.code(), reason(&mixed).as_str()), (Code::FailedPrecondition, "WRONG_WEBHOOK_KIND"));
    assert!(mixed.message().contains("AUTOMATION, which a global admin creates"), "{}", mixed.message());

    let bearer = pb::credentials::Kind::Bearer(pb::BearerCredentials { token: "t".into() });
    let bearer = Some(pb::Credentials { kind: Some(bearer) });
    for (webhook, field) in [
        (regular("c", &receiver.url, ""), "webhook.subscription"),
        (regular("c", &receiver.url, "updated.deal"), "webhook.subscription"),
        (pb::Webhook { credentials: bearer, ..regular("c", &receiver.url, "*.*") }, "webhook.credentials"),
        (pb::Webhook { owner_user_id: "a\0".into(), ..regular("c", &receiver.url, "*.*") }, "webhook.owner_user_id"),
        (pb::Webhook { subscription: "*.*".into(), ..of_automations }, "webhook.subscription"),
    ] {
        let refused = create(&admin, "42", "c", webhook).await.expect_err(field);
        assert_eq!((refused.code(), bad_field(&refused).as_str()), (Code::InvalidArgument, field));
    }
    let for_other = pb::Webhook { owner_user_id: "8".into(), ..regular("for 8", &receiver.url, "*.*") };
    let denied = create(&user, "42", "d", for_other.clone()).await.expect_err("for another");
    assert_eq!(denied.code(), Code::PermissionDenied);
    assert_eq!(create(&admin, "42", "d", for_other).await.expect("an admin may").owner_user_id, "8");
    for at in 0..39 {
        create(&other, "42", "", regular(&format!("one of forty {at}"), &receiver.url, "*.*")).await.expect("creates");
    }
    let more = create(&other, "42", "", regular("too many", &receiver.url, "*.*")).await.expect_err("forty are there");
    assert_eq!((more.code(), reason(&more).as_str()), (Code::ResourceExhausted, "LIMIT_REACHED"));
    let delete = || pb::DeleteWebhookRequest { name: name.clone(), request_id: "once".into(), ..Default::default() };
    user.webhooks().delete_webhook(user.ask(delete())).await.expect("deletes");
    user.webhooks().delete_webhook(user.ask(delete())).await.expect("a repeated call has one effect");
}

async fn an_endpoint_that_fails_loses_nothing_and_holds_nobody_up(database: Database) {
    let flags = ["--breaker-open-ms", "1000"];
    let server = Server::start(&database, &flags).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    let user = server.client("user", "42", &["--user", "7"]).await;
    let mut dead = regular("dead", &format!("{}dead/", receiver.url), "*.deal");
    dead.retry_policy = Some(pb::RetryPolicy {
        preset: pb::RetryPreset::Custom.into(),
        delays: vec![prost_types::Duration { seconds: 3_600, nanos: 0 }],
        ..pb::RetryPolicy::default()
    });
    create(&user, "42", "dead", dead).await.expect("creates");
    admin
        .create_automation("42", automation("42", "hook", "deal", pb::EventAction::Change, "{}"))
        .await
        .expect("creates");
    receiver.answer_with(503);
    receiver.answer_at("/dead/", 503);
    receiver.answer_with(200);
    for at in 0..14 {
        service.publish("42", vec![deal(&format!("e{at}"), "8", "{}")]).await.expect("acks");
    }
    let of = |found: &[pb::Execution], kind: pb::SourceKind, state: pb::ExecutionState| {
        found.iter().filter(|one| one.source_kind() == kind && one.state() == state).count()
    };
    eventually("the automation's arrive, the others wait", || async {
        let found = service.history("42").await;
        let arrived = of(&found, pb::SourceKind::Automation, pb::ExecutionState::Succeeded);
        let retrying = of(&found, pb::SourceKind::RegularWebhook, pb::ExecutionState::Retrying);
        let parked = of(&found, pb::SourceKind::RegularWebhook, pb::ExecutionState::Paused);
        (arrived == 14 && retrying >= 10 && retrying + parked == 14).then_some(())
    })
    .await;
    let gone = pb::UpdateWebhookRequest {
        webhook: Some(pb::Webhook {
            name: "accounts/42/webhooks/dead".into(),
            endpoint_url: format!("{}gone/", receiver.url),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["endpoint_url".into()] }),
        ..Default::default()
    };
    receiver.answer_at("/gone/", 410);
    user.webhooks().update_webhook(user.ask(gone)).await.expect("updates");
    service.publish("42", vec![deal("last", "8", "{}")]).await.expect("acks");
    eventually("it is gone and disabled", || async {
        let request = pb::GetWebhookRequest { name: "accounts/42/webhooks/dead".into() };
        let found = user.webhooks().get_webhook(user.ask(request)).await.expect("reads").into_inner().webhook?;
        (found.disable_reason() == pb::WebhookDisableReason::Gone).then_some(())
    })
    .await;
    let executions = service.history("42").await.len();
    service.publish("42", vec![deal("after", "8", "{}")]).await.expect("acks");
    assert_eq!(service.history("42").await.len(), executions + 1, "a disabled subscription gets nothing new");
}

async fn an_empty_list_of_users_is_nobody_in_every_form(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    create(&admin, "42", "all", regular("all", &receiver.url, "*.*")).await.expect("creates");
    let native = |id: &str, users: Option<&[&str]>, old: &[&str]| {
        let list = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        let mut input = deal(id, "8", "{}");
        if let Some(pb::event_input::Kind::Event(event)) = &mut input.kind {
            event.permitted_users = users.map(|ids| pb::PermittedUsers { user_ids: list(ids) });
            #[expect(deprecated, reason = "clients may still send it")]
            event.permitted_user_ids.extend(list(old));
        }
        input
    };
    let in_envelope = |id: u8, permitted: &str| {
        envelope(&format!(
            r#"{{"meta": {{"action": "change", "entity": "deal", "entity_id": "{id}",
                "timestamp": "2026-01-01T00:00:00Z"{permitted}}}, "data": {{}}}}"#
        ))
    };
    let events = vec![
        native("nobody", Some(&[]), &[]),
        native("everybody", None, &[]),
        native("others", Some(&["2"]), &[]),
        native("theirs", Some(&["2", "1"]), &[]),
        native("old-form", None, &["1"]),
        native("old-form-others", None, &["2"]),
        in_envelope(11, r#", "permitted_user_ids": []"#),
        in_envelope(12, ""),
        in_envelope(13, r#", "permitted_user_ids": ["1"]"#),
        native("both", Some(&["1"]), &["1"]),
    ];
    let results = service.publish("42", events).await.expect("acks");
    assert_eq!(results.len(), 1, "{results:?}");
    assert_eq!((results[0].index, results[0].field.as_str()), (9, "events[9].event.permitted_user_ids"));
    let told = eventually("they are told", || async {
        let mut told: Vec<_> = service.history("42").await.into_iter().collect();
        told.sort_by(|a, b| a.name.cmp(&b.name));
        (told.len() >= 5 && told.iter().all(|one| one.end_time.is_some())).then_some(told)
    })
    .await;
    let told: Vec<_> =
        told.iter().map(|one| (one.event_id.split('-').next().unwrap_or_default(), &*one.entity_id)).collect();
    assert_eq!(told, [("everybody", "8"), ("theirs", "8"), ("old", "8"), ("hash", "12"), ("hash", "13")]);
}
