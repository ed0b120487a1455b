//! Whether clauses can hold for the types of known fields. The catalogue never decides whether an automation runs: a
//! clause that cannot hold, or must, is warned of when it is saved, wherever it stands; where everything must hold and the
//! operator has no use for the type, it is refused.

use super::{ClauseSpec, GroupSpec, Match, MemberSpec, Operator, Scalar, is_of_event, operand::folded};
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
                if clause.size || has_use(kind, clause.operator, &clause.values) {
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
    let path = path_of(clause)?;
    let kind = catalogue.type_of(object, &path)?;
    Some((path, kind))
}

/// The path of the field of the object that a clause looks at.
fn path_of(clause: &ClauseSpec) -> Option<FieldPath> {
    let is_of_object = !(clause.of_event && is_of_event(&clause.field));
    FieldPath::parse(&clause.field).ok().filter(|_| is_of_object)
}

/// Whether an operator with these values has any use for a type. Refusing wrongly is worse than letting something useless
/// pass: negations hold wherever their twins do not, and null is a value of every type.
fn has_use(kind: FieldType, operator: Operator, values: &[Scalar]) -> bool {
    use Operator as O;
    let is_negative = operator.positive().is_some();
    let asks_for_presence = matches!(operator, O::Changed | O::BecameEmpty | O::BecameFilled | O::IsEmpty);
    // Of what type another field is may not be known.
    let is_open = values.iter().any(|value| matches!(value, Scalar::Null | Scalar::Field(_) | Scalar::Previous(_)));
    if is_negative || asks_for_presence || is_open {
        return true;
    }
    let is_moment = matches!(operator, O::Before | O::After);
    let is_ordered = operator.is_ordered() && !is_moment;
    let is_of_text = is_of_text(operator);
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

/// Whether an operator looks into texts, or into lists.
fn is_of_text(operator: Operator) -> bool {
    use Operator as O;
    operator.is_of_parts() || matches!(operator, O::StartsWith | O::EndsWith | O::Matches)
}

fn of_clause(catalogue: &Catalogue, object: &str, clause: &ClauseSpec) -> Option<String> {
    let path = path_of(clause)?;
    if clause.size {
        let kind = catalogue.type_of(object, &path)?;
        let has_size = matches!(kind, FieldType::List | FieldType::Text | FieldType::Set);
        return (!has_size)
            .then(|| format!("the condition on the size of {path}: {path} is {}, which has none", kind.word()));
    }
    if let Some(warning) = of_other_field(catalogue, object, &path, clause) {
        return Some(warning);
    }
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
    let operator = operator.twin();
    if matches!(value, Scalar::Null | Scalar::Field(_) | Scalar::Previous(_)) {
        return true;
    }
    if matches!(value, Scalar::Relative(_)) {
        return matches!(kind, T::Text | T::Date | T::Time | T::List);
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
        T::Number | T::Id => is_number && !is_of_text(operator),
        T::Boolean => matches!(value, Scalar::Boolean(_)) && !is_of_text(operator),
        T::Date if operator.is_ordered() => is_date,
        T::Time if operator.is_ordered() => is_time,
        T::Date | T::Time if is_of_text(operator) => is_text,
        T::Date => is_date || is_empty_text,
        T::Time => is_time || is_empty_text,
        _ => false,
    }
}

/// How a clause is mended that does not fit a type.
fn remedy(kind: FieldType, operator: Operator) -> String {
    use FieldType as T;
    let operator = operator.twin();
    match kind {
        T::Number | T::Id | T::Boolean if is_of_text(operator) => {
            format!("{} looks into texts and lists", operator.word())
        }
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
    let is_plain = |value: &&Scalar| matches!(value, Scalar::Text(_) | Scalar::Number(_) | Scalar::Boolean(_));
    let first = clause.values.iter().find(is_plain)?;
    let member = catalogue.member_of_elements(object, path)?;
    let (word, shown) = (clause.operator.word(), shown(first));
    let verdict = if clause.operator.positive().is_some() { "always holds" } else { "never holds" };
    let because = format!("because its elements are objects: compare {}.{member}", path.named());
    Some(format!("the condition {word} {shown} on {path} {verdict}, {because}"))
}

/// Says which values of a clause are no options of its field.
fn of_option(catalogue: &Catalogue, object: &str, path: &FieldPath, clause: &ClauseSpec) -> Option<String> {
    let operator = clause.operator.twin();
    let asks_for_one = operator.is_of_equality() || operator.is_of_parts();
    let (options, are_labels) = catalogue.options(object, path)?;
    let unknown = clause.values.iter().find(|value| {
        let is_meant = |option: &FieldOption| {
            let known = if are_labels { &option.label } else { &option.id };
            let case = |text: &str| if clause.ignore_case { folded(text) } else { text.to_owned() };
            match value {
                Scalar::Text(part) if operator.is_of_parts() => case(known).contains(&case(part)),
                Scalar::Text(text) => case(known) == case(text),
                Scalar::Number(number) => !are_labels && are_equal(known, number),
                _ => true,
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
        Scalar::Field(path) => path.clone(),
        Scalar::Previous(path) => format!("previous {path}"),
        Scalar::Relative(relative) => relative.from.words().to_owned(),
    }
}

/// Says that a field is compared with one of a type that never fits, or with a moment that it hardly ever is.
fn of_other_field(catalogue: &Catalogue, object: &str, path: &FieldPath, clause: &ClauseSpec) -> Option<String> {
    let kind = catalogue.type_of(object, path)?;
    let (operator, word) = (clause.operator.twin(), clause.operator.word());
    let is_of_equality = operator.is_of_equality();
    let verdict = if clause.operator.positive().is_some() { "always holds" } else { "never holds" };
    for value in &clause.values {
        match value {
            Scalar::Relative(_) if is_of_equality && kind == FieldType::Time => {
                return Some(format!(
                    "the condition {word} {} on {path} looks for that very moment: use GTE and LT for a day, a week or a \
                     month",
                    shown(value)
                ));
            }
            Scalar::Field(other) | Scalar::Previous(other) if !is_of_event(other) => {
                let other = FieldPath::parse(other).ok()?;
                let Some(of_other) = catalogue.type_of(object, &other) else { continue };
                let fits = are_comparable(kind, of_other) && (!operator.is_ordered() || has_order(kind));
                if !fits && clause.values.len() == 1 {
                    return Some(format!(
                        "the condition {word} {other} on {path} {verdict}, unless both are null, because {path} is {} and {other} is {}",
                        kind.word(),
                        of_other.word()
                    ));
                }
            }
            _ => {}
        }
    }
    None
}

/// Whether values of two types may be the same; of lists and objects nothing is sure.
fn are_comparable(one: FieldType, other: FieldType) -> bool {
    use FieldType as T;
    let family = |kind: FieldType| match kind {
        T::Text | T::Date | T::Time => 1,
        T::Number | T::Id => 2,
        T::Boolean => 3,
        _ => 0,
    };
    family(one) == 0 || family(other) == 0 || family(one) == family(other)
}

/// Whether values of a type may have an order; a text may hold a date.
fn has_order(kind: FieldType) -> bool {
    kind != FieldType::Boolean
}

#[cfg(test)]
#[path = "tests/fit.rs"]
mod tests;
