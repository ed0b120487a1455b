//! Who follows the changes of an account: they are told that there is something new, and read it from the database.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::domain::{id::AccountId, refusal::Refusal};

/// How many follow one account at once.
const WATCHERS_OF_ACCOUNT_MAX: usize = 64;
/// How many follow all accounts at once.
const WATCHERS_MAX: usize = 4_096;

/// The registry of those who follow.
#[derive(Default)]
pub struct Watchers(Mutex<HashMap<AccountId, watch::Sender<i64>>>);

/// Someone who follows an account; no longer once it is dropped.
pub struct Watcher {
    account: AccountId,
    revision: watch::Receiver<i64>,
    registry: Arc<Watchers>,
}

impl Watchers {
    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, watch::Sender<i64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows an account from now on.
    pub fn follow(self: &Arc<Self>, account: &AccountId) -> Result<Watcher, Refusal> {
        let mut followed = self.lock();
        let of_all: usize = followed.values().map(watch::Sender::receiver_count).sum();
        let of_account = followed.get(account).map_or(0, watch::Sender::receiver_count);
        for (found, most, whose) in
            [(of_account, WATCHERS_OF_ACCOUNT_MAX, "of the account"), (of_all, WATCHERS_MAX, "of the server")]
        {
            if found >= most {
                let message = format!("{most} watches {whose} are open: close one first");
                return Err(Refusal::Exhausted { subject: "watches".to_owned(), message });
            }
        }
        let sender = followed.entry(account.clone()).or_insert_with(|| watch::channel(0).0);
        Ok(Watcher { account: account.clone(), revision: sender.subscribe(), registry: Arc::clone(self) })
    }

    /// Tells those who follow an account that it has a new revision.
    pub fn tell(&self, account: &AccountId, revision: i64) {
        if let Some(sender) = self.lock().get(account) {
            sender.send_replace(revision);
        }
    }
}

impl Watcher {
    /// Waits until there is something new.
    pub async fn changed(&mut self) {
        if self.revision.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut followed = self.registry.lock();
        if followed.get(&self.account).is_some_and(|sender| sender.receiver_count() <= 1) {
            followed.remove(&self.account);
        }
    }
}
