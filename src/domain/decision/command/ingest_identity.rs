//! Calls that change who may publish an account's events without a token.

use super::{Command, Done, IngestIdentityAnswer, id_taken, too_many};
use crate::domain::{
    account::{AccountFacts, INGEST_IDENTITIES_MAX, IngestIdentity},
    decision::draft::Draft,
    id::{AccountId, ResourceId},
    name::check_display_name,
    refusal::{Refusal, Violations},
};

/// A service makes an identity, whose secret has a hash.
pub fn create_ingest_identity(
    draft: &mut Draft<'_, '_>,
    command: &Command,
    id: &ResourceId,
    display_name: &str,
    hash: &[u8],
) -> Result<IngestIdentityAnswer, Refusal> {
    let account_id = draft.state.id.clone();
    command.caller.require_service(&account_id)?;
    let account = draft.account()?;
    let mut faults = Violations::default();
    check_display_name(display_name, "ingest_identity.display_name", &mut faults);
    faults.check()?;
    let mut identities = account.facts.ingest_identities.clone();
    if identities.iter().any(|known| known.id == *id) {
        return Err(id_taken("ingest identity", identity_name(&account_id, id)));
    }
    if identities.len() >= INGEST_IDENTITIES_MAX {
        return Err(too_many("ingest_identities", INGEST_IDENTITIES_MAX));
    }
    let identity = IngestIdentity {
        id: id.clone(),
        display_name: display_name.to_owned(),
        hash: hash.to_vec(),
        created_at: draft.now(),
    };
    identities.push(identity.clone());
    draft.change.facts = Some(AccountFacts { ingest_identities: identities, ..account.facts.clone() });
    Ok(IngestIdentityAnswer { account: account_id, identity })
}

/// A service revokes one.
pub fn delete_ingest_identity(draft: &mut Draft<'_, '_>, command: &Command, id: &ResourceId) -> Result<Done, Refusal> {
    let account_id = draft.state.id.clone();
    command.caller.require_service(&account_id)?;
    let account = draft.account()?;
    let mut identities = account.facts.ingest_identities.clone();
    let before = identities.len();
    identities.retain(|known| known.id != *id);
    if identities.len() == before {
        return Err(Refusal::not_found("ingest identity", identity_name(&account_id, id)));
    }
    draft.change.facts = Some(AccountFacts { ingest_identities: identities, ..account.facts.clone() });
    Ok(Done)
}

fn identity_name(account: &AccountId, id: &ResourceId) -> String {
    format!("accounts/{account}/ingestIdentities/{id}")
}
