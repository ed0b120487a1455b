use std::sync::Arc;

use crate::domain::{
    automation::catalogue::{Catalogue, Field, FieldOption, FieldType, check_fields},
    json,
    path::FieldPath,
    refusal::Violations,
};

fn path(text: &str) -> FieldPath {
    FieldPath::parse(text).expect(text)
}

fn field(path: &str, kind: FieldType, related: Option<&str>) -> Field {
    let related = related.map(|name| name.parse().expect("a name"));
    Field { path: path.into(), label: format!("The {path}"), kind, options: Vec::new(), example: None, related }
}

/// A deal has a person and products; a person has a deal; a person's tier has options.
fn catalogue() -> Catalogue {
    let option = |id: &str, label: &str| FieldOption { id: id.into(), label: label.into() };
    let tier = Field {
        options: vec![option("1", "Gold"), option("2", "Silver")],
        ..field("custom_fields.tier", FieldType::Enum, None)
    };
    let mut catalogue = Catalogue::default();
    let of_deal =
        vec![field("person", FieldType::Object, Some("person")), field("products", FieldType::List, Some("part"))];
    catalogue.set("deal".parse().expect("a name"), Arc::new(of_deal));
    let of_person = vec![tier, field("deal", FieldType::Object, Some("deal"))];
    catalogue.set("person".parse().expect("a name"), Arc::new(of_person));
    catalogue.set("part".parse().expect("a name"), Arc::new(vec![field("weight", FieldType::Number, None)]));
    catalogue
}

#[test]
fn what_is_known_of_an_object_is_known_of_it_inside_of_another() {
    let catalogue = catalogue();
    for (name, kind) in [
        ("person.name", Some(FieldType::Text)),
        ("person.emails", Some(FieldType::List)),
        ("person.custom_fields.tier.id", Some(FieldType::Option)),
        ("person.custom_fields.tier.label", Some(FieldType::Text)),
        ("products[0].weight", Some(FieldType::Number)),
        ("products.weight", Some(FieldType::Number)),
        ("person.deal.title", Some(FieldType::Text)),
        ("person.deal.person.name", Some(FieldType::Text)),
        ("person", Some(FieldType::Object)),
        ("person.nme", None),
    ] {
        assert_eq!(catalogue.type_of("deal", &path(name)), kind, "{name}");
    }
    assert_eq!(catalogue.warning("deal", &path("person.name")), None);
    let told = catalogue.warning("deal", &path("person.nme")).expect("a typo");
    assert_eq!(told, "deal has no field person.nme that is known: is person.name meant?");
    assert_eq!(catalogue.member_of_elements("deal", &path("person.emails")).as_deref(), Some("value"));
    assert!(catalogue.is_through_list("deal", &path("person.emails")));
    assert!(catalogue.is_through_list("deal", &path("products.weight")));
    assert!(!catalogue.is_through_list("deal", &path("person.name")));
}

#[test]
fn options_of_an_object_inside_have_their_labels() {
    let catalogue = catalogue();
    let (options, are_labels) = catalogue.options("deal", &path("person.custom_fields.tier.id")).expect("options");
    assert_eq!((options.len(), are_labels), (2, false));
    let data = json::parse(r#"{"person": {"custom_fields": {"tier": {"id": 2}}}}"#).expect("JSON");
    let label = catalogue.label("deal", &path("person.custom_fields.tier.label"), &data);
    assert_eq!(label.as_deref(), Some("Silver"));
    assert!(catalogue.has_options("deal", &path("person.custom_fields.tier")));
}

#[test]
fn fields_of_objects_inside_are_listed_with_their_paths_one_level_deep() {
    let fields = catalogue().fields("deal");
    let found = |path: &str| fields.iter().find(|(field, _)| field.path == path);
    let (field, is_added) = found("person.emails").expect("listed");
    assert_eq!((field.label.as_str(), field.kind, is_added), ("The person: Emails", FieldType::List, &false));
    assert!(found("products.weight").is_some() && found("person.deal").is_some());
    assert!(found("person.deal.title").is_none(), "it ends somewhere");
    assert!(fields.is_sorted_by_key(|(field, _)| field.path.clone()));
}

#[test]
fn what_is_said_of_a_field_in_particular_counts_more() {
    let mut catalogue = catalogue();
    let option = FieldOption { id: "3".into(), label: "Platinum".into() };
    let tier = Field { options: vec![option], ..field("person.tier", FieldType::Enum, None) };
    let fields = vec![
        field("person", FieldType::Object, Some("person")),
        tier,
        field("person.boss", FieldType::Object, Some("part")),
    ];
    catalogue.set("deal".parse().expect("a name"), Arc::new(fields));
    let data = json::parse(r#"{"person": {"tier": {"id": 3}}}"#).expect("JSON");
    assert_eq!(catalogue.label("deal", &path("person.tier.label"), &data).as_deref(), Some("Platinum"));
    assert_eq!(catalogue.type_of("deal", &path("person.boss.weight")), Some(FieldType::Number));
    assert_eq!(catalogue.type_of("deal", &path("person.name")), Some(FieldType::Text));
}

#[test]
fn related_fields_that_would_be_too_many_are_left_out() {
    let mut catalogue = Catalogue::default();
    let options = (0..500).map(|at| FieldOption { id: at.to_string(), label: "x".repeat(255) }).collect();
    let large = Field { options, ..field("large", FieldType::Enum, None) };
    catalogue.set("y".parse().expect("a name"), Arc::new(vec![large]));
    let many: Vec<_> = (0..500).map(|at| field(&format!("y{at}"), FieldType::Object, Some("y"))).collect();
    catalogue.set("x".parse().expect("a name"), Arc::new(many));
    let listed = catalogue.fields("x").len();
    assert!((501..600).contains(&listed), "{listed}");
}

#[test]
fn only_objects_and_lists_are_related() {
    let mut faults = Violations::default();
    check_fields(&[field("a", FieldType::Text, Some("person"))], &mut faults);
    assert!(format!("{faults:?}").contains("fields[0].related_object"), "{faults:?}");
    let mut faults = Violations::default();
    check_fields(catalogue().added_to("deal"), &mut faults);
    assert!(faults.is_empty(), "{faults:?}");
}
