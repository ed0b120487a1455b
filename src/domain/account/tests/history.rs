use super::*;

#[test]
fn it_is_looked_at_again_within_a_day_but_not_within_an_hour() {
    let now = Timestamp(1_000_000_000_000_000);
    let ago = |ms: u64| now.minus_ms(ms);
    assert_eq!(look_again_at(now, now, 15), now.plus_ms(DAY_MS));
    assert_eq!(look_again_at(ago(16 * DAY_MS), now, 15), now.plus_ms(LOOK_AGAIN_MIN_MS));
    assert_eq!(look_again_at(ago(15 * DAY_MS - 7_200_000), now, 15), now.plus_ms(7_200_000));
    assert_eq!(ended_before(now, 3), ago(3 * DAY_MS));
}

#[test]
fn each_kind_leaves_a_quarter_of_what_may_wait_to_the_other() {
    let mut history = HistorySummary::default();
    for _ in 0..6 {
        history.enter(SourceKind::RegularWebhook, State::Paused);
    }
    assert!(history.is_full(SourceKind::RegularWebhook, 8) && !history.is_full(SourceKind::Automation, 8));
    history.enter(SourceKind::Automation, State::Pending);
    history.enter(SourceKind::Automation, State::Retrying);
    assert!(history.is_full(SourceKind::Automation, 8), "in all there is no more room");
    history.leave(SourceKind::RegularWebhook, State::Paused);
    history.enter(SourceKind::RegularWebhook, State::Running);
    assert!(!history.is_full(SourceKind::RegularWebhook, 8));
    assert_eq!((history.regular_waiting, history.counts.total()), (5, 8));
}

#[test]
fn counts_follow_the_states() {
    let mut counts = StateCounts::default();
    counts.add(State::Pending);
    counts.add(State::Cancelled);
    counts.remove(State::Pending);
    counts.remove(State::Running);
    assert_eq!(counts.total(), 1);
    assert_eq!(counts.iter().last(), Some((State::Cancelled, 1)));
}
