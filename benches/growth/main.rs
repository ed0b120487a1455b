//! `cargo bench --bench growth`: what becomes dearer as there is more of it. One JSON line a figure.
//!
//! - *executions*: a server whose database holds `HOOKLINE_BENCH_EXECUTIONS` (default 1000000) of them, next to one whose
//!   database is empty, in turn: how long it takes to start, how much memory it has then, pages of what few executions are,
//!   and what a delivered webhook costs. The rows are copies of real ones, made by the database itself.
//! - *accounts*: `HOOKLINE_BENCH_ACCOUNTS` (default 10000) of them, next to 8.
//! - *automations*: 10,000 on one trigger of which one matches, next to 10.
//! - *failures*: what a request of 60 KB writes that fails eight times, of 200 at about one time.
//!
//! `HOOKLINE_BENCH_ROUNDS` and `HOOKLINE_BENCH_EVENTS` as in the benchmark `pipeline`; `HOOKLINE_BENCH_CASES` takes some of
//! the cases (their names above, separated by commas). With `HOOKLINE_BENCH_ON_POSTGRES=1` the executions are PostgreSQL's.

mod rows;

#[expect(dead_code, reason = "shared with the benchmark `pipeline`, which uses all of it")]
#[path = "../pipeline/desk.rs"]
mod desk;
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/it/harness/mod.rs"]
mod harness;
#[expect(dead_code, reason = "shared with the benchmark `pipeline`, which uses all of it")]
#[path = "../pipeline/loader.rs"]
mod loader;
#[expect(dead_code, reason = "shared with the benchmark `pipeline`, which uses all of it")]
#[path = "../pipeline/measure.rs"]
mod measure;

use std::{sync::Arc, time::Instant};

use futures::{StreamExt as _, stream};
use hookline::grpc::pb;

use self::{
    desk::Desk,
    harness::{Client, Database, Receiver, Server, account_42, automation, condition, deal, eventually},
    loader::{Load, Loader, Pace},
    measure::{cpu_ms, number, tell},
};

/// Limits that never hold anything back.
const FLAGS: [&str; 4] = [
    "--plan-executions",
    "4000000000,4000000000,4000000000,4000000000",
    "--plan-active-automations",
    "100000,100000,100000,100000",
];
const LOAD: Load = Load { accounts: 8, fan_out: 1, outstanding: 256, with_slow: false };
/// How often a page is read.
const PAGE_READS: usize = 20;

/// A server with its loader.
struct Side {
    server: Server,
    loader: Loader,
    desk: Arc<Desk>,
}

impl Side {
    async fn open(database: &Database, load: Load) -> Self {
        let (desk, url) = Desk::open().await;
        let server = Server::start(database, &FLAGS).await;
        let loader = Loader::set_up(&server, &desk, &url, load).await;
        loader.run(1_024, Pace::Outstanding).await;
        Self { server, loader, desk }
    }

    /// Delivers so many; answers how many a second, and the server's processor time each.
    async fn deliver(&self, count: u64) -> (f64, f64) {
        let (begun, cpu) = (Instant::now(), cpu_ms(&[self.server.pid()]));
        let done = self.loader.run(count, Pace::Outstanding).await as f64;
        let cpu_us = (cpu_ms(&[self.server.pid()]) - cpu) as f64 * 1_000.0;
        (done / begun.elapsed().as_secs_f64(), cpu_us / done)
    }
}

/// Rounds of both sides in turn.
async fn next_to(name: &str, ours: &Side, base: &Side, rounds: u64, count: u64) {
    let (mut speeds, mut costs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (base_per_second, base_us) = base.deliver(count).await;
        let (per_second, us) = ours.deliver(count).await;
        speeds.push((per_second, Some(base_per_second)));
        costs.push((us, Some(base_us)));
    }
    tell(&format!("{name}: deliveries"), "1/s", &speeds);
    tell(&format!("{name}: server's processor time a webhook"), "us", &costs);
}

fn memory_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
    let kib: f64 = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
    kib / 1_024.0
}

/// How long a page takes, from the question to the answer.
async fn page(name: &str, client: &Client, request: pb::ListExecutionsRequest) {
    let mut took = Vec::new();
    for _ in 0..PAGE_READS {
        let begun = Instant::now();
        let page = client.executions().list_executions(client.ask(request.clone())).await.expect("lists").into_inner();
        took.push((begun.elapsed().as_secs_f64() * 1e3, None));
        assert!(!page.executions.is_empty(), "there are some");
    }
    tell(name, "ms", &took);
}

async fn of_executions(rounds: u64, count: u64) {
    let executions = number("HOOKLINE_BENCH_EXECUTIONS", 1_000_000);
    let is_on_postgres = std::env::var("HOOKLINE_BENCH_ON_POSTGRES").is_ok();
    let database = async || if is_on_postgres { Database::postgres().await } else { Database::sqlite() };
    let (empty, full) = (database().await, database().await);
    let Side { server, mut loader, desk } = Side::open(&full, LOAD).await;
    assert!(server.terminate().await, "the server ends in order");
    rows::multiply(&full, executions).await;
    let begun = Instant::now();
    let server = Server::start(&full, &FLAGS).await;
    tell("executions: started after", "ms", &[(begun.elapsed().as_secs_f64() * 1e3, None)]);
    tell("executions: resident, nothing used yet", "MiB", &[(memory_mib(server.pid()), None)]);
    let client = server.client("service", "*", &[]).await;
    let of_account = |more| pb::ListExecutionsRequest { parent: "accounts/bench-0".into(), ..more };
    page("executions: the newest page", &client, of_account(Default::default())).await;
    let failed = pb::ListExecutionsRequest { states: vec![pb::ExecutionState::Failed.into()], ..Default::default() };
    page("executions: a page of those that failed", &client, of_account(failed)).await;
    let of_entity = pb::ListExecutionsRequest { entity_id: "copied-7".into(), ..Default::default() };
    page("executions: a page of one entity's", &client, of_account(of_entity)).await;
    loader.client = client;
    let side = Side { server, loader, desk };
    let base = Side::open(&empty, LOAD).await;
    next_to("executions", &side, &base, rounds, count).await;
    assert!(side.server.terminate().await, "the server ends in order");
    assert!(base.server.terminate().await, "the server ends in order");
}

async fn of_accounts(rounds: u64, count: u64) {
    let accounts = usize::try_from(number("HOOKLINE_BENCH_ACCOUNTS", 10_000)).expect("fits");
    let (few, many) = (Database::sqlite(), Database::sqlite());
    let base = Side::open(&few, Load { outstanding: 2_048, ..LOAD }).await;
    let side = Side::open(&many, Load { accounts, outstanding: 2_048, ..LOAD }).await;
    next_to("accounts", &side, &base, rounds, count).await;
    tell("accounts: resident", "MiB", &[(memory_mib(side.server.pid()), Some(memory_mib(base.server.pid())))]);
    assert!(side.server.terminate().await && base.server.terminate().await, "the servers end in order");
}

/// A server with so many automations on one trigger, each for another deal.
async fn with_automations(database: &Database, automations: usize) -> (Server, Client, Receiver) {
    let receiver = Receiver::start().await;
    let server = Server::start(database, &FLAGS).await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    let create = async |at: usize| {
        let mut one = automation("42", "hook", "deal", pb::EventAction::Change, r#"{"id": {{deal.id}}}"#);
        one.conditions = Some(condition("value", pb::Operator::Is, &[&at.to_string()]));
        admin.create_automation("42", one).await.expect("creates");
    };
    stream::iter(0..automations).for_each_concurrent(16, create).await;
    (server, service, receiver)
}

async fn of_automations(rounds: u64) {
    const EVENTS: usize = 2_000;
    let (few, many) = (Database::sqlite(), Database::sqlite());
    let sides = [with_automations(&many, 10_000).await, with_automations(&few, 10).await];
    let mut costs = Vec::new();
    for round in 0..=rounds {
        let mut of_sides = Vec::new();
        for (server, service, _) in &sides {
            let cpu = cpu_ms(&[server.pid()]);
            for group in 0..EVENTS / 50 {
                let event = |at| deal(&format!("{round}-{group}-{at}"), "8", r#"{"id": 8, "value": 7}"#);
                service.publish("42", (0..50).map(event).collect()).await.expect("acks");
            }
            eventually("all end", || async {
                let request = pb::ListExecutionsRequest {
                    parent: "accounts/42".into(),
                    states: vec![pb::ExecutionState::Pending.into(), pb::ExecutionState::Running.into()],
                    page_size: 1,
                    ..Default::default()
                };
                let page = service.executions().list_executions(service.ask(request)).await.expect("lists");
                page.into_inner().executions.is_empty().then_some(())
            })
            .await;
            of_sides.push((cpu_ms(&[server.pid()]) - cpu) as f64 * 1_000.0 / EVENTS as f64);
        }
        // The first round warms up.
        if round > 0 {
            costs.push((of_sides[0], Some(of_sides[1])));
        }
    }
    tell("automations: server's processor time an event that one of 10,000 matches, next to one of 10", "us", &costs);
}

/// What a process has written, from the operating system.
fn written_bytes(pid: u32) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{pid}/io")).expect("a process");
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).expect("a line");
    line.parse().expect("a number")
}

async fn of_failures() {
    const ACCOUNTS: usize = 25;
    // Fewer than those after which an endpoint is left alone.
    const FAILURES: usize = 8;
    let (database, receiver) = (Database::sqlite(), Receiver::start().await);
    let server = Server::start(&database, &[&FLAGS[..], &["--retry-delays-ms", "50,50,50,50,50,50,50"]].concat()).await;
    let service = server.client("service", "*", &[]).await;
    let ids: Vec<_> = (0..ACCOUNTS).map(|at| format!("bench-{at}")).collect();
    for id in &ids {
        let admin = server.client("global_admin", id, &["--user", "1"]).await;
        service.create_account(id, pb::Plan::Enterprise).await.expect("creates");
        admin.create_webhook(id, "hook", &receiver.url).await.expect("creates");
        let one = automation(id, "hook", "deal", pb::EventAction::Change, r#"{"text": {{deal.text}}}"#);
        admin.create_automation(id, one).await.expect("creates");
    }
    receiver.answer_with(503);
    let event = |at: usize| {
        let text: String = (0..3_750).map(|_| format!("{:016x}", hookline::clock::random())).collect();
        deal(&format!("failure-{at}"), "8", &serde_json::json!({ "text": text }).to_string())
    };
    let before = written_bytes(server.pid());
    let publish =
        async |id: &String| drop(service.publish(id, (0..FAILURES).map(event).collect()).await.expect("acks"));
    stream::iter(&ids).for_each_concurrent(None, publish).await;
    let all = ACCOUNTS * FAILURES;
    eventually("all fail", || async { (receiver.got().len() == all * 8).then_some(()) }).await;
    for id in &ids {
        let failed = async || service.history(id).await.iter().filter(|one| one.end_time.is_some()).count();
        eventually("it fails", || async { (failed().await == FAILURES).then_some(()) }).await;
    }
    let each = (written_bytes(server.pid()) - before) as f64 / all as f64;
    tell("failures: bytes written by a request of 60 KB that fails eight times", "bytes", &[(each, None)]);
    assert!(server.terminate().await, "the server ends in order");
}

async fn run() {
    let rounds = number("HOOKLINE_BENCH_ROUNDS", 5);
    let count = number("HOOKLINE_BENCH_EVENTS", 20_000);
    let words = std::env::var("HOOKLINE_BENCH_CASES").unwrap_or_default();
    let is_wanted = |name: &str| words.is_empty() || words.split(',').any(|word| word == name);
    if is_wanted("failures") {
        of_failures().await;
    }
    if is_wanted("automations") {
        of_automations(rounds).await;
    }
    if is_wanted("accounts") {
        of_accounts(rounds, count).await;
    }
    if is_wanted("executions") {
        of_executions(rounds, count).await;
    }
}

fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime").block_on(run());
}
