//! Notices as protobuf shows them.

use super::{disable_reason, timestamp};
use crate::{
    domain::{
        account::notice::Notice,
        id::{AccountId, ResourceId},
        timestamp::Timestamp,
    },
    grpc::pb,
};

/// A notice as it is shown.
pub fn notice(account: &AccountId, notice: &Notice, created_at: Timestamp) -> pb::AccountNotice {
    let name = |webhook: &ResourceId| format!("accounts/{account}/webhooks/{webhook}");
    let kind = match notice {
        Notice::LimitCrossed { percent, used, limit, paused } => {
            pb::account_notice::Kind::LimitCrossed(pb::LimitCrossed {
                percent: *percent,
                executions_used: *used,
                executions_per_window: *limit,
                paused_executions: *paused,
            })
        }
        Notice::EndpointUnavailable { webhook, until } => {
            let (webhook, until_time) = (name(webhook), Some(timestamp(*until)));
            pb::account_notice::Kind::EndpointUnavailable(pb::EndpointUnavailable { webhook, until_time })
        }
        Notice::EndpointAvailable { webhook } => {
            pb::account_notice::Kind::EndpointAvailable(pb::EndpointAvailable { webhook: name(webhook) })
        }
        Notice::WebhookDisabled { webhook, reason } => {
            let (webhook, reason) = (name(webhook), disable_reason(Some(*reason)));
            pb::account_notice::Kind::WebhookDisabled(pb::WebhookDisabled { webhook, reason })
        }
    };
    pb::AccountNotice { create_time: Some(timestamp(created_at)), kind: Some(kind) }
}
