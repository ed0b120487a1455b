//! Plans and what they allow.

use serde::{Deserialize, Serialize};

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

    /// How many requests of an account may be in flight at once.
    pub fn slots(self) -> usize {
        [8, 16, 32, 64, 128][self as usize]
    }

    /// How many executions a window admits.
    pub fn executions_per_window(self) -> u32 {
        [0, 1_000, 2_500, 5_000, 10_000][self as usize]
    }
}
