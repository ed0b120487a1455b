//! Shares: each key, such as an account or a caller, has the same bound of its own. Keys that nobody uses take no room.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The bounds of all keys.
pub struct Shares<K: Hash + Eq + Clone> {
    inner: Arc<Inner<K>>,
}

struct Inner<K> {
    most: usize,
    keys: Mutex<HashMap<K, Arc<Semaphore>>>,
}

/// The bound of one key; what is taken of it is given back before it goes.
pub struct Share<K: Hash + Eq + Clone> {
    inner: Arc<Inner<K>>,
    key: K,
    semaphore: Option<Arc<Semaphore>>,
    taken: Option<OwnedSemaphorePermit>,
}

impl<K: Hash + Eq + Clone> Clone for Shares<K> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<K> Inner<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Arc<Semaphore>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq + Clone> Shares<K> {
    /// Each key has this much.
    pub fn new(most: usize) -> Self {
        Self { inner: Arc::new(Inner { most, keys: Mutex::default() }) }
    }

    /// How much each key has.
    pub fn most(&self) -> usize {
        self.inner.most
    }

    /// The share of a key.
    pub fn of(&self, key: &K) -> Share<K> {
        let mut keys = self.inner.lock();
        let semaphore = keys.entry(key.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.inner.most)));
        let semaphore = Some(Arc::clone(semaphore));
        Share { inner: Arc::clone(&self.inner), key: key.clone(), semaphore, taken: None }
    }

    /// How many keys are in use.
    #[cfg(test)]
    fn count(&self) -> usize {
        self.inner.lock().len()
    }
}

impl<K: Hash + Eq + Clone> Share<K> {
    /// What is left of it.
    pub fn semaphore(&self) -> Option<&Arc<Semaphore>> {
        self.semaphore.as_ref()
    }

    /// Takes one, if there is one. It is given back when this is dropped.
    pub fn try_take(mut self) -> Option<Self> {
        self.taken = Some(Arc::clone(self.semaphore.as_ref()?).try_acquire_owned().ok()?);
        Some(self)
    }

    /// Takes one, when there is one.
    pub async fn take(mut self) -> Option<Self> {
        self.taken = Some(Arc::clone(self.semaphore.as_ref()?).acquire_owned().await.ok()?);
        Some(self)
    }
}

impl<K: Hash + Eq + Clone> Drop for Share<K> {
    fn drop(&mut self) {
        let mut keys = self.inner.lock();
        self.taken = None;
        self.semaphore = None;
        // Whoever has a share has a handle, too.
        if keys.get(&self.key).is_some_and(|semaphore| Arc::strong_count(semaphore) == 1) {
            keys.remove(&self.key);
        }
    }
}

#[cfg(test)]
#[path = "tests/shares.rs"]
mod tests;
