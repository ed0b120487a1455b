//! The services of the API: one file each.

pub mod access;
mod accounts;
pub mod api;
mod audit;
mod automations;
mod callers;
mod catalogue;
mod clock;
pub mod events;
mod executions;
mod explain;
mod ingest_identities;
mod jobs;
mod keys;
mod watch;
mod webhooks;
