use std::sync::Arc;

use super::*;
use crate::domain::automation::catalogue::Field;

const KEY: &str = "custom_fields.3d0fa3429dfa2d3dec265b4fc5dc8258ab66cdf3";

type Added<'a> = (&'a str, FieldType, &'a [(&'a str, &'a str)]);

fn catalogue(fields: &[Added<'_>]) -> Catalogue {
    let option = |(id, label): &(&str, &str)| FieldOption { id: (*id).into(), label: (*label).into() };
    let field = |(path, kind, options): &Added<'_>| Field {
        example: None,
        related: None,
        path: (*path).into(),
        label: "A field".into(),
        kind: *kind,
        options: options.iter().map(option).collect(),
    };
    let mut catalogue = Catalogue::default();
    catalogue.set("deal".parse().expect("a name"), Arc::new(fields.iter().map(field).collect()));
    catalogue
}

/// What is refused of one clause in a group of this kind.
fn refused(catalogue: &Catalogue, how: Match, field: &str, operator: Operator, value: Scalar) -> Option<String> {
    let clause = ClauseSpec::new(field, operator, &[value]);
    let inner = GroupSpec { how, conditions: vec![MemberSpec::Clause(clause)] };
    let group = GroupSpec { how: Match::All, conditions: vec![MemberSpec::Group(inner)] };
    let mut faults = Violations::default();
    check_fit(catalogue, "deal", &group, "conditions", &mut faults);
    faults.check().err().map(|refusal| refusal.to_string())
}

#[test]
fn operators_that_never_hold_for_a_type_are_refused() {
    use Operator as O;
    let added = catalogue(&[
        (KEY, FieldType::Enum, &[]),
        ("custom_fields.price", FieldType::Monetary, &[]),
        ("custom_fields.day", FieldType::DateValue, &[]),
    ]);
    let number = || Scalar::Number("1".into());
    for (name, fit, unfit) in [
        ("title", &[O::Is, O::StartsWith, O::Contains, O::Changed, O::IsEmpty][..], &[O::Gt, O::Lte, O::Between][..]),
        ("value", &[O::Gt, O::Between, O::In, O::ChangedTo, O::NotContains][..], &[O::StartsWith, O::Contains][..]),
        ("is_archived", &[O::Is, O::IsNot, O::In][..], &[O::Gt, O::EndsWith][..]),
        ("won_time", &[O::Gte, O::IsEmpty][..], &[][..]),
        ("label_ids", &[O::Contains, O::NotContains, O::Is, O::StartsWith][..], &[][..]),
        ("custom_fields", &[O::Changed, O::IsEmpty, O::IsNotEmpty, O::IsNot][..], &[O::Is, O::Gt, O::Contains][..]),
        (KEY, &[O::Changed, O::NotIn][..], &[O::Is, O::In][..]),
        ("custom_fields.price.value", &[O::Gt, O::Is][..], &[O::Contains][..]),
        ("custom_fields.day.value", &[O::Between][..], &[][..]),
        ("not_known", &[O::Gt, O::Contains][..], &[][..]),
    ] {
        for operator in fit {
            assert_eq!(refused(&added, Match::All, name, *operator, number()), None, "{name} {operator:?}");
        }
        for operator in unfit {
            let why = refused(&added, Match::All, name, *operator, number());
            let why = why.unwrap_or_else(|| panic!("{name} {operator:?} is taken"));
            assert!(why.starts_with("conditions.conditions[0].group.conditions[0].clause.operator: "), "{why}");
            let any = refused(&added, Match::Any, name, *operator, number());
            assert_eq!(any, None, "the rest of a group may hold");
            let null = refused(&added, Match::All, name, *operator, Scalar::Null);
            assert_eq!(null, None, "null is a value of every type");
        }
    }
    let date = || Scalar::Text("2026-11-24".into());
    assert_eq!(refused(&added, Match::All, "title", O::After, date()), None, "a text may hold a date");
    assert!(refused(&added, Match::All, "value", O::Before, date()).is_some(), "a number never");
    let why = refused(&added, Match::All, "custom_fields.price", O::Gt, number()).expect("an object");
    assert!(why.contains("custom_fields.price.value, custom_fields.price.currency"), "it names the parts: {why}");
}

/// What is warned of a clause, which stands deep in the tree.
fn warned(catalogue: &Catalogue, object: &str, field: &str, operator: Operator, values: &[Scalar]) -> Vec<String> {
    let clause = ClauseSpec::new(field, operator, values);
    let none = GroupSpec { how: Match::None, conditions: vec![MemberSpec::Clause(clause)] };
    let any = GroupSpec { how: Match::Any, conditions: vec![MemberSpec::Group(none)] };
    fit_warnings(catalogue, object, &any)
}

#[test]
fn clauses_that_can_never_hold_or_must_always_are_told() {
    use Operator as O;
    let text = |text: &str| Scalar::Text(text.into());
    let number = |text: &str| Scalar::Number(text.into());
    let builtin = Catalogue::default();
    for (field, operator, values, part) in [
        ("value", O::Is, vec![text("100")], "the condition is \"100\" on value never holds, because value is a number"),
        ("value", O::Is, vec![text("100")], "give the value as a number"),
        ("value", O::IsNot, vec![text("100")], "always holds"),
        ("value", O::In, vec![text("100"), text("5")], "never holds"),
        ("value", O::In, vec![number("100"), text("5")], "\"5\" is never met"),
        ("value", O::NotIn, vec![text("100")], "always holds"),
        ("value", O::ChangedTo, vec![text("100")], "never holds"),
        ("value", O::Between, vec![text("2026-01-01"), text("2026-01-02")], "never holds"),
        ("value", O::Is, vec![Scalar::Boolean(true)], "never holds"),
        ("value", O::Contains, vec![number("5")], "contains looks into texts and lists"),
        ("title", O::Is, vec![number("5")], "give the value as a text"),
        ("title", O::Contains, vec![number("5")], "never holds"),
        ("title", O::NotContains, vec![number("5")], "always holds"),
        ("title", O::Gt, vec![number("5")], "never holds"),
        ("title", O::Is, vec![Scalar::Boolean(true)], "never holds"),
        ("is_archived", O::Is, vec![text("true")], "give the value as a boolean"),
        ("is_archived", O::IsNot, vec![number("1")], "always holds"),
        ("add_time", O::After, vec![text("2026-01-01")], "give a time such as"),
        ("add_time", O::Is, vec![text("2026-01-01")], "give a time such as"),
        ("add_time", O::Gt, vec![number("5")], "give a time such as"),
        ("expected_close_date", O::Gt, vec![number("5")], "give a date such as"),
        ("expected_close_date", O::Before, vec![text("2026-01-01T00:00:00Z")], "give a date such as"),
        ("expected_close_date", O::Is, vec![text("tomorrow")], "give a date such as"),
        ("stage_id", O::Contains, vec![text("5")], "contains looks into texts and lists"),
        ("stage_id", O::Is, vec![text("5")], "give the value as a number"),
        ("stage_id", O::StartsWith, vec![text("5")], "looks into texts and lists"),
        ("custom_fields", O::Is, vec![text("5")], "compare a part of it"),
        ("visible_to", O::Gt, vec![number("5")], "never holds"),
    ] {
        let found = warned(&builtin, "deal", field, operator, &values);
        assert!(matches!(&found[..], [one] if one.contains(part)), "{field} {operator:?} {values:?}: {found:?}");
    }
    for (object, field, operator, values) in [
        ("deal", "value", O::Is, vec![number("100")]),
        ("deal", "value", O::Is, vec![Scalar::Null]),
        ("deal", "value", O::IsNot, vec![Scalar::Null]),
        ("deal", "value", O::Changed, vec![]),
        ("deal", "value", O::BecameEmpty, vec![]),
        ("deal", "title", O::Is, vec![text("5")]),
        ("deal", "title", O::After, vec![text("2026-01-01")]),
        ("deal", "add_time", O::StartsWith, vec![text("2026-")]),
        ("deal", "add_time", O::After, vec![text("2026-01-01T00:00:00+0200")]),
        ("deal", "add_time", O::ChangedFrom, vec![text("")]),
        ("deal", "expected_close_date", O::Between, vec![text("2026-01-01"), text("2026-02-01")]),
        ("deal", "label_ids", O::Contains, vec![number("5")]),
        ("deal", "label_ids", O::Is, vec![text("5")]),
        ("deal", "label_ids[0]", O::Is, vec![text("5")]),
        ("deal", "visible_to", O::Is, vec![text("3")]),
        ("deal", "visible_to", O::Is, vec![number("3")]),
        ("deal", "unknown", O::Is, vec![number("3")]),
        ("deal", "custom_fields.any.value", O::Is, vec![number("3")]),
        ("lead", "id", O::Is, vec![text("a-uuid")]),
        ("activity", "lead_id", O::Is, vec![text("a-uuid")]),
        ("person", "emails.value", O::EndsWith, vec![text("@example.com")]),
        ("invoice", "value", O::Is, vec![text("5")]),
    ] {
        let found = warned(&builtin, object, field, operator, &values);
        assert!(found.is_empty(), "{object} {field} {operator:?} {values:?}: {found:?}");
    }
    let found = warned(&builtin, "person", "emails.value", O::Is, &[number("5")]);
    assert!(found[0].contains("give the value as a text"), "{found:?}");
}

#[test]
fn options_that_do_not_exist_are_told() {
    use Operator as O;
    let text = |text: &str| Scalar::Text(text.into());
    let number = |text: &str| Scalar::Number(text.into());
    let options = [("17", "Gold"), ("18", "Silver")];
    let added = catalogue(&[
        ("tier", FieldType::Option, &options),
        ("custom_fields.tier", FieldType::Enum, &options),
        ("custom_fields.tags", FieldType::Set, &options),
        ("label_ids", FieldType::List, &options),
        ("external_id", FieldType::Id, &[]),
    ]);
    for (field, operator, value) in [
        ("tier", O::Is, number("99")),
        ("tier", O::IsNot, text("99")),
        ("tier", O::ChangedTo, text("Gold")),
        ("tier.label", O::Is, text("Bronze")),
        ("custom_fields.tier.id", O::In, number("99")),
        ("custom_fields.tier.label", O::Is, text("gold")),
        ("custom_fields.tags.values.id", O::Is, number("99")),
        ("custom_fields.tags.label", O::NotIn, text("Bronze")),
        ("label_ids", O::Is, number("99")),
        ("label_ids", O::Contains, number("99")),
        ("label_ids", O::NotContains, number("99")),
        ("custom_fields.tags.label", O::Contains, text("zzz")),
    ] {
        let found = warned(&added, "deal", field, operator, std::slice::from_ref(&value));
        assert!(matches!(&found[..], [one] if one.contains("there are 17 (Gold), 18 (Silver)")), "{field}: {found:?}");
    }
    for (field, operator, value) in [
        ("tier", O::Is, number("17")),
        ("tier", O::Is, text("18")),
        ("tier", O::Is, Scalar::Null),
        ("tier.label", O::Is, text("Gold")),
        ("tier.label", O::StartsWith, text("G")),
        ("custom_fields.tier.id", O::In, number("18")),
        ("custom_fields.tier.label", O::Is, text("Gold")),
        ("custom_fields.tags.label", O::Is, text("Silver")),
        ("tier", O::Is, number("17.0")),
        ("label_ids", O::Contains, number("17")),
        ("custom_fields.tags.label", O::Contains, text("old")),
        ("external_id", O::Contains, text("a")),
    ] {
        let found = warned(&added, "deal", field, operator, std::slice::from_ref(&value));
        assert!(found.is_empty(), "{field}: {found:?}");
    }
    let found = warned(&added, "deal", "custom_fields.tier.id", O::Gt, &[number("17")]);
    assert!(found[0].contains("compare it with IS or IN"), "{found:?}");
    for (object, field, operator, member) in [
        ("person", "emails", O::Is, "emails.value"),
        ("person", "emails", O::Contains, "emails.value"),
        ("person", "emails[0]", O::IsNot, "emails.value"),
        ("deal", "custom_fields.tags.values", O::Contains, "custom_fields.tags.values.id"),
    ] {
        let found = warned(&added, object, field, operator, &[text("a@b")]);
        let wanted = format!("because its elements are objects: compare {member}");
        assert!(matches!(&found[..], [one] if one.contains(&wanted)), "{field}: {found:?}");
        let presence = warned(&added, object, field, O::IsEmpty, &[]);
        assert!(presence.is_empty(), "{presence:?}");
    }
}
