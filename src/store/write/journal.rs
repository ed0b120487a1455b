//! The journal: gathers changes from all accounts into group commits of wide statements.
//!
//! On SQLite it is the one connection that writes; on PostgreSQL it has several lanes, accounts hashed to them.
//! Whatever ends a change is one of five receipts; only `Unknown` leaves a doubt.

use std::{sync::Arc, time::Duration};

use sea_orm::Statement;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{
    lane::Lane,
    prepared::Prepared,
    receipt::Receipt,
    removal::Before,
    work::{LaneTask, Waiting, Work},
    writer::{WriterOptions, Writing},
};
use crate::{
    domain::{account::change::Change, id::AccountUid, timestamp::Timestamp},
    store::{StoreError, rows::keys::EventHash, seal::Sealer},
    telemetry::Metrics,
};

/// How many changes wait for a lane.
const QUEUE_CHANGES_MAX: usize = 1_024;

/// The handle of the journal.
#[derive(Clone)]
pub struct Journal {
    lanes: Arc<[(mpsc::Sender<Work>, Arc<Waiting>)]>,
    sealer: Arc<Sealer>,
    hash: EventHash,
    started: Instant,
}

impl Journal {
    /// A journal with so many lanes, each with a connection of its own.
    pub fn start(writers: Vec<WriterOptions>, sealer: Arc<Sealer>, hash: EventHash, metrics: &Metrics) -> Self {
        let started = Instant::now();
        let start = |options: WriterOptions| {
            let (sender, receiver) = mpsc::channel(QUEUE_CHANGES_MAX);
            let waiting = Arc::<Waiting>::default();
            let lane = Lane::new(Writing::new(options), Arc::clone(&waiting), started, metrics.clone());
            let lane = tokio::spawn(lane.run(receiver));
            tokio::spawn(async move {
                if lane.await.is_err_and(|error| error.is_panic()) {
                    // Without it nothing can be acknowledged; a new process finds everything in the database.
                    tracing::error!("the journal broke down; ending the process so that a new one takes over");
                    std::process::abort();
                }
            });
            (sender, waiting)
        };
        Self { lanes: writers.into_iter().map(start).collect(), sealer, hash, started }
    }

    fn lane(&self, account: AccountUid) -> &mpsc::Sender<Work> {
        let hash = account.0.as_u128() % (self.lanes.len() as u128);
        &self.lanes[usize::try_from(hash).unwrap_or_default()].0
    }

    /// For how long the oldest change has waited that is not written yet.
    pub fn oldest_wait(&self) -> Duration {
        let oldest = self.lanes.iter().filter_map(|(_, waiting)| waiting.since_ms()).min();
        let since = oldest.map(|ms| self.started + Duration::from_millis(ms));
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Gives a lane something to write, and waits for what becomes of it; none where the lane has ended.
    async fn ask<T>(lane: &mpsc::Sender<Work>, task: impl FnOnce(oneshot::Sender<T>) -> LaneTask) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        lane.send(Work { task: task(reply), since: Instant::now() }).await.ok()?;
        answer.await.ok()
    }

    /// Writes a change, together with those of other accounts.
    pub async fn commit(&self, change: &Change, now: Timestamp) -> Receipt {
        let prepared = match Prepared::new(change, &self.sealer, self.hash, now) {
            Ok(prepared) => Box::new(prepared),
            Err(error) => return Receipt::Failed(error),
        };
        let (reply, receipt) = oneshot::channel();
        let work = Work { task: LaneTask::Commit(prepared, reply), since: Instant::now() };
        if self.lane(change.account).send(work).await.is_err() {
            return Receipt::Failed(StoreError::Closed);
        }
        receipt.await.unwrap_or(Receipt::Unknown(StoreError::Closed))
    }

    /// Advances an account's revision, so that nothing decided before can land any more.
    pub async fn fence(&self, account: AccountUid) -> Result<(), StoreError> {
        Self::ask(self.lane(account), |reply| LaneTask::Fence(account, reply)).await.ok_or(StoreError::Closed)?
    }

    /// Removes a bounded part of a deleted account. Answers whether all of it is gone.
    pub async fn erase_some(&self, account: AccountUid) -> Result<bool, StoreError> {
        Self::ask(self.lane(account), |reply| LaneTask::Erase(account, reply)).await.ok_or(StoreError::Closed)?
    }

    /// Runs statements of an account that are no change of it, in one transaction. Answers how many rows they changed.
    pub async fn run(&self, account: AccountUid, statements: Vec<Statement>) -> Result<u64, StoreError> {
        if statements.is_empty() {
            return Ok(0);
        }
        Self::ask(self.lane(account), |reply| LaneTask::Run(statements, reply)).await.ok_or(StoreError::Closed)?
    }

    /// Removes a bounded part of what was made before a time. Answers whether there may be more.
    pub async fn expire_some(&self, before: Before) -> Result<bool, StoreError> {
        Self::ask(&self.lanes[0].0, |reply| LaneTask::Expire(before, reply)).await.ok_or(StoreError::Closed)?
    }

    /// Gives a bounded part of what is free in the file back. Answers whether there may be more.
    pub async fn give_back_some(&self) -> Result<bool, StoreError> {
        Self::ask(&self.lanes[0].0, LaneTask::GiveBack).await.ok_or(StoreError::Closed)?
    }

    /// Writes what waits, and closes the connections.
    pub async fn close(&self) {
        for (lane, _) in self.lanes.iter() {
            Self::ask(lane, LaneTask::Close).await;
        }
    }
}

#[cfg(test)]
#[path = "tests/journal.rs"]
mod tests;
