//! Wakes accounts whose time has come, and keeps small things clean.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use super::Engine;
use crate::{
    clock,
    domain::timestamp::Timestamp,
    store::{Before, DueAccount, Store, StoreError},
    telemetry::chain,
};

/// How often the database is asked which accounts are due.
const PERIOD: Duration = Duration::from_secs(1);
/// How many accounts one question asks for.
const PAGE: u64 = 1_000;
/// Every how many periods what waits is counted, for the metrics.
const COUNTING_PERIODS: u64 = 15;
/// Every how many periods the time is told to whoever opens the database next.
const TELLING_PERIODS: u64 = 30;
/// How long the answers to repeatable calls are kept.
const ANSWERS_KEPT_MS: u64 = 24 * 3_600 * 1_000;
/// Every how many periods old answers and entries of audit trails are removed.
const CLEANING_PERIODS: u64 = 60;

/// How long commits have the file for themselves before more room is given back.
const GIVING_BACK_PAUSE: Duration = Duration::from_millis(100);

/// Runs for as long as the process.
pub async fn run(engine: Engine) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_trusted = true;
    let mut telling: Option<JoinHandle<()>> = None;
    let mut counting: Option<JoinHandle<()>> = None;
    let mut cleaning: Option<JoinHandle<()>> = None;
    for period in 0_u64.. {
        ticks.tick().await;
        engine.shared.store.note_time(clock::now());
        let trusted = engine.shared.wall_clock.look();
        if trusted.is_some() && !was_trusted {
            // What has waited for that goes on.
            engine.shared.wake_all();
        }
        was_trusted = trusted.is_some();
        if let Some(now) = trusted
            && period % TELLING_PERIODS == 0
            && telling.as_ref().is_none_or(JoinHandle::is_finished)
        {
            telling = Some(tokio::spawn(tell(engine.shared.store.clone(), now)));
        }
        wake_due(&engine).await;
        if period % COUNTING_PERIODS == 0 {
            let shared = Arc::clone(&engine.shared);
            // Beside the waking; each is over before the next one begins, or the next one is left out.
            if counting.as_ref().is_none_or(JoinHandle::is_finished) {
                counting = Some(tokio::spawn(async move {
                    match shared.store.totals().await {
                        Ok(totals) => shared.gauges.count(totals),
                        Err(error) => tracing::warn!(error = %error, "could not count what waits; trying again"),
                    }
                }));
            }
        }
        if let Some(now) = trusted
            && period % CLEANING_PERIODS == 0
        {
            let audit = now.minus_ms(engine.shared.config.audit_kept_ms);
            let before = Before { answers: now.minus_ms(ANSWERS_KEPT_MS), audit };
            // Beside the waking, however much there is.
            if cleaning.as_ref().is_none_or(JoinHandle::is_finished) {
                cleaning = Some(tokio::spawn(clean(engine.shared.store.clone(), before)));
            }
        }
    }
}

async fn tell(store: Store, now: Timestamp) {
    if let Err(error) = store.tell_wall_time(now).await {
        tracing::warn!(error = %chain(&error), "could not write down the time; trying again");
    }
}

/// Removes what was kept for long enough, and gives the room back.
async fn clean(store: Store, before: Before) {
    let cleaned = async {
        while store.expire_some(before).await? {}
        while store.give_back_some().await? {
            tokio::time::sleep(GIVING_BACK_PAUSE).await;
        }
        Ok::<_, StoreError>(())
    };
    if let Err(error) = cleaned.await {
        tracing::warn!(error = %chain(&error), "could not remove what is old; trying again");
    }
}

async fn wake_due(engine: &Engine) {
    let now = clock::now();
    let mut after: Option<DueAccount> = None;
    loop {
        let due = match engine.shared.store.due_accounts(now, after.as_ref(), PAGE).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(error = %error, "could not ask which accounts are due; trying again");
                return;
            }
        };
        for account in &due {
            if !engine.is_awake(&account.id) {
                // Whoever calls loads at once; what is due takes its turn.
                let Ok(place) = Arc::clone(&engine.shared.loads).acquire_owned().await else { return };
                engine.wake(&account.id, place).await;
            }
        }
        match due.last() {
            Some(last) if due.len() as u64 == PAGE => after = Some(last.clone()),
            _ => return,
        }
    }
}
