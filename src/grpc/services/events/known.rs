//! Events that were taken in, as far as they are known.

use tonic::Status;

use crate::{
    domain::{
        event::{Event, recent::RecentEvent},
        id::{AccountUid, EventId},
        refusal::{Refusal, Violations},
    },
    grpc::{
        calls::status,
        convert::{
            self,
            event::{event_action, known},
            name,
        },
        pb,
        services::{
            access::{Entered, Operator},
            api::Api,
        },
    },
};

/// How many bytes a page of recent events has, about; its last event may go beyond.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

impl Api {
    pub(super) async fn get_event(
        &self,
        entered: Entered<Operator>,
        request: pb::GetEventRequest,
    ) -> Result<pb::GetEventResponse, Status> {
        let view = self.account_of(&entered.account).await?;
        let event = self.known_event(view.uid, &request.event_id).await?;
        Ok(pb::GetEventResponse { event: Some(known(&event)) })
    }

    /// An event of the history, or one of the recent ones.
    pub(in crate::grpc::services) async fn known_event(&self, account: AccountUid, id: &str) -> Result<Event, Status> {
        let parsed: EventId = id.parse().map_err(|error: String| status::invalid("event_id", error))?;
        // What made something run is in the history, whatever came under this id since.
        if let Some(found) = self.store.find_event(account, parsed.clone()).await.map_err(status::store)? {
            return Ok(found);
        }
        let recent = self.engine.recent_event(account, &parsed).map(|recent| Event::clone(&recent));
        recent.ok_or_else(|| status::refused(&Refusal::not_found("event", id.to_owned())))
    }

    pub(super) async fn list_recent_events(
        &self,
        entered: Entered<Operator>,
        request: pb::ListRecentEventsRequest,
    ) -> Result<pb::ListRecentEventsResponse, Status> {
        let object = Some(request.object.as_str()).filter(|object| !object.is_empty()).map(str::parse).transpose();
        let object = object.map_err(|error: String| status::invalid("object", error))?;
        let mut faults = Violations::default();
        let action = match request.action {
            0 => None,
            given => event_action("action", given, &mut faults),
        };
        faults.check().map_err(|refusal| status::refused(&refusal))?;
        let size = name::page_size(request.page_size)?;
        let query = format!("recent {} {}", request.object, request.action);
        let before = name::page_cursor(&request.page_token, &query)?.and_then(|no| no.parse::<u64>().ok());
        let view = self.account_of(&entered.account).await?;
        let found = self.engine.recent_events(view.uid, object.as_ref(), action.as_slice());
        let mut left =
            found.events.iter().skip_while(|recent| before.is_some_and(|before| recent.no >= before)).peekable();
        let (mut events, mut bytes, mut last) = (Vec::new(), 0, 0);
        while events.len() < size && bytes < PAGE_BYTES_MAX {
            let Some(recent) = left.next() else { break };
            bytes += recent.event.weight_bytes();
            last = recent.no;
            events.push(shown(recent));
        }
        let next_page_token = left.peek().map(|_| name::page_token(&last.to_string(), &query)).unwrap_or_default();
        let complete_since_time = Some(convert::timestamp(found.complete_since));
        Ok(pb::ListRecentEventsResponse { events, next_page_token, complete_since_time })
    }
}

fn shown(recent: &RecentEvent) -> pb::RecentEvent {
    pb::RecentEvent {
        event: Some(known(&recent.event)),
        decide_time: Some(convert::timestamp(recent.decided_at)),
        executions: u32::try_from(recent.executions).unwrap_or(u32::MAX),
    }
}
