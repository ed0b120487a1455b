//! Log lines: for people, or one JSON object a line. Both name the trace and the span that they belong to, and what is
//! logged can be changed while the process runs.

use std::{
    fmt,
    io::IsTerminal,
    sync::{Arc, Mutex, PoisonError},
};

use opentelemetry::trace::TraceContextExt;
use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format, Full, Writer},
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
    reload,
};

use crate::config::LogFormat;

/// What is always logged a little less of: what libraries say of themselves.
const QUIET: &str = "sqlx=warn,sea_orm_migration=warn";

/// What is logged, as it can be read and changed.
#[derive(Clone)]
pub struct LogLevel {
    handle: reload::Handle<EnvFilter, Registry>,
    wanted: Arc<Mutex<String>>,
}

impl LogLevel {
    /// What is logged now, such as `info`.
    pub fn read(&self) -> String {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Logs something else from now on, such as `hookline=debug`.
    pub fn change(&self, wanted: &str) -> Result<(), String> {
        let filter = parse(wanted)?;
        // Told under what was logged until now, and by whoever changes it under what is logged then.
        tracing::warn!(filter = wanted.trim(), "what is logged changes");
        let mut now = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        self.handle.reload(filter).map_err(|error| error.to_string())?;
        wanted.trim().clone_into(&mut now);
        Ok(())
    }
}

fn parse(wanted: &str) -> Result<EnvFilter, String> {
    let remedy = "write it as debug, or info,hookline=debug";
    if wanted.trim().is_empty() {
        return Err(format!("no level was given; {remedy}"));
    }
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    // The library takes a bare word for the name of a module, and then logs nothing else.
    let is_level = |word: &&str| word.contains(['=', '[']) || LEVELS.contains(&word.to_lowercase().as_str());
    if let Some(unknown) = wanted.split(',').map(str::trim).find(|word| !is_level(word)) {
        return Err(format!("{unknown} is no level: one of {}; {remedy}", LEVELS.join(", ")));
    }
    EnvFilter::try_new(format!("{QUIET},{}", wanted.trim()))
        .map_err(|error| format!("{}: {error}; {remedy}", wanted.trim()))
}

/// What is logged at first: `RUST_LOG`, or a level; and what changes it.
pub fn filter(level: &str) -> Result<(reload::Layer<EnvFilter, Registry>, LogLevel), String> {
    let given = std::env::var("RUST_LOG").unwrap_or_default();
    let wanted = if given.is_empty() { level.to_owned() } else { given };
    let filter = parse(&wanted).map_err(|error| format!("RUST_LOG={error}"))?;
    let (layer, handle) = reload::Layer::new(filter);
    Ok((layer, LogLevel { handle, wanted: Arc::new(Mutex::new(wanted)) }))
}

/// What writes the lines.
pub fn layer(format: LogFormat) -> impl Layer<Registry> {
    let is_coloured = format == LogFormat::Human && std::io::stderr().is_terminal();
    tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(is_coloured)
        .event_format(Lines { format, human: Format::default().with_ansi(is_coloured) })
}

struct Lines {
    format: LogFormat,
    human: Format<Full>,
}

/// The trace and the span of the call that runs now.
fn trace() -> Option<(String, String)> {
    let context = tracing::Span::current().context();
    let context = context.span().span_context().clone();
    context.is_valid().then(|| (context.trace_id().to_string(), context.span_id().to_string()))
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        if self.format == LogFormat::Json {
            return writeln!(writer, "{}", Value::Object(json(event)));
        }
        let Some((trace, span)) = trace() else { return self.human.format_event(context, writer, event) };
        let mut line = String::new();
        self.human.format_event(context, Writer::new(&mut line), event)?;
        writeln!(writer, "{} trace_id={trace} span_id={span}", line.trim_end_matches('\n'))
    }
}

/// A line: time, level, target, message, the fields by their names, and the trace.
fn json(event: &Event<'_>) -> Map<String, Value> {
    let mut time = String::new();
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    let mut line = Map::new();
    // What every line has comes last: no field can take its place.
    event.record(&mut Fields(&mut line));
    line.insert("timestamp".to_owned(), time.into());
    line.insert("level".to_owned(), event.metadata().level().to_string().into());
    line.insert("target".to_owned(), event.metadata().target().into());
    if let Some((trace, span)) = trace() {
        line.insert("trace_id".to_owned(), trace.into());
        line.insert("span_id".to_owned(), span.into());
    }
    line
}

/// Puts the fields of an event into an object.
struct Fields<'l>(&'l mut Map<String, Value>);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }
}
