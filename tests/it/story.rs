//! The main job, from event to history.

use base64::Engine as _;
use hookline::grpc::pb;
use tokio_stream::StreamExt;

use crate::harness::{Client, Database, Receiver, Server, automation, condition, deal, eventually};

crate::on_both_databases!(
    an_event_becomes_a_request_and_a_history,
    a_failed_request_is_sent_again_until_it_arrives,
    a_stream_is_acknowledged_and_bad_events_take_their_place,
    what_waits_is_sent_after_a_restart,
    a_deleted_account_is_erased_and_its_id_is_free_again,
    a_repeated_call_has_one_effect,
    a_key_outlives_its_account,
    a_deleted_webhook_fails_what_waits_and_what_comes,
);

async fn set_up(server: &Server, receiver: &Receiver) -> (Client, Client) {
    let service = server.client("service", "*", &[]).await;
    service.create_account("42", pb::Plan::Enterprise).await.expect("creates");
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    admin.create_webhook("42", "hook", &receiver.url).await.expect("creates");
    (service, admin)
}

async fn ended(client: &Client, count: usize) -> Vec<pb::Execution> {
    eventually("every execution ends", || async {
        let found = client.history("42").await;
        let is_done = found.len() == count && found.iter().all(|execution| execution.end_time.is_some());
        is_done.then_some(found)
    })
    .await
}

async fn an_event_becomes_a_request_and_a_history(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = set_up(&server, &receiver).await;
    let secret = admin.create_webhook("42", "other", &format!("{}x?key=s3cret&id=", receiver.url)).await;
    let secret = secret.expect("creates").signing_secret;
    let mut both =
        automation("42", "hook", "deal", pb::EventAction::Change, r#"{"n": {{deal.n}}, "t": "<{{deal.t}}>"}"#);
    let second = pb::WebhookAction {
        webhook: "accounts/42/webhooks/other".into(),
        method: pb::HttpMethod::Put.into(),
        path: "{{deal.t}}".into(),
        body: Some(pb::webhook_action::Body::KeyValue(pb::KeyValueBody {
            entries: vec![pb::KeyValueEntry { key: "by".into(), value: "{{event.user_id}}".into() }],
        })),
        ..pb::WebhookAction::default()
    };
    both.actions.push(second);
    both.conditions = Some(condition("n", pb::Operator::Gt, &["5"]));
    let made = admin.create_automation("42", both).await.expect("creates");
    let is_told = made.warnings.iter().any(|warning| warning.contains("runs at every change"));
    assert!(is_told, "a change trigger without an active condition is allowed with a warning");
    let mut odd = automation("42", "hook", "deal", pb::EventAction::Create, "{}");
    odd.conditions = Some(condition("deal.n", pb::Operator::Gt, &["5"]));
    odd.actions[0].path = "https://elsewhere.example/".into();
    let odd = admin.create_automation("42", odd).await.expect("creates");
    let about: Vec<_> = ["deal.n", "elsewhere"].map(|word| odd.warnings.iter().any(|said| said.contains(word))).into();
    assert_eq!(about, [true, true], "likely mistakes are told: {:?}", odd.warnings);
    let delete = pb::DeleteAutomationRequest { name: odd.name, ..Default::default() };
    admin.automations().delete_automation(admin.ask(delete)).await.expect("deletes");

    let data = r#"{"n": 123456789012345678901234567890, "t": "a/../b\"&"}"#;
    assert_eq!(
        service.publish("42", vec![deal("e1", "8", data), deal("e2", "9", r#"{"n": 5}"#)]).await.expect("acks"),
        []
    );
    let listed = ended(&service, 1).await;
    let execution = service.execution(&listed[0].name).await;
    assert_eq!(execution.state(), pb::ExecutionState::Succeeded, "{execution:?}");
    assert!(execution.explanation[0].held, "{:?}", execution.explanation);

    let got = receiver.got();
    assert_eq!(got.len(), 2);
    assert_eq!(got[0].body, r#"{"n": 123456789012345678901234567890, "t": "<a/../b\"&>"}"#, "every digit is kept");
    assert_eq!((got[1].method.as_str(), got[1].uri.as_str()), ("PUT", "/x?key=s3cret&id=a%2F..%2Fb%22%26"));
    assert_eq!(got[1].body, r#"{"by":"7"}"#);
    assert_eq!(got[1].headers["webhook-id"], execution.requests[1].request_id.as_str());
    let trace = got[0].headers["traceparent"].to_str().expect("text");
    assert_eq!(&trace[3..35], execution.trace_id);
    let verifier = standardwebhooks::Webhook::new(&secret).expect("a secret");
    verifier.verify(got[1].body.as_bytes(), &got[1].headers).expect("the signature verifies");

    let shown = &execution.requests[1].attempts[0];
    assert!(shown.url.ends_with("/x?key=***&id=a%2F..%2Fb%22%26"), "{}", shown.url);
    assert_eq!((shown.http_status, shown.response_excerpt.as_ref()), (200, &b"the answer"[..]));
    let for_admin = admin.execution(&listed[0].name).await;
    assert!(for_admin.requests[1].attempts[0].url.contains("key=s3cret"), "an admin sees the real URL");
    let stranger = server.client("user", "42", &["--user", "99"]).await;
    assert_eq!(stranger.history("42").await.len(), 0, "a user reads only what is theirs");
    let actor = server.client("user", "42", &["--user", "7"]).await;
    assert_eq!(actor.history("42").await.len(), 1);

    let again = service.publish("42", vec![deal("e1", "8", data)]).await.expect("acks");
    assert_eq!(again[0].status(), pb::EventStatus::Duplicate);
    assert_eq!(database.count("executions").await, 1, "what matches nothing is not kept");
    // The first attempt stands in the execution's row, and so do its event and its requests.
    assert_eq!(database.numbers("SELECT COUNT(outcome) FROM executions").await, [1]);
    assert_eq!((database.count("parts").await, database.count("attempts").await), (0, 1));
    assert!(server.terminate().await, "a shutdown in order exits with 0");
}

async fn a_failed_request_is_sent_again_until_it_arrives(database: Database) {
    let server =
        Server::start(&database, &["--retry-delays-ms", "50,50,50,50,50,50,50,50,50,50,50,50,50,50,50,50"]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = set_up(&server, &receiver).await;
    admin
        .create_automation("42", automation("42", "hook", "deal", pb::EventAction::Change, "{}"))
        .await
        .expect("creates");
    receiver.answer_with(503);
    service.publish("42", vec![deal("e1", "8", "{}")]).await.expect("acks");
    eventually("three attempts", || async { (receiver.got().len() >= 3).then_some(()) }).await;
    receiver.answer_with(200);
    let listed = ended(&service, 1).await;
    let execution = service.execution(&listed[0].name).await;
    assert_eq!(execution.state(), pb::ExecutionState::Succeeded);
    let attempts = &execution.requests[0].attempts;
    assert_eq!(attempts[0].error_kind, "SERVER_ERROR");
    assert_eq!(attempts.len(), receiver.got().len());
    let ids: Vec<_> = receiver.got().iter().map(|got| got.headers["webhook-id"].clone()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "the id is the same at every attempt");
}

async fn a_stream_is_acknowledged_and_bad_events_take_their_place(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = set_up(&server, &receiver).await;
    admin
        .create_automation("42", automation("42", "hook", "deal", pb::EventAction::Change, r#"{"id": {{deal.id}}}"#))
        .await
        .expect("creates");
    let frame = |sequence: u64| pb::PublishRequest {
        sequence,
        parent: "accounts/42".into(),
        events: vec![
            deal(&format!("e{sequence}"), "8", &format!(r#"{{"id": {sequence}}}"#)),
            deal(&format!("bad{sequence}"), "8", "[1]"),
        ],
        accepts_retry_later: false,
    };
    let frames: Vec<_> = (1..=100).map(frame).collect();
    let mut answers =
        service.events().publish(service.ask(tokio_stream::iter(frames))).await.expect("opens").into_inner();
    let (mut acked, mut rejected) = (0, 0);
    while let Some(answer) = answers.next().await {
        let answer = answer.expect("an answer");
        assert!(answer.acked_sequence > acked, "acknowledgements go up");
        acked = answer.acked_sequence;
        for result in answer.results {
            assert_eq!((result.reason.as_str(), result.field.as_str()), ("INVALID_JSON", "events[1].event.data"));
            rejected += 1;
        }
    }
    assert_eq!((acked, rejected), (100, 100));
    ended(&service, 100).await;
    assert_eq!(receiver.got().len(), 100);

    let gap = vec![frame(1), frame(3)];
    let mut answers = service.events().publish(service.ask(tokio_stream::iter(gap))).await.expect("opens").into_inner();
    let end = loop {
        match answers.next().await {
            Some(Ok(_)) => {}
            Some(Err(status)) => break status,
            None => panic!("a gap ends the stream with an error"),
        }
    };
    assert_eq!(end.code(), tonic::Code::InvalidArgument);
}

async fn what_waits_is_sent_after_a_restart(database: Database) {
    let server = Server::start(&database, &["--retry-delays-ms", "700"]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = set_up(&server, &receiver).await;
    admin
        .create_automation("42", automation("42", "hook", "deal", pb::EventAction::Change, "{}"))
        .await
        .expect("creates");
    receiver.answer_with(500);
    service.publish("42", vec![deal("e1", "8", "{}")]).await.expect("acks");
    eventually("the first attempt is recorded", || async {
        service
            .history("42")
            .await
            .iter()
            .any(|execution| execution.state() == pb::ExecutionState::Retrying)
            .then_some(())
    })
    .await;
    assert!(server.terminate().await);
    receiver.answer_with(200);
    let server = Server::start(&database, &["--retry-delays-ms", "700"]).await;
    let service = server.client("service", "*", &[]).await;
    let listed = ended(&service, 1).await;
    assert_eq!(listed[0].state(), pb::ExecutionState::Succeeded);
    assert_eq!(receiver.got().len(), 2);
}

async fn a_deleted_account_is_erased_and_its_id_is_free_again(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = set_up(&server, &receiver).await;
    admin
        .create_automation("42", automation("42", "hook", "deal", pb::EventAction::Change, "{}"))
        .await
        .expect("creates");
    service.publish("42", vec![deal("e1", "8", "{}")]).await.expect("acks");
    ended(&service, 1).await;
    let request = pb::DeleteAccountRequest { name: "accounts/42".into(), ..pb::DeleteAccountRequest::default() };
    service.accounts().delete_account(service.ask(request)).await.expect("deletes");
    let request = pb::GetAccountRequest { name: "accounts/42".into() };
    let gone = service.accounts().get_account(service.ask(request)).await.expect_err("is gone");
    assert_eq!(gone.code(), tonic::Code::NotFound);
    eventually("the id is free again", || async { service.create_account("42", pb::Plan::Power).await.ok() }).await;
    for table in ["webhooks", "automations", "activations", "executions", "parts", "attempts"] {
        assert_eq!(database.count(table).await, 0, "{table}");
    }
}

async fn a_repeated_call_has_one_effect(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (_, admin) = set_up(&server, &receiver).await;
    let request = |name: &str| pb::CreateWebhookRequest {
        parent: "accounts/42".into(),
        webhook_id: String::new(),
        webhook: Some(pb::Webhook {
            display_name: name.into(),
            kind: pb::WebhookKind::Automation.into(),
            endpoint_url: format!("{}?key=s3cret&x=", receiver.url),
            ..pb::Webhook::default()
        }),
        request_id: "key-1".into(),
    };
    let first = admin.webhooks().create_webhook(admin.ask(request("one"))).await.expect("creates").into_inner();
    let second = admin.webhooks().create_webhook(admin.ask(request("one"))).await.expect("repeats").into_inner();
    let name = |answer: &pb::CreateWebhookResponse| answer.webhook.as_ref().map(|webhook| webhook.name.clone());
    assert_eq!(name(&first), name(&second));
    assert!(first.signing_secret.starts_with("whsec_") && second.signing_secret.is_empty());
    let other = admin.webhooks().create_webhook(admin.ask(request("two"))).await.expect_err("another call");
    assert_eq!(other.code(), tonic::Code::InvalidArgument);
    let colleague = server.client("global_admin", "42", &["--user", "2"]).await;
    let other = colleague.webhooks().create_webhook(colleague.ask(request("one"))).await.expect_err("another caller's");
    assert_eq!(other.code(), tonic::Code::InvalidArgument, "a key is good for its caller only");
    assert_eq!(database.count("webhooks").await, 2);
    let secret = first.signing_secret.trim_start_matches("whsec_");
    assert_eq!(base64::engine::general_purpose::STANDARD.decode(secret).expect("base64").len(), 32);
    if !database.url.starts_with("postgres") {
        let stored = [std::fs::read(&database.url), std::fs::read(format!("{}-wal", database.url))];
        let stored: Vec<u8> = stored.into_iter().flatten().flatten().collect();
        assert!(stored.windows(4).any(|window| window == b"hook"), "the file is the database");
        assert!(!stored.windows(6).any(|window| window == b"s3cret"), "credentials are sealed at rest");
    }
}

async fn a_key_outlives_its_account(database: Database) {
    let server = Server::start(&database, &[]).await;
    let service = server.client("service", "*", &[]).await;
    let create = async |key: &str| {
        let account = Some(pb::Account { plan: pb::Plan::Power.into(), ..pb::Account::default() });
        let request = pb::CreateAccountRequest { account_id: "42".into(), account, request_id: key.into() };
        service.accounts().create_account(service.ask(request)).await
    };
    let delete = async |key: &str| {
        let request = pb::DeleteAccountRequest {
            name: "accounts/42".into(),
            request_id: key.into(),
            ..pb::DeleteAccountRequest::default()
        };
        service.accounts().delete_account(service.ask(request)).await
    };
    let get = async || {
        let request = pb::GetAccountRequest { name: "accounts/42".into() };
        service.accounts().get_account(service.ask(request)).await
    };
    create("create-1").await.expect("creates");
    delete("delete-1").await.expect("deletes");
    eventually("it is erased", || async { (database.count("accounts").await == 0).then_some(()) }).await;
    create("create-1").await.expect("the first answer");
    assert_eq!(get().await.expect_err("it stays deleted").code(), tonic::Code::NotFound);
    create("create-2").await.expect("creates");
    delete("delete-1").await.expect("the first answer");
    get().await.expect("the new account is another one");
    let other = delete("create-2").await.expect_err("another call");
    assert_eq!(other.code(), tonic::Code::InvalidArgument);
}

async fn a_deleted_webhook_fails_what_waits_and_what_comes(database: Database) {
    let server = Server::start(&database, &["--retry-delays-ms", "600000"]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = set_up(&server, &receiver).await;
    let one = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    let made = admin.create_automation("42", one).await.expect("creates");
    receiver.answer_with(503);
    service.publish("42", vec![deal("e1", "8", "{}")]).await.expect("acks");
    eventually("the first attempt is recorded", || async {
        service.history("42").await.iter().any(|one| one.state() == pb::ExecutionState::Retrying).then_some(())
    })
    .await;
    let request =
        pb::DeleteWebhookRequest { name: "accounts/42/webhooks/hook".into(), ..pb::DeleteWebhookRequest::default() };
    admin.webhooks().delete_webhook(admin.ask(request)).await.expect("deletes");
    service.publish("42", vec![deal("e2", "8", "{}")]).await.expect("acks");
    for execution in ended(&service, 2).await {
        assert_eq!(execution.state(), pb::ExecutionState::Failed);
        assert_eq!(execution.reason, "WEBHOOK_DELETED");
    }
    assert_eq!(receiver.got().len(), 1, "nothing is sent any more");
    let request = pb::GetAutomationRequest { name: made.name };
    let shown = admin.automations().get_automation(admin.ask(request)).await.expect("gets").into_inner();
    let warnings = shown.automation.expect("an automation").warnings;
    assert!(warnings.iter().any(|warning| warning.contains("hook")), "the automation shows it: {warnings:?}");
}
