use crate::domain::{
    automation::condition::{
        Anchor, ClauseSpec, Conditions, GroupSpec, Match, MemberSpec, Operator as O, PATTERNS_MAX, RelativeSpec,
        Scalar, is_of_event,
    },
    event::Action,
    refusal::{Refusal, Violations},
};

fn text(text: &str) -> Scalar {
    Scalar::Text(text.into())
}

fn previous(path: &str) -> Scalar {
    Scalar::Previous(path.into())
}

fn clause(field: &str, operator: O, values: &[Scalar]) -> ClauseSpec {
    ClauseSpec { of_event: is_of_event(field), ..ClauseSpec::new(field, operator, values) }
}

fn faults(clauses: Vec<ClauseSpec>, actions: &[Action]) -> Vec<(String, String)> {
    let conditions = clauses.into_iter().map(MemberSpec::Clause).collect();
    let group = GroupSpec { how: Match::All, conditions };
    let mut faults = Violations::default();
    let compiled = Conditions::compile(Some(&group), actions, "conditions", &mut faults);
    assert_eq!(compiled.is_none(), !faults.is_empty(), "{faults:?}");
    match faults.check() {
        Err(Refusal::Invalid(violations)) => {
            violations.into_iter().map(|violation| (violation.field, violation.message)).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn what_a_clause_cannot_compare_is_refused_at_its_place() {
    let now = |offset: &str| {
        Scalar::Relative(RelativeSpec { from: Anchor::Now, offset: offset.into(), time_zone: String::new() })
    };
    let sized = |operator, values: &[Scalar]| ClauseSpec { size: true, ..clause("tags", operator, values) };
    let cased = |operator, values: &[Scalar]| ClauseSpec { ignore_case: true, ..clause("n", operator, values) };
    for (spec, place, message) in [
        (clause("t", O::Matches, &[text("(")]), "values[0]", "is no regular expression: unclosed group"),
        (
            clause("t", O::Matches, &[Scalar::Number("1".into())]),
            "values[0]",
            "must be a regular expression, as a text",
        ),
        (clause("t", O::Matches, &[Scalar::Field("u".into())]), "values[0].field", "a pattern must be written"),
        (clause("t", O::ContainsAll, &[]), "values", "takes 1 to 100 values"),
        (clause("t", O::ContainsNone, &[text("")]), "values[0]", "a text that is not empty"),
        (clause("t", O::ContainsAny, &[Scalar::Null]), "values[0]", "a text that is not empty"),
        (clause("t", O::Contains, &[now("")]), "values[0]", "a time is compared with"),
        (clause("t", O::After, &[now("x")]), "values[0].relative_time.offset", "is no span of time"),
        (clause("t", O::Is, &[Scalar::Field("a b".into())]), "values[0].field", "at column 2"),
        (clause("t", O::Is, &[Scalar::Field(String::new())]), "values[0].field", "is empty"),
        (clause("t", O::Is, &[previous("event.user_id")]), "values[0].previous_field", "has no old value"),
        (clause("t", O::Is, &[previous("$event.nobody")]), "values[0].previous_field", "is nothing of the event"),
        (clause("$event.nobody", O::IsEmpty, &[]), "field", "$event has id, action"),
        (clause("$deal.id", O::IsEmpty, &[]), "field", "is nothing of the event"),
        (clause("event.user_id", O::Changed, &[]), "operator", "has no old value"),
        (clause("event.user_id", O::Is, &[Scalar::Boolean(true)]), "values[0]", "event.user_id is a text"),
        (clause("event.is_bulk_edit", O::Is, &[text("true")]), "values[0]", "event.is_bulk_edit is true or false"),
        (clause("event.entity_id", O::Gt, &[Scalar::Number("5".into())]), "operator", "event.entity_id has no order"),
        (clause("owner_id", O::Lt, &[Scalar::Field("event.user_id".into())]), "operator", "an id has no order"),
        (clause("t", O::In, &vec![Scalar::Field("u".into()); 6]), "values", "names 6 fields, the limit is 5"),
        (clause("event.occurred_at", O::After, &[text("2026-11-24")]), "values[0]", "is a time such as"),
        (sized(O::Is, &[text("3")]), "values[0]", "must be a number"),
        (sized(O::Contains, &[text("3")]), "size", "contains compares no sizes"),
        (sized(O::Changed, &[]), "size", "changed compares no sizes"),
        (cased(O::IsEmpty, &[]), "ignore_case", "is_empty compares no texts"),
        (cased(O::Gt, &[Scalar::Number("1".into())]), "ignore_case", "gt compares no texts"),
    ] {
        let found = faults(vec![spec.clone()], &[Action::Change]);
        let place = format!("conditions.conditions[0].clause.{place}");
        assert!(found.iter().any(|(at, why)| *at == place && why.contains(message)), "{spec:?}: {found:?}");
    }
}

#[test]
fn an_automation_has_a_few_patterns() {
    let patterns = |count: usize| vec![clause("t", O::Matches, &[text("^a")]); count];
    assert!(faults(patterns(PATTERNS_MAX), &[Action::Change]).is_empty());
    let found = faults(patterns(PATTERNS_MAX + 1), &[Action::Change]);
    assert!(found[0].1.contains("one pattern too many"), "{found:?}");
}

#[test]
fn what_asks_for_a_change_needs_a_trigger_that_may_be_one() {
    let asking = [clause("n", O::Changed, &[]), clause("n", O::Gt, &[previous("n")])];
    for spec in asking {
        for actions in [&[Action::Change][..], &[Action::Create], &[Action::Create, Action::Change]] {
            assert!(faults(vec![spec.clone()], actions).is_empty(), "{spec:?} {actions:?}");
        }
        for actions in [&[Action::Delete][..], &[Action::Change, Action::Delete]] {
            let found = faults(vec![spec.clone()], actions);
            assert!(found[0].1.contains("nothing changes on delete"), "{spec:?} {actions:?}: {found:?}");
        }
    }
}
