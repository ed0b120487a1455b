//! `IngestIdentityService`.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use tonic::Status;
use uuid::Uuid;

use super::{
    access::{Entered, Service, serve},
    api::Api,
};
use crate::{
    clock,
    domain::{
        account::IngestIdentity,
        decision::command::{Command, Done, IngestIdentityAnswer, Task},
        id::{AccountId, ResourceId},
    },
    grpc::{
        calls::status,
        convert::{self, name},
        pb,
    },
};

serve! {
    ingest_identity_service_server::IngestIdentityService {
        create_ingest_identity(CreateIngestIdentityRequest) -> CreateIngestIdentityResponse;
        list_ingest_identities(ListIngestIdentitiesRequest) -> ListIngestIdentitiesResponse;
        delete_ingest_identity(DeleteIngestIdentityRequest) -> DeleteIngestIdentityResponse;
    }
}

impl Api {
    async fn create_ingest_identity(
        &self,
        entered: Entered<Service>,
        request: pb::CreateIngestIdentityRequest,
    ) -> Result<pb::CreateIngestIdentityResponse, Status> {
        let made = |answer: &IngestIdentityAnswer, secret: String| {
            let ingest_identity = Some(shown(&answer.account, &answer.identity));
            pb::CreateIngestIdentityResponse { ingest_identity, secret }
        };
        let repeat = name::repeat(&request.request_id, "CreateIngestIdentity", &request, move |answer| {
            made(answer, String::new())
        })?;
        let id = name::chosen_id("ingest_identity_id", &request.ingest_identity_id)?;
        let id = id.unwrap_or_else(|| ResourceId::fresh("in", Uuid::now_v7()));
        let display_name = request.ingest_identity.unwrap_or_default().display_name;
        let secret = format!("ingest_{}", BASE64.encode(clock::secret()));
        let view = self.account_of(&entered.account).await?;
        let hash = self.store.ingest_hash(view.uid, &id, &secret).await.map_err(status::store)?;
        let task = Task::CreateIngestIdentity { id, display_name, hash };
        let command = Command { caller: entered.caller, task, repeat };
        self.answer(&entered.account, command, move |answer| made(answer, secret.clone())).await
    }

    async fn list_ingest_identities(
        &self,
        entered: Entered<Service>,
        _: pb::ListIngestIdentitiesRequest,
    ) -> Result<pb::ListIngestIdentitiesResponse, Status> {
        let view = self.account_of(&entered.account).await?;
        let identities = view.facts.ingest_identities.iter().map(|identity| shown(&entered.account, identity));
        Ok(pb::ListIngestIdentitiesResponse { ingest_identities: identities.collect() })
    }

    async fn delete_ingest_identity(
        &self,
        entered: Entered<Service>,
        request: pb::DeleteIngestIdentityRequest,
    ) -> Result<pb::DeleteIngestIdentityResponse, Status> {
        let (_, id) = name::resource("name", &request.name, "ingestIdentities")?;
        let done = |_: &Done| pb::DeleteIngestIdentityResponse {};
        let repeat = name::repeat(&request.request_id, "DeleteIngestIdentity", &request, done)?;
        let command = Command { caller: entered.caller, task: Task::DeleteIngestIdentity { id }, repeat };
        self.answer(&entered.account, command, done).await
    }
}

fn shown(account: &AccountId, identity: &IngestIdentity) -> pb::IngestIdentity {
    pb::IngestIdentity {
        name: format!("accounts/{account}/ingestIdentities/{}", identity.id),
        display_name: identity.display_name.clone(),
        username: identity.id.to_string(),
        create_time: Some(convert::timestamp(identity.created_at)),
    }
}
