//! Reads the rows of accounts for their actors: of many accounts a statement, so that a start where very many are due asks
//! the database a few questions for each group instead of a dozen for each account.

use std::{collections::HashMap, sync::Arc};

use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, EntityTrait, FromQueryResult, QueryFilter, Statement, Value,
};
use tokio::sync::{Mutex, mpsc, oneshot};
use uuid::Uuid;

use super::{
    StoreError,
    entities::{accounts, activations, automations, catalogue, executions, jobs, webhooks},
    rows::{self, DUE_RUNNING},
};
use crate::{
    domain::{account::job::JobState, execution::WaitsFor},
    telemetry::chain,
};

/// How many accounts one statement reads.
const ACCOUNTS_MAX: usize = 64;
/// How many groups are read at a time.
const READERS: usize = 2;
/// How many accounts wait to be read; more wait outside.
const WAITING_MAX: usize = 1_024;

/// What is stored of an account.
pub struct Parts {
    pub row: accounts::Model,
    pub webhooks: Vec<webhooks::Model>,
    /// Executions whose request is under way.
    pub running: Vec<executions::Model>,
    /// The earliest due time of what waits for each webhook.
    pub earliest: HashMap<Uuid, i64>,
    /// The places of the oldest and of the newest execution that the limit holds back.
    pub paused: (Option<i64>, Option<i64>),
    pub automations: Vec<automations::Model>,
    pub activations: Vec<activations::Model>,
    pub catalogue: Vec<catalogue::Model>,
    /// Those that have not ended.
    pub jobs: Vec<jobs::Model>,
}

type Asked = (Uuid, oneshot::Sender<Result<Option<Parts>, StoreError>>);

/// Asks for accounts, to be read together with others that are asked for at the same time.
#[derive(Clone)]
pub struct Together(mpsc::Sender<Asked>);

impl Together {
    /// Reads over a connection, for as long as anybody may ask.
    pub fn start(connection: &DatabaseConnection) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..READERS {
            tokio::spawn(read_groups(connection.clone(), Arc::clone(&receiver)));
        }
        Self(sender)
    }

    /// What is stored of an account; nothing, where it is gone.
    pub async fn read(&self, account: Uuid) -> Result<Option<Parts>, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.0.send((account, reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

async fn read_groups(connection: DatabaseConnection, receiver: Arc<Mutex<mpsc::Receiver<Asked>>>) {
    loop {
        let mut group = Vec::new();
        if receiver.lock().await.recv_many(&mut group, ACCOUNTS_MAX).await == 0 {
            return;
        }
        let accounts: Vec<_> = group.iter().map(|(account, _)| *account).collect();
        match read(&connection, &accounts).await {
            Ok(mut found) => {
                for (account, reply) in group {
                    let _ = reply.send(Ok(found.remove(&account)));
                }
            }
            Err(error) if group.len() == 1 => {
                for (_, reply) in group {
                    let _ = reply.send(Err(StoreError::Unwritten(chain(&error))));
                }
            }
            // One of them may hold what it cannot hold: it keeps no other from being read.
            Err(_) => {
                for (account, reply) in group {
                    let alone = read(&connection, &[account]).await;
                    let _ = reply.send(alone.map(|mut found| found.remove(&account)));
                }
            }
        }
    }
}

async fn read(connection: &DatabaseConnection, accounts: &[Uuid]) -> Result<HashMap<Uuid, Parts>, StoreError> {
    let asked = padded(accounts);
    let of = || asked.iter().copied();
    let rows = accounts::Entity::find().filter(accounts::Column::Uid.is_in(of())).all(connection).await?;
    let part = |row: accounts::Model| Parts {
        row,
        webhooks: Vec::new(),
        running: Vec::new(),
        earliest: HashMap::new(),
        paused: (None, None),
        automations: Vec::new(),
        activations: Vec::new(),
        catalogue: Vec::new(),
        jobs: Vec::new(),
    };
    let mut found: HashMap<_, _> = rows.into_iter().map(|row| (row.uid, part(row))).collect();
    macro_rules! take {
        ($part:ident, $rows:expr) => {
            for row in $rows {
                if let Some(parts) = found.get_mut(&row.account_uid) {
                    parts.$part.push(row);
                }
            }
        };
    }
    take!(webhooks, webhooks::Entity::find().filter(webhooks::Column::AccountUid.is_in(of())).all(connection).await?);
    let living = automations::Entity::find().filter(automations::Column::DeletedAt.is_null());
    take!(automations, living.filter(automations::Column::AccountUid.is_in(of())).all(connection).await?);
    let active = activations::Entity::find().filter(activations::Column::AccountUid.is_in(of()));
    take!(activations, active.all(connection).await?);
    let fields = catalogue::Entity::find().filter(catalogue::Column::AccountUid.is_in(of()));
    take!(catalogue, fields.all(connection).await?);
    let going_on = rows::job_state_word(JobState::Running)?;
    let going_on = jobs::Entity::find().filter(jobs::Column::State.eq(going_on));
    take!(jobs, going_on.filter(jobs::Column::AccountUid.is_in(of())).all(connection).await?);
    let backend = connection.get_database_backend();
    let values = |first: &[Value]| first.iter().cloned().chain(of().map(Value::from)).collect::<Vec<_>>();
    let sql = running_sql(asked.len());
    let running = Statement::from_sql_and_values(backend, sql, values(&[DUE_RUNNING.into()]));
    take!(running, executions::Model::find_by_statement(running).all(connection).await?);
    let waiting = Statement::from_sql_and_values(backend, waiting_sql(asked.len()), values(&[DUE_RUNNING.into()]));
    for row in connection.query_all_raw(waiting).await? {
        let account: Uuid = row.try_get("", "account_uid")?;
        let earliest: Option<i64> = row.try_get("", "earliest")?;
        if let (Some(parts), Some(earliest)) = (found.get_mut(&account), earliest) {
            parts.earliest.insert(row.try_get("", "uid")?, earliest);
        }
    }
    let first = [DUE_RUNNING.into(), rows::waits_for_key(WaitsFor::Limit).into()];
    let paused = Statement::from_sql_and_values(backend, paused_sql(asked.len()), values(&first));
    for row in connection.query_all_raw(paused).await? {
        if let Some(parts) = found.get_mut(&row.try_get::<Uuid>("", "uid")?) {
            parts.paused = (row.try_get("", "oldest")?, row.try_get("", "newest")?);
        }
    }
    Ok(found)
}

/// The accounts, the last one several times, so that there are few texts of each statement to prepare.
fn padded(accounts: &[Uuid]) -> Vec<Uuid> {
    let mut padded = accounts.to_vec();
    if let Some(last) = accounts.last() {
        padded.resize(accounts.len().next_power_of_two(), *last);
    }
    padded
}

fn places(from: usize, count: usize) -> String {
    (from..from + count).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ")
}

/// Executions whose request is under way, of so many accounts. The order of the join is given: SQLite would read all of an
/// account's history first.
pub fn running_sql(accounts: usize) -> String {
    let accounts = places(2, accounts);
    format!(
        "SELECT e.* FROM webhooks w CROSS JOIN executions e WHERE w.account_uid IN ({accounts}) \
         AND e.account_uid = w.account_uid AND e.next_webhook = w.uid AND e.due_at = $1 ORDER BY e.uid"
    )
}

/// The earliest due time of what waits for each webhook: one look into the index each, however much waits.
pub fn waiting_sql(accounts: usize) -> String {
    let accounts = places(2, accounts);
    format!(
        "SELECT w.account_uid, w.uid, (SELECT MIN(e.due_at) FROM executions e WHERE e.account_uid = w.account_uid \
         AND e.next_webhook = w.uid AND e.due_at > $1) AS earliest FROM webhooks w WHERE w.account_uid IN ({accounts})"
    )
}

/// The places of the oldest and of the newest execution that the limit holds back: two looks into the index each.
pub fn paused_sql(accounts: usize) -> String {
    let accounts = places(3, accounts);
    let of_limit = "FROM executions e WHERE e.account_uid = a.uid AND e.next_webhook = $2 AND e.due_at > $1";
    format!(
        "SELECT a.uid, (SELECT MIN(e.due_at) {of_limit}) AS oldest, (SELECT MAX(e.due_at) {of_limit}) AS newest \
         FROM accounts a WHERE a.uid IN ({accounts})"
    )
}

#[cfg(test)]
#[path = "tests/together.rs"]
mod tests;
