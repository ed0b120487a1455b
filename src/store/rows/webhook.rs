//! Webhooks and their rows: what is secret is sealed.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{Stored, from_bytes, from_word, parse, to_bytes, word};
use crate::{
    domain::{
        attempt::{SuccessStatuses, retry_policy::RetryPolicy},
        id::{AccountUid, ResourceId, WebhookUid},
        timestamp::Timestamp,
        url::EndpointUrl,
        webhook::{
            DisableReason, Webhook, WebhookKind, credentials::Credentials, health::Health, signing::SigningSecret,
            subscription::Subscription, traffic::Traffic,
        },
    },
    store::{
        StoreError,
        entities::webhooks,
        seal::{SealContext, Sealer},
    },
    telemetry::chain,
};

#[derive(Serialize, Deserialize)]
enum StoredCredentials {
    Basic { username: String, password: String },
    Bearer(String),
    Headers(BTreeMap<String, String>),
}

fn credentials_bytes(credentials: &Credentials) -> Stored<Option<Vec<u8>>> {
    let expose = |secret: &SecretString| secret.expose_secret().to_owned();
    let stored = match credentials {
        Credentials::None => return Ok(None),
        Credentials::Basic { username, password } => {
            StoredCredentials::Basic { username: username.clone(), password: expose(password) }
        }
        Credentials::Bearer(token) => StoredCredentials::Bearer(expose(token)),
        Credentials::Headers(headers) => {
            StoredCredentials::Headers(headers.iter().map(|(name, value)| (name.clone(), expose(value))).collect())
        }
    };
    serde_json::to_vec(&stored).map(Some).map_err(StoreError::Encoding)
}

fn credentials_of(bytes: &[u8]) -> Stored<Credentials> {
    Ok(match serde_json::from_slice(bytes).map_err(StoreError::Encoding)? {
        StoredCredentials::Basic { username, password } => Credentials::Basic { username, password: password.into() },
        StoredCredentials::Bearer(token) => Credentials::Bearer(token.into()),
        StoredCredentials::Headers(headers) => {
            Credentials::Headers(headers.into_iter().map(|(name, value)| (name, value.into())).collect())
        }
    })
}

/// A signing secret as it is sealed; the first ones were bare.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum StoredSecret {
    Bare(String),
    Dated {
        secret: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
}

impl StoredSecret {
    fn into_secret(self) -> SigningSecret {
        match self {
            StoredSecret::Bare(secret) => SigningSecret { secret: secret.into(), until: None },
            StoredSecret::Dated { secret, until } => SigningSecret { secret: secret.into(), until },
        }
    }
}

#[derive(Serialize, Deserialize)]
struct StoredPolicy {
    #[serde(flatten)]
    retry: RetryPolicy,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requests_per_second: Option<u32>,
    #[serde(default, skip_serializing_if = "SuccessStatuses::is_default")]
    success_statuses: SuccessStatuses,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subscription: Option<Subscription>,
}

/// The word of a webhook that sends requests.
const ENABLED: &str = "ENABLED";

/// Whether requests are sent to a webhook of a status.
pub fn is_enabled(status: &str) -> bool {
    disabled_of(status).is_ok_and(|disabled| disabled.is_none())
}

fn status_word(disabled: Option<DisableReason>) -> &'static str {
    match disabled {
        None => ENABLED,
        Some(DisableReason::Admin) => "DISABLED",
        Some(DisableReason::Gone) => "DISABLED_GONE",
        Some(DisableReason::Failing) => "DISABLED_FAILING",
        Some(DisableReason::Asked) => "DISABLED_ASKED",
        Some(DisableReason::Unreadable) => "DISABLED_UNREADABLE",
    }
}

fn disabled_of(word: &str) -> Stored<Option<DisableReason>> {
    match word {
        ENABLED => Ok(None),
        "DISABLED" => Ok(Some(DisableReason::Admin)),
        "DISABLED_GONE" => Ok(Some(DisableReason::Gone)),
        "DISABLED_FAILING" => Ok(Some(DisableReason::Failing)),
        "DISABLED_ASKED" => Ok(Some(DisableReason::Asked)),
        "DISABLED_UNREADABLE" => Ok(Some(DisableReason::Unreadable)),
        other => Err(StoreError::Row(format!("{other} is no status of a webhook"))),
    }
}

/// How an endpoint does, as it is written.
pub fn health_bytes(health: &Health) -> Stored<Vec<u8>> {
    to_bytes(health)
}

/// How an endpoint does, from its row; none where nothing was written, or nothing can be read.
pub fn health(row: &webhooks::Model) -> Option<Health> {
    from_bytes(row.health.as_deref()?).inspect_err(|error| tell_unreadable(row, error, "how a webhook does")).ok()
}

fn tell_unreadable(row: &webhooks::Model, error: &StoreError, what: &str) {
    let error = chain(error);
    tracing::error!(webhook.id = row.id, error, "{what} cannot be read; it begins anew");
}

/// How a webhook's attempts have gone, as it is written.
pub fn traffic_bytes(traffic: &Traffic) -> Stored<Vec<u8>> {
    to_bytes(traffic)
}

/// How a webhook's attempts have gone, from its row; nothing where nothing was written.
pub fn traffic(row: &webhooks::Model) -> Traffic {
    let read = |bytes| from_bytes(bytes).inspect_err(|error| tell_unreadable(row, error, "a webhook's traffic")).ok();
    row.traffic.as_deref().and_then(read).unwrap_or_default()
}

/// The word of a kind of webhook.
pub fn webhook_kind_word(kind: WebhookKind) -> Stored<String> {
    word(kind)
}

/// The row of a webhook, its secrets sealed.
pub fn webhook_row(sealer: &Sealer, account: AccountUid, webhook: &Webhook) -> Stored<webhooks::Model> {
    let place = |field| SealContext { account: account.0, webhook: webhook.uid.0, field };
    let store = |secret: &SigningSecret| StoredSecret::Dated {
        secret: secret.secret.expose_secret().to_owned(),
        until: secret.until,
    };
    let secrets: Vec<_> = webhook.secrets.iter().map(store).collect();
    let secrets = serde_json::to_vec(&secrets).map_err(StoreError::Encoding)?;
    let credentials = credentials_bytes(&webhook.credentials)?;
    Ok(webhooks::Model {
        account_uid: account.0,
        uid: webhook.uid.0,
        id: webhook.id.to_string(),
        display_name: webhook.display_name.clone(),
        kind: word(webhook.kind)?,
        status: status_word(webhook.disabled).to_owned(),
        owner_user_id: webhook.owner.as_ref().map(ToString::to_string),
        masked_url: webhook.endpoint.masked(),
        sealed_url: sealer.seal(place("url"), webhook.endpoint.as_str().as_bytes())?,
        sealed_credentials: credentials.map(|plain| sealer.seal(place("credentials"), &plain)).transpose()?,
        sealed_secrets: sealer.seal(place("secrets"), &secrets)?,
        policy: to_bytes(StoredPolicy {
            retry: webhook.retry.clone(),
            requests_per_second: webhook.requests_per_second,
            success_statuses: webhook.success.clone(),
            subscription: webhook.subscription.clone(),
        })?,
        health: None,
        traffic: None,
        revision: webhook.revision,
        created_at: webhook.created_at.0,
        updated_at: webhook.updated_at.0,
        deleted_at: webhook.deleted_at.map(|time| time.0),
    })
}

/// A webhook from its row; one that cannot be read sends nothing, and says so.
pub fn webhook(sealer: &Sealer, row: webhooks::Model) -> Webhook {
    readable_webhook(sealer, &row).unwrap_or_else(|error| {
        let error = chain(&error);
        tracing::error!(webhook.id = row.id, error, "a webhook cannot be read; nothing is sent to it");
        unreadable_webhook(sealer, row)
    })
}

fn readable_webhook(sealer: &Sealer, row: &webhooks::Model) -> Stored<Webhook> {
    let place = |field| SealContext { account: row.account_uid, webhook: row.uid, field };
    let url = sealer.open(place("url"), &row.sealed_url)?;
    let endpoint = std::str::from_utf8(&url).ok().and_then(EndpointUrl::from_stored);
    let secrets = sealer.open(place("secrets"), &row.sealed_secrets)?;
    let secrets: Vec<StoredSecret> = serde_json::from_slice(&secrets).map_err(StoreError::Encoding)?;
    let policy: StoredPolicy = from_bytes(&row.policy)?;
    let credentials = match &row.sealed_credentials {
        None => Credentials::None,
        Some(sealed) => credentials_of(&sealer.open(place("credentials"), sealed)?)?,
    };
    Ok(Webhook {
        uid: WebhookUid(row.uid),
        id: parse(&row.id)?,
        kind: from_word(&row.kind)?,
        endpoint: endpoint.ok_or_else(|| StoreError::Row(format!("webhook {} has no URL", row.id)))?,
        credentials,
        secrets: secrets.into_iter().map(StoredSecret::into_secret).collect(),
        retry: policy.retry,
        success: policy.success_statuses,
        requests_per_second: policy.requests_per_second,
        subscription: policy.subscription,
        disabled: disabled_of(&row.status)?,
        owner: row.owner_user_id.as_deref().map(parse).transpose()?,
        revision: row.revision,
        created_at: Timestamp(row.created_at),
        updated_at: Timestamp(row.updated_at),
        deleted_at: row.deleted_at.map(Timestamp),
        display_name: row.display_name.clone(),
    })
}

/// What can be read in any case of a webhook's row. Only to look at and to delete: its row is never written from this.
fn unreadable_webhook(sealer: &Sealer, row: webhooks::Model) -> Webhook {
    let place = SealContext { account: row.account_uid, webhook: row.uid, field: "url" };
    let url = sealer.open(place, &row.sealed_url).ok().and_then(|url| String::from_utf8(url).ok());
    let endpoint = url.as_deref().and_then(EndpointUrl::from_stored);
    let policy: Option<StoredPolicy> = from_bytes(&row.policy).ok();
    let (retry, requests_per_second, success, subscription) = policy
        .map(|policy| (policy.retry, policy.requests_per_second, policy.success_statuses, policy.subscription))
        .unwrap_or_default();
    Webhook {
        uid: WebhookUid(row.uid),
        id: parse(&row.id).unwrap_or_else(|_| ResourceId::unreadable()),
        kind: from_word(&row.kind).unwrap_or(WebhookKind::Automation),
        endpoint: endpoint
            .or_else(|| EndpointUrl::from_stored(&row.masked_url))
            .unwrap_or_else(EndpointUrl::unreadable),
        credentials: Credentials::None,
        secrets: Vec::new(),
        retry,
        success,
        requests_per_second,
        subscription,
        disabled: Some(DisableReason::Unreadable),
        owner: row.owner_user_id.as_deref().and_then(|owner| parse(owner).ok()),
        revision: row.revision,
        created_at: Timestamp(row.created_at),
        updated_at: Timestamp(row.updated_at),
        deleted_at: row.deleted_at.map(Timestamp),
        display_name: row.display_name,
    }
}
