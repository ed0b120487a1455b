use super::*;

fn sealer(keys: &[u8]) -> Sealer {
    Sealer::new(&keys.iter().map(|key| [*key; 32]).collect::<Vec<_>>()).expect("a sealer")
}

#[test]
fn a_sealed_value_opens_only_in_its_place_and_with_its_key() {
    let one = sealer(&[1]);
    let context = SealContext { account: Uuid::from_u128(1), webhook: Uuid::from_u128(2), field: "url" };
    let sealed = one.seal(context, b"secret").expect("seals");
    assert!(!sealed.windows(6).any(|window| window == b"secret"));
    assert_eq!(one.open(context, &sealed).expect("opens"), b"secret");
    assert!(one.open(SealContext { webhook: Uuid::from_u128(3), ..context }, &sealed).is_err());
    assert!(one.open(SealContext { field: "secrets", ..context }, &sealed).is_err());
    assert!(sealer(&[2]).open(context, &sealed).is_err());
    assert!(one.open(context, &sealed[..10]).is_err());
}

#[test]
fn the_first_key_seals_and_every_key_opens() {
    let context = SealContext { account: Uuid::from_u128(1), webhook: Uuid::from_u128(2), field: "url" };
    let old = sealer(&[1]).seal(context, b"secret").expect("seals");
    let both = sealer(&[2, 1]);
    assert_eq!(both.open(context, &old).expect("opens"), b"secret");
    let new = both.resealed(context, &old).expect("opens").expect("another key");
    assert_eq!(sealer(&[2]).open(context, &new).expect("opens"), b"secret");
    assert!(both.resealed(context, &new).expect("opens").is_none(), "once is enough");
    let account = Uuid::from_u128(1);
    let asked = both.fingerprint(account, b"asked").expect("a fingerprint");
    assert!(sealer(&[3, 2]).is_fingerprint(account, &asked, b"asked"));
    assert!(!both.is_fingerprint(account, &asked, b"other"));
    assert!(!sealer(&[1]).is_fingerprint(account, &asked, b"asked"));
    assert_eq!(asked.len(), FINGERPRINT_BYTES);
    // With a data key it outlives the installation's.
    let data_key = both.new_data_key(account).expect("a key");
    both.take_data_key(account, &data_key).expect("the key");
    let asked = both.fingerprint(account, b"asked").expect("a fingerprint");
    let later = sealer(&[2]);
    later.take_data_key(account, &data_key).expect("the key");
    assert!(later.is_fingerprint(account, &asked, b"asked") && !later.is_fingerprint(account, &asked, b"other"));
}

#[test]
fn history_is_lost_with_its_data_key() {
    let (account, one) = (Uuid::from_u128(1), sealer(&[1]));
    let context = SealContext { account, webhook: Uuid::from_u128(2), field: "attempt_url" };
    let data_key = one.new_data_key(account).expect("a key");
    assert!(!one.has_data_key(account), "what is not stored is not used");
    one.take_data_key(account, &data_key).expect("the key");
    let sealed = one.seal_history(context, b"secret").expect("seals");
    assert!(sealed.starts_with(&DATA_KEY_ID));
    assert_eq!(one.open(context, &sealed).expect("opens"), b"secret");
    one.forget_data_key(account);
    assert!(one.open(context, &sealed).is_err(), "no other key opens it");
    one.take_data_key(account, &data_key).expect("the stored key");
    assert_eq!(one.open(context, &sealed).expect("opens"), b"secret");
    assert!(one.take_data_key(Uuid::from_u128(9), &data_key).is_err(), "it is another account's");
}
