//! Filters of lists.

use std::{borrow::Cow, cmp::Ordering, collections::HashSet};

use super::{
    super::value::{Value, quoted_into},
    ITEMS_MAX, TEXT_BYTES_MAX, number,
    text::{self, range},
};
use crate::domain::{
    decimal::{Decimal, are_equal},
    json::{Json, Node},
    path::{FieldPath, Found},
};

/// The values of a list.
pub fn of<'e>(value: &Value<'e>) -> Result<Vec<Value<'e>>, String> {
    let items = value.items().ok_or_else(|| format!("takes a list, not {}", value.word()))?;
    if items.len() > ITEMS_MAX { Err(format!("takes at most {ITEMS_MAX} values")) } else { Ok(items) }
}

/// How many values a list has, or characters a text.
pub fn size<'e>(value: &Value<'_>) -> Result<Value<'e>, String> {
    let size = match (value.items(), value.text()) {
        (Some(items), _) => items.len(),
        (None, Some(text)) => text.chars().count(),
        (None, None) => return Err(format!("takes a list or a text, not {}", value.word())),
    };
    Ok(Value::Number(size.to_string().into()))
}

/// A part of a list, or of a text.
pub fn sliced<'e>(value: &Value<'e>, arguments: &[Value<'_>]) -> Result<Value<'e>, String> {
    let Some(items) = value.items() else { return text::sliced(value, arguments) };
    let range = range(items.len(), arguments)?;
    Ok(Value::List(items[range].to_vec()))
}

/// All of them as one text, with a space or another text between them.
pub fn joined<'e>(value: &Value<'_>, arguments: &[Value<'_>]) -> Result<Value<'e>, String> {
    let items = of(value)?;
    let by = arguments.first().map(text::of).transpose()?.unwrap_or(Cow::Borrowed(" "));
    let mut joined = String::new();
    for (at, item) in items.iter().enumerate() {
        joined.push_str(if at == 0 { "" } else { &by });
        joined.push_str(&item.as_text());
        if joined.len() > TEXT_BYTES_MAX {
            return Err(format!("makes more than {TEXT_BYTES_MAX} bytes of text"));
        }
    }
    Ok(Value::Text(joined.into()))
}

/// Each value once.
pub fn uniq(items: Vec<Value<'_>>) -> Value<'_> {
    let mut seen = HashSet::new();
    let is_new = |item: &Value<'_>| {
        let key = match item.number().and_then(Decimal::parse) {
            Some(number) => Err(number),
            None => {
                let mut json = String::new();
                match item.text() {
                    // However it is escaped.
                    Some(text) => quoted_into(text, &mut json),
                    None => item.typed_into(&mut json),
                }
                Ok(json)
            }
        };
        seen.insert(key)
    };
    let mut is_new = is_new;
    Value::List(items.into_iter().filter(|item| is_new(item)).collect())
}

/// What a path leads to in a value.
fn member<'e>(value: &Value<'e>, path: Option<&FieldPath>) -> Value<'e> {
    let Some(path) = path else { return value.clone() };
    let Value::Json(node @ Node { value: Json::Object(_), .. }) = value else { return Value::Null };
    match path.find(node) {
        Found::Nothing => Value::Null,
        Found::One(found) => Value::Json(found),
        Found::Each(found) => {
            Value::Each(found.into_iter().map(|found| found.map_or(Value::Null, Value::Json)).collect())
        }
    }
}

/// A member of each.
pub fn mapped<'e>(items: &[Value<'e>], path: Option<&FieldPath>) -> Value<'e> {
    Value::List(items.iter().map(|item| member(item, path)).collect())
}

/// Those with a member that is a value; without one those whose member is neither nothing nor false.
pub fn filtered<'e>(
    items: Vec<Value<'e>>,
    path: Option<&FieldPath>,
    wanted: Option<&Value<'_>>,
) -> Result<Value<'e>, String> {
    if let Some(wanted) = wanted
        && !is_plain(wanted)
    {
        return Err(format!("compares with a text, a number, a boolean or null, not {}", wanted.word()));
    }
    let fits = |item: &Value<'e>| {
        let found = member(item, path);
        match wanted {
            Some(wanted) => is_same(&found, wanted),
            None => !found.is_null() && found.boolean() != Some(false),
        }
    };
    Ok(Value::List(items.into_iter().filter(fits).collect()))
}

fn is_plain(value: &Value<'_>) -> bool {
    value.is_null() || value.text().is_some() || value.number().is_some() || value.boolean().is_some()
}

fn is_same(a: &Value<'_>, b: &Value<'_>) -> bool {
    match (a.number(), b.number()) {
        (Some(a), Some(b)) => are_equal(a, b),
        (None, None) => is_plain(a) && a.text() == b.text() && a.boolean() == b.boolean() && a.is_null() == b.is_null(),
        _ => false,
    }
}

/// In order, by a member where one is named: numbers or texts, and nothing comes last.
pub fn sorted<'e>(items: Vec<Value<'e>>, path: Option<&FieldPath>) -> Result<Value<'e>, String> {
    enum Key {
        Number(Decimal),
        Text(String),
        Nothing,
    }
    let key = |item: &Value<'e>| {
        let found = member(item, path);
        match (found.number().and_then(Decimal::parse), found.text()) {
            (Some(number), _) => Ok(Key::Number(number)),
            (None, Some(text)) => Ok(Key::Text(text.to_owned())),
            (None, None) if found.is_null() => Ok(Key::Nothing),
            (None, None) => Err(format!("orders numbers or texts, not {}", found.word())),
        }
    };
    let mut keyed = items.into_iter().map(|item| Ok((key(&item)?, item))).collect::<Result<Vec<_>, String>>()?;
    let numbers = keyed.iter().filter(|(key, _)| matches!(key, Key::Number(_))).count();
    let texts = keyed.iter().filter(|(key, _)| matches!(key, Key::Text(_))).count();
    if numbers > 0 && texts > 0 {
        return Err("orders numbers or texts, not both together".to_owned());
    }
    keyed.sort_by(|(a, _), (b, _)| match (a, b) {
        (Key::Number(a), Key::Number(b)) => a.cmp(b),
        (Key::Text(a), Key::Text(b)) => a.cmp(b),
        (Key::Nothing, Key::Nothing) => Ordering::Equal,
        (Key::Nothing, _) => Ordering::Greater,
        _ => Ordering::Less,
    });
    Ok(Value::List(keyed.into_iter().map(|(_, item)| item).collect()))
}

/// All numbers together, or those of a member; nothing counts as 0.
pub fn sum<'e>(items: &[Value<'e>], path: Option<&FieldPath>) -> Result<Value<'e>, String> {
    let found = items.iter().map(|item| member(item, path)).filter(|found| !found.is_null());
    number::sum(found)
}
