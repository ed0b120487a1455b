//! Between protobuf and the domain. What a request says wrongly is noted with its field's path.

pub mod account;
pub mod audit;
pub mod automation;
pub mod catalogue;
pub mod event;
pub mod execution;
pub mod explain;
pub mod filter;
pub mod job;
pub mod name;
pub mod notice;
pub mod page;
pub mod time;
pub mod webhook;
pub mod written;

pub use self::{
    account::{account, account_view, limit_overrides, plan, usage},
    automation::{actions, automation, group, pb_method, pb_operator},
    event::{event_actions, pb_event_action},
    execution::{attempt, execution, explanation, pb_state, request, state},
    filter::{execution_filter, pb_execution_filter},
    job::{job, retry},
    notice::notice,
    time::{duration, from_timestamp, timestamp},
    webhook::{
        credentials, disable_reason, duration_ms, endpoint, new_webhook, requests_per_second, retry_policy,
        shown_retry, subscription, success_statuses, webhook, webhook_health,
    },
};
