//! A copy of a SQLite database while it is in use.

use std::{fs::File, path::Path};

use sea_orm::{ConnectionTrait, Statement};

use super::{Location, StoreError, database};

/// Copies a SQLite file as it is at one moment into a new file. PostgreSQL has tools of its own.
pub async fn backup(location: &Location, to: &Path) -> Result<(), StoreError> {
    // Under another name until it is whole: what a full disk leaves is never taken for a copy.
    let partial = database::beside(to, ".partial");
    let _ = std::fs::remove_file(&partial);
    // VACUUM takes an empty file for a new one.
    database::own_file(&partial).map_err(StoreError::Copy)?;
    let connection = database::look(location).await?;
    let values = [partial.display().to_string().into()];
    let statement = Statement::from_sql_and_values(connection.get_database_backend(), "VACUUM INTO $1", values);
    let copied = connection.execute_raw(statement).await;
    connection.close().await?;
    let kept = || {
        File::open(&partial)?.sync_all()?;
        std::fs::rename(&partial, to)?;
        // The copy and its name are durable when this returns.
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    };
    let done = copied.map_err(StoreError::from).and_then(|_| kept().map_err(StoreError::Copy));
    if done.is_err() {
        let _ = std::fs::remove_file(&partial);
    }
    done
}
