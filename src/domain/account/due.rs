//! When an account must be looked at, and which of the executions that wait in the database it takes then. Nothing else
//! says when something is due.

use std::sync::Arc;

use super::{
    account::Account,
    history::{HistorySummary, ended_before, expired_rows_max},
    job::{JOB_ROWS_MAX, Job, retries_allowed},
    limits::Window,
    rules::Rules,
};
use crate::domain::{
    execution::{Progress, State, Unfinished, Unreadable, WaitsFor},
    id::{ExecutionUid, WebhookUid},
    timestamp::Timestamp,
};

/// How many executions that the limit held back are taken at once.
const ADMITTED_ROWS_MAX: usize = 500;
/// How many executions of a deleted or disabled webhook are taken at once, to end them.
const ENDED_ROWS_MAX: usize = 500;

/// Executions to take: those that wait for something and are due by a time, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsWanted {
    /// What they wait for.
    pub waits_for: WaitsFor,
    /// By when they are due.
    pub by: Timestamp,
    /// Up to which place those are due that wait for no time.
    pub newest_place: Timestamp,
    /// How many at most.
    pub rows_max: usize,
}

/// How long the history is left alone while the clock is not trusted.
const DISTRUST_REST_US: i64 = 4 * 3_600_000_000;

impl RowsWanted {
    /// Whatever their time.
    fn any(waits_for: WaitsFor, rows_max: usize) -> Self {
        Self { waits_for, by: Timestamp(i64::MAX), newest_place: Timestamp::default(), rows_max }
    }

    /// Whether an execution is due.
    pub fn takes(&self, due_at: Timestamp, is_timed: bool) -> bool {
        due_at <= self.by || !is_timed && due_at <= self.newest_place
    }
}

/// What an account is looked at for beside its webhooks: of the account as it is, or as a decision leaves it so far.
pub struct DueView<'a> {
    /// The time.
    pub now: Timestamp,
    /// What the installation has configured.
    pub rules: &'a Rules,
    /// How many executions a window admits.
    pub execution_limit: u32,
    /// The window of now.
    pub window: Window,
    /// How many executions the limit holds back.
    pub paused: u64,
    /// How much history there is.
    pub history: &'a HistorySummary,
    /// The jobs that have not ended, oldest first.
    pub jobs: Vec<&'a Arc<Job>>,
    /// When it is to be told how many executions ended of which nothing was told.
    pub untold_due_at: Option<Timestamp>,
}

impl<'a> DueView<'a> {
    /// Of an account as it is.
    pub fn of(account: &'a Account, now: Timestamp, rules: &'a Rules) -> Self {
        Self {
            now,
            rules,
            execution_limit: account.execution_limit(&rules.limits(&account.facts)),
            window: account.window.at(now, rules.window_length_ms),
            paused: account.backlog.count,
            history: &account.history,
            jobs: account.jobs.values().collect(),
            untold_due_at: account.untold_due_at(account.ended_notices),
        }
    }

    /// When the first of these is due: what the limit holds back, a job, history to delete, or a notice of what was not told.
    pub fn due_at(&self) -> Option<Timestamp> {
        let due = [self.paused_due_at(), self.jobs_due_at(), self.expires_at(), self.untold_due_at];
        due.into_iter().flatten().min()
    }

    /// When the first execution that the limit holds back can be admitted.
    fn paused_due_at(&self) -> Option<Timestamp> {
        (self.paused > 0)
            .then(|| if self.window.remaining(self.execution_limit) > 0 { self.now } else { self.window_end() })
    }

    /// When the next job may go on.
    fn jobs_due_at(&self) -> Option<Timestamp> {
        (!self.jobs.is_empty()).then(|| if self.job().is_some() { self.now } else { self.window_end() })
    }

    /// The oldest job that may go on.
    fn job(&self) -> Option<&'a Arc<Job>> {
        let is_full = self.history.counts.waiting() >= self.rules.waiting_max;
        let room = if is_full { 0 } else { retries_allowed(self.window, self.execution_limit, self.paused) };
        self.jobs.iter().find(|job| job.may_go_on(room)).copied()
    }

    /// When executions may have been kept for long enough. A clock that is not trusted is asked again, at the next of times
    /// that lie apart, so that this is the same for a while.
    fn expires_at(&self) -> Option<Timestamp> {
        let asked_again_at = Timestamp((self.now.0.div_euclid(DISTRUST_REST_US) + 1) * DISTRUST_REST_US);
        let expires_at = self.history.expires_at?;
        Some(if self.rules.is_clock_trusted { expires_at } else { expires_at.max(asked_again_at) })
    }

    fn window_end(&self) -> Timestamp {
        self.window.end(self.rules.window_length_ms)
    }
}

/// When what waits for a webhook until a time is due. Where nothing is sent to it any more that is at once, because what
/// waits is ended; otherwise not while its endpoint is left alone, nor before its limit a second lets a request go.
pub fn of_webhook(account: &Account, webhook: WebhookUid, earliest: Timestamp) -> Timestamp {
    let found = account.webhooks.get(&webhook).filter(|webhook| webhook.is_enabled());
    let Some(found) = found else { return Timestamp::default() };
    let opens_at = account.health.get(&webhook).and_then(|health| health.breaker.opens_at());
    let per_second = found.requests_per_second;
    let next_at = per_second.map(|limit| account.bucket(webhook).next_at(limit));
    [opens_at, next_at].into_iter().flatten().fold(earliest, Timestamp::max)
}

/// When an account must be looked at for an execution; at once, where its request is under way, in case the process ends.
pub fn of_execution(progress: &Progress, now: Timestamp) -> Option<Timestamp> {
    if progress.state == State::Running { Some(now) } else { progress.waits_until(now) }
}

/// The true time at which the account must be looked at next: what its row says is never later.
pub fn next_look_at(account: &Account, now: Timestamp, rules: &Rules) -> Option<Timestamp> {
    let under_way = (!account.running.is_empty() || account.facts.deleted).then_some(now);
    let waiting = account.waiting_for_webhooks().map(|(webhook, earliest)| of_webhook(account, webhook, earliest));
    waiting.chain(under_way).chain(DueView::of(account, now, rules).due_at()).min()
}

/// When the next thing is due that an account can do. An execution that has no slot of the account is woken by one that
/// ends, and one that is due and has none of all accounts' slots by its turn.
pub fn next_start_at(
    account: &Account,
    now: Timestamp,
    rules: &Rules,
    has_slot_of_all: &dyn Fn(WebhookUid) -> bool,
) -> Option<Timestamp> {
    let limits = rules.limits(&account.facts);
    let can_start = |uid: WebhookUid, due: Timestamp| {
        let Some(webhook) = account.webhooks.get(&uid).filter(|webhook| webhook.is_enabled()) else { return true };
        let has_slot = account.flight.free(webhook.source_kind(), &limits) > 0;
        let under_way = account.webhook_flight.get(&uid).copied().unwrap_or_default();
        let opens_at = of_webhook(account, uid, now);
        has_slot && under_way < account.allowance(uid, &limits, opens_at) && (due > now || has_slot_of_all(uid))
    };
    let waiting = account.waiting_for_webhooks().map(|(uid, earliest)| (uid, of_webhook(account, uid, earliest)));
    let waiting = waiting.filter(|(uid, due)| can_start(*uid, *due)).map(|(_, due)| due);
    waiting.chain(DueView::of(account, now, rules).due_at()).min()
}

/// What is looked at when a process begins, whatever the accounts' rows say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtStart {
    /// Accounts with executions that the limit holds back: limits may have been configured anew.
    pub paused: bool,
    /// Accounts that are due later than this: the clock was set back, and what waits for a slot waits for no time.
    pub due_after: Option<Timestamp>,
}

/// What is looked at when a process begins, of which the last one has told a time.
pub fn at_start(now: Timestamp, told: Option<Timestamp>) -> AtStart {
    AtStart { paused: true, due_after: told.filter(|told| now < *told).map(|_| now) }
}

/// As many executions as have a slot, webhook by webhook, so that one dead webhook's many hide nobody. `slots_of_all` says
/// how many of those that all accounts share there are for a webhook.
pub fn wanted(
    account: &Account,
    now: Timestamp,
    rules: &Rules,
    slots_of_all: &mut dyn FnMut(WebhookUid, usize) -> usize,
) -> Vec<RowsWanted> {
    let limits = rules.limits(&account.facts);
    let mut flight = account.flight;
    let is_due = |(webhook, earliest): &(WebhookUid, Timestamp)| of_webhook(account, *webhook, *earliest) <= now;
    let mut due: Vec<_> = account.waiting_for_webhooks().filter(is_due).collect();
    due.sort_by_key(|(_, earliest)| *earliest);
    let mut wanted: Vec<_> = of_backlog(account, now, rules).into_iter().collect();
    for (uid, _) in due {
        let waits_for = WaitsFor::Webhook(uid);
        let Some(webhook) = account.webhooks.get(&uid).filter(|webhook| webhook.is_enabled()) else {
            wanted.push(RowsWanted::any(waits_for, ENDED_ROWS_MAX));
            continue;
        };
        let under_way = account.webhook_flight.get(&uid).copied().unwrap_or_default();
        let kind = webhook.source_kind();
        let rows_max = account.allowance(uid, &limits, now).saturating_sub(under_way).min(flight.free(kind, &limits));
        let rows_max = rows_max.min(account.tokens(webhook, now));
        let rows_max = if rows_max == 0 { 0 } else { slots_of_all(uid, rows_max).min(rows_max) };
        if rows_max > 0 {
            (0..rows_max).for_each(|_| flight.add(kind));
            wanted.push(RowsWanted { waits_for, by: now, newest_place: account.newest_place, rows_max });
        }
    }
    wanted
}

/// As many of those that the limit holds back as the window has room for, or those that have waited for too long.
fn of_backlog(account: &Account, now: Timestamp, rules: &Rules) -> Option<RowsWanted> {
    let oldest = *account.waiting.get(&WaitsFor::Limit)?;
    let window = account.window.at(now, rules.window_length_ms);
    let room = window.remaining(account.execution_limit(&rules.limits(&account.facts)));
    if room > 0 {
        let rows_max = usize::try_from(room).unwrap_or(ADMITTED_ROWS_MAX).min(ADMITTED_ROWS_MAX);
        return Some(RowsWanted::any(WaitsFor::Limit, rows_max));
    }
    let by = now.minus_ms(rules.paused_age_max_ms);
    let is_too_old = rules.is_clock_trusted && oldest <= by;
    is_too_old.then_some(RowsWanted { by, ..RowsWanted::any(WaitsFor::Limit, ADMITTED_ROWS_MAX) })
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
    let is_due = DueView::of(account, now, rules).expires_at().is_some_and(|expires_at| expires_at <= now);
    let ended_before = ended_before(now, rules.limits(&account.facts).retention_days);
    let rows_max = expired_rows_max(account.new_executions);
    is_due.then_some(Expiring { ended_before, after: account.expiring, rows_max })
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
    let view = DueView::of(account, now, rules);
    view.job().map(|job| JobWanted { job: Arc::clone(job), rows_max: JOB_ROWS_MAX })
}

/// Executions that wait for the same and are due, oldest first.
#[derive(Debug, Clone)]
pub struct DueRows {
    /// What they wait for.
    pub waits_for: WaitsFor,
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
        let Self { waits_for, rows, unreadable, next } = self;
        let one = move |row: Option<Unfinished>, unreadable: Option<Unreadable>| {
            let (rows, unreadable) = (row.into_iter().collect(), unreadable.into_iter().collect());
            Self { waits_for, rows, unreadable, next }
        };
        let readable: Vec<_> = rows.into_iter().map(|row| one(Some(row), None)).collect();
        readable.into_iter().chain(unreadable.into_iter().map(move |row| one(None, Some(row))))
    }
}
