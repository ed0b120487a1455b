//! The way in: who calls, whether there is a place for one more call, and the port that serves them.

pub mod admission;
pub mod auth;
pub mod identities;
pub mod serving;
