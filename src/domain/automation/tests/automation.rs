use uuid::Uuid;

use super::*;
use crate::domain::automation::condition::{ClauseSpec, Match, MemberSpec, Operator, Scalar};

/// The warnings of an automation on an object with a condition and one POST.
fn warned(object: &str, field: &str, path: &str, body: &str) -> Vec<String> {
    let clause = ClauseSpec::new(field, Operator::Changed, &[]);
    let spec = AutomationSpec {
        object: object.parse().expect("a name"),
        trigger_actions: Action::Change.into(),
        conditions: Some(GroupSpec { how: Match::Any, conditions: vec![MemberSpec::Clause(clause)] }),
        actions: vec![ActionSpec {
            id: None,
            webhook: "wh-1".parse().expect("an id"),
            webhook_uid: WebhookUid(Uuid::from_u128(1)),
            query_ending: false,
            method: Method::Post,
            path: path.into(),
            body: BodySpec::Raw(body.into()),
            headers: Vec::new(),
            continue_on_failure: false,
        }],
        actions_edited_at: None,
    };
    let mut faults = Violations::default();
    let compiled = spec.compile("automation", &mut faults);
    let compiled = compiled.unwrap_or_else(|| panic!("{:?}", faults.check()));
    spec.warnings(&compiled, &Catalogue::default())
}

#[test]
fn what_may_be_a_mistake_is_warned_of() {
    for (object, field, path, body, wanted) in [
        ("person", "name", "", "{}", None),
        ("person", "emails.value", "{{person.emails[0].value}}", r#"["{{person.emails[1].value}}"]"#, None),
        ("person", "emails", "", r#"[{{person.emails.value}}, {{person.emails}}]"#, None),
        ("person", "emails.0.value", "", "{}", Some("if the place in a list is meant, write emails[0].value")),
        ("person", "name", "", r#"["{{person.emails.1.label}}"]"#, Some("write emails[1].label")),
        ("person", "name", "a/{{person.emails.value}}", "{}", Some("stands for every value of a list")),
        ("person", "name", "{{person.emails}}", "{}", Some("stands for every value of a list")),
        ("deal", "title", "{{deal.label_ids}}", "{}", Some("stands for every value of a list")),
        ("deal", "title", "{{deal.label_ids[0]}}", r#"[{{deal.label_ids}}]"#, None),
        ("person", "name", "", r#"["<{{person.phones.value}}>"]"#, Some("name one by its place, such as [0]")),
        ("event", "name", "{{$event.id}}", "{{event}}", Some("write {{$event.…}} for what it means elsewhere")),
        ("previous", "name", "", "{}", Some("{{previous.…}} is a field of the previous here")),
        ("account", "name", "", "{}", Some("account is also a word of placeholders")),
    ] {
        let found = warned(object, field, path, body);
        match wanted {
            None => assert!(found.is_empty(), "{found:?}"),
            Some(wanted) => assert!(found.iter().any(|one| one.contains(wanted)), "{wanted}: {found:?}"),
        }
    }
}

#[test]
fn actions_keep_their_ids_through_edits() {
    let action = |text: &str| {
        let (id, rest) = text.split_once('=').map_or((None, text), |(id, rest)| (Some(id), rest));
        let (webhook, path) = rest.split_at(1);
        ActionSpec {
            id: id.map(|id| id.parse().expect("an id")),
            webhook: format!("wh-{webhook}").parse().expect("an id"),
            webhook_uid: WebhookUid(Uuid::from_u128(webhook.parse().expect("a number"))),
            query_ending: false,
            method: Method::Post,
            path: path.into(),
            body: BodySpec::None,
            headers: Vec::new(),
            continue_on_failure: false,
        }
    };
    let list = |text: &str| text.split_whitespace().map(action).collect::<Vec<_>>();
    for (before, edited, wanted) in [
        ("", "1a 1b", "new-1 new-2"),
        ("x=1a y=1b", "1a 1b", "x y"),
        ("x=1a y=1b", "1b 1a", "y x"),
        ("x=1a y=1b", "1b", "y"),
        ("x=1a y=1b", "1c 1a", "new-1 x"),
        ("x=1a y=1b", "1a 1c", "x y"),
        ("x=1a y=1b", "1a 2b", "x new-1"),
        ("x=1a y=1b", "1n 1a 1b", "new-1 x y"),
        ("x=1a y=1a", "1a 1a 1a", "x y new-1"),
        ("x=1a y=1a", "2b 1a", "new-1 y"),
        ("x=1a y=1b", "y=1z 1a", "y x"),
        ("x=1a y=1b", "mine=1a 1b", "mine y"),
    ] {
        let mut actions = list(edited);
        let mut made = 0;
        name_actions(&mut actions, &list(before), || {
            made += 1;
            format!("new-{made}").parse().expect("an id")
        });
        let ids: Vec<_> = actions.iter().map(|action| action.id.as_ref().expect("an id").to_string()).collect();
        assert_eq!(ids.join(" "), wanted, "{before} edited to {edited}");
    }
    let mut anew = list("1a 1b");
    anew.iter_mut().for_each(|action| action.webhook_uid = WebhookUid(Uuid::from_u128(9)));
    name_actions(&mut anew, &list("x=1a y=1b"), || unreachable!("the webhook was made anew under its id"));
    assert!(anew.iter().all(|action| action.id.is_some()));
}

#[test]
fn the_stored_form_stays_readable() {
    let spec = AutomationSpec {
        object: "deal".parse().expect("a name"),
        trigger_actions: Action::Change.into(),
        conditions: Some(GroupSpec {
            how: Match::All,
            conditions: vec![MemberSpec::Clause(ClauseSpec::new(
                "stage_id",
                Operator::ChangedTo,
                &[Scalar::Number("2".into())],
            ))],
        }),
        actions_edited_at: None,
        actions: vec![ActionSpec {
            id: None,
            webhook: "wh-1".parse().expect("an id"),
            webhook_uid: WebhookUid(Uuid::from_u128(1)),
            query_ending: false,
            method: Method::Put,
            path: "deals/{{deal.id}}".into(),
            body: BodySpec::KeyValue(vec![("id".into(), "{{deal.id}}".into())]),
            headers: Vec::new(),
            continue_on_failure: true,
        }],
    };
    let golden = r#"{"object":"deal","action":"change","conditions":{"match":"all","conditions":[{"clause":{"field":"stage_id","operator":"changed_to","values":[{"number":"2"}]}}]},"actions":[{"webhook":"wh-1","webhook_uid":"00000000-0000-0000-0000-000000000001","method":"PUT","path":"deals/{{deal.id}}","body":{"key_value":[["id","{{deal.id}}"]]},"continue_on_failure":true}]}"#;
    assert_eq!(serde_json::to_string(&spec).expect("serializes"), golden);
    assert_eq!(serde_json::from_str::<AutomationSpec>(golden).expect("reads"), spec);
    let mut spec = spec;
    spec.complete(Timestamp(7));
    spec.actions[0].body = BodySpec::None;
    let stored = serde_json::to_string(&spec).expect("serializes");
    for part in [r#""actions":[{"id":"action-1","webhook""#, r#""body":"none""#, r#","actions_edited_at":7}"#] {
        assert!(stored.contains(part), "{stored}");
    }
    assert_eq!(serde_json::from_str::<AutomationSpec>(&stored).expect("reads"), spec);
}
