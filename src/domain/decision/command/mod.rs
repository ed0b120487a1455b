//! Calls that change an account's own things: checked here, whoever calls.

mod account;
mod answer;
mod automation;
mod catalogue;
mod execution;
mod ingest_identity;
mod job;
mod test;
mod webhook;

use std::{fmt, sync::Arc};

pub(super) use self::job::go_on;
pub use self::{
    answer::{
        AccountAnswer, Answer, AnswerKind, AutomationAnswer, Done, ExecutionAnswer, IngestIdentityAnswer, JobAnswer,
        TestAnswer, WebhookAnswer,
    },
    automation::draft_automation,
    test::TESTS_AT_ONCE_MAX,
};
use super::draft::Draft;
use crate::domain::{
    account::{
        Account,
        change::StoredAnswer,
        job::{JobTask, Retry},
    },
    attempt::{SuccessStatuses, retry_policy::RetryPolicy},
    automation::{
        Method, TriggerActions, catalogue::Field, condition::GroupSpec, header::HeaderSpec, template::BodySpec,
    },
    caller::Caller,
    event::Event,
    execution::{Recorded, filter::ExecutionFilter},
    id::{AccountId, ExecutionUid, JobUid, ObjectName, RequestId, ResourceId, UserId},
    plan::{LimitOverrides, Plan},
    refusal::{Precondition, Refusal},
    timestamp::Timestamp,
    url::EndpointUrl,
    webhook::{WebhookKind, credentials::Credentials, signing::Overlap, subscription::Subscription},
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
            Caller::Publisher { identity, .. } => format!("publisher {identity}"),
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

/// Encodes an answer without secrets; nothing where it is none to the task.
pub type Encode = Box<dyn Fn(&Answer) -> Option<Vec<u8>> + Send + Sync>;

/// What makes a call repeatable.
pub struct Repeat {
    /// The call's key.
    pub request_id: RequestId,
    /// What is asked, hashed.
    pub fingerprint: Vec<u8>,
    /// Encodes the answer, to be stored with it.
    pub encode: Encode,
}

impl fmt::Debug for Repeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repeat").field("request_id", &self.request_id).finish_non_exhaustive()
    }
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
    RotateSecret { id: ResourceId, overlap: Overlap },
    TestWebhook { id: ResourceId, under_way: usize },
    TestAutomation { id: ResourceId, event: Arc<Event>, action: usize, under_way: usize },
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
    CreateIngestIdentity { id: ResourceId, display_name: String, hash: Vec<u8> },
    DeleteIngestIdentity { id: ResourceId },
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
    pub success: SuccessStatuses,
    pub requests_per_second: Option<u32>,
    pub owner: Option<UserId>,
    pub subscription: Option<Subscription>,
}

/// What becomes of a field that need not be there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Edit<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It has this value, or none.
    To(Option<T>),
}

impl<T> Edit<T> {
    /// Whether it stays as it is.
    pub fn is_keep(&self) -> bool {
        matches!(self, Edit::Keep)
    }
}

/// What to change of a webhook.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "as in `Webhook`")]
pub struct WebhookPatch {
    pub display_name: Option<String>,
    pub endpoint: Option<EndpointUrl>,
    pub credentials: Option<Credentials>,
    pub retry: Option<RetryPolicy>,
    pub success: Option<SuccessStatuses>,
    pub requests_per_second: Edit<u32>,
    pub subscription: Option<Subscription>,
    pub enabled: Option<bool>,
}

/// An automation to create.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "as in `Automation`")]
pub struct NewAutomation {
    pub display_name: String,
    pub object: ObjectName,
    pub trigger_actions: TriggerActions,
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
    pub headers: Vec<HeaderSpec>,
    pub continue_on_failure: bool,
}

/// What to change of an automation.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "as in `Automation`")]
pub struct AutomationPatch {
    pub display_name: Option<String>,
    pub object: Option<ObjectName>,
    pub trigger_actions: Option<TriggerActions>,
    pub conditions: Edit<GroupSpec>,
    pub actions: Option<Vec<NewAction>>,
    pub enabled: Option<bool>,
    pub owner: Option<UserId>,
}

impl AutomationPatch {
    /// Whether it changes what the automation does.
    pub fn changes_rules(&self) -> bool {
        let is_triggered_anew = self.object.is_some() || self.trigger_actions.is_some();
        is_triggered_anew || !self.conditions.is_keep() || self.actions.is_some()
    }
}

/// Decides on a call.
pub(super) fn decide(
    draft: &mut Draft<'_, '_>,
    command: &Command,
    execution: Option<&Recorded>,
) -> Result<Answer, Refusal> {
    let answer: Answer = match &command.task {
        Task::CreateAccount { plan } => account::create_account(draft, command, *plan)?.into(),
        Task::SetPlan { plan, etag } => account::set_plan(draft, command, *plan, etag)?.into(),
        Task::SetLimits { overrides, etag } => account::set_limits(draft, command, *overrides, etag)?.into(),
        Task::DeleteAccount { etag } => account::delete_account(draft, command, etag)?.into(),
        Task::CreateWebhook { id, webhook } => webhook::create_webhook(draft, command, id.as_ref(), webhook)?.into(),
        Task::UpdateWebhook { id, etag, patch } => webhook::update_webhook(draft, command, id, etag, patch)?.into(),
        Task::DeleteWebhook { id, etag } => webhook::delete_webhook(draft, command, id, etag)?.into(),
        Task::RotateSecret { id, overlap } => webhook::rotate_secret(draft, command, id, *overlap)?.into(),
        Task::TestWebhook { id, under_way } => test::test_webhook(draft, command, id, *under_way)?.into(),
        Task::TestAutomation { id, event, action, under_way } => {
            test::test_automation(draft, command, id, (event, *action), *under_way)?.into()
        }
        Task::CreateAutomation { id, automation } => {
            automation::create_automation(draft, command, id.as_ref(), automation)?.into()
        }
        Task::UpdateAutomation { id, etag, patch } => {
            automation::update_automation(draft, command, id, etag, patch)?.into()
        }
        Task::DeleteAutomation { id, etag } => automation::delete_automation(draft, command, id, etag)?.into(),
        Task::Activate { id, whom } => automation::activate(draft, command, id, whom)?.into(),
        Task::Deactivate { id, whom } => automation::deactivate(draft, command, id, whom)?.into(),
        Task::CancelExecution { uid } => execution::cancel_execution(draft, command, *uid, execution)?.into(),
        Task::RetryExecution { uid, retry } => {
            execution::retry_execution(draft, command, *uid, *retry, execution)?.into()
        }
        Task::StartJob { task, filter } => job::start_job(draft, command, *task, filter)?.into(),
        Task::SetFields { object, fields } => catalogue::set_fields(draft, command, object, fields)?.into(),
        Task::CreateIngestIdentity { id, display_name, hash } => {
            ingest_identity::create_ingest_identity(draft, command, id, display_name, hash)?.into()
        }
        Task::DeleteIngestIdentity { id } => ingest_identity::delete_ingest_identity(draft, command, id)?.into(),
        Task::CancelJob { uid } => job::cancel_job(draft, command, *uid)?.into(),
    };
    draft.change.is_answered = true;
    if let Some(repeat) = &command.repeat {
        draft.change.answer = (repeat.encode)(&answer).map(|encoded| StoredAnswer {
            request_id: repeat.request_id.clone(),
            fingerprint: repeat.fingerprint.clone(),
            answer: encoded,
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
