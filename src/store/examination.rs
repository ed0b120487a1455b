//! Looks at a database without changing it: for people who ask what is wrong.

use std::{
    fs::{File, TryLockError},
    time::Duration,
};

use sea_orm::{ConnectionTrait, DatabaseConnection, EntityTrait, QuerySelect, Statement};

use super::{
    Location, StoreError,
    database::{self, has_table},
    entities::webhooks,
    rotation::sealed_by_others,
    seal::{SealContext, Sealer},
    upgrade::Steps,
};
use crate::domain::timestamp::Timestamp;

/// How many stored secrets are tried.
const SECRETS_MAX: u64 = 20;

/// How long looking through a SQLite file may take.
const QUICK_CHECK_TIMEOUT: Duration = Duration::from_secs(8);

/// What was found.
#[derive(Debug)]
pub struct Examination {
    /// Migrations that are still to be made; all of them where the database is new.
    pub pending: Vec<String>,
    /// Migrations that this version does not know.
    pub unknown: Vec<String>,
    /// Whether a process holds the lock.
    pub is_locked: bool,
    /// Whether the last service did not end in order: what is in the log beside the file was not looked at.
    pub has_log: bool,
    /// What SQLite finds wrong with the file; none where it is whole, or too large to look through in time.
    pub damage: Option<String>,
    /// How many of the stored secrets that were tried the key opens, and how many it does not; none without a key.
    pub secrets: Option<(usize, usize)>,
    /// How many values are sealed by another key than the first one; none without a key.
    pub left: Option<i64>,
    /// The database's own time, or that of the newest thing in it.
    pub time: Option<Timestamp>,
}

impl Examination {
    /// Looks; none where there is no file yet.
    pub async fn of(location: &Location, sealer: Option<&Sealer>) -> Result<Option<Self>, StoreError> {
        if matches!(location, Location::Sqlite(path) if !path.exists()) {
            return Ok(None);
        }
        let lock = lock_of(location);
        let log = match location {
            Location::Sqlite(path) => std::fs::metadata(database::beside(path, "-wal")).map_or(0, |about| about.len()),
            Location::Postgres(_) => 0,
        };
        // Whoever closes a file last takes its log in. Where no service has it open, only the file itself is read.
        let connection = database::examine(location, lock == Some(false)).await?;
        if matches!(location, Location::Postgres(_)) {
            database::check_encoding(&connection).await?;
        }
        let Steps { pending, unknown } = Steps::of(&connection).await?;
        let is_current = pending.is_empty();
        let secrets = match sealer.filter(|_| is_current) {
            Some(sealer) => Some(try_secrets(&connection, sealer).await?),
            None => None,
        };
        let left = match sealer.filter(|_| is_current) {
            Some(sealer) => Some(sealed_by_others(&connection, sealer).await?),
            None => None,
        };
        let is_locked = match lock {
            Some(is_locked) => is_locked,
            None => is_locked(&connection).await?,
        };
        let damage = match location {
            Location::Sqlite(_) => {
                let check = texts(&connection, "PRAGMA quick_check(1)");
                let found = tokio::time::timeout(QUICK_CHECK_TIMEOUT, check).await;
                found.unwrap_or_else(|_| Ok(Vec::new()))?.into_iter().find(|text| text != "ok")
            }
            Location::Postgres(_) => None,
        };
        let time = match location {
            Location::Postgres(_) => {
                number(&connection, "SELECT CAST(EXTRACT(EPOCH FROM now()) * 1000000 AS bigint)").await?
            }
            Location::Sqlite(_) if is_current => {
                number(&connection, "SELECT COALESCE(MAX(updated_at), 0) FROM accounts").await?
            }
            Location::Sqlite(_) => None,
        };
        connection.close().await?;
        Ok(Some(Self {
            pending,
            unknown,
            is_locked,
            damage,
            has_log: log > 0 && !is_locked,
            secrets,
            left,
            time: time.filter(|at| *at > 0).map(Timestamp),
        }))
    }
}

fn statement(connection: &DatabaseConnection, sql: &str) -> Statement {
    Statement::from_string(connection.get_database_backend(), sql)
}

async fn texts(connection: &DatabaseConnection, sql: &str) -> Result<Vec<String>, StoreError> {
    let rows = connection.query_all_raw(statement(connection, sql)).await?;
    Ok(rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?)
}

async fn number(connection: &DatabaseConnection, sql: &str) -> Result<Option<i64>, StoreError> {
    let row = connection.query_one_raw(statement(connection, sql)).await?;
    Ok(row.map(|row| row.try_get_by_index(0)).transpose()?)
}

/// How many of the stored secrets that are tried a key opens, and how many it does not.
pub async fn try_secrets(connection: &DatabaseConnection, sealer: &Sealer) -> Result<(usize, usize), StoreError> {
    let rows = webhooks::Entity::find().limit(SECRETS_MAX).all(connection).await?;
    let opens = |row: &&webhooks::Model| {
        let place = SealContext { account: row.account_uid, webhook: row.uid, field: "secrets" };
        sealer.open(place, &row.sealed_secrets).is_ok()
    };
    let opened = rows.iter().filter(opens).count();
    Ok((opened, rows.len() - opened))
}

/// Whether a process holds the lock of a SQLite file; none where the database must be asked.
fn lock_of(location: &Location) -> Option<bool> {
    let Location::Sqlite(path) = location else { return None };
    // Looking takes the lock for a moment; a process that starts meanwhile asks again.
    let lock = File::open(database::beside(path, ".lock"));
    Some(lock.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock))))
}

async fn is_locked(connection: &DatabaseConnection) -> Result<bool, StoreError> {
    if has_table(connection, "leases").await? {
        let sql =
            "SELECT COUNT(*) FROM leases WHERE ends_at > (EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::bigint";
        if number(connection, sql).await?.unwrap_or_default() > 0 {
            return Ok(true);
        }
    }
    // A version of before leases holds a lock.
    let key = database::PROCESS_LOCK;
    let sql = format!(
        "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = {} AND objid = {} \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        key >> 32,
        key & 0xffff_ffff
    );
    Ok(number(connection, &sql).await?.unwrap_or_default() > 0)
}
