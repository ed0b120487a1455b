//! `cargo bench --bench pipeline`: what a delivered webhook costs, next to the bare HTTP request.
//!
//! The real server process on SQLite (`synchronous=FULL`), a loader that streams matching events over gRPC and a
//! receiver; in the same rounds, in turn with it, a process that only POSTs the same bytes to the same receiver with
//! reqwest. Machines are shared and noisy: only the ratios within one run count.
//!
//! `HOOKLINE_BENCH_ROUNDS` (default 5) and `HOOKLINE_BENCH_EVENTS` (default 20000) make a run shorter or longer.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode};
use hookline::grpc::pb;
use tokio::{
    net::TcpListener,
    process::Command,
    sync::{Notify, Semaphore, mpsc},
};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};

#[expect(dead_code, unused_imports, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/harness/mod.rs"]
mod harness;

use harness::{Client, Database, Server, automation, deal};

/// Accounts that the load is spread over: one has at most half of its slots for one webhook.
const ACCOUNTS: usize = 8;
/// Events of one frame.
const FRAME_EVENTS: usize = 16;
/// Events that are published and not yet delivered; also the raw client's requests in flight.
const OUTSTANDING_MAX: usize = 256;
/// Requests in flight of the raw client.
const RAW_IN_FLIGHT: usize = 64;
/// The share of the measured rate at which latency is measured, in percent.
const PACED_PERCENT: u64 = 50;
/// How long the paced part of a round takes.
const PACED_SECONDS: u64 = 3;
/// The bytes of a request's headers that Hookline sends and the raw client sends too.
const RAW_HEADERS: [(&str, &str); 6] = [
    ("webhook-id", "rq-01kawdkvp7e0pvx9qgr0j8n2d3-1"),
    ("webhook-timestamp", "1790000000"),
    ("webhook-signature", "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("hookline-execution-id", "ex-01kawdkvp7e0pvx9qgr0j8n2d3"),
    ("hookline-causation-depth", "1"),
];
const RAW_URL: &str = "HOOKLINE_BENCH_RAW_URL";
const BODY: &str = r#"{"sent": {{deal.sent}}, "id": {{deal.id}}, "title": "{{deal.title}}", "value": {{deal.value}}, "currency": "{{deal.currency}}", "stage": {{deal.stage_id}}, "custom": {{deal.custom_fields}}, "by": "{{event.user_id}}", "previous": {{previous.stage_id}}, "note": "Deal {{deal.title}} of account {{account.id}} moved to stage {{deal.stage_id}} by {{event.user_id}}; {{automation.name}} sent this as {{execution.id}} for {{event.id}}."}"#;

/// Counts what arrives, and how long after it was published.
#[derive(Default)]
struct Desk {
    arrived: AtomicU64,
    wanted: AtomicU64,
    all_arrived: Notify,
    latencies_us: Mutex<Vec<u64>>,
    room: Mutex<Option<Arc<Semaphore>>>,
    sample: Mutex<Bytes>,
    begun: Mutex<Option<Instant>>,
}

impl Desk {
    fn now_us(&self) -> u64 {
        let begun = *self.begun.lock().expect("unpoisoned").get_or_insert_with(Instant::now);
        u64::try_from(begun.elapsed().as_micros()).expect("fits")
    }

    /// Waits until so many more have arrived.
    fn expect(&self, count: u64) {
        self.latencies_us.lock().expect("unpoisoned").clear();
        self.arrived.store(0, Ordering::SeqCst);
        self.wanted.store(count, Ordering::SeqCst);
    }

    fn percentile_ms(&self, percent: usize) -> f64 {
        let mut found = self.latencies_us.lock().expect("unpoisoned").clone();
        found.sort_unstable();
        let at = (found.len() * percent / 100).min(found.len().saturating_sub(1));
        found.get(at).map_or(f64::NAN, |us| *us as f64 / 1_000.0)
    }
}

async fn receive(State(desk): State<Arc<Desk>>, body: Bytes) -> StatusCode {
    let digits = body.iter().skip(9).take_while(|byte| byte.is_ascii_digit());
    let sent = digits.fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    let latency = desk.now_us().saturating_sub(sent);
    desk.latencies_us.lock().expect("unpoisoned").push(latency);
    if let Some(room) = desk.room.lock().expect("unpoisoned").as_ref() {
        room.add_permits(1);
    }
    if desk.arrived.fetch_add(1, Ordering::SeqCst) + 1 == desk.wanted.load(Ordering::SeqCst) {
        *desk.sample.lock().expect("unpoisoned") = body;
        desk.all_arrived.notify_one();
    }
    StatusCode::OK
}

/// The processor time that a process has used, in milliseconds, from the operating system.
fn cpu_ms(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let fields: Vec<_> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().expect("user") + fields[12].parse::<u64>().expect("system");
    // Linux counts in hundredths of a second.
    ticks * 10
}

/// What one part of a round measured.
#[derive(Clone, Copy)]
struct Measured {
    per_second: f64,
    cpu_us: f64,
}

fn measured(count: u64, begun: Instant, cpu_ms: u64) -> Measured {
    Measured {
        per_second: count as f64 / begun.elapsed().as_secs_f64(),
        cpu_us: cpu_ms as f64 * 1_000.0 / count as f64,
    }
}

/// The raw client's process: POSTs the body from standard input again and again, and prints its processor time.
async fn run_raw(url: String, count: u64) {
    use std::io::Read;
    let mut body = Vec::new();
    std::io::stdin().read_to_end(&mut body).expect("a body");
    let body = Bytes::from(body);
    let client = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build().expect("a client");
    let left = Arc::new(AtomicU64::new(count));
    let begun = Instant::now();
    let before = cpu_ms(std::process::id());
    let workers: Vec<_> = (0..RAW_IN_FLIGHT)
        .map(|_| {
            let (client, left, body, url) = (client.clone(), Arc::clone(&left), body.clone(), url.clone());
            tokio::spawn(async move {
                while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
                    let mut request = client.post(&url).header("content-type", "application/json");
                    for (name, value) in RAW_HEADERS {
                        request = request.header(name, value);
                    }
                    let answer = request.body(body.clone()).send().await.expect("an answer");
                    answer.bytes().await.expect("a body");
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.expect("works");
    }
    let cpu = cpu_ms(std::process::id()) - before;
    println!("{} {cpu}", begun.elapsed().as_micros());
}

async fn measure_raw(url: &str, body: Bytes, count: u64) -> Measured {
    use tokio::io::AsyncWriteExt;
    let mut child = Command::new(std::env::current_exe().expect("a path"))
        .env(RAW_URL, url)
        .env("HOOKLINE_BENCH_EVENTS", count.to_string())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    child.stdin.take().expect("standard input").write_all(&body).await.expect("writes");
    let output = child.wait_with_output().await.expect("ends");
    let text = String::from_utf8(output.stdout).expect("text");
    let (elapsed_us, cpu_ms) = text.trim().split_once(' ').expect("two numbers");
    let elapsed_us: f64 = elapsed_us.parse().expect("a number");
    let cpu_ms: f64 = cpu_ms.parse().expect("a number");
    Measured { per_second: count as f64 * 1e6 / elapsed_us, cpu_us: cpu_ms * 1_000.0 / count as f64 }
}

/// Publishes matching events, and waits until each has arrived.
struct Loader {
    client: Client,
    desk: Arc<Desk>,
    next_event: AtomicU64,
    payload: String,
}

impl Loader {
    fn frame(&self, sequence: u64) -> pb::PublishRequest {
        let event = |_| {
            let number = self.next_event.fetch_add(1, Ordering::SeqCst);
            let data = format!("{{\"sent\": {}, {}", self.desk.now_us(), self.payload);
            let mut input = deal(&format!("event-{number}"), &format!("{}", number % 1_000), &data);
            if let Some(pb::event_input::Kind::Event(event)) = &mut input.kind {
                event.previous = (&br#"{"stage_id": 1}"#[..]).into();
            }
            input
        };
        let account = sequence as usize % ACCOUNTS;
        let events = (0..FRAME_EVENTS).map(event).collect();
        pb::PublishRequest { sequence, parent: format!("accounts/bench-{account}"), events, accepts_retry_later: false }
    }

    /// As many frames as make the count, each when `may_send` lets it.
    async fn run(&self, count: u64, pace: Pace) {
        let frames = count / FRAME_EVENTS as u64;
        self.desk.expect(frames * FRAME_EVENTS as u64);
        let room = Arc::new(Semaphore::new(OUTSTANDING_MAX));
        let is_paced = matches!(pace, Pace::PerSecond(_));
        *self.desk.room.lock().expect("unpoisoned") = (!is_paced).then(|| Arc::clone(&room));
        let (sender, receiver) = mpsc::channel(4);
        let request = self.client.ask(ReceiverStream::new(receiver));
        let mut events = self.client.events();
        let (answers, ()) = tokio::join!(events.publish(request), async {
            let begun = Instant::now();
            for sequence in 1..=frames {
                match pace {
                    Pace::Outstanding => {
                        room.acquire_many(FRAME_EVENTS as u32).await.expect("open").forget();
                    }
                    Pace::PerSecond(rate) => {
                        let due = Duration::from_micros((sequence - 1) * FRAME_EVENTS as u64 * 1_000_000 / rate);
                        tokio::time::sleep_until((begun + due).into()).await;
                    }
                }
                sender.send(self.frame(sequence)).await.expect("the stream is open");
                if sequence == 1 {
                    tokio::task::yield_now().await;
                }
            }
            drop(sender);
        });
        let mut answers = answers.expect("opens").into_inner();
        while let Some(answer) = answers.next().await {
            assert!(answer.expect("an acknowledgement").results.is_empty(), "every event is new and accepted");
        }
        self.desk.all_arrived.notified().await;
    }
}

#[derive(Clone, Copy)]
enum Pace {
    /// So many published and not yet delivered.
    Outstanding,
    /// So many a second.
    PerSecond(u64),
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

async fn set_up(server: &Server, url: &str) -> Client {
    let service = server.client("service", "*", &[]).await;
    for at in 0..ACCOUNTS {
        let id = format!("bench-{at}");
        service.create_account(&id, pb::Plan::Enterprise).await.expect("creates");
        let admin = server.client("global_admin", &id, &["--user", "1"]).await;
        admin.create_webhook(&id, "hook", url).await.expect("creates");
        let mut one = automation(&id, "hook", "deal", pb::EventAction::Change, BODY);
        one.conditions = Some(pb::ConditionGroup {
            r#match: pb::ConditionMatch::All.into(),
            conditions: vec![pb::Condition {
                kind: Some(pb::condition::Kind::Clause(pb::Clause {
                    field: "stage_id".into(),
                    operator: pb::Operator::Changed.into(),
                    values: Vec::new(),
                })),
            }],
        });
        admin.create_automation(&id, one).await.expect("creates");
    }
    service
}

async fn run() {
    let count = number("HOOKLINE_BENCH_EVENTS", 20_000);
    if let Ok(url) = std::env::var(RAW_URL) {
        return run_raw(url, count).await;
    }
    let rounds = number("HOOKLINE_BENCH_ROUNDS", 5);
    let desk = Arc::new(Desk::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let app = Router::new().fallback(receive).with_state(Arc::clone(&desk));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let database = Database::sqlite();
    let server = Server::start(&database, &["--plan-executions", "4000000000,4000000000,4000000000,4000000000"]).await;
    let sample: serde_json::Value =
        serde_json::from_str(include_str!("../tests/samples/v2-change-deal-custom-field.json")).expect("JSON");
    let payload = sample["data"].to_string();
    let loader = Loader {
        client: set_up(&server, &url).await,
        desk: Arc::clone(&desk),
        next_event: AtomicU64::new(0),
        payload: payload.trim_start_matches('{').to_owned(),
    };
    loader.run(1_024, Pace::Outstanding).await;
    let body = desk.sample.lock().expect("unpoisoned").clone();
    println!("{rounds} rounds of {count} events of {} B, each a request of {} B of JSON", payload.len(), body.len());
    println!(
        "{:>5} {:>12} {:>9} {:>12} {:>9} {:>7} {:>7} {:>8} {:>8}",
        "", "hookline/s", "CPU µs", "raw/s", "CPU µs", "rate", "CPU", "p50 ms", "p99 ms"
    );
    let mut rows = Vec::new();
    for round in 1..=rounds {
        let (begun, before) = (Instant::now(), cpu_ms(server.pid()));
        loader.run(count, Pace::Outstanding).await;
        let full = measured(count, begun, cpu_ms(server.pid()) - before);
        *desk.room.lock().expect("unpoisoned") = None;
        let raw = measure_raw(&url, body.clone(), count).await;
        let rate = full.per_second as u64 * PACED_PERCENT / 100;
        loader.run(rate * PACED_SECONDS, Pace::PerSecond(rate)).await;
        let row = [
            full.per_second,
            full.cpu_us,
            raw.per_second,
            raw.cpu_us,
            full.per_second / raw.per_second,
            full.cpu_us / raw.cpu_us,
            desk.percentile_ms(50),
            desk.percentile_ms(99),
        ];
        print_row(&round.to_string(), &row);
        rows.push(row);
    }
    let medians: Vec<_> = (0..8).map(|at| median(rows.iter().map(|row| row[at]))).collect();
    print_row("mid", &medians);
    println!("rate and CPU: hookline / raw; latency from publish to arrival at {PACED_PERCENT} % of the round's rate");
    assert!(server.terminate().await, "the server ends in order");
}

fn print_row(name: &str, row: &[f64]) {
    println!(
        "{name:>5} {:>12.0} {:>9.0} {:>12.0} {:>9.0} {:>7.2} {:>7.2} {:>8.1} {:>8.1}",
        row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7]
    );
}

fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime").block_on(run());
}
