//! Jobs: something that is done with many executions, a few with each change, until all are done.

use serde::{Deserialize, Serialize};

use super::limits::Window;
use crate::domain::{
    execution::{Recorded, filter::ExecutionFilter},
    id::{ExecutionUid, JobUid},
    timestamp::Timestamp,
};

/// How many jobs of an account may be unfinished at once.
pub const JOBS_UNFINISHED_MAX: usize = 10;
/// How many executions a job takes at once.
pub const JOB_ROWS_MAX: usize = 100;

/// Where a retry begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryStart {
    /// At the first action that did not succeed.
    FirstUnsuccessful,
    /// At the first action.
    First,
}

/// What a retry sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryRequests {
    /// The requests as they were built for the first time.
    AsStored,
    /// Requests built anew of the stored event, by the automation as it is now.
    Rebuilt,
}

/// How an execution is run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Where it begins.
    pub start: RetryStart,
    /// What it sends.
    pub requests: RetryRequests,
}

/// What a job does with each execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobTask {
    /// Runs it again.
    Retry(Retry),
    /// Ends it.
    Cancel,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JobState {
    /// It goes on, or waits until it may.
    Running,
    /// It has looked at every execution.
    Succeeded,
    /// It was ended by a person.
    Cancelled,
}

/// How far a job has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct JobProgress {
    /// The last execution that it has looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<ExecutionUid>,
    /// How many it has retried or cancelled.
    pub done: u64,
    /// How many could not be.
    pub skipped: u64,
    /// Whether it waits until the window has room for retries.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waits: bool,
}

/// Something that is done with many executions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The job. It looks at executions that were made before it.
    pub uid: JobUid,
    /// What it does.
    pub task: JobTask,
    /// With which executions.
    pub filter: ExecutionFilter,
    /// Where it stands.
    pub state: JobState,
    /// How far it has come.
    pub progress: JobProgress,
    /// When it was started.
    pub created_at: Timestamp,
    /// When it last went on.
    pub updated_at: Timestamp,
}

impl Job {
    /// Whether it may go on where so many executions may be retried: retries of regular webhooks, which count in no window,
    /// do so until one comes that counts.
    pub fn may_go_on(&self, retries: usize) -> bool {
        self.task == JobTask::Cancel || retries > 0 || !self.progress.waits
    }

    /// Whether it goes on.
    pub fn is_running(&self) -> bool {
        self.state == JobState::Running
    }
}

/// Executions that a job looks at next, oldest first.
#[derive(Debug, Clone)]
pub struct JobRows {
    /// The job.
    pub job: JobUid,
    /// The executions.
    pub rows: Vec<Recorded>,
    /// The last execution that was looked at, whether or not it fits.
    pub position: Option<ExecutionUid>,
    /// Whether there are no more.
    pub is_last: bool,
}

/// How many executions may be run again in a window: none once half of it is used, nor while anything is paused, so
/// that new executions are never pushed out.
pub fn retries_allowed(window: Window, limit: u32, paused: u64) -> usize {
    if paused > 0 {
        return 0;
    }
    let half = i64::from(limit.div_ceil(2));
    usize::try_from(half - window.used).unwrap_or_default()
}

#[cfg(test)]
#[path = "tests/job.rs"]
mod tests;
