//! Checks a tree of conditions and makes it ready.

use std::cmp::Ordering;

use super::{
    CLAUSES_MAX, Clause, ClauseSpec, GROUP_DEPTH_MAX, Group, GroupSpec, Member, MemberSpec, Operator, Scalar,
    VALUE_BYTES_MAX,
    clause::{Operands, Taken},
    operand::Operand,
    pattern::{PATTERNS_MAX, Pattern},
    relative::RelativeTime,
    subject::{Side, Subject},
};
use crate::domain::{
    automation::event_field::EventFieldKind, event::Action, refusal::Violations, timestamp::parse_instant,
};

/// Makes conditions ready to be decided, and notes what is wrong with them.
pub struct Compiler<'f> {
    /// The actions of the trigger.
    pub actions: &'f [Action],
    /// How many clauses there are.
    pub clauses: usize,
    /// How many of them have a pattern.
    pub patterns: usize,
    /// What is wrong.
    pub faults: &'f mut Violations,
}

impl Compiler<'_> {
    /// A group with everything in it; none where something is wrong.
    pub fn group(&mut self, spec: &GroupSpec, at: &str, depth: usize) -> Option<Group> {
        if depth > GROUP_DEPTH_MAX {
            self.faults.add(at, format!("groups nest deeper than {GROUP_DEPTH_MAX}"));
            return None;
        }
        if spec.conditions.is_empty() {
            self.faults.add(format!("{at}.conditions"), "a group must have at least one member");
            return None;
        }
        let mut members = Vec::with_capacity(spec.conditions.len());
        for (index, member) in spec.conditions.iter().enumerate() {
            let at = format!("{at}.conditions[{index}]");
            members.push(match member {
                MemberSpec::Group(group) => self.group(group, &format!("{at}.group"), depth + 1).map(Member::Group),
                MemberSpec::Clause(clause) => self.clause(clause, &format!("{at}.clause")).map(Member::Clause),
            });
        }
        let members = members.into_iter().collect::<Option<Vec<_>>>()?;
        Some(Group { how: spec.how, members })
    }

    fn clause(&mut self, spec: &ClauseSpec, at: &str) -> Option<Clause> {
        self.clauses += 1;
        if self.clauses > CLAUSES_MAX {
            return None;
        }
        let operator = spec.operator;
        let subject = self.faults.take(format!("{at}.field"), Subject::parse(&spec.field, spec.of_event));
        if operator.is_active() && !self.may_change() {
            self.faults.add(format!("{at}.operator"), NOTHING_CHANGES);
            return None;
        }
        let (least, most) = operator.arity();
        if !(least..=most).contains(&spec.values.len()) {
            let wanted = if least == most { format!("{least}") } else { format!("{least} to {most}") };
            let given = spec.values.len();
            self.faults
                .add(format!("{at}.values"), format!("{} takes {wanted} values, {given} given", operator.word()));
            return None;
        }
        let is_fit = self.check_manner(spec, at);
        let values: Vec<_> = (spec.values.iter().enumerate())
            .map(|(index, value)| self.value(spec, value, &format!("{at}.values[{index}]")))
            .collect();
        let values = values.into_iter().collect::<Option<Vec<_>>>()?;
        let subject = subject?;
        let is_fit = self.check_event_field(&subject, spec, at) && is_fit;
        let is_id = |one: &Taken| matches!(one, Taken::Field(subject, _) if subject.is_event_id());
        let as_ids = !spec.size && (subject.is_event_id() || values.iter().any(is_id));
        let fields = values.iter().filter(|one| matches!(one, Taken::Field(..))).count();
        if fields > COMPARED_FIELDS_MAX {
            self.faults
                .add(format!("{at}.values"), format!("names {fields} fields, the limit is {COMPARED_FIELDS_MAX}"));
            return None;
        }
        if as_ids && operator.is_ordered() {
            self.faults.add(format!("{at}.operator"), "an id has no order: use IS, IN or CONTAINS");
            return None;
        }
        let operands = self.operands(spec, values, as_ids, at)?;
        is_fit.then_some(Clause {
            subject,
            operator,
            operands,
            ignores_case: spec.ignore_case,
            by_size: spec.size,
            as_ids,
        })
    }

    /// Whether something may change: the trigger has no `delete`.
    fn may_change(&self) -> bool {
        !self.actions.contains(&Action::Delete)
    }

    /// Checks how a clause compares.
    fn check_manner(&mut self, spec: &ClauseSpec, at: &str) -> bool {
        let operator = spec.operator;
        let before = self.faults.len();
        if spec.ignore_case && !operator.is_of_text() {
            self.faults
                .add(format!("{at}.ignore_case"), format!("{} compares no texts: leave it out", operator.word()));
        }
        let is_of_numbers = operator.is_ordered() && !matches!(operator, Operator::Before | Operator::After);
        let compares_sizes = is_of_numbers || matches!(operator.twin(), Operator::Is | Operator::In);
        if spec.size && !compares_sizes {
            let message = format!("{} compares no sizes: use IS, IN, GT, GTE, LT, LTE or BETWEEN", operator.word());
            self.faults.add(format!("{at}.size"), message);
        }
        if spec.size && spec.ignore_case {
            self.faults.add(format!("{at}.ignore_case"), "a size has no case: leave it out");
        }
        self.faults.len() == before
    }

    /// Checks a clause over the event itself, the types of which are known.
    fn check_event_field(&mut self, subject: &Subject, spec: &ClauseSpec, at: &str) -> bool {
        let Subject::Event(field) = subject else { return true };
        let before = self.faults.len();
        if spec.operator.is_ordered() && field.kind() != EventFieldKind::Time {
            let name = field.name();
            self.faults
                .add(format!("{at}.operator"), format!("event.{name} has no order: use IS, IN or an operator of text"));
        }
        if spec.operator.is_active() {
            self.faults.add(
                format!("{at}.operator"),
                "what an event says of itself has no old value: use an operator that looks at the state",
            );
        }
        if spec.size {
            self.faults.add(format!("{at}.size"), "is for fields of the object");
        }
        let wanted = match field.kind() {
            EventFieldKind::Id | EventFieldKind::Text => "a text",
            EventFieldKind::Time => "a time such as 2026-11-24T08:00:00Z",
            EventFieldKind::Boolean => "true or false",
        };
        let fits = |value: &Scalar| match (value, field.kind()) {
            (Scalar::Null | Scalar::Field(_) | Scalar::Previous(_), _)
            | (Scalar::Boolean(_), EventFieldKind::Boolean) => true,
            (Scalar::Text(_) | Scalar::Number(_), EventFieldKind::Id) | (Scalar::Text(_), EventFieldKind::Text) => true,
            (Scalar::Relative(_), kind) => kind == EventFieldKind::Time,
            (Scalar::Text(text), EventFieldKind::Time) => parse_instant(text).is_some(),
            _ => false,
        };
        for (index, _) in spec.values.iter().enumerate().filter(|(_, value)| !fits(value)) {
            self.faults.add(format!("{at}.values[{index}]"), format!("event.{} is {wanted}", field.name()));
        }
        self.faults.len() == before
    }

    /// The values as they are compared.
    fn operands(&mut self, spec: &ClauseSpec, values: Vec<Taken>, as_ids: bool, at: &str) -> Option<Operands> {
        let ready = |operand: Operand<'static>| {
            let operand = if as_ids { operand.into_id() } else { operand };
            if spec.ignore_case { operand.without_case() } else { operand }
        };
        let values: Vec<_> = (values.into_iter())
            .map(|value| match value {
                Taken::Fixed(operand) => Taken::Fixed(ready(operand)),
                other => other,
            })
            .collect();
        if let (Operator::Between, [Taken::Fixed(low), Taken::Fixed(high)]) = (spec.operator, values.as_slice()) {
            let fault = match low.order(high) {
                None => Some("both must be numbers, both dates or both times"),
                Some(Ordering::Greater) => Some("the first must not be greater than the second"),
                Some(_) => None,
            };
            if let Some(fault) = fault {
                self.faults.add(format!("{at}.values"), fault);
                return None;
            }
        }
        let fixed = values.iter().map(|value| match value {
            Taken::Fixed(operand) => Some(operand.clone()),
            _ => None,
        });
        Some(match fixed.collect::<Option<Vec<_>>>() {
            Some(fixed) => Operands::Fixed(fixed),
            None => Operands::Taken(values),
        })
    }

    /// One value of a clause.
    fn value(&mut self, spec: &ClauseSpec, value: &Scalar, at: &str) -> Option<Taken> {
        let fixed = match value {
            Scalar::Field(path) => return self.field(spec, path, Side::Now, at),
            Scalar::Previous(path) => return self.field(spec, path, Side::Before, at),
            Scalar::Relative(relative) => {
                let operator = spec.operator;
                if spec.size || !(operator.is_ordered() || operator.is_of_equality()) {
                    self.faults.add(at, "a time is compared with IS, IN, GT, GTE, LT, LTE, BETWEEN, BEFORE or AFTER");
                    return None;
                }
                return match RelativeTime::new(relative) {
                    Ok(time) => Some(Taken::Relative(time)),
                    Err((part, message)) => {
                        self.faults.add(format!("{at}.relative_time.{part}"), message);
                        None
                    }
                };
            }
            Scalar::Text(text) if text.len() > VALUE_BYTES_MAX => {
                self.faults.add(at, format!("has {} bytes, the limit is {VALUE_BYTES_MAX}", text.len()));
                return None;
            }
            Scalar::Text(text) if spec.operator == Operator::Matches => self.pattern(text, spec.ignore_case, at)?,
            Scalar::Null => Operand::null(),
            Scalar::Boolean(value) => Operand::boolean(*value),
            Scalar::Number(text) => match Operand::number(text) {
                Some(number) => number,
                None => {
                    self.faults.add(at, format!("{text:?} is not a number as JSON writes it"));
                    return None;
                }
            },
            Scalar::Text(text) => Operand::text(text),
        };
        let fault =
            if spec.size { (!fixed.is_number()).then_some("must be a number") } else { unfit(spec, value, &fixed) };
        if let Some(fault) = fault {
            self.faults.add(at, fault);
            return None;
        }
        Some(Taken::Fixed(fixed))
    }

    /// A field to compare with.
    fn field(&mut self, spec: &ClauseSpec, path: &str, side: Side, at: &str) -> Option<Taken> {
        let at = match side {
            Side::Now => format!("{at}.field"),
            Side::Before => format!("{at}.previous_field"),
        };
        let subject = self.faults.take(&at, Subject::parse(path, true))?;
        let fault = match (&subject, side) {
            _ if spec.operator == Operator::Matches => "a pattern must be written: give it as a text",
            (_, Side::Before) if !self.may_change() => NOTHING_CHANGES,
            (Subject::Event(_), Side::Before) => "what an event says of itself has no old value: give it as field",
            _ => return Some(Taken::Field(subject, side)),
        };
        self.faults.add(at, fault);
        None
    }

    fn pattern(&mut self, text: &str, ignores_case: bool, at: &str) -> Option<Operand<'static>> {
        self.patterns += 1;
        if self.patterns > PATTERNS_MAX {
            self.faults.add(at, format!("is one pattern too many: an automation has at most {PATTERNS_MAX}"));
            return None;
        }
        self.faults.take(at, Pattern::new(text, ignores_case)).map(Operand::pattern)
    }
}

/// How many fields a clause may compare its field with.
const COMPARED_FIELDS_MAX: usize = 5;

/// Why an active operator, or an old value, has no place.
const NOTHING_CHANGES: &str = "nothing changes on delete: use an operator that looks at the state";

/// Why an operator has no use for a value.
fn unfit(spec: &ClauseSpec, value: &Scalar, operand: &Operand<'_>) -> Option<&'static str> {
    use Operator as O;
    let is_text = matches!(value, Scalar::Text(text) if !text.is_empty());
    match spec.operator {
        O::Gt | O::Gte | O::Lt | O::Lte | O::Between => (!operand.is_moment() && !operand.is_number())
            .then_some("must be a number, a date (2026-11-24) or a time (2026-11-24T08:00:00Z)"),
        O::Before | O::After => {
            (!operand.is_moment()).then_some("must be a date (2026-11-24) or a time (2026-11-24T08:00:00Z)")
        }
        O::StartsWith | O::EndsWith => (!is_text).then_some("must be a text that is not empty"),
        O::Matches => (!is_text).then_some("must be a regular expression, as a text"),
        operator if operator.is_of_parts() => {
            let is_empty_text = matches!(value, Scalar::Text(text) if text.is_empty());
            (is_empty_text || *value == Scalar::Null)
                .then_some("must be a number, a boolean or a text that is not empty")
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "tests/compile.rs"]
mod tests;
