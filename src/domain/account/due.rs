//! Which of the executions that wait in the database an account takes next, and when it must look again.

use std::sync::Arc;

use super::{
    account::Account,
    history::{History, ended_before, expired_rows_max},
    job::{JOB_ROWS_MAX, Job, retry_room},
    rules::Rules,
};
use crate::domain::{
    execution::{THE_LIMIT, Unfinished, Unreadable},
    id::{ExecutionUid, WebhookUid},
    source::SourceKind,
    timestamp::Timestamp,
};

/// How many executions that the limit held back are taken at once.
const ADMITTED_ROWS_MAX: usize = 500;
/// How many executions of a deleted or disabled webhook are taken at once, to end them.
const ENDED_ROWS_MAX: usize = 500;

/// Executions to take: those that wait for a webhook, or for the limit, and are due by a time, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// What they wait for.
    pub webhook: WebhookUid,
    /// By when they are due.
    pub by: Timestamp,
    /// Up to which place those are due that wait for no time.
    pub newest_place: Timestamp,
    /// How many at most.
    pub rows_max: usize,
}

/// How long the history is left alone while the clock is not trusted.
const DISTRUST_REST_US: i64 = 4 * 3_600_000_000;

impl Wanted {
    /// Whatever their time.
    fn any(webhook: WebhookUid, rows_max: usize) -> Self {
        Self { webhook, by: Timestamp(i64::MAX), newest_place: Timestamp::default(), rows_max }
    }

    /// Whether an execution is due.
    pub fn takes(&self, due_at: Timestamp, is_timed: bool) -> bool {
        due_at <= self.by || !is_timed && due_at <= self.newest_place
    }
}

/// As many executions as have a slot, webhook by webhook, so that one dead webhook's many hide nobody. `slots_of_all` says
/// how many of those that all accounts share there are for a webhook.
pub fn wanted(
    account: &Account,
    now: Timestamp,
    rules: &Rules,
    slots_of_all: &mut dyn FnMut(WebhookUid, usize) -> usize,
) -> Vec<Wanted> {
    let limits = rules.limits(&account.facts);
    let mut flight = account.flight;
    let is_due = |(webhook, earliest): &(&WebhookUid, &Timestamp)| **webhook != THE_LIMIT && **earliest <= now;
    let mut due: Vec<_> = account.waiting.iter().filter(is_due).collect();
    due.sort_by_key(|(_, earliest)| **earliest);
    let mut wanted: Vec<_> = of_backlog(account, now, rules).into_iter().collect();
    for (uid, _) in due {
        let Some(webhook) = account.webhooks.get(uid).filter(|webhook| webhook.is_enabled()) else {
            wanted.push(Wanted::any(*uid, ENDED_ROWS_MAX));
            continue;
        };
        let under_way = account.webhook_flight.get(uid).copied().unwrap_or_default();
        let kind = webhook.source_kind();
        let rows_max = account.allowance(*uid, &limits, now).saturating_sub(under_way).min(flight.free(kind, &limits));
        let rows_max = rows_max.min(account.tokens(webhook, now));
        let rows_max = if rows_max == 0 { 0 } else { slots_of_all(*uid, rows_max).min(rows_max) };
        if rows_max > 0 {
            (0..rows_max).for_each(|_| flight.add(kind));
            wanted.push(Wanted { webhook: *uid, by: now, newest_place: account.newest_place, rows_max });
        }
    }
    wanted
}

/// As many of those that the limit holds back as the window has room for, or those that have waited for too long.
fn of_backlog(account: &Account, now: Timestamp, rules: &Rules) -> Option<Wanted> {
    let oldest = *account.waiting.get(&THE_LIMIT)?;
    let window = account.window.at(now, rules.window_length_ms);
    let room = window.room(account.execution_limit(&rules.limits(&account.facts)));
    if room > 0 {
        let rows_max = usize::try_from(room).unwrap_or(ADMITTED_ROWS_MAX).min(ADMITTED_ROWS_MAX);
        return Some(Wanted::any(THE_LIMIT, rows_max));
    }
    let by = now.minus_ms(rules.paused_age_max_ms);
    (rules.is_clock_trusted && oldest <= by).then_some(Wanted { by, ..Wanted::any(THE_LIMIT, ADMITTED_ROWS_MAX) })
}

/// Executions to look for that have been kept for long enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiring {
    /// They ended before this time.
    pub ended_before: Timestamp,
    /// They were made after this one.
    pub after: Option<ExecutionUid>,
    /// How many at most.
    pub rows_max: usize,
}

/// Which executions have been kept for long enough, when it is time to look.
pub fn expiring(account: &Account, now: Timestamp, rules: &Rules) -> Option<Expiring> {
    let is_due = expires_at(&account.history, now, rules).is_some_and(|expires_at| expires_at <= now);
    let ended_before = ended_before(now, rules.limits(&account.facts).retention_days);
    let rows_max = expired_rows_max(account.new_executions);
    is_due.then_some(Expiring { ended_before, after: account.expiring, rows_max })
}

/// When executions may have been kept for long enough. A clock that is not trusted is asked again, at the next of times that
/// lie apart, so that this is the same for a while.
pub fn expires_at(history: &History, now: Timestamp, rules: &Rules) -> Option<Timestamp> {
    let asked_again_at = Timestamp((now.0.div_euclid(DISTRUST_REST_US) + 1) * DISTRUST_REST_US);
    let expires_at = history.expires_at?;
    Some(if rules.is_clock_trusted { expires_at } else { expires_at.max(asked_again_at) })
}

/// Executions that a job looks at next.
#[derive(Debug, Clone)]
pub struct JobWanted {
    /// The job.
    pub job: Arc<Job>,
    /// How many at most.
    pub rows_max: usize,
}

/// The oldest job that may go on.
pub fn job(account: &Account, now: Timestamp, rules: &Rules) -> Option<JobWanted> {
    let window = account.window.at(now, rules.window_length_ms);
    let limit = account.execution_limit(&rules.limits(&account.facts));
    let is_full = account.history.counts.waiting() >= rules.waiting_max;
    let room = if is_full { 0 } else { retry_room(window, limit, account.backlog.count) };
    let job = account.jobs.values().find(|job| job.may_go_on(room))?;
    Some(JobWanted { job: Arc::clone(job), rows_max: JOB_ROWS_MAX })
}

/// When the next job may go on.
pub fn jobs_due_at(account: &Account, now: Timestamp, rules: &Rules) -> Option<Timestamp> {
    let end = || account.window.at(now, rules.window_length_ms).end(rules.window_length_ms);
    let has_jobs = !account.jobs.is_empty();
    has_jobs.then(|| if job(account, now, rules).is_some() { now } else { end() })
}

/// When the next execution is due that a slot is free for. One that is due and has none of all accounts' slots is woken by it.
pub fn next_due(
    account: &Account,
    now: Timestamp,
    rules: &Rules,
    has_slot_of_all: &dyn Fn(WebhookUid) -> bool,
) -> Option<Timestamp> {
    let limits = rules.limits(&account.facts);
    let kind_of = |uid: &WebhookUid| account.webhooks.get(uid).map_or(SourceKind::Automation, |one| one.source_kind());
    let has_slot = |uid: &WebhookUid| account.flight.free(kind_of(uid), &limits) > 0;
    let of_webhook = |uid: &WebhookUid| account.webhook_flight.get(uid).copied().unwrap_or_default();
    let is_free = |uid: &WebhookUid| {
        let opens_at = account.due_at(*uid, now);
        *uid != THE_LIMIT && has_slot(uid) && of_webhook(uid) < account.allowance(*uid, &limits, opens_at)
    };
    let free = account.waiting.iter().filter(|(uid, _)| is_free(uid));
    let waiting = free.map(|(uid, earliest)| (*uid, account.due_at(*uid, *earliest)));
    let waiting = waiting.filter(|(uid, due)| *due > now || has_slot_of_all(*uid)).map(|(_, due)| due);
    let backlog = (account.backlog.count > 0).then(|| account.backlog_due_at(now, rules));
    waiting.chain(backlog).chain(expires_at(&account.history, now, rules)).chain(jobs_due_at(account, now, rules)).min()
}

/// Executions that wait for a webhook and are due, oldest first.
#[derive(Debug, Clone)]
pub struct DueRows {
    /// The webhook.
    pub webhook: WebhookUid,
    /// The executions.
    pub rows: Vec<Unfinished>,
    /// Those among them whose rows cannot be read.
    pub unreadable: Vec<Unreadable>,
    /// When the next one that was not taken is due.
    pub next: Option<Timestamp>,
}

impl DueRows {
    /// Each execution alone.
    pub fn split(self) -> impl Iterator<Item = Self> {
        let Self { webhook, rows, unreadable, next } = self;
        let one = move |row: Option<Unfinished>, unreadable: Option<Unreadable>| {
            let (rows, unreadable) = (row.into_iter().collect(), unreadable.into_iter().collect());
            Self { webhook, rows, unreadable, next }
        };
        let readable: Vec<_> = rows.into_iter().map(|row| one(Some(row), None)).collect();
        readable.into_iter().chain(unreadable.into_iter().map(move |row| one(None, Some(row))))
    }
}
