//! One connection, as far as its bounds must know it.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Bounds;
use crate::domain::caller::Party;

/// For how long a connection without a call is one that is about to make one.
const NEW_TIME: Duration = Duration::from_secs(1);
/// How long the client's turn lasts before it counts as one who does not read.
const UNREAD_TIME: Duration = Duration::from_millis(250);

/// How long every connection may have that has something under way, however many others there are.
const CHANCE_TIME: Duration = Duration::from_millis(250);

/// How much is lost with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Worth {
    /// The client does not take what it gets.
    Unread,
    /// Nothing is under way.
    Quiet,
    /// Something is under way, or about to be.
    Busy,
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself.
    Closed,
    /// The port stops.
    Stopped,
    /// Another one got its place.
    Evicted,
    /// The TLS handshake failed or took too long.
    Handshake,
    /// Its first bytes took too long.
    Preface,
    /// A stranger made no call in time.
    Stranger,
    /// There was no call for long.
    Idle,
    /// The client leaves an answer unread, while other calls go on.
    Unread,
    /// The client leaves bytes or every answer unread.
    Stalled,
}

impl Ended {
    /// The word for log lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Ended::Closed => "closed",
            Ended::Stopped => "stopped",
            Ended::Evicted => "evicted",
            Ended::Handshake => "handshake",
            Ended::Preface => "preface",
            Ended::Stranger => "stranger",
            Ended::Idle => "idle",
            Ended::Unread => "unread",
            Ended::Stalled => "stalled",
        }
    }
}

/// The handle of a connection.
#[derive(Clone)]
pub struct Connection {
    life: Arc<Life>,
    /// Frees the place of the connection when the last handle outside of the places is dropped.
    _place: Option<Arc<Place>>,
}

struct Life {
    from: SocketAddr,
    since: Instant,
    /// Whose calls were let in on it.
    owner: Mutex<Option<Party>>,
    evicted: CancellationToken,
    state: Mutex<ConnectionState>,
}

struct ConnectionState {
    /// When the handshake was done.
    set_up_at: Instant,
    has_spoken: bool,
    /// Since when the socket takes no bytes.
    write_blocked_since: Option<Instant>,
    /// Calls under way: since when the client has left the answer unread.
    calls: HashMap<u64, Option<Instant>>,
    last_call: u64,
    /// When the last call ended.
    quiet_since: Instant,
}

struct Place(Box<dyn Fn() + Send + Sync>);

impl Drop for Place {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl Connection {
    /// A connection from an address.
    pub(super) fn new(from: SocketAddr) -> Self {
        let now = Instant::now();
        let state = ConnectionState {
            set_up_at: now,
            has_spoken: false,
            write_blocked_since: None,
            calls: HashMap::new(),
            last_call: 0,
            quiet_since: now,
        };
        let evicted = CancellationToken::new();
        let life = Life { from, since: now, owner: Mutex::new(None), evicted, state: Mutex::new(state) };
        Self { life: Arc::new(life), _place: None }
    }

    /// With something to do when it is over.
    pub(super) fn with_place(mut self, free: impl Fn() + Send + Sync + 'static) -> Self {
        self._place = Some(Arc::new(Place(Box::new(free))));
        self
    }

    fn state(&self) -> MutexGuard<'_, ConnectionState> {
        self.life.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it comes from.
    pub fn from(&self) -> SocketAddr {
        self.life.from
    }

    /// A call on it was let in.
    pub fn trust(&self, party: Party) {
        *self.life.owner.lock().unwrap_or_else(PoisonError::into_inner) = Some(party);
    }

    /// Whose call was let in on it last.
    pub(super) fn owner(&self) -> Option<Party> {
        self.life.owner.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a call on it was let in.
    pub(super) fn is_known(&self) -> bool {
        self.life.owner.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Ends it: another one gets its place.
    pub(super) fn evict(&self) {
        self.life.evicted.cancel();
    }

    /// Tells that its place is given to another.
    pub(super) fn evicted(&self) -> CancellationToken {
        self.life.evicted.clone()
    }

    /// The handshake is done.
    pub(super) fn is_set_up(&self) {
        let now = Instant::now();
        let mut state = self.state();
        state.set_up_at = now;
        state.quiet_since = now;
    }

    /// The client sent the first bytes.
    pub(super) fn spoke(&self) {
        self.state().has_spoken = true;
    }

    /// The socket takes no bytes, or takes them again.
    pub(super) fn write_is_blocked(&self, is_blocked: bool) {
        let mut state = self.state();
        state.write_blocked_since = match (is_blocked, state.write_blocked_since) {
            (false, _) => None,
            (true, since) => Some(since.unwrap_or_else(Instant::now)),
        };
    }

    /// A call begins. Answers its number.
    pub(super) fn begin_call(&self) -> u64 {
        let mut state = self.state();
        state.last_call += 1;
        let call = state.last_call;
        state.calls.insert(call, None);
        call
    }

    /// Whose turn it is: the client's, to take a part of the answer, or ours.
    pub(super) fn waits_for_client(&self, call: u64, waits: bool) {
        if let Some(since) = self.state().calls.get_mut(&call) {
            *since = waits.then(Instant::now);
        }
    }

    /// A call ended.
    pub(super) fn end_call(&self, call: u64) {
        let mut state = self.state();
        state.calls.remove(&call);
        state.quiet_since = Instant::now();
    }

    /// How many calls are under way.
    pub fn calls(&self) -> usize {
        self.state().calls.len()
    }

    /// How much is lost with it: little where the client does not take what it gets, or has nothing under way.
    pub(super) fn worth(&self, now: Instant) -> Worth {
        let state = self.state();
        let waiting = state.calls.values().flatten().chain(&state.write_blocked_since);
        let is_unread = waiting.min().is_some_and(|since| now.saturating_duration_since(*since) >= UNREAD_TIME);
        let is_new = now.saturating_duration_since(state.quiet_since) < NEW_TIME;
        match (is_unread, state.calls.is_empty() && !is_new) {
            (true, _) => Worth::Unread,
            (false, true) => Worth::Quiet,
            (false, false) => Worth::Busy,
        }
    }

    /// Whether it is busy and younger than anything takes that is honest.
    pub(super) fn deserves_a_chance(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.life.since) < CHANCE_TIME && self.worth(now) == Worth::Busy
    }

    /// Whether it takes too long over something.
    pub(super) fn look(&self, now: Instant, bounds: &Bounds) -> Option<Ended> {
        let is_known = self.is_known();
        let state = self.state();
        let is_over = |since: Instant, most| now.saturating_duration_since(since) >= most;
        if state.write_blocked_since.is_some_and(|since| is_over(since, bounds.progress_timeout)) {
            return Some(Ended::Stalled);
        }
        let is_left = |since: &&Option<Instant>| since.is_some_and(|since| is_over(since, bounds.progress_timeout));
        match state.calls.values().filter(is_left).count() {
            0 => {}
            unread if unread == state.calls.len() => return Some(Ended::Stalled),
            // Others share the connection: they go on, and new ones go over another.
            _ => return Some(Ended::Unread),
        }
        if !state.has_spoken {
            return is_over(state.set_up_at, bounds.preface_timeout).then_some(Ended::Preface);
        }
        if !state.calls.is_empty() {
            return None;
        }
        match is_known {
            true => is_over(state.quiet_since, bounds.idle_timeout).then_some(Ended::Idle),
            false => is_over(state.quiet_since, bounds.stranger_timeout).then_some(Ended::Stranger),
        }
    }
}

#[cfg(test)]
#[path = "tests/connection.rs"]
mod tests;
