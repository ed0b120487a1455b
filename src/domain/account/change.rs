//! What a decision writes: whole, or not at all.

use std::sync::Arc;

use super::{
    audit::{Actor, AuditEntry},
    ended_notices::EndedNotices,
    facts::AccountFacts,
    history::{ExpiredExecutions, HistorySummary},
    job::Job,
    limits::{Backlog, Window},
    notice::Notice,
};
use crate::domain::{
    attempt::{Attempt, Fate},
    automation::{Automation, catalogue::Field},
    event::Event,
    execution::{NewExecution, Unfinished, WaitsFor},
    id::{AccountId, AccountUid, AutomationUid, ExecutionUid, ObjectName, RequestId, ResourceId, WebhookUid},
    timestamp::Timestamp,
    webhook::{Webhook, health::Health, rate::Bucket, traffic::Traffic},
};

/// How many rows a change may touch; a single event may exceed it.
pub const CHANGE_ROWS_MAX: usize = 1_000;
/// How large a change may be; a single event may exceed it.
pub const CHANGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How large the requests of all executions are that one event causes; those beyond are recorded without theirs.
pub const EVENT_REQUESTS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a decision writes about one account.
#[derive(Debug, Clone)]
pub struct Change {
    /// The account, inside.
    pub account: AccountUid,
    /// The account's id.
    pub account_id: AccountId,
    /// The revision that the account must still have; none where the change creates it.
    pub expected: Option<i64>,
    /// The revision that it has then.
    pub revision: i64,
    /// The window of executions.
    pub window: Window,
    /// The executions that the limit holds back.
    pub backlog: Backlog,
    /// How much history there is.
    pub history: HistorySummary,
    /// When the account must be looked at next; never later than the truth.
    pub next_due_at: Option<Timestamp>,
    /// The account's own facts, where they change.
    pub facts: Option<AccountFacts>,
    /// Webhooks to write.
    pub webhooks: Vec<WebhookChange>,
    /// How endpoints do.
    pub health: Vec<HealthChange>,
    /// How webhooks' attempts have gone; what is unwritten stays so.
    pub traffic: Vec<(WebhookUid, Traffic)>,
    /// How many requests may go to webhooks that have a limit, after those of this change.
    pub buckets: Vec<(WebhookUid, Bucket)>,
    /// What a test request is sent of.
    pub tested: Option<Tested>,
    /// Automations to write.
    pub automations: Vec<Arc<Automation>>,
    /// An automation to delete.
    pub deleted_automation: Option<DeletedAutomation>,
    /// Events to store.
    pub events: Vec<Arc<Event>>,
    /// New executions.
    pub executions: Vec<NewExecution>,
    /// Executions that went on.
    pub steps: Vec<ExecutionStep>,
    /// Attempts that ended.
    pub attempts: Vec<RecordedAttempt>,
    /// What is added to an object of the catalogue.
    pub catalogue: Option<ObjectFields>,
    /// Who changed what.
    pub audit: Vec<AuditEntry>,
    /// What people want to know of it.
    pub notices: Vec<Notice>,
    /// What was told of executions that failed or were stopped; not written.
    pub ended_notices: EndedNotices,
    /// Jobs to write.
    pub jobs: Vec<Arc<Job>>,
    /// Executions to delete.
    pub expired: Option<ExpiredExecutions>,
    /// The earliest time of what still waits in a line, after rows were taken from it.
    pub waiting: Vec<StillWaiting>,
    /// The answer to a repeatable call.
    pub answer: Option<StoredAnswer>,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// Whether it carries out a call, which is answered once it is durable.
    pub is_answered: bool,
    /// Whether it writes down when the account must really be looked at next.
    pub is_tidied: bool,
}

/// What a test request is sent of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tested {
    /// A webhook.
    Webhook(ResourceId),
    /// An automation.
    Automation(ResourceId),
}

/// A webhook that is made, or changed.
#[derive(Debug, Clone)]
pub struct WebhookChange {
    /// The webhook as it is then.
    pub webhook: Arc<Webhook>,
    /// Who did it.
    pub by: Actor,
}

/// An automation that is deleted.
#[derive(Debug, Clone, Copy)]
pub struct DeletedAutomation {
    /// The automation.
    pub uid: AutomationUid,
    /// When it is deleted.
    pub deleted_at: Timestamp,
}

/// The fields that a service adds to an object of the catalogue.
#[derive(Debug, Clone)]
pub struct ObjectFields {
    /// The object.
    pub object: ObjectName,
    /// Its fields.
    pub fields: Arc<Vec<Field>>,
}

/// A line from which rows were taken.
#[derive(Debug, Clone, Copy)]
pub struct StillWaiting {
    /// The line.
    pub waits_for: WaitsFor,
    /// The earliest time of what still waits in it; none where nothing does.
    pub next: Option<Timestamp>,
}

/// An execution that went on; its progress is the new one.
#[derive(Debug, Clone)]
pub struct ExecutionStep {
    /// The execution.
    pub execution: Unfinished,
    /// Whether a request of it was under way, and for which webhook.
    pub was_running: Option<WebhookUid>,
}

/// How an endpoint does after an attempt.
#[derive(Debug, Clone)]
pub struct HealthChange {
    /// The webhook.
    pub webhook: WebhookUid,
    /// How it does.
    pub health: Health,
    /// Whether that is worth writing down.
    pub is_written: bool,
}

/// An attempt that ended.
#[derive(Debug, Clone)]
pub struct RecordedAttempt {
    /// The execution.
    pub execution: ExecutionUid,
    /// The action, from 0.
    pub action_no: usize,
    /// The attempt, from 1.
    pub number: u32,
    /// The attempt, as it ended.
    pub attempt: Attempt,
    /// What has become of the action.
    pub fate: Fate,
}

/// The answer to a repeatable call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// The call's key.
    pub request_id: RequestId,
    /// What was asked, hashed: the key must not be used for anything else.
    pub fingerprint: Vec<u8>,
    /// The answer, encoded, without secrets.
    pub answer: Vec<u8>,
    /// When it was given.
    pub created_at: Timestamp,
}

impl Change {
    /// A change of nothing, of an account that has nothing.
    pub fn new(account: AccountUid, account_id: AccountId, expected: Option<i64>) -> Self {
        Self {
            account,
            account_id,
            expected,
            revision: expected.map_or(1, |revision| revision + 1),
            window: Window::default(),
            backlog: Backlog::default(),
            history: HistorySummary::default(),
            next_due_at: None,
            facts: None,
            webhooks: Vec::new(),
            health: Vec::new(),
            traffic: Vec::new(),
            buckets: Vec::new(),
            tested: None,
            automations: Vec::new(),
            deleted_automation: None,
            events: Vec::new(),
            executions: Vec::new(),
            steps: Vec::new(),
            attempts: Vec::new(),
            catalogue: None,
            audit: Vec::new(),
            notices: Vec::new(),
            ended_notices: EndedNotices::default(),
            jobs: Vec::new(),
            expired: None,
            waiting: Vec::new(),
            answer: None,
            decided_at: Timestamp::default(),
            is_answered: false,
            is_tidied: false,
        }
    }

    /// About how many rows it touches.
    pub fn rows(&self) -> usize {
        let expired = self.expired.as_ref().map_or(0, |expired| expired.rows.len());
        self.events.len() + self.executions.len() + self.steps.len() + self.attempts.len() + expired
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        let is_silent = !self.is_answered && !self.is_tidied;
        is_silent && self.rows() == 0 && self.waiting.is_empty() && self.expired.is_none() && self.jobs.is_empty()
    }

    /// Takes note of work that must be looked at by a time.
    pub fn due_by(&mut self, time: Timestamp) {
        self.next_due_at = Some(self.next_due_at.map_or(time, |known| known.min(time)));
    }
}
