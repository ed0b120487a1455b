//! Decisions: what a command, an event, an outcome or a timer makes of an account.

mod admission;
pub mod command;
mod decision;
mod delivery;
mod draft;
pub mod dry_run;
mod matching;

#[cfg(test)]
pub use self::decision::{BREAKS_DOWN, DUE_BREAKS_DOWN, OUTCOME_BREAKS_DOWN};
pub use self::decision::{
    Decision, Dispatch, DueRows, Ended, EventReply, Input, Reply, Rules, Surroundings, decide, is_traceparent,
};
