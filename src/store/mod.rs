//! The only place that knows sea-orm: the tables, the journal that writes them, and what reads them.

mod backup;
mod constants;
mod database;
mod entities;
mod error;
mod examination;
mod lease;
#[path = "../../migrations/mod.rs"]
mod migrations;
mod numbers;
mod read;
mod rotation;
mod rows;
mod seal;
mod together;
mod upgrade;
mod upkeep;
mod write;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend};
use uuid::Uuid;

pub use self::{
    backup::backup,
    database::Location,
    error::StoreError,
    examination::Examination,
    lease::Lease,
    read::{
        AccountView, AuditCursor, AuditFilter, AuditView, ChangeCursor, Changed, DueAccount, ExecutionView,
        FirstAnswer, Page, Read, Totals, UsageCounts,
    },
    rotation::{Rotated, RotationCursor},
    seal::Sealer,
    upgrade::Permission,
    write::{Before, Journal, Receipt},
};
use self::{constants::EventHash, together::Together, upkeep::Upkeep};
use crate::{
    clock,
    domain::{
        account::{change::Change, due},
        id::{AccountUid, ExecutionUid},
        timestamp::Timestamp,
    },
    telemetry::Metrics,
};

/// The handle of the store.
#[derive(Clone)]
pub struct Store {
    reader: DatabaseConnection,
    people: DatabaseConnection,
    together: Together,
    journal: Journal,
    sealer: Arc<Sealer>,
    hash: EventHash,
    upkeep: Option<Arc<Upkeep>>,
    lease: Lease,
    last_wall_time: Option<Timestamp>,
    /// The latest time that the clock has shown, or was told before.
    latest_time: Arc<AtomicI64>,
}

impl Store {
    /// Opens the database, brings its schema up to date and starts the journal. `large` says that a history may be carried
    /// over whose size must be asked for.
    pub async fn open(
        location: &Location,
        lease: Lease,
        sealer: Sealer,
        large: bool,
        metrics: &Metrics,
    ) -> Result<Self, StoreError> {
        let connections = database::open(location).await?;
        let first = &connections.first;
        upgrade::migrate(first, location, Permission { exclusive: true, large }).await?;
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
        constants::check_dictionaries(first).await?;
        let hash = constants::event_hash(first).await?;
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
        // Numbers of executions only grow, also over a start with a clock that was set back.
        let latest = last_wall_time.unwrap_or_default();
        clock::uuids_after(ExecutionUid::at(latest).leading_number().cast_unsigned());
        first.close_by_ref().await?;
        let upkeep = match location {
            Location::Sqlite(path) => Some(Arc::new(Upkeep::start(path.clone()))),
            Location::Postgres(_) => None,
        };
        let sealer = Arc::new(sealer);
        let journal = Journal::start(connections.writers, Arc::clone(&sealer), hash, metrics);
        Ok(Self {
            together: Together::start(&connections.engine),
            reader: connections.engine,
            people: connections.people,
            journal,
            sealer,
            hash,
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

    /// Brings the schema up to date and nothing else, as far as it may; answers the steps that are left. Where a step needs the
    /// database for itself, the caller has its lease.
    pub async fn migrate(location: &Location, permission: Permission) -> Result<Vec<String>, StoreError> {
        let connections = database::open(location).await?;
        let left = upgrade::migrate(&connections.first, location, permission).await;
        connections.close().await?;
        left
    }

    /// Whether steps are to be made that need the database for themselves.
    pub async fn needs_lease(location: &Location) -> Result<bool, StoreError> {
        let connections = database::open(location).await?;
        let steps = upgrade::Steps::of(&connections.first).await;
        connections.close().await?;
        steps.map(|steps| steps.shared() < steps.pending.len())
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
