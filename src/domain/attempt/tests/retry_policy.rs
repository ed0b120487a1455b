use proptest::prelude::*;

use super::*;

fn answer(status: u16, retry_after: Option<&str>) -> Outcome {
    let headers = retry_after.map(|text| ("retry-after".to_owned(), text.to_owned()));
    Outcome::Answer {
        status,
        headers: headers.into_iter().collect(),
        excerpt: Vec::new(),
        truncated: false,
        is_success: (200..=299).contains(&status),
    }
}

proptest! {
    #[test]
    fn delays_stay_within_the_jitter_and_end(attempt in 0u32..12, random in any::<u64>()) {
        let delay = Schedule::default().delay_ms(attempt, random);
        match DEFAULT_DELAYS_MS.get((attempt as usize).wrapping_sub(1)) {
            Some(base) => {
                let delay = delay.expect("a delay");
                prop_assert!(delay >= base * 8 / 10 && delay <= base * 12 / 10);
            }
            None => prop_assert_eq!(delay, None),
        }
    }
}

#[test]
fn an_endpoint_can_put_the_next_attempt_off_within_a_bound() {
    // Sunday, 6 November 1994, 08:49:37.
    let now = Timestamp::parse("1994-11-06T08:49:07Z").expect("a time");
    for (text, wanted) in [
        ("120", Some(120_000)),
        ("0", Some(0)),
        (" 7 ", Some(7_000)),
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(30_000)),
        ("Sun, 06 Nov 1994 08:49:00 GMT", None),
        ("99999999999999999999", Some(RETRY_AFTER_MS_MAX)),
        ("Sunday, 06-Nov-94 08:49:37 GMT", Some(30_000)),
        ("Sun Nov  6 08:49:37 1994", Some(30_000)),
        ("Sunday, 06-Nov-94 08:49:00 GMT", None),
        ("+5", None),
        ("1.5", None),
        ("100000", Some(RETRY_AFTER_MS_MAX)),
        ("Fri, 31 Dec 1999 23:59:59 GMT", Some(RETRY_AFTER_MS_MAX)),
        ("soon", None),
        ("-5", None),
        ("", None),
    ] {
        assert_eq!(retry_after_ms(&answer(503, Some(text)), now), wanted, "{text}");
    }
    let policy = RetryPolicy::default();
    let schedule = Schedule { delays_ms: vec![10] };
    let delay = |outcome: &Outcome| policy.delay_ms(&schedule, 1, outcome, 0, now);
    assert_eq!(delay(&answer(503, None)), Some(10));
    assert_eq!(delay(&answer(429, Some("60"))), Some(60_000));
    let spread = policy.delay_ms(&schedule, 1, &answer(429, Some("60")), 12_345, now);
    assert_eq!(spread, Some(60_000 + 12_345 % 4_001), "never earlier, and not all at once");
    assert_eq!(delay(&answer(429, Some("0"))), Some(10), "it never brings it forward");
    assert_eq!(policy.delay_ms(&schedule, 2, &answer(429, Some("60")), 0, now), None, "nor makes one more");
}

#[test]
fn a_policy_makes_failures_final() {
    let policy = RetryPolicy {
        schedule: Some(Schedule { delays_ms: vec![7] }),
        final_failures: vec![FailureClass::Throttled, FailureClass::ServerError],
    };
    let delay = |outcome: &Outcome| policy.delay_ms(&Schedule::default(), 1, outcome, 0, Timestamp(0));
    assert_eq!(delay(&answer(429, None)), None);
    assert_eq!(delay(&answer(500, None)), None);
    assert_eq!(delay(&answer(408, None)), Some(7), "its own schedule");
    let stored = serde_json::to_string(&policy).expect("serializes");
    assert_eq!(stored, r#"{"schedule":[7],"final_failures":["THROTTLED","SERVER_ERROR"]}"#);
    assert_eq!(serde_json::from_str::<RetryPolicy>(&stored).expect("reads"), policy);
}
