//! What is removed a bounded part at a time, between the commits: deleted accounts, old answers, old entries of audit
//! trails, and the pages that were theirs.

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter, QuerySelect, Statement, Value,
};

use super::{statements::delete_executions, writer::Writer};
use crate::{
    domain::{id::AccountUid, timestamp::Timestamp},
    store::{
        entities::{accounts, executions},
        rows::keys::account_key,
    },
};

/// How many rows of each table one step of erasing an account removes.
pub const ERASE_ROWS_MAX: u64 = 1_000;
/// How many old answers and entries of audit trails one statement removes.
pub const EXPIRED_ROWS_MAX: u64 = 500;
/// How many pages of a SQLite file stay free for what comes, before free ones are given back: 16 MiB.
const FREE_PAGES_KEPT: i64 = 4_096;
/// How many pages are given back at once.
const PAGES_GIVEN_BACK_MAX: i64 = 512;

/// What is removed that was made before a time.
#[derive(Debug, Clone, Copy)]
pub struct Before {
    /// Answers to repeatable calls.
    pub answers: Timestamp,
    /// Entries of audit trails.
    pub audit: Timestamp,
}

/// Gives free pages at the end of a SQLite file back to the file system. Answers whether there may be more. PostgreSQL
/// does it by itself.
pub async fn give_back_some(txn: &Writer) -> Result<bool, DbErr> {
    if txn.get_database_backend() != DbBackend::Sqlite {
        return Ok(false);
    }
    let count = Statement::from_string(DbBackend::Sqlite, "PRAGMA freelist_count");
    let free: i64 = txn.query_one_raw(count).await?.map_or(Ok(0), |row| row.try_get_by_index(0))?;
    let pages = (free - FREE_PAGES_KEPT).min(PAGES_GIVEN_BACK_MAX);
    if pages > 0 {
        txn.execute_unprepared(&format!("PRAGMA incremental_vacuum({pages})")).await?;
    }
    Ok(pages == PAGES_GIVEN_BACK_MAX)
}

/// Old answers to repeatable calls and old entries of audit trails, a few with each statement: others wait for the lane.
pub async fn expire_some(connection: &Writer, before: Before) -> Result<bool, DbErr> {
    let mut has_more = false;
    for (table, key, before) in
        [("answers", "account_uid, request_id", before.answers), ("audit", "account_uid, revision, no", before.audit)]
    {
        let sql = format!(
            "DELETE FROM {table} WHERE ({key}) IN \
             (SELECT {key} FROM {table} WHERE created_at < $1 ORDER BY created_at LIMIT {EXPIRED_ROWS_MAX})"
        );
        let values = [Value::from(before.0)];
        let statement = Statement::from_sql_and_values(connection.get_database_backend(), sql, values);
        has_more |= connection.execute_raw(statement).await?.rows_affected() == EXPIRED_ROWS_MAX;
    }
    Ok(has_more)
}

/// Children first, the account's own row last, so that what is left is always found again.
pub async fn erase_some(txn: &Writer, account: AccountUid) -> Result<bool, DbErr> {
    // First of all nobody can open the secrets of its history any more.
    let sql = "UPDATE accounts SET sealed_data_key = NULL WHERE uid = $1 AND sealed_data_key IS NOT NULL";
    let values = [Value::from(account.0)];
    txn.execute_raw(Statement::from_sql_and_values(txn.get_database_backend(), sql, values)).await?;
    let numbers: Vec<i64> = executions::Entity::find()
        .select_only()
        .column(executions::Column::Id)
        .filter(executions::Column::Account.eq(account_key(account)))
        .limit(ERASE_ROWS_MAX)
        .into_tuple()
        .all(txn)
        .await?;
    delete_executions(txn, account_key(account), &numbers).await?;
    let is_last = numbers.is_empty();
    if is_last {
        // Answers to repeatable calls outlive it for a day.
        for table in ["audit", "catalogue", "jobs", "notices", "activations", "automations", "webhooks"] {
            let sql = format!("DELETE FROM {table} WHERE account_uid = $1");
            let values = [Value::from(account.0)];
            txn.execute_raw(Statement::from_sql_and_values(txn.get_database_backend(), sql, values)).await?;
        }
        accounts::Entity::delete_by_id(account.0).exec(txn).await?;
    }
    Ok(is_last)
}
