//! Entries of the audit trail.

use tonic::Status;

use super::{filter::optional_time, timestamp};
use crate::{
    domain::{
        account::audit::{Role, Verb},
        id::{AccountId, UserId},
        timestamp::Timestamp,
    },
    grpc::{calls::status, pb},
    store::{AuditCursor, AuditFilter, AuditView},
};

/// Where a page of the trail begins.
pub fn parse_cursor(cursor: &str) -> Result<AuditCursor, Status> {
    let parsed = cursor
        .split_once(':')
        .and_then(|(revision, no)| Some(AuditCursor { revision: revision.parse().ok()?, no: no.parse().ok()? }));
    parsed.ok_or_else(|| status::invalid("page_token", "is not a token of this list"))
}

/// Which entries are asked for.
pub fn filter(account: &AccountId, request: &pb::ListAuditEntriesRequest) -> Result<AuditFilter, Status> {
    let own = format!("accounts/{account}");
    let resource = Some(request.resource.as_str()).filter(|name| !name.is_empty());
    if resource.is_some_and(|name| name != own && !name.starts_with(&format!("{own}/"))) {
        return Err(status::invalid("resource", format!("must be {own}, or the name of a resource of it")));
    }
    let user = Some(request.user_id.as_str()).filter(|id| !id.is_empty());
    let user = user.map(|id| id.parse::<UserId>().map_err(|error| status::invalid("user_id", error))).transpose()?;
    let time = |field: &str, given: Option<&prost_types::Timestamp>| -> Result<Option<Timestamp>, Status> {
        optional_time(field, given)
    };
    Ok(AuditFilter {
        resource: resource.map(ToOwned::to_owned),
        user,
        start: time("start_time", request.start_time.as_ref())?,
        end: time("end_time", request.end_time.as_ref())?,
    })
}

/// An entry.
pub fn entry(view: &AuditView) -> pb::AuditEntry {
    let entry = &view.entry;
    let role = match entry.actor.role {
        Role::Rule => pb::AuditRole::Rule,
        Role::Service => pb::AuditRole::Service,
        Role::GlobalAdmin => pb::AuditRole::GlobalAdmin,
        Role::User => pb::AuditRole::User,
    };
    let action = match entry.verb {
        Verb::Created => pb::AuditAction::Created,
        Verb::Updated => pb::AuditAction::Updated,
        Verb::Deleted => pb::AuditAction::Deleted,
        Verb::Tested => pb::AuditAction::Tested,
    };
    let changes = entry.changes.iter().map(|change| pb::AuditChange {
        field: change.field.clone(),
        before: change.before.clone(),
        after: change.after.clone(),
    });
    pb::AuditEntry {
        create_time: Some(timestamp(view.created_at)),
        role: role.into(),
        user_id: entry.actor.user.as_ref().map(ToString::to_string).unwrap_or_default(),
        action: action.into(),
        resource: entry.resource.clone(),
        changes: changes.collect(),
    }
}
