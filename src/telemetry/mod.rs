//! Log lines, traces and metrics.
//!
//! Log lines are a sentence and dotted fields, to standard error. Traces and metrics are exported over OTLP where the
//! standard variables ask for it: `OTEL_EXPORTER_OTLP_ENDPOINT` (or `…_TRACES_ENDPOINT`, `…_METRICS_ENDPOINT`) names a
//! collector, or `OTEL_TRACES_EXPORTER=otlp` and `OTEL_METRICS_EXPORTER=otlp` take the default one. Without a collector
//! nothing but they is lost. Metrics can be read as a Prometheus page, too.

mod export;
mod log;
mod metrics;
mod spans;

use std::sync::Arc;

use opentelemetry::{global, trace::TracerProvider};
use opentelemetry_sdk::{metrics::SdkMeterProvider, trace::SdkTracerProvider};
use tracing_subscriber::{Layer, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt};

use self::export::{Counts, FLUSH_TIMEOUT};
pub use self::{
    export::MetricsPage,
    log::LogLevel,
    metrics::Metrics,
    spans::{CALL_TARGET, OpenSpan, Period, Spans, call_context, enter_trace},
};
pub use crate::config::LogFormat;

/// What was started; it is stopped last.
pub struct Telemetry {
    tracers: Option<SdkTracerProvider>,
    meters: SdkMeterProvider,
    counts: Arc<Counts>,
    /// What makes spans.
    pub spans: Spans,
    /// What counts and measures.
    pub metrics: Metrics,
    /// What is logged.
    pub level: LogLevel,
    /// The metrics, as a page.
    pub page: MetricsPage,
}

impl Telemetry {
    /// Starts logging and counting, and exporting where it is asked for. `RUST_LOG` overrides the level. Runs in the
    /// runtime.
    pub fn start(level: &str, format: LogFormat) -> Result<Self, String> {
        let (meters, page) = export::meters()?;
        // The exporter of spans counts, too, so this comes first.
        global::set_meter_provider(meters.clone());
        let metrics = Metrics::default();
        let counts = Arc::new(Counts::default());
        let tracers = export::tracers(&counts)?;
        let tracer = tracers.as_ref().map(|provider| provider.tracer("hookline"));
        spans::set_exported(tracer.is_some());
        // Without a collector calls have spans all the same, so that log lines name their traces.
        let of_calls = tracer.clone().unwrap_or_else(|| export::unexported().tracer("hookline"));
        let (filter, level) = log::filter(level)?;
        let lines = log::layer(format).with_filter(filter);
        // Only the spans of calls; those of events and executions are made by `Spans`, with their own times.
        let is_call = filter_fn(|metadata| metadata.is_span() && metadata.target() == CALL_TARGET);
        let traced = tracing_opentelemetry::layer().with_tracer(of_calls).with_location(false).with_filter(is_call);
        // A second start, in a test, keeps the first one's log.
        let _ = tracing_subscriber::registry().with(lines).with(traced).try_init();
        Ok(Self { tracers, meters, counts, spans: Spans::new(tracer), metrics, level, page })
    }

    /// Sends what is left, and says how many spans were dropped.
    pub async fn stop(self) {
        let (meters, tracers) = (self.meters, self.tracers);
        let stopped = tokio::task::spawn_blocking(move || {
            let _ = meters.shutdown_with_timeout(FLUSH_TIMEOUT);
            tracers.map(|tracers| tracers.shutdown_with_timeout(FLUSH_TIMEOUT))
        });
        let stopped = match stopped.await {
            Ok(None) => return,
            Ok(Some(stopped)) => stopped.is_ok(),
            Err(_) => false,
        };
        match self.counts.dropped() {
            0 if stopped => tracing::info!(spans.ended = self.counts.ended(), "every span was exported"),
            dropped => {
                tracing::warn!(spans.ended = self.counts.ended(), spans.dropped = dropped, "spans were dropped");
            }
        }
    }
}

/// An error with its causes, for one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(found) = cause {
        // Some errors say what their causes say, too.
        let more = found.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = found.source();
    }
    text
}
