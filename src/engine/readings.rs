//! What is read of the engine when somebody looks at its metrics.

use std::{
    fs,
    sync::{Arc, Weak},
};

use opentelemetry::KeyValue;

use super::Shared;
use crate::{
    clock,
    domain::{attempt::Reason, execution::State},
    telemetry::Metrics,
};

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
