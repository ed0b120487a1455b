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
    let state = State { action, data: &data, previous: previous.as_ref() };
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

/// The same questions, asked another way: over `serde_json`, for integers, texts, booleans, nulls and arrays of them.
fn naive(data: &Value, spec: &GroupSpec) -> bool {
    let member = |member: &MemberSpec| match member {
        MemberSpec::Group(group) => naive(data, group),
        MemberSpec::Clause(clause) => naive_clause(data, clause),
    };
    match spec.how {
        Match::All => spec.conditions.iter().all(member),
        Match::Any => spec.conditions.iter().any(member),
        Match::None => spec.conditions.iter().all(|one| !member(one)),
    }
}

fn naive_clause(data: &Value, clause: &ClauseSpec) -> bool {
    let found = data.get(&clause.field).cloned().unwrap_or(Value::Null);
    let elements = match &found {
        Value::Array(items) => items.clone(),
        other => vec![other.clone()],
    };
    let wanted: Vec<Value> = (clause.values.iter())
        .map(|value| match value {
            Scalar::Text(text) => Value::from(text.clone()),
            Scalar::Number(text) => Value::from(text.parse::<i64>().expect("an integer")),
            Scalar::Boolean(value) => Value::from(*value),
            Scalar::Null => Value::Null,
        })
        .collect();
    let is_in = elements.iter().any(|element| wanted.contains(element));
    let contains = elements.iter().any(|element| match (element, &wanted[..]) {
        (Value::String(text), [Value::String(part)]) => text.contains(part.as_str()),
        (element, [one]) => found.is_array() && element == one,
        _ => false,
    });
    let is_empty = matches!(&found, Value::Null) || found == "" || found == Value::Array(Vec::new());
    let number = |test: fn(i64, i64) -> bool| {
        elements.iter().any(|element| match (element.as_i64(), wanted.first().and_then(Value::as_i64)) {
            (Some(a), Some(b)) => test(a, b),
            _ => false,
        })
    };
    match clause.operator {
        Operator::Is | Operator::In => is_in,
        Operator::IsNot | Operator::NotIn => !is_in,
        Operator::Contains => contains,
        Operator::NotContains => !contains,
        Operator::IsEmpty => is_empty,
        Operator::IsNotEmpty => !is_empty,
        Operator::Gt => number(|a, b| a > b),
        Operator::Lte => number(|a, b| a <= b),
        _ => unreachable!("not generated"),
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

fn data_json() -> impl Strategy<Value = Value> {
    let value = prop_oneof![scalar_json(), prop::collection::vec(scalar_json(), 0..3).prop_map(Value::Array)];
    prop::collection::hash_map("[xyz]", value, 0..3).prop_map(|map| Value::Object(map.into_iter().collect()))
}

fn any_clause() -> impl Strategy<Value = MemberSpec> {
    let values = prop_oneof![
        Just(Scalar::Null),
        any::<bool>().prop_map(Scalar::Boolean),
        (-3i64..3).prop_map(|n| Scalar::Number(n.to_string())),
        "[ab]{1,2}".prop_map(Scalar::Text),
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
    ]);
    ("[xyz]", operators, values, -3i64..3).prop_map(|(field, operator, value, n)| {
        let value = match operator {
            Operator::Gt | Operator::Lte => Scalar::Number(n.to_string()),
            Operator::Contains | Operator::NotContains if value == Scalar::Null => Scalar::Boolean(true),
            _ => value,
        };
        let takes_none = matches!(operator, Operator::IsEmpty | Operator::IsNotEmpty);
        MemberSpec::Clause(ClauseSpec { field, operator, values: if takes_none { vec![] } else { vec![value] } })
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

proptest! {
    #[test]
    fn conditions_agree_with_a_naive_evaluator(data in data_json(), spec in any_group()) {
        let (held, _) = holds(&spec, Action::Create, &data.to_string(), None);
        prop_assert_eq!(held, naive(&data, &spec));
    }

    #[test]
    fn a_negation_is_the_opposite_of_its_twin(data in data_json(), member in any_clause()) {
        let MemberSpec::Clause(clause) = member else { unreachable!() };
        let opposite = Operator::ALL.into_iter().find(|operator| operator.positive() == Some(clause.operator));
        if let Some(opposite) = opposite {
            let group = |operator| GroupSpec {
                how: Match::All,
                conditions: vec![MemberSpec::Clause(ClauseSpec { operator, ..clause.clone() })],
            };
            let held = |operator| holds(&group(operator), Action::Create, &data.to_string(), None).0;
            prop_assert_ne!(held(clause.operator), held(opposite));
        }
    }
}
