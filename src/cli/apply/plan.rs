//! What must be done so that an account has what files say.

use std::{collections::HashMap, fmt};

use serde_json::{Value, json};

use super::{
    super::{CliError, show},
    manifest::{Kind, Manifest},
};
use crate::{
    domain::url::{is_same_origin, redacted},
    grpc::{pb, shown_retry_policy},
};

/// What happens to credentials that the file does not give.
const CREDENTIALS_DROPPED: &str = "the endpoint URL leads to another server: the credentials are dropped, because the file \
                                   gives none for it";
/// How long a shown value may be.
const SHOWN_CHARS_MAX: usize = 160;

/// A field that differs.
#[derive(Debug, PartialEq)]
pub struct FieldChange {
    /// The field.
    pub field: String,
    from: Value,
    to: Value,
}

/// One thing to do.
#[derive(Debug)]
pub enum PlanStep<'m> {
    /// It does not exist.
    Create(&'m Manifest),
    /// The resource differs from the file.
    Update {
        /// What the file says.
        manifest: &'m Manifest,
        /// Each field that differs.
        changes: Vec<FieldChange>,
        /// The version that was compared.
        etag: String,
        /// What the account has.
        current: &'m Value,
        /// What the change does beside what the file says.
        warning: Option<&'static str>,
    },
    /// No file names it.
    Delete {
        /// Its name.
        name: String,
        /// What it is.
        kind: Kind,
        /// The version that was seen.
        etag: String,
    },
}

/// What must be done, in this order.
#[derive(Debug)]
pub struct Plan<'m> {
    /// Each thing.
    pub steps: Vec<PlanStep<'m>>,
    unchanged: usize,
    /// What a reader should know of what is left as it is.
    pub warnings: Vec<String>,
}

impl PlanStep<'_> {
    /// The resource.
    pub fn name(&self) -> &str {
        match self {
            PlanStep::Create(manifest) | PlanStep::Update { manifest, .. } => &manifest.name,
            PlanStep::Delete { name, .. } => name,
        }
    }

    /// Where it was read, or what it is.
    pub fn place(&self) -> &str {
        match self {
            PlanStep::Create(manifest) | PlanStep::Update { manifest, .. } => &manifest.place,
            PlanStep::Delete { name, .. } => name,
        }
    }

    /// A text without the values that its file only refers to.
    pub fn masked(&self, text: &str) -> String {
        match self {
            PlanStep::Create(manifest) | PlanStep::Update { manifest, .. } => manifest.masked(text),
            PlanStep::Delete { .. } => text.to_owned(),
        }
    }

    /// The display name that a webhook gets by it.
    fn takes_display_name(&self) -> Option<&str> {
        let manifest = match self {
            PlanStep::Create(manifest) => manifest,
            PlanStep::Update { manifest, changes, .. }
                if changes.iter().any(|change| change.field == "display_name") =>
            {
                manifest
            }
            _ => return None,
        };
        manifest.value.get("display_name")?.as_str().filter(|_| manifest.kind == Kind::Webhook)
    }

    /// The word for what was done.
    pub fn past(&self) -> &'static str {
        match self {
            PlanStep::Create(_) => "created",
            PlanStep::Update { .. } => "changed",
            PlanStep::Delete { .. } => "deleted",
        }
    }
}

impl<'m> Plan<'m> {
    /// Compares what files say with what the account has. A field that no file sets stays as it is.
    pub fn new(
        manifests: &'m [Manifest],
        current: &'m HashMap<String, Value>,
        prune: bool,
        set_credentials: bool,
    ) -> Result<Self, CliError> {
        let mut plan = Self { steps: Vec::new(), unchanged: 0, warnings: Vec::new() };
        for manifest in manifests {
            let Some(existing) = current.get(&manifest.name) else {
                manifest.check()?;
                plan.steps.push(PlanStep::Create(manifest));
                continue;
            };
            // A document that says all is checked whether anything differs or not.
            if manifest.is_whole() {
                manifest.check()?;
            }
            let leaves = leaves_its_server(manifest, existing);
            let mut changes = differences(manifest, existing, set_credentials || leaves)?;
            changes.extend(made_anew(manifests, current, manifest, existing, &changes));
            if changes.is_empty() {
                plan.unchanged += 1;
                let known = existing.get("warnings").and_then(Value::as_array).into_iter().flatten();
                let known = known.filter_map(Value::as_str);
                plan.warnings.extend(known.map(|warning| format!("{}: {warning}", manifest.place)));
                continue;
            }
            let gives_none = !changes.iter().any(|change| change.field == "credentials");
            let warning = (leaves && gives_none).then_some(CREDENTIALS_DROPPED);
            plan.steps.push(PlanStep::Update {
                manifest,
                changes,
                etag: etag_of(existing),
                current: existing,
                warning,
            });
        }
        if prune {
            plan.steps.extend(left_over(manifests, current));
            plan.check_deleted(manifests, current)?;
        }
        plan.warn_of_dead(current);
        plan.order_by_display_name(current)?;
        Ok(plan)
    }

    /// A webhook that an automation of a file names is not deleted.
    fn check_deleted(&self, manifests: &[Manifest], current: &HashMap<String, Value>) -> Result<(), CliError> {
        for step in &self.steps {
            let PlanStep::Delete { name, kind: Kind::Webhook, .. } = step else { continue };
            let names_it = |manifest: &&Manifest| {
                // Where a file has no actions, they stay as they are.
                let has_actions = manifest.value.get("actions").is_some();
                let automation = if has_actions { Some(&manifest.value) } else { current.get(&manifest.name) };
                automation.is_some_and(|automation| webhooks_of(automation).any(|of| of == name))
            };
            if let Some(manifest) = manifests.iter().find(names_it) {
                return Err(CliError::new(format!(
                    "{}: {} names {name}, which no file has and --prune would delete: add a file for the webhook, or name \
                     another one in the action\nnothing was changed",
                    manifest.place, manifest.name
                )));
            }
        }
        Ok(())
    }

    /// Says which automations go on without a webhook that is made anew: none is attached to it by itself.
    fn warn_of_dead(&mut self, current: &HashMap<String, Value>) {
        let made: Vec<_> =
            self.steps.iter().filter(|step| matches!(step, PlanStep::Create(_))).map(PlanStep::name).collect();
        let is_renamed = |automation: &str| {
            self.steps.iter().any(|step| match step {
                PlanStep::Update { manifest, changes, .. } => {
                    manifest.name == automation && changes.iter().any(|change| change.field == "actions")
                }
                PlanStep::Create(_) => false,
                PlanStep::Delete { name, .. } => name == automation,
            })
        };
        let mut dead = Vec::new();
        for (name, automation) in current.iter().filter(|(name, _)| !is_renamed(name)) {
            let mut deleted = deleted_webhooks_of(automation);
            if let Some(webhook) = deleted.find(|webhook| made.contains(webhook)) {
                dead.push(format!("{name} names {webhook}, which was deleted, not the new one: name it again"));
            }
        }
        dead.sort();
        self.warnings.extend(dead);
    }

    /// Webhooks have display names of their own, so one that gives its name up changes before the one that takes it.
    fn order_by_display_name(&mut self, current: &HashMap<String, Value>) -> Result<(), CliError> {
        let is_webhook = |name: &&String| name.contains("/webhooks/");
        let webhooks = current.iter().filter(|(name, _)| is_webhook(name));
        let mut holders: HashMap<String, String> = webhooks
            .filter_map(|(name, webhook)| Some((webhook.get("display_name")?.as_str()?.to_owned(), name.clone())))
            .collect();
        let is_delete = |step: &&PlanStep<'_>| matches!(step, PlanStep::Delete { .. });
        let deleted: Vec<_> = self.steps.iter().filter(is_delete).map(|step| step.name().to_owned()).collect();
        let mut waiting = std::mem::take(&mut self.steps);
        while !waiting.is_empty() {
            let is_free = |step: &PlanStep<'_>| {
                let holder = step.takes_display_name().and_then(|name| holders.get(name));
                holder.is_none_or(|holder| holder == step.name())
            };
            let Some(at) = waiting.iter().position(is_free) else {
                return Err(taken(&waiting, &holders, &deleted));
            };
            let step = waiting.remove(at);
            // Deletions come last: what they give up is not taken before.
            if let Some(name) = step.takes_display_name() {
                holders.retain(|_, holder| holder != step.name());
                holders.insert(name.to_owned(), step.name().to_owned());
            }
            self.steps.push(step);
        }
        Ok(())
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The plan for programs.
    pub fn to_json(&self) -> Value {
        let step = |step: &PlanStep<'_>| match step {
            PlanStep::Create(manifest) => json!({"action": "create", "name": manifest.name}),
            PlanStep::Update { manifest, changes, warning, .. } => {
                let fields: Vec<_> = changes
                    .iter()
                    .map(|change| json!({"field": change.field, "from": change.from, "to": change.to}))
                    .collect();
                let mut step = json!({"action": "update", "name": manifest.name, "changes": fields});
                if let Some(warning) = warning {
                    step["warnings"] = json!([warning]);
                }
                step
            }
            PlanStep::Delete { name, .. } => json!({"action": "delete", "name": name}),
        };
        json!({"steps": self.steps.iter().map(step).collect::<Vec<_>>(), "unchanged": self.unchanged})
    }
}

/// Why no step can be next: each takes a display name that another webhook has.
fn taken(waiting: &[PlanStep<'_>], holders: &HashMap<String, String>, deleted: &[String]) -> CliError {
    let first = waiting.iter().find_map(|step| Some((step, step.takes_display_name()?)));
    let Some((step, name)) = first else { return CliError::new("the steps have no order") };
    let holder = holders.get(name).map(String::as_str).unwrap_or_default();
    let is_deleted = deleted.iter().any(|name| name == holder);
    let is_renamed = waiting.iter().any(|other| other.name() == holder && other.takes_display_name().is_some());
    let remedy = if is_deleted {
        "and is deleted last: choose another display_name, or delete the old one first"
    } else if is_renamed {
        "and is to take one that is not free either: give one of them a third display_name first"
    } else {
        "and keeps it: choose another display_name"
    };
    CliError::new(format!("{}: {holder} is called {name:?} {remedy}\nnothing was changed", step.place()))
}

/// The webhooks that an automation's actions name.
fn webhooks_of(automation: &Value) -> impl Iterator<Item = &str> {
    let actions = automation.get("actions").and_then(Value::as_array).into_iter().flatten();
    actions.filter_map(|action| action.get("webhook")?.as_str())
}

/// The webhooks that an automation's actions name and that were deleted.
fn deleted_webhooks_of(automation: &Value) -> impl Iterator<Item = &str> {
    let actions = automation.get("actions").and_then(Value::as_array).into_iter().flatten();
    let deleted = actions.filter(|action| action.get("webhook_deleted") == Some(&Value::Bool(true)));
    deleted.filter_map(|action| action.get("webhook")?.as_str())
}

/// The actions of an automation whose webhook was deleted, and is there again or about to be: it has to be named again.
fn made_anew(
    manifests: &[Manifest],
    current: &HashMap<String, Value>,
    manifest: &Manifest,
    existing: &Value,
    changes: &[FieldChange],
) -> Option<FieldChange> {
    let is_planned = changes.iter().any(|change| change.field == "actions");
    let wanted = manifest.value.get("actions").filter(|_| manifest.kind == Kind::Automation && !is_planned)?;
    let is_there =
        |webhook: &str| current.contains_key(webhook) || manifests.iter().any(|manifest| manifest.name == webhook);
    let webhook = deleted_webhooks_of(existing).find(|webhook| is_there(webhook))?;
    let from = format!("{webhook} was deleted and made anew; it is named again");
    Some(FieldChange { field: "actions".to_owned(), from: from.into(), to: manifest.masked_value(wanted.clone()) })
}

/// The actions of an automation as the file could have given them: without what is read only, and without ids that it does
/// not give.
fn as_given(mut actions: Value, wanted: Option<&Value>) -> Value {
    for (at, action) in actions.as_array_mut().into_iter().flatten().enumerate() {
        let Some(fields) = action.as_object_mut() else { continue };
        fields.remove("webhook_deleted");
        let is_given = |field: &str| wanted.and_then(|wanted| wanted.get(at)?.get(field)).is_some();
        if !is_given("action_id") {
            fields.remove("action_id");
        }
        // What may have no body need not say so.
        if !["key_value", "raw_json", "form", "text", "no_body"].into_iter().any(is_given) {
            fields.remove("no_body");
        }
    }
    actions
}

/// Whether a file has a webhook with credentials go to another server: they were given for the one before, and are dropped.
fn leaves_its_server(manifest: &Manifest, existing: &Value) -> bool {
    let url = |value: &Value| value.get("endpoint_url").and_then(Value::as_str).map(ToOwned::to_owned);
    let has_credentials =
        existing.get("credentials").is_some_and(|found| found.as_object().is_some_and(|kinds| !kinds.is_empty()));
    let urls = url(&manifest.value).zip(url(existing));
    has_credentials && urls.is_some_and(|(to, from)| !is_same_origin(&to, &from))
}

fn etag_of(existing: &Value) -> String {
    existing.get("etag").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// What no file names: automations first, because they need webhooks.
fn left_over<'m>(manifests: &[Manifest], current: &HashMap<String, Value>) -> Vec<PlanStep<'m>> {
    let is_named = |name: &str| manifests.iter().any(|manifest| manifest.name == name);
    let mut steps: Vec<_> = current
        .iter()
        .filter(|(name, _)| !is_named(name))
        .map(|(name, existing)| {
            let kind = if name.contains("/webhooks/") { Kind::Webhook } else { Kind::Automation };
            (kind == Kind::Webhook, name.clone(), kind, etag_of(existing))
        })
        .collect();
    steps.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
    steps.into_iter().map(|(_, name, kind, etag)| PlanStep::Delete { name, kind, etag }).collect()
}

/// The fields that the file sets to something else. Both sides are read as messages, so that only meaning differs.
fn differences(manifest: &Manifest, existing: &Value, set_credentials: bool) -> Result<Vec<FieldChange>, CliError> {
    let wanted = match manifest.kind {
        Kind::Webhook => show::json("Webhook", &show::message::<pb::Webhook>("Webhook", manifest.value.clone())?)?,
        Kind::Automation => {
            show::json("Automation", &show::message::<pb::Automation>("Automation", manifest.value.clone())?)?
        }
    };
    let wanted_retry = match manifest.kind {
        Kind::Webhook => {
            let shown = shown_retry_policy(&show::message("Webhook", manifest.value.clone())?);
            shown.map_err(|status| manifest.refused(status))?
        }
        Kind::Automation => None,
    };
    let wanted_retry = wanted_retry.map(|policy| show::json("RetryPolicy", &policy)).transpose()?;
    let mut changes = Vec::new();
    let fields = manifest.value.as_object().into_iter().flat_map(|fields| fields.keys());
    for field in fields {
        let (mut from, mut to) = (existing.get(field).cloned(), wanted.get(field).cloned());
        if field == "credentials" {
            // What is sealed is never shown: it is compared without.
            let is_set = set_credentials && to.is_some();
            let is_some = |credentials: &Value| credentials.as_object().is_some_and(|kinds| !kinds.is_empty());
            (from, to) = (from.map(without_secrets), to.map(without_secrets));
            (from, to) = (from.filter(is_some), to.filter(is_some));
            if is_set && from == to {
                from = None;
            }
        }
        if field == "actions" {
            from = from.map(|actions| as_given(actions, to.as_ref()));
        }
        if field == "retry_policy" {
            to = wanted_retry.clone();
        }
        if matches!(field.as_str(), "trigger_actions" | "success_statuses") {
            (from, to) = (from.map(sorted), to.map(sorted));
        }
        if field == "activation" {
            (from, to) = (from.map(in_order), to.map(in_order));
        }
        // Below its plan an automation shows as suspended, whatever it is underneath.
        if field == "state" && from == Some("AUTOMATION_STATE_SUSPENDED".into()) {
            from.clone_from(&to);
        }
        if from == to {
            continue;
        }
        if manifest.kind.fixed_fields().contains(&field.as_str()) {
            let (from, place) = (shown(&from.unwrap_or_default()), &manifest.place);
            return Err(CliError::new(format!("{place}: {field} is {from} and fixed: choose another id")));
        }
        // Values of a query are secrets.
        let shown = |value: Option<Value>| match value {
            Some(Value::String(url)) if field == "endpoint_url" => redacted(&url).into(),
            other => manifest.masked_value(other.unwrap_or_default()),
        };
        changes.push(FieldChange { field: field.clone(), from: shown(from), to: shown(to) });
    }
    Ok(changes)
}

/// A list whose order means nothing, each value once.
fn sorted(mut list: Value) -> Value {
    if let Value::Array(values) = &mut list {
        values.sort_by_key(ToString::to_string);
        values.dedup();
    }
    list
}

/// For whom an automation is active, in whatever order they were given.
fn in_order(mut activation: Value) -> Value {
    if let Some(Value::Array(users)) = activation.get_mut("user_ids") {
        users.sort_by_key(ToString::to_string);
        users.dedup();
    }
    activation
}

/// Credentials as an admin sees them: their kind, a user name, the names of headers.
fn without_secrets(mut credentials: Value) -> Value {
    for pointer in ["/basic", "/bearer"] {
        if let Some(Value::Object(fields)) = credentials.pointer_mut(pointer) {
            fields.remove("password");
            fields.remove("token");
        }
    }
    if let Some(Value::Object(headers)) = credentials.pointer_mut("/headers/headers") {
        let lower = headers.keys().map(|name| (name.to_lowercase(), Value::from(""))).collect();
        *headers = lower;
    }
    credentials
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "(not set)".to_owned(),
        Value::String(text) => show::short(text, SHOWN_CHARS_MAX),
        other => show::short(&other.to_string(), SHOWN_CHARS_MAX),
    }
}

/// How much is shown before the first letter that differs.
const SHOWN_BEFORE_CHARS: usize = 40;

/// Two values, each from a little before the first letter in which they differ.
fn shown_both(from: &Value, to: &Value) -> (String, String) {
    let text = |value: &Value| match value {
        Value::Null => "(not set)".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let (from, to) = (text(from), text(to));
    let alike = from.chars().zip(to.chars()).take_while(|(one, other)| one == other).count();
    let is_long = |text: &str| text.chars().count() > SHOWN_CHARS_MAX;
    if !is_long(&from) && !is_long(&to) {
        return (show::short(&from, SHOWN_CHARS_MAX), show::short(&to, SHOWN_CHARS_MAX));
    }
    let left_out = alike.saturating_sub(SHOWN_BEFORE_CHARS);
    let cut = |text: &str| {
        let rest: String = text.chars().skip(left_out).collect();
        let beginning = if left_out > 0 { "…" } else { "" };
        format!("{beginning}{}", show::short(&rest, SHOWN_CHARS_MAX))
    };
    (cut(&from), cut(&to))
}

impl fmt::Display for Plan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut create, mut update, mut delete) = (0, 0, 0);
        for step in &self.steps {
            match step {
                PlanStep::Create(manifest) => {
                    create += 1;
                    writeln!(f, "+ {}", manifest.name)?;
                }
                PlanStep::Update { manifest, changes, warning, .. } => {
                    update += 1;
                    writeln!(f, "~ {}", manifest.name)?;
                    for change in changes {
                        let (from, to) = shown_both(&change.from, &change.to);
                        let is_secret = change.field == "credentials" && change.from.is_null();
                        let from = if is_secret { "(as they are)".to_owned() } else { from };
                        writeln!(f, "    {}: {from} → {to}", change.field)?;
                    }
                    if let Some(warning) = warning {
                        writeln!(f, "    warning: {warning}")?;
                    }
                }
                PlanStep::Delete { name, .. } => {
                    delete += 1;
                    writeln!(f, "- {name}")?;
                }
            }
        }
        writeln!(f, "{create} to create, {update} to change, {delete} to delete, {} as they are", self.unchanged)
    }
}

#[cfg(test)]
#[path = "tests/plan.rs"]
mod tests;
