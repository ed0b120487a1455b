//! Values that are read from files, and read again when the files change: keys and certificates are exchanged without
//! a restart.

use std::{
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock, Weak},
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

/// How often the files are looked at.
const PERIOD: Duration = Duration::from_secs(2);

/// A value, as the files have it now.
pub struct Reloaded<T> {
    current: RwLock<Arc<T>>,
}

/// What tells a changed file from an unchanged one; also where a link to it changes, as mounted secrets do.
type Stamp = Vec<Option<(i64, i64, i64, i64, u64, u64)>>;

fn stamp(paths: &[PathBuf]) -> Stamp {
    let of = |path: &PathBuf| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec(), found.size(), found.ino()))
    };
    paths.iter().map(of).collect()
}

impl<T: Send + Sync + 'static> Reloaded<T> {
    /// Reads a value, and again whenever one of the files changes. What cannot be read anew is logged, and the value
    /// stays as it was.
    pub fn start(
        what: &'static str,
        paths: Vec<PathBuf>,
        read: impl Fn() -> Result<T, String> + Send + 'static,
    ) -> Result<Arc<Self>, String> {
        Self::begin(what, paths, read, None)
    }

    /// The same, but what cannot be read anew for as long as the grace is replaced: a file that is gone takes back what it
    /// said.
    pub fn start_with_grace(
        what: &'static str,
        paths: Vec<PathBuf>,
        read: impl Fn() -> Result<T, String> + Send + 'static,
        grace: Duration,
        without: fn() -> T,
    ) -> Result<Arc<Self>, String> {
        Self::begin(what, paths, read, Some(Grace { length: grace, without }))
    }

    fn begin(
        what: &'static str,
        paths: Vec<PathBuf>,
        read: impl Fn() -> Result<T, String> + Send + 'static,
        grace: Option<Grace<T>>,
    ) -> Result<Arc<Self>, String> {
        let known = stamp(&paths);
        let value = Arc::new(Self { current: RwLock::new(Arc::new(read()?)) });
        if !paths.is_empty() {
            tokio::spawn(watch(what, paths, known, Arc::downgrade(&value), read, grace));
        }
        Ok(value)
    }

    /// A value that never changes.
    #[cfg(any(test, feature = "fuzzing"))]
    pub fn fixed(value: T) -> Arc<Self> {
        Arc::new(Self { current: RwLock::new(Arc::new(value)) })
    }

    fn set(&self, fresh: T) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
    }

    /// The value now.
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// For how long a value outlives its files, and what it is then.
struct Grace<T> {
    length: Duration,
    without: fn() -> T,
}

async fn watch<T: Send + Sync + 'static>(
    what: &'static str,
    paths: Vec<PathBuf>,
    mut known: Stamp,
    value: Weak<Reloaded<T>>,
    read: impl Fn() -> Result<T, String>,
    grace: Option<Grace<T>>,
) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut revoked_at: Option<Instant> = None;
    let mut has_failed = false;
    loop {
        let now = tokio::select! {
            now = ticks.tick() => now,
            () = sleep_until(revoked_at.unwrap_or_else(Instant::now)), if revoked_at.is_some() => Instant::now(),
        };
        let Some(value) = value.upgrade() else { return };
        let found = stamp(&paths);
        // What could not be read is tried again, whether or not it changes.
        if found != known || has_failed {
            let is_new = found != known;
            known = found;
            match read() {
                Ok(fresh) => {
                    has_failed = false;
                    revoked_at = None;
                    value.set(fresh);
                    tracing::info!(files = what, "read anew after a change");
                }
                Err(error) => {
                    if is_new {
                        tracing::error!(files = what, error, "could not be read anew; the old ones stay in use");
                    }
                    let first = !std::mem::replace(&mut has_failed, true);
                    if let (Some(grace), true) = (&grace, first) {
                        revoked_at = Some(now + grace.length);
                        let grace_ms = u64::try_from(grace.length.as_millis()).unwrap_or(u64::MAX);
                        tracing::warn!(files = what, path = ?paths, grace_ms, "the old ones are taken back after a grace");
                    }
                }
            }
        }
        if let Some(grace) = grace.as_ref().filter(|_| revoked_at.is_some_and(|at| at <= now)) {
            revoked_at = None;
            value.set((grace.without)());
            tracing::error!(files = what, path = ?paths, "taken back: the file is gone, or holds none");
        }
    }
}
