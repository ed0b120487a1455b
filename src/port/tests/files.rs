use super::*;

#[test]
fn requests_to_endpoints_keep_their_half() {
    assert_eq!(files_of(Some(128)), Files { incoming: 36, outgoing: 36 });
    assert_eq!(files_of(Some(1_048_576)).incoming, 524_260);
    assert_eq!(files_of(Some(10)).outgoing, FILES_OF_EACH_MIN);
    assert!(files_of(None).incoming > 1_000_000_000);
}
