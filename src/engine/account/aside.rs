//! What becomes of inputs on which every decision breaks down: they are turned away or put aside, and the account goes on.

use actix::{AsyncContext, Context};

use super::{AccountActor, queue::Rows};
use crate::{
    clock,
    domain::{
        account::due::DueRows,
        decision::{EventReply, Input, Reply},
        event::{Rejection, RejectionReason},
        execution::Unreadable,
    },
};

/// For how long deleting old history is put off after a decision on it broke down.
const PUT_OFF_MS: u64 = 3_600_000;

impl AccountActor {
    /// A decision broke down, or the database never takes what it has made. Alone, its input is turned away or put aside;
    /// of several, each is tried alone.
    pub(super) fn turn_away(&mut self, inputs: &[Input], ctx: &mut Context<Self>) {
        if !self.queue.isolate() {
            return self.go_on(ctx);
        }
        self.shared.metrics.fault("decision");
        let message = "an internal error; it was logged";
        match inputs.first() {
            Some(Input::Event(_)) => {
                let rejection = Rejection::new("event", RejectionReason::Internal, message);
                self.hand_out(vec![Reply::Event(EventReply::Rejected(rejection))]);
            }
            Some(Input::Command(..)) => self.queue.fail_first_call(message),
            Some(Input::Outcome(_)) => self.put_outcome_aside(),
            _ if !self.put_rows_aside() => {
                // Nothing is left of it that could be tried another way; whatever brings it again is not hurried.
                let rest = self.next_rest();
                ctx.run_later(rest, |actor, ctx| actor.free(ctx));
                return;
            }
            _ => {}
        }
        self.go_on(ctx);
    }

    /// An outcome cannot be decided on: its execution ends.
    fn put_outcome_aside(&mut self) {
        let Some(ended) = self.queue.drop_outcome() else { return };
        let account = self.state.account.as_ref();
        match account.and_then(|account| account.running.get(&ended.execution)) {
            Some(running) => {
                let unreadable = Unreadable { was_running: running.webhook(), ..Unreadable::from(running) };
                self.queue.push_rows_first(Rows::Unreadable(vec![unreadable]));
            }
            None => self.shared.flights.forget(ended.execution),
        }
    }

    /// Rows cannot be decided on: each is tried alone, and ends where that breaks down, too. Answers whether there is
    /// another way to try.
    fn put_rows_aside(&mut self) -> bool {
        let Some(one) = self.queue.split_rows() else { return true };
        let aside = match one {
            Rows::Due(DueRows { waits_for, rows, unreadable, next }) if !rows.is_empty() => {
                let unreadable = rows.iter().map(Unreadable::from).chain(unreadable).collect();
                Rows::Due(DueRows { waits_for, rows: Vec::new(), unreadable, next })
            }
            Rows::Resume(rows) => Rows::Unreadable(rows.iter().map(Unreadable::from).collect()),
            Rows::Expired(_) => {
                if let Some(account) = &mut self.state.account {
                    account.history.expires_at = Some(clock::now().plus_ms(PUT_OFF_MS));
                }
                return false;
            }
            Rows::Job(rows) => {
                // Passed over until the account is read anew, so that everything else goes on.
                if let Some(account) = &mut self.state.account {
                    account.jobs.remove(&rows.job);
                }
                return false;
            }
            Rows::Due(_) | Rows::Unreadable(_) | Rows::Tidy => return false,
        };
        self.queue.push_rows_first(aside);
        true
    }
}
