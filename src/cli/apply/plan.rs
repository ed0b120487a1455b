//! What must be done so that an account has what files say.

use std::{collections::HashMap, fmt};

use serde_json::{Value, json};

use super::{
    super::{CliError, show},
    manifest::{Kind, Manifest},
};
use crate::{
    domain::url::{is_same_origin, redacted},
    grpc::pb,
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
pub enum Step<'m> {
    /// It does not exist.
    Create(&'m Manifest),
    /// It differs.
    Update {
        /// What the file says.
        manifest: &'m Manifest,
        /// What differs.
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
    pub steps: Vec<Step<'m>>,
    unchanged: usize,
}

impl Step<'_> {
    /// The resource.
    pub fn name(&self) -> &str {
        match self {
            Step::Create(manifest) | Step::Update { manifest, .. } => &manifest.name,
            Step::Delete { name, .. } => name,
        }
    }

    /// Where it was read, or what it is.
    pub fn place(&self) -> &str {
        match self {
            Step::Create(manifest) | Step::Update { manifest, .. } => &manifest.place,
            Step::Delete { name, .. } => name,
        }
    }

    /// A text without the values that its file only refers to.
    pub fn masked(&self, text: &str) -> String {
        match self {
            Step::Create(manifest) | Step::Update { manifest, .. } => manifest.masked(text),
            Step::Delete { .. } => text.to_owned(),
        }
    }

    /// The word for what was done.
    pub fn past(&self) -> &'static str {
        match self {
            Step::Create(_) => "created",
            Step::Update { .. } => "changed",
            Step::Delete { .. } => "deleted",
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
        let mut plan = Self { steps: Vec::new(), unchanged: 0 };
        for manifest in manifests {
            let Some(existing) = current.get(&manifest.name) else {
                manifest.check()?;
                plan.steps.push(Step::Create(manifest));
                continue;
            };
            let leaves = leaves_its_server(manifest, existing);
            let changes = differences(manifest, existing, set_credentials || leaves)?;
            if changes.is_empty() {
                plan.unchanged += 1;
                continue;
            }
            if manifest.is_whole() {
                manifest.check()?;
            }
            let gives_none = !changes.iter().any(|change| change.field == "credentials");
            let warning = (leaves && gives_none).then_some(CREDENTIALS_DROPPED);
            plan.steps.push(Step::Update { manifest, changes, etag: etag_of(existing), current: existing, warning });
        }
        if prune {
            plan.steps.extend(left_over(manifests, current));
            plan.check_names(current)?;
        }
        Ok(plan)
    }

    /// A new resource cannot have the display name of one that is deleted only afterwards.
    fn check_names(&self, current: &HashMap<String, Value>) -> Result<(), CliError> {
        let deleted = self.steps.iter().filter_map(|step| match step {
            Step::Delete { name, kind, .. } => Some((*kind, current.get(name)?.get("display_name")?, name)),
            _ => None,
        });
        for (kind, display_name, name) in deleted {
            let taken = self.steps.iter().find_map(|step| match step {
                Step::Create(one) if one.kind == kind && one.value.get("display_name") == Some(display_name) => {
                    Some(one)
                }
                _ => None,
            });
            if let Some(manifest) = taken {
                return Err(CliError::new(format!(
                    "{}: {name} is called {display_name} and is deleted last: give the new one another display_name, or \
                     delete the old one first",
                    manifest.place
                )));
            }
        }
        Ok(())
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The plan for programs.
    pub fn to_json(&self) -> Value {
        let step = |step: &Step<'_>| match step {
            Step::Create(manifest) => json!({"action": "create", "name": manifest.name}),
            Step::Update { manifest, changes, warning, .. } => {
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
            Step::Delete { name, .. } => json!({"action": "delete", "name": name}),
        };
        json!({"steps": self.steps.iter().map(step).collect::<Vec<_>>(), "unchanged": self.unchanged})
    }
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
fn left_over<'m>(manifests: &[Manifest], current: &HashMap<String, Value>) -> Vec<Step<'m>> {
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
    steps.into_iter().map(|(_, name, kind, etag)| Step::Delete { name, kind, etag }).collect()
}

/// The fields that the file sets to something else. Both sides are read as messages, so that only meaning differs.
fn differences(manifest: &Manifest, existing: &Value, set_credentials: bool) -> Result<Vec<FieldChange>, CliError> {
    let wanted = match manifest.kind {
        Kind::Webhook => show::json("Webhook", &show::message::<pb::Webhook>("Webhook", manifest.value.clone())?)?,
        Kind::Automation => {
            show::json("Automation", &show::message::<pb::Automation>("Automation", manifest.value.clone())?)?
        }
    };
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

impl fmt::Display for Plan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut create, mut update, mut delete) = (0, 0, 0);
        for step in &self.steps {
            match step {
                Step::Create(manifest) => {
                    create += 1;
                    writeln!(f, "+ {}", manifest.name)?;
                }
                Step::Update { manifest, changes, warning, .. } => {
                    update += 1;
                    writeln!(f, "~ {}", manifest.name)?;
                    for change in changes {
                        let (from, to) = (shown(&change.from), shown(&change.to));
                        let is_secret = change.field == "credentials" && change.from.is_null();
                        let from = if is_secret { "(as they are)".to_owned() } else { from };
                        writeln!(f, "    {}: {from} → {to}", change.field)?;
                    }
                    if let Some(warning) = warning {
                        writeln!(f, "    warning: {warning}")?;
                    }
                }
                Step::Delete { name, .. } => {
                    delete += 1;
                    writeln!(f, "- {name}")?;
                }
            }
        }
        writeln!(f, "{create} to create, {update} to change, {delete} to delete, {} as they are", self.unchanged)
    }
}
