//! Between jobs and their rows.

use serde::{Deserialize, Serialize};

use super::{Stored, from_bytes, from_word, to_bytes, word};
use crate::{
    domain::{
        account::job::{Job, JobState, JobTask},
        execution::filter::ExecutionFilter,
        id::{AccountUid, JobUid},
        timestamp::Timestamp,
    },
    store::entities::jobs,
};

#[derive(Serialize, Deserialize)]
struct StoredSpec {
    task: JobTask,
    filter: ExecutionFilter,
}

/// The word of a state of a job.
pub fn job_state_word(state: JobState) -> Stored<String> {
    word(state)
}

/// The row of a job.
pub fn job_row(account: AccountUid, job: &Job) -> Stored<jobs::Model> {
    let kind = match job.task {
        JobTask::Retry(_) => "RETRY",
        JobTask::Cancel => "CANCEL",
    };
    Ok(jobs::Model {
        account_uid: account.0,
        uid: job.uid.0,
        kind: kind.to_owned(),
        state: job_state_word(job.state)?,
        spec: to_bytes(StoredSpec { task: job.task, filter: job.filter.clone() })?,
        cursor: Some(to_bytes(job.progress)?),
        created_at: job.created_at.0,
        updated_at: job.updated_at.0,
    })
}

/// A job from its row.
pub fn job(row: &jobs::Model) -> Stored<Job> {
    let spec: StoredSpec = from_bytes(&row.spec)?;
    Ok(Job {
        uid: JobUid(row.uid),
        task: spec.task,
        filter: spec.filter,
        state: from_word(&row.state)?,
        progress: row.cursor.as_deref().map(from_bytes).transpose()?.unwrap_or_default(),
        created_at: Timestamp(row.created_at),
        updated_at: Timestamp(row.updated_at),
    })
}
