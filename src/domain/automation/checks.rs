//! What must hold for an automation to run.

use super::Automation;
use crate::domain::event::Event;

/// One thing that must hold for an automation to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub kind: CheckKind,
    /// Whether it holds.
    pub holds: bool,
    /// What was compared, in words.
    pub message: String,
}

/// What must hold for an automation to run, in the order in which it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CheckKind {
    /// The plan has automations.
    Plan,
    /// The automation is enabled.
    Enabled,
    /// The event is of its object and action.
    Trigger,
    /// It is active for the event's user.
    Activation,
    /// Its conditions hold.
    Conditions,
}

/// What must hold for an automation to run for an event, and whether it does.
pub fn checks(has_plan: bool, automation: &Automation, event: &Event, conditions_hold: bool) -> Vec<Check> {
    let spec = &automation.spec;
    let user = event.user_id.as_ref();
    let is_triggered = spec.object == event.object && spec.trigger_actions.as_slice().contains(&event.action);
    let wanted = format!("{} {}", spec.object, spec.trigger_actions.words());
    let check = |kind, holds, message: String| Check { kind, holds, message };
    vec![
        check(
            CheckKind::Plan,
            has_plan,
            if has_plan { "the plan has automations" } else { "the plan has none" }.into(),
        ),
        check(
            CheckKind::Enabled,
            automation.enabled,
            if automation.enabled { "it is enabled" } else { "it is disabled" }.into(),
        ),
        check(
            CheckKind::Trigger,
            is_triggered,
            format!("it is triggered by {wanted}, the event is {} {}", event.object, event.action.as_str()),
        ),
        check(
            CheckKind::Activation,
            automation.activation.covers(user),
            match user {
                Some(user) => format!("the event is of user {user}"),
                None => "the event is of no user, which only triggers what is active for everyone".to_owned(),
            },
        ),
        check(
            CheckKind::Conditions,
            conditions_hold,
            if conditions_hold { "its conditions hold" } else { "its conditions do not hold" }.into(),
        ),
    ]
}
