//! Webhooks: named endpoints, how requests authenticate there, and how they do.

pub mod health;
pub mod rate;
pub mod redaction;
pub mod subscription;
pub mod traffic;
mod webhook;

pub use self::webhook::{
    CREDENTIAL_HEADERS_MAX, Credentials, DISPLAY_NAME_CHARS_MAX, DisableReason, OVERLAP_MS_DEFAULT, OVERLAP_MS_MAX,
    PASSWORD_BYTES_MAX, SECRET_BYTES, SECRETS_MAX, SigningSecret, TOKEN_BYTES_MAX, USERNAME_BYTES_MAX, Webhook,
    WebhookKind, check_display_name, retry_of, rotate, signatures,
};
