//! Reading the history: filters, pages, and what is refused.

use hookline::grpc::pb;
use tonic::Code;
use tonic_types::StatusExt;

use crate::harness::{Client, Database, Receiver, Server, account_42, automation, deal, eventually};

crate::on_both_databases!(executions_are_found_by_what_people_ask_for);

/// The ids of the events whose executions are listed, over pages of this size.
async fn listed(client: &Client, page_size: i32, filter: pb::ListExecutionsRequest) -> Vec<String> {
    let mut found = Vec::new();
    let mut request = pb::ListExecutionsRequest { parent: "accounts/42".into(), page_size, ..filter };
    loop {
        let page = client.executions().list_executions(client.ask(request.clone())).await.expect("lists").into_inner();
        assert!(page.executions.len() <= usize::try_from(page_size).expect("fits"));
        found.extend(page.executions.into_iter().map(|execution| execution.event_id));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return found;
        }
    }
}

async fn executions_are_found_by_what_people_ask_for(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    admin.create_webhook("42", "broken", &format!("{}broken/", receiver.url)).await.expect("creates");
    receiver.answer_at("/broken/", 404);
    let good = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    let good = admin.create_automation("42", good).await.expect("creates");
    let bad = automation("42", "broken", "lead", pb::EventAction::Change, "{}");
    admin.create_automation("42", bad).await.expect("creates");
    for at in 0..6 {
        let object = if at % 2 == 0 { "deal" } else { "lead" };
        let mut input = deal(&format!("e{at}"), &format!("{}", at / 2), "{}");
        if let Some(pb::event_input::Kind::Event(event)) = &mut input.kind {
            event.object = object.into();
            event.user_id = format!("{}", 7 + at / 3);
        }
        service.publish("42", vec![input]).await.expect("acks");
    }
    eventually("every execution ends", || async {
        let found = service.history("42").await;
        (found.len() == 6 && found.iter().all(|one| one.end_time.is_some())).then_some(())
    })
    .await;
    let any = pb::ListExecutionsRequest::default;
    for size in [1, 2, 50] {
        let of = async |filter| listed(&service, size, filter).await;
        assert_eq!(of(any()).await, ["e5", "e4", "e3", "e2", "e1", "e0"], "newest first");
        let failed = vec![pb::ExecutionState::Failed.into()];
        assert_eq!(of(pb::ListExecutionsRequest { states: failed.clone(), ..any() }).await, ["e5", "e3", "e1"]);
        let rejected = vec!["REJECTED".to_owned(), "TIMEOUT".to_owned()];
        assert_eq!(of(pb::ListExecutionsRequest { reasons: rejected, ..any() }).await, ["e5", "e3", "e1"]);
        assert_eq!(of(pb::ListExecutionsRequest { object: "deal".into(), ..any() }).await, ["e4", "e2", "e0"]);
        assert_eq!(of(pb::ListExecutionsRequest { entity_id: "1".into(), ..any() }).await, ["e3", "e2"]);
        assert_eq!(of(pb::ListExecutionsRequest { event_id: "e4".into(), ..any() }).await, ["e4"]);
        assert_eq!(of(pb::ListExecutionsRequest { automation: good.name.clone(), ..any() }).await, ["e4", "e2", "e0"]);
        let both = pb::ListExecutionsRequest { entity_id: "1".into(), states: failed, ..any() };
        assert_eq!(of(both).await, ["e3"], "filters narrow each other");
        let webhook = "accounts/42/webhooks/broken".to_owned();
        assert_eq!(of(pb::ListExecutionsRequest { webhook, ..any() }).await, ["e5", "e3", "e1"]);
        let end = pb::ListExecutionsRequest { end_time: Some(time(1_600_000_000)), ..any() };
        assert!(of(end).await.is_empty());
        let user = server.client("user", "42", &["--user", "8"]).await;
        assert_eq!(listed(&user, size, any()).await, ["e5", "e4", "e3"], "a user reads what their acts caused");
    }
    let list = |filter| pb::ListExecutionsRequest { parent: "accounts/42".into(), ..filter };
    for (request, field) in [
        (list(pb::ListExecutionsRequest { reasons: vec!["NO_SUCH".into()], ..any() }), "reasons[0]"),
        (list(pb::ListExecutionsRequest { states: vec![99], ..any() }), "states[0]"),
        (list(pb::ListExecutionsRequest { object: "Deal".into(), ..any() }), "object"),
        (list(pb::ListExecutionsRequest { event_id: "a\0".into(), ..any() }), "event_id"),
        (list(pb::ListExecutionsRequest { entity_id: "x".repeat(256), ..any() }), "entity_id"),
        (list(pb::ListExecutionsRequest { automation: "accounts/43/automations/a".into(), ..any() }), "automation"),
        (list(pb::ListExecutionsRequest { webhook: "hook".into(), ..any() }), "webhook"),
        (list(pb::ListExecutionsRequest { start_time: Some(time(-1)), ..any() }), "start_time"),
        (pb::ListExecutionsRequest { page_size: -1, ..list(any()) }, "page_size"),
        (pb::ListExecutionsRequest { page_token: "x".into(), ..list(any()) }, "page_token"),
    ] {
        let refused = service.executions().list_executions(service.ask(request)).await.expect_err(field);
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(refused.get_error_details().bad_request().expect("fields").field_violations[0].field, field);
    }
    let first = pb::ListExecutionsRequest { page_size: 1, ..list(any()) };
    let page = service.executions().list_executions(service.ask(first)).await.expect("lists").into_inner();
    let other = pb::ListExecutionsRequest {
        page_token: page.next_page_token,
        ..list(pb::ListExecutionsRequest { object: "deal".into(), ..any() })
    };
    let refused = service.executions().list_executions(service.ask(other)).await.expect_err("another filter");
    assert_eq!(refused.get_error_details().bad_request().expect("fields").field_violations[0].field, "page_token");

    let counts = pb::CountExecutionsRequest { parent: "accounts/42".into() };
    let counts = service.executions().count_executions(service.ask(counts)).await.expect("counts").into_inner().counts;
    let counted: Vec<_> = counts.iter().filter(|one| one.count > 0).map(|one| (one.state(), one.count)).collect();
    assert_eq!(counted, [(pb::ExecutionState::Succeeded, 3), (pb::ExecutionState::Failed, 3)]);
    assert_eq!(counts.len(), 8, "every state is there");
}

fn time(seconds: i64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds, nanos: 0 }
}
