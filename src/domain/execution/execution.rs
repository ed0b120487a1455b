//! Executions: one run of one source for one event, its states, and what an attempt's outcome means for it.

use std::{collections::HashSet, sync::Arc};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::request::{Method, Record, Request};
use crate::domain::{
    attempt::retry_policy::{FailureClass, RetryPolicy, Schedule},
    event::{Action, Event},
    id::{EntityId, EventId, ExecutionUid, ObjectName, UserId, WebhookUid},
    timestamp::Timestamp,
};

/// How much of an answer is kept.
pub const RESPONSE_EXCERPT_BYTES_MAX: usize = 16 * 1024;

/// What an execution is a run of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// An automation.
    Automation,
    /// A regular webhook.
    RegularWebhook,
}

/// What executions wait for that the limit holds back, in the place of a webhook.
pub const THE_LIMIT: WebhookUid = WebhookUid(Uuid::nil());

/// Where an execution stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Durable, waiting for a slot or its time.
    Pending,
    /// A request is being sent.
    Running,
    /// The next attempt has a time.
    Retrying,
    /// Held back.
    Paused,
    /// Final: done.
    Succeeded,
    /// Final: an action failed.
    Failed,
    /// Final: ended by a rule before anything was sent.
    Stopped,
    /// Final: ended by a person.
    Cancelled,
}

impl State {
    /// Every state, in the order of the numbers on the wire and in the database, from 1.
    pub const ALL: [State; 8] = [
        State::Pending,
        State::Running,
        State::Retrying,
        State::Paused,
        State::Succeeded,
        State::Failed,
        State::Stopped,
        State::Cancelled,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Pending => "PENDING",
            State::Running => "RUNNING",
            State::Retrying => "RETRYING",
            State::Paused => "PAUSED",
            State::Succeeded => "SUCCEEDED",
            State::Failed => "FAILED",
            State::Stopped => "STOPPED",
            State::Cancelled => "CANCELLED",
        }
    }

    /// Whether it waits: for a slot, its time, or what holds it back.
    pub fn waits(self) -> bool {
        matches!(self, State::Pending | State::Retrying | State::Paused)
    }

    /// Whether it never changes again.
    pub fn is_final(self) -> bool {
        matches!(self, State::Succeeded | State::Failed | State::Stopped | State::Cancelled)
    }
}

/// Why an execution stands where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names are the meaning; DESIGN and the docs list them with remedies")]
pub enum Reason {
    WebhookDeleted,
    WebhookDisabled,
    Unauthorized,
    Rejected,
    ServerError,
    Timeout,
    Dns,
    Connect,
    Tls,
    Redirect,
    Gone,
    BlockedAddress,
    UnsafePath,
    ValueMissing,
    BodyTooLarge,
    RequestsTooLarge,
    ExecutionLimit,
    EndpointUnavailable,
    BacklogFull,
    PausedTooLong,
    Loop,
    Internal,
}

impl Reason {
    /// Every reason and its word.
    pub const WORDS: [(Reason, &'static str); 22] = [
        (Reason::WebhookDeleted, "WEBHOOK_DELETED"),
        (Reason::WebhookDisabled, "WEBHOOK_DISABLED"),
        (Reason::Unauthorized, "UNAUTHORIZED"),
        (Reason::Rejected, "REJECTED"),
        (Reason::ServerError, "SERVER_ERROR"),
        (Reason::Timeout, "TIMEOUT"),
        (Reason::Dns, "DNS"),
        (Reason::Connect, "CONNECT"),
        (Reason::Tls, "TLS"),
        (Reason::Redirect, "REDIRECT"),
        (Reason::BlockedAddress, "BLOCKED_ADDRESS"),
        (Reason::Gone, "GONE"),
        (Reason::UnsafePath, "UNSAFE_PATH"),
        (Reason::ValueMissing, "VALUE_MISSING"),
        (Reason::BodyTooLarge, "BODY_TOO_LARGE"),
        (Reason::RequestsTooLarge, "REQUESTS_TOO_LARGE"),
        (Reason::ExecutionLimit, "EXECUTION_LIMIT"),
        (Reason::EndpointUnavailable, "ENDPOINT_UNAVAILABLE"),
        (Reason::BacklogFull, "BACKLOG_FULL"),
        (Reason::PausedTooLong, "PAUSED_TOO_LONG"),
        (Reason::Loop, "LOOP"),
        (Reason::Internal, "INTERNAL"),
    ];

    /// The word on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(reason, _)| *reason == self).map_or("", |(_, word)| word)
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, known)| *known == word).map(|(reason, _)| *reason)
    }
}

/// One try to send a request, as it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took, in microseconds.
    pub duration_us: i64,
    /// The URL with the endpoint's query values masked.
    pub url: String,
    /// The real URL where masking hides something; sealed when stored.
    pub secret_url: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// An answer came.
    Answer {
        /// The HTTP status.
        status: u16,
        /// Headers that help to understand it.
        headers: Vec<(String, String)>,
        /// The beginning of the body.
        excerpt: Vec<u8>,
        /// Whether the body was longer, or did not end in time.
        truncated: bool,
    },
    /// No answer came.
    Error {
        /// What kind of failure.
        kind: Reason,
        /// More about it.
        message: String,
        /// Whether the endpoint may have got the request.
        was_sent: bool,
    },
}

/// What has become of an action, as far as its attempts tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Fate {
    /// It was not carried out.
    #[default]
    Open,
    /// It may have been carried out.
    MayBeDone,
    /// It succeeded.
    Succeeded,
}

/// What an outcome means for the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It arrived.
    Success,
    /// It did not, and may when tried again.
    Retry(Reason),
    /// It never will.
    Failure(Reason),
}

impl Outcome {
    /// What kind of failure it is, if it is one that may be tried again.
    pub fn failure_class(&self) -> Option<FailureClass> {
        match self {
            Outcome::Answer { status: 408, .. } | Outcome::Error { kind: Reason::Timeout, .. } => {
                Some(FailureClass::Timeout)
            }
            Outcome::Answer { status: 425 | 429, .. } => Some(FailureClass::Throttled),
            Outcome::Answer { status: 500..=599, .. } => Some(FailureClass::ServerError),
            Outcome::Error { kind: Reason::Dns | Reason::Connect | Reason::Tls, .. } => Some(FailureClass::Transport),
            _ => None,
        }
    }

    /// Whether it says nothing about the endpoint: a fault of ours.
    pub fn is_ours(&self) -> bool {
        matches!(self, Outcome::Error { kind: Reason::Internal, .. })
    }

    /// Whether it arrived.
    pub fn is_success(&self) -> bool {
        matches!(self.verdict(), Verdict::Success)
    }

    /// Whether the endpoint says that what was asked for is gone for good.
    pub fn is_gone(&self) -> bool {
        matches!(self, Outcome::Answer { status: 410, .. })
    }

    /// Whether the endpoint may have done what was asked, although it did not say so.
    pub fn may_be_done(&self) -> bool {
        match self {
            Outcome::Answer { status, .. } => matches!(status, 408 | 500..=599),
            Outcome::Error { was_sent, .. } => *was_sent,
        }
    }

    /// Whether there is nothing that a `DELETE` could delete.
    fn finds_nothing(&self) -> bool {
        matches!(self, Outcome::Answer { status: 404 | 410, .. })
    }

    /// What has become of an action after this attempt: it arrived, or deletes what one before may have deleted.
    pub fn fate(&self, request: &Request, before: &Progress) -> Fate {
        let may_be_done = before.may_be_done || request.may_be_done;
        let is_deleted = request.method == Method::Delete && may_be_done && self.finds_nothing();
        match () {
            () if self.is_success() || is_deleted => Fate::Succeeded,
            () if may_be_done || self.may_be_done() => Fate::MayBeDone,
            () => Fate::Open,
        }
    }

    /// What it means.
    pub fn verdict(&self) -> Verdict {
        match self {
            Outcome::Answer { status, .. } => match status {
                200..=299 => Verdict::Success,
                300..=399 => Verdict::Failure(Reason::Redirect),
                401 | 403 => Verdict::Failure(Reason::Unauthorized),
                408 => Verdict::Retry(Reason::Timeout),
                410 => Verdict::Failure(Reason::Gone),
                425 | 429 => Verdict::Retry(Reason::Rejected),
                500..=599 => Verdict::Retry(Reason::ServerError),
                _ => Verdict::Failure(Reason::Rejected),
            },
            Outcome::Error { kind, .. } => match kind {
                Reason::Timeout | Reason::Dns | Reason::Connect | Reason::Tls | Reason::Internal => {
                    Verdict::Retry(*kind)
                }
                _ => Verdict::Failure(*kind),
            },
        }
    }
}

/// A new execution as it is written.
#[derive(Debug, Clone)]
pub struct NewExecution {
    /// The execution.
    pub uid: ExecutionUid,
    /// What kind of thing it is a run of.
    pub source_kind: SourceKind,
    /// What it is a run of, inside.
    pub source: Uuid,
    /// The event.
    pub event_id: EventId,
    /// 0 for the event's own run.
    pub run: i32,
    /// The kind of object.
    pub object: ObjectName,
    /// What happened.
    pub action: Action,
    /// Which object.
    pub entity_id: EntityId,
    /// The acting user.
    pub acting_user: Option<UserId>,
    /// The execution that it runs again.
    pub retry_of: Option<ExecutionUid>,
    /// Whether the event says that an execution has caused it.
    pub is_caused: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// Where it stands at first.
    pub progress: Progress,
    /// Its requests.
    pub record: Arc<Record>,
}

/// Where an execution stands, as it is written at each step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The state.
    pub state: State,
    /// Why.
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

/// An unfinished execution, as far as its account must know it.
#[derive(Debug, Clone)]
pub struct Unfinished {
    /// The execution.
    pub uid: ExecutionUid,
    /// What kind of thing it is a run of.
    pub source_kind: SourceKind,
    /// Its requests.
    pub record: Arc<Record>,
    /// Where it stands.
    pub progress: Progress,
}

impl Unfinished {
    /// The request that is next or under way.
    pub fn request(&self) -> Option<&Request> {
        self.record.requests.get(self.progress.action_no)
    }

    /// The webhook of that request.
    pub fn webhook(&self) -> Option<WebhookUid> {
        self.request().map(|request| request.webhook)
    }

    /// What it waits for: its webhook, or the limit.
    pub fn waits_for(&self) -> Option<WebhookUid> {
        if self.progress.is_held_back() { Some(THE_LIMIT) } else { self.webhook() }
    }
}

/// An execution that has not ended and that nobody can go on with: its row cannot be read, or every decision on it breaks
/// down. It ends, and its account goes on.
#[derive(Debug, Clone)]
pub struct Unreadable {
    /// The execution.
    pub uid: ExecutionUid,
    /// What kind of thing it is a run of.
    pub source_kind: SourceKind,
    /// Where it stands.
    pub progress: Progress,
    /// The webhook whose slot it has, if this account's memory says that it is running.
    pub was_running: Option<WebhookUid>,
}

impl From<&Unfinished> for Unreadable {
    fn from(execution: &Unfinished) -> Self {
        let Unfinished { uid, source_kind, progress, .. } = execution.clone();
        Self { uid, source_kind, progress, was_running: None }
    }
}

/// An execution as the history has it, as far as calls about it must know it.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The execution.
    pub execution: Unfinished,
    /// What it is a run of, inside.
    pub source: Uuid,
    /// Its event; none where that cannot be read.
    pub event: Option<Arc<Event>>,
    /// Its event's id.
    pub event_id: EventId,
    /// Its run.
    pub run: i32,
    /// The last run of its source for its event.
    pub last_run: i32,
    /// The kind of object.
    pub object: ObjectName,
    /// What happened.
    pub action: Action,
    /// Which object.
    pub entity_id: EntityId,
    /// The acting user.
    pub acting_user: Option<UserId>,
    /// Its actions that succeeded, from 0, those that it left out because of a run before among them.
    pub succeeded: HashSet<usize>,
    /// Those of the others that may have been carried out.
    pub may_be_done: HashSet<usize>,
}

impl Recorded {
    /// Takes note of what became of each action, as far as its attempts tell.
    pub fn note_fates(&mut self, fates: impl Fn(usize) -> Fate) {
        let progress = &self.execution.progress;
        for (action, request) in self.execution.record.requests.iter().enumerate() {
            let is_under_way = progress.action_no == action && progress.may_be_done;
            let fate = match fates(action) {
                _ if request.is_left_out => Fate::Succeeded,
                fate if is_under_way || request.may_be_done => fate.max(Fate::MayBeDone),
                fate => fate,
            };
            match fate {
                Fate::Succeeded => self.succeeded.insert(action),
                Fate::MayBeDone => self.may_be_done.insert(action),
                Fate::Open => false,
            };
        }
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
    (policy, schedule): (&RetryPolicy, &Schedule),
    random: u64,
    now: Timestamp,
) -> Progress {
    let mut progress = Progress { attempts: before.attempts + 1, reason: None, ..before.clone() };
    let Some(request) = record.requests.get(before.action_no) else {
        return advance(record, progress, now);
    };
    let fate = outcome.fate(request, before);
    if fate == Fate::Succeeded {
        return advance(record, progress.next_action(), now);
    }
    progress.may_be_done = fate == Fate::MayBeDone;
    let failure = match outcome.verdict() {
        // It would have completed the request.
        Verdict::Success => return advance(record, progress.next_action(), now),
        Verdict::Retry(reason) => match policy.delay_ms(schedule, progress.attempts, outcome, random, now) {
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
#[path = "tests/execution.rs"]
mod tests;
