//! An account under random events, outcomes, commands, crashes and clock steps, next to a model.

mod world;

use std::collections::HashSet;

use proptest::prelude::*;

use self::world::*;
use super::{
    account::{
        due,
        history::StateCounts,
        job::{JobTask, Retry, RetryRequests, RetryStart, retries_allowed},
    },
    attempt::Reason,
    caller::{AccountScope, Caller},
    decision::{
        EventReply, Input, Reply,
        command::{Command, Task},
    },
    event::Event,
    execution::State,
    plan::LimitOverrides,
    timestamp::Timestamp,
    webhook::DisableReason,
};

#[derive(Debug, Clone)]
enum Step {
    /// Events come in together; some were there before.
    Events(Vec<u8>),
    /// Time passes, and events come in before the account has looked at what waits.
    EventsFirst(i64, Vec<u8>),
    /// Requests end, with these statuses.
    Outcomes(Vec<u16>),
    /// The limit changes.
    Limit(u32),
    /// The clock moves.
    Clock(i64),
    /// A job begins that runs everything again that has failed, or in which something has.
    RetryFailed(RetryRequests),
    /// The automation gets other actions.
    Edit(&'static str),
    /// Time passes, and a job begins that ends everything that waits before the account has looked at it.
    CancelWaiting(i64),
    /// The process ends without a word, and a new one reads the database.
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let status = prop_oneof![4 => Just(200_u16), 2 => Just(503), 1 => Just(404)];
    let step = prop_oneof![
        5 => proptest::collection::vec(0..40_u8, 1..6).prop_map(Step::Events),
        2 => (1..12_000_i64, proptest::collection::vec(0..40_u8, 1..6)).prop_map(|(ms, ids)| Step::EventsFirst(ms, ids)),
        5 => proptest::collection::vec(status, 1..5).prop_map(Step::Outcomes),
        1 => (0..6_u32).prop_map(Step::Limit),
        4 => (1..8_000_i64).prop_map(Step::Clock),
        1 => prop_oneof![Just(-30_000_i64), Just(70_000), Just(-1_000), Just(DAYS_MS)].prop_map(Step::Clock),
        2 => prop::sample::select(vec![RetryRequests::AsStored, RetryRequests::Rebuilt]).prop_map(Step::RetryFailed),
        1 => prop::sample::select(vec!["a", "ab", "ba", "abd", "dba", "Ad", "adB", "Bd"]).prop_map(Step::Edit),
        1 => (1..12_000_i64).prop_map(Step::CancelWaiting),
        1 => Just(Step::Crash),
    ];
    proptest::collection::vec(step, 1..60)
}

/// A row of the model's database.
impl World {
    fn step(&mut self, step: Step) {
        match step {
            Step::RetryFailed(requests) => {
                let retry = Retry { start: RetryStart::FirstUnsuccessful, requests };
                self.start_job(JobTask::Retry(retry), vec![State::Failed, State::Succeeded]);
            }
            Step::Edit(names) => self.edit(names),
            Step::CancelWaiting(ms) => {
                self.step(Step::Clock(ms));
                self.start_job(JobTask::Cancel, vec![State::Pending, State::Retrying, State::Paused]);
            }
            Step::Events(ids) => {
                let inputs =
                    ids.iter().map(|id| Input::Event(std::sync::Arc::new(Event::sample(&format!("e{id}"))))).collect();
                let before = self.events.clone();
                let replies = self.run(inputs);
                let mut seen = before;
                for (id, reply) in ids.iter().zip(replies) {
                    let is_new = seen.insert(format!("e{id}").parse().expect("an id"));
                    let expected = if is_new { EventReply::Accepted } else { EventReply::Duplicate };
                    assert!(matches!(reply, Reply::Event(got) if got == expected));
                }
            }
            Step::EventsFirst(ms, ids) => {
                self.step(Step::Clock(ms));
                self.step(Step::Events(ids));
            }
            Step::Outcomes(statuses) => {
                for status in statuses {
                    if self.under_way.is_empty() {
                        break;
                    }
                    let dispatch = self.under_way.remove(0);
                    self.end(&dispatch, status);
                }
            }
            Step::Limit(limit) => {
                self.limit = limit;
                // What was admitted under a higher limit stays; only more would be too much.
                let no = self.account().window.at(self.now, WINDOW_MS).no;
                let highest = &mut self.windows.entry(no).or_default().1;
                *highest = limit.max(*highest);
                let overrides = LimitOverrides { executions_per_window: Some(limit), ..LimitOverrides::default() };
                let task = Task::SetLimits { overrides, etag: String::new() };
                self.command(Caller::Service { accounts: AccountScope::All }, task);
            }
            Step::Clock(ms) => {
                self.now = Timestamp(self.now.0 + ms * 1_000);
                self.latest = self.now.max(self.latest);
            }
            Step::Crash => self.crash(),
        }
    }

    /// What must hold whenever the account is at rest.
    fn check(&self) {
        let account = self.account();
        let paused = self.rows.values().filter(|row| row.progress.is_held_back()).count();
        assert_eq!(account.backlog.count, paused as u64, "what is held back is counted");
        let mut counts = StateCounts::default();
        self.rows.values().for_each(|row| counts.add(row.progress.state));
        assert_eq!(account.history.counts, counts, "what is counted is what there is");
        assert!(self.rows.is_empty() || account.history.expires_at.is_some(), "what there is will be deleted once");
        let room = account
            .window
            .at(self.now, WINDOW_MS)
            .remaining(account.execution_limit(&self.rules.limits(&account.facts)));
        assert!(paused == 0 || room == 0, "{paused} are held back although there is room for {room}");
        assert!(paused as u64 <= PAUSED_MAX);
        let running = self.rows.values().filter(|row| row.progress.state == State::Running).count();
        assert_eq!(running, self.under_way.len(), "what runs is under way");
        assert!(running <= SLOTS as usize);
        assert!(self.admitted.is_sorted(), "admission is in the order of arrival: {:?}", self.admitted);
        let runs: HashSet<_> = self.rows.values().map(|row| (&row.event, row.run)).collect();
        assert_eq!(runs.len(), self.rows.len(), "each match and each retry has exactly one execution");
        let events: HashSet<_> = self.rows.values().map(|row| &row.event).collect();
        assert_eq!(events.len(), self.events.len());
        let limit = account.execution_limit(&self.rules.limits(&account.facts));
        let window = account.window.at(self.now, WINDOW_MS);
        let may_retry = retries_allowed(window, limit, account.backlog.count) > 0;
        assert!(account.jobs.is_empty() || !may_retry, "a job that may go on goes on");
        let truth = due::next_look_at(account, self.now, &self.rules);
        if let (Some(truth), Some(written)) = (truth, account.next_due_at) {
            assert!(written <= truth.max(self.latest), "the database says {written:?}, the truth is {truth:?}");
        }
        assert!(truth.is_none() || account.next_due_at.is_some(), "an account with work is found again");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn an_account_keeps_its_promises_whatever_happens(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            world.settle();
            world.check();
        }
        // In the end, with room and time, everything ends.
        world.step(Step::Limit(1_000));
        for _ in 0..200 {
            world.settle();
            world.check();
            let open = world.rows.values().filter(|row| !row.progress.state.is_final()).count();
            if open == 0 {
                break;
            }
            world.step(Step::Outcomes(vec![200; 8]));
            world.step(Step::Clock(5_000));
        }
        for row in world.rows.values() {
            prop_assert!(row.progress.state.is_final(), "{:?}", row.progress);
            let stopped = matches!(row.progress.reason, Some(Reason::BacklogFull | Reason::PausedTooLong));
            let is_counted = row.progress.admitted.is_some();
            let fits = is_counted != stopped || row.progress.state == State::Cancelled;
            prop_assert!(fits, "counted exactly once, unless it ended before: {:?}", row.progress);
        }
    }
}

#[test]
fn failures_on_three_days_disable_the_webhook_and_end_what_waits() {
    const DAY_MS: i64 = 86_400_000;
    let mut world = World::new();
    world.step(Step::Limit(1_000));
    let disabled = |world: &World| {
        let webhook = world.account().webhooks.values().next().expect("a webhook");
        (webhook.disabled, webhook.deleted_at)
    };
    for day in 0..3 {
        assert_eq!(disabled(&world), (None, None), "not before the third day");
        world.step(Step::Events(vec![day]));
        world.settle();
        world.step(Step::Outcomes(vec![503]));
        world.settle();
        world.check();
        if day < 2 {
            world.step(Step::Clock(DAY_MS));
        }
    }
    assert_eq!(disabled(&world), (Some(DisableReason::Failing), None), "disabled, never deleted");
    world.step(Step::Outcomes(vec![503; 8]));
    world.step(Step::Events(vec![30]));
    world.settle();
    world.check();
    assert!(world.rows.values().all(|row| row.progress.state == State::Failed), "everything ends");
    let ended_by_it = world.rows.values().filter(|row| row.progress.reason == Some(Reason::WebhookDisabled)).count();
    assert!(ended_by_it >= 2, "what waited, and what came after: {ended_by_it}");
    assert_eq!(world.rows.len(), 4);
}

/// Events whose requests fail for good; the notices of that arrive.
fn fail(world: &mut World, count: u8) {
    for id in 0..count {
        world.step(Step::Events(vec![id]));
        world.step(Step::Outcomes(vec![404, 200]));
        world.settle();
        world.check();
    }
}

#[test]
fn what_no_notice_tells_of_is_told_together_once_the_minute_is_over() {
    let mut world = World::new();
    world.step(Step::Limit(1_000));
    world.hear_notices();
    let told = |world: &World| world.rows.values().filter(|row| row.record.source_name == "notices").count();
    fail(&mut world, 14);
    assert_eq!(told(&world), 10);
    world.step(Step::Clock(59_000));
    world.settle();
    assert_eq!(told(&world), 10, "the minute is not over");
    world.step(Step::Clock(1_000));
    world.settle();
    assert_eq!(told(&world), 11);
    let last = world.under_way.remove(0);
    // A notice that fails for good makes no other one.
    world.end(&last, 404);
    world.step(Step::Clock(120_000));
    world.settle();
    world.check();
    assert_eq!(told(&world), 11);
    assert_eq!(world.account().untold_due_at(world.account().ended_notices), None);
}

#[test]
fn an_account_that_is_being_erased_has_nothing_to_tell() {
    let mut world = World::new();
    world.step(Step::Limit(1_000));
    world.hear_notices();
    fail(&mut world, 12);
    world.step(Step::Clock(60_000));
    assert!(world.account().is_untold(world.now));
    let caller = Caller::Service { accounts: AccountScope::All };
    let task = Task::DeleteAccount { etag: String::new() };
    let command = Input::Command(std::sync::Arc::new(Command { caller, task, repeat: None }), None);
    let decision = world.decide(&[command], &HashSet::new());
    world.commit(decision);
    world.step(Step::Clock(60_000));
    assert!(!world.account().is_untold(world.now), "it would be looked at for ever, and never erased");
}

#[test]
fn a_test_that_is_refused_is_in_no_trail() {
    let mut world = World::new();
    let test = |under_way| {
        let caller = Caller::GlobalAdmin { account: "42".parse().expect("an id"), user: "1".parse().expect("an id") };
        let task = Task::TestWebhook { id: "hook".parse().expect("an id"), under_way };
        Input::Command(std::sync::Arc::new(Command { caller, task, repeat: None }), None)
    };
    for (under_way, wanted) in [(4, 0), (0, 1)] {
        // Together with something that is written.
        let event = Input::Event(std::sync::Arc::new(Event::sample(&format!("e{under_way}"))));
        let decision = world.decide(&[event, test(under_way)], &HashSet::new());
        assert_eq!((decision.change.executions.len(), decision.change.audit.len()), (1, wanted));
    }
}
