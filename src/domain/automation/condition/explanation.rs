//! How clauses were decided, in words. An explanation is a proof: it shows what the verdict follows from, and nothing that
//! speaks against it.

use serde::{Deserialize, Serialize};

use super::{
    ObjectState, Operator,
    clause::{Clause, Operands, Taken, Wanted, is_too_much, passes_element},
    operand::{Operand, shown, shown_node},
    pattern::MATCHED_BYTES_MAX,
    same::{differ, elements},
    subject::{Reached, Side, Subject},
};
use crate::domain::{
    automation::catalogue::LABEL,
    event::Action,
    json::{Json, Node},
    path::{FieldPath, Found},
    timestamp::{parse_date, parse_instant},
};

/// How many of the values that a path leads to an explanation shows.
const SHOWN_VALUES_MAX: usize = 5;
/// How many of the values that a clause compares with an explanation shows.
const SHOWN_OPERANDS_MAX: usize = 8;

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

impl Clause {
    /// How the clause was decided, in words.
    pub fn explain(&self, path: String, state: ObjectState<'_>) -> Explanation {
        let now = self.now(state);
        let before = self.told(state);
        let (verb, what) = shown_of(&self.subject, &now, state.data, ["is", "are"]);
        let size = if self.by_size { "the size of " } else { "" };
        let mut compared = format!("{size}{} {verb} {what}", self.subject);
        if self.operator.is_active() {
            match (&before, state.previous) {
                _ if state.action() == Action::Create => compared.push_str(", the object is new"),
                (Some(before), Some(previous)) => {
                    let (verb, what) = shown_of(&self.subject, before, previous, ["was", "were"]);
                    compared.push_str(&format!(", {verb} {what}"));
                }
                _ => compared.push_str(", not among the old values"),
            }
        }
        let wanted = self.wanted(state);
        let shown = self.shown_operands(state);
        if !shown.is_empty() {
            let more = if shown.len() > SHOWN_OPERANDS_MAX { ", …" } else { "" };
            let how = if self.ignores_case { " without case" } else { "" };
            let some = shown[..shown.len().min(SHOWN_OPERANDS_MAX)].join(", ");
            compared.push_str(&format!("; compared{how} with {some}{more}"));
        }
        let held = self.holds(state);
        let is_met = held != self.operator.positive().is_some();
        let note = if is_met {
            self.witness(&now, &wanted)
        } else if self.operator == Operator::Matches && is_too_much(&now) {
            Some(format!("; more text than the {MATCHED_BYTES_MAX} bytes that a pattern looks at"))
        } else if self.operator == Operator::ChangedFrom {
            before.filter(|before| differ(before, &now)).and_then(|before| self.mismatch(&before, &wanted))
        } else if self.operator.is_active() && !before.is_some_and(|before| differ(&before, &now)) {
            None
        } else {
            self.mismatch(&now, &wanted)
        };
        compared.extend(note);
        compared.extend(self.whole_key(&now, state.data));
        Explanation { path, field: self.subject.to_string(), operator: self.operator, compared, held }
    }

    /// What the clause compares with: each value, and in brackets where it is taken from.
    fn shown_operands(&self, state: ObjectState<'_>) -> Vec<String> {
        let taken = match &self.operands {
            Operands::Fixed(operands) => return operands.iter().map(Operand::shown).collect(),
            Operands::Taken(taken) => taken,
        };
        let size = if self.by_size { "the size of " } else { "" };
        let shown = |one: &Taken| match one {
            Taken::Fixed(operand) => operand.shown(),
            Taken::Relative(time) => {
                format!("{} ({})", Operand::moment(time.at(state.event.occurred_at)).shown(), time.words())
            }
            Taken::Field(subject, side) => {
                let before = if *side == Side::Before { "previous " } else { "" };
                // Where no old value is told, what is compared is the one that has not changed.
                let is_of_previous = *side == Side::Before && subject.told(state).is_some();
                let root = state.previous.filter(|_| is_of_previous).unwrap_or(state.data);
                let (_, what) = shown_of(subject, &self.reached(one, state), root, ["is", "are"]);
                format!("{what} ({size}{before}{subject})")
            }
        };
        taken.iter().map(shown).collect()
    }

    /// The element that meets the clause, where there are several.
    fn witness(&self, now: &Reached<'_>, wanted: &Wanted<'_>) -> Option<String> {
        let is_list = now.len() > 1 || matches!(now.first(), Some(Some(node)) if matches!(node.value, Json::Array(_)));
        let operator = match self.operator {
            Operator::ChangedTo => Operator::Is,
            other => other.twin(),
        };
        // Of several values it may be one that was there before.
        let is_unsure = self.operator == Operator::ChangedTo && wanted.all().nth(1).is_some();
        if !is_list
            || is_unsure
            || operator.is_active()
            || matches!(operator, Operator::IsEmpty | Operator::ContainsAll)
        {
            return None;
        }
        // What is compared without case is shown as it is.
        let compared = self.without_case(now);
        let mut pairs = elements(now).zip(elements(&compared));
        let (found, _) = pairs.find(|(_, one)| one.is_some_and(|one| passes_element(operator, one, wanted)))?;
        Some(format!("; met by {}", shown_node(found)))
    }

    /// Says where the types of a value and what it is compared with can never fit.
    fn mismatch(&self, reached: &Reached<'_>, wanted: &Wanted<'_>) -> Option<String> {
        let [Some(node)] = reached.as_slice() else { return None };
        let found = match &node.value {
            Json::Bool(_) => "a boolean",
            Json::Number(_) => "a number",
            Json::String(text) if parse_date(text).is_some() => "a date",
            Json::String(text) if parse_instant(text).is_some() => "a time",
            Json::String(_) => "a text",
            Json::Object(_) => "an object",
            Json::Null | Json::Array(_) => return None,
        };
        let fits = |operand: &Operand<'_>| {
            let is_text = node.as_str().is_some();
            let both_text = is_text && operand.is_text();
            let both_moments = matches!(found, "a date" | "a time") && operand.is_moment() && !operand.is_text();
            let is_pattern = is_text && self.operator == Operator::Matches;
            found == operand.type_name() || both_moments || is_pattern || (both_text && !self.operator.is_ordered())
        };
        let mut names: Vec<_> = wanted.all().map(Operand::type_name).collect();
        if names.is_empty() || names.contains(&"a list") || wanted.all().any(fits) {
            return None;
        }
        names.sort_unstable();
        names.dedup();
        let names = names.join(" or ");
        Some(match self.operator.positive() {
            Some(_) => format!("; {found} differs from {names}"),
            None => format!("; {found} is never {names}"),
        })
    }

    /// Says where a path leads nowhere, and a member has some of its names as one.
    fn whole_key(&self, now: &Reached<'_>, data: &Node<'_>) -> Option<String> {
        let path = self.subject.path().filter(|_| matches!(now.as_slice(), [None]))?;
        Some(format!("; the field of this name is {}", path.with_whole_key(data)?))
    }
}

/// The verb for what a path led to, and what that is.
fn shown_of(
    subject: &Subject,
    reached: &Reached<'_>,
    root: &Node<'_>,
    verbs: [&'static str; 2],
) -> (&'static str, String) {
    match reached.as_slice() {
        [None] => {
            let ancestor = subject.path().and_then(|path| path.last_ancestor(root));
            let why = ancestor.map(|(path, node)| format!(" ({path} {} {})", verbs[0], shown(node.raw)));
            (verbs[0], format!("absent{}", why.unwrap_or_default()))
        }
        [one] if !subject.path().is_some_and(|path| is_through_array(path, root)) => {
            (verbs[0], shown_node(one.as_deref()))
        }
        many => {
            let some: Vec<_> = many.iter().take(SHOWN_VALUES_MAX).map(|one| shown_node(one.as_deref())).collect();
            let more = if many.len() > SHOWN_VALUES_MAX { ", …" } else { "" };
            (verbs[1], format!("[{}{more}]", some.join(", ")))
        }
    }
}

/// Whether a path goes through an array, and so leads to several values.
fn is_through_array(field: &FieldPath, root: &Node<'_>) -> bool {
    let through = |path: &FieldPath| matches!(path.find(root), Found::Each(_));
    through(field) || field.without_last(LABEL).is_some_and(|field| through(&field))
}
