//! An account's state in memory, and how a committed change alters it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    change::{Change, DeletedAutomation, ExecutionStep, ObjectFields, StillWaiting, WebhookChange},
    ended_notices::EndedNotices,
    facts::AccountFacts,
    history::HistorySummary,
    job::Job,
    limits::{Backlog, RequestsInFlight, Window, webhook_slots},
    loops::{LoopKey, Loops},
};
use crate::domain::{
    automation::{Automation, UnreadableAutomation, catalogue::Catalogue, selection::Selection},
    event::{Action, Event},
    execution::{State, Unfinished, WaitsFor, dispatch::Dispatch},
    id::{AccountId, AccountUid, AutomationUid, ExecutionUid, JobUid, ObjectName, ResourceId, WebhookUid},
    plan::Limits,
    source::SourceKind,
    timestamp::Timestamp,
    webhook::{Webhook, WebhookKind, health::Health, rate::Bucket, subscription::Subscription, traffic::Traffic},
};

/// How many webhooks of a kind an account may have.
pub const WEBHOOKS_MAX: usize = 1_000;
/// How many automations an account may have.
pub const AUTOMATIONS_MAX: usize = 10_000;

/// The place of an account: there may be none of this id.
#[derive(Debug)]
pub struct AccountState {
    /// The id.
    pub id: AccountId,
    /// The account, where there is one.
    pub account: Option<Account>,
}

/// What an account's actor knows: everything that decisions need, nothing that merely waits.
#[derive(Debug)]
pub struct Account {
    /// Its number inside of the service: unique for ever, and never shown to clients.
    pub uid: AccountUid,
    /// Its own facts.
    pub facts: AccountFacts,
    /// Counts every change.
    pub revision: i64,
    /// The window of executions.
    pub window: Window,
    /// The executions that the limit holds back.
    pub backlog: Backlog,
    /// How much history there is.
    pub history: HistorySummary,
    /// Up to where it was looked for executions to delete, while it is being looked.
    pub expiring: Option<ExecutionUid>,
    /// How many executions the last change made.
    pub new_executions: usize,
    /// When the database says that the account must be looked at; never later than the truth.
    pub next_due_at: Option<Timestamp>,
    /// Webhooks, and deleted ones that executions may still name.
    pub webhooks: HashMap<WebhookUid, Arc<Webhook>>,
    /// The regular webhooks that are not deleted.
    regular: Vec<Arc<Webhook>>,
    /// All automations that can be read.
    pub automations: HashMap<AutomationUid, Arc<Automation>>,
    /// Automations that cannot be read: events that could fit them wait.
    pub unreadable: Vec<UnreadableAutomation>,
    /// The automations of each trigger.
    triggers: HashMap<(ObjectName, Action), Selection>,
    /// Whether an automation or a regular webhook names the service's own notices.
    pub hears_notices: bool,
    /// Executions whose request is under way.
    pub running: HashMap<ExecutionUid, Unfinished>,
    /// How many requests are under way.
    pub flight: RequestsInFlight,
    /// How many are under way for each webhook.
    pub webhook_flight: HashMap<WebhookUid, usize>,
    /// The earliest time of what waits, in each line.
    pub waiting: HashMap<WaitsFor, Timestamp>,
    /// The place of the newest execution that waits for a slot.
    pub newest_place: Timestamp,
    /// What executions that cause each other do.
    pub loops: Loops,
    /// How endpoints do, where something has failed.
    pub health: HashMap<WebhookUid, Health>,
    /// How many requests may go to webhooks that have a limit.
    pub buckets: HashMap<WebhookUid, Bucket>,
    /// Up to when requests may have gone out that are not in the buckets.
    pub unknown_until: Timestamp,
    /// Which fields objects have.
    pub catalogue: Arc<Catalogue>,
    /// How webhooks' attempts have gone.
    pub traffic: HashMap<WebhookUid, Traffic>,
    /// Jobs that have not ended, oldest first.
    pub jobs: BTreeMap<JobUid, Arc<Job>>,
    /// What was told of executions that failed or were stopped.
    pub ended_notices: EndedNotices,
}

/// What an account is made of when it is read from the database.
#[derive(Debug)]
pub struct Loaded {
    /// Its number inside of the service: unique for ever, and never shown to clients.
    pub uid: AccountUid,
    /// Its own facts.
    pub facts: AccountFacts,
    /// Its revision.
    pub revision: i64,
    /// Its window.
    pub window: Window,
    /// The executions that the limit holds back.
    pub backlog: Backlog,
    /// How much history there is.
    pub history: HistorySummary,
    /// When it must be looked at.
    pub next_due_at: Option<Timestamp>,
    /// Its webhooks.
    pub webhooks: Vec<Webhook>,
    /// Its automations.
    pub automations: Vec<Automation>,
    /// Those that cannot be read.
    pub unreadable: Vec<UnreadableAutomation>,
    /// Executions that are written as running.
    pub running: Vec<Unfinished>,
    /// The earliest time of what waits, in each line.
    pub waiting: Vec<(WaitsFor, Timestamp)>,
    /// The place of the newest execution that waits for a slot, where that is not the past.
    pub newest_place: Timestamp,
    /// How endpoints do, where it was written down.
    pub health: Vec<(WebhookUid, Health)>,
    /// Which fields objects have.
    pub catalogue: Catalogue,
    /// How webhooks' attempts have gone.
    pub traffic: Vec<(WebhookUid, Traffic)>,
    /// Jobs that have not ended.
    pub jobs: Vec<Job>,
}

impl Account {
    /// The account as it was read.
    pub fn new(loaded: Loaded) -> Self {
        let mut account = Self {
            uid: loaded.uid,
            facts: loaded.facts,
            revision: loaded.revision,
            window: loaded.window,
            backlog: loaded.backlog,
            history: loaded.history,
            expiring: None,
            new_executions: 0,
            next_due_at: loaded.next_due_at,
            webhooks: loaded.webhooks.into_iter().map(|webhook| (webhook.uid, Arc::new(webhook))).collect(),
            regular: Vec::new(),
            automations: HashMap::new(),
            unreadable: loaded.unreadable,
            triggers: HashMap::new(),
            hears_notices: false,
            running: HashMap::new(),
            flight: RequestsInFlight::default(),
            webhook_flight: HashMap::new(),
            waiting: loaded.waiting.into_iter().collect(),
            newest_place: loaded.newest_place,
            loops: Loops::default(),
            health: loaded.health.into_iter().collect(),
            buckets: HashMap::new(),
            unknown_until: Timestamp::default(),
            catalogue: Arc::new(loaded.catalogue),
            traffic: loaded.traffic.into_iter().collect(),
            jobs: loaded.jobs.into_iter().map(|job| (job.uid, Arc::new(job))).collect(),
            ended_notices: EndedNotices::default(),
        };
        account.automations =
            loaded.automations.into_iter().map(|automation| (automation.uid, Arc::new(automation))).collect();
        account.index_triggers();
        account.index_regular();
        for execution in loaded.running {
            account.take_off(execution);
        }
        account
    }

    /// The living webhook of an id.
    pub fn webhook(&self, id: &ResourceId) -> Option<&Arc<Webhook>> {
        self.webhooks.values().find(|webhook| webhook.deleted_at.is_none() && webhook.id == *id)
    }

    /// The webhooks that are not deleted.
    pub fn living_webhooks(&self) -> impl Iterator<Item = &Arc<Webhook>> {
        self.webhooks.values().filter(|webhook| webhook.deleted_at.is_none())
    }

    /// The automation of an id.
    pub fn automation(&self, id: &ResourceId) -> Option<&Arc<Automation>> {
        self.automations.values().find(|automation| automation.id == *id)
    }

    /// The automations whose trigger an event fits, whether or not they are enabled and active.
    pub fn triggered_by(&self, event: &Event) -> Option<&Selection> {
        self.triggers.get(&(event.object.clone(), event.action))
    }

    /// When it is to be told how many executions ended of which nothing was told; never where nobody asks for notices.
    pub fn untold_due_at(&self, notices: EndedNotices) -> Option<Timestamp> {
        notices.due_at().filter(|_| self.hears_notices && !self.facts.deleted)
    }

    /// Whether that is due.
    pub fn is_untold(&self, now: Timestamp) -> bool {
        self.untold_due_at(self.ended_notices).is_some_and(|due| due <= now)
    }

    /// How many executions a window admits: of the plan, or, after a downgrade, of the plan that paused them.
    pub fn execution_limit(&self, limits: &Limits) -> u32 {
        if self.facts.plan.has_automation_webhooks() {
            limits.executions_per_window
        } else {
            self.facts.run_out_limit.unwrap_or_default()
        }
    }

    /// The earliest time at which something waits for each webhook.
    pub fn waiting_for_webhooks(&self) -> impl Iterator<Item = (WebhookUid, Timestamp)> {
        self.waiting.iter().filter_map(|(waits_for, earliest)| Some((waits_for.webhook()?, *earliest)))
    }

    /// How many requests to a webhook may be under way.
    pub fn allowance(&self, webhook: WebhookUid, limits: &Limits, now: Timestamp) -> usize {
        let slots = webhook_slots(limits);
        self.health.get(&webhook).map_or(slots, |health| health.breaker.allowance(slots, now))
    }

    /// How many requests to a webhook its limit a second lets go now.
    pub fn tokens(&self, webhook: &Webhook, now: Timestamp) -> usize {
        webhook.requests_per_second.map_or(usize::MAX, |limit| self.bucket(webhook.uid).tokens(limit, now))
    }

    /// Requests begin, after their change is durable: limits a second count them from then on.
    pub fn have_begun(&mut self, dispatches: &[Dispatch], now: Timestamp) {
        let mut counts: HashMap<WebhookUid, usize> = HashMap::new();
        for dispatch in dispatches.iter().filter(|dispatch| dispatch.webhook.requests_per_second.is_some()) {
            *counts.entry(dispatch.webhook.uid).or_default() += 1;
        }
        for (webhook, count) in counts {
            if let Some(bucket) = self.buckets.get_mut(&webhook) {
                bucket.have_begun(count, now);
            }
        }
    }

    /// When the last requests to a webhook began.
    pub fn bucket(&self, webhook: WebhookUid) -> Cow<'_, Bucket> {
        // Without a limit there is nothing to hold to.
        let has_limit = self.webhooks.get(&webhook).is_some_and(|webhook| webhook.requests_per_second.is_some());
        let unknown =
            || Cow::Owned(if has_limit { Bucket::unknown_until(self.unknown_until) } else { Bucket::default() });
        self.buckets.get(&webhook).map_or_else(unknown, Cow::Borrowed)
    }

    /// The clock was set back: what waits for a slot is looked for, whatever place it has.
    pub fn look_for_what_waits(&mut self, now: Timestamp) {
        self.unknown_until = self.unknown_until.min(now);
        self.buckets.values_mut().for_each(|bucket| bucket.set_back(now));
        self.waiting.values_mut().for_each(|earliest| *earliest = now.min(*earliest));
    }

    /// Whether attempts were counted that are not written.
    pub fn has_unwritten_traffic(&self) -> bool {
        self.traffic.values().any(Traffic::is_unwritten)
    }

    /// Whether nothing is under way.
    pub fn is_quiet(&self) -> bool {
        self.running.is_empty() && !self.facts.deleted
    }

    /// The regular webhooks that get an event, in the order of their creation.
    pub fn subscribers<'a>(&'a self, event: &'a Event) -> impl Iterator<Item = &'a Arc<Webhook>> {
        self.regular.iter().filter(|webhook| webhook.subscribes_to(event))
    }

    fn index_regular(&mut self) {
        let regular = self.living_webhooks().filter(|webhook| webhook.kind == WebhookKind::Regular);
        let mut regular: Vec<_> = regular.map(Arc::clone).collect();
        regular.sort_by_key(|webhook| webhook.uid);
        self.regular = regular;
        self.listen();
    }

    fn index_triggers(&mut self) {
        let mut ordered: Vec<_> = self.automations.values().map(Arc::clone).collect();
        ordered.sort_by_key(|automation| automation.uid);
        let mut triggers: HashMap<_, Vec<_>> = HashMap::new();
        for automation in ordered {
            for action in automation.spec.trigger_actions.as_slice() {
                let key = (automation.spec.object.clone(), *action);
                triggers.entry(key).or_default().push(Arc::clone(&automation));
            }
        }
        self.triggers = triggers.into_iter().map(|(key, automations)| (key, Selection::new(automations))).collect();
        self.listen();
    }

    /// Whether nothing is sent to a webhook but the service's own notices.
    pub fn carries_only_notices(&self, webhook: &Webhook) -> bool {
        match &webhook.subscription {
            Some(subscription) => subscription.names_notices(),
            None => {
                let uses = |automation: &&Arc<Automation>| {
                    automation.spec.actions.iter().any(|action| action.webhook_uid == webhook.uid)
                };
                self.automations.values().filter(uses).all(|automation| automation.spec.object.is_notice())
            }
        }
    }

    fn listen(&mut self) {
        let names_them =
            |webhook: &Arc<Webhook>| webhook.subscription.as_ref().is_some_and(Subscription::names_notices);
        let has_trigger = self.triggers.keys().any(|(object, _)| object.is_notice());
        self.hears_notices = has_trigger || self.regular.iter().any(names_them);
    }

    fn take_off(&mut self, execution: Unfinished) {
        if let Some(webhook) = execution.webhook() {
            self.flight.add(execution.source_kind);
            *self.webhook_flight.entry(webhook).or_default() += 1;
            self.running.insert(execution.uid, execution);
        }
    }

    fn land(&mut self, uid: ExecutionUid, webhook: WebhookUid, kind: SourceKind) {
        if self.running.remove(&uid).is_none() {
            return;
        }
        self.flight.remove(kind);
        if let Some(count) = self.webhook_flight.get_mut(&webhook) {
            *count -= 1;
            if *count == 0 {
                self.webhook_flight.remove(&webhook);
            }
        }
    }

    fn wait(&mut self, execution: &Unfinished, now: Timestamp) {
        if !execution.progress.is_timed() && !execution.progress.is_held_back() {
            self.newest_place = self.newest_place.max(execution.progress.due_at.unwrap_or_default());
        }
        if let (Some(waits_for), Some(due_at)) = (execution.waits_for(), execution.progress.waits_until(now)) {
            let earliest = self.waiting.entry(waits_for).or_insert(due_at);
            *earliest = due_at.min(*earliest);
        }
    }

    fn track(&mut self, execution: Unfinished, now: Timestamp) {
        if execution.progress.state == State::Running {
            self.take_off(execution);
        } else {
            self.wait(&execution, now);
        }
    }

    /// Webhooks that were deleted so long ago that no history names them, and that nothing waits for.
    fn forget_deleted_webhooks(&mut self, deleted_before: Timestamp) {
        let (waiting, under_way) = (&self.waiting, &self.webhook_flight);
        self.webhooks.retain(|uid, webhook| {
            let is_old = webhook.deleted_at.is_some_and(|deleted| deleted < deleted_before);
            !is_old || waiting.contains_key(&WaitsFor::Webhook(*uid)) || under_way.contains_key(uid)
        });
        let webhooks = &self.webhooks;
        self.health.retain(|uid, _| webhooks.contains_key(uid));
        self.traffic.retain(|uid, _| webhooks.contains_key(uid));
        self.buckets.retain(|uid, _| webhooks.contains_key(uid));
    }

    fn apply_steps(&mut self, steps: &[ExecutionStep], now: Timestamp) {
        for step in steps {
            if let Some(webhook) = step.was_running {
                self.land(step.execution.uid, webhook, step.execution.source_kind);
            }
        }
        for step in steps {
            self.track(step.execution.clone(), now);
        }
    }
}

impl AccountState {
    /// Takes in a change that is durable. This cannot fail.
    pub fn apply(&mut self, change: &Change) {
        if self.account.is_none()
            && let Some(facts) = &change.facts
        {
            self.account = Some(Account::new(Loaded {
                uid: change.account,
                facts: facts.clone(),
                revision: change.revision,
                window: change.window,
                backlog: change.backlog,
                history: change.history,
                next_due_at: change.next_due_at,
                webhooks: Vec::new(),
                automations: Vec::new(),
                unreadable: Vec::new(),
                newest_place: Timestamp::default(),
                running: Vec::new(),
                waiting: Vec::new(),
                health: Vec::new(),
                catalogue: Catalogue::default(),
                traffic: Vec::new(),
                jobs: Vec::new(),
            }));
        }
        let Some(account) = &mut self.account else { return };
        account.revision = change.revision;
        account.window = change.window;
        account.backlog = change.backlog;
        account.history = change.history;
        account.new_executions = change.executions.len();
        account.ended_notices = change.ended_notices;
        account.next_due_at = change.next_due_at;
        if let Some(facts) = &change.facts {
            account.facts = facts.clone();
        }
        for WebhookChange { webhook, .. } in &change.webhooks {
            account.webhooks.insert(webhook.uid, Arc::clone(webhook));
        }
        if !change.webhooks.is_empty() {
            account.index_regular();
        }
        account.buckets.extend(change.buckets.iter().cloned());
        for change in &change.health {
            account.health.insert(change.webhook, change.health.clone());
        }
        for automation in &change.automations {
            account.automations.insert(automation.uid, Arc::clone(automation));
        }
        if let Some(DeletedAutomation { uid, .. }) = change.deleted_automation {
            account.automations.remove(&uid);
            account.unreadable.retain(|automation| automation.uid != uid);
        }
        if !change.automations.is_empty() || change.deleted_automation.is_some() {
            account.index_triggers();
        }
        if let Some(ObjectFields { object, fields }) = &change.catalogue {
            Arc::make_mut(&mut account.catalogue).set(object.clone(), Arc::clone(fields));
        }
        account.traffic.extend(change.traffic.iter().cloned());
        for job in &change.jobs {
            if job.is_running() {
                account.jobs.insert(job.uid, Arc::clone(job));
            } else {
                account.jobs.remove(&job.uid);
            }
        }
        for StillWaiting { waits_for, next } in &change.waiting {
            match next {
                Some(next) => account.waiting.insert(*waits_for, *next),
                None => account.waiting.remove(waits_for),
            };
        }
        account.apply_steps(&change.steps, change.decided_at);
        if let Some(expired) = &change.expired {
            account.expiring = expired.next;
            if expired.next.is_none() {
                account.forget_deleted_webhooks(expired.ended_before);
            }
        }
        for execution in &change.executions {
            if execution.is_caused {
                let key = LoopKey::new(execution.source, &execution.object, &execution.entity_id);
                account.loops.note(key, execution.created_at);
            }
            account.track(Unfinished::from(execution), change.decided_at);
        }
    }
}
