use super::*;

#[test]
fn runs_count_within_their_minute() {
    let circle =
        |id: &str| LoopKey::new(Uuid::from_u128(1), &"deal".parse().expect("a name"), &id.parse().expect("an id"));
    let start = Timestamp(1_000_000_000);
    let mut loops = Loops::default();
    for _ in 0..3 {
        loops.note(circle("8"), start);
    }
    assert_eq!(loops.count(&circle("8"), start.plus_ms(59_999)), 3);
    assert_eq!(loops.count(&circle("9"), start), 0);
    let same_id = LoopKey { object: "lead".parse().expect("a name"), ..circle("8") };
    assert_eq!(loops.count(&same_id, start), 0, "the id of another kind of object");
    assert_eq!(loops.count(&circle("8"), start.plus_ms(60_000)), 0);
    assert_eq!(loops.count(&circle("8"), start.minus_ms(1)), 0, "a clock set back begins anew");
    loops.note(circle("8"), start.plus_ms(60_000));
    assert_eq!(loops.count(&circle("8"), start.plus_ms(60_001)), 1);
}

#[test]
fn a_flood_of_objects_forgets_the_oldest_only() {
    let start = Timestamp(1_000_000_000);
    let mut loops = Loops::default();
    let object: ObjectName = "deal".parse().expect("a name");
    let circle = |no: usize| LoopKey::new(Uuid::from_u128(1), &object, &no.to_string().parse().expect("an id"));
    for no in 0..3 * REMEMBERED_MAX {
        loops.note(circle(no), start);
        loops.note(circle(0), start);
    }
    assert!(loops.young.len() + loops.old.len() <= 2 * REMEMBERED_MAX);
    assert_eq!(loops.count(&circle(0), start), 3 * REMEMBERED_MAX as u32 + 1, "who runs again is remembered");
    assert_eq!(loops.count(&circle(1), start), 0);
    assert_eq!(loops.count(&circle(3 * REMEMBERED_MAX - 1), start), 1);
}
