use uuid::Uuid;

use super::*;

const SLOW: WebhookUid = WebhookUid(Uuid::from_u128(1));
const QUICK: WebhookUid = WebhookUid(Uuid::from_u128(2));

fn account(id: &str) -> AccountId {
    id.parse().expect("an id")
}

#[test]
fn slow_webhooks_leave_a_quarter_to_quick_ones() {
    let slots = Slots::new(8);
    slots.note(QUICK, Duration::from_millis(999), true);
    let (one, two) = (account("1"), account("2"));
    let mut held: Vec<_> = (0..6).map(|_| slots.take(&one, SLOW).expect("a slot")).collect();
    assert_eq!(slots.available(&one, SLOW).0, 0, "the rest is for quick ones");
    assert!(slots.take(&one, SLOW).is_none());
    assert_eq!(slots.available(&two, QUICK).0, 2);
    let quick: Vec<_> = (0..2).map(|_| slots.take(&two, QUICK).expect("a slot")).collect();
    assert!(slots.take(&two, QUICK).is_none(), "there are no more");
    slots.wait(&one, SLOW);
    drop(quick);
    assert_eq!(slots.available(&one, SLOW).0, 0);
    held.pop();
    assert_eq!(slots.available(&one, SLOW).0, 1, "a slow one has ended");
    assert!(slots.take(&two, SLOW).is_none(), "it is granted to whoever waited");
    assert!(slots.take(&one, SLOW).is_some());
    slots.note(QUICK, Duration::from_secs(1), true);
    assert_eq!(slots.available(&two, QUICK).0, 1, "it is slow now");
}

#[test]
fn free_slots_go_round_over_the_accounts() {
    let slots = Slots::new(1);
    let woken = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&woken);
    slots.on_grant(Box::new(move |account| {
        seen.lock().expect("a lock").push(account.to_string());
        account.as_str() != "gone"
    }));
    let mut held = slots.take(&account("9"), SLOW);
    for id in ["1", "1", "gone", "2", "3", "2"] {
        slots.wait(&account(id), SLOW);
    }
    for id in ["1", "2", "3", "1", "2"] {
        drop(held.take());
        assert!(slots.take(&account("9"), SLOW).is_none(), "nobody passes those who wait");
        held = slots.take(&account(id), SLOW);
        assert!(held.is_some(), "{id}");
        if id != "3" {
            slots.wait(&account(id), SLOW);
        }
    }
    assert_eq!(*woken.lock().expect("a lock"), ["1", "gone", "2", "3", "1", "2"]);
    drop(held);
    slots.give_back(&account("1"));
    slots.give_back(&account("2"));
    assert!(slots.take(&account("9"), SLOW).is_some(), "none is lost");
}

#[test]
fn neither_class_starves_the_other() {
    let slots = Slots::new(4);
    slots.note(QUICK, Duration::ZERO, true);
    let mut held: Vec<_> = (0..4).map(|_| slots.take(&account("9"), QUICK)).collect();
    let mut granted = Vec::new();
    for _ in 0..4 {
        for (id, webhook) in [("quick", QUICK), ("slow", SLOW)] {
            slots.wait(&account(id), webhook);
        }
        held.pop();
        for (id, webhook) in [("quick", QUICK), ("slow", SLOW)] {
            if let Some(slot) = slots.take(&account(id), webhook) {
                granted.push((id, slot));
            }
        }
    }
    let order: Vec<_> = granted.iter().map(|(id, _)| *id).collect();
    assert_eq!(order, ["quick", "slow", "quick", "slow"]);
}
