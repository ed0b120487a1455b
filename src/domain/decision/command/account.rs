//! Calls that change an account itself.

use super::{AccountAnswer, Command, Done, account_name, check_etag};
use crate::domain::{
    account::AccountFacts,
    decision::draft::Draft,
    plan::{LimitOverrides, Plan},
    refusal::{Precondition, Refusal},
};

/// A service creates an account.
pub fn create_account(draft: &mut Draft<'_, '_>, command: &Command, plan: Plan) -> Result<AccountAnswer, Refusal> {
    let id = &draft.state.id;
    command.caller.require_service(id)?;
    match &draft.state.account {
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
        overrides: LimitOverrides::default(),
        run_out_limit: None,
        ingest_identities: Vec::new(),
        revision: draft.change.revision,
        created_at: draft.now(),
        updated_at: draft.now(),
        deleted: false,
    };
    draft.change.facts = Some(facts.clone());
    Ok(AccountAnswer { account: id.clone(), facts })
}

/// A service sets the plan.
pub fn set_plan(
    draft: &mut Draft<'_, '_>,
    command: &Command,
    plan: Plan,
    etag: &str,
) -> Result<AccountAnswer, Refusal> {
    let id = draft.state.id.clone();
    command.caller.require_service(&id)?;
    let account = draft.account()?;
    check_etag(etag, account.facts.revision, account_name(&id))?;
    let limit = account.execution_limit(&draft.limits);
    let run_out_limit = if plan.has_automation_webhooks() { None } else { Some(limit) };
    let (revision, updated_at) = (draft.change.revision, draft.now());
    change_facts(draft, AccountFacts { plan, run_out_limit, revision, updated_at, ..account.facts.clone() })
}

/// A service sets what replaces limits of the plan.
pub fn set_limits(
    draft: &mut Draft<'_, '_>,
    command: &Command,
    overrides: LimitOverrides,
    etag: &str,
) -> Result<AccountAnswer, Refusal> {
    let id = draft.state.id.clone();
    command.caller.require_service(&id)?;
    let account = draft.account()?;
    check_etag(etag, account.facts.revision, account_name(&id))?;
    let (revision, updated_at) = (draft.change.revision, draft.now());
    change_facts(draft, AccountFacts { overrides, revision, updated_at, ..account.facts.clone() })
}

fn change_facts(draft: &mut Draft<'_, '_>, facts: AccountFacts) -> Result<AccountAnswer, Refusal> {
    // A higher limit lets in what waits.
    if draft.change.backlog.count > 0 {
        let now = draft.now();
        draft.change.due_by(now);
    }
    // A shorter retention lets go of what is older.
    if let Some(expires_at) = &mut draft.change.history.expires_at {
        *expires_at = draft.around.now;
    }
    draft.change.facts = Some(facts.clone());
    Ok(AccountAnswer { account: draft.state.id.clone(), facts })
}

/// A service deletes an account; it is erased afterwards.
pub fn delete_account(draft: &mut Draft<'_, '_>, command: &Command, etag: &str) -> Result<Done, Refusal> {
    let id = draft.state.id.clone();
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
    Ok(Done)
}
