//! Conditions: a tree of groups over clauses `field operator value`.

mod clause;
mod compile;
mod demand;
mod explanation;
mod fit;
mod operand;
mod operator;
mod pattern;
mod relative;
mod same;
mod spec;
mod subject;

use self::{clause::Clause, compile::Compiler};
pub use self::{
    demand::ValueKey,
    explanation::Explanation,
    fit::{check_fit, fit_warnings},
    operator::Operator,
    pattern::PATTERNS_MAX,
    spec::{Anchor, ClauseSpec, GroupSpec, Match, MemberSpec, RelativeSpec, Scalar, is_of_event},
};
use super::catalogue::Catalogue;
use crate::domain::{
    event::{Action, Event},
    json::Node,
    refusal::Violations,
};

/// How deep groups may nest.
pub const GROUP_DEPTH_MAX: usize = 5;
/// How many clauses a tree may have.
pub const CLAUSES_MAX: usize = 100;
/// How many values `in` and the like may list, and how many of another field's are compared with.
pub const VALUES_MAX: usize = 100;
/// How long a text to compare with may be.
pub const VALUE_BYTES_MAX: usize = 4_096;

/// What conditions look at.
#[derive(Clone, Copy)]
pub struct ObjectState<'e> {
    /// The event.
    pub event: &'e Event,
    /// The object's data.
    pub data: &'e Node<'e>,
    /// The old values, where the event has any.
    pub previous: Option<&'e Node<'e>>,
    /// What the options of fields are called.
    pub catalogue: &'e Catalogue,
}

impl<'e> ObjectState<'e> {
    /// What happened to the object.
    fn action(self) -> Action {
        self.event.action
    }

    /// The kind of object.
    fn object(self) -> &'e str {
        self.event.object.as_str()
    }
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

impl Conditions {
    /// Checks a tree for a trigger of some actions and makes it ready. Faults are noted under `conditions…`.
    pub fn compile(spec: Option<&GroupSpec>, actions: &[Action], at: &str, faults: &mut Violations) -> Option<Self> {
        let Some(spec) = spec else {
            return Some(Self { root: None });
        };
        let mut compiler = Compiler { actions, clauses: 0, patterns: 0, faults };
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
            Member::Clause(clause) => Stop { path, clause: Some((clause.subject.to_string(), clause.operator)) },
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
            Member::Clause(clause) => clause.asks_for_change(),
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

#[cfg(test)]
#[path = "tests/condition.rs"]
mod tests;
