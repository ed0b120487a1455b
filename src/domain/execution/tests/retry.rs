use uuid::Uuid;

use super::*;
use crate::domain::{execution::request::RequestBody, id::WebhookUid};

/// Requests of the actions of these names; without ids where a name begins with an underscore.
fn requests(names: &str) -> Vec<Request> {
    let request = |name: char| Request {
        webhook: WebhookUid(Uuid::from_u128(1)),
        webhook_id: "wh-1".parse().expect("an id"),
        method: Method::Delete,
        endpoint: "https://h.example/".into(),
        path: name.to_string(),
        body: RequestBody::none(),
        attempt_at: None,
        headers: Vec::new(),
        continue_on_failure: false,
        failure: None,
        action: name.is_ascii_lowercase().then(|| format!("at-{name}").parse().expect("an id")),
        warnings: Vec::new(),
        is_left_out: false,
        may_be_done: false,
    };
    names.chars().map(request).collect()
}

/// What is sent of the rebuilt actions, in order.
fn sent(before: &str, succeeded: &str, rebuilt: &str, were_edited: bool) -> Result<String, Misfit> {
    let old = requests(before);
    let done: HashSet<usize> = succeeded.chars().filter_map(|name| before.find(name)).collect();
    let mut new = requests(rebuilt);
    let none = HashSet::new();
    go_on_rebuilt(&mut new, &old, DoneActions { succeeded: &done, may_be_done: &none }, were_edited)?;
    Ok(new.iter().filter(|request| !request.is_left_out).map(|request| request.path.as_str()).collect())
}

#[test]
fn a_rebuilt_retry_maps_actions_by_their_ids() {
    for (before, succeeded, rebuilt, wanted) in [
        ("ab", "a", "ab", Ok("b")),
        ("ab", "a", "ba", Err(Misfit::Moved(2))),
        ("ab", "a", "b", Ok("b")),
        ("ab", "a", "a", Err(Misfit::Gone(2))),
        ("ab", "a", "c", Err(Misfit::Gone(2))),
        ("ab", "", "ba", Ok("ba")),
        ("ab", "", "a", Ok("a")),
        ("ab", "", "c", Ok("c")),
        ("abc", "a", "acb", Ok("cb")),
        ("abc", "a", "cab", Err(Misfit::Moved(3))),
        ("abc", "a", "ab", Ok("b")),
        ("abc", "ac", "abc", Ok("b")),
        ("abc", "bc", "abc", Ok("a")),
        ("abc", "bc", "bca", Ok("a")),
        ("abc", "ac", "cb", Ok("b")),
        ("ab", "a", "anb", Ok("nb")),
        ("ab", "a", "nab", Ok("b")),
        ("ab", "a", "abn", Ok("bn")),
        ("ab", "ab", "ab", Ok("")),
        ("ab", "ab", "ba", Ok("")),
        ("", "", "ab", Ok("ab")),
    ] {
        let wanted = wanted.map(str::to_owned);
        assert_eq!(sent(before, succeeded, rebuilt, true), wanted, "{before} of which {succeeded}, now {rebuilt}");
    }
}

#[test]
fn without_ids_places_count_as_long_as_nothing_was_edited() {
    assert_eq!(sent("AB", "A", "xy", false).as_deref(), Ok("y"), "an execution from before actions had ids");
    assert_eq!(sent("AB", "A", "xy", true), Err(Misfit::Edited));
    assert_eq!(sent("AB", "", "xy", true).as_deref(), Ok("xy"), "from the first on it does not matter");
    assert_eq!(sent("AB", "A", "x", false), Err(Misfit::Gone(2)));
}

#[test]
fn what_may_be_done_is_remembered_for_the_same_resource_only() {
    let old = requests("ab");
    let (succeeded, may_be_done) = (HashSet::from([0]), HashSet::from([1]));
    let done = DoneActions { succeeded: &succeeded, may_be_done: &may_be_done };
    let flags = |requests: &[Request]| {
        requests.iter().map(|request| (request.is_left_out, request.may_be_done)).collect::<Vec<_>>()
    };
    let mut stored = old.clone();
    go_on_as_stored(&mut stored, done);
    assert_eq!(flags(&stored), [(true, false), (false, true)]);
    let mut rebuilt = requests("ab");
    go_on_rebuilt(&mut rebuilt, &old, done, false).expect("fits");
    assert_eq!(flags(&rebuilt), [(true, false), (false, true)]);
    rebuilt[1].path = "elsewhere".into();
    go_on_rebuilt(&mut rebuilt, &old, done, false).expect("fits");
    assert_eq!(flags(&rebuilt)[1], (false, false));
    let mut anew = requests("ab");
    begin_anew(&mut anew, &old, done);
    assert_eq!(flags(&anew), [(false, true), (false, true)], "what was deleted before may be gone");
}
