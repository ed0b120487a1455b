use proptest::prelude::*;

use super::*;

fn accepted(text: &str) -> bool {
    parse(text).is_ok()
}

#[test]
fn spans_and_values_are_those_of_the_text() {
    let node = parse(r#" {"a": [1.50, "x\u00e9\ud83d\ude00"], "b": null, "a": 1e400} "#).expect("valid");
    assert_eq!(node.get("a").map(|node| node.raw), Some("1e400"), "the last of two keys counts");
    assert!(node.get("b").is_some_and(Node::is_null));
    let node = parse(r#"["x\u00e9\ud83d\ude00"]"#).expect("valid");
    let Json::Array(items) = &node.value else { panic!("an array") };
    assert_eq!(items[0].as_str(), Some("xé😀"));
    assert_eq!(items[0].raw, r#""x\u00e9\ud83d\ude00""#);
}

#[test]
fn what_we_refuse_says_where() {
    let cases = [
        ("{\"a\":\n  01}", "a comma or a closing brace expected, found '1' at line 2 column 4"),
        (r#"{"a": "\ud800"}"#, "half of a surrogate pair at line 1 column 8"),
        (r#"{"a": "\udc00\ud800"}"#, "half of a surrogate pair at line 1 column 8"),
        (r#"{"a" 1}"#, "a colon expected, found '1' at line 1 column 6"),
        ("[1,]", "a value expected after the comma at line 1 column 4"),
        ("{\"a\":1} x", "there is more after the end of the value at line 1 column 9"),
        ("", "a value expected, found the end of the text at line 1 column 1"),
    ];
    for (text, message) in cases {
        assert_eq!(parse(text).expect_err(text).to_string(), message);
    }
    for (text, message) in [
        (r#"{"a": 1, "b": 2, "a": 3}"#, "the key \"a\" is given twice in one object at line 1 column 18"),
        (r#"{"a": 1, "\u0061": 3}"#, "the key \"a\" is given twice in one object at line 1 column 10"),
        (
            r#"{"l": [{"x": {"y": 1, "z": 2, "y": 1}}]}"#,
            "the key \"y\" is given twice in one object at line 1 column 31",
        ),
    ] {
        assert_eq!(check_object(text).expect_err(text).to_string(), message);
        assert_eq!(members(text).expect_err(text).to_string(), message);
    }
    assert!(check_object(r#"{"a": {"a": [{"a": 1}, {"a": 1}]}, "b": {"a": 1}}"#).is_ok(), "one in each object");
    let deep = "[".repeat(65) + &"]".repeat(65);
    assert!(parse(&deep).expect_err("too deep").message.contains("deeper than 64"));
    assert!(accepted(&("[".repeat(64) + &"]".repeat(64))));
}

#[test]
fn holes_are_found_in_strings_and_in_value_position() {
    let text = r#"{"id": {{deal.id}}, "t": "x {{a}} y", "l": [{{b}}]}"#;
    let found = holes(text).expect("valid");
    let shown: Vec<_> = found.iter().map(|hole| (&text[hole.start..hole.end], hole.in_string)).collect();
    assert_eq!(shown, [("{{deal.id}}", false), ("{{a}}", true), ("{{b}}", false)]);
    for (text, message) in [
        (r#"{"a{{x}}": 1}"#, "a key cannot have a placeholder"),
        (r#"{"a": 1, "\u0061": 2}"#, "given twice"),
        (r#"{"a": "{{x"}"#, "not closed"),
        (r#"{"a": {{x}"#, "not closed"),
    ] {
        assert!(holes(text).expect_err(text).message.contains(message), "{text}");
    }
}

proptest! {
    #[test]
    fn accepts_what_serde_json_accepts(text in r#"[\[\]{}",:0-9eE.+\-a-d\\u tfnrl/]{0,24}"#) {
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        // serde_json refuses numbers that no f64 holds; we copy them.
        if theirs.as_ref().err().is_none_or(|error| !error.to_string().contains("out of range")) {
            prop_assert_eq!(accepted(&text), theirs.is_ok(), "{}", text);
        }
    }

    #[test]
    fn an_escaped_text_reads_back(text in any::<String>()) {
        let mut json = String::from("\"");
        escape_into(&text, &mut json);
        json.push('"');
        let node = parse(&json).expect("valid");
        prop_assert_eq!(node.as_str(), Some(text.as_str()));
    }
}

#[test]
fn white_space_between_tokens_goes_and_nothing_else() {
    for (text, is_spaced, compacted) in [
        (r#"{"a":1.50,"b":"x y"}"#, false, r#"{"a":1.50,"b":"x y"}"#),
        ("{\n  \"a\" : [ 1e400 ,\t-0.0 ],\r\n \"b\": \" \\\" : , \" }", true, r#"{"a":[1e400,-0.0],"b":" \" : , "}"#),
        (r#"{"a": "ends in \\", "b": " {} "}"#, true, r#"{"a":"ends in \\","b":" {} "}"#),
        (r#"{ }"#, true, "{}"),
    ] {
        assert_eq!(check_object(text), Ok(is_spaced), "{text}");
        assert_eq!(compact(text), compacted);
        assert_eq!(members(text).expect("an object").is_spaced, is_spaced);
    }
    assert_eq!(check_object(" {} \n"), Ok(false), "around it there may be some");
}
