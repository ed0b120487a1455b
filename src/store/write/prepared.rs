//! A change's rows, made before it waits for the journal: encoded and sealed by the account's own thread.

use std::{collections::HashMap, sync::Arc};

use uuid::Uuid;

use crate::{
    domain::{
        account::change::Change,
        automation::Automation,
        event::Event,
        id::{AccountUid, EventId, ExecutionUid},
        timestamp::Timestamp,
    },
    store::{
        StoreError,
        entities::{accounts, activations, answers, audit, automations, catalogue, jobs, notices, webhooks},
        rows::{
            self, AttemptRow, EventPlace, ExecutionRow, PartRow, StepRow,
            keys::{EventHash, PartKind, RowKey, account_key, part_key},
            packing,
        },
        seal::Sealer,
    },
};

/// Rows of attempts, each with the key of its execution's.
type AttemptRows = Vec<(RowKey, AttemptRow)>;

/// The rows of a change, ready to be written.
pub struct Prepared {
    pub account: AccountUid,
    pub expected: Option<i64>,
    pub change: AccountStep,
    pub created: Option<accounts::Model>,
    pub facts: Option<Facts>,
    pub webhooks: Vec<webhooks::Model>,
    /// How endpoints do, by webhook.
    pub health: Vec<(Uuid, Vec<u8>)>,
    /// How their attempts have gone, by webhook.
    pub traffic: Vec<(Uuid, Vec<u8>)>,
    pub automations: Vec<automations::Model>,
    pub activations: Vec<activations::Model>,
    pub deleted_automation: Option<(Uuid, i64)>,
    /// The events that must be new: their hashes and ids.
    pub events: Vec<(i64, String)>,
    pub executions: Vec<ExecutionRow>,
    pub parts: Vec<PartRow>,
    pub steps: Vec<StepRow>,
    pub attempts: AttemptRows,
    pub catalogue: Option<catalogue::Model>,
    pub audit: Vec<audit::Model>,
    pub notices: Vec<notices::Model>,
    pub jobs: Vec<jobs::Model>,
    pub expired: Option<ExpiredKeys>,
    pub answer: Option<answers::Model>,
}

/// What is written of an account itself with every change.
pub struct AccountStep {
    pub revision: i64,
    pub window_no: i64,
    pub window_start: i64,
    pub window_used: i64,
    pub next_due_at: Option<i64>,
    pub paused: i64,
    pub counts: String,
    pub expires_at: Option<i64>,
    pub expired_revision: i64,
}

/// Rows to delete.
pub struct ExpiredKeys {
    pub executions: Vec<RowKey>,
    /// What was deleted before this time for callers goes for good; none while there is more to look at.
    pub deleted_before: Option<i64>,
}

/// An account's own facts as columns.
pub struct Facts {
    pub plan: String,
    pub limits: Option<Vec<u8>>,
    pub ingest_identities: Option<Vec<u8>>,
    pub revision: i64,
    pub updated_at: i64,
    pub deleted_at: Option<i64>,
}

impl Prepared {
    /// Makes rows of a change, before a lane writes them.
    pub fn new(change: &Change, sealer: &Sealer, hash: EventHash, now: Timestamp) -> Result<Self, StoreError> {
        let account = change.account;
        let (executions, parts) = execution_rows(change, hash)?;
        let (steps, attempts) = step_rows(change, sealer)?;
        let created = match (&change.facts, change.expected) {
            (Some(facts), None) => Some(rows::account_row(sealer, change, facts)?),
            _ => None,
        };
        let facts = match &change.facts {
            Some(facts) if change.expected.is_some() => Some(Facts {
                plan: rows::plan_word(facts.plan)?,
                limits: rows::limits_bytes(facts)?,
                ingest_identities: rows::ingest_identities_bytes(facts)?,
                revision: facts.revision,
                updated_at: facts.updated_at.0,
                deleted_at: facts.deleted.then_some(facts.updated_at.0),
            }),
            _ => None,
        };
        let collect = |automation: &Arc<Automation>| activation_rows(account, automation);
        Ok(Self {
            account,
            expected: change.expected,
            change: AccountStep {
                revision: change.revision,
                window_no: change.window.no,
                window_start: change.window.start.0,
                window_used: change.window.used,
                next_due_at: change.next_due_at.map(|due| due.0),
                paused: rows::paused(change.backlog),
                counts: rows::counts(&change.history)?,
                expires_at: change.history.expires_at.map(|time| time.0),
                expired_revision: change.history.expired_revision,
            },
            created,
            facts,
            webhooks: change
                .webhooks
                .iter()
                .map(|one| rows::webhook_row(sealer, account, &one.webhook))
                .collect::<Result<_, _>>()?,
            health: change
                .health
                .iter()
                .filter(|change| change.is_written)
                .map(|change| Ok((change.webhook.0, rows::health_bytes(&change.health)?)))
                .collect::<Result<_, StoreError>>()?,
            traffic: change
                .traffic
                .iter()
                .filter(|(_, traffic)| !traffic.is_unwritten())
                .map(|(webhook, traffic)| Ok((webhook.0, rows::traffic_bytes(traffic)?)))
                .collect::<Result<_, StoreError>>()?,
            automations: change
                .automations
                .iter()
                .map(|one| rows::automation_row(account, one))
                .collect::<Result<_, _>>()?,
            activations: change.automations.iter().flat_map(collect).collect(),
            deleted_automation: change.deleted_automation.map(|gone| (gone.uid.0, gone.deleted_at.0)),
            events: (change.events.iter())
                .map(|event| (hash.of(account_key(account), event.id.as_str()), event.id.to_string()))
                .collect(),
            executions,
            parts,
            steps,
            attempts,
            catalogue: (change.catalogue.as_ref())
                .map(|added| rows::catalogue_row(account, &added.object, &added.fields))
                .transpose()?,
            audit: rows::audit_rows(account, change, now)?,
            notices: rows::notice_rows(account, change, now)?,
            jobs: change.jobs.iter().map(|job| rows::job_row(account, job)).collect::<Result<_, _>>()?,
            expired: change.expired.as_ref().map(|expired| ExpiredKeys {
                executions: expired.rows.iter().map(|row| RowKey::of(account, row.uid)).collect(),
                deleted_before: expired.next.is_none().then_some(expired.ended_before.0),
            }),
            answer: (change.answer.as_ref())
                .map(|answer| {
                    Ok::<_, StoreError>(answers::Model {
                        account_uid: account.0,
                        request_id: answer.request_id.to_string(),
                        account_id: Some(change.account_id.to_string()),
                        fingerprint: fingerprint(sealer, change, &answer.fingerprint)?,
                        answer: answer.answer.clone(),
                        created_at: answer.created_at.0,
                    })
                })
                .transpose()?,
        })
    }

    /// About how many bytes of events, requests and answers it has.
    pub fn bytes(&self) -> usize {
        let executions = self.executions.iter().map(|one| one.part.as_ref().map_or(0, Vec::len)).sum::<usize>();
        let parts = self.parts.iter().map(|part| part.bytes.len()).sum::<usize>();
        let outcomes = self.steps.iter().map(|step| step.outcome.as_ref().map_or(0, Vec::len)).sum::<usize>();
        let attempts = self.attempts.iter().map(|(_, attempt)| attempt.bytes.len()).sum::<usize>();
        executions + parts + outcomes + attempts
    }

    /// About how many rows it has.
    pub fn rows(&self) -> usize {
        self.executions.len()
            + self.parts.len()
            + self.steps.len()
            + self.attempts.len()
            + 1
            + self.expired.as_ref().map_or(0, |expired| expired.executions.len())
    }
}

/// The rows of new executions, and the parts that stand in rows of their own: an event that several of them share, and what
/// is large.
fn execution_rows(change: &Change, hash: EventHash) -> Result<(Vec<ExecutionRow>, Vec<PartRow>), StoreError> {
    let mut counts: HashMap<&EventId, usize> = HashMap::new();
    for new in &change.executions {
        *counts.entry(&new.event_id).or_default() += 1;
    }
    let events: HashMap<&EventId, &Arc<Event>> = change.events.iter().map(|event| (&event.id, event)).collect();
    let (mut rows, mut parts) = (Vec::with_capacity(change.executions.len()), Vec::new());
    let mut shared: HashMap<&EventId, (i64, usize)> = HashMap::new();
    for new in &change.executions {
        let event = match events.get(&new.event_id) {
            Some(event) if counts.get(&new.event_id).is_some_and(|count| *count > 1) => {
                let (id, bytes) = match shared.get(&new.event_id) {
                    Some(known) => *known,
                    None => {
                        let (bytes, length) =
                            packing::pack_written(|out| event.store_into(out)).map_err(StoreError::Encoding)?;
                        let id = part_key(new.uid.number(change.account).unwrap_or_default(), PartKind::Event);
                        parts.push(PartRow { id, bytes });
                        shared.insert(&new.event_id, (id, length));
                        (id, length)
                    }
                };
                EventPlace::Shared(id, bytes)
            }
            Some(event) => EventPlace::Own(event),
            None => new.event.as_deref().map_or(EventPlace::Nowhere, EventPlace::Own),
        };
        let (row, large) = rows::execution_row(hash, change.account, change.revision, new, event)?;
        rows.push(row);
        parts.extend(large);
    }
    Ok((rows, parts))
}

/// The rows of steps, with the first attempt of an execution where that has ended, and those of other attempts.
fn step_rows(change: &Change, sealer: &Sealer) -> Result<(Vec<StepRow>, AttemptRows), StoreError> {
    let account = change.account;
    let mut steps: Vec<_> = change.steps.iter().map(|step| rows::step_row(account, &step.execution)).collect();
    let at: HashMap<ExecutionUid, usize> =
        change.steps.iter().enumerate().map(|(at, step)| (step.execution.uid, at)).collect();
    let mut attempts = Vec::new();
    for ended in &change.attempts {
        let step = at.get(&ended.execution).copied();
        let execution = step.and_then(|at| change.steps.get(at)).map(|step| &step.execution);
        let row = rows::attempt_row(sealer, account, ended, execution.map(|execution| &*execution.record))?;
        let is_first = execution.is_some_and(|execution| rows::is_first(ended, execution));
        match step.and_then(|at| steps.get_mut(at)).filter(|_| is_first && row.fits_inline()) {
            Some(step) => step.outcome = Some(row.bytes),
            None => attempts.push((RowKey::of(account, ended.execution), row)),
        }
    }
    Ok((steps, attempts))
}

/// The fingerprint of a call. That of one which deletes the account must outlive the account's own key.
fn fingerprint(sealer: &Sealer, change: &Change, asked: &[u8]) -> Result<Vec<u8>, StoreError> {
    match &change.facts {
        Some(facts) if facts.deleted => sealer.fingerprint_of_installation(asked),
        _ => sealer.fingerprint(change.account.0, asked),
    }
}

fn activation_rows(account: AccountUid, automation: &Automation) -> Vec<activations::Model> {
    let everyone = automation.activation.everyone.then(String::new);
    let users = automation.activation.users.iter().map(ToString::to_string);
    everyone
        .into_iter()
        .chain(users)
        .map(|user_id| activations::Model { account_uid: account.0, automation_uid: automation.uid.0, user_id })
        .collect()
}
