//! `ExecutionService`.

use prost::Message;
use tonic::Status;

use super::{
    access::{Entered, Member, Operator, serve},
    api::Api,
};
use crate::{
    domain::{
        decision::command::{Command, Done, ExecutionAnswer, Task},
        refusal::{Refusal, Violations},
    },
    grpc::{
        calls::status,
        convert::{self, name},
        pb,
    },
    store::ExecutionView,
};

/// The filter among the fields of a request for a page.
fn given(request: pb::ListExecutionsRequest) -> pb::ExecutionFilter {
    pb::ExecutionFilter {
        automation: request.automation,
        webhook: request.webhook,
        states: request.states,
        reasons: request.reasons,
        event_id: request.event_id,
        object: request.object,
        entity_id: request.entity_id,
        start_time: request.start_time,
        end_time: request.end_time,
    }
}

fn retried(answer: &ExecutionAnswer) -> pb::RetryExecutionResponse {
    let view = ExecutionView::of(&answer.execution, answer.revision);
    pb::RetryExecutionResponse { execution: Some(convert::execution(&answer.account, &view, true)) }
}

serve! {
    execution_service_server::ExecutionService {
        get_execution(GetExecutionRequest) -> GetExecutionResponse;
        cancel_execution(CancelExecutionRequest) -> CancelExecutionResponse;
        list_executions(ListExecutionsRequest) -> ListExecutionsResponse;
        count_executions(CountExecutionsRequest) -> CountExecutionsResponse;
        retry_execution(RetryExecutionRequest) -> RetryExecutionResponse;
    }
}

impl Api {
    async fn get_execution(
        &self,
        entered: Entered<Member>,
        request: pb::GetExecutionRequest,
    ) -> Result<pb::GetExecutionResponse, Status> {
        let full_name = request.name;
        let (_, uid) = name::execution("name", &full_name)?;
        let view = self.account_of(&entered.account).await?;
        let found =
            self.store.find_execution(view.uid, uid, entered.caller.history_of(), entered.caller.sees_secrets()).await;
        let found = found.map_err(status::store)?;
        let found = found.ok_or_else(|| status::refused(&Refusal::not_found("execution", full_name)))?;
        let execution = convert::execution(&entered.account, &found, true);
        Ok(pb::GetExecutionResponse { execution: Some(execution) })
    }

    async fn cancel_execution(
        &self,
        entered: Entered<Operator>,
        request: pb::CancelExecutionRequest,
    ) -> Result<pb::CancelExecutionResponse, Status> {
        let (_, uid) = name::execution("name", &request.name)?;
        let repeat =
            name::repeat(&request.request_id, "CancelExecution", &request, |_: &Done| pb::CancelExecutionResponse {})?;
        let command = Command { caller: entered.caller, task: Task::CancelExecution { uid }, repeat };
        self.answer(&entered.account, command, |_: &Done| pb::CancelExecutionResponse {}).await
    }

    async fn retry_execution(
        &self,
        entered: Entered<Operator>,
        request: pb::RetryExecutionRequest,
    ) -> Result<pb::RetryExecutionResponse, Status> {
        let (_, uid) = name::execution("name", &request.name)?;
        let repeat = name::repeat(&request.request_id, "RetryExecution", &request, retried)?;
        let mut faults = Violations::default();
        let retry = convert::retry(request.start, request.requests, &mut faults);
        faults.check().map_err(|refusal| status::refused(&refusal))?;
        let Some(retry) = retry else { return Err(status::invalid("start", "is required")) };
        let task = Task::RetryExecution { uid, retry };
        self.answer(&entered.account, Command { caller: entered.caller, task, repeat }, retried).await
    }

    async fn count_executions(
        &self,
        entered: Entered<Operator>,
        _: pb::CountExecutionsRequest,
    ) -> Result<pb::CountExecutionsResponse, Status> {
        let view = self.account_of(&entered.account).await?;
        let count = |(state, count)| pb::StateCount { state: convert::pb_state(state), count };
        Ok(pb::CountExecutionsResponse { counts: view.history.counts.iter().map(count).collect() })
    }

    async fn list_executions(
        &self,
        entered: Entered<Member>,
        request: pb::ListExecutionsRequest,
    ) -> Result<pb::ListExecutionsResponse, Status> {
        let view = self.account_of(&entered.account).await?;
        let same_query =
            pb::ListExecutionsRequest { page_token: String::new(), page_size: 0, ..request.clone() }.encode_to_vec();
        let query = format!("executions:{same_query:?}");
        let before = convert::page::uuid_cursor(&request.page_token, &query)?;
        let size = name::page_size(request.page_size)?;
        let mut filter = convert::execution_filter(&entered.account, &given(request), "")?;
        filter.reader = entered.caller.history_of().cloned();
        let page = self.store.list_executions(view.uid, &filter, before, size).await.map_err(status::store)?;
        let show = |view: &_| convert::execution(&entered.account, view, false);
        let (executions, next_page_token) = convert::page::shown_page(&page, &query, |view| view.uid.0, show);
        Ok(pb::ListExecutionsResponse { executions, next_page_token })
    }
}
