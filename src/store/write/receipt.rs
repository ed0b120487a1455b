//! What becomes of a change.

use std::collections::HashSet;

use crate::{domain::id::EventId, store::StoreError};

/// What became of a change.
#[derive(Debug)]
pub enum Receipt {
    /// It is durable.
    Committed,
    /// Nothing was written: these events are stored already.
    Duplicate(HashSet<EventId>),
    /// Nothing was written: the account has another revision.
    Stale,
    /// Nothing was written, now or at any time: the database never takes what the change holds.
    Refused(StoreError),
    /// Nothing was written.
    Failed(StoreError),
    /// It may or may not have been written.
    Unknown(StoreError),
}

impl Receipt {
    /// What kept the change from being written; none where it is.
    pub fn error_type(&self) -> Option<&'static str> {
        match self {
            Receipt::Committed => None,
            Receipt::Duplicate(_) => Some("DUPLICATE"),
            Receipt::Stale => Some("STALE"),
            Receipt::Refused(_) => Some("REFUSED"),
            Receipt::Failed(_) => Some("FAILED"),
            Receipt::Unknown(_) => Some("UNKNOWN"),
        }
    }
}
