//! `cargo bench --bench backlog`: what executions cost that the limit holds back.
//!
//! One account with a million paused executions next to the same account with one, in the same run: the memory of the
//! server process, and how long after a restart with room the first paused one arrives. The rows are copies of a real
//! one, made by the database itself.
//!
//! `HOOKLINE_BENCH_PAUSED` (default 1000000) makes a run smaller.

use std::time::Instant;

use hookline::grpc::pb;
use sea_orm::ConnectionTrait;

#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/harness/mod.rs"]
mod harness;

use harness::{Client, Database, Receiver, Server, automation, deal, eventually};

/// Limits that hold back everything but the first execution, and limits with room.
const NO_ROOM: [&str; 4] = ["--plan-executions", "1,1,1,1", "--paused-executions-max", "10000000"];
const ROOM: [&str; 2] = ["--plan-executions", "100,100,100,100"];

/// The memory of a process, in KiB, from the operating system.
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

/// A server with one account that has one paused execution.
async fn set_up(database: &Database, receiver: &Receiver) {
    let server = Server::start(database, &NO_ROOM).await;
    let service = server.client("service", "*", &[]).await;
    service.create_account("42", pb::Plan::Enterprise).await.expect("creates");
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    admin.create_webhook("42", "hook", &receiver.url).await.expect("creates");
    let one = automation("42", "hook", "deal", pb::EventAction::Change, r#"{"title": {{deal.title}}}"#);
    admin.create_automation("42", one).await.expect("creates");
    let event = |id: &str| deal(id, "8", r#"{"title": "A deal of the usual length, say"}"#);
    service.publish("42", vec![event("admitted"), event("paused")]).await.expect("acks");
    eventually("the first one arrives", || async { (receiver.got().len() == 1).then_some(()) }).await;
    assert!(server.terminate().await);
}

/// Copies the paused execution until there are so many.
async fn multiply(database: &Database, count: u64) {
    let connection = sea_orm::Database::connect(format!("sqlite://{}", database.url)).await.expect("connects");
    let numbers = format!("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})", count - 1);
    let columns = "source, waits_for, admitted_window, changed_revision, created_at, ended_at, run, action_no, attempts, \
                   failed_actions, weight, source_kind, action, state, may_be_done, object, entity_id, acting_user, \
                   reason, webhooks, part";
    for sql in [
        format!(
            "{numbers} INSERT INTO executions (account, id, event, event_id, due_at, {columns}) \
             SELECT account, id + i, event + i, 'copy-' || i, due_at + i, {columns} FROM executions, n \
             WHERE event_id = 'paused'"
        ),
        format!("UPDATE accounts SET paused = {count}"),
    ] {
        connection.execute_unprepared(&sql).await.expect(&sql);
    }
    connection.close().await.expect("closes");
}

/// The memory with the account in use, and then, after a restart with room, how long the first paused one takes.
async fn measure(database: &Database, receiver: &Receiver) -> (u64, u128) {
    let server = Server::start(database, &NO_ROOM).await;
    let service = server.client("service", "*", &[]).await;
    for at in 0..50 {
        service.publish("42", vec![deal(&format!("more-{}-{at}", receiver.url), "8", "{}")]).await.expect("acks");
    }
    let memory = resident_kib(server.pid());
    assert!(paused(&service).await >= 51);
    assert!(server.terminate().await);
    let before = receiver.got().len();
    let server = Server::start(database, &ROOM).await;
    let started = Instant::now();
    while receiver.got().len() == before {
        tokio::task::yield_now().await;
    }
    let first = started.elapsed().as_millis();
    assert!(server.terminate().await);
    (memory, first)
}

async fn paused(service: &Client) -> u64 {
    let request = pb::GetAccountUsageRequest { name: "accounts/42".into() };
    let answer = service.accounts().get_account_usage(service.ask(request)).await.expect("reads").into_inner();
    answer.usage.expect("a usage").paused_executions
}

async fn run() {
    let count = std::env::var("HOOKLINE_BENCH_PAUSED").map_or(1_000_000, |text| text.parse().expect("a number"));
    let mut measured = Vec::new();
    for paused in [1, count] {
        let (database, receiver) = (Database::sqlite(), Receiver::start().await);
        set_up(&database, &receiver).await;
        multiply(&database, paused).await;
        let (memory, first) = measure(&database, &receiver).await;
        println!(
            "{paused:>9} paused: {memory:>7} KiB resident; the first is sent {first} ms after a restart with room"
        );
        measured.push(memory);
    }
    let more = measured[1].saturating_sub(measured[0]);
    println!("{count} paused executions cost {more} KiB over one");
}

fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime").block_on(run());
}
