//! An account under random events, outcomes, commands, crashes and clock steps, next to a model: a database in memory
//! that the test writes every change to, and reads the account from after a crash.

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;
use uuid::Uuid;

use super::{
    account::{Account, AccountSlot, Loaded},
    breaker::Health,
    caller::{AccountScope, Caller},
    catalogue::Catalogue,
    command::{Answer, Command, NewAction, NewAutomation, NewWebhook, Task},
    decision::{Decision, Dispatch, DueRows, Ended, EventReply, Input, Reply, Rules, Surroundings, decide},
    due,
    event::{Action, Event},
    execution::{Attempt, Outcome, Progress, Reason, Recorded, SourceKind, State, THE_LIMIT, Unfinished},
    filter::ExecutionFilter,
    history::{Expired, ExpiredRow, History, StateCounts},
    id::{AccountUid, EventId, ExecutionUid, WebhookUid},
    job::{JobRows, JobTask, Retry, RetryRequests, RetryStart, retry_room},
    limits::{Backlog, Window},
    plan::{LimitOverrides, Plan, PlanLimits},
    refusal::Refusal,
    request::{Method, Record},
    retry::{RetryPolicy, Schedule},
    template::BodySpec,
    timestamp::Timestamp,
    url::{EndpointUrl, UrlPolicy},
    webhook::{Credentials, DisableReason, WebhookKind},
};

const WINDOW_MS: u64 = 10_000;
const PAUSED_MAX: u64 = 12;
const PAUSED_AGE_MAX_MS: u64 = 60_000;
const SLOTS: u32 = 4;
/// Longer than executions are kept.
const DAYS_MS: i64 = 16 * 86_400_000;
/// How many executions a job takes at once.
const JOB_MAX: usize = 3;
/// How many executions are deleted at once.
const EXPIRED_MAX: usize = 3;

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
    /// A job begins that runs everything again that has failed.
    RetryFailed,
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
        1 => Just(Step::RetryFailed),
        1 => (1..12_000_i64).prop_map(Step::CancelWaiting),
        1 => Just(Step::Crash),
    ];
    proptest::collection::vec(step, 1..60)
}

/// A row of the model's database.
#[derive(Clone)]
struct Row {
    record: std::sync::Arc<Record>,
    progress: Progress,
    event: EventId,
    run: i32,
    /// Its place in the order of arrival.
    arrival: usize,
}

struct World {
    rules: Rules,
    slot: AccountSlot,
    now: Timestamp,
    /// The latest time that the clock has shown.
    latest: Timestamp,
    rows: BTreeMap<ExecutionUid, Row>,
    events: HashSet<EventId>,
    /// Window, backlog, revision, due time and history, as they were last written.
    written: (Window, Backlog, i64, Option<Timestamp>, History),
    /// How endpoints do, as it was last written.
    health: HashMap<WebhookUid, Health>,
    under_way: Vec<Dispatch>,
    next_uuid: u128,
    /// How many executions there have been.
    arrivals: usize,
    /// Arrivals in the order of their admission.
    admitted: Vec<usize>,
    /// How many each window admitted, and the highest limit while it lasted.
    windows: HashMap<i64, (u32, u32)>,
    limit: u32,
}

impl World {
    fn new() -> Self {
        let mut plans = PlanLimits::default();
        for limits in &mut plans.0 {
            limits.requests_in_flight = SLOTS;
            limits.executions_per_window = 3;
        }
        let rules = Rules {
            plans,
            breaker_open_ms: 30_000,
            paused_max: PAUSED_MAX,
            waiting_max: 1_000,
            event_age_max_ms: None,
            paused_age_max_ms: PAUSED_AGE_MAX_MS,
            body_bytes_max: 1_000,
            window_length_ms: WINDOW_MS,
            schedule: Schedule { delays_ms: vec![2_000, 2_000] },
        };
        let mut world = Self {
            rules,
            slot: AccountSlot { id: "42".parse().expect("an id"), account: None },
            now: Timestamp(1_000_000_000_000),
            latest: Timestamp(1_000_000_000_000),
            rows: BTreeMap::new(),
            events: HashSet::new(),
            written: (Window::default(), Backlog::default(), 0, None, History::default()),
            health: HashMap::new(),
            under_way: Vec::new(),
            next_uuid: 1,
            arrivals: 0,
            admitted: Vec::new(),
            windows: HashMap::new(),
            limit: 3,
        };
        world.command(Caller::Service { accounts: AccountScope::All }, Task::CreateAccount { plan: Plan::Power });
        let admin = Caller::GlobalAdmin { account: world.slot.id.clone(), user: "1".parse().expect("an id") };
        let endpoint = EndpointUrl::parse("https://h.example/", &UrlPolicy::default()).expect("a URL");
        let webhook = NewWebhook {
            display_name: "hook".into(),
            kind: WebhookKind::Automation,
            endpoint,
            credentials: Credentials::None,
            retry: RetryPolicy::default(),
            requests_per_second: None,
            owner: None,
            subscription: None,
        };
        let id = Some("hook".parse().expect("an id"));
        world.command(admin.clone(), Task::CreateWebhook { id, webhook });
        let automation = NewAutomation {
            display_name: "one".into(),
            object: "deal".parse().expect("a name"),
            action: Action::Change,
            conditions: None,
            actions: vec![NewAction {
                webhook: "hook".parse().expect("an id"),
                method: Method::Post,
                path: String::new(),
                body: BodySpec::Raw("{}".into()),
                continue_on_failure: false,
            }],
            enabled: true,
        };
        world.command(admin, Task::CreateAutomation { id: None, automation });
        world
    }

    fn account(&self) -> &Account {
        self.slot.account.as_ref().expect("an account")
    }

    fn command(&mut self, caller: Caller, task: Task) {
        let command = std::sync::Arc::new(Command { caller, task, repeat: None });
        let replies = self.run(vec![Input::Command(command, None)]);
        assert!(
            matches!(
                replies.last(),
                Some(Reply::Command(Ok(Answer::Account(..) | Answer::Webhook(..) | Answer::Automation(..))))
            ),
            "{replies:?}"
        );
    }

    /// Decides until every input has its reply, as the account's actor does.
    fn run(&mut self, mut inputs: Vec<Input>) -> Vec<Reply> {
        let mut replies = Vec::new();
        while !inputs.is_empty() {
            let known = HashSet::new();
            let mut known_now = known;
            let decision = loop {
                let decision = self.decide(&inputs, &known_now);
                let stored: HashSet<_> = decision
                    .change
                    .events
                    .iter()
                    .map(|event| event.id.clone())
                    .filter(|id| self.events.contains(id))
                    .collect();
                if stored.is_empty() {
                    break decision;
                }
                known_now.extend(stored);
            };
            inputs.drain(..decision.replies.len());
            replies.extend(decision.replies.clone());
            self.commit(decision);
        }
        replies
    }

    fn decide(&mut self, inputs: &[Input], known: &HashSet<EventId>) -> Decision {
        let mut next = self.next_uuid;
        let mut uuid = || {
            next += 1;
            Uuid::from_u128(next)
        };
        let mut around = Surroundings {
            now: self.now,
            uuid: &mut uuid,
            random: &mut || 7,
            secret: &mut || [7; 32],
            rules: &self.rules,
            may_start: true,
        };
        let decision = decide(&self.slot, inputs, known, &mut around);
        self.next_uuid = next;
        decision
    }

    fn commit(&mut self, decision: Decision) {
        let change = &decision.change;
        if change.is_empty {
            return;
        }
        assert_eq!(change.expected.unwrap_or(0), self.written.2, "each change follows the one before");
        self.written = (change.window, change.backlog, change.revision, change.next_due_at, change.history);
        self.events.extend(change.events.iter().map(|event| event.id.clone()));
        for new in &change.executions {
            let row = Row {
                record: new.record.clone(),
                progress: new.progress.clone(),
                event: new.event_id.clone(),
                run: new.run,
                arrival: self.arrivals,
            };
            self.arrivals += 1;
            if new.run > 0 {
                let half = i64::from(self.limit.div_ceil(2));
                assert!(change.window.used <= half && change.backlog.count == 0, "retries never push others out");
            }
            self.note_admission(None, &row);
            assert!(self.rows.insert(new.uid, row).is_none());
        }
        let stepped: HashSet<_> = change.steps.iter().map(|step| step.execution.uid).collect();
        assert_eq!(stepped.len(), change.steps.len(), "a change meets an execution once");
        for step in &change.steps {
            let before = self.rows[&step.execution.uid].clone();
            assert!(!before.progress.state.is_final(), "no final state changes");
            let row = Row { progress: step.execution.progress.clone(), ..before.clone() };
            self.note_admission(Some(&before), &row);
            self.rows.insert(step.execution.uid, row);
        }
        for row in change.expired.iter().flat_map(|expired| &expired.rows) {
            let gone = self.rows.remove(&row.uid).expect("it was there");
            assert!(gone.progress.state.is_final());
            if self.rows.values().all(|row| row.event != gone.event) {
                assert!(self.events.remove(&gone.event), "an event goes with its last execution");
            }
        }
        for change in change.health.iter().filter(|change| change.is_written) {
            self.health.insert(change.webhook, change.health.clone());
        }
        self.slot.apply(change);
        self.under_way.extend(decision.dispatches);
    }

    fn note_admission(&mut self, before: Option<&Row>, row: &Row) {
        let Some(window) = row.progress.admitted else { return };
        if before.is_some_and(|before| before.progress.admitted.is_some()) {
            return;
        }
        self.admitted.push(row.arrival);
        let (count, highest) = self.windows.entry(window).or_default();
        *count += 1;
        *highest = self.limit.max(*highest);
        assert!(*count <= *highest, "window {window} admitted {count}, its limit was never over {highest}");
    }

    /// What the account wants is read and decided, until it wants nothing more.
    fn settle(&mut self) {
        for _ in 0..1_000 {
            if self.now < self.account().window.start {
                self.run(vec![Input::Tidy]);
            }
            if let Some(expiring) = due::expiring(self.account(), self.now, &self.rules) {
                self.run(vec![Input::Expired(self.expired(expiring))]);
            }
            let wanted = due::wanted(self.account(), self.now, &self.rules);
            let job = due::job(self.account(), self.now, &self.rules).map(|job| Input::Job(self.job_rows(&job)));
            if wanted.is_empty() && job.is_none() && due::expiring(self.account(), self.now, &self.rules).is_none() {
                return;
            }
            // Read together, and decided together, as the account's actor does.
            let due: Vec<_> = wanted.into_iter().map(|wanted| Input::Due(self.read(wanted))).collect();
            self.run(due.into_iter().chain(job).collect());
        }
        panic!("the account never comes to rest");
    }

    fn waits_for(row: &Row) -> Option<WebhookUid> {
        let open = !row.progress.state.is_final() && row.progress.state != State::Running;
        let webhook = row.record.requests.get(row.progress.action_no).map(|request| request.webhook);
        if row.progress.is_held_back() { Some(THE_LIMIT) } else { webhook.filter(|_| open) }
    }

    fn read(&self, wanted: due::Wanted) -> DueRows {
        let mut found: Vec<_> = self
            .rows
            .iter()
            .filter(|(_, row)| Self::waits_for(row) == Some(wanted.webhook))
            .map(|(uid, row)| (row.progress.due_at.expect("a time"), *uid, row))
            .collect();
        found.sort_by_key(|(due, uid, _)| (*due, *uid));
        let taken = found.iter().take(wanted.rows_max).take_while(|(due, ..)| *due <= wanted.by).count();
        let next = found.get(taken).map(|(due, ..)| *due);
        let rows = found[..taken].iter().map(|(_, uid, row)| unfinished(*uid, row)).collect();
        DueRows { webhook: wanted.webhook, rows, next }
    }

    fn expired(&self, wanted: due::Expiring) -> Expired {
        let is_old = |row: &Row| row.progress.ended_at.is_some_and(|ended| ended < wanted.ended_before);
        let after = self.rows.iter().filter(|(uid, _)| wanted.after.is_none_or(|after| **uid > after));
        let old: Vec<_> = after.filter(|(_, row)| is_old(row)).collect();
        let rows: Vec<_> = (old.iter().take(EXPIRED_MAX))
            .map(|(uid, row)| ExpiredRow {
                uid: **uid,
                state: row.progress.state,
                changed_revision: 1,
                event_id: row.event.clone(),
            })
            .collect();
        let next = rows.last().filter(|_| old.len() > EXPIRED_MAX).map(|row| row.uid);
        let is_kept = |uid: &&ExecutionUid| rows.iter().all(|row| row.uid != **uid);
        let oldest = self.rows.keys().find(is_kept).copied().filter(|_| next.is_none());
        Expired { ended_before: wanted.ended_before, rows, next, oldest }
    }

    /// What a job looks at next: of executions that were made before it those in the wanted states.
    fn job_rows(&self, wanted: &due::JobWanted) -> JobRows {
        let job = &wanted.job;
        let is_ahead = |uid: &ExecutionUid| job.progress.position.is_none_or(|position| *uid > position);
        let ahead = self.rows.iter().filter(|(uid, _)| is_ahead(uid) && uid.0 < job.uid.0);
        let fitting: Vec<_> = ahead.filter(|(_, row)| job.filter.states.contains(&row.progress.state)).collect();
        let taken = &fitting[..fitting.len().min(wanted.rows_max).min(JOB_MAX)];
        let last_run = |event: &EventId| {
            self.rows.values().filter(|row| row.event == *event).map(|row| row.run).max().unwrap_or_default()
        };
        let rows = taken.iter().map(|(uid, row)| Recorded {
            execution: unfinished(**uid, row),
            source: self.account().automations.keys().next().expect("an automation").0,
            event: None,
            event_id: row.event.clone(),
            run: row.run,
            last_run: last_run(&row.event),
            object: "deal".parse().expect("a name"),
            action: Action::Change,
            entity_id: "8".parse().expect("an id"),
            acting_user: None,
            first_unsuccessful: 0,
        });
        JobRows {
            job: job.uid,
            rows: rows.collect(),
            position: taken.last().map(|(uid, _)| **uid),
            is_last: taken.len() == fitting.len(),
        }
    }

    fn start_job(&mut self, task: JobTask, states: Vec<State>) {
        let filter = ExecutionFilter { states, ..ExecutionFilter::default() };
        let command = Command {
            caller: Caller::Service { accounts: AccountScope::All },
            task: Task::StartJob { task, filter },
            repeat: None,
        };
        let replies = self.run(vec![Input::Command(std::sync::Arc::new(command), None)]);
        assert!(matches!(replies.last(), Some(Reply::Command(Ok(Answer::Job(..)) | Err(Refusal::Exhausted { .. })))));
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::RetryFailed => {
                let retry = Retry { start: RetryStart::FirstUnsuccessful, requests: RetryRequests::AsStored };
                self.start_job(JobTask::Retry(retry), vec![State::Failed]);
            }
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
                    self.run(vec![Input::Outcome(ended(&dispatch, status, self.now))]);
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

    /// Everything in memory is lost; the account is what the database has.
    fn crash(&mut self) {
        let before = self.account();
        let waiting = |webhook: WebhookUid| {
            let of_webhook = self.rows.values().filter(|row| Self::waits_for(row) == Some(webhook));
            of_webhook.filter_map(|row| row.progress.due_at).min()
        };
        let keys = before.webhooks.keys().copied().chain([THE_LIMIT]);
        let newest = self.rows.values().filter(|row| row.progress.is_held_back());
        let newest = newest.filter_map(|row| row.progress.due_at).max().unwrap_or_default();
        let loaded = Loaded {
            uid: AccountUid(before.uid.0),
            facts: before.facts.clone(),
            revision: self.written.2,
            window: self.written.0,
            backlog: Backlog { count: self.written.1.count, newest },
            history: self.written.4,
            next_due_at: self.written.3,
            webhooks: before.webhooks.values().map(|webhook| (**webhook).clone()).collect(),
            automations: before.automations.values().map(|automation| (**automation).clone()).collect(),
            running: Vec::new(),
            waiting: keys.filter_map(|webhook| Some((webhook, waiting(webhook)?))).collect(),
            health: self.health.clone().into_iter().collect(),
            catalogue: Catalogue::default(),
            traffic: Vec::new(),
            jobs: before.jobs.values().map(|job| (**job).clone()).collect(),
        };
        let orphans: Vec<_> = self
            .rows
            .iter()
            .filter(|(_, row)| row.progress.state == State::Running)
            .map(|(uid, row)| unfinished(*uid, row))
            .collect();
        self.slot.account = Some(Account::new(loaded));
        self.under_way.clear();
        if !orphans.is_empty() {
            self.run(vec![Input::Resume(orphans)]);
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
        let room =
            account.window.at(self.now, WINDOW_MS).room(account.execution_limit(&self.rules.limits(&account.facts)));
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
        let may_retry = retry_room(window, limit, account.backlog.count) > 0;
        assert!(account.jobs.is_empty() || !may_retry, "a job that may go on goes on");
        let truth = account.true_due_at(self.now, &self.rules);
        if let (Some(truth), Some(written)) = (truth, account.next_due_at) {
            assert!(written <= truth.max(self.latest), "the database says {written:?}, the truth is {truth:?}");
        }
        assert!(truth.is_none() || account.next_due_at.is_some(), "an account with work is found again");
    }
}

fn unfinished(uid: ExecutionUid, row: &Row) -> Unfinished {
    Unfinished { uid, source_kind: SourceKind::Automation, record: row.record.clone(), progress: row.progress.clone() }
}

fn ended(dispatch: &Dispatch, status: u16, now: Timestamp) -> Ended {
    let outcome = Outcome::Answer { status, headers: Vec::new(), excerpt: Vec::new(), truncated: false };
    let attempt = Attempt { started_at: now, duration_us: 1, url: String::new(), secret_url: None, outcome };
    Ended {
        execution: dispatch.execution,
        action_no: dispatch.action_no,
        attempt_no: dispatch.attempt_no,
        attempt: std::sync::Arc::new(attempt),
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
