//! What executions wait for.

use crate::domain::id::WebhookUid;

/// The line that an execution stands in. For a slot, for its time and for an endpoint that is left alone it waits in the
/// line of its webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WaitsFor {
    /// Room in a window of executions.
    Limit,
    /// A webhook: one of its slots, the execution's own time, or the end of a pause of its endpoint.
    Webhook(WebhookUid),
}

impl WaitsFor {
    /// The webhook, where it is one.
    pub fn webhook(self) -> Option<WebhookUid> {
        match self {
            WaitsFor::Limit => None,
            WaitsFor::Webhook(webhook) => Some(webhook),
        }
    }
}
