//! Following an account: live, resumed, expired, too slow.

use std::time::Duration;

use hookline::grpc::pb;
use tonic::{Code, Streaming};

use crate::harness::{
    Client, Database, Receiver, Server, account_42, automation, bad_field, deal, eventually, next, reason,
};

crate::on_both_databases!(
    changes_are_shown_live_and_from_a_cursor_on,
    what_happens_to_the_account_is_shown_too,
    a_cursor_that_leads_nowhere_is_refused,
    a_client_that_does_not_read_is_ended_and_misses_nothing,
);

type Watched = Streaming<pb::WatchResponse>;

async fn watch(client: &Client, cursor: &str, only_new: bool) -> Result<Watched, tonic::Status> {
    let request = pb::WatchRequest { parent: "accounts/42".into(), cursor: cursor.into(), only_new };
    Ok(client.watches().watch(client.ask(request)).await?.into_inner())
}

/// Reads until an execution of an event is in a state. Answers the cursor, and what came before as `event state`.
async fn until(stream: &mut Watched, event: &str, state: pb::ExecutionState) -> (String, Vec<String>) {
    let mut seen = Vec::new();
    loop {
        let answer = next(stream).await.expect("goes on").expect("an answer");
        if let Some(pb::watch_response::Change::Execution(execution)) = answer.change {
            seen.push(format!("{} {}", execution.event_id, execution.state().as_str_name()));
            if execution.event_id == event && execution.state() == state {
                return (answer.cursor, seen);
            }
        }
    }
}

async fn set_up(server: &Server, receiver: &Receiver) -> (Client, Client) {
    let (service, admin) = account_42(server, &receiver.url).await;
    let one = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    admin.create_automation("42", one).await.expect("creates");
    (service, admin)
}

async fn publish(service: &Client, ids: &[&str]) {
    let events = ids.iter().map(|id| deal(id, "8", "{}")).collect();
    assert_eq!(service.publish("42", events).await.expect("acks"), []);
}

const SUCCEEDED: pb::ExecutionState = pb::ExecutionState::Succeeded;

async fn changes_are_shown_live_and_from_a_cursor_on(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, _) = set_up(&server, &receiver).await;
    publish(&service, &["before"]).await;
    eventually("it ends", || async { service.history("42").await[0].end_time }).await;
    let mut live = watch(&service, "", true).await.expect("watches");
    let first = next(&mut live).await.expect("answers").expect("an answer");
    assert!(first.change.is_none(), "it begins with what is new: {first:?}");
    receiver.hold();
    publish(&service, &["a"]).await;
    let (_, seen) = until(&mut live, "a", pb::ExecutionState::Running).await;
    assert_eq!(seen, ["a EXECUTION_STATE_RUNNING"]);
    receiver.release();
    let (cursor, _) = until(&mut live, "a", SUCCEEDED).await;
    let user = server.client("user", "42", &["--user", "8"]).await;
    let mut of_user = watch(&user, "", false).await.expect("watches");
    let nothing = next(&mut of_user).await.expect("answers").expect("an answer");
    assert!(nothing.change.is_none(), "of others they get a cursor only: {nothing:?}");
    let mut own = deal("own", "8", "{}");
    if let Some(pb::event_input::Kind::Event(event)) = &mut own.kind {
        event.user_id = "8".into();
    }
    service.publish("42", vec![own]).await.expect("acks");
    let (_, seen) = until(&mut of_user, "own", SUCCEEDED).await;
    assert!(seen.iter().all(|seen| seen.starts_with("own ")), "{seen:?}");
    publish(&service, &["b"]).await;
    until(&mut live, "b", SUCCEEDED).await;
    server.kill().await;
    assert!(next(&mut live).await.is_err(), "it ends with the server");

    let server = Server::start(&database, &[]).await;
    let service = server.client("service", "*", &[]).await;
    let mut resumed = watch(&service, &cursor, false).await.expect("watches");
    publish(&service, &["c"]).await;
    let (_, seen) = until(&mut resumed, "c", SUCCEEDED).await;
    assert_eq!(seen[..2], ["own EXECUTION_STATE_SUCCEEDED", "b EXECUTION_STATE_SUCCEEDED"], "{seen:?}");
    let mut all = watch(&service, "", false).await.expect("watches");
    let (_, seen) = until(&mut all, "c", SUCCEEDED).await;
    let expected = ["before", "a", "own", "b", "c"].map(|id| format!("{id} EXECUTION_STATE_SUCCEEDED"));
    assert_eq!(seen, expected, "everything that is kept, each as it is now");

    server.signal().await;
    let ended = next(&mut all).await.expect_err("the server ends");
    assert_eq!((ended.code(), reason(&ended).as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    assert!(server.terminate_after_signal().await);
}

async fn what_happens_to_the_account_is_shown_too(database: Database) {
    let slow = ["--execution-window-ms", "3600000", "--retry-delays-ms", "3600000", "--breaker-open-ms", "600"];
    let server = Server::start(&database, &slow).await;
    let receiver = Receiver::start().await;
    let (service, admin) = set_up(&server, &receiver).await;
    let limits = pb::SetAccountLimitsRequest {
        name: "accounts/42".into(),
        limit_overrides: Some(pb::AccountLimits { executions_per_window: Some(20), ..Default::default() }),
        ..Default::default()
    };
    service.accounts().set_account_limits(service.ask(limits)).await.expect("sets");
    let mut live = watch(&service, "", true).await.expect("watches");
    receiver.answer_with(503);
    for at in 0..10 {
        publish(&service, &[&format!("e{at}")]).await;
    }
    let kind = async |stream: &mut Watched| loop {
        let answer = next(stream).await.expect("goes on").expect("an answer");
        if let Some(pb::watch_response::Change::Notice(notice)) = answer.change {
            assert!(notice.create_time.is_some());
            break (answer.cursor, notice.kind.expect("a kind"));
        }
    };
    use pb::account_notice::Kind;
    let hook = "accounts/42/webhooks/hook".to_owned();
    let (_, alone) = kind(&mut live).await;
    assert!(matches!(&alone, Kind::EndpointUnavailable(left) if left.webhook == hook), "{alone:?}");
    receiver.answer_with(200);
    let crossed = async |stream: &mut Watched| match kind(stream).await.1 {
        Kind::LimitCrossed(crossed) => (crossed.percent, crossed.executions_used, crossed.executions_per_window),
        other => panic!("{other:?}"),
    };
    publish(&service, &["f0", "f1", "f2", "f3", "f4", "f5"]).await;
    assert_eq!(crossed(&mut live).await, (80, 16, 20));
    publish(&service, &["f6", "f7", "f8", "f9", "over"]).await;
    assert_eq!(crossed(&mut live).await, (100, 20, 20));
    let (before_gone, back) = kind(&mut live).await;
    assert_eq!(back, Kind::EndpointAvailable(pb::EndpointAvailable { webhook: hook.clone() }));
    let disable = pb::UpdateWebhookRequest {
        webhook: Some(pb::Webhook { name: hook.clone(), ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["enabled".into()] }),
        ..Default::default()
    };
    admin.webhooks().update_webhook(admin.ask(disable)).await.expect("disables");
    let reason = pb::WebhookDisableReason::Admin.into();
    let disabled = Kind::WebhookDisabled(pb::WebhookDisabled { webhook: hook, reason });
    assert_eq!(kind(&mut live).await.1, disabled);
    // They can be read again from a cursor on, like executions.
    let mut again = watch(&service, &before_gone, false).await.expect("watches");
    assert_eq!(kind(&mut again).await.1, disabled);
}

async fn a_cursor_that_leads_nowhere_is_refused(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, _) = set_up(&server, &receiver).await;
    let mut live = watch(&service, "", true).await.expect("watches");
    let early = next(&mut live).await.expect("answers").expect("an answer").cursor;
    publish(&service, &["a"]).await;
    let (late, _) = until(&mut live, "a", SUCCEEDED).await;
    for bad in ["x", "MQ", &late[..late.len() - 8]] {
        let refused = watch(&service, bad, false).await.expect_err(bad);
        assert_eq!((refused.code(), bad_field(&refused).as_str()), (Code::InvalidArgument, "cursor"));
    }
    service.create_account("43", pb::Plan::Power).await.expect("creates");
    let other = pb::WatchRequest { parent: "accounts/43".into(), cursor: late.clone(), only_new: false };
    let refused = service.watches().watch(service.ask(other)).await.expect_err("another account's");
    assert_eq!(bad_field(&refused), "cursor");
    let unknown = pb::WatchRequest { parent: "accounts/44".into(), ..Default::default() };
    let refused = service.watches().watch(service.ask(unknown)).await.expect_err("no such account");
    assert_eq!(refused.code(), Code::NotFound);

    server.kill().await;
    database.age(Duration::from_secs(16 * 86_400)).await;
    let server = Server::start(&database, &[]).await;
    let service = server.client("service", "*", &[]).await;
    let mut follows_on = watch(&service, &late, false).await.expect("nothing was missed");
    eventually("it is deleted", || async { service.history("42").await.is_empty().then_some(()) }).await;
    let mut expired = watch(&service, &early, false).await.expect("begins");
    let ended = next(&mut expired).await.expect_err("what has changed is deleted");
    assert_eq!((ended.code(), reason(&ended).as_str()), (Code::OutOfRange, "CURSOR_EXPIRED"));
    let mut anew = watch(&service, "", false).await.expect("watches");
    publish(&service, &["b"]).await;
    until(&mut anew, "b", SUCCEEDED).await;
    let (latest, _) = until(&mut follows_on, "b", SUCCEEDED).await;

    let delete = pb::DeleteAccountRequest { name: "accounts/42".into(), ..Default::default() };
    service.accounts().delete_account(service.ask(delete)).await.expect("deletes");
    let ended = next(&mut anew).await.expect_err("the account is gone");
    assert_eq!(ended.code(), Code::NotFound);
    eventually("it is erased", || async { service.create_account("42", pb::Plan::Power).await.ok() }).await;
    assert_eq!(database.count("notices").await, 0);
    let refused = watch(&service, &latest, false).await.expect_err("of an account that is gone");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::OutOfRange, "CURSOR_EXPIRED"));
}

async fn a_client_that_does_not_read_is_ended_and_misses_nothing(database: Database) {
    let server = Server::start(&database, &["--watch-stall-max-ms", "100"]).await;
    let receiver = Receiver::start().await;
    let (service, _) = set_up(&server, &receiver).await;
    let token = server.token("service", "*", &[]);
    let narrow = server.narrow_client(&token, 1_024).await;
    let mut stream = watch(&narrow, "", true).await.expect("watches");
    let ids: Vec<_> = (0..300).map(|at| format!("e{at}")).collect();
    publish(&service, &ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    eventually("all end", || async {
        let found = service.history("42").await;
        (found.len() == 300 && found.iter().all(|one| one.end_time.is_some())).then_some(())
    })
    .await;
    eventually("it is ended", || async { server.log().contains("does not read").then_some(()) }).await;
    let mut seen = std::collections::HashMap::new();
    let mut cursor = String::new();
    let mut take = |answer: pb::WatchResponse| {
        if let Some(pb::watch_response::Change::Execution(execution)) = answer.change {
            seen.insert(execution.event_id.clone(), execution.state());
        }
        cursor = answer.cursor;
    };
    let ended = loop {
        match next(&mut stream).await {
            Ok(Some(answer)) => take(answer),
            Ok(None) => panic!("it ends with a status"),
            Err(status) => break status,
        }
    };
    assert_eq!((ended.code(), reason(&ended).as_str()), (Code::ResourceExhausted, "SLOW_READER"));
    let mut on = watch(&service, &cursor, false).await.expect("watches on");
    while seen.values().filter(|state| **state == SUCCEEDED).count() < 300 {
        let answer = next(&mut on).await.expect("goes on").expect("an answer");
        if let Some(pb::watch_response::Change::Execution(execution)) = answer.change {
            seen.insert(execution.event_id.clone(), execution.state());
        }
    }
}
