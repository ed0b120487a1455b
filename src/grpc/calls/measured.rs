//! Calls are measured, each in a span of its own.

use std::time::Instant;

use axum::{body::Body, extract::State, middleware::Next};
use tonic::{
    Code, Status,
    codegen::http::{Request, Response},
};
use tracing::Instrument;

use super::bounds;
use crate::{
    domain::trace_context::TraceContext,
    telemetry::{CALL_TARGET, Metrics, enter_trace},
};

/// The method by which events come in; it streams.
pub const PUBLISH: &str = "hookline.v1.EventService/Publish";

/// The method by which changes are followed; it streams, too.
pub const WATCH: &str = "hookline.v1.WatchService/Watch";

const HEALTH: &str = "/grpc.health.v1.Health/";
/// What methods are called that do not exist.
const UNKNOWN_METHOD: &str = "_OTHER";

const STREAMS: [&str; 2] = [PUBLISH, WATCH];

/// Puts every call into a span of its own, under the context that the call came with, and measures it.
pub async fn observed(State(metrics): State<Metrics>, request: Request<Body>, next: Next) -> Response<Body> {
    // Health is asked all the time, and by strangers: it is neither a span nor a measured call.
    if request.uri().path().starts_with(HEALTH) {
        return next.run(request).await;
    }
    let is_known = bounds::method(request.uri().path()).is_some();
    let mut measured = Measured { metrics, method: String::new(), code: Code::Cancelled, begun: Instant::now() };
    // Whoever calls what does not exist must not make labels, nor names of spans.
    let method = if is_known { request.uri().path().trim_start_matches('/') } else { UNKNOWN_METHOD };
    let method = method.to_owned();
    let span = tracing::info_span!(
        target: CALL_TARGET,
        "call",
        otel.name = %method,
        otel.kind = "server",
        rpc.system.name = "grpc",
        rpc.method = %method,
        rpc.response.status_code = tracing::field::Empty,
    );
    if let Some(trace) = trace_of(request.headers()) {
        enter_trace(&span, &trace);
    }
    measured.method.clone_from(&method);
    let response = next.run(request).instrument(span.clone()).await;
    // A refusal's status is in the headers; what is in the trailers ended well, or says so in its events' results.
    let code = response.headers().get("grpc-status").and_then(|value| value.to_str().ok()?.parse().ok());
    let code = Code::from(code.unwrap_or(0));
    let word = format!("{code:?}");
    span.record("rpc.response.status_code", word.as_str());
    let took = measured.begun.elapsed();
    span.in_scope(|| {
        tracing::debug!(
            rpc.method = %method,
            rpc.response.status_code = word,
            duration_ms = took.as_secs_f64() * 1e3,
            "a call was answered"
        );
    });
    measured.code = code;
    // A stream that has begun well is measured when it ends.
    if code == Code::Ok && STREAMS.contains(&measured.method.as_str()) {
        measured.method.clear();
    }
    response
}

/// The trace context that a call came with.
fn trace_of(headers: &http::HeaderMap) -> Option<TraceContext> {
    let given = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    TraceContext::parse(given("traceparent"), given("tracestate"))
}

/// A call or a stream that is measured when it ends, also where the client gives it up.
pub struct Measured {
    metrics: Metrics,
    /// The method; nothing is measured where it is empty.
    method: String,
    code: Code,
    begun: Instant,
}

impl Measured {
    /// A stream that begins now.
    pub fn stream(metrics: &Metrics, method: &str) -> Self {
        Self { metrics: metrics.clone(), method: method.to_owned(), code: Code::Cancelled, begun: Instant::now() }
    }

    /// It ended, with a status or well.
    pub fn end(mut self, status: Option<&Status>) {
        self.code = status.map_or(Code::Ok, Status::code);
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        if self.method.is_empty() {
            return;
        }
        let method = std::mem::take(&mut self.method);
        self.metrics.call(method, format!("{:?}", self.code), self.begun.elapsed());
    }
}
