//! How clauses were decided, in words. An explanation is a proof: it shows what the verdict follows from, and nothing that
//! speaks against it.

use serde::{Deserialize, Serialize};

use super::{
    Clause, ObjectState, Operator, Reached, differ, elements,
    operand::{Operand, shown},
};
use crate::domain::{
    automation::catalogue::LABEL,
    event::Action,
    json::{Json, Node},
    path::FieldPath,
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
    pub(super) fn explain(&self, path: String, state: ObjectState<'_>) -> Explanation {
        let field = &self.field;
        let now = self.reach(state.data, state);
        let before = self.before(state);
        let (verb, shown) = self.shown(&now, state.data, ["is", "are"]);
        let mut compared = format!("{field} {verb} {shown}");
        if self.operator.is_active() {
            match (&before, state.previous) {
                _ if state.action == Action::Create => compared.push_str(", the object is new"),
                (Some(before), Some(previous)) => {
                    let (verb, shown) = self.shown(before, previous, ["was", "were"]);
                    compared.push_str(&format!(", {verb} {shown}"));
                }
                _ => compared.push_str(", not among the old values"),
            }
        }
        if !self.operands.is_empty() {
            let wanted: Vec<_> = self.operands.iter().take(SHOWN_OPERANDS_MAX).map(Operand::shown).collect();
            let more = if self.operands.len() > SHOWN_OPERANDS_MAX { ", …" } else { "" };
            compared.push_str(&format!("; compared with {}{more}", wanted.join(", ")));
        }
        let held = self.holds(state);
        let is_met = held != self.operator.positive().is_some();
        let note = if is_met {
            self.witness(&now)
        } else if self.operator == Operator::ChangedFrom {
            before.filter(|before| differ(before, &now)).and_then(|before| self.mismatch(&before))
        } else if self.operator.is_active() && !before.is_some_and(|before| differ(&before, &now)) {
            None
        } else {
            self.mismatch(&now)
        };
        compared.extend(note);
        compared.extend(self.whole_key(&now, state.data));
        Explanation { path, field: field.to_string(), operator: self.operator, compared, held }
    }

    /// The verb for what a path led to, and what that is.
    fn shown(&self, reached: &Reached<'_>, root: &Node<'_>, verbs: [&'static str; 2]) -> (&'static str, String) {
        let show = |node: &Option<std::borrow::Cow<'_, Node<'_>>>| match node.as_deref() {
            None => "absent".to_owned(),
            // A label of the catalogue has no quotation marks of its own.
            Some(Node { raw, value: Json::String(text) }) if *raw == text.as_ref() => shown(&format!("{text:?}")),
            Some(node) => shown(node.raw),
        };
        match reached.as_slice() {
            [None] => {
                let ancestor = self.field.last_ancestor(root);
                let why = ancestor.map(|(path, node)| format!(" ({path} {} {})", verbs[0], shown(node.raw)));
                (verbs[0], format!("absent{}", why.unwrap_or_default()))
            }
            [one] if !is_through_array(&self.field, root) => (verbs[0], show(one)),
            many => {
                let some: Vec<_> = many.iter().take(SHOWN_VALUES_MAX).map(show).collect();
                let more = if many.len() > SHOWN_VALUES_MAX { ", …" } else { "" };
                (verbs[1], format!("[{}{more}]", some.join(", ")))
            }
        }
    }

    /// The element that meets the clause, where there are several.
    fn witness(&self, now: &Reached<'_>) -> Option<String> {
        let is_list = now.len() > 1 || matches!(now.first(), Some(Some(node)) if matches!(node.value, Json::Array(_)));
        let operator = match self.operator {
            Operator::ChangedTo => Operator::Is,
            other => other.positive().unwrap_or(other),
        };
        if !is_list || operator.is_active() || operator == Operator::IsEmpty {
            return None;
        }
        let mut elements = elements(now).flatten();
        let found = elements.find(|element| self.passes_element(operator, element))?;
        Some(format!("; met by {}", shown(found.raw)))
    }

    /// Says where the types of a value and what it is compared with can never fit.
    fn mismatch(&self, reached: &Reached<'_>) -> Option<String> {
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
        let fits = |operand: &Operand| {
            let both_text = node.as_str().is_some() && operand.text().is_some();
            found == operand.type_name() || (both_text && !self.operator.is_ordered())
        };
        if self.operands.is_empty() || self.operands.iter().any(fits) {
            return None;
        }
        let mut wanted: Vec<_> = self.operands.iter().map(Operand::type_name).collect();
        wanted.dedup();
        let wanted = wanted.join(" or ");
        Some(match self.operator.positive() {
            Some(_) => format!("; {found} differs from {wanted}"),
            None => format!("; {found} is never {wanted}"),
        })
    }

    /// Says where a path leads nowhere, and a member has some of its names as one.
    fn whole_key(&self, now: &Reached<'_>, data: &Node<'_>) -> Option<String> {
        let meant = self.field.with_whole_key(data).filter(|_| matches!(now.as_slice(), [None]))?;
        Some(format!("; the field of this name is {meant}"))
    }
}

/// Whether a path goes through an array, and so leads to several values.
fn is_through_array(field: &FieldPath, root: &Node<'_>) -> bool {
    use crate::domain::path::Found;
    let through = |path: &FieldPath| matches!(path.find(root), Found::Each(_));
    through(field) || field.without_last(LABEL).is_some_and(|field| through(&field))
}
