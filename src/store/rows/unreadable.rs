//! What can be read in any case of rows that cannot be read as a whole.

use serde::Deserialize;

use super::{
    super::entities::{automations, executions},
    NOT_ADMITTED, source_kind_of, state_of, uid,
};
use crate::domain::{
    attempt::Reason,
    automation::{TriggerActions, UnreadableAutomation},
    execution::{Progress, State, Unreadable},
    id::{AccountUid, AutomationUid, NOTICE_OBJECT, ObjectName},
    source::SourceKind,
    timestamp::Timestamp,
};

/// What can be read of an automation's row in any case.
pub fn unreadable_automation(row: &automations::Model) -> UnreadableAutomation {
    #[derive(Deserialize)]
    struct Trigger {
        object: ObjectName,
        #[serde(flatten)]
        actions: TriggerActions,
    }
    let trigger: Option<Trigger> = serde_json::from_slice(&row.spec).ok();
    UnreadableAutomation {
        uid: AutomationUid(row.uid),
        id: row.id.clone(),
        trigger: trigger.map(|Trigger { object, actions }| (object, actions)),
    }
}

/// An execution whose row cannot be read as a whole, as far as it can.
pub fn unreadable(account: AccountUid, row: &executions::Model) -> Unreadable {
    let state = state_of(row.state).unwrap_or(State::Pending);
    let number = |number: i32| u32::try_from(number).unwrap_or_default();
    Unreadable {
        uid: uid(account, row),
        source_kind: source_kind_of(row.source_kind).unwrap_or(SourceKind::Automation),
        is_of_notice: row.object == NOTICE_OBJECT,
        progress: Progress {
            state,
            reason: row.reason.as_deref().and_then(Reason::parse),
            due_at: row.due_at.map(Timestamp),
            action_no: usize::try_from(row.action_no).unwrap_or_default(),
            attempts: number(row.attempts),
            may_be_done: row.may_be_done != 0,
            failed_actions: number(row.failed_actions),
            ended_at: None,
            admitted: Some(row.admitted_window).filter(|window| *window != NOT_ADMITTED),
        },
        was_running: None,
    }
}
