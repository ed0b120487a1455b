//! Running executions again, and ending them: one by one, and many by a job.

use hookline::grpc::pb;
use tonic::{Code, Status};

use crate::harness::{
    Client, Database, Receiver, Server, account_42, automation, bad_field, deal, eventually, reason, retry,
};

crate::on_both_databases!(
    a_retry_begins_where_it_failed_or_anew_as_stored_or_rebuilt,
    a_retry_that_cannot_be_is_refused_with_its_reason,
    many_are_retried_while_half_of_the_window_is_free,
    many_that_wait_are_cancelled,
    jobs_are_bounded_listed_and_cancelled,
);

async fn ended(client: &Client, name: &str) -> pb::Execution {
    eventually("it ends", || async {
        let found = client.execution(name).await;
        found.end_time.is_some().then_some(found)
    })
    .await
}

fn paths(receiver: &Receiver) -> Vec<String> {
    receiver.got().into_iter().map(|got| format!("{} {}", got.uri, got.body)).collect()
}

async fn set_limit(service: &Client, executions: u32) {
    let request = pb::SetAccountLimitsRequest {
        name: "accounts/42".into(),
        limit_overrides: Some(pb::AccountLimits { executions_per_window: Some(executions), ..Default::default() }),
        ..Default::default()
    };
    service.accounts().set_account_limits(service.ask(request)).await.expect("sets");
}

async fn usage(service: &Client) -> pb::AccountUsage {
    let request = pb::GetAccountUsageRequest { name: "accounts/42".into() };
    let answer = service.accounts().get_account_usage(service.ask(request)).await.expect("reads").into_inner();
    answer.usage.expect("a usage")
}

async fn a_retry_begins_where_it_failed_or_anew_as_stored_or_rebuilt(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    receiver.answer_with(404);
    receiver.answer_at("/a", 200);
    let mut two = automation("42", "hook", "deal", pb::EventAction::Change, "[{{deal.n}}]");
    two.actions.push(two.actions[0].clone());
    two.actions[0].path = "a".into();
    two.actions[1].path = "b".into();
    let two = admin.create_automation("42", two).await.expect("creates");
    service.publish("42", vec![deal("e", "8", r#"{"n": 1.50}"#)]).await.expect("acks");
    let first = eventually("it fails", || async {
        service.history("42").await.into_iter().find(|one| one.state() == pb::ExecutionState::Failed)
    })
    .await;
    assert_eq!(paths(&receiver), ["/a [1.50]", "/b [1.50]"]);

    receiver.answer_with(200);
    let (unsuccessful, from_first) = (pb::RetryStart::FirstUnsuccessful, pb::RetryStart::First);
    let (stored, rebuilt) = (pb::RetryRequests::AsStored, pb::RetryRequests::Rebuilt);
    let second = retry(&service, &first.name, unsuccessful, stored).await.expect("retries");
    assert_eq!((second.run, &second.retry_of, &second.trace_id), (1, &first.name, &first.trace_id));
    let second = ended(&service, &second.name).await;
    assert_eq!(second.state(), pb::ExecutionState::Succeeded);
    assert_eq!(second.requests[0].attempts.len(), 0, "what has succeeded is not sent again");
    assert_eq!(paths(&receiver)[2..], ["/b [1.50]"]);
    assert_eq!(service.execution(&first.name).await.state(), pb::ExecutionState::Failed, "a final state never changes");

    let nothing = retry(&service, &second.name, unsuccessful, stored).await.expect_err("all has succeeded");
    assert_eq!(coded(&nothing), (Code::FailedPrecondition, "NOTHING_TO_RETRY".into()));
    let third = retry(&admin, &second.name, from_first, stored).await.expect("retries");
    assert_eq!(third.run, 2);
    ended(&service, &third.name).await;
    assert_eq!(paths(&receiver)[3..], ["/a [1.50]", "/b [1.50]"]);

    let mut changed = two.clone();
    for action in &mut changed.actions {
        action.body = Some(pb::webhook_action::Body::RawJson("{\"of\": \"{{execution.id}}\"}".into()));
    }
    let update = pb::UpdateAutomationRequest {
        automation: Some(pb::Automation { etag: String::new(), ..changed }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["actions".into()] }),
        ..Default::default()
    };
    admin.automations().update_automation(admin.ask(update)).await.expect("updates");
    let fourth = retry(&service, &first.name, unsuccessful, rebuilt).await.expect("retries");
    ended(&service, &fourth.name).await;
    let id = fourth.name.rsplit('/').next().expect("an id");
    assert_eq!(paths(&receiver)[5..], [format!(r#"/b {{"of": "{id}"}}"#)], "by the automation as it is now");

    let counts = pb::CountExecutionsRequest { parent: "accounts/42".into() };
    let counts = service.executions().count_executions(service.ask(counts)).await.expect("counts").into_inner().counts;
    let counted: Vec<_> = counts.iter().filter(|one| one.count > 0).map(|one| (one.state(), one.count)).collect();
    assert_eq!(counted, [(pb::ExecutionState::Succeeded, 3), (pb::ExecutionState::Failed, 1)]);
    assert_eq!(usage(&service).await.executions_used, 4, "retries count");
    set_limit(&service, 4).await;
    let over = retry(&service, &first.name, from_first, stored).await.expect("takes it");
    assert_eq!((over.state(), over.reason.as_str()), (pb::ExecutionState::Paused, "EXECUTION_LIMIT"));
}

fn coded(status: &Status) -> (Code, String) {
    (status.code(), reason(status))
}

async fn a_retry_that_cannot_be_is_refused_with_its_reason(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    let one = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    let one = admin.create_automation("42", one).await.expect("creates");
    let (start, stored, rebuilt) = (pb::RetryStart::First, pb::RetryRequests::AsStored, pb::RetryRequests::Rebuilt);
    receiver.hold();
    service.publish("42", vec![deal("e", "8", "{}")]).await.expect("acks");
    let name = eventually("it runs", || async {
        let found = service.history("42").await.into_iter().next();
        found.filter(|_| receiver.got().len() == 1).map(|one| one.name)
    })
    .await;
    let running = retry(&service, &name, start, stored).await.expect_err("it runs");
    assert_eq!(coded(&running), (Code::FailedPrecondition, "EXECUTION_NOT_ENDED".into()));
    receiver.release();
    ended(&service, &name).await;

    let refused = async |request: pb::RetryExecutionRequest| {
        let request = pb::RetryExecutionRequest { name: name.clone(), ..request };
        service.executions().retry_execution(service.ask(request)).await.expect_err("refused")
    };
    let bad = refused(pb::RetryExecutionRequest { start: 9, ..Default::default() }).await;
    assert_eq!((bad.code(), bad_field(&bad)), (Code::InvalidArgument, "start".into()));
    let bad = refused(pb::RetryExecutionRequest { requests: 9, ..Default::default() }).await;
    assert_eq!((bad.code(), bad_field(&bad)), (Code::InvalidArgument, "requests".into()));
    let bad = refused(pb::RetryExecutionRequest { request_id: " ".into(), ..Default::default() }).await;
    assert_eq!(bad_field(&bad), "request_id");
    let unknown = retry(&service, "accounts/42/executions/ex-01kawdkvp7e0pvx9qgr0j8n2d3", start, stored).await;
    assert_eq!(coded(&unknown.expect_err("unknown")), (Code::NotFound, "NOT_FOUND".into()));
    let malformed = retry(&service, "accounts/42/executions/x", start, stored).await.expect_err("malformed");
    assert_eq!(bad_field(&malformed), "name");

    // The same call twice has one effect.
    let call = || pb::RetryExecutionRequest {
        name: name.clone(),
        start: start.into(),
        request_id: "key".into(),
        ..Default::default()
    };
    let once = service.executions().retry_execution(service.ask(call())).await.expect("retries").into_inner();
    let twice = service.executions().retry_execution(service.ask(call())).await.expect("repeats").into_inner();
    let again = once.execution.expect("an execution").name;
    assert_eq!(again, twice.execution.expect("an execution").name);
    ended(&service, &again).await;
    assert_eq!(service.history("42").await.len(), 2);

    let delete = pb::DeleteAutomationRequest { name: one.name, ..Default::default() };
    admin.automations().delete_automation(admin.ask(delete)).await.expect("deletes");
    let gone = retry(&service, &name, start, rebuilt).await.expect_err("no automation");
    assert_eq!(coded(&gone), (Code::FailedPrecondition, "AUTOMATION_NOT_FOUND".into()));
    retry(&service, &name, start, stored).await.expect("as stored it goes");

    let disable = pb::UpdateWebhookRequest {
        webhook: Some(pb::Webhook { name: "accounts/42/webhooks/hook".into(), ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["enabled".into()] }),
        ..Default::default()
    };
    admin.webhooks().update_webhook(admin.ask(disable)).await.expect("disables");
    let disabled = retry(&service, &name, start, stored).await.expect_err("disabled");
    assert_eq!(coded(&disabled), (Code::FailedPrecondition, "WEBHOOK_DISABLED".into()));
    let delete = pb::DeleteWebhookRequest { name: "accounts/42/webhooks/hook".into(), ..Default::default() };
    admin.webhooks().delete_webhook(admin.ask(delete)).await.expect("deletes");
    let gone = retry(&service, &name, start, stored).await.expect_err("gone");
    assert_eq!(coded(&gone), (Code::FailedPrecondition, "WEBHOOK_NOT_FOUND".into()));
    let plan = pb::SetAccountPlanRequest {
        name: "accounts/42".into(),
        plan: pb::Plan::Essential.into(),
        ..Default::default()
    };
    service.accounts().set_account_plan(service.ask(plan)).await.expect("sets");
    let plan = retry(&service, &name, start, stored).await.expect_err("no automations");
    assert_eq!(coded(&plan), (Code::FailedPrecondition, "PLAN_UPGRADE_REQUIRED".into()));
}

async fn retry_failed(service: &Client) -> pb::Job {
    let filter = pb::ExecutionFilter { states: vec![pb::ExecutionState::Failed.into()], ..Default::default() };
    let request =
        pb::RetryExecutionsRequest { parent: "accounts/42".into(), filter: Some(filter), ..Default::default() };
    service.jobs().retry_executions(service.ask(request)).await.expect("starts").into_inner().job.expect("a job")
}

async fn job(client: &Client, name: &str) -> pb::Job {
    let request = pb::GetJobRequest { name: name.into() };
    client.jobs().get_job(client.ask(request)).await.expect("gets").into_inner().job.expect("a job")
}

async fn succeeded(client: &Client, name: &str) -> pb::Job {
    eventually("the job ends", || async {
        let found = job(client, name).await;
        (found.state() == pb::JobState::Succeeded).then_some(found)
    })
    .await
}

async fn many_are_retried_while_half_of_the_window_is_free(database: Database) {
    let long = ["--execution-window-ms", "3600000"];
    let server = Server::start(&database, &long).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    let one = automation("42", "hook", "deal", pb::EventAction::Change, "[{{deal.n}}]");
    admin.create_automation("42", one).await.expect("creates");
    set_limit(&service, 10).await;
    receiver.answer_with(404);
    for at in 0..4 {
        let data = format!(r#"{{"n": {at}}}"#);
        service.publish("42", vec![deal(&format!("e{at}"), "8", &data)]).await.expect("acks");
    }
    eventually("all fail", || async {
        let failed = service.history("42").await.iter().filter(|one| one.reason == "REJECTED").count();
        (failed == 4).then_some(())
    })
    .await;
    receiver.answer_with(200);
    let started = retry_failed(&service).await;
    assert_eq!(started.state(), pb::JobState::Running);
    eventually("one fits into half of the window", || async {
        (job(&service, &started.name).await.done == 1).then_some(())
    })
    .await;
    assert_eq!(usage(&service).await.executions_used, 5, "half of the window stays free");
    eventually("it ends, so that nothing under way is sent twice", || async {
        service.history("42").await.into_iter().find(|one| one.run == 1)?.end_time
    })
    .await;
    server.kill().await;

    let server = Server::start(&database, &long).await;
    let service = server.client("service", "*", &[]).await;
    let waiting = job(&service, &started.name).await;
    assert_eq!((waiting.state(), waiting.done), (pb::JobState::Running, 1), "it survives");
    set_limit(&service, 100).await;
    let finished = succeeded(&service, &started.name).await;
    assert_eq!((finished.done, finished.skipped), (4, 0));
    eventually("all arrive", || async { (receiver.got().len() == 8).then_some(()) }).await;
    let mut retried: Vec<_> = service.history("42").await.into_iter().filter(|one| one.run == 1).collect();
    retried.reverse();
    assert_eq!(retried.iter().map(|one| one.event_id.as_str()).collect::<Vec<_>>(), ["e0", "e1", "e2", "e3"]);

    // Only the last run of each: these have succeeded since.
    let again = retry_failed(&service).await;
    let again = succeeded(&service, &again.name).await;
    assert_eq!((again.done, again.skipped), (0, 4));
}

async fn many_that_wait_are_cancelled(database: Database) {
    let server = Server::start(&database, &["--execution-window-ms", "3600000"]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    let one = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    admin.create_automation("42", one).await.expect("creates");
    set_limit(&service, 1).await;
    let events = (0..251).map(|at| deal(&format!("e{at}"), &format!("{}", at % 2), "{}")).collect();
    service.publish("42", events).await.expect("acks");
    eventually("one arrives", || async { (receiver.got().len() == 1).then_some(()) }).await;
    let cancel = |filter| pb::CancelExecutionsRequest {
        parent: "accounts/42".into(),
        filter: Some(filter),
        ..Default::default()
    };
    let start = async |filter| {
        let answer = admin.jobs().cancel_executions(admin.ask(cancel(filter))).await.expect("starts").into_inner();
        succeeded(&service, &answer.job.expect("a job").name).await
    };
    let odd = start(pb::ExecutionFilter { entity_id: "1".into(), ..Default::default() }).await;
    assert_eq!((odd.done, odd.skipped), (125, 0));
    assert_eq!(usage(&service).await.paused_executions, 125);
    let rest = start(pb::ExecutionFilter::default()).await;
    assert_eq!((rest.done, rest.skipped), (125, 0));
    let used = usage(&service).await;
    assert_eq!((used.paused_executions, used.oldest_paused_time), (0, None));
    set_limit(&service, 1_000).await;
    service.publish("42", vec![deal("last", "8", "{}")]).await.expect("acks");
    eventually("only what came later arrives", || async { (receiver.got().len() == 2).then_some(()) }).await;
    let cancelled = pb::ExecutionState::Cancelled;
    assert_eq!(service.history("42").await.iter().filter(|one| one.state() == cancelled).count(), 250);
}

async fn jobs_are_bounded_listed_and_cancelled(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    // One has failed, and has used up a window of one: retries of it wait.
    set_limit(&service, 1).await;
    receiver.answer_with(404);
    let one = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    admin.create_automation("42", one).await.expect("creates");
    service.publish("42", vec![deal("e", "8", "{}")]).await.expect("acks");
    eventually("it fails", || async { service.history("42").await[0].end_time }).await;
    let mut names = Vec::new();
    for _ in 0..10 {
        names.push(retry_failed(&service).await.name);
    }
    let filter = pb::ExecutionFilter { states: vec![pb::ExecutionState::Failed.into()], ..Default::default() };
    let retry = |filter| pb::RetryExecutionsRequest { parent: "accounts/42".into(), filter, ..Default::default() };
    let eleventh = admin.jobs().retry_executions(admin.ask(retry(Some(filter)))).await.expect_err("too many");
    assert_eq!(coded(&eleventh), (Code::ResourceExhausted, "LIMIT_REACHED".into()));
    let list = pb::ListJobsRequest { parent: "accounts/42".into(), page_size: 4, ..Default::default() };
    let page = service.jobs().list_jobs(service.ask(list.clone())).await.expect("lists").into_inner();
    let shown: Vec<_> = page.jobs.iter().map(|job| job.name.clone()).collect();
    assert_eq!(shown, names.iter().rev().take(4).cloned().collect::<Vec<_>>(), "newest first");
    let next = pb::ListJobsRequest { page_token: page.next_page_token, ..list };
    let page = service.jobs().list_jobs(service.ask(next)).await.expect("lists").into_inner();
    assert_eq!(page.jobs[0].name, names[5]);

    let cancel = |name: &str| pb::CancelJobRequest { name: name.into(), ..Default::default() };
    for _ in 0..2 {
        let answer = service.jobs().cancel_job(service.ask(cancel(&names[0]))).await.expect("cancels").into_inner();
        assert_eq!(answer.job.expect("a job").state(), pb::JobState::Cancelled);
    }
    retry_failed(&service).await;
    let unknown = "accounts/42/jobs/jo-01kawdkvp7e0pvx9qgr0j8n2d3";
    let unknown = service.jobs().cancel_job(service.ask(cancel(unknown))).await.expect_err("unknown");
    assert_eq!(coded(&unknown), (Code::NotFound, "NOT_FOUND".into()));

    let states = |state: pb::ExecutionState| pb::ExecutionFilter { states: vec![state.into()], ..Default::default() };
    for (filter, field) in [
        (None, "filter.states"),
        (Some(states(pb::ExecutionState::Paused)), "filter.states[0]"),
        (Some(pb::ExecutionFilter { reasons: vec!["X".into()], ..Default::default() }), "filter.reasons[0]"),
    ] {
        let refused = service.jobs().retry_executions(service.ask(retry(filter))).await.expect_err(field);
        assert_eq!(bad_field(&refused), field);
    }
    let ended = pb::CancelExecutionsRequest {
        parent: "accounts/42".into(),
        filter: Some(states(pb::ExecutionState::Failed)),
        ..Default::default()
    };
    let refused = service.jobs().cancel_executions(service.ask(ended)).await.expect_err("they have ended");
    assert_eq!(bad_field(&refused), "filter.states[0]");
}
