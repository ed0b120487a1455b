//! Spans with their own times and ids: those of events and executions, which live longer than a call and, in the case
//! of an execution, longer than a process. Their contexts travel as W3C `traceparent`s.

use std::{
    cell::Cell,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime},
};

use opentelemetry::{
    Context, KeyValue,
    trace::{
        Link, Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId,
        TraceState, Tracer,
    },
};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SdkTracer, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::domain::timestamp::Timestamp;

/// The target of the `tracing` spans that are exported: one a gRPC call.
pub const CALL_TARGET: &str = "hookline::call";

thread_local! {
    /// The id of the next span that this thread starts.
    static NEXT_ID: Cell<Option<SpanId>> = const { Cell::new(None) };
}

/// Makes random ids, or takes the one that was decided before: an execution's span has the id that its attempts, the
/// receiver and the database know.
#[derive(Debug)]
pub struct Ids;

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        RandomIdGenerator::default().new_trace_id()
    }

    fn new_span_id(&self) -> SpanId {
        NEXT_ID.take().unwrap_or_else(|| RandomIdGenerator::default().new_span_id())
    }
}

/// Makes spans; does nothing where no traces are exported.
#[derive(Clone, Default)]
pub struct Spans(Option<SdkTracer>);

/// A span that is not ended yet. Ends when it is dropped.
#[derive(Default)]
pub struct OpenSpan(Option<Span>);

/// When something that is over began and ended.
#[derive(Clone, Copy)]
pub struct Period {
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
}

fn system_time(time: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(time.0).unwrap_or_default())
}

/// The context of a `traceparent`; none where it is malformed.
fn context_of(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-').skip(1);
    let trace = TraceId::from_hex(parts.next()?).ok()?;
    let span = SpanId::from_hex(parts.next()?).ok()?;
    let flags = TraceFlags::new(u8::from_str_radix(parts.next()?, 16).ok()?);
    Some(SpanContext::new(trace, span, flags, true, TraceState::default())).filter(SpanContext::is_valid)
}

fn traceparent_of(context: &SpanContext) -> Option<String> {
    let (trace, span, flags) = (context.trace_id(), context.span_id(), context.trace_flags());
    context.is_valid().then(|| format!("00-{trace}-{span}-{:02x}", flags.to_u8()))
}

/// Whether traces are exported by this process.
static IS_EXPORTED: AtomicBool = AtomicBool::new(false);

/// Says whether traces are exported.
pub fn set_exported(is_exported: bool) {
    IS_EXPORTED.store(is_exported, Ordering::Relaxed);
}

/// The span of the call that runs now, as a `traceparent`; none where no traces are exported.
pub fn call_context() -> Option<String> {
    if !IS_EXPORTED.load(Ordering::Relaxed) {
        return None;
    }
    traceparent_of(tracing::Span::current().context().span().span_context())
}

/// Puts a call's span under the context that the call came with, if that is well-formed.
pub fn enter_trace(span: &tracing::Span, traceparent: &str) {
    if let Some(context) = context_of(traceparent) {
        // Without an export of traces there is nothing to set.
        let _ = span.set_parent(Context::new().with_remote_span_context(context));
    }
}

impl Spans {
    /// Makes spans with a tracer.
    pub fn new(tracer: Option<SdkTracer>) -> Self {
        Self(tracer)
    }

    /// Whether spans are exported at all.
    pub fn are_exported(&self) -> bool {
        self.0.is_some()
    }

    /// Starts a span now, under a `traceparent` or as a root, with a link to another.
    pub fn start(
        &self,
        name: impl Into<std::borrow::Cow<'static, str>>,
        kind: SpanKind,
        parent: Option<&str>,
        link: Option<&str>,
        attributes: Vec<KeyValue>,
    ) -> OpenSpan {
        let Some(tracer) = &self.0 else { return OpenSpan(None) };
        let builder = SpanBuilder::from_name(name)
            .with_kind(kind)
            .with_attributes(attributes)
            .with_links(link.and_then(context_of).map(Link::with_context).into_iter().collect());
        OpenSpan(Some(tracer.build_with_context(builder, &parent_context(parent))))
    }

    /// Records a span that is over. Its id is given where it was decided before; an error makes its status.
    pub fn record(
        &self,
        name: &'static str,
        parent: Option<&str>,
        id: Option<&str>,
        period: Period,
        attributes: impl FnOnce() -> Vec<KeyValue>,
        error: Option<&'static str>,
    ) {
        let Some(tracer) = &self.0 else { return };
        let builder = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Internal)
            .with_start_time(system_time(period.start))
            .with_attributes(attributes());
        NEXT_ID.set(id.and_then(|id| SpanId::from_hex(id).ok()));
        let mut span = tracer.build_with_context(builder, &parent_context(parent));
        NEXT_ID.set(None);
        if let Some(error) = error {
            span.set_attribute(KeyValue::new("error.type", error));
            span.set_status(Status::error(error));
        }
        span.end_with_timestamp(system_time(period.end));
    }
}

fn parent_context(parent: Option<&str>) -> Context {
    match parent.and_then(context_of) {
        Some(context) => Context::new().with_remote_span_context(context),
        None => Context::new(),
    }
}

impl OpenSpan {
    /// Its context, as a `traceparent`; none where no traces are exported.
    pub fn traceparent(&self) -> Option<String> {
        traceparent_of(self.0.as_ref()?.span_context())
    }

    /// Notes something about it.
    pub fn note(&mut self, attribute: KeyValue) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(attribute);
        }
    }

    /// Notes that it failed.
    pub fn fail(&mut self, error: impl Into<std::borrow::Cow<'static, str>>) {
        if let Some(span) = &mut self.0 {
            let error = error.into();
            span.set_attribute(KeyValue::new("error.type", error.clone()));
            span.set_status(Status::error(error));
        }
    }
}

#[cfg(test)]
#[path = "tests/spans.rs"]
mod tests;
