//! Whether values are the same, and what of them is nothing.

use std::{borrow::Cow, cmp::Ordering};

use super::subject::{Found, Reached};
use crate::domain::{
    decimal::are_equal,
    json::{Json, Node},
    timestamp::parse_instant,
};

/// The elements of what was reached: those of its arrays, and every other value itself; so is an empty array.
pub fn elements<'r>(reached: &'r [Found<'_>]) -> impl Iterator<Item = Option<&'r Node<'r>>> {
    reached.iter().flat_map(|node| match node.as_deref() {
        Some(Node { value: Json::Array(items), .. }) if !items.is_empty() => items.iter().map(Some).collect(),
        other => vec![other],
    })
}

/// Whether what was reached before and now is not the same.
pub fn differ(before: &Reached<'_>, now: &Reached<'_>) -> bool {
    let is_nothing = |reached: &Reached<'_>| reached.iter().flatten().all(|node| node.is_null());
    if is_nothing(before) && is_nothing(now) {
        return false;
    }
    before.len() != now.len() || before.iter().zip(now).any(|(a, b)| !same(a.as_deref(), b.as_deref()))
}

pub fn is_empty(node: Option<&Node<'_>>) -> bool {
    match node.map(|node| &node.value) {
        None | Some(Json::Null) => true,
        Some(Json::String(text)) => text.is_empty(),
        Some(Json::Array(items)) => items.is_empty(),
        Some(Json::Object(members)) => members.is_empty(),
        Some(Json::Bool(_) | Json::Number(_)) => false,
    }
}

/// Whether two values are the same: numbers by value, times as instants, objects whatever the order, absent as null.
pub fn same(a: Option<&Node<'_>>, b: Option<&Node<'_>>) -> bool {
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
