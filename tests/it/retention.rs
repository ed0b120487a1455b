//! How long the history is kept, and what goes with it.

use std::time::Duration;

use hookline::grpc::pb;
use tonic_types::StatusExt;

use crate::harness::{Database, Receiver, Server, account_42, automation, condition, deal, eventually};

crate::on_both_databases!(what_was_kept_for_long_enough_is_deleted_and_nothing_else);

const DAY: Duration = Duration::from_secs(86_400);
/// More than one batch deletes.
const OLD: usize = 600;

async fn what_was_kept_for_long_enough_is_deleted_and_nothing_else(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    let slow = format!("{}slow/", receiver.url);
    admin.create_webhook("42", "slow", &slow).await.expect("creates");
    admin.create_webhook("42", "unused", &slow).await.expect("creates");
    let mut orphan = automation("42", "unused", "person", pb::EventAction::Change, "{}");
    orphan.display_name = "orphan".into();
    let orphan = admin.create_automation("42", orphan).await.expect("creates");
    let unused = pb::DeleteWebhookRequest { name: "accounts/42/webhooks/unused".into(), ..Default::default() };
    admin.webhooks().delete_webhook(admin.ask(unused)).await.expect("deletes");
    let quick = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    admin.create_automation("42", quick).await.expect("creates");
    let lasting = automation("42", "slow", "deal", pb::EventAction::Change, "{}");
    let mut lasting = pb::Automation { display_name: "lasting".into(), ..lasting };
    lasting.conditions = Some(condition("lasts", pb::Operator::IsNotEmpty, &[]));
    admin.create_automation("42", lasting).await.expect("creates");
    let old = (0..OLD).map(|at| deal(&format!("old{at}"), "8", "{}")).collect();
    service.publish("42", old).await.expect("acks");
    eventually("all are delivered", || async { (receiver.got().len() == OLD).then_some(()) }).await;
    receiver.hold_at("/slow/");
    service.publish("42", vec![deal("both", "8", r#"{"lasts": true}"#)]).await.expect("acks");
    eventually("one lasts", || async {
        let ended = service.history("42").await.iter().filter(|one| one.end_time.is_some()).count();
        (ended == OLD + 1 && receiver.got().len() == OLD + 2).then_some(())
    })
    .await;
    server.kill().await;
    database.age(16 * DAY).await;
    receiver.release();
    let attempts = "SELECT COUNT(outcome) FROM executions";
    assert_eq!(database.numbers(attempts).await, [i64::try_from(OLD + 1).expect("fits")]);
    assert_eq!(database.count("parts").await, 1, "the event that two executions share");

    let server = Server::start(&database, &[]).await;
    let service = server.client("service", "*", &[]).await;
    service.publish("42", vec![deal("new", "8", "{}")]).await.expect("acks while the old goes");
    let kept = eventually("the old is deleted", || async {
        let found = service.history("42").await;
        (found.len() == 2 && found.iter().all(|one| one.end_time.is_some())).then_some(found)
    })
    .await;
    let kept: Vec<_> = kept.iter().map(|one| (one.event_id.as_str(), one.source_display_name.as_str())).collect();
    assert_eq!(kept, [("new", "An automation"), ("both", "lasting")], "what ended only now is kept");
    assert_eq!(database.count("parts").await, 1, "an event goes with its last execution, and not before");
    assert_eq!((database.numbers(attempts).await, database.count("attempts").await), (vec![2], 0));
    eventually("deleted webhooks go, too", || async { (database.count("webhooks").await == 2).then_some(()) }).await;
    let shown = pb::GetAutomationRequest { name: orphan.name };
    let shown = service.automations().get_automation(service.ask(shown)).await.expect("reads").into_inner().automation;
    let warnings = shown.expect("an automation").warnings;
    assert!(
        warnings.iter().any(|warning| warning.contains("unused: the webhook was deleted")),
        "it is still told: {warnings:?}"
    );
    let counts = pb::CountExecutionsRequest { parent: "accounts/42".into() };
    let counts = service.executions().count_executions(service.ask(counts)).await.expect("counts").into_inner().counts;
    assert_eq!(counts.iter().map(|one| one.count).sum::<u64>(), 2);

    // A shorter retention takes effect at once, down to three days.
    let limits = |days| pb::SetAccountLimitsRequest {
        name: "accounts/42".into(),
        limit_overrides: Some(pb::AccountLimits { retention_days: Some(days), ..Default::default() }),
        ..Default::default()
    };
    let refused = service.accounts().set_account_limits(service.ask(limits(2))).await.expect_err("too short");
    let details = refused.get_error_details();
    assert_eq!(details.bad_request().expect("fields").field_violations[0].field, "limit_overrides.retention_days");
    server.kill().await;
    database.age(4 * DAY).await;
    let server = Server::start(&database, &[]).await;
    let service = server.client("service", "*", &[]).await;
    service.publish("42", vec![deal("newest", "8", "{}")]).await.expect("acks");
    assert_eq!(service.history("42").await.len(), 3, "four days are not fifteen");
    service.accounts().set_account_limits(service.ask(limits(3))).await.expect("sets");
    eventually("they go", || async { (service.history("42").await.len() == 1).then_some(()) }).await;
    let again = service.publish("42", vec![deal("new", "8", "{}"), deal("newest", "8", "{}")]).await.expect("acks");
    let again: Vec<_> = again.iter().map(|result| (result.index, result.status())).collect();
    assert_eq!(again, [(1, pb::EventStatus::Duplicate)], "duplicates are recognised as long as they are kept");
}
