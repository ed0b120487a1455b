use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::{execution::record::Basis, id::WebhookUid, trace_context::TraceContext};

fn request(continue_on_failure: bool, failure: Option<Reason>) -> Request {
    Request {
        webhook: WebhookUid(Uuid::from_u128(1)),
        webhook_id: "wh-1".parse().expect("an id"),
        method: Method::Post,
        endpoint: "https://h.example/".into(),
        path: String::new(),
        body: "{}".to_owned().into(),
        headers: Vec::new(),
        continue_on_failure,
        attempt_at: None,
        failure,
        action: None,
        warnings: Vec::new(),
        is_left_out: false,
        may_be_done: false,
    }
}

fn record(requests: Vec<Request>) -> Record {
    Record {
        parent_span: None,
        source_name: "a".into(),
        source_id: "au-1".parse().expect("an id"),
        causation_depth: 0,
        trace: TraceContext::unreadable(),
        requests,
        explanation: Vec::new(),
        basis: Basis::Decision,
    }
}

fn running() -> Progress {
    Progress { state: State::Running, ..Progress::begin() }
}

fn answer(status: u16) -> Outcome {
    Outcome::Answer {
        status,
        headers: Vec::new(),
        excerpt: Vec::new(),
        truncated: false,
        is_success: (200..=299).contains(&status),
    }
}

fn after(record: &Record, before: &Progress, outcome: &Outcome) -> Progress {
    settle(record, before, outcome, &RetryPolicy::default(), &Schedule { delays_ms: vec![1_000] }, 0, Timestamp(5))
}

#[test]
fn statuses_and_errors_mean_what_the_contract_says() {
    use Verdict::{Failure, Retry, Success};
    for (status, verdict) in [
        (200, Success),
        (204, Success),
        (302, Failure(Reason::Redirect)),
        (400, Failure(Reason::Rejected)),
        (401, Failure(Reason::Unauthorized)),
        (403, Failure(Reason::Unauthorized)),
        (404, Failure(Reason::Rejected)),
        (408, Retry(Reason::Timeout)),
        (410, Failure(Reason::Gone)),
        (425, Retry(Reason::Rejected)),
        (429, Retry(Reason::Rejected)),
        (500, Retry(Reason::ServerError)),
        (599, Retry(Reason::ServerError)),
    ] {
        assert_eq!(answer(status).verdict(), verdict, "{status}");
    }
    let error = |kind| Outcome::Error { kind, message: String::new(), was_sent: false }.verdict();
    assert_eq!(error(Reason::Dns), Retry(Reason::Dns));
    assert_eq!(error(Reason::BlockedAddress), Failure(Reason::BlockedAddress));
}

#[test]
fn actions_run_in_order_and_a_failure_ends_them_unless_it_says_otherwise() {
    let two = record(vec![request(false, None), request(false, None)]);
    let first = after(&two, &running(), &answer(200));
    assert_eq!((first.state, first.action_no, first.attempts), (State::Running, 1, 0));
    assert_eq!(after(&two, &first, &answer(200)).state, State::Succeeded);
    let failed = after(&two, &running(), &answer(404));
    assert_eq!((failed.state, failed.reason, failed.failed_actions), (State::Failed, Some(Reason::Rejected), 1));

    let lenient = record(vec![request(true, None), request(false, None)]);
    let first = after(&lenient, &running(), &answer(404));
    assert_eq!((first.state, first.action_no, first.reason), (State::Running, 1, None));
    let ended = after(&lenient, &first, &answer(200));
    assert_eq!((ended.state, ended.failed_actions, ended.reason), (State::Succeeded, 1, None));

    let unbuilt = record(vec![request(true, Some(Reason::UnsafePath)), request(false, Some(Reason::BodyTooLarge))]);
    let ended = advance(&unbuilt, running(), Timestamp(5));
    assert_eq!((ended.state, ended.reason, ended.failed_actions), (State::Failed, Some(Reason::BodyTooLarge), 2));
}

#[test]
fn a_retryable_failure_waits_and_then_fails_for_good() {
    let one = record(vec![request(false, None)]);
    let waiting = after(&one, &running(), &answer(503));
    assert_eq!((waiting.state, waiting.attempts, waiting.due_at), (State::Retrying, 1, Some(Timestamp(800_005))));
    let again = Progress { state: State::Running, due_at: None, ..waiting };
    let failed = after(&one, &again, &answer(503));
    assert_eq!((failed.state, failed.reason, failed.due_at), (State::Failed, Some(Reason::ServerError), None));
}

proptest! {
    #[test]
    fn every_execution_ends_and_a_final_state_has_no_due_time(
        requests in prop::collection::vec((any::<bool>(), any::<bool>()), 1..6),
        statuses in prop::collection::vec(prop::sample::select(vec![200_u16, 404, 503]), 40),
    ) {
        let requests = requests.into_iter().map(|(lenient, unbuilt)| request(lenient, unbuilt.then_some(Reason::UnsafePath)));
        let record = record(requests.collect());
        let mut progress = advance(&record, running(), Timestamp(5));
        for status in statuses {
            if progress.state.is_final() {
                break;
            }
            progress = after(&record, &Progress { state: State::Running, due_at: None, ..progress }, &answer(status));
        }
        prop_assert!(progress.state.is_final());
        prop_assert_eq!(progress.due_at, None);
        prop_assert!(progress.ended_at.is_some());
        prop_assert_eq!(progress.state == State::Failed, progress.reason.is_some());
    }
}
