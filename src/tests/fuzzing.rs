use super::*;

/// Every kept input, and some that are cut.
#[test]
fn kept_inputs_still_hold() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for target in TARGETS {
        let folder = root.join(target);
        let mut count = 0;
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let input = std::fs::read(entry.expect("an entry").path()).expect("reads");
            for end in [input.len(), input.len() / 2, input.len().saturating_sub(1)] {
                run(target, &input[..end]);
            }
            count += 1;
        }
        assert!(count > 0, "{target} has inputs");
    }
}
