//! Calls that change an account's own things: checked here, whoever calls.

use std::sync::Arc;

use secrecy::SecretString;

use super::{
    account::{AUTOMATIONS_MAX, Account, AccountFacts, WEBHOOKS_MAX},
    automation::{ActionSpec, Activation, Automation, AutomationSpec},
    caller::Caller,
    change::StoredAnswer,
    condition::GroupSpec,
    decision::Draft,
    event::Action,
    id::{AccountId, AutomationUid, ObjectName, RequestId, ResourceId, UserId, WebhookUid},
    plan::Plan,
    refusal::{Precondition, Refusal, Violations},
    request::Method,
    template::BodySpec,
    timestamp::Timestamp,
    url::{Ending, EndpointUrl},
    webhook::{Credentials, Webhook, WebhookKind, check_display_name, signing_secret},
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
    DeleteAccount { etag: String },
    CreateWebhook { id: Option<ResourceId>, webhook: NewWebhook },
    UpdateWebhook { id: ResourceId, etag: String, patch: WebhookPatch },
    DeleteWebhook { id: ResourceId, etag: String },
    CreateAutomation { id: Option<ResourceId>, automation: NewAutomation },
    UpdateAutomation { id: ResourceId, etag: String, patch: AutomationPatch },
    DeleteAutomation { id: ResourceId, etag: String },
}

/// A webhook to create.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "as in `Webhook`")]
pub struct NewWebhook {
    pub display_name: String,
    pub kind: WebhookKind,
    pub endpoint: EndpointUrl,
    pub credentials: Credentials,
}

/// What to change of a webhook.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "as in `Webhook`")]
pub struct WebhookPatch {
    pub display_name: Option<String>,
    pub endpoint: Option<EndpointUrl>,
    pub credentials: Option<Credentials>,
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
}

/// The answer to a call that changed something.
#[derive(Debug, Clone)]
pub enum Answer {
    /// The account as it is now.
    Account(AccountId, AccountFacts),
    /// The webhook as it is now, and its signing secret where it is new.
    Webhook(AccountId, Arc<Webhook>, Option<SecretString>),
    /// The automation as it is now, and the account's plan.
    Automation(AccountId, Arc<Automation>, Plan),
    /// It is done, and there is nothing to show.
    Done,
}

/// Decides on a call.
pub(super) fn decide(draft: &mut Draft<'_, '_>, command: &Command) -> Result<Answer, Refusal> {
    let answer = match &command.task {
        Task::CreateAccount { plan } => create_account(draft, command, *plan),
        Task::SetPlan { plan, etag } => set_plan(draft, command, *plan, etag),
        Task::DeleteAccount { etag } => delete_account(draft, command, etag),
        Task::CreateWebhook { id, webhook } => create_webhook(draft, command, id.as_ref(), webhook),
        Task::UpdateWebhook { id, etag, patch } => update_webhook(draft, command, id, etag, patch),
        Task::DeleteWebhook { id, etag } => delete_webhook(draft, command, id, etag),
        Task::CreateAutomation { id, automation } => create_automation(draft, command, id.as_ref(), automation),
        Task::UpdateAutomation { id, etag, patch } => update_automation(draft, command, id, etag, patch),
        Task::DeleteAutomation { id, etag } => delete_automation(draft, command, id, etag),
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
        self.living().ok_or_else(|| Refusal::not_found("account", account_name(&self.slot.id)))
    }

    fn now(&self) -> Timestamp {
        self.around.now
    }
}

fn create_account(draft: &mut Draft<'_, '_>, command: &Command, plan: Plan) -> Result<Answer, Refusal> {
    let id = &draft.slot.id;
    command.caller.require_service(id)?;
    match &draft.slot.account {
        Some(account) if account.facts.deleted => {
            return Err(Refusal::precondition(
                Precondition::AccountBeingErased,
                account_name(id),
                format!("account {id} was deleted and is still being erased: try again in a minute"),
            ));
        }
        Some(_) => {
            return Err(Refusal::AlreadyExists {
                kind: "account",
                name: account_name(id),
                message: format!("there is an account {id} already"),
            });
        }
        None => {}
    }
    let facts = AccountFacts {
        plan,
        revision: draft.change.revision,
        created_at: draft.now(),
        updated_at: draft.now(),
        deleted: false,
    };
    draft.change.facts = Some(facts.clone());
    Ok(Answer::Account(id.clone(), facts))
}

fn set_plan(draft: &mut Draft<'_, '_>, command: &Command, plan: Plan, etag: &str) -> Result<Answer, Refusal> {
    let id = draft.slot.id.clone();
    command.caller.require_service(&id)?;
    let account = draft.account()?;
    check_etag(etag, account.facts.revision, account_name(&id))?;
    let facts =
        AccountFacts { plan, revision: draft.change.revision, updated_at: draft.now(), ..account.facts.clone() };
    draft.change.facts = Some(facts.clone());
    Ok(Answer::Account(id, facts))
}

fn delete_account(draft: &mut Draft<'_, '_>, command: &Command, etag: &str) -> Result<Answer, Refusal> {
    let id = draft.slot.id.clone();
    command.caller.require_service(&id)?;
    let account = draft.account()?;
    check_etag(etag, account.facts.revision, account_name(&id))?;
    draft.change.facts = Some(AccountFacts {
        deleted: true,
        revision: draft.change.revision,
        updated_at: draft.now(),
        ..account.facts.clone()
    });
    let now = draft.now();
    draft.change.due_by(now);
    Ok(Answer::Done)
}

fn create_webhook(
    draft: &mut Draft<'_, '_>,
    command: &Command,
    id: Option<&ResourceId>,
    new: &NewWebhook,
) -> Result<Answer, Refusal> {
    let account_id = draft.slot.id.clone();
    command.caller.require_global_admin(&account_id)?;
    let account = draft.account()?;
    if new.kind == WebhookKind::Regular {
        return Err(Refusal::invalid(
            "webhook.kind",
            "WEBHOOK_KIND_REGULAR is not offered yet: create one of WEBHOOK_KIND_AUTOMATION",
        ));
    }
    require_plan(account, "webhook.kind", "automation webhooks")?;
    let mut faults = Violations::default();
    check_display_name(&new.display_name, "webhook.display_name", &mut faults);
    new.credentials.check("webhook.credentials", &mut faults);
    faults.check()?;
    let uid = WebhookUid((draft.around.uuid)());
    let id = id.cloned().unwrap_or_else(|| ResourceId::fresh("wh", uid.0));
    if account.webhook(&id).is_some() {
        return Err(id_taken("webhook", webhook_name(&account_id, &id)));
    }
    require_free_name(account, &account_id, &new.display_name, None)?;
    if account.living_webhooks().count() >= WEBHOOKS_MAX {
        return Err(too_many("webhooks", WEBHOOKS_MAX));
    }
    let secret = signing_secret((draft.around.secret)());
    let webhook = Arc::new(Webhook {
        uid,
        id,
        display_name: new.display_name.clone(),
        kind: new.kind,
        endpoint: new.endpoint.clone(),
        credentials: new.credentials.clone(),
        secrets: vec![secret.clone()],
        enabled: true,
        owner: None,
        revision: draft.change.revision,
        created_at: draft.now(),
        updated_at: draft.now(),
        deleted_at: None,
    });
    draft.change.webhooks.push(Arc::clone(&webhook));
    Ok(Answer::Webhook(account_id, webhook, Some(secret)))
}

fn update_webhook(
    draft: &mut Draft<'_, '_>,
    command: &Command,
    id: &ResourceId,
    etag: &str,
    patch: &WebhookPatch,
) -> Result<Answer, Refusal> {
    let account_id = draft.slot.id.clone();
    command.caller.require_global_admin(&account_id)?;
    let account = draft.account()?;
    let before = find_webhook(account, &account_id, id)?;
    check_etag(etag, before.revision, webhook_name(&account_id, id))?;
    let mut webhook = Webhook::clone(before);
    let mut faults = Violations::default();
    if let Some(name) = &patch.display_name {
        check_display_name(name, "webhook.display_name", &mut faults);
        webhook.display_name.clone_from(name);
    }
    if let Some(credentials) = &patch.credentials {
        credentials.check("webhook.credentials", &mut faults);
        webhook.credentials = credentials.clone();
    }
    faults.check()?;
    require_free_name(account, &account_id, &webhook.display_name, Some(webhook.uid))?;
    if let Some(endpoint) = &patch.endpoint {
        if endpoint.ending() != before.endpoint.ending() {
            let was = if before.endpoint.ending() == Ending::Path { "a path" } else { "a query" };
            return Err(Refusal::precondition(
                Precondition::EndpointEndingFixed,
                "webhook.endpoint_url",
                format!(
                    "this endpoint URL ends in {was}, and must go on to, because paths are encoded for it: create another webhook instead"
                ),
            ));
        }
        webhook.endpoint = endpoint.clone();
    }
    webhook.revision = draft.change.revision;
    webhook.updated_at = draft.now();
    let webhook = Arc::new(webhook);
    draft.change.webhooks.push(Arc::clone(&webhook));
    Ok(Answer::Webhook(account_id, webhook, None))
}

fn delete_webhook(
    draft: &mut Draft<'_, '_>,
    command: &Command,
    id: &ResourceId,
    etag: &str,
) -> Result<Answer, Refusal> {
    let account_id = draft.slot.id.clone();
    command.caller.require_global_admin(&account_id)?;
    let account = draft.account()?;
    let before = find_webhook(account, &account_id, id)?;
    check_etag(etag, before.revision, webhook_name(&account_id, id))?;
    let now = draft.now();
    let webhook = Webhook { deleted_at: Some(now), revision: draft.change.revision, ..Webhook::clone(before) };
    if account.waiting.contains_key(&webhook.uid) {
        draft.change.due_by(now);
    }
    draft.change.webhooks.push(Arc::new(webhook));
    Ok(Answer::Done)
}

fn create_automation(
    draft: &mut Draft<'_, '_>,
    command: &Command,
    id: Option<&ResourceId>,
    new: &NewAutomation,
) -> Result<Answer, Refusal> {
    let account_id = draft.slot.id.clone();
    let owner: UserId = command.caller.require_automation_writer(&account_id)?.clone();
    let account = draft.account()?;
    require_plan(account, "automation", "automations")?;
    let spec = AutomationSpec {
        object: new.object.clone(),
        action: new.action,
        conditions: new.conditions.clone(),
        actions: resolve_actions(account, &account_id, &new.actions)?,
    };
    let mut faults = Violations::default();
    check_display_name(&new.display_name, "automation.display_name", &mut faults);
    let compiled = spec.compile("automation", &mut faults);
    faults.check()?;
    let Some(compiled) = compiled else {
        return Err(Refusal::invalid("automation", "could not be made ready"));
    };
    let uid = AutomationUid((draft.around.uuid)());
    let id = id.cloned().unwrap_or_else(|| ResourceId::fresh("au", uid.0));
    if account.automation(&id).is_some() {
        return Err(id_taken("automation", automation_name(&account_id, &id)));
    }
    if account.automations.len() >= AUTOMATIONS_MAX {
        return Err(too_many("automations", AUTOMATIONS_MAX));
    }
    let automation = Arc::new(Automation {
        uid,
        id,
        display_name: new.display_name.clone(),
        spec,
        compiled,
        enabled: new.enabled,
        activation: Activation::everyone(),
        owner,
        revision: draft.change.revision,
        created_at: draft.now(),
        updated_at: draft.now(),
    });
    draft.change.automations.push(Arc::clone(&automation));
    Ok(Answer::Automation(account_id, automation, account.facts.plan))
}

fn update_automation(
    draft: &mut Draft<'_, '_>,
    command: &Command,
    id: &ResourceId,
    etag: &str,
    patch: &AutomationPatch,
) -> Result<Answer, Refusal> {
    let account_id = draft.slot.id.clone();
    command.caller.require_automation_writer(&account_id)?;
    let account = draft.account()?;
    let before = find_automation(account, &account_id, id)?;
    check_etag(etag, before.revision, automation_name(&account_id, id))?;
    let mut automation = Automation::clone(before);
    let mut faults = Violations::default();
    if let Some(name) = &patch.display_name {
        check_display_name(name, "automation.display_name", &mut faults);
        automation.display_name.clone_from(name);
    }
    let spec = &mut automation.spec;
    if let Some(object) = &patch.object {
        spec.object = object.clone();
    }
    if let Some(action) = patch.action {
        spec.action = action;
    }
    if let Some(conditions) = &patch.conditions {
        spec.conditions.clone_from(conditions);
    }
    if let Some(actions) = &patch.actions {
        spec.actions = resolve_actions(account, &account_id, actions)?;
    }
    let compiled = automation.spec.compile("automation", &mut faults);
    faults.check()?;
    if let Some(compiled) = compiled {
        automation.compiled = compiled;
    }
    if let Some(enabled) = patch.enabled {
        automation.enabled = enabled;
    }
    automation.revision = draft.change.revision;
    automation.updated_at = draft.now();
    let automation = Arc::new(automation);
    draft.change.automations.push(Arc::clone(&automation));
    Ok(Answer::Automation(account_id, automation, account.facts.plan))
}

fn delete_automation(
    draft: &mut Draft<'_, '_>,
    command: &Command,
    id: &ResourceId,
    etag: &str,
) -> Result<Answer, Refusal> {
    let account_id = draft.slot.id.clone();
    command.caller.require_automation_writer(&account_id)?;
    let account = draft.account()?;
    let before = find_automation(account, &account_id, id)?;
    check_etag(etag, before.revision, automation_name(&account_id, id))?;
    draft.change.deleted_automation = Some((before.uid, draft.now()));
    Ok(Answer::Done)
}

fn require_plan(account: &Account, subject: &str, what: &str) -> Result<(), Refusal> {
    if account.facts.plan.has_automation_webhooks() {
        return Ok(());
    }
    let message = format!("{what} need the plan ADVANCED or higher: upgrade the account's plan first");
    Err(Refusal::precondition(Precondition::PlanUpgradeRequired, subject, message))
}

fn find_webhook<'a>(
    account: &'a Account,
    account_id: &AccountId,
    id: &ResourceId,
) -> Result<&'a Arc<Webhook>, Refusal> {
    account.webhook(id).ok_or_else(|| Refusal::not_found("webhook", webhook_name(account_id, id)))
}

fn find_automation<'a>(
    account: &'a Account,
    account_id: &AccountId,
    id: &ResourceId,
) -> Result<&'a Arc<Automation>, Refusal> {
    account.automation(id).ok_or_else(|| Refusal::not_found("automation", automation_name(account_id, id)))
}

fn require_free_name(
    account: &Account,
    account_id: &AccountId,
    name: &str,
    but: Option<WebhookUid>,
) -> Result<(), Refusal> {
    let taken = account.living_webhooks().find(|webhook| webhook.display_name == name && Some(webhook.uid) != but);
    match taken {
        None => Ok(()),
        Some(taken) => Err(Refusal::AlreadyExists {
            kind: "webhook",
            name: webhook_name(account_id, &taken.id),
            message: format!("webhook.display_name: {} is called {name:?} already: choose another name", taken.id),
        }),
    }
}

fn id_taken(kind: &'static str, name: String) -> Refusal {
    let message = format!("there is {name} already: choose another id");
    Refusal::AlreadyExists { kind, name, message }
}

fn too_many(what: &str, most: usize) -> Refusal {
    let message = format!("the account has {most} {what}, which is the limit: delete one first");
    Refusal::Exhausted { subject: what.to_owned(), message }
}

/// Finds the webhooks that actions name.
fn resolve_actions(
    account: &Account,
    account_id: &AccountId,
    actions: &[NewAction],
) -> Result<Vec<ActionSpec>, Refusal> {
    let automation_webhooks =
        account.living_webhooks().filter(|webhook| webhook.kind == WebhookKind::Automation).count();
    let resolve = |(index, action): (usize, &NewAction)| {
        let subject = format!("automation.actions[{index}].webhook");
        let webhook = match account.webhook(&action.webhook) {
            Some(webhook) if webhook.kind == WebhookKind::Automation => webhook,
            Some(webhook) => {
                let message = format!(
                    "{} is a REGULAR webhook; an action needs one of kind AUTOMATION, which a global admin creates",
                    webhook.id
                );
                return Err(Refusal::precondition(Precondition::WrongWebhookKind, subject, message));
            }
            None if automation_webhooks == 0 => {
                let message = "the account has no automation webhook yet: a global admin must create one first";
                return Err(Refusal::precondition(Precondition::AutomationWebhookRequired, subject, message));
            }
            None => {
                let message = format!(
                    "there is no {}: name an automation webhook that exists",
                    webhook_name(account_id, &action.webhook)
                );
                return Err(Refusal::precondition(Precondition::WebhookNotFound, subject, message));
            }
        };
        Ok(ActionSpec {
            webhook: webhook.id.clone(),
            webhook_uid: webhook.uid,
            query_ending: webhook.endpoint.ending() == Ending::Query,
            method: action.method,
            path: action.path.clone(),
            body: action.body.clone(),
            continue_on_failure: action.continue_on_failure,
        })
    };
    actions.iter().enumerate().map(resolve).collect()
}
