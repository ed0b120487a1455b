//! Plans and what they allow.

use serde::{Deserialize, Serialize};

use super::refusal::Violations;

/// How many requests of one account may be in flight, whatever its limits say.
pub const REQUESTS_IN_FLIGHT_MAX: u32 = 4_096;
/// For how many days executions are kept at least, after their end.
pub const RETENTION_DAYS_MIN: u32 = 3;
/// For how many days executions are kept at most, after their end.
pub const RETENTION_DAYS_MAX: u32 = 3_650;
/// Shares of a window's limit that are worth telling when usage crosses them, in percent.
pub const CROSSINGS_PERCENT: [u32; 2] = [80, 100];

/// What an account has paid for, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Plan {
    /// Regular webhooks only.
    Essential,
    /// The first plan with automation webhooks.
    Advanced,
    /// Above advanced.
    Professional,
    /// Above professional.
    Power,
    /// The highest.
    Enterprise,
}

impl Plan {
    /// Every plan, in rising order.
    pub const ALL: [Plan; 5] = [Plan::Essential, Plan::Advanced, Plan::Professional, Plan::Power, Plan::Enterprise];

    /// Whether automations and automation webhooks are part of the plan.
    pub fn has_automation_webhooks(self) -> bool {
        self >= Plan::Advanced
    }
}

/// How much an account may have and do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many executions a window admits.
    pub executions_per_window: u32,
    /// How many automations may be enabled.
    pub active_automations: u32,
    /// How many automation webhooks there may be.
    pub automation_webhooks: u32,
    /// How many requests may be in flight at once.
    pub requests_in_flight: u32,
    /// For how many days executions are kept after their end.
    pub retention_days: u32,
}

/// What replaces single limits of the plan for one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as in `Limits`")]
pub struct LimitOverrides {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executions_per_window: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_automations: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automation_webhooks: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_in_flight: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
}

impl LimitOverrides {
    /// Notes what is out of its range.
    pub fn check(&self, at: &str, faults: &mut Violations) {
        let slots = 1..=REQUESTS_IN_FLIGHT_MAX;
        if self.requests_in_flight.is_some_and(|asked| !slots.contains(&asked)) {
            faults.add(format!("{at}.requests_in_flight"), format!("must be 1 to {REQUESTS_IN_FLIGHT_MAX}"));
        }
        let days = RETENTION_DAYS_MIN..=RETENTION_DAYS_MAX;
        if self.retention_days.is_some_and(|asked| !days.contains(&asked)) {
            let message = format!("must be {RETENTION_DAYS_MIN} to {RETENTION_DAYS_MAX}");
            faults.add(format!("{at}.retention_days"), message);
        }
    }
}

/// The limits of every plan, in rising order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanLimits(pub [Limits; 5]);

impl PlanLimits {
    /// The limits of a plan, as far as nothing replaces them.
    pub fn resolve(&self, plan: Plan, overrides: &LimitOverrides) -> Limits {
        let of_plan = self.0[plan as usize];
        Limits {
            executions_per_window: overrides.executions_per_window.unwrap_or(of_plan.executions_per_window),
            active_automations: overrides.active_automations.unwrap_or(of_plan.active_automations),
            automation_webhooks: overrides.automation_webhooks.unwrap_or(of_plan.automation_webhooks),
            requests_in_flight: overrides.requests_in_flight.unwrap_or(of_plan.requests_in_flight),
            retention_days: overrides.retention_days.unwrap_or(of_plan.retention_days),
        }
    }
}

impl Default for PlanLimits {
    fn default() -> Self {
        let of = |(executions_per_window, active_automations, automation_webhooks, requests_in_flight)| Limits {
            executions_per_window,
            active_automations,
            automation_webhooks,
            requests_in_flight,
            retention_days: 15,
        };
        Self(
            [(0, 0, 0, 8), (1_000, 50, 20, 16), (2_500, 100, 50, 32), (5_000, 150, 100, 64), (10_000, 250, 200, 128)]
                .map(of),
        )
    }
}
