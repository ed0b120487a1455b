use proptest::prelude::*;

use super::*;

fn number(text: &str) -> Decimal {
    Decimal::parse(text).expect(text)
}

#[test]
fn numbers_are_equal_by_value_and_ordered_exactly() {
    for (a, b) in [("1", "1.0"), ("100", "1e2"), ("0", "-0.0"), ("0.001", "1E-3"), ("1e400", "10e399")] {
        assert_eq!(number(a), number(b), "{a} {b}");
    }
    let rising = [
        "-1e400",
        "-2",
        "-1.5",
        "-1e-400",
        "0",
        "1e-400",
        "0.1",
        "0.10000000000000000000001",
        "1",
        "123456789012345678901234567890",
        "123456789012345678901234567891",
        "1e400",
        "1e99999999999999999999",
    ];
    for pair in rising.windows(2) {
        assert!(number(pair[0]) < number(pair[1]), "{pair:?}");
    }
    for text in ["", "+1", "01", ".5", "1.", "0x1", "NaN", " 1", "1e"] {
        assert_eq!(Decimal::parse(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn agrees_with_integers(a in any::<i64>(), b in any::<i64>(), zeros in 0usize..3) {
        let written = format!("{a}.{}", "0".repeat(zeros + 1));
        prop_assert_eq!(number(&written).cmp(&number(&b.to_string())), a.cmp(&b));
    }
}
