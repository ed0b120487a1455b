//! A connection that writes: one lane's own, without a pool, so that what it believes of a transaction is what the
//! database says, and so that it can be thrown away.
//!
//! `BEGIN`, `COMMIT` and `ROLLBACK` are sent as texts. SQLite refuses a `BEGIN` inside of a transaction and a `COMMIT`
//! outside of one, so each of their answers tells whether it was in the state that we think it is in. No savepoint is
//! ever made.

use std::{fmt, time::Duration};

use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement, Value,
    prelude::async_trait,
    sqlx::{
        self, AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _,
        postgres::{PgConnectOptions, PgConnection},
        sqlite::{SqliteConnectOptions, SqliteConnection},
    },
};
use sea_query_sqlx::SqlxValues;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{
    receipt::Receipt,
    wide::{Cell, Wide, run_on_postgres, run_on_sqlite},
};
use crate::{store::StoreError, telemetry::chain};

/// How long a statement's text may be for it to be kept ready by a session. Longer ones are seldom the same twice, and
/// a session keeps a hundred.
const PREPARED_TEXT_BYTES_MAX: usize = 2_048;
/// How long a transaction may take from its `BEGIN` to the answer to its `COMMIT`.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(20);
/// What a session that writes to PostgreSQL waits for: a lock that somebody else holds, a statement, and ourselves between
/// two statements. Whoever holds a row for longer delays its account and nobody else.
const POSTGRES_TIME_LIMITS: &str =
    "SET lock_timeout = '1s'; SET statement_timeout = '15s'; SET idle_in_transaction_session_timeout = '15s'";
/// How such a session plans: everything that it writes and looks up it finds by a key, whatever is known of the tables'
/// sizes, and each hot statement is planned once. While a table is new, or grows fast, PostgreSQL would read all of it.
const POSTGRES_PLANS: &str = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; \
     SET plan_cache_mode = force_generic_plan";
/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where writers connect to, and how.
#[derive(Clone)]
pub enum WriterOptions {
    /// A file.
    Sqlite(SqliteConnectOptions),
    /// A server.
    Postgres(PgConnectOptions),
}

impl WriterOptions {
    async fn connect(&self) -> Result<Writer, StoreError> {
        let connect = async {
            Ok(match self {
                WriterOptions::Sqlite(options) => Held::Sqlite(Box::new(options.connect().await?)),
                WriterOptions::Postgres(options) => {
                    let mut connection = options.connect().await?;
                    connection.execute(POSTGRES_TIME_LIMITS).await?;
                    connection.execute(POSTGRES_PLANS).await?;
                    Held::Postgres(Box::new(connection))
                }
            })
        };
        let held = tokio::time::timeout(CONNECT_TIMEOUT, connect).await;
        let timed_out = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
        let held = held.map_err(timed_out).flatten().map_err(StoreError::Open)?;
        let backend = match held {
            Held::Sqlite(_) => DbBackend::Sqlite,
            Held::Postgres(_) => DbBackend::Postgres,
        };
        Ok(Writer { backend, held: Mutex::new(held) })
    }
}

enum Held {
    Sqlite(Box<SqliteConnection>),
    Postgres(Box<PgConnection>),
}

/// A connection that writes.
pub struct Writer {
    backend: DbBackend,
    held: Mutex<Held>,
}

/// Runs the same thing on the connection of either database.
macro_rules! on_held {
    ($writer:expr, |$connection:ident| $run:expr) => {
        match &mut *$writer.held.lock().await {
            Held::Sqlite($connection) => {
                let $connection = &mut **$connection;
                $run
            }
            Held::Postgres($connection) => {
                let $connection = &mut **$connection;
                $run
            }
        }
    };
}

fn query<DB>(statement: &Statement) -> sqlx::query::Query<'_, DB, SqlxValues>
where
    DB: sqlx::Database + sqlx::database::HasStatementCache,
    SqlxValues: sqlx::IntoArguments<DB>,
{
    let values = statement.values.clone().unwrap_or_else(|| sea_orm::Values(Vec::<Value>::new()));
    let is_kept = statement.sql.len() <= PREPARED_TEXT_BYTES_MAX;
    sqlx::query_with(AssertSqlSafe(statement.sql.as_str()), SqlxValues(values)).persistent(is_kept)
}

impl Writer {
    /// Runs a hot statement, with the cells of row after row; answers the column that it returns.
    pub async fn run_wide(&self, wide: &Wide, cells: &[Cell<'_>]) -> Result<Vec<Uuid>, DbErr> {
        if cells.is_empty() {
            return Ok(Vec::new());
        }
        match &mut *self.held.lock().await {
            Held::Sqlite(connection) => run_on_sqlite(connection, wide, cells).await,
            Held::Postgres(connection) => run_on_postgres(connection, wide, cells).await,
        }
    }
}

fn failed(error: sqlx::Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(error.into()))
}

#[async_trait::async_trait]
impl ConnectionTrait for Writer {
    fn get_database_backend(&self) -> DbBackend {
        self.backend
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        on_held!(self, |connection| query(&statement).execute(connection).await.map(Into::into)).map_err(failed)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        on_held!(self, |connection| connection.execute(AssertSqlSafe(sql)).await.map(Into::into)).map_err(failed)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        on_held!(self, |connection| {
            let row = query(&statement).fetch_optional(connection).await;
            row.map(|row| row.map(Into::into))
        })
        .map_err(failed)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        on_held!(self, |connection| {
            let rows = query(&statement).fetch_all(connection).await;
            rows.map(|rows| rows.into_iter().map(Into::into).collect())
        })
        .map_err(failed)
    }
}

/// Why a transaction was not written, or perhaps was.
#[derive(Debug)]
pub enum WriteError {
    /// Nothing was written, and nothing will be: the database refuses what the transaction holds.
    Refused(DbErr),
    /// Nothing was written: trouble that may be over for a part of the transaction.
    Failed(DbErr),
    /// Nothing was written, and the connection is gone.
    Lost(StoreError),
    /// The commit itself failed, or nothing was heard for too long.
    Uncertain(String),
}

impl WriteError {
    /// The receipt of another change of the same group.
    pub fn receipt(&self, message: &str) -> Receipt {
        match self {
            WriteError::Uncertain(_) => Receipt::Unknown(StoreError::Uncertain(message.to_owned())),
            _ => Receipt::Failed(StoreError::Unwritten(message.to_owned())),
        }
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::Refused(error) | WriteError::Failed(error) => write!(f, "{error}"),
            WriteError::Lost(error) => write!(f, "{}", chain(error)),
            WriteError::Uncertain(error) => write!(f, "{error}"),
        }
    }
}

impl From<WriteError> for Receipt {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Refused(error) => Receipt::Refused(error.into()),
            WriteError::Uncertain(_) => Receipt::Unknown(error.into()),
            _ => Receipt::Failed(error.into()),
        }
    }
}

impl From<WriteError> for StoreError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Refused(error) | WriteError::Failed(error) => error.into(),
            WriteError::Lost(error) => error,
            WriteError::Uncertain(error) => StoreError::Uncertain(error),
        }
    }
}

/// What an error says of the connection and of what was to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// The data can never be written.
    Data,
    /// The connection, the server, the disk or the memory: what the connection believes is not to be trusted any more.
    Connection,
    /// Anything else.
    Other,
}

/// SQLite's primary codes of NOMEM, IOERR, CORRUPT, FULL, CANTOPEN, PROTOCOL, NOTADB.
const SQLITE_TROUBLE: [u32; 7] = [7, 10, 11, 13, 14, 15, 26];
/// SQLite's primary codes of TOOBIG, CONSTRAINT, MISMATCH, RANGE.
const SQLITE_DATA: [u32; 4] = [18, 19, 20, 25];
/// PostgreSQL's classes of connections, resources, operators, the system, and faults of its own.
const POSTGRES_TROUBLE: [&str; 5] = ["08", "53", "57", "58", "XX"];
/// PostgreSQL's classes of data, of integrity, and of its limits.
const POSTGRES_DATA: [&str; 3] = ["22", "23", "54"];
/// PostgreSQL ended one statement because of its time limit; the session is as it was.
const POSTGRES_CANCELED: &str = "57014";

fn class(error: &DbErr) -> Class {
    let (DbErr::Exec(RuntimeErr::SqlxError(error))
    | DbErr::Query(RuntimeErr::SqlxError(error))
    | DbErr::Conn(RuntimeErr::SqlxError(error))) = error
    else {
        return Class::Other;
    };
    let sqlx::Error::Database(error) = &**error else {
        return match &**error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Encode(_) | sqlx::Error::Decode(_) => Class::Other,
            _ => Class::Connection,
        };
    };
    let code = error.code().unwrap_or_default();
    if error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
        let primary = code.parse::<u32>().unwrap_or_default() & 0xff;
        return match primary {
            _ if SQLITE_TROUBLE.contains(&primary) => Class::Connection,
            _ if SQLITE_DATA.contains(&primary) => Class::Data,
            _ => Class::Other,
        };
    }
    match code.get(..2) {
        _ if code == POSTGRES_CANCELED => Class::Other,
        Some(class) if POSTGRES_TROUBLE.contains(&class) => Class::Connection,
        Some(class) if POSTGRES_DATA.contains(&class) => Class::Data,
        _ => Class::Other,
    }
}

/// A writer that is opened when it is needed, and anew after it was thrown away.
pub struct Writing {
    options: WriterOptions,
    writer: Option<Writer>,
}

impl Writing {
    /// Nothing is opened yet.
    pub fn new(options: WriterOptions) -> Self {
        Self { options, writer: None }
    }

    /// Writes in one transaction, within a time.
    pub async fn transact<T>(&mut self, write: impl AsyncFnOnce(&Writer) -> Result<T, DbErr>) -> Result<T, WriteError> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.options.connect().await.map_err(WriteError::Lost)?,
        };
        // Only a transaction that ended as it should gives its connection back; any other one is closed.
        let (written, writer) = match tokio::time::timeout(TRANSACTION_TIMEOUT, run(writer, write)).await {
            Ok(ended) => ended,
            Err(_) => {
                let message = format!("nothing was heard of it for {} s", TRANSACTION_TIMEOUT.as_secs());
                (Err(WriteError::Uncertain(message)), None)
            }
        };
        self.writer = writer;
        written
    }

    /// Closes the connection in order.
    pub async fn close(&mut self) -> Result<(), StoreError> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let closed = match writer.held.into_inner() {
            Held::Sqlite(connection) => connection.close().await,
            Held::Postgres(connection) => connection.close().await,
        };
        closed.map_err(StoreError::Open)
    }
}

/// Runs a transaction. Answers the connection only where it can be used again.
async fn run<T>(
    writer: Writer,
    write: impl AsyncFnOnce(&Writer) -> Result<T, DbErr>,
) -> (Result<T, WriteError>, Option<Writer>) {
    let begin = match writer.get_database_backend() {
        DbBackend::Sqlite => "BEGIN IMMEDIATE",
        _ => "BEGIN",
    };
    if let Err(error) = writer.execute_unprepared(begin).await {
        if error.to_string().contains("within a transaction") {
            // An earlier commit was taken for one and was none: what was acknowledged since is not in the file.
            tracing::error!("the database is inside of a transaction that should have ended; ending the process");
            std::process::abort();
        }
        return match class(&error) {
            Class::Connection => (Err(WriteError::Lost(error.into())), None),
            _ => (Err(WriteError::Failed(error)), None),
        };
    }
    match write(&writer).await {
        Ok(written) => match writer.execute_unprepared("COMMIT").await {
            Ok(_) => (Ok(written), Some(writer)),
            Err(error) => (Err(WriteError::Uncertain(error.to_string())), None),
        },
        Err(error) => match class(&error) {
            Class::Connection => (Err(WriteError::Lost(error.into())), None),
            class => {
                let is_rolled_back = writer.execute_unprepared("ROLLBACK").await.is_ok();
                let error = if class == Class::Data { WriteError::Refused(error) } else { WriteError::Failed(error) };
                (Err(error), is_rolled_back.then_some(writer))
            }
        },
    }
}
