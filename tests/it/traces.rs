//! Traces, as a collector gets them over OTLP: one execution is one trace, over restarts too.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use hookline::grpc::pb;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value,
    trace::v1::Span,
};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

use crate::harness::{Database, Receiver, Server, automation, deal, eventually};

crate::on_both_databases!(one_execution_is_one_trace, a_retry_after_a_kill_stays_in_its_trace);

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// A collector that keeps what it gets.
#[derive(Clone, Default)]
pub struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let scopes = request.into_inner().resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        self.0.lock().expect("unpoisoned").extend(scopes.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An attribute as text.
fn attribute(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

impl Collector {
    pub async fn start() -> (Self, String) {
        let collector = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let service = TraceServiceServer::new(collector.clone());
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        (collector, url)
    }

    pub fn spans(&self) -> Vec<Span> {
        self.0.lock().expect("unpoisoned").clone()
    }

    fn named(&self, name: &str) -> Vec<Span> {
        self.spans().into_iter().filter(|span| span.name == name).collect()
    }

    /// A trace as an indented tree.
    fn tree(&self, trace: &str) -> String {
        let mut spans: Vec<_> = self.spans().into_iter().filter(|span| hex(&span.trace_id) == trace).collect();
        spans.sort_by_key(|span| span.start_time_unix_nano);
        let mut children: HashMap<Vec<u8>, Vec<&Span>> = HashMap::new();
        let ids: Vec<_> = spans.iter().map(|span| span.span_id.clone()).collect();
        let mut open: Vec<(usize, &Span)> = Vec::new();
        for span in &spans {
            if ids.contains(&span.parent_span_id) {
                children.entry(span.parent_span_id.clone()).or_default().push(span);
            } else {
                open.push((0, span));
            }
        }
        open.reverse();
        let mut text = String::new();
        while let Some((depth, span)) = open.pop() {
            let micros = (span.end_time_unix_nano - span.start_time_unix_nano) / 1_000;
            text += &format!("{}{} {} ({micros} \u{b5}s)\n", "  ".repeat(depth), span.name, hex(&span.span_id));
            let below = children.remove(&span.span_id).unwrap_or_default();
            open.extend(below.into_iter().rev().map(|child| (depth + 1, child)));
        }
        text
    }
}

async fn one_execution_is_one_trace(database: Database) {
    let (collector, collector_url) = Collector::start().await;
    let receiver = Receiver::start().await;
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector_url.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
    let server = Server::start_with(&database, &[], &variables).await;
    let service = server.client("service", "*", &[]).await;
    service.create_account("42", pb::Plan::Power).await.expect("creates");
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    admin.create_webhook("42", "hook", &format!("{}?key=s3cret&id=", receiver.url)).await.expect("creates");
    let mut one = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    one.actions[0].path = "{{deal.name}}".into();
    admin.create_automation("42", one).await.expect("creates");

    let mut traced = deal("e1", "8", r#"{"name": "jane"}"#);
    traced.traceparent = format!("00-{TRACE}-{CALLER}-01");
    traced.tracestate = "vendor=opaque,other=1".into();
    let mut malformed = deal("e2", "8", r#"{"name": "jane"}"#);
    malformed.traceparent = "00-not-a-trace".into();
    malformed.tracestate = "vendor=without-a-trace".into();
    service.publish("42", vec![traced, malformed]).await.expect("acks");
    let (log_ok, log) = {
        eventually("both are sent", || async { (receiver.got().len() == 2).then_some(()) }).await;
        let history = service.history("42").await;
        let found = history.iter().find(|execution| execution.event_id == "e1").expect("an execution");
        assert_eq!(found.trace_id, TRACE);
        server.terminate_with_log().await
    };
    assert!(log_ok);
    assert!(log.contains("every span was exported"), "{log}");

    let event = collector.named("event").into_iter().find(|span| attribute(span, "hookline.event.id") == "e1");
    let event = event.expect("a span of the event");
    assert_eq!((hex(&event.trace_id).as_str(), hex(&event.parent_span_id).as_str()), (TRACE, CALLER));
    let call = collector.named("hookline.v1.EventService/PublishBatch").pop().expect("a span of the call");
    assert_eq!(attribute(&call, "rpc.response.status_code"), "Ok");
    assert_eq!(hex(&event.links[0].span_id), hex(&call.span_id), "linked to the call that brought it");
    let of_trace = |name: &str| {
        let found = collector.named(name).into_iter().find(|span| hex(&span.trace_id) == TRACE);
        found.unwrap_or_else(|| panic!("no span {name}"))
    };
    let (evaluation, commit, execution) = (of_trace("evaluation"), of_trace("commit"), of_trace("execution"));
    for child in [&evaluation, &commit, &execution] {
        assert_eq!(child.parent_span_id, event.span_id, "{} belongs to the event", child.name);
    }
    let attempt = of_trace("POST");
    assert_eq!(attempt.parent_span_id, execution.span_id);
    assert_eq!(attribute(&attempt, "http.response.status_code"), "200");
    let url = attribute(&attempt, "url.full");
    assert!(url.ends_with("/?key=REDACTED&id=REDACTED"), "{url}");
    let sent: Vec<_> = receiver.got().iter().map(|got| got.headers["traceparent"].clone()).collect();
    let expected = format!("00-{TRACE}-{}-01", hex(&attempt.span_id));
    assert!(sent.iter().any(|header| *header == expected), "the receiver gets the attempt's context: {sent:?}");
    let states = receiver.got().iter().map(|got| got.headers.get("tracestate").cloned()).collect::<Vec<_>>();
    assert!(states.contains(&Some("vendor=opaque,other=1".parse().expect("a value"))), "handed on: {states:?}");
    assert!(states.contains(&None), "none without its traceparent: {states:?}");
    let other = collector.named("event").into_iter().find(|span| attribute(span, "hookline.event.id") == "e2");
    let other = other.expect("a span of the event");
    assert_eq!(other.parent_span_id, call.span_id, "without a context of its own it belongs to the call");
    println!("{}", collector.tree(TRACE));
}

async fn a_retry_after_a_kill_stays_in_its_trace(database: Database) {
    let (collector, collector_url) = Collector::start().await;
    let receiver = Receiver::start().await;
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector_url.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
    let server = Server::start_with(&database, &["--retry-delays-ms", "500"], &variables).await;
    let service = server.client("service", "*", &[]).await;
    service.create_account("42", pb::Plan::Power).await.expect("creates");
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    admin.create_webhook("42", "hook", &receiver.url).await.expect("creates");
    let one = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    admin.create_automation("42", one).await.expect("creates");
    receiver.answer_with(503);
    let mut traced = deal("e1", "8", "{}");
    traced.traceparent = format!("00-{TRACE}-{CALLER}-01");
    service.publish("42", vec![traced]).await.expect("acks");
    eventually("the first attempt is exported", || async { (!collector.named("POST").is_empty()).then_some(()) }).await;
    eventually("the first attempt is recorded", || async {
        service.history("42").await.iter().any(|one| one.state() == pb::ExecutionState::Retrying).then_some(())
    })
    .await;
    server.kill().await;
    receiver.answer_with(200);
    let server = Server::start_with(&database, &["--retry-delays-ms", "500"], &variables).await;
    eventually("the retry arrives", || async { (receiver.got().len() == 2).then_some(()) }).await;
    assert!(server.terminate().await);
    let execution = collector.named("execution").pop().expect("a span of the execution");
    let attempts = collector.named("POST");
    assert_eq!(attempts.len(), 2);
    for attempt in &attempts {
        assert_eq!(hex(&attempt.trace_id), TRACE);
        assert_eq!(attempt.parent_span_id, execution.span_id, "both belong to the execution, in either process");
    }
    assert_eq!(attribute(&attempts[0], "error.type"), "503");
    assert_eq!(attribute(&attempts[1], "http.request.resend_count"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_collector_costs_nothing_but_the_spans() {
    let database = Database::sqlite();
    let receiver = Receiver::start().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let endpoint = format!("http://{closed}");
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
    let server = Server::start_with(&database, &[], &variables).await;
    let service = server.client("service", "*", &[]).await;
    service.create_account("42", pb::Plan::Power).await.expect("creates");
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    admin.create_webhook("42", "hook", &receiver.url).await.expect("creates");
    let one = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    admin.create_automation("42", one).await.expect("creates");
    service.publish("42", vec![deal("e1", "8", "{}")]).await.expect("acks");
    eventually("it is sent", || async { (receiver.got().len() == 1).then_some(()) }).await;
    let (ended_well, log) = server.terminate_with_log().await;
    assert!(ended_well);
    assert!(log.contains("spans were dropped"), "the log says how many: {log}");
}
