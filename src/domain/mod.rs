//! The rules, and nothing else: no clock, no randomness, no I/O, no async, no logging. What the rules need of
//! the world comes in as an argument; what they want done goes out as a value.

pub mod account;
pub mod address;
pub mod audit;
pub mod automation;
pub mod breaker;
pub mod caller;
pub mod catalogue;
pub mod change;
pub mod command;
pub mod condition;
pub mod decimal;
pub mod decision;
pub mod dry_run;
pub mod due;
pub mod event;
pub mod execution;
pub mod filter;
pub mod history;
pub mod hole;
pub mod id;
pub mod job;
pub mod json;
pub mod limits;
pub mod loops;
pub mod miss;
pub mod notice;
pub mod path;
pub mod plan;
pub mod rate;
pub mod redaction;
pub mod refusal;
pub mod request;
pub mod rerun;
pub mod retry;
pub mod subscription;
pub mod template;
pub mod timestamp;
pub mod traffic;
pub mod url;
pub mod webhook;

#[cfg(test)]
mod model_tests;
