//! What a path between double braces stands for.

use std::borrow::Cow;

use super::{
    catalogue::{Catalogue, LABEL},
    event_field::{EVENT, EventField},
    value::Value,
};
use crate::domain::{
    event::Event,
    id::{AccountId, ExecutionUid, ObjectName},
    json::Node,
    path::{FieldPath, Found, PathStep},
};

/// What placeholders stand for in one execution.
#[derive(Clone, Copy)]
pub struct Scope<'e> {
    /// The event.
    pub event: &'e Event,
    /// The event's data.
    pub data: &'e Node<'e>,
    /// The event's old values.
    pub previous: Option<&'e Node<'e>>,
    /// The account.
    pub account: &'e AccountId,
    /// The automation's display name.
    pub automation_name: &'e str,
    /// The execution.
    pub execution: ExecutionUid,
    /// What options are called.
    pub catalogue: &'e Catalogue,
}

/// The first words of placeholders that are not those of an object.
pub const ROOTS: [&str; 5] = ["previous", "event", "account", "automation", "execution"];

/// What begins a placeholder of one of [`ROOTS`], also where the object has the same name.
const OWN: char = '$';

/// What a path between double braces stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the language documents each")]
pub enum Reference {
    Data(FieldPath),
    Previous(FieldPath),
    Event(EventField),
    AccountId,
    AutomationName,
    ExecutionId,
}

impl Reference {
    /// Reads a path. The error has the byte at fault.
    pub fn parse(text: &str, object: &ObjectName) -> Result<Self, (usize, String)> {
        let (path, is_own) = match text.strip_prefix(OWN) {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let indent = text.len() - path.len();
        let path = FieldPath::parse(path).map_err(|(at, message)| (at + indent, message))?;
        source(&path, object, is_own).map_err(|message| (indent, message))
    }

    /// The field of the object that it stands for.
    pub fn field(&self) -> Option<&FieldPath> {
        match self {
            Reference::Data(path) | Reference::Previous(path) => Some(path),
            _ => None,
        }
    }

    /// The label of the option that it stands for; nothing where it is no field of the object.
    pub fn label(self) -> Option<Self> {
        match self {
            Reference::Data(path) if !path.steps().is_empty() => Some(Reference::Data(path.with(LABEL))),
            Reference::Previous(path) if !path.steps().is_empty() => Some(Reference::Previous(path.with(LABEL))),
            _ => None,
        }
    }

    /// What it stands for.
    pub fn value<'e>(&self, scope: Scope<'e>) -> Value<'e> {
        let text = |text: &'e str| Value::Text(Cow::Borrowed(text));
        match self {
            Reference::Data(path) => value_of(path, scope.data, scope),
            Reference::Previous(path) => scope.previous.map_or(Value::Null, |previous| value_of(path, previous, scope)),
            Reference::Event(field) => field.value(scope.event),
            Reference::AccountId => text(scope.account.as_str()),
            Reference::AutomationName => text(scope.automation_name),
            Reference::ExecutionId => Value::Text(Cow::Owned(scope.execution.to_string())),
        }
    }
}

/// What a path stands for. Where the object has the name of one of [`ROOTS`], it is meant, unless our own is asked for.
fn source(path: &FieldPath, object: &ObjectName, is_own: bool) -> Result<Reference, String> {
    let (root, rest) = path.split_root();
    if root == object.as_str() && !is_own {
        return Ok(Reference::Data(rest));
    }
    let member = match rest.steps() {
        [PathStep::Key(member)] => member.as_str(),
        _ => "",
    };
    Ok(match (root, member) {
        ("previous", _) => Reference::Previous(rest),
        (EVENT, _) => {
            let field = EventField::of(rest.steps());
            Reference::Event(field.ok_or_else(|| format!("event has {}", EventField::names()))?)
        }
        ("account", "id") => Reference::AccountId,
        ("automation", "name") => Reference::AutomationName,
        ("execution", "id") => Reference::ExecutionId,
        ("account", _) => return Err("account has id".into()),
        ("automation", _) => return Err("automation has name".into()),
        ("execution", _) => return Err("execution has id".into()),
        _ => {
            let start = if is_own { String::new() } else { format!("{object} (the trigger's object), ") };
            let roots = "previous, event, account, automation or execution";
            return Err(format!("{root:?} is not known here: start with {start}{roots}"));
        }
    })
}

/// What a path leads to in data; where that is nothing, the label of an option that it asks for.
fn value_of<'e>(path: &FieldPath, data: &'e Node<'e>, scope: Scope<'e>) -> Value<'e> {
    match path.find(data) {
        Found::One(node) => Value::Json(node),
        Found::Each(found) if found.is_empty() || found.iter().any(Option::is_some) => list(found),
        found => match scope.catalogue.label(scope.event.object.as_str(), path, data) {
            Some(label) => Value::Text(Cow::Owned(label)),
            None => match found {
                Found::Each(found) => list(found),
                _ => Value::Null,
            },
        },
    }
}

fn list<'e>(found: Vec<Option<&'e Node<'e>>>) -> Value<'e> {
    Value::Each(found.into_iter().map(|node| node.map_or(Value::Null, Value::Json)).collect())
}
