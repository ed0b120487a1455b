use proptest::prelude::*;

use super::*;

#[test]
fn ids_are_checked_at_the_door() {
    for good in ["42", "8087566", "acme-corp", "a"] {
        assert!(good.parse::<AccountId>().is_ok(), "{good}");
    }
    for bad in ["", "-a", "a-", "A", "a_b", "a/b", &"a".repeat(64)] {
        assert!(bad.parse::<AccountId>().is_err(), "{bad}");
    }
    assert!("42".parse::<ResourceId>().is_err(), "a letter comes first");
    assert!("a\0b".parse::<EventId>().is_err());
    assert!("deal".parse::<ObjectName>().is_ok());
    assert!("Deal".parse::<ObjectName>().is_err());
    let fresh = ResourceId::fresh("wh", Uuid::from_u128(7));
    assert!(fresh.as_str().parse::<ResourceId>().is_ok());
}

proptest! {
    #[test]
    fn execution_ids_read_back_and_sort(a in any::<u128>(), b in any::<u128>()) {
        let (a, b) = (ExecutionUid(Uuid::from_u128(a)), ExecutionUid(Uuid::from_u128(b)));
        prop_assert_eq!(a.to_string().parse(), Ok(a));
        prop_assert_eq!(a.to_string().cmp(&b.to_string()), a.cmp(&b));
    }
}

proptest! {
    #[test]
    fn an_execution_tells_its_number(account in any::<u64>(), ms in 0_u64..(1 << 48), sequence in 0_u64..(1 << 12)) {
        let account = AccountUid(Uuid::from_u64_pair(1, account));
        let number = ((ms << 12) | sequence).cast_signed();
        let uid = ExecutionUid::of_number(account, number);
        prop_assert_eq!(uid.number(account), Some(number));
        prop_assert_eq!(uid.leading_number(), number);
        let fresh = Uuid::from_u64_pair((ms << 16) | (7 << 12) | sequence, 9);
        prop_assert_eq!(ExecutionUid::new(account, fresh), uid);
        prop_assert_eq!(uid.made_at(), Timestamp(i64::try_from(ms * 1_000).expect("fits")));
        let other = AccountUid(Uuid::from_u64_pair(1, account.0.as_u64_pair().1 ^ 1));
        prop_assert_eq!(uid.number(other), None, "of another account, or made before there were numbers");
    }
}
