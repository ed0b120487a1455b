//! The attack rig: strangers, tenants and endpoints that mean no good, all at once and at full size, while honest callers go
//! on. `./tests/run attack` runs it against the optimised binary. Everything stays on the loopback, is counted, and ends by
//! itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use hookline::grpc::pb;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    task::JoinSet,
};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};

use crate::{
    harness::{Client, Database, Receiver, Server, automation, deal},
    operations::http,
    strangers::{bomb, call, compressed, connection, memory_peak_kib, request},
};

/// How long it goes on.
const ATTACK: Duration = Duration::from_secs(40);
/// What the process may take at most, whatever happens.
const MEMORY_MIB_MAX: u64 = 512;
/// How long an admin's call may take meanwhile.
const ADMIN_CALL_MAX: Duration = Duration::from_secs(1);
const BATCH: &str = "/hookline.v1.EventService/PublishBatch";

/// What is counted meanwhile.
#[derive(Default)]
struct Counts {
    over: AtomicBool,
    bombs: AtomicUsize,
    sockets: AtomicUsize,
    watches: AtomicUsize,
    halves: AtomicUsize,
    lists: AtomicUsize,
    frames: AtomicUsize,
    pages: AtomicUsize,
    admin_calls: AtomicUsize,
}

impl Counts {
    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::SeqCst)
    }
}

fn more(count: &AtomicUsize) {
    count.fetch_add(1, Ordering::SeqCst);
}

/// Something is done again and again until it is over.
macro_rules! again {
    ($attacks:ident, $counts:ident, $times:expr, $count:ident, [$($shared:ident),*] $body:block) => {
        for _ in 0..$times {
            let counts = Arc::clone(&$counts);
            $(let $shared = $shared.clone();)*
            $attacks.spawn(async move {
                while counts.goes_on() {
                    $(let $shared = $shared.clone();)*
                    let step = tokio::time::timeout(Duration::from_secs(20), async move $body);
                    let _ = step.await;
                    more(&counts.$count);
                }
            });
        }
    };
}

async fn raw_connection(address: std::net::SocketAddr) -> Option<h2::client::SendRequest<Bytes>> {
    let socket = TcpStream::connect(address).await.ok()?;
    let (client, connection) = h2::client::handshake(socket).await.ok()?;
    tokio::spawn(connection);
    client.ready().await.ok()
}

/// Events as fast as they are taken, whatever is acknowledged.
async fn publish(service: &Client, counts: &Counts) {
    let (sender, frames) = tokio::sync::mpsc::channel(8);
    let Ok(answers) = service.events().publish(service.ask(ReceiverStream::new(frames))).await else { return };
    let reading = tokio::spawn(async move {
        let mut answers = answers.into_inner();
        while let Some(Ok(_)) = answers.next().await {}
    });
    for sequence in 1.. {
        if !counts.goes_on() {
            break;
        }
        let event = |at: u64| {
            deal(
                &uuid::Uuid::now_v7().to_string(),
                &format!("{at}"),
                &format!(r#"{{"text": "{}"}}"#, "x".repeat(2_000)),
            )
        };
        let frame = pb::PublishRequest {
            sequence,
            parent: "accounts/42".into(),
            events: (0..200).map(event).collect(),
            accepts_retry_later: false,
        };
        if sender.send(frame).await.is_err() {
            break;
        }
        more(&counts.frames);
    }
    drop(sender);
    reading.abort();
}

/// Says how much of each there was.
fn report(counts: &Counts, peak_mib: u64, slowest: Duration, slowest_page: Duration) {
    let number = |count: &AtomicUsize| count.load(Ordering::SeqCst);
    println!(
        "{} s: peak {peak_mib} MiB; slowest call of an admin {slowest:?} of {} pairs, of /livez {slowest_page:?}\n\
         {} bombs, {} rounds of 200 sockets, {} of 750 watches, {} half messages, {} lists and tests, {} pipelines, \
         {} frames of 200 events",
        ATTACK.as_secs(),
        number(&counts.admin_calls),
        number(&counts.bombs),
        number(&counts.sockets),
        number(&counts.watches),
        number(&counts.halves),
        number(&counts.lists),
        number(&counts.pages),
        number(&counts.frames),
    );
}

/// An admin's calls and the health page while all of it goes on: the slowest of each.
async fn looks(server: &Server, admin: &Client, counts: &Counts) -> (Duration, Duration) {
    let begun = Instant::now();
    let (mut slowest, mut slowest_page) = (Duration::ZERO, Duration::ZERO);
    let mut looks = tokio::time::interval(Duration::from_millis(250));
    while begun.elapsed() < ATTACK {
        looks.tick().await;
        let at = Instant::now();
        let webhook = pb::GetWebhookRequest { name: "accounts/44/webhooks/hook".into() };
        admin.webhooks().get_webhook(admin.ask(webhook)).await.expect("an admin reads");
        slowest = slowest.max(at.elapsed());
        let at = Instant::now();
        let update = pb::UpdateWebhookRequest {
            webhook: Some(pb::Webhook {
                name: "accounts/44/webhooks/hook".into(),
                display_name: format!("{at:?}"),
                ..Default::default()
            }),
            ..Default::default()
        };
        admin.webhooks().update_webhook(admin.ask(update)).await.expect("an admin changes");
        slowest = slowest.max(at.elapsed());
        more(&counts.admin_calls);
        let at = Instant::now();
        let page = http().get(format!("{}livez", server.operations)).timeout(Duration::from_secs(5)).send().await;
        assert!(page.as_ref().is_ok_and(|page| page.status().is_success()), "health can be asked: {page:?}");
        slowest_page = slowest_page.max(at.elapsed());
    }
    (slowest, slowest_page)
}

/// Three accounts, one of them hostile: its admin, and the one of the third.
async fn tenants(server: &Server, service: &Client, url: &str, hanging: &str) -> (Client, Client) {
    for (account, url) in [("42", url), ("43", hanging), ("44", url)] {
        service.create_account(account, pb::Plan::Enterprise).await.expect("creates");
        let admin = server.client("global_admin", account, &["--user", "1"]).await;
        admin.create_webhook(account, "hook", url).await.expect("creates");
        let one = automation(account, "hook", "deal", pb::EventAction::Change, r#"{"t": {{deal.text}}}"#);
        admin.create_automation(account, one).await.expect("creates");
    }
    let tester = server.client("global_admin", "43", &["--user", "1"]).await;
    for at in 0..20 {
        let id = format!("silent{at}");
        tester.create_webhook("43", &id, &format!("http://name{at}.example.com/")).await.expect("creates");
    }
    let admin = server.client("global_admin", "44", &["--user", "1"]).await;
    (tester, admin)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "forty seconds of everything: ./tests/run attack"]
async fn everything_at_once_is_survived() {
    let database = Database::sqlite();
    let silent = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let names = silent.local_addr().expect("an address").to_string();
    let flags = ["--dns-servers", &names, "--connections-of-address-max", "600", "--retry-delays-ms", "500,500"];
    let flags = [&flags[..], &["--http-listen", "127.0.0.1:0"]].concat();
    let server = Arc::new(Server::start(&database, &flags).await);
    let address = server.address;
    let service = server.client("service", "*", &[]).await;
    let hostile = format!("Bearer {}", server.token("service", "43", &[]));
    let hanging = Receiver::start().await;
    hanging.hold();
    let receiver = Receiver::start().await;
    let (tester, admin) = tenants(&server, &service, &receiver.url, &hanging.url).await;
    let counts = Arc::new(Counts::default());
    let mut attacks = JoinSet::new();

    let bomb = bomb();
    again!(attacks, counts, 4, bombs, [bomb] {
        if let Some(mut client) = raw_connection(address).await {
            call(&mut client, BATCH, &[("grpc-encoding", "gzip")], bomb).await;
        }
    });
    again!(attacks, counts, 2, lists, [bomb, hostile] {
        let Some(mut client) = raw_connection(address).await else { return };
        let headers = [("grpc-encoding", "gzip"), ("authorization", hostile.as_str())];
        call(&mut client, BATCH, &headers, bomb).await;
        let names = compressed(&[0x22, 0x00].repeat(1_000_000));
        call(&mut client, "/hookline.v1.ExecutionService/ListExecutions", &headers, names).await;
    });
    again!(attacks, counts, 2, sockets, [] {
        let mut open = Vec::new();
        for _ in 0..200 {
            if let Ok(socket) = TcpStream::connect(address).await {
                open.push(socket);
            }
        }
        tokio::time::timeout(Duration::from_secs(2), std::future::pending::<()>()).await.ok();
    });
    again!(attacks, counts, 4, watches, [] {
        let Some(client) = raw_connection(address).await else { return };
        let mut open = Vec::new();
        for _ in 0..750 {
            let Ok(mut client) = client.clone().ready().await else { break };
            let Ok((answer, mut body)) = client.send_request(request("/grpc.health.v1.Health/Watch", &[]), false)
            else {
                break;
            };
            let _ = body.send_data(Bytes::from_static(&[0; 5]), true);
            open.push(answer);
        }
    });
    again!(attacks, counts, 48, halves, [hostile] {
        let Some(mut client) = raw_connection(address).await else { return };
        let sent = client.send_request(request(BATCH, &[("authorization", &hostile)]), false);
        let Ok((answer, mut body)) = sent else { return };
        let half = [&[0, 0, 0x3f, 0xff, 0xff][..], &[7; 500_000]].concat();
        let _ = body.send_data(half.into(), false);
        let _ = answer.await;
    });
    again!(attacks, counts, 8, lists, [tester] {
        for name in ["hook", "silent1", "silent2"] {
            let test = pb::TestWebhookRequest { name: format!("accounts/43/webhooks/{name}") };
            let _ = tester.webhooks().test_webhook(tester.ask(test)).await;
        }
    });
    let web = server.http.trim_start_matches("http://").to_owned();
    again!(attacks, counts, 48, halves, [hostile, web] {
        let Ok(mut socket) = TcpStream::connect(&web).await else { return };
        let head = format!("POST {BATCH} HTTP/1.1\r\nhost: x\r\nauthorization: {hostile}\r\ncontent-type: application/json\r\n");
        let half = format!("{head}content-length: 5000000\r\n\r\n{}", " ".repeat(500_000));
        let _ = socket.write_all(half.as_bytes()).await;
        let _ = socket.read(&mut [0; 64]).await;
    });
    again!(attacks, counts, 2, bombs, [hostile, web] {
        let path = format!("http://{web}/v1/accounts/43/events");
        let zipped = compressed(&vec![b'['; 20_000_000]);
        let request = http().post(path).header("authorization", &hostile).header("content-type", "application/json");
        let _ = request.header("content-encoding", "gzip").body(zipped.slice(5..)).send().await;
    });
    again!(attacks, counts, 32, sockets, [web] {
        let Ok(mut socket) = TcpStream::connect(&web).await else { return };
        for byte in b"POST / HTTP/1.1\r\nhost: " {
            if socket.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::timeout(Duration::from_millis(500), std::future::pending::<()>()).await.ok();
        }
    });
    let operations = server.operations.trim_start_matches("http://").trim_end_matches('/').to_owned();
    again!(attacks, counts, 64, pages, [operations] {
        if let Ok(mut socket) = TcpStream::connect(&operations).await {
            let pipeline = "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".repeat(500);
            let _ = tokio::time::timeout(Duration::from_secs(5), socket.write_all(pipeline.as_bytes())).await;
        }
    });
    for _ in 0..4 {
        let (counts, service) = (Arc::clone(&counts), server.client("service", "*", &[]).await);
        attacks.spawn(async move { publish(&service, &counts).await });
    }

    let (slowest, slowest_page) = looks(&server, &admin, &counts).await;
    counts.over.store(true, Ordering::SeqCst);
    attacks.shutdown().await;
    let peak_mib = memory_peak_kib(&server) / 1_024;
    report(&counts, peak_mib, slowest, slowest_page);
    // Once it is over everything works as before.
    let mut fresh = connection(&server).await;
    let checked = call(&mut fresh, "/grpc.health.v1.Health/Check", &[], Bytes::from_static(&[0; 5])).await;
    assert_eq!(checked, Some(tonic::Code::Ok));
    assert!(peak_mib < MEMORY_MIB_MAX, "{peak_mib} MiB");
    assert!(slowest < ADMIN_CALL_MAX, "an admin waited for {slowest:?}");
}
