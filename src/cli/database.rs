//! What is done to a database itself: its schema, and a copy of it.

use std::path::PathBuf;

use clap::Args;

use super::CliError;
use crate::{
    config::DatabaseArgs,
    store,
    store::{Location, Store},
    telemetry::chain,
};

/// What to copy.
#[derive(Debug, Clone, Args)]
pub struct BackupArgs {
    /// Where the data is.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// The file to write. It must not exist.
    pub to: PathBuf,
}

/// Brings the schema up to date.
pub async fn migrate(args: DatabaseArgs) -> Result<(), CliError> {
    let location = Location::parse(&args.database).map_err(CliError)?;
    Store::migrate(&location).await.map_err(|error| CliError(format!("the schema: {error}")))?;
    println!("the schema is up to date");
    Ok(())
}

/// Copies a SQLite database.
pub async fn backup(args: BackupArgs) -> Result<(), CliError> {
    let location = Location::parse(&args.database.database).map_err(CliError)?;
    let Location::Sqlite(path) = &location else {
        return Err(CliError::new("this copies SQLite files; copy PostgreSQL with pg_dump"));
    };
    if !path.exists() {
        return Err(CliError(format!("there is no database at {}", path.display())));
    }
    if args.to.exists() {
        return Err(CliError(format!("{} exists: name a new file", args.to.display())));
    }
    let failed = |error| CliError(format!("the copy: {}", chain(&error)));
    store::backup(&location, &args.to).await.map_err(failed)?;
    println!("{} is a copy; keep the sealing key with it", args.to.display());
    Ok(())
}
