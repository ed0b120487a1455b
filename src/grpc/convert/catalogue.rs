//! Fields of the catalogue.

use crate::{
    domain::{
        automation::catalogue::{Field, FieldOption, FieldType},
        refusal::Violations,
    },
    grpc::pb,
};

/// Every type on the wire.
const TYPES: [(pb::FieldType, FieldType); 21] = [
    (pb::FieldType::Text, FieldType::Text),
    (pb::FieldType::Number, FieldType::Number),
    (pb::FieldType::Boolean, FieldType::Boolean),
    (pb::FieldType::Date, FieldType::Date),
    (pb::FieldType::Time, FieldType::Time),
    (pb::FieldType::Id, FieldType::Id),
    (pb::FieldType::Option, FieldType::Option),
    (pb::FieldType::List, FieldType::List),
    (pb::FieldType::Object, FieldType::Object),
    (pb::FieldType::Varchar, FieldType::Varchar),
    (pb::FieldType::Double, FieldType::Double),
    (pb::FieldType::Monetary, FieldType::Monetary),
    (pb::FieldType::People, FieldType::People),
    (pb::FieldType::Phone, FieldType::Phone),
    (pb::FieldType::TimeOfDay, FieldType::TimeOfDay),
    (pb::FieldType::TimeRange, FieldType::TimeRange),
    (pb::FieldType::DateValue, FieldType::DateValue),
    (pb::FieldType::DateRange, FieldType::DateRange),
    (pb::FieldType::Address, FieldType::Address),
    (pb::FieldType::Enum, FieldType::Enum),
    (pb::FieldType::Set, FieldType::Set),
];

/// A field that a service adds.
pub fn field(at: usize, given: pb::CatalogueField, faults: &mut Violations) -> Option<Field> {
    let kind = TYPES.iter().find(|(wire, _)| i32::from(*wire) == given.r#type).map(|(_, kind)| *kind);
    if kind.is_none() {
        faults.add(format!("fields[{at}].type"), "is required: one of FIELD_TYPE_TEXT to FIELD_TYPE_SET");
    }
    let option = |given: pb::FieldOption| FieldOption { id: given.id, label: given.label };
    let options = given.options.into_iter().map(option).collect();
    let example = Some(given.example_json).filter(|example| !example.is_empty());
    let related = match given.related_object.as_str() {
        "" => None,
        name => Some(faults.take(format!("fields[{at}].related_object"), name.parse())?),
    };
    Some(Field { path: given.path, label: given.label, kind: kind?, options, example, related })
}

/// A field, and whether a service has added it.
pub fn shown(field: Field, added: bool) -> pb::CatalogueField {
    let kind = TYPES.iter().find(|(_, kind)| *kind == field.kind).map_or(0, |(wire, _)| i32::from(*wire));
    let option = |option: FieldOption| pb::FieldOption { id: option.id, label: option.label };
    pb::CatalogueField {
        path: field.path,
        label: field.label,
        r#type: kind,
        options: field.options.into_iter().map(option).collect(),
        added,
        example_json: field.example.unwrap_or_default(),
        related_object: field.related.map(|object| object.to_string()).unwrap_or_default(),
    }
}
