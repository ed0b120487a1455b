//! What regular webhooks subscribe to, and the envelope that they get.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::webhook::Webhook;
use crate::domain::{
    event::{Action, Event},
    execution::{
        Reason,
        request::{Body, Method, Request},
    },
    id::{AccountId, ObjectName, UserId},
    json,
};

/// How many regular webhooks a user may own.
pub const REGULAR_WEBHOOKS_OF_USER_MAX: usize = 40;
/// What stands for every action, or every object.
const ANY: &str = "*";

/// Which events a regular webhook gets: `action.object`, with `*` for any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subscription {
    /// What happened; anything where there is none.
    pub action: Option<Action>,
    /// The kind of object; any where there is none.
    pub object: Option<ObjectName>,
}

impl Subscription {
    /// Whether an event is meant.
    pub fn fits(&self, event: &Event) -> bool {
        self.action.is_none_or(|action| action == event.action)
            && self.object.as_ref().is_none_or(|object| *object == event.object)
    }
}

impl FromStr for Subscription {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = "must be action.object, such as change.deal, with * for any on either side: *.deal, create.*, *.*";
        let (action, object) = text.split_once('.').ok_or(wanted)?;
        let action = match action {
            ANY => None,
            "create" => Some(Action::Create),
            "change" => Some(Action::Change),
            "delete" => Some(Action::Delete),
            _ => return Err(wanted.to_owned()),
        };
        let object = if object == ANY { None } else { Some(object.parse().map_err(|_| wanted)?) };
        Ok(Self { action, object })
    }
}

impl fmt::Display for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = self.action.map_or(ANY, Action::as_str);
        write!(f, "{action}.{}", self.object.as_ref().map_or(ANY, ObjectName::as_str))
    }
}

impl TryFrom<String> for Subscription {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Subscription> for String {
    fn from(subscription: Subscription) -> Self {
        subscription.to_string()
    }
}

/// Whether a user may see what an event is about: where it names those who may, they must be among them.
pub fn is_permitted(event: &Event, user: Option<&UserId>) -> bool {
    let permitted = event.permitted_user_ids.as_ref();
    permitted.is_none_or(|permitted| user.is_some_and(|user| permitted.contains(user)))
}

/// The members of `meta` that are carried over from an envelope, with what stands for them otherwise.
const CARRIED: [(&str, &str); 4] =
    [("is_bulk_edit", "false"), ("type", "\"application\""), ("change_source", "\"api\""), ("host", "\"hookline\"")];

/// The members of `meta` that only a merge has: the object that another one was merged into, and that other one.
const MERGED: [&str; 2] = ["merged_to_id", "merged_from_id"];

/// The request of a regular webhook for an event: the event in an envelope of version 2, of which the beginning is given.
pub fn notification(account: &AccountId, webhook: &Webhook, event: &Event, beginning: &Arc<str>) -> Request {
    let (own, attempt_at) = meta(account, webhook, event);
    let body = Body::shared(beginning, own);
    Request {
        webhook: webhook.uid,
        webhook_id: webhook.id.clone(),
        method: Method::Post,
        endpoint: webhook.endpoint.masked(),
        path: String::new(),
        body,
        attempt_at: Some(attempt_at),
        continue_on_failure: false,
        failure: None::<Reason>,
        action: None,
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
#[path = "tests/subscription.rs"]
mod tests;
