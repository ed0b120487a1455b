//! Accounts: all that an account's decisions know, and the change that each of them makes of it.

mod account;
pub mod audit;
pub mod change;
pub mod due;
pub mod ended_notices;
mod facts;
pub mod history;
mod ingest_identity;
pub mod job;
pub mod limits;
pub mod loops;
pub mod notice;
mod rules;

pub use self::{
    account::{AUTOMATIONS_MAX, Account, AccountState, Loaded, WEBHOOKS_MAX},
    facts::AccountFacts,
    ingest_identity::{INGEST_IDENTITIES_MAX, IngestIdentity},
    rules::Rules,
};
