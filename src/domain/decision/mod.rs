//! Decisions: what a command, an event, an outcome or a timer makes of an account.

mod admission;
mod audit_entries;
pub mod backtest;
pub mod command;
mod decision;
mod delivery;
mod draft;
pub mod dry_run;
#[cfg(test)]
mod faults;
mod matching;
mod notices;
mod publishing;
mod surroundings;
mod told;

pub use self::decision::{Decision, Input, Reply, decide};
#[cfg(test)]
pub use self::faults::{BREAKS_DOWN, DUE_BREAKS_DOWN, OUTCOME_BREAKS_DOWN};
pub use self::{matching::EventReply, surroundings::Surroundings};
