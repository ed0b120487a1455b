//! Webhooks: named endpoints, their credentials and the secrets that sign their requests.

use serde::{Deserialize, Serialize};

use super::{
    credentials::Credentials,
    signing::SigningSecret,
    subscription::{Subscription, is_permitted},
};
use crate::domain::{
    attempt::{
        SuccessStatuses,
        retry_policy::{PIPEDRIVE_DELAYS_MS, RetryPolicy, Schedule},
    },
    caller::Caller,
    event::Event,
    id::{AccountId, ResourceId, UserId, WebhookUid},
    refusal::Refusal,
    source::SourceKind,
    timestamp::Timestamp,
    url::EndpointUrl,
};

/// What a webhook is for; fixed at birth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WebhookKind {
    /// Used by the actions of automations.
    Automation,
    /// A plain subscription to events.
    Regular,
}

/// A named endpoint.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Its number inside of the service: unique for ever, and never shown to clients.
    pub uid: WebhookUid,
    /// What clients name it by.
    pub id: ResourceId,
    /// What people name it by; unique in the account.
    pub display_name: String,
    /// What it is for.
    pub kind: WebhookKind,
    /// Where requests go.
    pub endpoint: EndpointUrl,
    /// How requests authenticate.
    pub credentials: Credentials,
    /// What signs requests: the current secret first, then those that overlap.
    pub secrets: Vec<SigningSecret>,
    /// How failed requests are tried again.
    pub retry: RetryPolicy,
    /// Which answers are a success.
    pub success: SuccessStatuses,
    /// How many requests a second go to it at most.
    pub requests_per_second: Option<u32>,
    /// Why no requests are sent; none where they are.
    pub disabled: Option<DisableReason>,
    /// The user who owns it; only for regular webhooks.
    pub owner: Option<UserId>,
    /// Which events it gets; only for regular webhooks.
    pub subscription: Option<Subscription>,
    /// The account's revision when it was last changed; its etag.
    pub revision: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it was deleted; kept as long as an execution names it.
    pub deleted_at: Option<Timestamp>,
}

impl Webhook {
    /// Whether requests are sent.
    pub fn is_enabled(&self) -> bool {
        self.deleted_at.is_none() && self.disabled.is_none()
    }

    /// Whether its row cannot be read: it can be looked at and deleted, and nothing else.
    pub fn is_unreadable(&self) -> bool {
        self.disabled == Some(DisableReason::Unreadable)
    }
}

impl Webhook {
    /// Whether it is a regular webhook that gets an event.
    pub fn subscribes_to(&self, event: &Event) -> bool {
        let fits = self.subscription.as_ref().is_some_and(|subscription| subscription.fits(event));
        fits && self.is_enabled() && is_permitted(event, self.owner.as_ref())
    }

    /// What kind of executions its requests belong to.
    pub fn source_kind(&self) -> SourceKind {
        match self.kind {
            WebhookKind::Automation => SourceKind::Automation,
            WebhookKind::Regular => SourceKind::RegularWebhook,
        }
    }

    /// Refuses those who may not change it: an automation webhook is a global admin's, a regular one its owner's, too.
    pub fn require_manager(&self, caller: &Caller, account: &AccountId) -> Result<(), Refusal> {
        if self.kind == WebhookKind::Automation {
            return caller.require_global_admin(account);
        }
        let user = caller.require_user(account)?;
        if matches!(caller, Caller::GlobalAdmin { .. }) || self.owner.as_ref() == Some(user) {
            return Ok(());
        }
        Err(Refusal::denied("only the owner of a regular webhook and a global_admin may do this"))
    }
}

/// How requests of a kind of webhook are tried again: regular ones have a schedule of their own where none is asked.
pub fn retry_of(kind: WebhookKind, asked: &RetryPolicy) -> RetryPolicy {
    let mut retry = asked.clone();
    if kind == WebhookKind::Regular && retry.schedule.is_none() {
        retry.schedule = Some(Schedule { delays_ms: PIPEDRIVE_DELAYS_MS.to_vec() });
    }
    retry
}

/// Why no requests are sent to a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisableReason {
    /// An admin has disabled it.
    Admin,
    /// The endpoint has answered 410: it is gone.
    Gone,
    /// Attempts have failed on three days without one success.
    Failing,
    /// The endpoint has asked for it, by a header of an answer.
    Asked,
    /// Its row in the database cannot be read. Never written: a row that was mended is as it was.
    Unreadable,
}
