//! Opens the database: SQLite in a file, or PostgreSQL.

use std::{
    fmt,
    fs::{File, Permissions, TryLockError},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::OFlags;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, SqlxPostgresConnector, SqlxSqliteConnector, Statement,
    sqlx::{
        self, ConnectOptions as _, Connection as _,
        postgres::{PgConnectOptions, PgConnection, PgPoolOptions},
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
    },
};

use super::{StoreError, write::WriterOptions};

/// How many connections read for the engine.
const ENGINE_READERS: u32 = 4;
/// How many connections read for people.
const PEOPLE_READERS: u32 = 8;
/// How long SQLite's log is left at its length once it is written back to the file; it is cut to it where it is longer.
pub const LOG_BYTES_KEPT: u64 = 96 * 1_024 * 1_024;
/// How long a connection of a pool may take to answer that it is there.
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// How many lanes write to PostgreSQL.
const POSTGRES_LANES: usize = 4;
/// How long a statement waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);
/// The key of the advisory locks: "hookline" in ASCII, which processes of before leases hold, and one more for migrations.
pub const PROCESS_LOCK: i64 = 0x686f_6f6b_6c69_6e65;
const MIGRATION_LOCK: i64 = PROCESS_LOCK + 1;
/// How often a process that waits for the lock of a file asks for it.
const LOCK_RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// Where the data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL database's URL.
    Postgres(String),
}

impl Location {
    /// The SQLite file, where it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Location::Sqlite(path) => Some(path),
            Location::Postgres(_) => None,
        }
    }

    /// Reads a path, `sqlite:path` or `postgres://…`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Location::Postgres(text.to_owned()));
        }
        let path = text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:")).unwrap_or(text);
        let lower = path.to_ascii_lowercase();
        let is_like_a_url = path.contains("://")
            || path.contains('@') && path.contains(':')
            || ["password=", "pwd=", "host="].iter().any(|word| lower.contains(word))
            || lower.starts_with("postgres") && path.contains([':', ';', '@', '=']);
        if path.is_empty() || is_like_a_url {
            // What follows the scheme may hold a password.
            return Err("the database is neither a file nor postgres://user:password@host/database".to_owned());
        }
        Ok(Location::Sqlite(PathBuf::from(path)))
    }
}

impl fmt::Display for Location {
    /// The file, or the server and the database; never a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Sqlite(path) => {
                write!(f, "{}", std::path::absolute(path).unwrap_or_else(|_| path.clone()).display())
            }
            Location::Postgres(url) => match url.parse::<PgConnectOptions>() {
                Ok(options) => {
                    let database = options.get_database().unwrap_or_default();
                    write!(f, "postgres://{}:{}/{database}", options.get_host(), options.get_port())
                }
                Err(_) => write!(f, "PostgreSQL"),
            },
        }
    }
}

/// A file beside the database.
pub fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Locks a file. It asks again and again instead of waiting in the system call, which nothing could interrupt.
pub async fn lock_file(path: &Path) -> std::io::Result<File> {
    // Whoever can open it can hold the lock.
    let no_links = OFlags::NOFOLLOW.bits().cast_signed();
    let file =
        File::options().create(true).write(true).truncate(false).mode(0o600).custom_flags(no_links).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    let mut is_told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        if !is_told {
            tracing::warn!(path = %path.display(), "another process holds the database's lock; waiting for its end");
            is_told = true;
        }
        tokio::time::sleep(LOCK_RETRY_INTERVAL).await;
    }
}

async fn advisory_lock(connection: &DatabaseConnection, key: i64) -> Result<(), StoreError> {
    let statement = |sql: &str| Statement::from_sql_and_values(connection.get_database_backend(), sql, [key.into()]);
    let tried = connection.query_one_raw(statement("SELECT pg_try_advisory_lock($1)")).await?;
    let got: bool = tried.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or_default();
    if !got {
        tracing::warn!("another process holds the database's lock; waiting for its end");
        connection.execute_raw(statement("SELECT pg_advisory_lock($1)")).await?;
    }
    Ok(())
}

/// The connections of an open database.
pub struct Connections {
    /// What brings the schema up to date and looks at what is there, before anything else is done.
    pub first: DatabaseConnection,
    /// How those connect that write, one a lane.
    pub writers: Vec<WriterOptions>,
    /// The pool from which the engine reads.
    pub engine: DatabaseConnection,
    /// The pool from which people read, so that they never hold up the engine.
    pub people: DatabaseConnection,
}

impl Connections {
    /// Closes them, where nothing but the first look was wanted.
    pub async fn close(self) -> Result<(), StoreError> {
        for connection in [self.first, self.engine, self.people] {
            connection.close().await?;
        }
        Ok(())
    }
}

/// One connection to a database that exists, to look at it.
pub async fn look(location: &Location) -> Result<DatabaseConnection, StoreError> {
    match location {
        Location::Sqlite(path) => {
            let options = SqliteConnectOptions::new().filename(path).disable_statement_logging();
            let pool = sqlite_pool(1).connect_with(options).await.map_err(StoreError::Open)?;
            Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
        }
        Location::Postgres(url) => {
            reach(url).await?;
            postgres(url, 1).await
        }
    }
}

/// One connection to a database that exists, which writes nothing; to the file alone, where it is said to be at rest.
pub async fn examine(location: &Location, is_at_rest: bool) -> Result<DatabaseConnection, StoreError> {
    let Location::Sqlite(path) = location else { return look(location).await };
    let options = SqliteConnectOptions::new().filename(path).read_only(true).immutable(is_at_rest);
    let pool = sqlite_pool(1).connect_with(options.disable_statement_logging()).await.map_err(StoreError::Open)?;
    Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
}

/// Opens the database.
pub async fn open(location: &Location) -> Result<Connections, StoreError> {
    match location {
        Location::Sqlite(path) => {
            own_file(path).map_err(StoreError::File)?;
            let options = SqliteConnectOptions::new()
                .filename(path)
                .create_if_missing(true)
                .pragma("auto_vacuum", "INCREMENTAL")
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .foreign_keys(true)
                .busy_timeout(Duration::from_secs(10))
                .pragma("cache_size", "-32000")
                // Checkpoints run beside the commits, not in them: see `upkeep`.
                .pragma("wal_autocheckpoint", "0")
                .pragma("journal_size_limit", LOG_BYTES_KEPT.to_string())
                .disable_statement_logging();
            let first = sqlite_pool(1).connect_with(options.clone()).await.map_err(StoreError::Open)?;
            let engine = sqlite_pool(ENGINE_READERS).connect_with(options.clone()).await.map_err(StoreError::Open)?;
            let people = sqlite_pool(PEOPLE_READERS).connect_with(options.clone()).await.map_err(StoreError::Open)?;
            Ok(Connections {
                first: SqlxSqliteConnector::from_sqlx_sqlite_pool(first),
                writers: vec![WriterOptions::Sqlite(options)],
                engine: SqlxSqliteConnector::from_sqlx_sqlite_pool(engine),
                people: SqlxSqliteConnector::from_sqlx_sqlite_pool(people),
            })
        }
        Location::Postgres(url) => {
            let first = postgres(url, 1).await?;
            check_encoding(&first).await?;
            let options = postgres_options(url)?;
            Ok(Connections {
                first,
                writers: vec![WriterOptions::Postgres(options); POSTGRES_LANES],
                engine: postgres(url, ENGINE_READERS).await?,
                people: postgres(url, PEOPLE_READERS).await?,
            })
        }
    }
}

/// Texts of people are in UTF-8; a database with another encoding would refuse some of them for ever.
pub async fn check_encoding(connection: &DatabaseConnection) -> Result<(), StoreError> {
    let asked = Statement::from_string(connection.get_database_backend(), "SHOW server_encoding");
    let found = connection.query_one_raw(asked).await?;
    let encoding: String = found.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or_default();
    if encoding == "UTF8" { Ok(()) } else { Err(StoreError::ServerEncoding(encoding)) }
}

/// Makes a file, where there is none, that only its owner can read: events and bodies are in it. SQLite gives the files
/// beside it the same mode. One that is there is not opened: whoever closes a file of SQLite's takes away the locks that
/// its own process holds on it.
pub fn own_file(path: &Path) -> std::io::Result<()> {
    match File::options().create_new(true).write(true).mode(0o600).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn sqlite_pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
}

/// Connects once without a pool, which would try again for long and forget why it failed.
async fn reach(url: &str) -> Result<(), StoreError> {
    let options: PgConnectOptions = url.parse().map_err(StoreError::Open)?;
    let place = format!("{}:{}", options.get_host(), options.get_port());
    let connection = options.connect().await.map_err(|error| StoreError::Unreachable(place, error))?;
    connection.close().await.map_err(StoreError::Open)
}

/// How to connect to PostgreSQL, from a URL.
pub fn postgres_options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let options: PgConnectOptions = url.parse().map_err(StoreError::Open)?;
    let is_named = options.get_application_name().is_some_and(|name| !name.is_empty());
    let options = if is_named { options } else { options.application_name("hookline") };
    Ok(options.disable_statement_logging())
}

async fn postgres(url: &str, connections: u32) -> Result<DatabaseConnection, StoreError> {
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // Each connection is asked before it is used and when it comes back, and is not waited for: one that says nothing any
        // more is given up.
        .test_before_acquire(false)
        .before_acquire(|connection, _| Box::pin(answers(connection)))
        .after_release(|connection, _| Box::pin(answers(connection)));
    let pool = if connections == 1 { pool.idle_timeout(None).max_lifetime(None) } else { pool };
    let pool = pool.connect_with(postgres_options(url)?).await.map_err(StoreError::Open)?;
    Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
}

async fn answers(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let asked = tokio::time::timeout(PING_TIMEOUT, connection.ping()).await;
    asked.map_err(|_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())).flatten().map(|()| true)
}

/// Has two processes that migrate at once do it one after the other; on SQLite for as long as the file is held.
pub async fn lock_migrations(connection: &DatabaseConnection, location: &Location) -> Result<Option<File>, StoreError> {
    match location {
        Location::Sqlite(path) => lock_file(&beside(path, ".migrate.lock")).await.map(Some).map_err(StoreError::Lock),
        Location::Postgres(_) => advisory_lock(connection, MIGRATION_LOCK).await.map(|()| None),
    }
}

/// Lets others migrate.
pub async fn unlock_migrations(connection: &DatabaseConnection, location: &Location) -> Result<(), StoreError> {
    if let Location::Postgres(_) = location {
        let values = [MIGRATION_LOCK.into()];
        let unlock = "SELECT pg_advisory_unlock($1)";
        let statement = Statement::from_sql_and_values(connection.get_database_backend(), unlock, values);
        connection.execute_raw(statement).await?;
    }
    Ok(())
}

/// Whether a table is there.
pub async fn has_table(connection: &DatabaseConnection, table: &str) -> Result<bool, StoreError> {
    let backend = connection.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => {
            format!("SELECT COUNT(*) FROM information_schema.tables WHERE table_name = '{table}'")
        }
        _ => format!("SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '{table}'"),
    };
    let row = connection.query_one_raw(Statement::from_string(backend, sql)).await?;
    let count: i64 = row.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or_default();
    Ok(count > 0)
}
