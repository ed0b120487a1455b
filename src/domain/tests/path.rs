use super::*;
use crate::domain::json;

fn path(text: &str) -> FieldPath {
    FieldPath::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"))
}

#[test]
fn paths_read_and_lead_to_values() {
    let node = json::parse(
        r#"{"a": {"b": [{"c": 1}, {"c": 2}, {}]}, "l": [24, 25], "n": null, "a.b": 3, "größe": 4, "e": [],
                "x y": {"@id": 5, "q\"u'o": 6, "}}": 7, "back\\": 8, "": 9}}"#,
    )
    .expect("valid");
    let raw = |text: &str| match path(text).find(&node) {
        Found::One(node) => node.raw.to_owned(),
        Found::Nothing => "nothing".to_owned(),
        Found::Each(found) => {
            format!("{:?}", found.iter().map(|node| node.map(|node| node.raw)).collect::<Vec<_>>())
        }
    };
    for (text, wanted) in [
        ("a.b[1].c", "2"),
        ("l[0]", "24"),
        ("l[2]", "nothing"),
        ("l[0].x", "nothing"),
        ("a.b.c", r#"[Some("1"), Some("2"), None]"#),
        ("l", "[24, 25]"),
        ("e.c", "[]"),
        ("a[\"b\"][0].c", "1"),
        ("[\"a.b\"]", "3"),
        ("['a.b']", "3"),
        ("größe", "4"),
        ("[\"gr\\u00f6\\u00dfe\"]", "4"),
        ("[\"x y\"][\"@id\"]", "5"),
        ("[\"x y\"][\"q\\\"u'o\"]", "6"),
        ("['x y']['q\"u\\'o']", "6"),
        ("[\"x y\"][\"}}\"]", "7"),
        ("[\"x y\"][\"back\\\\\"]", "8"),
        ("[\"x y\"][\"\"]", "9"),
    ] {
        assert_eq!(raw(text), wanted, "{text}");
        assert_eq!(path(&path(text).to_string()), path(text), "{text} reads back");
    }
    assert_eq!(path("a.b[1].c").to_string(), "a.b[1].c");
    assert_eq!(path("a['b c'].d").to_string(), "a[\"b c\"].d");
    for (text, at) in [
        ("", 0),
        ("a..b", 2),
        ("a.", 2),
        ("a[x]", 2),
        ("a[1", 1),
        ("a b", 1),
        ("a[+1]", 2),
        ("[0]", 0),
        ("a.[\"b\"]", 2),
        ("a[\"b", 2),
        ("a[\"b\"", 5),
        ("a[\"b\\x\"]", 3),
        ("a@b", 1),
    ] {
        assert_eq!(FieldPath::parse(text).expect_err(text).0, at, "{text}");
    }
}

#[test]
fn old_values_tell_what_was_and_what_was_not() {
    let node = json::parse(
        r#"{"n": null, "t": "x", "o": {"k": 1, "deep": {}}, "empty": {}, "l": [24], "none": [], "p": [{"c": 1}, {}]}"#,
    )
    .expect("valid");
    for (text, told) in [
        ("n", true),
        ("n.x.y", true),
        ("t.x", true),
        ("o.k", true),
        ("o.other", false),
        ("o.deep.x", true),
        ("empty.x", true),
        ("z", false),
        ("z.x", false),
        ("l[0]", true),
        ("l[1]", true),
        ("none[0]", true),
        ("none.value", true),
        ("p.c", true),
        ("p[1].c", true),
        ("p.other", true),
    ] {
        assert_eq!(path(text).is_told_by(&node, &node), told, "{text}");
    }
    assert!(!path("a").is_told_by(&json::parse("{}").expect("valid"), &node), "nothing changed");
}
