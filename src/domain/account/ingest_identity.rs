//! Ingest identities: credentials for platforms that have no bearer tokens. They publish events of one account.

use serde::{Deserialize, Serialize};

use crate::domain::{id::ResourceId, timestamp::Timestamp};

/// How many ingest identities an account may have.
pub const INGEST_IDENTITIES_MAX: usize = 20;

/// An ingest identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngestIdentity {
    /// Its id: the user name that it is sent with.
    pub id: ResourceId,
    /// What people know it by.
    pub display_name: String,
    /// The keyed hash of its secret.
    pub hash: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
}
