//! Events as clients send them, and what becomes of each.

use std::time::Duration;

use super::{duration, time::from_timestamp, timestamp};
use crate::{
    domain::{
        automation::TriggerActions,
        event::{
            Action, Cause, Event, PERMITTED_USERS_MAX, Rejection, RejectionReason, parse_envelope, payload_object,
        },
        id::{AccountId, UserId},
        refusal::Violations,
        trace_context::TraceContext,
    },
    grpc::pb,
};

/// The result of an event that can never be accepted.
pub fn rejected(sequence: u64, index: u32, rejection: &Rejection) -> pb::EventResult {
    let field = match rejection.field.as_str() {
        "parent" => "parent".to_owned(),
        field => format!("events[{index}].{field}"),
    };
    pb::EventResult {
        sequence,
        index,
        status: pb::EventStatus::Rejected.into(),
        field,
        reason: rejection.reason.as_str().to_owned(),
        message: rejection.message.clone(),
        ..pb::EventResult::default()
    }
}

/// The results of a frame whose events are to be sent again after a time.
pub fn later(sequence: u64, events: usize, why: &str, retry_after: Duration) -> Vec<pb::EventResult> {
    let retry_after = duration(u64::try_from(retry_after.as_micros()).unwrap_or(u64::MAX));
    let result = |index| pb::EventResult {
        sequence,
        index,
        status: pb::EventStatus::RetryLater.into(),
        message: why.to_owned(),
        retry_after: Some(retry_after),
        ..pb::EventResult::default()
    };
    (0_u32..).take(events).map(result).collect()
}

/// Reads an event in any of its forms.
pub fn event(account: &AccountId, input: pb::EventInput) -> Result<Event, Rejection> {
    let mut event = match input.kind {
        Some(pb::event_input::Kind::Envelope(bytes)) => parse_envelope(account, &bytes)?,
        Some(pb::event_input::Kind::Event(event)) => native(&event)?,
        None => {
            let message = "must be given as event or as envelope";
            return Err(Rejection::new("kind", RejectionReason::InvalidField, message));
        }
    };
    event.trace = TraceContext::parse(&input.traceparent, &input.tracestate);
    if input.causation_depth > 0 || !input.cause_execution_id.is_empty() {
        let execution_id =
            Some(named_execution(&input.cause_execution_id)).filter(|id| !id.is_empty() && id.len() <= 64);
        event.cause = Some(Cause { execution_id, depth: input.causation_depth });
    }
    Ok(event)
}

/// The id in what a client calls an execution: its name, or the id of a header, of which others may have changed the case.
fn named_execution(given: &str) -> String {
    let given = given.trim();
    given.rsplit_once("/executions/").map_or(given, |(_, id)| id).to_ascii_lowercase()
}

fn native(given: &pb::Event) -> Result<Event, Rejection> {
    fn parse<T: std::str::FromStr<Err = String>>(field: &str, text: &str) -> Result<T, Rejection> {
        text.parse().map_err(|error| Rejection::new(format!("event.{field}"), RejectionReason::InvalidField, error))
    }
    let mut faults = Violations::default();
    let action = event_action("event.action", given.action, &mut faults).ok_or_else(|| {
        Rejection::new("event.action", RejectionReason::InvalidField, "is required: create, change or delete")
    })?;
    let occurred_at = given.occur_time.as_ref().and_then(from_timestamp).ok_or_else(|| {
        Rejection::new("event.occur_time", RejectionReason::InvalidField, "is required: a time from 1970 to 9999")
    })?;
    let (field, data) = one_of("data", &given.data, &given.data_json)?;
    let data = payload_object(&field, data)?;
    let (field, previous) = one_of("previous", &given.previous, &given.previous_json)?;
    let previous = match previous {
        b"" | b"null" => None,
        bytes => Some(payload_object(&field, bytes)?),
    };
    Ok(Event {
        id: parse("event_id", &given.event_id)?,
        object: parse("object", &given.object)?,
        action,
        entity_id: parse("entity_id", &given.entity_id)?,
        occurred_at,
        user_id: (!given.user_id.is_empty()).then(|| parse("user_id", &given.user_id)).transpose()?,
        data,
        previous,
        meta: None,
        swapped: false,
        permitted_user_ids: permitted_users(given)?,
        cause: None,
        trace: None,
    })
}

/// An event that was taken in, in our own form.
pub fn known(event: &Event) -> pb::KnownEvent {
    let users = |ids: &Vec<UserId>| pb::PermittedUsers { user_ids: ids.iter().map(ToString::to_string).collect() };
    let native = pb::Event {
        event_id: event.id.to_string(),
        object: event.object.to_string(),
        action: pb_event_action(event.action),
        entity_id: event.entity_id.to_string(),
        occur_time: Some(timestamp(event.occurred_at)),
        user_id: event.user_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        data_json: event.data.clone(),
        previous_json: event.previous.clone().unwrap_or_default(),
        permitted_users: event.permitted_user_ids.as_ref().map(users),
        ..pb::Event::default()
    };
    let cause = event.cause.as_ref();
    let input = pb::EventInput {
        kind: Some(pb::event_input::Kind::Event(native)),
        traceparent: event.trace.as_ref().map(TraceContext::traceparent).unwrap_or_default(),
        tracestate: event.trace.as_ref().and_then(TraceContext::tracestate).unwrap_or_default(),
        cause_execution_id: cause.and_then(|cause| cause.execution_id.clone()).unwrap_or_default(),
        causation_depth: cause.map_or(0, |cause| cause.depth),
    };
    pb::KnownEvent { input: Some(input), meta_json: event.meta.clone().unwrap_or_default() }
}

/// What is given as bytes or as text, and its field.
fn one_of<'g>(name: &str, bytes: &'g [u8], text: &'g str) -> Result<(String, &'g [u8]), Rejection> {
    match (bytes, text) {
        (bytes, "") => Ok((format!("event.{name}"), bytes)),
        (b"", text) => Ok((format!("event.{name}_json"), text.as_bytes())),
        _ => {
            let message = format!("must not be given beside {name}");
            Err(Rejection::new(format!("event.{name}_json"), RejectionReason::InvalidField, message))
        }
    }
}

/// Who may see the object: everybody where nothing is said, nobody where the list is empty. The older field cannot say the
/// latter.
#[expect(deprecated, reason = "it is read for clients that still send it")]
fn permitted_users(given: &pb::Event) -> Result<Option<Vec<UserId>>, Rejection> {
    let (field, ids) = match (&given.permitted_users, given.permitted_user_ids.as_slice()) {
        (None, []) => return Ok(None),
        (None, ids) => ("event.permitted_user_ids", ids),
        (Some(users), []) => ("event.permitted_users.user_ids", users.user_ids.as_slice()),
        (Some(_), _) => {
            let message = "must not be given beside permitted_users, which takes its place";
            return Err(Rejection::new("event.permitted_user_ids", RejectionReason::InvalidField, message));
        }
    };
    if ids.len() > PERMITTED_USERS_MAX {
        return Err(Rejection::new(field, RejectionReason::TooLarge, format!("more than {PERMITTED_USERS_MAX} users")));
    }
    let invalid = |error| Rejection::new(field, RejectionReason::InvalidField, error);
    ids.iter().map(|id| id.parse().map_err(invalid)).collect::<Result<Vec<_>, _>>().map(Some)
}

/// What happened, which is required.
pub fn event_action(field: &str, value: i32, faults: &mut Violations) -> Option<Action> {
    match pb::EventAction::try_from(value) {
        Ok(pb::EventAction::Create) => Some(Action::Create),
        Ok(pb::EventAction::Change) => Some(Action::Change),
        Ok(pb::EventAction::Delete) => Some(Action::Delete),
        Ok(pb::EventAction::Unspecified) | Err(_) => {
            faults.add(field, "is required: EVENT_ACTION_CREATE, EVENT_ACTION_CHANGE or EVENT_ACTION_DELETE");
            None
        }
    }
}

/// Any of what may happen: given as one, as a list, or as both where they are the same.
pub fn event_actions(at: &str, one: i32, list: &[i32], faults: &mut Violations) -> Option<TriggerActions> {
    let field = format!("{at}.trigger_actions");
    if list.is_empty() {
        return event_action(&format!("{at}.trigger_action"), one, faults).map(TriggerActions::from);
    }
    if one != 0 && list != [one] {
        faults.add(field, "differs from trigger_action: give only this one, which may name several");
        return None;
    }
    let read = |(index, action): (usize, &i32)| event_action(&format!("{field}[{index}]"), *action, faults);
    let read: Vec<_> = list.iter().enumerate().map(read).collect();
    let actions = TriggerActions::new(read.into_iter().collect::<Option<_>>()?);
    if actions.is_none() {
        faults.add(field, "names an action twice");
    }
    actions
}

/// What happened.
pub fn pb_event_action(action: Action) -> i32 {
    match action {
        Action::Create => pb::EventAction::Create,
        Action::Change => pb::EventAction::Change,
        Action::Delete => pb::EventAction::Delete,
    }
    .into()
}
