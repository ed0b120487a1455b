//! A decision in the making: what each input makes of the account, one after the other.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    audit_entries::{self},
    notices::notices,
    surroundings::Surroundings,
};
use crate::domain::{
    account::{
        Account, AccountState,
        audit::Actor,
        change::{CHANGE_BYTES_MAX, CHANGE_ROWS_MAX, Change, ExecutionStep, WebhookChange},
        due::{self, DueView},
        history::{ExpiredExecutions, look_again_at},
        job::Job,
        limits::{RequestsInFlight, Window},
    },
    automation::miss::Miss,
    caller::Caller,
    event::Event,
    execution::{
        NewExecution, Progress, Recorded, State, Unfinished, Unreadable, WaitsFor, dispatch::Dispatch, record::Record,
    },
    id::{AccountUid, EventId, ExecutionUid, WebhookUid},
    plan::{LimitOverrides, Limits, Plan},
    timestamp::Timestamp,
    webhook::{Webhook, rate::Bucket, traffic::Traffic},
};

/// A decision in the making.
pub struct Draft<'a, 'w> {
    pub(in crate::domain) state: &'a AccountState,
    pub(in crate::domain) around: &'a mut Surroundings<'w>,
    pub(in crate::domain) change: Change,
    pub(super) known: &'a HashSet<EventId>,
    pub(super) seen: HashSet<EventId>,
    pub(super) dispatches: Vec<Dispatch>,
    pub(super) misses: Vec<Miss>,
    /// The events that fitted a trigger, and how many executions each has made.
    pub(super) recent: Vec<(Arc<Event>, usize)>,
    /// Where each execution's step is.
    pub(super) stepped: HashMap<ExecutionUid, usize>,
    /// Who gave the command, if there was one.
    pub(super) caller: Option<&'a Caller>,
    pub(super) traffic: HashMap<WebhookUid, Traffic>,
    pub(in crate::domain) limits: Limits,
    pub(super) flight: RequestsInFlight,
    pub(super) webhook_flight: HashMap<WebhookUid, usize>,
    pub(super) waiting: HashMap<WebhookUid, Option<Timestamp>>,
    pub(super) buckets: HashMap<WebhookUid, Bucket>,
    pub(super) newest_place: Timestamp,
    pub(super) bytes: usize,
    /// Of the event that is being decided.
    pub(super) event_bytes: usize,
    /// Webhooks with which something happened because of a notice: no notice tells of it.
    pub(super) quiet: HashSet<WebhookUid>,
}

impl<'a, 'w> Draft<'a, 'w> {
    /// The beginning of a decision on an account as it is.
    pub(super) fn new(state: &'a AccountState, known: &'a HashSet<EventId>, around: &'a mut Surroundings<'w>) -> Self {
        let change = match &state.account {
            Some(account) => {
                let window = account.window.at(around.now, around.rules.window_length_ms);
                Change {
                    window,
                    backlog: account.backlog,
                    history: account.history,
                    ended_notices: account.ended_notices,
                    next_due_at: account.next_due_at,
                    decided_at: around.now,
                    ..Change::new(account.uid, state.id.clone(), Some(account.revision))
                }
            }
            None => {
                let window = Window { no: 0, start: around.now, used: 0 };
                Change {
                    window,
                    decided_at: around.now,
                    ..Change::new(AccountUid((around.uuid)()), state.id.clone(), None)
                }
            }
        };
        let account = state.account.as_ref();
        let nothing = around.rules.plans.resolve(Plan::Essential, &LimitOverrides::default());
        let limits = account.map_or(nothing, |account| around.rules.limits(&account.facts));
        Self {
            limits,
            state,
            around,
            change,
            known,
            seen: HashSet::new(),
            dispatches: Vec::new(),
            misses: Vec::new(),
            recent: Vec::new(),
            stepped: HashMap::new(),
            caller: None,
            traffic: HashMap::new(),
            flight: account.map(|account| account.flight).unwrap_or_default(),
            webhook_flight: account.map(|account| account.webhook_flight.clone()).unwrap_or_default(),
            waiting: HashMap::new(),
            buckets: HashMap::new(),
            newest_place: account.map(|account| account.newest_place).unwrap_or_default(),
            bytes: 0,
            event_bytes: 0,
            quiet: HashSet::new(),
        }
    }

    /// Whether no further input fits into the change.
    pub(in crate::domain) fn is_full(&self) -> bool {
        self.change.rows() >= CHANGE_ROWS_MAX || self.bytes >= CHANGE_BYTES_MAX
    }

    /// What follows from all that was decided: when to look again, what is told, what is written down of it.
    pub(super) fn finish(&mut self) {
        if let Some(account) = &self.state.account {
            let limit = account.execution_limit(&self.limits);
            self.change.notices = notices(account, &self.change, limit);
        }
        self.publish_notices();
        if !self.change.executions.is_empty() && self.change.history.expires_at.is_none() {
            let now = self.around.now;
            self.change.history.expires_at = Some(look_again_at(now, now, self.limits.retention_days));
        }
        let now = self.around.now;
        self.change.traffic.extend(self.traffic.drain().map(|(webhook, traffic)| {
            (webhook, if traffic.must_be_written(now) { traffic.written(now) } else { traffic })
        }));
        self.change.buckets.extend(self.buckets.drain());
        let account = self.state.account.as_ref();
        self.change.audit = audit_entries::entries(&self.state.id, account, &self.change, self.caller);
        if let Some(account) = &self.state.account
            && !self.change.is_empty()
        {
            // What was counted earlier and is still unwritten is written with whatever is.
            let told: HashSet<_> = self.change.traffic.iter().map(|(webhook, _)| *webhook).collect();
            let untold = account.traffic.iter().filter(|(webhook, _)| !told.contains(*webhook));
            let untold = untold.filter(|(_, traffic)| traffic.must_be_written(now));
            self.change.traffic.extend(untold.map(|(webhook, traffic)| (*webhook, traffic.clone().written(now))));
        }
        if let Some(due_at) = self.state.account.as_ref().and_then(|account| self.due_view(account).due_at()) {
            self.change.due_by(due_at);
        }
    }

    /// The account, unless it is gone for callers.
    pub(in crate::domain) fn living(&self) -> Option<&'a Account> {
        self.state.account.as_ref().filter(|account| !account.facts.deleted)
    }

    /// A webhook as it is after what this decision has done so far.
    pub(in crate::domain) fn webhook(&self, account: &Account, uid: WebhookUid) -> Option<Arc<Webhook>> {
        let changed =
            self.change.webhooks.iter().rev().map(|change| &change.webhook).find(|webhook| webhook.uid == uid);
        changed.or_else(|| account.webhooks.get(&uid)).map(Arc::clone)
    }

    /// An execution as it is after what this decision has done so far; read from the database before.
    pub(in crate::domain) fn execution(&self, read: &Unfinished) -> Unfinished {
        let stepped = self.stepped.get(&read.uid).map(|at| &self.change.steps[*at]);
        stepped.map_or_else(|| read.clone(), |step| step.execution.clone())
    }

    /// Whether an execution has gone on in this decision: what was read of it before is not true any more.
    pub(in crate::domain) fn has_stepped(&self, uid: ExecutionUid) -> bool {
        self.stepped.contains_key(&uid)
    }

    /// The jobs that have not ended, and those that have in this decision, as they are after what it has done so far.
    pub(in crate::domain) fn jobs<'d>(&'d self, account: &'d Account) -> impl Iterator<Item = &'d Arc<Job>> {
        let changed = self.change.jobs.iter().enumerate();
        let is_last =
            |(at, job): &(usize, &'d Arc<Job>)| self.change.jobs[at + 1..].iter().all(|new| new.uid != job.uid);
        let changed = changed.filter(is_last).map(|(_, job)| job);
        let is_unchanged = |job: &&Arc<Job>| self.change.jobs.iter().all(|changed| changed.uid != job.uid);
        account.jobs.values().filter(is_unchanged).chain(changed)
    }

    /// What an account is looked at for, after what this decision has done so far.
    fn due_view<'d>(&'d self, account: &'d Account) -> DueView<'d> {
        DueView {
            now: self.around.now,
            rules: self.around.rules,
            execution_limit: account.execution_limit(&self.limits),
            window: self.change.window,
            paused: self.change.backlog.count,
            history: &self.change.history,
            jobs: self.jobs(account).filter(|job| job.is_running()).collect(),
            untold_due_at: account.untold_due_at(self.change.ended_notices),
        }
    }

    /// Takes note of where an execution stands, for the next time the account must be looked at.
    pub(super) fn due_for(&mut self, progress: &Progress) {
        if let Some(due_at) = due::of_execution(progress, self.around.now) {
            self.change.due_by(due_at);
        }
    }

    /// A webhook is made, or changed. What waits for it is looked at: it may be due, or may be ended.
    pub(in crate::domain) fn write_webhook(&mut self, webhook: Arc<Webhook>, by: Actor) {
        let is_waited_for = |account: &Account| account.waiting.contains_key(&WaitsFor::Webhook(webhook.uid));
        if !webhook.is_enabled() || self.state.account.as_ref().is_some_and(is_waited_for) {
            self.change.due_by(self.around.now);
        }
        self.change.webhooks.push(WebhookChange { webhook, by });
    }

    /// Whether an execution is deleted by this decision.
    pub(in crate::domain) fn is_expired(&self, uid: ExecutionUid) -> bool {
        self.change.expired.as_ref().is_some_and(|expired| expired.rows.iter().any(|row| row.uid == uid))
    }

    /// The last run of an execution's source for its event, after what this decision has done so far.
    pub(in crate::domain) fn last_run(&self, recorded: &Recorded) -> i32 {
        let is_same = |new: &&NewExecution| new.source == recorded.source && new.event_id == recorded.event_id;
        let new = self.change.executions.iter().filter(is_same).map(|new| new.run);
        new.fold(recorded.last_run, i32::max)
    }

    /// An execution has gone on from a state.
    pub(in crate::domain) fn step(&mut self, before: State, execution: Unfinished, was_running: Option<WebhookUid>) {
        self.change.history.leave(execution.source_kind, before);
        self.change.history.enter(execution.source_kind, execution.progress.state);
        self.due_for(&execution.progress);
        // Of one execution only the last step is written: a statement must not meet a row twice.
        if let Some(at) = self.stepped.get(&execution.uid).copied() {
            let step = &mut self.change.steps[at];
            step.execution = execution;
            step.was_running = step.was_running.or(was_running);
            return;
        }
        self.stepped.insert(execution.uid, self.change.steps.len());
        self.change.steps.push(ExecutionStep { execution, was_running });
    }

    /// Ends executions that nobody can go on with.
    pub(super) fn break_off(&mut self, rows: &[Unreadable]) {
        for row in rows {
            if row.progress.state.is_final() || self.has_stepped(row.uid) {
                continue;
            }
            if row.progress.is_held_back() {
                self.change.backlog.count = self.change.backlog.count.saturating_sub(1);
            }
            let execution = Unfinished {
                uid: row.uid,
                source_kind: row.source_kind,
                is_of_notice: row.is_of_notice,
                record: Arc::new(Record::unreadable()),
                progress: row.progress.break_off(self.around.now),
            };
            self.step(row.progress.state, execution, row.was_running);
        }
    }

    /// Deletes executions that have been kept for long enough.
    pub(super) fn expire(&mut self, expired: &ExpiredExecutions) {
        let now = self.around.now;
        let history = &mut self.change.history;
        for row in &expired.rows {
            history.counts.remove(row.state);
            history.expired_revision = history.expired_revision.max(row.changed_revision);
        }
        history.expires_at = match (expired.next, expired.oldest) {
            (Some(_), _) => Some(now),
            (None, Some(oldest)) => Some(look_again_at(oldest.made_at(), now, self.limits.retention_days)),
            (None, None) => None,
        };
        self.change.expired = Some(expired.clone());
    }

    /// The place of one more execution that waits for a slot: behind every other, whatever the clock says.
    pub(super) fn next_place(&mut self) -> Timestamp {
        self.newest_place = self.around.now.max(Timestamp(self.newest_place.0 + 1));
        self.newest_place
    }

    /// Writes down when the account must really be looked at next, and what was counted and not written.
    pub(super) fn tidy(&mut self) {
        let Some(account) = &self.state.account else { return };
        let truth = due::next_look_at(account, self.around.now, self.around.rules);
        // A window that a clock set back has moved ends one length after that was noticed, so it is written down.
        let is_moved = self.change.window.start < account.window.start;
        let now = self.around.now;
        let unwritten = account.traffic.iter().filter(|(_, traffic)| traffic.is_unwritten());
        self.change.traffic.extend(unwritten.map(|(webhook, traffic)| (*webhook, traffic.clone().written(now))));
        if truth != account.next_due_at || is_moved || !self.change.traffic.is_empty() {
            self.change.next_due_at = truth;
            self.change.is_tidied = true;
        }
    }
}
