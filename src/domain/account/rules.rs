//! What the installation has configured of the rules.

use super::facts::AccountFacts;
use crate::domain::{
    attempt::retry_policy::Schedule,
    plan::{Limits, PlanLimits},
};

/// What the installation has configured.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The limits of each plan.
    pub plans: PlanLimits,
    /// How many executions of an account the limit holds back at most.
    pub paused_max: u64,
    /// How many executions of an account wait at most, for whatever reason.
    pub waiting_max: u64,
    /// How long ago an event may have happened; any time, where there is none.
    pub event_age_max_ms: Option<u64>,
    /// How long an execution may be held back.
    pub paused_age_max_ms: u64,
    /// How long an endpoint is left alone at first that answers nothing.
    pub breaker_open_ms: u64,
    /// How large a rendered body may be.
    pub body_bytes_max: usize,
    /// How long a window of executions is.
    pub window_length_ms: u64,
    /// When failed attempts are tried again.
    pub schedule: Schedule,
    /// Whether the clock is trusted; otherwise nothing is deleted, disabled, refused or ended because of its age.
    pub is_clock_trusted: bool,
}

impl Rules {
    /// The limits of an account.
    pub fn limits(&self, facts: &AccountFacts) -> Limits {
        self.plans.resolve(facts.plan, &facts.overrides)
    }
}
