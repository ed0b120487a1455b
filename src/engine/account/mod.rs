//! The account actor: a thin shell around the domain's decisions. It queues what comes in, lets the domain decide,
//! commits, applies, and only then answers and sends. One commit is in flight at a time.

mod aside;
pub mod messages;
mod queue;
mod reading;
mod telling;

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, SpawnHandle, WrapFuture};
use tokio::sync::OwnedSemaphorePermit;

pub use self::queue::Wait;
use self::{
    messages::Wake,
    queue::{Queue, Rows},
};
use super::{
    Shared,
    calls::EngineError,
    inbox::Inbox,
    observe::{gauges::Vitals, tally, traces},
    slots::Slot,
};
use crate::{
    clock,
    domain::{
        account::{Account, AccountState, due},
        decision::{Decision, Input, Reply, Surroundings, decide},
        execution::State,
        id::{AccountId, EventId},
        timestamp::Timestamp,
    },
    store::{Read, Receipt, StoreError},
    telemetry::chain,
};

/// How many messages wait for an account; senders wait beyond that.
const MAILBOX_MESSAGES_MAX: usize = 1_024;
/// How long an account rests after its database failed, at first; then twice as long each time.
const TROUBLE_REST_MIN: Duration = Duration::from_millis(250);
/// How long it rests at most.
const TROUBLE_REST_MAX: Duration = Duration::from_secs(8);

/// Owns one account.
pub struct AccountActor {
    shared: Arc<Shared>,
    state: AccountState,
    is_loaded: bool,
    in_doubt: bool,
    /// A place among the loads of what is due.
    load_place: Option<OwnedSemaphorePermit>,
    is_busy: bool,
    /// The slots of all that the decision has taken whose commit is under way, one a request.
    slots: Vec<Slot>,
    queue: Queue,
    /// Outcomes that others have put in.
    outcomes: Arc<Inbox>,
    /// Whether the last decision deleted old executions.
    has_expired: bool,
    /// How often in a row nothing could be read or written.
    troubles: u32,
    known: HashSet<EventId>,
    vitals: Arc<Vitals>,
    timer: Option<SpawnHandle>,
    last_turn_at: Timestamp,
    last_active: tokio::time::Instant,
}

impl AccountActor {
    /// An actor for the account of an id, whether or not there is one.
    pub fn new(shared: Arc<Shared>, id: AccountId, outcomes: Arc<Inbox>) -> Self {
        Self {
            vitals: shared.gauges.vitals(&id),
            shared,
            state: AccountState { id, account: None },
            is_loaded: false,
            in_doubt: false,
            load_place: None,
            is_busy: false,
            slots: Vec::new(),
            queue: Queue::default(),
            outcomes,
            has_expired: false,
            troubles: 0,
            known: HashSet::new(),
            timer: None,
            last_turn_at: Timestamp::default(),
            last_active: tokio::time::Instant::now(),
        }
    }
}

impl Actor for AccountActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_MESSAGES_MAX);
        self.turn(ctx);
        let period = self.shared.config.idle_after;
        ctx.run_interval(period, Self::rest_if_idle);
    }

    fn stopped(&mut self, ctx: &mut Self::Context) {
        self.shared.leave(&self.state.id, &ctx.address());
        self.shared.slots.give_back(&self.state.id);
        self.shared.gauges.rest(&self.state.id);
    }
}

impl AccountActor {
    /// Does the next thing there is to do, unless one is under way.
    fn turn(&mut self, ctx: &mut Context<Self>) {
        if self.is_busy {
            return;
        }
        if !self.is_loaded {
            return self.load(ctx);
        }
        let now = clock::now();
        if now < self.last_turn_at
            && let Some(account) = &mut self.state.account
        {
            account.look_for_what_waits(now);
        }
        self.last_turn_at = now;
        if self.state.account.as_ref().is_some_and(|account| now < account.window.start) && self.queue.is_empty() {
            // The clock was set back: the window starts anew, and that is written down.
            self.queue.push_rows(Rows::Tidy);
        }
        if self.state.account.as_ref().is_some_and(|account| account.is_untold(now)) && self.queue.is_empty() {
            self.queue.push_rows(Rows::Tidy);
        }
        self.hold_up_events();
        let wanted = self.wanted(now);
        if !wanted.is_nothing() {
            return self.read(wanted, ctx);
        }
        if !self.queue.is_empty() {
            return self.decide_and_commit(ctx);
        }
        if self.state.account.as_ref().is_some_and(|account| account.facts.deleted) {
            return self.erase(ctx);
        }
        // Nothing is left that a slot could be for.
        self.shared.slots.give_back(&self.state.id);
        self.set_timer(now, ctx);
    }

    /// Events that could fit an automation which cannot be read are not acknowledged.
    fn hold_up_events(&mut self) {
        let Some(account) = self.state.account.as_ref().filter(|account| !account.unreadable.is_empty()) else {
            return;
        };
        let ids: Vec<_> = account.unreadable.iter().map(|automation| automation.id.as_str()).collect();
        let why = format!("cannot read the automation {}: delete it, or have its row mended", ids.join(", "));
        let error = EngineError::Unavailable { why, retry_after: TROUBLE_REST_MAX };
        let unreadable = &account.unreadable;
        self.queue.refuse_events(|event| unreadable.iter().any(|automation| automation.may_fit(event)), &error);
    }

    fn busy(&mut self) {
        self.is_busy = true;
        self.last_active = tokio::time::Instant::now();
    }

    fn free(&mut self, ctx: &mut Context<Self>) {
        self.is_busy = false;
        self.turn(ctx);
    }

    /// Tells callers that the database failed, and rests; longer each time in a row.
    fn pause(&mut self, error: &StoreError, ctx: &mut Context<Self>) {
        self.slots.clear();
        self.shared.slots.give_back(&self.state.id);
        let error = chain(error);
        let rest = self.next_rest();
        self.queue.fail_callers(&EngineError::Unavailable { why: error.clone(), retry_after: rest });
        let rest_ms = u64::try_from(rest.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(account.id = %self.state.id, error, rest_ms, "the database is in trouble; trying again");
        ctx.run_later(rest, |actor, ctx| actor.free(ctx));
    }

    /// How long to rest before the next try; longer each time until something is written.
    fn next_rest(&mut self) -> Duration {
        self.load_place = None;
        let rest = TROUBLE_REST_MIN.saturating_mul(1 << self.troubles.min(8)).min(TROUBLE_REST_MAX);
        self.troubles += 1;
        rest
    }

    fn load(&mut self, ctx: &mut Context<Self>) {
        self.busy();
        let shared = Arc::clone(&self.shared);
        let id = self.state.id.clone();
        let in_doubt = self.in_doubt;
        let read = async move {
            let held = shared.flights.held(&id);
            shared.store.load_account(&id, &held, in_doubt).await
        };
        ctx.spawn(read.into_actor(self).map(|read, actor, ctx| match read {
            Ok(read) => {
                actor.load_place = None;
                actor.adopt(read);
                actor.free(ctx);
            }
            Err(error) => actor.pause(&error, ctx),
        }));
    }

    fn adopt(&mut self, read: Option<Read>) {
        self.is_loaded = true;
        self.in_doubt = false;
        self.known.clear();
        let before = self.state.account.take();
        let Some(read) = read else { return };
        for _ in &read.loaded.unreadable {
            self.shared.metrics.unreadable("automation");
        }
        for _ in read.loaded.webhooks.iter().filter(|webhook| webhook.deleted_at.is_none() && webhook.is_unreadable()) {
            self.shared.metrics.unreadable("webhook");
        }
        let mut account = Account::new(read.loaded);
        match before {
            Some(before) => {
                (account.buckets, account.unknown_until) = (before.buckets, before.unknown_until);
                account.ended_notices = before.ended_notices;
            }
            None => account.unknown_until = self.shared.started_at.min(clock::now()),
        }
        self.state.account = Some(account);
        self.vitals.note(self.state.account.as_ref());
        self.queue.forget_own();
        // What a doubt has hidden may have been written.
        if let Some(account) = &self.state.account {
            self.shared.watchers.tell(&self.state.id, account.revision);
        }
        for _ in &read.unreadable {
            self.shared.metrics.unreadable("execution");
        }
        if !read.unreadable.is_empty() {
            self.queue.push_rows(Rows::Unreadable(read.unreadable));
        }
        if !read.orphans.is_empty() {
            self.queue.push_rows(Rows::Resume(read.orphans));
        }
        for ended in self.shared.flights.unrecorded(&self.state.id) {
            self.queue.push_outcome(ended);
        }
    }

    fn decide_and_commit(&mut self, ctx: &mut Context<Self>) {
        self.busy();
        let inputs = self.queue.batch();
        self.queue.note_waits(|waited| self.shared.metrics.mailbox_wait(waited));
        self.has_expired = inputs.iter().any(|input| matches!(input, Input::Expired(_)));
        let now = clock::now();
        self.slots.clear();
        let (all, id, slots) = (&self.shared.slots, &self.state.id, &mut self.slots);
        // Whoever found none is not passed by those behind it.
        let mut refused = HashSet::new();
        let mut slot = |webhook| {
            let taken = if refused.contains(&webhook) { None } else { all.take(id, webhook) };
            if taken.is_none() {
                refused.insert(webhook);
            }
            let is_taken = taken.is_some();
            slots.extend(taken);
            is_taken
        };
        let decided = catch_unwind(AssertUnwindSafe(|| {
            let mut around = Surroundings {
                now,
                uuid: &mut clock::uuid,
                random: &mut clock::random,
                secret: &mut clock::secret,
                rules: self.shared.rules(),
                slot: &mut slot,
                may_start: self.shared.may_start.load(Ordering::SeqCst),
            };
            decide(&self.state, &inputs, &self.known, &mut around)
        }));
        let decision = match decided {
            Ok(decision) => decision,
            Err(_) => {
                tracing::error!(account.id = %self.state.id, inputs = inputs.len(), "a decision broke down");
                self.slots.clear();
                return self.turn_away(&inputs, ctx);
            }
        };
        traces::evaluated(&self.shared.spans, &self.state.id, &inputs, &decision, now);
        if decision.change.is_empty() {
            return self.settle(decision, ctx);
        }
        let store = self.shared.store.clone();
        let spans = self.shared.spans.clone();
        let commit = async move {
            let begun = clock::now();
            let receipt = store.commit(&decision.change, now).await;
            traces::committed(&spans, &decision, begun, receipt.error_type());
            (decision, receipt)
        };
        ctx.spawn(commit.into_actor(self).map(move |(decision, receipt), actor, ctx| {
            actor.received(decision, receipt, &inputs, ctx);
        }));
    }

    fn received(&mut self, decision: Decision, receipt: Receipt, inputs: &[Input], ctx: &mut Context<Self>) {
        if !matches!(receipt, Receipt::Committed) {
            self.slots.clear();
        }
        match receipt {
            Receipt::Committed => {
                self.settle(decision, ctx);
            }
            Receipt::Duplicate(events) => {
                self.known.extend(events);
                self.free(ctx);
            }
            Receipt::Stale => {
                tracing::warn!(account.id = %self.state.id, "the account was changed elsewhere; reading it anew");
                self.is_loaded = false;
                self.in_doubt = true;
                let rest = self.next_rest();
                ctx.run_later(rest, |actor, ctx| actor.free(ctx));
            }
            Receipt::Refused(error) => {
                let error = chain(&error);
                tracing::error!(account.id = %self.state.id, error, "the database never takes what a decision has made");
                self.turn_away(inputs, ctx);
            }
            Receipt::Failed(error) => self.pause(&error, ctx),
            Receipt::Unknown(error) => {
                self.is_loaded = false;
                self.in_doubt = true;
                self.pause(&error, ctx);
            }
        }
    }

    /// The change is durable, or there is none: take it in, answer, send; unless another process may do so by now. What
    /// nothing was written for has met no fence, so only the lease tells that it was decided on what is true.
    fn settle(&mut self, mut decision: Decision, ctx: &mut Context<Self>) {
        if !self.shared.store.lease().is_held() {
            self.is_loaded = false;
            self.in_doubt = true;
            return self.pause(&StoreError::Lapsed, ctx);
        }
        self.troubles = 0;
        // What was not written has advanced nothing.
        let is_written = !decision.change.is_empty();
        if is_written {
            self.tell_notices(&decision.change);
            self.state.apply(&decision.change);
            self.vitals.note(self.state.account.as_ref());
            tally::changed(&self.shared.metrics, &decision.change);
            self.shared.watchers.tell(&self.state.id, decision.change.revision);
        }
        let acknowledged_at = tally::first_requests(&decision);
        self.note_misses(std::mem::take(&mut decision.misses));
        self.note_recent(&decision.recent);
        traces::executed(&self.shared.spans, &self.state.id, &decision);
        for step in &decision.change.steps {
            if step.execution.progress.state != State::Running {
                self.shared.flights.forget(step.execution.uid);
            }
        }
        self.hand_out(decision.replies);
        self.known.clear();
        if let Some(account) = &mut self.state.account {
            account.have_begun(&decision.dispatches, clock::now());
        }
        for (dispatch, slot) in decision.dispatches.into_iter().zip(std::mem::take(&mut self.slots)) {
            let acknowledged_at = acknowledged_at(&dispatch);
            self.shared.dispatch(&self.state.id, dispatch, slot, acknowledged_at);
        }
        if is_written {
            return self.free(ctx);
        }
        self.go_on(ctx);
    }

    /// Goes on after what waited for nothing, in a turn of its own: no number of such decisions grows the stack.
    fn go_on(&mut self, ctx: &mut Context<Self>) {
        self.is_busy = false;
        ctx.notify(Wake { place: None });
    }

    /// Hands the answers to those who wait, and lets go of the executions that are no longer running.
    fn hand_out(&mut self, replies: Vec<Reply>) {
        for execution in self.queue.hand_out(replies, &self.shared.metrics) {
            let living = self.state.account.as_ref().filter(|account| !account.facts.deleted);
            if !living.is_some_and(|account| account.running.contains_key(&execution)) {
                self.shared.flights.forget(execution);
            }
        }
    }

    fn erase(&mut self, ctx: &mut Context<Self>) {
        let Some(uid) = self.state.account.as_ref().map(|account| account.uid) else { return };
        self.busy();
        let store = self.shared.store.clone();
        ctx.spawn(async move { store.erase_some(uid).await }.into_actor(self).map(
            move |done, actor, ctx| match done {
                Ok(done) => {
                    if done {
                        tracing::info!(account.id = %actor.state.id, "the account is erased");
                        actor.shared.misses().forget(uid);
                        actor.shared.recent().forget(uid);
                        actor.shared.watchers.tell(&actor.state.id, i64::MAX);
                        actor.state.account = None;
                        actor.vitals.note(None);
                    }
                    actor.free(ctx);
                }
                Err(error) => actor.pause(&error, ctx),
            },
        ));
    }

    /// Wakes the account when the next thing is due that a slot is free for.
    fn set_timer(&mut self, now: Timestamp, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let Some(account) = self.state.account.as_ref().filter(|_| self.shared.may_start.load(Ordering::SeqCst)) else {
            return;
        };
        let has_slot = |webhook| self.shared.slots.available(&self.state.id, webhook).0 > 0;
        let Some(next) = due::next_start_at(account, now, self.shared.rules(), &has_slot) else { return };
        let wait_us = u64::try_from(next.0 - clock::now().0).unwrap_or_default();
        let timer = ctx.run_later(Duration::from_micros(wait_us.max(1_000)), |actor, ctx| actor.turn(ctx));
        self.timer = Some(timer);
    }

    /// Writes down when the account must be looked at next, and stops once there is nothing to do.
    fn rest_if_idle(&mut self, ctx: &mut Context<Self>) {
        let now = clock::now();
        let idle = self.last_active.elapsed() >= self.shared.config.idle_after;
        if self.is_busy || !self.queue.is_empty() || !idle {
            return;
        }
        let Some(account) = &self.state.account else { return ctx.stop() };
        if !account.is_quiet() {
            return;
        }
        let is_untidy = due::next_look_at(account, now, self.shared.rules()) != account.next_due_at;
        if is_untidy || account.has_unwritten_traffic() {
            self.queue.push_rows(Rows::Tidy);
            return self.turn(ctx);
        }
        let soon = now.plus_ms(u64::try_from(2 * self.shared.config.idle_after.as_millis()).unwrap_or(u64::MAX));
        let has_untold = account.untold_due_at(account.ended_notices).is_some();
        if !has_untold && account.next_due_at.is_none_or(|due| due > soon) {
            ctx.stop();
        }
    }
}
