//! `cargo bench --bench retention`: what deleting old history costs those who publish.
//!
//! One account with many executions that were kept for long enough. Events are published at an even pace, first while
//! nothing is to delete, then while the old ones are deleted, in the same run: how long each waits for its
//! acknowledgement, and how many executions a second are deleted. The rows are copies of a real one, made by the
//! database itself.
//!
//! `HOOKLINE_BENCH_EXPIRED` (default 200000) makes a run smaller.

use std::time::{Duration, Instant};

use hookline::grpc::pb;
use sea_orm::ConnectionTrait;

#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/harness/mod.rs"]
mod harness;

use harness::{Client, Database, Receiver, Server, account_42, automation, deal, eventually};

/// The pace at which events are published.
const PACE: Duration = Duration::from_millis(10);
/// How many events are published while nothing is to delete.
const QUIET_EVENTS: usize = 500;
/// Every how many events it is looked whether everything is deleted.
const LOOK_EVERY_EVENTS: usize = 100;
/// Longer than executions are kept.
const OLD: Duration = Duration::from_secs(20 * 86_400);

/// Copies the execution until there are so many old ones, and has them looked at later.
async fn multiply(database: &Database, count: u64) {
    let connection = sea_orm::Database::connect(format!("sqlite://{}", database.url)).await.expect("connects");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let old = now - OLD;
    let (old_ms, old_us) = (old.as_millis(), old.as_micros());
    let columns = "source, due_at, waits_for, admitted_window, changed_revision, run, action_no, attempts, failed_actions, \
                   weight, source_kind, action, state, may_be_done, object, entity_id, acting_user, reason, webhooks, \
                   part, outcome";
    for sql in [
        format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
             INSERT INTO executions (account, id, event, event_id, created_at, ended_at, {columns}) \
             SELECT account, {old_ms} * 4096 + i, event + i, 'copy-' || i, {old_us}, {old_us}, {columns} \
             FROM executions, n WHERE event_id = 'one'"
        ),
        "UPDATE accounts SET expires_at = 9000000000000000".to_owned(),
    ] {
        connection.execute_unprepared(&sql).await.expect(&sql);
    }
    connection.close().await.expect("closes");
}

/// Publishes one event and measures its acknowledgement.
async fn publish(service: &Client, id: String) -> Duration {
    let started = Instant::now();
    service.publish("42", vec![deal(&id, "8", r#"{"title": "A deal of the usual length, say"}"#)]).await.expect("acks");
    started.elapsed()
}

fn told(what: &str, mut waits: Vec<Duration>) {
    waits.sort();
    let at = |percent: usize| waits[(waits.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    println!("{what:>16}: {:>6} events, acknowledged after p50 {:.1} ms, p99 {:.1} ms", waits.len(), at(50), at(99));
}

async fn run() {
    let count = std::env::var("HOOKLINE_BENCH_EXPIRED").map_or(200_000, |text| text.parse().expect("a number"));
    let (database, receiver) = (Database::sqlite(), Receiver::start().await);
    let server = Server::start(&database, &["--plan-executions", "9000000,9000000,9000000,9000000"]).await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    let one = automation("42", "hook", "deal", pb::EventAction::Change, r#"{"title": {{deal.title}}}"#);
    admin.create_automation("42", one).await.expect("creates");
    publish(&service, "one".into()).await;
    eventually("it ends", || async { service.history("42").await[0].end_time }).await;
    assert!(server.terminate().await);
    multiply(&database, count).await;

    let server = Server::start(&database, &["--plan-executions", "9000000,9000000,9000000,9000000"]).await;
    let service = server.client("service", "*", &[]).await;
    let mut ticks = tokio::time::interval(PACE);
    let mut quiet = Vec::new();
    for at in 0..QUIET_EVENTS {
        ticks.tick().await;
        quiet.push(publish(&service, format!("quiet-{at}")).await);
    }
    told("nothing to delete", quiet);
    // Other limits make the account look at its history at once.
    let limits = pb::SetAccountLimitsRequest { name: "accounts/42".into(), ..Default::default() };
    service.accounts().set_account_limits(service.ask(limits)).await.expect("sets");
    let started = Instant::now();
    let mut busy = Vec::new();
    let mut deleted_after = None;
    for at in 0.. {
        ticks.tick().await;
        busy.push(publish(&service, format!("busy-{at}")).await);
        let is_time = at % LOOK_EVERY_EVENTS == 0;
        if is_time
            && database
                .numbers("SELECT COUNT(*) FROM (SELECT 1 FROM executions WHERE event_id LIKE 'copy-%' LIMIT 1)")
                .await
                == [0]
        {
            deleted_after = Some(started.elapsed());
            break;
        }
    }
    told("while deleting", busy);
    let seconds = deleted_after.unwrap_or_default().as_secs_f64();
    println!("{count} executions were deleted in {seconds:.1} s, with their events and attempts");
}

fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime").block_on(run());
}
