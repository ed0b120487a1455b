//! How many requests a second go to a webhook: a bucket of one second's worth that fills evenly (GCRA). It is kept in
//! memory only: a restart begins with a full bucket.

use super::timestamp::Timestamp;

/// How many requests a second a webhook's limit may allow.
pub const PER_SECOND_MAX: u32 = 1_000;
const SECOND_US: i64 = 1_000_000;

/// The time at which the bucket of a webhook is full again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bucket(Timestamp);

fn interval_us(per_second: u32) -> i64 {
    SECOND_US / i64::from(per_second.clamp(1, PER_SECOND_MAX))
}

impl Bucket {
    fn full_at(self, now: Timestamp) -> Timestamp {
        // A clock set back does not make anyone wait for longer than a second.
        self.0.max(now).min(Timestamp(now.0 + SECOND_US))
    }

    /// How many requests may go now.
    pub fn tokens(self, per_second: u32, now: Timestamp) -> usize {
        let room_us = now.0 + SECOND_US - self.full_at(now).0;
        usize::try_from(room_us / interval_us(per_second)).unwrap_or_default()
    }

    /// The bucket after one more request.
    #[must_use]
    pub fn take(self, per_second: u32, now: Timestamp) -> Self {
        Self(Timestamp(self.full_at(now).0 + interval_us(per_second)))
    }

    /// When the next request may go.
    pub fn next_at(self, per_second: u32) -> Timestamp {
        Timestamp(self.0.0 - SECOND_US + interval_us(per_second))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn never_more_than_two_seconds_worth_within_a_second(
            per_second in 1_u32..50,
            steps in proptest::collection::vec(0_i64..300_000, 1..300),
        ) {
            let mut now = Timestamp(1_000_000_000);
            let (mut bucket, mut sent) = (Bucket::default(), Vec::new());
            for step in steps {
                now = Timestamp(now.0 + step);
                if bucket.tokens(per_second, now) > 0 {
                    bucket = bucket.take(per_second, now);
                    sent.push(now);
                } else {
                    prop_assert!(bucket.next_at(per_second) > now);
                    prop_assert!(bucket.tokens(per_second, bucket.next_at(per_second)) > 0);
                }
            }
            for start in &sent {
                let within = sent.iter().filter(|at| *at >= start && at.0 < start.0 + SECOND_US).count();
                prop_assert!(within <= 2 * per_second as usize, "{within} in a second of {per_second}");
            }
        }
    }

    #[test]
    fn it_fills_evenly() {
        let now = Timestamp(5_000_000);
        let two = Bucket::default().take(2, now).take(2, now);
        assert_eq!((Bucket::default().tokens(2, now), two.tokens(2, now)), (2, 0));
        assert_eq!(two.next_at(2), Timestamp(5_500_000));
        assert_eq!((two.tokens(2, Timestamp(5_499_999)), two.tokens(2, Timestamp(5_500_000))), (0, 1));
        assert_eq!(two.tokens(2, Timestamp(0)), 0);
        assert_eq!(two.take(2, Timestamp(0)).tokens(2, Timestamp(1_000_000)), 1, "a clock set back delays by a second");
    }
}
