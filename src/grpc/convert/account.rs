//! Accounts, their limits and their use of them.

use super::timestamp;
use crate::{
    domain::{
        account::{AccountFacts, Rules},
        decision::command::etag_of,
        id::AccountId,
        plan::{LimitOverrides, Plan},
        refusal::Violations,
        timestamp::Timestamp,
    },
    grpc::pb,
    store::{AccountView, UsageCounts},
};

/// A plan, which is required.
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

/// An account.
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

/// What replaces limits of the plan.
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

/// An account as it was read.
pub fn account_view(view: &AccountView) -> pb::Account {
    account(&view.id, &view.facts)
}
