//! Where an execution stands, and how it goes on from there.

use super::{record::Record, request::Request, state::State};
use crate::domain::{
    attempt::{
        Fate, Outcome, Reason, Verdict,
        retry_policy::{RetryPolicy, Schedule},
    },
    automation::Method,
    timestamp::Timestamp,
};

/// Where an execution stands, as it is written at each step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The state.
    pub state: State,
    /// Why it stands there.
    pub reason: Option<Reason>,
    /// When it goes on; none for the final states and while it runs. Of what only waits for a slot it is a place in the order
    /// and no time: see [`Self::is_timed`].
    pub due_at: Option<Timestamp>,
    /// The action that is next or under way, from 0.
    pub action_no: usize,
    /// How many attempts of that action have ended.
    pub attempts: u32,
    /// Whether an attempt of that action that failed may have done what was asked.
    pub may_be_done: bool,
    /// How many actions have failed.
    pub failed_actions: u32,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The number of the window that has admitted it; none where none has, or none counts it.
    pub admitted: Option<i64>,
}

impl Progress {
    /// The beginning of an execution.
    pub fn begin() -> Self {
        Self {
            state: State::Pending,
            reason: None,
            due_at: None,
            action_no: 0,
            attempts: 0,
            may_be_done: false,
            failed_actions: 0,
            ended_at: None,
            admitted: None,
        }
    }

    /// The next action begins.
    fn next_action(self) -> Self {
        Self { action_no: self.action_no + 1, attempts: 0, may_be_done: false, ..self }
    }

    /// What has become of the action after an attempt: it arrived, or deletes what one before may have deleted.
    pub fn fate_after(&self, request: &Request, outcome: &Outcome) -> Fate {
        let may_be_done = self.may_be_done || request.may_be_done;
        let is_deleted = request.method == Method::Delete && may_be_done && outcome.finds_nothing();
        match () {
            () if outcome.is_success() || is_deleted => Fate::Succeeded,
            () if may_be_done || outcome.may_be_done() => Fate::MayBeDone,
            () => Fate::Open,
        }
    }

    /// Whether it waits for a time; otherwise for a slot, for its endpoint or for the limit, whatever the clock says.
    pub fn is_timed(&self) -> bool {
        self.state == State::Retrying
    }

    /// When it can go on at the earliest; at once, where it waits for no time.
    pub fn waits_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.due_at.map(|due_at| if self.is_timed() { due_at } else { due_at.min(now) })
    }

    /// Whether the limit holds it back.
    pub fn is_held_back(&self) -> bool {
        self.state == State::Paused && self.reason == Some(Reason::ExecutionLimit)
    }

    /// It ends by a fault of ours.
    pub fn break_off(&self, now: Timestamp) -> Self {
        let reason = Some(Reason::Internal);
        Self { state: State::Failed, reason, due_at: None, ended_at: Some(now), ..self.clone() }
    }

    /// It ends before anything is sent.
    pub fn stop(&self, reason: Reason, now: Timestamp) -> Self {
        Self { state: State::Stopped, reason: Some(reason), due_at: None, ended_at: Some(now), ..self.clone() }
    }
}

/// Begins an execution or its next action: past the requests that it leaves out, and those that could not be built.
pub fn advance(record: &Record, mut progress: Progress, now: Timestamp) -> Progress {
    while !progress.state.is_final() {
        let Some(request) = record.requests.get(progress.action_no) else {
            return Progress { state: State::Succeeded, reason: None, due_at: None, ended_at: Some(now), ..progress };
        };
        if request.is_left_out {
            progress = progress.next_action();
            continue;
        }
        let Some(reason) = request.failure else {
            return progress;
        };
        progress = fail_action(request, &progress, reason, now);
    }
    progress
}

/// The action has failed for good: the execution ends, or goes on with the next where the action says so.
pub fn fail_action(request: &Request, progress: &Progress, reason: Reason, now: Timestamp) -> Progress {
    let progress = Progress { failed_actions: progress.failed_actions + 1, due_at: None, ..progress.clone() };
    if request.continue_on_failure {
        return Progress { reason: None, ..progress }.next_action();
    }
    Progress { state: State::Failed, reason: Some(reason), ended_at: Some(now), ..progress }
}

/// What an attempt's outcome makes of a running execution.
pub fn settle(
    record: &Record,
    before: &Progress,
    outcome: &Outcome,
    policy: &RetryPolicy,
    installation: &Schedule,
    random: u64,
    now: Timestamp,
) -> Progress {
    let mut progress = Progress { attempts: before.attempts + 1, reason: None, ..before.clone() };
    let Some(request) = record.requests.get(before.action_no) else {
        return advance(record, progress, now);
    };
    let fate = before.fate_after(request, outcome);
    if fate == Fate::Succeeded {
        return advance(record, progress.next_action(), now);
    }
    progress.may_be_done = fate == Fate::MayBeDone;
    let failure = match outcome.verdict() {
        // It would have completed the request.
        Verdict::Success => return advance(record, progress.next_action(), now),
        Verdict::Retry(reason) => match policy.delay_ms(installation, progress.attempts, outcome, random, now) {
            Some(delay_ms) => {
                progress.state = State::Retrying;
                progress.reason = Some(reason);
                progress.due_at = Some(now.plus_ms(delay_ms));
                return progress;
            }
            None => reason,
        },
        Verdict::Failure(reason) => reason,
    };
    advance(record, fail_action(request, &progress, failure, now), now)
}

#[cfg(test)]
#[path = "tests/progress.rs"]
mod tests;
