//! What a lane of the journal writes, who waits for it, and what becomes of it.

use std::sync::atomic::{AtomicU64, Ordering};

use sea_orm::Statement;
use tokio::{sync::oneshot, time::Instant};

use super::{prepared::Prepared, receipt::Receipt, removal::Before};
use crate::{domain::id::AccountUid, store::StoreError};

/// Something for a lane to write.
pub struct Work {
    /// What is to be written.
    pub task: LaneTask,
    /// Since when it waits.
    pub since: Instant,
}

/// What a lane writes, and who waits for it.
pub enum LaneTask {
    Commit(Box<Prepared>, oneshot::Sender<Receipt>),
    Fence(AccountUid, oneshot::Sender<Result<(), StoreError>>),
    Erase(AccountUid, oneshot::Sender<Result<bool, StoreError>>),
    Expire(Before, oneshot::Sender<Result<bool, StoreError>>),
    GiveBack(oneshot::Sender<Result<bool, StoreError>>),
    Run(Vec<Statement>, oneshot::Sender<Result<u64, StoreError>>),
    Close(oneshot::Sender<()>),
}

/// Since when what a lane writes now has waited, in milliseconds after the journal's start and one more; 0 while it
/// writes nothing.
#[derive(Default)]
pub struct Waiting(AtomicU64);

impl Waiting {
    /// The lane writes what has waited since a time.
    pub fn begin(&self, since: Instant, started: Instant) {
        let ms = u64::try_from(since.saturating_duration_since(started).as_millis()).unwrap_or(u64::MAX);
        self.0.store(ms.saturating_add(1), Ordering::Relaxed);
    }

    /// The lane has written it.
    pub fn end(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Since when; none while it writes nothing.
    pub fn since_ms(&self) -> Option<u64> {
        self.0.load(Ordering::Relaxed).checked_sub(1)
    }
}
