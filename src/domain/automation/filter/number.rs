//! Filters of numbers: exact decimals.

use bigdecimal::{
    BigDecimal, RoundingMode, Zero,
    num_bigint::{BigInt, Sign},
};

use super::{super::value::Value, Operation as O};
use crate::domain::decimal::Decimal;

/// How many digits a number may have that is calculated with.
const DIGITS_MAX: u64 = 100;
/// The highest power of ten, and the lowest.
const EXPONENT_MAX: i64 = 100;

/// Whether a number is zero, however it is written.
pub fn is_zero(digits: &str) -> bool {
    read(digits).is_ok_and(|number| number.is_zero())
}

fn read(digits: &str) -> Result<BigDecimal, String> {
    let too_large = || format!("takes numbers of at most {DIGITS_MAX} digits");
    // Longer ones are not even read.
    if digits.len() > 2 * EXPONENT_MAX.unsigned_abs() as usize {
        return Err(too_large());
    }
    let exponent = digits.split_once(['e', 'E']).map_or(Ok(0), |(_, exponent)| exponent.parse::<i64>());
    if exponent.is_err() || exponent.is_ok_and(|exponent| exponent.unsigned_abs() > EXPONENT_MAX.unsigned_abs()) {
        return Err(too_large());
    }
    let number: BigDecimal = digits.parse().map_err(|_| "takes a number".to_owned())?;
    bounded(number)
}

fn bounded(number: BigDecimal) -> Result<BigDecimal, String> {
    let (_, scale) = number.as_bigint_and_scale();
    if number.digits() > DIGITS_MAX || scale.unsigned_abs() > EXPONENT_MAX.unsigned_abs() {
        return Err(format!("makes more than {DIGITS_MAX} digits"));
    }
    Ok(number)
}

/// A number, or a text that is one.
fn of(value: &Value<'_>) -> Result<BigDecimal, String> {
    let digits = value.number().or_else(|| value.text().map(str::trim));
    let digits = digits.ok_or_else(|| format!("takes a number, not {}", value.word()))?;
    if value.number().is_none() && Decimal::parse(digits).is_none() {
        return Err("takes a number, not a text that is none".to_owned());
    }
    read(digits)
}

/// As JSON writes it, without zeros at the end that say nothing.
fn value<'e>(number: &BigDecimal) -> Result<Value<'e>, String> {
    let number = bounded(number.normalized())?;
    Ok(Value::Number(number.to_plain_string().into()))
}

/// What is made of one number.
pub fn of_one<'e>(operation: O, given: &Value<'_>, arguments: &[Value<'_>]) -> Result<Value<'e>, String> {
    let number = of(given)?;
    match operation {
        O::Abs => value(&number.abs()),
        O::Ceil => value(&number.with_scale_round(0, RoundingMode::Ceiling)),
        O::Floor => value(&number.with_scale_round(0, RoundingMode::Floor)),
        _ => {
            // As many places as are asked for, also where they are zeros.
            let places = places(arguments.first());
            Ok(Value::Number(number.with_scale_round(places, RoundingMode::HalfUp).to_plain_string().into()))
        }
    }
}

/// What is made of two numbers.
pub fn of_two<'e>(operation: O, given: &Value<'_>, arguments: &[Value<'_>]) -> Result<Value<'e>, String> {
    let a = of(given)?;
    let b = arguments.first().map_or_else(|| Err("takes a number".to_owned()), of)?;
    if matches!(operation, O::DividedBy | O::Modulo) && b.is_zero() {
        return Err("divides by zero".to_owned());
    }
    let made = match operation {
        O::Plus => a + b,
        O::Minus => a - b,
        O::Times => a * b,
        O::DividedBy => divided(&a, &b, places(arguments.get(1))),
        O::Modulo => &a - divided(&a, &b, 0) * &b,
        O::AtLeast => a.max(b),
        _ => a.min(b),
    };
    value(&made)
}

/// A quotient, rounded down at so many decimal places, digit for digit.
fn divided(a: &BigDecimal, b: &BigDecimal, places: i64) -> BigDecimal {
    let ((a, of_a), (b, of_b)) = (a.as_bigint_and_scale(), b.as_bigint_and_scale());
    let ten = |power: i64| BigInt::from(10).pow(u32::try_from(power).unwrap_or_default());
    let scale = of_a.max(of_b);
    let (a, b) = (a.into_owned() * ten(scale - of_a + places), b.into_owned() * ten(scale - of_b));
    let mut quotient = &a / &b;
    let rest = a - &quotient * &b;
    if !rest.is_zero() && (rest.sign() == Sign::Minus) != (b.sign() == Sign::Minus) {
        quotient -= 1;
    }
    BigDecimal::new(quotient, places)
}

/// All of them together.
pub fn sum<'v, 'e>(values: impl Iterator<Item = Value<'v>>) -> Result<Value<'e>, String> {
    let mut sum = BigDecimal::zero();
    for one in values {
        sum = bounded(sum + of(&one)?)?;
    }
    value(&sum)
}

/// A number of decimal places, checked when it was read; none is 0.
fn places(argument: Option<&Value<'_>>) -> i64 {
    argument.and_then(Value::number).and_then(|digits| digits.parse().ok()).unwrap_or_default()
}

/// A whole number.
pub fn whole(value: &Value<'_>) -> Result<i64, String> {
    let digits = value.number().or_else(|| value.text()).unwrap_or_default();
    digits.parse().map_err(|_| format!("takes a whole number here, not {}", value.word()))
}

/// How many.
pub fn count(value: &Value<'_>) -> Result<usize, String> {
    usize::try_from(whole(value)?).map_err(|_| "takes no negative number here".to_owned())
}
