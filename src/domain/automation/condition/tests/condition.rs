use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::domain::json;

fn clause(field: &str, operator: Operator, values: &[Scalar]) -> GroupSpec {
    let clause = ClauseSpec { field: field.into(), operator, values: values.to_vec() };
    GroupSpec { how: Match::All, conditions: vec![MemberSpec::Clause(clause)] }
}

fn holds(spec: &GroupSpec, action: Action, data: &str, previous: Option<&str>) -> (bool, Vec<Explanation>) {
    let mut faults = Violations::default();
    let conditions = Conditions::compile(Some(spec), action, "conditions", &mut faults);
    let conditions = conditions.unwrap_or_else(|| panic!("{:?}", faults.check()));
    let data = json::parse(data).expect("data");
    let previous = previous.map(|text| json::parse(text).expect("previous"));
    let catalogue = Catalogue::default();
    let state = ObjectState { action, data: &data, previous: previous.as_ref(), object: "deal", catalogue: &catalogue };
    (conditions.hold(state), conditions.explain(state))
}

fn text(text: &str) -> Scalar {
    Scalar::Text(text.into())
}

fn number(text: &str) -> Scalar {
    Scalar::Number(text.into())
}

#[test]
fn passive_operators_look_at_the_state() {
    use Operator as O;
    let data = r#"{"n": 1.50, "t": "Acme", "d": "2024-02-29", "i": "2024-02-29T12:00:00+02:00", "b": true, "z": null,
        "l": [24, 25], "e": "", "o": {"a": [{"x": 1}, {"x": 2}]}, "ts": ["red", "green"]}"#;
    let cases: Vec<(&str, O, Vec<Scalar>, bool)> = vec![
        ("n", O::Is, vec![number("1.5")], true),
        ("n", O::Is, vec![text("1.50")], false),
        ("t", O::Is, vec![text("acme")], false),
        ("t", O::In, vec![text("x"), text("Acme")], true),
        ("b", O::Is, vec![Scalar::Boolean(true)], true),
        ("z", O::Is, vec![Scalar::Null], true),
        ("absent", O::Is, vec![Scalar::Null], true),
        ("i", O::Is, vec![text("2024-02-29T10:00:00Z")], true),
        ("l", O::Contains, vec![number("25.0")], true),
        ("l", O::Contains, vec![number("2")], false),
        ("ts", O::Contains, vec![text("green")], true),
        ("t", O::Contains, vec![text("cm")], true),
        ("t", O::StartsWith, vec![text("Ac")], true),
        ("t", O::EndsWith, vec![text("Ac")], false),
        ("n", O::Gt, vec![number("1.49999999999999999999999")], true),
        ("n", O::Lte, vec![number("1.5")], true),
        ("n", O::Between, vec![number("1"), number("1.5")], true),
        ("d", O::Before, vec![text("2024-03-01")], true),
        ("d", O::Gte, vec![text("2024-02-29")], true),
        ("i", O::After, vec![text("2024-02-29T09:59:59Z")], true),
        ("i", O::After, vec![text("2024-02-28")], false),
        ("o.a.x", O::Is, vec![number("2")], true),
        ("o.a.x", O::Is, vec![number("3")], false),
        ("e", O::IsEmpty, vec![], true),
        ("absent.deep", O::IsEmpty, vec![], true),
        ("n", O::IsEmpty, vec![], false),
    ];
    for (field, operator, values, expected) in cases {
        let (held, explained) = holds(&clause(field, operator, &values), Action::Create, data, None);
        assert_eq!((held, explained[0].held), (expected, expected), "{field} {operator:?} {values:?}: {explained:?}");
    }
    let (_, explained) = holds(&clause("n", O::Is, &[text("1.50")]), Action::Create, data, None);
    assert!(explained[0].compared.contains("a number is never a text"), "{explained:?}");
}

#[test]
fn active_operators_ask_for_a_change() {
    use Operator as O;
    let data = r#"{"a": 2, "b": 1.0, "c": {"k": {"value": "Tallinn"}}, "l": [1, 2], "s": 5}"#;
    let previous = r#"{"a": 1, "b": 1, "c": {"k": null}, "l": [1], "same": 3}"#;
    let cases: Vec<(&str, O, Vec<Scalar>, bool)> = vec![
        ("a", O::Changed, vec![], true),
        ("b", O::Changed, vec![], false),
        ("c.k.value", O::Changed, vec![], true),
        ("c.k.value", O::ChangedTo, vec![text("Tallinn")], true),
        ("c.k.value", O::ChangedFrom, vec![Scalar::Null], true),
        ("l", O::Changed, vec![], true),
        ("s", O::Changed, vec![], false),
        ("a", O::ChangedTo, vec![number("2")], true),
        ("a", O::ChangedFrom, vec![number("2")], false),
        ("a", O::ChangedFrom, vec![number("1")], true),
    ];
    for (field, operator, values, expected) in cases {
        let (held, explained) = holds(&clause(field, operator, &values), Action::Change, data, Some(previous));
        assert_eq!(held, expected, "{field} {operator:?} {values:?}: {explained:?}");
    }
    assert!(holds(&clause("s", O::Changed, &[]), Action::Create, data, None).0, "on create a value counts as changed");
    assert!(!holds(&clause("zz", O::Changed, &[]), Action::Create, data, None).0);
    assert!(!holds(&clause("a", O::Changed, &[]), Action::Change, data, None).0, "without old values nothing changed");
    let mut faults = Violations::default();
    let refused = Conditions::compile(Some(&clause("a", O::Changed, &[])), Action::Delete, "conditions", &mut faults);
    assert!(refused.is_none() && !faults.is_empty());
}

#[test]
fn what_grows_from_nothing_has_changed() {
    use Operator as O;
    let emails = r#"{"emails": [{"value": "a@b"}], "label_ids": [24, 25], "address": {"city": "X", "zip": 1}, "n": 7}"#;
    for (field, operator, values, previous, expected) in [
        ("emails.value", O::Changed, vec![], r#"{"emails": []}"#, true),
        ("emails[0].value", O::Changed, vec![], r#"{"emails": []}"#, true),
        ("emails.value", O::Changed, vec![], r#"{"emails": null}"#, true),
        ("emails.value", O::Changed, vec![], r#"{"emails": [{"label": "work"}]}"#, true),
        ("emails.value", O::Changed, vec![], r#"{"emails": [{"value": "a@b"}]}"#, false),
        ("emails.value", O::Changed, vec![], r#"{"n": 1}"#, false),
        ("emails.value", O::ChangedTo, vec![text("a@b")], r#"{"emails": []}"#, true),
        ("emails.value", O::ChangedFrom, vec![Scalar::Null], r#"{"emails": []}"#, true),
        ("emails.value", O::BecameFilled, vec![], r#"{"emails": []}"#, true),
        ("emails[0].value", O::Changed, vec![], r#"{"emails": {"k": 1}}"#, true),
        ("emails.value", O::Changed, vec![], r#"{"emails": {"k": 1}}"#, true),
        ("emails.other", O::Changed, vec![], r#"{"emails": []}"#, false),
        ("label_ids[0]", O::Changed, vec![], r#"{"label_ids": []}"#, true),
        ("label_ids[1]", O::Changed, vec![], r#"{"label_ids": [24]}"#, true),
        ("label_ids[0]", O::Changed, vec![], r#"{"label_ids": [24]}"#, false),
        ("label_ids[2]", O::Changed, vec![], r#"{"label_ids": [24]}"#, false),
        ("label_ids", O::Changed, vec![], r#"{"label_ids": []}"#, true),
        // What stands beside other members may be left out because it did not change.
        ("address.zip", O::Changed, vec![], r#"{"address": {"city": "Y"}}"#, false),
        ("address.city", O::Changed, vec![], r#"{"address": {"city": "Y"}}"#, true),
        ("address.zip", O::Changed, vec![], r#"{"address": {}}"#, true),
        ("address.zip", O::Changed, vec![], r#"{"address": "X 1"}"#, true),
        ("n", O::Changed, vec![], "{}", false),
    ] {
        let (held, explained) = holds(&clause(field, operator, &values), Action::Change, emails, Some(previous));
        assert_eq!(held, expected, "{field} {operator:?} {previous}: {explained:?}");
    }
}

#[test]
fn what_was_empty_and_what_became_so() {
    use Operator as O;
    let empties = ["null", "\"\"", "[]", "{}"];
    let held = |operator, values: &[Scalar], action, now: &str, before: Option<&str>| {
        let data = format!(r#"{{"f": {now}}}"#);
        let previous = before.map(|before| format!(r#"{{"f": {before}}}"#));
        holds(&clause("f", operator, values), action, &data, previous.as_deref()).0
    };
    for empty in empties {
        let change = |operator, now, before| held(operator, &[], Action::Change, now, Some(before));
        assert!(change(O::BecameFilled, "5", empty) && !change(O::BecameEmpty, "5", empty), "{empty}");
        assert!(change(O::BecameEmpty, empty, "5") && !change(O::BecameFilled, empty, "5"), "{empty}");
        assert!(held(O::ChangedFrom, &[Scalar::Null], Action::Change, "5", Some(empty)), "{empty}");
        assert!(!held(O::BecameFilled, &[], Action::Create, empty, None), "{empty}");
        for other in empties {
            assert!(!change(O::BecameEmpty, empty, other) && !change(O::BecameFilled, empty, other));
        }
        let only_text = held(O::ChangedFrom, &[text("")], Action::Change, "5", Some(empty));
        assert_eq!(only_text, empty == "\"\"", "{empty}");
    }
    assert!(!held(O::ChangedFrom, &[Scalar::Null], Action::Change, "5", Some("6")));
    assert!(
        held(O::BecameFilled, &[], Action::Create, "0", None)
            && held(O::BecameFilled, &[], Action::Create, "false", None)
    );
    assert!(!held(O::BecameEmpty, &[], Action::Create, "null", None), "it was empty before");
    assert!(!held(O::BecameFilled, &[], Action::Change, "5", None), "nothing is told of before");
    for operator in [O::BecameEmpty, O::BecameFilled] {
        let mut faults = Violations::default();
        assert!(Conditions::compile(Some(&clause("f", operator, &[])), Action::Delete, "c", &mut faults).is_none());
    }
}

#[test]
fn over_lists_changed_to_asks_for_what_was_added() {
    use Operator as O;
    let held = |operator, value: &str, now: &str, before: &str| {
        let (data, previous) = (format!(r#"{{"l": {now}}}"#), format!(r#"{{"l": {before}}}"#));
        holds(&clause("l", operator, &[number(value)]), Action::Change, &data, Some(&previous)).0
    };
    assert!(
        !held(O::ChangedTo, "25", "[24, 25, 26]", "[24, 25]") && held(O::ChangedTo, "26", "[24, 25, 26]", "[24, 25]")
    );
    assert!(!held(O::ChangedFrom, "24", "[24]", "[24, 25]") && held(O::ChangedFrom, "25", "[24]", "[24, 25]"));
    assert!(held(O::ChangedTo, "24", "[24]", "null") && held(O::ChangedTo, "24", "[24]", "[]"));
    assert!(held(O::ChangedFrom, "24", "null", "[24]") && held(O::ChangedFrom, "24", "[]", "[24]"));
    assert!(!held(O::ChangedTo, "24", "[25, 24]", "[24, 25]"), "another order adds nothing");
    let created = holds(&clause("l", O::ChangedTo, &[number("24")]), Action::Create, r#"{"l": [24]}"#, None).0;
    assert!(created, "everything is new in what is new");
    for (operator, now, before, expected) in [
        (O::BecameFilled, r#"["x", ""]"#, "[]", true),
        (O::BecameFilled, r#"["x", null]"#, "null", true),
        (O::BecameFilled, r#"["x", "y"]"#, r#"["x", ""]"#, false),
        (O::BecameEmpty, "[]", r#"["x", ""]"#, true),
        (O::BecameEmpty, r#"["x", null]"#, r#"["x"]"#, false),
        (O::BecameEmpty, "[null]", r#"["x"]"#, true),
        (O::ChangedFrom, r#"["y", ""]"#, r#"["x", ""]"#, false),
        (O::ChangedFrom, r#"["y", "z"]"#, r#"["x", ""]"#, true),
        (O::ChangedFrom, r#"["x", null, "z"]"#, r#"["x", null]"#, false),
    ] {
        let of = |values: &str| {
            let values: Vec<Value> = serde_json::from_str(values).ok().unwrap_or_default();
            serde_json::json!({"p": values.into_iter().map(|value| serde_json::json!({"v": value})).collect::<Vec<_>>()})
                .to_string()
        };
        let values = if operator == O::ChangedFrom { vec![Scalar::Null] } else { Vec::new() };
        let (held, explained) = holds(&clause("p.v", operator, &values), Action::Change, &of(now), Some(&of(before)));
        assert_eq!(held, expected, "{operator:?} {before} -> {now}: {explained:?}");
    }
    let people = (r#"{"p": [{"id": 1}, {"id": 2}]}"#, r#"{"p": [{"id": 1}]}"#);
    let held = |operator, value: &str| {
        holds(&clause("p.id", operator, &[number(value)]), Action::Change, people.0, Some(people.1)).0
    };
    assert!(held(O::ChangedTo, "2") && !held(O::ChangedTo, "1") && !held(O::ChangedFrom, "1"));
}

#[test]
fn times_are_compared_as_instants_in_every_notation() {
    use Operator as O;
    for written in [
        "2026-01-21T15:00:00.000+0000",
        "2026-01-21T15:00Z",
        "2026-01-21T15:00:00.000000000Z",
        "2026-01-21T17:00:00+02",
        "2026-01-21 15:00:00",
    ] {
        let data = format!(r#"{{"t": "{written}", "u": "2026-01-21T15:00:00Z"}}"#);
        for (operator, value, expected) in [
            (O::Is, "2026-01-21T15:00:00Z", true),
            (O::After, "2026-01-21T14:59:59.999999999Z", true),
            (O::Before, "2026-01-21T15:00:00.000000001Z", true),
            (O::Gt, "2026-01-21T15:00:00Z", false),
        ] {
            let (held, explained) = holds(&clause("t", operator, &[text(value)]), Action::Create, &data, None);
            assert_eq!(held, expected, "{written} {operator:?} {value}: {explained:?}");
        }
        let previous = r#"{"t": "2026-01-21T15:00:00Z"}"#;
        assert!(!holds(&clause("t", O::Changed, &[]), Action::Change, &data, Some(previous)).0, "{written}");
    }
}

#[test]
fn keys_of_any_kind_are_named_in_brackets() {
    let data = r#"{"a.b": 1, "net price": {"@id": 2}, "größe": 3, "a": {"c": 4}}"#;
    for (field, value) in [("[\"a.b\"]", "1"), ("['net price'][\"@id\"]", "2"), ("größe", "3"), ("a[\"c\"]", "4")] {
        assert!(holds(&clause(field, Operator::Is, &[number(value)]), Action::Create, data, None).0, "{field}");
    }
    let (held, explained) = holds(&clause("a.b", Operator::Is, &[number("1")]), Action::Create, data, None);
    assert!(!held && explained[0].compared.ends_with("the field of this name is [\"a.b\"]"), "{explained:?}");
    for (field, data, meant) in [
        ("a.b.c", r#"{"a.b": {"c": 1}}"#, r#"["a.b"].c"#),
        ("f.a.b", r#"{"f": {"a.b": 1}}"#, r#"f["a.b"]"#),
        ("l[0].a.b", r#"{"l": [{"a.b": 1}]}"#, r#"l[0]["a.b"]"#),
    ] {
        let (_, explained) = holds(&clause(field, Operator::Is, &[number("1")]), Action::Create, data, None);
        let wanted = format!("; the field of this name is {meant}");
        assert!(explained[0].compared.ends_with(&wanted), "{explained:?}");
        assert!(holds(&clause(meant, Operator::Is, &[number("1")]), Action::Create, data, None).0, "{meant}");
    }
}

#[test]
fn changed_from_speaks_of_the_old_value() {
    let compared = |value: Scalar, now: &str, before: &str| {
        let (data, previous) = (format!(r#"{{"f": {now}}}"#), format!(r#"{{"f": {before}}}"#));
        let spec = clause("f", Operator::ChangedFrom, &[value]);
        holds(&spec, Action::Change, &data, Some(&previous)).1[0].compared.clone()
    };
    assert!(!compared(text("x"), "5", r#""y""#).contains("never"));
    assert!(!compared(number("5"), r#""a""#, "6").contains("never"));
    assert!(compared(text("x"), r#""a""#, "5").ends_with("a number is never a text"));
}

#[test]
fn labels_of_options_are_compared_like_texts() {
    use crate::domain::automation::catalogue::{Field, FieldOption, FieldType};
    use Operator as O;
    let options = [("17", "Gold"), ("18", "Silver")];
    let options: Vec<_> =
        options.iter().map(|(id, label)| FieldOption { id: (*id).into(), label: (*label).into() }).collect();
    let field = |path: &str, kind| Field {
        path: path.into(),
        label: "A field".into(),
        kind,
        options: options.clone(),
        example: None,
    };
    let mut catalogue = Catalogue::default();
    let fields = vec![
        field("custom_fields.tier", FieldType::Enum),
        field("custom_fields.tags", FieldType::Set),
        field("label_ids", FieldType::List),
    ];
    catalogue.set("deal".parse().expect("a name"), std::sync::Arc::new(fields));
    let data =
        r#"{"custom_fields": {"tier": {"id": 17}, "tags": {"values": [{"id": 17}, {"id": 99}]}}, "label_ids": [18]}"#;
    let previous = r#"{"custom_fields": {"tier": {"id": 18}, "tags": null}, "label_ids": [17]}"#;
    let (data, previous) = (json::parse(data).expect("data"), json::parse(previous).expect("previous"));
    let state = ObjectState {
        action: Action::Change,
        data: &data,
        previous: Some(&previous),
        object: "deal",
        catalogue: &catalogue,
    };
    for (field, operator, values, expected, part) in [
        ("custom_fields.tier.label", O::Is, vec![text("Gold")], true, "custom_fields.tier.label is \"Gold\";"),
        ("custom_fields.tier.label", O::Is, vec![text("gold")], false, ""),
        ("custom_fields.tier.label", O::ChangedTo, vec![text("Gold")], true, "is \"Gold\", was \"Silver\""),
        ("custom_fields.tier.label", O::ChangedFrom, vec![text("Silver")], true, ""),
        ("custom_fields.tier.label", O::ChangedFrom, vec![text("Gold")], false, ""),
        ("custom_fields.tags.label", O::Is, vec![text("99")], true, "are [\"Gold\", \"99\"]"),
        ("custom_fields.tags.label", O::ChangedTo, vec![text("Gold")], true, "was absent"),
        ("custom_fields.tags.label", O::BecameFilled, vec![], true, ""),
        ("label_ids.label", O::In, vec![text("Silver")], true, ""),
        ("label_ids.label", O::ChangedTo, vec![text("Silver")], true, ""),
        ("label_ids.label", O::NotIn, vec![text("Gold")], true, ""),
        ("custom_fields.other.label", O::Is, vec![Scalar::Null], true, ""),
    ] {
        let mut faults = Violations::default();
        let spec = clause(field, operator, &values);
        let conditions = Conditions::compile(Some(&spec), Action::Change, "conditions", &mut faults).expect(field);
        let explained = conditions.explain(state);
        assert_eq!(conditions.hold(state), expected, "{field} {operator:?}: {explained:?}");
        assert!(explained[0].compared.contains(part), "{explained:?}");
    }
}

/// Whatever the event, a clause takes time in proportion to it. Where one took its square or worse, this would not end.
#[test]
fn no_event_is_too_much_for_a_clause() {
    let list = |value: &str, last: &str| format!("[{}{last}]", format!("{value}, ").repeat(100_000));
    let wide = |reversed: bool| {
        let keys = (0..50_000).map(|at| if reversed { 49_999 - at } else { at });
        let members: Vec<_> = keys.map(|at| format!(r#""k{at}": {at}"#)).collect();
        format!("{{{}}}", members.join(","))
    };
    let deep = |inner: &str| format!(r#"{}{inner}{}"#, r#"{"a": "#.repeat(60), "}".repeat(60));
    for (operator, values, now, before, expected) in [
        (Operator::ChangedTo, vec![number("1")], list("1", "1"), list("2", "1"), false),
        (Operator::ChangedTo, vec![number("1.0")], list("1.00", "1"), list("2", "3"), true),
        (Operator::ChangedFrom, vec![number("2")], list("1", "2"), list("2", "2"), false),
        (Operator::ChangedFrom, vec![Scalar::Null], list("{}", "\"\""), list("\"\"", "[]"), true),
        (Operator::Changed, vec![], wide(false), wide(true), false),
        (Operator::Changed, vec![], deep("1"), deep("1.0"), false),
        (Operator::Changed, vec![], deep("1"), deep("2"), true),
        (Operator::Changed, vec![], deep(r#"{"b": 1, "c": null}"#), deep(r#"{"d": null, "b": 1}"#), false),
    ] {
        let (data, previous) = (format!(r#"{{"f": {now}}}"#), format!(r#"{{"f": {before}}}"#));
        let held = holds(&clause("f", operator, &values), Action::Change, &data, Some(&previous)).0;
        assert_eq!(held, expected, "{operator:?} {values:?} {}", &now[..20]);
    }
}

#[test]
fn a_label_is_a_text_whatever_it_says() {
    use crate::domain::automation::catalogue::{Field, FieldOption, FieldType};
    let option = |id: &str, label: &str| FieldOption { id: id.into(), label: label.into() };
    let options = vec![option("17", "5"), option("18", "null")];
    let field = Field { path: "tier".into(), label: "Tier".into(), kind: FieldType::Enum, options, example: None };
    let mut catalogue = Catalogue::default();
    catalogue.set("deal".parse().expect("a name"), std::sync::Arc::new(vec![field]));
    // What was a number, or nothing, under the name of the label is a text now.
    for (data, previous) in [
        (r#"{"tier": {"id": 17}}"#, r#"{"tier": {"label": 5}}"#),
        (r#"{"tier": {"id": 18}}"#, r#"{"tier": {"label": null}}"#),
    ] {
        let (data, previous) = (json::parse(data).expect("data"), json::parse(previous).expect("previous"));
        let catalogue = &catalogue;
        let state =
            ObjectState { action: Action::Change, data: &data, previous: Some(&previous), object: "deal", catalogue };
        let mut faults = Violations::default();
        let spec = clause("tier.label", Operator::Changed, &[]);
        let conditions = Conditions::compile(Some(&spec), Action::Change, "conditions", &mut faults).expect("compiles");
        assert!(conditions.hold(state), "{:?}", conditions.explain(state));
    }
}

/// What a path leads to, found another way: over `serde_json`.
fn reached(value: Option<&Value>, steps: &[&str]) -> Vec<Option<Value>> {
    let Some((step, rest)) = steps.split_first() else { return vec![value.cloned()] };
    match (value, step.parse::<usize>()) {
        (Some(Value::Array(items)), Ok(index)) => reached(items.get(index), rest),
        (Some(Value::Array(items)), Err(_)) if !items.is_empty() => {
            items.iter().flat_map(|item| reached(Some(item), steps)).collect()
        }
        (Some(Value::Object(members)), Err(_)) => reached(members.get(*step), rest),
        _ => reached_nothing(),
    }
}

fn reached_nothing() -> Vec<Option<Value>> {
    vec![None]
}

/// `x[0].k` as `x`, `0`, `k`.
fn steps_of(field: &str) -> Vec<&str> {
    field.split(['.', '[', ']']).filter(|step| !step.is_empty()).collect()
}

/// Whether old values, looked into step by step, say what a path led to.
fn tells(previous: &Value, now: Option<&Value>, steps: &[&str]) -> bool {
    let Value::Object(members) = previous else { return true };
    let Some((step, rest)) = steps.split_first() else { return true };
    match members.get(*step) {
        Some(value) => tells(value, now.and_then(|now| now.get(*step)), rest),
        None => members.is_empty() || now.is_some_and(|now| !now.is_object()),
    }
}

/// A value in which an absent member is as one that is null.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(members.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

/// The meaning of the operators, over what was reached: what was before, where that is told, and what is now.
fn means(operator: Operator, now: &[Option<Value>], before: Option<&[Option<Value>]>, wanted: &[Value]) -> bool {
    let flat = |values: &[Option<Value>]| -> Vec<Value> {
        let items = values.iter().map(|value| value.clone().unwrap_or(Value::Null));
        items
            .flat_map(|value| match value {
                Value::Array(items) if !items.is_empty() => items,
                other => vec![other],
            })
            .collect()
    };
    let is_nothing = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    };
    let is_empty_in = |value: &Option<Value>| value.as_ref().is_none_or(is_nothing);
    let is_empty = |values: &[Option<Value>]| values.iter().any(is_empty_in);
    let are_nothing = |values: &[Option<Value>]| values.iter().all(is_empty_in);
    let nulls = |values: &[Option<Value>]| -> Vec<Value> {
        values.iter().map(|value| without_nulls(value.clone().unwrap_or(Value::Null))).collect()
    };
    let has_changed = before.is_some_and(|before| {
        let (old, new) = (nulls(before), nulls(now));
        old != new && !(old.iter().all(Value::is_null) && new.iter().all(Value::is_null))
    });
    let old = before.map(&flat).unwrap_or_default();
    let elements = flat(now);
    let one = wanted.first();
    let contains = || {
        let lists: Vec<_> = now.iter().flatten().filter_map(Value::as_array).flatten().collect();
        let is_member = lists.iter().any(|item| Some(*item) == one);
        let is_part = |element: &Value| match (element, one) {
            (Value::String(text), Some(Value::String(part))) => text.contains(part.as_str()),
            _ => false,
        };
        is_member || elements.iter().any(is_part)
    };
    let order = |test: fn(i64, i64) -> bool| {
        let against = one.and_then(Value::as_i64);
        elements.iter().any(|element| matches!((element.as_i64(), against), (Some(a), Some(b)) if test(a, b)))
    };
    match operator {
        Operator::Is | Operator::In => elements.iter().any(|element| wanted.contains(element)),
        Operator::IsNot | Operator::NotIn => !elements.iter().any(|element| wanted.contains(element)),
        Operator::Contains => contains(),
        Operator::NotContains => !contains(),
        Operator::IsEmpty => is_empty(now),
        Operator::IsNotEmpty => !is_empty(now),
        Operator::Gt => order(|a, b| a > b),
        Operator::Lte => order(|a, b| a <= b),
        Operator::Changed => has_changed,
        Operator::ChangedTo => has_changed && one.is_some_and(|one| elements.contains(one) && !old.contains(one)),
        Operator::ChangedFrom if one == Some(&Value::Null) => {
            let kept: Vec<_> = elements.iter().cloned().map(without_nulls).collect();
            has_changed && old.iter().any(|old| is_nothing(old) && !kept.contains(old))
        }
        Operator::ChangedFrom => has_changed && one.is_some_and(|one| old.contains(one) && !elements.contains(one)),
        Operator::BecameEmpty => has_changed && are_nothing(now) && !before.is_some_and(are_nothing),
        Operator::BecameFilled => has_changed && !are_nothing(now) && before.is_some_and(are_nothing),
        _ => unreachable!("not generated"),
    }
}

fn wanted_of(clause: &ClauseSpec) -> Vec<Value> {
    let wanted = clause.values.iter().map(|value| match value {
        Scalar::Text(text) => Value::from(text.clone()),
        Scalar::Number(text) => Value::from(text.parse::<i64>().expect("an integer")),
        Scalar::Boolean(value) => Value::from(*value),
        Scalar::Null => Value::Null,
    });
    wanted.collect()
}

/// An event as the naive evaluator has it.
#[derive(Debug, Clone)]
struct Happened {
    action: Action,
    data: Value,
    previous: Option<Value>,
}

/// The same questions, asked another way.
fn naive(event: &Happened, spec: &GroupSpec) -> bool {
    let member = |member: &MemberSpec| match member {
        MemberSpec::Group(group) => naive(event, group),
        MemberSpec::Clause(clause) => naive_clause(event, clause),
    };
    match spec.how {
        Match::All => spec.conditions.iter().all(member),
        Match::Any => spec.conditions.iter().any(member),
        Match::None => spec.conditions.iter().all(|one| !member(one)),
    }
}

fn naive_clause(event: &Happened, clause: &ClauseSpec) -> bool {
    let steps = steps_of(&clause.field);
    let now = reached(Some(&event.data), &steps);
    let before = match (event.action, &event.previous) {
        (Action::Create, _) => Some(reached_nothing()),
        (_, Some(previous)) => {
            let now = event.data.get(steps[0]);
            let is_told = previous.get(steps[0]).is_some_and(|value| tells(value, now, &steps[1..]));
            is_told.then(|| reached(Some(previous), &steps))
        }
        _ => None,
    };
    means(clause.operator, &now, before.as_deref(), &wanted_of(clause))
}

/// What an explanation says, read as a reader would: what is, what was where it is told, and what both were compared with.
struct Told {
    now: Vec<Option<Value>>,
    before: Option<Vec<Option<Value>>>,
    wanted: Vec<Value>,
    note: String,
}

fn read(explanation: &Explanation) -> Told {
    let rest = explanation.compared.strip_prefix(&explanation.field).expect("the field first");
    let (now, mut rest) = values(rest, ["is", "are"]);
    let mut before = None;
    if let Some(after) = rest.strip_prefix(", the object is new") {
        (before, rest) = (Some(reached_nothing()), after);
    } else if let Some(after) = rest.strip_prefix(", not among the old values") {
        rest = after;
    } else if let Some(after) = rest.strip_prefix(",") {
        let (was, after) = values(after, ["was", "were"]);
        (before, rest) = (Some(was), after);
    }
    let mut wanted = Vec::new();
    if let Some(mut after) = rest.strip_prefix("; compared with ") {
        loop {
            let (value, left) = value(after);
            wanted.extend(value);
            match left.strip_prefix(", ") {
                Some(more) => after = more,
                None => break rest = left,
            }
        }
    }
    Told { now, before, wanted, note: rest.to_owned() }
}

/// One value, or `absent`, and what comes after it.
fn value(text: &str) -> (Option<Value>, &str) {
    if let Some(rest) = text.strip_prefix("absent") {
        let rest = if rest.starts_with(" (") { &rest[rest.find(')').expect("closed") + 1..] } else { rest };
        return (None, rest);
    }
    if !text.starts_with(['"', '[', '{']) {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(text.len());
        return (
            Some(serde_json::from_str(&text[..end]).unwrap_or_else(|error| panic!("{text}: {error}"))),
            &text[end..],
        );
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter();
    let value = values.next().expect("a value").unwrap_or_else(|error| panic!("{text}: {error}"));
    let end = values.byte_offset();
    (Some(value), &text[end..])
}

/// Whatever a path leads or led to: one value, or, with the verb of many, a list of them.
fn values<'t>(text: &'t str, [one, many]: [&str; 2]) -> (Vec<Option<Value>>, &'t str) {
    if let Some(rest) = text.strip_prefix(&format!(" {one} ")) {
        let (value, rest) = value(rest);
        return (vec![value], rest);
    }
    let mut rest = text.strip_prefix(&format!(" {many} [")).expect("a verb");
    let mut found = Vec::new();
    loop {
        let (value, left) = value(rest);
        found.push(value);
        match left.strip_prefix(", ") {
            Some(more) => rest = more,
            None => return (found, left.strip_prefix(']').expect("the end of the list")),
        }
    }
}

fn scalar_json() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3i64..3).prop_map(Value::from),
        "[ab]{0,2}".prop_map(Value::from),
    ]
}

/// A scalar, an object of scalars, or an array of both.
fn value_json() -> impl Strategy<Value = Value> {
    let object = || prop::collection::hash_map("[kl]", scalar_json(), 0..3);
    let object = move || object().prop_map(|members| Value::Object(members.into_iter().collect()));
    let item = prop_oneof![2 => scalar_json(), 1 => object()];
    prop_oneof![
        2 => scalar_json(),
        1 => object(),
        2 => prop::collection::vec(item, 0..4).prop_map(Value::Array),
    ]
}

fn data_json() -> impl Strategy<Value = Value> {
    prop::collection::hash_map("[xy]", value_json(), 0..3).prop_map(|map| Value::Object(map.into_iter().collect()))
}

fn happened() -> impl Strategy<Value = Happened> {
    let action = prop::sample::select(vec![Action::Create, Action::Change, Action::Change, Action::Change]);
    (action, data_json(), prop::option::weighted(0.9, data_json())).prop_map(|(action, data, previous)| Happened {
        action,
        data,
        previous: previous.filter(|_| action == Action::Change),
    })
}

fn any_clause() -> impl Strategy<Value = MemberSpec> {
    let values = prop_oneof![
        Just(Scalar::Null),
        any::<bool>().prop_map(Scalar::Boolean),
        (-3i64..3).prop_map(|n| Scalar::Number(n.to_string())),
        "[ab]{0,2}".prop_map(Scalar::Text),
    ];
    let operators = prop::sample::select(vec![
        Operator::Is,
        Operator::IsNot,
        Operator::In,
        Operator::NotIn,
        Operator::Contains,
        Operator::NotContains,
        Operator::IsEmpty,
        Operator::IsNotEmpty,
        Operator::Gt,
        Operator::Lte,
        Operator::Changed,
        Operator::ChangedTo,
        Operator::ChangedFrom,
        Operator::BecameEmpty,
        Operator::BecameFilled,
    ]);
    let fields = prop::sample::select(vec!["x", "y", "x.k", "y.l", "x[0]", "y[1]", "x[0].k", "y.k.l", "x.k[0]"]);
    let values = prop::collection::vec(values, 1..3);
    (fields, operators, values, -3i64..3).prop_map(|(field, operator, values, n)| {
        let is_unfit = |value: &Scalar| matches!(value, Scalar::Null) || *value == Scalar::Text(String::new());
        let values = match operator {
            Operator::Gt | Operator::Lte => vec![Scalar::Number(n.to_string())],
            Operator::Contains | Operator::NotContains if is_unfit(&values[0]) => vec![Scalar::Boolean(true)],
            Operator::In | Operator::NotIn => values,
            _ => values[..1].to_vec(),
        };
        let (least, _) = operator.arity();
        let values = if least == 0 { Vec::new() } else { values };
        MemberSpec::Clause(ClauseSpec { field: field.to_owned(), operator, values })
    })
}

fn any_group() -> impl Strategy<Value = GroupSpec> {
    let how = || prop::sample::select(vec![Match::All, Match::Any, Match::None]);
    let leaf = (how(), prop::collection::vec(any_clause(), 1..3));
    let leaf = leaf.prop_map(|(how, conditions)| GroupSpec { how, conditions });
    leaf.prop_recursive(3, 12, 3, move |inner| {
        let member = prop_oneof![any_clause(), inner.prop_map(MemberSpec::Group)];
        (how(), prop::collection::vec(member, 1..3)).prop_map(|(how, conditions)| GroupSpec { how, conditions })
    })
}

fn decided(event: &Happened, spec: &GroupSpec) -> (bool, Vec<Explanation>) {
    let previous = event.previous.as_ref().map(ToString::to_string);
    holds(spec, event.action, &event.data.to_string(), previous.as_deref())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_024))]

    #[test]
    fn conditions_agree_with_a_naive_evaluator(event in happened(), spec in any_group()) {
        let (held, explained) = decided(&event, &spec);
        prop_assert_eq!(held, naive(&event, &spec), "{:?}", explained);
        // Where it holds, the event meets what is demanded in any case: by that it is found.
        let compiled = Conditions::compile(Some(&spec), event.action, "conditions", &mut Violations::default());
        if let Some(demand) = compiled.filter(|_| held).and_then(|conditions| conditions.demand()) {
            let data = event.data.to_string();
            let keys = ValueKey::all_of(&demand.field, &json::parse(&data).expect("JSON"));
            prop_assert!(keys.iter().any(|key| demand.values.contains(key)), "{:?} of {:?}", demand, keys);
        }
    }

    #[test]
    fn an_explanation_is_a_proof_of_its_verdict(event in happened(), member in any_clause()) {
        let spec = GroupSpec { how: Match::All, conditions: vec![member] };
        let (held, explained) = decided(&event, &spec);
        let explanation = &explained[0];
        let told = read(explanation);
        let follows = means(explanation.operator, &told.now, told.before.as_deref(), &told.wanted);
        prop_assert_eq!(follows, held, "{:?}", explanation);
        prop_assert_eq!(explanation.held, held);
        prop_assert!(!(held && told.note.contains("is never")), "it speaks against itself: {:?}", explanation);
        let names_a_difference = told.note.contains("differs from");
        prop_assert!(!names_a_difference || (held && explanation.operator.positive().is_some()), "{:?}", explanation);
        if let Some(met) = told.note.strip_prefix("; met by ") {
            let met = value(met).0;
            let operator = explanation.operator.positive().unwrap_or(match explanation.operator {
                Operator::ChangedTo => Operator::Is,
                other => other,
            });
            let as_element = [Some(Value::Array(met.into_iter().collect()))];
            prop_assert!(means(operator, &as_element, None, &told.wanted), "{:?}", explanation);
        }
    }

    #[test]
    fn a_negation_is_the_opposite_of_its_twin(event in happened(), member in any_clause()) {
        let MemberSpec::Clause(clause) = member else { unreachable!() };
        let opposite = Operator::ALL.into_iter().find(|operator| operator.positive() == Some(clause.operator));
        if let Some(opposite) = opposite {
            let group = |operator| GroupSpec {
                how: Match::All,
                conditions: vec![MemberSpec::Clause(ClauseSpec { operator, ..clause.clone() })],
            };
            let held = |operator| decided(&event, &group(operator)).0;
            prop_assert_ne!(held(clause.operator), held(opposite));
        }
    }
}

#[test]
fn what_stops_conditions_is_the_member_that_decides() {
    let data = json::parse(r#"{"a": 1, "b": 2}"#).expect("data");
    let catalogue = Catalogue::default();
    let state =
        ObjectState { action: Action::Create, data: &data, previous: None, object: "deal", catalogue: &catalogue };
    let is = |field: &str, value: &str| {
        let spec = ClauseSpec { field: field.into(), operator: Operator::Is, values: vec![number(value)] };
        MemberSpec::Clause(spec)
    };
    let group = |how, conditions| GroupSpec { how, conditions };
    let inner = |how, conditions| MemberSpec::Group(GroupSpec { how, conditions });
    let (yes, no) = (|| is("a", "1"), || is("b", "1"));
    let cases = [
        (group(Match::All, vec![yes(), yes()]), None),
        (group(Match::All, vec![yes(), no()]), Some(("conditions.conditions[1]", Some("b")))),
        (group(Match::Any, vec![no(), no()]), Some(("conditions", None))),
        (group(Match::Any, vec![no()]), Some(("conditions.conditions[0]", Some("b")))),
        (group(Match::None, vec![no(), yes()]), Some(("conditions.conditions[1]", Some("a")))),
        (
            group(Match::All, vec![yes(), inner(Match::All, vec![yes(), no()])]),
            Some(("conditions.conditions[1].group.conditions[1]", Some("b"))),
        ),
        (group(Match::All, vec![inner(Match::Any, vec![no(), no()])]), Some(("conditions.conditions[0].group", None))),
        (
            group(Match::None, vec![inner(Match::Any, vec![no(), yes()])]),
            Some(("conditions.conditions[0].group", None)),
        ),
    ];
    for (spec, wanted) in cases {
        let compiled = Conditions::compile(Some(&spec), Action::Create, "conditions", &mut Violations::default());
        let compiled = compiled.expect("compiles");
        let stop = compiled.stopped_by(state);
        assert_eq!(stop.is_none(), compiled.hold(state), "{spec:?}");
        let found =
            stop.as_ref().map(|stop| (stop.path.as_str(), stop.clause.as_ref().map(|(field, _)| field.as_str())));
        assert_eq!(found, wanted, "{spec:?}");
    }
}
