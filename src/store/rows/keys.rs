//! The 64-bit keys that rows of executions name other things by: short, and made of what is known without a look into the
//! database.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use uuid::Uuid;

use crate::domain::{
    execution::WaitsFor,
    id::{AccountUid, ExecutionUid},
};

/// What stands in the place of a webhook for what waits for the limit.
const LIMIT_KEY: i64 = 0;
/// How long the key of the hashes of events is.
pub const EVENT_KEY_BYTES: usize = 16;
/// How many parts an execution may have in the table of parts, in bits.
const PART_BITS: u32 = 2;

/// The key of an account, a webhook or an automation: the random end of its UUIDv7.
pub fn key_of(uid: Uuid) -> i64 {
    (uid.as_u64_pair().1 & i64::MAX.cast_unsigned()).cast_signed()
}

/// The key of an account.
pub fn account_key(account: AccountUid) -> i64 {
    key_of(account.0)
}

/// The key of what an execution waits for.
pub fn waits_for_key(waits_for: WaitsFor) -> i64 {
    waits_for.webhook().map_or(LIMIT_KEY, |webhook| key_of(webhook.0))
}

/// What is in the table of parts under an execution's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartKind {
    /// Its own part, where that is large.
    Own,
    /// Its event, which other executions share.
    Event,
}

/// The key of a part.
pub fn part_key(number: i64, kind: PartKind) -> i64 {
    let kind = match kind {
        PartKind::Own => 0,
        PartKind::Event => 1,
    };
    (number << PART_BITS) | kind
}

/// Hashes the ids of events with the database's own key, so that nobody outside can make two of the same hash.
#[derive(Clone, Copy)]
pub struct EventHash([u8; EVENT_KEY_BYTES]);

impl EventHash {
    /// Hashes with a key.
    pub fn new(key: [u8; EVENT_KEY_BYTES]) -> Self {
        Self(key)
    }

    /// The hash of an event of an account.
    pub fn of(self, account: i64, event_id: &str) -> i64 {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write(&account.to_le_bytes());
        hasher.write(event_id.as_bytes());
        hasher.finish().cast_signed()
    }
}

/// How a row of an execution is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowKey {
    /// By its number.
    Number(i64),
    /// By the id that it had before there were numbers.
    Carried(Uuid),
}

impl RowKey {
    /// The key of an execution.
    pub fn of(account: AccountUid, uid: ExecutionUid) -> Self {
        uid.number(account).map_or(Self::Carried(uid.0), Self::Number)
    }
}
