//! What waits in an account: outcomes, rows, calls and events, each kind oldest first, with those who wait for an answer.
//!
//! A decision takes outcomes first, then rows that are due, then a call or events, in turn: whoever publishes fast never
//! holds up what was promised before. A quarter of each change is left to calls and events.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::{
    domain::{
        account::{change::CHANGE_ROWS_MAX, due::DueRows, history::ExpiredExecutions, job::JobRows},
        attempt::AttemptReport,
        decision::{EventReply, Input, Reply, command::Command},
        event::Event,
        execution::{Recorded, Unfinished, Unreadable},
        id::{AccountUid, ExecutionUid, RequestId},
        refusal::Refusal,
    },
    engine::calls::{CommandReply, EngineError, Order, RESTART_REST},
    store::FirstAnswer,
    telemetry::Metrics,
};

/// How many events one decision looks at.
const BATCH_EVENTS_MAX: usize = 1_000;
/// How many rows outcomes and what is due may touch in a change, while a call or events wait, too.
const OWN_ROWS_MAX: usize = CHANGE_ROWS_MAX - CHANGE_ROWS_MAX / 4;
/// How many rows an outcome touches: its execution's and its attempt's.
const OUTCOME_ROWS: usize = 2;

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

    /// Tells how long it has waited, the first time that it is asked.
    fn note(&mut self, note: &mut impl FnMut(Duration)) {
        if !std::mem::replace(&mut self.is_noted, true) {
            note(self.since.elapsed());
        }
    }
}

/// Events that wait to be decided, in part decided.
pub struct Events {
    pub events: Vec<Arc<Event>>,
    pub replies: Vec<EventReply>,
    pub order: Order,
    pub reply: oneshot::Sender<Result<Vec<EventReply>, EngineError>>,
    pub wait: Wait,
}

impl Events {
    /// Answers that they are to be sent again; so are those behind them.
    fn turn_away(self, error: &EngineError) {
        self.order.end();
        let _ = self.reply.send(Err(error.clone()));
    }
}

/// The execution that a call is about, if it is about one.
#[derive(Clone)]
pub enum Subject {
    /// It was not looked for.
    Unread,
    /// What the database has of it.
    Read(Option<Arc<Recorded>>),
}

impl Subject {
    fn read(&self) -> Option<Arc<Recorded>> {
        match self {
            Subject::Unread => None,
            Subject::Read(found) => found.clone(),
        }
    }
}

/// A call that waits to be decided.
pub struct Call {
    pub command: Arc<Command>,
    /// Whether it is known to be no repetition.
    pub is_new: bool,
    /// The execution that the call is about.
    pub execution: Subject,
    pub reply: oneshot::Sender<Result<CommandReply, EngineError>>,
    pub wait: Wait,
}

/// What was read, and waits to be decided.
#[derive(Clone)]
pub enum Rows {
    Due(DueRows),
    Resume(Vec<Unfinished>),
    Unreadable(Vec<Unreadable>),
    Expired(ExpiredExecutions),
    Job(JobRows),
    Tidy,
}

impl Rows {
    fn count(&self) -> usize {
        match self {
            Rows::Due(due) => due.rows.len() + due.unreadable.len(),
            Rows::Resume(rows) => rows.len(),
            Rows::Unreadable(rows) => rows.len(),
            Rows::Expired(expired) => expired.rows.len(),
            Rows::Job(_) | Rows::Tidy => 1,
        }
    }

    fn input(&self) -> Input {
        match self {
            Rows::Due(rows) => Input::Due(rows.clone()),
            Rows::Resume(rows) => Input::Resume(rows.clone()),
            Rows::Unreadable(rows) => Input::Unreadable(rows.clone()),
            Rows::Expired(expired) => Input::Expired(expired.clone()),
            Rows::Job(rows) => Input::Job(rows.clone()),
            Rows::Tidy => Input::Tidy,
        }
    }
}

/// Which queue an input of a decision came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Outcome,
    Rows,
    Call,
    Event,
}

/// All that waits for the account's next decision.
#[derive(Default)]
pub struct Queue {
    outcomes: VecDeque<AttemptReport>,
    rows: VecDeque<Rows>,
    calls: VecDeque<Call>,
    events: VecDeque<Events>,
    /// Where the inputs of the decision that is being made came from.
    taken: Vec<Kind>,
    /// The inputs that are decided alone, after a decision on all of them broke down.
    alone: VecDeque<Kind>,
    /// Whether events had their turn last, not a call.
    is_turn_of_calls: bool,
}

impl Queue {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.outcomes.is_empty() && self.rows.is_empty() && self.calls.is_empty() && self.events.is_empty()
    }

    /// An attempt ended.
    pub fn push_outcome(&mut self, ended: AttemptReport) {
        self.outcomes.push_back(ended);
    }

    /// Rows were read.
    pub fn push_rows(&mut self, rows: Rows) {
        self.rows.push_back(rows);
    }

    /// A call came in.
    pub fn push_call(&mut self, call: Call) {
        self.calls.push_back(call);
    }

    /// Events came in.
    pub fn push_events(&mut self, events: Events) {
        if events.order.has_ended() {
            let why = "events before these were turned away: send them all again in their order".to_owned();
            return events.turn_away(&EngineError::Unavailable { why, retry_after: RESTART_REST });
        }
        self.events.push_back(events);
    }

    /// Forgets what a fresh reading of the account brings again.
    pub fn forget_own(&mut self) {
        self.outcomes.clear();
        self.rows.clear();
        self.alone.clear();
        self.forget_executions();
    }

    /// Whether rows were read that are not decided yet.
    pub fn has_rows(&self) -> bool {
        self.rows.iter().any(|rows| !matches!(rows, Rows::Tidy))
    }

    /// The key of the call whose stored answer must be looked for before the next decision: that of the first call
    /// in the queue, if it may be a repetition.
    pub fn repetition(&self) -> Option<RequestId> {
        let call = self.calls.front().filter(|call| !call.is_new)?;
        call.command.repeat.as_ref().map(|repeat| repeat.request_id.clone())
    }

    /// The execution that must be read before the next decision: that of the first call in the queue.
    pub fn execution(&self) -> Option<ExecutionUid> {
        self.calls.front().filter(|call| matches!(call.execution, Subject::Unread))?.command.execution()
    }

    /// The execution of the first call was looked for.
    pub fn found_execution(&mut self, found: Option<Recorded>) {
        if let Some(call) = self.calls.front_mut() {
            call.execution = Subject::Read(found.map(Arc::new));
        }
    }

    /// No call has its execution read any more: something may have changed it.
    fn forget_executions(&mut self) {
        for call in &mut self.calls {
            call.execution = Subject::Unread;
        }
    }

    /// The first call may be a repetition: answer it as before, or let it be decided.
    pub fn answer_repetition(
        &mut self,
        answer: Option<FirstAnswer>,
        is_fingerprint: impl Fn(AccountUid, &[u8], &[u8]) -> bool,
    ) {
        let Some(call) = self.calls.front_mut().filter(|call| !call.is_new) else { return };
        let Some(FirstAnswer { account, fingerprint, answer }) = answer else {
            call.is_new = true;
            return;
        };
        let Some(Call { command, reply, .. }) = self.calls.pop_front() else { return };
        let is_same =
            command.repeat.as_ref().is_some_and(|repeat| is_fingerprint(account, &fingerprint, &repeat.fingerprint));
        let message = "was used for another call within 24 hours: use a new one";
        let _ = reply.send(if is_same {
            Ok(CommandReply::Repeated(answer))
        } else {
            Err(EngineError::Refused(Refusal::invalid("request_id", message)))
        });
    }

    /// The inputs of the next decision.
    pub fn batch(&mut self) -> Vec<Input> {
        self.taken.clear();
        let mut inputs = Vec::new();
        if let Some(kind) = self.next_alone() {
            self.taken.push(kind);
            inputs.extend(self.first(kind));
            return inputs;
        }
        let others_wait = !self.calls.is_empty() || !self.events.is_empty();
        let rows_max = if others_wait { OWN_ROWS_MAX } else { CHANGE_ROWS_MAX };
        let outcomes = self.outcomes.len().min((rows_max / OUTCOME_ROWS).max(1));
        inputs.extend(self.outcomes.iter().take(outcomes).cloned().map(Input::Outcome));
        self.taken.resize(outcomes, Kind::Outcome);
        let mut own = outcomes * OUTCOME_ROWS;
        for rows in &self.rows {
            if own > 0 && own + rows.count() > rows_max {
                break;
            }
            own += rows.count();
            inputs.push(rows.input());
            self.taken.push(Kind::Rows);
        }
        if !self.calls.is_empty() && (self.events.is_empty() || self.is_turn_of_calls) {
            inputs.extend(self.first(Kind::Call));
            self.taken.push(Kind::Call);
            return inputs;
        }
        let waiting = self.events.iter().flat_map(|item| &item.events[item.replies.len()..]);
        inputs.extend(waiting.take(BATCH_EVENTS_MAX).map(|event| Input::Event(Arc::clone(event))));
        self.taken.resize(inputs.len(), Kind::Event);
        inputs
    }

    /// The kind of the next input that is decided alone, if one of that kind still waits.
    fn next_alone(&mut self) -> Option<Kind> {
        while let Some(kind) = self.alone.pop_front() {
            if self.first(kind).is_some() {
                return Some(kind);
            }
        }
        None
    }

    /// The oldest input of a kind.
    fn first(&self, kind: Kind) -> Option<Input> {
        match kind {
            Kind::Outcome => self.outcomes.front().cloned().map(Input::Outcome),
            Kind::Rows => self.rows.front().map(Rows::input),
            Kind::Call => {
                self.calls.front().map(|call| Input::Command(Arc::clone(&call.command), call.execution.read()))
            }
            Kind::Event => {
                let item = self.events.front()?;
                item.events.get(item.replies.len()).map(|event| Input::Event(Arc::clone(event)))
            }
        }
    }

    /// A decision looks at its inputs: tells how long those have waited that no decision has looked at before.
    pub fn note_waits(&mut self, mut note: impl FnMut(Duration)) {
        if self.taken.contains(&Kind::Call)
            && let Some(call) = self.calls.front_mut()
        {
            call.wait.note(&mut note);
        }
        let mut events = self.taken.iter().filter(|kind| **kind == Kind::Event).count();
        for item in &mut self.events {
            if events == 0 {
                return;
            }
            events = events.saturating_sub(item.events.len() - item.replies.len());
            item.wait.note(&mut note);
        }
    }

    /// A decision on its inputs broke down. Answers whether one of them alone is at fault; otherwise each is tried
    /// alone.
    pub fn isolate(&mut self) -> bool {
        if self.taken.len() > 1 {
            self.alone = self.taken.iter().copied().collect();
        }
        self.taken.len() <= 1
    }

    /// Rows that a decision broke down on are decided in smaller parts. Answers the rows where there is only one, which
    /// is taken out of the queue.
    pub fn split_rows(&mut self) -> Option<Rows> {
        let rows = self.rows.pop_front()?;
        let mut parts: Vec<Rows> = match rows {
            Rows::Due(due) if due.rows.len() + due.unreadable.len() > 1 => due.split().map(Rows::Due).collect(),
            Rows::Resume(rows) if rows.len() > 1 => rows.into_iter().map(|row| Rows::Resume(vec![row])).collect(),
            Rows::Unreadable(rows) if rows.len() > 1 => {
                rows.into_iter().map(|row| Rows::Unreadable(vec![row])).collect()
            }
            one => return Some(one),
        };
        self.alone = std::iter::repeat_n(Kind::Rows, parts.len()).chain(self.alone.drain(..)).collect();
        while let Some(part) = parts.pop() {
            self.rows.push_front(part);
        }
        None
    }

    /// Takes the oldest outcome out, which cannot be decided.
    pub fn drop_outcome(&mut self) -> Option<AttemptReport> {
        self.outcomes.pop_front()
    }

    /// Puts what is left of an input that broke a decision before everything else that was read.
    pub fn push_rows_first(&mut self, rows: Rows) {
        self.rows.push_front(rows);
        self.alone.push_front(Kind::Rows);
    }

    /// Turns the first call away; its decision broke down.
    pub fn fail_first_call(&mut self, message: &str) {
        if let Some(Call { reply, .. }) = self.calls.pop_front() {
            let _ = reply.send(Err(EngineError::Internal(message.to_owned())));
        }
    }

    /// Hands the answers to those whose inputs were decided, in the order of the inputs. Answers the executions whose
    /// outcomes were among them.
    pub fn hand_out(&mut self, replies: Vec<Reply>, metrics: &Metrics) -> Vec<ExecutionUid> {
        let mut ended_executions = Vec::new();
        self.forget_executions();
        for (kind, answer) in std::mem::take(&mut self.taken).into_iter().zip(replies) {
            // Whoever was not answered, because the journal has found an event stored or another revision, has its turn
            // still: what was found is known for the next decision only.
            match kind {
                Kind::Call => self.is_turn_of_calls = false,
                Kind::Event => self.is_turn_of_calls = true,
                Kind::Outcome | Kind::Rows => {}
            }
            match (kind, answer) {
                (Kind::Event, Reply::Event(answer)) => self.answer_event(answer, metrics),
                (Kind::Call, Reply::Command(answer)) => {
                    if let Some(Call { reply, wait, .. }) = self.calls.pop_front() {
                        metrics.answered("command", wait.since.elapsed());
                        let _ = reply.send(answer.map(CommandReply::Fresh).map_err(EngineError::Refused));
                    }
                }
                (Kind::Outcome, _) => ended_executions.extend(self.outcomes.pop_front().map(|ended| ended.execution)),
                (Kind::Rows, _) => drop(self.rows.pop_front()),
                (Kind::Event | Kind::Call, _) => {}
            }
        }
        // What was read for a job may not be true any more.
        self.rows.retain(|rows| !matches!(rows, Rows::Job(_)));
        ended_executions
    }

    fn answer_event(&mut self, answer: EventReply, metrics: &Metrics) {
        let Some(item) = self.events.front_mut() else { return };
        item.replies.push(answer);
        if item.replies.len() < item.events.len() {
            return;
        }
        if let Some(Events { replies, reply, wait, .. }) = self.events.pop_front() {
            metrics.answered("events", wait.since.elapsed());
            let _ = reply.send(Ok(replies));
        }
    }

    /// Turns away frames with events that cannot be decided now, and those behind them.
    pub fn refuse_events(&mut self, waits: impl Fn(&Event) -> bool, error: &EngineError) {
        let mut kept = VecDeque::with_capacity(self.events.len());
        for item in self.events.drain(..) {
            if item.order.has_ended() || item.events.iter().any(|event| waits(event)) {
                item.turn_away(error);
            } else {
                kept.push_back(item);
            }
        }
        self.events = kept;
    }

    /// In trouble callers are told at once; what the account owes the world stays queued.
    pub fn fail_callers(&mut self, error: &EngineError) {
        for item in self.events.drain(..) {
            item.turn_away(error);
        }
        for call in self.calls.drain(..) {
            let _ = call.reply.send(Err(error.clone()));
        }
    }
}

#[cfg(test)]
#[path = "tests/queue.rs"]
mod tests;
