//! Ids: what people and platforms name things by, and the unique ids inside.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::timestamp::Timestamp;

/// The object of the events that the service itself makes of its notices.
pub const NOTICE_OBJECT: &str = "hookline_notice";
/// How long an event's or an entity's id may be.
pub const EXTERNAL_ID_BYTES_MAX: usize = 255;
/// How long a user's id may be.
pub const USER_ID_BYTES_MAX: usize = 64;
/// How long an account's, a webhook's or an automation's id may be (AIP-122).
pub const RESOURCE_ID_BYTES_MAX: usize = 63;
/// How long the key of a repeatable call may be.
pub const REQUEST_ID_BYTES_MAX: usize = 64;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $parse:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let check: fn(&str) -> Result<(), String> = $parse;
                check(text).map(|()| Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// An account's id, as the platform knows it.
    AccountId,
    |text| resource_id(text, false)
);
text_id!(
    /// A webhook's or an automation's id: unique among the living ones of an account.
    ResourceId,
    |text| resource_id(text, true)
);
text_id!(
    /// An event's id: unique in the account.
    EventId,
    |text| external_id(text, EXTERNAL_ID_BYTES_MAX)
);
text_id!(
    /// The id of the object that an event is about.
    EntityId,
    |text| external_id(text, EXTERNAL_ID_BYTES_MAX)
);
text_id!(
    /// A user's id.
    UserId,
    |text| external_id(text, USER_ID_BYTES_MAX)
);
text_id!(
    /// The key that makes a mutating call repeatable.
    RequestId,
    |text| {
        if (1..=REQUEST_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(())
        } else {
            Err(format!("must be 1 to {REQUEST_ID_BYTES_MAX} visible ASCII characters"))
        }
    }
);
text_id!(
    /// The kind of an object, such as `deal`.
    ObjectName,
    |text| {
        let tail_ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if text.len() <= 64 && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(tail_ok) {
            Ok(())
        } else {
            Err("must be 1 to 64 characters of a-z, 0-9 and _, starting with a letter, such as deal".into())
        }
    }
);

impl ResourceId {
    /// In the place of one that cannot be read.
    pub fn unreadable() -> Self {
        Self("unreadable".to_owned())
    }
}

fn resource_id(text: &str, letter_first: bool) -> Result<(), String> {
    let inner_ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let first_ok = |c: char| c.is_ascii_lowercase() || (!letter_first && c.is_ascii_digit());
    if text.len() <= RESOURCE_ID_BYTES_MAX
        && text.starts_with(first_ok)
        && text.chars().all(inner_ok)
        && !text.ends_with('-')
    {
        return Ok(());
    }
    let first = if letter_first { ", starting with a letter" } else { ", not starting with a hyphen" };
    Err(format!("must be 1 to {RESOURCE_ID_BYTES_MAX} characters of a-z, 0-9 and -{first}, not ending in a hyphen"))
}

fn external_id(text: &str, bytes_max: usize) -> Result<(), String> {
    if text.is_empty() || text.len() > bytes_max {
        let what = if text.is_empty() { "is required" } else { "is too long" };
        return Err(format!("{what}: 1 to {bytes_max} bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err("must not have control characters".into());
    }
    Ok(())
}

impl AccountId {
    /// A new id for an account that came without one.
    pub fn fresh(uuid: Uuid) -> Self {
        Self(format!("ac-{}", base32(uuid)))
    }
}

impl ResourceId {
    /// A new id with a prefix such as `wh`.
    pub fn fresh(prefix: &str, uuid: Uuid) -> Self {
        Self(format!("{prefix}-{}", base32(uuid)))
    }
}

impl ObjectName {
    /// The object of the service's own notices.
    pub fn notice() -> Self {
        Self(NOTICE_OBJECT.to_owned())
    }

    /// Whether it is that of the service's own notices, which nobody else publishes or defines.
    pub fn is_notice(&self) -> bool {
        self.0 == NOTICE_OBJECT
    }
}

impl EventId {
    /// An id made from a hash, for platforms whose events have none.
    pub fn from_hash(hash: [u8; 16]) -> Self {
        Self(format!("hash-{}", base32(Uuid::from_bytes(hash))))
    }

    /// The id of a notice that the service itself publishes.
    pub fn of_notice(uuid: Uuid) -> Self {
        Self(format!("notice-{}", base32(uuid)))
    }
}

impl From<&AccountId> for EntityId {
    fn from(id: &AccountId) -> Self {
        Self(id.0.clone())
    }
}

impl From<&ResourceId> for EntityId {
    fn from(id: &ResourceId) -> Self {
        Self(id.0.clone())
    }
}

macro_rules! uid {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);
    };
}

uid!(
    /// An account, inside.
    AccountUid
);
uid!(
    /// A webhook, inside: never used again, unlike its id.
    WebhookUid
);
uid!(
    /// An automation, inside: never used again, unlike its id.
    AutomationUid
);
uid!(
    /// A job; people see it as `jo-` and base32.
    JobUid
);
uid!(
    /// An execution; people see it as `ex-` and base32.
    ExecutionUid
);

/// How many bits of an execution's number count those of one millisecond.
const NUMBER_SEQUENCE_BITS: u32 = 12;
/// The version of UUIDs that begin with a time.
const UUID_VERSION: u64 = 7;

impl ExecutionUid {
    /// A new execution of an account: the number that a fresh UUIDv7 begins with, and the end of the account's own. So it is
    /// a UUIDv7 as any other, and tells its number without a look into an index.
    pub fn new(account: AccountUid, fresh: Uuid) -> Self {
        Self(Uuid::from_u64_pair(fresh.as_u64_pair().0, account.0.as_u64_pair().1))
    }

    /// Its number in its account: 60 bits that grow with time. None of one that was made before there were numbers.
    pub fn number(self, account: AccountUid) -> Option<i64> {
        let (begin, end) = self.0.as_u64_pair();
        let is_numbered = end == account.0.as_u64_pair().1 && (begin >> NUMBER_SEQUENCE_BITS) & 0xf == UUID_VERSION;
        is_numbered.then(|| self.leading_number())
    }

    /// The execution of a number.
    pub fn of_number(account: AccountUid, number: i64) -> Self {
        let number = number.cast_unsigned();
        let (ms, sequence) = (number >> NUMBER_SEQUENCE_BITS, number & ((1 << NUMBER_SEQUENCE_BITS) - 1));
        let begin = (ms << 16) | (UUID_VERSION << NUMBER_SEQUENCE_BITS) | sequence;
        Self(Uuid::from_u64_pair(begin, account.0.as_u64_pair().1))
    }

    /// The number that its time stands for, whether it has that or not.
    pub fn leading_number(self) -> i64 {
        let begin = self.0.as_u64_pair().0;
        (((begin >> 16) << NUMBER_SEQUENCE_BITS) | (begin & ((1 << NUMBER_SEQUENCE_BITS) - 1))).cast_signed()
    }

    /// The id of the request that the action of this number (from 1) makes.
    pub fn request_id(self, action_no: usize) -> String {
        format!("rq-{}-{action_no}", base32(self.0))
    }

    /// No execution that was made at a time or later has a smaller one.
    pub fn at(time: Timestamp) -> Self {
        let ms = u128::try_from(time.0.div_euclid(1_000)).unwrap_or_default();
        Self(Uuid::from_u128(ms << 80))
    }

    /// When it was made, to the millisecond.
    pub fn made_at(self) -> Timestamp {
        let made = self.0.get_timestamp().map(|time| time.to_unix()).unwrap_or_default();
        Timestamp(i64::try_from(made.0).unwrap_or_default() * 1_000_000 + i64::from(made.1 / 1_000))
    }
}

/// Shows a unique id by a prefix and base32.
macro_rules! shown_by {
    ($name:ident, $prefix:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), base32(self.0))
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                text.strip_prefix($prefix)
                    .and_then(from_base32)
                    .map(Self)
                    .ok_or_else(|| concat!("must be ", $prefix, " and 26 characters, as lists show it").to_owned())
            }
        }
    };
}

shown_by!(ExecutionUid, "ex-");
shown_by!(JobUid, "jo-");

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const BASE32_LENGTH: usize = 26;

/// A UUID in Crockford's base32, lower case: 26 characters that sort like the UUID.
fn base32(uuid: Uuid) -> String {
    let bits = uuid.as_u128();
    (0..BASE32_LENGTH)
        .map(|at| {
            let index = (bits >> (5 * (BASE32_LENGTH - 1 - at))) & 31;
            char::from(ALPHABET[usize::try_from(index).unwrap_or_default()])
        })
        .collect()
}

fn from_base32(text: &str) -> Option<Uuid> {
    if text.len() != BASE32_LENGTH || !matches!(text.as_bytes()[0], b'0'..=b'7') {
        return None;
    }
    text.bytes()
        .try_fold(0u128, |bits, byte| {
            let index = ALPHABET.iter().position(|letter| *letter == byte)?;
            Some((bits << 5) | u128::try_from(index).ok()?)
        })
        .map(Uuid::from_u128)
}

#[cfg(test)]
#[path = "tests/id.rs"]
mod tests;
