//! What regular webhooks are sent: the event in an envelope.

use std::sync::Arc;

use serde_json::Value;

use super::request::{Request, RequestBody};
use crate::domain::{
    attempt::Reason,
    automation::Method,
    event::{Action, Event},
    id::{AccountId, UserId},
    json,
    webhook::Webhook,
};

/// The members of `meta` that are carried over from an envelope, with what stands for them otherwise.
const CARRIED: [(&str, &str); 4] =
    [("is_bulk_edit", "false"), ("type", "\"application\""), ("change_source", "\"api\""), ("host", "\"hookline\"")];

/// The members of `meta` that only a merge has: the object that another one was merged into, and that other one.
const MERGED: [&str; 2] = ["merged_to_id", "merged_from_id"];

/// The request of a regular webhook for an event: the event in an envelope of version 2, of which the beginning is given.
pub fn notification(account: &AccountId, webhook: &Webhook, event: &Event, beginning: &Arc<str>) -> Request {
    let (own, attempt_at) = meta(account, webhook, event);
    let body = RequestBody::shared(beginning, own);
    Request {
        webhook: webhook.uid,
        webhook_id: webhook.id.clone(),
        method: Method::Post,
        endpoint: webhook.endpoint.masked(),
        path: String::new(),
        body,
        headers: Vec::new(),
        attempt_at: Some(attempt_at),
        continue_on_failure: false,
        failure: None::<Reason>,
        action: None,
        warnings: Vec::new(),
        is_left_out: false,
        may_be_done: false,
    }
}

/// The beginning of the envelope of an event, the same for whoever is told of it.
pub fn beginning(event: &Event) -> Arc<str> {
    // What was deleted is in `previous`, as it was last.
    let (data, previous) = match event.action {
        Action::Delete => ("null", Some(event.data.as_str())),
        Action::Create | Action::Change => (event.data.as_str(), event.previous.as_deref()),
    };
    format!("{{\"data\":{data},\"previous\":{},\"meta\":{{", previous.unwrap_or("null")).into()
}

/// The rest of the envelope: what `meta` says, and where the number of the attempt stands in it.
fn meta(account: &AccountId, webhook: &Webhook, event: &Event) -> (String, usize) {
    let text = |text: &str| Value::from(text).to_string();
    let given = event.meta.as_deref().and_then(|meta| json::parse(meta).ok());
    let is_v1 = given.as_ref().is_some_and(|meta| meta.get("entity").is_none());
    let member = |key: &str| given.as_ref().and_then(|meta| meta.get(key)).filter(|node| !node.is_null());
    let carried = |key: &str| {
        let node = match (is_v1, key) {
            (true, "is_bulk_edit") => member("is_bulk_edit").or_else(|| member("is_bulk_update")),
            // What version 1 has under these names is of another form.
            (true, "timestamp" | "type") => None,
            _ => member(key),
        };
        node.map(|node| node.raw.to_owned())
    };
    let or_default = |key: &str| {
        let default = CARRIED.iter().find(|(name, _)| *name == key).map_or("null", |(_, default)| default);
        carried(key).unwrap_or_else(|| default.to_owned())
    };
    let id = text(event.id.as_str());
    let user = event.user_id.as_ref().map_or_else(|| "null".to_owned(), |user| text(user.as_str()));
    let owner = webhook.owner.as_ref().map_or_else(|| "null".to_owned(), |user| text(user.as_str()));
    let mut meta = vec![
        ("action", text(event.action.as_str())),
        ("company_id", text(account.as_str())),
        ("correlation_id", carried("correlation_id").unwrap_or_else(|| id.clone())),
        ("entity_id", text(event.entity_id.as_str())),
        ("entity", text(event.object.as_str())),
        ("id", id),
        ("is_bulk_edit", or_default("is_bulk_edit")),
        ("timestamp", carried("timestamp").unwrap_or_else(|| text(&event.occurred_at.to_rfc3339()))),
        ("type", or_default("type")),
        ("user_id", user),
        ("version", text("2.0")),
        ("webhook_id", text(webhook.id.as_str())),
        ("webhook_owner_id", owner),
        ("change_source", or_default("change_source")),
    ];
    for key in MERGED {
        if let Some(node) = member(key) {
            meta.push((key, node.as_id().map_or_else(|| node.raw.to_owned(), text)));
        }
    }
    if let Some(permitted) = &event.permitted_user_ids {
        let ids: Vec<_> = permitted.iter().map(UserId::as_str).collect();
        meta.push(("permitted_user_ids", Value::from(ids).to_string()));
    }
    let mut body = String::new();
    for (key, value) in meta {
        body.push_str(&format!("\"{key}\":{value},"));
    }
    body.push_str("\"attempt\":");
    let attempt_at = body.len();
    body.push_str(&format!("1,\"host\":{}}}}}", or_default("host")));
    (body, attempt_at)
}

#[cfg(test)]
#[path = "tests/notification.rs"]
mod tests;
