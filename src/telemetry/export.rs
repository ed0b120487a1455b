//! The ways out: spans and metrics over OTLP, metrics as a Prometheus page. What is lost on the way is counted.

use std::{
    fmt,
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use opentelemetry::{KeyValue, global, metrics::Counter};
use opentelemetry_otlp::{MetricExporter, SpanExporter as OtlpExporter};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    metrics::SdkMeterProvider,
    trace::{BatchSpanProcessor, Sampler, SdkTracerProvider, Span, SpanData, SpanExporter, SpanProcessor},
};
use prometheus::{Registry, TextEncoder};

use super::spans;

/// How long the last spans and metrics may take to reach the collector at shutdown.
pub const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// How many spans ended, and how many of them the collector has taken.
#[derive(Debug, Default)]
pub struct Counts {
    ended: AtomicU64,
    exported: AtomicU64,
}

impl Counts {
    /// How many ended.
    pub fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    /// How many of them the collector has not taken; final after the shutdown.
    pub fn dropped(&self) -> u64 {
        self.ended().saturating_sub(self.exported.load(Ordering::Relaxed))
    }
}

/// The metrics as Prometheus reads them.
#[derive(Clone)]
pub struct MetricsPage(Registry);

impl MetricsPage {
    /// The page's content type.
    pub const CONTENT_TYPE: &'static str = prometheus::TEXT_FORMAT;

    /// The page as it is now.
    pub fn text(&self) -> Result<String, String> {
        TextEncoder::new().encode_to_string(&self.0.gather()).map_err(|error| error.to_string())
    }
}

fn is_wanted(signal: &str) -> bool {
    let value = |name: &str| std::env::var(name).unwrap_or_default();
    let exporter = value(&format!("OTEL_{signal}_EXPORTER"));
    let is_off = value("OTEL_SDK_DISABLED").eq_ignore_ascii_case("true") || exporter == "none";
    let endpoints = ["OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")];
    !is_off && (endpoints.iter().any(|name| !value(name).is_empty()) || exporter == "otlp")
}

/// Whom the exported things are from: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` have their say.
fn resource() -> Resource {
    let mut resource = Resource::builder();
    if std::env::var("OTEL_SERVICE_NAME").unwrap_or_default().is_empty() {
        resource = resource.with_service_name("hookline");
    }
    resource.with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))).build()
}

/// What collects metrics, and the page that shows them.
pub fn meters() -> Result<(SdkMeterProvider, MetricsPage), String> {
    let registry = Registry::new();
    let reader = opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false).build();
    let reader = reader.map_err(|error| format!("the page of metrics: {error}"))?;
    let mut builder = SdkMeterProvider::builder().with_resource(resource()).with_reader(reader);
    if is_wanted("METRICS") {
        let exporter = MetricExporter::builder().with_tonic().build();
        let exporter = exporter.map_err(|error| format!("the export of metrics (OTEL_EXPORTER_OTLP_…): {error}"))?;
        builder = builder.with_periodic_exporter(exporter);
    }
    Ok((builder.build(), MetricsPage(registry)))
}

/// What exports spans; none where nobody wants them.
pub fn tracers(counts: &Arc<Counts>) -> Result<Option<SdkTracerProvider>, String> {
    if !is_wanted("TRACES") {
        return Ok(None);
    }
    let exporter = OtlpExporter::builder()
        .with_tonic()
        .build()
        .map_err(|error| format!("the export of traces (OTEL_EXPORTER_OTLP_…): {error}"))?;
    let taken = global::meter("hookline")
        .u64_counter("otel.sdk.exporter.span.exported")
        .with_unit("{span}")
        .with_description("Spans that the collector has taken, or not (error.type)")
        .build();
    let exporter = CountingExporter { exporter, counts: Arc::clone(counts), taken };
    let processor = BatchSpanProcessor::builder(exporter).build();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(CountingProcessor { processor, counts: Arc::clone(counts) })
        .with_id_generator(spans::Ids)
        .with_resource(resource())
        .build();
    Ok(Some(provider))
}

/// What makes spans that go nowhere.
pub fn unexported() -> SdkTracerProvider {
    SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOff).with_id_generator(spans::Ids).build()
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
    taken: Counter<u64>,
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
            self.taken.add(count, &[]);
        } else {
            self.taken.add(count, &[KeyValue::new("error.type", "rejected")]);
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
