//! The time and the randomness that the house is given.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use rustix::time::{ClockId, clock_gettime};
use uuid::Uuid;

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

/// The last number that a UUID began with: milliseconds since 1970, and a count in each of them.
static LAST_NUMBER: AtomicU64 = AtomicU64::new(0);
/// How many bits count the UUIDs of one millisecond; where they do not suffice, the next one is begun.
const SEQUENCE_BITS: u32 = 12;

/// A UUIDv7 whose first 60 bits no other one of this process has, and that is larger than every one before.
pub fn uuid() -> Uuid {
    let ms = u64::try_from(now().0 / 1_000).unwrap_or_default();
    LAST_NUMBER.fetch_max(ms << SEQUENCE_BITS, Ordering::Relaxed);
    let number = LAST_NUMBER.fetch_add(1, Ordering::Relaxed);
    let (ms, sequence) = (number >> SEQUENCE_BITS, number & ((1 << SEQUENCE_BITS) - 1));
    Uuid::from_u64_pair((ms << 16) | (7 << SEQUENCE_BITS) | sequence, (random() >> 2) | (1 << 63))
}

/// Every UUID from now on begins with a larger number than this.
pub fn uuids_after(number: u64) {
    LAST_NUMBER.fetch_max(number.saturating_add(1), Ordering::Relaxed);
}
