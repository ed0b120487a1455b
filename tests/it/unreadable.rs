//! Rows of the database that cannot be read: each is put aside with a word, and its account goes on.

use std::time::Duration;

use hookline::grpc::pb;
use tokio_stream::StreamExt;
use tonic_types::StatusExt;

use crate::{
    faults::{account, publish, reconcile},
    harness::{Client, Database, Receiver, Server, automation, deal, eventually},
    operations::page,
};

fn reason(status: &tonic::Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

/// On one stream the account in trouble gets *later*, in order, and another account goes on.
async fn others_go_on(service: &Client) {
    if service.create_account("7", pb::Plan::Power).await.is_err() {
        return;
    }
    let frame = |sequence: u64, account: &str| pb::PublishRequest {
        sequence,
        parent: format!("accounts/{account}"),
        events: vec![deal(&format!("later{sequence}"), "8", "{}"), deal("", "8", "{}")],
        accepts_retry_later: sequence == 1,
    };
    let (frames, receiver) = tokio::sync::mpsc::channel(16);
    for (sequence, account) in (1..).zip(["42", "7", "42", "42", "7"]) {
        frames.send(frame(sequence, account)).await.expect("there is room");
    }
    let asked = service.ask(tokio_stream::wrappers::ReceiverStream::new(receiver));
    let mut answers = service.events().publish(asked).await.expect("opens").into_inner();
    let (mut acked, mut results) = (0, Vec::new());
    while acked < 5 {
        let answer = answers.next().await.expect("the stream goes on").expect("the stream goes on");
        acked = answer.acked_sequence;
        results.extend(answer.results);
    }
    for result in &results {
        let of_other = matches!(result.sequence, 2 | 5);
        let expected = if of_other { pb::EventStatus::Rejected } else { pb::EventStatus::RetryLater };
        assert_eq!(result.status(), expected, "{result:?}");
        let rest = result.retry_after.map(|rest| Duration::try_from(rest).expect("a time"));
        assert_eq!(rest.is_some_and(|rest| rest > Duration::ZERO && rest <= Duration::from_secs(8)), !of_other);
    }
    assert_eq!(results.len(), 2 * 3 + 2, "every event of the account in trouble, and the bad ones of the other");
    drop(frames);
    assert!(answers.next().await.is_none(), "it ends as any other");
    let plain = service.ask(tokio_stream::iter([pb::PublishRequest { accepts_retry_later: false, ..frame(1, "42") }]));
    let mut answers = service.events().publish(plain).await.expect("opens").into_inner();
    let status = answers.next().await.expect("an end").expect_err("other clients are told by the end of the stream");
    assert_eq!(status.code(), tonic::Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_cannot_be_read_sends_nothing() {
    for database in [Database::sqlite(), Database::postgres().await] {
        let receiver = Receiver::start().await;
        let server = Server::start(&database, &["--retry-delays-ms", "600000"]).await;
        let (_, admin) = account(&server, &receiver.url).await;
        let other = admin.create_webhook("42", "damaged", &format!("{}x/?key=", receiver.url)).await.expect("creates");
        let name = other.webhook.expect("is shown").name;
        let one = automation("42", "damaged", "person", pb::EventAction::Change, "{}");
        admin.create_automation("42", one).await.expect("creates");
        assert!(server.terminate().await);
        let broken = if database.url.starts_with("postgres") { "'x'::bytea" } else { "X'0011'" };
        for column in ["sealed_secrets", "sealed_url", "policy", "health", "traffic"] {
            database.execute(&format!("UPDATE webhooks SET {column} = {broken} WHERE id = 'damaged'")).await;
        }
        let server = Server::start(&database, &[]).await;
        let service = server.client("service", "*", &[]).await;
        let admin = server.client("global_admin", "42", &["--user", "1"]).await;
        let acknowledged = publish(&service, 0..3, "").await.expect("the account goes on");
        reconcile(&service, &acknowledged.into_iter().collect(), &receiver).await;
        let get = admin.ask(pb::GetWebhookRequest { name: name.clone() });
        let shown = admin.webhooks().get_webhook(get).await.expect("is shown").into_inner().webhook.expect("is shown");
        assert_eq!((shown.enabled, shown.disable_reason()), (false, pb::WebhookDisableReason::Unreadable));
        let mask = |field: &str| Some(prost_types::FieldMask { paths: vec![field.to_owned()] });
        for (field, enabled) in [("display_name", false), ("enabled", true)] {
            let webhook =
                pb::Webhook { name: name.clone(), display_name: "new".into(), enabled, ..pb::Webhook::default() };
            let update = pb::UpdateWebhookRequest {
                webhook: Some(webhook),
                update_mask: mask(field),
                ..pb::UpdateWebhookRequest::default()
            };
            let refused = admin.webhooks().update_webhook(admin.ask(update)).await.expect_err("its URL would be lost");
            assert_eq!(reason(&refused), "WEBHOOK_UNREADABLE", "{field}");
        }
        let rotate = pb::RotateWebhookSecretRequest { name: name.clone(), ..pb::RotateWebhookSecretRequest::default() };
        let refused =
            admin.webhooks().rotate_webhook_secret(admin.ask(rotate)).await.expect_err("its URL would be lost");
        assert_eq!(reason(&refused), "WEBHOOK_UNREADABLE");
        let mut person = deal("p1", "8", "{}");
        if let Some(pb::event_input::Kind::Event(event)) = &mut person.kind {
            event.object = "person".into();
        }
        service.publish("42", vec![person]).await.expect("acknowledges");
        let failed = eventually("it fails", || async {
            let history = service.history("42").await;
            history.into_iter().find(|one| one.event_id == "p1" && one.end_time.is_some())
        })
        .await;
        assert_eq!(failed.state(), pb::ExecutionState::Failed);
        let delete = pb::DeleteWebhookRequest { name: name.clone(), ..pb::DeleteWebhookRequest::default() };
        admin.webhooks().delete_webhook(admin.ask(delete)).await.expect("an admin deletes it");
        assert_eq!(receiver.got().len(), 3);
        let (_, page) = page(&server, "metrics").await;
        assert!(page.contains("hookline_unreadable_total{what=\"webhook\"} 1"), "{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_that_cannot_be_read_fails_alone() {
    for database in [Database::sqlite(), Database::postgres().await] {
        let receiver = Receiver::start().await;
        let server = Server::start(&database, &["--retry-delays-ms", "1000"]).await;
        let (service, _) = account(&server, &receiver.url).await;
        receiver.hold();
        publish(&service, 0..2, "").await.expect("acknowledges");
        eventually("both are under way", || async { (receiver.got().len() == 2).then_some(()) }).await;
        server.kill().await;
        // One that was under way, and another one that waits, hold what they cannot hold.
        let broken = "'{broken'";
        let broken = if database.url.starts_with("postgres") { format!("{broken}::bytea") } else { broken.to_owned() };
        database.execute(&format!("UPDATE executions SET part = {broken} WHERE event_id = 'e0'")).await;
        receiver.release();
        let server = Server::start(&database, &["--retry-delays-ms", "1000"]).await;
        let service = server.client("service", "*", &[]).await;
        publish(&service, 2..4, "").await.expect("the account goes on");
        let history = eventually("every execution ends", || async {
            let found = service.history("42").await;
            (found.len() == 4 && found.iter().all(|execution| execution.end_time.is_some())).then_some(found)
        })
        .await;
        for execution in &history {
            let is_broken = execution.event_id == "e0";
            let expected = if is_broken { pb::ExecutionState::Failed } else { pb::ExecutionState::Succeeded };
            assert_eq!(execution.state(), expected, "{}", execution.event_id);
            assert_eq!(execution.reason, if is_broken { "INTERNAL" } else { "" });
        }
        let broken = history.iter().find(|execution| execution.event_id == "e0").expect("it is shown");
        let shown = service.execution(&broken.name).await;
        assert!(shown.requests.is_empty(), "what cannot be read is left empty");
    }
}

/// What cannot be read of a history is left out with a word, and the rest of it is shown.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_cannot_be_read_hides_nothing_else() {
    for database in [Database::sqlite(), Database::postgres().await] {
        let receiver = Receiver::start().await;
        receiver.answer_with(503);
        let server = Server::start(&database, &["--retry-delays-ms", "50,50"]).await;
        let (service, admin) = crate::harness::account_42(&server, &receiver.url).await;
        let one = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
        admin.create_automation("42", one).await.expect("creates");
        service.publish("42", vec![deal("e1", "8", "{}")]).await.expect("acks");
        let failed = eventually("it fails", || async {
            service.history("42").await.into_iter().find(|one| one.end_time.is_some())
        })
        .await;
        assert_eq!(service.execution(&failed.name).await.requests[0].attempts.len(), 3);
        assert!(server.terminate().await);
        let broken = if database.url.starts_with("postgres") { "'x'::bytea" } else { "X'0011'" };
        database.execute(&format!("UPDATE executions SET outcome = {broken}")).await;
        database.execute(&format!("UPDATE attempts SET bytes = {broken} WHERE number = 2")).await;
        let server = Server::start(&database, &[]).await;
        let service = server.client("service", "*", &[]).await;
        let shown = service.execution(&failed.name).await;
        assert_eq!((shown.state(), shown.requests[0].attempts.len()), (pb::ExecutionState::Failed, 1));
        assert_eq!(service.history("42").await.len(), 1);
        let (ended_well, log) = server.terminate_with_log().await;
        assert!(ended_well && log.matches("an attempt cannot be read").count() == 2, "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_wait_for_an_automation_that_cannot_be_read() {
    for database in [Database::sqlite(), Database::postgres().await] {
        let receiver = Receiver::start().await;
        let server = Server::start(&database, &[]).await;
        let (_, admin) = account(&server, &receiver.url).await;
        let one = automation("42", "hook", "person", pb::EventAction::Change, "{}");
        let broken = admin.create_automation("42", one).await.expect("creates");
        let id = broken.name.rsplit('/').next().expect("an id").to_owned();
        assert!(server.terminate().await);
        let bytes = |text: &str| {
            let of_postgres = database.url.starts_with("postgres");
            if of_postgres { format!("'{text}'::bytea") } else { format!("CAST('{text}' AS BLOB)") }
        };
        // Its trigger can be read: only events that could fit it wait.
        let spec = bytes(r#"{"object": "person", "action": "change", "actions": 5}"#);
        database.execute(&format!("UPDATE automations SET spec = {spec} WHERE id = '{id}'")).await;
        let server = Server::start(&database, &[]).await;
        let service = server.client("service", "*", &[]).await;
        publish(&service, 0..2, "").await.expect("what cannot fit it goes on");
        let mut person = deal("p1", "8", "{}");
        if let Some(pb::event_input::Kind::Event(event)) = &mut person.kind {
            event.object = "person".into();
        }
        let waits = service.publish("42", vec![person.clone()]).await.expect_err("nobody knows whether it fits");
        assert_eq!(waits.code(), tonic::Code::Unavailable);
        assert!(waits.message().contains(&id), "{waits:?}");
        assert!(server.terminate().await);
        // Not even its trigger can be read: everything waits.
        let spec = bytes("nonsense");
        database.execute(&format!("UPDATE automations SET spec = {spec} WHERE id = '{id}'")).await;
        let server = Server::start(&database, &[]).await;
        let service = server.client("service", "*", &[]).await;
        publish(&service, 2..3, "").await.expect_err("nobody knows whether it fits");
        others_go_on(&service).await;
        let admin = server.client("global_admin", "42", &["--user", "1"]).await;
        let list = pb::ListAutomationsRequest { parent: "accounts/42".into(), ..pb::ListAutomationsRequest::default() };
        let page = admin.automations().list_automations(admin.ask(list)).await.expect("lists").into_inner();
        assert_eq!((page.automations.len(), page.unreachable), (1, vec![broken.name.clone()]));
        let get = admin.ask(pb::GetAutomationRequest { name: broken.name.clone() });
        let refused = admin.automations().get_automation(get).await.expect_err("nobody can read it");
        assert_eq!(reason(&refused), "AUTOMATION_UNREADABLE");
        let request =
            pb::DeleteAutomationRequest { name: broken.name.clone(), ..pb::DeleteAutomationRequest::default() };
        admin.automations().delete_automation(admin.ask(request)).await.expect("a person deletes it");
        publish(&service, 2..3, "").await.expect("and everything goes on");
        service.publish("42", vec![person]).await.expect("and everything goes on");
        reconcile(&service, &(0..3).collect(), &receiver).await;
    }
}
