//! Times and durations.

use crate::domain::timestamp::Timestamp;

/// A time.
pub fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    let nanos = i32::try_from(time.0.rem_euclid(1_000_000) * 1_000).unwrap_or_default();
    prost_types::Timestamp { seconds: time.seconds(), nanos }
}

/// A duration in microseconds.
pub fn duration(us: u64) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(us / 1_000_000).unwrap_or(i64::MAX),
        nanos: i32::try_from(us % 1_000_000 * 1_000).unwrap_or_default(),
    }
}

/// A time from 1970 to 9999; none where it is malformed.
pub fn from_timestamp(time: &prost_types::Timestamp) -> Option<Timestamp> {
    let nanos = i64::from(time.nanos);
    (0..1_000_000_000)
        .contains(&nanos)
        .then(|| Timestamp::from_seconds(time.seconds))
        .flatten()
        .map(|second| Timestamp(second.0 + nanos / 1_000))
}
