//! Clauses: what a field must be, or become.

use std::{borrow::Cow, cmp::Ordering};

use super::{
    ObjectState, Operator, VALUES_MAX,
    operand::{Operand, Ordered, folded},
    pattern::MATCHED_BYTES_MAX,
    relative::RelativeTime,
    same::{differ, elements, is_empty, same},
    subject::{Found, Reached, Side, Subject, as_ids, sized},
};
use crate::domain::json::{Json, Node};

/// A clause that is ready to be decided.
#[derive(Debug, Clone)]
pub struct Clause {
    /// What it looks at.
    pub subject: Subject,
    /// What must be true.
    pub operator: Operator,
    /// What it compares with.
    pub operands: Operands,
    /// Whether upper and lower case are the same.
    pub ignores_case: bool,
    /// Whether the number of values is asked for, and not the values.
    pub by_size: bool,
    /// Whether whole numbers are as their texts, because an id of the event itself is compared.
    pub as_ids: bool,
}

/// What a clause compares with, as far as it is known beforehand.
#[derive(Debug, Clone)]
pub enum Operands {
    /// Values as they are written.
    Fixed(Vec<Operand<'static>>),
    /// Some depend on the event.
    Taken(Vec<Taken>),
}

/// A value to compare with, or where it is taken from.
#[derive(Debug, Clone)]
pub enum Taken {
    /// As it is written.
    Fixed(Operand<'static>),
    /// From another field.
    Field(Subject, Side),
    /// From the time of the event.
    Relative(RelativeTime),
}

/// What a clause compares with at an event: for each of its values what that stands for, which may be several.
pub enum Wanted<'w> {
    /// Values as they are written, one each.
    Fixed(&'w [Operand<'static>]),
    /// What was found.
    Found(Vec<Vec<Operand<'w>>>),
}

impl<'w> Wanted<'w> {
    /// What one of the values stands for.
    fn at(&self, at: usize) -> &[Operand<'w>] {
        match self {
            Wanted::Fixed(operands) => operands.get(at..=at).unwrap_or_default(),
            Wanted::Found(found) => found.get(at).map(Vec::as_slice).unwrap_or_default(),
        }
    }

    /// What all of them stand for.
    pub fn all(&self) -> impl Iterator<Item = &Operand<'w>> {
        let (fixed, found): (&[Operand<'w>], &[Vec<Operand<'w>>]) = match self {
            Wanted::Fixed(operands) => (operands, &[]),
            Wanted::Found(found) => (&[], found),
        };
        fixed.iter().chain(found.iter().flatten())
    }
}

impl Clause {
    /// Whether it holds.
    pub fn holds(&self, state: ObjectState<'_>) -> bool {
        self.decide(self.operator.twin(), state) != self.operator.positive().is_some()
    }

    /// Whether it asks that a change happened.
    pub fn asks_for_change(&self) -> bool {
        let looks_back = match &self.operands {
            Operands::Fixed(_) => false,
            Operands::Taken(taken) => taken.iter().any(|one| matches!(one, Taken::Field(_, Side::Before))),
        };
        self.operator.is_active() || looks_back
    }

    fn decide(&self, operator: Operator, state: ObjectState<'_>) -> bool {
        let now = self.now(state);
        let wanted = self.wanted(state);
        if !operator.is_active() {
            return self.any_passes(operator, &self.without_case(&now), &wanted);
        }
        let Some(before) = self.told(state).filter(|before| differ(before, &now)) else { return false };
        match operator {
            Operator::ChangedTo => self.is_new_in(&self.without_case(&now), &self.without_case(&before), &wanted),
            Operator::ChangedFrom => self.is_new_in(&self.without_case(&before), &self.without_case(&now), &wanted),
            // Where a path leads to several values, they are nothing only together.
            Operator::BecameEmpty | Operator::BecameFilled => {
                let is_nothing = |reached: &Reached<'_>| reached.iter().all(|node| is_empty(node.as_deref()));
                is_nothing(&now) != is_nothing(&before) && is_nothing(&now) == (operator == Operator::BecameEmpty)
            }
            _ => true,
        }
    }

    /// What its field is, as it is compared.
    pub fn now<'e>(&self, state: ObjectState<'e>) -> Reached<'e> {
        self.compared(self.subject.now(state))
    }

    /// What its field was, as far as the event tells, as it is compared.
    pub fn told<'e>(&self, state: ObjectState<'e>) -> Option<Reached<'e>> {
        self.subject.told(state).map(|reached| self.compared(reached))
    }

    /// What was reached, as it is compared.
    fn compared<'e>(&self, reached: Reached<'e>) -> Reached<'e> {
        match (self.by_size, self.as_ids) {
            (true, _) => sized(reached),
            (false, true) => as_ids(reached),
            (false, false) => reached,
        }
    }

    /// What was reached, its texts without case where that does not matter: each once, however often it is compared. A
    /// pattern looks at them as they are.
    pub fn without_case<'r, 'e>(&self, reached: &'r Reached<'e>) -> Cow<'r, [Found<'e>]> {
        if !self.ignores_case || self.operator == Operator::Matches {
            return Cow::Borrowed(reached);
        }
        Cow::Owned(reached.iter().map(|node| node.as_ref().map(without_case)).collect())
    }

    /// What it compares with at an event.
    pub fn wanted<'s>(&'s self, state: ObjectState<'s>) -> Wanted<'s> {
        match &self.operands {
            Operands::Fixed(operands) => Wanted::Fixed(operands),
            // However many fields it compares with, all of them together are so many values and no more.
            Operands::Taken(taken) => {
                let most = (VALUES_MAX / taken.len().max(1)).max(1);
                Wanted::Found(taken.iter().map(|one| self.found(one, most, state)).collect())
            }
        }
    }

    fn found<'s>(&'s self, taken: &'s Taken, most: usize, state: ObjectState<'s>) -> Vec<Operand<'s>> {
        match taken {
            Taken::Fixed(operand) => vec![operand.clone()],
            Taken::Relative(time) => vec![Operand::moment(time.at(state.event.occurred_at))],
            Taken::Field(..) => {
                let values = self.reached(taken, state).into_iter().flat_map(each);
                let operands = values.take(most).map(Operand::of);
                let operands = operands.map(|operand| if self.as_ids { operand.into_whole() } else { operand });
                if self.ignores_case { operands.map(Operand::without_case).collect() } else { operands.collect() }
            }
        }
    }

    /// What a field leads to that is compared with.
    pub fn reached<'s>(&self, taken: &Taken, state: ObjectState<'s>) -> Reached<'s> {
        match taken {
            Taken::Field(subject, side) => self.compared(subject.reach(*side, state)),
            Taken::Fixed(_) | Taken::Relative(_) => Vec::new(),
        }
    }

    /// Whether one of the values is among the elements of one side, and not among those of the other.
    fn is_new_in(&self, these: &[Found<'_>], others: &[Found<'_>], wanted: &Wanted<'_>) -> bool {
        // Null stands for what was empty in any way.
        if self.operator == Operator::ChangedFrom && wanted.all().all(Operand::is_null) {
            let mut kinds: Vec<Option<&Node<'_>>> = Vec::new();
            for element in elements(these).filter(|element| is_empty(*element)) {
                if !kinds.iter().any(|kind| same(*kind, element)) {
                    kinds.push(element);
                }
            }
            return kinds.into_iter().any(|kind| !elements(others).any(|other| same(kind, other)));
        }
        let is_in = |operand: &Operand<'_>, side: &[Found<'_>]| {
            let as_whole = side.iter().any(|node| operand.equals(node.as_deref()));
            as_whole || elements(side).any(|element| operand.equals(element))
        };
        wanted.all().any(|operand| is_in(operand, these) && !is_in(operand, others))
    }

    fn any_passes(&self, operator: Operator, reached: &[Found<'_>], wanted: &Wanted<'_>) -> bool {
        match operator {
            Operator::ContainsAll => {
                wanted.all().all(|operand| reached.iter().any(|node| contains(node.as_deref(), operand)))
            }
            Operator::Matches if is_too_much(reached) => false,
            _ => reached.iter().any(|node| passes(operator, node.as_deref(), wanted)),
        }
    }
}

/// Decides one value; an array at the end of the path passes if an element does.
fn passes(operator: Operator, node: Option<&Node<'_>>, wanted: &Wanted<'_>) -> bool {
    if operator == Operator::IsEmpty {
        return is_empty(node);
    }
    match node.map(|node| &node.value) {
        Some(Json::Array(items)) => {
            let as_whole = operator.is_of_equality() && wanted.all().any(|operand| operand.equals(node));
            as_whole || items.iter().any(|item| passes_element(operator, item, wanted))
        }
        _ => passes_value(operator, node, wanted),
    }
}

/// Decides one element of an array.
pub fn passes_element(operator: Operator, item: &Node<'_>, wanted: &Wanted<'_>) -> bool {
    let is_member = operator.is_of_parts() && wanted.all().any(|operand| is_member(item, operand));
    is_member || passes_value(operator, Some(item), wanted)
}

fn passes_value(operator: Operator, node: Option<&Node<'_>>, wanted: &Wanted<'_>) -> bool {
    let ordered = if operator.is_ordered() { Ordered::of(node) } else { None };
    let order = |at: usize, fits: fn(Ordering) -> bool| {
        let order_of = |operand: &Operand<'_>| ordered.as_ref().and_then(|value| operand.order_of(value));
        wanted.at(at).iter().any(|operand| order_of(operand).is_some_and(fits))
    };
    let parts = |fits: fn(&str, &str) -> bool| {
        let parts = || wanted.all().filter_map(Operand::part);
        node.and_then(Node::as_str).is_some_and(|text| parts().any(|part| fits(text, part)))
    };
    match operator {
        Operator::Is | Operator::In => wanted.all().any(|operand| operand.equals(node)),
        Operator::Contains | Operator::ContainsAny => parts(|text, part| text.contains(part)),
        Operator::StartsWith => parts(|text, part| text.starts_with(part)),
        Operator::EndsWith => parts(|text, part| text.ends_with(part)),
        Operator::Matches => {
            node.and_then(Node::as_str).is_some_and(|text| wanted.all().any(|operand| operand.matches(text)))
        }
        Operator::Gt | Operator::After => order(0, Ordering::is_gt),
        Operator::Gte => order(0, Ordering::is_ge),
        Operator::Lt | Operator::Before => order(0, Ordering::is_lt),
        Operator::Lte => order(0, Ordering::is_le),
        Operator::Between => order(0, Ordering::is_ge) && order(1, Ordering::is_le),
        _ => false,
    }
}

/// Whether a text has a text in it, or a list a value.
fn contains(node: Option<&Node<'_>>, operand: &Operand<'_>) -> bool {
    let has_part = |node: Option<&Node<'_>>| {
        let text = node.and_then(Node::as_str);
        operand.part().zip(text).is_some_and(|(part, text)| text.contains(part))
    };
    match node.map(|node| &node.value) {
        Some(Json::Array(items)) => items.iter().any(|item| is_member(item, operand) || has_part(Some(item))),
        _ => has_part(node),
    }
}

fn is_member(item: &Node<'_>, operand: &Operand<'_>) -> bool {
    !operand.is_null() && operand.equals(Some(item))
}

/// A text, or the texts of a list, without case.
fn without_case<'e>(node: &Cow<'e, Node<'e>>) -> Cow<'e, Node<'e>> {
    let plain = |node: &Node<'e>| match &node.value {
        Json::String(text) => Node { raw: node.raw, value: Json::String(Cow::Owned(folded(text))) },
        _ => node.clone(),
    };
    match &node.value {
        Json::String(_) => Cow::Owned(plain(node)),
        Json::Array(items) if items.iter().any(|item| item.as_str().is_some()) => {
            Cow::Owned(Node { raw: node.raw, value: Json::Array(items.iter().map(plain).collect()) })
        }
        _ => node.clone(),
    }
}

/// A value, or those of a list; of an empty one itself.
fn each<'e>(node: Option<Cow<'e, Node<'e>>>) -> Vec<Option<Cow<'e, Node<'e>>>> {
    match node {
        Some(Cow::Owned(Node { value: Json::Array(items), .. })) if !items.is_empty() => {
            // Of a list of ids what is none is nothing.
            let is_plain = |item: &Node<'e>| !matches!(item.value, Json::Array(_) | Json::Object(_));
            items.into_iter().filter(is_plain).take(VALUES_MAX).map(|item| Some(Cow::Owned(item))).collect()
        }
        Some(Cow::Borrowed(Node { value: Json::Array(items), .. })) if !items.is_empty() => {
            items.iter().take(VALUES_MAX).map(|item| Some(Cow::Borrowed(item))).collect()
        }
        other => vec![other],
    }
}

/// Whether there is more text than a pattern looks at.
pub fn is_too_much(reached: &[Found<'_>]) -> bool {
    elements(reached).flatten().filter_map(Node::as_str).map(str::len).sum::<usize>() > MATCHED_BYTES_MAX
}

#[cfg(test)]
#[path = "tests/clause.rs"]
mod tests;
