//! Reads the rows of accounts for their actors: of many accounts a statement, so that a start where very many are due asks
//! the database a few questions for each group instead of a dozen for each account.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, DbBackend, EntityTrait, FromQueryResult, QueryFilter, Statement,
    Value,
};
use tokio::sync::{Mutex, mpsc, oneshot};
use uuid::Uuid;

use crate::{
    domain::{account::job::JobState, execution::WaitsFor},
    store::{
        StoreError,
        entities::{accounts, activations, automations, catalogue, executions, jobs, webhooks},
        numbers::padded,
        rows::{
            self, DUE_RUNNING,
            keys::{key_of, waits_for_key},
        },
    },
    telemetry::chain,
};

/// How many accounts one statement reads.
const ACCOUNTS_MAX: usize = 64;
/// For how many webhooks one statement looks what waits for them.
const LINES_MAX: usize = 256;
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
    /// The earliest due time of what waits for each webhook, by its key.
    pub earliest: HashMap<i64, i64>,
    /// The places of the oldest and of the newest execution that the limit holds back.
    pub paused: (Option<i64>, Option<i64>),
    /// The number of the newest execution; 0 where there is none.
    pub newest_number: i64,
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
        newest_number: 0,
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
    let by_key: HashMap<i64, Uuid> = asked.iter().map(|account| (key_of(*account), *account)).collect();
    let of_webhook = |row: &webhooks::Model| (key_of(row.account_uid), key_of(row.uid));
    let lines: Vec<(i64, i64)> = found.values().flat_map(|parts| parts.webhooks.iter().map(of_webhook)).collect();
    for lines in lines.chunks(LINES_MAX) {
        read_lines(connection, &padded(lines), &by_key, &mut found).await?;
    }
    for parts in found.values_mut() {
        parts.running.sort_by_key(|row| row.id);
    }
    let keys = asked.iter().map(|account| Value::from(key_of(*account)));
    let paused = Statement::from_sql_and_values(backend, paused_sql(backend, asked.len()), keys);
    for row in connection.query_all_raw(paused).await? {
        let account: i64 = row.try_get("", "account")?;
        if let Some(parts) = by_key.get(&account).and_then(|account| found.get_mut(account)) {
            parts.paused = (row.try_get("", "oldest")?, row.try_get("", "newest")?);
            parts.newest_number = row.try_get::<Option<i64>>("", "newest_number")?.unwrap_or_default();
        }
    }
    Ok(found)
}

/// Reads what is under way for webhooks, which are given by the keys of their accounts and their own, and when the earliest
/// of what waits for each is due.
async fn read_lines(
    connection: &DatabaseConnection,
    lines: &[(i64, i64)],
    by_key: &HashMap<i64, Uuid>,
    found: &mut HashMap<Uuid, Parts>,
) -> Result<(), StoreError> {
    let backend = connection.get_database_backend();
    let values: Vec<Value> =
        lines.iter().flat_map(|(account, webhook)| [(*account).into(), (*webhook).into()]).collect();
    let running = Statement::from_sql_and_values(backend, running_sql(backend, lines.len()), values.clone());
    let mut seen = HashSet::new();
    for row in executions::Model::find_by_statement(running).all(connection).await? {
        let parts = by_key.get(&row.account).and_then(|account| found.get_mut(account));
        if let Some(parts) = parts.filter(|_| seen.insert((row.account, row.id))) {
            parts.running.push(row);
        }
    }
    let waiting = Statement::from_sql_and_values(backend, waiting_sql(backend, lines.len()), values);
    for row in connection.query_all_raw(waiting).await? {
        let account: i64 = row.try_get("", "account")?;
        let earliest: Option<i64> = row.try_get("", "earliest")?;
        let parts = by_key.get(&account).and_then(|account| found.get_mut(account));
        if let (Some(parts), Some(earliest)) = (parts, earliest) {
            parts.earliest.insert(row.try_get("", "webhook")?, earliest);
        }
    }
    Ok(())
}

/// Rows of so many keys that a statement joins with.
fn keys_sql(backend: DbBackend, rows: usize, columns: usize) -> String {
    let place = |at: usize| match backend {
        DbBackend::Sqlite => "?".to_owned(),
        // Its type is not known from where it stands.
        _ => format!("${at}::bigint"),
    };
    let row = |row: usize| {
        let cells: Vec<_> = (1..=columns).map(|column| place(row * columns + column)).collect();
        format!("({})", cells.join(", "))
    };
    format!("(VALUES {}) AS v", (0..rows).map(row).collect::<Vec<_>>().join(", "))
}

/// Executions whose request is under way, of so many webhooks. The order of the join is given: SQLite would read all of an
/// account's history first.
pub fn running_sql(backend: DbBackend, lines: usize) -> String {
    format!(
        "SELECT e.* FROM {} CROSS JOIN executions e WHERE e.account = v.column1 AND e.waits_for = v.column2 \
         AND e.due_at = {DUE_RUNNING}",
        keys_sql(backend, lines, 2)
    )
}

/// The earliest due time of what waits for each webhook: one look into the index each, however much waits.
pub fn waiting_sql(backend: DbBackend, lines: usize) -> String {
    format!(
        "SELECT v.column1 AS account, v.column2 AS webhook, (SELECT MIN(e.due_at) FROM executions e \
         WHERE e.account = v.column1 AND e.waits_for = v.column2 AND e.due_at > {DUE_RUNNING}) AS earliest FROM {}",
        keys_sql(backend, lines, 2)
    )
}

/// The places of the oldest and of the newest execution that the limit holds back, and the number of the newest one of all:
/// three looks into an index each.
pub fn paused_sql(backend: DbBackend, accounts: usize) -> String {
    let limit = waits_for_key(WaitsFor::Limit);
    let of_limit =
        format!("FROM executions e WHERE e.account = v.column1 AND e.waits_for = {limit} AND e.due_at > {DUE_RUNNING}");
    format!(
        "SELECT v.column1 AS account, (SELECT MIN(e.due_at) {of_limit}) AS oldest, (SELECT MAX(e.due_at) {of_limit}) \
         AS newest, (SELECT MAX(e.id) FROM executions e WHERE e.account = v.column1) AS newest_number FROM {}",
        keys_sql(backend, accounts, 1)
    )
}
