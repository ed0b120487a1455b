//! Accounts beside each other: hanging endpoints of some, and very many that are due at a start, hold up nobody else.

use std::time::Duration;

use hookline::grpc::pb;

use crate::{
    faults::{account, publish, reconcile},
    harness::{Client, Database, Receiver, Server, automation, deal, eventually},
};

/// How long requests of a healthy account take from their acknowledgement to their arrival, in milliseconds, sorted.
async fn delays(service: &Client, receiver: &Receiver, numbers: std::ops::Range<u64>) -> Vec<f64> {
    let mut delays = Vec::new();
    for number in numbers {
        let before = receiver.got().len();
        publish(service, number..number + 1, "").await.expect("acknowledges");
        let acknowledged = std::time::Instant::now();
        while receiver.got().len() == before {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        delays.push(acknowledged.elapsed().as_secs_f64() * 1_000.0);
    }
    delays.sort_by(f64::total_cmp);
    delays
}

/// Prints a figure: how long a healthy account's requests take, alone and beside a thousand automations whose endpoint hangs.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints a figure: run it from a release build"]
async fn figure_of_a_healthy_account_beside_hanging_ones() {
    let (database, healthy, hanging) = (Database::sqlite(), Receiver::start().await, Receiver::start().await);
    let server = Server::start(&database, &["--request-deadline-ms", "8000"]).await;
    let (service, _) = account(&server, &healthy.url).await;
    delays(&service, &healthy, 0..50).await;
    let alone = delays(&service, &healthy, 50..450).await;
    hanging.hold();
    // Forty accounts with 25 automations each want more slots than there are.
    for tenant in 100..140 {
        let id = tenant.to_string();
        service.create_account(&id, pb::Plan::Enterprise).await.expect("creates");
        let admin = server.client("global_admin", &id, &["--user", "1"]).await;
        admin.create_webhook(&id, "hook", &hanging.url).await.expect("creates");
        for _ in 0..25 {
            let one = automation(&id, "hook", "deal", pb::EventAction::Change, "{}");
            admin.create_automation(&id, one).await.expect("creates");
        }
        let events = (0..8).map(|event| deal(&format!("h{event}"), "8", "{}")).collect();
        service.publish(&id, events).await.expect("acknowledges");
    }
    eventually("every slot that may be taken is", || async { (hanging.got().len() >= 768).then_some(()) }).await;
    let beside = delays(&service, &healthy, 450..850).await;
    let at = |delays: &[f64], share: usize| delays[delays.len() * share / 100];
    println!(
        "alone p50 {:.2} ms, p99 {:.2} ms; beside hanging ones p50 {:.2} ms, p99 {:.2} ms; {} hang; p99 ratio {:.2}",
        at(&alone, 50),
        at(&alone, 99),
        at(&beside, 50),
        at(&beside, 99),
        hanging.got().len(),
        at(&beside, 99) / at(&alone, 99)
    );
}

/// Prints a figure: how long the first call of an account takes while very many others are due at a start, and how long
/// until all of them were taken up.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints a figure: run it from a release build"]
async fn figure_of_a_start_with_many_due_accounts() {
    use futures::StreamExt;
    let wanted = std::env::var("HOOKLINE_FIGURE_ACCOUNTS").ok().and_then(|text| text.parse().ok());
    let accounts: u32 = wanted.unwrap_or(100_000);
    let (database, receiver) = (Database::sqlite(), Receiver::start().await);
    let server = Server::start(&database, &[]).await;
    let (service, _) = account(&server, &receiver.url).await;
    service.create_account("7", pb::Plan::Power).await.expect("creates");
    futures::stream::iter(0..accounts)
        .for_each_concurrent(256, |tenant| {
            let service = &service;
            async move { drop(service.create_account(&format!("t{tenant}"), pb::Plan::Power).await.expect("creates")) }
        })
        .await;
    assert!(server.terminate().await);
    database.execute("UPDATE accounts SET next_due_at = 1 WHERE id NOT IN ('7', '42')").await;
    let server = Server::start(&database, &[]).await;
    let started = std::time::Instant::now();
    let service = server.client("service", "*", &[]).await;
    let asked = std::time::Instant::now();
    publish(&service, 0..1, "").await.expect("acknowledges");
    let first = asked.elapsed();
    let mut slowest = first;
    let left = loop {
        let asked = std::time::Instant::now();
        service.publish("7", vec![deal("e", "8", "{}")]).await.expect("answers");
        slowest = slowest.max(asked.elapsed());
        let (_, text) = crate::operations::page(&server, "metrics").await;
        let awake = text.lines().find_map(|line| line.strip_prefix("hookline_accounts_active ")).unwrap_or("0");
        let left = i64::from(accounts) - awake.parse::<i64>().expect("a number");
        if left <= 0 || started.elapsed() > Duration::from_secs(120) {
            break left.max(0);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    println!(
        "{accounts} accounts are due: the first publish of another took {} ms, the slowest of all {} ms; all were taken up \
         within {:.1} s, {left} were not",
        first.as_millis(),
        slowest.as_millis(),
        started.elapsed().as_secs_f64(),
    );
}

/// Prints a figure: deliveries and calls of an account while very many of its events come in.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints a figure: run it from a release build"]
async fn figure_of_deliveries_while_events_come_in() {
    const EVENTS: u64 = 100_000;
    let (database, receiver) = (Database::sqlite(), Receiver::start().await);
    let server = Server::start(&database, &["--plan-executions", "1000000,1000000,1000000,1000000"]).await;
    let (service, admin) = account(&server, &receiver.url).await;
    let publisher = server.client("service", "*", &[]).await;
    let started = std::time::Instant::now();
    let publishing = tokio::spawn(async move {
        for first in (0..EVENTS).step_by(500) {
            publish(&publisher, first..first + 500, "").await.expect("acknowledges");
        }
    });
    let mut slowest = Duration::ZERO;
    while !publishing.is_finished() {
        let asked = std::time::Instant::now();
        let webhook = pb::Webhook {
            name: "accounts/42/webhooks/hook".into(),
            display_name: format!("name {}", asked.elapsed().as_nanos()),
            ..pb::Webhook::default()
        };
        let update = pb::UpdateWebhookRequest {
            webhook: Some(webhook),
            update_mask: Some(prost_types::FieldMask { paths: vec!["display_name".to_owned()] }),
            ..pb::UpdateWebhookRequest::default()
        };
        admin.webhooks().update_webhook(admin.ask(update)).await.expect("updates");
        slowest = slowest.max(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (took, meanwhile) = (started.elapsed().as_secs_f64(), receiver.got().len());
    let total = usize::try_from(EVENTS).expect("fits");
    while receiver.got().len() < total && started.elapsed() < Duration::from_secs(600) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let after = started.elapsed().as_secs_f64() - took;
    println!(
        "{EVENTS} events came in within {took:.1} s; {:.0} deliveries a second meanwhile, {:.0} after; the slowest call took \
         {} ms",
        meanwhile as f64 / took,
        (receiver.got().len() - meanwhile) as f64 / after,
        slowest.as_millis(),
    );
    drop(service);
}

/// Prints a figure: how long one account's lists take while another account's people page through a long history.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints a figure: run it from a release build"]
async fn figure_of_lists_beside_those_of_another_account() {
    let (database, receiver) = (Database::sqlite(), Receiver::start().await);
    let server = Server::start(&database, &["--plan-executions", "1000000,1000000,1000000,1000000"]).await;
    let (service, _) = account(&server, &receiver.url).await;
    service.create_account("7", pb::Plan::Power).await.expect("creates");
    for first in (0..20_000).step_by(500) {
        publish(&service, first..first + 500, "").await.expect("acknowledges");
    }
    let read = |client: Client, parent: &'static str, page_size| async move {
        let asked = std::time::Instant::now();
        let list = pb::ListExecutionsRequest { parent: parent.into(), page_size, ..Default::default() };
        client.executions().list_executions(client.ask(list)).await.expect("lists");
        asked.elapsed().as_secs_f64() * 1_000.0
    };
    let other = server.client("service", "7", &[]).await;
    let of_other = async || {
        let mut took = Vec::new();
        for _ in 0..200 {
            took.push(read(other.clone(), "accounts/7", 50).await);
        }
        took.sort_by(f64::total_cmp);
        (took[100], took[198])
    };
    let alone = of_other().await;
    let readers: Vec<_> = (0..24)
        .map(|_| {
            let client = service.clone();
            tokio::spawn(async move {
                loop {
                    read(client.clone(), "accounts/42", 1_000).await;
                }
            })
        })
        .collect();
    let beside = of_other().await;
    readers.iter().for_each(tokio::task::JoinHandle::abort);
    let log = std::fs::metadata(format!("{}-wal", database.url)).map_or(0, |about| about.len()) / 1_048_576;
    println!(
        "a list of an account: p50 {:.1} ms and p99 {:.1} ms alone, {:.1} and {:.1} beside 24 readers of another one; the log \
         has {log} MiB",
        alone.0, alone.1, beside.0, beside.1,
    );
}

/// Six accounts want more slots than there are: only what has one is under way, a quick webhook goes on, and nobody is
/// forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_slot_of_all_waits_for_its_turn() {
    let (database, healthy, hanging) = (Database::sqlite(), Receiver::start().await, Receiver::start().await);
    let server = Server::start(&database, &["--requests-in-flight-max", "8"]).await;
    let (service, _) = account(&server, &healthy.url).await;
    let quick = publish(&service, 0..1, "").await.expect("acknowledges");
    reconcile(&service, &quick.into_iter().collect(), &healthy).await;
    hanging.hold();
    let tenants: Vec<_> = (100..106).map(|tenant: u32| tenant.to_string()).collect();
    for id in &tenants {
        service.create_account(id, pb::Plan::Enterprise).await.expect("creates");
        let admin = server.client("global_admin", id, &["--user", "1"]).await;
        admin.create_webhook(id, "hook", &hanging.url).await.expect("creates");
        let one = automation(id, "hook", "deal", pb::EventAction::Change, "{}");
        admin.create_automation(id, one).await.expect("creates");
        let events = (0..20).map(|event| deal(&format!("h{event}"), "8", "{}")).collect();
        service.publish(id, events).await.expect("acknowledges");
    }
    eventually("all that slow webhooks may have are taken", || async { (hanging.got().len() == 6).then_some(()) })
        .await;
    let states = || async {
        let mut running = 0;
        for id in &tenants {
            let history = service.history(id).await;
            running += history.iter().filter(|one| one.state() == pb::ExecutionState::Running).count();
            assert!(history.iter().all(|one| one.state() != pb::ExecutionState::Failed));
        }
        running
    };
    assert_eq!(states().await, 6, "whatever has no slot is not under way");
    let more = publish(&service, 1..20, "").await.expect("acknowledges");
    reconcile(&service, &more.into_iter().collect(), &healthy).await;
    assert_eq!(hanging.got().len(), 6, "a quarter is kept for quick ones");
    hanging.release();
    eventually("everybody has had their turn", || async { (hanging.got().len() == 6 * 20).then_some(()) }).await;
    for id in &tenants {
        eventually("it ends", || async {
            let history = service.history(id).await;
            history.iter().all(|one| one.state() == pb::ExecutionState::Succeeded).then_some(())
        })
        .await;
    }
    let (_, text) = crate::operations::page(&server, "metrics").await;
    assert!(text.contains("hookline_requests_in_flight 0"), "{text}");
}
