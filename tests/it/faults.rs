//! A database in trouble: full disks, cut and stalled connections, lost answers, locks of others, frozen processes. What was
//! acknowledged is found again, nothing is sent twice that need not be, and the service goes on by itself.

use std::{collections::HashSet, time::Duration};

use hookline::grpc::pb;
use tokio::process::Command;

use crate::harness::{
    Client, Database, Receiver, Server, automation, deal, eventually,
    proxy::{Mode, Proxy},
};

/// A short lease, so that its end is soon.
const LEASE: [&str; 4] = ["--lease-ms", "3000", "--request-deadline-ms", "1000"];

/// Account 42 with an automation whose body is the event's number.
pub async fn account(server: &Server, url: &str) -> (Client, Client) {
    let service = server.client("service", "*", &[]).await;
    service.create_account("42", pb::Plan::Enterprise).await.expect("creates");
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    admin.create_webhook("42", "hook", url).await.expect("creates");
    let one = automation("42", "hook", "deal", pb::EventAction::Change, "[{{deal.n}}]");
    admin.create_automation("42", one).await.expect("creates");
    (service, admin)
}

/// Publishes numbers, a few a call. Answers those that were acknowledged.
pub async fn publish(service: &Client, numbers: std::ops::Range<u64>, filler: &str) -> Result<Vec<u64>, tonic::Status> {
    let data = |number: u64| format!(r#"{{"n": {number}, "filler": "{filler}"}}"#);
    let events = numbers.clone().map(|number| deal(&format!("e{number}"), "8", &data(number))).collect();
    service.publish("42", events).await.map(|_| numbers.collect())
}

/// Publishes until a call is acknowledged.
async fn publish_at_last(service: &Client, numbers: std::ops::Range<u64>) -> Vec<u64> {
    eventually("an acknowledgement", || async { publish(service, numbers.clone(), "").await.ok() }).await
}

/// Every acknowledged number has exactly one execution, which has succeeded and whose request has arrived.
pub async fn reconcile(service: &Client, acknowledged: &HashSet<u64>, receiver: &Receiver) {
    let history = eventually("every execution ends", || async {
        let found = service.history("42").await;
        found.iter().all(|execution| execution.end_time.is_some()).then_some(found)
    })
    .await;
    let events: HashSet<_> = history.iter().map(|execution| execution.event_id.as_str()).collect();
    assert_eq!(events.len(), history.len(), "each match has one execution");
    let missing: Vec<_> =
        acknowledged.iter().filter(|number| !events.contains(format!("e{number}").as_str())).collect();
    assert!(missing.is_empty(), "{} of {} acknowledged are lost", missing.len(), acknowledged.len());
    assert!(history.iter().all(|execution| execution.state() == pb::ExecutionState::Succeeded));
    let arrived: HashSet<u64> =
        receiver.got().iter().filter_map(|got| got.body.trim_matches(['[', ']']).parse().ok()).collect();
    assert!(acknowledged.iter().all(|number| arrived.contains(number)), "each was sent");
}

/// Limits the size of the files that a process writes.
async fn limit_files(server: &Server, bytes: &str) {
    // Of the two limits only the one that can be raised again.
    let limit = format!("--fsize={bytes}:");
    let done = Command::new("prlimit").args(["--pid", &server.pid().to_string(), &limit]).status().await;
    assert!(done.expect("runs").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing() {
    let (database, receiver) = (Database::sqlite(), Receiver::start().await);
    // A process that does not ignore this signal would be ended by it, where a full disk answers with an error.
    let under = ["sh", "-c", r#"trap "" XFSZ; exec "$0" "$@""#];
    let server = Server::start_under(&under, &database, &[]).await;
    let (service, _) = account(&server, &receiver.url).await;
    let mut acknowledged = HashSet::new();
    let mut next = 0;
    let large = "x".repeat(12_000);
    for round in 0..6_u64 {
        acknowledged.extend(publish_at_last(&service, next..next + 20).await);
        next += 20;
        let log = std::fs::metadata(format!("{}-wal", database.url)).map_or(0, |about| about.len());
        limit_files(&server, &(log + 40_000 + round * 30_000).to_string()).await;
        let mut refused = 0;
        while refused < 3 {
            // Small and large: the log is full at the commit, or in the middle of a statement.
            let filler = if next % 40 == 0 { large.as_str() } else { "" };
            match publish(&service, next..next + 20, filler).await {
                Ok(acked) => acknowledged.extend(acked),
                Err(status) => {
                    assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}");
                    refused += 1;
                }
            }
            next += 20;
        }
        limit_files(&server, "unlimited").await;
    }
    acknowledged.extend(publish_at_last(&service, next..next + 20).await);
    reconcile(&service, &acknowledged, &receiver).await;
    server.kill().await;
    let server = Server::start(&database, &[]).await;
    let service = server.client("service", "*", &[]).await;
    reconcile(&service, &acknowledged, &receiver).await;
}

/// Runs a command in the mounts of a server.
async fn in_mounts_of(server: &Server, command: &str) {
    let pid = server.pid().to_string();
    let done = Command::new("nsenter").args(["-t", &pid, "-m", "sh", "-c", command]).status().await;
    assert!(done.expect("runs").success(), "{command}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_file_system_loses_nothing() {
    let (database, receiver) = (Database::sqlite(), Receiver::start().await);
    let folder = database.folder.path().display().to_string();
    let may_mount = Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "none", &folder]).output().await;
    if !may_mount.is_ok_and(|done| done.status.success()) {
        eprintln!("nothing can be mounted here: a limit of file sizes stands for it (a_full_disk_loses_nothing)");
        return;
    }
    // Everything of the server is on a small file system of its own; the keys are made there, and so are the tokens.
    let mount = format!(r#"mount -t tmpfs -o size=4m none '{folder}' && cd '{folder}' && exec "$0" "$@""#);
    let server = Server::start_under(&["unshare", "-m", "sh", "-c", &mount], &database, &[]).await;
    for key in ["signing", "sealing"] {
        let key = format!("{}.{key}.key", database.url);
        let made = Command::new("nsenter").args(["-t", &server.pid().to_string(), "-m", "cat", &key]).output().await;
        std::fs::write(&key, made.expect("runs").stdout).expect("writes");
    }
    let (service, _) = account(&server, &receiver.url).await;
    let mut acknowledged = HashSet::new();
    let mut next = 0;
    for round in 0..4 {
        acknowledged.extend(publish_at_last(&service, next..next + 20).await);
        next += 20;
        in_mounts_of(&server, &format!("head -c 64m /dev/zero > '{folder}/filler' 2>/dev/null; true")).await;
        let mut refused = 0;
        while refused < 3 {
            let filler = "x".repeat(if round % 2 == 0 { 10 } else { 12_000 });
            match publish(&service, next..next + 20, &filler).await {
                Ok(acked) => acknowledged.extend(acked),
                Err(status) => {
                    assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}");
                    refused += 1;
                }
            }
            next += 20;
        }
        in_mounts_of(&server, &format!("rm '{folder}/filler'; mount -o remount,size={}m '{folder}'", 64 + round)).await;
        acknowledged.extend(publish_at_last(&service, next..next + 20).await);
        next += 20;
        reconcile(&service, &acknowledged, &receiver).await;
        in_mounts_of(&server, &format!("mount -o remount,size={}m '{folder}'", 32 + round)).await;
    }
    let (_, text) = crate::operations::page(&server, "metrics").await;
    let is_told = |line: &str| line.starts_with("hookline_commit_duration_seconds_count") && line.contains("unknown");
    assert!(text.lines().any(is_told), "a metric tells: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_postgresql_ends_are_made_anew() {
    let (database, receiver) = (Database::postgres().await, Receiver::start().await);
    let server = Server::start(&database, &LEASE).await;
    let (service, _) = account(&server, &receiver.url).await;
    let mut acknowledged = HashSet::new();
    // Every session ends, as when PostgreSQL is restarted: those that write, those that read, and the lease's.
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for round in 0..10_u64 {
        for call in 0..10 {
            let numbers = round * 100 + call * 10..round * 100 + call * 10 + 10;
            let (published, ()) = tokio::join!(publish(&service, numbers, ""), async {
                if call == 5 {
                    database.execute(end).await;
                }
            });
            acknowledged.extend(published.unwrap_or_default());
        }
    }
    acknowledged.extend(publish_at_last(&service, 1_000..1_010).await);
    assert!(acknowledged.len() > 500, "most of it went on: {}", acknowledged.len());
    reconcile(&service, &acknowledged, &receiver).await;
    assert!(server.terminate().await, "it has never ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_process_wakes_and_ends() {
    let (database, receiver) = (Database::postgres().await, Receiver::start().await);
    let first = Server::start(&database, &LEASE).await;
    let (service, _) = account(&first, &receiver.url).await;
    publish(&service, 0..5, "").await.expect("acknowledges");
    let is_recorded = || async {
        let history = service.history("42").await;
        (history.len() == 5 && history.iter().all(|execution| execution.end_time.is_some())).then_some(())
    };
    eventually("they are recorded", is_recorded).await;
    let signal = async |signal: &str, server: &Server| {
        let pid = server.pid().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().await.expect("runs").success());
    };
    signal("-STOP", &first).await;
    let second = Server::start(&database, &LEASE).await;
    let service_of_second = second.client("service", "*", &[]).await;
    let admin = second.client("global_admin", "42", &["--user", "1"]).await;
    let one = automation("42", "hook", "person", pb::EventAction::Change, "[1000]");
    admin.create_automation("42", one).await.expect("creates");
    publish(&service_of_second, 5..10, "").await.expect("acknowledges");
    eventually("they arrive", || async { (receiver.got().len() == 10).then_some(()) }).await;
    signal("-CONT", &first).await;
    // The first one does not know of the second automation: whatever it acknowledged now would be lost.
    let mut person = deal("person", "8", "{}");
    if let Some(pb::event_input::Kind::Event(event)) = &mut person.kind {
        event.object = "person".into();
    }
    let answer = service.publish("42", vec![person]).await;
    assert!(answer.is_err(), "a process whose lease has ended acknowledges nothing: {answer:?}");
    let (is_well, log) = first.end().await;
    assert!(!is_well && log.contains("another process has taken the database's lease over"), "{log}");
    assert_eq!(receiver.got().len(), 10, "and it sends nothing");
    assert!(second.terminate().await);
    let begun = std::time::Instant::now();
    Server::start(&database, &["--lease-ms", "60000"]).await;
    assert!(begun.elapsed() < Duration::from_secs(20), "a clean end gives the lease back at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_out_of_reach_is_waited_for() {
    let (database, receiver) = (Database::postgres().await, Receiver::start().await);
    let proxy = Proxy::before(&database.url).await;
    let through = Database { folder: tempfile::tempdir().expect("a folder"), url: proxy.url.clone() };
    proxy.set(Mode::Cut);
    let server = Server::spawn(&through, &LEASE, &[]).await;
    eventually("it says that it waits", || async { server.log().contains("does not answer yet").then_some(()) }).await;
    proxy.set(Mode::Open);
    hookline::demo::until_serving(server.channel().await).await.expect("it serves");
    let (service, _) = account(&server, &receiver.url).await;
    let mut acknowledged = HashSet::new();
    let mut next = 0;
    for trouble in [Mode::Cut, Mode::Stalled, Mode::Cut] {
        acknowledged.extend(publish_at_last(&service, next..next + 10).await);
        next += 10;
        let arrived = eventually("they arrive", || async {
            let arrived = receiver.got().len();
            (arrived >= acknowledged.len()).then_some(arrived)
        })
        .await;
        proxy.set(trouble);
        // Longer than the lease.
        let until = tokio::time::Instant::now() + Duration::from_secs(4);
        while tokio::time::Instant::now() < until {
            let call = publish(&service, next..next + 10, "");
            if let Ok(answer) = tokio::time::timeout_at(until, call).await {
                assert_eq!(answer.expect_err("nothing is durable").code(), tonic::Code::Unavailable);
            }
        }
        assert_eq!(receiver.got().len(), arrived, "nothing is sent meanwhile");
        proxy.set(Mode::Open);
    }
    acknowledged.extend(publish_at_last(&service, next..next + 10).await);
    reconcile(&service, &acknowledged, &receiver).await;
    assert!(server.terminate().await, "the same process, which ends as it should");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_after_the_commit_has_one_effect() {
    let (database, receiver) = (Database::postgres().await, Receiver::start().await);
    let proxy = Proxy::before(&database.url).await;
    let through = Database { folder: tempfile::tempdir().expect("a folder"), url: proxy.url.clone() };
    let server = Server::start(&through, &LEASE).await;
    let (service, admin) = account(&server, &receiver.url).await;
    let mut acknowledged = HashSet::new();
    for round in 0..5_u64 {
        let lost = proxy.lost_answers();
        proxy.set(Mode::LosesAnswers);
        let numbers = round * 10..(round + 1) * 10;
        let create = || {
            let webhook = pb::Webhook {
                display_name: format!("webhook {round}"),
                kind: pb::WebhookKind::Automation.into(),
                endpoint_url: receiver.url.clone(),
                ..pb::Webhook::default()
            };
            let request = pb::CreateWebhookRequest {
                parent: "accounts/42".into(),
                webhook: Some(webhook),
                request_id: format!("key-{round}"),
                ..pb::CreateWebhookRequest::default()
            };
            let mut webhooks = admin.webhooks();
            let request = admin.ask(request);
            async move { webhooks.create_webhook(request).await }
        };
        let _ = tokio::join!(publish(&service, numbers.clone(), ""), async { create().await.map(drop) });
        assert!(proxy.lost_answers() > lost, "a commit's answer was lost");
        proxy.set(Mode::Open);
        acknowledged.extend(publish_at_last(&service, numbers).await);
        eventually("the call is answered", || async { create().await.ok() }).await;
    }
    reconcile(&service, &acknowledged, &receiver).await;
    let request = pb::ListWebhooksRequest { parent: "accounts/42".into(), ..pb::ListWebhooksRequest::default() };
    let webhooks = admin.webhooks().list_webhooks(admin.ask(request)).await.expect("lists").into_inner().webhooks;
    assert_eq!(webhooks.len(), 6, "each key has one effect");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_somebody_else_delays_its_account_and_no_other() {
    use sea_orm::ConnectionTrait;
    let (database, receiver) = (Database::postgres().await, Receiver::start().await);
    let server = Server::start(&database, &LEASE).await;
    let (service, _) = account(&server, &receiver.url).await;
    for account in 100..116 {
        service.create_account(&account.to_string(), pb::Plan::Power).await.expect("creates");
    }
    let other = sea_orm::Database::connect(&database.url).await.expect("connects");
    other.execute_unprepared("CREATE TABLE held AS SELECT 1").await.expect("creates");
    let txn = sea_orm::TransactionTrait::begin(&other).await.expect("begins");
    txn.execute_unprepared("SELECT * FROM accounts WHERE id = '42' FOR UPDATE").await.expect("locks");
    let refused = publish(&service, 0..1, "").await.expect_err("its row is locked");
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    // Those who share its lane go on, though a group that holds a change of it waits for a second.
    let held = tokio::spawn({
        let service = service.clone();
        async move { publish_at_last(&service, 1..2).await }
    });
    for account in 100..116 {
        let set = pb::SetAccountPlanRequest {
            name: format!("accounts/{account}"),
            plan: pb::Plan::Enterprise.into(),
            ..pb::SetAccountPlanRequest::default()
        };
        let mut accounts = service.accounts();
        let call = accounts.set_account_plan(service.ask(set));
        tokio::time::timeout(Duration::from_secs(5), call).await.expect("in time").expect("sets");
    }
    txn.rollback().await.expect("unlocks");
    held.await.expect("it goes on by itself");
    eventually("it arrives", || async { (!receiver.got().is_empty()).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_whose_commit_is_in_doubt_is_recorded_once() {
    use sea_orm::ConnectionTrait;
    let (database, receiver) = (Database::sqlite(), Receiver::start().await);
    let server = Server::start(&database, &[]).await;
    let (service, _) = account(&server, &receiver.url).await;
    let other = sea_orm::Database::connect(format!("sqlite://{}", database.url)).await.expect("connects");
    for sql in [
        "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
        "CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)",
        "CREATE TRIGGER doubt AFTER UPDATE OF outcome ON executions WHEN NEW.outcome IS NOT NULL \
         BEGIN INSERT INTO child VALUES (1); END",
    ] {
        other.execute_unprepared(sql).await.expect(sql);
    }
    publish(&service, 0..3, "").await.expect("acknowledges");
    let doubted = || async { server.log().contains("did not say whether a commit was written").then_some(()) };
    eventually("the outcomes cannot be recorded", doubted).await;
    other.execute_unprepared("DROP TRIGGER doubt").await.expect("drops");
    reconcile(&service, &(0..3).collect(), &receiver).await;
    assert_eq!(receiver.got().len(), 3, "what is known to have arrived is not sent again");
}
