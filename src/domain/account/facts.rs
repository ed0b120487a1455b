//! An account's own facts.

use super::ingest_identity::IngestIdentity;
use crate::domain::{
    plan::{LimitOverrides, Plan},
    timestamp::Timestamp,
};

/// An account's own facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountFacts {
    /// The plan.
    pub plan: Plan,
    /// What replaces single limits of the plan.
    pub overrides: LimitOverrides,
    /// After a downgrade to a plan without automations: the limit under which paused executions run out.
    pub run_out_limit: Option<u32>,
    /// Who may publish its events without a token, oldest first.
    pub ingest_identities: Vec<IngestIdentity>,
    /// The revision of the last change of the others of these facts; the etag.
    pub revision: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When these facts were last changed.
    pub updated_at: Timestamp,
    /// Whether it is gone for callers and being erased.
    pub deleted: bool,
}
