//! Spans with their own times and ids: those of events and executions, which live longer than a call and, in the case
//! of an execution, longer than a process. Their contexts travel in the headers of W3C Trace Context.

use std::{
    cell::Cell,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime},
};

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, Span as _, SpanBuilder, SpanId, SpanKind, Status, TraceContextExt, TraceId, Tracer},
};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SdkTracer, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::domain::{timestamp::Timestamp, trace_context::TraceContext};

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

/// Whether traces are exported by this process.
static IS_EXPORTED: AtomicBool = AtomicBool::new(false);

/// Says whether traces are exported.
pub fn set_exported(is_exported: bool) {
    IS_EXPORTED.store(is_exported, Ordering::Relaxed);
}

/// The span of the call that runs now; none where no traces are exported.
pub fn call_context() -> Option<TraceContext> {
    if !IS_EXPORTED.load(Ordering::Relaxed) {
        return None;
    }
    TraceContext::of(tracing::Span::current().context().span().span_context().clone())
}

/// Puts a call's span under the context that the call came with.
pub fn enter_trace(span: &tracing::Span, trace: &TraceContext) {
    // Without an export of traces there is nothing to set.
    let _ = span.set_parent(Context::new().with_remote_span_context(trace.span().clone()));
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

    /// Starts a span now, under another or as a root, with a link to another.
    pub fn start(
        &self,
        name: impl Into<std::borrow::Cow<'static, str>>,
        kind: SpanKind,
        parent: Option<&TraceContext>,
        link: Option<&TraceContext>,
        attributes: Vec<KeyValue>,
    ) -> OpenSpan {
        let Some(tracer) = &self.0 else { return OpenSpan(None) };
        let builder = SpanBuilder::from_name(name)
            .with_kind(kind)
            .with_attributes(attributes)
            .with_links(link.map(|link| Link::with_context(link.span().clone())).into_iter().collect());
        OpenSpan(Some(tracer.build_with_context(builder, &parent_context(parent))))
    }

    /// Records a span that is over. Its id is given where it was decided before; an error makes its status.
    pub fn record(
        &self,
        name: &'static str,
        parent: Option<&TraceContext>,
        id: Option<SpanId>,
        period: Period,
        attributes: impl FnOnce() -> Vec<KeyValue>,
        error: Option<&'static str>,
    ) {
        let Some(tracer) = &self.0 else { return };
        let builder = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Internal)
            .with_start_time(system_time(period.start))
            .with_attributes(attributes());
        NEXT_ID.set(id);
        let mut span = tracer.build_with_context(builder, &parent_context(parent));
        NEXT_ID.set(None);
        if let Some(error) = error {
            span.set_attribute(KeyValue::new("error.type", error));
            span.set_status(Status::error(error));
        }
        span.end_with_timestamp(system_time(period.end));
    }
}

fn parent_context(parent: Option<&TraceContext>) -> Context {
    match parent {
        Some(parent) => Context::new().with_remote_span_context(parent.span().clone()),
        None => Context::new(),
    }
}

impl OpenSpan {
    /// Its context; none where no traces are exported.
    pub fn context(&self) -> Option<TraceContext> {
        TraceContext::of(self.0.as_ref()?.span_context().clone())
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
