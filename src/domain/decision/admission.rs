//! New executions: counted in the window, or held back until it has room.

use super::draft::Draft;
use crate::domain::{
    account::{Account, change::StillWaiting, due::DueRows, limits::Backlog},
    attempt::Reason,
    execution::{NewExecution, Progress, State, Unfinished, WaitsFor},
    source::SourceKind,
};

impl Draft<'_, '_> {
    /// A new execution begins, unless it was stopped before: it is admitted, or held back.
    pub(in crate::domain) fn add(&mut self, mut new: NewExecution) -> &NewExecution {
        if let Some(account) = &self.state.account
            && !new.progress.state.is_final()
        {
            let mut execution = Unfinished::from(&new);
            self.admit_or_pause(account, &mut execution);
            new.progress = execution.progress;
        }
        self.bytes += new.record.weight_bytes() + new.event.as_ref().map_or(0, |event| event.weight_bytes());
        self.change.history.enter(new.source_kind, new.progress.state);
        let at = self.change.executions.len();
        self.change.executions.push(new);
        &self.change.executions[at]
    }

    /// A new execution counts in the window if it has room and nothing is held back; otherwise it is held back, too.
    pub(super) fn admit_or_pause(&mut self, account: &Account, execution: &mut Unfinished) {
        let limit = account.execution_limit(&self.limits);
        let now = self.around.now;
        let is_full = self.change.history.is_full(execution.source_kind, self.around.rules.waiting_max);
        let backlog = &mut self.change.backlog;
        if is_full {
            execution.progress = execution.progress.stop(Reason::BacklogFull, now);
        } else if execution.source_kind == SourceKind::RegularWebhook || execution.is_of_notice {
            // No window counts it.
            self.start_or_wait(account, execution, true);
        } else if backlog.count == 0 && self.change.window.remaining(limit) > 0 {
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
    pub(super) fn admit(&mut self, account: &Account, taken: &DueRows) {
        let limit = account.execution_limit(&self.limits);
        let now = self.around.now;
        let mut next = taken.next;
        for row in &taken.rows {
            let mut execution = row.clone();
            let place = row.progress.due_at.unwrap_or(now);
            let rules = self.around.rules;
            if rules.is_clock_trusted && place.plus_ms(rules.paused_age_max_ms) <= now {
                execution.progress = execution.progress.stop(Reason::PausedTooLong, now);
            } else if self.change.window.remaining(limit) > 0 {
                self.change.window.used += 1;
                let admitted = Some(self.change.window.no);
                execution.progress =
                    Progress { state: State::Pending, reason: None, due_at: None, admitted, ..execution.progress };
                self.start_or_wait(account, &mut execution, false);
            } else {
                next = Some(next.map_or(place, |next| next.min(place)));
                continue;
            }
            self.change.backlog.count = self.change.backlog.count.saturating_sub(1);
            self.step(row.progress.state, execution, None);
        }
        self.break_off(&taken.unreadable);
        self.change.waiting.push(StillWaiting { waits_for: WaitsFor::Limit, next });
    }
}
