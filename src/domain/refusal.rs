//! Why a call is refused: an answer for the caller, not an error of ours.

use std::fmt;

/// One thing wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The field's path in the request, such as `automation.actions[0].method`.
    pub field: String,
    /// What is wrong and how to mend it.
    pub message: String,
}

/// A refused call. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The request can never be accepted as it is.
    Invalid(Vec<Violation>),
    /// The caller may not do this.
    Denied {
        /// Why the caller may not do it.
        message: String,
    },
    /// There is no such thing.
    NotFound {
        /// `account`, `webhook`, `automation` or `execution`.
        kind: &'static str,
        /// Its resource name.
        name: String,
    },
    /// The id or the name is taken.
    AlreadyExists {
        /// `account`, `webhook` or `automation`.
        kind: &'static str,
        /// Its resource name.
        name: String,
        /// What is taken, and what to do.
        message: String,
    },
    /// Something else must happen first.
    Precondition {
        /// What stands in the way.
        reason: Precondition,
        /// The field or resource at fault.
        subject: String,
        /// What to do first.
        message: String,
    },
    /// The account has as many as it may have.
    Exhausted {
        /// What there are too many of.
        subject: String,
        /// The limit, and what to do.
        message: String,
    },
    /// The resource has changed since the caller read it.
    StaleEtag {
        /// Its resource name.
        name: String,
    },
}

/// What must happen before a call can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precondition {
    /// The plan has no automation webhooks.
    PlanUpgradeRequired,
    /// The account has no automation webhook yet.
    AutomationWebhookRequired,
    /// The action names a webhook that does not exist.
    WebhookNotFound,
    /// A regular webhook cannot be an action's, nor the reverse.
    WrongWebhookKind,
    /// The account is being erased.
    AccountBeingErased,
    /// A request of the execution is under way.
    ExecutionRunning,
    /// The execution has ended.
    ExecutionEnded,
    /// The execution has not ended.
    ExecutionNotEnded,
    /// Every action of the execution has succeeded.
    NothingToRetry,
    /// The automation's actions are others now, and what had succeeded of them cannot be told.
    ActionsEdited,
    /// The automation that would build the requests is gone, or of another kind of object.
    AutomationNotFound,
    /// It is active for everyone, so not for everyone but one.
    ActiveForEveryone,
    /// The webhook sends no requests.
    WebhookDisabled,
    /// A path ending of an endpoint URL would become a query ending, or the reverse.
    EndpointEndingFixed,
    /// The row of the automation cannot be read.
    AutomationUnreadable,
    /// The row of the webhook cannot be read.
    WebhookUnreadable,
}

impl Precondition {
    /// Every one.
    pub const ALL: [Precondition; 16] = [
        Precondition::PlanUpgradeRequired,
        Precondition::AutomationWebhookRequired,
        Precondition::WebhookNotFound,
        Precondition::WrongWebhookKind,
        Precondition::AccountBeingErased,
        Precondition::EndpointEndingFixed,
        Precondition::ExecutionRunning,
        Precondition::ExecutionEnded,
        Precondition::ExecutionNotEnded,
        Precondition::NothingToRetry,
        Precondition::ActionsEdited,
        Precondition::ActiveForEveryone,
        Precondition::AutomationNotFound,
        Precondition::WebhookDisabled,
        Precondition::AutomationUnreadable,
        Precondition::WebhookUnreadable,
    ];

    /// The stable reason that clients match on.
    pub fn reason(self) -> &'static str {
        match self {
            Precondition::PlanUpgradeRequired => "PLAN_UPGRADE_REQUIRED",
            Precondition::AutomationWebhookRequired => "AUTOMATION_WEBHOOK_REQUIRED",
            Precondition::WebhookNotFound => "WEBHOOK_NOT_FOUND",
            Precondition::WrongWebhookKind => "WRONG_WEBHOOK_KIND",
            Precondition::AccountBeingErased => "ACCOUNT_BEING_ERASED",
            Precondition::EndpointEndingFixed => "ENDPOINT_ENDING_FIXED",
            Precondition::ExecutionRunning => "EXECUTION_RUNNING",
            Precondition::ExecutionEnded => "EXECUTION_ENDED",
            Precondition::ExecutionNotEnded => "EXECUTION_NOT_ENDED",
            Precondition::NothingToRetry => "NOTHING_TO_RETRY",
            Precondition::ActionsEdited => "ACTIONS_EDITED",
            Precondition::ActiveForEveryone => "ACTIVE_FOR_EVERYONE",
            Precondition::AutomationNotFound => "AUTOMATION_NOT_FOUND",
            Precondition::WebhookDisabled => "WEBHOOK_DISABLED",
            Precondition::AutomationUnreadable => "AUTOMATION_UNREADABLE",
            Precondition::WebhookUnreadable => "WEBHOOK_UNREADABLE",
        }
    }
}

impl Refusal {
    /// One bad field.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Refusal::Invalid(vec![Violation { field: field.into(), message: message.into() }])
    }

    /// The row of an automation cannot be read.
    pub fn automation_unreadable(name: impl Into<String>) -> Self {
        let message = "this automation's row in the database cannot be read, and its events wait: have it mended, or \
                       delete the automation";
        Refusal::precondition(Precondition::AutomationUnreadable, name, message)
    }

    /// The row of a webhook cannot be read.
    pub fn webhook_unreadable(name: impl Into<String>) -> Self {
        let message = "this webhook's row in the database cannot be read, and nothing is sent to it: have it mended, or \
                       delete the webhook and create another";
        Refusal::precondition(Precondition::WebhookUnreadable, name, message)
    }

    /// Not allowed.
    pub fn denied(message: impl Into<String>) -> Self {
        Refusal::Denied { message: message.into() }
    }

    /// Not there.
    pub fn not_found(kind: &'static str, name: impl Into<String>) -> Self {
        Refusal::NotFound { kind, name: name.into() }
    }

    /// Something else first.
    pub fn precondition(reason: Precondition, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Refusal::Precondition { reason, subject: subject.into(), message: message.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Invalid(violations) => {
                for (at, violation) in violations.iter().enumerate() {
                    let separator = if at == 0 { "" } else { "; " };
                    write!(f, "{separator}{}: {}", violation.field, violation.message)?;
                }
                Ok(())
            }
            Refusal::Denied { message }
            | Refusal::AlreadyExists { message, .. }
            | Refusal::Exhausted { message, .. }
            | Refusal::Precondition { message, .. } => f.write_str(message),
            Refusal::NotFound { kind, name } => write!(f, "there is no {kind} {name}"),
            Refusal::StaleEtag { name } => {
                write!(f, "{name} has changed since it was read: read it again and repeat the change")
            }
        }
    }
}

/// How many faults of one request are collected; whoever has that many mends those first.
pub const VIOLATIONS_MAX: usize = 100;

/// Collects what is wrong with a request, each fault under its field's path.
#[derive(Debug, Default)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Notes a fault.
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        if self.0.len() >= VIOLATIONS_MAX {
            return;
        }
        self.0.push(Violation { field: field.into(), message: message.into() });
    }

    /// Keeps a value, or notes its fault.
    pub fn take<T>(&mut self, field: impl Into<String>, value: Result<T, impl fmt::Display>) -> Option<T> {
        value.map_err(|error| self.add(field, error.to_string())).ok()
    }

    /// How many faults were noted.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is wrong so far.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses if anything is wrong.
    pub fn check(self) -> Result<(), Refusal> {
        if self.0.is_empty() { Ok(()) } else { Err(Refusal::Invalid(self.0)) }
    }
}
