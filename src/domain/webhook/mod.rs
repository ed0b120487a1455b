//! Webhooks: named endpoints, how requests authenticate there, and how they do.

pub mod credentials;
pub mod health;
pub mod rate;
pub mod redaction;
pub mod signing;
pub mod subscription;
pub mod traffic;
mod webhook;

pub use self::webhook::{DisableReason, Webhook, WebhookKind, retry_of};
