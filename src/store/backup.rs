//! A copy of a SQLite database while it is in use.

use std::path::Path;

use sea_orm::{ConnectionTrait, Statement};

use super::{Location, StoreError, database};

/// Copies a SQLite file as it is at one moment into a new file. PostgreSQL has tools of its own.
pub async fn backup(location: &Location, to: &Path) -> Result<(), StoreError> {
    // VACUUM takes an empty file for a new one.
    database::own_file(to).map_err(StoreError::Copy)?;
    let connection = database::look(location).await?;
    let values = [to.display().to_string().into()];
    let statement = Statement::from_sql_and_values(connection.get_database_backend(), "VACUUM INTO $1", values);
    connection.execute_raw(statement).await?;
    connection.close().await?;
    // The copy is durable when this returns.
    let file = std::fs::File::open(to).map_err(StoreError::Copy)?;
    file.sync_all().map_err(StoreError::Copy)
}
