//! Between the domain's values and the tables' rows.

mod attempt;
mod execution;
mod job;
pub mod keys;
pub mod packing;
mod trail;
mod unreadable;
mod webhook;

use std::borrow::Cow;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use self::{
    attempt::{
        AttemptRow, StoredAttempt, attempt, attempt_context, attempt_row, is_first, outcome_bytes, stored_attempt,
    },
    execution::{
        Beginnings, DUE_RUNNING, EventPlace, ExecutionRow, Keys, NOT_ADMITTED, PartRow, StepRow, Unpacked, action_of,
        brief_record, event, execution_row, names_webhook, needs_event, progress, record, source_kind_of, state_number,
        state_of, step_row, uid, uid_of, unfinished, webhooks_bytes,
    },
    job::{job, job_row, job_state_word},
    trail::{added_fields, audit_entry, audit_rows, catalogue_row, notice, notice_rows},
    unreadable::{unreadable, unreadable_automation},
    webhook::{health, health_bytes, is_enabled, traffic, traffic_bytes, webhook, webhook_kind_word, webhook_row},
};
use super::{
    StoreError,
    entities::{accounts, automations},
    seal::Sealer,
};
use crate::{
    domain::{
        account::{
            AccountFacts, IngestIdentity,
            change::Change,
            history::{HistorySummary, StateCounts},
            limits::{Backlog, Window},
        },
        automation::{Activation, Automation, AutomationSpec, ReadAutomation},
        id::{AccountId, AccountUid, AutomationUid, UserId},
        plan::{LimitOverrides, Plan},
        refusal::Violations,
        timestamp::Timestamp,
    },
    telemetry::chain,
};

/// How many partitions accounts are spread over.
const PARTITIONS: u32 = 256;

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
        ingest_identities: ingest_identities_bytes(facts)?,
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

#[derive(Serialize, Deserialize)]
struct StoredIdentities<'a> {
    identities: Cow<'a, [IngestIdentity]>,
}

/// Who may publish without a token; none where nobody may.
pub fn ingest_identities_bytes(facts: &AccountFacts) -> Stored<Option<Vec<u8>>> {
    let identities = facts.ingest_identities.as_slice();
    let stored = (!identities.is_empty()).then_some(StoredIdentities { identities: Cow::Borrowed(identities) });
    stored.map(to_bytes).transpose()
}

/// The word of a plan.
pub fn plan_word(plan: Plan) -> Stored<String> {
    word(plan)
}

/// An account's facts.
pub fn account_facts(row: &accounts::Model) -> Stored<AccountFacts> {
    let limits: Option<StoredLimits> = row.limits.as_deref().map(from_bytes).transpose()?;
    let identities: Option<StoredIdentities<'_>> = row.ingest_identities.as_deref().map(from_bytes).transpose()?;
    Ok(AccountFacts {
        plan: from_word(&row.plan)?,
        overrides: limits.as_ref().map(|limits| limits.overrides).unwrap_or_default(),
        run_out_limit: limits.and_then(|limits| limits.run_out_limit),
        ingest_identities: identities.map(|stored| stored.identities.into_owned()).unwrap_or_default(),
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

/// A small number as it is written.
fn number<T: TryInto<i32>>(value: T) -> i32 {
    value.try_into().unwrap_or(i32::MAX)
}
