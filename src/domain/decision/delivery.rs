//! Requests: when they are sent, and what their outcomes mean.

use std::sync::Arc;

use super::draft::Draft;
use crate::domain::{
    account::{
        Account,
        audit::Actor,
        change::{HealthChange, RecordedAttempt, StillWaiting},
        due::DueRows,
        limits::webhook_slots,
    },
    attempt::{Attempt, AttemptReport, Reason},
    execution::{State, Unfinished, WaitsFor, advance, dispatch::Dispatch, fail_action, settle},
    id::WebhookUid,
    source::SourceKind,
    timestamp::Timestamp,
    webhook::{
        DisableReason, Webhook, WebhookKind,
        health::{Around, Health},
        rate::Bucket,
    },
};

impl Draft<'_, '_> {
    /// An attempt has ended: what that makes of its execution and of its webhook.
    pub(super) fn outcome(&mut self, ended: &AttemptReport) {
        let (uid, attempt) = (ended.execution, &ended.attempt);
        let Some(account) = self.living() else { return };
        let Some(running) = account.running.get(&uid) else { return };
        let Some(webhook) = running.webhook() else { return };
        #[cfg(test)]
        assert_ne!(running.record.source_name, super::faults::OUTCOME_BREAKS_DOWN, "a test asks for a fault");
        let progress = &running.progress;
        if (progress.action_no, progress.attempts + 1) != (ended.action_no, ended.attempt_no) {
            return;
        }
        self.change.attempts.push(RecordedAttempt {
            execution: uid,
            action_no: ended.action_no,
            number: ended.attempt_no,
            attempt: Attempt::clone(attempt),
            fate: running.request().map(|request| progress.fate_after(request, &attempt.outcome)).unwrap_or_default(),
        });
        self.flight.remove(running.source_kind);
        if let Some(count) = self.webhook_flight.get_mut(&webhook) {
            *count = count.saturating_sub(1);
        }
        let random = (self.around.random)();
        let now = self.around.now;
        let of_webhook = self.webhook(account, webhook);
        let policy = of_webhook.as_ref().map(|webhook| webhook.retry.clone()).unwrap_or_default();
        let schedule = &self.around.rules.schedule;
        let progress = settle(&running.record, &running.progress, &attempt.outcome, &policy, schedule, random, now);
        // A fault of ours says nothing about the endpoint.
        if !attempt.outcome.is_ours() {
            let traffic = self.traffic.entry(webhook);
            traffic.or_insert_with(|| account.traffic.get(&webhook).cloned().unwrap_or_default()).note(ended, now);
        }
        let was_left_alone = self.health(account, webhook).breaker.is_left_alone();
        let is_hopeless = self.note_health(account, webhook, ended);
        if running.is_of_notice && was_left_alone != self.health(account, webhook).breaker.is_left_alone() {
            self.quiet.insert(webhook);
        }
        if let Some(webhook) = of_webhook.filter(|webhook| webhook.is_enabled()) {
            // An automation's path names a record: that it is gone says nothing of the endpoint.
            let is_regular = webhook.kind == WebhookKind::Regular;
            let reason = match &attempt.outcome {
                outcome if is_regular && outcome.is_gone() => Some(DisableReason::Gone),
                outcome if is_regular && outcome.asks_to_stop() => Some(DisableReason::Asked),
                _ => is_hopeless.then_some(DisableReason::Failing),
            };
            if let Some(reason) = reason {
                self.disable(&webhook, reason);
                self.quiet.extend(running.is_of_notice.then_some(webhook.uid));
            }
        }
        let mut execution = Unfinished { progress, ..running.clone() };
        if execution.progress.state == State::Running {
            self.start_or_wait(account, &mut execution, true);
        }
        self.step(State::Running, execution, Some(webhook));
    }

    /// How an endpoint does after what this decision has done so far.
    pub(super) fn health(&self, account: &Account, webhook: WebhookUid) -> Health {
        let changed = self.change.health.iter().rev().find(|change| change.webhook == webhook);
        changed.map(|change| &change.health).or_else(|| account.health.get(&webhook)).cloned().unwrap_or_default()
    }

    /// How many more requests of a kind of source may be under way.
    pub(in crate::domain) fn free_slots(&self, kind: SourceKind) -> usize {
        self.flight.free(kind, &self.limits)
    }

    /// When the last requests to a webhook began, after what this decision has done so far.
    pub(in crate::domain) fn bucket(&mut self, account: &Account, webhook: WebhookUid) -> &mut Bucket {
        self.buckets.entry(webhook).or_insert_with(|| account.bucket(webhook).into_owned())
    }

    /// Takes note of how an endpoint does after an attempt. Answers whether it is no use to go on with it.
    pub(super) fn note_health(&mut self, account: &Account, webhook: WebhookUid, ended: &AttemptReport) -> bool {
        let before = self.health(account, webhook);
        let around = Around {
            slots: webhook_slots(&self.limits),
            open_ms_min: self.around.rules.breaker_open_ms,
            now: self.around.now,
            counts_days: self.around.rules.is_clock_trusted,
        };
        let attempt = &ended.attempt;
        let health = before.after(&attempt.outcome, attempt.started_at, ended.attempt_no == 1, around);
        let is_hopeless = around.counts_days && health.is_hopeless();
        if health != before {
            let is_written = before.must_be_written(&health);
            self.change.health.push(HealthChange { webhook, health, is_written });
        }
        is_hopeless
    }

    /// No more requests are sent to a webhook; what waits for it ends.
    pub(super) fn disable(&mut self, webhook: &Webhook, reason: DisableReason) {
        let (revision, updated_at) = (self.change.revision, self.around.now);
        let disabled = Webhook { disabled: Some(reason), revision, updated_at, ..webhook.clone() };
        self.write_webhook(Arc::new(disabled), Actor::RULE);
    }

    /// Rows are due that were waiting in one line.
    pub(super) fn due(&mut self, taken: &DueRows) {
        let WaitsFor::Webhook(webhook) = taken.waits_for else {
            if let Some(account) = &self.state.account {
                self.admit(account, taken);
            }
            return;
        };
        self.waiting.insert(webhook, taken.next);
        self.change.waiting.push(StillWaiting { waits_for: taken.waits_for, next: taken.next });
        self.resume(&taken.rows);
        self.break_off(&taken.unreadable);
    }

    /// Executions go on that nobody is sending.
    pub(super) fn resume(&mut self, rows: &[Unfinished]) {
        let Some(account) = &self.state.account else { return };
        for row in rows {
            #[cfg(test)]
            assert_ne!(row.record.source_name, super::faults::DUE_BREAKS_DOWN, "a test asks for a fault");
            let mut execution = row.clone();
            // Nobody knows what became of a request that was under way.
            execution.progress.may_be_done |= row.progress.state == State::Running;
            self.start_or_wait(account, &mut execution, false);
            self.step(row.progress.state, execution, None);
        }
    }

    /// Sends the next request of an execution if its webhook and a slot allow it; otherwise it waits or ends.
    pub(super) fn start_or_wait(&mut self, account: &Account, execution: &mut Unfinished, queues: bool) {
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
        self.due_for(&execution.progress);
    }

    /// Sends the next request if its webhook, its endpoint and the slots allow it; otherwise the execution waits.
    pub(super) fn send_or_queue(
        &mut self,
        account: &Account,
        execution: &mut Unfinished,
        webhook: Arc<Webhook>,
        queues: bool,
    ) {
        let of_webhook = self.webhook_flight.get(&webhook.uid).copied().unwrap_or_default();
        let others_wait = queues
            && self.waits(account, webhook.uid).is_some_and(|due| due <= self.around.now.max(account.newest_place));
        let breaker = self.health(account, webhook.uid).breaker;
        let allowance = breaker.allowance(webhook_slots(&self.limits), self.around.now);
        let has_slot = self.flight.free(execution.source_kind, &self.limits) > 0 && of_webhook < allowance;
        let now = self.around.now;
        let has_token =
            webhook.requests_per_second.is_none_or(|limit| self.bucket(account, webhook.uid).tokens(limit, now) > 0);
        let may_start = has_slot && has_token && !others_wait && self.around.may_start;
        if !may_start || !(self.around.slot)(webhook.uid) {
            let place = execution.progress.due_at.unwrap_or_else(|| self.next_place());
            let progress = &mut execution.progress;
            progress.due_at = Some(place);
            let is_left_alone = breaker.opens_at().is_some();
            (progress.state, progress.reason) = match progress.attempts {
                _ if is_left_alone => (State::Paused, Some(Reason::EndpointUnavailable)),
                0 => (State::Pending, None),
                _ => (State::Retrying, progress.reason.filter(|reason| *reason != Reason::EndpointUnavailable)),
            };
            return;
        }
        let progress = &mut execution.progress;
        progress.state = State::Running;
        progress.reason = None;
        progress.due_at = None;
        if let Some(limit) = webhook.requests_per_second {
            self.bucket(account, webhook.uid).take(limit, now);
        }
        self.flight.add(execution.source_kind);
        *self.webhook_flight.entry(webhook.uid).or_default() += 1;
        self.dispatches.push(Dispatch {
            execution: execution.uid,
            action_no: execution.progress.action_no,
            attempt_no: execution.progress.attempts + 1,
            is_test: false,
            record: Arc::clone(&execution.record),
            webhook,
        });
    }

    /// The earliest time of what waits for a webhook, after what this decision has done so far.
    pub(super) fn waits(&self, account: &Account, webhook: WebhookUid) -> Option<Timestamp> {
        match self.waiting.get(&webhook) {
            Some(next) => *next,
            None => account.waiting.get(&WaitsFor::Webhook(webhook)).copied(),
        }
    }
}
