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
