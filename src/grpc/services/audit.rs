//! `AuditService`.

use prost::Message;
use tonic::Status;

use super::{
    access::{Entered, Operator, serve},
    api::Api,
};
use crate::{
    grpc::{
        calls::status,
        convert::{
            audit::{entry, filter, parse_cursor},
            name, page,
        },
        pb,
    },
    store::AuditCursor,
};

serve! {
    audit_service_server::AuditService {
        list_audit_entries(ListAuditEntriesRequest) -> ListAuditEntriesResponse;
    }
}

impl Api {
    async fn list_audit_entries(
        &self,
        entered: Entered<Operator>,
        request: pb::ListAuditEntriesRequest,
    ) -> Result<pb::ListAuditEntriesResponse, Status> {
        let view = self.account_of(&entered.account).await?;
        let same_query =
            pb::ListAuditEntriesRequest { page_token: String::new(), page_size: 0, ..request.clone() }.encode_to_vec();
        let query = format!("audit:{same_query:?}");
        let before = name::page_cursor(&request.page_token, &query)?.map(|cursor| parse_cursor(&cursor)).transpose()?;
        let size = name::page_size(request.page_size)?;
        let filter = filter(&entered.account, &request)?;
        let (found, has_more) = self.store.list_audit(view.uid, &filter, before, size).await.map_err(status::store)?;
        let entries = page::fitting(&found, entry);
        let has_more = has_more || entries.len() < found.len();
        let next = found[..entries.len()].last().filter(|_| has_more).map(|last| {
            let AuditCursor { revision, no } = last.cursor;
            name::page_token(&format!("{revision}:{no}"), &query)
        });
        Ok(pb::ListAuditEntriesResponse { entries, next_page_token: next.unwrap_or_default() })
    }
}
