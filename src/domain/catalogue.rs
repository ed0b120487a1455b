//! The field catalogue: which fields objects have, of what type, and what their options are called. Built-in objects are
//! those of Pipedrive's payloads of version 2; an account adds fields and objects of its own.

mod builtin;

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    condition::{GroupSpec, Match, MemberSpec, Operator, Scalar},
    id::ObjectName,
    json::{Json, Node},
    path::FieldPath,
    refusal::Violations,
};

/// How many objects an account may add fields to.
pub const OBJECTS_MAX: usize = 100;
/// How many fields an account may add to an object.
pub const FIELDS_MAX: usize = 500;
/// How many options a field may have.
pub const OPTIONS_MAX: usize = 500;
/// How long a label, or an option's id, may be.
pub const LABEL_CHARS_MAX: usize = 255;
/// The last step of a path that asks for the label of an option.
const LABEL: &str = "label";

/// What kind of value a field has. Those from `Varchar` on are the types of custom fields: objects with parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the wire documents each type")]
pub enum FieldType {
    Text,
    Number,
    Boolean,
    Date,
    Time,
    Id,
    Option,
    List,
    Object,
    Varchar,
    Double,
    Monetary,
    People,
    Phone,
    TimeOfDay,
    TimeRange,
    DateValue,
    DateRange,
    Address,
    Enum,
    Set,
}

impl FieldType {
    /// The parts of a custom field of this type, and their types; none for plain values.
    pub fn parts(self) -> &'static [(&'static str, FieldType)] {
        use FieldType as T;
        match self {
            T::Varchar | T::Phone => &[("value", T::Text)],
            T::Double => &[("value", T::Number)],
            T::Monetary => &[("value", T::Number), ("currency", T::Text)],
            T::People => &[("id", T::Id)],
            T::TimeOfDay => &[("value", T::Text), ("timezone_id", T::Id)],
            T::TimeRange => &[("from", T::Text), ("until", T::Text), ("timezone_id", T::Id)],
            T::DateValue => &[("value", T::Date)],
            T::DateRange => &[("from", T::Date), ("until", T::Date)],
            T::Address => &builtin::ADDRESS,
            T::Enum => &[("id", T::Option)],
            T::Set => &[("values", T::List), ("values.id", T::Option)],
            _ => &[],
        }
    }

    /// In words.
    fn word(self) -> &'static str {
        match self {
            FieldType::Text => "a text",
            FieldType::Number => "a number",
            FieldType::Boolean => "a boolean",
            FieldType::Date => "a date",
            FieldType::Time => "a time",
            FieldType::Id | FieldType::Option => "an id",
            FieldType::List => "a list",
            _ => "an object",
        }
    }

    /// Whether an operator with these values can ever hold for a value of this type. Refusing wrongly is worse than
    /// letting something useless pass: negations hold wherever their twins do not, and null is a value of every type.
    fn fits(self, operator: Operator, values: &[Scalar]) -> bool {
        use Operator as O;
        let is_negative = matches!(operator, O::IsNot | O::NotIn | O::NotContains);
        let is_of_presence = matches!(operator, O::Changed | O::IsEmpty | O::IsNotEmpty);
        if is_negative || is_of_presence || values.contains(&Scalar::Null) {
            return true;
        }
        let is_ordered = matches!(operator, O::Gt | O::Gte | O::Lt | O::Lte | O::Between);
        let is_moment = matches!(operator, O::Before | O::After);
        let is_of_text = matches!(operator, O::StartsWith | O::EndsWith | O::Contains);
        let has_numbers = values.iter().any(|value| matches!(value, Scalar::Number(_)));
        match self {
            // A text may hold a date, but never a number: types are strict.
            FieldType::Text => !(is_ordered && has_numbers),
            FieldType::Number => !is_moment && !is_of_text && (!is_ordered || has_numbers),
            FieldType::Boolean => !is_ordered && !is_moment && !is_of_text,
            FieldType::Date | FieldType::Time | FieldType::Id | FieldType::Option | FieldType::List => true,
            _ => false,
        }
    }
}

/// One choice of a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldOption {
    /// Its id, as text.
    pub id: String,
    /// What people call it.
    pub label: String,
}

/// A field of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its path in the data, such as `title` or `custom_fields.<key>`.
    pub path: String,
    /// What people call it.
    pub label: String,
    /// What kind of value it has.
    #[serde(rename = "type")]
    pub kind: FieldType,
    /// Its choices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<FieldOption>,
}

/// What is known of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    /// It leads to a value of this type.
    Field(FieldType),
    /// It leads nowhere that is known; this name is the nearest.
    Nowhere(Option<String>),
    /// Nothing is known of this object, or of this part of it.
    Nothing,
}

/// What an account has added, by object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalogue {
    added: BTreeMap<ObjectName, Arc<Vec<Field>>>,
}

impl Catalogue {
    /// What an account has added.
    pub fn new(added: BTreeMap<ObjectName, Arc<Vec<Field>>>) -> Self {
        Self { added }
    }

    /// Replaces what is added to an object; nothing takes it away.
    pub fn set(&mut self, object: ObjectName, fields: Arc<Vec<Field>>) {
        if fields.is_empty() {
            self.added.remove(&object);
        } else {
            self.added.insert(object, fields);
        }
    }

    /// How many objects have fields that were added.
    pub fn added_objects(&self) -> usize {
        self.added.len()
    }

    /// Every object that has known fields.
    pub fn objects(&self) -> Vec<String> {
        let builtin = builtin::OBJECTS.iter().map(|(object, _)| (*object).to_owned());
        let mut objects: Vec<_> = builtin.chain(self.added.keys().map(ToString::to_string)).collect();
        objects.sort();
        objects.dedup();
        objects
    }

    /// The fields of an object: the built-in ones and those that were added, whether each is added, in the order of their
    /// paths; an added field stands in for a built-in one of the same path.
    pub fn fields(&self, object: &str) -> Vec<(Field, bool)> {
        let added: Vec<_> = self.added_to(object).to_vec();
        let field = |(path, label, kind): &(&str, &str, FieldType)| Field {
            path: (*path).to_owned(),
            label: (*label).to_owned(),
            kind: *kind,
            options: Vec::new(),
        };
        let mut fields: Vec<_> = (builtin::fields(object).iter().map(field))
            .filter(|field| added.iter().all(|added| added.path != field.path))
            .map(|field| (field, false))
            .collect();
        fields.extend(added.into_iter().map(|field| (field, true)));
        fields.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
        fields
    }

    /// What was added to an object.
    pub fn added_to(&self, object: &str) -> &[Field] {
        let found = self.added.iter().find(|(name, _)| name.as_str() == object);
        found.map(|(_, fields)| fields.as_slice()).unwrap_or_default()
    }

    fn look_up(&self, object: &str, path: &FieldPath) -> Known {
        let added = self.added_to(object);
        let builtin = builtin::fields(object);
        if path.steps().is_empty() || added.is_empty() && builtin.is_empty() {
            return Known::Nothing;
        }
        let names = path.names();
        let of_added = added.iter().map(|field| (field.path.as_str(), field.kind));
        let all: Vec<(&str, FieldType)> =
            of_added.chain(builtin.iter().map(|(path, _, kind)| (*path, *kind))).collect();
        for (known, kind) in &all {
            if names == *known {
                return Known::Field(*kind);
            }
            let Some(rest) = names.strip_prefix(known).and_then(|rest| rest.strip_prefix('.')) else { continue };
            if let Some((_, kind)) = kind.parts().iter().find(|(part, _)| *part == rest) {
                return Known::Field(*kind);
            }
            let has_options = matches!(kind, FieldType::Enum | FieldType::Set | FieldType::Option | FieldType::List);
            if rest == LABEL && has_options {
                return Known::Field(FieldType::Text);
            }
        }
        // Of what is in an object or a list without known parts nothing is known.
        let is_within = |(known, kind): &(&str, FieldType)| {
            let inside = names.strip_prefix(known).is_some_and(|rest| rest.starts_with('.'));
            let is_open = matches!(kind, FieldType::Object | FieldType::List);
            inside && is_open && all.iter().all(|(other, _)| !other.starts_with(&format!("{known}.")))
        };
        if all.iter().any(|known| known.0 != "custom_fields" && is_within(known)) {
            return Known::Nothing;
        }
        // The keys of custom fields are an account's own: only those that were added are known.
        let is_custom = names.strip_prefix("custom_fields.").is_some_and(|rest| {
            let key = rest.split('.').next().unwrap_or_default();
            added.iter().all(|field| field.path != format!("custom_fields.{key}"))
        });
        if is_custom {
            return Known::Nothing;
        }
        let parts =
            all.iter().flat_map(|(known, kind)| kind.parts().iter().map(move |(part, _)| format!("{known}.{part}")));
        let most = names.len().div_ceil(2);
        let candidates = all.iter().map(|(known, _)| (*known).to_owned()).chain(parts);
        let candidates = candidates.filter(|known| known.len().abs_diff(names.len()) <= most);
        let nearest = candidates.min_by_key(|known| strsim::levenshtein(known, &names));
        let is_near = |known: &String| strsim::levenshtein(known, &names) <= most;
        Known::Nowhere(nearest.filter(is_near))
    }

    /// What a reader should know of a field that an automation names: that it is not known, and what may be meant.
    pub fn warning(&self, object: &str, path: &FieldPath) -> Option<String> {
        match self.look_up(object, path) {
            Known::Nowhere(Some(nearest)) => {
                Some(format!("{object} has no field {path} that is known: is {nearest} meant?"))
            }
            Known::Nowhere(None) => Some(format!("{object} has no field {path} that is known")),
            Known::Field(_) | Known::Nothing => None,
        }
    }

    /// Refuses operators that can never hold for the type of a known field, where everything must hold.
    pub fn check(&self, object: &str, group: &GroupSpec, at: &str, faults: &mut Violations) {
        if group.how != Match::All {
            return;
        }
        for (index, member) in group.conditions.iter().enumerate() {
            let at = format!("{at}.conditions[{index}]");
            match member {
                MemberSpec::Group(group) => self.check(object, group, &format!("{at}.group"), faults),
                MemberSpec::Clause(clause) => {
                    let Ok(path) = FieldPath::parse(&clause.field) else { continue };
                    if let Known::Field(kind) = self.look_up(object, &path)
                        && !kind.fits(clause.operator, &clause.values)
                    {
                        let (operator, what) = (clause.operator.word(), kind.word());
                        let parts: Vec<_> = kind.parts().iter().map(|(part, _)| format!("{path}.{part}")).collect();
                        let remedy = if parts.is_empty() {
                            "use an operator for its type".to_owned()
                        } else {
                            format!("compare a part of it: {}", parts.join(", "))
                        };
                        let message = format!("{operator} never holds for {path}, which is {what}: {remedy}");
                        faults.add(format!("{at}.clause.operator"), message);
                    }
                }
            }
        }
    }

    /// The label of the option that a path ending in `label` asks for, where the field before it has options; labels of
    /// several options are joined by commas.
    pub fn label(&self, object: &str, path: &FieldPath, data: &Node<'_>) -> Option<String> {
        let field_path = path.without_last(LABEL)?;
        let names = field_path.names();
        let field = self.added_to(object).iter().find(|field| field.path == names && !field.options.is_empty())?;
        let chosen = ids(field_path.find(data)?);
        if chosen.is_empty() {
            return None;
        }
        let labels = chosen.into_iter().map(|id| {
            let option = field.options.iter().find(|option| option.id == id);
            option.map_or(id, |option| option.label.clone())
        });
        Some(labels.collect::<Vec<_>>().join(", "))
    }
}

/// The ids of the options that a value stands for: its own, that of an object, or those of a list.
fn ids(node: &Node<'_>) -> Vec<String> {
    match &node.value {
        Json::Number(digits) => vec![(*digits).to_owned()],
        Json::String(text) => vec![text.to_string()],
        Json::Array(items) => items.iter().flat_map(ids).collect(),
        Json::Object(_) => node.get("id").or_else(|| node.get("values")).map(ids).unwrap_or_default(),
        Json::Null | Json::Bool(_) => Vec::new(),
    }
}

/// Checks fields that are to be added to an object.
pub fn check_fields(fields: &[Field], faults: &mut Violations) {
    if fields.len() > FIELDS_MAX {
        faults.add("fields", format!("at most {FIELDS_MAX} fields, {} given", fields.len()));
        return;
    }
    let is_short = |text: &str| {
        let length = text.chars().count();
        (1..=LABEL_CHARS_MAX).contains(&length) && !text.chars().any(char::is_control)
    };
    let wanted = format!("must be 1 to {LABEL_CHARS_MAX} characters without control characters");
    for (index, field) in fields.iter().enumerate() {
        let at = format!("fields[{index}]");
        match FieldPath::parse(&field.path) {
            Ok(path) if path.names() != field.path => faults.add(format!("{at}.path"), "must not have an index"),
            Ok(_) => {}
            Err((offset, message)) => faults.add(format!("{at}.path"), format!("{message} at column {}", offset + 1)),
        }
        if fields[..index].iter().any(|other| other.path == field.path) {
            faults.add(format!("{at}.path"), format!("{:?} is given twice", field.path));
        }
        if !is_short(&field.label) {
            faults.add(format!("{at}.label"), wanted.clone());
        }
        if field.options.len() > OPTIONS_MAX {
            faults.add(format!("{at}.options"), format!("at most {OPTIONS_MAX} options"));
        }
        for (number, option) in field.options.iter().enumerate() {
            if !is_short(&option.id) || !is_short(&option.label) {
                faults.add(format!("{at}.options[{number}]"), format!("id and label {wanted}"));
            }
            if field.options[..number].iter().any(|other| other.id == option.id) {
                faults.add(format!("{at}.options[{number}].id"), format!("{:?} is given twice", option.id));
            }
        }
    }
}

#[cfg(test)]
#[path = "catalogue_tests.rs"]
mod tests;
