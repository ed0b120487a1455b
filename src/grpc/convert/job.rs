//! Jobs as protobuf shows them.

use super::{pb_execution_filter, timestamp};
use crate::{
    domain::{
        account::job::{Job, JobState, JobTask, Retry, RetryRequests, RetryStart},
        id::AccountId,
        refusal::Violations,
    },
    grpc::pb,
};

/// Reads how an execution is to be run again.
pub fn retry(start: i32, requests: i32, faults: &mut Violations) -> Option<Retry> {
    let start = match pb::RetryStart::try_from(start) {
        Ok(pb::RetryStart::Unspecified | pb::RetryStart::FirstUnsuccessful) => Some(RetryStart::FirstUnsuccessful),
        Ok(pb::RetryStart::First) => Some(RetryStart::First),
        Err(_) => None,
    };
    let requests = match pb::RetryRequests::try_from(requests) {
        Ok(pb::RetryRequests::Unspecified | pb::RetryRequests::AsStored) => Some(RetryRequests::AsStored),
        Ok(pb::RetryRequests::Rebuilt) => Some(RetryRequests::Rebuilt),
        Err(_) => None,
    };
    if start.is_none() {
        faults.add("start", "must be RETRY_START_FIRST_UNSUCCESSFUL or RETRY_START_FIRST");
    }
    if requests.is_none() {
        faults.add("requests", "must be RETRY_REQUESTS_AS_STORED or RETRY_REQUESTS_REBUILT");
    }
    Some(Retry { start: start?, requests: requests? })
}

/// A job as it is shown.
pub fn job(account: &AccountId, job: &Job) -> pb::Job {
    let mut shown = pb::Job {
        name: format!("accounts/{account}/jobs/{}", job.uid),
        kind: pb::JobKind::Cancel.into(),
        state: match job.state {
            JobState::Running => pb::JobState::Running,
            JobState::Succeeded => pb::JobState::Succeeded,
            JobState::Cancelled => pb::JobState::Cancelled,
        }
        .into(),
        filter: Some(pb_execution_filter(account, &job.filter)),
        done: job.progress.done,
        skipped: job.progress.skipped,
        position_time: job.progress.position.map(|position| timestamp(position.made_at())),
        create_time: Some(timestamp(job.created_at)),
        update_time: Some(timestamp(job.updated_at)),
        ..pb::Job::default()
    };
    if let JobTask::Retry(retry) = job.task {
        shown.kind = pb::JobKind::Retry.into();
        shown.start = match retry.start {
            RetryStart::FirstUnsuccessful => pb::RetryStart::FirstUnsuccessful,
            RetryStart::First => pb::RetryStart::First,
        }
        .into();
        shown.requests = match retry.requests {
            RetryRequests::AsStored => pb::RetryRequests::AsStored,
            RetryRequests::Rebuilt => pb::RetryRequests::Rebuilt,
        }
        .into();
    }
    shown
}
