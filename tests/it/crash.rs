//! `kill -9` at seeded moments, while events stream in, admins call and endpoints answer, fail, throttle, hang and hang up:
//! nothing acknowledged is lost, nothing is recorded twice, and what the API tells agrees with itself.
//!
//! Five rounds run with every test; `tests/run crash 200` runs as many as it is told. HOOKLINE_CRASH_SEED replays the
//! seed that a failing round has printed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hookline::grpc::pb;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_stream::StreamExt;

use crate::harness::{Client, Database, Receiver, Server, automation, deal, eventually, next};

crate::on_both_databases!(what_is_acknowledged_survives_kills);

const ROUNDS: u64 = 5;
/// How many events a round wants to publish to each account.
const EVENTS_PER_ROUND: u64 = 60;
const ACCOUNTS: [&str; 2] = ["42", "43"];
/// How many requests of an account may be under way: what a kill can send twice.
const IN_FLIGHT_MAX: u64 = 64;
/// How many executions a window admits.
const PER_WINDOW: u32 = 600;
const FLAGS: [&str; 14] = [
    "--lease-ms",
    "3000",
    "--request-deadline-ms",
    "1000",
    "--retry-delays-ms",
    "50,100,200",
    "--breaker-open-ms",
    "100",
    "--execution-window-ms",
    "3000",
    "--shutdown-grace-ms",
    "500",
    // Each round makes one.
    "--plan-automation-webhooks",
    "1000,1000,1000,1000",
];

/// How long it may take until everything has ended that the rounds have begun.
const DRAIN_MAX: Duration = Duration::from_secs(900);
const UNFINISHED: [pb::ExecutionState; 4] = [
    pb::ExecutionState::Pending,
    pb::ExecutionState::Running,
    pb::ExecutionState::Retrying,
    pb::ExecutionState::Paused,
];

/// Numbers that look random and are the same at every run.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// When a round's process is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// While it starts.
    Start,
    /// Within the first tenth of a second of serving.
    First,
    /// While events stream in.
    Load,
    /// After the last event, while requests are sent.
    Drain,
    /// While it shuts down.
    Shutdown,
}

const MOMENTS: [Moment; 5] = [Moment::Start, Moment::First, Moment::Load, Moment::Drain, Moment::Shutdown];

/// What was promised so far.
#[derive(Default)]
struct Promised {
    acknowledged: BTreeMap<&'static str, BTreeSet<u64>>,
    wanted: BTreeMap<&'static str, BTreeSet<u64>>,
    kills: u64,
}

/// The endpoints that do not simply answer.
struct Endpoints {
    receiver: Receiver,
    hangs_up: Arc<AtomicBool>,
    hangs_up_url: String,
}

impl Endpoints {
    async fn start() -> Self {
        let hangs_up = Arc::<AtomicBool>::default();
        let hangs_up_url = hanging_up(Arc::clone(&hangs_up)).await;
        Self { receiver: Receiver::start().await, hangs_up, hangs_up_url }
    }

    /// Each does from now on what its name says, or all of them answer. Were they never well, they would be left alone for
    /// ever longer.
    fn are_well(&self, well: bool) {
        self.hangs_up.store(!well, Ordering::SeqCst);
        if well {
            self.receiver.answer_alike();
            self.receiver.release();
        } else {
            self.receiver.answer_at("/fails/", 503);
            self.receiver.answer_at("/throttles/", 429);
            self.receiver.hold_at("/hangs/");
        }
    }
}

/// An endpoint that takes each request and hangs up, as long as it is told to.
async fn hanging_up(hangs_up: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let hangs_up = Arc::clone(&hangs_up);
            tokio::spawn(async move {
                let mut bytes = [0; 4_096];
                let _ = stream.read(&mut bytes).await;
                if !hangs_up.load(Ordering::SeqCst) {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                    let _ = stream.write_all(answer).await;
                }
            });
        }
    });
    url
}

/// Publishes events one a frame until the stream ends. Answers which were acknowledged.
async fn publish(client: Client, account: &'static str, wanted: Vec<u64>) -> Vec<u64> {
    let frames: Vec<_> = (1_u64..)
        .zip(&wanted)
        .map(|(sequence, number)| pb::PublishRequest {
            sequence,
            parent: format!("accounts/{account}"),
            events: vec![deal(&format!("e{number}"), &number.to_string(), &format!(r#"{{"n": {number}}}"#))],
            accepts_retry_later: false,
        })
        .collect();
    let Ok(answers) = client.events().publish(client.ask(tokio_stream::iter(frames))).await else {
        return Vec::new();
    };
    let mut answers = answers.into_inner();
    let mut acked = 0;
    while let Some(Ok(answer)) = answers.next().await {
        acked = answer.acked_sequence;
    }
    wanted.into_iter().take(usize::try_from(acked).expect("fits")).collect()
}

async fn set_up(server: &Server, Endpoints { receiver, hangs_up_url, .. }: &Endpoints) {
    let service = server.client("service", "*", &[]).await;
    for account in ACCOUNTS {
        service.create_account(account, pb::Plan::Enterprise).await.expect("creates");
        let admin = server.client("global_admin", account, &["--user", "1"]).await;
        for (id, url) in [
            ("ok", format!("{}ok/", receiver.url)),
            ("fails", format!("{}fails/", receiver.url)),
            ("throttles", format!("{}throttles/", receiver.url)),
            ("hangs", format!("{}hangs/", receiver.url)),
            ("hangs-up", hangs_up_url.clone()),
        ] {
            admin.create_webhook(account, id, &url).await.expect("creates");
            let one = automation(account, id, "deal", pb::EventAction::Change, "[{{deal.n}}]");
            // All of them run for each event; the healthy one is what must arrive.
            let one = pb::Automation { display_name: id.into(), ..one };
            admin.create_automation(account, one).await.expect("creates");
        }
    }
    let limits = pb::AccountLimits { executions_per_window: Some(PER_WINDOW), ..pb::AccountLimits::default() };
    let request = pb::SetAccountLimitsRequest {
        name: "accounts/43".into(),
        limit_overrides: Some(limits),
        ..pb::SetAccountLimitsRequest::default()
    };
    service.accounts().set_account_limits(service.ask(request)).await.expect("sets");
}

/// Makes a webhook with a key of its own; answered or not, it has one effect.
async fn create(admin: &Client, account: &str, round: u64) -> Result<(), tonic::Status> {
    let webhook = pb::Webhook {
        display_name: format!("round {round}"),
        kind: pb::WebhookKind::Automation.into(),
        endpoint_url: "http://127.0.0.1:9/".into(),
        ..pb::Webhook::default()
    };
    let request = pb::CreateWebhookRequest {
        parent: format!("accounts/{account}"),
        webhook: Some(webhook),
        request_id: format!("round-{round}"),
        ..pb::CreateWebhookRequest::default()
    };
    admin.webhooks().create_webhook(admin.ask(request)).await.map(drop)
}

/// One life of the process, and its end.
async fn live(database: &Database, round: u64, seeded: &mut Seeded, promised: &mut Promised) {
    let moment = MOMENTS[usize::try_from(seeded.below(5)).expect("fits")];
    let pause = Duration::from_millis(seeded.below(100));
    println!("round {round}: killed at {moment:?} after {pause:?}");
    promised.kills += 1;
    if matches!(moment, Moment::Start) {
        let server = Server::spawn(database, &FLAGS, &[]).await;
        tokio::time::sleep(pause).await;
        return server.kill().await;
    }
    let server = Server::start(database, &FLAGS).await;
    let mut publishers = Vec::new();
    for account in ACCOUNTS {
        let wanted = promised.wanted.entry(account).or_default();
        wanted.extend(round * EVENTS_PER_ROUND..(round + 1) * EVENTS_PER_ROUND);
        let client = server.client("service", "*", &[]).await;
        publishers.push((account, tokio::spawn(publish(client, account, wanted.iter().copied().collect()))));
    }
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    let calls = tokio::spawn(async move { create(&admin, "42", round).await });
    match moment {
        Moment::Start | Moment::First => tokio::time::sleep(pause).await,
        Moment::Load => tokio::time::sleep(pause * 10).await,
        Moment::Drain | Moment::Shutdown => {
            // A stream ends once all of it is acknowledged.
            while publishers.iter().any(|(_, publisher)| !publisher.is_finished()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            if matches!(moment, Moment::Shutdown) {
                server.signal().await;
            }
            tokio::time::sleep(pause * 5).await;
        }
    }
    server.kill().await;
    let _ = calls.await;
    for (account, publisher) in publishers {
        for number in publisher.await.expect("publishes") {
            promised.wanted.entry(account).or_default().remove(&number);
            promised.acknowledged.entry(account).or_default().insert(number);
        }
    }
}

async fn what_is_acknowledged_survives_kills(database: Database) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let rounds = number("HOOKLINE_CRASH_ROUNDS").unwrap_or(ROUNDS);
    let seed = number("HOOKLINE_CRASH_SEED").unwrap_or(7);
    println!("seed {seed}, {rounds} rounds");
    let endpoints = Endpoints::start().await;
    let server = Server::start(&database, &FLAGS).await;
    set_up(&server, &endpoints).await;
    server.kill().await;
    let mut seeded = Seeded(seed);
    let mut promised = Promised { kills: 1, ..Promised::default() };
    for round in 0..rounds {
        endpoints.are_well(round % 2 == 1);
        live(&database, round, &mut seeded, &mut promised).await;
    }
    endpoints.are_well(true);
    let receiver = &endpoints.receiver;
    let server = Server::start(&database, &FLAGS).await;
    let service = server.client("service", "*", &[]).await;
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    for round in 0..rounds {
        eventually("the call is answered", || async { create(&admin, "42", round).await.ok() }).await;
    }
    let request = pb::ListWebhooksRequest { parent: "accounts/42".into(), page_size: 1_000, ..Default::default() };
    let webhooks = admin.webhooks().list_webhooks(admin.ask(request)).await.expect("lists").into_inner().webhooks;
    let made = webhooks.iter().filter(|webhook| webhook.display_name.starts_with("round")).count();
    assert_eq!(made as u64, rounds, "each key has one effect");
    for account in ACCOUNTS {
        reconcile(&service, account, &promised, receiver).await;
    }
    assert!(server.terminate().await);
    let acknowledged: usize = promised.acknowledged.values().map(BTreeSet::len).sum();
    println!("{} kills, {acknowledged} events acknowledged, {} requests arrived", promised.kills, receiver.got().len());
    assert!(rounds < 5 || acknowledged > 0, "something was acknowledged");
}

/// What the API tells of an account agrees with what was acknowledged, with what has arrived, and with itself.
async fn reconcile(service: &Client, account: &'static str, promised: &Promised, receiver: &Receiver) {
    // What many rounds have left behind takes its windows.
    let all_end = async {
        loop {
            let request = pb::CountExecutionsRequest { parent: format!("accounts/{account}") };
            let counts = service.executions().count_executions(service.ask(request)).await.expect("counts");
            let unfinished = counts.into_inner().counts.into_iter().filter(|one| UNFINISHED.contains(&one.state()));
            if unfinished.map(|one| one.count).sum::<u64>() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(DRAIN_MAX, all_end).await.expect("every execution ends");
    let history = service.history(account).await;
    assert!(history.iter().all(|execution| execution.end_time.is_some()), "what has ended is shown so");
    let mut runs: HashMap<(&str, &str), u32> = HashMap::new();
    for execution in &history {
        *runs.entry((execution.event_id.as_str(), execution.source_display_name.as_str())).or_default() += 1;
    }
    assert!(runs.values().all(|count| *count == 1), "each match has one execution");
    for number in promised.acknowledged.get(account).into_iter().flatten() {
        for source in ["ok", "fails", "throttles", "hangs", "hangs-up"] {
            let event = format!("e{number}");
            assert!(runs.contains_key(&(event.as_str(), source)), "{account}: {event} of {source} was acknowledged");
        }
    }
    for execution in history.iter().filter(|execution| execution.source_display_name == "ok") {
        assert_eq!(execution.state(), pb::ExecutionState::Succeeded, "{account}: {}", execution.event_id);
    }
    // What has arrived is what is recorded, and no more than kills can have doubled.
    let mut arrived: HashMap<String, Vec<String>> = HashMap::new();
    for got in receiver.got() {
        let id = got.headers["webhook-id"].to_str().expect("text").to_owned();
        arrived.entry(id).or_default().push(got.body.clone());
    }
    let (mut sends, mut attempts) = (0, 0);
    for execution in history.iter().filter(|execution| execution.source_display_name != "hangs-up") {
        let id = format!("{}-1", execution.name.rsplit('/').next().expect("an id").replacen("ex-", "rq-", 1));
        let bodies = arrived.get(&id).cloned().unwrap_or_default();
        assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "the same bytes each time");
        assert!(!bodies.is_empty() || execution.state() != pb::ExecutionState::Succeeded, "{id} was sent");
        if !bodies.is_empty() {
            sends += bodies.len() as u64;
            let shown = service.execution(&execution.name).await;
            attempts += shown.requests.iter().map(|request| request.attempts.len() as u64).sum::<u64>();
        }
    }
    let doubled_max = promised.kills * 2 * IN_FLIGHT_MAX;
    assert!(sends <= attempts + doubled_max, "{sends} sends, {attempts} attempts, {} kills", promised.kills);
    let request = pb::CountExecutionsRequest { parent: format!("accounts/{account}") };
    let counts = service.executions().count_executions(service.ask(request)).await.expect("counts").into_inner().counts;
    let mut listed: HashMap<i32, u64> = HashMap::new();
    for execution in &history {
        *listed.entry(execution.state).or_default() += 1;
    }
    for one in counts {
        assert_eq!(one.count, listed.get(&one.state).copied().unwrap_or_default(), "{:?}", one.state());
    }
    let states: HashMap<_, _> = history.iter().map(|execution| (execution.name.clone(), execution.state)).collect();
    let request = pb::WatchRequest { parent: format!("accounts/{account}"), ..pb::WatchRequest::default() };
    let mut watched = service.watches().watch(service.ask(request)).await.expect("watches").into_inner();
    let mut seen = HashMap::new();
    while seen != states {
        let answer = next(&mut watched).await.expect("goes on").expect("an answer");
        if let Some(pb::watch_response::Change::Execution(execution)) = answer.change {
            seen.insert(execution.name.clone(), execution.state);
        }
    }
    println!("account {account}: {} executions, {sends} sends, {attempts} attempts", history.len());
}
