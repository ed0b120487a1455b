//! Limits: executions over them pause and run later, in order; other things are refused.

use hookline::grpc::pb;
use tonic::Code;
use tonic_types::StatusExt;

use crate::{
    harness::{Client, Database, Receiver, Server, account_42, automation, deal, eventually},
    strangers::memory_peak_kib,
};

crate::on_both_databases!(
    executions_over_the_limit_pause_survive_and_run_once_it_is_raised,
    each_window_admits_as_many_as_its_limit_in_order,
    what_fits_into_no_backlog_is_recorded_as_stopped,
    after_a_downgrade_the_paused_run_out_and_nothing_new_triggers,
    what_waits_can_be_cancelled,
    limits_hold_at_their_edges,
    what_waits_for_any_reason_is_bounded,
    events_of_long_ago_are_rejected_where_that_is_wanted,
);

async fn set_up(server: &Server, receiver: &Receiver, executions: u32) -> (Client, Client) {
    let (service, admin) = account_42(server, &receiver.url).await;
    set_limit(&service, executions).await;
    let one = automation("42", "hook", "deal", pb::EventAction::Change, "[{{deal.n}}]");
    admin.create_automation("42", one).await.expect("creates");
    (service, admin)
}

async fn set_limit(service: &Client, executions: u32) {
    let limits = pb::AccountLimits { executions_per_window: Some(executions), ..pb::AccountLimits::default() };
    set_limits(service, limits).await;
}

async fn set_limits(service: &Client, limits: pb::AccountLimits) {
    let request = pb::SetAccountLimitsRequest {
        name: "accounts/42".into(),
        limit_overrides: Some(limits),
        ..pb::SetAccountLimitsRequest::default()
    };
    service.accounts().set_account_limits(service.ask(request)).await.expect("sets");
}

async fn usage(client: &Client) -> pb::AccountUsage {
    let request = pb::GetAccountUsageRequest { name: "accounts/42".into() };
    let answer = client.accounts().get_account_usage(client.ask(request)).await.expect("reads").into_inner();
    answer.usage.expect("a usage")
}

/// Publishes deals with these numbers.
async fn publish(service: &Client, numbers: std::ops::Range<u32>) {
    let event = |number| deal(&format!("e{number}"), "8", &format!(r#"{{"n": {number}}}"#));
    assert_eq!(service.publish("42", numbers.map(event).collect()).await.expect("acks"), []);
}

async fn with_states(client: &Client, state: pb::ExecutionState) -> Vec<pb::Execution> {
    client.history("42").await.into_iter().filter(|execution| execution.state() == state).collect()
}

async fn executions_over_the_limit_pause_survive_and_run_once_it_is_raised(database: Database) {
    let server = Server::start(&database, &["--execution-window-ms", "3600000"]).await;
    let receiver = Receiver::start().await;
    let (service, _) = set_up(&server, &receiver, 3).await;
    publish(&service, 0..5).await;
    eventually("three run", || async {
        (with_states(&service, pb::ExecutionState::Succeeded).await.len() == 3).then_some(())
    })
    .await;
    let paused = with_states(&service, pb::ExecutionState::Paused).await;
    assert_eq!(paused.len(), 2);
    let shown = service.execution(&paused[1].name).await;
    assert_eq!(shown.reason, "EXECUTION_LIMIT");
    assert_eq!(shown.requests[0].body, b"[3]".to_vec(), "its request is built already");
    let user = server.client("user", "42", &["--user", "9"]).await;
    let used = usage(&user).await;
    assert_eq!((used.executions_used, used.paused_executions), (3, 2));
    assert_eq!(used.limits.and_then(|limits| limits.executions_per_window), Some(3));
    assert!(used.oldest_paused_time.is_some());
    let (start, reset) = (used.window_start_time.expect("a start"), used.reset_time.expect("an end"));
    assert_eq!(reset.seconds - start.seconds, 3_600);
    assert!(server.log().contains("100 % of the window's executions are used"), "crossings are told");
    server.kill().await;

    let server = Server::start(&database, &["--execution-window-ms", "3600000"]).await;
    let service = server.client("service", "*", &[]).await;
    publish(&service, 5..6).await;
    assert_eq!(usage(&service).await.paused_executions, 3, "new matches queue behind the paused ones");
    set_limit(&service, 5).await;
    eventually("two more run", || async { (receiver.got().len() == 5).then_some(()) }).await;
    set_limit(&service, 100).await;
    eventually("the last one runs", || async { (receiver.got().len() == 6).then_some(()) }).await;
    let bodies: std::collections::BTreeSet<_> = receiver.got().into_iter().map(|got| got.body).collect();
    assert_eq!(bodies.len(), 6);
    eventually("all are recorded", || async {
        (with_states(&service, pb::ExecutionState::Succeeded).await.len() == 6).then_some(())
    })
    .await;
    let used = usage(&service).await;
    assert_eq!((used.executions_used, used.paused_executions, used.oldest_paused_time), (6, 0, None));
    set_limit(&service, 2).await;
    publish(&service, 6..7).await;
    let used = usage(&service).await;
    assert_eq!((used.executions_used, used.paused_executions), (6, 1), "a limit below what is used admits nothing");
}

async fn each_window_admits_as_many_as_its_limit_in_order(database: Database) {
    let server = Server::start(&database, &["--execution-window-ms", "400"]).await;
    let receiver = Receiver::start().await;
    let (service, _) = set_up(&server, &receiver, 2).await;
    publish(&service, 0..7).await;
    eventually("all seven run", || async {
        (with_states(&service, pb::ExecutionState::Succeeded).await.len() == 7).then_some(())
    })
    .await;
    let windows = database.numbers("SELECT admitted_window FROM executions ORDER BY id").await;
    assert!(windows.is_sorted(), "in the order of arrival: {windows:?}");
    for window in &windows {
        assert!(windows.iter().filter(|other| *other == window).count() <= 2, "two a window: {windows:?}");
    }
}

async fn what_fits_into_no_backlog_is_recorded_as_stopped(database: Database) {
    let flags = ["--paused-executions-max", "2", "--paused-age-max-ms", "1500", "--execution-window-ms", "500"];
    let server = Server::start(&database, &flags).await;
    let receiver = Receiver::start().await;
    let (service, _) = set_up(&server, &receiver, 0).await;
    publish(&service, 0..3).await;
    let stopped = with_states(&service, pb::ExecutionState::Stopped).await;
    assert_eq!(stopped.len(), 1);
    assert_eq!((stopped[0].reason.as_str(), stopped[0].event_id.as_str()), ("BACKLOG_FULL", "e2"), "the newest");
    let stopped = eventually("the others wait for too long", || async {
        let stopped = with_states(&service, pb::ExecutionState::Stopped).await;
        (stopped.len() == 3).then_some(stopped)
    })
    .await;
    assert_eq!(stopped.iter().filter(|one| one.reason == "PAUSED_TOO_LONG").count(), 2);
    assert_eq!(usage(&service).await.paused_executions, 0);
    assert_eq!(receiver.got().len(), 0);
}

async fn after_a_downgrade_the_paused_run_out_and_nothing_new_triggers(database: Database) {
    let flags = ["--execution-window-ms", "700", "--plan-executions", "1,1,1,1"];
    let server = Server::start(&database, &flags).await;
    let receiver = Receiver::start().await;
    let (service, admin) = set_up(&server, &receiver, 1).await;
    publish(&service, 0..3).await;
    let plan = |plan: pb::Plan| pb::SetAccountPlanRequest {
        name: "accounts/42".into(),
        plan: plan.into(),
        ..pb::SetAccountPlanRequest::default()
    };
    service.accounts().set_account_plan(service.ask(plan(pb::Plan::Essential))).await.expect("sets");
    publish(&service, 3..4).await;
    eventually("the paused ones run out under the limit that paused them", || async {
        (with_states(&service, pb::ExecutionState::Succeeded).await.len() == 3).then_some(())
    })
    .await;
    assert_eq!(service.history("42").await.len(), 3, "nothing new triggers");
    let listed = pb::ListAutomationsRequest { parent: "accounts/42".into(), ..Default::default() };
    let listed = admin.automations().list_automations(admin.ask(listed)).await.expect("lists").into_inner();
    assert_eq!(listed.automations[0].state(), pb::AutomationState::Suspended);
    service.accounts().set_account_plan(service.ask(plan(pb::Plan::Advanced))).await.expect("sets");
    publish(&service, 4..5).await;
    eventually("it works again", || async { (service.history("42").await.len() == 4).then_some(()) }).await;
}

async fn what_waits_can_be_cancelled(database: Database) {
    let server = Server::start(&database, &["--retry-delays-ms", "600000"]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = set_up(&server, &receiver, 2).await;
    receiver.answer_with(503);
    publish(&service, 0..1).await;
    eventually("the first waits for its retry", || async {
        (with_states(&service, pb::ExecutionState::Retrying).await.len() == 1).then_some(())
    })
    .await;
    receiver.hold();
    publish(&service, 1..4).await;
    eventually("the second is under way", || async { (receiver.got().len() == 2).then_some(()) }).await;
    let mut names: Vec<_> = service.history("42").await.into_iter().map(|execution| execution.name).collect();
    names.reverse();
    let cancel = async |client: &Client, name: &str| {
        let request = pb::CancelExecutionRequest { name: name.into(), ..Default::default() };
        client.executions().cancel_execution(client.ask(request)).await.map(drop)
    };
    let reason = |status: tonic::Status| status.get_details_error_info().expect("a reason").reason;
    assert_eq!(reason(cancel(&admin, &names[1]).await.expect_err("under way")), "EXECUTION_RUNNING");
    cancel(&admin, &names[0]).await.expect("a retry is cancelled");
    cancel(&service, &names[2]).await.expect("a paused one is cancelled");
    assert_eq!(reason(cancel(&admin, &names[0]).await.expect_err("it has ended")), "EXECUTION_ENDED");
    let none = "accounts/42/executions/ex-01kawdkvp7e0pvx9qgr0j8n2d3";
    assert_eq!(cancel(&admin, none).await.expect_err("there is none").code(), Code::NotFound);
    assert_eq!(usage(&service).await.paused_executions, 1, "the backlog knows");
    receiver.answer_with(200);
    receiver.release();
    set_limit(&service, 10).await;
    eventually("the others run", || async {
        (with_states(&service, pb::ExecutionState::Succeeded).await.len() == 2 && receiver.got().len() == 3)
            .then_some(())
    })
    .await;
    let states: Vec<_> = service.history("42").await.iter().map(pb::Execution::state).collect();
    assert_eq!(states.iter().filter(|state| **state == pb::ExecutionState::Cancelled).count(), 2);
    assert_eq!(usage(&service).await.paused_executions, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_and_active_automations_are_limited() {
    let database = Database::sqlite();
    let server = Server::start(&database, &["--plan-active-automations", "1,1,1,1"]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = set_up(&server, &receiver, 10).await;
    let limits = pb::AccountLimits { automation_webhooks: Some(1), ..pb::AccountLimits::default() };
    set_limits(&service, limits).await;
    let quota = |status: tonic::Status| {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        let details = status.get_error_details();
        details.quota_failure().expect("a quota").violations[0].subject.clone()
    };
    let refused = admin.create_webhook("42", "second", &receiver.url).await.expect_err("one is the limit");
    assert_eq!(quota(refused), "automation_webhooks");
    let mut second = automation("42", "hook", "deal", pb::EventAction::Create, "{}");
    let refused = admin.create_automation("42", second.clone()).await.expect_err("one is the limit");
    assert_eq!(quota(refused), "active_automations");
    second.state = pb::AutomationState::Disabled.into();
    let made = admin.create_automation("42", second).await.expect("a disabled one does not count");
    let enable = pb::UpdateAutomationRequest {
        automation: Some(pb::Automation {
            name: made.name,
            state: pb::AutomationState::Enabled.into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let refused =
        admin.automations().update_automation(admin.ask(enable.clone())).await.expect_err("nor can it be enabled");
    assert_eq!(quota(refused), "active_automations");
    let limits = pb::AccountLimits { active_automations: Some(2), ..pb::AccountLimits::default() };
    set_limits(&service, limits).await;
    admin.automations().update_automation(admin.ask(enable)).await.expect("with a higher limit it can");
    let used = usage(&admin).await;
    assert_eq!((used.active_automations, used.automation_webhooks), (2, 1));
    let wrong = pb::SetAccountLimitsRequest {
        name: "accounts/42".into(),
        limit_overrides: Some(pb::AccountLimits { requests_in_flight: Some(0), ..Default::default() }),
        ..Default::default()
    };
    let refused = service.accounts().set_account_limits(service.ask(wrong)).await.expect_err("no slot at all");
    assert_eq!(
        refused.get_error_details().bad_request().expect("a field").field_violations[0].field,
        "limit_overrides.requests_in_flight"
    );
}

#[tokio::test]
async fn a_list_of_plan_limits_has_one_number_a_plan() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_hookline"));
    let output = command.args(["serve", "--plan-executions", "1,2"]).current_dir(folder.path()).output().await;
    let output = output.expect("runs");
    assert!(!output.status.success());
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("--plan-executions takes 4 numbers"), "{message}");
}

async fn limits_hold_at_their_edges(database: Database) {
    let hour = ["--execution-window-ms", "3600000"];
    let server = Server::start(&database, &hour).await;
    let receiver = Receiver::start().await;
    let (service, _) = set_up(&server, &receiver, 0).await;
    publish(&service, 0..1).await;
    assert_eq!(usage(&service).await.paused_executions, 1, "a limit of 0 admits nothing");
    set_limit(&service, 4).await;
    publish(&service, 1..4).await;
    eventually("four run", || async { (receiver.got().len() == 4).then_some(()) }).await;
    set_limit(&service, 2).await;
    let below = usage(&service).await;
    let limit = below.limits.expect("limits").executions_per_window;
    assert_eq!((below.executions_used, limit), (4, Some(2)), "lowered below use, what ran has run");
    publish(&service, 4..8).await;
    assert_eq!(usage(&service).await.paused_executions, 4);
    set_limit(&service, 5).await;
    eventually("one more runs", || async { (usage(&service).await.paused_executions == 3).then_some(()) }).await;
    // In order, so that nothing under way is sent twice.
    assert!(server.terminate().await);

    // The window is shorter after a restart: it is over by now, and the next one admits the rest.
    let server = Server::start(&database, &["--execution-window-ms", "300"]).await;
    let service = server.client("service", "*", &[]).await;
    eventually("all run", || async { (receiver.got().len() == 8).then_some(()) }).await;
    let mut sent: Vec<_> = receiver.got().into_iter().map(|got| got.body).collect();
    sent.sort();
    assert_eq!(sent, (0..8).map(|at| format!("[{at}]")).collect::<Vec<_>>(), "each once");
    assert_eq!(usage(&service).await.paused_executions, 0);
}

async fn what_waits_for_any_reason_is_bounded(database: Database) {
    let flags = ["--waiting-executions-max", "3", "--retry-delays-ms", "3600000"];
    let server = Server::start(&database, &flags).await;
    let receiver = Receiver::start().await;
    let (service, _) = set_up(&server, &receiver, 100).await;
    receiver.answer_with(503);
    for at in 0..3 {
        publish(&service, at..at + 1).await;
    }
    eventually("three wait for their retry", || async {
        (with_states(&service, pb::ExecutionState::Retrying).await.len() == 3).then_some(())
    })
    .await;
    publish(&service, 3..5).await;
    let stopped = with_states(&service, pb::ExecutionState::Stopped).await;
    let shown: Vec<_> = stopped.iter().map(|one| (one.event_id.as_str(), one.reason.as_str())).collect();
    assert_eq!(shown, [("e4", "BACKLOG_FULL"), ("e3", "BACKLOG_FULL")], "recorded, never silently dropped");
}

async fn events_of_long_ago_are_rejected_where_that_is_wanted(database: Database) {
    let server = Server::start(&database, &["--event-age-max-ms", "3600000"]).await;
    let receiver = Receiver::start().await;
    let (service, _) = set_up(&server, &receiver, 100).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let at = |seconds_ago: u64| {
        let mut event = deal(&format!("ago{seconds_ago}"), "8", r#"{"n": 1}"#);
        if let Some(pb::event_input::Kind::Event(event)) = &mut event.kind {
            let seconds = i64::try_from(now - seconds_ago).expect("fits");
            event.occur_time = Some(prost_types::Timestamp { seconds, nanos: 0 });
        }
        event
    };
    let results = service.publish("42", vec![at(60), at(7_200)]).await.expect("acks");
    let shown: Vec<_> = results.iter().map(|one| (one.index, one.field.as_str(), one.reason.as_str())).collect();
    assert_eq!(shown, [(1, "events[1].occur_time", "TOO_OLD")]);
    eventually("the other runs", || async { (receiver.got().len() == 1).then_some(()) }).await;
}

/// One event that makes a hundred automations run, whose requests are ten times too large together: the memory is bounded,
/// and what was left out is built when it is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_event_causes_is_bounded() {
    const AUTOMATIONS: usize = 100;
    let (database, receiver) = (Database::sqlite(), Receiver::start().await);
    let server = Server::start(&database, &["--plan-requests-in-flight", "8,8,8,8,8"]).await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    let body = format!(r#"{{"id": {{{{event.id}}}}, "filler": "{}"}}"#, "x".repeat(60_000));
    for number in 0..AUTOMATIONS {
        let mut one = automation("42", "hook", "deal", pb::EventAction::Change, &body);
        one.display_name = format!("heavy {number}");
        one.actions = vec![one.actions[0].clone(); 10];
        admin.create_automation("42", one).await.expect("creates");
    }
    let before = memory_peak_kib(&server);
    let event = deal("e1", "8", &format!(r#"{{"filler": "{}"}}"#, "y".repeat(4_000)));
    service.publish("42", vec![event]).await.expect("acknowledges");
    let history = eventually("every execution ends", || async {
        let found = service.history("42").await;
        (found.len() == AUTOMATIONS && found.iter().all(|one| one.end_time.is_some())).then_some(found)
    })
    .await;
    let grown = memory_peak_kib(&server).saturating_sub(before) / 1_024;
    let (sent, stopped): (Vec<_>, Vec<_>) =
        history.iter().partition(|one| one.state() == pb::ExecutionState::Succeeded);
    assert!((25..=30).contains(&sent.len()), "{} are within 16 MiB", sent.len());
    assert!(stopped.iter().all(|one| one.reason == "REQUESTS_TOO_LARGE"), "{:?}", stopped.first());
    assert!(grown < 192, "{grown} MiB for one event");
    let retry = pb::RetryExecutionRequest { name: stopped[0].name.clone(), ..Default::default() };
    let before = receiver.got().len();
    service.executions().retry_execution(service.ask(retry)).await.expect("it is built now");
    eventually("it is sent", || async { (receiver.got().len() == before + 10).then_some(()) }).await;
}
