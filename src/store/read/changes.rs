//! What has changed in an account after a revision, in order: the executions as they are now, and the notices.

use sea_orm::{
    ColumnTrait, Condition, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect, Statement, Value,
};
use uuid::Uuid;

use super::executions::{ExecutionView, execution_view};
use crate::{
    domain::{
        account::notice::Notice,
        execution::filter::ExecutionFilter,
        id::{AccountUid, UserId},
        timestamp::Timestamp,
    },
    store::{
        Store, StoreError,
        entities::{accounts, executions, notices},
        rows::{self, keys::account_key},
    },
};

/// Reads what has changed after a place, in order. SQLite reads the index as it is only where the place is given by two
/// conditions.
pub const CHANGED_SQL: &str = "SELECT * FROM executions WHERE account = $1 AND changed_revision >= $2 \
     AND (changed_revision > $2 OR id > $3) AND changed_revision <= $4 ORDER BY changed_revision, id LIMIT $5";

/// A place in the order of an account's changes: of one revision first the executions, then the notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeCursor {
    /// The revision.
    pub revision: i64,
    /// The last execution of it.
    pub execution: Uuid,
    /// The number of the last notice of it; 0 where none was.
    pub notice: i32,
    /// Up to which revision executions had been deleted when the reading began: they are not missed.
    pub floor: i64,
}

impl ChangeCursor {
    /// Before everything, at a time when executions up to a revision were deleted.
    pub fn start(floor: i64) -> Self {
        Self { revision: 0, execution: Uuid::nil(), notice: 0, floor }
    }

    /// After a whole revision.
    pub fn after(revision: i64, floor: i64) -> Self {
        Self { revision, execution: Uuid::max(), notice: i32::MAX, floor }
    }

    /// Whether something that was deleted may have been missed.
    pub fn is_expired(self, expired_revision: i64) -> bool {
        expired_revision > self.revision.max(self.floor)
    }
}

/// What has changed.
#[derive(Debug, Clone)]
pub enum Changed {
    /// An execution, as it is now.
    Execution(Box<ExecutionView>),
    /// Something happened to the account.
    Notice(Notice, Timestamp),
    /// Nothing that the reader may read.
    Nothing,
}

/// Some of what has changed after a place.
#[derive(Debug)]
pub struct ChangePage {
    /// Each with its place.
    pub changes: Vec<(ChangeCursor, Changed)>,
    /// Whether there was no more.
    pub is_last: bool,
    /// Up to which revision executions have been deleted.
    pub expired_revision: i64,
}

impl Store {
    /// Some of what has changed in an account after a place, in order; none where the account is gone.
    pub async fn changes_after(
        &self,
        account: AccountUid,
        reader: Option<&UserId>,
        cursor: ChangeCursor,
        size: usize,
    ) -> Result<Option<ChangePage>, StoreError> {
        let filter = ExecutionFilter { reader: reader.cloned(), ..ExecutionFilter::default() };
        let sieve = self.sieve(account, &filter).await?;
        // What comes in while this is read has a later revision: it is left to the next page, executions and notices.
        let Some((revision, _)) = self.revision(account).await? else { return Ok(None) };
        let limit = i64::try_from(size).unwrap_or(i64::MAX);
        let after = if cursor.execution.is_max() { i64::MAX } else { self.place(account, cursor.execution).await? };
        let values: [Value; 5] =
            [account_key(account).into(), cursor.revision.into(), after.into(), revision.into(), limit.into()];
        let noticed = notices::Entity::find()
            .filter(notices::Column::AccountUid.eq(account.0))
            .filter(notices::Column::Revision.lte(revision))
            .filter(
                Condition::any().add(notices::Column::Revision.gt(cursor.revision)).add(
                    Condition::all()
                        .add(notices::Column::Revision.eq(cursor.revision))
                        .add(notices::Column::No.gt(cursor.notice)),
                ),
            )
            .order_by_asc(notices::Column::Revision)
            .order_by_asc(notices::Column::No)
            .limit(limit.unsigned_abs())
            .all(&self.reader)
            .await?;
        let statement = Statement::from_sql_and_values(self.reader.get_database_backend(), CHANGED_SQL, values);
        let changed = executions::Model::find_by_statement(statement).all(&self.reader).await?;
        let is_last = changed.len() < size && noticed.len() < size;
        // Beyond the end of a full page nothing is known.
        let end = |is_full: bool, last: Option<i64>| last.filter(|_| is_full).unwrap_or(i64::MAX);
        let executions_end = end(changed.len() == size, changed.last().map(|row| row.changed_revision));
        let notices_end = end(noticed.len() == size, noticed.last().map(|row| row.revision));
        let opened = self.open_parts(&changed, |_| false).await?;
        let mut changes = Vec::with_capacity(changed.len() + noticed.len());
        for row in changed.iter().take_while(|row| row.changed_revision <= notices_end) {
            let execution = rows::uid(account, row).0;
            let place = ChangeCursor { revision: row.changed_revision, execution, notice: 0, ..cursor };
            let is_readable = sieve.is_readable(row.source, row.acting_user.as_deref());
            let change = if is_readable {
                let record = opened.of(row).and_then(rows::brief_record);
                Changed::Execution(Box::new(execution_view(account, row, record)))
            } else {
                Changed::Nothing
            };
            changes.push((place, change));
        }
        for row in &noticed {
            if row.revision < executions_end {
                let place = ChangeCursor { revision: row.revision, execution: Uuid::max(), notice: row.no, ..cursor };
                changes.push((place, Changed::Notice(rows::notice(row)?, Timestamp(row.created_at))));
            }
        }
        // Both are in order already; of one revision the executions come first.
        changes.sort_by_key(|(place, _)| (place.revision, place.notice));
        // Asked last: what was deleted meanwhile may be missing here.
        let Some((_, expired_revision)) = self.revision(account).await? else { return Ok(None) };
        Ok(Some(ChangePage { changes, is_last, expired_revision }))
    }

    /// An account's revision, and up to which executions were deleted; none where the account is gone.
    pub async fn revision(&self, account: AccountUid) -> Result<Option<(i64, i64)>, StoreError> {
        let found = accounts::Entity::find_by_id(account.0)
            .filter(accounts::Column::DeletedAt.is_null())
            .one(&self.reader)
            .await?;
        Ok(found.map(|row| (row.revision, row.expired_revision)))
    }
}
