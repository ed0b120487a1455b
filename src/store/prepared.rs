//! A change's rows, made before it waits for the journal: encoded and sealed by the account's own thread.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    StoreError,
    entities::{
        accounts, activations, answers, attempts, audit, automations, catalogue, events, executions, jobs, notices,
        webhooks,
    },
    rows::{self, StepRow},
    seal::Sealer,
};
use crate::domain::{account::change::Change, automation::Automation, id::AccountUid, timestamp::Timestamp};

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
    pub events: Vec<events::Model>,
    pub executions: Vec<executions::Model>,
    pub steps: Vec<StepRow>,
    pub attempts: Vec<attempts::Model>,
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
    pub executions: Vec<Uuid>,
    pub events: Vec<String>,
    /// What was deleted before this time for callers goes for good; none while there is more to look at.
    pub deleted_before: Option<i64>,
}

/// An account's own facts as columns.
pub struct Facts {
    pub plan: String,
    pub limits: Option<Vec<u8>>,
    pub revision: i64,
    pub updated_at: i64,
    pub deleted_at: Option<i64>,
}

impl Prepared {
    /// Makes rows of a change, before a lane writes them.
    pub fn new(change: &Change, sealer: &Sealer, now: Timestamp) -> Result<Self, StoreError> {
        let account = change.account;
        let created = match (&change.facts, change.expected) {
            (Some(facts), None) => Some(rows::account_row(sealer, change, facts)?),
            _ => None,
        };
        let facts = match &change.facts {
            Some(facts) if change.expected.is_some() => Some(Facts {
                plan: rows::plan_word(facts.plan)?,
                limits: rows::limits_bytes(facts)?,
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
            events: change.events.iter().map(|one| rows::event_row(account, one, now)).collect::<Result<_, _>>()?,
            executions: (change.executions.iter())
                .map(|one| rows::execution_row(account, change.revision, one))
                .collect::<Result<_, _>>()?,
            steps: change.steps.iter().map(|step| rows::step_row(&step.execution)).collect(),
            attempts: change
                .attempts
                .iter()
                .map(|one| rows::attempt_row(sealer, account, one))
                .collect::<Result<_, _>>()?,
            catalogue: (change.catalogue.as_ref())
                .map(|added| rows::catalogue_row(account, &added.object, &added.fields))
                .transpose()?,
            audit: rows::audit_rows(account, change, now)?,
            notices: rows::notice_rows(account, change, now)?,
            jobs: change.jobs.iter().map(|job| rows::job_row(account, job)).collect::<Result<_, _>>()?,
            expired: change.expired.as_ref().map(|expired| ExpiredKeys {
                executions: expired.rows.iter().map(|row| row.uid.0).collect(),
                events: expired.rows.iter().map(|row| row.event_id.to_string()).collect(),
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
        let events = self.events.iter().map(|event| event.payload.len()).sum::<usize>();
        let executions = self.executions.iter().map(|one| one.requests.len()).sum::<usize>();
        let attempts = self.attempts.iter().map(|one| one.excerpt.as_ref().map_or(0, Vec::len)).sum::<usize>();
        events + executions + attempts
    }

    /// About how many rows it has.
    pub fn rows(&self) -> usize {
        self.events.len()
            + self.executions.len()
            + self.steps.len()
            + self.attempts.len()
            + 1
            + self.expired.as_ref().map_or(0, |expired| expired.executions.len())
    }
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
