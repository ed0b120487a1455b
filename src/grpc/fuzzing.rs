//! The doors for bytes of other people, for fuzzing.

use prost::Message;

use super::{
    calls::bounds,
    convert::{self, name, page::uuid_cursor},
    doors::auth,
    pb,
};

/// Reads any text as a page token.
pub fn read_page_token(text: &str) {
    for query in ["", "webhooks:42"] {
        if let Ok(Some(place)) = name::page_cursor(text, query) {
            assert_eq!(name::page_cursor(&name::page_token(&place, query), query).ok().flatten(), Some(place));
        }
    }
    let _ = uuid_cursor(text, "webhooks:42");
}

/// Reads any bytes as a filter of executions.
pub fn read_filter(wire: &[u8]) {
    if let (Ok(account), Ok(filter)) = ("42".parse(), pb::ExecutionFilter::decode(wire)) {
        let _ = convert::execution_filter(&account, &filter, "filter.");
    }
}

/// Reads any bytes as the header of a token: none is good for a key that nobody has.
pub fn read_token(header: &[u8]) {
    assert!(auth::turns_away(header), "a token is taken that nobody has signed");
}

/// Counts any bytes as each kind of request: what passes can be decoded or is refused, and is no larger than its bounds.
pub fn read_wire(wire: &[u8]) {
    for kind in ["PublishBatchRequest", "CreateAutomationRequest", "UpdateWebhookRequest", "ListExecutionsRequest"] {
        let _ = bounds::check_wire(&format!("hookline.v1.{kind}"), wire);
    }
    let is_small = bounds::check_wire("hookline.v1.PublishBatchRequest", wire).is_ok();
    if let (true, Ok(batch)) = (is_small, pb::PublishBatchRequest::decode(wire)) {
        assert!(batch.events.len() <= 1_000, "{} events passed", batch.events.len());
    }
}
