//! Why automations did not run: for each the last events that fitted its trigger without making it run, in a budget of
//! memory that all accounts share.
//!
//! Recording costs the same however many automations a trigger has: an event is kept once, with the automations as they
//! were and the few that ran. It leaves once no automation has it among its last [`MISSES_MAX`].

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use super::{
    automation::Automation,
    catalogue::Catalogue,
    checks::{Check, checks},
    condition::Explanation,
    placeholder::Trees,
};
use crate::domain::{
    event::Event,
    id::{AccountUid, AutomationUid},
    timestamp::Timestamp,
};

/// How many events are kept for an automation.
pub const MISSES_MAX: usize = 20;
/// What an entry takes beside its event, about.
const ENTRY_BYTES: usize = 256;
/// What an automation takes that is kept as it was, about.
const AUTOMATION_BYTES: usize = 64;
/// The share of the budget that is freed when it is used up: one in so many parts.
const FREED_PARTS: usize = 8;

/// The automations of a trigger, in the order of their unique ids: that of their creation.
pub type Automations = Arc<[Arc<Automation>]>;

/// An event that fitted a trigger and did not make every automation of it run.
#[derive(Debug, Clone)]
pub struct Miss {
    /// The event.
    pub event: Arc<Event>,
    /// The automations of the trigger, as they were.
    pub automations: Automations,
    /// Those that ran.
    pub ran: Vec<AutomationUid>,
    /// Whether the account's plan had automations.
    pub has_plan: bool,
    /// What the account called options.
    pub catalogue: Arc<Catalogue>,
}

impl Miss {
    /// The automation, as it was, if the event did not make it run.
    fn of(&self, automation: AutomationUid) -> Option<&Automation> {
        let at = self.automations.binary_search_by_key(&automation, |one| one.uid).ok()?;
        Some(self.automations[at].as_ref()).filter(|_| !self.ran.contains(&automation))
    }
}

/// Why an automation did not run for an event.
#[derive(Debug, Clone)]
pub struct Missed {
    /// The event.
    pub event: Arc<Event>,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// What must have held.
    pub checks: Vec<Check>,
    /// How every clause of the conditions was decided.
    pub explanation: Vec<Explanation>,
}

/// Why an automation did not run, as far as is known.
#[derive(Debug, Clone, Default)]
pub struct Misses {
    /// The last events, newest first.
    pub misses: Vec<Missed>,
    /// Nothing is missing since this time.
    pub complete_since: Timestamp,
}

#[derive(Debug)]
struct Entry {
    /// Counts all entries.
    no: u64,
    at: Timestamp,
    miss: Miss,
    bytes: usize,
}

/// The events of one trigger of an account.
#[derive(Debug, Default)]
struct Ring {
    /// The last ones.
    recent: VecDeque<Arc<Entry>>,
    /// Earlier ones, for the automations that ran for some of the last ones.
    earlier: HashMap<AutomationUid, VecDeque<Arc<Entry>>>,
}

/// The events of all accounts.
#[derive(Debug)]
pub struct MissBook {
    bytes_max: usize,
    bytes: usize,
    next_no: u64,
    /// Nothing is missing since this time.
    complete_since: Timestamp,
    accounts: HashMap<AccountUid, Vec<Ring>>,
}

impl Ring {
    fn is_of(&self, event: &Event) -> bool {
        let of_ring = self.recent.back().map(|entry| &entry.miss.event);
        of_ring.is_some_and(|known| known.object == event.object && known.action == event.action)
    }

    /// Every entry, some more than once.
    fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.recent.iter().chain(self.earlier.values().flatten())
    }

    /// How many of the last events made an automation run, or did not know it.
    fn runs(&self, automation: AutomationUid) -> usize {
        self.recent.iter().filter(|entry| entry.miss.of(automation).is_none()).count()
    }

    /// Takes an entry in. Answers those that nobody needs any more.
    fn push(&mut self, entry: Arc<Entry>) -> Vec<Arc<Entry>> {
        let mut gone = Vec::new();
        self.recent.push_back(entry);
        if self.recent.len() > MISSES_MAX
            && let Some(old) = self.recent.pop_front()
        {
            let runners: HashSet<_> = self.recent.iter().flat_map(|entry| entry.miss.ran.iter().copied()).collect();
            for automation in runners.into_iter().filter(|automation| old.miss.of(*automation).is_some()) {
                self.earlier.entry(automation).or_default().push_back(Arc::clone(&old));
            }
            gone.push(old);
        }
        let mut earlier = std::mem::take(&mut self.earlier);
        earlier.retain(|automation, entries| {
            let needed = self.runs(*automation);
            gone.extend(entries.drain(..entries.len().saturating_sub(needed)));
            !entries.is_empty()
        });
        self.earlier = earlier;
        gone
    }
}

impl MissBook {
    /// An empty book that begins at a time and takes about so many bytes at most.
    pub fn new(bytes_max: usize, now: Timestamp) -> Self {
        Self { bytes_max, bytes: 0, next_no: 0, complete_since: now, accounts: HashMap::new() }
    }

    /// About how many bytes it takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a miss in.
    pub fn push(&mut self, account: AccountUid, miss: Miss, now: Timestamp) {
        let rings = self.accounts.entry(account).or_default();
        let at = rings.iter().position(|ring| ring.is_of(&miss.event)).unwrap_or_else(|| {
            rings.push(Ring::default());
            rings.len() - 1
        });
        let ring = &mut rings[at];
        let is_same = |entry: &Arc<Entry>| entry.miss.event.id == miss.event.id;
        if ring.recent.iter().any(is_same) {
            return;
        }
        let is_known = |entry: &Arc<Entry>| Arc::ptr_eq(&entry.miss.automations, &miss.automations);
        let automations = if ring.recent.back().is_some_and(is_known) { 0 } else { miss.automations.len() };
        let bytes = miss.event.weight_bytes()
            + ENTRY_BYTES
            + automations * AUTOMATION_BYTES
            + miss.ran.len() * size_of::<AutomationUid>();
        let entry = Arc::new(Entry { no: self.next_no, at: now, miss, bytes });
        self.next_no += 1;
        self.bytes += bytes;
        let gone = ring.push(entry);
        self.let_go(gone);
        if self.bytes > self.bytes_max {
            self.make_room();
        }
    }

    fn let_go(&mut self, entries: Vec<Arc<Entry>>) {
        for entry in entries {
            if let Some(entry) = Arc::into_inner(entry) {
                self.bytes -= entry.bytes;
            }
        }
    }

    /// Forgets the oldest entries of all accounts, many at once, so that this is seldom done.
    fn make_room(&mut self) {
        let of_all = self.accounts.values().flatten().flat_map(Ring::entries);
        let mut entries: Vec<_> = of_all.map(|entry| (entry.no, entry.at, entry.bytes)).collect();
        entries.sort_unstable_by_key(|(no, ..)| *no);
        entries.dedup_by_key(|(no, ..)| *no);
        let mut to_free = (self.bytes - self.bytes_max) + self.bytes_max / FREED_PARTS;
        let mut first_kept = self.next_no;
        for (no, at, bytes) in entries {
            if to_free == 0 {
                first_kept = no;
                break;
            }
            to_free = to_free.saturating_sub(bytes);
            self.bytes -= bytes;
            self.complete_since = self.complete_since.max(Timestamp(at.0 + 1));
        }
        for rings in self.accounts.values_mut() {
            for ring in rings.iter_mut() {
                ring.recent.retain(|entry| entry.no >= first_kept);
                ring.earlier.values_mut().for_each(|entries| entries.retain(|entry| entry.no >= first_kept));
                ring.earlier.retain(|_, entries| !entries.is_empty());
            }
            rings.retain(|ring| !ring.recent.is_empty());
        }
        self.accounts.retain(|_, rings| !rings.is_empty());
    }

    /// Forgets an account.
    pub fn forget(&mut self, account: AccountUid) {
        let Some(rings) = self.accounts.remove(&account) else { return };
        let entries: Vec<_> = rings.iter().flat_map(Ring::entries).map(Arc::clone).collect();
        drop(rings);
        self.let_go(entries);
    }

    /// The last events that did not make an automation run, to be explained.
    pub fn of(&self, account: AccountUid, automation: AutomationUid) -> FoundMisses {
        let mut entries: Vec<_> = self
            .accounts
            .get(&account)
            .into_iter()
            .flatten()
            .flat_map(|ring| ring.earlier.get(&automation).into_iter().flatten().chain(&ring.recent))
            .filter(|entry| entry.miss.of(automation).is_some())
            .map(Arc::clone)
            .collect();
        entries.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.no));
        entries.dedup_by_key(|entry| entry.no);
        entries.truncate(MISSES_MAX);
        let is_full = entries.len() == MISSES_MAX;
        let oldest = entries.last().map(|entry| entry.at).filter(|_| is_full);
        FoundMisses { automation, entries, complete_since: oldest.unwrap_or_default().max(self.complete_since) }
    }
}

/// Events that did not make an automation run; explaining them takes time, and needs no book.
pub struct FoundMisses {
    automation: AutomationUid,
    entries: Vec<Arc<Entry>>,
    complete_since: Timestamp,
}

impl FoundMisses {
    /// Why it did not run.
    pub fn explained(&self) -> Misses {
        let explained = self.entries.iter().filter_map(|entry| Some(missed(entry, entry.miss.of(self.automation)?)));
        Misses { misses: explained.collect(), complete_since: self.complete_since }
    }
}

fn missed(entry: &Entry, automation: &Automation) -> Missed {
    let event = &entry.miss.event;
    // What cannot be read is rejected before it is decided on.
    let (holds, explanation) = match Trees::of(event) {
        Ok(trees) => {
            let state = trees.state(event, &entry.miss.catalogue);
            (automation.compiled.conditions.hold(state), automation.compiled.conditions.explain(state))
        }
        Err(_) => (false, Vec::new()),
    };
    let checks = checks(entry.miss.has_plan, automation, event, holds);
    Missed { event: Arc::clone(event), decided_at: entry.at, checks, explanation }
}

#[cfg(test)]
#[path = "tests/miss.rs"]
mod tests;
