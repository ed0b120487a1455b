//! What is read of the engine when somebody looks at its metrics: what waits, what is overdue, which endpoints are left
//! alone, and what the process holds.

use std::{
    collections::HashMap,
    fs,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use opentelemetry::KeyValue;

use crate::{
    clock,
    domain::{
        account::{Account, due},
        attempt::Reason,
        execution::State,
        id::{AccountId, WebhookUid},
        timestamp::Timestamp,
        webhook::health::Breaker,
    },
    engine::Shared,
    store::Totals,
    telemetry::Metrics,
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

    fn totals(&self) -> Totals {
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For how many seconds the execution has been due that has waited for a slot for the longest time.
    fn due_age(&self, now: Timestamp) -> f64 {
        let oldest = self.lock().values().map(|one| one.oldest_due.load(Ordering::Relaxed)).min().unwrap_or(NEVER);
        let micros = now.0.saturating_sub(oldest).max(0);
        std::time::Duration::from_micros(u64::try_from(micros).unwrap_or_default()).as_secs_f64()
    }

    fn breakers(&self) -> u64 {
        self.lock().values().map(|one| one.breakers.load(Ordering::Relaxed)).sum()
    }
}

/// Lets the metrics read the engine, for as long as there is one.
pub fn watch(metrics: &Metrics, shared: &Arc<Shared>) {
    let gauge = |name: &'static str, unit: &'static str, description: &'static str, read: fn(&Shared) -> u64| {
        let shared = Arc::downgrade(shared);
        let builder = metrics.meter().u64_observable_gauge(name).with_unit(unit).with_description(description);
        builder
            .with_callback(move |seen| seen.observe(shared.upgrade().map_or(0, |shared| read(&shared)), &[]))
            .build();
    };
    gauge("hookline.accounts", "{account}", "Accounts that exist", |shared| shared.gauges.totals().accounts);
    gauge("hookline.accounts.active", "{account}", "Accounts in memory", |shared| shared.lock().len() as u64);
    gauge(
        "hookline.requests.in_flight",
        "{request}",
        "Executions with a request under way, or an outcome that is not recorded yet",
        |shared| shared.flights.count() as u64,
    );
    gauge("hookline.breakers.open", "{webhook}", "Endpoints that are left alone, or let back in slowly", |shared| {
        shared.gauges.breakers()
    });
    gauge(
        "hookline.clock.distrusted",
        "{clock}",
        "1 while the clock is not trusted, and nothing is deleted, disabled or ended by age",
        |shared| u64::from(!shared.wall_clock.is_trusted()),
    );
    gauge("process.memory.usage", "By", "Physical memory of the process", |_| memory_bytes());
    gauge("process.open_file_descriptor.count", "{file_descriptor}", "Open files and sockets", |_| open_files());
    watch_waiting(metrics, Arc::downgrade(shared));
    let commits = Arc::downgrade(shared);
    metrics
        .meter()
        .f64_observable_gauge("hookline.commit.age")
        .with_unit("s")
        .with_description("For how long the oldest change has waited that is not written yet")
        .with_callback(move |seen| {
            let waited = commits.upgrade().map(|shared| shared.store.oldest_wait()).unwrap_or_default();
            seen.observe(waited.as_secs_f64(), &[]);
        })
        .build();
    let age = Arc::downgrade(shared);
    metrics
        .meter()
        .f64_observable_gauge("hookline.due.age")
        .with_unit("s")
        .with_description("For how long the execution has been due that has waited for a slot for the longest time")
        .with_callback(move |seen| {
            seen.observe(age.upgrade().map_or(0.0, |shared| shared.gauges.due_age(clock::now())), &[]);
        })
        .build();
}

/// Executions that have not ended, by state and reason.
fn watch_waiting(metrics: &Metrics, shared: Weak<Shared>) {
    metrics
        .meter()
        .u64_observable_gauge("hookline.executions.waiting")
        .with_unit("{execution}")
        .with_description(
            "Executions that have not ended: due (PENDING), under way, retrying, held back by their limit, or parked \
             because their endpoint is left alone; counted every 15 seconds",
        )
        .with_callback(move |seen| {
            let totals = shared.upgrade().map(|shared| shared.gauges.totals()).unwrap_or_default();
            let parked = totals.paused.saturating_sub(totals.held_back);
            let rows = [
                (State::Pending, "", totals.pending),
                (State::Running, "", totals.running),
                (State::Retrying, "", totals.retrying),
                (State::Paused, Reason::ExecutionLimit.as_str(), totals.held_back),
                (State::Paused, Reason::EndpointUnavailable.as_str(), parked),
            ];
            for (state, reason, count) in rows {
                seen.observe(count, &[KeyValue::new("state", state.as_str()), KeyValue::new("reason", reason)]);
            }
        })
        .build();
}

/// Physical memory, as Linux says it; 0 elsewhere.
fn memory_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1_024
}

fn open_files() -> u64 {
    fs::read_dir("/proc/self/fd").map_or(0, |found| found.count() as u64)
}
