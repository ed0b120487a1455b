use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn is_now(turn: &Turn) -> bool {
    matches!(turn, Turn::Now(_))
}

#[test]
fn an_account_in_trouble_waits_and_others_go_on() {
    let now = Instant::now();
    let mut accounts = Accounts { takes_later: true, ..Accounts::default() };
    let (one, other): (AccountId, AccountId) = ("1".parse().expect("an id"), "2".parse().expect("an id"));
    assert!(is_now(&accounts.enter(&one, now)) && is_now(&accounts.enter(&one, now)));
    assert!(accounts.leave(&one, Some(SECOND), now), "the stream goes on");
    assert!(is_now(&accounts.enter(&other, now)));
    let later = accounts.enter(&one, now + SECOND / 4);
    assert!(matches!(later, Turn::Later(left) if left == SECOND * 3 / 4));
    // The second frame was turned away after the first one: its time counts.
    assert!(accounts.leave(&one, Some(SECOND), now + SECOND / 2));
    assert!(!is_now(&accounts.enter(&one, now + SECOND)));
    assert!(is_now(&accounts.enter(&one, now + SECOND * 2)));
    assert!(accounts.leave(&one, None, now) && accounts.leave(&other, None, now));
    assert!(accounts.of.is_empty(), "nothing is remembered of accounts that are well");
}

#[test]
fn troubled_accounts_are_bounded() {
    let now = Instant::now();
    let mut accounts = Accounts { takes_later: true, ..Accounts::default() };
    let id = |number: usize| -> AccountId { number.to_string().parse().expect("an id") };
    for number in 0..TROUBLED_MAX {
        accounts.enter(&id(number), now);
        assert!(accounts.leave(&id(number), Some(SECOND), now));
    }
    accounts.enter(&id(TROUBLED_MAX), now);
    assert!(!accounts.leave(&id(TROUBLED_MAX), Some(SECOND), now), "the stream ends");
    accounts.enter(&id(TROUBLED_MAX), now + SECOND);
    assert!(accounts.leave(&id(TROUBLED_MAX), Some(SECOND), now + SECOND), "the others are out of trouble");
    let mut plain = Accounts::default();
    plain.enter(&id(1), now);
    assert!(!plain.leave(&id(1), Some(SECOND), now), "other clients are told by the end of the stream");
}
