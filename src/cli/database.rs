//! What is done to a database itself: its schema, and a copy of it.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::CliError;
use crate::{
    config::DatabaseArgs,
    store,
    store::{Lease, Location, Permission, Store, StoreError},
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

/// How to bring the schema up to date.
#[derive(Debug, Clone, Args)]
pub struct MigrateArgs {
    /// Where the data is.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Carry the history over even where PostgreSQL needs more than 1 GiB for it.
    #[arg(long)]
    pub yes: bool,
    /// Make only the steps that a service of an older version may see, and leave the others to the start of the new one.
    #[arg(long)]
    pub while_serving: bool,
}

/// For how long the lease is taken to migrate; it is renewed meanwhile.
const LEASE_LENGTH: Duration = Duration::from_secs(10);

/// Brings the schema up to date. Where a step needs the database for itself, it waits for the end of whoever has it.
pub async fn migrate(args: MigrateArgs) -> Result<(), CliError> {
    let location = Location::parse(&args.database.database).map_err(CliError)?;
    let failed = |error| CliError(format!("the schema: {}", chain(&error)));
    let needs_lease = !args.while_serving && Store::needs_lease(&location).await.map_err(failed)?;
    let lease = match needs_lease {
        true => Some(Lease::acquire(&location, LEASE_LENGTH).await.map_err(failed)?),
        false => None,
    };
    let permission = Permission { exclusive: needs_lease, large: args.yes };
    let migrated = match &lease {
        Some(lease) => tokio::select! {
            migrated = Store::migrate(&location, permission) => migrated,
            () = lease.keep() => Err(StoreError::Lapsed),
        },
        None => Store::migrate(&location, permission).await,
    };
    if let Some(lease) = &lease {
        lease.release().await;
    }
    match migrated.map_err(failed)?.as_slice() {
        [] => println!("the schema is up to date"),
        left => println!("{} needs the database for itself: the new version makes it when it starts", left.join(", ")),
    }
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
