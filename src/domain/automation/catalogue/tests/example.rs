use super::*;
use crate::domain::automation::catalogue::{Catalogue, FieldOption};

#[test]
fn every_built_in_field_has_an_example_of_its_type() {
    let catalogue = Catalogue::default();
    let mut seen = 0;
    for object in catalogue.objects() {
        for (field, _) in catalogue.fields(&object) {
            let example = field.example.as_deref().unwrap_or_default();
            let is_of_lead = example.contains("adf21080");
            let kind = if is_of_lead { FieldType::Text } else { field.kind };
            assert_eq!(check(kind, example), Ok(()), "{object}.{}: {example}", field.path);
            seen += 1;
        }
    }
    assert!(seen > 200, "{seen}");
}

#[test]
fn an_added_field_is_like_what_was_given_its_options_or_its_type() {
    let option = |id: &str| FieldOption { id: id.into(), label: "One".into() };
    let field = |kind, options, example: Option<&str>| Field {
        path: "tier".into(),
        label: "Tier".into(),
        kind,
        options,
        example: example.map(ToOwned::to_owned),
        related: None,
    };
    let cases = [
        (field(FieldType::Enum, vec![option("17")], None), r#"{"type":"enum","id":17}"#),
        (field(FieldType::Set, vec![option("a")], None), r#"{"type":"set","values":[{"id":"a"}]}"#),
        (field(FieldType::Option, vec![option("007")], None), r#""007""#),
        (field(FieldType::Text, vec![option("17")], None), r#""17""#),
        (field(FieldType::Boolean, vec![option("17")], None), "true"),
        (field(FieldType::Number, Vec::new(), Some("3")), "3"),
        (field(FieldType::Date, Vec::new(), None), r#""2026-11-24""#),
    ];
    for (field, wanted) in cases {
        assert_eq!(of_added(&field), wanted);
        assert_eq!(check(field.kind, wanted), Ok(()), "{wanted}");
    }
}

#[test]
fn an_example_of_another_type_is_refused() {
    let cases = [
        (FieldType::Number, r#""3""#, "must be a number"),
        (FieldType::Text, "3", "must be a text"),
        (FieldType::List, "{}", "must be a list"),
        (FieldType::Monetary, "3", "must be an object"),
        (FieldType::Boolean, "tru", "line 1 column"),
    ];
    for (kind, example, wanted) in cases {
        let refused = check(kind, example).expect_err(example);
        assert!(refused.contains(wanted), "{refused}");
    }
    let long = format!("\"{}\"", "x".repeat(EXAMPLE_BYTES_MAX));
    assert!(check(FieldType::Text, &long).expect_err("too long").contains("the limit is 1024"));
}
