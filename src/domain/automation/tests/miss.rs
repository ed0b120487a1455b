use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::{
    automation::{
        automation::{Activation, AutomationSpec},
        checks::CheckKind,
        method::Method,
        template::BodySpec,
    },
    event::Action,
    refusal::Violations,
};

const ACCOUNT: AccountUid = AccountUid(Uuid::from_u128(1));

fn automation(no: u128, activation: Activation) -> Arc<Automation> {
    let spec = AutomationSpec {
        object: "deal".parse().expect("a name"),
        trigger_actions: Action::Change.into(),
        conditions: None,
        actions_edited_at: None,
        actions: vec![crate::domain::automation::automation::ActionSpec {
            id: None,
            webhook: "wh-1".parse().expect("an id"),
            webhook_uid: crate::domain::id::WebhookUid(Uuid::from_u128(1)),
            query_ending: false,
            method: Method::Post,
            path: String::new(),
            body: BodySpec::Raw("{}".into()),
            headers: Vec::new(),
            continue_on_failure: false,
        }],
    };
    let compiled = spec.compile("automation", &mut Violations::default()).expect("compiles");
    Arc::new(Automation {
        uid: AutomationUid(Uuid::from_u128(no)),
        id: format!("au-{no}").parse().expect("an id"),
        display_name: "an automation".into(),
        spec,
        compiled,
        enabled: true,
        activation,
        owner: "1".parse().expect("an id"),
        revision: 1,
        created_at: Timestamp(0),
        updated_at: Timestamp(0),
    })
}

fn miss(automations: &Automations, event: Event, ran: &[bool]) -> Miss {
    let ran = automations.iter().zip(ran).filter(|(_, ran)| **ran).map(|(automation, _)| automation.uid).collect();
    Miss {
        event: Arc::new(event),
        automations: Arc::clone(automations),
        ran,
        has_plan: true,
        catalogue: Arc::default(),
    }
}

fn ids(misses: &Misses) -> Vec<String> {
    misses.misses.iter().map(|missed| missed.event.id.to_string()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_automation_has_its_last_misses(
        ran in proptest::collection::vec((0..2_usize, proptest::array::uniform3(0..10_u8)), 1..200),
        is_tight in any::<bool>(),
    ) {
        // The first automation runs nearly always, the last one never.
        let automations: Automations =
            [10, 11, 12].map(|no| automation(no, Activation::everyone())).into_iter().collect::<Vec<_>>().into();
        let bytes_max = if is_tight { 30_000 } else { usize::MAX };
        let mut book = MissBook::new(bytes_max, Timestamp(0));
        let mut model: Vec<(String, Timestamp, [bool; 3])> = Vec::new();
        for (at, (object, dice)) in ran.iter().enumerate() {
            let ran = [dice[0] != 0, dice[1] < 3, false];
            let now = Timestamp(1_000 + i64::try_from(at).expect("fits"));
            let mut event = Event::sample(&format!("e{at}"));
            event.object = ["deal", "lead"][*object].parse().expect("a name");
            model.push((event.id.to_string(), now, ran));
            book.push(ACCOUNT, miss(&automations, event, &ran), now);
            prop_assert!(book.bytes() <= bytes_max);
        }
        for (no, automation) in automations.iter().enumerate() {
            let found = book.of(ACCOUNT, automation.uid).explained();
            let newest = model.iter().rev().filter(|(.., ran)| !ran[no]);
            if is_tight {
                let since: Vec<_> = newest.filter(|(_, at, _)| *at >= found.complete_since).map(|(id, ..)| id.clone()).collect();
                prop_assert_eq!(ids(&found), &since[..since.len().min(MISSES_MAX)]);
            } else {
                // Of each of the two triggers it keeps the last ones; together they are the last ones.
                let expected: Vec<_> = newest.take(MISSES_MAX).map(|(id, ..)| id.clone()).collect();
                prop_assert_eq!(ids(&found), expected);
            }
        }
        book.forget(ACCOUNT);
        prop_assert_eq!(book.bytes(), 0);
    }
}

#[test]
fn the_answer_says_why_and_since_when_it_knows() {
    let users: Automations = vec![automation(10, Activation::only("9".parse().expect("an id")))].into();
    let mut book = MissBook::new(1_000_000, Timestamp(5));
    book.push(ACCOUNT, miss(&users, Event::sample("e"), &[false]), Timestamp(7));
    book.push(ACCOUNT, miss(&users, Event::sample("e"), &[false]), Timestamp(8));
    let found = book.of(ACCOUNT, users[0].uid).explained();
    assert_eq!((ids(&found), found.complete_since), (vec!["e".to_owned()], Timestamp(5)), "the same event counts once");
    let failed: Vec<_> = found.misses[0].checks.iter().filter(|check| !check.holds).map(|check| check.kind).collect();
    assert_eq!(failed, [CheckKind::Activation]);
    for at in 0..30 {
        book.push(ACCOUNT, miss(&users, Event::sample(&format!("f{at}")), &[false]), Timestamp(100 + at));
    }
    let found = book.of(ACCOUNT, users[0].uid).explained();
    assert_eq!((found.misses.len(), found.complete_since), (MISSES_MAX, Timestamp(110)));
    let nobody = book.of(ACCOUNT, AutomationUid(Uuid::from_u128(99))).explained();
    assert!(nobody.misses.is_empty());
}
