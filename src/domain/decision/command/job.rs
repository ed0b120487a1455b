//! Jobs: started and ended by a person, carried on by the account.

use std::sync::Arc;

use super::{
    Command, JobAnswer,
    execution::{cancel, retry},
};
use crate::domain::{
    account::{
        Account,
        job::{JOBS_UNFINISHED_MAX, Job, JobProgress, JobRows, JobState, JobTask, retries_allowed},
    },
    decision::draft::Draft,
    execution::{Recorded, filter::ExecutionFilter},
    id::{ExecutionUid, JobUid},
    refusal::Refusal,
    source::SourceKind,
};

/// Somebody who may operate the account has many executions retried or cancelled.
pub fn start_job(
    draft: &mut Draft<'_, '_>,
    command: &Command,
    task: JobTask,
    filter: &ExecutionFilter,
) -> Result<JobAnswer, Refusal> {
    command.caller.require_operator(&draft.state.id)?;
    let account = draft.account()?;
    if draft.jobs(account).filter(|job| job.is_running()).count() >= JOBS_UNFINISHED_MAX {
        let message = format!("{JOBS_UNFINISHED_MAX} jobs are unfinished: wait for one to end, or cancel it");
        return Err(Refusal::Exhausted { subject: "jobs".to_owned(), message });
    }
    let job = Job {
        uid: JobUid((draft.around.uuid)()),
        task,
        filter: filter.clone(),
        state: JobState::Running,
        progress: JobProgress::default(),
        created_at: draft.now(),
        updated_at: draft.now(),
    };
    Ok(put(draft, job))
}

/// A job ends where it is.
pub fn cancel_job(draft: &mut Draft<'_, '_>, command: &Command, uid: JobUid) -> Result<JobAnswer, Refusal> {
    let account_id = draft.state.id.clone();
    command.caller.require_operator(&account_id)?;
    let account = draft.account()?;
    let job = draft.jobs(account).find(|job| job.uid == uid).cloned();
    let job = job.ok_or_else(|| Refusal::not_found("job", format!("accounts/{account_id}/jobs/{uid}")))?;
    if !job.is_running() {
        return Ok(JobAnswer { account: account_id, job });
    }
    Ok(put(draft, Job { state: JobState::Cancelled, updated_at: draft.now(), ..Job::clone(&job) }))
}

/// A job as it is from now on, and the answer that shows it.
fn put(draft: &mut Draft<'_, '_>, job: Job) -> JobAnswer {
    let job = Arc::new(job);
    draft.change.jobs.push(Arc::clone(&job));
    JobAnswer { account: draft.state.id.clone(), job }
}

/// Whether one more execution may be run again: what counts in no window needs no room in it.
fn has_room(draft: &Draft<'_, '_>, account: &Account, recorded: &Recorded) -> bool {
    let counts =
        recorded.execution.source_kind == SourceKind::Automation && account.facts.plan.has_automation_webhooks();
    let limit = account.execution_limit(&draft.limits);
    let is_full = draft.change.history.is_full(recorded.execution.source_kind, draft.around.rules.waiting_max);
    !is_full && (!counts || retries_allowed(draft.change.window, limit, draft.change.backlog.count) > 0)
}

/// Carries a job on: what it does with the executions it looks at next, and how far it has come.
pub fn go_on(draft: &mut Draft<'_, '_>, account: &Account, read: &JobRows) {
    let job = draft.jobs(account).find(|job| job.uid == read.job && job.is_running()).cloned();
    let Some(job) = job else { return };
    let mut progress = job.progress;
    let mut is_last = read.is_last;
    let mut position = read.position.or(progress.position);
    let mut before: Option<ExecutionUid> = progress.position;
    progress.waits = false;
    for recorded in &read.rows {
        let uid = recorded.execution.uid;
        if draft.is_full() {
            (position, is_last) = (before, false);
            break;
        }
        if draft.is_expired(uid) {
            continue;
        }
        let is_done = match job.task {
            JobTask::Cancel => cancel(draft, account, recorded).is_ok(),
            JobTask::Retry(how) => {
                if !has_room(draft, account, recorded) {
                    (position, is_last, progress.waits) = (before, false, true);
                    break;
                }
                let new = (recorded.run == draft.last_run(recorded)).then(|| retry(draft, account, recorded, how));
                let new = new.and_then(Result::ok);
                let is_done = new.is_some();
                if let Some(new) = new {
                    draft.add(new);
                }
                is_done
            }
        };
        if is_done {
            progress.done += 1;
        } else {
            progress.skipped += 1;
        }
        before = Some(uid);
    }
    progress.position = position;
    let state = if is_last { JobState::Succeeded } else { JobState::Running };
    put(draft, Job { state, progress, updated_at: draft.now(), ..Job::clone(&job) });
}
