use super::*;

fn one(text: &str) -> Written {
    Written::documents(text).unwrap_or_else(|CliError(error)| panic!("{text}: {error}")).remove(0)
}

#[test]
fn what_is_written_is_kept() {
    for number in [
        "1e400",
        ".inf",
        "-.INF",
        ".nan",
        "007",
        "01234",
        "1.10",
        "12345678901234567890123",
        "1e3",
        "-0",
        "0x1F",
        "+5",
        ".5",
        "-1.50E+10",
    ] {
        let found = one(&format!("a: {number}  # a comment\n"));
        let kept = matches!(&found, Written::Fields(fields) if fields[0].1.as_text() == Some(number));
        assert!(kept, "{number}: {found:?}");
    }
    let found = one("a: [007, {b: 1.10}, &x 0.100, *x, 'quoted', \"0\\u0031\", true, no, ~, ]\n");
    let Written::Fields(fields) = found else { panic!("fields") };
    let text = |text: &str| Written::Text(text.to_owned());
    let number = |text: &str| Written::Number(text.to_owned());
    let wanted = Written::List(vec![
        number("007"),
        Written::Fields(vec![("b".into(), number("1.10"))]),
        number("0.100"),
        number("0.100"),
        text("quoted"),
        text("01"),
        Written::Bool(true, "true".into()),
        text("no"),
        Written::Null,
    ]);
    assert_eq!(fields[0].1, wanted);
    assert_eq!(one("é: 1.10\nü: 2.20\n"), one("{é: 1.10, ü: 2.20}"), "letters of several bytes move nothing");
    let json = Written::json(r#"{"a": 12345678901234567890123, "b": [1.10]}"#).ok();
    assert_eq!(json, Some(one("a: 12345678901234567890123\nb: [1.10]")));
}

#[test]
fn a_fault_has_its_place_and_no_words_of_ours() {
    for (text, wanted) in [
        ("a: [", "line "),
        ("a: 1\na: 2", "line 2"),
        ("a: *b", "line 1"),
        ("{{{", "line "),
        ("a: 1\na: 2", "line 2 column 1: a is given twice"),
        ("a: !!int 0x", "is not what its tag says: quote it"),
        ("a: !!bool yes", "is not what its tag says: quote it"),
        ("a: !!float x", "is not what its tag says: quote it"),
    ] {
        let CliError(error) = Written::documents(text).expect_err(text);
        assert!(error.contains(wanted), "{text}: {error}");
        for ours in ["serde", "saphyr", "Budget", "breach", "Error", "invalid", "Policy", "policy", "Option"] {
            assert!(!error.contains(ours), "{text}: {error}");
        }
    }
    let many = "a: 1\n---\n".repeat(1_025);
    assert!(Written::documents(&many).is_ok_and(|documents| documents.len() >= 1_025));
    let more = "a\n---\n".repeat(DOCUMENTS_MAX + 1);
    let CliError(error) = Written::documents(&more).expect_err("too many");
    assert!(error.contains("more than 100000 documents: split it"), "{error}");
    let deep = "[".repeat(100) + &"]".repeat(100);
    assert!(Written::documents(&deep).is_err_and(|CliError(error)| error.contains("nest too deep")));
}
