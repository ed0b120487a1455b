//! The trace context that events and requests carry (W3C Trace Context): read by OpenTelemetry's propagator,
//! handed on whole, `tracestate` too.

use std::fmt;

use opentelemetry::{
    Context,
    propagation::{Extractor, TextMapPropagator},
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;

/// How long a `traceparent` is, in bytes: all of one of version 00, and the beginning of those to come.
const TRACEPARENT_BYTES: usize = 55;
/// How long a `tracestate` may be, in bytes; a longer one is dropped. The standard asks to carry 512.
pub const TRACESTATE_BYTES_MAX: usize = 512;
const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// A span in a trace, which may be another service's.
#[derive(Clone, PartialEq, Eq)]
pub struct TraceContext(SpanContext);

/// What the propagator reads from.
struct Headers {
    traceparent: String,
    tracestate: String,
}

impl Extractor for Headers {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            TRACEPARENT => Some(&self.traceparent),
            TRACESTATE => Some(&self.tracestate),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT, TRACESTATE]
    }
}

impl TraceContext {
    /// Reads the two headers. A malformed `traceparent` is none, and a malformed `tracestate` is left out, as the standard
    /// asks.
    pub fn parse(traceparent: &str, tracestate: &str) -> Option<Self> {
        let fixed = traceparent.get(..TRACEPARENT_BYTES)?;
        let is_laid_out = fixed.bytes().enumerate().all(|(at, byte)| match at {
            2 | 35 | 52 => byte == b'-',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        });
        let is_whole = match &traceparent[TRACEPARENT_BYTES..] {
            "" => true,
            rest => !fixed.starts_with("00") && rest.starts_with('-'),
        };
        if !is_laid_out || !is_whole {
            return None;
        }
        let is_carried =
            tracestate.len() <= TRACESTATE_BYTES_MAX && tracestate.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let tracestate = if is_carried { tracestate.to_owned() } else { String::new() };
        let headers = Headers { traceparent: fixed.to_owned(), tracestate };
        let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
        Self::of(context.span().span_context().clone())
    }

    /// Of a span; none of one that is recorded nowhere and belongs to no trace.
    pub fn of(span: SpanContext) -> Option<Self> {
        span.is_valid().then_some(Self(span))
    }

    /// A span in a trace of its own. Nobody records it: its flags say so.
    pub fn unrecorded(trace_id: u128, span_id: u64) -> Self {
        let (trace, span) = (TraceId::from(trace_id), SpanId::from(span_id));
        Self(SpanContext::new(trace, span, TraceFlags::default(), true, TraceState::default()))
    }

    /// In the place of one that cannot be read: it belongs to no trace.
    pub fn unreadable() -> Self {
        Self(SpanContext::NONE)
    }

    /// Another span of the same trace.
    #[must_use]
    pub fn with_span(&self, span_id: SpanId) -> Self {
        let Self(span) = self;
        Self(SpanContext::new(span.trace_id(), span_id, span.trace_flags(), true, span.trace_state().clone()))
    }

    /// The trace, in 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        self.0.trace_id().to_string()
    }

    /// The span.
    pub fn span_id(&self) -> SpanId {
        self.0.span_id()
    }

    /// The span as OpenTelemetry knows it.
    pub fn span(&self) -> &SpanContext {
        &self.0
    }

    /// The header `traceparent`; empty where it belongs to no trace.
    pub fn traceparent(&self) -> String {
        let Self(span) = self;
        // The propagator writes the same, and asks for a map of headers.
        match span.is_valid() {
            true => {
                format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags() & TraceFlags::SAMPLED)
            }
            false => String::new(),
        }
    }

    /// The header `tracestate`, where there is one.
    pub fn tracestate(&self) -> Option<String> {
        let state = self.0.trace_state();
        (*state != TraceState::NONE && self.0.is_valid()).then(|| state.header()).filter(|text| !text.is_empty())
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.traceparent())
    }
}

#[cfg(test)]
#[path = "tests/trace_context.rs"]
mod tests;
