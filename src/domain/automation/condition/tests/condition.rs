use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::domain::json;

fn clause(field: &str, operator: Operator, values: &[Scalar]) -> GroupSpec {
    one(ClauseSpec::new(field, operator, values))
}

fn one(clause: ClauseSpec) -> GroupSpec {
    GroupSpec { how: Match::All, conditions: vec![MemberSpec::Clause(clause)] }
}

fn event(action: Action) -> Event {
    Event { action, ..Event::sample("e1") }
}

fn holds(spec: &GroupSpec, action: Action, data: &str, previous: Option<&str>) -> (bool, Vec<Explanation>) {
    holds_for(spec, &event(action), data, previous)
}

fn holds_for(spec: &GroupSpec, event: &Event, data: &str, previous: Option<&str>) -> (bool, Vec<Explanation>) {
    let mut faults = Violations::default();
    let conditions = Conditions::compile(Some(spec), &[event.action], "conditions", &mut faults);
    let conditions = conditions.unwrap_or_else(|| panic!("{spec:?}: {:?}", faults.check()));
    let data = json::parse(data).expect("data");
    let previous = previous.map(|text| json::parse(text).expect("previous"));
    let catalogue = Catalogue::default();
    let state = ObjectState { event, data: &data, previous: previous.as_ref(), catalogue: &catalogue };
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
    let refused =
        Conditions::compile(Some(&clause("a", O::Changed, &[])), &[Action::Delete], "conditions", &mut faults);
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
        assert!(Conditions::compile(Some(&clause("f", operator, &[])), &[Action::Delete], "c", &mut faults).is_none());
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
        related: None,
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
    let event = event(Action::Change);
    let state = ObjectState { event: &event, data: &data, previous: Some(&previous), catalogue: &catalogue };
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
        let conditions = Conditions::compile(Some(&spec), &[Action::Change], "conditions", &mut faults).expect(field);
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
    let field = Field {
        path: "tier".into(),
        label: "Tier".into(),
        kind: FieldType::Enum,
        options,
        example: None,
        related: None,
    };
    let mut catalogue = Catalogue::default();
    catalogue.set("deal".parse().expect("a name"), std::sync::Arc::new(vec![field]));
    // What was a number, or nothing, under the name of the label is a text now.
    for (data, previous) in [
        (r#"{"tier": {"id": 17}}"#, r#"{"tier": {"label": 5}}"#),
        (r#"{"tier": {"id": 18}}"#, r#"{"tier": {"label": null}}"#),
    ] {
        let (data, previous) = (json::parse(data).expect("data"), json::parse(previous).expect("previous"));
        let catalogue = &catalogue;
        let event = event(Action::Change);
        let state = ObjectState { event: &event, data: &data, previous: Some(&previous), catalogue };
        let mut faults = Violations::default();
        let spec = clause("tier.label", Operator::Changed, &[]);
        let conditions =
            Conditions::compile(Some(&spec), &[Action::Change], "conditions", &mut faults).expect("compiles");
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

/// A question about a text.
type Predicate = fn(&str) -> bool;

/// Patterns, and what each means said another way.
const PATTERNS: [(&str, Predicate); 4] = [
    ("^a", |text| text.starts_with('a')),
    ("b$", |text| text.ends_with('b')),
    ("a.?b", |text| text.contains("ab") || ["aab", "abb"].iter().any(|part| text.contains(part))),
    ("^[ab]{2,}$", |text| text.len() >= 2 && text.bytes().all(|byte| matches!(byte, b'a' | b'b'))),
];

/// The elements of what was reached: those of its arrays, and every other value itself.
fn flat(values: &[Option<Value>]) -> Vec<Value> {
    let items = values.iter().map(|value| value.clone().unwrap_or(Value::Null));
    items
        .flat_map(|value| match value {
            Value::Array(items) if !items.is_empty() => items,
            other => vec![other],
        })
        .collect()
}

/// Whether two values are the same: an absent member is as one that is null.
fn are_same(a: &Value, b: &Value) -> bool {
    without_nulls(a.clone()) == without_nulls(b.clone())
}

/// The meaning of the operators, over what was reached: what was before, where that is told, and what is now; `wanted` is
/// what each of the values of the clause stands for.
fn means(operator: Operator, now: &[Option<Value>], before: Option<&[Option<Value>]>, wanted: &[Vec<Value>]) -> bool {
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
    let old = before.map(flat).unwrap_or_default();
    let elements = flat(now);
    let all: Vec<_> = wanted.iter().flatten().collect();
    let is_among = |value: &Value, these: &[Value]| these.contains(value);
    let is_like_any = |value: &Value, these: &[Value]| these.iter().any(|one| are_same(value, one));
    let is_any_of = |these: &[Value]| all.iter().any(|one| is_among(one, these));
    let contains = |one: &Value| {
        let lists: Vec<_> = now.iter().flatten().filter_map(Value::as_array).flatten().collect();
        let is_member = !one.is_null() && lists.contains(&one);
        let is_part = |element: &Value| match (element, one) {
            (Value::String(text), Value::String(part)) => !part.is_empty() && text.contains(part.as_str()),
            _ => false,
        };
        is_member || elements.iter().any(is_part)
    };
    let contains_any = || all.iter().any(|one| contains(one));
    let texts = |fits: fn(&str, &str) -> bool| {
        let parts = || all.iter().filter_map(|one| one.as_str()).filter(|part| !part.is_empty());
        let mut texts = elements.iter().filter_map(Value::as_str);
        texts.any(|text| parts().any(|part| fits(text, part)))
    };
    let has_order = |element: &Value, at: usize, test: fn(i64, i64) -> bool| {
        let against = wanted.get(at).into_iter().flatten().filter_map(Value::as_i64);
        element.as_i64().is_some_and(|a| against.into_iter().any(|b| test(a, b)))
    };
    let order = |test: fn(i64, i64) -> bool| elements.iter().any(|element| has_order(element, 0, test));
    match operator {
        Operator::Is | Operator::In => is_any_of(&elements),
        Operator::IsNot | Operator::NotIn => !is_any_of(&elements),
        Operator::Contains | Operator::ContainsAny => contains_any(),
        Operator::NotContains | Operator::ContainsNone => !contains_any(),
        Operator::ContainsAll => all.iter().all(|one| contains(one)),
        Operator::StartsWith => texts(|text, part| text.starts_with(part)),
        Operator::EndsWith => texts(|text, part| text.ends_with(part)),
        Operator::Matches => {
            let (_, fits) = PATTERNS.iter().find(|(pattern, _)| all[0] == pattern).expect("a known pattern");
            elements.iter().filter_map(Value::as_str).any(fits)
        }
        Operator::IsEmpty => is_empty(now),
        Operator::IsNotEmpty => !is_empty(now),
        Operator::Gt => order(|a, b| a > b),
        Operator::Lte => order(|a, b| a <= b),
        Operator::Between => {
            let is_between =
                |element: &Value| has_order(element, 0, |a, b| a >= b) && has_order(element, 1, |a, b| a <= b);
            elements.iter().any(is_between)
        }
        Operator::Changed => has_changed,
        Operator::ChangedFrom if all.iter().all(|one| one.is_null()) => {
            has_changed && old.iter().any(|old| is_nothing(old) && !is_like_any(old, &elements))
        }
        Operator::ChangedTo => has_changed && all.iter().any(|one| is_among(one, &elements) && !is_among(one, &old)),
        Operator::ChangedFrom => has_changed && all.iter().any(|one| is_among(one, &old) && !is_among(one, &elements)),
        Operator::BecameEmpty => has_changed && are_nothing(now) && !before.is_some_and(are_nothing),
        Operator::BecameFilled => has_changed && !are_nothing(now) && before.is_some_and(are_nothing),
        _ => unreachable!("not generated"),
    }
}

/// An event as the naive evaluator has it.
#[derive(Debug, Clone)]
struct Happened {
    action: Action,
    data: Value,
    previous: Option<Value>,
    user_id: Option<String>,
    is_bulk_edit: Option<bool>,
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

/// What a path is now.
fn naive_now(event: &Happened, path: &str) -> Vec<Option<Value>> {
    match path {
        "event.user_id" => vec![event.user_id.clone().map(Value::from)],
        "event.is_bulk_edit" => vec![event.is_bulk_edit.map(Value::from)],
        path => reached(Some(&event.data), &steps_of(path)),
    }
}

/// What a path was, where that is told.
fn naive_told(event: &Happened, path: &str) -> Option<Vec<Option<Value>>> {
    let steps = steps_of(path);
    match (event.action, &event.previous) {
        (Action::Create, _) => Some(reached_nothing()),
        (_, Some(previous)) => {
            let now = event.data.get(steps[0]);
            let is_told = previous.get(steps[0]).is_some_and(|value| tells(value, now, &steps[1..]));
            is_told.then(|| reached(Some(previous), &steps))
        }
        _ => None,
    }
}

/// What stands for the size of what has none.
fn no_size() -> Value {
    Value::from("no size")
}

/// How many there are.
fn naive_size(value: Option<Value>) -> Option<Value> {
    match value {
        None | Some(Value::Null) => Some(0.into()),
        Some(Value::Array(items)) => Some(items.len().into()),
        Some(Value::String(text)) => Some(text.len().into()),
        Some(_) => Some(no_size()),
    }
}

/// Numbers as texts, also in lists.
fn naive_ids(values: Vec<Option<Value>>) -> Vec<Option<Value>> {
    fn id(value: Value) -> Value {
        match value {
            Value::Number(number) => Value::from(number.to_string()),
            Value::Array(items) => Value::Array(items.into_iter().map(id).collect()),
            other => other,
        }
    }
    values.into_iter().map(|value| value.map(id)).collect()
}

/// Whether a clause has to do with an id of the event itself.
fn is_of_ids(clause: &ClauseSpec) -> bool {
    let is_id = |value: &Scalar| matches!(value, Scalar::Field(path) if path == "event.user_id");
    !clause.size && (clause.field == "event.user_id" || clause.values.iter().any(is_id))
}

/// A value without upper case, where case does not matter.
fn naive_case(value: Value, clause: &ClauseSpec) -> Value {
    match value {
        Value::String(text) if clause.ignore_case => Value::from(text.to_ascii_lowercase()),
        Value::Array(items) => Value::Array(items.into_iter().map(|item| naive_case(item, clause)).collect()),
        other => other,
    }
}

/// Of what is compared: sizes, ids, and without case.
fn naive_compared(values: Vec<Option<Value>>, clause: &ClauseSpec) -> Vec<Option<Value>> {
    let values = match clause {
        _ if clause.size => values.into_iter().map(naive_size).collect(),
        _ if is_of_ids(clause) => naive_ids(values),
        _ => values,
    };
    values.into_iter().map(|value| value.map(|value| naive_case(value, clause))).collect()
}

/// What is compared with: what has no size is like nothing.
fn sought(values: Vec<Value>) -> Vec<Value> {
    values.into_iter().map(|value| if value == no_size() { Value::Null } else { value }).collect()
}

fn naive_wanted(event: &Happened, clause: &ClauseSpec) -> Vec<Vec<Value>> {
    let wanted = clause.values.iter().map(|value| match value {
        Scalar::Text(text) if clause.operator == Operator::Matches => vec![Value::from(text.clone())],
        Scalar::Field(path) => sought(flat(&naive_compared(naive_now(event, path), clause))),
        Scalar::Previous(path) => {
            let was = naive_told(event, path).unwrap_or_else(|| naive_now(event, path));
            sought(flat(&naive_compared(was, clause)))
        }
        fixed if clause.size => vec![fixed_value(fixed)],
        fixed => flat(&naive_compared(vec![Some(fixed_value(fixed))], clause)),
    });
    wanted.collect()
}

fn fixed_value(value: &Scalar) -> Value {
    match value {
        Scalar::Text(text) => Value::from(text.clone()),
        Scalar::Number(text) => Value::from(text.parse::<i64>().expect("an integer")),
        Scalar::Boolean(value) => Value::from(*value),
        Scalar::Null => Value::Null,
        other => panic!("{other:?} is not fixed"),
    }
}

fn naive_clause(event: &Happened, clause: &ClauseSpec) -> bool {
    let case = |values: Vec<Option<Value>>| -> Vec<Option<Value>> {
        values.into_iter().map(|value| value.map(|value| naive_case(value, clause))).collect()
    };
    let ids = |values: Vec<Option<Value>>| if is_of_ids(clause) { naive_ids(values) } else { values };
    let told = naive_told(event, &clause.field).map(ids);
    // Whether it has changed is asked of what it is, whatever its case.
    let now = naive_compared(naive_now(event, &clause.field), clause);
    let as_it_is = ids(naive_now(event, &clause.field));
    if clause.operator.is_active() && !means(Operator::Changed, &as_it_is, told.as_deref(), &[]) {
        return false;
    }
    decided_after_change(clause.operator, &now, told.map(case), &naive_wanted(event, clause))
}

/// What an operator means where it is known that the field has changed, if it asks for that: only its case may have.
fn decided_after_change(
    operator: Operator,
    now: &[Option<Value>],
    before: Option<Vec<Option<Value>>>,
    wanted: &[Vec<Value>],
) -> bool {
    match before {
        Some(before) if operator.is_active() => {
            let is_crossing = matches!(operator, Operator::BecameEmpty | Operator::BecameFilled);
            let pad = if is_crossing || before != now { None } else { Some(Some(Value::from("changed"))) };
            means(operator, now, Some(&before.into_iter().chain(pad).collect::<Vec<_>>()), wanted)
        }
        before => means(operator, now, before.as_deref(), wanted),
    }
}

/// What an explanation says, read as a reader would: what is, what was where it is told, and what both were compared with.
struct Told {
    now: Vec<Option<Value>>,
    before: Option<Vec<Option<Value>>>,
    wanted: Vec<Vec<Value>>,
    note: String,
}

impl Told {
    /// Whether a verdict follows from it.
    fn follows(&self, operator: Operator, clause: &ClauseSpec) -> bool {
        let case = |values: &[Option<Value>]| -> Vec<Option<Value>> {
            let values = if is_of_ids(clause) { naive_ids(values.to_vec()) } else { values.to_vec() };
            values.into_iter().map(|value| value.map(|value| naive_case(value, clause))).collect()
        };
        let of_value = |values: &Vec<Value>| flat(&case(&values.iter().cloned().map(Some).collect::<Vec<_>>()));
        let wanted: Vec<Vec<_>> = self.wanted.iter().map(of_value).collect();
        let wanted = if operator == Operator::Matches { self.wanted.clone() } else { wanted };
        if operator.is_active() && !means(Operator::Changed, &self.now, self.before.as_deref(), &[]) {
            return false;
        }
        decided_after_change(operator, &case(&self.now), self.before.as_deref().map(case), &wanted)
    }
}

fn read(explanation: &Explanation) -> Told {
    let rest = explanation.compared.strip_prefix("the size of ").unwrap_or(&explanation.compared);
    let rest = rest.strip_prefix(&explanation.field).expect("the field first");
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
    let after = rest.strip_prefix("; compared with ").or_else(|| rest.strip_prefix("; compared without case with "));
    if let Some(mut after) = after {
        loop {
            let (found, left) = operand(after);
            wanted.push(flat(&found));
            match left.strip_prefix(", ") {
                Some(more) => after = more,
                None => break rest = left,
            }
        }
    }
    Told { now, before, wanted, note: rest.to_owned() }
}

/// A value that is compared with, the several that a path leads to, and what comes after where it is taken from.
fn operand(text: &str) -> (Vec<Option<Value>>, &str) {
    if let Some(mut rest) = text.strip_prefix("no size") {
        while let Some(source) = rest.strip_prefix(" (") {
            rest = &source[source.find(')').expect("closed") + 1..];
        }
        return (vec![None], rest);
    }
    let mut whole = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let is_list = text.starts_with('[') && !matches!(whole.next(), Some(Ok(_)));
    let (found, mut rest) = if is_list {
        list(&text[1..])
    } else {
        let (one, rest) = value(text);
        (vec![one], rest)
    };
    while let Some(source) = rest.strip_prefix(" (") {
        rest = &source[source.find(')').expect("closed") + 1..];
    }
    (found, rest)
}

/// One value, or `absent`, and what comes after it.
fn value(text: &str) -> (Option<Value>, &str) {
    if let Some(rest) = text.strip_prefix("absent") {
        let rest = if rest.starts_with(" (") { &rest[rest.find(')').expect("closed") + 1..] } else { rest };
        return (None, rest);
    }
    if let Some(rest) = text.strip_prefix("no size") {
        return (Some(no_size()), rest);
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
    list(text.strip_prefix(&format!(" {many} [")).expect("a verb"))
}

/// Values up to the end of a list.
fn list(mut rest: &str) -> (Vec<Option<Value>>, &str) {
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
        "[abA]{0,2}".prop_map(Value::from),
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
    let user = prop::option::of((-2i64..3).prop_map(|id| id.to_string()));
    let bulk = prop::option::of(any::<bool>());
    let previous = prop::option::weighted(0.9, data_json());
    (action, data_json(), previous, user, bulk).prop_map(|(action, data, previous, user_id, is_bulk_edit)| Happened {
        action,
        data,
        previous: previous.filter(|_| action == Action::Change),
        user_id,
        is_bulk_edit,
    })
}

fn any_clause() -> impl Strategy<Value = MemberSpec> {
    let paths = || prop::sample::select(vec!["x", "y", "x.k", "y.l", "x[0]", "y[1]", "x[0].k", "y.k.l", "x.k[0]"]);
    let fixed = prop_oneof![
        Just(Scalar::Null),
        any::<bool>().prop_map(Scalar::Boolean),
        (-3i64..3).prop_map(|n| Scalar::Number(n.to_string())),
        "[abA]{0,2}".prop_map(Scalar::Text),
    ];
    let other = prop_oneof![
        3 => paths().prop_map(|path| Scalar::Field(path.into())),
        1 => Just(Scalar::Field("event.user_id".into())),
        3 => paths().prop_map(|path| Scalar::Previous(path.into())),
    ];
    let operators = prop::sample::select(vec![
        Operator::Is,
        Operator::IsNot,
        Operator::In,
        Operator::NotIn,
        Operator::Contains,
        Operator::NotContains,
        Operator::ContainsAny,
        Operator::ContainsAll,
        Operator::ContainsNone,
        Operator::StartsWith,
        Operator::EndsWith,
        Operator::Matches,
        Operator::IsEmpty,
        Operator::IsNotEmpty,
        Operator::Gt,
        Operator::Lte,
        Operator::Between,
        Operator::Changed,
        Operator::ChangedTo,
        Operator::ChangedFrom,
        Operator::BecameEmpty,
        Operator::BecameFilled,
    ]);
    let fields = prop_oneof![
        8 => paths(),
        1 => Just("event.user_id"),
        1 => Just("event.is_bulk_edit"),
    ];
    let values = prop::collection::vec((fixed, prop::option::weighted(0.3, other)), 2);
    let pattern = prop::sample::select(PATTERNS.map(|(pattern, _)| pattern).to_vec());
    let manner = (prop::bool::weighted(0.3), prop::bool::weighted(0.2), 1usize..3);
    (fields, operators, values, pattern, -3i64..3, manner).prop_map(|(field, operator, values, pattern, n, manner)| {
        let (ignore_case, size, count) = manner;
        let of_event = field.starts_with("event");
        let operator = if of_event && operator.is_active() { Operator::IsNotEmpty } else { operator };
        let size =
            size && !of_event && (operator.is_ordered() || matches!(operator.twin(), Operator::Is | Operator::In));
        let is_text = |value: &Scalar| matches!(value, Scalar::Text(text) if !text.is_empty());
        let fitting = |value: Scalar, n: i64| match operator {
            _ if size => Scalar::Number((n + 3).to_string()),
            _ if field == "event.is_bulk_edit" && operator.is_of_equality() => Scalar::Boolean(n > 0),
            _ if of_event => Scalar::Null,
            Operator::Gt | Operator::Lte | Operator::Between => Scalar::Number(n.to_string()),
            Operator::StartsWith | Operator::EndsWith if !is_text(&value) => Scalar::Text("a".into()),
            _ if operator.is_of_parts() && (value == Scalar::Null || value == Scalar::Text(String::new())) => {
                Scalar::Boolean(true)
            }
            _ => value,
        };
        let (least, most) = operator.arity();
        let numbers = [n, n + 2];
        let values: Vec<_> = (values.into_iter().zip(numbers).take(count.clamp(least, most)))
            .map(|((value, other), n)| other.unwrap_or_else(|| fitting(value, n)))
            .collect();
        let values = match operator {
            Operator::Matches => vec![Scalar::Text(pattern.into())],
            _ if of_event && operator.is_of_parts() => vec![Scalar::Field("x".into())],
            _ if of_event
                && (operator.is_ordered() || matches!(operator, Operator::StartsWith | Operator::EndsWith)) =>
            {
                values.iter().map(|_| Scalar::Field("y".into())).collect()
            }
            _ => values,
        };
        let operator = if of_event && operator == Operator::Matches { Operator::IsEmpty } else { operator };
        let values = if operator == Operator::IsEmpty { Vec::new() } else { values };
        let ignore_case = ignore_case && !size && operator.is_of_text();
        let clause = ClauseSpec { of_event, ignore_case, size, ..ClauseSpec::new(field, operator, &values) };
        // Ids have no order, and no parts.
        let is_of_texts = matches!(operator, Operator::StartsWith | Operator::EndsWith);
        MemberSpec::Clause(if is_of_ids(&clause) && (operator.is_of_parts() || operator.is_ordered() || is_of_texts) {
            ClauseSpec { operator: Operator::Is, values: values[..1].to_vec(), ..clause }
        } else if field == "event.is_bulk_edit" && operator.is_ordered() {
            ClauseSpec { operator: Operator::IsNotEmpty, values: Vec::new(), ignore_case: false, ..clause }
        } else {
            clause
        })
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
    let happened = Event {
        user_id: event.user_id.as_ref().map(|id| id.parse().expect("an id")),
        meta: event.is_bulk_edit.map(|is_bulk_edit| serde_json::json!({"is_bulk_edit": is_bulk_edit}).to_string()),
        ..self::event(event.action)
    };
    holds_for(spec, &happened, &event.data.to_string(), previous.as_deref())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_024))]

    #[test]
    fn conditions_agree_with_a_naive_evaluator(event in happened(), spec in any_group()) {
        let (held, explained) = decided(&event, &spec);
        prop_assert_eq!(held, naive(&event, &spec), "{:?}", explained);
        // Where it holds, the event meets what is demanded in any case: by that it is found.
        let compiled = Conditions::compile(Some(&spec), &[event.action], "conditions", &mut Violations::default());
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
        let MemberSpec::Clause(clause) = &spec.conditions[0] else { unreachable!() };
        let told = read(explanation);
        prop_assert_eq!(explanation.compared.contains("without case"), clause.ignore_case && !clause.values.is_empty());
        let follows = told.follows(explanation.operator, clause);
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
            let met = Told { now: as_element.to_vec(), before: None, ..told };
            prop_assert!(met.follows(operator, clause), "{:?}", explanation);
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
    let event = event(Action::Create);
    let state = ObjectState { event: &event, data: &data, previous: None, catalogue: &catalogue };
    let is = |field: &str, value: &str| MemberSpec::Clause(ClauseSpec::new(field, Operator::Is, &[number(value)]));
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
        let compiled = Conditions::compile(Some(&spec), &[Action::Create], "conditions", &mut Violations::default());
        let compiled = compiled.expect("compiles");
        let stop = compiled.stopped_by(state);
        assert_eq!(stop.is_none(), compiled.hold(state), "{spec:?}");
        let found =
            stop.as_ref().map(|stop| (stop.path.as_str(), stop.clause.as_ref().map(|(field, _)| field.as_str())));
        assert_eq!(found, wanted, "{spec:?}");
    }
}
