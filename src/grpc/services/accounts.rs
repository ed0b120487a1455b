//! `AccountService`.

use tonic::Status;

use super::{
    access::{Backend, Entered, Member, Service, serve},
    api::Api,
};
use crate::{
    clock,
    domain::{
        caller::AccountScope,
        decision::command::{AccountAnswer, Command, Done, Task},
        refusal::Violations,
    },
    grpc::{
        calls::status,
        convert::{self, name},
        pb,
    },
};

fn created(answer: &AccountAnswer) -> pb::CreateAccountResponse {
    pb::CreateAccountResponse { account: shown(answer) }
}

fn plan_set(answer: &AccountAnswer) -> pb::SetAccountPlanResponse {
    pb::SetAccountPlanResponse { account: shown(answer) }
}

fn limits_set(answer: &AccountAnswer) -> pb::SetAccountLimitsResponse {
    pb::SetAccountLimitsResponse { account: shown(answer) }
}

fn shown(answer: &AccountAnswer) -> Option<pb::Account> {
    Some(convert::account(&answer.account, &answer.facts))
}

serve! {
    account_service_server::AccountService {
        create_account(CreateAccountRequest) -> CreateAccountResponse;
        get_account(GetAccountRequest) -> GetAccountResponse;
        list_accounts(ListAccountsRequest) -> ListAccountsResponse;
        set_account_plan(SetAccountPlanRequest) -> SetAccountPlanResponse;
        set_account_limits(SetAccountLimitsRequest) -> SetAccountLimitsResponse;
        get_account_usage(GetAccountUsageRequest) -> GetAccountUsageResponse;
        delete_account(DeleteAccountRequest) -> DeleteAccountResponse;
    }
}

impl Api {
    async fn create_account(
        &self,
        entered: Entered<Service>,
        request: pb::CreateAccountRequest,
    ) -> Result<pb::CreateAccountResponse, Status> {
        let repeat = name::repeat(&request.request_id, "CreateAccount", &request, created)?;
        let mut faults = Violations::default();
        let plan = convert::plan("account.plan", request.account.unwrap_or_default().plan, &mut faults);
        faults.check().map_err(|refusal| status::refused(&refusal))?;
        let Some(plan) = plan else { return Err(status::invalid("account.plan", "is required")) };
        let command = Command { caller: entered.caller, task: Task::CreateAccount { plan }, repeat };
        self.answer(&entered.account, command, created).await
    }

    async fn get_account(
        &self,
        entered: Entered<Member>,
        _: pb::GetAccountRequest,
    ) -> Result<pb::GetAccountResponse, Status> {
        let view = self.account_of(&entered.account).await?;
        Ok(pb::GetAccountResponse { account: Some(convert::account_view(&view)) })
    }

    async fn list_accounts(
        &self,
        backend: Backend,
        request: pb::ListAccountsRequest,
    ) -> Result<pb::ListAccountsResponse, Status> {
        let only = match backend.scope() {
            AccountScope::All => None,
            AccountScope::Only(ids) => Some(ids.as_slice()),
        };
        let size = name::page_size(request.page_size)?;
        let after = name::page_cursor(&request.page_token, "accounts")?.unwrap_or_default();
        let (found, has_more) = self.store.list_accounts(only, &after, size).await.map_err(status::store)?;
        let next = found.last().filter(|_| has_more).map(|last| name::page_token(last.id.as_str(), "accounts"));
        Ok(pb::ListAccountsResponse {
            accounts: found.iter().map(convert::account_view).collect(),
            next_page_token: next.unwrap_or_default(),
        })
    }

    async fn set_account_plan(
        &self,
        entered: Entered<Service>,
        request: pb::SetAccountPlanRequest,
    ) -> Result<pb::SetAccountPlanResponse, Status> {
        let repeat = name::repeat(&request.request_id, "SetAccountPlan", &request, plan_set)?;
        let mut faults = Violations::default();
        let plan = convert::plan("plan", request.plan, &mut faults);
        faults.check().map_err(|refusal| status::refused(&refusal))?;
        let Some(plan) = plan else { return Err(status::invalid("plan", "is required")) };
        let command = Command { caller: entered.caller, task: Task::SetPlan { plan, etag: request.etag }, repeat };
        self.answer(&entered.account, command, plan_set).await
    }

    async fn set_account_limits(
        &self,
        entered: Entered<Service>,
        request: pb::SetAccountLimitsRequest,
    ) -> Result<pb::SetAccountLimitsResponse, Status> {
        let repeat = name::repeat(&request.request_id, "SetAccountLimits", &request, limits_set)?;
        let overrides = convert::limit_overrides(request.limit_overrides.unwrap_or_default());
        let mut faults = Violations::default();
        overrides.check("limit_overrides", &mut faults);
        faults.check().map_err(|refusal| status::refused(&refusal))?;
        let task = Task::SetLimits { overrides, etag: request.etag };
        self.answer(&entered.account, Command { caller: entered.caller, task, repeat }, limits_set).await
    }

    async fn get_account_usage(
        &self,
        entered: Entered<Member>,
        _: pb::GetAccountUsageRequest,
    ) -> Result<pb::GetAccountUsageResponse, Status> {
        let view = self.account_of(&entered.account).await?;
        let usage = self.store.usage(&view).await.map_err(status::store)?;
        let usage = convert::usage(&view, &usage, &self.rules, clock::now());
        Ok(pb::GetAccountUsageResponse { usage: Some(usage) })
    }

    async fn delete_account(
        &self,
        entered: Entered<Service>,
        request: pb::DeleteAccountRequest,
    ) -> Result<pb::DeleteAccountResponse, Status> {
        let repeat =
            name::repeat(&request.request_id, "DeleteAccount", &request, |_: &Done| pb::DeleteAccountResponse {})?;
        let command = Command { caller: entered.caller, task: Task::DeleteAccount { etag: request.etag }, repeat };
        self.answer(&entered.account, command, |_: &Done| pb::DeleteAccountResponse {}).await
    }
}
