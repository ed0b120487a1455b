//! The only place that knows actix: account actors, dispatch actors, the scheduler and the HTTP client.

mod account;
mod calls;
mod causes;
mod dispatch;
mod flights;
mod http;
mod inbox;
mod observe;
mod readings;
mod scheduler;
mod slots;
mod wall_clock;
mod watchers;

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use actix::{Actor, Addr, ArbiterHandle, Handler, Message};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use self::{
    account::{
        AccountActor, Wait,
        messages::{TakeCommand, TakeEvents, TakeOutcomes, Wake},
    },
    calls::gone,
    dispatch::DispatchActor,
    flights::Flights,
    http::Http,
    inbox::Inbox,
    observe::gauges::Gauges,
    slots::{Slot, Slots},
    wall_clock::WallClock,
    watchers::Watchers,
};
pub use self::{
    calls::{CommandReply, EngineError, Order, Pending, Tested},
    http::HttpConfig,
    watchers::Watcher,
};
use crate::{
    clock,
    domain::{
        account::Rules,
        attempt::AttemptReport,
        automation::miss::{MissBook, Misses},
        decision::command::{Answer, Command, TESTS_AT_ONCE_MAX, TestAnswer},
        event::{
            Action, Event,
            recent::{RecentBook, RecentEvents},
        },
        execution::{
            dispatch::Dispatch,
            record::{Basis, Record},
        },
        id::{AccountId, AccountUid, AutomationUid, EventId, ObjectName},
        refusal::Refusal,
        timestamp::Timestamp,
        trace_context::TraceContext,
    },
    shares::Shares,
    store::Store,
    telemetry::{Metrics, Spans},
};

/// How often an actor that has just stopped is started anew for one message.
const RESTARTS_MAX: usize = 5;
/// How many accounts that are due are loaded at a time, so that a call to another one waits for few of them.
const LOADS_AT_ONCE_MAX: usize = 64;
/// How many calls and frames of events wait in an account; callers wait beyond that.
const INPUTS_WAITING_MAX: usize = 1_024;

/// How the engine works.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// What decisions obey.
    pub rules: Rules,
    /// How requests are sent.
    pub http: HttpConfig,
    /// How many requests are in flight in all.
    pub requests_in_flight_max: usize,
    /// How long entries of audit trails are kept.
    pub audit_kept_ms: u64,
    /// How many bytes are used to remember why automations did not run.
    pub misses_bytes_max: usize,
    /// How many bytes are used to remember recent events.
    pub recent_events_bytes_max: usize,
    /// How long an account is kept in memory after its last use.
    pub idle_after: Duration,
}

/// What the actors share.
pub(crate) struct Shared {
    store: Store,
    config: EngineConfig,
    /// The rules while the clock is not trusted.
    cautious: Rules,
    wall_clock: WallClock,
    http: Http,
    arbiters: Vec<ArbiterHandle>,
    accounts: Mutex<HashMap<AccountId, Seat>>,
    flights: Flights,
    slots: Slots,
    /// Places for the loads of accounts that the scheduler wakes.
    loads: Arc<Semaphore>,
    spans: Spans,
    metrics: Metrics,
    gauges: Gauges,
    watchers: Arc<Watchers>,
    /// Why automations did not run.
    misses: Mutex<MissBook>,
    /// The last events that fitted triggers.
    recent: Mutex<RecentBook>,
    /// Places for the test requests of each account.
    tests: Shares<AccountId>,
    /// Whether requests may start; not while the process is about to end.
    may_start: AtomicBool,
    /// When the engine began: what other processes sent before is not known.
    started_at: Timestamp,
}

/// An account's actor, the places for what waits in it, and the outcomes on their way to it.
#[derive(Clone)]
struct Seat {
    actor: Addr<AccountActor>,
    places: Arc<Semaphore>,
    outcomes: Arc<Inbox>,
}

/// The handle of the engine.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

impl Engine {
    /// Starts the engine over arbiters that share the process's runtime.
    pub fn start(
        store: Store,
        config: EngineConfig,
        arbiters: Vec<ArbiterHandle>,
        spans: Spans,
        metrics: Metrics,
    ) -> Result<Self, String> {
        let http =
            Http::new(config.http.clone()).map_err(|error| format!("the HTTP client could not be made: {error}"))?;
        let slots = Slots::new(config.requests_in_flight_max);
        let (misses_bytes_max, recent_events_bytes_max) = (config.misses_bytes_max, config.recent_events_bytes_max);
        let shared = Shared {
            cautious: Rules { is_clock_trusted: false, ..config.rules.clone() },
            wall_clock: WallClock::new(store.last_wall_time()),
            store,
            config,
            http,
            arbiters,
            accounts: Mutex::default(),
            flights: Flights::default(),
            slots,
            loads: Arc::new(Semaphore::new(LOADS_AT_ONCE_MAX)),
            spans,
            metrics,
            gauges: Gauges::default(),
            watchers: Arc::default(),
            misses: Mutex::new(MissBook::new(misses_bytes_max, clock::now())),
            recent: Mutex::new(RecentBook::new(recent_events_bytes_max, clock::now())),
            tests: Shares::new(TESTS_AT_ONCE_MAX),
            may_start: AtomicBool::new(true),
            started_at: clock::now(),
        };
        let engine = Self { shared: Arc::new(shared) };
        let shared = Arc::downgrade(&engine.shared);
        engine
            .shared
            .slots
            .on_grant(Box::new(move |account| shared.upgrade().is_some_and(|shared| shared.granted(account))));
        readings::watch(&engine.shared.metrics, &engine.shared);
        tokio::spawn(scheduler::run(engine.clone()));
        Ok(engine)
    }

    /// Decides on a call. The answer comes when its effect is durable.
    pub async fn command(&self, account: &AccountId, mut command: Command) -> Result<CommandReply, EngineError> {
        command.bind_to_caller();
        let command = Arc::new(command);
        let mut answer = None;
        let message = |wait| {
            let (reply, receiver) = oneshot::channel();
            answer = Some(receiver);
            TakeCommand { command: Arc::clone(&command), reply, wait }
        };
        self.give(account, message).await?;
        match answer {
            Some(answer) => answer.await.unwrap_or_else(|_| Err(gone())),
            None => Err(gone()),
        }
    }

    /// Takes in events of one account, in the order of the calls. The answer comes when everything that they cause
    /// is durable. Once events of an order were turned away, so are those that come after them.
    pub async fn publish(
        &self,
        account: &AccountId,
        events: Vec<Arc<Event>>,
        order: &Order,
    ) -> Result<Pending, EngineError> {
        if events.is_empty() {
            return Ok(Pending(None));
        }
        let events = self.complete_causes(account, events).await.inspect_err(|_| order.end())?;
        let mut answer = None;
        let message = |wait| {
            let (reply, receiver) = oneshot::channel();
            answer = Some(receiver);
            TakeEvents { events: events.clone(), order: order.clone(), reply, wait }
        };
        let given = self.give(account, message).await;
        given.inspect_err(|_| order.end())?;
        Ok(Pending(answer))
    }

    /// How many requests are under way.
    pub fn requests_in_flight(&self) -> usize {
        self.shared.flights.count()
    }

    /// Sends one test request, once the account has let it; the command says which, for so many that are under way. It is in
    /// no history and counts in no execution limit.
    pub async fn test(
        &self,
        account: &AccountId,
        command: impl FnOnce(usize) -> Command,
    ) -> Result<Tested, EngineError> {
        let Some(place) = self.shared.tests.of(account).try_take() else {
            let message = format!("{TESTS_AT_ONCE_MAX} test requests are under way: try again in a moment");
            return Err(EngineError::Refused(Refusal::Exhausted { subject: "tests".to_owned(), message }));
        };
        let left = place.semaphore().map_or(0, |semaphore| semaphore.available_permits());
        let under_way = (TESTS_AT_ONCE_MAX - 1).saturating_sub(left);
        let test = match self.command(account, command(under_way)).await? {
            CommandReply::Fresh(Answer::Test(test)) => test,
            _ => return Err(gone()),
        };
        let TestAnswer { webhook, execution, request } = test;
        let Some(_slot) = self.shared.slots.take(account, webhook.uid) else {
            let message = "all requests that may be under way at once are: try again in a moment".to_owned();
            return Err(EngineError::Refused(Refusal::Exhausted { subject: "tests".to_owned(), message }));
        };
        self.shared.store.lease().held().await;
        let body = request.body.text().into_owned();
        let record = Arc::new(Record {
            source_name: "a test".to_owned(),
            source_id: webhook.id.clone(),
            causation_depth: 0,
            trace: TraceContext::unrecorded(uuid::Uuid::now_v7().as_u128(), clock::random() | 1),
            parent_span: None,
            requests: vec![Arc::unwrap_or_clone(request)],
            explanation: Vec::new(),
            basis: Basis::Decision,
        });
        let dispatch = Dispatch { execution, action_no: 0, attempt_no: 1, is_test: true, record, webhook };
        let attempt = self.shared.http.send(account, &dispatch, &self.shared.spans).await;
        Ok(Tested { attempt, body, request_id: execution.request_id(1) })
    }

    /// Why an automation did not run.
    pub fn misses(&self, account: AccountUid, automation: AutomationUid) -> Misses {
        // Found under the lock that all accounts share, explained without it.
        let found = self.shared.misses().of(account, automation);
        found.explained()
    }

    /// The recent events of an account, of one object or of all, and of one action or of all.
    pub fn recent_events(&self, account: AccountUid, object: Option<&ObjectName>, actions: &[Action]) -> RecentEvents {
        self.shared.recent().of(account, object, actions)
    }

    /// One of the recent events of an account.
    pub fn recent_event(&self, account: AccountUid, id: &EventId) -> Option<Arc<Event>> {
        self.shared.recent().find(account, id)
    }

    /// Follows the changes of an account from now on.
    pub fn follow(&self, account: &AccountId) -> Result<Watcher, EngineError> {
        self.shared.watchers.follow(account).map_err(EngineError::Refused)
    }

    /// Why the clock is not trusted; nothing where it is.
    pub fn clock_doubt(&self) -> Option<String> {
        self.shared.wall_clock.doubt()
    }

    /// Somebody says that the clock is right. Answers its time.
    pub fn confirm_clock(&self) -> Timestamp {
        self.shared.wall_clock.confirm()
    }

    /// Starts no further request: what is due stays durable and waits for the next start.
    pub fn stop_starting(&self) {
        self.shared.may_start.store(false, Ordering::SeqCst);
    }

    /// Waits until no request is under way and every outcome is recorded.
    pub async fn all_landed(&self) {
        self.shared.flights.all_landed().await;
    }

    /// Looks at an account whose time has come.
    async fn wake(&self, account: &AccountId, place: OwnedSemaphorePermit) {
        let mut place = Some(place);
        let _ = self.tell(account, || Wake { place: place.take() }).await;
    }

    fn is_awake(&self, account: &AccountId) -> bool {
        self.shared.lock().get(account).is_some_and(|seat| seat.actor.connected())
    }

    async fn report(&self, account: &AccountId, ended: AttemptReport) {
        for _ in 0..RESTARTS_MAX {
            let seat = self.shared.seat(account);
            // Whoever put the first one in sees to it that the actor looks, or that its next incarnation adopts them all.
            if !seat.outcomes.push(ended.clone()) || seat.actor.send(TakeOutcomes).await.is_ok() {
                return;
            }
            self.shared.leave(account, &seat.actor);
        }
    }

    /// Gives an account something to decide; waits for a place, which is free again when it is answered.
    async fn give<M>(&self, account: &AccountId, mut message: impl FnMut(Wait) -> M) -> Result<(), EngineError>
    where
        M: Message<Result = ()> + Send + 'static,
        AccountActor: Handler<M>,
    {
        let since = Instant::now();
        for _ in 0..RESTARTS_MAX {
            let seat = self.shared.seat(account);
            let place = seat.places.acquire_owned().await.map_err(|_| gone())?;
            if seat.actor.send(message(Wait::new(since, place))).await.is_ok() {
                return Ok(());
            }
            self.shared.leave(account, &seat.actor);
        }
        Err(gone())
    }

    /// Gives a message to an account's actor, which is started where it does not run.
    async fn tell<M>(&self, account: &AccountId, mut message: impl FnMut() -> M) -> Result<(), EngineError>
    where
        M: Message<Result = ()> + Send + 'static,
        AccountActor: Handler<M>,
    {
        for _ in 0..RESTARTS_MAX {
            let seat = self.shared.seat(account);
            if seat.actor.send(message()).await.is_ok() {
                return Ok(());
            }
            self.shared.leave(account, &seat.actor);
        }
        Err(gone())
    }
}

impl Shared {
    /// What decisions obey now.
    fn rules(&self) -> &Rules {
        if self.wall_clock.is_trusted() { &self.config.rules } else { &self.cautious }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, Seat>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot was granted to an account: it looks at what is due. Answers whether it is in memory.
    fn granted(&self, account: &AccountId) -> bool {
        let seat = self.lock().get(account).filter(|seat| seat.actor.connected()).cloned();
        let Some(seat) = seat else { return false };
        // One whose mailbox is full looks at it anyway.
        let _ = seat.actor.try_send(Wake { place: None });
        true
    }

    /// Lets every account in memory look at what is due.
    fn wake_all(&self) {
        let seats: Vec<_> = self.lock().values().cloned().collect();
        for seat in seats {
            // One whose mailbox is full does so anyway.
            let _ = seat.actor.try_send(Wake { place: None });
        }
    }

    fn misses(&self) -> MutexGuard<'_, MissBook> {
        self.misses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent(&self) -> MutexGuard<'_, RecentBook> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arbiter(&self, account: &AccountId) -> &ArbiterHandle {
        let mut hasher = DefaultHasher::new();
        account.hash(&mut hasher);
        let at = hasher.finish() % (self.arbiters.len() as u64);
        &self.arbiters[usize::try_from(at).unwrap_or_default()]
    }

    fn seat(self: &Arc<Self>, account: &AccountId) -> Seat {
        let mut accounts = self.lock();
        if let Some(seat) = accounts.get(account).filter(|seat| seat.actor.connected()) {
            return seat.clone();
        }
        let (shared, id) = (Arc::clone(self), account.clone());
        let outcomes = Arc::<Inbox>::default();
        let inbox = Arc::clone(&outcomes);
        let actor =
            AccountActor::start_in_arbiter(self.arbiter(account), move |_| AccountActor::new(shared, id, inbox));
        let seat = Seat { actor, places: Arc::new(Semaphore::new(INPUTS_WAITING_MAX)), outcomes };
        accounts.insert(account.clone(), seat.clone());
        seat
    }

    fn leave(&self, account: &AccountId, actor: &Addr<AccountActor>) {
        let mut accounts = self.lock();
        if accounts.get(account).is_some_and(|seat| seat.actor == *actor) {
            accounts.remove(account);
        }
    }

    fn dispatch(
        self: &Arc<Self>,
        account: &AccountId,
        dispatch: Dispatch,
        slot: Slot,
        acknowledged_at: Option<Timestamp>,
    ) {
        let execution = dispatch.execution;
        let message = match self.flights.go_on(execution) {
            Some(actor) => match actor.try_send(dispatch::Send { dispatch, slot, acknowledged_at }) {
                Ok(()) => return,
                Err(actix::prelude::SendError::Full(message) | actix::prelude::SendError::Closed(message)) => message,
            },
            None => dispatch::Send { dispatch, slot, acknowledged_at },
        };
        let (shared, id) = (Arc::clone(self), account.clone());
        let actor = DispatchActor::start_in_arbiter(self.arbiter(account), move |_| DispatchActor::new(shared, id));
        self.flights.begin(execution, account.clone(), actor.clone());
        if actor.try_send(message).is_err() {
            tracing::error!(execution.id = %execution, "a dispatch actor did not start; the request is sent after a restart");
            self.flights.forget(execution);
        }
    }
}

#[cfg(test)]
#[path = "tests/engine.rs"]
mod tests;
