//! Values that are read from files, and read again when the files change: keys and certificates are exchanged without
//! a restart.

use std::{
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock, Weak},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

/// How often the files are looked at.
const PERIOD: Duration = Duration::from_secs(2);

/// A value, as the files have it now.
pub struct Reloaded<T> {
    current: RwLock<Arc<T>>,
}

/// What tells a changed file from an unchanged one; also where a link to it changes, as mounted secrets do.
type Stamp = Vec<Option<(i64, i64, u64, u64)>>;

fn stamp(paths: &[PathBuf]) -> Stamp {
    let of = |path: &PathBuf| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.mtime(), found.mtime_nsec(), found.size(), found.ino()))
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
        let known = stamp(&paths);
        let value = Arc::new(Self { current: RwLock::new(Arc::new(read()?)) });
        if !paths.is_empty() {
            tokio::spawn(watch(what, paths, known, Arc::downgrade(&value), read));
        }
        Ok(value)
    }

    /// The value now.
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn watch<T>(
    what: &'static str,
    paths: Vec<PathBuf>,
    mut known: Stamp,
    value: Weak<Reloaded<T>>,
    read: impl Fn() -> Result<T, String>,
) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(value) = value.upgrade() else { return };
        let now = stamp(&paths);
        if now == known {
            continue;
        }
        known = now;
        match read() {
            Ok(fresh) => {
                *value.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
                tracing::info!(files = what, "read anew after a change");
            }
            Err(error) => tracing::error!(files = what, error, "could not be read anew; the old ones stay in use"),
        }
    }
}
