//! Calls that change webhooks.

use std::sync::Arc;

use super::{
    Command, Done, Edit, NewWebhook, WebhookAnswer, WebhookPatch, check_etag, id_taken, require_plan, too_many,
    webhook_name,
};
use crate::domain::{
    account::{Account, WEBHOOKS_MAX, audit::Actor, change::HealthChange},
    caller::Caller,
    decision::draft::Draft,
    id::{AccountId, ResourceId, UserId, WebhookUid},
    name::check_display_name,
    refusal::{Precondition, Refusal, Violations},
    url::Ending,
    webhook::{
        DisableReason, Webhook, WebhookKind,
        credentials::Credentials,
        health::Health,
        retry_of,
        signing::{Overlap, SigningSecret, rotate},
        subscription::{REGULAR_WEBHOOKS_OF_USER_MAX, Subscription},
    },
};

/// What is said of credentials that were for another server.
const CREDENTIALS_DROPPED: &str = "the endpoint URL leads to another server: the credentials were dropped, because they \
                                   were given for the one before; set credentials to send some there";

/// A webhook is created: one of automations by a global admin, a regular one by a user.
pub fn create_webhook(
    draft: &mut Draft<'_, '_>,
    command: &Command,
    id: Option<&ResourceId>,
    new: &NewWebhook,
) -> Result<WebhookAnswer, Refusal> {
    let account_id = draft.state.id.clone();
    let owner = owner_of(command, &account_id, new)?;
    let account = draft.account()?;
    if new.kind == WebhookKind::Automation {
        require_plan(account, "webhook.kind", "automation webhooks")?;
    }
    let mut faults = Violations::default();
    check_display_name(&new.display_name, "webhook.display_name", &mut faults);
    new.credentials.check("webhook.credentials", &mut faults);
    check_kind(new.kind, &new.credentials, &mut faults);
    match (new.kind, &new.subscription) {
        (WebhookKind::Regular, None) => {
            faults.add(
                "webhook.subscription",
                "is required for a regular webhook: action.object, such as change.deal or *.*",
            );
        }
        (WebhookKind::Automation, Some(_)) => {
            faults
                .add("webhook.subscription", "is only for regular webhooks: an automation's trigger says which events");
        }
        _ => {}
    }
    faults.check()?;
    require_notices(command, &account_id, new.subscription.as_ref())?;
    let uid = WebhookUid((draft.around.uuid)());
    let id = id.cloned().unwrap_or_else(|| ResourceId::fresh("wh", uid.0));
    if account.webhook(&id).is_some() {
        return Err(id_taken("webhook", webhook_name(&account_id, &id)));
    }
    require_free_name(account, &account_id, &new.display_name, None)?;
    if account.living_webhooks().filter(|webhook| webhook.kind == new.kind).count() >= WEBHOOKS_MAX {
        return Err(too_many("webhooks", WEBHOOKS_MAX));
    }
    let is_alike = |webhook: &&Arc<Webhook>| webhook.kind == new.kind && webhook.owner == owner;
    let alike = account.living_webhooks().filter(is_alike).count();
    let (what, limit) = match new.kind {
        WebhookKind::Automation => {
            ("automation_webhooks", usize::try_from(draft.limits.automation_webhooks).unwrap_or(usize::MAX))
        }
        WebhookKind::Regular => ("regular_webhooks_of_user", REGULAR_WEBHOOKS_OF_USER_MAX),
    };
    if alike >= limit {
        return Err(too_many(what, limit));
    }
    let retry = retry_of(new.kind, &new.retry);
    let secret = SigningSecret::new((draft.around.secret)());
    let webhook = Webhook {
        uid,
        id,
        display_name: new.display_name.clone(),
        kind: new.kind,
        endpoint: new.endpoint.clone(),
        credentials: new.credentials.clone(),
        secrets: vec![secret.clone()],
        retry,
        success: new.success.clone(),
        requests_per_second: new.requests_per_second,
        disabled: None,
        owner,
        subscription: new.subscription.clone(),
        revision: draft.change.revision,
        created_at: draft.now(),
        updated_at: draft.now(),
        deleted_at: None,
    };
    Ok(put(draft, command, webhook, Some(secret)))
}

/// Who owns a new webhook: nobody an automation webhook, which only a global admin creates; a regular one the caller, or
/// whom a global admin names.
fn owner_of(command: &Command, account: &AccountId, new: &NewWebhook) -> Result<Option<UserId>, Refusal> {
    if new.kind == WebhookKind::Automation {
        command.caller.require_global_admin(account)?;
        return Ok(None);
    }
    let user = command.caller.require_user(account)?;
    match &new.owner {
        Some(owner) if owner != user && !matches!(command.caller, Caller::GlobalAdmin { .. }) => {
            Err(Refusal::denied("only a global_admin may create a regular webhook for another user"))
        }
        owner => Ok(Some(owner.as_ref().unwrap_or(user).clone())),
    }
}

/// The service's own notices tell of executions that not every user may read.
fn require_notices(command: &Command, account: &AccountId, subscription: Option<&Subscription>) -> Result<(), Refusal> {
    if !subscription.is_some_and(Subscription::names_notices) {
        return Ok(());
    }
    let message = "only a global_admin may have notices of the account sent to a regular webhook";
    command.caller.require_global_admin(account).map_err(|_| Refusal::denied(message))
}

/// What a kind of webhook may have.
fn check_kind(kind: WebhookKind, credentials: &Credentials, faults: &mut Violations) {
    let is_basic = matches!(credentials, Credentials::None | Credentials::Basic { .. });
    if kind == WebhookKind::Regular && !is_basic {
        faults.add("webhook.credentials", "of a regular webhook are HTTP Basic, or none");
    }
}

/// A webhook as it is from now on, and the answer that shows it, with its secret where that is new.
fn put(draft: &mut Draft<'_, '_>, command: &Command, webhook: Webhook, secret: Option<SigningSecret>) -> WebhookAnswer {
    let (revision, updated_at) = (draft.change.revision, draft.now());
    let webhook = Arc::new(Webhook { revision, updated_at, ..webhook });
    draft.write_webhook(Arc::clone(&webhook), Actor::of(&command.caller));
    let secret = secret.map(|secret| secret.secret);
    WebhookAnswer { account: draft.state.id.clone(), webhook, secret, warnings: Vec::new() }
}

/// Its manager changes a webhook.
pub fn update_webhook(
    draft: &mut Draft<'_, '_>,
    command: &Command,
    id: &ResourceId,
    etag: &str,
    patch: &WebhookPatch,
) -> Result<WebhookAnswer, Refusal> {
    let account_id = draft.state.id.clone();
    let account = draft.account()?;
    let before = find_webhook(account, &account_id, id)?;
    before.require_manager(&command.caller, &account_id)?;
    require_readable(before, &account_id)?;
    check_etag(etag, before.revision, webhook_name(&account_id, id))?;
    // Outcomes of the same decision may have changed it.
    let before = draft.webhook(account, before.uid).unwrap_or_else(|| Arc::clone(before));
    let mut webhook = Webhook::clone(&before);
    let mut faults = Violations::default();
    if let Some(name) = &patch.display_name {
        check_display_name(name, "webhook.display_name", &mut faults);
        webhook.display_name.clone_from(name);
    }
    if let Some(credentials) = &patch.credentials {
        credentials.check("webhook.credentials", &mut faults);
        check_kind(webhook.kind, credentials, &mut faults);
        webhook.credentials = credentials.clone();
    }
    faults.check()?;
    require_free_name(account, &account_id, &webhook.display_name, Some(webhook.uid))?;
    if let Some(endpoint) = &patch.endpoint {
        if before.kind == WebhookKind::Automation {
            endpoint.check_takes_paths().map_err(|fault| Refusal::invalid("webhook.endpoint_url", fault))?;
        }
        if before.kind == WebhookKind::Automation && endpoint.ending() != before.endpoint.ending() {
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
    if let Some(subscription) = &patch.subscription {
        if webhook.kind != WebhookKind::Regular {
            let message = "an automation webhook has no subscription: create one of WEBHOOK_KIND_REGULAR for that";
            return Err(Refusal::precondition(Precondition::WrongWebhookKind, "webhook.subscription", message));
        }
        require_notices(command, &account_id, Some(subscription))?;
        webhook.subscription = Some(subscription.clone());
    }
    if let Edit::To(limit) = patch.requests_per_second {
        webhook.requests_per_second = limit;
    }
    if let Some(success) = &patch.success {
        webhook.success.clone_from(success);
    }
    if let Some(retry) = &patch.retry {
        webhook.retry = retry_of(webhook.kind, retry);
    }
    let has_credentials = !matches!(webhook.credentials, Credentials::None);
    let drops = has_credentials && patch.credentials.is_none() && !webhook.endpoint.is_same_origin(&before.endpoint);
    if drops {
        // They were given for another server.
        webhook.credentials = Credentials::None;
    }
    let is_elsewhere = webhook.endpoint.as_str() != before.endpoint.as_str();
    if is_elsewhere || patch.enabled == Some(true) && webhook.disabled.is_some() {
        // It begins anew.
        let (webhook, health) = (webhook.uid, Health::default());
        draft.change.health.push(HealthChange { webhook, health, is_written: true });
    }
    if let Some(enabled) = patch.enabled {
        webhook.disabled = if enabled { None } else { Some(webhook.disabled.unwrap_or(DisableReason::Admin)) };
    }
    let warnings = if drops { vec![CREDENTIALS_DROPPED] } else { Vec::new() };
    Ok(WebhookAnswer { warnings, ..put(draft, command, webhook, None) })
}

/// A webhook gets a new signing secret.
pub fn rotate_secret(
    draft: &mut Draft<'_, '_>,
    command: &Command,
    id: &ResourceId,
    overlap: Overlap,
) -> Result<WebhookAnswer, Refusal> {
    let account_id = draft.state.id.clone();
    let account = draft.account()?;
    let before = find_webhook(account, &account_id, id)?;
    before.require_manager(&command.caller, &account_id)?;
    require_readable(before, &account_id)?;
    let before = draft.webhook(account, before.uid).unwrap_or_else(|| Arc::clone(before));
    let secret = SigningSecret::new((draft.around.secret)());
    let secrets = rotate(&before.secrets, secret.clone(), overlap, draft.now());
    Ok(put(draft, command, Webhook { secrets, ..Webhook::clone(&before) }, Some(secret)))
}

/// Its manager deletes a webhook; what waits for it ends.
pub fn delete_webhook(
    draft: &mut Draft<'_, '_>,
    command: &Command,
    id: &ResourceId,
    etag: &str,
) -> Result<Done, Refusal> {
    let account_id = draft.state.id.clone();
    let account = draft.account()?;
    let before = find_webhook(account, &account_id, id)?;
    before.require_manager(&command.caller, &account_id)?;
    check_etag(etag, before.revision, webhook_name(&account_id, id))?;
    let now = draft.now();
    let webhook = Webhook { deleted_at: Some(now), revision: draft.change.revision, ..Webhook::clone(before) };
    draft.write_webhook(Arc::new(webhook), Actor::of(&command.caller));
    Ok(Done)
}

pub fn find_webhook<'a>(
    account: &'a Account,
    account_id: &AccountId,
    id: &ResourceId,
) -> Result<&'a Arc<Webhook>, Refusal> {
    account.webhook(id).ok_or_else(|| Refusal::not_found("webhook", webhook_name(account_id, id)))
}

/// What is not known of one that cannot be read would be overwritten.
pub fn require_readable(webhook: &Webhook, account_id: &AccountId) -> Result<(), Refusal> {
    if webhook.is_unreadable() {
        return Err(Refusal::webhook_unreadable(webhook_name(account_id, &webhook.id)));
    }
    Ok(())
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
