use crate::domain::{
    automation::{
        catalogue::Catalogue,
        condition::{
            Anchor, ClauseSpec, Conditions, GroupSpec, Match, MemberSpec, ObjectState, Operator as O, RelativeSpec,
            Scalar, is_of_event,
        },
    },
    event::{Action, Event},
    json,
    refusal::Violations,
    timestamp::Timestamp,
};

/// Whether a clause holds for a change, and what is said of it.
fn decided(clause: ClauseSpec, data: &str, previous: Option<&str>) -> (bool, String) {
    let event = Event {
        action: Action::Change,
        user_id: Some("7".parse().expect("an id")),
        meta: Some(r#"{"change_source": "app", "is_bulk_edit": false, "merged_to_id": 12}"#.into()),
        occurred_at: Timestamp::parse("2026-11-25T10:00:00Z").expect("a time"),
        ..Event::sample("e1")
    };
    let clause = ClauseSpec { of_event: is_of_event(&clause.field), ..clause };
    let spec = GroupSpec { how: Match::All, conditions: vec![MemberSpec::Clause(clause)] };
    let mut faults = Violations::default();
    let conditions = Conditions::compile(Some(&spec), &[event.action], "conditions", &mut faults);
    let conditions = conditions.unwrap_or_else(|| panic!("{spec:?}: {faults:?}"));
    let data = json::parse(data).expect("data");
    let previous = previous.map(|text| json::parse(text).expect("previous"));
    let catalogue = Catalogue::default();
    let state = ObjectState { event: &event, data: &data, previous: previous.as_ref(), catalogue: &catalogue };
    (conditions.hold(state), conditions.explain(state).remove(0).compared)
}

fn text(text: &str) -> Scalar {
    Scalar::Text(text.into())
}

fn number(text: &str) -> Scalar {
    Scalar::Number(text.into())
}

fn field(path: &str) -> Scalar {
    Scalar::Field(path.into())
}

fn previous(path: &str) -> Scalar {
    Scalar::Previous(path.into())
}

fn relative(from: Anchor, offset: &str) -> Scalar {
    Scalar::Relative(RelativeSpec { from, offset: offset.into(), time_zone: String::new() })
}

const DATA: &str = r#"{"title": "Große Straße ΣΑΣ", "tags": ["Red", "green", 3], "none": [], "value": 10, "budget": 10.0,
    "owner_id": 7, "helpers": [6, 7], "others": [17, 71], "old_owner_id": 9, "stage_id": 3, "close": "2026-11-27", "add_time": "2026-11-25T09:30:00Z",
    "due": "2026-11-20", "country": "ee", "address": {"city": "Tartu"}, "billing": {"city": "Tartu"}, "wanted": ["green"]}"#;
const PREVIOUS: &str = r#"{"value": 8, "tags": ["Red"], "stage_id": 2, "owner_id": 7, "old_owner_id": 7}"#;

#[test]
fn case_is_ignored_where_that_is_asked_for() {
    for (path, operator, values, held) in [
        ("country", O::Is, vec![text("EE")], true),
        ("country", O::In, vec![text("LV"), text("EE")], true),
        ("country", O::IsNot, vec![text("EE")], false),
        ("title", O::Contains, vec![text("STRASSE")], true),
        ("title", O::StartsWith, vec![text("GROSSE")], true),
        ("title", O::EndsWith, vec![text("σας")], true),
        ("title", O::Matches, vec![text("^große")], true),
        ("tags", O::Contains, vec![text("RED")], true),
        ("tags", O::ContainsAll, vec![text("RED"), text("GREEN"), number("3")], true),
        ("tags", O::ContainsNone, vec![text("BLUE"), text("GREEN")], false),
        ("tags", O::ChangedTo, vec![text("GREEN")], true),
        ("tags", O::ChangedTo, vec![text("RED")], false),
        ("value", O::Is, vec![number("10")], true),
    ] {
        let with = |ignore_case| ClauseSpec { ignore_case, ..ClauseSpec::new(path, operator, &values) };
        let (found, why) = decided(with(true), DATA, Some(PREVIOUS));
        assert_eq!(found, held, "{path} {operator:?} {values:?}: {why}");
        assert!(why.contains("compared without case with"), "{why}");
        let is_of_number = matches!(values[0], Scalar::Number(_));
        let is_different = decided(with(false), DATA, Some(PREVIOUS)).0 != held || is_of_number;
        assert!(
            is_different || operator == O::ContainsNone || path == "tags",
            "{path} {operator:?} ignores case anyway"
        );
    }
}

#[test]
fn fields_are_compared_with_fields_and_with_what_they_were() {
    for (path, operator, values, held, told) in [
        ("value", O::Gt, vec![previous("value")], true, "value is 10; compared with 8 (previous value)"),
        ("value", O::Lt, vec![previous("value")], false, ""),
        ("value", O::IsNot, vec![previous("value")], true, ""),
        ("budget", O::IsNot, vec![previous("budget")], false, "compared with 10.0 (previous budget)"),
        ("value", O::Is, vec![field("budget")], true, "compared with 10.0 (budget)"),
        ("value", O::Between, vec![number("1"), field("budget")], true, "compared with 1, 10.0 (budget)"),
        ("value", O::Between, vec![field("budget"), number("9")], false, ""),
        ("value", O::Is, vec![field("missing")], false, "compared with absent (missing)"),
        ("missing", O::Is, vec![field("nothing")], true, "missing is absent; compared with absent (nothing)"),
        ("value", O::Gt, vec![field("title")], false, "a number is never a text"),
        ("address", O::Is, vec![field("billing")], true, ""),
        ("tags", O::ContainsAll, vec![field("wanted")], true, ""),
        ("tags", O::ContainsAll, vec![field("none")], false, ""),
        ("tags", O::ContainsNone, vec![field("none")], true, ""),
        ("title", O::Contains, vec![field("address.city")], false, ""),
        ("close", O::After, vec![field("due")], true, ""),
        (
            "owner_id",
            O::Is,
            vec![field("event.user_id")],
            true,
            "owner_id is \"7\"; compared with \"7\" (event.user_id)",
        ),
        ("helpers", O::Is, vec![field("event.user_id")], true, "helpers is [6, 7]; compared with"),
        ("helpers", O::Contains, vec![field("event.user_id")], true, ""),
        ("others", O::Contains, vec![field("event.user_id")], false, ""),
        ("others", O::ContainsNone, vec![field("event.user_id"), number("1")], true, ""),
        ("owner_id", O::ChangedTo, vec![field("event.user_id")], false, ""),
        ("old_owner_id", O::ChangedFrom, vec![field("event.user_id")], true, ""),
        ("stage_id", O::Is, vec![field("event.user_id")], false, ""),
    ] {
        let (found, why) = decided(ClauseSpec::new(path, operator, &values), DATA, Some(PREVIOUS));
        assert_eq!(found, held, "{path} {operator:?} {values:?}: {why}");
        assert!(why.contains(told), "{told} is not in {why}");
    }
    let rises = || ClauseSpec::new("value", O::Gt, &[previous("value")]);
    assert!(
        !decided(rises(), DATA, None).0 && !decided(rises(), DATA, Some("{}")).0,
        "what is not told has not changed"
    );
}

#[test]
fn sizes_are_compared() {
    let sized =
        |path: &str, operator, values: &[Scalar]| ClauseSpec { size: true, ..ClauseSpec::new(path, operator, values) };
    for (clause, held, told) in [
        (sized("tags", O::Is, &[number("3")]), true, "the size of tags is 3; compared with 3"),
        (sized("tags", O::Gt, &[previous("tags")]), true, "compared with 1 (the size of previous tags)"),
        (sized("none", O::Lt, &[number("1")]), true, ""),
        (sized("missing", O::In, &[number("0"), number("1")]), true, ""),
        (sized("country", O::Between, &[number("2"), number("3")]), true, ""),
        (sized("value", O::Gte, &[number("0")]), false, "the size of value is no size"),
        (sized("value", O::Is, &[field("budget")]), false, "compared with no size (the size of budget)"),
        (sized("value", O::IsNot, &[field("budget")]), true, ""),
        (sized("tags", O::IsNot, &[field("helpers")]), true, "compared with 2 (the size of helpers)"),
    ] {
        let (found, why) = decided(clause.clone(), DATA, Some(PREVIOUS));
        assert_eq!(found, held, "{clause:?}: {why}");
        assert!(why.contains(told), "{told} is not in {why}");
    }
}

#[test]
fn times_are_compared_with_the_time_of_the_event() {
    use Anchor::{Now, StartOfDay, StartOfMonth, StartOfWeek};
    for (path, operator, values, held) in [
        ("close", O::Before, vec![relative(Now, "7 days")], true),
        ("close", O::Is, vec![relative(StartOfDay, "2 days")], true),
        ("close", O::Gt, vec![relative(Now, "2 days")], false),
        ("due", O::Before, vec![relative(StartOfDay, "")], true),
        ("due", O::Between, vec![relative(StartOfMonth, ""), relative(StartOfWeek, "")], true),
        ("add_time", O::Gte, vec![relative(Now, "-1 hour")], true),
        ("add_time", O::Gte, vec![relative(Now, "-29 minutes")], false),
        ("add_time", O::Gte, vec![relative(StartOfDay, "")], true),
        ("add_time", O::Lt, vec![relative(StartOfDay, "1 day")], true),
        ("event.occurred_at", O::Is, vec![relative(Now, "")], true),
        ("title", O::Before, vec![relative(Now, "")], false),
    ] {
        let (found, why) = decided(ClauseSpec::new(path, operator, &values), DATA, Some(PREVIOUS));
        assert_eq!(found, held, "{path} {operator:?} {values:?}: {why}");
    }
    let (_, why) = decided(ClauseSpec::new("due", O::Before, &[relative(StartOfWeek, "-1 week")]), DATA, None);
    assert!(why.ends_with(r#"compared with "2026-11-16T00:00:00+00:00" (start of week - 1 week)"#), "{why}");
    let (_, why) = decided(ClauseSpec::new("value", O::Before, &[relative(Now, "")]), DATA, None);
    assert!(why.ends_with("a number is never a date or a time"), "{why}");
}

#[test]
fn what_an_event_says_of_itself_is_compared() {
    for (path, operator, values, held) in [
        ("event.user_id", O::Is, vec![text("7")], true),
        ("event.user_id", O::Is, vec![number("7")], true),
        ("$event.user_id", O::In, vec![number("6"), text("8")], false),
        ("event.change_source", O::Is, vec![text("app")], true),
        ("event.is_bulk_edit", O::Is, vec![Scalar::Boolean(false)], true),
        ("event.merged_to_id", O::IsNotEmpty, vec![], true),
        ("event.merged_to_id", O::Is, vec![number("12")], true),
        ("event.merged_from_id", O::IsEmpty, vec![], true),
        ("event.entity_id", O::StartsWith, vec![text("8")], true),
        ("event.action", O::Is, vec![text("change")], true),
        // A field of the object, although it has such a name.
        ("[\"event\"].user_id", O::Is, vec![text("other")], true),
    ] {
        let data = r#"{"event": {"user_id": "other"}}"#;
        let (found, why) = decided(ClauseSpec::new(path, operator, &values), data, None);
        assert_eq!(found, held, "{path} {operator:?} {values:?}: {why}");
        let shown = path.trim_start_matches('$');
        assert!(why.starts_with(shown), "{why}");
    }
}

/// Whatever the event and however much is compared, a clause takes time in proportion to the event. Where one took its square,
/// or went over it for each of its values, this would not end.
#[test]
fn no_comparison_takes_long() {
    let list = |value: &str| format!("[{}{value}]", format!("{value}, ").repeat(10_000));
    let (long, other) = (list("\"Aé\""), list("\"b\""));
    let large = "Aé".repeat(30_000);
    let (numbers, many) = (list("1"), list("{}"));
    let members: Vec<_> = (0..5_000).map(|at| format!(r#""k{at}": {at}"#)).collect();
    let wide = members.join(",");
    let data =
        format!(r#"{{"l": {long}, "m": {other}, "t": "{large}", "n": {numbers}, "many": {many}, "wide": {{{wide}}}}}"#);
    let before = format!(r#"{{"l": {other}}}"#);
    let values: Vec<_> = (0..100).map(|at| text(&format!("x{at}"))).collect();
    for (path, operator, values) in [
        ("l", O::Is, vec![field("m")]),
        ("l", O::ChangedTo, vec![field("m")]),
        ("l", O::ChangedFrom, vec![previous("l")]),
        ("l", O::ContainsAll, vec![field("m")]),
        ("l", O::ContainsAny, values.clone()),
        ("l", O::NotIn, values.clone()),
        ("t", O::ContainsAll, values.clone()),
        ("t", O::Contains, vec![field("t")]),
        ("t", O::Is, vec![field("l")]),
        ("n", O::Gt, vec![field("n")]),
        ("n", O::Between, vec![field("n"), field("n")]),
        ("many", O::Is, vec![field("wide")]),
        ("many", O::In, vec![field("wide"); 5]),
    ] {
        for ignore_case in [false, true] {
            if ignore_case && operator.is_ordered() {
                continue;
            }
            let clause = ClauseSpec { ignore_case, ..ClauseSpec::new(path, operator, &values) };
            let _ = decided(clause, &data, Some(&before));
        }
    }
}

#[test]
fn a_pattern_looks_at_so_much_text_and_no_more() {
    let clause = || ClauseSpec::new("t", O::Matches, &[text("a$")]);
    let data = |count: usize| format!(r#"{{"t": "{}a"}}"#, "b".repeat(count));
    assert!(decided(clause(), &data(16_000), None).0);
    let (held, why) = decided(clause(), &data(17_000), None);
    assert!(!held && why.ends_with("more text than the 16384 bytes that a pattern looks at"), "{why:.300}");
}
