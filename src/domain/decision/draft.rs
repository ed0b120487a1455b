//! A decision in the making: what each input makes of the account, one after the other.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{Decision, Dispatch, DueRows, Ended, EventReply, Input, Reply, Surroundings};
use crate::domain::{
    account::{Account, AccountSlot},
    automation::Automation,
    breaker::Health,
    change::{AttemptEnded, CHANGE_BYTES_MAX, CHANGE_ROWS_MAX, Change, HealthChange, Step},
    command,
    event::{Event, Rejection, RejectionReason},
    execution::{
        Attempt, NewExecution, Progress, Reason, Recorded, SourceKind, State, THE_LIMIT, Unfinished, advance,
        fail_action, settle,
    },
    history::{Expired, look_again_at},
    id::{AccountUid, AutomationUid, EventId, ExecutionUid, WebhookUid},
    job::Job,
    limits::{Backlog, Flight, Window, webhook_slots},
    loops::{CAUSATION_DEPTH_MAX, CAUSED_RUNS_MAX},
    miss::{Automations, Miss},
    notice::notices,
    plan::{LimitOverrides, Limits, Plan},
    rate::Bucket,
    request::{Record, build},
    template::{Scope, Trees},
    timestamp::Timestamp,
    traffic::Traffic,
    webhook::{DisableReason, Webhook},
};

/// A decision in the making.
pub struct Draft<'a, 'w> {
    pub(in crate::domain) slot: &'a AccountSlot,
    pub(in crate::domain) around: &'a mut Surroundings<'w>,
    pub(in crate::domain) change: Change,
    known: &'a HashSet<EventId>,
    seen: HashSet<EventId>,
    dispatches: Vec<Dispatch>,
    misses: Vec<Miss>,
    traffic: HashMap<WebhookUid, Traffic>,
    pub(in crate::domain) limits: Limits,
    flight: Flight,
    webhook_flight: HashMap<WebhookUid, usize>,
    waiting: HashMap<WebhookUid, Option<Timestamp>>,
    bytes: usize,
}

impl<'a, 'w> Draft<'a, 'w> {
    pub(super) fn new(slot: &'a AccountSlot, known: &'a HashSet<EventId>, around: &'a mut Surroundings<'w>) -> Self {
        let change = match &slot.account {
            Some(account) => {
                let window = account.window.at(around.now, around.rules.window_length_ms);
                Change {
                    window,
                    backlog: account.backlog,
                    history: account.history,
                    next_due_at: account.next_due_at,
                    ..Change::new(account.uid, slot.id.clone(), Some(account.revision))
                }
            }
            None => {
                let window = Window { no: 0, start: around.now, used: 0 };
                Change { window, ..Change::new(AccountUid((around.uuid)()), slot.id.clone(), None) }
            }
        };
        let account = slot.account.as_ref();
        let nothing = around.rules.plans.resolve(Plan::Essential, &LimitOverrides::default());
        let limits = account.map_or(nothing, |account| around.rules.limits(&account.facts));
        Self {
            limits,
            slot,
            around,
            change,
            known,
            seen: HashSet::new(),
            dispatches: Vec::new(),
            misses: Vec::new(),
            traffic: HashMap::new(),
            flight: account.map(|account| account.flight).unwrap_or_default(),
            webhook_flight: account.map(|account| account.webhook_flight.clone()).unwrap_or_default(),
            waiting: HashMap::new(),
            bytes: 0,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.change.rows() >= CHANGE_ROWS_MAX || self.bytes >= CHANGE_BYTES_MAX
    }

    pub(super) fn finish(mut self, replies: Vec<Reply>) -> Decision {
        if self.change.backlog.count > 0
            && let Some(account) = &self.slot.account
        {
            let has_room = self.change.window.room(account.execution_limit(&self.limits)) > 0;
            let end = self.change.window.end(self.around.rules.window_length_ms);
            self.change.due_by(if has_room { self.around.now } else { end });
        }
        if !self.change.executions.is_empty() && self.change.history.expires_at.is_none() {
            let now = self.around.now;
            self.change.history.expires_at = Some(look_again_at(now, now, self.limits.retention_days));
        }
        let now = self.around.now;
        self.change.traffic.extend(self.traffic.drain().map(|(webhook, traffic)| {
            (webhook, if traffic.must_be_written(now) { traffic.written(now) } else { traffic })
        }));
        if let Some(account) = &self.slot.account {
            let limit = account.execution_limit(&self.limits);
            self.change.notices = notices(account, &self.change, limit);
        }
        if self.slot.account.as_ref().is_some_and(|account| self.jobs(account).any(|job| job.is_running())) {
            self.change.due_by(self.around.now);
        }
        if let Some(expires_at) = self.change.history.expires_at {
            self.change.due_by(expires_at);
        }
        self.change.is_empty &= self.change.rows() == 0;
        Decision { change: self.change, replies, dispatches: self.dispatches, misses: self.misses }
    }

    pub(super) fn take(&mut self, input: &Input) -> Reply {
        match input {
            Input::Command(command, execution) => Reply::Command(command::decide(self, command, execution.as_deref())),
            Input::Event(event) => Reply::Event(self.event(event)),
            Input::Outcome(ended) => {
                self.outcome(ended);
                Reply::None
            }
            Input::Due(rows) => {
                self.due(rows);
                Reply::None
            }
            Input::Resume(rows) => {
                self.resume(rows);
                Reply::None
            }
            Input::Expired(expired) => {
                self.expire(expired);
                Reply::None
            }
            Input::Job(rows) => {
                if let Some(account) = self.living() {
                    command::go_on(self, account, rows);
                }
                Reply::None
            }
            Input::Tidy => {
                self.tidy();
                Reply::None
            }
        }
    }

    /// The account, unless it is gone for callers.
    pub(in crate::domain) fn living(&self) -> Option<&'a Account> {
        self.slot.account.as_ref().filter(|account| !account.facts.deleted)
    }

    fn event(&mut self, event: &Arc<Event>) -> EventReply {
        let Some(account) = self.living() else {
            let message = format!("there is no account {}: create it first", self.slot.id);
            return EventReply::Rejected(Rejection::new("parent", RejectionReason::AccountNotFound, message));
        };
        if self.known.contains(&event.id) || self.seen.contains(&event.id) {
            return EventReply::Duplicate;
        }
        #[cfg(test)]
        assert_ne!(event.id.as_str(), super::BREAKS_DOWN, "a test asks for a fault");
        let Some(automations) = account.triggered_by(event) else { return EventReply::Accepted };
        let plan = account.facts.plan;
        let has_plan = plan.has_automation_webhooks();
        let mut candidates =
            automations.iter().filter(|automation| has_plan && automation.is_triggered_by(event)).peekable();
        if candidates.peek().is_none() {
            self.miss(event, automations, Vec::new(), plan);
            return EventReply::Accepted;
        }
        let trees = match Trees::of(event) {
            Ok(trees) => trees,
            Err(error) => return EventReply::Rejected(Rejection::new("data", RejectionReason::InvalidJson, error)),
        };
        let state = trees.state(event.action);
        let matches: Vec<_> = candidates.filter(|automation| automation.compiled.conditions.hold(state)).collect();
        if matches.len() < automations.len() {
            self.miss(event, automations, matches.iter().map(|automation| automation.uid).collect(), plan);
        }
        if matches.is_empty() {
            return EventReply::Accepted;
        }
        for automation in matches {
            self.run(account, automation, event, &trees);
        }
        self.bytes += event.weight_bytes();
        self.seen.insert(event.id.clone());
        self.change.events.push(Arc::clone(event));
        EventReply::Accepted
    }

    /// Takes note of an event that did not make every automation of its trigger run.
    fn miss(&mut self, event: &Arc<Event>, automations: &Automations, ran: Vec<AutomationUid>, plan: Plan) {
        let (event, automations) = (Arc::clone(event), Arc::clone(automations));
        self.misses.push(Miss { event, automations, ran, plan });
    }

    fn run(&mut self, account: &'a Account, automation: &Automation, event: &Event, trees: &Trees<'_>) {
        let (traceparent, parent_span) = traceparent(event, self.around);
        let uid = ExecutionUid((self.around.uuid)());
        let scope = Scope {
            event,
            data: &trees.data,
            previous: trees.previous.as_ref(),
            account: &self.slot.id,
            automation_name: &automation.display_name,
            execution: uid,
        };
        let webhook_of = |uid: WebhookUid| account.webhooks.get(&uid).map(|webhook| &**webhook);
        let record = Arc::new(Record {
            source_name: automation.display_name.clone(),
            source_id: automation.id.clone(),
            causation_depth: event.cause.as_ref().map_or(0, |cause| cause.depth),
            traceparent,
            parent_span,
            requests: build(automation, scope, webhook_of, self.around.rules.body_bytes_max),
            explanation: automation.compiled.conditions.explain(trees.state(event.action)),
            first_action: 0,
        });
        let mut progress = Progress::begin(self.around.now);
        if self.is_loop(account, automation, event) {
            progress = progress.stop(Reason::Loop, self.around.now);
        }
        self.add(NewExecution {
            uid,
            source_kind: SourceKind::Automation,
            source: automation.uid.0,
            event_id: event.id.clone(),
            run: 0,
            object: event.object.clone(),
            action: event.action,
            entity_id: event.entity_id.clone(),
            acting_user: event.user_id.clone(),
            retry_of: None,
            is_caused: event.cause.is_some(),
            created_at: self.around.now,
            progress,
            record,
        });
    }

    /// A new execution begins, unless it was stopped before: it is admitted, or held back.
    pub(in crate::domain) fn add(&mut self, mut new: NewExecution) -> &NewExecution {
        if let Some(account) = &self.slot.account
            && !new.progress.state.is_final()
        {
            let mut execution = Unfinished {
                uid: new.uid,
                source_kind: new.source_kind,
                record: Arc::clone(&new.record),
                progress: new.progress,
            };
            self.admit_or_pause(account, &mut execution);
            new.progress = execution.progress;
        }
        self.bytes += new.record.weight_bytes();
        self.change.history.counts.add(new.progress.state);
        let at = self.change.executions.len();
        self.change.executions.push(new);
        &self.change.executions[at]
    }

    /// Whether executions that cause each other have come too deep, or round too often.
    fn is_loop(&self, account: &Account, automation: &Automation, event: &Event) -> bool {
        let Some(cause) = &event.cause else { return false };
        let circle = (automation.uid, event.entity_id.clone());
        let is_same = |new: &&NewExecution| new.is_caused && new.source == circle.0.0 && new.entity_id == circle.1;
        let now = self.change.executions.iter().filter(is_same).count();
        let runs = account.loops.count(&circle, self.around.now) + u32::try_from(now).unwrap_or(u32::MAX);
        cause.depth > CAUSATION_DEPTH_MAX || runs >= CAUSED_RUNS_MAX
    }

    /// A new execution counts in the window if it has room and nothing is held back; otherwise it is held back, too.
    fn admit_or_pause(&mut self, account: &Account, execution: &mut Unfinished) {
        let limit = account.execution_limit(&self.limits);
        let now = self.around.now;
        let backlog = &mut self.change.backlog;
        if backlog.count == 0 && self.change.window.room(limit) > 0 {
            self.change.window.used += 1;
            execution.progress.admitted = Some(self.change.window.no);
            self.start_or_wait(account, execution, true);
        } else if backlog.count >= self.around.rules.paused_max {
            execution.progress = execution.progress.stop(Reason::BacklogFull, now);
        } else {
            let place = backlog.next_place(now);
            *backlog = Backlog { count: backlog.count + 1, newest: place };
            execution.progress.state = State::Paused;
            execution.progress.reason = Some(Reason::ExecutionLimit);
            execution.progress.due_at = Some(place);
        }
    }

    /// Executions that the limit has held back, oldest first: admitted as far as the window has room, ended where
    /// they have waited for too long. The others stay where they are.
    fn admit(&mut self, account: &Account, taken: &DueRows) {
        let limit = account.execution_limit(&self.limits);
        let now = self.around.now;
        let mut next = taken.next;
        for row in &taken.rows {
            let mut execution = row.clone();
            let place = row.progress.due_at.unwrap_or(now);
            if place.plus_ms(self.around.rules.paused_age_max_ms) <= now {
                execution.progress = execution.progress.stop(Reason::PausedTooLong, now);
            } else if self.change.window.room(limit) > 0 {
                self.change.window.used += 1;
                let admitted = Some(self.change.window.no);
                execution.progress =
                    Progress { state: State::Pending, reason: None, due_at: Some(now), admitted, ..execution.progress };
                self.start_or_wait(account, &mut execution, false);
            } else {
                next = Some(next.map_or(place, |next| next.min(place)));
                continue;
            }
            self.change.backlog.count = self.change.backlog.count.saturating_sub(1);
            self.step(row.progress.state, execution, None);
        }
        self.change.waiting.push((THE_LIMIT, next));
        self.change.is_empty = false;
    }

    fn outcome(&mut self, ended: &Ended) {
        let (uid, attempt) = (ended.execution, &ended.attempt);
        let Some(account) = self.living() else { return };
        let Some(running) = account.running.get(&uid) else { return };
        let Some(webhook) = running.webhook() else { return };
        let progress = &running.progress;
        if (progress.action_no, progress.attempts + 1) != (ended.action_no, ended.attempt_no) {
            return;
        }
        self.change.attempts.push(AttemptEnded {
            execution: uid,
            action_no: ended.action_no,
            number: ended.attempt_no,
            attempt: Attempt::clone(attempt),
        });
        self.flight.remove(running.source_kind);
        if let Some(count) = self.webhook_flight.get_mut(&webhook) {
            *count = count.saturating_sub(1);
        }
        let random = (self.around.random)();
        let now = self.around.now;
        let of_webhook = self.webhook(account, webhook);
        let policy = of_webhook.as_ref().map(|webhook| webhook.retry.clone()).unwrap_or_default();
        let retry = (&policy, &self.around.rules.schedule);
        let progress = settle(&running.record, &running.progress, &attempt.outcome, retry, random, now);
        let traffic = self.traffic.entry(webhook);
        traffic.or_insert_with(|| account.traffic.get(&webhook).cloned().unwrap_or_default()).note(ended, now);
        let is_hopeless = self.note_health(account, webhook, ended);
        if let Some(webhook) = of_webhook.filter(|webhook| webhook.is_enabled()) {
            if attempt.outcome.is_gone() {
                self.disable(&webhook, DisableReason::Gone);
            } else if is_hopeless {
                self.disable(&webhook, DisableReason::Failing);
            }
        }
        let mut execution = Unfinished { progress, ..running.clone() };
        if execution.progress.state == State::Running {
            self.start_or_wait(account, &mut execution, true);
        }
        self.step(State::Running, execution, Some(webhook));
    }

    /// A webhook as it is after what this decision has done so far.
    pub(in crate::domain) fn webhook(&self, account: &Account, uid: WebhookUid) -> Option<Arc<Webhook>> {
        let changed = self.change.webhooks.iter().rev().find(|webhook| webhook.uid == uid);
        changed.or_else(|| account.webhooks.get(&uid)).map(Arc::clone)
    }

    /// How an endpoint does after what this decision has done so far.
    fn health(&self, account: &Account, webhook: WebhookUid) -> Health {
        let changed = self.change.health.iter().rev().find(|change| change.webhook == webhook);
        changed.map(|change| &change.health).or_else(|| account.health.get(&webhook)).cloned().unwrap_or_default()
    }

    /// How many requests may go to a webhook after what this decision has done so far.
    fn bucket(&self, account: &Account, webhook: WebhookUid) -> Bucket {
        let changed = self.change.buckets.iter().rev().find(|(of, _)| *of == webhook).map(|(_, bucket)| *bucket);
        changed.or_else(|| account.buckets.get(&webhook).copied()).unwrap_or_default()
    }

    /// Takes note of how an endpoint does after an attempt. Answers whether it is no use to go on with it.
    fn note_health(&mut self, account: &Account, webhook: WebhookUid, ended: &Ended) -> bool {
        let before = self.health(account, webhook);
        let slots = webhook_slots(&self.limits);
        let is_first_try = ended.attempt_no == 1;
        let health = before.after(
            &ended.attempt.outcome,
            is_first_try,
            slots,
            self.around.rules.breaker_open_ms,
            self.around.now,
        );
        let is_hopeless = health.is_hopeless();
        if health != before {
            let is_written = before.must_be_written(&health);
            self.change.health.push(HealthChange { webhook, health, is_written });
        }
        is_hopeless
    }

    /// No more requests are sent to a webhook; what waits for it ends.
    fn disable(&mut self, webhook: &Webhook, reason: DisableReason) {
        let (revision, updated_at) = (self.change.revision, self.around.now);
        self.change.webhooks.push(Arc::new(Webhook {
            disabled: Some(reason),
            revision,
            updated_at,
            ..webhook.clone()
        }));
        self.change.due_by(updated_at);
    }

    fn due(&mut self, taken: &DueRows) {
        if taken.webhook == THE_LIMIT {
            if let Some(account) = &self.slot.account {
                self.admit(account, taken);
            }
            return;
        }
        self.waiting.insert(taken.webhook, taken.next);
        self.change.waiting.push((taken.webhook, taken.next));
        self.change.is_empty = false;
        self.resume(&taken.rows);
    }

    fn resume(&mut self, rows: &[Unfinished]) {
        let Some(account) = &self.slot.account else { return };
        for row in rows {
            let mut execution = row.clone();
            self.start_or_wait(account, &mut execution, false);
            self.step(row.progress.state, execution, None);
        }
    }

    /// An execution as it is after what this decision has done so far; read from the database before.
    pub(in crate::domain) fn execution(&self, read: &Unfinished) -> Unfinished {
        let stepped = self.change.steps.iter().rev().find(|step| step.execution.uid == read.uid);
        stepped.map_or_else(|| read.clone(), |step| step.execution.clone())
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
        let progress = &execution.progress;
        self.change.history.counts.remove(before);
        self.change.history.counts.add(progress.state);
        self.change.due_for(progress.state, progress.due_at, self.around.now);
        self.change.steps.push(Step { execution, was_running });
    }

    /// Deletes executions that have been kept for long enough.
    fn expire(&mut self, expired: &Expired) {
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
        self.change.is_empty = false;
    }

    fn tidy(&mut self) {
        let Some(account) = &self.slot.account else { return };
        let truth = account.true_due_at(self.around.now, self.around.rules);
        // A window that a clock set back has moved ends one length after that was noticed, so it is written down.
        let is_moved = self.change.window.start < account.window.start;
        let now = self.around.now;
        let unwritten = account.traffic.iter().filter(|(_, traffic)| traffic.is_unwritten());
        self.change.traffic.extend(unwritten.map(|(webhook, traffic)| (*webhook, traffic.clone().written(now))));
        if truth != account.next_due_at || is_moved || !self.change.traffic.is_empty() {
            self.change.next_due_at = truth;
            self.change.is_empty = false;
        }
    }

    /// Sends the next request of an execution if its webhook and a slot allow it; otherwise it waits or ends.
    fn start_or_wait(&mut self, account: &Account, execution: &mut Unfinished, queues: bool) {
        let now = self.around.now;
        loop {
            execution.progress = advance(&execution.record, execution.progress.clone(), now);
            let Some(request) = execution.request().filter(|_| !execution.progress.state.is_final()) else {
                break;
            };
            let reason = match self.webhook(account, request.webhook) {
                Some(webhook) if webhook.is_enabled() => {
                    self.send_or_queue(account, execution, webhook, queues);
                    break;
                }
                Some(webhook) if webhook.deleted_at.is_none() => Reason::WebhookDisabled,
                _ => Reason::WebhookDeleted,
            };
            execution.progress = fail_action(request, &execution.progress, reason, now);
        }
        let progress = &execution.progress;
        self.change.due_for(progress.state, progress.due_at, now);
    }

    fn send_or_queue(&mut self, account: &Account, execution: &mut Unfinished, webhook: Arc<Webhook>, queues: bool) {
        let of_webhook = self.webhook_flight.get(&webhook.uid).copied().unwrap_or_default();
        let others_wait = queues && self.waits(account, webhook.uid).is_some_and(|due| due <= self.around.now);
        let breaker = self.health(account, webhook.uid).breaker;
        let allowance = breaker.allowance(webhook_slots(&self.limits), self.around.now);
        let has_slot = self.flight.free(execution.source_kind, &self.limits) > 0 && of_webhook < allowance;
        let bucket = self.bucket(account, webhook.uid);
        let has_token = webhook.requests_per_second.is_none_or(|limit| bucket.tokens(limit, self.around.now) > 0);
        let progress = &mut execution.progress;
        if !has_slot || !has_token || others_wait || !self.around.may_start {
            progress.due_at = Some(progress.due_at.unwrap_or(self.around.now));
            let is_left_alone = breaker.opens_at().is_some();
            (progress.state, progress.reason) = match progress.attempts {
                _ if is_left_alone => (State::Paused, Some(Reason::EndpointUnavailable)),
                0 => (State::Pending, None),
                _ => (State::Retrying, progress.reason.filter(|reason| *reason != Reason::EndpointUnavailable)),
            };
            return;
        }
        progress.state = State::Running;
        progress.reason = None;
        progress.due_at = None;
        if let Some(limit) = webhook.requests_per_second {
            self.change.buckets.push((webhook.uid, bucket.take(limit, self.around.now)));
        }
        self.flight.add(execution.source_kind);
        *self.webhook_flight.entry(webhook.uid).or_default() += 1;
        self.dispatches.push(Dispatch {
            execution: execution.uid,
            action_no: execution.progress.action_no,
            attempt_no: execution.progress.attempts + 1,
            record: Arc::clone(&execution.record),
            webhook,
        });
    }

    fn waits(&self, account: &Account, webhook: WebhookUid) -> Option<Timestamp> {
        match self.waiting.get(&webhook) {
            Some(next) => *next,
            None => account.waiting.get(&webhook).copied(),
        }
    }
}

/// The context of a new execution's span, under that of its event or in a trace of its own, and its parent's id.
fn traceparent(event: &Event, around: &mut Surroundings<'_>) -> (String, Option<String>) {
    let span = (around.random)() | 1;
    let given = event.traceparent.as_deref();
    match given.and_then(|given| Some((given.get(3..35)?, given.get(36..52)?, given.get(53..55)?))) {
        Some((trace, parent, flags)) => (format!("00-{trace}-{span:016x}-{flags}"), Some(parent.to_owned())),
        // Nobody records this trace: the flags say so.
        None => (format!("00-{}-{span:016x}-00", (around.uuid)().simple()), None),
    }
}
