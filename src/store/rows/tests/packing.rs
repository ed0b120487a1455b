use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use proptest::prelude::*;

use super::*;

const PACKED: &str = "AYQAAAAotS/9AABtAQBTAQQpt5Kox7FE3c4eZ6qckPkBCPx16CNiZOaz93zlYXmknj/F9K9iKSobIAQ";

proptest! {
    #[test]
    fn what_was_packed_unpacks(plain in proptest::collection::vec(any::<u8>(), 0..4_096)) {
        prop_assert_eq!(unpack(&pack(&plain)).expect("unpacks"), plain);
    }

    #[test]
    fn contents_are_taken_apart_as_they_were_put_together(event in "[a-z]{0,40}", record in "[a-z]{0,40}") {
        let append = |text: &str| {
            let bytes = text.as_bytes().to_vec();
            move |out: &mut Vec<u8>| { out.extend_from_slice(&bytes); Ok::<_, StoreError>(()) }
        };
        let mut plain = Vec::new();
        write_contents(&mut plain, append(&event), append(&record)).expect("writes");
        let found = contents(&plain).expect("reads");
        prop_assert_eq!(found.event.unwrap_or_default(), event.as_bytes());
        prop_assert_eq!(found.record, record.as_bytes());
    }

    #[test]
    fn what_is_damaged_is_an_error_and_nothing_else(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = unpack(&bytes).and_then(|plain| contents(&plain));
    }
}

/// What this version has packed every later one must unpack: if this fails, a new dictionary needs a new number.
#[test]
fn what_was_packed_once_unpacks_for_ever() {
    let plain = br#"{"v":1,"a":0,"n":1,"at":1790000000000000,"us":2100,"status":200,"headers":[["content-type","application/json"]],"fate":2}{"ok":true}"#;
    let packed = STANDARD_NO_PAD.decode(PACKED).expect("base64");
    assert_eq!(packed[0], DICTIONARY_NO);
    assert_eq!(unpack(&packed).expect("unpacks"), plain);
    assert!(packed.len() < plain.len() / 2, "the dictionary knows what attempts look like");
}

#[test]
fn a_length_that_no_part_has_is_refused_before_anything_is_unpacked() {
    let huge = [&[DICTIONARY_NO][..], &u32::MAX.to_le_bytes(), &[0; 16]].concat();
    assert!(unpack(&huge).is_err());
    assert!(unpack(&[7, 0, 0, 0, 0]).is_err(), "a dictionary that nobody knows");
}
