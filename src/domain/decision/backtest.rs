//! What an automation would have made of recent events.

use std::{collections::HashMap, sync::Arc};

use crate::domain::{
    account::Account,
    automation::{
        Automation,
        checks::{CheckKind, checks},
        condition,
        placeholder::Trees,
    },
    event::{Event, recent::RecentEvent},
};

/// What stops an automation: the first thing that does not hold, and what decides that its conditions do not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stop {
    /// What does not hold.
    pub check: CheckKind,
    /// The clause or the group that decides it, where the conditions do not hold.
    pub conditions: Option<condition::Stop>,
}

/// What an automation would have made of one event.
#[derive(Debug)]
pub struct Tried {
    /// The event.
    pub event: Arc<Event>,
    /// What stops it; nothing where it would have run.
    pub stop: Option<Stop>,
}

/// Tries an automation with events, as if it were enabled.
pub fn backtest(account: &Account, automation: &Automation, events: &[RecentEvent]) -> Vec<Tried> {
    let tried = |recent: &RecentEvent| Tried {
        event: Arc::clone(&recent.event),
        stop: stopped_by(account, automation, &recent.event),
    };
    events.iter().map(tried).collect()
}

fn stopped_by(account: &Account, automation: &Automation, event: &Event) -> Option<Stop> {
    // What cannot be read is rejected before it is decided on.
    let trees = Trees::of(event).ok()?;
    let conditions = automation.compiled.conditions.stopped_by(trees.state(event, &account.catalogue));
    let has_plan = account.facts.plan.has_automation_webhooks();
    let checks = checks(has_plan, automation, event, conditions.is_none());
    // Whether it is enabled is asked once it is.
    let check = checks.into_iter().find(|check| !check.holds && check.kind != CheckKind::Enabled)?.kind;
    Some(Stop { check, conditions: conditions.filter(|_| check == CheckKind::Conditions) })
}

/// What stops an automation, and for how many events, most frequent first.
pub fn stops(tried: &[Tried]) -> Vec<(Stop, u32)> {
    let mut counts: HashMap<&Stop, u32> = HashMap::new();
    for stop in tried.iter().filter_map(|tried| tried.stop.as_ref()) {
        *counts.entry(stop).or_default() += 1;
    }
    let mut found: Vec<_> = counts.into_iter().map(|(stop, count)| (stop.clone(), count)).collect();
    let path = |stop: &Stop| stop.conditions.as_ref().map(|conditions| conditions.path.clone());
    found.sort_by_key(|(stop, count)| (std::cmp::Reverse(*count), stop.check as u8, path(stop)));
    found
}
