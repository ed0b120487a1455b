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

pub use self::execution::{NewExecution, Recorded, Unfinished, Unreadable};
pub use self::progress::{Progress, advance, fail_action, settle};
pub use self::state::State;
pub use self::waits_for::WaitsFor;
