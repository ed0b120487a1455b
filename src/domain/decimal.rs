//! Numbers compared exactly, from their source text, whatever their size.

use std::cmp::Ordering;

/// A JSON number as sign, significant digits and the power of ten of the first digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
    matches!(super::json::parse(text), Ok(node) if matches!(&node.value, super::json::Json::Number(raw) if raw == text))
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
#[path = "tests/decimal.rs"]
mod tests;
