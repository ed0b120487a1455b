//! What those see who run the service: metrics on a page and at a collector, health, log lines.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use hookline::grpc::pb;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
    metrics_service_server::{MetricsService, MetricsServiceServer},
};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

use crate::harness::{Database, Receiver, Server, account_42, automation, deal, eventually};

crate::on_both_databases!(metrics_tell_what_happens);

/// Where nothing listens.
const NOWHERE: &str = "http://127.0.0.1:9/";

/// A client for the pages of ports.
pub fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

/// A page of the operations port.
pub async fn page(server: &Server, path: &str) -> (u16, String) {
    let answer = http().get(format!("{}{path}", server.operations)).send().await.expect("answers");
    (answer.status().as_u16(), answer.text().await.expect("text"))
}

/// The samples of the page of metrics.
async fn samples(server: &Server) -> BTreeMap<String, f64> {
    let (_, text) = page(server, "metrics").await;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').expect("a sample");
        (name.to_owned(), value.parse().expect("a number"))
    };
    lines.map(sample).collect()
}

/// A server on which about everything has happened that is counted, and spans are lost.
pub async fn a_busy_server(database: &Database, receiver: &Receiver) -> Server {
    let variables = [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", NOWHERE), ("OTEL_BSP_SCHEDULE_DELAY", "20")];
    let limits = ["--plan-executions", "1,1,10,20", "--breaker-open-ms", "1800000", "--retry-delays-ms", "3600000"];
    // However slow the machine is, the account stays in memory.
    let limits = [&limits[..], &["--account-idle-ms", "3600000"]].concat();
    let server = Server::start_with(database, &limits, &variables).await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    let dead = receiver.url.clone() + "dead/";
    admin.create_webhook("42", "dead", &dead).await.expect("creates");
    receiver.answer_at("/dead/", 503);
    for webhook in ["hook", "dead"] {
        let object = if webhook == "hook" { "deal" } else { "lead" };
        let one = automation("42", webhook, object, pb::EventAction::Change, "{}");
        admin.create_automation("42", one).await.expect("creates");
    }
    let lead = |id: String| {
        let mut event = deal(&id, "9", "{}");
        if let Some(pb::event_input::Kind::Event(event)) = &mut event.kind {
            event.object = "lead".into();
        }
        event
    };
    let nothing = {
        let mut event = deal("n1", "8", "{}");
        if let Some(pb::event_input::Kind::Event(event)) = &mut event.kind {
            event.object = "note".into();
        }
        event
    };
    let mut malformed = deal("m1", "8", "{}");
    if let Some(pb::event_input::Kind::Event(event)) = &mut malformed.kind {
        event.data = b"[".to_vec().into();
    }
    // Ten fill the window, nine of them fail and are tried again in an hour; then two are held back.
    service.publish("42", vec![deal("e1", "8", "{}"), deal("e1", "8", "{}"), nothing, malformed]).await.expect("acks");
    service.publish("42", vec![deal("e1", "8", "{}")]).await.expect("acks");
    service.publish("42", (0..9).map(|at| lead(format!("l{at}"))).collect()).await.expect("acks");
    service.publish("42", vec![deal("e2", "8", "{}"), deal("e3", "8", "{}")]).await.expect("acks");
    // More room lets those in, and holds back two others.
    let limits = pb::AccountLimits { executions_per_window: Some(12), ..Default::default() };
    let request =
        pb::SetAccountLimitsRequest { name: "accounts/42".into(), limit_overrides: Some(limits), ..Default::default() };
    service.accounts().set_account_limits(service.ask(request)).await.expect("sets");
    service.publish("42", vec![lead("l9".into()), lead("l10".into())]).await.expect("acks");
    eventually("everything is as it stays", || async {
        let history = service.history("42").await;
        let of = |state| history.iter().filter(|one| one.state() == state).count();
        let is_done = of(pb::ExecutionState::Succeeded) == 3 && of(pb::ExecutionState::Retrying) == 9;
        is_done.then_some(())
    })
    .await;
    server
}

async fn metrics_tell_what_happens(database: Database) {
    let receiver = Receiver::start().await;
    let server = a_busy_server(&database, &receiver).await;
    let seen = eventually("what waits is counted and spans are lost", || async {
        let seen = samples(&server).await;
        let retrying = r#"hookline_executions_waiting{reason="",state="RETRYING"}"#;
        let lost = seen.get(r#"otel_sdk_exporter_span_exported_total{error_type="rejected"}"#);
        (seen.get(retrying) == Some(&9.0) && lost.is_some()).then_some(seen)
    })
    .await;
    let of = |name: &str| *seen.get(name).unwrap_or_else(|| panic!("no {name} in {seen:#?}"));
    assert_eq!(of(r#"hookline_events_total{result="accepted"}"#), 15.0);
    assert_eq!(of(r#"hookline_events_total{result="duplicate"}"#), 2.0);
    assert_eq!(of(r#"hookline_events_total{result="rejected"}"#), 1.0);
    assert_eq!(of(r#"hookline_matches_total{source="automation"}"#), 14.0);
    assert_eq!(of(r#"hookline_executions_total{reason="",source="automation",state="SUCCEEDED"}"#), 3.0);
    assert_eq!(of(r#"hookline_attempt_duration_seconds_count{outcome="SUCCESS"}"#), 3.0);
    assert_eq!(of(r#"hookline_attempt_duration_seconds_count{outcome="SERVER_ERROR"}"#), 9.0);
    assert_eq!(of("hookline_request_delay_seconds_count"), 12.0);
    assert_eq!(of(r#"hookline_executions_waiting{reason="EXECUTION_LIMIT",state="PAUSED"}"#), 2.0);
    assert_eq!(of(r#"hookline_executions_waiting{reason="",state="PENDING"}"#), 0.0);
    assert_eq!(of(r#"hookline_limit_crossings_total{percent="100"}"#), 2.0);
    assert_eq!(of("hookline_accounts"), 1.0);
    assert_eq!(of("hookline_accounts_active"), 1.0);
    assert_eq!(of("hookline_due_age_seconds"), 0.0);
    assert!(of("process_memory_usage_bytes") > 1e6);
    assert!(of("process_open_file_descriptor_count") > 3.0);
    assert!(of(r#"hookline_commit_duration_seconds_count{result="committed"}"#) >= 10.0);
    assert!(of("hookline_commit_changes_count") >= 10.0);
    assert!(of("hookline_mailbox_wait_seconds_count") >= 10.0);
    assert!(of(r#"hookline_acknowledgement_duration_seconds_count{input="events"}"#) >= 5.0);
    let calls = r#"rpc_server_call_duration_seconds_count{rpc_method="hookline.v1.EventService/PublishBatch",rpc_response_status_code="Ok"}"#;
    assert_eq!(of(calls), 5.0);
    for name in seen.keys() {
        for word in ["\"42\"", "accounts/", "\"hook\"", "\"dead\"", "127.0.0.1"] {
            assert!(!name.contains(word), "a label has no bound: {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_left_alone_shows() {
    let (database, receiver) = (Database::sqlite(), Receiver::start().await);
    receiver.answer_with(503);
    let server = Server::start(&database, &["--breaker-open-ms", "1800000", "--retry-delays-ms", "3600000"]).await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    let one = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    admin.create_automation("42", one).await.expect("creates");
    for at in 0..10 {
        service.publish("42", vec![deal(&format!("e{at}"), "8", "{}")]).await.expect("acks");
    }
    let open = r#"hookline_breaker_transitions_total{to="open"}"#;
    assert!(samples(&server).await.contains_key(open), "0 before the first one");
    eventually("the breaker opens", || async {
        let seen = samples(&server).await;
        (seen["hookline_breakers_open"] == 1.0 && seen[open] == 1.0).then_some(())
    })
    .await;
    service.publish("42", vec![deal("e10", "8", "{}")]).await.expect("acks");
    eventually("the next one is parked", || async {
        let parked = r#"hookline_executions_waiting{reason="ENDPOINT_UNAVAILABLE",state="PAUSED"}"#;
        (samples(&server).await[parked] == 1.0).then_some(())
    })
    .await;
    assert_eq!(samples(&server).await["hookline_due_age_seconds"], 0.0, "what is parked is not due");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_docs_list_every_metric() {
    let (database, receiver) = (Database::sqlite(), Receiver::start().await);
    let server = a_busy_server(&database, &receiver).await;
    let text = eventually("spans are lost", || async {
        let (_, text) = page(&server, "metrics").await;
        text.contains("# TYPE otel_sdk_exporter_span_exported_total").then_some(text)
    })
    .await;
    let mut exposed: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| line.split(' ').next().expect("a name").to_owned())
        .collect();
    exposed.remove("target_info");
    let docs = include_str!("../../docs/metrics.md");
    let listed: BTreeSet<String> = docs
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|line| line.split('`').next().expect("a name").to_owned())
        .collect();
    assert_eq!(exposed, listed);
}

/// A collector of metrics that keeps the names it gets.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<BTreeSet<String>>>);

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let scopes = request.into_inner().resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
        let names = scopes.flat_map(|scope| scope.metrics).map(|metric| metric.name);
        self.0.lock().expect("unpoisoned").extend(names);
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_gets_the_metrics_too() {
    let collector = Collector::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let service = MetricsServiceServer::new(collector.clone());
    let port = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(port.serve_with_incoming(TcpIncoming::from(listener)));
    let database = Database::sqlite();
    let variables = [("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", url.as_str())];
    let server = Server::start_with(&database, &[], &variables).await;
    server.client("service", "*", &[]).await.create_account("42", pb::Plan::Power).await.expect("creates");
    assert!(server.terminate().await, "the last metrics are sent at the end");
    let names = collector.0.lock().expect("unpoisoned").clone();
    for name in ["hookline.commit.duration", "hookline.executions.waiting", "rpc.server.call.duration"] {
        assert!(names.contains(name), "{names:?}");
    }
}

/// Whoever sends half a request, or many, takes nothing from the service.
#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_of_the_operations_port_hold_nobody_up() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let database = Database::sqlite();
    let server = Server::start(&database, &[]).await;
    let address = server.operations.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = tokio::net::TcpStream::connect(&address).await.expect("connects");
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n").await.expect("writes");
        slow.push(stream);
    }
    let open = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("files").count();
    assert!(open < 120, "they do not take the files that the service needs: {open}");
    let service = server.client("service", "*", &[]).await;
    service.create_account("42", pb::Plan::Power).await.expect("the service goes on");
    let mut rest = Vec::new();
    tokio::time::timeout(std::time::Duration::from_secs(30), slow[0].read_to_end(&mut rest))
        .await
        .expect("is closed")
        .ok();
    drop(slow);
    assert_eq!(page(&server, "livez").await.0, 200, "and so does the port");
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_pages_never_hide_the_health() {
    use tokio::io::AsyncWriteExt;
    let database = Database::sqlite();
    let server = Server::start(&database, &[]).await;
    let address = server.operations.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let mut unread = Vec::new();
    for _ in 0..64 {
        let mut stream = tokio::net::TcpStream::connect(&address).await.expect("connects");
        let pipeline = "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".repeat(2_000);
        // Some of them are cut off already.
        let _ = tokio::time::timeout(std::time::Duration::from_millis(50), stream.write_all(pipeline.as_bytes())).await;
        unread.push(stream);
    }
    for path in ["livez", "readyz"] {
        let asked = tokio::time::timeout(std::time::Duration::from_secs(3), page(&server, path));
        assert_eq!(asked.await.expect("in time").0, 200, "{path}");
    }
}

/// A page of a browser must not change what is logged, whatever name leads it here.
#[tokio::test(flavor = "multi_thread")]
async fn no_web_page_changes_the_log_level() {
    let database = Database::sqlite();
    let server = Server::start(&database, &[]).await;
    let change = async |headers: &[(&str, &str)]| {
        let mut request = http().put(format!("{}log-level", server.operations)).body("debug");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.expect("answers").status().as_u16()
    };
    for foreign in [
        &[("host", "attacker.example")][..],
        &[("host", "localhost.attacker.example")],
        &[("host", "127.0.0.1@attacker.example")],
        &[("origin", "http://attacker.example")],
        &[("origin", "null")],
        &[("origin", "http://localhost")],
        &[("sec-fetch-site", "cross-site")],
    ] {
        assert_eq!(change(foreign).await, 403, "{foreign:?}");
    }
    assert_eq!(page(&server, "log-level").await.1.trim(), "info");
    assert_eq!(change(&[]).await, 200);
    assert_eq!(change(&[("host", "localhost:9464")]).await, 200);
}

/// Streams and calls that were given up are measured, too, by how they ended.
#[tokio::test(flavor = "multi_thread")]
async fn streams_are_measured_by_their_ends() {
    let database = Database::sqlite();
    let server = Server::start(&database, &[]).await;
    let service = server.client("service", "*", &[]).await;
    service.create_account("42", pb::Plan::Power).await.expect("creates");
    let frame = pb::PublishRequest {
        sequence: 7,
        parent: "accounts/42".into(),
        events: vec![deal("e1", "8", "{}")],
        accepts_retry_later: false,
    };
    let mut answers =
        service.events().publish(service.ask(tokio_stream::iter([frame]))).await.expect("begins").into_inner();
    answers.message().await.expect_err("it begins with another number than 1");
    let ended = r#"rpc_server_call_duration_seconds_count{rpc_method="hookline.v1.EventService/Publish",rpc_response_status_code="InvalidArgument"}"#;
    eventually("its end is measured", || async { samples(&server).await.contains_key(ended).then_some(()) }).await;
    let begun = ended.replace("InvalidArgument", "Ok");
    assert!(!samples(&server).await.contains_key(&begun), "once, not at its beginning");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_follows_the_lock_and_the_end() {
    let database = Database::sqlite();
    let first = Server::start(&database, &[]).await;
    assert_eq!(page(&first, "readyz").await, (200, "ok\n".into()));
    let second = Server::spawn(&database, &[], &[]).await;
    assert_eq!(page(&second, "livez").await.0, 200, "it lives while it waits for the lock");
    assert_eq!(page(&second, "readyz").await.0, 503);
    assert!(page(&second, "").await.1.contains("/metrics"));
    first.terminate().await;
    eventually("the second one serves", || async { (page(&second, "readyz").await.0 == 200).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_name_their_trace_and_their_level_changes() {
    let database = Database::sqlite();
    // Without a collector, too.
    let server = Server::start_with(&database, &[], &[("HOOKLINE_LOG_FORMAT", "json")]).await;
    let url = format!("{}log-level", server.operations);
    let put = async |wanted: &'static str| {
        let answer = http().put(&url).body(wanted).send().await.expect("answers");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    };
    assert_eq!(page(&server, "log-level").await, (200, "info\n".into()));
    let (code, text) = put("hookline=loud").await;
    assert_eq!(code, 400);
    assert!(text.contains("hookline=loud") && text.contains("info,hookline=debug"), "{text}");
    for silence in ["bananas", "verbose", "info,debgu"] {
        let (code, text) = put(silence).await;
        assert!(code == 400 && text.contains("is no level: one of off, error, warn"), "{silence}: {code} {text}");
    }
    let service = server.client("service", "*", &[]).await;
    service.create_account("42", pb::Plan::Power).await.expect("creates");
    assert_eq!(put("info,hookline=debug\n").await, (200, "info,hookline=debug\n".into()));
    assert!(service.history("42").await.is_empty());
    let line = |method: &'static str| {
        let log = server.log();
        let mut lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect(line));
        lines.find(|line| line["message"] == "a call was answered" && line["rpc.method"] == method)
    };
    let listed = "hookline.v1.ExecutionService/ListExecutions";
    let found = eventually("the call is logged", || async { line(listed) }).await;
    assert_eq!(found["level"], "DEBUG");
    assert_eq!(found["trace_id"].as_str().map(str::len), Some(32), "{found}");
    assert_eq!(found["span_id"].as_str().map(str::len), Some(16), "{found}");
    assert!(line("hookline.v1.AccountService/CreateAccount").is_none(), "not before the level was changed");
}
