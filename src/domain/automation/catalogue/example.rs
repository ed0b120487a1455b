//! Examples of fields' values, as JSON: for people who choose a field, and for events that nobody has published yet.

use super::{Field, FieldType, builtin};
use crate::domain::{id::NOTICE_OBJECT, json};

/// How large an example may be.
pub const EXAMPLE_BYTES_MAX: usize = 1_024;

/// What built-in fields of a name are like, whatever object they are of.
const NAMED: [(&str, &str); 24] = [
    ("admin_area_level_1", r#""Harju maakond""#),
    ("billing_frequency", r#""monthly""#),
    ("code", r#""C-100""#),
    ("content", r#""A note""#),
    ("currency", r#""EUR""#),
    ("default_currency", r#""EUR""#),
    ("due_time", r#""14:30""#),
    ("duration", r#""01:00""#),
    ("email", r#""sales@example.com""#),
    ("emails", r#"[{"label":"work","value":"sales@example.com","primary":true}]"#),
    ("icon_url", r#""https://example.com/icon.png""#),
    ("label", r#""work""#),
    ("label_ids", "[3,17]"),
    ("locale", r#""en_US""#),
    ("lost_reason", r#""Too expensive""#),
    ("name", r#""Example Ltd""#),
    ("origin", r#""API""#),
    ("phone", r#""+372 600 0000""#),
    ("phones", r#"[{"label":"work","value":"+372 600 0000","primary":true}]"#),
    ("prices", r#"[{"product_id":5,"price":1250.5,"currency":"EUR","cost":900}]"#),
    ("status", r#""open""#),
    ("timezone_name", r#""Europe/Tallinn""#),
    ("title", r#""100 chairs""#),
    ("type", r#""call""#),
];

/// What the fields of the service's own notices are like.
const NOTICES: [(&str, &str); 19] = [
    ("count", "3"),
    ("executions", r#"["ex-01kb1z2n8qf7r8v9w0x1y2z3a4"]"#),
    ("kind", r#""executions_ended""#),
    ("limit", "1000"),
    ("message", r#""3 executions of the automation \"Tell the ERP\" failed: REJECTED.""#),
    ("paused", "0"),
    ("percent", "80"),
    ("reason", r#""REJECTED""#),
    ("source", r#"{"kind":"automation","id":"tell-the-erp","display_name":"Tell the ERP"}"#),
    ("source.display_name", r#""Tell the ERP""#),
    ("source.id", r#""tell-the-erp""#),
    ("source.kind", r#""automation""#),
    ("state", r#""FAILED""#),
    ("until", r#""2026-11-24T08:00:30Z""#),
    ("used", "800"),
    ("webhook", r#"{"kind":"automation","id":"erp","display_name":"The ERP"}"#),
    ("webhook.display_name", r#""The ERP""#),
    ("webhook.id", r#""erp""#),
    ("webhook.kind", r#""automation""#),
];

/// What a value of a type is like.
fn of_type(kind: FieldType) -> &'static str {
    match kind {
        FieldType::Text => r#""A text""#,
        FieldType::Number => "1250.5",
        FieldType::Boolean => "true",
        FieldType::Date => r#""2026-11-24""#,
        FieldType::Time => r#""2026-11-24T08:00:00Z""#,
        FieldType::Id => "8",
        FieldType::Option => "3",
        FieldType::List => "[]",
        FieldType::Object => "{}",
        FieldType::Varchar => r#"{"type":"varchar","value":"A text"}"#,
        FieldType::Double => r#"{"type":"double","value":1250.5}"#,
        FieldType::Monetary => r#"{"type":"monetary","value":1250.5,"currency":"EUR"}"#,
        FieldType::People => r#"{"type":"people","id":8}"#,
        FieldType::Phone => r#"{"type":"phone","value":"+372 600 0000"}"#,
        FieldType::TimeOfDay => r#"{"type":"time","value":"14:30:00","timezone_id":1}"#,
        FieldType::TimeRange => r#"{"type":"timerange","from":"14:30:00","until":"15:30:00","timezone_id":1}"#,
        FieldType::DateValue => r#"{"type":"date","value":"2026-11-24"}"#,
        FieldType::DateRange => r#"{"type":"daterange","from":"2026-11-24","until":"2026-11-27"}"#,
        FieldType::Address => r#"{"type":"address","value":"Example street 1","country":"Estonia"}"#,
        FieldType::Enum => r#"{"type":"enum","id":3}"#,
        FieldType::Set => r#"{"type":"set","values":[{"id":3}]}"#,
    }
}

/// An example of a built-in field's value.
pub fn of_builtin(object: &str, path: &str, kind: FieldType) -> String {
    let named: &[(&str, &str)] = if object == NOTICE_OBJECT { &NOTICES } else { &NAMED };
    let name = if object == NOTICE_OBJECT { path } else { path.rsplit('.').next().unwrap_or(path) };
    let found = named.iter().find(|(known, _)| *known == name).map(|(_, example)| *example);
    // Those of other types that are called alike have their type's.
    let fits = |example: &&str| check(kind, example).is_ok();
    let is_of_lead = matches!((object, path), ("lead", "id") | (_, "lead_id"));
    if is_of_lead && builtin::fields(object).iter().any(|(known, ..)| *known == path) {
        return r#""adf21080-0e10-11eb-879b-05d71fb426ec""#.to_owned();
    }
    found.filter(fits).unwrap_or_else(|| of_type(kind)).to_owned()
}

/// An example of an added field's value: the given one, its first option, or what its type is like.
pub fn of_added(field: &Field) -> String {
    if let Some(given) = &field.example {
        return given.clone();
    }
    let Some(first) = field.options.first() else { return of_type(field.kind).to_owned() };
    let is_number =
        first.id.len() < 16 && first.id.bytes().all(|byte| byte.is_ascii_digit()) && !first.id.starts_with('0');
    let id = if is_number { first.id.clone() } else { serde_json::Value::from(first.id.as_str()).to_string() };
    let example = match field.kind {
        FieldType::Text => serde_json::Value::from(first.id.as_str()).to_string(),
        FieldType::Enum => format!(r#"{{"type":"enum","id":{id}}}"#),
        FieldType::Set => format!(r#"{{"type":"set","values":[{{"id":{id}}}]}}"#),
        FieldType::List => format!("[{id}]"),
        FieldType::Option | FieldType::Id => id,
        _ => String::new(),
    };
    // Whatever is shown can be given.
    if check(field.kind, &example).is_ok() { example } else { of_type(field.kind).to_owned() }
}

/// Why an example is none of a type.
pub fn check(kind: FieldType, example: &str) -> Result<(), String> {
    if example.len() > EXAMPLE_BYTES_MAX {
        return Err(format!("has {} bytes, the limit is {EXAMPLE_BYTES_MAX}", example.len()));
    }
    let node = json::parse(example).map_err(|error| error.to_string())?;
    let wanted = match kind {
        FieldType::Text | FieldType::Date | FieldType::Time => node.as_str().is_some(),
        FieldType::Number => matches!(node.value, json::Json::Number(_)),
        FieldType::Boolean => matches!(node.value, json::Json::Bool(_)),
        FieldType::Id | FieldType::Option => node.as_id().is_some(),
        FieldType::List => matches!(node.value, json::Json::Array(_)),
        _ => matches!(node.value, json::Json::Object(_)),
    };
    if wanted { Ok(()) } else { Err(format!("must be {}, as its type says", kind.word())) }
}

#[cfg(test)]
#[path = "tests/example.rs"]
mod tests;
