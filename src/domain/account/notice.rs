//! What happens to an account that people want to know, beside its executions.

use serde::{Deserialize, Serialize};

use crate::domain::{id::ResourceId, timestamp::Timestamp, webhook::DisableReason};

/// Something that happened to an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// The executions of a window crossed a share of the limit.
    LimitCrossed {
        /// The share, in percent.
        percent: u32,
        /// How many executions the window has admitted.
        used: u32,
        /// How many it admits.
        limit: u32,
        /// How many executions the limit holds back.
        paused: u64,
    },
    /// An endpoint has failed so often that it is left alone for a while.
    EndpointUnavailable {
        /// The webhook.
        webhook: ResourceId,
        /// Until when.
        until: Timestamp,
    },
    /// An endpoint answers again.
    EndpointAvailable {
        /// The webhook.
        webhook: ResourceId,
    },
    /// A webhook sends no requests any more.
    WebhookDisabled {
        /// The webhook.
        webhook: ResourceId,
        /// Why nothing is sent to it any more.
        reason: DisableReason,
    },
}

impl Notice {
    /// The webhook that it tells of.
    pub fn webhook(&self) -> Option<&ResourceId> {
        match self {
            Notice::LimitCrossed { .. } => None,
            Notice::EndpointUnavailable { webhook, .. }
            | Notice::EndpointAvailable { webhook }
            | Notice::WebhookDisabled { webhook, .. } => Some(webhook),
        }
    }
}
