use super::*;

#[test]
fn patterns_are_found_anywhere_unless_they_are_bound() {
    for (pattern, ignores_case, text, found) in [
        ("ab", false, "cabd", true),
        ("^ab$", false, "cabd", false),
        ("^[A-Z]{2}-[0-9]{4}$", false, "EE-0042", true),
        ("straße", true, "STRAßE", true),
        (r"\bdeal\b", false, "a deal, signed", true),
        (r"^\p{Lu}", false, "Ärger", true),
        (r"(?i)won", false, "WON", true),
        ("^$", false, "", true),
        (r"^\d{4}-\d{2}$", false, "2026-11", true),
    ] {
        assert_eq!(Pattern::new(pattern, ignores_case).expect(pattern).is_in(text), found, "{pattern} in {text}");
    }
}

#[test]
fn patterns_that_are_none_or_too_large_are_refused() {
    for (pattern, message) in [
        ("(", "unclosed group"),
        ("a{2", "repetition"),
        (r"(?=a)", "look-around"),
        (r"(a)\1", "backreferences are not supported"),
        (r"\w{1000}", "is too large"),
        ("(a{1000}){1000}", "is too large"),
        ("", "must not be empty"),
        (&"a".repeat(2_000), "the limit of a pattern is 1024"),
        (&format!("{}a{}", "(".repeat(100), ")".repeat(100)), "nest"),
    ] {
        let why = Pattern::new(pattern, false).expect_err(message);
        assert!(why.contains(message) && !why.contains('\n'), "{pattern:.20}: {why}");
    }
}

/// The dearest patterns that may be saved, over as much text as they look at. Where one took the square of it, this would not
/// end.
#[test]
fn no_pattern_takes_long() {
    for pattern in ["(a|b|ab)+$", "(a*)*b", "[ab]*a[ab]{401}$", "(.*)(.*)(.*)(.*)(.*)c"] {
        let text = "ab".repeat(MATCHED_BYTES_MAX / 2);
        let pattern = Pattern::new(pattern, true).expect(pattern);
        assert_eq!(pattern.is_in(&text), pattern.as_str() != "(.*)(.*)(.*)(.*)(.*)c", "{}", pattern.as_str());
    }
}
