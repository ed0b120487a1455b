use super::*;

const SECOND_US: i64 = 1_000_000;

#[test]
fn ten_a_minute_are_told_and_the_others_together_after_it() {
    let mut notices = EndedNotices::default();
    let begin = Timestamp(1_000 * SECOND_US);
    assert_eq!(notices.turn(begin), 0);
    let told = (0..15).filter(|_| notices.take(3)).count();
    assert_eq!(told, usize::try_from(ENDED_NOTICES_A_MINUTE_MAX).expect("small"));
    assert_eq!(notices.due_at(), Some(Timestamp(1_060 * SECOND_US)));
    assert_eq!(notices.turn(Timestamp(1_059 * SECOND_US)), 0, "the minute is not over");
    assert_eq!(notices.turn(Timestamp(1_060 * SECOND_US)), 15);
    assert_eq!(notices.due_at(), None);
    assert!(notices.take(1), "a new minute has room");
}

#[test]
fn a_clock_that_is_set_back_begins_another_minute() {
    let mut notices = EndedNotices::default();
    notices.turn(Timestamp(1_000 * SECOND_US));
    assert_eq!((0..11).filter(|_| notices.take(1)).count(), 10);
    assert_eq!(notices.turn(Timestamp(10 * SECOND_US)), 1);
}
