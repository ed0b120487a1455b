//! Calls that change executions: by a person one at a time, by a job many.

use std::sync::Arc;

use opentelemetry::trace::SpanId;

use super::{Command, Done, ExecutionAnswer, automation_name, require_plan, webhook_name};
use crate::domain::{
    account::{
        Account,
        job::{Retry, RetryRequests, RetryStart},
    },
    automation::placeholder::{Scope, Trees},
    decision::draft::Draft,
    execution::{
        NewExecution, Progress, Recorded, State, Unfinished,
        notification::{beginning, notification},
        record::{Basis, Record},
        request::build,
        retry::{DoneActions, Misfit, begin_anew, go_on_as_stored, go_on_rebuilt},
    },
    id::{AutomationUid, ExecutionUid, WebhookUid},
    refusal::{Precondition, Refusal},
    source::SourceKind,
};

/// Ends an execution that waits.
pub fn cancel_execution(
    draft: &mut Draft<'_, '_>,
    command: &Command,
    uid: ExecutionUid,
    read: Option<&Recorded>,
) -> Result<Done, Refusal> {
    command.caller.require_operator(&draft.state.id)?;
    let account = draft.account()?;
    let recorded = found(draft, uid, read)?;
    cancel(draft, account, recorded)?;
    Ok(Done)
}

/// Runs an execution again that has ended.
pub fn retry_execution(
    draft: &mut Draft<'_, '_>,
    command: &Command,
    uid: ExecutionUid,
    how: Retry,
    read: Option<&Recorded>,
) -> Result<ExecutionAnswer, Refusal> {
    command.caller.require_operator(&draft.state.id)?;
    let account = draft.account()?;
    let recorded = found(draft, uid, read)?;
    let new = retry(draft, account, recorded, how)?;
    let new = Arc::new(draft.add(new).clone());
    Ok(ExecutionAnswer { account: draft.state.id.clone(), execution: new, revision: draft.change.revision })
}

fn name_of(draft: &Draft<'_, '_>, uid: ExecutionUid) -> String {
    format!("accounts/{}/executions/{uid}", draft.state.id)
}

fn found<'r>(draft: &Draft<'_, '_>, uid: ExecutionUid, read: Option<&'r Recorded>) -> Result<&'r Recorded, Refusal> {
    read.filter(|_| !draft.is_expired(uid)).ok_or_else(|| Refusal::not_found("execution", name_of(draft, uid)))
}

/// Ends an execution that waits. One whose request is under way cannot be called back.
pub fn cancel(draft: &mut Draft<'_, '_>, account: &Account, recorded: &Recorded) -> Result<(), Refusal> {
    let execution = draft.execution(&recorded.execution);
    let uid = execution.uid;
    if execution.progress.state == State::Running || account.running.contains_key(&uid) {
        let message = "a request of the execution is under way: try again once it has ended";
        return Err(Refusal::precondition(Precondition::ExecutionRunning, name_of(draft, uid), message));
    }
    if execution.progress.state.is_final() {
        let message = "the execution has ended, and a final state never changes";
        return Err(Refusal::precondition(Precondition::ExecutionEnded, name_of(draft, uid), message));
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
    draft.step(execution.progress.state, Unfinished { progress, ..execution }, None);
    Ok(())
}

/// The execution that runs another one again.
pub fn retry(
    draft: &mut Draft<'_, '_>,
    account: &Account,
    recorded: &Recorded,
    how: Retry,
) -> Result<NewExecution, Refusal> {
    let before = draft.execution(&recorded.execution);
    let name = name_of(draft, before.uid);
    if !before.progress.state.is_final() || draft.has_stepped(before.uid) {
        let message = "the execution has not ended: wait for its end, or cancel it first";
        return Err(Refusal::precondition(Precondition::ExecutionNotEnded, name, message));
    }
    if before.source_kind == SourceKind::Automation {
        require_plan(account, &name, "retries of automations")?;
    }
    let uid = ExecutionUid::new(account.uid, (draft.around.uuid)());
    let record = match how.requests {
        // What was never built is built now.
        RetryRequests::AsStored if !before.record.requests.is_empty() => Record::clone(&before.record),
        _ => rebuild(draft, account, recorded, uid)?,
    };
    let mut record = left_out(record, account, recorded, how).map_err(|misfit| {
        let subject = automation_name(&draft.state.id, &before.record.source_id);
        Refusal::precondition(Precondition::ActionsEdited, subject, misfit.message())
    })?;
    if record.requests.iter().all(|request| request.is_left_out) {
        let message = "there is no action left that did not succeed: retry it from the first action";
        return Err(Refusal::precondition(Precondition::NothingToRetry, name, message));
    }
    for request in record.requests.iter().filter(|request| !request.is_left_out) {
        let webhook_name = webhook_name(&draft.state.id, &request.webhook_id);
        match draft.webhook(account, request.webhook).filter(|webhook| webhook.deleted_at.is_none()) {
            Some(webhook) if webhook.is_enabled() => {}
            Some(_) => {
                let message = "the webhook is disabled: mend its endpoint, and have a global admin enable it";
                return Err(Refusal::precondition(Precondition::WebhookDisabled, webhook_name, message));
            }
            None => {
                let message = "the webhook was deleted; name it again in the action, and have the requests rebuilt";
                return Err(Refusal::precondition(Precondition::WebhookNotFound, webhook_name, message));
            }
        }
    }
    let span = (draft.around.random)() | 1;
    record.trace = before.record.trace.with_span(SpanId::from(span));
    let progress = Progress { action_no: record.first_action(), ..Progress::begin() };
    Ok(NewExecution {
        uid,
        source_kind: before.source_kind,
        source: recorded.source,
        event_id: recorded.event_id.clone(),
        run: draft.last_run(recorded) + 1,
        object: recorded.object.clone(),
        action: recorded.action,
        entity_id: recorded.entity_id.clone(),
        acting_user: recorded.acting_user.clone(),
        retry_of: Some(before.uid),
        is_caused: false,
        created_at: draft.now(),
        progress,
        record: Arc::new(record),
        event: recorded.event.clone(),
    })
}

/// The requests of a retry, with the marks of those that it leaves out.
fn left_out(mut record: Record, account: &Account, recorded: &Recorded, how: Retry) -> Result<Record, Misfit> {
    let before = &recorded.execution.record.requests;
    let done = DoneActions { succeeded: &recorded.succeeded, may_be_done: &recorded.may_be_done };
    let requests = &mut record.requests;
    match (how.start, how.requests) {
        (RetryStart::First, _) => begin_anew(requests, before, done),
        (RetryStart::FirstUnsuccessful, RetryRequests::AsStored) => go_on_as_stored(requests, done),
        (RetryStart::FirstUnsuccessful, RetryRequests::Rebuilt) => {
            let automation = account.automations.get(&AutomationUid(recorded.source));
            let edited_at = automation.and_then(|automation| automation.spec.actions_edited_at);
            // Of a retry it is not known when its requests were built.
            let is_older = edited_at.is_none_or(|edited_at| recorded.execution.uid.made_at() >= edited_at);
            go_on_rebuilt(requests, before, done, recorded.run > 0 || !is_older)?;
        }
    }
    Ok(record)
}

/// The requests that the automation as it is now would build of the event.
fn rebuild(
    draft: &Draft<'_, '_>,
    account: &Account,
    recorded: &Recorded,
    uid: ExecutionUid,
) -> Result<Record, Refusal> {
    let before = &recorded.execution.record;
    if recorded.execution.source_kind == SourceKind::RegularWebhook {
        return rebuild_notification(draft, account, recorded);
    }
    let gone = |message: &str| {
        let name = automation_name(&draft.state.id, &before.source_id);
        Refusal::precondition(Precondition::AutomationNotFound, name, message)
    };
    let automation = account.automations.get(&AutomationUid(recorded.source));
    let automation =
        automation.ok_or_else(|| gone("the automation is deleted: retry the requests as they were stored"))?;
    if automation.spec.object != recorded.object {
        return Err(gone("the automation is triggered by another object now: retry the requests as they were stored"));
    }
    let event = recorded.event.as_deref().ok_or_else(|| gone("the event cannot be read any more"))?;
    let trees = Trees::of(event).map_err(|_| gone("the event cannot be read any more"))?;
    let scope = Scope {
        event,
        data: &trees.data,
        previous: trees.previous.as_ref(),
        account: &draft.state.id,
        automation_name: &automation.display_name,
        execution: uid,
        catalogue: &account.catalogue,
    };
    let webhook_of = |uid| account.webhooks.get(&uid).map(Arc::as_ref);
    Ok(Record {
        source_name: automation.display_name.clone(),
        requests: build(automation, scope, webhook_of, draft.around.rules.body_bytes_max),
        explanation: automation.compiled.conditions.explain(trees.state(event, &account.catalogue)),
        basis: Basis::Retry,
        ..Record::clone(before)
    })
}

/// The request that the regular webhook as it is now would get of the event.
fn rebuild_notification(draft: &Draft<'_, '_>, account: &Account, recorded: &Recorded) -> Result<Record, Refusal> {
    let before = &recorded.execution.record;
    let webhook = account.webhooks.get(&WebhookUid(recorded.source));
    match (webhook, recorded.event.as_deref()) {
        (Some(webhook), Some(event)) => Ok(Record {
            source_name: webhook.display_name.clone(),
            requests: vec![notification(&draft.state.id, webhook, event, &beginning(event))],
            ..Record::clone(before)
        }),
        // Without them the stored request says what is wrong.
        _ => Ok(Record::clone(before)),
    }
}
