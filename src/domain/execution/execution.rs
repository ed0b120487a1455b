//! Executions: one run of one source for one event, its states, and what an attempt's outcome means for it.

use std::{collections::HashSet, sync::Arc};

use uuid::Uuid;

use super::{WaitsFor, progress::Progress, record::Record, request::Request};
use crate::domain::{
    attempt::Fate,
    event::{Action, Event},
    id::{EntityId, EventId, ExecutionUid, ObjectName, UserId, WebhookUid},
    source::SourceKind,
    timestamp::Timestamp,
};

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
    /// What happened to the object.
    pub action: Action,
    /// The id of the object.
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
    /// Its event, where it has been stored before: a run by a person keeps it with itself.
    pub event: Option<Arc<Event>>,
}

/// An unfinished execution, as far as its account must know it.
#[derive(Debug, Clone)]
pub struct Unfinished {
    /// The execution.
    pub uid: ExecutionUid,
    /// What kind of thing it is a run of.
    pub source_kind: SourceKind,
    /// Whether it tells of a notice of the service itself.
    pub is_of_notice: bool,
    /// Its requests.
    pub record: Arc<Record>,
    /// Where it stands.
    pub progress: Progress,
}

impl From<&NewExecution> for Unfinished {
    fn from(new: &NewExecution) -> Self {
        Self {
            uid: new.uid,
            source_kind: new.source_kind,
            is_of_notice: new.object.is_notice(),
            record: Arc::clone(&new.record),
            progress: new.progress.clone(),
        }
    }
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

    /// What it waits for, if it has not ended.
    pub fn waits_for(&self) -> Option<WaitsFor> {
        if self.progress.is_held_back() { Some(WaitsFor::Limit) } else { self.webhook().map(WaitsFor::Webhook) }
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
    /// Whether it tells of a notice of the service itself.
    pub is_of_notice: bool,
    /// Where it stands.
    pub progress: Progress,
    /// The webhook whose slot it has, if this account's memory says that it is running.
    pub was_running: Option<WebhookUid>,
}

impl From<&Unfinished> for Unreadable {
    fn from(execution: &Unfinished) -> Self {
        let Unfinished { uid, source_kind, is_of_notice, progress, .. } = execution.clone();
        Self { uid, source_kind, is_of_notice, progress, was_running: None }
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
    /// What happened to the object.
    pub action: Action,
    /// The id of the object.
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
