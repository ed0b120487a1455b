//! What an account reads before it decides: the first answer to a call that may be a repetition, the execution that a call
//! is about, and rows that are due.

use std::sync::{Arc, atomic::Ordering};

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use uuid::Uuid;

use super::{AccountActor, queue::Rows};
use crate::{
    domain::{
        account::{
            Account,
            due::{self, DueRows},
            history::ExpiredExecutions,
            job::JobRows,
        },
        execution::Recorded,
        id::{AccountUid, ExecutionUid, RequestId},
        timestamp::Timestamp,
    },
    store::{FirstAnswer, StoreError},
};

/// What must be read before the next decision.
#[derive(Default)]
pub(super) struct ToRead {
    answer: Option<RequestId>,
    execution: Option<ExecutionUid>,
    due: Vec<due::RowsWanted>,
    expiring: Option<due::Expiring>,
    job: Option<due::JobWanted>,
}

impl ToRead {
    /// Whether a decision can be made at once.
    pub(super) fn is_nothing(&self) -> bool {
        let of_calls = self.answer.is_none() && self.execution.is_none();
        of_calls && self.due.is_empty() && self.expiring.is_none() && self.job.is_none()
    }
}

/// What was read.
#[derive(Default)]
struct ReadRows {
    answer: Option<FirstAnswer>,
    execution: Option<Recorded>,
    due: Vec<DueRows>,
    expired: Option<ExpiredExecutions>,
    job: Option<JobRows>,
}

impl AccountActor {
    /// What must be read first.
    pub(super) fn wanted(&self, now: Timestamp) -> ToRead {
        // A key may have been used for an account of this id that is gone by now.
        let answer = self.queue.repetition();
        let living = self.state.account.as_ref().filter(|account| !account.facts.deleted);
        let Some(account) = living else { return ToRead { answer, ..ToRead::default() } };
        let may_start = self.shared.may_start.load(Ordering::SeqCst);
        let rules = self.shared.rules();
        let due = if self.queue.has_rows() || !may_start { Vec::new() } else { self.due(account, now) };
        // Whoever waits comes first, every other time.
        let is_turn = self.queue.is_empty() || !self.has_expired;
        let expiring = if self.queue.has_rows() || !is_turn { None } else { due::expiring(account, now, rules) };
        let job = if self.queue.has_rows() || !may_start { None } else { due::job(account, now, rules) };
        ToRead { answer, execution: self.queue.execution(), due, expiring, job }
    }

    /// Which rows are due that have slots; where there are too few of those that all accounts share, its turn is waited for.
    fn due(&self, account: &Account, now: Timestamp) -> Vec<due::RowsWanted> {
        let (slots, id) = (&self.shared.slots, &self.state.id);
        // What one webhook of a class gets, another one of it does not.
        let mut given = [0; 2];
        let mut slots_of_all = |webhook, wanted: usize| {
            let (available, is_quick) = slots.available(id, webhook);
            let given = &mut given[usize::from(is_quick)];
            let rest = available.saturating_sub(*given);
            if rest < wanted {
                slots.wait(id, webhook);
            }
            *given += rest.min(wanted);
            rest
        };
        due::wanted(account, now, self.shared.rules(), &mut slots_of_all)
    }

    /// Reads it, then decides.
    pub(super) fn read(&mut self, wanted: ToRead, ctx: &mut Context<Self>) {
        // Without an account only answers are looked for.
        let uid = self.state.account.as_ref().map_or(AccountUid(Uuid::nil()), |account| account.uid);
        let id = self.state.id.clone();
        self.busy();
        let shared = Arc::clone(&self.shared);
        let (asked_answer, asked_execution) = (wanted.answer.is_some(), wanted.execution);
        let read = async move {
            let mut found = ReadRows::default();
            if let Some(key) = &wanted.answer {
                found.answer = shared.store.answer(&id, key).await?;
            }
            if let Some(execution) = wanted.execution {
                found.execution = shared.store.recorded(uid, &[execution]).await?.pop();
            }
            for due in wanted.due {
                found.due.push(shared.store.due_rows(uid, due).await?);
            }
            if let Some(job) = &wanted.job {
                found.job = Some(shared.store.job_rows(uid, job).await?);
            }
            if let Some(expiring) = wanted.expiring {
                found.expired = Some(shared.store.expired(uid, expiring).await?);
            }
            Ok::<_, StoreError>(found)
        };
        ctx.spawn(read.into_actor(self).map(move |found, actor, ctx| match found {
            Ok(found) => {
                if asked_execution.is_some() {
                    actor.queue.found_execution(found.execution);
                }
                if asked_answer {
                    let store = &actor.shared.store;
                    let is_same = |account, stored: &[u8], asked: &[u8]| store.is_fingerprint(account, stored, asked);
                    actor.queue.answer_repetition(found.answer, is_same);
                }
                for rows in found.due {
                    for _ in &rows.unreadable {
                        actor.shared.metrics.unreadable("execution");
                    }
                    actor.queue.push_rows(Rows::Due(rows));
                }
                if let Some(expired) = found.expired {
                    actor.queue.push_rows(Rows::Expired(expired));
                }
                if let Some(job) = found.job {
                    actor.queue.push_rows(Rows::Job(job));
                }
                // The next call may be a repetition, or be about an execution, too: that must be looked up first.
                let is_unread = actor.queue.repetition().is_some() || actor.queue.execution().is_some();
                if actor.queue.is_empty() || is_unread {
                    actor.free(ctx);
                } else {
                    actor.decide_and_commit(ctx);
                }
            }
            Err(error) => actor.pause(&error, ctx),
        }));
    }
}
