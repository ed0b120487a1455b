//! Writes SQLite's log back to the file beside the commits, so that no commit waits for it, and keeps the log short.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use sea_orm::sqlx::{
    self, ConnectOptions as _, Connection as _, Row as _,
    sqlite::{SqliteConnectOptions, SqliteConnection},
};
use tokio::{
    sync::Mutex,
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::database::{LOG_BYTES_KEPT, beside};

/// How often the log is written back, where it was written to: pages that change often are written back once then.
const PERIOD: Duration = Duration::from_millis(500);
/// From how many pages on it is begun anew, which holds up commits for as long as its last part takes: 64 MiB.
const LOG_PAGES_TO_BEGIN_ANEW: i64 = 16_384;
/// How long beginning it anew waits for those who read it.
const BUSY_TIMEOUT: Duration = Duration::from_millis(200);

/// What keeps the log short, while it runs.
pub struct Upkeep {
    stopped: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Upkeep {
    /// Starts it for a database.
    pub fn start(path: PathBuf) -> Self {
        let stopped = CancellationToken::new();
        let task = tokio::spawn(run(path, stopped.clone()));
        Self { stopped, task: Mutex::new(Some(task)) }
    }

    /// Ends it, and waits for its end.
    pub async fn stop(&self) {
        self.stopped.cancel();
        if let Some(task) = self.task.lock().await.take() {
            let _ = task.await;
        }
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.stopped.cancel();
    }
}

async fn run(path: PathBuf, stopped: CancellationToken) {
    let log = beside(&path, "-wal");
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut connection, mut seen) = (None, None);
    while stopped.run_until_cancelled(ticks.tick()).await.is_some() {
        // The file is only asked for its times: whoever opens and closes it takes SQLite's locks of it away.
        let written = std::fs::metadata(&log).and_then(|found| found.modified()).ok();
        if written.is_none() || written == seen {
            continue;
        }
        seen = written;
        // One that met an error is not used again.
        let done = write_back(&path, connection.take(), LOG_PAGES_TO_BEGIN_ANEW).await;
        connection = done
            .inspect_err(|error| tracing::warn!(error = %error, "the log could not be written back; trying again"))
            .ok();
    }
    if let Some(connection) = connection {
        let _ = connection.close().await;
    }
}

/// Writes back what nobody reads any more; then, where the log has so many pages, the rest, so that the next commit begins it
/// anew. The file keeps its length: the next log is written over this one.
async fn write_back(
    path: &Path,
    connection: Option<SqliteConnection>,
    pages_max: i64,
) -> Result<SqliteConnection, sqlx::Error> {
    let mut connection = match connection {
        Some(connection) => connection,
        None => {
            let options = SqliteConnectOptions::new().filename(path).busy_timeout(BUSY_TIMEOUT);
            let options = options.pragma("journal_size_limit", LOG_BYTES_KEPT.to_string());
            options.disable_statement_logging().connect().await?
        }
    };
    let row = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(&mut connection).await?;
    let pages: i64 = row.try_get(1)?;
    if pages >= pages_max {
        let row = sqlx::query("PRAGMA wal_checkpoint(RESTART)").fetch_one(&mut connection).await?;
        let is_busy: i64 = row.try_get(0)?;
        tracing::debug!(is_busy, pages, "the log was written back");
    }
    Ok(connection)
}

#[cfg(test)]
#[path = "tests/upkeep.rs"]
mod tests;
