//! Calls that change executions.

use super::{Answer, Command};
use crate::domain::{
    decision::Draft,
    execution::{Progress, State, Unfinished},
    id::ExecutionUid,
    refusal::{Precondition, Refusal},
};

/// Ends an execution that waits. One whose request is under way cannot be called back.
pub fn cancel(
    draft: &mut Draft<'_, '_>,
    command: &Command,
    uid: ExecutionUid,
    read: Option<&Unfinished>,
) -> Result<Answer, Refusal> {
    let account_id = draft.slot.id.clone();
    command.caller.require_operator(&account_id)?;
    let account = draft.account()?;
    let name = format!("accounts/{account_id}/executions/{uid}");
    let read = read.ok_or_else(|| Refusal::not_found("execution", name.clone()))?;
    let execution = draft.execution(read);
    if execution.progress.state == State::Running || account.running.contains_key(&uid) {
        let message = "a request of the execution is under way: try again once it has ended";
        return Err(Refusal::precondition(Precondition::ExecutionRunning, name, message));
    }
    if execution.progress.state.is_final() {
        let message = "the execution has ended, and a final state never changes";
        return Err(Refusal::precondition(Precondition::ExecutionEnded, name, message));
    }
    if execution.progress.is_held_back() {
        draft.change.backlog.count = draft.change.backlog.count.saturating_sub(1);
    }
    let progress = Progress {
        state: State::Cancelled,
        reason: None,
        due_at: None,
        ended_at: Some(draft.now()),
        ..execution.progress.clone()
    };
    draft.step(Unfinished { progress, ..execution }, None);
    Ok(Answer::Done)
}
