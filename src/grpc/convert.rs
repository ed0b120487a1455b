//! Between protobuf and the domain. What a request says wrongly is noted with its field's path.

mod automation;
mod execution;
mod filter;
mod job;
mod notice;
mod webhook;

pub use self::{
    automation::{actions, automation, group, pb_method, pb_operator},
    execution::{attempt, execution, explanation, pb_state, request, state},
    filter::{execution_filter, optional_time, pb_execution_filter},
    job::{job, retry},
    notice::notice,
    webhook::{
        credentials, disable_reason, duration_ms, endpoint, new_webhook, requests_per_second, retry_policy,
        shown_retry, subscription, webhook, webhook_health,
    },
};
use super::pb;
use crate::{
    domain::{
        account::AccountFacts,
        command::etag_of,
        decision::Rules,
        event::Action,
        id::AccountId,
        plan::{LimitOverrides, Plan},
        refusal::Violations,
        timestamp::Timestamp,
    },
    store::{AccountView, UsageCounts},
};

pub fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    let nanos = i32::try_from(time.0.rem_euclid(1_000_000) * 1_000).unwrap_or_default();
    prost_types::Timestamp { seconds: time.seconds(), nanos }
}

pub fn duration(us: u64) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(us / 1_000_000).unwrap_or(i64::MAX),
        nanos: i32::try_from(us % 1_000_000 * 1_000).unwrap_or_default(),
    }
}

pub fn from_timestamp(time: &prost_types::Timestamp) -> Option<Timestamp> {
    let nanos = i64::from(time.nanos);
    (0..1_000_000_000)
        .contains(&nanos)
        .then(|| Timestamp::from_seconds(time.seconds))
        .flatten()
        .map(|second| Timestamp(second.0 + nanos / 1_000))
}

pub fn plan(field: &str, value: i32, faults: &mut Violations) -> Option<Plan> {
    let found = match pb::Plan::try_from(value) {
        Ok(pb::Plan::Essential) => Some(Plan::Essential),
        Ok(pb::Plan::Advanced) => Some(Plan::Advanced),
        Ok(pb::Plan::Professional) => Some(Plan::Professional),
        Ok(pb::Plan::Power) => Some(Plan::Power),
        Ok(pb::Plan::Enterprise) => Some(Plan::Enterprise),
        Ok(pb::Plan::Unspecified) | Err(_) => None,
    };
    if found.is_none() {
        faults.add(field, "is required: one of PLAN_ESSENTIAL to PLAN_ENTERPRISE");
    }
    found
}

pub fn account(id: &AccountId, facts: &AccountFacts) -> pb::Account {
    let plan = match facts.plan {
        Plan::Essential => pb::Plan::Essential,
        Plan::Advanced => pb::Plan::Advanced,
        Plan::Professional => pb::Plan::Professional,
        Plan::Power => pb::Plan::Power,
        Plan::Enterprise => pb::Plan::Enterprise,
    };
    pb::Account {
        name: format!("accounts/{id}"),
        plan: plan.into(),
        etag: etag_of(facts.revision),
        create_time: Some(timestamp(facts.created_at)),
        update_time: Some(timestamp(facts.updated_at)),
        limit_overrides: (facts.overrides != LimitOverrides::default()).then_some(pb::AccountLimits {
            executions_per_window: facts.overrides.executions_per_window,
            active_automations: facts.overrides.active_automations,
            automation_webhooks: facts.overrides.automation_webhooks,
            requests_in_flight: facts.overrides.requests_in_flight,
            retention_days: facts.overrides.retention_days,
        }),
    }
}

pub fn limit_overrides(given: pb::AccountLimits) -> LimitOverrides {
    LimitOverrides {
        executions_per_window: given.executions_per_window,
        active_automations: given.active_automations,
        automation_webhooks: given.automation_webhooks,
        requests_in_flight: given.requests_in_flight,
        retention_days: given.retention_days,
    }
}

/// How much of its limits an account uses at a time.
pub fn usage(view: &AccountView, counts: &UsageCounts, rules: &Rules, now: Timestamp) -> pb::AccountUsage {
    // Where the last one is over, no window is under way: the next execution begins one.
    let is_over = now >= view.window.end(rules.window_length_ms);
    let window = (!is_over).then_some(view.window);
    let limits = rules.limits(&view.facts);
    let number = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    pb::AccountUsage {
        limits: Some(pb::AccountLimits {
            executions_per_window: Some(limits.executions_per_window),
            active_automations: Some(limits.active_automations),
            automation_webhooks: Some(limits.automation_webhooks),
            requests_in_flight: Some(limits.requests_in_flight),
            retention_days: Some(limits.retention_days),
        }),
        executions_used: window.map_or(0, |window| u32::try_from(window.used).unwrap_or_default()),
        window_start_time: window.map(|window| timestamp(window.start)),
        reset_time: window.map(|window| timestamp(window.end(rules.window_length_ms))),
        paused_executions: view.paused,
        oldest_paused_time: counts.oldest_paused.map(timestamp),
        active_automations: number(counts.active_automations),
        automation_webhooks: number(counts.automation_webhooks),
    }
}

pub fn account_view(view: &AccountView) -> pb::Account {
    account(&view.id, &view.facts)
}

pub fn event_action(field: &str, value: i32, faults: &mut Violations) -> Option<Action> {
    match pb::EventAction::try_from(value) {
        Ok(pb::EventAction::Create) => Some(Action::Create),
        Ok(pb::EventAction::Change) => Some(Action::Change),
        Ok(pb::EventAction::Delete) => Some(Action::Delete),
        Ok(pb::EventAction::Unspecified) | Err(_) => {
            faults.add(field, "is required: EVENT_ACTION_CREATE, EVENT_ACTION_CHANGE or EVENT_ACTION_DELETE");
            None
        }
    }
}

pub fn pb_event_action(action: Action) -> i32 {
    match action {
        Action::Create => pb::EventAction::Create,
        Action::Change => pb::EventAction::Change,
        Action::Delete => pb::EventAction::Delete,
    }
    .into()
}
