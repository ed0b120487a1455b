use super::*;

const MIB: u64 = 1 << 20;

#[test]
fn one_and_a_half_times_the_file_must_be_free() {
    for (size, free, fits) in [(0, 0, true), (100 * MIB, 150 * MIB, true), (100 * MIB, 150 * MIB - 1, false)] {
        assert_eq!(check_free(size, free).is_ok(), fits, "{size} {free}");
    }
    let refused = check_free(100 * MIB, 7 * MIB).expect_err("too little").to_string();
    assert!(refused.contains("150 MiB") && refused.contains("7 MiB"), "{refused}");
}

#[test]
fn steps_before_one_that_needs_the_database_for_itself_are_made_beside_others() {
    let steps =
        |names: &[&str]| Steps { pending: names.iter().map(ToString::to_string).collect(), unknown: Vec::new() };
    assert_eq!(steps(&["m0008_attempts_that_may_count", "m0009_one_row"]).shared(), 1);
    assert_eq!(steps(&["m0009_one_row"]).shared(), 0);
    assert_eq!(steps(&[]).shared(), 0);
}
