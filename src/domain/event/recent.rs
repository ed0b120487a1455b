//! The last events that fitted the trigger of an automation, in a budget of memory that all accounts share.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use super::event::{Action, Event};
use crate::domain::{
    id::{AccountUid, EventId, ObjectName},
    timestamp::Timestamp,
};

/// How many events are kept of an account's object and action.
pub const RECENT_EVENTS_MAX: usize = 50;
/// What an entry takes beside its event, about.
const ENTRY_BYTES: usize = 256;
const ACTIONS: usize = 3;

/// An event that fitted the trigger of an automation.
#[derive(Debug, Clone)]
pub struct RecentEvent {
    /// Counts them all.
    pub no: u64,
    /// The event.
    pub event: Arc<Event>,
    /// When it was decided on.
    pub decided_at: Timestamp,
    /// How many executions it caused.
    pub executions: usize,
}

/// Recent events, newest first.
#[derive(Debug, Clone, Default)]
pub struct RecentEvents {
    /// The events.
    pub events: Vec<RecentEvent>,
    /// None is missing since this time.
    pub complete_since: Timestamp,
}

/// The events of one object and action.
#[derive(Debug, Default)]
struct Ring {
    /// Their numbers, and hashes of their ids, oldest first.
    events: VecDeque<(u64, u64)>,
    /// None is missing since this time, as far as there was no room here.
    complete_since: Timestamp,
}

#[derive(Debug)]
struct Entry {
    account: AccountUid,
    recent: RecentEvent,
    bytes: usize,
}

/// The recent events of all accounts.
#[derive(Debug)]
pub struct RecentBook {
    bytes_max: usize,
    bytes: usize,
    next_no: u64,
    /// Nothing is missing since this time, but for what a ring has no room for.
    complete_since: Timestamp,
    entries: BTreeMap<u64, Entry>,
    accounts: HashMap<AccountUid, HashMap<ObjectName, [Ring; ACTIONS]>>,
    hashes: RandomState,
}

impl RecentBook {
    /// An empty book that begins at a time and takes about so many bytes at most.
    pub fn new(bytes_max: usize, now: Timestamp) -> Self {
        Self {
            bytes_max,
            bytes: 0,
            next_no: 1,
            complete_since: now,
            entries: BTreeMap::new(),
            accounts: HashMap::new(),
            hashes: RandomState::new(),
        }
    }

    /// About how many bytes it takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes an event in. One that is there already was decided on anew.
    pub fn push(&mut self, account: AccountUid, event: &Arc<Event>, executions: usize, now: Timestamp) {
        let hash = self.hashes.hash_one(&event.id);
        let objects = self.accounts.entry(account).or_default();
        if !objects.contains_key(&event.object) {
            objects.insert(event.object.clone(), Default::default());
        }
        let Some(rings) = objects.get_mut(&event.object) else { return };
        let ring = &mut rings[event.action as usize];
        let known = ring.events.iter().position(|(_, known)| *known == hash);
        let known = known.and_then(|at| ring.events.remove(at));
        if let Some(known) = known.and_then(|(known, _)| self.entries.remove(&known)) {
            self.bytes -= known.bytes;
        }
        let no = self.next_no;
        self.next_no += 1;
        ring.events.push_back((no, hash));
        let gone = if ring.events.len() > RECENT_EVENTS_MAX { ring.events.pop_front() } else { None };
        if let Some(gone) = gone.and_then(|(gone, _)| self.entries.remove(&gone)) {
            self.bytes -= gone.bytes;
            ring.complete_since = Timestamp(gone.recent.decided_at.0 + 1);
        }
        let bytes = event.weight_bytes() + ENTRY_BYTES;
        self.bytes += bytes;
        let recent = RecentEvent { no, event: Arc::clone(event), decided_at: now, executions };
        self.entries.insert(no, Entry { account, recent, bytes });
        while self.bytes > self.bytes_max {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((_, Entry { account, recent, bytes })) = self.entries.pop_first() else { return };
        self.bytes -= bytes;
        self.complete_since = self.complete_since.max(Timestamp(recent.decided_at.0 + 1));
        let Some(objects) = self.accounts.get_mut(&account) else { return };
        if let Some(rings) = objects.get_mut(&recent.event.object) {
            rings[recent.event.action as usize].events.retain(|(no, _)| *no != recent.no);
            if rings.iter().all(|ring| ring.events.is_empty()) {
                objects.remove(&recent.event.object);
            }
        }
        if objects.is_empty() {
            self.accounts.remove(&account);
        }
    }

    /// Forgets an account.
    pub fn forget(&mut self, account: AccountUid) {
        let rings = self.accounts.remove(&account).into_iter().flatten().flat_map(|(_, rings)| rings);
        for (no, _) in rings.flat_map(|ring| ring.events) {
            if let Some(entry) = self.entries.remove(&no) {
                self.bytes -= entry.bytes;
            }
        }
    }

    /// The recent events of an account, of one object or of all, and of some actions; of all where none is named.
    pub fn of(&self, account: AccountUid, object: Option<&ObjectName>, actions: &[Action]) -> RecentEvents {
        let objects = self.accounts.get(&account);
        let of_object = objects.into_iter().flatten().filter(|(name, _)| object.is_none_or(|object| object == *name));
        let rings = of_object.flat_map(|(_, rings)| rings.iter().enumerate());
        let rings = rings
            .filter(|(at, _)| actions.is_empty() || actions.iter().any(|action| *action as usize == *at))
            .map(|(_, ring)| ring);
        let mut found = RecentEvents { events: Vec::new(), complete_since: self.complete_since };
        for ring in rings {
            let entries = ring.events.iter().filter_map(|(no, _)| self.entries.get(no));
            found.events.extend(entries.map(|entry| entry.recent.clone()));
            found.complete_since = found.complete_since.max(ring.complete_since);
        }
        found.events.sort_unstable_by_key(|recent| std::cmp::Reverse(recent.no));
        found
    }

    /// The event of an id.
    pub fn find(&self, account: AccountUid, id: &EventId) -> Option<Arc<Event>> {
        let hash = self.hashes.hash_one(id);
        let of_account = self.accounts.get(&account)?.values().flatten().flat_map(|ring| &ring.events);
        let mut fitting = of_account.filter(|(_, known)| *known == hash);
        fitting.find_map(|(no, _)| {
            let event = &self.entries.get(no)?.recent.event;
            (event.id == *id).then(|| Arc::clone(event))
        })
    }
}

#[cfg(test)]
#[path = "tests/recent.rs"]
mod tests;
