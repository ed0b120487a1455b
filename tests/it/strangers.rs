//! What strangers try, and callers with a token who mean no good: before a caller is known nothing costs much, and after it
//! everything has a bound. `./tests/run attack` does the same at full size.

use std::{io::Write, time::Duration};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use h2::client::SendRequest;
use hookline::grpc::pb;
use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::Code;

use crate::harness::{Database, Receiver, Server, account_42, automation, deal, eventually, reason};

/// How much more memory an attack may cost the process, in KiB.
const MEMORY_KIB_MAX: u64 = 96 * 1024;
const BATCH: &str = "/hookline.v1.EventService/PublishBatch";

/// The most memory that a process ever had, in KiB. Linux counts it to within a few pages a core: where nothing has grown, a
/// later reading may be a little smaller.
pub fn memory_peak_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

/// A message as it goes over the wire, compressed.
pub fn compressed(message: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(message).expect("compresses");
    let body = encoder.finish().expect("compresses");
    let length = u32::try_from(body.len()).expect("fits").to_be_bytes();
    [&[1][..], &length, &body].concat().into()
}

/// A batch of two million empty events.
pub fn bomb() -> Bytes {
    compressed(&[0x12, 0x00].repeat(2_000_000))
}

/// A bare connection of HTTP/2.
pub async fn connection(server: &Server) -> SendRequest<Bytes> {
    let socket = TcpStream::connect(server.address).await.expect("connects");
    let (client, connection) = h2::client::handshake(socket).await.expect("a handshake");
    tokio::spawn(connection);
    client.ready().await.expect("ready")
}

pub fn request(path: &str, headers: &[(&str, &str)]) -> http::Request<()> {
    let mut request = http::Request::post(format!("http://localhost{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request")
}

/// Sends a whole message. Answers the gRPC code, or none where the stream was reset.
pub async fn call(
    client: &mut SendRequest<Bytes>,
    path: &str,
    headers: &[(&str, &str)],
    message: Bytes,
) -> Option<Code> {
    let (answer, mut body) = client.send_request(request(path, headers), false).expect("sends");
    let _ = body.send_data(message, true);
    code_of(answer).await
}

async fn code_of(answer: h2::client::ResponseFuture) -> Option<Code> {
    let answer = tokio::time::timeout(Duration::from_secs(30), answer).await.expect("in time").ok()?;
    let of = |headers: &http::HeaderMap| headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()));
    if let Some(code) = of(answer.headers()) {
        return Some(code);
    }
    let mut body = answer.into_body();
    while let Some(chunk) = body.data().await {
        let _ = body.flow_control().release_capacity(chunk.ok()?.len());
    }
    of(&body.trailers().await.ok()??)
}

/// Whether a socket is closed by the other side in time.
async fn is_closed(socket: &mut TcpStream, within: Duration) -> bool {
    let mut rest = Vec::new();
    tokio::time::timeout(within, socket.read_to_end(&mut rest)).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stranger_sends_is_never_read() {
    let database = Database::sqlite();
    let server = Server::start(&database, &[]).await;
    let before = memory_peak_kib(&server);
    let (gzip, bad) = (("grpc-encoding", "gzip"), ("authorization", "Bearer x.y.z"));
    let attacks = (0..6).map(|at| {
        let headers = if at % 2 == 0 { vec![gzip] } else { vec![gzip, bad] };
        let server = &server;
        async move { call(&mut connection(server).await, BATCH, &headers, bomb()).await }
    });
    for code in futures::future::join_all(attacks).await {
        assert_eq!(code, Some(Code::Unauthenticated));
    }
    // No method lets a stranger in, nor does one that does not exist, nor reflection.
    let mut client = connection(&server).await;
    for path in [
        "/hookline.v1.AccountService/ListAccounts",
        "/hookline.v1.WatchService/Watch",
        "/no.such.Service/Method",
        "/",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ] {
        assert_eq!(call(&mut client, path, &[], bomb()).await, Some(Code::Unauthenticated), "{path}");
    }
    assert_eq!(
        call(&mut client, "/grpc.health.v1.Health/Check", &[], Bytes::from_static(&[0; 5])).await,
        Some(Code::Ok)
    );
    let large = compressed(&[0; 1_000_000]);
    let health = call(&mut client, "/grpc.health.v1.Health/Check", &[gzip], large).await;
    assert_ne!(health, Some(Code::Ok), "health takes small questions only");
    let grown = memory_peak_kib(&server).saturating_sub(before);
    assert!(grown < MEMORY_KIB_MAX, "{grown} KiB more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_a_caller_is_counted_before_it_is_built() {
    let database = Database::sqlite();
    let server = Server::start(&database, &[]).await;
    let service = format!("Bearer {}", server.token("service", "*", &[]));
    let admin = format!("Bearer {}", server.token("global_admin", "42", &["--user", "1"]));
    let before = memory_peak_kib(&server);
    let mut client = connection(&server).await;
    let gzip = ("grpc-encoding", "gzip");
    // The last one is said of what is too large only once it is inflated.
    let many = [Code::InvalidArgument, Code::OutOfRange, Code::ResourceExhausted].map(Some);
    let code = call(&mut client, BATCH, &[gzip, ("authorization", &service)], bomb()).await;
    assert!(many.contains(&code), "{code:?}");
    let automation = |inner: &[u8]| {
        let parent = pb::CreateAutomationRequest { parent: "accounts/42".into(), ..Default::default() }.encode_to_vec();
        let mut message = parent;
        message.push(0x1a);
        prost::encoding::encode_varint(inner.len() as u64, &mut message);
        message.extend_from_slice(inner);
        message
    };
    // A million empty actions, fields and paths of a mask, each in a call that may have a megabyte.
    let actions = automation(&[0x32, 0x00].repeat(500_000));
    let fields = [&[0x0a, 11][..], b"accounts/42", &[0x12, 4], b"deal", &[0x1a, 0x00].repeat(500_000)].concat();
    let mask = pb::UpdateWebhookRequest {
        webhook: Some(pb::Webhook { name: "accounts/42/webhooks/hook".into(), ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec![String::new(); 300_000] }),
        ..Default::default()
    };
    let names: Vec<u8> =
        pb::ListExecutionsRequest { reasons: vec![String::new(); 1_000_000], ..Default::default() }.encode_to_vec();
    for (path, token, message) in [
        ("/hookline.v1.AutomationService/CreateAutomation", &admin, actions),
        ("/hookline.v1.CatalogueService/SetFields", &service, fields),
        ("/hookline.v1.WebhookService/UpdateWebhook", &admin, mask.encode_to_vec()),
        ("/hookline.v1.ExecutionService/ListExecutions", &admin, names),
    ] {
        let code = call(&mut client, path, &[gzip, ("authorization", token)], compressed(&message)).await;
        assert!(many.contains(&code), "{path}: {code:?}");
    }
    let grown = memory_peak_kib(&server).saturating_sub(before);
    assert!(grown < MEMORY_KIB_MAX, "{grown} KiB more");
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_end_and_never_take_the_files_that_requests_need() {
    let database = Database::sqlite();
    let few = ["prlimit", "--nofile=128:128"];
    let quick =
        ["--preface-timeout-ms", "2000", "--stranger-timeout-ms", "2000", "--connections-of-address-max", "1000"];
    let server = Server::start_under(&few, &database, &quick).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    admin
        .create_automation("42", automation("42", "hook", "deal", pb::EventAction::Change, "{}"))
        .await
        .expect("creates");
    let mut idle = Vec::new();
    for at in 0..300 {
        let mut socket = TcpStream::connect(server.address).await.expect("connects");
        if at % 2 == 0 {
            let _ = socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").await;
        }
        idle.push(socket);
    }
    let events = (0..20).map(|at| deal(&format!("e{at}"), "8", "{}")).collect();
    service.publish("42", events).await.expect("a known caller is served");
    eventually("every request arrives", || async { (receiver.got().len() == 20).then_some(()) }).await;
    for execution in service.history("42").await {
        let full = service.execution(&execution.name).await;
        assert!(full.requests.iter().all(|request| request.attempts.len() <= 1), "at the first try: {full:?}");
    }
    let mut newest = [idle.pop().expect("one"), idle.pop().expect("one")];
    for socket in &mut newest {
        assert!(is_closed(socket, Duration::from_secs(20)).await, "whoever says nothing is not kept");
    }
    admin.history("42").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_a_connection_and_health_watches_are_bounded() {
    let database = Database::sqlite();
    let server = Server::start(&database, &["--streams-of-connection-max", "50"]).await;
    let mut client = connection(&server).await;
    let mut open = Vec::new();
    for _ in 0..300 {
        let Ok(ready) = tokio::time::timeout(Duration::from_millis(200), client.clone().ready()).await else { break };
        client = ready.expect("lives");
        let sent = client.send_request(request("/grpc.health.v1.Health/Watch", &[]), false);
        let (answer, mut body) = sent.expect("sends");
        let _ = body.send_data(Bytes::from_static(&[0; 5]), true);
        let answer = tokio::time::timeout(Duration::from_secs(5), answer).await.expect("in time").expect("answers");
        if !answer.headers().contains_key("grpc-status") {
            open.push(answer);
        }
    }
    assert!(open.len() <= 10, "{} watches are open without a token", open.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_at_once_are_bounded_and_each_caller_has_their_own() {
    let database = Database::sqlite();
    let server = Server::start(&database, &["--calls-of-caller-max", "3", "--calls-max", "100"]).await;
    let service = server.client("service", "*", &[]).await;
    service.create_account("42", pb::Plan::Power).await.expect("creates");
    let user = server.client("user", "42", &["--user", "7"]).await;
    let watch = || pb::WatchRequest { parent: "accounts/42".into(), only_new: true, ..Default::default() };
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(user.watches().watch(user.ask(watch())).await.expect("a place"));
    }
    let refused = user.watches().watch(user.ask(watch())).await.expect_err("no place");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "TOO_MANY_CALLS"));
    let details = tonic_types::StatusExt::get_error_details(&refused);
    assert!(details.retry_info().is_some(), "it says when to try again");
    let other = server.client("user", "42", &["--user", "8"]).await;
    other.watches().watch(other.ask(watch())).await.expect("another caller has a place");
    held.pop();
    eventually("the place is free again", || async { user.watches().watch(user.ask(watch())).await.ok() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_sent_messages_and_unread_answers_end() {
    let database = Database::sqlite();
    let quick = ["--message-timeout-ms", "1000", "--progress-timeout-ms", "1000"];
    let server = Server::start(&database, &quick).await;
    let token = format!("Bearer {}", server.token("service", "*", &[]));
    let before = memory_peak_kib(&server);
    let mut half = Vec::new();
    for path in [BATCH, "/hookline.v1.EventService/Publish"].repeat(8) {
        let mut client = connection(&server).await;
        let (answer, mut body) =
            client.send_request(request(path, &[("authorization", &token)]), false).expect("sends");
        body.send_data(Bytes::from_static(&[0, 0, 0x3f, 0xff, 0xff, 1, 2, 3]), false).expect("sends");
        half.push((client, answer, body));
    }
    for (_client, answer, _body) in half {
        assert_eq!(code_of(answer).await, Some(Code::DeadlineExceeded));
    }
    // A client that never takes its answer: its window is closed.
    let socket = TcpStream::connect(server.address).await.expect("connects");
    let mut builder = h2::client::Builder::new();
    let (client, connection) = builder.initial_window_size(0).handshake::<_, Bytes>(socket).await.expect("a handshake");
    let ended = tokio::spawn(connection);
    let mut client = client.ready().await.expect("ready");
    let list = request("/hookline.v1.AccountService/ListAccounts", &[("authorization", &token)]);
    let (answer, mut body) = client.send_request(list, false).expect("sends");
    body.send_data(Bytes::from_static(&[0; 5]), true).expect("sends");
    let _unread = answer.await.expect("an answer begins");
    tokio::time::timeout(Duration::from_secs(20), ended).await.expect("the connection is given up").expect("ends").ok();
    let grown = memory_peak_kib(&server).saturating_sub(before);
    assert!(grown < MEMORY_KIB_MAX, "{grown} KiB more");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_drives_out_only_itself() {
    let database = Database::sqlite();
    let server = Server::start(&database, &["--connections-of-address-max", "20", "--connections-max", "40"]).await;
    let service = server.client("service", "*", &[]).await;
    service.create_account("42", pb::Plan::Power).await.expect("creates");
    let mut flood = Vec::new();
    for _ in 0..100 {
        flood.push(TcpStream::connect(server.address).await.expect("connects"));
    }
    service.create_account("43", pb::Plan::Power).await.expect("a known connection stays");
    let late = server.client("service", "*", &[]).await;
    late.create_account("44", pb::Plan::Power).await.expect("and an honest one takes the place of a silent one");
}

/// An automation is bounded as a whole; what is in a page fits what clients take.
#[tokio::test(flavor = "multi_thread")]
async fn large_automations_are_refused_and_pages_have_a_size() {
    let database = Database::sqlite();
    let server = Server::start(&database, &[]).await;
    let (_, admin) = account_42(&server, "http://127.0.0.1:9/").await;
    let with = |values: Vec<pb::Scalar>, clauses: usize| {
        let clause = pb::Clause { field: "a".into(), operator: pb::Operator::In.into(), values, ..Default::default() };
        let condition = pb::Condition { kind: Some(pb::condition::Kind::Clause(clause)) };
        let group =
            pb::ConditionGroup { r#match: pb::ConditionMatch::Any.into(), conditions: vec![condition; clauses] };
        let one = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
        pb::Automation { conditions: Some(group), ..one }
    };
    let number = |digits: usize| pb::Scalar { kind: Some(pb::scalar::Kind::Number("1".repeat(digits))) };
    let text = |bytes: usize| pb::Scalar { kind: Some(pb::scalar::Kind::Text("x".repeat(bytes))) };
    let long = admin.create_automation("42", with(vec![number(500_000)], 1)).await.expect_err("a long number");
    assert_eq!(crate::harness::bad_field(&long), "automation.conditions.conditions[0].clause.values[0]");
    // 190 texts of 4 KB fit, 200 do not.
    let fits = with(vec![text(4_000); 95], 2);
    let made = admin.create_automation("42", fits.clone()).await.expect("fits");
    let large = admin.create_automation("42", with(vec![text(4_000); 100], 2)).await.expect_err("too large");
    assert_eq!(crate::harness::bad_field(&large), "automation", "{large:?}");
    let mut body = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    let raw = format!("{{\"a\": [{}\"\"]}}", "\"\\n\",".repeat(12_000));
    body.actions = vec![body.actions[0].clone(); 10];
    for action in &mut body.actions {
        action.body = Some(pb::webhook_action::Body::RawJson(raw.clone()));
    }
    admin.create_automation("42", body).await.expect("ten bodies of the largest size fit, escapes or not");
    for _ in 0..9 {
        admin.create_automation("42", fits.clone()).await.expect("fits");
    }
    let mut seen = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListAutomationsRequest { parent: "accounts/42".into(), page_size: 1_000, page_token };
        let page =
            admin.automations().list_automations(admin.ask(request)).await.expect("a client can read it").into_inner();
        assert!(page.encoded_len() < 3 * 1024 * 1024, "{} bytes", page.encoded_len());
        seen.extend(page.automations.into_iter().map(|one| one.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let all: std::collections::BTreeSet<_> = seen.iter().collect();
    assert!(seen.len() == 11 && all.len() == 11 && seen.contains(&made.name), "every one, once: {seen:?}");
}

/// Test requests take their turn like any other, and one account's never keep out another's.
#[tokio::test(flavor = "multi_thread")]
async fn tests_of_webhooks_obey_limits_and_are_in_the_trail() {
    let database = Database::sqlite();
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    let limited = pb::UpdateWebhookRequest {
        webhook: Some(pb::Webhook {
            name: "accounts/42/webhooks/hook".into(),
            requests_per_second: 1,
            ..Default::default()
        }),
        ..Default::default()
    };
    admin.webhooks().update_webhook(admin.ask(limited)).await.expect("updates");
    let begun = std::time::Instant::now();
    let test = |client: &crate::harness::Client, name: &str| {
        let request = pb::TestWebhookRequest { name: name.into() };
        let (mut webhooks, request) = (client.webhooks(), client.ask(request));
        async move { webhooks.test_webhook(request).await }
    };
    let mut refused = 0;
    for _ in 0..300 {
        match test(&admin, "accounts/42/webhooks/hook").await {
            Ok(_) => {}
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
                refused += 1;
            }
        }
    }
    let sent = 300 - refused;
    assert!(sent as f64 <= begun.elapsed().as_secs_f64() + 2.0, "{sent} tests in {:?}", begun.elapsed());
    assert_eq!(receiver.got().len(), sent);
    let trail = pb::ListAuditEntriesRequest { parent: "accounts/42".into(), page_size: 1_000, ..Default::default() };
    let entries = admin.audit().list_audit_entries(admin.ask(trail)).await.expect("lists").into_inner().entries;
    assert_eq!(entries.iter().filter(|entry| entry.action() == pb::AuditAction::Tested).count(), sent);

    // Tests that hang hold up their own account only.
    let slow = Receiver::start().await;
    slow.hold();
    admin.create_webhook("42", "slow", &slow.url).await.expect("creates");
    let hanging: Vec<_> = (0..20).map(|_| tokio::spawn(test(&admin, "accounts/42/webhooks/slow"))).collect();
    eventually("some hang", || async { (slow.got().len() >= 3).then_some(()) }).await;
    service.create_account("43", pb::Plan::Power).await.expect("creates");
    let other = server.client("global_admin", "43", &["--user", "1"]).await;
    other.create_webhook("43", "hook", &receiver.url).await.expect("creates");
    assert!(test(&other, "accounts/43/webhooks/hook").await.expect("has a place").into_inner().succeeded);
    assert!(slow.got().len() <= 4, "{} at once", slow.got().len());
    slow.release();
    for one in hanging {
        let _ = one.await.expect("ends");
    }
}
