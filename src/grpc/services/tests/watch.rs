use super::*;

#[test]
fn cursors_read_back_only_for_their_account() {
    let account: AccountId = "42".parse().expect("an id");
    let cursor = ChangeCursor { revision: 7, execution: Uuid::from_u128(9), notice: 3, floor: 2 };
    let text = cursor_text(&account, cursor);
    assert_eq!(parse_cursor(&account, &text).expect("reads"), cursor);
    let other: AccountId = "43".parse().expect("an id");
    for (account, text) in [(&other, text.as_str()), (&account, "x"), (&account, &text[..text.len() - 4])] {
        assert!(parse_cursor(account, text).is_err(), "{text}");
    }
}
