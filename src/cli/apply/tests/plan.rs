use super::*;

#[test]
fn two_long_values_are_cut_around_what_differs() {
    let long = |middle: &str| Value::from(format!("{}{middle}{}", "a".repeat(500), "z".repeat(500)));
    let (from, to) = shown_both(&long("one"), &long("two"));
    assert!(from != to && from.contains("one") && to.contains("two"), "{from} {to}");
    assert!(from.starts_with("…aaaa") && from.chars().count() <= SHOWN_CHARS_MAX + 1, "{from}");
    assert_eq!(shown_both(&"a".into(), &"b".into()), ("a".to_owned(), "b".to_owned()));
    let (from, to) = shown_both(&Value::Null, &long(""));
    assert!(from == "(not set)" && to.starts_with("aaaa"), "{from} {to}");
    let (from, to) = shown_both(&"é".repeat(300).into(), &format!("{}x", "é".repeat(300)).into());
    assert!(from.ends_with('é') && to.ends_with('x'), "{from} {to}");
}
