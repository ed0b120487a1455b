use super::*;

#[test]
fn what_a_terminal_would_obey_is_shown() {
    assert_eq!(visible("a\u{1b}[31mb\r\u{202e}c\u{9b}\u{7f}\n"), "a\\u001b[31mb\\u000d\\u202ec\\u009b\\u007f\n");
    assert_eq!(one_line("a\nb\u{2066}\u{e0041}"), "a\\u000ab\\u2066\\udb40\\udc41");
    let plain = "ä, 日本, עברית, \u{1f600}";
    assert!(matches!(visible(plain), Cow::Borrowed(text) if text == plain));
    let json = serde_json::json!({"a": "\u{202e}\u{1b}x"}).to_string();
    let back: Value = serde_json::from_str(&visible(&json)).expect("still JSON");
    assert_eq!(back["a"], "\u{202e}\u{1b}x");
}
