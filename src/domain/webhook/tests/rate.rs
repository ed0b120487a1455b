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
