//! `CatalogueService`.

use std::sync::Arc;

use tonic::Status;

use super::{
    access::{Entered, Member, Service, serve},
    api::Api,
};
use crate::{
    domain::{
        decision::command::{Command, Done, Task},
        id::ObjectName,
        refusal::Violations,
    },
    grpc::{
        calls::status,
        convert::{
            catalogue::{field, shown},
            name,
        },
        pb,
    },
};

serve! {
    catalogue_service_server::CatalogueService {
        list_objects(ListObjectsRequest) -> ListObjectsResponse;
        list_fields(ListFieldsRequest) -> ListFieldsResponse;
        set_fields(SetFieldsRequest) -> SetFieldsResponse;
    }
}

fn object(text: &str) -> Result<ObjectName, Status> {
    text.parse().map_err(|error: String| status::invalid("object", error))
}

impl Api {
    async fn list_objects(
        &self,
        entered: Entered<Member>,
        _: pb::ListObjectsRequest,
    ) -> Result<pb::ListObjectsResponse, Status> {
        let view = self.account_of(&entered.account).await?;
        let catalogue = self.store.catalogue(view.uid).await.map_err(status::store)?;
        Ok(pb::ListObjectsResponse { objects: catalogue.objects() })
    }

    async fn list_fields(
        &self,
        entered: Entered<Member>,
        request: pb::ListFieldsRequest,
    ) -> Result<pb::ListFieldsResponse, Status> {
        let object = object(&request.object)?;
        let view = self.account_of(&entered.account).await?;
        let catalogue = self.store.catalogue(view.uid).await.map_err(status::store)?;
        let fields = catalogue.fields(object.as_str());
        Ok(pb::ListFieldsResponse { fields: fields.into_iter().map(|(field, added)| shown(field, added)).collect() })
    }

    async fn set_fields(
        &self,
        entered: Entered<Service>,
        request: pb::SetFieldsRequest,
    ) -> Result<pb::SetFieldsResponse, Status> {
        let repeat = name::repeat(&request.request_id, "SetFields", &request, |_: &Done| pb::SetFieldsResponse {})?;
        let object = object(&request.object)?;
        let mut faults = Violations::default();
        let fields: Vec<_> =
            request.fields.into_iter().enumerate().filter_map(|(at, given)| field(at, given, &mut faults)).collect();
        faults.check().map_err(|refusal| status::refused(&refusal))?;
        let task = Task::SetFields { object, fields: Arc::new(fields) };
        let command = Command { caller: entered.caller, task, repeat };
        self.answer(&entered.account, command, |_: &Done| pb::SetFieldsResponse {}).await
    }
}
