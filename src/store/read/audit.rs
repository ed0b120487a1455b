//! The audit trail of an account.

use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::history::one_more;
use crate::{
    domain::{
        account::audit::AuditEntry,
        id::{AccountUid, UserId},
        timestamp::Timestamp,
    },
    store::{Store, StoreError, entities::audit, rows},
};

/// Which entries to list.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only those of the resource of this name.
    pub resource: Option<String>,
    /// Only what this user did.
    pub user: Option<UserId>,
    /// Only those made at or after this time.
    pub start: Option<Timestamp>,
    /// Only those made before this time.
    pub end: Option<Timestamp>,
}

/// Where an entry stands in the trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditCursor {
    /// The revision that made it.
    pub revision: i64,
    /// Its number in the change.
    pub no: i32,
}

/// An entry as it is shown.
#[derive(Debug, Clone)]
pub struct AuditView {
    /// Where it stands.
    pub cursor: AuditCursor,
    /// When it was made.
    pub created_at: Timestamp,
    /// What it says.
    pub entry: AuditEntry,
}

impl Store {
    /// A page of the audit trail, newest first, before a place, and whether there is more.
    pub async fn list_audit(
        &self,
        account: AccountUid,
        filter: &AuditFilter,
        before: Option<AuditCursor>,
        size: usize,
    ) -> Result<(Vec<AuditView>, bool), StoreError> {
        use audit::Column as C;
        let earlier = before.map(|AuditCursor { revision, no }| {
            Condition::any()
                .add(C::Revision.lt(revision))
                .add(Condition::all().add(C::Revision.eq(revision)).add(C::No.lt(no)))
        });
        let found = audit::Entity::find()
            .filter(C::AccountUid.eq(account.0))
            .filter(
                Condition::all()
                    .add_option(filter.resource.as_ref().map(|name| C::Resource.eq(name.as_str())))
                    .add_option(filter.user.as_ref().map(|user| C::UserId.eq(user.as_str())))
                    .add_option(filter.start.map(|start| C::CreatedAt.gte(start.0)))
                    .add_option(filter.end.map(|end| C::CreatedAt.lt(end.0)))
                    .add_option(earlier),
            )
            .order_by_desc(C::Revision)
            .order_by_desc(C::No)
            .limit(one_more(size))
            .all(&self.reader)
            .await?;
        let has_more = found.len() > size;
        let view = |row: &audit::Model| {
            Ok(AuditView {
                cursor: AuditCursor { revision: row.revision, no: row.no },
                created_at: Timestamp(row.created_at),
                entry: rows::audit_entry(row)?,
            })
        };
        Ok((found.iter().take(size).map(view).collect::<Result<_, StoreError>>()?, has_more))
    }
}
