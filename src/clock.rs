//! The time and the randomness that the house is given.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::SystemTime,
};

use rustix::time::{ClockId, clock_gettime};

use crate::domain::timestamp::Timestamp;

/// The wall clock's time. Somebody may set it, forward and back.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Microseconds since the machine was started, by a clock that nobody sets and that runs while the machine sleeps, too.
pub fn since_boot_us() -> i64 {
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::Monotonic;
    let time = clock_gettime(CLOCK);
    time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1_000)
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
