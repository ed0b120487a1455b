//! `AccountService`.

use prost::Message;
use sha2::{Digest, Sha256};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{Api, convert, name, pb, status};
use crate::{
    domain::{
        caller::{AccountScope, Caller},
        command::{Answer, Command, Task},
        id::AccountId,
        refusal::{Refusal, Violations},
    },
    engine::CommandReply,
};

fn created(answer: &Answer) -> pb::CreateAccountResponse {
    pb::CreateAccountResponse { account: shown(answer) }
}

fn plan_set(answer: &Answer) -> pb::SetAccountPlanResponse {
    pb::SetAccountPlanResponse { account: shown(answer) }
}

fn shown(answer: &Answer) -> Option<pb::Account> {
    match answer {
        Answer::Account(id, facts) => Some(convert::account(id, facts)),
        _ => None,
    }
}

/// The id of an account that came without one: the same for a repeated call.
fn made_id(request_id: &str) -> AccountId {
    if request_id.is_empty() {
        return AccountId::fresh(Uuid::now_v7());
    }
    let digest = Sha256::digest(format!("account:{request_id}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    AccountId::fresh(Uuid::from_bytes(bytes))
}

#[tonic::async_trait]
impl pb::account_service_server::AccountService for Api {
    async fn create_account(
        &self,
        request: Request<pb::CreateAccountRequest>,
    ) -> Result<Response<pb::CreateAccountResponse>, Status> {
        let caller = self.auth.caller(request.metadata())?;
        let request = request.into_inner();
        let repeat =
            name::repeat(&request.request_id, "CreateAccount", &request, |answer| created(answer).encode_to_vec())?;
        let id = match request.account_id.as_str() {
            "" => made_id(&request.request_id),
            id => id.parse().map_err(|error: String| status::invalid("account_id", error))?,
        };
        let mut faults = Violations::default();
        let plan = convert::plan("account.plan", request.account.unwrap_or_default().plan, &mut faults);
        faults.check().map_err(|refusal| status::refused(&refusal))?;
        let Some(plan) = plan else { return Err(status::invalid("account.plan", "is required")) };
        let command = Command { caller, task: Task::CreateAccount { plan }, repeat };
        self.answer(&id, command, created).await
    }

    async fn get_account(
        &self,
        request: Request<pb::GetAccountRequest>,
    ) -> Result<Response<pb::GetAccountResponse>, Status> {
        let caller = self.auth.caller(request.metadata())?;
        let id = name::account("name", &request.into_inner().name)?;
        let view = self.account_of(&caller, &id).await?;
        Ok(Response::new(pb::GetAccountResponse { account: Some(convert::account_view(&view)) }))
    }

    async fn list_accounts(
        &self,
        request: Request<pb::ListAccountsRequest>,
    ) -> Result<Response<pb::ListAccountsResponse>, Status> {
        let caller = self.auth.caller(request.metadata())?;
        let Caller::Service { accounts } = &caller else {
            return Err(status::refused(&Refusal::denied("only a token of role service may list accounts")));
        };
        let only = match accounts {
            AccountScope::All => None,
            AccountScope::Only(ids) => Some(ids.as_slice()),
        };
        let request = request.into_inner();
        let size = name::page_size(request.page_size)?;
        let after = name::page_place(&request.page_token, "accounts")?.unwrap_or_default();
        let (found, has_more) = self.store.list_accounts(only, &after, size).await.map_err(status::store)?;
        let next = found.last().filter(|_| has_more).map(|last| name::page_token(last.id.as_str(), "accounts"));
        Ok(Response::new(pb::ListAccountsResponse {
            accounts: found.iter().map(convert::account_view).collect(),
            next_page_token: next.unwrap_or_default(),
        }))
    }

    async fn set_account_plan(
        &self,
        request: Request<pb::SetAccountPlanRequest>,
    ) -> Result<Response<pb::SetAccountPlanResponse>, Status> {
        let caller = self.auth.caller(request.metadata())?;
        let request = request.into_inner();
        let id = name::account("name", &request.name)?;
        let repeat =
            name::repeat(&request.request_id, "SetAccountPlan", &request, |answer| plan_set(answer).encode_to_vec())?;
        let mut faults = Violations::default();
        let plan = convert::plan("plan", request.plan, &mut faults);
        faults.check().map_err(|refusal| status::refused(&refusal))?;
        let Some(plan) = plan else { return Err(status::invalid("plan", "is required")) };
        let command = Command { caller, task: Task::SetPlan { plan, etag: request.etag }, repeat };
        self.answer(&id, command, plan_set).await
    }

    async fn delete_account(
        &self,
        request: Request<pb::DeleteAccountRequest>,
    ) -> Result<Response<pb::DeleteAccountResponse>, Status> {
        let caller = self.auth.caller(request.metadata())?;
        let request = request.into_inner();
        let id = name::account("name", &request.name)?;
        let repeat = name::repeat(&request.request_id, "DeleteAccount", &request, |_| Vec::new())?;
        let command = Command { caller, task: Task::DeleteAccount { etag: request.etag }, repeat };
        self.answer(&id, command, |_| pb::DeleteAccountResponse {}).await
    }
}

impl Api {
    /// Has a call decided, and makes its answer, or gives the first answer again.
    pub(super) async fn answer<R: Message + Default>(
        &self,
        account: &AccountId,
        command: Command,
        make: impl Fn(&Answer) -> R,
    ) -> Result<Response<R>, Status> {
        match self.engine.command(account, command).await {
            Ok(CommandReply::Fresh(answer)) => Ok(Response::new(make(&answer))),
            Ok(CommandReply::Repeated(bytes)) => R::decode(bytes.as_slice())
                .map(Response::new)
                .map_err(|error| Status::internal(format!("the stored answer cannot be read: {error}"))),
            Err(error) => Err(status::engine(&error)),
        }
    }
}
