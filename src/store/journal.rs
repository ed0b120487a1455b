//! The journal: gathers changes from all accounts into group commits of wide statements.
//!
//! On SQLite it is the one connection that writes; on PostgreSQL it has several lanes, accounts hashed to them.
//! Whatever ends a change is one of five receipts; only `Unknown` leaves a doubt.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    sync::Arc,
};

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, EntityTrait,
    IntoActiveModel, QueryFilter, QuerySelect, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
    Value,
    sea_query::{Expr, OnConflict},
};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::{
    StoreError,
    entities::{accounts, activations, answers, attempts, automations, events, executions, webhooks},
    rows::{self, StepRow},
    seal::Sealer,
};
use crate::domain::{
    automation::Automation,
    change::Change,
    id::{AccountUid, EventId},
    timestamp::Timestamp,
};

/// How many changes wait for a lane.
const QUEUE_CHANGES_MAX: usize = 1_024;
/// How many changes one commit gathers.
const GROUP_CHANGES_MAX: usize = 512;
/// How many rows one commit gathers before it takes no further change.
const GROUP_ROWS_MAX: usize = 4_000;
/// How many bind parameters one statement has; SQLite allows 32,766.
const PARAMETERS_MAX: usize = 30_000;
/// How many rows of each table one step of erasing an account removes.
pub const ERASE_ROWS_MAX: u64 = 1_000;

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

/// The rows of a change, ready to be written.
struct Prepared {
    account: AccountUid,
    expected: Option<i64>,
    change: AccountStep,
    created: Option<accounts::Model>,
    facts: Option<Facts>,
    webhooks: Vec<webhooks::Model>,
    automations: Vec<automations::Model>,
    activations: Vec<activations::Model>,
    deleted_automation: Option<(Uuid, i64)>,
    events: Vec<events::Model>,
    executions: Vec<executions::Model>,
    steps: Vec<StepRow>,
    attempts: Vec<attempts::Model>,
    answer: Option<answers::Model>,
}

struct AccountStep {
    revision: i64,
    window_no: i64,
    window_start: i64,
    window_used: i64,
    next_due_at: Option<i64>,
}

struct Facts {
    plan: String,
    revision: i64,
    updated_at: i64,
    deleted_at: Option<i64>,
}

impl Prepared {
    fn new(change: &Change, sealer: &Sealer, now: Timestamp) -> Result<Self, StoreError> {
        let account = change.account;
        let created = match (&change.facts, change.expected) {
            (Some(facts), None) => Some(rows::account_row(change, facts)?),
            _ => None,
        };
        let facts = match &change.facts {
            Some(facts) if change.expected.is_some() => Some(Facts {
                plan: rows::plan_word(facts.plan)?,
                revision: facts.revision,
                updated_at: facts.updated_at.0,
                deleted_at: facts.deleted.then_some(facts.updated_at.0),
            }),
            _ => None,
        };
        let collect = |automation: &Arc<Automation>| activation_rows(account, automation);
        Ok(Self {
            account,
            expected: change.expected,
            change: AccountStep {
                revision: change.revision,
                window_no: change.window.no,
                window_start: change.window.start.0,
                window_used: change.window.used,
                next_due_at: change.next_due_at.map(|due| due.0),
            },
            created,
            facts,
            webhooks: change
                .webhooks
                .iter()
                .map(|one| rows::webhook_row(sealer, account, one))
                .collect::<Result<_, _>>()?,
            automations: change
                .automations
                .iter()
                .map(|one| rows::automation_row(account, one))
                .collect::<Result<_, _>>()?,
            activations: change.automations.iter().flat_map(collect).collect(),
            deleted_automation: change.deleted_automation.map(|(uid, time)| (uid.0, time.0)),
            events: change.events.iter().map(|one| rows::event_row(account, one, now)).collect::<Result<_, _>>()?,
            executions: (change.executions.iter())
                .map(|one| rows::execution_row(account, change.revision, one))
                .collect::<Result<_, _>>()?,
            steps: change.steps.iter().map(|step| rows::step_row(&step.execution)).collect(),
            attempts: change
                .attempts
                .iter()
                .map(|one| rows::attempt_row(sealer, account, one))
                .collect::<Result<_, _>>()?,
            answer: change.answer.as_ref().map(|answer| answers::Model {
                account_uid: account.0,
                request_id: answer.request_id.to_string(),
                fingerprint: answer.fingerprint.clone(),
                answer: answer.answer.clone(),
                created_at: answer.created_at.0,
            }),
        })
    }

    fn rows(&self) -> usize {
        self.events.len() + self.executions.len() + self.steps.len() + self.attempts.len() + 1
    }
}

fn activation_rows(account: AccountUid, automation: &Automation) -> Vec<activations::Model> {
    let everyone = automation.activation.everyone.then(String::new);
    let users = automation.activation.users.iter().map(ToString::to_string);
    everyone
        .into_iter()
        .chain(users)
        .map(|user_id| activations::Model { account_uid: account.0, automation_uid: automation.uid.0, user_id })
        .collect()
}

enum Work {
    Commit(Box<Prepared>, oneshot::Sender<Receipt>),
    Fence(AccountUid, oneshot::Sender<Result<(), StoreError>>),
    Erase(AccountUid, oneshot::Sender<Result<bool, StoreError>>),
    ExpireAnswers(Timestamp),
}

/// The handle of the journal.
#[derive(Clone)]
pub struct Journal {
    lanes: Arc<[mpsc::Sender<Work>]>,
    sealer: Arc<Sealer>,
}

impl Journal {
    /// A journal with a lane for each connection.
    pub fn start(lanes: Vec<DatabaseConnection>, sealer: Arc<Sealer>) -> Self {
        let start = |connection: DatabaseConnection| {
            let (sender, receiver) = mpsc::channel(QUEUE_CHANGES_MAX);
            tokio::spawn(run_lane(connection, receiver));
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

    /// Removes the answers to repeatable calls that were given before a time.
    pub async fn expire_answers(&self, before: Timestamp) {
        let _ = self.lanes[0].send(Work::ExpireAnswers(before)).await;
    }
}

async fn run_lane(connection: DatabaseConnection, mut queue: mpsc::Receiver<Work>) {
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
                commit_group(&connection, group).await;
            }
            Work::Fence(account, reply) => {
                let _ = reply.send(fence(&connection, account).await.map_err(StoreError::from));
            }
            Work::Erase(account, reply) => {
                let _ = reply.send(erase_some(&connection, account).await.map_err(StoreError::from));
            }
            Work::ExpireAnswers(before) => {
                let old = answers::Entity::delete_many().filter(answers::Column::CreatedAt.lt(before.0));
                if let Err(error) = old.exec(&connection).await {
                    tracing::warn!(error = %error, "could not remove old answers of repeatable calls");
                }
            }
        }
    }
}

async fn commit_group(connection: &DatabaseConnection, group: Vec<(Box<Prepared>, oneshot::Sender<Receipt>)>) {
    let (changes, replies): (Vec<_>, Vec<_>) = group.into_iter().unzip();
    let receipts = match write_group(connection, &changes).await {
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

/// `($1, $2), ($3, $4)` for rows of so many columns. SQLite takes `$1` for a name and searches its list of names at
/// each binding, so that a wide statement would cost the square of its width; it gets `?`.
fn tuples(backend: DbBackend, rows: usize, columns: usize) -> String {
    let mut sql = String::with_capacity(rows * columns * 5);
    for row in 0..rows {
        sql.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns {
            let separator = if column == 0 { "" } else { ", " };
            let _ = match backend {
                DbBackend::Sqlite => write!(sql, "{separator}?"),
                _ => write!(sql, "{separator}${}", row * columns + column + 1),
            };
        }
        sql.push(')');
    }
    sql
}

async fn known_events(
    txn: &DatabaseTransaction,
    changes: &[Box<Prepared>],
) -> Result<HashMap<Uuid, HashSet<EventId>>, DbErr> {
    let mut known: HashMap<Uuid, HashSet<EventId>> = HashMap::new();
    let keys: Vec<_> = changes.iter().flat_map(|change| &change.events).collect();
    for chunk in keys.chunks(PARAMETERS_MAX / 2) {
        let sql = format!(
            "SELECT account_uid, event_id FROM events WHERE (account_uid, event_id) IN (VALUES {})",
            tuples(txn.get_database_backend(), chunk.len(), 2)
        );
        let values = chunk.iter().flat_map(|event| [Value::from(event.account_uid), event.event_id.clone().into()]);
        let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
        for row in txn.query_all_raw(statement).await? {
            let account: Uuid = row.try_get_by_index(0)?;
            let event: String = row.try_get_by_index(1)?;
            if let Ok(event) = event.parse() {
                known.entry(account).or_default().insert(event);
            }
        }
    }
    Ok(known)
}

/// Creates accounts, and compares and advances the revisions of the others. Answers which were as expected.
async fn advance_accounts(txn: &DatabaseTransaction, changes: &[&Prepared]) -> Result<HashSet<Uuid>, DbErr> {
    let mut advanced = HashSet::new();
    for created in changes.iter().filter_map(|change| change.created.as_ref()) {
        let insert = accounts::Entity::insert(created.clone().into_active_model())
            .on_conflict(OnConflict::new().do_nothing().to_owned());
        if insert.exec_without_returning(txn).await? == 1 {
            advanced.insert(created.uid);
        }
    }
    const COLUMNS: usize = 7;
    let existing: Vec<_> = changes.iter().filter_map(|change| Some((change, change.expected?))).collect();
    for chunk in existing.chunks(PARAMETERS_MAX / COLUMNS) {
        let sql = format!(
            "UPDATE accounts SET revision = v.column3, window_no = v.column4, window_start = v.column5, \
             window_used = v.column6, next_due_at = v.column7 FROM (VALUES {}) AS v \
             WHERE accounts.uid = v.column1 AND accounts.revision = v.column2 RETURNING accounts.uid",
            tuples(txn.get_database_backend(), chunk.len(), COLUMNS)
        );
        let values = chunk.iter().flat_map(|(change, expected)| {
            let step = &change.change;
            [
                Value::from(change.account.0),
                (*expected).into(),
                step.revision.into(),
                step.window_no.into(),
                step.window_start.into(),
                step.window_used.into(),
                step.next_due_at.into(),
            ]
        });
        let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
        for row in txn.query_all_raw(statement).await? {
            advanced.insert(row.try_get_by_index(0)?);
        }
    }
    Ok(advanced)
}

/// Writes what commands change: rare, so one statement a thing.
async fn write_own_things(txn: &DatabaseTransaction, changes: &[&Prepared]) -> Result<(), DbErr> {
    for change in changes {
        if let Some(facts) = &change.facts {
            let row = accounts::ActiveModel {
                uid: Set(change.account.0),
                plan: Set(facts.plan.clone()),
                facts_revision: Set(facts.revision),
                updated_at: Set(facts.updated_at),
                deleted_at: Set(facts.deleted_at),
                ..Default::default()
            };
            accounts::Entity::update(row).exec(txn).await?;
        }
        for webhook in &change.webhooks {
            use webhooks::Column as C;
            let replaced = [
                C::DisplayName,
                C::Status,
                C::OwnerUserId,
                C::MaskedUrl,
                C::SealedUrl,
                C::SealedCredentials,
                C::SealedSecrets,
                C::Policy,
                C::Health,
                C::Revision,
                C::UpdatedAt,
                C::DeletedAt,
            ];
            let upsert = OnConflict::columns([C::AccountUid, C::Uid]).update_columns(replaced).to_owned();
            let insert = webhooks::Entity::insert(webhook.clone().into_active_model()).on_conflict(upsert);
            insert.exec_without_returning(txn).await?;
        }
        for automation in &change.automations {
            use automations::Column as C;
            let replaced =
                [C::DisplayName, C::OwnerUserId, C::Enabled, C::Spec, C::Revision, C::UpdatedAt, C::DeletedAt];
            let upsert = OnConflict::columns([C::AccountUid, C::Uid]).update_columns(replaced).to_owned();
            let insert = automations::Entity::insert(automation.clone().into_active_model()).on_conflict(upsert);
            insert.exec_without_returning(txn).await?;
            activations::Entity::delete_many()
                .filter(activations::Column::AccountUid.eq(change.account.0))
                .filter(activations::Column::AutomationUid.eq(automation.uid))
                .exec(txn)
                .await?;
        }
        activations::Entity::insert_many(active(&change.activations)).exec_without_returning(txn).await?;
        if let Some((uid, time)) = change.deleted_automation {
            automations::Entity::update_many()
                .col_expr(automations::Column::DeletedAt, Expr::value(time))
                .filter(automations::Column::AccountUid.eq(change.account.0))
                .filter(automations::Column::Uid.eq(uid))
                .exec(txn)
                .await?;
        }
        if let Some(answer) = &change.answer {
            use answers::Column as C;
            let replace = OnConflict::columns([C::AccountUid, C::RequestId])
                .update_columns([C::Fingerprint, C::Answer, C::CreatedAt])
                .to_owned();
            let insert = answers::Entity::insert(answer.clone().into_active_model()).on_conflict(replace);
            insert.exec_without_returning(txn).await?;
        }
    }
    Ok(())
}

fn active<M: IntoActiveModel<A> + Clone, A: sea_orm::ActiveModelTrait>(rows: &[M]) -> Vec<A> {
    rows.iter().map(|row| row.clone().into_active_model()).collect()
}

const EVENT_COLUMNS: usize = 4;
const EXECUTION_COLUMNS: usize = 24;
const ATTEMPT_COLUMNS: usize = 14;

/// Writes events, executions, their steps and attempts of the whole group in wide statements.
async fn write_rows(txn: &DatabaseTransaction, changes: &[&Prepared]) -> Result<(), DbErr> {
    let events: Vec<events::ActiveModel> = changes.iter().flat_map(|change| active(&change.events)).collect();
    for chunk in events.chunks(PARAMETERS_MAX / EVENT_COLUMNS) {
        events::Entity::insert_many(chunk.iter().cloned()).exec_without_returning(txn).await?;
    }
    let executions: Vec<executions::ActiveModel> =
        changes.iter().flat_map(|change| active(&change.executions)).collect();
    for chunk in executions.chunks(PARAMETERS_MAX / EXECUTION_COLUMNS) {
        executions::Entity::insert_many(chunk.iter().cloned()).exec_without_returning(txn).await?;
    }
    let attempts: Vec<attempts::ActiveModel> = changes.iter().flat_map(|change| active(&change.attempts)).collect();
    for chunk in attempts.chunks(PARAMETERS_MAX / ATTEMPT_COLUMNS) {
        attempts::Entity::insert_many(chunk.iter().cloned()).exec_without_returning(txn).await?;
    }
    write_steps(txn, changes).await
}

async fn write_steps(txn: &DatabaseTransaction, changes: &[&Prepared]) -> Result<(), DbErr> {
    const COLUMNS: usize = 11;
    let steps: Vec<_> = changes.iter().flat_map(|change| change.steps.iter().map(move |step| (change, step))).collect();
    for chunk in steps.chunks(PARAMETERS_MAX / COLUMNS) {
        let sql = format!(
            "UPDATE executions SET state = v.column3, reason = v.column4, due_at = v.column5, next_webhook = v.column6, \
             action_no = v.column7, attempts = v.column8, failed_actions = v.column9, ended_at = v.column10, \
             changed_revision = v.column11 FROM (VALUES {}) AS v \
             WHERE executions.account_uid = v.column1 AND executions.uid = v.column2",
            tuples(txn.get_database_backend(), chunk.len(), COLUMNS)
        );
        let values = chunk.iter().flat_map(|(change, step)| {
            [
                Value::from(change.account.0),
                step.uid.into(),
                step.state.into(),
                step.reason.clone().into(),
                step.due_at.into(),
                step.next_webhook.into(),
                step.action_no.into(),
                step.attempts.into(),
                step.failed_actions.into(),
                step.ended_at.into(),
                change.change.revision.into(),
            ]
        });
        txn.execute_raw(Statement::from_sql_and_values(txn.get_database_backend(), sql, values)).await?;
    }
    Ok(())
}

async fn fence(connection: &DatabaseConnection, account: AccountUid) -> Result<(), DbErr> {
    accounts::Entity::update_many()
        .col_expr(accounts::Column::Revision, sea_orm::ExprTrait::add(Expr::col(accounts::Column::Revision), 1))
        .filter(accounts::Column::Uid.eq(account.0))
        .exec(connection)
        .await
        .map(drop)
}

/// Children first, the account's own row last, so that what is left is always found again.
async fn erase_some(connection: &DatabaseConnection, account: AccountUid) -> Result<bool, DbErr> {
    let txn = begin(connection).await?;
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
        for table in ["answers", "jobs", "activations", "automations", "webhooks"] {
            let sql = format!("DELETE FROM {table} WHERE account_uid = $1");
            let values = [Value::from(account.0)];
            txn.execute_raw(Statement::from_sql_and_values(txn.get_database_backend(), sql, values)).await?;
        }
        accounts::Entity::delete_by_id(account.0).exec(&txn).await?;
    }
    txn.commit().await?;
    Ok(is_last)
}
