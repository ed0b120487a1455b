use super::*;
use crate::domain::json;

const KEY: &str = "custom_fields.3d0fa3429dfa2d3dec265b4fc5dc8258ab66cdf3";

fn path(text: &str) -> FieldPath {
    FieldPath::parse(text).expect(text)
}

fn catalogue(fields: Vec<Field>) -> Catalogue {
    let mut catalogue = Catalogue::default();
    catalogue.set("deal".parse().expect("a name"), Arc::new(fields));
    catalogue
}

fn field(path: &str, kind: FieldType, options: &[(&str, &str)]) -> Field {
    let option = |(id, label): &(&str, &str)| FieldOption { id: (*id).into(), label: (*label).into() };
    Field {
        path: path.into(),
        label: "A field".into(),
        kind,
        options: options.iter().map(option).collect(),
        example: None,
        related: None,
    }
}

#[test]
fn unknown_fields_are_told_with_the_nearest_name() {
    let builtin = Catalogue::default();
    for known in ["title", "value", "label_ids[0]", "custom_fields", "custom_fields.any.value", "visible_to.label"] {
        assert_eq!(builtin.warning("deal", &path(known)), None, "{known}");
    }
    for (typo, meant) in [("titel", "title"), ("stage", "stage_id"), ("owner", "owner_id"), ("labels", "label_ids")] {
        let told = builtin.warning("deal", &path(typo)).expect(typo);
        assert!(told.contains(&format!("is {meant} meant?")), "{told}");
    }
    let told = builtin.warning("deal", &path("something_else_altogether")).expect("unknown");
    assert!(!told.contains("meant"), "nothing is near: {told}");
    assert_eq!(builtin.warning("lead", &path("value.amount")), None);
    assert_eq!(builtin.warning("organization", &path("address.country")), None, "nothing is known of its parts");
    assert!(builtin.warning("lead", &path("value.amout")).is_some(), "the parts of this one are known");
    assert_eq!(builtin.warning("invoice", &path("anything")), None, "nothing is known of other platforms' objects");

    let added = catalogue(vec![field(KEY, FieldType::Monetary, &[]), field("tier", FieldType::Text, &[])]);
    assert_eq!(added.warning("deal", &path("tier")), None);
    assert_eq!(added.warning("deal", &path(&format!("{KEY}.currency"))), None);
    let told = added.warning("deal", &path(&format!("{KEY}.curency"))).expect("a typo");
    assert!(told.contains(&format!("is {KEY}.currency meant?")), "{told}");
}

#[test]
fn every_type_of_custom_field_is_known_part_by_part() {
    let sample = include_str!("../../../../../tests/samples/v2-custom-field-types.json");
    let sample = json::members(sample).expect("JSON").items;
    for (name, raw) in &sample {
        let kind = match name.as_ref() {
            "varchar" | "text" | "varchar_auto" => FieldType::Varchar,
            "double" => FieldType::Double,
            "monetary" => FieldType::Monetary,
            "people" | "org" | "user" => FieldType::People,
            "phone" => FieldType::Phone,
            "time" => FieldType::TimeOfDay,
            "timerange" => FieldType::TimeRange,
            "date" => FieldType::DateValue,
            "daterange" => FieldType::DateRange,
            "address" => FieldType::Address,
            "enum" => FieldType::Enum,
            "set" => FieldType::Set,
            other => panic!("{other} has no type here"),
        };
        let catalogue = catalogue(vec![field(KEY, kind, &[])]);
        for (part, _) in json::members(raw).expect("JSON").items.iter().filter(|(part, _)| part != "type") {
            assert_eq!(catalogue.warning("deal", &path(&format!("{KEY}.{part}"))), None, "{name}.{part}");
        }
        let wrong = catalogue.warning("deal", &path(&format!("{KEY}.no_such_part")));
        assert!(wrong.is_some(), "{name}");
    }
    assert_eq!(sample.len(), 16, "all of them");
}

#[test]
fn options_are_called_by_their_labels() {
    let options = [("17", "Hot"), ("13", "New"), ("14", "Old"), ("3", "Everyone")];
    let catalogue = catalogue(vec![
        field("custom_fields.a", FieldType::Enum, &options),
        field("custom_fields.b", FieldType::Set, &options),
        field("visible_to", FieldType::Option, &options),
        field("label_ids", FieldType::List, &options),
        field("stage_id", FieldType::Option, &options),
    ]);
    let data = r#"{"visible_to": "3", "label_ids": [13, 99], "stage_id": null, "custom_fields": {"a": {"type": "enum", "id": 17},
        "b": {"type": "set", "values": [{"id": 13}, {"id": 14}]}}, "title": "x"}"#;
    let node = json::parse(data).expect("JSON");
    let label = |text: &str| catalogue.label("deal", &path(text), &node);
    assert_eq!(label("custom_fields.a.label").as_deref(), Some("Hot"));
    assert_eq!(label("custom_fields.b.label").as_deref(), Some("New, Old"));
    assert_eq!(label("visible_to.label").as_deref(), Some("Everyone"));
    assert_eq!(label("label_ids.label").as_deref(), Some("New, 99"), "an id without a label stays an id");
    assert_eq!(label("label_ids[0].label").as_deref(), Some("New"));
    assert_eq!(label("stage_id.label"), None, "nothing is chosen");
    assert_eq!((label("title.label"), label("label"), label("custom_fields.c.label")), (None, None, None));
}

#[test]
fn what_is_added_is_checked_and_replaces() {
    let mut twice = field("a", FieldType::Option, &[("1", "x"), ("1", "y")]);
    twice.label = String::new();
    let fields = [
        twice,
        field("a", FieldType::Text, &[]),
        field("b[0]", FieldType::Text, &[]),
        field("c d", FieldType::Text, &[]),
    ];
    let mut faults = Violations::default();
    check_fields(&fields, &mut faults);
    let text = faults.check().expect_err("faults").to_string();
    for part in [
        "fields[0].label",
        "fields[0].options[1].id",
        "fields[1].path: \"a\" is given twice",
        "fields[2].path",
        "fields[3].path",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let mut catalogue = catalogue(vec![field("title", FieldType::Number, &[])]);
    let shown = catalogue.fields("deal");
    let title: Vec<_> = shown.iter().filter(|(field, _)| field.path == "title").collect();
    assert!(
        matches!(title.as_slice(), [(field, true)] if field.kind == FieldType::Number),
        "it stands in for the built-in one"
    );
    assert!(shown.windows(2).all(|two| two[0].0.path < two[1].0.path));
    catalogue.set("deal".parse().expect("a name"), Arc::default());
    assert_eq!(catalogue, Catalogue::default());
    assert_eq!(catalogue.objects().len(), 12);
    for object in catalogue.objects() {
        assert!(
            catalogue.fields(&object).windows(2).all(|two| two[0].0.path < two[1].0.path),
            "{object}: in order, each once"
        );
    }
}
