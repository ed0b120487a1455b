use super::*;

#[test]
fn few_texts_are_prepared() {
    let accounts: Vec<_> = (0..64).map(Uuid::from_u128).collect();
    let lengths: std::collections::BTreeSet<_> =
        (1..=ACCOUNTS_MAX).map(|count| padded(&accounts[..count]).len()).collect();
    assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [1, 2, 4, 8, 16, 32, 64]);
    assert_eq!(padded(&accounts[..3])[2..], [accounts[2]; 2], "no other account is read");
    assert!(padded(&[]).is_empty());
}
