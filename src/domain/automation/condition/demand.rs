//! What conditions demand in any case: that a field is one of some values. By it automations are found that an event may
//! fit, without asking each of them.

use super::{
    Clause, Conditions, Group, Match, Member, Operator,
    clause::Operands,
    operand::{Key, Operand},
    subject::Subject,
};
use crate::domain::{
    decimal::Decimal,
    json::{Json, Node},
    path::FieldPath,
};

/// A value as far as it can be looked up: two that are the same have the same key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ValueKey {
    /// A boolean.
    Boolean(bool),
    /// A number, by its value.
    Number(Decimal),
    /// A text, or a date as it is written.
    Text(String),
}

impl ValueKey {
    /// The key of a value of an event; none of null, lists and objects.
    fn of(node: &Node<'_>) -> Option<Self> {
        match &node.value {
            Json::Bool(value) => Some(Self::Boolean(*value)),
            Json::Number(digits) => Decimal::parse(digits).map(Self::Number),
            Json::String(text) => Some(Self::Text(text.to_string())),
            Json::Null | Json::Array(_) | Json::Object(_) => None,
        }
    }

    /// The key of what a clause compares with, where it has one.
    fn of_operand(operand: &Operand<'_>) -> Option<Self> {
        Some(match operand.key()? {
            Key::Boolean(value) => Self::Boolean(value),
            Key::Number(number) => Self::Number(number.clone()),
            Key::Text(text) => Self::Text(text.to_owned()),
        })
    }

    /// The keys of everything that a field leads to.
    pub fn all_of(field: &FieldPath, data: &Node<'_>) -> Vec<Self> {
        let reached = field.reach(data).into_iter().flatten();
        let each = reached.flat_map(|node| match &node.value {
            Json::Array(items) => items.iter().filter_map(Self::of).collect(),
            _ => Self::of(node).into_iter().collect::<Vec<_>>(),
        });
        each.collect()
    }
}

/// That a field is one of some values: where it is none of them, the conditions do not hold.
#[derive(Debug, Clone)]
pub struct Demand {
    /// The field.
    pub field: FieldPath,
    /// The values.
    pub values: Vec<ValueKey>,
}

impl Conditions {
    /// What they demand in any case, by the fewest values; none where nothing of the kind is sure.
    pub fn demand(&self) -> Option<Demand> {
        self.root.as_ref().and_then(Group::demand)
    }
}

impl Group {
    fn demand(&self) -> Option<Demand> {
        if self.how != Match::All {
            return None;
        }
        let demands = self.members.iter().filter_map(|member| match member {
            Member::Group(group) => group.demand(),
            Member::Clause(clause) => clause.demand(),
        });
        demands.min_by_key(|demand| demand.values.len())
    }
}

impl Clause {
    fn demand(&self) -> Option<Demand> {
        let is_lookup = matches!(self.operator, Operator::Is | Operator::In | Operator::ChangedTo);
        // A path that may ask for an option's label is looked up in the catalogue.
        let (Subject::Data { path, labelled: None }, Operands::Fixed(operands)) = (&self.subject, &self.operands)
        else {
            return None;
        };
        if !is_lookup || self.by_size || self.as_ids {
            return None;
        }
        let values = operands.iter().map(ValueKey::of_operand).collect::<Option<Vec<_>>>()?;
        Some(Demand { field: path.clone(), values })
    }
}
