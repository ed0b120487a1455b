//! The only place that knows sea-orm: the tables, the journal that writes them, and what reads them.

mod audit;
mod backup;
mod changes;
mod database;
mod entities;
mod examination;
mod executions;
mod history;
mod jobs;
mod journal;
mod lane;
mod lease;
mod load;
#[path = "../../migrations/mod.rs"]
mod migrations;
mod prepared;
mod receipt;
mod removal;
mod rotation;
mod rows;
mod seal;
mod statements;
mod together;
mod totals;
mod upkeep;
mod weights;
mod work;
mod writer;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr};
use uuid::Uuid;

pub use self::{
    audit::{AuditCursor, AuditFilter, AuditView},
    backup::backup,
    changes::{ChangeCursor, Changed},
    database::Location,
    examination::Examination,
    executions::ExecutionView,
    history::{AccountView, Page, UsageCounts},
    journal::Journal,
    lease::Lease,
    load::{DueAccount, FirstAnswer, Read},
    receipt::Receipt,
    removal::Before,
    rotation::{Rotated, RotationCursor},
    seal::Sealer,
    totals::Totals,
};
use self::{together::Together, upkeep::Upkeep};
use crate::{
    clock,
    domain::{
        account::{change::Change, due},
        id::AccountUid,
        timestamp::Timestamp,
    },
    telemetry::Metrics,
};

/// What can go wrong with the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It could not be opened.
    #[error("the database could not be opened")]
    Open(#[source] sea_orm::sqlx::Error),
    /// PostgreSQL could not be reached.
    #[error("PostgreSQL at {0} could not be reached")]
    Unreachable(String, #[source] sea_orm::sqlx::Error),
    /// Its encoding cannot hold every text.
    #[error(
        "the database's encoding is {0}, which cannot hold every text: make one with \
         CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
    )]
    ServerEncoding(String),
    /// Its lock could not be taken.
    #[error("the database's lock file could not be locked")]
    Lock(#[source] std::io::Error),
    /// A SQLite file could not be made or opened.
    #[error("the database's file could not be opened for writing")]
    File(#[source] std::io::Error),
    /// A copy could not be written.
    #[error("the copy could not be written")]
    Copy(#[source] std::io::Error),
    /// A statement failed.
    #[error("the database refused a statement")]
    Statement(#[from] DbErr),
    /// A group was not written.
    #[error("the database is in trouble: {0}")]
    Unwritten(String),
    /// A commit may or may not have been written.
    #[error("the database did not say whether a commit was written: {0}")]
    Uncertain(String),
    /// Something could not be encoded or read.
    #[error("a stored value could not be written or read")]
    Encoding(#[source] serde_json::Error),
    /// A row holds what it cannot hold.
    #[error("a row is malformed: {0}")]
    Row(String),
    /// The sealing key is another than the database's.
    #[error(
        "the sealing key does not open what is stored: give the key that this database was written with \
         (--sealing-key-file, or the .sealing.key file beside it)"
    )]
    SealingKey,
    /// A secret could not be sealed or opened.
    #[error("a secret could not be sealed or opened: {0}")]
    Sealing(&'static str),
    /// The lease has ended.
    #[error(
        "the lease of the database has ended: the database was out of reach for too long, or another process has taken \
         over"
    )]
    Lapsed,
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}

/// The handle of the store.
#[derive(Clone)]
pub struct Store {
    reader: DatabaseConnection,
    people: DatabaseConnection,
    together: Together,
    journal: Journal,
    sealer: Arc<Sealer>,
    upkeep: Option<Arc<Upkeep>>,
    lease: Lease,
    last_wall_time: Option<Timestamp>,
    /// The latest time that the clock has shown, or was told before.
    latest_time: Arc<AtomicI64>,
}

impl Store {
    /// Opens the database, brings its schema up to date and starts the journal.
    pub async fn open(
        location: &Location,
        lease: Lease,
        sealer: Sealer,
        metrics: &Metrics,
    ) -> Result<Self, StoreError> {
        let connections = database::open(location).await?;
        let first = &connections.first;
        database::migrate(first, location).await?;
        match examination::try_secrets(first, &sealer).await? {
            (0, failed) if failed > 0 => return Err(StoreError::SealingKey),
            (_, failed) if failed > 0 => {
                tracing::error!(
                    webhooks = failed,
                    "stored secrets of webhooks cannot be opened; nothing is sent to them"
                );
            }
            _ => {}
        }
        rotation::key_fingerprints(first, &sealer).await?;
        let last_wall_time = match location {
            Location::Sqlite(_) => lease::told_time(first).await?,
            Location::Postgres(_) => lease.last_wall_time(),
        };
        let now = clock::now();
        let looked_at = due::at_start(now, last_wall_time);
        if looked_at.paused {
            first.execute_unprepared("UPDATE accounts SET next_due_at = 0 WHERE paused > 0").await?;
        }
        if let Some(Timestamp(time)) = looked_at.due_after {
            let sql = format!("UPDATE accounts SET next_due_at = {time} WHERE next_due_at > {time}");
            first.execute_unprepared(&sql).await?;
        }
        first.close_by_ref().await?;
        let upkeep = match location {
            Location::Sqlite(path) => Some(Arc::new(Upkeep::start(path.clone()))),
            Location::Postgres(_) => None,
        };
        let sealer = Arc::new(sealer);
        let journal = Journal::start(connections.writers, Arc::clone(&sealer), metrics);
        Ok(Self {
            together: Together::start(&connections.engine),
            reader: connections.engine,
            people: connections.people,
            journal,
            sealer,
            upkeep,
            lease,
            last_wall_time,
            latest_time: Arc::new(AtomicI64::new(last_wall_time.unwrap_or_default().0.max(now.0))),
        })
    }

    /// The store as people read from it: over connections of their own.
    #[must_use]
    pub fn for_people(&self) -> Self {
        Self { reader: self.people.clone(), ..self.clone() }
    }

    /// The right to answer and send.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// The last time that was told before this process was there, by a clock that was trusted.
    pub fn last_wall_time(&self) -> Option<Timestamp> {
        self.last_wall_time
    }

    /// Takes note of the time, so that it is known when the clock is set back.
    pub fn note_time(&self, now: Timestamp) {
        self.latest_time.fetch_max(now.0, Ordering::Relaxed);
    }

    /// Tells the time, by a clock that is trusted, to whoever opens the database next.
    pub async fn tell_wall_time(&self, now: Timestamp) -> Result<(), StoreError> {
        self.lease.tell(now);
        match self.reader.get_database_backend() {
            // Told with the next renewal.
            DbBackend::Postgres => Ok(()),
            backend => self.journal.run(AccountUid(Uuid::nil()), vec![lease::tell_sql(backend, now)]).await.map(drop),
        }
    }

    /// For how long the oldest change has waited that is not written yet.
    pub fn oldest_wait(&self) -> Duration {
        self.journal.oldest_wait()
    }

    /// Closes every connection; the last one to a SQLite file folds its log into it.
    pub async fn close(&self) {
        if let Some(upkeep) = &self.upkeep {
            upkeep.stop().await;
        }
        for connection in [&self.reader, &self.people] {
            if let Err(error) = connection.close_by_ref().await {
                tracing::warn!(error = %error, "a connection to the database did not close in order");
            }
        }
        self.journal.close().await;
    }

    /// Brings the schema up to date and nothing else.
    pub async fn migrate(location: &Location) -> Result<(), StoreError> {
        let connections = database::open(location).await?;
        database::migrate(&connections.first, location).await
    }

    /// Writes a change whole, or not at all.
    pub async fn commit(&self, change: &Change, now: Timestamp) -> Receipt {
        let receipt = self.journal.commit(change, now).await;
        if matches!(receipt, Receipt::Committed) && change.expected.is_none() {
            // Its data key is stored by now. Where it cannot be read, the installation's key seals meanwhile.
            let taken = self.ensure_data_key(change.account).await;
            let _ = taken.inspect_err(|error| tracing::warn!(error = %error, "a data key could not be read"));
        }
        receipt
    }

    /// Whether the fingerprint of a stored answer is that of what a call asks.
    pub fn is_fingerprint(&self, account: AccountUid, stored: &[u8], asked: &[u8]) -> bool {
        self.sealer.is_fingerprint(account.0, stored, asked)
    }

    /// Removes a bounded part of a deleted account. Answers whether all of it is gone.
    pub async fn erase_some(&self, account: AccountUid) -> Result<bool, StoreError> {
        self.sealer.forget_data_key(account.0);
        self.journal.erase_some(account).await
    }

    /// Removes a bounded part of what was made before a time. Answers whether there may be more.
    pub async fn expire_some(&self, before: Before) -> Result<bool, StoreError> {
        self.journal.expire_some(before).await
    }

    /// Gives a bounded part of what is free in a SQLite file back to the file system. Answers whether there may be more.
    pub async fn give_back_some(&self) -> Result<bool, StoreError> {
        self.journal.give_back_some().await
    }
}
