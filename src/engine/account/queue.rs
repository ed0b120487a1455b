//! What waits in an account: calls, events, outcomes and rows, oldest first, each with those who wait for its answer.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::super::{CommandReply, EngineError};
use crate::{
    domain::{
        command::Command,
        decision::{DueRows, Ended, EventReply, Input, Reply},
        event::Event,
        execution::{Recorded, Unfinished},
        history::Expired,
        id::{ExecutionUid, RequestId},
        job::JobRows,
        refusal::Refusal,
    },
    telemetry::Metrics,
};

/// How many inputs one decision looks at.
const BATCH_INPUTS_MAX: usize = 1_000;

/// The wait of a call or a frame of events: since when, and the place that it holds meanwhile.
pub struct Wait {
    since: Instant,
    is_noted: bool,
    _place: OwnedSemaphorePermit,
}

impl Wait {
    /// Has waited since a time.
    pub fn new(since: Instant, place: OwnedSemaphorePermit) -> Self {
        Self { since, is_noted: false, _place: place }
    }
}

/// What waits to be decided.
pub enum Item {
    Events {
        events: Vec<Arc<Event>>,
        replies: Vec<EventReply>,
        reply: oneshot::Sender<Result<Vec<EventReply>, EngineError>>,
        wait: Wait,
    },
    Command {
        command: Arc<Command>,
        is_new: bool,
        /// The execution that the call is about, once it was looked for.
        execution: Option<Option<Arc<Recorded>>>,
        reply: oneshot::Sender<Result<CommandReply, EngineError>>,
        wait: Wait,
    },
    Outcome(Ended),
    Due(DueRows),
    Resume(Vec<Unfinished>),
    Expired(Expired),
    Job(JobRows),
    Tidy,
}

/// What waits, oldest first.
#[derive(Default)]
pub struct Queue {
    items: VecDeque<Item>,
    /// How many of the next inputs are decided alone, after a decision broke down.
    one_at_a_time: usize,
}

impl Queue {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Puts an item at the end.
    pub fn push(&mut self, item: Item) {
        self.items.push_back(item);
    }

    /// Puts an item before all others.
    pub fn push_first(&mut self, item: Item) {
        self.items.push_front(item);
    }

    /// Forgets what a fresh reading of the account brings again.
    pub fn forget_own(&mut self) {
        self.items.retain(|item| matches!(item, Item::Events { .. } | Item::Command { .. }));
        self.forget_executions();
    }

    /// Whether rows were read that are not decided yet.
    pub fn has_rows(&self) -> bool {
        self.items.iter().any(|item| matches!(item, Item::Due(_) | Item::Resume(_) | Item::Expired(_) | Item::Job(_)))
    }

    /// The key of the call whose stored answer must be looked for before the next decision: that of the first call
    /// in the queue, if it may be a repetition.
    pub fn repetition(&self) -> Option<RequestId> {
        let first = self.items.iter().find_map(|item| match item {
            Item::Command { command, is_new, .. } => Some((command, *is_new)),
            _ => None,
        });
        let (command, is_new) = first?;
        command.repeat.as_ref().filter(|_| !is_new).map(|repeat| repeat.request_id.clone())
    }

    /// The execution that must be read before the next decision: that of the first call in the queue.
    pub fn execution(&self) -> Option<ExecutionUid> {
        let first = self.items.iter().find(|item| matches!(item, Item::Command { .. }));
        match first {
            Some(Item::Command { command, execution: None, .. }) => command.execution(),
            _ => None,
        }
    }

    /// The execution of the first call was looked for.
    pub fn found_execution(&mut self, found: Option<Recorded>) {
        let found = found.map(Arc::new);
        for item in &mut self.items {
            if let Item::Command { execution, .. } = item {
                *execution = Some(found);
                return;
            }
        }
    }

    /// No call has its execution read any more: something may have changed it.
    fn forget_executions(&mut self) {
        for item in &mut self.items {
            if let Item::Command { execution, .. } = item {
                *execution = None;
            }
        }
    }

    /// The first call that may be a repetition: answer it as before, or let it be decided.
    pub fn answer_repetition(
        &mut self,
        answer: Option<(Vec<u8>, Vec<u8>)>,
        is_fingerprint: impl Fn(&[u8], &[u8]) -> bool,
    ) {
        let first = self.items.iter().position(|item| matches!(item, Item::Command { is_new: false, .. }));
        let Some(at) = first else { return };
        let Some((fingerprint, answer)) = answer else {
            if let Some(Item::Command { is_new, .. }) = self.items.get_mut(at) {
                *is_new = true;
            }
            return;
        };
        if let Some(Item::Command { command, reply, .. }) = self.items.remove(at) {
            let is_same =
                command.repeat.as_ref().is_some_and(|repeat| is_fingerprint(&fingerprint, &repeat.fingerprint));
            let message = "was used for another call within 24 hours: use a new one";
            let _ = reply.send(if is_same {
                Ok(CommandReply::Repeated(answer))
            } else {
                Err(EngineError::Refused(Refusal::invalid("request_id", message)))
            });
        }
    }

    /// The inputs of the next decision: from the front of the queue up to and with the first command.
    pub fn batch(&self) -> Vec<Input> {
        let most = if self.one_at_a_time > 0 { 1 } else { BATCH_INPUTS_MAX };
        let mut inputs = Vec::new();
        for item in &self.items {
            match item {
                Item::Events { events, replies, .. } => {
                    inputs.extend(events[replies.len()..].iter().map(|event| Input::Event(Arc::clone(event))));
                }
                Item::Command { command, execution, .. } => {
                    inputs.push(Input::Command(Arc::clone(command), execution.clone().flatten()));
                    break;
                }
                Item::Outcome(ended) => inputs.push(Input::Outcome(ended.clone())),
                Item::Due(rows) => inputs.push(Input::Due(rows.clone())),
                Item::Resume(rows) => inputs.push(Input::Resume(rows.clone())),
                Item::Expired(expired) => inputs.push(Input::Expired(expired.clone())),
                Item::Job(rows) => inputs.push(Input::Job(rows.clone())),
                Item::Tidy => inputs.push(Input::Tidy),
            }
            if inputs.len() >= most {
                break;
            }
        }
        inputs.truncate(most);
        inputs
    }

    /// A decision looks at so many inputs: tells how long those have waited that no decision has looked at before.
    pub fn note_waits(&mut self, inputs: usize, mut note: impl FnMut(Duration)) {
        let mut looked_at = 0;
        for item in &mut self.items {
            if looked_at >= inputs {
                return;
            }
            looked_at += match item {
                Item::Events { events, replies, .. } => events.len() - replies.len(),
                _ => 1,
            };
            let (Item::Events { wait, .. } | Item::Command { wait, .. }) = item else { continue };
            if !std::mem::replace(&mut wait.is_noted, true) {
                note(wait.since.elapsed());
            }
        }
    }

    /// A decision on these inputs broke down. Answers whether one of them alone is at fault; otherwise each is tried
    /// alone.
    pub fn isolate(&mut self, inputs: usize) -> bool {
        if inputs > 1 {
            self.one_at_a_time = inputs;
        }
        inputs <= 1
    }

    /// One decision less to be made alone.
    pub fn decided(&mut self) {
        self.one_at_a_time = self.one_at_a_time.saturating_sub(1);
    }

    /// Turns the first call away; its decision broke down.
    pub fn fail_first_command(&mut self, message: &str) {
        if let Some(Item::Command { reply, .. }) = self.items.pop_front() {
            let _ = reply.send(Err(EngineError::Internal(message.to_owned())));
        }
    }

    /// Hands the answers to those who wait, oldest first. Answers the executions whose outcomes were among the inputs.
    pub fn hand_out(&mut self, replies: Vec<Reply>, metrics: &Metrics) -> Vec<ExecutionUid> {
        let mut ended_executions = Vec::new();
        self.forget_executions();
        for answer in replies {
            match (self.items.front_mut(), answer) {
                (Some(Item::Events { replies, events, .. }), Reply::Event(answer)) => {
                    replies.push(answer);
                    if replies.len() < events.len() {
                        continue;
                    }
                    if let Some(Item::Events { replies, reply, wait, .. }) = self.items.pop_front() {
                        metrics.answered("events", wait.since.elapsed());
                        let _ = reply.send(Ok(replies));
                    }
                }
                (Some(Item::Command { .. }), Reply::Command(answer)) => {
                    if let Some(Item::Command { reply, wait, .. }) = self.items.pop_front() {
                        metrics.answered("command", wait.since.elapsed());
                        let _ = reply.send(answer.map(CommandReply::Fresh).map_err(EngineError::Refused));
                    }
                }
                (Some(Item::Outcome(ended)), Reply::None) => {
                    ended_executions.push(ended.execution);
                    self.items.pop_front();
                }
                _ => {
                    self.items.pop_front();
                }
            }
        }
        // What was read for a job may not be true any more.
        self.items.retain(|item| !matches!(item, Item::Job(_)));
        ended_executions
    }

    /// In trouble callers are told at once; what the account owes the world stays queued.
    pub fn fail_callers(&mut self, message: &str) {
        for item in std::mem::take(&mut self.items) {
            match item {
                Item::Events { reply, .. } => {
                    let _ = reply.send(Err(EngineError::Unavailable(message.to_owned())));
                }
                Item::Command { reply, .. } => {
                    let _ = reply.send(Err(EngineError::Unavailable(message.to_owned())));
                }
                other => self.items.push_back(other),
            }
        }
    }
}
