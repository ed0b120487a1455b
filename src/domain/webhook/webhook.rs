//! Webhooks: named endpoints, their credentials and the secrets that sign their requests.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::subscription::{Subscription, is_permitted};
use crate::domain::{
    attempt::retry_policy::{PIPEDRIVE_DELAYS_MS, RetryPolicy, Schedule},
    caller::Caller,
    event::Event,
    execution::SourceKind,
    id::{AccountId, ResourceId, UserId, WebhookUid},
    refusal::{Refusal, Violations},
    timestamp::Timestamp,
    url::EndpointUrl,
};

/// How long a display name may be.
pub const DISPLAY_NAME_CHARS_MAX: usize = 255;
/// How many headers credentials may have.
pub const CREDENTIAL_HEADERS_MAX: usize = 10;
/// How long a user name may be.
pub const USERNAME_BYTES_MAX: usize = 255;
/// How long a password may be.
pub const PASSWORD_BYTES_MAX: usize = 1_024;
/// How long a token or a header's value may be.
pub const TOKEN_BYTES_MAX: usize = 4_096;
/// What starts a signing secret (Standard Webhooks).
const SECRET_PREFIX: &str = "whsec_";
/// How many random bytes a signing secret has; Standard Webhooks asks for 24 to 64.
pub const SECRET_BYTES: usize = 32;

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
    /// Never used again.
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
    /// Its row in the database cannot be read. Never written: a row that was mended is as it was.
    Unreadable,
}

/// A secret that signs requests.
#[derive(Debug, Clone)]
pub struct SigningSecret {
    /// `whsec_` and base64.
    pub secret: SecretString,
    /// Until when it signs, for one that was replaced.
    pub until: Option<Timestamp>,
}

impl SigningSecret {
    /// A new one.
    pub fn new(random: [u8; SECRET_BYTES]) -> Self {
        Self { secret: signing_secret(random), until: None }
    }

    /// Whether it signs at a time.
    pub fn signs_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// How many secrets sign at once; the oldest goes first.
pub const SECRETS_MAX: usize = 3;
/// How long a replaced secret goes on signing where nothing is asked.
pub const OVERLAP_MS_DEFAULT: u64 = 86_400_000;
/// How long a replaced secret may go on signing.
pub const OVERLAP_MS_MAX: u64 = 604_800_000;

/// The secrets after one more: the new one first, the others go on for the overlap.
pub fn rotate(secrets: &[SigningSecret], new: SigningSecret, overlap_ms: u64, now: Timestamp) -> Vec<SigningSecret> {
    let until = now.plus_ms(overlap_ms);
    let replaced = secrets.iter().map(|old| SigningSecret {
        secret: old.secret.clone(),
        until: Some(old.until.map_or(until, |before| before.min(until))),
    });
    std::iter::once(new).chain(replaced.filter(|old| old.signs_at(now))).take(SECRETS_MAX).collect()
}

/// How requests authenticate at the endpoint.
#[derive(Debug, Clone, Default)]
pub enum Credentials {
    /// Not at all.
    #[default]
    None,
    /// HTTP Basic authentication.
    Basic {
        /// The user name.
        username: String,
        /// The password.
        password: SecretString,
    },
    /// A bearer token.
    Bearer(SecretString),
    /// Headers with secret values.
    Headers(BTreeMap<String, SecretString>),
}

impl Credentials {
    /// Checks credentials. Faults are noted under the field.
    pub fn check(&self, at: &str, faults: &mut Violations) {
        match self {
            Credentials::None => {}
            Credentials::Basic { username, password } => {
                let bad = |text: &str, most: usize| text.len() > most || text.chars().any(char::is_control);
                if username.is_empty() || username.contains(':') || bad(username, USERNAME_BYTES_MAX) {
                    let message = format!("must be 1 to {USERNAME_BYTES_MAX} bytes without a colon");
                    faults.add(format!("{at}.basic.username"), message);
                }
                if bad(password.expose_secret(), PASSWORD_BYTES_MAX) {
                    faults.add(format!("{at}.basic.password"), format!("must be at most {PASSWORD_BYTES_MAX} bytes"));
                }
            }
            Credentials::Bearer(token) => {
                if !is_header_value(token.expose_secret()) || token.expose_secret().contains(' ') {
                    let message = format!("must be 1 to {TOKEN_BYTES_MAX} visible ASCII characters");
                    faults.add(format!("{at}.bearer.token"), message);
                }
            }
            Credentials::Headers(headers) => check_headers(headers, &format!("{at}.headers.headers"), faults),
        }
    }

    /// The headers that a request carries for them.
    pub fn headers(&self) -> Vec<(String, SecretString)> {
        match self {
            Credentials::None => Vec::new(),
            Credentials::Basic { username, password } => {
                let pair = BASE64.encode(format!("{username}:{}", password.expose_secret()));
                vec![("authorization".into(), format!("Basic {pair}").into())]
            }
            Credentials::Bearer(token) => {
                vec![("authorization".into(), format!("Bearer {}", token.expose_secret()).into())]
            }
            Credentials::Headers(headers) => {
                headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
            }
        }
    }
}

fn check_headers(headers: &BTreeMap<String, SecretString>, at: &str, faults: &mut Violations) {
    if headers.is_empty() || headers.len() > CREDENTIAL_HEADERS_MAX {
        faults.add(at, format!("must have 1 to {CREDENTIAL_HEADERS_MAX} headers"));
    }
    let mut seen = BTreeSet::new();
    for (name, value) in headers {
        let at = format!("{at}[{name}]");
        // Many servers take _ for -, and none tells capital letters.
        let plain = name.to_ascii_lowercase().replace('_', "-");
        let well_formed = !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if !well_formed {
            faults.add(&at, "the name must be 1 to 64 characters of letters, digits, - and _");
        } else if is_own_header(&plain) {
            faults.add(&at, "this header is set by the service itself");
        } else if !seen.insert(plain) {
            faults.add(&at, "this header is given twice: names differ by more than capital letters, - and _");
        }
        if !is_header_value(value.expose_secret()) {
            faults.add(&at, format!("the value must be 1 to {TOKEN_BYTES_MAX} visible ASCII characters"));
        }
    }
}

fn is_header_value(text: &str) -> bool {
    (1..=TOKEN_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
}

fn is_own_header(name: &str) -> bool {
    const OWN: [&str; 14] = [
        "host",
        "content-type",
        "content-length",
        "content-encoding",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "upgrade",
        "te",
        "trailer",
        "expect",
        "user-agent",
        "traceparent",
        "tracestate",
    ];
    OWN.contains(&name) || ["webhook-", "hookline-", "proxy-"].iter().any(|prefix| name.starts_with(prefix))
}

/// Checks a display name of a webhook or an automation.
pub fn check_display_name(name: &str, at: &str, faults: &mut Violations) {
    if name.trim().is_empty() {
        faults.add(at, "is required");
    } else if name.chars().count() > DISPLAY_NAME_CHARS_MAX || name.chars().any(char::is_control) {
        faults.add(at, format!("must be 1 to {DISPLAY_NAME_CHARS_MAX} characters without control characters"));
    }
}

/// A new signing secret from random bytes.
fn signing_secret(random: [u8; SECRET_BYTES]) -> SecretString {
    format!("{SECRET_PREFIX}{}", BASE64.encode(random)).into()
}

/// The `webhook-signature` header (Standard Webhooks): a signature of every secret of that time over id, time and body.
pub fn signatures(secrets: &[SigningSecret], request_id: &str, seconds: i64, body: &[u8]) -> String {
    let now = Timestamp(seconds.saturating_mul(1_000_000));
    let sign = |secret: &SigningSecret| {
        let encoded = secret.secret.expose_secret().strip_prefix(SECRET_PREFIX)?;
        let key = BASE64.decode(encoded).ok()?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
        mac.update(format!("{request_id}.{seconds}.").as_bytes());
        mac.update(body);
        Some(format!("v1,{}", BASE64.encode(mac.finalize().into_bytes())))
    };
    secrets.iter().filter(|secret| secret.signs_at(now)).filter_map(sign).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[path = "tests/webhook.rs"]
mod tests;
