//! What clauses ask.

use serde::{Deserialize, Serialize};

use super::VALUES_MAX;

/// What a clause asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the meaning; the wire documents each")]
pub enum Operator {
    Changed,
    ChangedTo,
    ChangedFrom,
    BecameEmpty,
    BecameFilled,
    Is,
    IsNot,
    In,
    NotIn,
    Contains,
    NotContains,
    ContainsAny,
    ContainsAll,
    ContainsNone,
    StartsWith,
    EndsWith,
    Matches,
    Gt,
    Gte,
    Lt,
    Lte,
    Between,
    Before,
    After,
    IsEmpty,
    IsNotEmpty,
}

impl Operator {
    /// Its name, such as `changed_to`.
    pub fn word(self) -> String {
        serde_json::to_string(&self).unwrap_or_default().trim_matches('"').to_owned()
    }

    /// Every operator, in the order of the numbers on the wire, from 1.
    pub const ALL: [Operator; 26] = [
        Operator::Changed,
        Operator::ChangedTo,
        Operator::ChangedFrom,
        Operator::Is,
        Operator::IsNot,
        Operator::In,
        Operator::NotIn,
        Operator::Contains,
        Operator::NotContains,
        Operator::StartsWith,
        Operator::EndsWith,
        Operator::Gt,
        Operator::Gte,
        Operator::Lt,
        Operator::Lte,
        Operator::Between,
        Operator::Before,
        Operator::After,
        Operator::IsEmpty,
        Operator::IsNotEmpty,
        Operator::BecameEmpty,
        Operator::BecameFilled,
        Operator::Matches,
        Operator::ContainsAny,
        Operator::ContainsAll,
        Operator::ContainsNone,
    ];

    /// Whether it asks that a change happened.
    pub fn is_active(self) -> bool {
        use Operator as O;
        matches!(self, O::Changed | O::ChangedTo | O::ChangedFrom | O::BecameEmpty | O::BecameFilled)
    }

    /// The operator that this one negates, for the negative ones.
    pub fn positive(self) -> Option<Operator> {
        match self {
            Operator::IsNot => Some(Operator::Is),
            Operator::NotIn => Some(Operator::In),
            Operator::NotContains => Some(Operator::Contains),
            Operator::ContainsNone => Some(Operator::ContainsAny),
            Operator::IsNotEmpty => Some(Operator::IsEmpty),
            _ => None,
        }
    }

    /// The operator itself, or what it negates.
    pub fn twin(self) -> Operator {
        self.positive().unwrap_or(self)
    }

    /// Whether it asks for an order: greater or less, earlier or later.
    pub fn is_ordered(self) -> bool {
        use Operator as O;
        matches!(self, O::Gt | O::Gte | O::Lt | O::Lte | O::Between | O::Before | O::After)
    }

    /// Whether it asks whether values are the same.
    pub fn is_of_equality(self) -> bool {
        use Operator as O;
        matches!(self.twin(), O::Is | O::In | O::ChangedTo | O::ChangedFrom)
    }

    /// Whether it looks for parts of texts, or for elements of lists.
    pub fn is_of_parts(self) -> bool {
        use Operator as O;
        matches!(self.twin(), O::Contains | O::ContainsAny | O::ContainsAll)
    }

    /// Whether it may look into texts, so that their case matters.
    pub fn is_of_text(self) -> bool {
        use Operator as O;
        let is_of_ends = matches!(self, O::StartsWith | O::EndsWith | O::Matches);
        is_of_ends || self.is_of_equality() || self.is_of_parts()
    }

    /// How many values it takes, from and to.
    pub(super) fn arity(self) -> (usize, usize) {
        use Operator as O;
        match self {
            O::Changed | O::BecameEmpty | O::BecameFilled | O::IsEmpty | O::IsNotEmpty => (0, 0),
            O::Between => (2, 2),
            O::In | O::NotIn | O::ContainsAny | O::ContainsAll | O::ContainsNone => (1, VALUES_MAX),
            _ => (1, 1),
        }
    }
}
