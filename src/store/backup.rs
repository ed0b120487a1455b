//! A copy of a SQLite database while it is in use.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use sea_orm::{ConnectionTrait, Statement};
use uuid::Uuid;

use super::{Location, StoreError, database};

/// Copies a SQLite file as it is at one moment into a new file. PostgreSQL has tools of its own.
pub async fn backup(location: &Location, to: &Path) -> Result<(), StoreError> {
    let workshop = Workshop::beside(to).map_err(StoreError::Copy)?;
    let partial = workshop.0.join("copy");
    // VACUUM takes an empty file for a new one.
    database::own_file(&partial).map_err(StoreError::Copy)?;
    let connection = database::look(location).await?;
    let values = [partial.display().to_string().into()];
    let statement = Statement::from_sql_and_values(connection.get_database_backend(), "VACUUM INTO $1", values);
    let copied = connection.execute_raw(statement).await;
    connection.close().await?;
    copied?;
    let kept = || {
        File::open(&partial)?.sync_all()?;
        // Fails where the name is taken by now, be it by a link.
        fs::hard_link(&partial, to)?;
        // The copy and its name are durable when this returns.
        File::open(folder_of(to))?.sync_all()
    };
    kept().map_err(StoreError::Copy)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A folder that nobody else can enter, for a copy that is not whole yet: nobody can put a file or a link in its place, and
/// what a full disk leaves is never taken for a copy. It is gone in the end.
struct Workshop(PathBuf);

impl Workshop {
    fn beside(to: &Path) -> io::Result<Self> {
        let folder = folder_of(to).join(format!(".hookline-backup-{}", Uuid::now_v7().simple()));
        DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
