//! What the engine tells about itself in traces: how an event was evaluated and committed, each execution, each attempt
//! (in the semantic conventions for HTTP clients).

use opentelemetry::{KeyValue, trace::SpanKind};

use crate::{
    clock,
    domain::{
        attempt::{Attempt, Outcome},
        decision::{Decision, Input},
        execution::{Progress, State, Unfinished, dispatch::Dispatch, record::Record, request::Request},
        id::{AccountId, ExecutionUid},
        timestamp::Timestamp,
        trace_context::TraceContext,
        url::redacted,
    },
    telemetry::{OpenSpan, Period, Spans},
};

/// The events of a decision were evaluated, together, since a time.
pub fn evaluated(spans: &Spans, account: &AccountId, inputs: &[Input], decision: &Decision, start: Timestamp) {
    if !spans.are_exported() {
        return;
    }
    let period = Period { start, end: clock::now() };
    for input in &inputs[..decision.replies.len()] {
        let Input::Event(event) = input else { continue };
        let attributes = || {
            let of_event = decision.change.executions.iter().filter(|execution| execution.event_id == event.id);
            vec![
                KeyValue::new("hookline.account.id", account.to_string()),
                KeyValue::new("hookline.executions", i64::try_from(of_event.count()).unwrap_or(i64::MAX)),
            ]
        };
        spans.record("evaluation", event.trace.as_ref(), None, period, attributes, None);
    }
}

/// The events of a decision were committed, or not, since a time.
pub fn committed(spans: &Spans, decision: &Decision, start: Timestamp, error: Option<&'static str>) {
    if !spans.are_exported() {
        return;
    }
    let period = Period { start, end: clock::now() };
    let rows = i64::try_from(decision.change.rows()).unwrap_or(i64::MAX);
    for event in &decision.change.events {
        let attributes = || vec![KeyValue::new("hookline.commit.rows", rows)];
        spans.record("commit", event.trace.as_ref(), None, period, attributes, error);
    }
}

/// The executions of a decision that have ended.
pub fn executed(spans: &Spans, account: &AccountId, decision: &Decision) {
    if !spans.are_exported() && !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    for Unfinished { uid, record, progress, .. } in decision.change.steps.iter().map(|step| &step.execution) {
        execution(spans, account, *uid, record, progress);
    }
    for new in &decision.change.executions {
        execution(spans, account, new.uid, &new.record, &new.progress);
    }
}

/// An execution's span has the id that its attempts have as their parent, whichever process sent them.
fn execution(spans: &Spans, account: &AccountId, uid: ExecutionUid, record: &Record, progress: &Progress) {
    let Some(end) = progress.ended_at else { return };
    let context = &record.trace;
    let parent = record.parent_span.map(|parent| context.with_span(parent));
    let attributes = || {
        vec![
            KeyValue::new("hookline.account.id", account.to_string()),
            KeyValue::new("hookline.execution.id", uid.to_string()),
            KeyValue::new("hookline.source.id", record.source_id.to_string()),
            KeyValue::new("hookline.execution.state", progress.state.as_str()),
            KeyValue::new("hookline.execution.failed_actions", i64::from(progress.failed_actions)),
        ]
    };
    tracing::debug!(
        account.id = %account,
        execution.id = %uid,
        source.id = %record.source_id,
        state = progress.state.as_str(),
        reason = progress.reason.map_or("", |reason| reason.as_str()),
        trace_id = context.trace_id(),
        span_id = %context.span_id(),
        "an execution ended"
    );
    let error = progress.reason.filter(|_| progress.state == State::Failed).map(|reason| reason.as_str());
    spans.record(
        "execution",
        parent.as_ref(),
        Some(context.span_id()),
        Period { start: uid.made_at(), end },
        attributes,
        error,
    );
}

/// An attempt begins. Its span's context is what the receiver gets.
pub fn start_attempt(spans: &Spans, dispatch: &Dispatch, request: &Request, url: &str) -> OpenSpan {
    if !spans.are_exported() {
        return OpenSpan::default();
    }
    let method = request.method.as_str();
    let mut attributes = vec![
        KeyValue::new("http.request.method", method),
        KeyValue::new("url.full", redacted(url)),
        KeyValue::new("hookline.execution.id", dispatch.execution.to_string()),
        KeyValue::new("hookline.request.id", dispatch.execution.request_id(dispatch.action_no + 1)),
        KeyValue::new("hookline.webhook.id", dispatch.webhook.id.to_string()),
    ];
    let (host, port) = dispatch.webhook.endpoint.server();
    attributes.push(KeyValue::new("server.address", host));
    attributes.push(KeyValue::new("server.port", i64::from(port)));
    if dispatch.attempt_no > 1 {
        attributes.push(KeyValue::new("http.request.resend_count", i64::from(dispatch.attempt_no - 1)));
    }
    spans.start(method, SpanKind::Client, Some(&dispatch.record.trace), None, attributes)
}

/// An attempt ended. What the receiver got as its context names its span.
pub fn end_attempt(span: &mut OpenSpan, dispatch: &Dispatch, trace: &TraceContext, attempt: &Attempt) {
    let outcome = &attempt.outcome;
    let (status, error) = match outcome {
        Outcome::Answer { status, .. } => (Some(*status), None),
        Outcome::Error { kind, message, .. } => (None, Some(format!("{}: {message}", kind.as_str()))),
    };
    tracing::debug!(
        execution.id = %dispatch.execution,
        webhook.id = %dispatch.webhook.id,
        action.number = dispatch.action_no + 1,
        attempt.number = dispatch.attempt_no,
        url = redacted(&attempt.url),
        status,
        error,
        duration_us = attempt.duration_us,
        trace_id = trace.trace_id(),
        span_id = %trace.span_id(),
        "an attempt ended"
    );
    match outcome {
        Outcome::Answer { status, .. } => {
            span.note(KeyValue::new("http.response.status_code", i64::from(*status)));
            if !outcome.is_success() {
                span.fail(status.to_string());
            }
        }
        Outcome::Error { kind, .. } => span.fail(kind.as_str()),
    }
}
