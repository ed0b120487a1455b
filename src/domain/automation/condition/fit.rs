//! Whether clauses can hold for the types of known fields. The catalogue never decides whether an automation runs: a
//! clause that cannot hold, or must, is warned of when it is saved, wherever it stands; where everything must hold and the
//! operator has no use for the type, it is refused.

use super::{ClauseSpec, GroupSpec, Match, MemberSpec, Operator, Scalar};
use crate::domain::{
    automation::catalogue::{Catalogue, FieldOption, FieldType},
    decimal::are_equal,
    path::FieldPath,
    refusal::Violations,
    timestamp::{parse_date, parse_instant},
};

/// How many options a warning names.
const OPTIONS_SHOWN_MAX: usize = 10;

/// Refuses operators that can never hold for the type of a known field, where everything must hold.
pub fn check_fit(catalogue: &Catalogue, object: &str, group: &GroupSpec, at: &str, faults: &mut Violations) {
    if group.how != Match::All {
        return;
    }
    for (index, member) in group.conditions.iter().enumerate() {
        let at = format!("{at}.conditions[{index}]");
        match member {
            MemberSpec::Group(group) => check_fit(catalogue, object, group, &format!("{at}.group"), faults),
            MemberSpec::Clause(clause) => {
                let Some((path, kind)) = known(catalogue, object, clause) else { continue };
                if has_use(kind, clause.operator, &clause.values) {
                    continue;
                }
                let (operator, what) = (clause.operator.word(), kind.word());
                let parts: Vec<_> = kind.parts().iter().map(|(part, _)| format!("{path}.{part}")).collect();
                let remedy = if parts.is_empty() {
                    "use an operator for its type".to_owned()
                } else {
                    format!("compare a part of it: {}", parts.join(", "))
                };
                let message = format!("{operator} never holds for {path}, which is {what}: {remedy}");
                faults.add(format!("{at}.clause.operator"), message);
            }
        }
    }
}

/// What a reader should know of clauses that can never hold, or must always, and of options that do not exist.
pub fn fit_warnings(catalogue: &Catalogue, object: &str, group: &GroupSpec) -> Vec<String> {
    let mut found = Vec::new();
    for member in &group.conditions {
        match member {
            MemberSpec::Group(group) => found.extend(fit_warnings(catalogue, object, group)),
            MemberSpec::Clause(clause) => found.extend(of_clause(catalogue, object, clause)),
        }
    }
    found
}

fn known(catalogue: &Catalogue, object: &str, clause: &ClauseSpec) -> Option<(FieldPath, FieldType)> {
    let path = FieldPath::parse(&clause.field).ok()?;
    let kind = catalogue.type_of(object, &path)?;
    Some((path, kind))
}

/// Whether an operator with these values has any use for a type. Refusing wrongly is worse than letting something useless
/// pass: negations hold wherever their twins do not, and null is a value of every type.
fn has_use(kind: FieldType, operator: Operator, values: &[Scalar]) -> bool {
    use Operator as O;
    let is_negative = operator.positive().is_some();
    let asks_for_presence = matches!(operator, O::Changed | O::BecameEmpty | O::BecameFilled | O::IsEmpty);
    if is_negative || asks_for_presence || values.contains(&Scalar::Null) {
        return true;
    }
    let is_moment = matches!(operator, O::Before | O::After);
    let is_ordered = operator.is_ordered() && !is_moment;
    let is_of_text = matches!(operator, O::StartsWith | O::EndsWith | O::Contains);
    let has_numbers = values.iter().any(|value| matches!(value, Scalar::Number(_)));
    match kind {
        // A text may hold a date, but never a number: types are strict.
        FieldType::Text => !(is_ordered && has_numbers),
        FieldType::Number => !is_moment && !is_of_text && (!is_ordered || has_numbers),
        FieldType::Boolean => !is_ordered && !is_moment && !is_of_text,
        FieldType::Date | FieldType::Time | FieldType::Id | FieldType::Option | FieldType::List => true,
        _ => false,
    }
}

fn of_clause(catalogue: &Catalogue, object: &str, clause: &ClauseSpec) -> Option<String> {
    let path = FieldPath::parse(&clause.field).ok()?;
    if let Some(warning) = of_elements(catalogue, object, &path, clause) {
        return Some(warning);
    }
    if let Some(warning) = of_option(catalogue, object, &path, clause) {
        return Some(warning);
    }
    let kind = catalogue.type_of(object, &path)?;
    let never: Vec<_> = clause.values.iter().filter(|value| !may_fit(kind, clause.operator, value)).collect();
    let (first, operator) = (*never.first()?, clause.operator);
    let (shown, word) = (shown(first), operator.word());
    // `between` needs both of its values, the others one of them.
    if never.len() < clause.values.len() && operator != Operator::Between {
        return Some(format!("the condition on {path}: {shown} is never met, {path} is {}", kind.word()));
    }
    let verdict = if operator.positive().is_some() { "always holds" } else { "never holds" };
    Some(format!(
        "the condition {word} {shown} on {path} {verdict}, because {path} is {}: {}",
        kind.word(),
        remedy(kind, operator)
    ))
}

/// Whether an operator with a value may hold for some value of a type.
fn may_fit(kind: FieldType, operator: Operator, value: &Scalar) -> bool {
    use FieldType as T;
    use Operator as O;
    let operator = operator.positive().unwrap_or(operator);
    if value == &Scalar::Null {
        return true;
    }
    let (is_text, is_number) = (matches!(value, Scalar::Text(_)), matches!(value, Scalar::Number(_)));
    let (is_date, is_time) = match value {
        Scalar::Text(text) => (parse_date(text).is_some(), parse_instant(text).is_some()),
        _ => (false, false),
    };
    let is_empty_text = matches!(value, Scalar::Text(text) if text.is_empty());
    match kind {
        T::List => true,
        T::Text if operator.is_ordered() => is_date || is_time,
        T::Text => is_text,
        // Whether options are numbers or texts is their platform's.
        T::Option => !operator.is_ordered() && !matches!(value, Scalar::Boolean(_)),
        T::Number | T::Id => is_number && operator != O::Contains,
        T::Boolean => matches!(value, Scalar::Boolean(_)) && operator != O::Contains,
        T::Date if operator.is_ordered() => is_date,
        T::Time if operator.is_ordered() => is_time,
        T::Date | T::Time if matches!(operator, O::Contains | O::StartsWith | O::EndsWith) => is_text,
        T::Date => is_date || is_empty_text,
        T::Time => is_time || is_empty_text,
        _ => false,
    }
}

/// How a clause is mended that does not fit a type.
fn remedy(kind: FieldType, operator: Operator) -> String {
    use FieldType as T;
    use Operator as O;
    let operator = operator.positive().unwrap_or(operator);
    let is_of_text = matches!(operator, O::Contains | O::StartsWith | O::EndsWith);
    match kind {
        T::Number | T::Id | T::Boolean if is_of_text => format!("{} looks into texts and lists", operator.word()),
        T::Number | T::Id => "give the value as a number".to_owned(),
        T::Boolean => "give the value as a boolean".to_owned(),
        T::Text => "give the value as a text".to_owned(),
        T::Option => "compare it with IS or IN, as a number or text".to_owned(),
        T::Date => "give a date such as 2026-11-24".to_owned(),
        T::Time => "give a time such as 2026-11-24T00:00:00Z".to_owned(),
        _ => {
            let parts: Vec<_> = kind.parts().iter().map(|(part, _)| *part).collect();
            if parts.is_empty() { "compare a part of it".to_owned() } else { format!("compare {}", parts.join(" or ")) }
        }
    }
}

/// Says that a value is never an object, where the elements of a list are some.
fn of_elements(catalogue: &Catalogue, object: &str, path: &FieldPath, clause: &ClauseSpec) -> Option<String> {
    let first = clause.values.iter().find(|value| **value != Scalar::Null)?;
    let member = catalogue.member_of_elements(object, path)?;
    let (word, shown) = (clause.operator.word(), shown(first));
    let verdict = if clause.operator.positive().is_some() { "always holds" } else { "never holds" };
    let because = format!("because its elements are objects: compare {}.{member}", path.named());
    Some(format!("the condition {word} {shown} on {path} {verdict}, {because}"))
}

/// Says which values of a clause are no options of its field.
fn of_option(catalogue: &Catalogue, object: &str, path: &FieldPath, clause: &ClauseSpec) -> Option<String> {
    use Operator as O;
    let operator = clause.operator.positive().unwrap_or(clause.operator);
    let asks_for_one = matches!(operator, O::Is | O::In | O::Contains | O::ChangedTo | O::ChangedFrom);
    let (options, are_labels) = catalogue.options(object, path)?;
    let unknown = clause.values.iter().find(|value| {
        let is_meant = |option: &FieldOption| {
            let known = if are_labels { &option.label } else { &option.id };
            match value {
                Scalar::Text(part) if operator == O::Contains => known.contains(part.as_str()),
                Scalar::Text(text) => known == text,
                Scalar::Number(number) => !are_labels && are_equal(known, number),
                Scalar::Boolean(_) | Scalar::Null => true,
            }
        };
        !matches!(value, Scalar::Text(text) if text.is_empty()) && !options.iter().any(is_meant)
    });
    let unknown = unknown.filter(|_| asks_for_one)?;
    let some = options.iter().take(OPTIONS_SHOWN_MAX).map(|option| format!("{} ({})", option.id, option.label));
    let more = if options.len() > OPTIONS_SHOWN_MAX { ", …" } else { "" };
    let (some, shown) = (some.collect::<Vec<_>>().join(", "), shown(unknown));
    Some(format!("the condition on {path}: there is no option {shown}, there are {some}{more}"))
}

fn shown(value: &Scalar) -> String {
    match value {
        Scalar::Text(text) => format!("{text:?}"),
        Scalar::Number(text) => text.clone(),
        Scalar::Boolean(value) => value.to_string(),
        Scalar::Null => "null".to_owned(),
    }
}

#[cfg(test)]
#[path = "tests/fit.rs"]
mod tests;
