//! The journal: gathers changes from all accounts into group commits of wide statements.
//!
//! On SQLite it is the one connection that writes; on PostgreSQL it has several lanes, accounts hashed to them.
//! Whatever ends a change is one of five receipts; only `Unknown` leaves a doubt.

use std::{collections::HashSet, sync::Arc, time::Instant};

use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, EntityTrait, QueryFilter,
    QuerySelect, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait, Value, sea_query::Expr,
};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::{
    StoreError,
    entities::{accounts, attempts, events, executions},
    prepared::Prepared,
    seal::Sealer,
    statements::{advance_accounts, known_events, write_own_things, write_rows},
};
use crate::{
    domain::{
        change::Change,
        id::{AccountUid, EventId},
        timestamp::Timestamp,
    },
    telemetry::Metrics,
};

/// How many changes wait for a lane.
const QUEUE_CHANGES_MAX: usize = 1_024;
/// How many changes one commit gathers.
const GROUP_CHANGES_MAX: usize = 512;
/// How many rows one commit gathers before it takes no further change.
const GROUP_ROWS_MAX: usize = 4_000;
/// How many rows of each table one step of erasing an account removes.
pub const ERASE_ROWS_MAX: u64 = 1_000;
/// How many old answers and entries of audit trails one statement removes.
pub const EXPIRED_ROWS_MAX: u64 = 500;

/// What became of a change.
#[derive(Debug)]
pub enum Receipt {
    /// It is durable.
    Committed,
    /// Nothing was written: these events are stored already.
    Duplicate(HashSet<EventId>),
    /// Nothing was written: the account has another revision.
    Stale,
    /// Nothing was written.
    Failed(StoreError),
    /// It may or may not have been written.
    Unknown(StoreError),
}

impl Receipt {
    /// What kept the change from being written; none where it is.
    pub fn error_type(&self) -> Option<&'static str> {
        match self {
            Receipt::Committed => None,
            Receipt::Duplicate(_) => Some("DUPLICATE"),
            Receipt::Stale => Some("STALE"),
            Receipt::Failed(_) => Some("FAILED"),
            Receipt::Unknown(_) => Some("UNKNOWN"),
        }
    }
}

enum Work {
    Commit(Box<Prepared>, oneshot::Sender<Receipt>),
    Fence(AccountUid, oneshot::Sender<Result<(), StoreError>>),
    Erase(AccountUid, oneshot::Sender<Result<bool, StoreError>>),
    Expire(Before, oneshot::Sender<bool>),
    Run(Vec<Statement>, oneshot::Sender<Result<u64, StoreError>>),
}

/// What is removed that was made before a time.
#[derive(Debug, Clone, Copy)]
pub struct Before {
    /// Answers to repeatable calls.
    pub answers: Timestamp,
    /// Entries of audit trails.
    pub audit: Timestamp,
}

/// The handle of the journal.
#[derive(Clone)]
pub struct Journal {
    lanes: Arc<[mpsc::Sender<Work>]>,
    sealer: Arc<Sealer>,
}

impl Journal {
    /// A journal with a lane for each connection.
    pub fn start(lanes: Vec<DatabaseConnection>, sealer: Arc<Sealer>, metrics: &Metrics) -> Self {
        let start = |connection: DatabaseConnection| {
            let (sender, receiver) = mpsc::channel(QUEUE_CHANGES_MAX);
            let lane = tokio::spawn(run_lane(connection, receiver, metrics.clone()));
            tokio::spawn(async move {
                if lane.await.is_err() {
                    // Without it nothing can be acknowledged; a new process finds everything in the database.
                    tracing::error!("the journal broke down; ending the process so that a new one takes over");
                    std::process::abort();
                }
            });
            sender
        };
        Self { lanes: lanes.into_iter().map(start).collect(), sealer }
    }

    fn lane(&self, account: AccountUid) -> &mpsc::Sender<Work> {
        let hash = account.0.as_u128() % (self.lanes.len() as u128);
        &self.lanes[usize::try_from(hash).unwrap_or_default()]
    }

    /// Writes a change, together with those of other accounts.
    pub async fn commit(&self, change: &Change, now: Timestamp) -> Receipt {
        let prepared = match Prepared::new(change, &self.sealer, now) {
            Ok(prepared) => Box::new(prepared),
            Err(error) => return Receipt::Failed(error),
        };
        let (reply, receipt) = oneshot::channel();
        if self.lane(change.account).send(Work::Commit(prepared, reply)).await.is_err() {
            return Receipt::Failed(StoreError::Closed);
        }
        receipt.await.unwrap_or(Receipt::Unknown(StoreError::Closed))
    }

    /// Advances an account's revision, so that nothing decided before can land any more.
    pub async fn fence(&self, account: AccountUid) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.lane(account).send(Work::Fence(account, reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Removes a bounded part of a deleted account. Answers whether all of it is gone.
    pub async fn erase_some(&self, account: AccountUid) -> Result<bool, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.lane(account).send(Work::Erase(account, reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Runs statements of an account that are no change of it, in one transaction. Answers how many rows they changed.
    pub async fn run(&self, account: AccountUid, statements: Vec<Statement>) -> Result<u64, StoreError> {
        if statements.is_empty() {
            return Ok(0);
        }
        let (reply, answer) = oneshot::channel();
        self.lane(account).send(Work::Run(statements, reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Removes a bounded part of what was made before a time. Answers whether there may be more.
    pub async fn expire_some(&self, before: Before) -> bool {
        let (reply, has_more) = oneshot::channel();
        let _ = self.lanes[0].send(Work::Expire(before, reply)).await;
        has_more.await.unwrap_or_default()
    }
}

async fn run_lane(connection: DatabaseConnection, mut queue: mpsc::Receiver<Work>, metrics: Metrics) {
    let mut next = None;
    loop {
        let work = match next.take() {
            Some(work) => work,
            None => match queue.recv().await {
                Some(work) => work,
                None => break,
            },
        };
        match work {
            Work::Commit(first, reply) => {
                let mut group = vec![(first, reply)];
                let mut rows = group[0].0.rows();
                while group.len() < GROUP_CHANGES_MAX && rows < GROUP_ROWS_MAX {
                    match queue.try_recv() {
                        Ok(Work::Commit(change, reply)) => {
                            rows += change.rows();
                            group.push((change, reply));
                        }
                        Ok(other) => {
                            next = Some(other);
                            break;
                        }
                        Err(_) => break,
                    }
                }
                commit_group(&connection, group, &metrics).await;
            }
            Work::Fence(account, reply) => {
                let _ = reply.send(fence(&connection, account).await.map_err(StoreError::from));
            }
            Work::Erase(account, reply) => {
                let _ = reply.send(erase_some(&connection, account).await.map_err(StoreError::from));
            }
            Work::Run(statements, reply) => {
                let _ = reply.send(run(&connection, statements).await.map_err(StoreError::from));
            }
            Work::Expire(before, reply) => {
                let expired = expire_some(&connection, before).await;
                if let Err(error) = &expired {
                    tracing::warn!(error = %error, "could not remove old answers and entries of audit trails");
                }
                let _ = reply.send(expired.unwrap_or_default());
            }
        }
    }
}

async fn commit_group(
    connection: &DatabaseConnection,
    group: Vec<(Box<Prepared>, oneshot::Sender<Receipt>)>,
    metrics: &Metrics,
) {
    let begun = Instant::now();
    let (changes, replies): (Vec<_>, Vec<_>) = group.into_iter().unzip();
    let written = write_group(connection, &changes).await;
    let result = match &written {
        Ok(_) => "committed",
        Err(WriteError::Certain(_)) => "failed",
        Err(WriteError::Uncertain(_)) => "unknown",
    };
    metrics.commit(result, changes.len(), begun.elapsed());
    let receipts = match written {
        Ok(receipts) => receipts,
        Err(WriteError::Certain(error)) if changes.len() == 1 => vec![Receipt::Failed(error.into())],
        Err(WriteError::Certain(_)) => one_by_one(connection, &changes).await,
        Err(WriteError::Uncertain(error)) => {
            changes.iter().map(|_| Receipt::Unknown(StoreError::Uncertain(error.to_string()))).collect()
        }
    };
    for (receipt, reply) in receipts.into_iter().zip(replies) {
        let _ = reply.send(receipt);
    }
}

/// After a certain failure each change is tried alone, so that one bad change never fails its group.
async fn one_by_one(connection: &DatabaseConnection, changes: &[Box<Prepared>]) -> Vec<Receipt> {
    let mut receipts = Vec::with_capacity(changes.len());
    for change in changes {
        receipts.push(match write_group(connection, std::slice::from_ref(change)).await {
            Ok(mut one) => one.pop().unwrap_or(Receipt::Stale),
            Err(WriteError::Certain(error)) => Receipt::Failed(error.into()),
            Err(WriteError::Uncertain(error)) => Receipt::Unknown(error.into()),
        });
    }
    receipts
}

enum WriteError {
    /// Nothing was written.
    Certain(DbErr),
    /// The commit itself failed.
    Uncertain(DbErr),
}

impl From<DbErr> for WriteError {
    fn from(error: DbErr) -> Self {
        WriteError::Certain(error)
    }
}

async fn begin(connection: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    connection.begin_with_options(options).await
}

async fn write_group(connection: &DatabaseConnection, changes: &[Box<Prepared>]) -> Result<Vec<Receipt>, WriteError> {
    let txn = begin(connection).await?;
    let mut duplicates = known_events(&txn, changes).await?;
    let fresh: Vec<_> =
        changes.iter().map(Box::as_ref).filter(|change| !duplicates.contains_key(&change.account.0)).collect();
    let advanced = advance_accounts(&txn, &fresh).await?;
    let valid: Vec<_> = fresh.into_iter().filter(|change| advanced.contains(&change.account.0)).collect();
    write_own_things(&txn, &valid).await?;
    write_rows(&txn, &valid).await?;
    txn.commit().await.map_err(WriteError::Uncertain)?;
    let receipt = |change: &Prepared| match duplicates.remove(&change.account.0) {
        Some(known) => Receipt::Duplicate(known),
        None if advanced.contains(&change.account.0) => Receipt::Committed,
        None => Receipt::Stale,
    };
    Ok(changes.iter().map(|change| change.as_ref()).map(receipt).collect())
}

async fn run(connection: &DatabaseConnection, statements: Vec<Statement>) -> Result<u64, DbErr> {
    let txn = begin(connection).await?;
    let mut changed = 0;
    for statement in statements {
        changed += txn.execute_raw(statement).await?.rows_affected();
    }
    txn.commit().await?;
    Ok(changed)
}

async fn fence(connection: &DatabaseConnection, account: AccountUid) -> Result<(), DbErr> {
    accounts::Entity::update_many()
        .col_expr(accounts::Column::Revision, sea_orm::ExprTrait::add(Expr::col(accounts::Column::Revision), 1))
        .filter(accounts::Column::Uid.eq(account.0))
        .exec(connection)
        .await
        .map(drop)
}

/// Old answers to repeatable calls and old entries of audit trails, a few with each statement: others wait for the lane.
async fn expire_some(connection: &DatabaseConnection, before: Before) -> Result<bool, DbErr> {
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
async fn erase_some(connection: &DatabaseConnection, account: AccountUid) -> Result<bool, DbErr> {
    let txn = begin(connection).await?;
    // First of all nobody can open the secrets of its history any more.
    let sql = "UPDATE accounts SET sealed_data_key = NULL WHERE uid = $1 AND sealed_data_key IS NOT NULL";
    let values = [Value::from(account.0)];
    txn.execute_raw(Statement::from_sql_and_values(txn.get_database_backend(), sql, values)).await?;
    let executions: Vec<Uuid> = executions::Entity::find()
        .select_only()
        .column(executions::Column::Uid)
        .filter(executions::Column::AccountUid.eq(account.0))
        .limit(ERASE_ROWS_MAX)
        .into_tuple()
        .all(&txn)
        .await?;
    let events: Vec<String> = events::Entity::find()
        .select_only()
        .column(events::Column::EventId)
        .filter(events::Column::AccountUid.eq(account.0))
        .limit(ERASE_ROWS_MAX)
        .into_tuple()
        .all(&txn)
        .await?;
    let is_last = executions.is_empty() && events.is_empty();
    attempts::Entity::delete_many()
        .filter(attempts::Column::AccountUid.eq(account.0))
        .filter(attempts::Column::ExecutionUid.is_in(executions.clone()))
        .exec(&txn)
        .await?;
    executions::Entity::delete_many()
        .filter(executions::Column::AccountUid.eq(account.0))
        .filter(executions::Column::Uid.is_in(executions))
        .exec(&txn)
        .await?;
    events::Entity::delete_many()
        .filter(events::Column::AccountUid.eq(account.0))
        .filter(events::Column::EventId.is_in(events))
        .exec(&txn)
        .await?;
    if is_last {
        for table in ["answers", "audit", "catalogue", "jobs", "notices", "activations", "automations", "webhooks"] {
            let sql = format!("DELETE FROM {table} WHERE account_uid = $1");
            let values = [Value::from(account.0)];
            txn.execute_raw(Statement::from_sql_and_values(txn.get_database_backend(), sql, values)).await?;
        }
        accounts::Entity::delete_by_id(account.0).exec(&txn).await?;
    }
    txn.commit().await?;
    Ok(is_last)
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
