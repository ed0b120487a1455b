//! The model: a database in memory that the test writes every change to, and reads the account from after a crash.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use crate::domain::{
    account::{
        Account, AccountState, Loaded, Rules,
        due::{self, DueRows},
        history::{ExpiredExecutions, ExpiredRow, HistorySummary},
        job::{JobRows, JobTask},
        limits::{Backlog, Window},
    },
    attempt::{
        self, Attempt, AttemptReport, Outcome,
        retry_policy::{RetryPolicy, Schedule},
    },
    automation::{Method, catalogue::Catalogue, template::BodySpec},
    caller::{AccountScope, Caller},
    decision::{
        Decision, Input, Reply, Surroundings,
        command::{Answer, AutomationPatch, Command, NewAction, NewAutomation, NewWebhook, Task},
        decide,
    },
    event::{Action, Event},
    execution::{
        Progress, Recorded, State, Unfinished, WaitsFor, dispatch::Dispatch, filter::ExecutionFilter, record::Record,
    },
    id::{AccountUid, EventId, ExecutionUid, ObjectName, ResourceId, WebhookUid},
    plan::{Plan, PlanLimits},
    refusal::Refusal,
    source::SourceKind,
    timestamp::Timestamp,
    url::{EndpointUrl, UrlPolicy},
    webhook::{WebhookKind, credentials::Credentials, health::Health},
};

pub const WINDOW_MS: u64 = 10_000;
pub const PAUSED_MAX: u64 = 12;
pub const PAUSED_AGE_MAX_MS: u64 = 60_000;
pub const SLOTS: u32 = 4;
/// Longer than executions are kept.
pub const DAYS_MS: i64 = 16 * 86_400_000;
/// How many executions a job takes at once.
pub const JOB_MAX: usize = 3;
/// How many executions are deleted at once.
pub const EXPIRED_MAX: usize = 3;

#[derive(Clone)]
pub struct Row {
    pub record: std::sync::Arc<Record>,
    pub progress: Progress,
    pub is_of_notice: bool,
    pub event: EventId,
    pub run: i32,
    /// Its place in the order of arrival.
    pub arrival: usize,
    /// What became of each action, as it was written.
    pub fates: HashMap<usize, attempt::Fate>,
}

/// What has become of an action for an event, over all runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fate {
    pub has_succeeded: bool,
    pub may_be_done: bool,
}

/// Actions that their paths name; `d` deletes, and after a capital letter the others go on.
pub fn actions(names: &str) -> Vec<NewAction> {
    let action = |name: char| NewAction {
        id: None,
        webhook: "hook".parse().expect("an id"),
        method: if name.eq_ignore_ascii_case(&'d') { Method::Delete } else { Method::Post },
        path: name.to_string(),
        body: BodySpec::Raw("{}".into()),
        headers: Vec::new(),
        continue_on_failure: name.is_ascii_uppercase(),
    };
    names.chars().map(action).collect()
}

pub struct World {
    pub rules: Rules,
    pub state: AccountState,
    pub now: Timestamp,
    /// The latest time that the clock has shown.
    pub latest: Timestamp,
    pub rows: BTreeMap<ExecutionUid, Row>,
    pub events: HashSet<EventId>,
    /// Window, backlog, revision, due time and history, as they were last written.
    pub written: (Window, Backlog, i64, Option<Timestamp>, HistorySummary),
    /// How endpoints do, as it was last written.
    pub health: HashMap<WebhookUid, Health>,
    pub under_way: Vec<Dispatch>,
    pub next_uuid: u128,
    /// How many executions there have been.
    pub arrivals: usize,
    /// Arrivals in the order of their admission.
    pub admitted: Vec<usize>,
    /// How many each window admitted, and the highest limit while it lasted.
    pub windows: HashMap<i64, (u32, u32)>,
    pub limit: u32,
    /// What has become of each action, by event and the action's id.
    pub fates: HashMap<(EventId, ResourceId), Fate>,
}

impl World {
    pub fn new() -> Self {
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
            is_clock_trusted: true,
        };
        let mut world = Self {
            rules,
            state: AccountState { id: "42".parse().expect("an id"), account: None },
            now: Timestamp(1_000_000_000_000),
            latest: Timestamp(1_000_000_000_000),
            rows: BTreeMap::new(),
            events: HashSet::new(),
            written: (Window::default(), Backlog::default(), 0, None, HistorySummary::default()),
            health: HashMap::new(),
            under_way: Vec::new(),
            next_uuid: 1,
            arrivals: 0,
            admitted: Vec::new(),
            windows: HashMap::new(),
            limit: 3,
            fates: HashMap::new(),
        };
        world.command(Caller::Service { accounts: AccountScope::All }, Task::CreateAccount { plan: Plan::Power });
        let admin = Caller::GlobalAdmin { account: world.state.id.clone(), user: "1".parse().expect("an id") };
        let endpoint = EndpointUrl::parse("https://h.example/", &UrlPolicy::default(), true).expect("a URL");
        let webhook = NewWebhook {
            display_name: "hook".into(),
            kind: WebhookKind::Automation,
            endpoint,
            credentials: Credentials::None,
            retry: RetryPolicy::default(),
            success: Default::default(),
            requests_per_second: None,
            owner: None,
            subscription: None,
        };
        let id = Some("hook".parse().expect("an id"));
        world.command(admin.clone(), Task::CreateWebhook { id, webhook });
        let automation = NewAutomation {
            display_name: "one".into(),
            object: "deal".parse().expect("a name"),
            trigger_actions: Action::Change.into(),
            conditions: None,
            actions: actions("a"),
            enabled: true,
        };
        world.command(admin, Task::CreateAutomation { id: None, automation });
        world
    }

    /// Makes an automation that is told of the service's own notices.
    pub fn hear_notices(&mut self) {
        let admin = Caller::GlobalAdmin { account: self.state.id.clone(), user: "1".parse().expect("an id") };
        let automation = NewAutomation {
            display_name: "notices".into(),
            object: ObjectName::notice(),
            trigger_actions: Action::Create.into(),
            conditions: None,
            actions: actions("n"),
            enabled: true,
        };
        self.command(admin, Task::CreateAutomation { id: None, automation });
    }

    /// Edits the automation's actions.
    pub fn edit(&mut self, names: &str) {
        let id = self.account().automations.values().next().expect("an automation").id.clone();
        let admin = Caller::GlobalAdmin { account: self.state.id.clone(), user: "1".parse().expect("an id") };
        let patch = AutomationPatch { actions: Some(actions(names)), ..AutomationPatch::default() };
        self.command(admin, Task::UpdateAutomation { id, etag: String::new(), patch });
    }

    /// An attempt ends with a status.
    pub fn end(&mut self, dispatch: &Dispatch, status: u16) {
        let row = &self.rows[&dispatch.execution];
        let request = &dispatch.record.requests[dispatch.action_no];
        let fate = self.fates.entry((row.event.clone(), request.action.clone().expect("an id"))).or_default();
        let is_deleted = request.method == Method::Delete && status == 404 && fate.may_be_done;
        fate.has_succeeded |= status == 200 || is_deleted;
        fate.may_be_done |= status == 503;
        let ended = ended(dispatch, status, self.now);
        self.run(vec![Input::Outcome(ended)]);
    }

    pub fn account(&self) -> &Account {
        self.state.account.as_ref().expect("an account")
    }

    pub fn command(&mut self, caller: Caller, task: Task) {
        let command = std::sync::Arc::new(Command { caller, task, repeat: None });
        let replies = self.run(vec![Input::Command(command, None)]);
        assert!(
            matches!(
                replies.last(),
                Some(Reply::Command(Ok(Answer::Account(_) | Answer::Webhook(_) | Answer::Automation(_))))
            ),
            "{replies:?}"
        );
    }

    /// Decides until every input has its reply, as the account's actor does.
    pub fn run(&mut self, mut inputs: Vec<Input>) -> Vec<Reply> {
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

    pub fn decide(&mut self, inputs: &[Input], known: &HashSet<EventId>) -> Decision {
        let mut next = self.next_uuid;
        let mut uuid = || {
            next += 1;
            Uuid::from_u128((next << 64) | next)
        };
        let mut around = Surroundings {
            now: self.now,
            uuid: &mut uuid,
            random: &mut || 7,
            secret: &mut || [7; 32],
            rules: &self.rules,
            slot: &mut |_| true,
            may_start: true,
        };
        let decision = decide(&self.state, inputs, known, &mut around);
        self.next_uuid = next;
        decision
    }

    pub fn commit(&mut self, decision: Decision) {
        let change = &decision.change;
        if change.is_empty() {
            return;
        }
        assert_eq!(change.expected.unwrap_or(0), self.written.2, "each change follows the one before");
        self.written = (change.window, change.backlog, change.revision, change.next_due_at, change.history);
        self.events.extend(change.events.iter().map(|event| event.id.clone()));
        for new in &change.executions {
            let row = Row {
                record: new.record.clone(),
                progress: new.progress.clone(),
                is_of_notice: new.object.is_notice(),
                event: new.event_id.clone(),
                run: new.run,
                arrival: self.arrivals,
                fates: HashMap::new(),
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
        for attempt in &change.attempts {
            let row = self.rows.get_mut(&attempt.execution).expect("a row");
            let known = row.fates.entry(attempt.action_no).or_default();
            *known = attempt.fate.max(*known);
        }
        for row in change.expired.iter().flat_map(|expired| &expired.rows) {
            let gone = self.rows.remove(&row.uid).expect("it was there");
            assert!(gone.progress.state.is_final());
            if self.rows.values().all(|row| row.event != gone.event) {
                assert!(self.events.remove(&gone.event), "an event goes with its last execution");
                self.fates.retain(|(event, _), _| *event != gone.event);
            }
        }
        for change in change.health.iter().filter(|change| change.is_written) {
            self.health.insert(change.webhook, change.health.clone());
        }
        self.state.apply(change);
        for dispatch in &decision.dispatches {
            let request = &dispatch.record.requests[dispatch.action_no];
            let of = (self.rows[&dispatch.execution].event.clone(), request.action.clone().expect("an id"));
            let has_succeeded = self.fates.get(&of).is_some_and(|fate| fate.has_succeeded);
            assert!(!has_succeeded, "{} is sent again although it had succeeded", request.path);
        }
        self.under_way.extend(decision.dispatches);
    }

    pub fn note_admission(&mut self, before: Option<&Row>, row: &Row) {
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
    pub fn settle(&mut self) {
        for _ in 0..1_000 {
            if self.now < self.account().window.start || self.account().is_untold(self.now) {
                self.run(vec![Input::Tidy]);
            }
            if let Some(expiring) = due::expiring(self.account(), self.now, &self.rules) {
                self.run(vec![Input::Expired(self.expired(expiring))]);
            }
            let wanted = due::wanted(self.account(), self.now, &self.rules, &mut |_, most| most);
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

    pub fn waits_for(row: &Row) -> Option<WaitsFor> {
        let open = !row.progress.state.is_final() && row.progress.state != State::Running;
        let webhook = row.record.requests.get(row.progress.action_no).map(|request| request.webhook);
        if row.progress.is_held_back() {
            Some(WaitsFor::Limit)
        } else {
            webhook.filter(|_| open).map(WaitsFor::Webhook)
        }
    }

    pub fn read(&self, wanted: due::RowsWanted) -> DueRows {
        let mut found: Vec<_> = self
            .rows
            .iter()
            .filter(|(_, row)| Self::waits_for(row) == Some(wanted.waits_for))
            .map(|(uid, row)| (row.progress.due_at.expect("a time"), *uid, row))
            .collect();
        found.sort_by_key(|(due, uid, _)| (*due, *uid));
        let (found, later): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|(due, _, row)| wanted.takes(*due, row.progress.is_timed()));
        let taken = found.len().min(wanted.rows_max);
        let next = found.get(taken).map(|(due, ..)| wanted.by.min(*due)).or(later.first().map(|(due, ..)| *due));
        let rows = found[..taken].iter().map(|(_, uid, row)| unfinished(*uid, row)).collect();
        DueRows { waits_for: wanted.waits_for, rows, unreadable: Vec::new(), next }
    }

    pub fn expired(&self, wanted: due::Expiring) -> ExpiredExecutions {
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
        ExpiredExecutions { ended_before: wanted.ended_before, rows, next, oldest }
    }

    /// What a job looks at next: of executions that were made before it those in the wanted states.
    pub fn job_rows(&self, wanted: &due::JobWanted) -> JobRows {
        let job = &wanted.job;
        let is_ahead = |uid: &ExecutionUid| job.progress.position.is_none_or(|position| *uid > position);
        let ahead = self.rows.iter().filter(|(uid, _)| is_ahead(uid) && uid.0 < job.uid.0);
        let fitting: Vec<_> = ahead.filter(|(_, row)| job.filter.states.contains(&row.progress.state)).collect();
        let taken = &fitting[..fitting.len().min(wanted.rows_max).min(JOB_MAX)];
        let last_run = |event: &EventId| {
            self.rows.values().filter(|row| row.event == *event).map(|row| row.run).max().unwrap_or_default()
        };
        let recorded = |uid: &ExecutionUid, row: &Row| Recorded {
            execution: unfinished(*uid, row),
            source: self.account().automations.keys().next().expect("an automation").0,
            event: Some(std::sync::Arc::new(Event::sample(row.event.as_str()))),
            event_id: row.event.clone(),
            run: row.run,
            last_run: last_run(&row.event),
            object: "deal".parse().expect("a name"),
            action: Action::Change,
            entity_id: "8".parse().expect("an id"),
            acting_user: None,
            succeeded: HashSet::new(),
            may_be_done: HashSet::new(),
        };
        let rows = taken.iter().map(|(uid, row)| {
            let mut recorded = recorded(uid, row);
            recorded.note_fates(|action| row.fates.get(&action).copied().unwrap_or_default());
            recorded
        });
        JobRows {
            job: job.uid,
            rows: rows.collect(),
            position: taken.last().map(|(uid, _)| **uid),
            is_last: taken.len() == fitting.len(),
        }
    }

    pub fn start_job(&mut self, task: JobTask, states: Vec<State>) {
        let filter = ExecutionFilter { states, ..ExecutionFilter::default() };
        let command = Command {
            caller: Caller::Service { accounts: AccountScope::All },
            task: Task::StartJob { task, filter },
            repeat: None,
        };
        let replies = self.run(vec![Input::Command(std::sync::Arc::new(command), None)]);
        assert!(matches!(replies.last(), Some(Reply::Command(Ok(Answer::Job(..)) | Err(Refusal::Exhausted { .. })))));
    }

    pub fn crash(&mut self) {
        let before = self.account();
        let waiting = |waits_for: WaitsFor| {
            let of_webhook = self.rows.values().filter(|row| Self::waits_for(row) == Some(waits_for));
            of_webhook.filter_map(|row| row.progress.waits_until(self.now)).min()
        };
        let of_slots = self.rows.values().filter(|row| !row.progress.is_timed() && !row.progress.is_held_back());
        let newest_place = of_slots.filter_map(|row| row.progress.due_at).max().unwrap_or_default();
        let keys = before.webhooks.keys().copied().map(WaitsFor::Webhook).chain([WaitsFor::Limit]);
        let newest = self.rows.values().filter(|row| row.progress.is_held_back());
        let newest = newest.filter_map(|row| row.progress.due_at).max().unwrap_or_default();
        let loaded = Loaded {
            unreadable: Vec::new(),
            newest_place,
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
            waiting: keys.filter_map(|waits_for| Some((waits_for, waiting(waits_for)?))).collect(),
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
        self.state.account = Some(Account::new(loaded));
        for dispatch in std::mem::take(&mut self.under_way) {
            // Whether its request was carried out nobody knows.
            let request = &dispatch.record.requests[dispatch.action_no];
            let of = (self.rows[&dispatch.execution].event.clone(), request.action.clone().expect("an id"));
            self.fates.entry(of).or_default().may_be_done = true;
        }
        if !orphans.is_empty() {
            self.run(vec![Input::Resume(orphans)]);
        }
    }
}

pub fn unfinished(uid: ExecutionUid, row: &Row) -> Unfinished {
    Unfinished {
        uid,
        source_kind: SourceKind::Automation,
        is_of_notice: row.is_of_notice,
        record: row.record.clone(),
        progress: row.progress.clone(),
    }
}

pub fn ended(dispatch: &Dispatch, status: u16, now: Timestamp) -> AttemptReport {
    let outcome = Outcome::Answer {
        status,
        headers: Vec::new(),
        excerpt: Vec::new(),
        truncated: false,
        is_success: (200..=299).contains(&status),
    };
    let attempt = Attempt { started_at: now, duration_us: 1, url: String::new(), secret_url: None, outcome };
    AttemptReport {
        execution: dispatch.execution,
        action_no: dispatch.action_no,
        attempt_no: dispatch.attempt_no,
        attempt: std::sync::Arc::new(attempt),
    }
}
