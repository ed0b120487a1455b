//! Conditions: a tree of groups over clauses `field operator value`.

mod compile;
mod demand;
mod explanation;
mod fit;
mod operand;

use std::{borrow::Cow, cmp::Ordering};

use serde::{Deserialize, Serialize};

use self::{compile::Compiler, operand::Operand};
pub use self::{
    demand::ValueKey,
    explanation::Explanation,
    fit::{check_fit, fit_warnings},
};
use super::catalogue::Catalogue;
use crate::domain::{
    decimal::are_equal,
    event::Action,
    json::{Json, Node},
    path::FieldPath,
    refusal::Violations,
    timestamp::parse_instant,
};

/// How deep groups may nest.
pub const GROUP_DEPTH_MAX: usize = 5;
/// How many clauses a tree may have.
pub const CLAUSES_MAX: usize = 100;
/// How many values `in` and `not_in` may list.
pub const VALUES_MAX: usize = 100;
/// How long a text to compare with may be.
pub const VALUE_BYTES_MAX: usize = 4_096;
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
    /// `null`.
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
    BecameEmpty,
    BecameFilled,
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

    /// Every operator, in the order of the numbers on the wire, from 1.
    pub const ALL: [Operator; 22] = [
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
            Operator::IsNotEmpty => Some(Operator::IsEmpty),
            _ => None,
        }
    }

    /// Whether it asks for an order: greater or less, earlier or later.
    pub fn is_ordered(self) -> bool {
        use Operator as O;
        matches!(self, O::Gt | O::Gte | O::Lt | O::Lte | O::Between | O::Before | O::After)
    }

    /// How many values it takes, from and to.
    fn arity(self) -> (usize, usize) {
        use Operator as O;
        match self {
            O::Changed | O::BecameEmpty | O::BecameFilled | O::IsEmpty | O::IsNotEmpty => (0, 0),
            O::Between => (2, 2),
            O::In | O::NotIn => (1, VALUES_MAX),
            _ => (1, 1),
        }
    }
}

/// What conditions look at.
#[derive(Clone, Copy)]
pub struct ObjectState<'e> {
    /// What happened to the object.
    pub action: Action,
    /// The object's data.
    pub data: &'e Node<'e>,
    /// The old values, where the event has any.
    pub previous: Option<&'e Node<'e>>,
    /// The kind of object.
    pub object: &'e str,
    /// What the options of fields are called.
    pub catalogue: &'e Catalogue,
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
    /// The field whose option's label is asked for, where the path ends so.
    labelled: Option<FieldPath>,
    operator: Operator,
    operands: Vec<Operand>,
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
    pub fn hold(&self, state: ObjectState<'_>) -> bool {
        self.root.as_ref().is_none_or(|group| group.holds(state))
    }

    /// How every clause is decided, in the order of the tree.
    pub fn explain(&self, state: ObjectState<'_>) -> Vec<Explanation> {
        let mut found = Vec::new();
        if let Some(root) = &self.root {
            root.explain("conditions", state, &mut found);
        }
        found
    }

    /// What decides that they do not hold; nothing where they do.
    pub fn stopped_by(&self, state: ObjectState<'_>) -> Option<Stop> {
        self.root.as_ref().filter(|root| !root.holds(state)).map(|root| root.stop("conditions".to_owned(), state))
    }

    /// Whether any clause asks that a change happened.
    pub fn ask_for_change(&self) -> bool {
        self.root.as_ref().is_some_and(Group::asks_for_change)
    }
}

impl Group {
    fn holds(&self, state: ObjectState<'_>) -> bool {
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

    /// What decides that the group, which stands at a path, does not hold: a member, or itself where none of its members
    /// holds.
    fn stop(&self, at: String, state: ObjectState<'_>) -> Stop {
        let is_any = self.how == Match::Any && self.members.len() > 1;
        let wanted = self.how != Match::None;
        let decides = |member: &&Member| match member {
            Member::Group(group) => group.holds(state) != wanted,
            Member::Clause(clause) => clause.holds(state) != wanted,
        };
        let found = self.members.iter().position(|member| decides(&member)).filter(|_| !is_any);
        let Some(index) = found else { return Stop { path: at, clause: None } };
        let path = format!("{at}.conditions[{index}]");
        match &self.members[index] {
            Member::Group(group) if wanted => group.stop(format!("{path}.group"), state),
            Member::Group(_) => Stop { path: format!("{path}.group"), clause: None },
            Member::Clause(clause) => Stop { path, clause: Some((clause.field.to_string(), clause.operator)) },
        }
    }

    fn explain(&self, at: &str, state: ObjectState<'_>, found: &mut Vec<Explanation>) {
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

/// What decides that conditions do not hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stop {
    /// Where it stands in the tree, as in explanations.
    pub path: String,
    /// The field and the operator, where it is a clause; otherwise it is a group.
    pub clause: Option<(String, Operator)>,
}

/// What a path leads to: values of the event, or labels of the catalogue.
type Reached<'e> = Vec<Option<Cow<'e, Node<'e>>>>;

impl Clause {
    fn holds(&self, state: ObjectState<'_>) -> bool {
        if let Some(positive) = self.operator.positive() {
            return !self.decide(positive, state);
        }
        self.decide(self.operator, state)
    }

    fn decide(&self, operator: Operator, state: ObjectState<'_>) -> bool {
        let now = self.reach(state.data, state);
        if !operator.is_active() {
            return self.any_passes(operator, &now);
        }
        let Some(before) = self.before(state).filter(|before| differ(before, &now)) else { return false };
        match operator {
            Operator::ChangedTo => self.is_new_in(&now, &before),
            Operator::ChangedFrom => self.is_new_in(&before, &now),
            // Where a path leads to several values, they are nothing only together.
            Operator::BecameEmpty | Operator::BecameFilled => {
                let is_nothing = |reached: &Reached<'_>| reached.iter().all(|node| is_empty(node.as_deref()));
                is_nothing(&now) != is_nothing(&before) && is_nothing(&now) == (operator == Operator::BecameEmpty)
            }
            _ => true,
        }
    }

    /// What the field leads to; where it leads nowhere and asks for the label of an option, the labels of those chosen.
    fn reach<'e>(&self, root: &'e Node<'e>, state: ObjectState<'e>) -> Reached<'e> {
        let found = self.field.reach(root);
        if let Some(labelled) = &self.labelled
            && found.iter().all(Option::is_none)
            && let Some(labels) = state.catalogue.labels(state.object, labelled, root)
        {
            let label = |raw: &'e str| Some(Cow::Owned(Node { raw, value: Json::String(Cow::Borrowed(raw)) }));
            return if labels.is_empty() { vec![None] } else { labels.into_iter().map(label).collect() };
        }
        found.into_iter().map(|node| node.map(Cow::Borrowed)).collect()
    }

    /// What the field led to, as far as the event tells.
    fn before<'e>(&self, state: ObjectState<'e>) -> Option<Reached<'e>> {
        match (state.action, state.previous) {
            (Action::Create, _) => Some(vec![None]),
            (Action::Change, Some(previous)) => {
                let has_options = |of: &&FieldPath| state.catalogue.has_options(state.object, of);
                let labelled = self.labelled.as_ref().filter(has_options);
                let tells = |field: &FieldPath| field.is_told_by(previous, state.data);
                let is_told = tells(&self.field) || labelled.is_some_and(tells);
                is_told.then(|| self.reach(previous, state))
            }
            _ => None,
        }
    }

    /// Whether the value is among the elements of one side, and not among those of the other.
    fn is_new_in(&self, these: &Reached<'_>, others: &Reached<'_>) -> bool {
        // Null stands for what was empty in any way.
        let asks_for_empty = self.operator == Operator::ChangedFrom && matches!(self.operands[..], [Operand::Null]);
        let is_meant = |element: &Option<&Node<'_>>| match asks_for_empty {
            true => is_empty(*element),
            false => self.passes_value(Operator::Is, *element),
        };
        // Those that are meant are all the same, or empty in one of a few ways: lists of any length are walked a few times.
        let mut kinds: Vec<Option<&Node<'_>>> = Vec::new();
        for element in elements(these).filter(is_meant) {
            if !kinds.iter().any(|kind| same(*kind, element)) {
                kinds.push(element);
            }
        }
        kinds.into_iter().any(|kind| !elements(others).any(|other| same(kind, other)))
    }

    fn any_passes(&self, operator: Operator, reached: &Reached<'_>) -> bool {
        reached.iter().any(|node| self.passes(operator, node.as_deref()))
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
}

/// The elements of what was reached: those of its arrays, and every other value itself; so is an empty array.
fn elements<'r>(reached: &'r Reached<'_>) -> impl Iterator<Item = Option<&'r Node<'r>>> {
    reached.iter().flat_map(|node| match node.as_deref() {
        Some(Node { value: Json::Array(items), .. }) if !items.is_empty() => items.iter().map(Some).collect(),
        other => vec![other],
    })
}

/// Whether what was reached before and now is not the same.
fn differ(before: &Reached<'_>, now: &Reached<'_>) -> bool {
    let is_nothing = |reached: &Reached<'_>| reached.iter().flatten().all(|node| node.is_null());
    if is_nothing(before) && is_nothing(now) {
        return false;
    }
    before.len() != now.len() || before.iter().zip(now).any(|(a, b)| !same(a.as_deref(), b.as_deref()))
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

/// Whether two values are the same: numbers by value, times as instants, objects whatever the order, absent as null.
fn same(a: Option<&Node<'_>>, b: Option<&Node<'_>>) -> bool {
    // A label of the catalogue has no source of its own, so only that of lists and objects is compared.
    let is_as_written = || a.zip(b).is_some_and(|(a, b)| a.raw == b.raw);
    match (a.map(|node| &node.value).unwrap_or(&Json::Null), b.map(|node| &node.value).unwrap_or(&Json::Null)) {
        (Json::Null, Json::Null) => true,
        (Json::Bool(a), Json::Bool(b)) => a == b,
        (Json::Number(a), Json::Number(b)) => are_equal(a, b),
        (Json::String(a), Json::String(b)) => {
            a == b || parse_instant(a).is_some_and(|instant| parse_instant(b) == Some(instant))
        }
        (Json::Array(_), Json::Array(_)) | (Json::Object(_), Json::Object(_)) if is_as_written() => true,
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(Some(a), Some(b))),
        (Json::Object(a), Json::Object(b)) => same_members(a, b),
        _ => false,
    }
}

/// Whether two objects have the same members, each compared once, however many there are and however deep they go.
fn same_members(a: &[(Cow<'_, str>, Node<'_>)], b: &[(Cow<'_, str>, Node<'_>)]) -> bool {
    let (a, b) = (by_key(a), by_key(b));
    let (mut a, mut b) = (a.into_iter().peekable(), b.into_iter().peekable());
    loop {
        let order = match (a.peek(), b.peek()) {
            (None, None) => return true,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((a, _)), Some((b, _))) => a.cmp(b),
        };
        let left = if order.is_le() { a.next() } else { None };
        let right = if order.is_ge() { b.next() } else { None };
        if !same(left.map(|(_, node)| node), right.map(|(_, node)| node)) {
            return false;
        }
    }
}

/// Members in the order of their keys. Of a key that was stored twice, the last one counts.
fn by_key<'m, 'n>(members: &'m [(Cow<'n, str>, Node<'n>)]) -> Vec<(&'m str, &'m Node<'n>)> {
    let mut sorted: Vec<_> = members.iter().rev().map(|(key, node)| (key.as_ref(), node)).collect();
    sorted.sort_by_key(|(key, _)| *key);
    sorted.dedup_by_key(|(key, _)| *key);
    sorted
}

#[cfg(test)]
#[path = "tests/condition.rs"]
mod tests;
