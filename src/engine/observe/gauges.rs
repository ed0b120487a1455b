//! What is read of the engine when somebody looks at its metrics: what waits, what is overdue, which endpoints are left
//! alone, and what the process holds.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use crate::{
    domain::{
        account::{Account, due},
        id::{AccountId, WebhookUid},
        timestamp::Timestamp,
        webhook::health::Breaker,
    },
    store::Totals,
};

/// The due time of an account in which nothing waits.
const NEVER: i64 = i64::MAX;

/// How one account does. It outlives the account's actor for as long as there is something to tell.
#[derive(Debug)]
pub struct Vitals {
    /// When the execution was due, in microseconds, that has waited for a slot for the longest time.
    oldest_due: AtomicI64,
    /// Endpoints that are left alone, or let back in slowly.
    breakers: AtomicU64,
}

impl Default for Vitals {
    fn default() -> Self {
        Self { oldest_due: AtomicI64::new(NEVER), breakers: AtomicU64::new(0) }
    }
}

impl Vitals {
    /// Takes note of how an account does.
    pub fn note(&self, account: Option<&Account>) {
        let living = account.filter(|account| !account.facts.deleted);
        let (mut oldest, mut breakers) = (NEVER, 0);
        if let Some(account) = living {
            let is_open = |breaker: Breaker| !matches!(breaker, Breaker::Closed { .. });
            // What waits for an endpoint that is left alone, or let back in slowly, is not due.
            let is_alone = |webhook: &WebhookUid| account.health.get(webhook).is_some_and(|one| is_open(one.breaker));
            // What waits for a webhook to which nothing is sent any more is ended, and waits for no slot.
            let is_sent = |webhook: &WebhookUid| account.webhooks.get(webhook).is_some_and(|one| one.is_enabled());
            let waiting = account.waiting_for_webhooks().filter(|(webhook, _)| is_sent(webhook) && !is_alone(webhook));
            let due = waiting.map(|(webhook, earliest)| due::of_webhook(account, webhook, earliest).0);
            oldest = due.min().unwrap_or(NEVER);
            let open = account.health.iter().filter(|(webhook, health)| {
                is_open(health.breaker) && account.webhooks.get(webhook).is_some_and(|found| found.is_enabled())
            });
            breakers = open.count() as u64;
        }
        self.oldest_due.store(oldest, Ordering::Relaxed);
        self.breakers.store(breakers, Ordering::Relaxed);
    }
}

/// What is known of all accounts.
#[derive(Default)]
pub struct Gauges {
    vitals: Mutex<HashMap<AccountId, Arc<Vitals>>>,
    totals: Mutex<Totals>,
}

impl Gauges {
    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, Arc<Vitals>>> {
        self.vitals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where an account tells how it does.
    pub fn vitals(&self, account: &AccountId) -> Arc<Vitals> {
        Arc::clone(self.lock().entry(account.clone()).or_default())
    }

    /// An account is no longer in memory.
    pub fn rest(&self, account: &AccountId) {
        let mut vitals = self.lock();
        if vitals.get(account).is_some_and(|found| found.breakers.load(Ordering::Relaxed) == 0) {
            vitals.remove(account);
        }
    }

    /// What waits in all, as the database has it.
    pub fn count(&self, totals: Totals) {
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner) = totals;
    }

    pub fn totals(&self) -> Totals {
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For how many seconds the execution has been due that has waited for a slot for the longest time.
    pub fn due_age(&self, now: Timestamp) -> f64 {
        let oldest = self.lock().values().map(|one| one.oldest_due.load(Ordering::Relaxed)).min().unwrap_or(NEVER);
        let micros = now.0.saturating_sub(oldest).max(0);
        std::time::Duration::from_micros(u64::try_from(micros).unwrap_or_default()).as_secs_f64()
    }

    pub fn breakers(&self) -> u64 {
        self.lock().values().map(|one| one.breakers.load(Ordering::Relaxed)).sum()
    }
}
