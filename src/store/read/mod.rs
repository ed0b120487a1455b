//! What is read: by the engine, of accounts and of what is due, and by people, of the history.

mod audit;
mod changes;
mod contents;
mod executions;
mod history;
mod jobs;
mod load;
mod sieve;
mod totals;
mod weights;

#[cfg(test)]
pub use self::changes::CHANGED_SQL;
pub use self::{
    audit::{AuditCursor, AuditFilter, AuditView},
    changes::{ChangeCursor, Changed},
    executions::ExecutionView,
    history::{AccountView, Page, UsageCounts},
    load::{DueAccount, FirstAnswer, Read},
    totals::Totals,
};
