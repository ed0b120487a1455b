//! `cargo bench --bench pipeline`: what a delivered webhook costs, next to the bare HTTP request.
//!
//! The real server process, on SQLite (`synchronous=FULL`) and on PostgreSQL, a loader that streams matching events over
//! gRPC, and a receiver; in the same rounds, in turn with it, a process that only POSTs the same bytes to the same receiver
//! with reqwest. Machines are shared and noisy: only the ratios within one run count. One JSON line a figure, with the
//! minimum, the median and the maximum of the rounds.
//!
//! `HOOKLINE_BENCH_ROUNDS` (default 5) and `HOOKLINE_BENCH_EVENTS` (default 20000 requests a round) make a run shorter or
//! longer, `HOOKLINE_BENCH_CASES` takes some of the cases (words of their names, separated by commas). PostgreSQL is
//! measured where `HOOKLINE_TEST_POSTGRES` names a server on this machine.

mod desk;
mod loader;
mod measure;
mod raw;
mod unmatched;

use std::time::Instant;

#[expect(dead_code, unused_imports, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/it/harness/mod.rs"]
mod harness;

use self::{
    desk::Desk,
    harness::{Database, Server},
    loader::{Load, Loader, Pace},
    measure::{cpu_ms, number, peak_mib, postgres_pids, tell},
    raw::Raw,
};

/// The share of the measured rate at which latency is measured, in percent.
const PACED_PERCENT: u64 = 50;
/// How long the paced part of a round takes.
const PACED_SECONDS: u64 = 3;
/// Limits that never hold anything back.
const FLAGS: [&str; 2] = ["--plan-executions", "4000000000,4000000000,4000000000,4000000000"];

/// What one round measured.
struct Round {
    per_second: f64,
    cpu_us: f64,
    postgres_cpu_us: f64,
    p50_ms: f64,
    p99_ms: f64,
    raw: Raw,
}

/// A case of requests that are delivered.
async fn delivered(name: &str, database: Database, load: Load, is_paced: bool, (rounds, count): (u64, u64)) {
    let (desk, url) = Desk::open().await;
    let is_postgres = database.url.starts_with("postgres");
    let server = Server::start(&database, &FLAGS).await;
    let loader = Loader::set_up(&server, &desk, &url, load).await;
    loader.run(1_024, Pace::Outstanding).await;
    let body = desk.sample.lock().expect("unpoisoned").clone();
    let (size, log) = sizes(&database).await;
    let (mut measured, mut delivered) = (Vec::new(), 0);
    for _ in 0..rounds {
        let postgres = if is_postgres { postgres_pids() } else { Vec::new() };
        let (begun, cpu, postgres_cpu) = (Instant::now(), cpu_ms(&[server.pid()]), cpu_ms(&postgres));
        let done = loader.run(count, Pace::Outstanding).await;
        let per_second = done as f64 / begun.elapsed().as_secs_f64();
        let each = |ms: u64| ms as f64 * 1_000.0 / done as f64;
        let (cpu_us, postgres_cpu_us) = (each(cpu_ms(&[server.pid()]) - cpu), each(cpu_ms(&postgres) - postgres_cpu));
        let raw = raw::measure(&url, body.clone(), count).await;
        delivered += done;
        let (mut p50_ms, mut p99_ms) = (f64::NAN, f64::NAN);
        if is_paced {
            let rate = per_second as u64 * PACED_PERCENT / 100;
            delivered += loader.run(rate * PACED_SECONDS, Pace::PerSecond(rate / load.fan_out as u64)).await;
            (p50_ms, p99_ms) = (desk.percentile_ms(50), desk.percentile_ms(99));
        }
        measured.push(Round { per_second, cpu_us, postgres_cpu_us, p50_ms, p99_ms, raw });
    }
    let (size_after, log_after) = sizes(&database).await;
    let figure = |what: &str, unit: &str, of: &dyn Fn(&Round) -> (f64, Option<f64>)| {
        tell(&format!("{name}: {what}"), unit, &measured.iter().map(of).collect::<Vec<_>>());
    };
    figure("server's processor time a webhook, next to the raw client's", "us", &|one| {
        (one.cpu_us, Some(one.raw.client_cpu_us))
    });
    figure("the same, next to the raw client's at both ends", "us", &|one| {
        (one.cpu_us, Some(one.raw.client_cpu_us + one.raw.receiver_cpu_us))
    });
    figure("deliveries", "1/s", &|one| (one.per_second, Some(one.raw.per_second)));
    if is_paced {
        figure("published to arrived at half the rate, p50", "ms", &|one| (one.p50_ms, None));
        figure("published to arrived at half the rate, p99", "ms", &|one| (one.p99_ms, None));
    }
    if is_postgres {
        figure("PostgreSQL's processor time a webhook", "us", &|one| (one.postgres_cpu_us, None));
        tell(&format!("{name}: log of PostgreSQL a webhook"), "bytes", &[((log_after - log) / delivered as f64, None)]);
    }
    tell(&format!("{name}: database a webhook"), "bytes", &[((size_after - size) / delivered as f64, None)]);
    tell(&format!("{name}: most memory"), "MiB", &[(peak_mib(server.pid()), None)]);
    assert!(server.terminate().await, "the server ends in order");
}

/// How large the database is, and how much log PostgreSQL has written in all.
async fn sizes(database: &Database) -> (f64, f64) {
    if !database.url.starts_with("postgres") {
        // While the server runs, the newest pages are in the log only.
        let pages = database.numbers("SELECT page_count * 4096 FROM pragma_page_count()").await;
        return (pages[0] as f64, 0.0);
    }
    let size = database.numbers("SELECT pg_database_size(current_database())").await[0];
    let log = database.numbers("SELECT CAST(pg_current_wal_insert_lsn() - '0/0'::pg_lsn AS bigint)").await[0];
    (size as f64, log as f64)
}

async fn run() {
    if let Ok(url) = std::env::var(raw::URL) {
        return raw::run(url).await;
    }
    if std::env::var(unmatched::BARE).is_ok() {
        return unmatched::serve().await;
    }
    let rounds = number("HOOKLINE_BENCH_ROUNDS", 5);
    let count = number("HOOKLINE_BENCH_EVENTS", 20_000);
    let words = std::env::var("HOOKLINE_BENCH_CASES").unwrap_or_default();
    let is_wanted = |name: &str| words.is_empty() || words.split(',').any(|word| name.contains(word));
    let one = Load { accounts: 8, fan_out: 1, outstanding: 256, with_slow: false };
    let cases = [
        ("matched 1:1 of 8 accounts with 256 outstanding", one, true),
        ("matched 1:1 of 8 accounts with 2048 outstanding", Load { outstanding: 2_048, ..one }, false),
        (
            "matched 1:1 of 1000 accounts with 2048 outstanding",
            Load { accounts: 1_000, outstanding: 2_048, ..one },
            false,
        ),
        ("matched 1:10 of 8 accounts with 2048 outstanding", Load { fan_out: 10, outstanding: 2_048, ..one }, false),
        ("matched 1:1 of one account with 256 outstanding", Load { accounts: 1, ..one }, false),
        ("a slow account beside 8 healthy ones with 256 outstanding", Load { with_slow: true, ..one }, false),
    ];
    for (name, load, is_paced) in cases.into_iter().filter(|(name, ..)| is_wanted(name)) {
        delivered(name, Database::sqlite(), load, is_paced, (rounds, count)).await;
    }
    let on_postgres = "PostgreSQL: matched 1:1 of 8 accounts with 256 outstanding";
    if std::env::var("HOOKLINE_TEST_POSTGRES").is_ok() && is_wanted(on_postgres) {
        delivered(on_postgres, Database::postgres().await, one, true, (rounds, count)).await;
    }
    let low = "at 200 a second of 8 accounts";
    if is_wanted(low) {
        at_a_low_rate(low, one, rounds).await;
    }
    let nothing = "unmatched envelopes of 1.4 KB";
    if is_wanted(nothing) {
        tell(&format!("{nothing}: next to a bare tonic stream"), "1/s", &unmatched::rounds(rounds, count * 5).await);
    }
}

/// How long a request takes that nobody is in the way of.
async fn at_a_low_rate(name: &str, load: Load, rounds: u64) {
    const RATE: u64 = 200;
    let (desk, url) = Desk::open().await;
    let database = Database::sqlite();
    let server = Server::start(&database, &FLAGS).await;
    let loader = Loader::set_up(&server, &desk, &url, load).await;
    loader.run(1_024, Pace::Outstanding).await;
    let mut measured = Vec::new();
    for _ in 0..rounds {
        loader.run(RATE * PACED_SECONDS, Pace::PerSecond(RATE)).await;
        measured.push((desk.percentile_ms(50), desk.percentile_ms(99)));
    }
    for (what, at) in [("p50", 0), ("p99", 1)] {
        let of: Vec<_> = measured.iter().map(|one: &(f64, f64)| ([one.0, one.1][at], None)).collect();
        tell(&format!("{name}: published to arrived, {what}"), "ms", &of);
    }
    assert!(server.terminate().await, "the server ends in order");
}

fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime").block_on(run());
}
