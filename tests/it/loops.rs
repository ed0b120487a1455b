//! Executions that cause each other.

use hookline::grpc::pb;

use crate::harness::{Client, Database, Receiver, Server, account_42, automation, deal, eventually, regular};

crate::on_both_databases!(
    executions_that_cause_each_other_are_stopped,
    a_cause_that_is_only_named_has_the_depth_of_its_execution,
    objects_of_different_kinds_are_no_circle,
);

async fn executions_that_cause_each_other_are_stopped(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    let one = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    admin.create_automation("42", one).await.expect("creates");
    let caused =
        |id: &str, entity: &str, depth: u32| pb::EventInput { causation_depth: depth, ..deal(id, entity, "{}") };
    service.publish("42", vec![caused("deep", "1", 6), caused("just", "2", 5)]).await.expect("acks");
    let many = (0..22).map(|at| caused(&format!("round-{at}"), "3", 1)).collect();
    service.publish("42", many).await.expect("acks");
    service.publish("42", vec![caused("again", "3", 1), caused("other", "4", 1)]).await.expect("acks");
    let plain = (0..25).map(|at| deal(&format!("plain-{at}"), "5", "{}")).collect();
    service.publish("42", plain).await.expect("acks");
    let history = eventually("every execution ends", || async {
        let found = service.history("42").await;
        found.iter().all(|execution| execution.end_time.is_some()).then_some(found)
    })
    .await;
    let stopped: Vec<_> =
        history.iter().filter(|one| one.state() == pb::ExecutionState::Stopped && one.reason == "LOOP").collect();
    let mut ids: Vec<_> = stopped.iter().map(|one| one.event_id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["again", "deep", "round-20", "round-21"], "too deep, or round too often; always recorded");
    assert_eq!(history.len() - stopped.len(), receiver.got().len(), "events without a cause are never stopped");
    let usage = pb::GetAccountUsageRequest { name: "accounts/42".into() };
    let usage = service.accounts().get_account_usage(service.ask(usage)).await.expect("reads").into_inner().usage;
    assert_eq!(
        usage.expect("a usage").executions_used as usize,
        receiver.got().len(),
        "what is stopped does not count"
    );
    let sent = receiver.got().into_iter().find(|got| got.headers["hookline-causation-depth"] == "6");
    assert!(sent.is_some(), "a request carries the depth on");
}

/// The whole history once everything in it has ended.
async fn ended(service: &Client, count: usize) -> Vec<pb::Execution> {
    eventually("every execution ends", || async {
        let found = service.history("42").await;
        (found.len() == count && found.iter().all(|one| one.end_time.is_some())).then_some(found)
    })
    .await
}

async fn a_cause_that_is_only_named_has_the_depth_of_its_execution(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    let one = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    admin.create_automation("42", one).await.expect("creates");
    // A client that passes on nothing but the id of the execution: the chain still has an end.
    let mut cause = String::new();
    for at in 0..7 {
        let event = pb::EventInput { cause_execution_id: cause, ..deal(&format!("link-{at}"), &format!("{at}"), "{}") };
        service.publish("42", vec![event]).await.expect("acks");
        let newest = ended(&service, at + 1).await.remove(0);
        assert_eq!(newest.event_id, format!("link-{at}"));
        let id = newest.name.rsplit('/').next().expect("an id");
        // Its id, its name, or what a proxy makes of a header.
        cause = [id.to_owned(), newest.name.clone(), format!(" {}", id.to_uppercase())][at % 3].clone();
        let is_stopped = newest.state() == pb::ExecutionState::Stopped && newest.reason == "LOOP";
        assert_eq!(is_stopped, at == 6, "deeper than five: {newest:?}");
    }
    let depths: Vec<_> = receiver.got().iter().map(|got| got.headers["hookline-causation-depth"].clone()).collect();
    assert_eq!(depths, ["1", "2", "3", "4", "5", "6"]);
    let unknown = uuid::Uuid::now_v7();
    let event = pb::EventInput { cause_execution_id: format!("ex-{unknown}"), ..deal("unknown", "9", "{}") };
    service.publish("42", vec![event]).await.expect("acks");
    ended(&service, 8).await;
    assert_eq!(
        receiver.got().last().expect("a request").headers["hookline-causation-depth"],
        "2",
        "the first of a chain"
    );
}

async fn objects_of_different_kinds_are_no_circle(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    let request = regular("everything", &receiver.url, "*.*");
    admin.webhooks().create_webhook(admin.ask(request)).await.expect("creates");
    let kinds = ["deal", "lead", "person", "note"];
    let caused = |at: usize| {
        let mut input = pb::EventInput { causation_depth: 1, ..deal(&format!("e-{at}"), "8", "{}") };
        if let Some(pb::event_input::Kind::Event(event)) = &mut input.kind {
            event.object = kinds[at % kinds.len()].into();
        }
        input
    };
    service.publish("42", (0..24).map(caused).collect()).await.expect("acks");
    let history = ended(&service, 24).await;
    assert!(history.iter().all(|one| one.state() == pb::ExecutionState::Succeeded), "six of each kind");
}
