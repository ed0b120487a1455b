//! `ExecutionService`.

use prost::Message;
use tonic::Status;

use super::{
    Api,
    access::{Entered, Member, Operator, serve},
    convert, name, pb, status,
};
use crate::{
    domain::{
        command::{Command, Task},
        execution::Reason,
        id::AccountId,
        refusal::Refusal,
        timestamp::Timestamp,
    },
    store::ExecutionFilter,
};

serve! {
    execution_service_server::ExecutionService {
        get_execution(GetExecutionRequest) -> GetExecutionResponse;
        cancel_execution(CancelExecutionRequest) -> CancelExecutionResponse;
        list_executions(ListExecutionsRequest) -> ListExecutionsResponse;
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
        let repeat = name::repeat(&request.request_id, "CancelExecution", &request, |_| Vec::new())?;
        let command = Command { caller: entered.caller, task: Task::CancelExecution { uid }, repeat };
        self.answer(&entered.account, command, |_| pb::CancelExecutionResponse {}).await
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
        let before = super::uuid_place(&request.page_token, &query)?;
        let size = name::page_size(request.page_size)?;
        let mut filter = filter(&entered.account, &request)?;
        filter.reader = entered.caller.history_of().cloned();
        let page = self.store.list_executions(view.uid, &filter, before, size).await.map_err(status::store)?;
        Ok(pb::ListExecutionsResponse {
            executions: page.items.iter().map(|view| convert::execution(&entered.account, view, false)).collect(),
            next_page_token: super::next_token(page.next, &query),
        })
    }
}

/// Reads an optional field.
fn optional<T: std::str::FromStr<Err = String>>(field: &str, text: &str) -> Result<Option<T>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error: String| status::invalid(field, error))
}

fn filter(account: &AccountId, request: &pb::ListExecutionsRequest) -> Result<ExecutionFilter, Status> {
    let automation = match request.automation.as_str() {
        "" => None,
        full_name => match name::resource("automation", full_name, "automations")? {
            (of, id) if of == *account => Some(id),
            _ => return Err(status::invalid("automation", "must be of the same account as parent")),
        },
    };
    let state = |(at, number): (usize, &i32)| {
        convert::state(*number).ok_or_else(|| status::invalid(&format!("states[{at}]"), "is no state of an execution"))
    };
    let reason = |(at, word): (usize, &String)| {
        let found = Reason::parse(word);
        found.ok_or_else(|| status::invalid(&format!("reasons[{at}]"), "is no reason of an execution"))
    };
    let time = |field: &str, time: Option<&prost_types::Timestamp>| -> Result<Option<Timestamp>, Status> {
        let Some(time) = time else { return Ok(None) };
        let wanted = "must be a time from 1970 to 9999";
        convert::from_timestamp(time).map(Some).ok_or_else(|| status::invalid(field, wanted))
    };
    Ok(ExecutionFilter {
        reader: None,
        automation,
        states: request.states.iter().enumerate().map(state).collect::<Result<_, _>>()?,
        reasons: request.reasons.iter().enumerate().map(reason).collect::<Result<_, _>>()?,
        object: optional("object", &request.object)?,
        entity_id: optional("entity_id", &request.entity_id)?,
        event_id: (!request.event_id.is_empty()).then(|| request.event_id.clone()),
        start: time("start_time", request.start_time.as_ref())?,
        end: time("end_time", request.end_time.as_ref())?,
    })
}
