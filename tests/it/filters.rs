//! Filters of placeholders: refused when saved, shown by `DryRun`, and in the history.

use hookline::grpc::pb;

use crate::harness::{Client, Database, Receiver, Server, account_42, automation, bad_field, deal, eventually};

crate::on_both_databases!(filters_are_checked_tried_sent_and_told_of);

async fn dry_run(client: &Client, draft: pb::Automation, event: pb::EventInput) -> pb::DryRunResponse {
    let request = pb::DryRunRequest {
        parent: "accounts/42".into(),
        source: Some(pb::dry_run_request::Source::Draft(draft)),
        subject: Some(pb::dry_run_request::Subject::Event(event)),
    };
    client.explain().dry_run(client.ask(request)).await.expect("tries").into_inner()
}

async fn filters_are_checked_tried_sent_and_told_of(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    let with = |body: &str| {
        let mut one = automation("42", "hook", "deal", pb::EventAction::Change, body);
        one.actions[0].path = "{{deal.title | strip | downcase}}".into();
        one
    };
    let refused =
        admin.create_automation("42", with(r#"{"a": {{deal.a | upcas}}}"#)).await.expect_err("no such filter");
    assert_eq!(bad_field(&refused), "automation.actions[0].raw_json");
    let details = format!("{refused:?}");
    assert!(details.contains("is upcase meant? at line 1 column 18"), "{details}");

    let good =
        with(r#"{"total": {{deal.value | times: 2}}, "tags": {{deal.tags | upcase}}, "by": "{{deal.by! | upcase}}"}"#);
    let event =
        |id: &str, more: &str| deal(id, "8", &format!(r#"{{"title": " A/B ", "value": 0.15, "tags": ["x"]{more}}}"#));
    let warned = "the filter upcase takes a text, not a list";
    let dry = dry_run(&admin, good.clone(), event("e-1", r#", "by": "eve""#)).await;
    let request = &dry.requests[0];
    assert_eq!((request.path.as_str(), request.warnings.as_slice()), ("a%2Fb", [warned.to_owned()].as_slice()));
    assert_eq!(request.body.as_ref(), br#"{"total": 0.3, "tags": null, "by": "EVE"}"#);
    let made = admin.create_automation("42", good).await.expect("creates");
    assert!(made.warnings.iter().all(|warning| !warning.contains("every value of a list")), "{:?}", made.warnings);
    let events = vec![event("e-1", r#", "by": "eve""#), event("e-2", "")];
    service.publish("42", events).await.expect("acks");
    let found = eventually("both end", || async {
        let found = service.history("42").await;
        (found.len() == 2 && found.iter().all(|one| one.end_time.is_some())).then_some(found)
    })
    .await;
    let find = |id: &str| found.iter().find(|one| one.event_id == id).expect("it is there").name.clone();
    let sent = service.execution(&find("e-1")).await;
    assert_eq!(sent.requests[0].warnings, [warned], "the history says why");
    let got = receiver.got();
    assert_eq!((got.len(), got[0].uri.as_str()), (1, "/a%2Fb"));
    assert_eq!(got[0].body, r#"{"total": 0.3, "tags": null, "by": "EVE"}"#);
    let missing = service.execution(&find("e-2")).await;
    assert_eq!((missing.state(), missing.reason.as_str()), (pb::ExecutionState::Failed, "VALUE_MISSING"));
}
