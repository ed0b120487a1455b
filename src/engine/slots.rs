//! Slots for the requests of all accounts: in turn over the accounts, and a quarter of them for webhooks that answer
//! quickly, so that no tenant's slow endpoints hold up those of others.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::oneshot;

use crate::domain::id::{AccountId, WebhookUid};

/// A webhook whose last answer took less is quick.
pub const QUICK_MAX: Duration = Duration::from_secs(1);
/// How many quick webhooks are remembered; beyond that all are forgotten, and seen anew.
const REMEMBERED_MAX: usize = 100_000;

/// The slots.
pub struct Slots {
    inner: Arc<Mutex<Inner>>,
}

/// A slot; it is free again when this is dropped.
pub struct Slot {
    inner: Arc<Mutex<Inner>>,
    is_quick: bool,
    /// Whether the next one in turn gets it in the end.
    is_handed_on: bool,
}

struct Inner {
    /// How many there are.
    most: usize,
    /// How many of them slow webhooks may have.
    slow_most: usize,
    taken: usize,
    slow_taken: usize,
    quick_turns: Turns<AccountId>,
    slow_turns: Turns<AccountId>,
    quick: HashSet<WebhookUid>,
}

/// Those who wait: each account's oldest first, in turn over the accounts.
struct Turns<K> {
    waiting: HashMap<K, VecDeque<oneshot::Sender<Slot>>>,
    order: VecDeque<K>,
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self { waiting: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Hash + Eq + Clone> Turns<K> {
    fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    fn push(&mut self, key: &K, waiter: oneshot::Sender<Slot>) {
        let waiting = self.waiting.entry(key.clone()).or_default();
        if waiting.is_empty() {
            self.order.push_back(key.clone());
        }
        waiting.push_back(waiter);
    }

    /// Whoever has waited longest of the account whose turn it is, which then is the last.
    fn pop(&mut self) -> Option<oneshot::Sender<Slot>> {
        let key = self.order.pop_front()?;
        let waiting = self.waiting.get_mut(&key)?;
        let waiter = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting.remove(&key);
        } else {
            self.order.push_back(key);
        }
        waiter
    }
}

impl Inner {
    fn has_room(&self, is_quick: bool) -> bool {
        self.taken < self.most && (is_quick || self.slow_taken < self.slow_most)
    }

    fn take(&mut self, is_quick: bool) {
        self.taken += 1;
        self.slow_taken += usize::from(!is_quick);
    }

    fn give_back(&mut self, is_quick: bool) {
        self.taken -= 1;
        self.slow_taken -= usize::from(!is_quick);
    }

    /// The next one who gets a slot.
    fn next(&mut self) -> Option<(bool, oneshot::Sender<Slot>)> {
        if self.has_room(true)
            && let Some(waiter) = self.quick_turns.pop()
        {
            return Some((true, waiter));
        }
        if self.has_room(false) { self.slow_turns.pop().map(|waiter| (false, waiter)) } else { None }
    }
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives free slots to those who wait.
fn hand_out(inner: &Arc<Mutex<Inner>>) {
    loop {
        let (is_quick, waiter) = {
            let mut held = lock(inner);
            let Some((is_quick, waiter)) = held.next() else { return };
            held.take(is_quick);
            (is_quick, waiter)
        };
        if let Err(mut slot) = waiter.send(Slot { inner: Arc::clone(inner), is_quick, is_handed_on: true }) {
            // Nobody waits for it any more: the next one gets it, in this loop.
            slot.is_handed_on = false;
        }
    }
}

impl Slots {
    /// So many in all.
    pub fn new(most: usize) -> Self {
        let slow_most = (most - most / 4).max(1);
        let inner = Inner {
            most: most.max(1),
            slow_most,
            taken: 0,
            slow_taken: 0,
            quick_turns: Turns::default(),
            slow_turns: Turns::default(),
            quick: HashSet::new(),
        };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Waits for a slot for a request of an account to a webhook.
    pub async fn take(&self, account: &AccountId, webhook: WebhookUid) -> Slot {
        let granted = {
            let mut inner = lock(&self.inner);
            let is_quick = inner.quick.contains(&webhook);
            let turns = if is_quick { &inner.quick_turns } else { &inner.slow_turns };
            if turns.is_empty() && inner.has_room(is_quick) {
                inner.take(is_quick);
                return Slot { inner: Arc::clone(&self.inner), is_quick, is_handed_on: true };
            }
            let (waiter, granted) = oneshot::channel();
            let turns = if is_quick { &mut inner.quick_turns } else { &mut inner.slow_turns };
            turns.push(account, waiter);
            granted
        };
        match granted.await {
            Ok(slot) => slot,
            // Nobody drops a waiter unasked; going on is better than waiting for ever.
            Err(_) => {
                lock(&self.inner).take(true);
                Slot { inner: Arc::clone(&self.inner), is_quick: true, is_handed_on: true }
            }
        }
    }

    /// An attempt has ended after so long, with an answer or without.
    pub fn note(&self, webhook: WebhookUid, took: Duration, has_answered: bool) {
        let mut inner = lock(&self.inner);
        if !has_answered || took >= QUICK_MAX {
            inner.quick.remove(&webhook);
            return;
        }
        if inner.quick.len() >= REMEMBERED_MAX {
            inner.quick.clear();
        }
        inner.quick.insert(webhook);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        lock(&self.inner).give_back(self.is_quick);
        if self.is_handed_on {
            hand_out(&self.inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use uuid::Uuid;

    use super::*;

    fn account(id: &str) -> AccountId {
        id.parse().expect("an id")
    }

    #[tokio::test]
    async fn slow_webhooks_leave_a_quarter_to_quick_ones() {
        let slots = Slots::new(8);
        let (slow, quick) = (WebhookUid(Uuid::from_u128(1)), WebhookUid(Uuid::from_u128(2)));
        slots.note(quick, Duration::from_millis(999), true);
        let mut held = Vec::new();
        for _ in 0..6 {
            held.push(slots.take(&account("1"), slow).now_or_never().expect("a slot"));
        }
        let first = account("1");
        let mut seventh = Box::pin(slots.take(&first, slow));
        assert!(seventh.as_mut().now_or_never().is_none(), "the rest is for quick ones");
        let one = slots.take(&account("2"), quick).now_or_never().expect("a slot");
        let two = slots.take(&account("2"), quick).now_or_never().expect("a slot");
        assert!(slots.take(&account("2"), quick).now_or_never().is_none(), "there are no more");
        drop((one, two));
        assert!(seventh.as_mut().now_or_never().is_none());
        drop(held.pop());
        assert!(seventh.as_mut().now_or_never().is_some(), "a slow one has ended");
        slots.note(quick, Duration::from_secs(1), true);
        assert!(slots.take(&account("2"), quick).now_or_never().is_some());
    }

    #[tokio::test]
    async fn free_slots_go_round_over_the_accounts() {
        let slots = Slots::new(1);
        let webhook = WebhookUid(Uuid::from_u128(1));
        let mut held = Some(slots.take(&account("1"), webhook).await);
        let mut waiting: Vec<_> = ["1", "1", "1", "2", "3", "2"]
            .iter()
            .map(|id| (*id, Box::pin(async { slots.take(&account(id), webhook).await })))
            .collect();
        for (_, waiter) in &mut waiting {
            assert!(waiter.as_mut().now_or_never().is_none());
        }
        // One of them does not wait any longer.
        drop(waiting.remove(5));
        let mut order = Vec::new();
        while !waiting.is_empty() {
            drop(held.take());
            let at = waiting.iter_mut().position(|(_, waiter)| {
                held = waiter.as_mut().now_or_never();
                held.is_some()
            });
            order.push(waiting.remove(at.expect("somebody gets it")).0);
        }
        assert_eq!(order, ["1", "2", "3", "1", "1"]);
        drop(held);
        assert!(slots.take(&account("9"), webhook).now_or_never().is_some(), "none is lost");
    }
}
