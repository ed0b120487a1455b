//! Why an automation ran, or did not.

use tonic::Status;

use super::{automation::pb_operator, event::event, execution::explanation, pb_event_action, timestamp};
use crate::{
    domain::{
        attempt::Reason,
        automation::{
            checks::{Check, CheckKind},
            miss::Missed,
        },
        decision::backtest::{Stop, Tried, stops},
        event::Event,
        id::AccountId,
    },
    grpc::{calls::status, pb},
};

/// Why a request would fail, and what to do about it.
pub fn failure_message(reason: Reason, at: usize) -> String {
    let why = match reason {
        Reason::WebhookDeleted => "the webhook was deleted; name it again in the action",
        Reason::WebhookDisabled => "the webhook is disabled: mend its endpoint, and have a global admin enable it",
        Reason::ValueMissing => "a value that the path or the body marks as required is empty in this event",
        Reason::UnsafePath => "the path would lead away from the endpoint",
        Reason::HeadersTooLarge => "the rendered headers are larger than 4,096 bytes each or 8,192 in all",
        Reason::BodyTooLarge => "the rendered body is larger than the limit",
        _ => "the request cannot be sent",
    };
    format!("actions[{at}]: {why}")
}

/// An event to try an automation with.
pub fn given(account: &AccountId, input: pb::EventInput) -> Result<Event, Status> {
    event(account, input).map_err(|rejection| status::invalid(&format!("event.{}", rejection.field), rejection.message))
}

/// An event that did not make an automation run.
pub fn miss(missed: &Missed) -> pb::Miss {
    let event = &missed.event;
    pb::Miss {
        event_id: event.id.to_string(),
        object: event.object.to_string(),
        action: pb_event_action(event.action),
        entity_id: event.entity_id.to_string(),
        acting_user_id: event.user_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        occur_time: Some(timestamp(event.occurred_at)),
        decide_time: Some(timestamp(missed.decided_at)),
        checks: missed.checks.iter().map(check).collect(),
        explanation: missed.explanation.iter().map(explanation).collect(),
    }
}

/// Something that must hold for an automation to run.
pub fn check(found: &Check) -> pb::DryRunCheck {
    pb::DryRunCheck { kind: check_kind(found.kind), held: found.holds, message: found.message.clone() }
}

fn check_kind(kind: CheckKind) -> i32 {
    match kind {
        CheckKind::Plan => pb::DryRunCheckKind::Plan,
        CheckKind::Enabled => pb::DryRunCheckKind::Enabled,
        CheckKind::Trigger => pb::DryRunCheckKind::Trigger,
        CheckKind::Activation => pb::DryRunCheckKind::Activation,
        CheckKind::Conditions => pb::DryRunCheckKind::Conditions,
    }
    .into()
}

/// What an automation would have made of events, and, where they may be shown, of each.
pub fn backtest(tried: &[Tried], shows_events: bool) -> pb::BacktestResponse {
    let count = |of: usize| u32::try_from(of).unwrap_or(u32::MAX);
    let stop = |(stop, events): (Stop, u32)| {
        let clause = stop.conditions.as_ref().and_then(|conditions| conditions.clause.clone());
        let (field, operator) = clause.map_or((String::new(), 0), |(field, operator)| (field, pb_operator(operator)));
        pb::BacktestStop { check: check_kind(stop.check), path: path(&stop), field, operator, events }
    };
    let result = |tried: &Tried| pb::BacktestResult {
        event_id: tried.event.id.to_string(),
        entity_id: tried.event.entity_id.to_string(),
        occur_time: Some(timestamp(tried.event.occurred_at)),
        would_run: tried.stop.is_none(),
        check: tried.stop.as_ref().map_or(0, |stop| check_kind(stop.check)),
        path: tried.stop.as_ref().map(path).unwrap_or_default(),
    };
    pb::BacktestResponse {
        events: count(tried.len()),
        would_run: count(tried.iter().filter(|tried| tried.stop.is_none()).count()),
        stops: stops(tried).into_iter().map(stop).collect(),
        results: tried.iter().filter(|_| shows_events).map(result).collect(),
        complete_since_time: None,
    }
}

fn path(stop: &Stop) -> String {
    stop.conditions.as_ref().map(|conditions| conditions.path.clone()).unwrap_or_default()
}
