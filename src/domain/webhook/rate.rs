//! How many requests a second go to a webhook: never more than its limit within any second, also after a rest and over a
//! restart. The times of the last ones are kept in memory only, so a process begins as if it had just sent as many as it
//! may.

use std::collections::VecDeque;

use crate::domain::timestamp::Timestamp;

/// How many requests a second a webhook's limit may allow.
pub const PER_SECOND_MAX: u32 = 1_000;
/// A second, and a little more: requests that leave a second apart may arrive closer together.
const PERIOD_US: i64 = 1_050_000;

/// When the last requests to a webhook began.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bucket {
    /// Oldest first; as many as its limit counts.
    sent: VecDeque<Timestamp>,
    /// What was sent up to here is not known.
    unknown_until: Timestamp,
}

fn plus(time: Timestamp) -> Timestamp {
    Timestamp(time.0.saturating_add(PERIOD_US))
}

impl Bucket {
    /// Of a webhook to which requests may have gone up to a time.
    pub fn unknown_until(time: Timestamp) -> Self {
        Self { sent: VecDeque::new(), unknown_until: time }
    }

    /// How many requests may go now.
    pub fn tokens(&self, per_second: u32, now: Timestamp) -> usize {
        if now < plus(self.unknown_until) {
            return 0;
        }
        let recent = self.sent.iter().rev().take_while(|sent| now < plus(**sent)).count();
        limit(per_second).saturating_sub(recent)
    }

    /// One more request begins.
    pub fn take(&mut self, per_second: u32, now: Timestamp) {
        while self.sent.len() >= limit(per_second) {
            self.sent.pop_front();
        }
        self.sent.push_back(now);
    }

    /// The last requests, so many, have really begun at a time.
    pub fn have_begun(&mut self, count: usize, at: Timestamp) {
        self.sent.iter_mut().rev().take(count).for_each(|sent| *sent = at.max(*sent));
    }

    /// When the next request may go.
    pub fn next_at(&self, per_second: u32) -> Timestamp {
        let full_since = self.sent.len().checked_sub(limit(per_second)).map(|at| plus(self.sent[at]));
        full_since.unwrap_or_default().max(if self.unknown_until == Timestamp::default() {
            Timestamp::default()
        } else {
            plus(self.unknown_until)
        })
    }

    /// The clock was set back: nothing was sent later than now.
    pub fn set_back(&mut self, now: Timestamp) {
        self.unknown_until = self.unknown_until.min(now);
        self.sent.iter_mut().for_each(|sent| *sent = now.min(*sent));
    }
}

fn limit(per_second: u32) -> usize {
    usize::try_from(per_second.clamp(1, PER_SECOND_MAX)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND_US: i64 = 1_000_000;

    proptest! {
        #[test]
        fn never_more_than_the_limit_within_any_second(
            per_second in 1_u32..20,
            steps in proptest::collection::vec((0_i64..400_000, 0_i64..200_000, 1_usize..6), 1..200),
            restart in 0_usize..200,
        ) {
            let mut now = Timestamp(1_000_000_000);
            let (mut bucket, mut sent) = (Bucket::default(), Vec::new());
            for (at, (rest, commit, count)) in steps.into_iter().enumerate() {
                now = Timestamp(now.0 + rest);
                if at == restart {
                    bucket = Bucket::unknown_until(now);
                }
                let tokens = bucket.tokens(per_second, now);
                if tokens == 0 {
                    let next = bucket.next_at(per_second);
                    prop_assert!(next > now && bucket.tokens(per_second, next) > 0);
                }
                let count = count.min(tokens);
                (0..count).for_each(|_| bucket.take(per_second, now));
                // They begin once they are durable.
                now = Timestamp(now.0 + commit);
                bucket.have_begun(count, now);
                sent.extend(std::iter::repeat_n(now, count));
            }
            for start in &sent {
                let within = sent.iter().filter(|at| *at >= start && at.0 < start.0 + SECOND_US).count();
                prop_assert!(within <= per_second as usize, "{within} in a second of {per_second}");
            }
        }
    }

    #[test]
    fn after_a_rest_as_many_go_at_once_as_the_limit_says_and_no_more() {
        let at = |us: i64| Timestamp(5_000_000 + us);
        let mut bucket = Bucket::default();
        assert_eq!((bucket.tokens(2, at(0)), bucket.next_at(2)), (2, Timestamp::default()));
        bucket.take(2, at(0));
        bucket.take(2, at(500_000));
        assert_eq!((bucket.tokens(2, at(500_000)), bucket.next_at(2)), (0, at(PERIOD_US)));
        assert_eq!((bucket.tokens(2, at(PERIOD_US - 1)), bucket.tokens(2, at(PERIOD_US))), (0, 1));
        assert_eq!(bucket.tokens(3, at(500_000)), 1, "a limit that was raised");
        bucket.set_back(at(-10_000_000));
        assert_eq!(bucket.tokens(2, at(-10_000_000 + PERIOD_US)), 2, "a clock set back delays by no more");
        let mut begun = Bucket::unknown_until(at(0));
        assert_eq!((begun.tokens(2, at(1)), begun.next_at(2)), (0, at(PERIOD_US)), "a process begins with none");
        begun.take(1, at(PERIOD_US));
        begun.take(1, at(2 * PERIOD_US));
        assert_eq!(begun.sent.len(), 1);
    }
}
