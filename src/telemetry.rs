//! Log lines and traces.
//!
//! Log lines are a sentence and dotted fields, to standard error. Traces are exported over OTLP where the standard
//! variables ask for it: `OTEL_EXPORTER_OTLP_ENDPOINT` (or `…_TRACES_ENDPOINT`) names a collector, or
//! `OTEL_TRACES_EXPORTER=otlp` takes the default one. Without a collector nothing but the spans is lost.

mod spans;

use std::{
    fmt,
    io::IsTerminal,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_otlp::SpanExporter as OtlpExporter;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchSpanProcessor, SdkTracerProvider, Span, SpanData, SpanExporter, SpanProcessor},
};
use tracing_subscriber::{EnvFilter, Layer, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt};

pub use self::spans::{CALL_TARGET, OpenSpan, Period, Spans, call_context, enter_trace};

/// How long the last spans may take to reach the collector at shutdown.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// What was started; it is stopped last.
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
    spans: Spans,
    counts: Arc<Counts>,
}

/// How many spans ended, and how many of them the collector has taken.
#[derive(Debug, Default)]
struct Counts {
    ended: AtomicU64,
    exported: AtomicU64,
}

impl Telemetry {
    /// Starts logging, and tracing where it is asked for. `RUST_LOG` overrides the level. Runs in the runtime.
    pub fn start(level: &str) -> Result<Self, String> {
        let counts = Arc::new(Counts::default());
        let provider = if is_export_wanted() { Some(provider(&counts)?) } else { None };
        let tracer = provider.as_ref().map(|provider| provider.tracer("hookline"));
        let log = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_filter(filter(level)?);
        // Only the spans of calls; those of events and executions are made by `Spans`, with their own times.
        let traced = tracer.clone().map(|tracer| {
            let is_call = filter_fn(|metadata| metadata.is_span() && metadata.target() == CALL_TARGET);
            tracing_opentelemetry::layer().with_tracer(tracer).with_location(false).with_filter(is_call)
        });
        // A second start, in a test, keeps the first one's log.
        let _ = tracing_subscriber::registry().with(log).with(traced).try_init();
        Ok(Self { provider, spans: Spans::new(tracer), counts })
    }

    /// What makes spans.
    pub fn spans(&self) -> Spans {
        self.spans.clone()
    }

    /// Sends what is left, and says how many spans were dropped.
    pub async fn stop(self) {
        let Some(provider) = self.provider else { return };
        let stopped = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_TIMEOUT)).await;
        let ended = self.counts.ended.load(Ordering::Relaxed);
        let dropped = ended.saturating_sub(self.counts.exported.load(Ordering::Relaxed));
        match stopped {
            Ok(Ok(())) if dropped == 0 => tracing::info!(spans.ended = ended, "every span was exported"),
            _ => tracing::warn!(spans.ended = ended, spans.dropped = dropped, "spans were dropped"),
        }
    }
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    match std::env::var("RUST_LOG") {
        Ok(wanted) if !wanted.is_empty() => EnvFilter::try_new(&wanted)
            .map_err(|error| format!("RUST_LOG={wanted}: {error}; write it as info, or hookline=debug")),
        _ => Ok(EnvFilter::new(format!("{level},sqlx=warn,sea_orm_migration=warn"))),
    }
}

/// An error with its causes, for one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(found) = cause {
        text = format!("{text}: {found}");
        cause = found.source();
    }
    text
}

fn is_export_wanted() -> bool {
    let value = |name: &str| std::env::var(name).unwrap_or_default();
    let is_off = value("OTEL_SDK_DISABLED").eq_ignore_ascii_case("true") || value("OTEL_TRACES_EXPORTER") == "none";
    let has_endpoint = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]
        .iter()
        .any(|name| !value(name).is_empty());
    !is_off && (has_endpoint || value("OTEL_TRACES_EXPORTER") == "otlp")
}

fn provider(counts: &Arc<Counts>) -> Result<SdkTracerProvider, String> {
    let exporter = OtlpExporter::builder()
        .with_tonic()
        .build()
        .map_err(|error| format!("the export of traces (OTEL_EXPORTER_OTLP_…): {error}"))?;
    let exporter = CountingExporter { exporter, counts: Arc::clone(counts) };
    let processor = BatchSpanProcessor::builder(exporter).build();
    let mut resource = Resource::builder();
    if std::env::var("OTEL_SERVICE_NAME").unwrap_or_default().is_empty() {
        resource = resource.with_service_name("hookline");
    }
    let resource = resource.with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))).build();
    Ok(SdkTracerProvider::builder()
        .with_span_processor(CountingProcessor { processor, counts: Arc::clone(counts) })
        .with_id_generator(spans::Ids)
        .with_resource(resource)
        .build())
}

/// Counts what ends before it is queued, where the library drops in silence.
#[derive(Debug)]
struct CountingProcessor {
    processor: BatchSpanProcessor,
    counts: Arc<Counts>,
}

impl SpanProcessor for CountingProcessor {
    fn on_start(&self, span: &mut Span, context: &opentelemetry::Context) {
        self.processor.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        self.counts.ended.fetch_add(1, Ordering::Relaxed);
        self.processor.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.processor.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.processor.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.processor.set_resource(resource);
    }
}

/// Counts what the collector has taken.
struct CountingExporter {
    exporter: OtlpExporter,
    counts: Arc<Counts>,
}

impl fmt::Debug for CountingExporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CountingExporter").field("counts", &self.counts).finish_non_exhaustive()
    }
}

impl SpanExporter for CountingExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len() as u64;
        let taken = self.exporter.export(batch).await;
        if taken.is_ok() {
            self.counts.exported.fetch_add(count, Ordering::Relaxed);
        }
        taken
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
