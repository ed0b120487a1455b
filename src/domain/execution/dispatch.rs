//! A request that is to be sent.

use std::sync::Arc;

use super::record::Record;
use crate::domain::{id::ExecutionUid, webhook::Webhook};

/// A request to send.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// The execution.
    pub execution: ExecutionUid,
    /// The action, from 0.
    pub action_no: usize,
    /// The attempt, from 1.
    pub attempt_no: u32,
    /// Whether it only tests a webhook or an automation, and says so.
    pub is_test: bool,
    /// The execution's requests.
    pub record: Arc<Record>,
    /// The webhook as it is now.
    pub webhook: Arc<Webhook>,
}
