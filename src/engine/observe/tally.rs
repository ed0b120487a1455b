//! What the engine counts: what its decisions made of events and executions, and how attempts went.

use std::{collections::HashSet, time::Duration};

use crate::{
    clock,
    domain::{
        account::{change::Change, notice::Notice},
        attempt::{Attempt, Verdict},
        decision::Decision,
        execution::{Progress, dispatch::Dispatch},
        id::ExecutionUid,
        source::SourceKind,
        timestamp::Timestamp,
    },
    telemetry::Metrics,
};

fn word(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Automation => "automation",
        SourceKind::RegularWebhook => "regular_webhook",
    }
}

/// A change is durable.
pub fn changed(metrics: &Metrics, change: &Change) {
    executions(metrics, change);
    for notice in &change.notices {
        match notice {
            Notice::LimitCrossed { percent, .. } => metrics.limit_crossed(*percent),
            Notice::EndpointUnavailable { .. } => metrics.breaker("open"),
            Notice::EndpointAvailable { .. } => metrics.breaker("closed"),
            Notice::WebhookDisabled { .. } => metrics.webhook_disabled(),
        }
    }
}

fn executions(metrics: &Metrics, change: &Change) {
    let ended = |kind: SourceKind, progress: &Progress| {
        if progress.state.is_final() {
            let reason = progress.reason.map_or("", |reason| reason.as_str());
            metrics.ended(progress.state.as_str(), reason, word(kind));
        }
    };
    for new in &change.executions {
        metrics.made(word(new.source_kind));
        ended(new.source_kind, &new.progress);
    }
    for step in &change.steps {
        ended(step.execution.source_kind, &step.execution.progress);
    }
}

/// When the executions of a decision were acknowledged whose first requests it sends: now, where it made them.
pub fn first_requests(decision: &Decision) -> impl Fn(&Dispatch) -> Option<Timestamp> + use<> {
    let now = clock::now();
    let made: HashSet<ExecutionUid> = decision.change.executions.iter().map(|new| new.uid).collect();
    move |dispatch| {
        let is_first = dispatch.attempt_no == 1 && dispatch.action_no == dispatch.record.first_action();
        let acknowledged_at = if made.contains(&dispatch.execution) { now } else { dispatch.execution.made_at() };
        is_first.then_some(acknowledged_at)
    }
}

/// A first request starts, whose execution was acknowledged at a time.
pub fn started(metrics: &Metrics, acknowledged_at: Option<Timestamp>) {
    if let Some(at) = acknowledged_at {
        metrics.first_request(duration(clock::now().0.saturating_sub(at.0)));
    }
}

/// An attempt ended.
pub fn attempted(metrics: &Metrics, attempt: &Attempt) {
    let outcome = match attempt.outcome.verdict() {
        Verdict::Success => "SUCCESS",
        Verdict::Retry(reason) | Verdict::Failure(reason) => reason.as_str(),
    };
    metrics.attempt(outcome, duration(attempt.duration_us));
}

fn duration(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}
