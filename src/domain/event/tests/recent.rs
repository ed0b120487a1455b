use uuid::Uuid;

use super::*;

fn account(no: u128) -> AccountUid {
    AccountUid(Uuid::from_u128(no))
}

fn event(id: &str, object: &str) -> Arc<Event> {
    Arc::new(Event { object: object.parse().expect("a name"), ..Event::sample(id) })
}

fn ids(found: &RecentEvents) -> Vec<&str> {
    found.events.iter().map(|recent| recent.event.id.as_str()).collect()
}

#[test]
fn the_last_ones_of_each_object_and_action_are_there_newest_first() {
    let mut book = RecentBook::new(1_000_000, Timestamp(5));
    for at in 0..60 {
        book.push(account(1), &event(&format!("d-{at}"), "deal"), 0, Timestamp(10 + at));
    }
    book.push(account(1), &event("p-1", "person"), 2, Timestamp(100));
    book.push(account(1), &event("d-59", "deal"), 0, Timestamp(101));
    book.push(account(2), &event("other", "deal"), 0, Timestamp(102));
    let deal = "deal".parse().expect("a name");
    let deals = book.of(account(1), Some(&deal), &[Action::Change]);
    assert_eq!((deals.events.len(), ids(&deals)[0], ids(&deals)[49]), (50, "d-59", "d-10"), "each once");
    assert_eq!(deals.events[0].decided_at, Timestamp(101), "it was decided on anew");
    assert_eq!(deals.complete_since, Timestamp(20), "older ones are forgotten");
    assert!(book.of(account(1), Some(&deal), &[Action::Create]).events.is_empty());
    let all = book.of(account(1), None, &[]);
    assert_eq!((all.events.len(), ids(&all)[0], all.events[0].executions), (51, "d-59", 0));
    assert_eq!((ids(&all)[1], all.events[1].executions), ("p-1", 2));
    assert!(book.find(account(1), &"d-30".parse().expect("an id")).is_some());
    assert!(book.find(account(1), &"d-3".parse().expect("an id")).is_none(), "it was forgotten");
    assert!(book.find(account(2), &"d-30".parse().expect("an id")).is_none(), "of another account");
    book.forget(account(1));
    assert!(book.of(account(1), None, &[]).events.is_empty());
    book.forget(account(2));
    assert_eq!((book.bytes(), book.entries.len(), book.accounts.len()), (0, 0, 0));
}

#[test]
fn the_oldest_of_all_accounts_make_room() {
    let bytes = Event::sample("e").weight_bytes() + ENTRY_BYTES;
    let mut book = RecentBook::new(3 * bytes, Timestamp(0));
    for at in 0..10_u32 {
        book.push(account(u128::from(at % 2)), &event(&format!("e-{at}"), "deal"), 0, Timestamp(i64::from(at)));
    }
    assert_eq!(book.bytes(), 3 * bytes);
    assert_eq!(ids(&book.of(account(1), None, &[])), ["e-9", "e-7"]);
    let found = book.of(account(0), None, &[]);
    assert_eq!((ids(&found), found.complete_since), (vec!["e-8"], Timestamp(7)));
    let mut none = RecentBook::new(0, Timestamp(0));
    none.push(account(1), &event("e", "deal"), 0, Timestamp(1));
    assert_eq!((none.bytes(), none.accounts.len()), (0, 0));
}
