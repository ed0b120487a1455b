//! What decisions need from the world.

use uuid::Uuid;

use crate::domain::{account::Rules, id::WebhookUid, timestamp::Timestamp};

/// What decisions need from the world.
pub struct Surroundings<'a> {
    /// The time.
    pub now: Timestamp,
    /// Makes a UUIDv7.
    pub uuid: &'a mut dyn FnMut() -> Uuid,
    /// Makes a random number.
    pub random: &'a mut dyn FnMut() -> u64,
    /// Makes a secret.
    pub secret: &'a mut dyn FnMut() -> [u8; 32],
    /// What the installation has configured.
    pub rules: &'a Rules,
    /// Takes a slot of all for a request to a webhook; asked right before it starts.
    pub slot: &'a mut dyn FnMut(WebhookUid) -> bool,
    /// Whether requests may start; not while the process is about to end.
    pub may_start: bool,
}
