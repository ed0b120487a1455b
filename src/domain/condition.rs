//! Conditions: a tree of groups over clauses `field operator value`.

mod compile;
mod operand;

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use self::{compile::Compiler, operand::Operand};
use super::{
    decimal::Decimal,
    event::Action,
    json::{Json, Node},
    path::FieldPath,
    refusal::Violations,
    timestamp::{Timestamp, parse_date},
};

/// How deep groups may nest.
pub const GROUP_DEPTH_MAX: usize = 5;
/// How many clauses a tree may have.
pub const CLAUSES_MAX: usize = 100;
/// How many values `in` and `not_in` may list.
pub const VALUES_MAX: usize = 100;
/// How long a text to compare with may be.
pub const VALUE_BYTES_MAX: usize = 4_096;
/// How much of a value an explanation shows.
const SHOWN_CHARS_MAX: usize = 120;

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
    /// The fields of every clause.
    pub fn fields(&self) -> Vec<&str> {
        fn of_member(member: &MemberSpec) -> Vec<&str> {
            match member {
                MemberSpec::Group(group) => group.fields(),
                MemberSpec::Clause(clause) => vec![clause.field.as_str()],
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
    /// What must be true.
    pub operator: Operator,
    /// What to compare with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Scalar>,
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
    /// Null.
    Null,
}

/// What a clause asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the meaning; the wire documents each")]
pub enum Operator {
    Changed,
    ChangedTo,
    ChangedFrom,
    Is,
    IsNot,
    In,
    NotIn,
    Contains,
    NotContains,
    StartsWith,
    EndsWith,
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

    /// Every operator.
    pub const ALL: [Operator; 20] = [
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
    ];

    /// Whether it asks that a change happened.
    pub fn is_active(self) -> bool {
        matches!(self, Operator::Changed | Operator::ChangedTo | Operator::ChangedFrom)
    }

    /// The operator that this one negates, for the negative ones.
    fn positive(self) -> Option<Operator> {
        match self {
            Operator::IsNot => Some(Operator::Is),
            Operator::NotIn => Some(Operator::In),
            Operator::NotContains => Some(Operator::Contains),
            Operator::IsNotEmpty => Some(Operator::IsEmpty),
            _ => None,
        }
    }

    /// How many values it takes, from and to.
    fn arity(self) -> (usize, usize) {
        match self {
            Operator::Changed | Operator::IsEmpty | Operator::IsNotEmpty => (0, 0),
            Operator::Between => (2, 2),
            Operator::In | Operator::NotIn => (1, VALUES_MAX),
            _ => (1, 1),
        }
    }
}

/// What conditions look at.
#[derive(Clone, Copy)]
pub struct State<'e> {
    /// What happened.
    pub action: Action,
    /// The object's data.
    pub data: &'e Node<'e>,
    /// The old values, where the event has any.
    pub previous: Option<&'e Node<'e>>,
}

/// Conditions that are ready to be decided.
#[derive(Debug, Clone)]
pub struct Conditions {
    root: Option<Group>,
}

#[derive(Debug, Clone)]
struct Group {
    how: Match,
    members: Vec<Member>,
}

#[derive(Debug, Clone)]
enum Member {
    Group(Group),
    Clause(Clause),
}

#[derive(Debug, Clone)]
struct Clause {
    field: FieldPath,
    operator: Operator,
    operands: Vec<Operand>,
}

/// How one clause was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Where the clause stands in the tree.
    pub path: String,
    /// The field.
    pub field: String,
    /// The operator.
    pub operator: Operator,
    /// What was compared, in words.
    pub compared: String,
    /// Whether it held.
    pub held: bool,
}

impl Conditions {
    /// Checks a tree and makes it ready. Faults are noted under `conditions…`.
    pub fn compile(spec: Option<&GroupSpec>, action: Action, at: &str, faults: &mut Violations) -> Option<Self> {
        let Some(spec) = spec else {
            return Some(Self { root: None });
        };
        let mut compiler = Compiler { action, clauses: 0, faults };
        let root = compiler.group(spec, at, 1);
        if compiler.clauses > CLAUSES_MAX {
            let count = compiler.clauses;
            faults.add(at, format!("has {count} clauses, the limit is {CLAUSES_MAX}"));
            return None;
        }
        root.map(|root| Self { root: Some(root) })
    }

    /// Whether they hold.
    pub fn hold(&self, state: State<'_>) -> bool {
        self.root.as_ref().is_none_or(|group| group.holds(state))
    }

    /// How every clause is decided, in the order of the tree.
    pub fn explain(&self, state: State<'_>) -> Vec<Explanation> {
        let mut found = Vec::new();
        if let Some(root) = &self.root {
            root.explain("conditions", state, &mut found);
        }
        found
    }

    /// Whether any clause asks that a change happened.
    pub fn ask_for_change(&self) -> bool {
        self.root.as_ref().is_some_and(Group::asks_for_change)
    }
}

impl Group {
    fn holds(&self, state: State<'_>) -> bool {
        let holds = |member: &Member| match member {
            Member::Group(group) => group.holds(state),
            Member::Clause(clause) => clause.holds(state),
        };
        match self.how {
            Match::All => self.members.iter().all(holds),
            Match::Any => self.members.iter().any(holds),
            Match::None => !self.members.iter().any(holds),
        }
    }

    fn explain(&self, at: &str, state: State<'_>, found: &mut Vec<Explanation>) {
        for (index, member) in self.members.iter().enumerate() {
            let at = format!("{at}.conditions[{index}]");
            match member {
                Member::Group(group) => group.explain(&format!("{at}.group"), state, found),
                Member::Clause(clause) => found.push(clause.explain(at, state)),
            }
        }
    }

    fn asks_for_change(&self) -> bool {
        self.members.iter().any(|member| match member {
            Member::Group(group) => group.asks_for_change(),
            Member::Clause(clause) => clause.operator.is_active(),
        })
    }
}

type Reached<'e> = Vec<Option<&'e Node<'e>>>;

impl Clause {
    fn holds(&self, state: State<'_>) -> bool {
        if let Some(positive) = self.operator.positive() {
            return !self.decide(positive, state);
        }
        self.decide(self.operator, state)
    }

    fn decide(&self, operator: Operator, state: State<'_>) -> bool {
        let now = self.field.reach(state.data);
        match operator {
            Operator::Changed => self.changed(&now, state),
            Operator::ChangedTo => self.changed(&now, state) && self.any_passes(Operator::Is, &now),
            Operator::ChangedFrom => self.changed(&now, state) && self.any_passes(Operator::Is, &self.before(state)),
            _ => self.any_passes(operator, &now),
        }
    }

    fn before<'e>(&self, state: State<'e>) -> Reached<'e> {
        state.previous.map_or_else(|| vec![None], |previous| self.field.reach(previous))
    }

    fn changed(&self, now: &[Option<&Node<'_>>], state: State<'_>) -> bool {
        match state.action {
            Action::Delete => false,
            Action::Create => now.iter().flatten().any(|node| !node.is_null()),
            Action::Change => state.previous.is_some_and(|previous| {
                if !self.field.is_present(previous) {
                    return false;
                }
                let before = self.field.reach(previous);
                before.len() != now.len() || before.iter().zip(now).any(|(a, b)| !same(*a, *b))
            }),
        }
    }

    fn any_passes(&self, operator: Operator, reached: &[Option<&Node<'_>>]) -> bool {
        reached.iter().any(|node| self.passes(operator, *node))
    }

    /// Decides one value; an array at the end of the path passes if an element does.
    fn passes(&self, operator: Operator, node: Option<&Node<'_>>) -> bool {
        if operator == Operator::IsEmpty {
            return is_empty(node);
        }
        match node.map(|node| &node.value) {
            Some(Json::Array(items)) => items.iter().any(|item| self.passes_element(operator, item)),
            _ => self.passes_value(operator, node),
        }
    }

    fn passes_element(&self, operator: Operator, item: &Node<'_>) -> bool {
        let is_member = operator == Operator::Contains && self.operands[0].equals(Some(item));
        is_member || self.passes_value(operator, Some(item))
    }

    fn passes_value(&self, operator: Operator, node: Option<&Node<'_>>) -> bool {
        let texts = || Some((node?.as_str()?, self.operands[0].text()?));
        let order = |at: usize| self.operands[at].order_of(node);
        match operator {
            Operator::Is | Operator::In => self.operands.iter().any(|operand| operand.equals(node)),
            Operator::Contains => texts().is_some_and(|(text, part)| text.contains(part)),
            Operator::StartsWith => texts().is_some_and(|(text, part)| text.starts_with(part)),
            Operator::EndsWith => texts().is_some_and(|(text, part)| text.ends_with(part)),
            Operator::Gt | Operator::After => order(0).is_some_and(Ordering::is_gt),
            Operator::Gte => order(0).is_some_and(Ordering::is_ge),
            Operator::Lt | Operator::Before => order(0).is_some_and(Ordering::is_lt),
            Operator::Lte => order(0).is_some_and(Ordering::is_le),
            Operator::Between => order(0).is_some_and(Ordering::is_ge) && order(1).is_some_and(Ordering::is_le),
            _ => false,
        }
    }

    fn explain(&self, path: String, state: State<'_>) -> Explanation {
        let now = self.field.reach(state.data);
        let mut compared = format!("{} is {}", self.field, shown_all(&now));
        if self.operator.is_active() {
            match state.previous {
                _ if state.action == Action::Create => compared.push_str(", the object is new"),
                Some(previous) if self.field.is_present(previous) => {
                    compared.push_str(&format!(", was {}", shown_all(&self.before(state))));
                }
                _ => compared.push_str(", not among the old values"),
            }
        }
        if !self.operands.is_empty() {
            let wanted: Vec<_> = self.operands.iter().take(8).map(Operand::shown).collect();
            let more = if self.operands.len() > 8 { ", …" } else { "" };
            compared.push_str(&format!("; compared with {}{more}", wanted.join(", ")));
        }
        if let Some(mismatch) = self.mismatch(&now) {
            compared.push_str(&mismatch);
        }
        Explanation { path, field: self.field.to_string(), operator: self.operator, compared, held: self.holds(state) }
    }

    /// Says where the types of a value and what it is compared with can never fit.
    fn mismatch(&self, now: &[Option<&Node<'_>>]) -> Option<String> {
        let [Some(node)] = now else { return None };
        let operand = self.operands.first()?;
        let found = match &node.value {
            Json::Bool(_) => "a boolean",
            Json::Number(_) => "a number",
            Json::String(text) if parse_date(text).is_some() => "a date",
            Json::String(text) if Timestamp::parse(text).is_some() => "a time",
            Json::String(_) => "a text",
            Json::Object(_) => "an object",
            Json::Null | Json::Array(_) => return None,
        };
        let wanted = operand.type_name();
        let both_text = node.as_str().is_some() && operand.text().is_some();
        let ordered = matches!(
            self.operator,
            Operator::Gt
                | Operator::Gte
                | Operator::Lt
                | Operator::Lte
                | Operator::Between
                | Operator::Before
                | Operator::After
        );
        (found != wanted && (ordered || !both_text)).then(|| format!("; {found} is never {wanted}"))
    }
}

fn is_empty(node: Option<&Node<'_>>) -> bool {
    match node.map(|node| &node.value) {
        None | Some(Json::Null) => true,
        Some(Json::String(text)) => text.is_empty(),
        Some(Json::Array(items)) => items.is_empty(),
        Some(Json::Object(members)) => members.is_empty(),
        Some(Json::Bool(_) | Json::Number(_)) => false,
    }
}

/// Whether two values are the same: numbers by value, objects whatever the order, absent as null.
fn same(a: Option<&Node<'_>>, b: Option<&Node<'_>>) -> bool {
    match (a.map(|node| &node.value).unwrap_or(&Json::Null), b.map(|node| &node.value).unwrap_or(&Json::Null)) {
        (Json::Null, Json::Null) => true,
        (Json::Bool(a), Json::Bool(b)) => a == b,
        (Json::Number(a), Json::Number(b)) => a == b || Decimal::parse(a) == Decimal::parse(b),
        (Json::String(a), Json::String(b)) => a == b,
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(Some(a), Some(b))),
        (Json::Object(left), Json::Object(right)) => {
            let covers = |from: &[(_, _)], other: &Node<'_>, of: &Node<'_>| {
                from.iter().all(|(key, _): &(std::borrow::Cow<'_, str>, Node<'_>)| same(of.get(key), other.get(key)))
            };
            match (a, b) {
                (Some(a), Some(b)) => covers(left, b, a) && covers(right, a, b),
                _ => false,
            }
        }
        _ => false,
    }
}

fn shown_all(reached: &[Option<&Node<'_>>]) -> String {
    let show = |node: &Option<&Node<'_>>| node.map_or_else(|| "absent".to_owned(), |node| shown(node.raw));
    match reached {
        [one] => show(one),
        many => {
            let some: Vec<_> = many.iter().take(5).map(show).collect();
            format!("[{}{}]", some.join(", "), if many.len() > 5 { ", …" } else { "" })
        }
    }
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
