//! Conditions as they are written and stored.

use serde::{Deserialize, Serialize};

use super::{
    Operator,
    subject::{Subject, event_field},
};

/// How the members of a group combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Match {
    /// Every member holds.
    All,
    /// At least one member holds.
    Any,
    /// No member holds.
    None,
}

/// A group as it is written and stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupSpec {
    /// How the members combine.
    #[serde(rename = "match")]
    pub how: Match,
    /// The members.
    pub conditions: Vec<MemberSpec>,
}

impl GroupSpec {
    /// Every clause, in the order of the tree.
    pub fn clauses(&self) -> Vec<&ClauseSpec> {
        fn of_member(member: &MemberSpec) -> Vec<&ClauseSpec> {
            match member {
                MemberSpec::Group(group) => group.clauses(),
                MemberSpec::Clause(clause) => vec![clause],
            }
        }
        self.conditions.iter().flat_map(of_member).collect()
    }
}

/// A member of a group as it is written and stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberSpec {
    /// A group inside the group.
    Group(GroupSpec),
    /// A comparison.
    Clause(ClauseSpec),
}

/// A clause as it is written and stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClauseSpec {
    /// The path of the field.
    pub field: String,
    /// Whether a path that begins with `event` is of the event itself. Those that were saved before it could be said are of
    /// the object.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub of_event: bool,
    /// What must be true.
    pub operator: Operator,
    /// What to compare with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Scalar>,
    /// Whether upper and lower case are the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignore_case: bool,
    /// Whether the number of values is asked for, and not the values.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub size: bool,
}

impl ClauseSpec {
    /// A clause over a field of the object.
    pub fn new(field: &str, operator: Operator, values: &[Scalar]) -> Self {
        let (field, values) = (field.to_owned(), values.to_vec());
        Self { field, of_event: false, operator, values, ignore_case: false, size: false }
    }

    /// The field as it is written: one of the object that would be read as one of the event itself has its first name in
    /// brackets.
    pub fn written_field(&self) -> String {
        if self.of_event || !is_of_event(&self.field) {
            return self.field.clone();
        }
        Subject::parse(&self.field, false).map_or_else(|_| self.field.clone(), |subject| subject.to_string())
    }

    /// The paths of every field of the object that it looks at.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        let own = Some(self.field.as_str()).filter(|_| !self.of_event);
        let of_values = self.values.iter().filter_map(|value| match value {
            Scalar::Field(path) | Scalar::Previous(path) if !is_of_event(path) => Some(path.as_str()),
            _ => None,
        });
        own.into_iter().chain(of_values)
    }
}

/// A value to compare with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scalar {
    /// Text, a date or a time.
    Text(String),
    /// A number's source text.
    Number(String),
    /// True or false.
    Boolean(bool),
    /// `null`.
    Null,
    /// Another field, as it is now: its path.
    Field(String),
    /// A field, as it was: its path.
    Previous(String),
    /// A time that depends on when the event happened.
    Relative(RelativeSpec),
}

/// A time that depends on when the event happened, as it is written and stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RelativeSpec {
    /// Where it begins.
    pub from: Anchor,
    /// How much later, such as `7 days`, or earlier, such as `-1 month`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub offset: String,
    /// The zone that days, weeks and months begin in; UTC where none is given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub time_zone: String,
}

/// Where a relative time begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Anchor {
    /// When the event happened.
    Now,
    /// The beginning of that day.
    StartOfDay,
    /// The beginning of that week: Monday.
    StartOfWeek,
    /// The beginning of that month.
    StartOfMonth,
}

impl Anchor {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Anchor::Now => "now",
            Anchor::StartOfDay => "start of day",
            Anchor::StartOfWeek => "start of week",
            Anchor::StartOfMonth => "start of month",
        }
    }
}

/// Whether a path is one of the event itself: `event.user_id`, also written `$event.user_id`.
pub fn is_of_event(path: &str) -> bool {
    event_field(path).is_some()
}
