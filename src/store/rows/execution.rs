//! Executions and their rows.

use std::{collections::HashMap, sync::Arc};

use uuid::Uuid;

use super::{
    Stored,
    keys::{EventHash, PartKind, RowKey, account_key, key_of, part_key, waits_for_key},
    number, packing,
};
use crate::{
    domain::{
        attempt::Reason,
        event::{Action, Event},
        execution::{NewExecution, Progress, State, Unfinished, WaitsFor, notification::beginning, record::Record},
        id::{AccountUid, ExecutionUid, NOTICE_OBJECT},
        source::SourceKind,
        timestamp::Timestamp,
    },
    store::{StoreError, entities::executions},
};

/// `admitted_window` of an execution that no window has admitted.
pub const NOT_ADMITTED: i64 = -1;
/// `due_at` of an execution whose request is under way.
pub const DUE_RUNNING: i64 = 0;
/// How large a part may be, packed, to stand in its execution's row, which every attempt writes anew.
const INLINE_BYTES_MAX: usize = 2_048;

/// Which execution of which account a row is.
#[derive(Debug, Clone, Copy)]
pub struct Keys {
    /// The account.
    pub account: AccountUid,
    /// The execution.
    pub execution: ExecutionUid,
}

/// The id of an execution from its row.
pub fn uid(account: AccountUid, row: &executions::Model) -> ExecutionUid {
    uid_of(account, row.id, row.uid)
}

/// The id of an execution from its number, and the id that it had before there were numbers.
pub fn uid_of(account: AccountUid, number: i64, carried: Option<Uuid>) -> ExecutionUid {
    carried.map_or_else(|| ExecutionUid::of_number(account, number), ExecutionUid)
}

/// The number of a state on the wire and in the database, from 1.
pub fn state_number(state: State) -> i16 {
    State::ALL.iter().position(|known| *known == state).and_then(|at| i16::try_from(at + 1).ok()).unwrap_or_default()
}

/// The state of a number.
pub fn state_of(number: i16) -> Stored<State> {
    usize::try_from(number - 1)
        .ok()
        .and_then(|at| State::ALL.get(at).copied())
        .ok_or_else(|| StoreError::Row(format!("{number} is no state")))
}

fn action_number(action: Action) -> i16 {
    match action {
        Action::Create => 1,
        Action::Change => 2,
        Action::Delete => 3,
    }
}

/// The action of a number.
pub fn action_of(number: i16) -> Stored<Action> {
    match number {
        1 => Ok(Action::Create),
        2 => Ok(Action::Change),
        3 => Ok(Action::Delete),
        _ => Err(StoreError::Row(format!("{number} is no action"))),
    }
}

/// The number of a kind of source in the database.
pub fn source_kind_number(kind: SourceKind) -> i16 {
    match kind {
        SourceKind::Automation => 1,
        SourceKind::RegularWebhook => 2,
    }
}

/// The kind of source of a number.
pub fn source_kind_of(number: i16) -> Stored<SourceKind> {
    match number {
        1 => Ok(SourceKind::Automation),
        2 => Ok(SourceKind::RegularWebhook),
        _ => Err(StoreError::Row(format!("{number} is no kind of source"))),
    }
}

/// `due_at` as it is written: 0 while a request is under way.
fn due_number(progress: &Progress) -> Option<i64> {
    match progress.state {
        State::Running => Some(DUE_RUNNING),
        _ => progress.due_at.map(|due| due.0.max(DUE_RUNNING + 1)),
    }
}

fn waits_for(record: &Record, progress: &Progress) -> Option<i64> {
    let open = !progress.state.is_final();
    if progress.is_held_back() {
        return Some(waits_for_key(WaitsFor::Limit));
    }
    record.requests.get(progress.action_no).filter(|_| open).map(|request| key_of(request.webhook.0))
}

/// Where the event of a new execution stands.
#[derive(Clone, Copy)]
pub enum EventPlace<'e> {
    /// In its own part.
    Own(&'e Event),
    /// In a part that other executions share, of so many bytes.
    Shared(i64, usize),
    /// It is not stored.
    Nowhere,
}

/// A part that stands in a row of its own.
pub struct PartRow {
    /// Its key.
    pub id: i64,
    /// The part, packed.
    pub bytes: Vec<u8>,
}

/// The columns of a new execution.
pub struct ExecutionRow {
    pub id: i64,
    pub source: i64,
    pub event: i64,
    pub due_at: Option<i64>,
    pub waits_for: Option<i64>,
    pub admitted_window: i64,
    pub changed_revision: i64,
    pub created_at: i64,
    pub ended_at: Option<i64>,
    pub event_part: Option<i64>,
    pub retry_of: Option<Uuid>,
    pub run: i32,
    pub action_no: i32,
    pub attempts: i32,
    pub failed_actions: i32,
    pub weight: i32,
    pub source_kind: i16,
    pub action: i16,
    pub state: i16,
    pub may_be_done: i16,
    pub object: String,
    pub event_id: String,
    pub entity_id: String,
    pub acting_user: Option<String>,
    pub reason: Option<&'static str>,
    pub webhooks: Vec<u8>,
    pub part: Option<Vec<u8>>,
}

/// The row of a new execution, and its part where that is too large for it.
pub fn execution_row(
    hash: EventHash,
    account: AccountUid,
    revision: i64,
    new: &NewExecution,
    event: EventPlace<'_>,
) -> Stored<(ExecutionRow, Option<PartRow>)> {
    let progress = &new.progress;
    let id = new.uid.number(account).ok_or_else(|| StoreError::Row("a new execution has no number".into()))?;
    let (own, event_part, shared_bytes) = match event {
        EventPlace::Own(event) => (Some(event), None, 0),
        EventPlace::Shared(part, bytes) => (None, Some(part), bytes),
        EventPlace::Nowhere => (None, None, 0),
    };
    let written = packing::pack_written(|out| {
        let event = |out: &mut Vec<u8>| own.map_or(Ok(()), |event| event.store_into(out));
        packing::write_contents(out, event, |out| new.record.store_into(out))
    });
    let (packed, plain_bytes) = written.map_err(StoreError::Encoding)?;
    let is_large = packed.len() > INLINE_BYTES_MAX;
    let (part, large) = match is_large {
        true => (None, Some(PartRow { id: part_key(id, PartKind::Own), bytes: packed })),
        false => (Some(packed), None),
    };
    let row = ExecutionRow {
        id,
        source: key_of(new.source),
        event: hash.of(account_key(account), new.event_id.as_str()),
        due_at: due_number(progress),
        waits_for: waits_for(&new.record, progress),
        admitted_window: progress.admitted.unwrap_or(NOT_ADMITTED),
        changed_revision: revision,
        created_at: new.created_at.0,
        ended_at: progress.ended_at.map(|time| time.0),
        event_part,
        retry_of: new.retry_of.map(|uid| uid.0),
        run: new.run,
        action_no: number(progress.action_no),
        attempts: number(progress.attempts),
        failed_actions: number(progress.failed_actions),
        weight: number(plain_bytes + shared_bytes),
        source_kind: source_kind_number(new.source_kind),
        action: action_number(new.action),
        state: state_number(progress.state),
        may_be_done: progress.may_be_done.into(),
        object: new.object.to_string(),
        event_id: new.event_id.to_string(),
        entity_id: new.entity_id.to_string(),
        acting_user: new.acting_user.as_ref().map(ToString::to_string),
        reason: progress.reason.map(Reason::as_str),
        webhooks: webhooks_bytes(new.record.requests.iter().map(|request| request.webhook.0)),
        part,
    };
    Ok((row, large))
}

/// The keys of an execution's webhooks, each once, one after the other.
pub fn webhooks_bytes(webhooks: impl Iterator<Item = Uuid>) -> Vec<u8> {
    let mut keys: Vec<_> = webhooks.map(key_of).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.iter().flat_map(|key| key.to_be_bytes()).collect()
}

/// Whether an execution has a request to a webhook of a key.
pub fn names_webhook(webhooks: &[u8], key: i64) -> bool {
    webhooks.chunks_exact(size_of::<i64>()).any(|one| one == key.to_be_bytes())
}

/// The columns that a step of an execution writes.
pub struct StepRow {
    pub key: RowKey,
    pub state: i16,
    pub reason: Option<&'static str>,
    pub due_at: Option<i64>,
    pub waits_for: Option<i64>,
    pub action_no: i32,
    pub attempts: i32,
    pub may_be_done: i16,
    pub failed_actions: i32,
    pub ended_at: Option<i64>,
    pub admitted_window: i64,
    /// Its first attempt, where that has ended with it.
    pub outcome: Option<Vec<u8>>,
}

/// The columns of a step.
pub fn step_row(account: AccountUid, execution: &Unfinished) -> StepRow {
    let progress = &execution.progress;
    StepRow {
        key: RowKey::of(account, execution.uid),
        state: state_number(progress.state),
        reason: progress.reason.map(Reason::as_str),
        due_at: due_number(progress),
        waits_for: waits_for(&execution.record, progress),
        action_no: number(progress.action_no),
        attempts: number(progress.attempts),
        may_be_done: progress.may_be_done.into(),
        failed_actions: number(progress.failed_actions),
        ended_at: progress.ended_at.map(|time| time.0),
        admitted_window: progress.admitted.unwrap_or(NOT_ADMITTED),
        outcome: None,
    }
}

/// Where an execution stands, from its row.
pub fn progress(row: &executions::Model) -> Stored<Progress> {
    Ok(Progress {
        state: state_of(row.state)?,
        reason: row.reason.as_deref().and_then(Reason::parse),
        due_at: row.due_at.filter(|due| *due != DUE_RUNNING).map(Timestamp),
        action_no: usize::try_from(row.action_no).unwrap_or_default(),
        attempts: u32::try_from(row.attempts).unwrap_or_default(),
        may_be_done: row.may_be_done != 0,
        failed_actions: u32::try_from(row.failed_actions).unwrap_or_default(),
        ended_at: row.ended_at.map(Timestamp),
        admitted: Some(row.admitted_window).filter(|window| *window != NOT_ADMITTED),
    })
}

/// What was read and unpacked of an execution beside its row.
#[derive(Debug, Clone)]
pub struct Unpacked {
    /// Its record.
    pub record: Vec<u8>,
    /// Its event, where it is stored and was asked for.
    pub event: Option<Arc<[u8]>>,
}

/// The beginnings of bodies that are made from events, by the events' ids, each made once.
pub type Beginnings = HashMap<String, Arc<str>>;

/// The event of an execution, if it can be read.
pub fn event(row: &executions::Model, unpacked: &Unpacked) -> Option<Event> {
    let payload = unpacked.event.as_deref()?;
    row.event_id.parse().ok().and_then(|id| Event::from_stored(id, payload).ok())
}

/// Whether the bodies of an execution begin with its event.
pub fn needs_event(row: &executions::Model) -> bool {
    row.source_kind == source_kind_number(SourceKind::RegularWebhook)
}

/// What is frozen with an execution. Executions of regular webhooks need the beginning of their event's body.
pub fn record(row: &executions::Model, unpacked: &Unpacked, beginnings: &mut Beginnings) -> Stored<Record> {
    let is_regular = needs_event(row);
    if is_regular && !beginnings.contains_key(&row.event_id) {
        // The executions of an event that cannot be read cannot be read either, and say so.
        beginnings.extend(event(row, unpacked).map(|event| (row.event_id.clone(), beginning(&event))));
    }
    let beginning = beginnings.get(&row.event_id).filter(|_| is_regular);
    Record::from_stored(&unpacked.record, beginning).map_err(StoreError::Encoding)
}

/// What is frozen with an execution, for pages, which show no bodies: those that begin with an event are not whole here.
pub fn brief_record(unpacked: &Unpacked) -> Stored<Record> {
    Record::from_stored(&unpacked.record, Some(&Arc::from(""))).map_err(StoreError::Encoding)
}

/// An unfinished execution from its row.
pub fn unfinished(
    account: AccountUid,
    row: &executions::Model,
    unpacked: &Unpacked,
    beginnings: &mut Beginnings,
) -> Stored<Unfinished> {
    Ok(Unfinished {
        uid: uid(account, row),
        source_kind: source_kind_of(row.source_kind)?,
        is_of_notice: row.object == NOTICE_OBJECT,
        record: Arc::new(record(row, unpacked, beginnings)?),
        progress: progress(row)?,
    })
}
