//! Between the rows of what accompanies an account (notices, who changed what, added fields) and their values.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{StoreError, Stored, from_bytes, parse, to_bytes};
use crate::{
    domain::{
        account::{audit::AuditEntry, change::Change, notice::Notice},
        automation::catalogue::Field,
        id::{AccountUid, ObjectName},
        timestamp::Timestamp,
    },
    store::entities::{audit, catalogue, notices},
    telemetry::chain,
};

/// The rows of the notices of a change.
pub fn notice_rows(account: AccountUid, change: &Change, now: Timestamp) -> Stored<Vec<notices::Model>> {
    let row = |(no, notice): (i32, &Notice)| {
        Ok(notices::Model {
            account_uid: account.0,
            revision: change.revision,
            no,
            created_at: now.0,
            notice: to_bytes(notice)?,
        })
    };
    (1..).zip(&change.notices).map(row).collect()
}

/// The rows of who changed what.
pub fn audit_rows(account: AccountUid, change: &Change, now: Timestamp) -> Stored<Vec<audit::Model>> {
    let row = |(no, entry): (i32, &AuditEntry)| {
        Ok(audit::Model {
            account_uid: account.0,
            revision: change.revision,
            no,
            created_at: now.0,
            resource: entry.resource.clone(),
            user_id: entry.actor.user.as_ref().map(ToString::to_string),
            entry: to_bytes(entry)?,
        })
    };
    (1..).zip(&change.audit).map(row).collect()
}

/// Who changed what, from its row.
pub fn audit_entry(row: &audit::Model) -> Stored<AuditEntry> {
    from_bytes(&row.entry)
}

#[derive(Serialize, Deserialize)]
struct StoredFields {
    fields: Arc<Vec<Field>>,
}

/// The row of what is added to an object.
pub fn catalogue_row(account: AccountUid, object: &ObjectName, fields: &Arc<Vec<Field>>) -> Stored<catalogue::Model> {
    let fields = to_bytes(StoredFields { fields: Arc::clone(fields) })?;
    Ok(catalogue::Model { account_uid: account.0, object: object.to_string(), fields })
}

/// What is added to an object, from its row. Where that cannot be read, nothing is: it serves labels and warnings.
pub fn added_fields(row: &catalogue::Model) -> Option<(ObjectName, Arc<Vec<Field>>)> {
    let read = || Ok::<_, StoreError>((parse(&row.object)?, from_bytes::<StoredFields>(&row.fields)?.fields));
    read().inspect_err(|error| tell_unreadable(row, error)).ok()
}

fn tell_unreadable(row: &catalogue::Model, error: &StoreError) {
    let (account, object, error) = (row.account_uid, &row.object, chain(error));
    tracing::error!(account.uid = %account, object, error, "the fields of an object cannot be read; set them anew");
}

/// A notice from its row.
pub fn notice(row: &notices::Model) -> Stored<Notice> {
    from_bytes(&row.notice)
}
