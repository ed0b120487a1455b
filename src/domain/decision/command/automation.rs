//! Calls that change automations.

use std::{collections::HashSet, sync::Arc};

use uuid::Uuid;

use super::{
    AutomationAnswer, AutomationPatch, Command, Done, Edit, NewAction, NewAutomation, Whom, automation_name,
    check_etag, id_taken, require_plan, too_many, webhook_name,
};
use crate::domain::{
    account::{AUTOMATIONS_MAX, Account, change::DeletedAutomation},
    automation::{
        ACTIVATION_USERS_MAX, ActionSpec, Activation, Automation, AutomationSpec, Compiled, condition::check_fit,
        name_actions,
    },
    caller::Caller,
    decision::draft::Draft,
    id::{AccountId, AutomationUid, ResourceId, UserId},
    name::check_display_name,
    refusal::{Precondition, Refusal, Violations},
    timestamp::Timestamp,
    url::Ending,
    webhook::WebhookKind,
};

/// Somebody who may write automations creates one.
pub fn create_automation(
    draft: &mut Draft<'_, '_>,
    command: &Command,
    id: Option<&ResourceId>,
    new: &NewAutomation,
) -> Result<AutomationAnswer, Refusal> {
    let account_id = draft.state.id.clone();
    let owner: UserId = command.caller.require_automation_writer(&account_id)?.clone();
    let account = draft.account()?;
    require_plan(account, "automation", "automations")?;
    let (mut spec, compiled) = compile(&account_id, account, new, draft.around.uuid)?;
    spec.actions_edited_at = Some(draft.now());
    let uid = AutomationUid((draft.around.uuid)());
    let id = id.cloned().unwrap_or_else(|| ResourceId::fresh("au", uid.0));
    if account.automation(&id).is_some() {
        return Err(id_taken("automation", automation_name(&account_id, &id)));
    }
    if account.automations.len() >= AUTOMATIONS_MAX {
        return Err(too_many("automations", AUTOMATIONS_MAX));
    }
    if new.enabled {
        require_active(draft, account)?;
    }
    let activation = match &command.caller {
        Caller::GlobalAdmin { .. } => Activation::everyone(),
        _ => Activation::only(owner.clone()),
    };
    let automation = Automation {
        uid,
        id,
        display_name: new.display_name.clone(),
        spec,
        compiled,
        enabled: new.enabled,
        activation,
        owner,
        revision: draft.change.revision,
        created_at: draft.now(),
        updated_at: draft.now(),
    };
    Ok(put(draft, account, automation))
}

/// An automation as it is from now on, and the answer that shows it.
fn put(draft: &mut Draft<'_, '_>, account: &Account, automation: Automation) -> AutomationAnswer {
    let (revision, updated_at) = (draft.change.revision, draft.now());
    let automation = Arc::new(Automation { revision, updated_at, ..automation });
    draft.change.automations.push(Arc::clone(&automation));
    let named: HashSet<_> = automation.spec.actions.iter().map(|action| action.webhook_uid).collect();
    let living = account.living_webhooks().filter(|webhook| named.contains(&webhook.uid));
    let living = living.map(|webhook| (webhook.uid.0, webhook.is_enabled())).collect();
    AutomationAnswer {
        account: draft.state.id.clone(),
        automation,
        plan: account.facts.plan,
        catalogue: Arc::clone(&account.catalogue),
        living_webhooks: living,
    }
}

/// Finds the webhooks of a new automation and makes its rules ready.
fn compile(
    account_id: &AccountId,
    account: &Account,
    new: &NewAutomation,
    uuid: &mut dyn FnMut() -> Uuid,
) -> Result<(AutomationSpec, Compiled), Refusal> {
    let spec = AutomationSpec {
        object: new.object.clone(),
        trigger_actions: new.trigger_actions.clone(),
        conditions: new.conditions.clone(),
        actions: resolve_actions(account, account_id, (&new.actions, &[]), uuid)?,
        actions_edited_at: None,
    };
    let mut faults = Violations::default();
    check_display_name(&new.display_name, "automation.display_name", &mut faults);
    let compiled = spec.compile("automation", &mut faults);
    if let Some(conditions) = &spec.conditions {
        check_fit(&account.catalogue, spec.object.as_str(), conditions, "automation.conditions", &mut faults);
    }
    if let Some(compiled) = &compiled {
        spec.check_saved(compiled, "automation", &mut faults);
    }
    faults.check()?;
    let Some(compiled) = compiled else {
        return Err(Refusal::invalid("automation", "could not be made ready"));
    };
    Ok((spec, compiled))
}

/// An automation as it would be if it were created, to look at.
pub fn draft_automation(
    account_id: &AccountId,
    account: &Account,
    new: &NewAutomation,
    uid: Uuid,
) -> Result<Automation, Refusal> {
    let (spec, compiled) = compile(account_id, account, new, &mut || uid)?;
    let owner: UserId = "draft".parse().map_err(|error: String| Refusal::invalid("draft", error))?;
    Ok(Automation {
        uid: AutomationUid(uid),
        id: ResourceId::fresh("au", uid),
        display_name: new.display_name.clone(),
        spec,
        compiled,
        enabled: new.enabled,
        activation: Activation::everyone(),
        owner,
        revision: 0,
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
    })
}

/// Somebody who may write automations changes one.
pub fn update_automation(
    draft: &mut Draft<'_, '_>,
    command: &Command,
    id: &ResourceId,
    etag: &str,
    patch: &AutomationPatch,
) -> Result<AutomationAnswer, Refusal> {
    let account_id = draft.state.id.clone();
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
    if let Some(actions) = &patch.trigger_actions {
        spec.trigger_actions.clone_from(actions);
    }
    if let Edit::To(conditions) = &patch.conditions {
        spec.conditions.clone_from(conditions);
    }
    if let Some(actions) = &patch.actions {
        let actions = resolve_actions(account, &account_id, (actions, &before.spec.actions), draft.around.uuid)?;
        if actions != before.spec.actions {
            spec.actions_edited_at = Some(draft.now());
        }
        spec.actions = actions;
    }
    let compiled = automation.spec.compile("automation", &mut faults);
    if !patch.conditions.is_keep() || patch.object.is_some() {
        let spec = &automation.spec;
        if let Some(conditions) = &spec.conditions {
            check_fit(&account.catalogue, spec.object.as_str(), conditions, "automation.conditions", &mut faults);
        }
    }
    if let Some(compiled) = compiled {
        if patch.changes_rules() {
            automation.spec.check_saved(&compiled, "automation", &mut faults);
        }
        automation.compiled = compiled;
    }
    faults.check()?;
    if let Some(enabled) = patch.enabled {
        automation.enabled = enabled;
    }
    if let Some(owner) = &patch.owner {
        command.caller.require_global_admin(&account_id)?;
        automation.owner = owner.clone();
    }
    if automation.is_active() && !before.is_active() {
        require_active(draft, account)?;
    }
    Ok(put(draft, account, automation))
}

/// Somebody who may write automations deletes one.
pub fn delete_automation(
    draft: &mut Draft<'_, '_>,
    command: &Command,
    id: &ResourceId,
    etag: &str,
) -> Result<Done, Refusal> {
    let account_id = draft.state.id.clone();
    command.caller.require_automation_writer(&account_id)?;
    let account = draft.account()?;
    // One that cannot be read has no etag that anybody could know.
    if let Some(unreadable) = account.unreadable.iter().find(|automation| automation.id == id.as_str()) {
        draft.change.deleted_automation = Some(DeletedAutomation { uid: unreadable.uid, deleted_at: draft.now() });
        return Ok(Done);
    }
    let before = find_automation(account, &account_id, id)?;
    check_etag(etag, before.revision, automation_name(&account_id, id))?;
    draft.change.deleted_automation = Some(DeletedAutomation { uid: before.uid, deleted_at: draft.now() });
    Ok(Done)
}

/// An automation is active for more users.
pub fn activate(
    draft: &mut Draft<'_, '_>,
    command: &Command,
    id: &ResourceId,
    whom: &Whom,
) -> Result<AutomationAnswer, Refusal> {
    let allowed = |_: &Automation, _: Option<&[UserId]>| Ok(());
    set_activation(draft, command, id, whom, allowed, |activation, whom| match whom {
        None => activation.everyone = true,
        Some(users) => {
            for user in users {
                if !activation.users.contains(user) {
                    activation.users.push(user.clone());
                }
            }
        }
    })
}

/// An automation is active for fewer users.
pub fn deactivate(
    draft: &mut Draft<'_, '_>,
    command: &Command,
    id: &ResourceId,
    whom: &Whom,
) -> Result<AutomationAnswer, Refusal> {
    let account_id = draft.state.id.clone();
    let check = |automation: &Automation, whom: Option<&[UserId]>| match whom {
        Some(_) if automation.activation.everyone => {
            let message = "the automation is active for everyone, and so for these users: a global admin can deactivate it \
                           for everyone, and activate it for named users instead";
            let name = automation_name(&account_id, &automation.id);
            Err(Refusal::precondition(Precondition::ActiveForEveryone, name, message))
        }
        _ => Ok(()),
    };
    set_activation(draft, command, id, whom, check, |activation, whom| match whom {
        None => *activation = Activation::default(),
        Some(users) => activation.users.retain(|user| !users.contains(user)),
    })
}

/// Changes for whom an automation is active: the given users, or everyone.
fn set_activation(
    draft: &mut Draft<'_, '_>,
    command: &Command,
    id: &ResourceId,
    whom: &Whom,
    check: impl Fn(&Automation, Option<&[UserId]>) -> Result<(), Refusal>,
    change: impl Fn(&mut Activation, Option<&[UserId]>),
) -> Result<AutomationAnswer, Refusal> {
    let account_id = draft.state.id.clone();
    let caller = command.caller.require_user(&account_id)?;
    let own = [caller.clone()];
    let users = match whom {
        Whom::Caller => Some(&own[..]),
        Whom::Users(users) if users.as_slice() == own => Some(&own[..]),
        Whom::Users(users) => {
            command.caller.require_global_admin(&account_id)?;
            Some(users.as_slice())
        }
        Whom::Everyone => {
            command.caller.require_global_admin(&account_id)?;
            None
        }
    };
    let account = draft.account()?;
    let before = find_automation(account, &account_id, id)?;
    check(before, users)?;
    let mut automation = Automation::clone(before);
    change(&mut automation.activation, users);
    if automation.activation.users.len() > ACTIVATION_USERS_MAX {
        let message = format!(
            "an automation is active for at most {ACTIVATION_USERS_MAX} users by name: activate it for everyone"
        );
        return Err(Refusal::invalid("user_ids", message));
    }
    if automation.is_active() && !before.is_active() {
        require_active(draft, account)?;
    }
    Ok(put(draft, account, automation))
}

/// Refuses one more automation that is active where the plan has as many as it may.
fn require_active(draft: &Draft<'_, '_>, account: &Account) -> Result<(), Refusal> {
    let limit = usize::try_from(draft.limits.active_automations).unwrap_or(usize::MAX);
    let active = account.automations.values().filter(|automation| automation.is_active()).count();
    if active < limit {
        return Ok(());
    }
    let message = format!("the account has {active} active automations, its limit is {limit}: disable one first");
    Err(Refusal::Exhausted { subject: "active_automations".to_owned(), message })
}

pub fn find_automation<'a>(
    account: &'a Account,
    account_id: &AccountId,
    id: &ResourceId,
) -> Result<&'a Arc<Automation>, Refusal> {
    let name = || automation_name(account_id, id);
    if account.unreadable.iter().any(|automation| automation.id == id.as_str()) {
        return Err(Refusal::automation_unreadable(name()));
    }
    account.automation(id).ok_or_else(|| Refusal::not_found("automation", name()))
}

/// Finds the webhooks that actions name, and gives each action its id: the one that it had, or a new one.
fn resolve_actions(
    account: &Account,
    account_id: &AccountId,
    (actions, before): (&[NewAction], &[ActionSpec]),
    uuid: &mut dyn FnMut() -> Uuid,
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
            id: action.id.clone(),
            webhook: webhook.id.clone(),
            webhook_uid: webhook.uid,
            query_ending: webhook.endpoint.ending() == Ending::Query,
            method: action.method,
            path: action.path.clone(),
            body: action.body.clone(),
            headers: action.headers.clone(),
            continue_on_failure: action.continue_on_failure,
        })
    };
    let mut resolved = actions.iter().enumerate().map(resolve).collect::<Result<Vec<_>, _>>()?;
    name_actions(&mut resolved, before, || ResourceId::fresh("at", uuid()));
    Ok(resolved)
}
