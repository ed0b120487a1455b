use super::*;

#[test]
fn retries_leave_half_of_a_window_free() {
    let window = |used| Window { no: 1, start: Timestamp(0), used };
    assert_eq!(retries_allowed(window(0), 1_000, 0), 500);
    assert_eq!(retries_allowed(window(499), 1_000, 0), 1);
    assert_eq!(retries_allowed(window(500), 1_000, 0), 0);
    assert_eq!(retries_allowed(window(900), 1_000, 0), 0);
    assert_eq!(retries_allowed(window(0), 1_000, 1), 0, "not while anything is paused");
    assert_eq!(retries_allowed(window(0), 1, 0), 1, "the smallest window has room for one");
    assert_eq!(retries_allowed(window(0), 0, 0), 0);
}

#[test]
fn the_stored_forms_stay_readable() {
    let retry = Retry { start: RetryStart::First, requests: RetryRequests::Rebuilt };
    let stored = serde_json::to_string(&JobTask::Retry(retry)).expect("serializes");
    assert_eq!(stored, r#"{"retry":{"start":"first","requests":"rebuilt"}}"#);
    assert_eq!(serde_json::to_string(&JobTask::Cancel).expect("serializes"), r#""cancel""#);
    let progress = JobProgress { position: None, done: 1, skipped: 2, waits: false };
    assert_eq!(serde_json::to_string(&progress).expect("serializes"), r#"{"done":1,"skipped":2}"#);
}
