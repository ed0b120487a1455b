//! The audit trail: who changed which webhook, automation, plan or limit, from what to what. It is read off a change,
//! so that no call can be left out; secrets are never in it.

use serde::{Deserialize, Serialize};

use crate::domain::{caller::Caller, id::UserId};

/// Who changed something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// In which role.
    pub role: Role,
    /// Which user; none for services and rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
}

/// In which role something was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A rule of the service itself, such as disabling a webhook whose endpoint is gone.
    Rule,
    /// A backend.
    Service,
    /// A global admin.
    GlobalAdmin,
    /// A user.
    User,
}

impl Actor {
    /// A rule of the service.
    pub const RULE: Self = Self { role: Role::Rule, user: None };

    /// Who makes a call.
    pub fn of(caller: &Caller) -> Self {
        match caller {
            Caller::Service { .. } | Caller::Publisher { .. } => Self { role: Role::Service, user: None },
            Caller::GlobalAdmin { user, .. } => Self { role: Role::GlobalAdmin, user: Some(user.clone()) },
            Caller::User { user, .. } => Self { role: Role::User, user: Some(user.clone()) },
        }
    }
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// It was created.
    Created,
    /// It was changed.
    Updated,
    /// It was deleted.
    Deleted,
    /// A test request was sent to it.
    Tested,
}

/// A field that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// The field, named as in the API.
    pub field: String,
    /// What it was: text, or JSON where it is more than one value; empty where it was nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub before: String,
    /// What it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub after: String,
}

/// One change of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Who changed it.
    pub actor: Actor,
    /// What was done.
    pub verb: Verb,
    /// With which resource, by its name.
    pub resource: String,
    /// What of it was changed.
    pub changes: Vec<FieldChange>,
}
