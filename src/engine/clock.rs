//! The time and the randomness that decisions are given.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::SystemTime,
};

use crate::domain::timestamp::Timestamp;

/// The time now.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// A random number for jitter and span ids; not for secrets.
pub fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Random bytes for a secret.
pub fn secret() -> [u8; 32] {
    let mut bytes = [0; 32];
    if let Err(error) = getrandom::fill(&mut bytes) {
        // Without randomness no secret can be made; going on would make a known one.
        tracing::error!(error = %error, "the operating system gives no randomness");
        std::process::abort();
    }
    bytes
}
