//! What a change says in the audit trail.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::domain::{
    account::{
        Account, AccountFacts,
        audit::{Actor, AuditEntry, FieldChange, Verb},
        change::{Change, DeletedAutomation, ObjectFields, Tested, WebhookChange},
    },
    automation::{Automation, catalogue::Field},
    caller::Caller,
    id::{AccountId, ResourceId, UserId},
    webhook::{Webhook, credentials::Credentials},
};

/// What a resource says of itself: fields and values, without secrets.
type Fields = Vec<(&'static str, String)>;

/// How much of a value is kept.
const VALUE_CHARS_MAX: usize = 16 * 1024;

/// What a change does, and who did it: the caller of its command, where nothing else is said.
pub fn entries(id: &AccountId, account: Option<&Account>, change: &Change, caller: Option<&Caller>) -> Vec<AuditEntry> {
    let actor = caller.map_or(Actor::RULE, Actor::of);
    let mut found = Vec::new();
    if let Some(after) = &change.facts {
        let before = account.map(|account| &account.facts);
        let verb = match before {
            None => Verb::Created,
            Some(_) if after.deleted => Verb::Deleted,
            Some(_) => Verb::Updated,
        };
        let changes = changed(&before.map(of_facts).unwrap_or_default(), &of_facts(after));
        let had = before.map(|facts| facts.ingest_identities.as_slice()).unwrap_or_default();
        if had == after.ingest_identities.as_slice() || after.deleted {
            found.push(AuditEntry { actor: actor.clone(), verb, resource: format!("accounts/{id}"), changes });
        }
        let has = if after.deleted { had } else { after.ingest_identities.as_slice() };
        let gone = had.iter().filter(|one| !has.contains(one)).map(|one| (Verb::Deleted, one));
        let new = has.iter().filter(|one| !had.contains(one)).map(|one| (Verb::Created, one));
        found.extend(gone.chain(new).map(|(verb, one)| {
            let (empty, fields) = (Fields::new(), vec![("display_name", one.display_name.clone())]);
            let (before, after) = if verb == Verb::Deleted { (&fields, &empty) } else { (&empty, &fields) };
            let resource = name(id, "ingestIdentities", &one.id);
            AuditEntry { actor: actor.clone(), verb, resource, changes: changed(before, after) }
        }));
    }
    for (at, WebhookChange { webhook: after, by }) in change.webhooks.iter().enumerate() {
        let earlier = change.webhooks[..at].iter().rev().map(|change| &change.webhook);
        let earlier = earlier.into_iter().find(|webhook| webhook.uid == after.uid);
        let before = earlier.or_else(|| account?.webhooks.get(&after.uid));
        let mut changes = changed(&before.map(|one| of_webhook(one)).unwrap_or_default(), &of_webhook(after));
        if before.is_some_and(|before| has_new_secret(before, after)) {
            changes.push(FieldChange {
                field: "signing_secret".into(),
                before: String::new(),
                after: "a new one".into(),
            });
        }
        if before.is_some_and(|before| has_new_credentials(before, after)) {
            let field = "credentials".to_owned();
            changes.retain(|change| change.field != field);
            let kind = credentials_kind(&after.credentials);
            changes.push(FieldChange { field, before: "others".into(), after: format!("new ones: {kind}") });
        }
        let is_moved = |before: &&Arc<Webhook>| {
            let (old, new) = (&before.endpoint, &after.endpoint);
            old.as_str() != new.as_str() && old.masked() == new.masked()
        };
        if let Some(before) = before.filter(is_moved) {
            let (field, url) = ("endpoint_url".to_owned(), before.endpoint.masked());
            changes.push(FieldChange { field, after: format!("{url} (other query values)"), before: url });
        }
        let verb = verb_of(before.is_some(), after.deleted_at.is_some());
        found.push(AuditEntry { actor: by.clone(), verb, resource: name(id, "webhooks", &after.id), changes });
    }
    if let Some(tested) = &change.tested {
        let resource = match tested {
            Tested::Webhook(webhook) => name(id, "webhooks", webhook),
            Tested::Automation(automation) => name(id, "automations", automation),
        };
        found.push(AuditEntry { actor: actor.clone(), verb: Verb::Tested, resource, changes: Vec::new() });
    }
    for after in &change.automations {
        let before = account.and_then(|account| account.automations.get(&after.uid));
        let changes = changed(&before.map(|one| of_automation(one)).unwrap_or_default(), &of_automation(after));
        let verb = verb_of(before.is_some(), false);
        found.push(AuditEntry { actor: actor.clone(), verb, resource: name(id, "automations", &after.id), changes });
    }
    if let Some(ObjectFields { object, fields: after }) = &change.catalogue {
        let before = account.map(|account| account.catalogue.added_to(object.as_str())).unwrap_or_default();
        let verb = verb_of(!before.is_empty(), after.is_empty());
        let fields = |fields: &[Field]| match fields {
            [] => Fields::new(),
            some => vec![("fields", json(some))],
        };
        let changes = changed(&fields(before), &fields(after));
        found.push(AuditEntry {
            actor: actor.clone(),
            verb,
            resource: format!("accounts/{id}/objects/{object}"),
            changes,
        });
    }
    let unreadable = change.deleted_automation.and_then(|DeletedAutomation { uid, .. }| {
        let unreadable = &account?.unreadable;
        unreadable.iter().find(|automation| automation.uid == uid)
    });
    if let Some(before) = unreadable {
        let resource = format!("accounts/{id}/automations/{}", before.id);
        found.push(AuditEntry { actor: actor.clone(), verb: Verb::Deleted, resource, changes: Vec::new() });
    }
    let deleted = change.deleted_automation.and_then(|DeletedAutomation { uid, .. }| account?.automations.get(&uid));
    if let Some(before) = deleted {
        let resource = name(id, "automations", &before.id);
        let changes = changed(&of_automation(before), &Fields::new());
        found.push(AuditEntry { actor, verb: Verb::Deleted, resource, changes });
    }
    found
}

fn verb_of(was_there: bool, is_deleted: bool) -> Verb {
    match (was_there, is_deleted) {
        (false, _) => Verb::Created,
        (true, true) => Verb::Deleted,
        (true, false) => Verb::Updated,
    }
}

fn name(account: &AccountId, collection: &str, id: &ResourceId) -> String {
    format!("accounts/{account}/{collection}/{id}")
}

/// The fields that differ, in the order in which the resource names them.
fn changed(before: &Fields, after: &Fields) -> Vec<FieldChange> {
    let value = |fields: &Fields, wanted: &str| {
        fields.iter().find(|(field, _)| *field == wanted).map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let names = if after.is_empty() { before } else { after };
    let change = |(field, _): &(&'static str, String)| {
        let (before, after) = (value(before, field), value(after, field));
        if before == after {
            return None;
        }
        let (before, mut after) = (shortened(&before), shortened(&after));
        if before == after {
            after.push_str(" (differs further on)");
        }
        Some(FieldChange { field: (*field).to_owned(), before, after })
    };
    names.iter().filter_map(change).collect()
}

fn shortened(value: &str) -> String {
    match value.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

fn json(value: impl Serialize) -> String {
    serde_json::to_string(&value).unwrap_or_default()
}

fn word(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        Ok(Value::Null) | Err(_) => String::new(),
        Ok(other) => other.to_string(),
    }
}

fn of_facts(facts: &AccountFacts) -> Fields {
    vec![("plan", word(facts.plan)), ("limit_overrides", json(facts.overrides))]
}

fn credentials_kind(credentials: &Credentials) -> &'static str {
    match credentials {
        Credentials::None => "none",
        Credentials::Basic { .. } => "basic",
        Credentials::Bearer(_) => "bearer",
        Credentials::Headers(_) => "headers",
    }
}

fn of_webhook(webhook: &Webhook) -> Fields {
    let enabled = match webhook.disabled {
        None => "true".to_owned(),
        Some(reason) => format!("false: {}", word(reason)),
    };
    vec![
        ("display_name", webhook.display_name.clone()),
        ("kind", word(webhook.kind)),
        ("endpoint_url", webhook.endpoint.masked()),
        ("credentials", credentials_kind(&webhook.credentials).to_owned()),
        ("retry_policy", json(&webhook.retry)),
        ("requests_per_second", word(webhook.requests_per_second)),
        ("enabled", enabled),
        ("subscription", word(&webhook.subscription)),
        ("owner_user_id", word(&webhook.owner)),
    ]
}

fn has_new_secret(before: &Webhook, after: &Webhook) -> bool {
    let newest = |webhook: &Webhook| {
        use secrecy::ExposeSecret;
        webhook.secrets.first().map(|secret| secret.secret.expose_secret().to_owned())
    };
    newest(before) != newest(after)
}

fn has_new_credentials(before: &Webhook, after: &Webhook) -> bool {
    use secrecy::ExposeSecret;
    let exposed = |webhook: &Webhook| {
        let headers = webhook.credentials.headers();
        headers.into_iter().map(|(name, value)| (name, value.expose_secret().to_owned())).collect::<Vec<_>>()
    };
    exposed(before) != exposed(after)
}

fn of_automation(automation: &Automation) -> Fields {
    let spec = &automation.spec;
    let mut actions = serde_json::to_value(&spec.actions).unwrap_or_default();
    for action in actions.as_array_mut().into_iter().flatten() {
        if let Some(action) = action.as_object_mut() {
            // What clients name it by is enough.
            action.remove("webhook_uid");
        }
    }
    let activation = &automation.activation;
    let active_for = match activation.everyone {
        true => "everyone".to_owned(),
        false => activation.users.iter().map(UserId::as_str).collect::<Vec<_>>().join(", "),
    };
    vec![
        ("display_name", automation.display_name.clone()),
        ("trigger_object", spec.object.to_string()),
        ("trigger_actions", spec.trigger_actions.words()),
        ("conditions", spec.conditions.as_ref().map(json).unwrap_or_default()),
        ("actions", actions.to_string()),
        ("enabled", automation.enabled.to_string()),
        ("active_for", active_for),
        ("owner_user_id", automation.owner.to_string()),
    ]
}

#[cfg(test)]
#[path = "tests/audit_entries.rs"]
mod tests;
