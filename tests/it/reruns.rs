//! What a retry by a person sends, and what has succeeded.

use hookline::grpc::pb;
use tonic::{Code, Status};

use crate::harness::{Client, Database, Receiver, Server, account_42, automation, deal, eventually, reason, retry};

crate::on_both_databases!(
    a_rebuilt_retry_knows_actions_by_their_ids,
    what_succeeded_behind_a_failure_is_left_out,
    a_delete_that_finds_nothing_after_a_failure_has_succeeded,
    a_gone_record_says_nothing_of_the_endpoint,
    a_delete_may_go_without_a_body,
);

const UNSUCCESSFUL: pb::RetryStart = pb::RetryStart::FirstUnsuccessful;
const REBUILT: pb::RetryRequests = pb::RetryRequests::Rebuilt;
const STORED: pb::RetryRequests = pb::RetryRequests::AsStored;

/// Has an execution run again, and waits for its end.
async fn retried(
    client: &Client,
    name: &str,
    start: pb::RetryStart,
    requests: pb::RetryRequests,
) -> Result<pb::Execution, Status> {
    let made = retry(client, name, start, requests).await?;
    Ok(ended(client, &made.name).await)
}

async fn ended(client: &Client, name: &str) -> pb::Execution {
    eventually("it ends", || async {
        let found = client.execution(name).await;
        found.end_time.is_some().then_some(found)
    })
    .await
}

/// Publishes an event that changes a deal. Answers its execution once that has ended.
async fn happen(service: &Client, id: &str) -> pb::Execution {
    let before = service.history("42").await.len();
    service.publish("42", vec![deal(id, "8", "{}")]).await.expect("acks");
    let made = eventually("it runs", || async {
        let history = service.history("42").await;
        (history.len() > before).then(|| history[0].name.clone())
    })
    .await;
    ended(service, &made).await
}

/// Actions that their paths name; `d` deletes, and after a capital letter the others go on.
fn actions(names: &str) -> Vec<pb::WebhookAction> {
    let action = |name: char| {
        let mut one = automation("42", "hook", "deal", pb::EventAction::Change, "{}").actions.remove(0);
        one.path = name.to_string();
        one.continue_on_failure = name.is_ascii_uppercase();
        if name == 'd' {
            one.method = pb::HttpMethod::Delete.into();
        }
        one
    };
    names.chars().map(action).collect()
}

async fn create(admin: &Client, names: &str) -> pb::Automation {
    let one = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    admin.create_automation("42", pb::Automation { actions: actions(names), ..one }).await.expect("creates")
}

async fn edit(admin: &Client, name: &str, actions: Vec<pb::WebhookAction>) -> pb::Automation {
    let update = pb::UpdateAutomationRequest {
        automation: Some(pb::Automation { name: name.into(), actions, ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["actions".into()] }),
        ..Default::default()
    };
    let updated = admin.automations().update_automation(admin.ask(update)).await.expect("updates").into_inner();
    updated.automation.expect("an automation")
}

/// Failures are final at once.
async fn never_try_again(admin: &Client) {
    use pb::FailureClass as F;
    let policy = pb::RetryPolicy {
        final_failures: [F::Transport, F::Timeout, F::Throttled, F::ServerError].map(Into::into).to_vec(),
        ..Default::default()
    };
    let webhook =
        pb::Webhook { name: "accounts/42/webhooks/hook".into(), retry_policy: Some(policy), ..Default::default() };
    let update = pb::UpdateWebhookRequest {
        webhook: Some(webhook),
        update_mask: Some(prost_types::FieldMask { paths: vec!["retry_policy".into()] }),
        ..Default::default()
    };
    admin.webhooks().update_webhook(admin.ask(update)).await.expect("updates");
}

fn paths(receiver: &Receiver) -> String {
    receiver.got().into_iter().map(|got| got.uri.trim_start_matches('/').to_owned()).collect()
}

async fn a_rebuilt_retry_knows_actions_by_their_ids(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    receiver.answer_at("/b", 400);
    let two = create(&admin, "ab").await;
    let ids: Vec<_> = two.actions.iter().map(|action| action.action_id.clone()).collect();
    assert!(ids[0] != ids[1] && ids.iter().all(|id| id.starts_with("at-")), "{ids:?}");
    let failed = happen(&service, "e1").await;
    assert_eq!((failed.state(), paths(&receiver).as_str()), (pb::ExecutionState::Failed, "ab"));
    let of_requests: Vec<_> = failed.requests.iter().map(|request| request.action_id.clone()).collect();
    assert_eq!(of_requests, ids, "the history names the actions");
    receiver.answer_alike();

    // The action that failed now stands before the one that had succeeded.
    let swapped = edit(&admin, &two.name, actions("ba")).await;
    assert_eq!([&swapped.actions[0].action_id, &swapped.actions[1].action_id], [&ids[1], &ids[0]]);
    let refused = retried(&service, &failed.name, UNSUCCESSFUL, REBUILT).await.expect_err("moved");
    assert_eq!((refused.code(), reason(&refused)), (Code::FailedPrecondition, "ACTIONS_EDITED".into()));
    assert!(refused.message().contains("as they were stored"), "{}", refused.message());
    // It is another one: the one that failed is gone.
    edit(&admin, &two.name, actions("ca")).await;
    let refused = retried(&service, &failed.name, UNSUCCESSFUL, REBUILT).await.expect_err("gone");
    assert_eq!(reason(&refused), "ACTIONS_EDITED");
    let job = pb::RetryExecutionsRequest {
        parent: "accounts/42".into(),
        filter: Some(pb::ExecutionFilter {
            states: vec![pb::ExecutionState::Failed.into()],
            ..pb::ExecutionFilter::default()
        }),
        start: UNSUCCESSFUL.into(),
        requests: REBUILT.into(),
        request_id: String::new(),
    };
    let job = service.jobs().retry_executions(service.ask(job)).await.expect("starts").into_inner().job.expect("a job");
    let job = eventually("the job ends", || async {
        let request = pb::GetJobRequest { name: job.name.clone() };
        let found = service.jobs().get_job(service.ask(request)).await.expect("reads").into_inner().job.expect("a job");
        (found.state() == pb::JobState::Succeeded).then_some(found)
    })
    .await;
    assert_eq!((job.done, job.skipped), (0, 1), "jobs obey the same rule");
    assert_eq!(paths(&receiver), "ab", "nothing was sent again");

    // What had succeeded is gone, and the one that failed is known by its id although everything of it is changed.
    let mut changed = actions("z");
    changed[0].action_id.clone_from(&ids[1]);
    changed[0].method = pb::HttpMethod::Put.into();
    edit(&admin, &two.name, changed).await;
    let done = retried(&service, &failed.name, UNSUCCESSFUL, REBUILT).await.expect("goes on");
    assert_eq!((done.state(), paths(&receiver).as_str()), (pb::ExecutionState::Succeeded, "abz"));
    let stored = retried(&service, &failed.name, UNSUCCESSFUL, STORED).await.expect("as it was stored");
    assert_eq!((stored.state(), paths(&receiver).as_str()), (pb::ExecutionState::Succeeded, "abzb"));
    let left_out: Vec<_> = stored.requests.iter().map(|request| request.left_out).collect();
    assert_eq!(left_out, [true, false]);
    edit(&admin, &two.name, actions("ba")).await;
    retried(&service, &failed.name, pb::RetryStart::First, REBUILT).await.expect("all of them");
    assert_eq!(paths(&receiver), "abzbba");
}

async fn what_succeeded_behind_a_failure_is_left_out(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    receiver.answer_at("/A", 400);
    receiver.answer_at("/C", 400);
    let three = create(&admin, "AbC").await;
    let first = happen(&service, "e1").await;
    assert_eq!((first.state(), first.failed_actions), (pb::ExecutionState::Succeeded, 2));
    assert_eq!(paths(&receiver), "AbC");
    let second = retried(&service, &first.name, UNSUCCESSFUL, STORED).await.expect("retries");
    assert_eq!((second.failed_actions, paths(&receiver).as_str()), (2, "AbCAC"));
    receiver.answer_alike();
    // A condition that does not hold: it did not matter, and the explanation says so.
    let conditions = crate::harness::condition("n", pb::Operator::Is, &["1"]);
    let update = pb::UpdateAutomationRequest {
        automation: Some(pb::Automation { name: three.name, conditions: Some(conditions), ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["conditions".into()] }),
        ..Default::default()
    };
    admin.automations().update_automation(admin.ask(update)).await.expect("updates");
    let third = retried(&service, &second.name, UNSUCCESSFUL, REBUILT).await.expect("retries");
    assert_eq!((third.failed_actions, paths(&receiver).as_str()), (0, "AbCACAC"));
    assert!(!third.explanation[0].held);
    assert_eq!(third.explanation_basis(), pb::ExplanationBasis::Retry);
    assert_eq!(first.explanation_basis(), pb::ExplanationBasis::Unspecified, "there were no conditions");
    let nothing = retried(&service, &third.name, UNSUCCESSFUL, STORED).await.expect_err("all has succeeded");
    assert_eq!(reason(&nothing), "NOTHING_TO_RETRY");
}

async fn a_delete_that_finds_nothing_after_a_failure_has_succeeded(database: Database) {
    let server = Server::start(&database, &["--retry-delays-ms", "300"]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    create(&admin, "d").await;
    receiver.answer_with(404);
    let failed = happen(&service, "e1").await;
    assert_eq!(
        (failed.state(), failed.reason.as_str()),
        (pb::ExecutionState::Failed, "REJECTED"),
        "it was never there"
    );

    // It was done, but the answer did not say so.
    receiver.answer_with(503);
    service.publish("42", vec![deal("e2", "8", "{}")]).await.expect("acks");
    eventually("the first attempt", || async { (receiver.got().len() == 2).then_some(()) }).await;
    receiver.answer_with(404);
    let done = eventually("it ends", || async {
        service.history("42").await.into_iter().find(|one| one.event_id == "e2" && one.end_time.is_some())
    })
    .await;
    let done = service.execution(&done.name).await;
    let statuses: Vec<_> = done.requests[0].attempts.iter().map(|attempt| attempt.http_status).collect();
    assert_eq!((done.state(), statuses), (pb::ExecutionState::Succeeded, vec![503, 404]));

    // The same over a retry by a person.
    never_try_again(&admin).await;
    receiver.answer_with(503);
    let failed = happen(&service, "e3").await;
    assert_eq!(failed.reason, "SERVER_ERROR");
    receiver.answer_with(410);
    let done = retried(&service, &failed.name, UNSUCCESSFUL, REBUILT).await.expect("retries");
    assert_eq!(done.state(), pb::ExecutionState::Succeeded, "{done:?}");
    // What was turned away was certainly not done.
    receiver.answer_with(429);
    let failed = happen(&service, "e4").await;
    receiver.answer_with(404);
    let failed = retried(&service, &failed.name, UNSUCCESSFUL, STORED).await.expect("retries");
    assert_eq!((failed.state(), failed.reason.as_str()), (pb::ExecutionState::Failed, "REJECTED"));
}

async fn a_gone_record_says_nothing_of_the_endpoint(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    create(&admin, "d").await;
    receiver.answer_with(410);
    let failed = happen(&service, "e1").await;
    assert_eq!((failed.state(), failed.reason.as_str()), (pb::ExecutionState::Failed, "GONE"));
    receiver.answer_with(200);
    assert_eq!(happen(&service, "e2").await.state(), pb::ExecutionState::Succeeded, "the webhook goes on");
    let webhook = pb::GetWebhookRequest { name: "accounts/42/webhooks/hook".into() };
    let webhook = admin.webhooks().get_webhook(admin.ask(webhook)).await.expect("reads").into_inner().webhook;
    assert!(webhook.expect("a webhook").enabled);
}

async fn a_delete_may_go_without_a_body(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    let mut bare = actions("d");
    bare[0].body = Some(pb::webhook_action::Body::NoBody(pb::NoBody {}));
    bare[0].path = "deals/{{deal.id!}}".into();
    let one = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    let one = admin.create_automation("42", pb::Automation { actions: bare.clone(), ..one }).await.expect("creates");
    assert_eq!(one.actions[0].body, bare[0].body, "it reads back");
    let failed = happen(&service, "e1").await;
    assert_eq!((failed.state(), failed.reason.as_str()), (pb::ExecutionState::Failed, "VALUE_MISSING"));
    service.publish("42", vec![deal("e2", "8", r#"{"id": 8}"#)]).await.expect("acks");
    let got = eventually("it arrives", || async { receiver.got().pop() }).await;
    assert_eq!((got.method.as_str(), got.uri.as_str(), got.body.as_str()), ("DELETE", "/deals/8", ""));
    assert!(got.headers.get("content-type").is_none() && got.headers.get("transfer-encoding").is_none());
    let length = got.headers.get("content-length").map(|length| length.to_str().expect("text").to_owned());
    assert!(length.is_none_or(|length| length == "0"));
    let signed = got.headers["webhook-signature"].to_str().expect("text").to_owned();
    assert!(signed.starts_with("v1,"), "an empty body is signed, too");
}
