//! Secrets that sign requests, and their signatures (Standard Webhooks).

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::domain::timestamp::Timestamp;

/// What starts a signing secret (Standard Webhooks).
const SECRET_PREFIX: &str = "whsec_";

/// How many random bytes a signing secret has; Standard Webhooks asks for 24 to 64.
pub const SECRET_BYTES: usize = 32;

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
const OVERLAP_MS_DEFAULT: u64 = 86_400_000;

/// How long a replaced secret may go on signing.
const OVERLAP_MS_MAX: u64 = 604_800_000;

/// How long a replaced secret goes on signing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlap(u64);

impl Overlap {
    /// In milliseconds, as it is asked for.
    pub fn parse(asked_ms: Option<u64>) -> Result<Self, String> {
        match asked_ms.unwrap_or(OVERLAP_MS_DEFAULT) {
            ms if ms <= OVERLAP_MS_MAX => Ok(Self(ms)),
            _ => Err("must be 0 to seven days".to_owned()),
        }
    }
}

/// The secrets after one more: the new one first, the others go on for the overlap.
pub fn rotate(secrets: &[SigningSecret], new: SigningSecret, overlap: Overlap, now: Timestamp) -> Vec<SigningSecret> {
    let until = now.plus_ms(overlap.0);
    let replaced = secrets.iter().map(|old| SigningSecret {
        secret: old.secret.clone(),
        until: Some(old.until.map_or(until, |before| before.min(until))),
    });
    std::iter::once(new).chain(replaced.filter(|old| old.signs_at(now))).take(SECRETS_MAX).collect()
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
#[path = "tests/signing.rs"]
mod tests;
