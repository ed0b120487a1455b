use uuid::Uuid;

use super::*;
use crate::domain::{
    automation::{
        Activation, AutomationSpec,
        condition::{ClauseSpec, GroupSpec, Match, MemberSpec, Operator, Scalar},
    },
    event::Action,
    id::AutomationUid,
    json,
    refusal::Violations,
    timestamp::Timestamp,
};

fn clause(field: &str, operator: Operator, values: &[Scalar]) -> MemberSpec {
    MemberSpec::Clause(ClauseSpec::new(field, operator, values))
}

fn group(how: Match, conditions: Vec<MemberSpec>) -> GroupSpec {
    GroupSpec { how, conditions }
}

fn automation(no: u128, conditions: Option<GroupSpec>, enabled: bool) -> Arc<Automation> {
    let spec = AutomationSpec {
        object: "deal".parse().expect("a name"),
        trigger_actions: Action::Change.into(),
        conditions,
        actions_edited_at: None,
        actions: Vec::new(),
    };
    let compiled = spec.compile("automation", &mut Violations::default()).expect("compiles");
    Arc::new(Automation {
        uid: AutomationUid(Uuid::from_u128(no)),
        id: format!("au-{no}").parse().expect("an id"),
        display_name: "an automation".into(),
        spec,
        compiled,
        enabled,
        activation: Activation::everyone(),
        owner: "1".parse().expect("an id"),
        revision: 1,
        created_at: Timestamp(0),
        updated_at: Timestamp(0),
    })
}

fn number(text: &str) -> Scalar {
    Scalar::Number(text.into())
}

#[test]
fn an_event_finds_those_whose_demands_it_meets() {
    let is = |field: &str, value: Scalar| clause(field, Operator::Is, &[value]);
    let won = || is("status", Scalar::Text("won".into()));
    let all = |members: Vec<MemberSpec>| Some(group(Match::All, members));
    let text = || Scalar::Text("a".into());
    let conditions = [
        all(vec![won()]),
        all(vec![clause("stage_id", Operator::In, &[number("3"), number("4")])]),
        // Of two demands the one with fewer values is looked up.
        all(vec![clause("label_ids", Operator::In, &[number("1"), number("2")]), is("value", number("1e2"))]),
        all(vec![MemberSpec::Group(group(Match::All, vec![is("open", Scalar::Boolean(true))]))]),
        // Nothing is sure of these: any event may fit them.
        Some(group(Match::Any, vec![won(), is("stage_id", number("9"))])),
        Some(group(Match::None, vec![won()])),
        all(vec![clause("status", Operator::IsNot, &[text()])]),
        all(vec![clause("title", Operator::StartsWith, &[text()])]),
        all(vec![is("lost_time", Scalar::Null)]),
        all(vec![is("add_time", Scalar::Text("2026-11-24T08:00:00Z".into()))]),
        all(vec![is("stage.label", Scalar::Text("Won".into()))]),
        None,
    ];
    let automations = conditions.into_iter().zip(0..).map(|(conditions, no)| automation(no, conditions, true));
    let mut automations: Vec<_> = automations.collect();
    automations.push(automation(12, None, false));
    let selection = Selection::new(automations);
    for (data, wanted) in [
        (r#"{"status": "lost"}"#, &[][..]),
        (r#"{"status": "won", "stage_id": 4.0}"#, &[0, 1]),
        (r#"{"status": ["lost", "won"], "open": true}"#, &[0, 3]),
        (r#"{"value": 100, "stage_id": "3", "open": "true"}"#, &[2]),
    ] {
        let found = selection.candidates(&json::parse(data).expect("JSON")).into_iter();
        let found: Vec<_> = found.map(|automation| automation.uid.0.as_u128()).collect();
        let expected: Vec<u128> = wanted.iter().copied().chain(4..12).collect();
        assert_eq!(found, expected, "{data}");
    }
    assert!(Selection::new(vec![automation(1, None, false)]).is_empty());
}
