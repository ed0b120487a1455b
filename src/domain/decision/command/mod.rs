//! Calls that change an account's own things: checked here, whoever calls.

mod account;
mod automation;
mod catalogue;
mod execution;
mod job;
mod webhook;

use std::{collections::HashMap, sync::Arc};

use secrecy::SecretString;
use uuid::Uuid;

pub(super) use self::job::go_on;
pub use self::{automation::draft_automation, webhook::TESTS_AT_ONCE_MAX};
use super::draft::Draft;
use crate::domain::{
    account::{
        Account, AccountFacts,
        change::StoredAnswer,
        job::{Job, JobTask, Retry},
    },
    attempt::retry_policy::RetryPolicy,
    automation::{
        Automation, Method,
        catalogue::{Catalogue, Field},
        condition::GroupSpec,
        template::BodySpec,
    },
    caller::Caller,
    event::Action,
    execution::{NewExecution, Recorded, filter::ExecutionFilter},
    id::{AccountId, ExecutionUid, JobUid, ObjectName, RequestId, ResourceId, UserId},
    plan::{LimitOverrides, Plan},
    refusal::{Precondition, Refusal},
    timestamp::Timestamp,
    url::EndpointUrl,
    webhook::{Webhook, WebhookKind, credentials::Credentials, subscription::Subscription},
};

/// A call that changes something.
#[derive(Debug)]
pub struct Command {
    /// Who calls.
    pub caller: Caller,
    /// What is asked.
    pub task: Task,
    /// How the call can be repeated with one effect.
    pub repeat: Option<Repeat>,
}

impl Command {
    /// Makes its key good for its caller only: the answer to one is no answer to another.
    pub fn bind_to_caller(&mut self) {
        let who = match &self.caller {
            Caller::Service { .. } => "service".to_owned(),
            Caller::GlobalAdmin { user, .. } => format!("global_admin {user}"),
            Caller::User { user, .. } => format!("user {user}"),
        };
        if let Some(repeat) = &mut self.repeat {
            repeat.fingerprint.extend_from_slice(who.as_bytes());
        }
    }

    /// The execution that must be read before the call is decided.
    pub fn execution(&self) -> Option<ExecutionUid> {
        match &self.task {
            Task::CancelExecution { uid } | Task::RetryExecution { uid, .. } => Some(*uid),
            _ => None,
        }
    }
}

/// What makes a call repeatable.
#[derive(Debug)]
pub struct Repeat {
    /// The call's key.
    pub request_id: RequestId,
    /// What is asked, hashed.
    pub fingerprint: Vec<u8>,
    /// Encodes the answer without secrets.
    pub encode: fn(&Answer) -> Vec<u8>,
}

/// What is asked.
#[derive(Debug)]
#[expect(missing_docs, reason = "the wire documents each call and field")]
pub enum Task {
    CreateAccount { plan: Plan },
    SetPlan { plan: Plan, etag: String },
    SetLimits { overrides: LimitOverrides, etag: String },
    DeleteAccount { etag: String },
    CreateWebhook { id: Option<ResourceId>, webhook: NewWebhook },
    UpdateWebhook { id: ResourceId, etag: String, patch: WebhookPatch },
    DeleteWebhook { id: ResourceId, etag: String },
    RotateSecret { id: ResourceId, overlap_ms: u64 },
    TestWebhook { id: ResourceId, under_way: usize },
    CreateAutomation { id: Option<ResourceId>, automation: NewAutomation },
    UpdateAutomation { id: ResourceId, etag: String, patch: AutomationPatch },
    DeleteAutomation { id: ResourceId, etag: String },
    Activate { id: ResourceId, whom: Whom },
    Deactivate { id: ResourceId, whom: Whom },
    CancelExecution { uid: ExecutionUid },
    RetryExecution { uid: ExecutionUid, retry: Retry },
    StartJob { task: JobTask, filter: ExecutionFilter },
    CancelJob { uid: JobUid },
    SetFields { object: ObjectName, fields: Arc<Vec<Field>> },
}

/// Whose events an automation is, or is no longer, triggered by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    /// The caller's own.
    Caller,
    /// Those of these users.
    Users(Vec<UserId>),
    /// Everyone's.
    Everyone,
}

/// A webhook to create.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "as in `Webhook`")]
pub struct NewWebhook {
    pub display_name: String,
    pub kind: WebhookKind,
    pub endpoint: EndpointUrl,
    pub credentials: Credentials,
    pub retry: RetryPolicy,
    pub requests_per_second: Option<u32>,
    pub owner: Option<UserId>,
    pub subscription: Option<Subscription>,
}

/// What to change of a webhook.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "as in `Webhook`")]
pub struct WebhookPatch {
    pub display_name: Option<String>,
    pub endpoint: Option<EndpointUrl>,
    pub credentials: Option<Credentials>,
    pub retry: Option<RetryPolicy>,
    pub requests_per_second: Option<Option<u32>>,
    pub subscription: Option<Subscription>,
    pub enabled: Option<bool>,
}

/// An automation to create.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "as in `Automation`")]
pub struct NewAutomation {
    pub display_name: String,
    pub object: ObjectName,
    pub action: Action,
    pub conditions: Option<GroupSpec>,
    pub actions: Vec<NewAction>,
    pub enabled: bool,
}

/// A request of an automation to create.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "as in `ActionSpec`")]
pub struct NewAction {
    pub id: Option<ResourceId>,
    pub webhook: ResourceId,
    pub method: Method,
    pub path: String,
    pub body: BodySpec,
    pub continue_on_failure: bool,
}

/// What to change of an automation.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "as in `Automation`")]
pub struct AutomationPatch {
    pub display_name: Option<String>,
    pub object: Option<ObjectName>,
    pub action: Option<Action>,
    pub conditions: Option<Option<GroupSpec>>,
    pub actions: Option<Vec<NewAction>>,
    pub enabled: Option<bool>,
    pub owner: Option<UserId>,
}

impl AutomationPatch {
    /// Whether it changes what the automation does.
    pub fn changes_rules(&self) -> bool {
        let is_triggered_anew = self.object.is_some() || self.action.is_some();
        is_triggered_anew || self.conditions.is_some() || self.actions.is_some()
    }
}

/// The answer to a call that changed something.
#[derive(Debug, Clone)]
pub enum Answer {
    /// The account as it is now.
    Account(AccountId, AccountFacts),
    /// The webhook as it is now.
    Webhook {
        /// The account.
        account: AccountId,
        /// The webhook.
        webhook: Arc<Webhook>,
        /// The signing secret, where it is new.
        secret: Option<SecretString>,
        /// What the caller should know of the change.
        warnings: Vec<&'static str>,
    },
    /// The automation as it is now, the account's plan, its catalogue, and those of the automation's webhooks that are not
    /// deleted, and whether they are enabled.
    Automation(AccountId, Arc<Automation>, Plan, Arc<Catalogue>, HashMap<Uuid, bool>),
    /// The new execution, and the revision that made it.
    Execution(AccountId, Arc<NewExecution>, i64),
    /// The job as it is now.
    Job(AccountId, Arc<Job>),
    /// It is done, and there is nothing to show.
    Done,
}

/// Decides on a call.
pub(super) fn decide(
    draft: &mut Draft<'_, '_>,
    command: &Command,
    execution: Option<&Recorded>,
) -> Result<Answer, Refusal> {
    let answer = match &command.task {
        Task::CreateAccount { plan } => account::create_account(draft, command, *plan),
        Task::SetPlan { plan, etag } => account::set_plan(draft, command, *plan, etag),
        Task::SetLimits { overrides, etag } => account::set_limits(draft, command, *overrides, etag),
        Task::DeleteAccount { etag } => account::delete_account(draft, command, etag),
        Task::CreateWebhook { id, webhook } => webhook::create_webhook(draft, command, id.as_ref(), webhook),
        Task::UpdateWebhook { id, etag, patch } => webhook::update_webhook(draft, command, id, etag, patch),
        Task::DeleteWebhook { id, etag } => webhook::delete_webhook(draft, command, id, etag),
        Task::RotateSecret { id, overlap_ms } => webhook::rotate_secret(draft, command, id, *overlap_ms),
        Task::TestWebhook { id, under_way } => webhook::test_webhook(draft, command, id, *under_way),
        Task::CreateAutomation { id, automation } => {
            automation::create_automation(draft, command, id.as_ref(), automation)
        }
        Task::UpdateAutomation { id, etag, patch } => automation::update_automation(draft, command, id, etag, patch),
        Task::DeleteAutomation { id, etag } => automation::delete_automation(draft, command, id, etag),
        Task::Activate { id, whom } => automation::activate(draft, command, id, whom),
        Task::Deactivate { id, whom } => automation::deactivate(draft, command, id, whom),
        Task::CancelExecution { uid } => execution::cancel_execution(draft, command, *uid, execution),
        Task::RetryExecution { uid, retry } => execution::retry_execution(draft, command, *uid, *retry, execution),
        Task::StartJob { task, filter } => job::start_job(draft, command, *task, filter),
        Task::SetFields { object, fields } => catalogue::set_fields(draft, command, object, fields),
        Task::CancelJob { uid } => job::cancel_job(draft, command, *uid),
    }?;
    draft.change.is_empty = false;
    if let Some(repeat) = &command.repeat {
        draft.change.answer = Some(StoredAnswer {
            request_id: repeat.request_id.clone(),
            fingerprint: repeat.fingerprint.clone(),
            answer: (repeat.encode)(&answer),
            created_at: draft.around.now,
        });
    }
    Ok(answer)
}

fn account_name(id: &AccountId) -> String {
    format!("accounts/{id}")
}

fn webhook_name(account: &AccountId, id: &ResourceId) -> String {
    format!("accounts/{account}/webhooks/{id}")
}

fn automation_name(account: &AccountId, id: &ResourceId) -> String {
    format!("accounts/{account}/automations/{id}")
}

fn check_etag(etag: &str, revision: i64, name: String) -> Result<(), Refusal> {
    if etag.is_empty() || etag == etag_of(revision) { Ok(()) } else { Err(Refusal::StaleEtag { name }) }
}

/// The etag of a revision.
pub fn etag_of(revision: i64) -> String {
    format!("\"{revision}\"")
}

impl<'a> Draft<'a, '_> {
    fn account(&self) -> Result<&'a Account, Refusal> {
        self.living().ok_or_else(|| Refusal::not_found("account", account_name(&self.state.id)))
    }

    fn now(&self) -> Timestamp {
        self.around.now
    }
}

fn require_plan(account: &Account, subject: &str, what: &str) -> Result<(), Refusal> {
    if account.facts.plan.has_automation_webhooks() {
        return Ok(());
    }
    let message = format!("{what} need the plan ADVANCED or higher: upgrade the account's plan first");
    Err(Refusal::precondition(Precondition::PlanUpgradeRequired, subject, message))
}

fn id_taken(kind: &'static str, name: String) -> Refusal {
    let message = format!("there is {name} already: choose another id");
    Refusal::AlreadyExists { kind, name, message }
}

fn too_many(what: &str, most: usize) -> Refusal {
    let message = format!("the account has {most} {what}, which is the limit: delete one first");
    Refusal::Exhausted { subject: what.to_owned(), message }
}
