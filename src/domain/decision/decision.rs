//! Decides what a batch of inputs makes of an account: a change, answers, and requests to send.

use std::{collections::HashSet, sync::Arc};

use super::{
    command::{self, Answer, Command},
    draft::Draft,
    matching::EventReply,
    surroundings::Surroundings,
};
use crate::domain::{
    account::{AccountState, change::Change, due::DueRows, history::ExpiredExecutions, job::JobRows},
    attempt::AttemptReport,
    automation::miss::Miss,
    event::Event,
    execution::{Recorded, Unfinished, Unreadable, dispatch::Dispatch},
    id::EventId,
    refusal::Refusal,
};

/// What can happen to an account.
#[derive(Debug, Clone)]
pub enum Input {
    /// A call that changes something, and the execution that it is about, if it is about one that exists. A batch ends
    /// with its first command.
    Command(Arc<Command>, Option<Arc<Recorded>>),
    /// An event came in.
    Event(Arc<Event>),
    /// An attempt of an execution that is under way ended.
    Outcome(AttemptReport),
    /// Rows were taken from what waits for a webhook.
    Due(DueRows),
    /// Executions that are written as running, but that nobody is sending.
    Resume(Vec<Unfinished>),
    /// Executions whose rows cannot be read, or cannot be decided on.
    Unreadable(Vec<Unreadable>),
    /// Executions have been kept for long enough.
    Expired(ExpiredExecutions),
    /// Executions that a job looks at next.
    Job(JobRows),
    /// Write down when the account must really be looked at next.
    Tidy,
}

/// What an input is answered with once the change is durable.
#[derive(Debug, Clone)]
pub enum Reply {
    /// To a command.
    Command(Result<Answer, Refusal>),
    /// To an event.
    Event(EventReply),
    /// Nothing to say.
    None,
}

/// What a batch makes of an account.
#[derive(Debug)]
pub struct Decision {
    /// What to write.
    pub change: Change,
    /// The answers, one an input that was taken.
    pub replies: Vec<Reply>,
    /// What to send once the change is durable.
    pub dispatches: Vec<Dispatch>,
    /// The events that did not make every automation of their trigger run.
    pub misses: Vec<Miss>,
    /// The events that fitted a trigger, and how many executions each has made.
    pub recent: Vec<(Arc<Event>, usize)>,
}

/// Decides on a batch, oldest input first. Fewer inputs may be taken than there are: as many as have a reply.
/// `known` are events that the journal has found stored.
pub fn decide<'a>(
    state: &'a AccountState,
    inputs: &'a [Input],
    known: &'a HashSet<EventId>,
    around: &'a mut Surroundings<'_>,
) -> Decision {
    let mut draft = Draft::new(state, known, around);
    let mut replies = Vec::with_capacity(inputs.len());
    for input in inputs {
        let ends_here = matches!(input, Input::Command(..));
        replies.push(take(&mut draft, input));
        if ends_here || draft.is_full() {
            break;
        }
    }
    draft.finish();
    let Draft { change, dispatches, misses, recent, .. } = draft;
    Decision { change, replies, dispatches, misses, recent }
}

/// Takes one more input into a decision.
fn take<'a>(draft: &mut Draft<'a, '_>, input: &'a Input) -> Reply {
    match input {
        Input::Command(command, execution) => {
            draft.caller = Some(&command.caller);
            Reply::Command(command::decide(draft, command, execution.as_deref()))
        }
        Input::Event(event) => Reply::Event(draft.event(event)),
        Input::Outcome(ended) => {
            draft.outcome(ended);
            Reply::None
        }
        Input::Due(rows) => {
            draft.due(rows);
            Reply::None
        }
        Input::Resume(rows) => {
            draft.resume(rows);
            Reply::None
        }
        Input::Unreadable(rows) => {
            draft.break_off(rows);
            Reply::None
        }
        Input::Expired(expired) => {
            draft.expire(expired);
            Reply::None
        }
        Input::Job(rows) => {
            if let Some(account) = draft.living() {
                command::go_on(draft, account, rows);
            }
            Reply::None
        }
        Input::Tidy => {
            draft.tidy();
            Reply::None
        }
    }
}
