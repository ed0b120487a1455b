//! The rules, and nothing else: no clock, no randomness, no I/O, no async, no logging. What the rules need of
//! the world comes in as an argument; what they want done goes out as a value.
//!
//! The files beside this one are the ground: they know none of the rooms. Each room is a noun and knows those before it:
//! [`event`], [`attempt`], [`automation`], [`webhook`], [`execution`], [`account`], [`decision`].

pub mod account;
pub mod address;
pub mod attempt;
pub mod automation;
pub mod caller;
pub mod decimal;
pub mod decision;
pub mod event;
pub mod execution;
pub mod header;
pub mod hole;
pub mod id;
pub mod json;
pub mod name;
pub mod path;
pub mod plan;
pub mod refusal;
pub mod source;
pub mod timestamp;
pub mod trace_context;
pub mod url;
pub mod webhook;

#[cfg(test)]
mod model_tests;
