//! `CatalogueService`.

use std::sync::Arc;

use tonic::Status;

use super::{
    Api,
    access::{Entered, Member, Service, serve},
    name, pb, status,
};
use crate::domain::{
    catalogue::{Field, FieldOption, FieldType},
    command::{Command, Task},
    id::ObjectName,
    refusal::Violations,
};

/// Every type on the wire.
const TYPES: [(pb::FieldType, FieldType); 21] = [
    (pb::FieldType::Text, FieldType::Text),
    (pb::FieldType::Number, FieldType::Number),
    (pb::FieldType::Boolean, FieldType::Boolean),
    (pb::FieldType::Date, FieldType::Date),
    (pb::FieldType::Time, FieldType::Time),
    (pb::FieldType::Id, FieldType::Id),
    (pb::FieldType::Option, FieldType::Option),
    (pb::FieldType::List, FieldType::List),
    (pb::FieldType::Object, FieldType::Object),
    (pb::FieldType::Varchar, FieldType::Varchar),
    (pb::FieldType::Double, FieldType::Double),
    (pb::FieldType::Monetary, FieldType::Monetary),
    (pb::FieldType::People, FieldType::People),
    (pb::FieldType::Phone, FieldType::Phone),
    (pb::FieldType::TimeOfDay, FieldType::TimeOfDay),
    (pb::FieldType::TimeRange, FieldType::TimeRange),
    (pb::FieldType::DateValue, FieldType::DateValue),
    (pb::FieldType::DateRange, FieldType::DateRange),
    (pb::FieldType::Address, FieldType::Address),
    (pb::FieldType::Enum, FieldType::Enum),
    (pb::FieldType::Set, FieldType::Set),
];

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
        let repeat = name::repeat(&request.request_id, "SetFields", &request, |_| Vec::new())?;
        let object = object(&request.object)?;
        let mut faults = Violations::default();
        let fields: Vec<_> =
            request.fields.into_iter().enumerate().filter_map(|(at, given)| field(at, given, &mut faults)).collect();
        faults.check().map_err(|refusal| status::refused(&refusal))?;
        let task = Task::SetFields { object, fields: Arc::new(fields) };
        let command = Command { caller: entered.caller, task, repeat };
        self.answer(&entered.account, command, |_| pb::SetFieldsResponse {}).await
    }
}

fn field(at: usize, given: pb::CatalogueField, faults: &mut Violations) -> Option<Field> {
    let kind = TYPES.iter().find(|(wire, _)| i32::from(*wire) == given.r#type).map(|(_, kind)| *kind);
    if kind.is_none() {
        faults.add(format!("fields[{at}].type"), "is required: one of FIELD_TYPE_TEXT to FIELD_TYPE_SET");
    }
    let option = |given: pb::FieldOption| FieldOption { id: given.id, label: given.label };
    let options = given.options.into_iter().map(option).collect();
    Some(Field { path: given.path, label: given.label, kind: kind?, options })
}

fn shown(field: Field, added: bool) -> pb::CatalogueField {
    let kind = TYPES.iter().find(|(_, kind)| *kind == field.kind).map_or(0, |(wire, _)| i32::from(*wire));
    let option = |option: FieldOption| pb::FieldOption { id: option.id, label: option.label };
    pb::CatalogueField {
        path: field.path,
        label: field.label,
        r#type: kind,
        options: field.options.into_iter().map(option).collect(),
        added,
    }
}
