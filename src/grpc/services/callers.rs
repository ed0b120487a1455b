//! `CallerService`: the one method that everybody with a good token may call, because it is about nobody else.

use tonic::{Request, Response, Status};

use super::api::Api;
use crate::{
    domain::{
        caller::{AccountScope, Caller, PERMISSION_AUTOMATIONS_WRITE, TokenEnd},
        id::AccountId,
    },
    grpc::{
        calls::status::{self, TokenFault},
        convert, pb,
    },
};

#[tonic::async_trait]
impl pb::caller_service_server::CallerService for Api {
    async fn get_caller(
        &self,
        request: Request<pb::GetCallerRequest>,
    ) -> Result<Response<pb::GetCallerResponse>, Status> {
        let (caller, end) = (request.extensions().get::<Caller>(), request.extensions().get::<TokenEnd>());
        let caller = caller.ok_or_else(|| status::unauthenticated(TokenFault::Missing, "no token".to_owned()))?;
        let expire_time = end.map(|end| convert::timestamp(end.0));
        Ok(Response::new(pb::GetCallerResponse { caller: Some(pb::Caller { expire_time, ..shown(caller) }) }))
    }
}

fn shown(caller: &Caller) -> pb::Caller {
    let of_account = |role: pb::CallerRole, account: &AccountId, user_id: String, permissions| {
        let accounts = vec![format!("accounts/{account}")];
        pb::Caller { role: role.into(), accounts, user_id, permissions, expire_time: None }
    };
    match caller {
        Caller::Service { accounts } => {
            let accounts = match accounts {
                AccountScope::All => vec!["accounts/-".to_owned()],
                AccountScope::Only(ids) => ids.iter().map(|id| format!("accounts/{id}")).collect(),
            };
            pb::Caller { role: pb::CallerRole::Service.into(), accounts, ..pb::Caller::default() }
        }
        // The only path that they come in by leads elsewhere.
        Caller::Publisher { account, .. } => {
            of_account(pb::CallerRole::Unspecified, account, String::new(), Vec::new())
        }
        Caller::GlobalAdmin { account, user } => {
            of_account(pb::CallerRole::GlobalAdmin, account, user.to_string(), Vec::new())
        }
        Caller::User { account, user, writes_automations } => {
            let permissions = writes_automations.then(|| PERMISSION_AUTOMATIONS_WRITE.to_owned());
            of_account(pb::CallerRole::User, account, user.to_string(), permissions.into_iter().collect())
        }
    }
}
