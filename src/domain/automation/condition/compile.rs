//! Checks a tree of conditions and makes it ready.

use std::cmp::Ordering;

use super::{
    CLAUSES_MAX, Clause, ClauseSpec, GROUP_DEPTH_MAX, Group, GroupSpec, Member, MemberSpec, Operator, Scalar,
    VALUE_BYTES_MAX, operand::Operand,
};
use crate::domain::{
    automation::catalogue::LABEL, decimal::Decimal, event::Action, path::FieldPath, refusal::Violations,
};

/// Makes conditions ready to be decided, and notes what is wrong with them.
pub struct Compiler<'f> {
    pub action: Action,
    pub clauses: usize,
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
        let field =
            FieldPath::parse(&spec.field).map_err(|(offset, message)| format!("{message} at column {}", offset + 1));
        let field = self.faults.take(format!("{at}.field"), field);
        if spec.operator.is_active() && self.action == Action::Delete {
            self.faults
                .add(format!("{at}.operator"), "nothing changes on delete: use an operator that looks at the state");
            return None;
        }
        let (least, most) = spec.operator.arity();
        if !(least..=most).contains(&spec.values.len()) {
            let wanted = if least == most { format!("{least}") } else { format!("{least} to {most}") };
            let given = spec.values.len();
            self.faults
                .add(format!("{at}.values"), format!("{} takes {wanted} values, {given} given", spec.operator.word()));
            return None;
        }
        let operands: Vec<_> = (spec.values.iter().enumerate())
            .map(|(index, value)| self.operand(spec.operator, value, &format!("{at}.values[{index}]")))
            .collect();
        let operands = operands.into_iter().collect::<Option<Vec<_>>>()?;
        if spec.operator == Operator::Between
            && let [low, high] = operands.as_slice()
        {
            match low.order(high) {
                None => {
                    self.faults.add(format!("{at}.values"), "both must be numbers, both dates or both times");
                    return None;
                }
                Some(Ordering::Greater) => {
                    self.faults.add(format!("{at}.values"), "the first must not be greater than the second");
                    return None;
                }
                Some(_) => {}
            }
        }
        let field = field?;
        let labelled = field.without_last(LABEL);
        Some(Clause { field, labelled, operator: spec.operator, operands })
    }

    fn operand(&mut self, operator: Operator, value: &Scalar, at: &str) -> Option<Operand> {
        let operand = match value {
            Scalar::Null => Operand::Null,
            Scalar::Boolean(value) => Operand::Boolean(*value),
            Scalar::Number(text) => match Decimal::parse(text) {
                Some(number) => Operand::Number(number, text.clone()),
                None => {
                    self.faults.add(at, format!("{text:?} is not a number as JSON writes it"));
                    return None;
                }
            },
            Scalar::Text(text) if text.len() > VALUE_BYTES_MAX => {
                self.faults.add(at, format!("has {} bytes, the limit is {VALUE_BYTES_MAX}", text.len()));
                return None;
            }
            Scalar::Text(text) => Operand::of_text(text),
        };
        let is_moment = matches!(operand, Operand::Date(..) | Operand::Instant(..));
        let fault = match operator {
            Operator::Gt | Operator::Gte | Operator::Lt | Operator::Lte | Operator::Between => {
                let fits = is_moment || matches!(operand, Operand::Number(..));
                (!fits).then_some("must be a number, a date (2026-11-24) or a time (2026-11-24T08:00:00Z)")
            }
            Operator::Before | Operator::After => {
                (!is_moment).then_some("must be a date (2026-11-24) or a time (2026-11-24T08:00:00Z)")
            }
            Operator::StartsWith | Operator::EndsWith => {
                let fits = matches!(value, Scalar::Text(text) if !text.is_empty());
                (!fits).then_some("must be a text that is not empty")
            }
            Operator::Contains | Operator::NotContains => {
                let empty = matches!(value, Scalar::Text(text) if text.is_empty());
                (empty || matches!(value, Scalar::Null))
                    .then_some("must be a number, a boolean or a text that is not empty")
            }
            _ => None,
        };
        if let Some(fault) = fault {
            self.faults.add(at, fault);
            return None;
        }
        Some(operand)
    }
}
