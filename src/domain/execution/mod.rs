//! Executions: one run of one source for one event, its requests and its states.

pub mod dispatch;
mod execution;
pub mod filter;
pub mod notification;
mod progress;
pub mod record;
pub mod request;
pub mod retry;
mod state;
mod waits_for;

pub use self::{
    execution::{NewExecution, Recorded, Unfinished, Unreadable},
    progress::{Progress, advance, fail_action, settle},
    state::State,
    waits_for::WaitsFor,
};
