//! Between the domain's values and the tables' rows.

mod job;
mod trail;
mod unreadable;
mod webhook;

use std::{collections::HashMap, sync::Arc};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

pub use self::{
    job::{job, job_row, job_state_word},
    trail::{added_fields, audit_entry, audit_rows, catalogue_row, notice, notice_rows},
    unreadable::{unreadable, unreadable_automation},
    webhook::{health, health_bytes, is_enabled, traffic, traffic_bytes, webhook, webhook_kind_word, webhook_row},
};
use super::{
    StoreError,
    entities::{accounts, attempts, automations, events, executions},
    seal::{SealContext, Sealer},
};
use crate::{
    domain::{
        account::{
            AccountFacts,
            change::{Change, RecordedAttempt},
            history::{HistorySummary, StateCounts},
            limits::{Backlog, Window},
        },
        attempt::{Attempt, Fate, Outcome, Reason},
        automation::{Activation, Automation, AutomationSpec, ReadAutomation},
        event::{Action, Event},
        execution::{NewExecution, Progress, State, Unfinished, WaitsFor, record::Record},
        id::{AccountId, AccountUid, AutomationUid, ExecutionUid, UserId},
        plan::{LimitOverrides, Plan},
        refusal::Violations,
        source::SourceKind,
        timestamp::Timestamp,
    },
    telemetry::chain,
};

/// How many partitions accounts are spread over.
const PARTITIONS: u32 = 256;
/// `admitted_window` of an execution that no window has admitted.
const NOT_ADMITTED: i64 = -1;
/// `due_at` of an execution whose request is under way.
pub const DUE_RUNNING: i64 = 0;

type Stored<T> = Result<T, StoreError>;

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    v: u8,
    #[serde(flatten)]
    value: T,
}

fn to_bytes<T: Serialize>(value: T) -> Stored<Vec<u8>> {
    serde_json::to_vec(&Versioned { v: 1, value }).map_err(StoreError::Encoding)
}

fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Stored<T> {
    serde_json::from_slice::<Versioned<T>>(bytes).map(|versioned| versioned.value).map_err(StoreError::Encoding)
}

/// A word that serde gives an enum, such as `ADVANCED`.
fn word<T: Serialize>(value: T) -> Stored<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        _ => Err(StoreError::Row("an enum is not a word".into())),
    }
}

fn from_word<T: DeserializeOwned>(word: &str) -> Stored<T> {
    serde_json::from_value(serde_json::Value::String(word.to_owned())).map_err(StoreError::Encoding)
}

fn parse<T: std::str::FromStr<Err = String>>(text: &str) -> Stored<T> {
    text.parse().map_err(StoreError::Row)
}

/// The partition of an account: stable for ever, so never change the hash (FNV-1a).
fn partition(id: &AccountId) -> i16 {
    let hash =
        id.as_str().bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    i16::try_from(hash % PARTITIONS).unwrap_or_default()
}

/// The row of a new account.
pub fn account_row(sealer: &Sealer, change: &Change, facts: &AccountFacts) -> Stored<accounts::Model> {
    Ok(accounts::Model {
        uid: change.account.0,
        id: change.account_id.to_string(),
        partition: partition(&change.account_id),
        plan: word(facts.plan)?,
        limits: limits_bytes(facts)?,
        revision: change.revision,
        facts_revision: facts.revision,
        window_no: change.window.no,
        window_start: change.window.start.0,
        window_used: change.window.used,
        next_due_at: change.next_due_at.map(|due| due.0),
        created_at: facts.created_at.0,
        updated_at: facts.updated_at.0,
        deleted_at: facts.deleted.then_some(facts.updated_at.0),
        paused: paused(change.backlog),
        counts: counts(&change.history)?,
        expires_at: change.history.expires_at.map(|time| time.0),
        expired_revision: change.history.expired_revision,
        sealed_data_key: Some(sealer.new_data_key(change.account.0)?),
    })
}

/// How many executions are in each state, as it is written.
pub fn counts(history: &HistorySummary) -> Stored<String> {
    let numbers: Vec<_> = history.counts.0.iter().chain([&history.regular_waiting]).collect();
    serde_json::to_string(&numbers).map_err(StoreError::Encoding)
}

/// What an account knows of its history, from its row.
pub fn history(row: &accounts::Model) -> Stored<HistorySummary> {
    let numbers: Vec<u64> = serde_json::from_str(&row.counts).map_err(StoreError::Encoding)?;
    let mut counts = StateCounts::default();
    counts.0.iter_mut().zip(&numbers).for_each(|(count, number)| *count = *number);
    Ok(HistorySummary {
        counts,
        regular_waiting: numbers.get(counts.0.len()).copied().unwrap_or_default(),
        expires_at: row.expires_at.map(Timestamp),
        expired_revision: row.expired_revision,
    })
}

/// How many are held back, as it is written.
pub fn paused(backlog: Backlog) -> i64 {
    i64::try_from(backlog.count).unwrap_or(i64::MAX)
}

#[derive(Serialize, Deserialize)]
struct StoredLimits {
    #[serde(default)]
    overrides: LimitOverrides,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run_out_limit: Option<u32>,
}

/// What replaces limits of the plan; none where nothing does.
pub fn limits_bytes(facts: &AccountFacts) -> Stored<Option<Vec<u8>>> {
    let limits = StoredLimits { overrides: facts.overrides, run_out_limit: facts.run_out_limit };
    let is_needed = facts.run_out_limit.is_some() || facts.overrides != LimitOverrides::default();
    is_needed.then(|| to_bytes(limits)).transpose()
}

/// The word of a plan.
pub fn plan_word(plan: Plan) -> Stored<String> {
    word(plan)
}

/// An account's facts.
pub fn account_facts(row: &accounts::Model) -> Stored<AccountFacts> {
    let limits: Option<StoredLimits> = row.limits.as_deref().map(from_bytes).transpose()?;
    Ok(AccountFacts {
        plan: from_word(&row.plan)?,
        overrides: limits.as_ref().map(|limits| limits.overrides).unwrap_or_default(),
        run_out_limit: limits.and_then(|limits| limits.run_out_limit),
        revision: row.facts_revision,
        created_at: Timestamp(row.created_at),
        updated_at: Timestamp(row.updated_at),
        deleted: row.deleted_at.is_some(),
    })
}

/// An account's window.
pub fn window(row: &accounts::Model) -> Window {
    Window { no: row.window_no, start: Timestamp(row.window_start), used: row.window_used }
}

/// The row of an automation.
pub fn automation_row(account: AccountUid, automation: &Automation) -> Stored<automations::Model> {
    Ok(automations::Model {
        account_uid: account.0,
        uid: automation.uid.0,
        id: automation.id.to_string(),
        display_name: automation.display_name.clone(),
        owner_user_id: automation.owner.to_string(),
        enabled: automation.enabled.into(),
        spec: to_bytes(&automation.spec)?,
        revision: automation.revision,
        created_at: automation.created_at.0,
        updated_at: automation.updated_at.0,
        deleted_at: None,
    })
}

/// An automation from its row and the users it is active for, if it can be read.
pub fn automation(row: automations::Model, active_for: &[String]) -> ReadAutomation {
    let aside = unreadable_automation(&row);
    readable_automation(row, active_for).map_err(|error| {
        let error = chain(&error);
        tracing::error!(automation.id = %aside.id, error, "an automation cannot be read; its events wait");
        aside
    })
}

fn readable_automation(row: automations::Model, active_for: &[String]) -> Stored<Automation> {
    let mut spec: AutomationSpec = from_bytes(&row.spec)?;
    spec.complete(Timestamp(row.updated_at));
    let mut faults = Violations::default();
    let compiled = spec.compile("automation", &mut faults).ok_or_else(|| {
        let why = faults.check().err().map(|refusal| refusal.to_string()).unwrap_or_default();
        StoreError::Row(format!("automation {} cannot be made ready: {why}", row.id))
    })?;
    let users: Vec<UserId> =
        active_for.iter().filter(|user| !user.is_empty()).map(|user| parse(user)).collect::<Stored<_>>()?;
    Ok(Automation {
        uid: AutomationUid(row.uid),
        id: parse(&row.id)?,
        spec,
        compiled,
        enabled: row.enabled != 0,
        activation: Activation { everyone: active_for.iter().any(String::is_empty), users },
        owner: parse(&row.owner_user_id)?,
        revision: row.revision,
        created_at: Timestamp(row.created_at),
        updated_at: Timestamp(row.updated_at),
        display_name: row.display_name,
    })
}

/// The row of an event.
pub fn event_row(account: AccountUid, event: &Event, now: Timestamp) -> Stored<events::Model> {
    Ok(events::Model {
        account_uid: account.0,
        event_id: event.id.to_string(),
        payload: event.to_stored().map_err(StoreError::Encoding)?,
        created_at: now.0,
    })
}

fn number<T: TryInto<i32>>(value: T) -> i32 {
    value.try_into().unwrap_or(i32::MAX)
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
pub fn due_number(progress: &Progress) -> Option<i64> {
    match progress.state {
        State::Running => Some(DUE_RUNNING),
        _ => progress.due_at.map(|due| due.0.max(DUE_RUNNING + 1)),
    }
}

/// What stands in the place of a webhook for what waits for the limit.
const LIMIT_KEY: Uuid = Uuid::nil();

/// The key of what an execution waits for.
pub fn waits_for_key(waits_for: WaitsFor) -> Uuid {
    waits_for.webhook().map_or(LIMIT_KEY, |webhook| webhook.0)
}

fn next_webhook(record: &Record, progress: &Progress) -> Option<Uuid> {
    let open = !progress.state.is_final();
    if progress.is_held_back() {
        return Some(LIMIT_KEY);
    }
    record.requests.get(progress.action_no).filter(|_| open).map(|request| request.webhook.0)
}

/// The row of a new execution.
pub fn execution_row(account: AccountUid, revision: i64, new: &NewExecution) -> Stored<executions::Model> {
    let progress = &new.progress;
    Ok(executions::Model {
        account_uid: account.0,
        uid: new.uid.0,
        source_kind: source_kind_number(new.source_kind),
        source_uid: new.source,
        event_id: new.event_id.to_string(),
        run: new.run,
        object: new.object.to_string(),
        action: action_number(new.action),
        entity_id: new.entity_id.to_string(),
        acting_user: new.acting_user.as_ref().map(ToString::to_string),
        state: state_number(progress.state),
        reason: progress.reason.map(|reason| reason.as_str().to_owned()),
        due_at: due_number(progress),
        next_webhook: next_webhook(&new.record, progress),
        admitted_window: progress.admitted.unwrap_or(NOT_ADMITTED),
        changed_revision: revision,
        retry_of: new.retry_of.map(|uid| uid.0),
        trace: new.record.trace.trace_id(),
        action_no: number(progress.action_no),
        attempts: number(progress.attempts),
        may_be_done: progress.may_be_done.into(),
        failed_actions: number(progress.failed_actions),
        created_at: new.created_at.0,
        ended_at: progress.ended_at.map(|time| time.0),
        requests: new.record.to_stored().map_err(StoreError::Encoding)?,
        webhooks: Some(webhooks_bytes(&new.record)),
    })
}

/// The webhooks of an execution, each once, one after the other.
fn webhooks_bytes(record: &Record) -> Vec<u8> {
    let mut webhooks: Vec<_> = record.requests.iter().map(|request| request.webhook.0).collect();
    webhooks.sort();
    webhooks.dedup();
    webhooks.iter().flat_map(|webhook| *webhook.as_bytes()).collect()
}

/// Whether an execution has a request to a webhook.
pub fn names_webhook(webhooks: &[u8], webhook: Uuid) -> bool {
    webhooks.chunks_exact(size_of::<Uuid>()).any(|one| one == webhook.as_bytes())
}

/// The columns that a step of an execution writes.
pub struct StepRow {
    pub uid: Uuid,
    pub state: i16,
    pub reason: Option<String>,
    pub due_at: Option<i64>,
    pub next_webhook: Option<Uuid>,
    pub action_no: i32,
    pub attempts: i32,
    pub may_be_done: i16,
    pub failed_actions: i32,
    pub ended_at: Option<i64>,
    pub admitted_window: i64,
}

/// The columns of a step.
pub fn step_row(execution: &Unfinished) -> StepRow {
    let progress = &execution.progress;
    StepRow {
        uid: execution.uid.0,
        state: state_number(progress.state),
        reason: progress.reason.map(|reason| reason.as_str().to_owned()),
        due_at: due_number(progress),
        next_webhook: next_webhook(&execution.record, progress),
        action_no: number(progress.action_no),
        attempts: number(progress.attempts),
        may_be_done: progress.may_be_done.into(),
        failed_actions: number(progress.failed_actions),
        ended_at: progress.ended_at.map(|time| time.0),
        admitted_window: progress.admitted.unwrap_or(NOT_ADMITTED),
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

/// The beginnings of bodies that are made from events, by the events' ids.
pub type Beginnings = HashMap<String, Arc<str>>;

/// What is frozen with an execution, from its row.
pub fn record(row: &executions::Model, beginnings: &Beginnings) -> Stored<Record> {
    Record::from_stored(&row.requests, beginnings.get(&row.event_id)).map_err(StoreError::Encoding)
}

/// What is frozen with an execution, for pages, which show no bodies: those that begin with an event are not whole here.
pub fn brief_record(row: &executions::Model) -> Stored<Record> {
    Record::from_stored(&row.requests, Some(&Arc::from(""))).map_err(StoreError::Encoding)
}

/// An unfinished execution from its row.
pub fn unfinished(row: &executions::Model, beginnings: &Beginnings) -> Stored<Unfinished> {
    Ok(Unfinished {
        uid: ExecutionUid(row.uid),
        source_kind: source_kind_of(row.source_kind)?,
        record: Arc::new(record(row, beginnings)?),
        progress: progress(row)?,
    })
}

/// The row of an attempt.
pub fn attempt_row(sealer: &Sealer, account: AccountUid, ended: &RecordedAttempt) -> Stored<attempts::Model> {
    let attempt = &ended.attempt;
    let place = attempt_context(account.0, ended.execution.0);
    let mut row = attempts::Model {
        account_uid: account.0,
        execution_uid: ended.execution.0,
        action_no: number(ended.action_no),
        number: number(ended.number),
        started_at: attempt.started_at.0,
        duration_us: attempt.duration_us,
        url: attempt.url.clone(),
        sealed_url: attempt.secret_url.as_ref().map(|url| sealer.seal_history(place, url.as_bytes())).transpose()?,
        status: None,
        error_kind: None,
        error_message: None,
        headers: None,
        excerpt: None,
        truncated: 0,
        fate: fate_number(ended.fate),
    };
    match &attempt.outcome {
        Outcome::Answer { status, headers, excerpt, truncated } => {
            row.status = Some((*status).into());
            row.headers = Some(serde_json::to_vec(headers).map_err(StoreError::Encoding)?);
            row.excerpt = Some(excerpt.clone());
            row.truncated = (*truncated).into();
        }
        Outcome::Error { kind, message, .. } => {
            row.error_kind = Some(kind.as_str().to_owned());
            row.error_message = Some(message.clone());
        }
    }
    Ok(row)
}

/// What an attempt's sealed URL belongs to.
pub fn attempt_context(account: Uuid, execution: Uuid) -> SealContext {
    SealContext { account, webhook: execution, field: "attempt_url" }
}

fn fate_number(fate: Fate) -> i16 {
    match fate {
        Fate::Open => 0,
        Fate::MayBeDone => 1,
        Fate::Succeeded => 2,
    }
}

/// What has become of an action after an attempt; of one that was written before that was, its status tells.
pub fn fate_of(number: i16, status: Option<i32>) -> Fate {
    let written = match number {
        2.. => Fate::Succeeded,
        1 => Fate::MayBeDone,
        _ => Fate::Open,
    };
    written.max(Fate::of_status(status.and_then(|status| u16::try_from(status).ok())))
}

/// An attempt from its row; its real URL only where it may be shown. What cannot be read of it is left out.
pub fn attempt(sealer: &Sealer, row: attempts::Model, shows_secrets: bool) -> Attempt {
    let place = attempt_context(row.account_uid, row.execution_uid);
    let sealed = row.sealed_url.as_deref().filter(|_| shows_secrets);
    let plain = sealed.and_then(|sealed| sealer.open(place, sealed).ok());
    let secret_url = plain.map(|plain| String::from_utf8_lossy(&plain).into_owned());
    let outcome = match row.status {
        Some(status) => Outcome::Answer {
            status: u16::try_from(status).unwrap_or_default(),
            headers: serde_json::from_slice(row.headers.as_deref().unwrap_or(b"[]")).unwrap_or_default(),
            excerpt: row.excerpt.unwrap_or_default(),
            truncated: row.truncated != 0,
        },
        None => Outcome::Error {
            kind: row.error_kind.as_deref().and_then(Reason::parse).unwrap_or(Reason::Connect),
            message: row.error_message.unwrap_or_default(),
            was_sent: false,
        },
    };
    Attempt { started_at: Timestamp(row.started_at), duration_us: row.duration_us, url: row.url, secret_url, outcome }
}
