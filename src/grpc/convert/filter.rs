//! Filters of executions as protobuf has them.

use tonic::Status;

use super::{from_timestamp, name, pb_state, state, timestamp};
use crate::{
    domain::{
        attempt::Reason,
        execution::filter::ExecutionFilter,
        id::{AccountId, ResourceId},
        timestamp::Timestamp,
    },
    grpc::{calls::status, pb},
};

/// Reads an optional field.
fn optional<T: std::str::FromStr<Err = String>>(field: &str, text: &str) -> Result<Option<T>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error: String| status::invalid(field, error))
}

fn resource(account: &AccountId, field: &str, full_name: &str, collection: &str) -> Result<Option<ResourceId>, Status> {
    if full_name.is_empty() {
        return Ok(None);
    }
    match name::resource(field, full_name, collection)? {
        (of, id) if of == *account => Ok(Some(id)),
        _ => Err(status::invalid(field, "must be of the same account as parent")),
    }
}

/// Reads an optional time.
pub fn optional_time(field: &str, time: Option<&prost_types::Timestamp>) -> Result<Option<Timestamp>, Status> {
    let Some(time) = time else { return Ok(None) };
    let wanted = "must be a time from 1970 to 9999";
    from_timestamp(time).map(Some).ok_or_else(|| status::invalid(field, wanted))
}

/// Reads a filter whose fields are at a place in the request, such as `filter.`.
pub fn execution_filter(account: &AccountId, given: &pb::ExecutionFilter, at: &str) -> Result<ExecutionFilter, Status> {
    let field = |name: &str| format!("{at}{name}");
    let state = |(index, number): (usize, &i32)| {
        state(*number)
            .ok_or_else(|| status::invalid(&field(&format!("states[{index}]")), "is no state of an execution"))
    };
    let reason = |(index, word): (usize, &String)| {
        let found = Reason::parse(word);
        found.ok_or_else(|| status::invalid(&field(&format!("reasons[{index}]")), "is no reason of an execution"))
    };
    Ok(ExecutionFilter {
        reader: None,
        automation: resource(account, &field("automation"), &given.automation, "automations")?,
        webhook: resource(account, &field("webhook"), &given.webhook, "webhooks")?,
        states: given.states.iter().enumerate().map(state).collect::<Result<_, _>>()?,
        reasons: given.reasons.iter().enumerate().map(reason).collect::<Result<_, _>>()?,
        object: optional(&field("object"), &given.object)?,
        entity_id: optional(&field("entity_id"), &given.entity_id)?,
        event_id: optional(&field("event_id"), &given.event_id)?,
        start: optional_time(&field("start_time"), given.start_time.as_ref())?,
        end: optional_time(&field("end_time"), given.end_time.as_ref())?,
    })
}

fn text<T: ToString>(value: Option<&T>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

/// A filter as it is shown.
pub fn pb_execution_filter(account: &AccountId, filter: &ExecutionFilter) -> pb::ExecutionFilter {
    let name = |collection: &str, id: Option<&ResourceId>| {
        id.map(|id| format!("accounts/{account}/{collection}/{id}")).unwrap_or_default()
    };
    pb::ExecutionFilter {
        automation: name("automations", filter.automation.as_ref()),
        webhook: name("webhooks", filter.webhook.as_ref()),
        states: filter.states.iter().map(|state| pb_state(*state)).collect(),
        reasons: filter.reasons.iter().map(|reason| reason.as_str().to_owned()).collect(),
        event_id: text(filter.event_id.as_ref()),
        object: text(filter.object.as_ref()),
        entity_id: text(filter.entity_id.as_ref()),
        start_time: filter.start.map(timestamp),
        end_time: filter.end.map(timestamp),
    }
}
