//! Brings the schema up to date: which steps are to be made, whether there is room for them, and who may be there meanwhile.

use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use sea_orm_migration::MigratorTrait;

use super::{
    Location, StoreError,
    database::{self, beside},
    migrations::{EXCLUSIVE, Migrator},
};

/// How much must be free beside a file, in percent of its size: for the new rows, and the log that they come through.
const FREE_PERCENT: u64 = 150;
/// From which size on a step that carries everything over is asked for, on PostgreSQL.
pub const ASKED_FOR_BYTES: u64 = 1 << 30;
/// The tables whose rows are carried over.
const CARRIED_TABLES: [&str; 3] = ["events", "executions", "attempts"];

/// What may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permission {
    /// Steps that no other process may see half-way; whoever asks for them has the database's lease.
    pub exclusive: bool,
    /// To carry over more than a size on PostgreSQL.
    pub large: bool,
}

/// Which steps are made, and which are not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Steps {
    /// Steps that are to be made, in order.
    pub pending: Vec<String>,
    /// Steps that this version does not know.
    pub unknown: Vec<String>,
}

impl Steps {
    /// Looks what is made.
    pub async fn of(connection: &DatabaseConnection) -> Result<Self, StoreError> {
        let known: Vec<String> = Migrator::migrations().iter().map(|one| one.name().to_owned()).collect();
        let applied = match database::has_table(connection, "hookline_migrations").await? {
            true => texts(connection, "SELECT version FROM hookline_migrations ORDER BY version").await?,
            false => Vec::new(),
        };
        let pending = known.iter().filter(|name| !applied.contains(name)).cloned().collect();
        let unknown = applied.into_iter().filter(|name| !known.contains(name)).collect();
        Ok(Self { pending, unknown })
    }

    /// How many can be made before one that needs the database for itself.
    pub fn shared(&self) -> usize {
        self.pending.iter().take_while(|name| !EXCLUSIVE.contains(&name.as_str())).count()
    }
}

/// Makes the steps that are to be made, as far as they may be; answers those that are left.
pub async fn migrate(
    connection: &DatabaseConnection,
    location: &Location,
    permission: Permission,
) -> Result<Vec<String>, StoreError> {
    let _lock = database::lock_migrations(connection, location).await?;
    let made = make(connection, location, permission).await;
    database::unlock_migrations(connection, location).await?;
    made
}

async fn make(
    connection: &DatabaseConnection,
    location: &Location,
    permission: Permission,
) -> Result<Vec<String>, StoreError> {
    let steps = Steps::of(connection).await?;
    if !steps.unknown.is_empty() {
        return Err(StoreError::Newer(steps.unknown.join(", ")));
    }
    let count = if permission.exclusive { steps.pending.len() } else { steps.shared() };
    if count > steps.shared() {
        check_room(connection, location, permission).await?;
    }
    if count > 0 {
        Migrator::up(connection, Some(u32::try_from(count).unwrap_or(u32::MAX))).await?;
    }
    Ok(steps.pending[count..].to_vec())
}

/// Whether there is room to carry everything over. A new database has nothing to carry.
async fn check_room(
    connection: &DatabaseConnection,
    location: &Location,
    permission: Permission,
) -> Result<(), StoreError> {
    if !database::has_table(connection, "events").await? {
        return Ok(());
    }
    match location {
        Location::Sqlite(path) => {
            let bytes = |suffix: &str| std::fs::metadata(beside(path, suffix)).map_or(0, |about| about.len());
            let size = bytes("") + bytes("-wal");
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let about = rustix::fs::statvfs(folder.unwrap_or(std::path::Path::new(".")));
            let about = about.map_err(|error| StoreError::File(error.into()))?;
            check_free(size, about.f_bavail.saturating_mul(about.f_frsize))
        }
        Location::Postgres(_) => {
            let sizes = CARRIED_TABLES.map(|table| format!("pg_total_relation_size('{table}')"));
            let sql = format!("SELECT CAST({} AS bigint)", sizes.join(" + "));
            let size = number(connection, &sql).await?.unwrap_or_default().cast_unsigned();
            if size > ASKED_FOR_BYTES && !permission.large {
                return Err(StoreError::Large(mebibytes(size)));
            }
            tracing::info!(needed_mib = mebibytes(size), "the history is carried over; up to this much room is needed");
            Ok(())
        }
    }
}

/// Whether so much is free beside a file.
fn check_free(size: u64, free: u64) -> Result<(), StoreError> {
    let needed = size.saturating_mul(FREE_PERCENT) / 100;
    if free >= needed {
        return Ok(());
    }
    Err(StoreError::NoRoom { needed_mib: mebibytes(needed), free_mib: mebibytes(free) })
}

fn mebibytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

async fn texts(connection: &DatabaseConnection, sql: &str) -> Result<Vec<String>, StoreError> {
    let rows = connection.query_all_raw(Statement::from_string(connection.get_database_backend(), sql)).await?;
    Ok(rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?)
}

async fn number(connection: &DatabaseConnection, sql: &str) -> Result<Option<i64>, StoreError> {
    let row = connection.query_one_raw(Statement::from_string(connection.get_database_backend(), sql)).await?;
    Ok(row.map(|row| row.try_get_by_index(0)).transpose()?)
}

#[cfg(test)]
#[path = "tests/upgrade.rs"]
mod tests;
