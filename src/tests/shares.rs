use super::*;

#[test]
fn each_key_has_its_own_and_leaves_nothing_behind() {
    let shares = Shares::new(2);
    let held: Vec<_> = (0..2).map(|_| shares.of(&"a").try_take().expect("one is left")).collect();
    assert!(shares.of(&"a").try_take().is_none(), "no third");
    assert!(shares.of(&"b").try_take().is_some(), "others have their own");
    assert_eq!(shares.count(), 1);
    drop(held);
    assert_eq!(shares.count(), 0);
    assert!(shares.of(&"a").try_take().is_some());
}
