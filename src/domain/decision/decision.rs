//! Decides what a batch of inputs makes of an account: a change, answers, and requests to send.

use std::{collections::HashSet, sync::Arc};

use uuid::Uuid;

use super::command::{Answer, Command};
pub(super) use super::draft::Draft;
use crate::domain::{
    account::{
        AccountFacts, AccountSlot,
        change::Change,
        history::Expired,
        job::JobRows,
        plan::{Limits, PlanLimits},
    },
    attempt::retry_policy::Schedule,
    automation::miss::Miss,
    event::{Event, Rejection},
    execution::{Attempt, Recorded, Unfinished, Unreadable, request::Record},
    id::{EventId, ExecutionUid, WebhookUid},
    refusal::Refusal,
    timestamp::Timestamp,
    webhook::Webhook,
};

/// Tests of what catches a fault need one: the decision on an event of this id breaks down.
#[cfg(test)]
pub const BREAKS_DOWN: &str = "breaks-down";

/// The same of outcomes: of an automation of this name.
#[cfg(test)]
pub const OUTCOME_BREAKS_DOWN: &str = "its outcome breaks down";
/// The same of rows that are due: of an automation of this name.
#[cfg(test)]
pub const DUE_BREAKS_DOWN: &str = "it breaks down when it is due";

/// What can happen to an account.
#[derive(Debug, Clone)]
pub enum Input {
    /// A call that changes something, and the execution that it is about, if it is about one that exists. A batch ends
    /// with its first command.
    Command(Arc<Command>, Option<Arc<Recorded>>),
    /// An event came in.
    Event(Arc<Event>),
    /// An attempt of an execution that is under way ended.
    Outcome(Ended),
    /// Rows were taken from what waits for a webhook.
    Due(DueRows),
    /// Executions that are written as running, but that nobody is sending.
    Resume(Vec<Unfinished>),
    /// Executions whose rows cannot be read, or cannot be decided on.
    Unreadable(Vec<Unreadable>),
    /// Executions have been kept for long enough.
    Expired(Expired),
    /// Executions that a job looks at next.
    Job(JobRows),
    /// Write down when the account must really be looked at next.
    Tidy,
}

/// An attempt that ended. Reported twice, it counts once.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The execution.
    pub execution: ExecutionUid,
    /// The action, from 0.
    pub action_no: usize,
    /// The attempt, from 1.
    pub attempt_no: u32,
    /// What happened.
    pub attempt: Arc<Attempt>,
}

/// Executions that wait for a webhook and are due, oldest first.
#[derive(Debug, Clone)]
pub struct DueRows {
    /// The webhook.
    pub webhook: WebhookUid,
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
        let Self { webhook, rows, unreadable, next } = self;
        let one = move |row: Option<Unfinished>, unreadable: Option<Unreadable>| {
            let (rows, unreadable) = (row.into_iter().collect(), unreadable.into_iter().collect());
            Self { webhook, rows, unreadable, next }
        };
        let readable: Vec<_> = rows.into_iter().map(|row| one(Some(row), None)).collect();
        readable.into_iter().chain(unreadable.into_iter().map(move |row| one(None, Some(row))))
    }
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

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventReply {
    /// Everything that it causes is durable, or it causes nothing.
    Accepted,
    /// Its id is stored already.
    Duplicate,
    /// It can never be accepted.
    Rejected(Rejection),
}

/// A request to send.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// The execution.
    pub execution: ExecutionUid,
    /// The action, from 0.
    pub action_no: usize,
    /// The attempt, from 1.
    pub attempt_no: u32,
    /// The execution's requests.
    pub record: Arc<Record>,
    /// The webhook as it is now.
    pub webhook: Arc<Webhook>,
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
}

/// What decisions need from the world.
pub struct Surroundings<'a> {
    /// The time.
    pub now: Timestamp,
    /// Makes a UUIDv7.
    pub uuid: &'a mut dyn FnMut() -> Uuid,
    /// Makes a random number.
    pub random: &'a mut dyn FnMut() -> u64,
    /// Makes a secret.
    pub secret: &'a mut dyn FnMut() -> [u8; 32],
    /// What the installation has configured.
    pub rules: &'a Rules,
    /// Takes a slot of all for a request to a webhook; asked right before it starts.
    pub slot: &'a mut dyn FnMut(WebhookUid) -> bool,
    /// Whether requests may start; not while the process is about to end.
    pub may_start: bool,
}

/// What the installation has configured.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The limits of each plan.
    pub plans: PlanLimits,
    /// How many executions of an account the limit holds back at most.
    pub paused_max: u64,
    /// How many executions of an account wait at most, for whatever reason.
    pub waiting_max: u64,
    /// How long ago an event may have happened; any time, where there is none.
    pub event_age_max_ms: Option<u64>,
    /// How long an execution may be held back.
    pub paused_age_max_ms: u64,
    /// How long an endpoint is left alone at first that answers nothing.
    pub breaker_open_ms: u64,
    /// How large a rendered body may be.
    pub body_bytes_max: usize,
    /// How long a window of executions is.
    pub window_length_ms: u64,
    /// When failed attempts are tried again.
    pub schedule: Schedule,
    /// Whether the clock is trusted; otherwise nothing is deleted, disabled, refused or ended because of its age.
    pub is_clock_trusted: bool,
}

impl Rules {
    /// The limits of an account.
    pub fn limits(&self, facts: &AccountFacts) -> Limits {
        self.plans.resolve(facts.plan, &facts.overrides)
    }
}

/// Decides on a batch, oldest input first. Fewer inputs may be taken than there are: as many as have a reply.
/// `known` are events that the journal has found stored.
pub fn decide<'a>(
    slot: &'a AccountSlot,
    inputs: &'a [Input],
    known: &'a HashSet<EventId>,
    around: &'a mut Surroundings<'_>,
) -> Decision {
    let mut draft = Draft::new(slot, known, around);
    let mut replies = Vec::with_capacity(inputs.len());
    for input in inputs {
        let ends_here = matches!(input, Input::Command(..));
        replies.push(draft.take(input));
        if ends_here || draft.is_full() {
            break;
        }
    }
    draft.finish(replies)
}

/// Whether a text is a W3C `traceparent` of version 0.
pub fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let parts: Vec<_> = text.split('-').collect();
    let lengths_fit = parts.iter().map(|part| part.len()).eq([2, 32, 16, 2]);
    lengths_fit
        && parts.iter().all(|part| hex(part))
        && parts[0] == "00"
        && parts[1].bytes().any(|byte| byte != b'0')
        && parts[2].bytes().any(|byte| byte != b'0')
}
