//! `JobService`.

use tonic::Status;

use super::{
    access::{Entered, Operator, serve},
    api::{Api, shown},
};
use crate::{
    domain::{
        account::job::JobTask,
        decision::command::{Command, JobAnswer, Task},
        execution::{State, filter::ExecutionFilter},
        id::JobUid,
        refusal::{Refusal, Violations},
    },
    engine::EngineError,
    grpc::{
        calls::status,
        convert::{self, name},
        pb,
    },
};

fn job(answer: &JobAnswer) -> Option<pb::Job> {
    Some(convert::job(&answer.account, &answer.job))
}

fn retried(answer: &JobAnswer) -> pb::RetryExecutionsResponse {
    pb::RetryExecutionsResponse { job: job(answer) }
}

fn ended(answer: &JobAnswer) -> pb::CancelExecutionsResponse {
    pb::CancelExecutionsResponse { job: job(answer) }
}

fn cancelled(answer: &JobAnswer) -> pb::CancelJobResponse {
    pb::CancelJobResponse { job: job(answer) }
}

serve! {
    job_service_server::JobService {
        retry_executions(RetryExecutionsRequest) -> RetryExecutionsResponse;
        cancel_executions(CancelExecutionsRequest) -> CancelExecutionsResponse;
        get_job(GetJobRequest) -> GetJobResponse;
        list_jobs(ListJobsRequest) -> ListJobsResponse;
        cancel_job(CancelJobRequest) -> CancelJobResponse;
    }
}

/// Refuses states that a job can do nothing with.
fn check_states(filter: &ExecutionFilter, fits: impl Fn(State) -> bool, wanted: &str) -> Result<(), Status> {
    match filter.states.iter().position(|state| !fits(*state)) {
        Some(at) => Err(status::invalid(&format!("filter.states[{at}]"), wanted)),
        None => Ok(()),
    }
}

impl Api {
    async fn retry_executions(
        &self,
        entered: Entered<Operator>,
        request: pb::RetryExecutionsRequest,
    ) -> Result<pb::RetryExecutionsResponse, Status> {
        let repeat = name::repeat(&request.request_id, "RetryExecutions", &request, retried)?;
        let mut faults = Violations::default();
        let retry = convert::retry(request.start, request.requests, &mut faults);
        faults.check().map_err(|refusal| status::refused(&refusal))?;
        let Some(retry) = retry else { return Err(status::invalid("start", "is required")) };
        let filter = convert::execution_filter(&entered.account, &request.filter.unwrap_or_default(), "filter.")?;
        if filter.states.is_empty() {
            let message =
                "is required: the final states whose executions are run again, such as EXECUTION_STATE_FAILED";
            return Err(status::invalid("filter.states", message));
        }
        check_states(&filter, State::is_final, "is not a final state: only what has ended can be run again")?;
        let task = Task::StartJob { task: JobTask::Retry(retry), filter };
        self.answer(&entered.account, Command { caller: entered.caller, task, repeat }, retried).await
    }

    async fn cancel_executions(
        &self,
        entered: Entered<Operator>,
        request: pb::CancelExecutionsRequest,
    ) -> Result<pb::CancelExecutionsResponse, Status> {
        let repeat = name::repeat(&request.request_id, "CancelExecutions", &request, ended)?;
        let mut filter = convert::execution_filter(&entered.account, &request.filter.unwrap_or_default(), "filter.")?;
        check_states(&filter, State::waits, "is no state in which an execution waits: PENDING, RETRYING or PAUSED")?;
        if filter.states.is_empty() {
            filter.states = State::ALL.into_iter().filter(|state| state.waits()).collect();
        }
        let task = Task::StartJob { task: JobTask::Cancel, filter };
        self.answer(&entered.account, Command { caller: entered.caller, task, repeat }, ended).await
    }

    async fn get_job(
        &self,
        entered: Entered<Operator>,
        request: pb::GetJobRequest,
    ) -> Result<pb::GetJobResponse, Status> {
        let (_, uid) = name::job("name", &request.name)?;
        Ok(pb::GetJobResponse { job: Some(self.job_of(&entered, uid, request.name).await?) })
    }

    async fn job_of(&self, entered: &Entered<Operator>, uid: JobUid, name: String) -> Result<pb::Job, Status> {
        let view = self.account_of(&entered.account).await?;
        let found = self.store.find_job(view.uid, uid).await.map_err(status::store)?;
        let found = found.ok_or_else(|| status::refused(&Refusal::not_found("job", name)))?;
        Ok(convert::job(&entered.account, &found))
    }

    async fn list_jobs(
        &self,
        entered: Entered<Operator>,
        request: pb::ListJobsRequest,
    ) -> Result<pb::ListJobsResponse, Status> {
        let view = self.account_of(&entered.account).await?;
        let query = format!("jobs:{}", entered.account);
        let before = convert::page::uuid_cursor(&request.page_token, &query)?;
        let size = name::page_size(request.page_size)?;
        let page = self.store.list_jobs(view.uid, before, size).await.map_err(status::store)?;
        let show = |job: &_| convert::job(&entered.account, job);
        let (jobs, next_page_token) = convert::page::shown_page(&page, &query, |job| job.uid.0, show);
        Ok(pb::ListJobsResponse { jobs, next_page_token })
    }

    async fn cancel_job(
        &self,
        entered: Entered<Operator>,
        request: pb::CancelJobRequest,
    ) -> Result<pb::CancelJobResponse, Status> {
        let (_, uid) = name::job("name", &request.name)?;
        let repeat = name::repeat(&request.request_id, "CancelJob", &request, cancelled)?;
        let command = Command { caller: entered.caller.clone(), task: Task::CancelJob { uid }, repeat };
        match self.engine.command(&entered.account, command).await {
            Ok(reply) => shown(&reply, cancelled),
            // Only jobs that have not ended are in the account's memory.
            Err(EngineError::Refused(Refusal::NotFound { kind: "job", .. })) => {
                Ok(pb::CancelJobResponse { job: Some(self.job_of(&entered, uid, request.name).await?) })
            }
            Err(error) => Err(status::engine(&error)),
        }
    }
}
