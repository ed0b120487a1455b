//! Numbers compared exactly, from their source text, whatever their size.

use std::cmp::Ordering;

/// A JSON number as sign, significant digits and the power of ten of the first digit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    /// Without leading and trailing zeros; empty for zero.
    digits: Vec<u8>,
    /// The value is `0.digits × 10^magnitude`.
    magnitude: i64,
}

impl Decimal {
    /// Reads a number in JSON's notation.
    pub fn parse(text: &str) -> Option<Self> {
        if !is_number(text) {
            return None;
        }
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, saturating_exponent(exponent)),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let zeros = all.iter().take_while(|digit| **digit == b'0').count();
        let end = all.iter().rposition(|digit| *digit != b'0').map_or(zeros, |at| at + 1);
        let digits = all[zeros..end].to_vec();
        if digits.is_empty() {
            return Some(Self { negative: false, digits, magnitude: 0 });
        }
        let magnitude = exponent.saturating_add(length(whole)).saturating_sub(length(&all[..zeros]));
        Some(Self { negative, digits, magnitude })
    }
}

/// Whether two JSON numbers have one value. Whole ones are compared as they are written: they have one spelling.
pub fn are_equal(a: &str, b: &str) -> bool {
    let is_whole = |text: &str| !text.starts_with("-0") && !text.contains(['.', 'e', 'E']);
    a == b || (!(is_whole(a) && is_whole(b)) && Decimal::parse(a) == Decimal::parse(b))
}

fn length(part: impl AsRef<[u8]>) -> i64 {
    i64::try_from(part.as_ref().len()).unwrap_or(i64::MAX)
}

fn saturating_exponent(text: &str) -> i64 {
    text.parse().unwrap_or(if text.starts_with('-') { i64::MIN / 2 } else { i64::MAX / 2 })
}

fn is_number(text: &str) -> bool {
    matches!(super::json::parse(text), Ok(node) if matches!(node.value, super::json::Json::Number(raw) if raw == text))
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.digits.is_empty(), number.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        sign(self).cmp(&sign(other)).then_with(|| {
            let size = self.magnitude.cmp(&other.magnitude).then_with(|| self.digits.cmp(&other.digits));
            if self.negative { size.reverse() } else { size }
        })
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
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
}
