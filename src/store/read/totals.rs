//! What waits in all accounts together, for the metrics.

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use crate::store::{Store, StoreError};

/// How many executions have not ended, in all accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// How many accounts there are.
    pub accounts: u64,
    /// Executions that are due and wait for a slot.
    pub pending: u64,
    /// Executions with a request under way.
    pub running: u64,
    /// Executions whose next attempt has a time.
    pub retrying: u64,
    /// Executions that are paused.
    pub paused: u64,
    /// Those of them that the limit holds back.
    pub held_back: u64,
}

impl Store {
    /// Counts from the accounts' own counts, which each change keeps: a row an account, never an execution.
    pub async fn totals(&self) -> Result<Totals, StoreError> {
        let backend = self.reader.get_database_backend();
        let count = |at: usize| match backend {
            DbBackend::Postgres => format!("CAST(COALESCE(SUM((counts::jsonb->>{at})::bigint), 0) AS bigint)"),
            _ => format!("COALESCE(SUM(json_extract(counts, '$[{at}]')), 0)"),
        };
        let sql = format!(
            "SELECT COUNT(*) AS accounts, {} AS pending, {} AS running, {} AS retrying, {} AS paused, \
             CAST(COALESCE(SUM(paused), 0) AS bigint) AS held_back FROM accounts",
            count(0),
            count(1),
            count(2),
            count(3)
        );
        let Some(row) = self.reader.query_one_raw(Statement::from_string(backend, sql)).await? else {
            return Ok(Totals::default());
        };
        let number = |column: &str| {
            let found: i64 = row.try_get("", column)?;
            Ok::<_, StoreError>(u64::try_from(found).unwrap_or_default())
        };
        Ok(Totals {
            accounts: number("accounts")?,
            pending: number("pending")?,
            running: number("running")?,
            retrying: number("retrying")?,
            paused: number("paused")?,
            held_back: number("held_back")?,
        })
    }
}
