//! The requests that are under way, and the outcomes that are not recorded yet. They outlive an account's actor, so
//! that its next incarnation adopts them instead of sending again.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use actix::Addr;
use tokio::sync::Notify;

use super::dispatch::DispatchActor;
use crate::domain::{
    attempt::AttemptReport,
    id::{AccountId, ExecutionUid},
};

struct Flight {
    account: AccountId,
    actor: Addr<DispatchActor>,
    ended: Option<AttemptReport>,
}

/// The registry of requests under way.
#[derive(Default)]
pub struct Flights {
    flights: Mutex<HashMap<ExecutionUid, Flight>>,
    landed: Notify,
}

impl Flights {
    fn lock(&self) -> MutexGuard<'_, HashMap<ExecutionUid, Flight>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The actor that sends for an execution, if one does. What it reported before is recorded by now.
    pub fn go_on(&self, execution: ExecutionUid) -> Option<Addr<DispatchActor>> {
        self.lock().get_mut(&execution).map(|flight| {
            flight.ended = None;
            flight.actor.clone()
        })
    }

    /// An actor begins to send for an execution.
    pub fn begin(&self, execution: ExecutionUid, account: AccountId, actor: Addr<DispatchActor>) {
        self.lock().insert(execution, Flight { account, actor, ended: None });
    }

    /// An attempt ended; keep that until it is recorded.
    pub fn end(&self, ended: &AttemptReport) {
        if let Some(flight) = self.lock().get_mut(&ended.execution) {
            flight.ended = Some(ended.clone());
        }
    }

    /// The execution needs nobody any more: dropping the address stops its actor.
    pub fn forget(&self, execution: ExecutionUid) {
        let mut flights = self.lock();
        flights.remove(&execution);
        if flights.is_empty() {
            self.landed.notify_waiters();
        }
    }

    /// Waits until nothing is under way.
    pub async fn all_landed(&self) {
        loop {
            let landed = self.landed.notified();
            tokio::pin!(landed);
            // From here on a notification is not missed.
            landed.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            landed.await;
        }
    }

    /// The executions of an account that are under way.
    pub fn held(&self, account: &AccountId) -> HashSet<ExecutionUid> {
        self.lock().iter().filter(|(_, flight)| flight.account == *account).map(|(uid, _)| *uid).collect()
    }

    /// The outcomes of an account that are not recorded yet.
    pub fn unrecorded(&self, account: &AccountId) -> Vec<AttemptReport> {
        let flights = self.lock();
        let of_account = flights.values().filter(|flight| flight.account == *account);
        of_account.filter_map(|flight| flight.ended.clone()).collect()
    }

    /// How many are under way in all.
    pub fn count(&self) -> usize {
        self.lock().len()
    }
}
