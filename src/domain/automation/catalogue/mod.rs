//! The field catalogue: which fields objects have, of what type, and what their options are called. Built-in objects are
//! those of Pipedrive's payloads of version 2; an account adds fields and objects of its own.

mod builtin;
mod example;
mod related;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use self::related::Home;

use crate::domain::{
    id::ObjectName,
    json::{Json, Node},
    path::{FieldPath, Found},
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
pub const LABEL: &str = "label";

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
    pub fn word(self) -> &'static str {
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
    /// An example of its value, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
    /// The object that it is, or that the elements of its list are: everything known of that is known of what is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub related: Option<ObjectName>,
}

/// What is known of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    /// It leads to a value of this type.
    Field(FieldType),
    /// It leads nowhere that is known.
    Nowhere,
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

    /// The fields of an object: the built-in ones and those that were added, whether each is added, and those of the objects
    /// inside of it, in the order of their paths; an added field stands in for a built-in one of the same path.
    pub fn fields(&self, object: &str) -> Vec<(Field, bool)> {
        let mut fields = self.own_fields(object);
        fields.extend(self.related_fields(object).into_iter().map(|field| (field, false)));
        fields.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
        fields
    }

    /// The fields of an object itself.
    fn own_fields(&self, object: &str) -> Vec<(Field, bool)> {
        let added: Vec<_> = self.added_to(object).to_vec();
        let field = |(path, label, kind): &(&str, &str, FieldType)| Field {
            path: (*path).to_owned(),
            label: (*label).to_owned(),
            kind: *kind,
            options: Vec::new(),
            example: Some(example::of_builtin(object, path, *kind)),
            related: None,
        };
        let mut fields: Vec<_> = (builtin::fields(object).iter().map(field))
            .filter(|field| added.iter().all(|added| added.path != field.path))
            .map(|field| (field, false))
            .collect();
        let with_example = |field: Field| (Field { example: Some(example::of_added(&field)), ..field }, true);
        fields.extend(added.into_iter().map(with_example));
        fields
    }

    /// What was added to an object.
    pub fn added_to(&self, object: &str) -> &[Field] {
        let found = self.added.iter().find(|(name, _)| name.as_str() == object);
        found.map(|(_, fields)| fields.as_slice()).unwrap_or_default()
    }

    fn look_up(&self, object: &str, path: &FieldPath) -> Known {
        let Home { object, ref path, .. } = self.home(object, path);
        let added = self.added_to(object);
        let builtin = builtin::fields(object);
        if path.steps().is_empty() || added.is_empty() && builtin.is_empty() {
            return Known::Nothing;
        }
        let name = path.named();
        let of_added = added.iter().map(|field| (field.path.as_str(), field.kind));
        let all: Vec<(&str, FieldType)> =
            of_added.chain(builtin.iter().map(|(path, _, kind)| (*path, *kind))).collect();
        for (known, kind) in &all {
            if name == *known {
                return Known::Field(*kind);
            }
            let Some(rest) = inside(&name, known) else { continue };
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
            let is_open = matches!(kind, FieldType::Object | FieldType::List);
            is_open && inside(&name, known).is_some() && all.iter().all(|(other, _)| inside(other, known).is_none())
        };
        if all.iter().any(|known| known.0 != "custom_fields" && is_within(known)) {
            return Known::Nothing;
        }
        // The keys of custom fields are an account's own: only those that were added are known.
        let is_custom = inside(&name, "custom_fields").is_some()
            && added.iter().all(|field| name != field.path && inside(&name, &field.path).is_none());
        if is_custom {
            return Known::Nothing;
        }
        Known::Nowhere
    }

    /// The known field that is called most like a path, where one is.
    fn nearest(&self, object: &str, path: &FieldPath) -> Option<String> {
        let name = path.named();
        let of_added = self.added_to(object).iter().map(|field| (field.path.as_str(), field.kind));
        let all: Vec<_> =
            of_added.chain(builtin::fields(object).iter().map(|(path, _, kind)| (*path, *kind))).collect();
        let parts =
            all.iter().flat_map(|(known, kind)| kind.parts().iter().map(move |(part, _)| format!("{known}.{part}")));
        let most = name.len().div_ceil(2);
        let candidates = all.iter().map(|(known, _)| (*known).to_owned()).chain(parts);
        let candidates = candidates.filter(|known| known.len().abs_diff(name.len()) <= most);
        let nearest = candidates.min_by_key(|known| strsim::levenshtein(known, &name));
        nearest.filter(|known| strsim::levenshtein(known, &name) <= most)
    }

    /// What a reader should know of a field that an automation names: that it is not known, and what may be meant.
    pub fn warning(&self, object: &str, path: &FieldPath) -> Option<String> {
        if !matches!(self.look_up(object, path), Known::Nowhere) {
            return None;
        }
        let home = self.home(object, path);
        let nearest = self.nearest(home.object, &home.path);
        let meant = nearest.map(|nearest| format!(": is {}{nearest} meant?", home.prefix)).unwrap_or_default();
        Some(format!("{object} has no field {path} that is known{meant}"))
    }

    /// What type of value a path leads to, where that is known.
    pub fn type_of(&self, object: &str, path: &FieldPath) -> Option<FieldType> {
        let Home { object, ref path, .. } = self.home(object, path);
        match self.look_up(object, path) {
            // Nothing is known of a list's elements.
            Known::Field(FieldType::List) if path.has_index() => None,
            // The ids of leads are texts, those of everything else that is built in are numbers.
            Known::Field(FieldType::Id) if self.added_to(object).iter().any(|field| field.path == path.named()) => None,
            Known::Field(FieldType::Id) => {
                let is_of_lead = (object, path.named().as_str()) == ("lead", "id") || path.named() == "lead_id";
                Some(if is_of_lead { FieldType::Text } else { FieldType::Id })
            }
            Known::Field(kind) => Some(kind),
            Known::Nowhere | Known::Nothing => None,
        }
    }

    /// A member that the elements of a known list have, where they are objects and the path leads to the list or one of them.
    pub fn member_of_elements(&self, object: &str, path: &FieldPath) -> Option<String> {
        let Home { object, ref path, .. } = self.home(object, path);
        let name = path.named();
        let of_added = self.added_to(object).iter().map(|field| (field.path.as_str(), field.kind));
        let all: Vec<_> =
            of_added.chain(builtin::fields(object).iter().map(|(path, _, kind)| (*path, *kind))).collect();
        let is_of_set = |known: &str| name.strip_prefix(known) == Some(".values");
        if all.iter().any(|(known, kind)| *kind == FieldType::Set && is_of_set(known)) {
            return Some("id".to_owned());
        }
        all.iter().find(|(known, kind)| *kind == FieldType::List && name == *known)?;
        let members = all.iter().filter_map(|(known, _)| known.strip_prefix(&name)?.strip_prefix('.'));
        members.max_by_key(|member| *member == "value").map(ToOwned::to_owned)
    }

    /// Whether a path leads to a known list, or through one without saying which element.
    pub fn is_through_list(&self, object: &str, path: &FieldPath) -> bool {
        let name = path.named();
        let of_added = self.added_to(object).iter().map(|field| (field.path.as_str(), field.kind));
        let mut all = of_added.chain(builtin::fields(object).iter().map(|(path, _, kind)| (*path, *kind)));
        let is_list = |(known, kind): (&str, FieldType)| match kind {
            FieldType::List => name == known || inside(&name, known).is_some_and(|rest| rest != LABEL),
            FieldType::Set => inside(&name, known).is_some_and(|rest| rest != LABEL),
            _ => false,
        };
        if !path.has_index() && all.any(is_list) {
            return true;
        }
        let home = self.home(object, path);
        !home.prefix.is_empty() && !path.has_index() && self.is_through_list(home.object, &home.path)
    }

    /// The options of the field that a path leads to or into, and whether it leads to their labels.
    pub fn options<'c>(&'c self, object: &'c str, path: &FieldPath) -> Option<(&'c [FieldOption], bool)> {
        let Home { object, ref path, .. } = self.home(object, path);
        if let Some(field) = path.without_last(LABEL).and_then(|path| self.field_with_options(object, &path)) {
            return Some((&field.options, true));
        }
        let of_part = ["id", "values.id", "values"].iter().filter_map(|part| {
            let field = path.named();
            let field = field.strip_suffix(part)?.strip_suffix('.')?;
            self.field_with_options(object, &FieldPath::parse(field).ok()?)
        });
        let field = self.field_with_options(object, path).or_else(|| of_part.into_iter().next())?;
        Some((&field.options, false))
    }

    /// Whether a field has options.
    pub fn has_options(&self, object: &str, path: &FieldPath) -> bool {
        self.field_with_options(object, path).is_some()
    }

    fn field_with_options<'c>(&'c self, object: &'c str, path: &FieldPath) -> Option<&'c Field> {
        if self.added.is_empty() {
            return None;
        }
        let Home { object, ref path, .. } = self.home(object, path);
        let added = self.added_to(object);
        let name = path.named();
        added.iter().find(|field| field.path == name && !field.options.is_empty())
    }

    /// What the options are called that are chosen in a field; none where it has no options. An option without a label here
    /// is called by its id.
    pub fn labels<'c>(&'c self, object: &'c str, path: &FieldPath, data: &'c Node<'_>) -> Option<Vec<&'c str>> {
        let field = self.field_with_options(object, path)?;
        let chosen: Vec<_> = match path.find(data) {
            Found::Nothing => Vec::new(),
            Found::One(node) => ids(node),
            Found::Each(nodes) => nodes.into_iter().flatten().flat_map(ids).collect(),
        };
        let by_id: HashMap<_, _> = match chosen.is_empty() {
            true => HashMap::new(),
            false => field.options.iter().map(|option| (option.id.as_str(), option.label.as_str())).collect(),
        };
        let label = |id: &'c str| by_id.get(id).copied().unwrap_or(id);
        Some(chosen.into_iter().map(label).collect())
    }

    /// The label of the option that a path ending in `label` asks for, where the field before it has options; labels of
    /// several options are joined by commas.
    pub fn label(&self, object: &str, path: &FieldPath, data: &Node<'_>) -> Option<String> {
        let labels = self.labels(object, &path.without_last(LABEL)?, data)?;
        (!labels.is_empty()).then(|| labels.join(", "))
    }
}

/// The rest of a path that leads into a field.
fn inside<'p>(path: &'p str, field: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(field)?;
    rest.strip_prefix('.').or_else(|| rest.starts_with('[').then_some(rest))
}

/// The ids of the options that a value stands for: its own, that of an object, or those of a list.
fn ids<'n>(node: &'n Node<'_>) -> Vec<&'n str> {
    match &node.value {
        Json::Number(digits) => vec![digits],
        Json::String(text) => vec![text],
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
            Ok(path) if path.has_index() => faults.add(format!("{at}.path"), "must not have an index"),
            Ok(path) if path.named() != field.path => {
                faults.add(format!("{at}.path"), format!("write it as {}", path.named()));
            }
            Ok(_) => {}
            Err((offset, message)) => faults.add(format!("{at}.path"), format!("{message} at column {}", offset + 1)),
        }
        if fields[..index].iter().any(|other| other.path == field.path) {
            faults.add(format!("{at}.path"), format!("{:?} is given twice", field.path));
        }
        if !is_short(&field.label) {
            faults.add(format!("{at}.label"), wanted.clone());
        }
        if field.related.is_some() && !matches!(field.kind, FieldType::Object | FieldType::List) {
            faults.add(format!("{at}.related_object"), "is for FIELD_TYPE_OBJECT and FIELD_TYPE_LIST");
        }
        if let Some(Err(message)) = field.example.as_ref().map(|given| example::check(field.kind, given)) {
            faults.add(format!("{at}.example_json"), message);
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
#[path = "tests/catalogue.rs"]
mod tests;
