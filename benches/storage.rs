//! `cargo bench --bench storage`: what a webhook costs in the database alone.
//!
//! Changes as the engine makes them go through the real journal: each webhook is a change that inserts its execution and a
//! later one that ends it with its first attempt. Cases: 8, 1,000 and 100,000 accounts; groups of 8 and of 64 changes at a
//! time; endpoints that answer at once (with the next group) and late (300 ms at 5,000 a second: 1,500 webhooks later).
//! Payloads are those of `tests/samples`, with values of their own. One JSON line a case: microseconds of processor time of
//! this process, and of PostgreSQL's, a webhook; bytes of the database and of the log a webhook; the longest commit.
//!
//! `HOOKLINE_BENCH_WEBHOOKS` (default 20000) and `HOOKLINE_BENCH_ACCOUNTS` (default `8,1000,100000`) make a run shorter;
//! PostgreSQL is measured where `HOOKLINE_TEST_POSTGRES` names a server on this machine.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use hookline::{
    clock,
    domain::{
        account::{
            AccountFacts,
            change::{Change, ExecutionStep, RecordedAttempt},
        },
        attempt::{Attempt, Fate, Outcome},
        automation::Method,
        event::{Event, parse_envelope},
        execution::{
            NewExecution, Progress, State, Unfinished,
            record::{Basis, Record},
            request::{Request, RequestBody},
        },
        id::{AccountId, AccountUid, ExecutionUid, WebhookUid},
        plan::{LimitOverrides, Plan},
        source::SourceKind,
        timestamp::Timestamp,
        trace_context::TraceContext,
    },
    store::{Lease, Location, Receipt, Sealer, Store},
    telemetry::Metrics,
};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

#[expect(dead_code, unused_imports, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/harness/mod.rs"]
mod harness;

use harness::Database;

/// How many webhooks later an endpoint answers that takes 300 ms, at 5,000 a second.
const LATE_WEBHOOKS: usize = 1_500;
const SAMPLES: [&str; 3] = [
    include_str!("../tests/samples/v2-change-deal-custom-field.json"),
    include_str!("../tests/samples/v2-create-activity.json"),
    include_str!("../tests/samples/v2-change-lead.json"),
];

struct Account {
    uid: AccountUid,
    id: AccountId,
    webhook: Uuid,
    automation: Uuid,
    revision: i64,
}

/// What is measured of one case.
struct Case {
    accounts: usize,
    group: usize,
    late: bool,
}

fn now() -> Timestamp {
    clock::now()
}

/// An event like those of the samples, with an id and values of its own.
fn event(account: &AccountId, no: u64) -> Arc<Event> {
    let sample = SAMPLES[usize::try_from(no).expect("fits") % SAMPLES.len()];
    let mut envelope: serde_json::Value = serde_json::from_str(sample).expect("JSON");
    let random = || Uuid::from_u64_pair(clock::random(), clock::random());
    envelope["meta"]["id"] = random().to_string().into();
    envelope["meta"]["company_id"] = account.as_str().into();
    envelope["meta"]["entity_id"] = (clock::random() % 50_000).to_string().into();
    envelope["data"]["id"] = (clock::random() % 50_000).into();
    envelope["data"]["title"] = format!("{:x} {no}", clock::random()).into();
    envelope["data"]["value"] = (clock::random() % 1_000_000).into();
    Arc::new(parse_envelope(account, envelope.to_string().as_bytes()).expect("an envelope"))
}

fn record(account: &Account, event: &Event) -> Record {
    let data: serde_json::Value = serde_json::from_str(&event.data).expect("JSON");
    let body = serde_json::json!({
        "id": data["id"], "title": data["title"], "value": data["value"], "custom": data["custom_fields"],
        "by": event.user_id.as_ref().map(ToString::to_string),
        "note": format!("{} of account {} changed", data["title"], account.id),
    });
    Record {
        source_name: "Tell the warehouse".into(),
        source_id: "warehouse".parse().expect("an id"),
        causation_depth: 0,
        trace: TraceContext::unrecorded(Uuid::now_v7().as_u128(), clock::random() | 1),
        parent_span: None,
        requests: vec![Request {
            webhook: WebhookUid(account.webhook),
            webhook_id: "warehouse".parse().expect("an id"),
            method: Method::Post,
            endpoint: "https://hooks.example.com/crm/".into(),
            path: format!("deals/{}", event.entity_id),
            body: RequestBody::from(body.to_string()),
            attempt_at: None,
            headers: Vec::new(),
            continue_on_failure: false,
            failure: None,
            action: None,
            warnings: Vec::new(),
            is_left_out: false,
            may_be_done: false,
        }],
        explanation: Vec::new(),
        basis: Basis::Decision,
    }
}

/// A webhook that is under way.
struct UnderWay {
    account: usize,
    execution: ExecutionUid,
    record: Arc<Record>,
    progress: Progress,
}

fn change_of(account: &Account) -> Change {
    Change::new(account.uid, account.id.clone(), Some(account.revision))
}

fn begin(account: &Account, no: u64, change: &mut Change) -> (ExecutionUid, Arc<Record>, Progress) {
    let event = event(&account.id, no);
    let record = Arc::new(record(account, &event));
    let uid = ExecutionUid::new(account.uid, clock::uuid());
    let progress = Progress { state: State::Running, due_at: None, ..Progress::begin() };
    change.executions.push(NewExecution {
        uid,
        source_kind: SourceKind::Automation,
        source: account.automation,
        event_id: event.id.clone(),
        run: 0,
        object: event.object.clone(),
        action: event.action,
        entity_id: event.entity_id.clone(),
        acting_user: event.user_id.clone(),
        retry_of: None,
        is_caused: false,
        created_at: now(),
        progress: progress.clone(),
        record: Arc::clone(&record),
        event: None,
    });
    change.events.push(event);
    (uid, record, progress)
}

fn end(one: UnderWay, change: &mut Change) {
    let request = &one.record.requests[0];
    let attempt = Attempt {
        started_at: now(),
        duration_us: i64::try_from(clock::random() % 5_000).expect("fits"),
        url: format!("{}{}", request.endpoint, request.path),
        secret_url: None,
        outcome: Outcome::Answer {
            status: 200,
            headers: vec![
                ("content-type".into(), "application/json".into()),
                ("date".into(), "Fri, 27 Nov 2026 18:16:18 GMT".into()),
            ],
            excerpt: br#"{"ok":true}"#.to_vec(),
            is_success: true,
            truncated: false,
        },
    };
    change.attempts.push(RecordedAttempt {
        execution: one.execution,
        action_no: 0,
        number: 1,
        attempt,
        fate: Fate::Succeeded,
    });
    let progress = Progress { state: State::Succeeded, attempts: 1, ended_at: Some(now()), ..one.progress };
    let (uid, source_kind, record) = (one.execution, SourceKind::Automation, one.record);
    let execution = Unfinished { uid, source_kind, is_of_notice: false, record, progress };
    change.steps.push(ExecutionStep { execution, was_running: None });
}

async fn made(store: &Store, count: usize) -> Vec<Account> {
    let mut accounts: Vec<_> = (0..count)
        .map(|at| Account {
            uid: AccountUid(clock::uuid()),
            id: format!("a{at}").parse().expect("an id"),
            webhook: clock::uuid(),
            automation: clock::uuid(),
            revision: 1,
        })
        .collect();
    for some in accounts.chunks_mut(512) {
        let changes: Vec<_> = some
            .iter()
            .map(|account| {
                let mut change = Change::new(account.uid, account.id.clone(), None);
                change.facts = Some(AccountFacts {
                    plan: Plan::Power,
                    overrides: LimitOverrides::default(),
                    run_out_limit: None,
                    ingest_identities: Vec::new(),
                    revision: 1,
                    created_at: now(),
                    updated_at: now(),
                    deleted: false,
                });
                change
            })
            .collect();
        for receipt in join_all(changes.iter().map(|change| store.commit(change, now()))).await {
            assert!(matches!(receipt, Receipt::Committed), "{receipt:?}");
        }
    }
    accounts
}

/// Writes so many webhooks, a group of changes of different accounts at a time. Answers the longest commit.
async fn run_webhooks(store: &Store, accounts: &mut [Account], case: &Case, count: usize) -> Duration {
    let lag = if case.late { LATE_WEBHOOKS } else { case.group };
    let mut under_way: VecDeque<UnderWay> = VecDeque::new();
    let (mut begun, mut ended, mut no) = (0, 0, 0_u64);
    let mut longest = Duration::ZERO;
    while ended < count {
        let mut changes: HashMap<usize, Change> = HashMap::new();
        let mut new = Vec::new();
        for _ in 0..case.group {
            let at = usize::try_from(clock::random()).unwrap_or_default() % accounts.len();
            if begun < count {
                let change = changes.entry(at).or_insert_with(|| change_of(&accounts[at]));
                no += 1;
                let (execution, record, progress) = begin(&accounts[at], no, change);
                new.push(UnderWay { account: at, execution, record, progress });
                begun += 1;
            }
            let is_time = under_way.len() + new.len() > lag || begun == count;
            let next = if is_time { under_way.pop_front() } else { None };
            if let Some(one) = next {
                let change = changes.entry(one.account).or_insert_with(|| change_of(&accounts[one.account]));
                end(one, change);
                ended += 1;
            }
        }
        under_way.extend(new);
        let written = join_all(changes.values().map(|change| async {
            let begun = Instant::now();
            (store.commit(change, now()).await, begun.elapsed())
        }));
        for (receipt, took) in written.await {
            assert!(matches!(receipt, Receipt::Committed), "{receipt:?}");
            longest = longest.max(took);
        }
        for at in changes.into_keys() {
            accounts[at].revision += 1;
        }
    }
    longest
}

/// The processor time of processes, in microseconds, from the operating system.
fn cpu_us(pids: &[u32]) -> u64 {
    let of = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<_> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
        // Linux counts in hundredths of a second.
        (ticks(11) + ticks(12)) * 10_000
    };
    pids.iter().map(of).sum()
}

/// PostgreSQL's processes on this machine.
fn postgres_pids() -> Vec<u32> {
    let all = std::fs::read_dir("/proc").expect("processes").flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "postgres"))
        .collect()
}

async fn number(database: &Database, sql: &str) -> i64 {
    database.numbers(sql).await[0]
}

/// How much the database takes, and how much log was written in all.
async fn sizes(database: &Database) -> (u64, i64) {
    if database.url.starts_with("postgres") {
        let size = number(database, "SELECT pg_database_size(current_database())").await;
        let log = number(database, "SELECT CAST(pg_current_wal_insert_lsn() - '0/0'::pg_lsn AS bigint)").await;
        (size.cast_unsigned(), log)
    } else {
        let connection = sea_orm::Database::connect(format!("sqlite://{}", database.url)).await.expect("connects");
        connection.execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)").await.expect("writes back");
        connection.close().await.expect("closes");
        (std::fs::metadata(&database.url).expect("a file").len(), 0)
    }
}

async fn measure(database: Database, case: Case, count: usize) {
    let is_postgres = database.url.starts_with("postgres");
    let location = Location::parse(&database.url).expect("a location");
    let sealer = Sealer::new(&[[7; 32]]).expect("a sealer");
    let store =
        Store::open(&location, Lease::of_nobody_else(), sealer, false, &Metrics::default()).await.expect("opens");
    let mut accounts = made(&store, case.accounts).await;
    run_webhooks(&store, &mut accounts, &case, count / 10).await;
    let (size, log) = sizes(&database).await;
    let (own, servers) = ([std::process::id()], postgres_pids());
    // What makes the events and the requests is not the database's.
    let making = {
        let before = cpu_us(&own);
        for no in 0..count {
            let mut change = change_of(&accounts[no % accounts.len()]);
            let (execution, record, progress) = begin(&accounts[no % accounts.len()], no as u64, &mut change);
            end(UnderWay { account: 0, execution, record, progress }, &mut change);
        }
        cpu_us(&own) - before
    };
    let (cpu, server_cpu, begun) = (cpu_us(&own), cpu_us(&servers), Instant::now());
    let longest = run_webhooks(&store, &mut accounts, &case, count).await;
    let (cpu, server_cpu, took) = (cpu_us(&own) - cpu, cpu_us(&postgres_pids()) - server_cpu, begun.elapsed());
    let (size_after, log_after) = sizes(&database).await;
    let each = |total: f64| (total / count as f64 * 10.0).round() / 10.0;
    println!(
        "{}",
        serde_json::json!({
            "case": format!(
                "{} {} accounts, groups of {}, {}",
                if is_postgres { "postgres" } else { "sqlite" }, case.accounts, case.group,
                if case.late { "late answers" } else { "answers at once" }
            ),
            "cpu_us": each(cpu.saturating_sub(making) as f64),
            "postgres_cpu_us": is_postgres.then(|| each(server_cpu as f64)),
            "bytes": each(size_after.saturating_sub(size) as f64),
            "log_bytes": is_postgres.then(|| each((log_after - log) as f64)),
            "longest_commit_ms": longest.as_millis(),
            "per_second": (count as f64 / took.as_secs_f64()).round(),
        })
    );
    store.close().await;
}

async fn run() {
    let count = std::env::var("HOOKLINE_BENCH_WEBHOOKS").map_or(20_000, |text| text.parse().expect("a number"));
    let accounts = std::env::var("HOOKLINE_BENCH_ACCOUNTS").unwrap_or_else(|_| "8,1000,100000".into());
    let has_postgres = std::env::var("HOOKLINE_TEST_POSTGRES").is_ok();
    for accounts in accounts.split(',').map(|text| text.parse::<usize>().expect("a number")) {
        for group in [8, 64] {
            for late in [false, true] {
                measure(Database::sqlite(), Case { accounts, group, late }, count).await;
                if has_postgres {
                    measure(Database::postgres().await, Case { accounts, group, late }, count).await;
                }
            }
        }
    }
}

fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime").block_on(run());
}
