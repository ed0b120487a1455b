//! Who may answer and send for a database: the process that holds its lease.
//!
//! A lease is a row with a holder and an end. The holder renews it four times in its length, and may answer and send only
//! while it surely lasts, by a clock of its own that also runs while the machine sleeps; another process takes it after
//! its end, by the database's clock. So neither a connection that is cut, nor a process that was frozen, lets two answer at a
//! time. On SQLite a lock of the operating system does the same, and ends with its process: it is never renewed.

use std::{
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use sea_orm::{
    ConnectionTrait, DbBackend, Statement,
    sqlx::{self, ConnectOptions as _, Connection as _, Row as _, postgres::PgConnection},
};
use tokio::{
    sync::{Mutex, Notify},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    Location, StoreError,
    database::{PROCESS_LOCK, beside, lock_file, postgres_options},
    migrations::m0007_leases::CREATE_LEASES,
};
use crate::{clock, domain::timestamp::Timestamp, telemetry::chain};

/// The partition that is the whole database.
const WHOLE: i32 = 0;
/// How often the lease is renewed while it lasts.
pub const RENEWALS: u32 = 4;
/// How often a process that waits looks whether it is its turn.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often it says that it waits, in looks.
const SAY_EVERY: u32 = 40;
/// The database's clock, in microseconds.
const NOW: &str = "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::bigint";

/// The right to answer and send for a database.
#[derive(Clone)]
pub struct Lease {
    inner: Arc<Inner>,
}

struct Inner {
    /// Until when it surely lasts, by [`clock::since_boot_us`].
    ends_at: AtomicI64,
    renewed: Notify,
    deposed: CancellationToken,
    /// The time that is told with the next renewal; 0 while there is none.
    wall_time: AtomicI64,
    /// The last time that a holder has told before this one took it.
    last_wall_time: Option<Timestamp>,
    /// Whether the holder before may still have a commit under way.
    is_after_a_break: bool,
    kind: Kind,
}

enum Kind {
    /// Released when the file is closed.
    File {
        _file: File,
    },
    /// Nobody else knows the database.
    Nobody,
    Row(Box<Row>),
}

struct Row {
    options: sqlx::postgres::PgConnectOptions,
    connection: Mutex<Option<PgConnection>>,
    holder: String,
    epoch: i64,
    length: Duration,
}

/// What taking a lease has found.
struct Taken {
    epoch: i64,
    is_after_a_break: bool,
    last_wall_time: Option<Timestamp>,
}

impl Lease {
    /// Waits for the lease. While another process holds it, or the database does not answer, it says so and waits.
    pub async fn acquire(location: &Location, length: Duration) -> Result<Self, StoreError> {
        let url = match location {
            Location::Sqlite(path) => {
                let file = lock_file(&beside(path, ".lock")).await.map_err(StoreError::Lock)?;
                return Ok(Self::new(i64::MAX, None, false, Kind::File { _file: file }));
            }
            Location::Postgres(url) => url,
        };
        let options = postgres_options(url)?;
        let holder = uuid::Uuid::now_v7().to_string();
        let mut connection = None;
        for look in 0_u32.. {
            let asked_at = clock::since_boot_us();
            match timeout(length, take(&options, &mut connection, &holder, length)).await {
                Ok(Ok(Some(taken))) => {
                    let Taken { epoch, is_after_a_break, last_wall_time } = taken;
                    let ends_at = asked_at.saturating_add(micros(length));
                    let row = Box::new(Row { options, connection: Mutex::new(connection), holder, epoch, length });
                    return Ok(Self::new(ends_at, last_wall_time, is_after_a_break, Kind::Row(row)));
                }
                Ok(Ok(None)) if look % SAY_EVERY == 0 => {
                    tracing::warn!("another process holds the database's lease; waiting for its end");
                }
                Ok(Ok(None)) => {}
                Ok(Err(error)) if is_of_the_configuration(&error) => return Err(StoreError::Open(error)),
                Ok(Err(error)) => {
                    connection = None;
                    if look % SAY_EVERY == 0 {
                        tracing::warn!(error = %chain(&error), "PostgreSQL does not answer yet; waiting for it");
                    }
                }
                Err(_) => {
                    connection = None;
                    tracing::warn!("PostgreSQL does not answer yet; waiting for it");
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(StoreError::Closed)
    }

    /// A lease that lasts for ever, on a database that nobody else knows.
    pub fn of_nobody_else() -> Self {
        Self::new(i64::MAX, None, false, Kind::Nobody)
    }

    fn new(ends_at: i64, last_wall_time: Option<Timestamp>, is_after_a_break: bool, kind: Kind) -> Self {
        let inner = Inner {
            ends_at: AtomicI64::new(ends_at),
            renewed: Notify::new(),
            deposed: CancellationToken::new(),
            wall_time: AtomicI64::new(last_wall_time.map_or(0, |time| time.0)),
            last_wall_time,
            is_after_a_break,
            kind,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Whether it surely lasts now.
    pub fn is_held(&self) -> bool {
        clock::since_boot_us() < self.inner.ends_at.load(Ordering::SeqCst)
    }

    /// Waits until it lasts; for ever, once another process has taken it.
    pub async fn held(&self) {
        loop {
            let renewed = self.inner.renewed.notified();
            tokio::pin!(renewed);
            // From here on a renewal is not missed.
            renewed.as_mut().enable();
            if self.is_held() {
                return;
            }
            renewed.await;
        }
    }

    /// Ends once another process has taken it.
    pub async fn deposed(&self) {
        self.inner.deposed.cancelled().await;
    }

    /// Whether the process before ended without giving it back, so that a commit of its may still land.
    pub fn is_after_a_break(&self) -> bool {
        self.inner.is_after_a_break
    }

    /// The last time that the holder before has told.
    pub fn last_wall_time(&self) -> Option<Timestamp> {
        self.inner.last_wall_time
    }

    /// Tells whoever has it next the time by a clock that is trusted.
    pub fn tell(&self, wall_time: Timestamp) {
        self.inner.wall_time.store(wall_time.0, Ordering::SeqCst);
    }

    /// Renews it for as long as the process lives or until another one has taken it.
    pub async fn keep(&self) {
        let Kind::Row(row) = &self.inner.kind else { return std::future::pending().await };
        let period = row.length / RENEWALS;
        while !self.inner.deposed.is_cancelled() {
            tokio::time::sleep(period).await;
            if let Err(error) = self.renew().await {
                tracing::warn!(error, "the database's lease was not renewed; trying again");
            }
        }
    }

    /// Asks the database whether it is still ours. Where it is, it is renewed.
    pub async fn renew(&self) -> Result<(), String> {
        let Kind::Row(row) = &self.inner.kind else { return Ok(()) };
        let mut connection = row.connection.lock().await;
        if self.inner.deposed.is_cancelled() {
            // Given back, or taken by another process: nothing extends it any more.
            return Ok(());
        }
        let wall_time = self.inner.wall_time.load(Ordering::SeqCst);
        let asked_at = clock::since_boot_us();
        match timeout(row.length / RENEWALS, row.extend(&mut connection, wall_time)).await {
            Ok(Ok(true)) => {
                let ends_at = asked_at.saturating_add(micros(row.length));
                self.inner.ends_at.fetch_max(ends_at, Ordering::SeqCst);
                self.inner.renewed.notify_waiters();
                Ok(())
            }
            Ok(Ok(false)) => {
                self.inner.ends_at.store(i64::MIN, Ordering::SeqCst);
                self.inner.deposed.cancel();
                Ok(())
            }
            Ok(Err(error)) => {
                *connection = None;
                Err(chain(&error))
            }
            Err(_) => {
                *connection = None;
                Err("the database does not answer".to_owned())
            }
        }
    }

    /// Gives it back, so that the next process need not wait for its end. Nothing is answered or sent any more.
    pub async fn release(&self) {
        let Kind::Row(row) = &self.inner.kind else { return };
        let mut connection = row.connection.lock().await;
        // From here on no renewal extends it again, however long the process takes to end.
        self.inner.deposed.cancel();
        self.inner.ends_at.store(i64::MIN, Ordering::SeqCst);
        let wall_time = self.inner.wall_time.load(Ordering::SeqCst);
        match timeout(row.length / RENEWALS, row.end(&mut connection, wall_time)).await {
            Ok(Ok(())) => {}
            _ => tracing::warn!("the database's lease was not given back; the next process waits for its end"),
        }
    }
}

impl Row {
    async fn connected<'c>(&self, held: &'c mut Option<PgConnection>) -> Result<&'c mut PgConnection, sqlx::Error> {
        match held {
            Some(connection) => Ok(connection),
            None => Ok(held.insert(self.options.connect().await?)),
        }
    }

    async fn extend(&self, held: &mut Option<PgConnection>, wall_time: i64) -> Result<bool, sqlx::Error> {
        let connection = self.connected(held).await?;
        let sql = format!(
            "UPDATE leases SET ends_at = {NOW} + $1, wall_time = $2 WHERE partition = $3 AND holder = $4 AND epoch = $5"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(micros(self.length)).bind(wall_time);
        let done = query.bind(WHOLE).bind(&self.holder).bind(self.epoch).execute(connection).await?;
        Ok(done.rows_affected() == 1)
    }

    async fn end(&self, held: &mut Option<PgConnection>, wall_time: i64) -> Result<(), sqlx::Error> {
        let connection = self.connected(held).await?;
        let sql = "UPDATE leases SET ends_at = 0, wall_time = $1 WHERE partition = $2 AND holder = $3 AND epoch = $4";
        let query = sqlx::query(sql).bind(wall_time).bind(WHOLE).bind(&self.holder);
        query.bind(self.epoch).execute(connection).await?;
        match held.take() {
            Some(connection) => connection.close().await,
            None => Ok(()),
        }
    }
}

/// Takes the lease where it has ended, or is ours by an answer that was lost; none where another process holds it.
async fn take(
    options: &sqlx::postgres::PgConnectOptions,
    held: &mut Option<PgConnection>,
    holder: &str,
    length: Duration,
) -> Result<Option<Taken>, sqlx::Error> {
    let connection = match held {
        Some(connection) => connection,
        None => {
            let connection = held.insert(options.connect().await?);
            sqlx::query(CREATE_LEASES).execute(&mut *connection).await?;
            connection
        }
    };
    // A version of before leases holds this lock for as long as it runs.
    let free = sqlx::query("SELECT pg_try_advisory_lock($1)").bind(PROCESS_LOCK).fetch_one(&mut *connection).await?;
    if !free.try_get::<bool, _>(0)? {
        return Ok(None);
    }
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(PROCESS_LOCK).execute(&mut *connection).await?;
    let before = sqlx::query("SELECT ends_at, wall_time FROM leases WHERE partition = $1").bind(WHOLE);
    let before = before.fetch_optional(&mut *connection).await?;
    let sql = format!(
        "INSERT INTO leases AS l (partition, holder, epoch, ends_at, wall_time) VALUES ($1, $2, 1, {NOW} + $3, 0) \
         ON CONFLICT (partition) DO UPDATE SET holder = EXCLUDED.holder, epoch = l.epoch + 1, \
         ends_at = EXCLUDED.ends_at \
         WHERE l.ends_at <= {NOW} OR l.holder = EXCLUDED.holder RETURNING epoch"
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(WHOLE).bind(holder);
    let taken = query.bind(micros(length)).fetch_optional(connection).await?;
    let Some(taken) = taken else { return Ok(None) };
    let ended_at = before.as_ref().map(|row| row.try_get::<i64, _>(0)).transpose()?;
    let told = before.as_ref().map(|row| row.try_get::<i64, _>(1)).transpose()?;
    let last_wall_time = told.filter(|told| *told > 0).map(Timestamp);
    Ok(Some(Taken { epoch: taken.try_get(0)?, is_after_a_break: ended_at.is_none_or(|at| at > 0), last_wall_time }))
}

/// Whether waiting is of no use: the server is there and refuses us, or the URL is wrong.
fn is_of_the_configuration(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) => true,
        // Everything but connections (08), a server that follows another (25), resources (53), starting and stopping (57),
        // and the system (58).
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            !["08", "25", "53", "57", "58"].iter().any(|class| code.starts_with(class))
        }
        _ => false,
    }
}

fn micros(length: Duration) -> i64 {
    i64::try_from(length.as_micros()).unwrap_or(i64::MAX)
}

/// The last time that a process has told a file.
pub async fn told_time(connection: &impl ConnectionTrait) -> Result<Option<Timestamp>, StoreError> {
    let sql = format!("SELECT wall_time FROM leases WHERE partition = {WHOLE}");
    let row = connection.query_one_raw(Statement::from_string(connection.get_database_backend(), sql)).await?;
    Ok(row.map(|row| row.try_get_by_index(0)).transpose()?.map(Timestamp))
}

/// Tells a file the time.
pub fn tell_sql(backend: DbBackend, now: Timestamp) -> Statement {
    let sql = "INSERT INTO leases (partition, holder, epoch, ends_at, wall_time) VALUES ($1, '', 0, 0, $2) \
               ON CONFLICT (partition) DO UPDATE SET wall_time = EXCLUDED.wall_time";
    Statement::from_sql_and_values(backend, sql, [WHOLE.into(), now.0.into()])
}
