//! Slots for the requests of all accounts: in turn over the accounts, and a quarter of them for webhooks that answer
//! quickly, so that no tenant's slow endpoints hold up those of others. An execution is only under way once it has one: an
//! account that finds none free waits for its turn, and is woken when one is granted to it.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use crate::domain::id::{AccountId, WebhookUid};

/// A webhook whose last answer took less is quick.
pub const QUICK_MAX: Duration = Duration::from_secs(1);
/// How many quick webhooks are remembered; beyond that all are forgotten, and seen anew.
const REMEMBERED_MAX: usize = 100_000;

/// Tells an account; answers whether it is there.
type Wake = Box<dyn Fn(&AccountId) -> bool + Send + Sync>;

/// The slots.
#[derive(Clone)]
pub struct Slots(Arc<Inner>);

struct Inner {
    state: Mutex<SlotState>,
    /// Tells an account that a slot was granted to it.
    wake: OnceLock<Wake>,
}

/// A slot; it is free again when this is dropped.
#[derive(Debug)]
pub struct Slot {
    slots: Slots,
    class: Class,
}

impl std::fmt::Debug for Slots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slots")
    }
}

/// What a webhook is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Slow,
    Quick,
}

impl Class {
    const ALL: [Class; 2] = [Class::Slow, Class::Quick];

    fn other(self) -> Self {
        match self {
            Class::Slow => Class::Quick,
            Class::Quick => Class::Slow,
        }
    }
}

struct SlotState {
    /// How many there are.
    most: usize,
    /// How many of them slow webhooks may have.
    slow_most: usize,
    /// How many are taken or granted, of each class.
    taken: [usize; 2],
    /// The accounts that wait, of each class, each once.
    turns: [VecDeque<AccountId>; 2],
    waiting: [HashSet<AccountId>; 2],
    /// Whose turn it is where both wait.
    next: Class,
    /// What accounts were granted and have not taken yet.
    granted: HashMap<AccountId, [usize; 2]>,
    quick: HashSet<WebhookUid>,
}

impl SlotState {
    fn class(&self, webhook: WebhookUid) -> Class {
        if self.quick.contains(&webhook) { Class::Quick } else { Class::Slow }
    }

    /// How many more there are for a class.
    fn free_of(&self, class: Class) -> usize {
        let free = self.most.saturating_sub(self.taken.iter().sum());
        match class {
            Class::Quick => free,
            Class::Slow => free.min(self.slow_most.saturating_sub(self.taken[Class::Slow as usize])),
        }
    }

    fn granted(&self, account: &AccountId, class: Class) -> usize {
        self.granted.get(account).map_or(0, |granted| granted[class as usize])
    }

    /// Takes back what was granted to an account. Answers whether there was anything.
    fn take_back(&mut self, account: &AccountId) -> bool {
        let Some(granted) = self.granted.remove(account) else { return false };
        for class in Class::ALL {
            self.taken[class as usize] -= granted[class as usize];
        }
        true
    }

    /// Grants a free slot to the account whose turn it is.
    fn grant(&mut self) -> Option<AccountId> {
        let may = |class: Class| !self.turns[class as usize].is_empty() && self.free_of(class) > 0;
        let class = [self.next, self.next.other()].into_iter().find(|class| may(*class))?;
        self.next = class.other();
        let account = self.turns[class as usize].pop_front()?;
        self.waiting[class as usize].remove(&account);
        self.taken[class as usize] += 1;
        self.granted.entry(account.clone()).or_default()[class as usize] += 1;
        Some(account)
    }
}

impl Slots {
    /// So many in all.
    pub fn new(most: usize) -> Self {
        let state = SlotState {
            most: most.max(1),
            slow_most: (most - most / 4).max(1),
            taken: [0; 2],
            turns: Default::default(),
            waiting: Default::default(),
            next: Class::Quick,
            granted: HashMap::new(),
            quick: HashSet::new(),
        };
        Self(Arc::new(Inner { state: Mutex::new(state), wake: OnceLock::new() }))
    }

    /// What tells an account that a slot was granted to it.
    pub fn on_grant(&self, wake: Wake) {
        let _ = self.0.wake.set(wake);
    }

    fn state(&self) -> MutexGuard<'_, SlotState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many an account could take now for a webhook, and whether that is a quick one. Where others wait for their turn,
    /// only what was granted to it.
    pub fn available(&self, account: &AccountId, webhook: WebhookUid) -> (usize, bool) {
        let state = self.state();
        let class = state.class(webhook);
        let free = if state.turns[class as usize].is_empty() { state.free_of(class) } else { 0 };
        (free + state.granted(account, class), class == Class::Quick)
    }

    /// Takes one for a request of an account to a webhook, if there is one for it.
    pub fn take(&self, account: &AccountId, webhook: WebhookUid) -> Option<Slot> {
        let mut state = self.state();
        let class = state.class(webhook);
        if let Some(granted) = state.granted.get_mut(account).filter(|granted| granted[class as usize] > 0) {
            granted[class as usize] -= 1;
            if *granted == [0; 2] {
                state.granted.remove(account);
            }
        } else if state.turns[class as usize].is_empty() && state.free_of(class) > 0 {
            state.taken[class as usize] += 1;
        } else {
            return None;
        }
        Some(Slot { slots: self.clone(), class })
    }

    /// Has an account wait for its turn; once one is granted to it, it is woken.
    pub fn wait(&self, account: &AccountId, webhook: WebhookUid) {
        let mut state = self.state();
        let class = state.class(webhook);
        if state.granted(account, class) == 0 && state.waiting[class as usize].insert(account.clone()) {
            state.turns[class as usize].push_back(account.clone());
        }
        drop(state);
        // One may have become free meanwhile.
        self.hand_out();
    }

    /// An account has no use for what was granted to it.
    pub fn give_back(&self, account: &AccountId) {
        if self.state().take_back(account) {
            self.hand_out();
        }
    }

    /// Grants free slots to those who wait.
    fn hand_out(&self) {
        loop {
            let Some(account) = self.state().grant() else { return };
            let is_there = self.0.wake.get().is_none_or(|wake| wake(&account));
            if !is_there {
                self.state().take_back(&account);
            }
        }
    }

    /// An attempt has ended after so long, with an answer or without.
    pub fn note(&self, webhook: WebhookUid, took: Duration, has_answered: bool) {
        let mut state = self.state();
        if !has_answered || took >= QUICK_MAX {
            state.quick.remove(&webhook);
            return;
        }
        if state.quick.len() >= REMEMBERED_MAX {
            state.quick.clear();
        }
        state.quick.insert(webhook);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.state().taken[self.class as usize] -= 1;
        self.slots.hand_out();
    }
}

#[cfg(test)]
#[path = "tests/slots.rs"]
mod tests;
