//! Requests: an execution's actions made concrete, frozen before anything is sent.

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, Serialize, de::Error as _};
use serde_json::value::RawValue;

use super::execution::Reason;
use crate::domain::{
    automation::{Automation, condition::Explanation, path_template::PathFault, template::Scope},
    id::{AccountId, ResourceId, WebhookUid},
    timestamp::Timestamp,
    webhook::Webhook,
};

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// POST.
    Post,
    /// PUT.
    Put,
    /// DELETE.
    Delete,
}

impl Method {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        }
    }
}

/// One action of an execution made concrete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The webhook, inside.
    pub webhook: WebhookUid,
    /// The webhook's id when the request was built.
    pub webhook_id: ResourceId,
    /// The method.
    pub method: Method,
    /// The endpoint URL when the request was built, masked.
    pub endpoint: String,
    /// The path as rendered.
    pub path: String,
    /// The body as rendered: JSON. Null where it could not be rendered.
    pub body: Body,
    /// Where the number of the attempt stands in the body's own part, for regular webhooks: the one thing that changes.
    pub attempt_at: Option<usize>,
    /// Whether a failure lets the later actions go on.
    pub continue_on_failure: bool,
    /// Why it could not be built.
    pub failure: Option<Reason>,
    /// The automation's action that it is made of; none for regular webhooks, and where it is older than these ids.
    pub action: Option<ResourceId>,
    /// Whether a retry leaves it out, because it, or an action behind it, succeeded in a run before.
    pub is_left_out: bool,
    /// Whether it may have been carried out in a run before.
    pub may_be_done: bool,
}

/// A body. Regular webhooks that are told of the same event share the beginning of theirs, the event itself: in memory,
/// and in the database, where it is the event's own row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    shared: Option<Arc<str>>,
    own: String,
}

impl Body {
    /// A body that begins as others do.
    pub fn shared(beginning: &Arc<str>, own: String) -> Self {
        Self { shared: Some(Arc::clone(beginning)), own }
    }

    /// The body of a request that has none.
    pub fn none() -> Self {
        Self { shared: None, own: String::new() }
    }

    /// Whether there is none: nothing is sent behind the headers.
    pub fn is_none(&self) -> bool {
        self.shared.is_none() && self.own.is_empty()
    }

    /// What is stored with the request; nothing where there is none, or where it begins as others do.
    fn to_stored(&self) -> Result<Option<&RawValue>, serde_json::Error> {
        if self.shared.is_some() || self.is_none() {
            return Ok(None);
        }
        serde_json::from_str(&self.own).map(Some)
    }

    /// All of it.
    pub fn text(&self) -> Cow<'_, str> {
        match &self.shared {
            Some(shared) => Cow::Owned(format!("{shared}{}", self.own)),
            None => Cow::Borrowed(&self.own),
        }
    }
}

impl From<String> for Body {
    fn from(own: String) -> Self {
        Self { shared: None, own }
    }
}

impl Request {
    /// The body for an attempt, from 1.
    pub fn body_of(&self, attempt_no: u32) -> Cow<'_, str> {
        let Body { shared, own } = &self.body;
        match self.attempt_at.and_then(|at| Some((own.get(..at)?, own.get(at + 1..)?))) {
            Some((before, after)) if attempt_no != 1 => {
                let shared = shared.as_deref().unwrap_or_default();
                Cow::Owned(format!("{shared}{before}{attempt_no}{after}"))
            }
            _ => self.body.text(),
        }
    }
}

/// What is frozen with an execution: its requests, and why it ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The automation's display name.
    pub source_name: String,
    /// The automation's id.
    pub source_id: ResourceId,
    /// How many executions led here, one after the other.
    pub causation_depth: u32,
    /// The W3C `traceparent` that the requests carry.
    pub traceparent: String,
    /// The span that the execution's own one belongs to: the event's.
    pub parent_span: Option<String>,
    /// The requests, in order.
    pub requests: Vec<Request>,
    /// How the conditions were decided.
    pub explanation: Vec<Explanation>,
    /// What that has to do with its running.
    pub basis: Basis,
}

/// What an explanation has to do with the execution that it stands with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// It ran because of it: it itself, or the run whose requests a retry sends as they were stored.
    #[default]
    Decision,
    /// A person had it run again: this is how the conditions as they were then decide on the event, and it did not matter.
    Retry,
}

impl Record {
    /// In the place of one that cannot be read: it has no requests and no trace.
    pub fn unreadable() -> Self {
        Self {
            source_name: String::new(),
            source_id: ResourceId::unreadable(),
            causation_depth: 0,
            traceparent: format!("00-{:032x}-{:016x}-00", 0, 0),
            parent_span: None,
            requests: Vec::new(),
            explanation: Vec::new(),
            basis: Basis::Decision,
        }
    }

    /// The first action that is sent, from 0; as many as there are where none is.
    pub fn first_action(&self) -> usize {
        self.requests.iter().take_while(|request| request.is_left_out).count()
    }
}

/// Builds the requests of an automation for an event. What cannot be built says why and is never sent.
pub fn build<'w>(
    automation: &Automation,
    scope: Scope<'_>,
    webhook_of: impl Fn(WebhookUid) -> Option<&'w Webhook>,
    body_bytes_max: usize,
) -> Vec<Request> {
    let actions = automation.spec.actions.iter().zip(&automation.compiled.actions);
    actions
        .map(|(spec, compiled)| {
            let webhook = webhook_of(spec.webhook_uid).filter(|webhook| webhook.deleted_at.is_none());
            let path = compiled.path.render(scope);
            let body = compiled.body.as_ref().map(|body| body.render(scope, body_bytes_max)).transpose();
            let joins = |path: &str| webhook.is_none_or(|webhook| webhook.endpoint.join(path).is_ok());
            let failure = match (&path, &body) {
                (Err(PathFault::ValueMissing), _) => Some(Reason::ValueMissing),
                (Err(PathFault::Unsafe), _) => Some(Reason::UnsafePath),
                (Ok(path), _) if !joins(path) => Some(Reason::UnsafePath),
                (_, Err(_)) => Some(Reason::BodyTooLarge),
                _ => None,
            };
            Request {
                webhook: spec.webhook_uid,
                webhook_id: webhook.map_or_else(|| spec.webhook.clone(), |webhook| webhook.id.clone()),
                method: spec.method,
                endpoint: webhook.map(|webhook| webhook.endpoint.masked()).unwrap_or_default(),
                path: path.unwrap_or_default(),
                body: match body {
                    Ok(Some(body)) => body.trim_ascii().to_owned().into(),
                    Ok(None) => Body::none(),
                    Err(_) => "null".to_owned().into(),
                },
                attempt_at: None,
                continue_on_failure: spec.continue_on_failure,
                failure,
                action: spec.id.clone(),
                is_left_out: false,
                may_be_done: false,
            }
        })
        .collect()
}

/// A request that only tests a webhook.
pub fn test_request(account: &AccountId, webhook: &Webhook, now: Timestamp) -> Request {
    let body = serde_json::json!({
        "test": true,
        "account_id": account.as_str(),
        "webhook_id": webhook.id.as_str(),
        "sent_at": now.to_rfc3339(),
    });
    Request {
        webhook: webhook.uid,
        webhook_id: webhook.id.clone(),
        method: Method::Post,
        endpoint: webhook.endpoint.masked(),
        path: String::new(),
        body: body.to_string().into(),
        attempt_at: None,
        continue_on_failure: false,
        failure: None,
        action: None,
        is_left_out: false,
        may_be_done: false,
    }
}

#[derive(Serialize, Deserialize)]
struct StoredRecord<'a> {
    v: u8,
    #[serde(borrow)]
    name: Cow<'a, str>,
    id: ResourceId,
    #[serde(default, skip_serializing_if = "is_zero")]
    depth: u32,
    traceparent: Cow<'a, str>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    parent_span: Option<Cow<'a, str>>,
    #[serde(borrow)]
    requests: Vec<StoredRequest<'a>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    explanation: Vec<Explanation>,
    #[serde(default, skip_serializing_if = "is_decision")]
    basis: Basis,
    /// Of records that leave out whatever stands before an action. Read only.
    #[serde(default, skip_serializing_if = "is_zero")]
    first: u32,
}

#[derive(Serialize, Deserialize)]
struct StoredRequest<'a> {
    webhook: WebhookUid,
    id: ResourceId,
    method: Method,
    endpoint: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    path: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    body: Option<&'a RawValue>,
    /// What comes after the beginning that is made from the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after_event: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attempt_at: Option<usize>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not", rename = "continue")]
    continue_on_failure: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<Reason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    action: Option<ResourceId>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    left_out: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    may_be_done: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    no_body: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_decision(basis: &Basis) -> bool {
    *basis == Basis::Decision
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

impl Record {
    /// The record as it is stored; bodies keep their own bytes.
    pub fn to_stored(&self) -> Result<Vec<u8>, serde_json::Error> {
        let requests = self.requests.iter().map(|request| {
            Ok(StoredRequest {
                webhook: request.webhook,
                id: request.webhook_id.clone(),
                method: request.method,
                endpoint: Cow::Borrowed(&request.endpoint),
                path: Cow::Borrowed(&request.path),
                body: request.body.to_stored()?,
                after_event: request.body.shared.as_ref().map(|_| Cow::Borrowed(request.body.own.as_str())),
                attempt_at: request.attempt_at,
                continue_on_failure: request.continue_on_failure,
                failure: request.failure,
                action: request.action.clone(),
                left_out: request.is_left_out,
                may_be_done: request.may_be_done,
                no_body: request.body.is_none(),
            })
        });
        serde_json::to_vec(&StoredRecord {
            v: 1,
            name: Cow::Borrowed(&self.source_name),
            id: self.source_id.clone(),
            depth: self.causation_depth,
            traceparent: Cow::Borrowed(&self.traceparent),
            parent_span: self.parent_span.as_deref().map(Cow::Borrowed),
            requests: requests.collect::<Result<_, serde_json::Error>>()?,
            explanation: self.explanation.clone(),
            basis: self.basis,
            first: 0,
        })
    }

    /// Reads a record that was stored; with the beginning of its bodies, where that is made from the event.
    pub fn from_stored(bytes: &[u8], beginning: Option<&Arc<str>>) -> Result<Self, serde_json::Error> {
        let stored: StoredRecord<'_> = serde_json::from_slice(bytes)?;
        let body = |own: Option<&RawValue>, after_event: Option<Cow<'_, str>>| match (own, after_event, beginning) {
            (Some(own), ..) => Ok(Body::from(own.get().to_owned())),
            (None, Some(own), Some(beginning)) => Ok(Body::shared(beginning, own.into_owned())),
            // The body null: it could not be rendered, or is nothing else.
            (None, None, _) => Ok(Body::from("null".to_owned())),
            (None, Some(_), None) => {
                Err(serde_json::Error::custom("the event that the body is made from is not there"))
            }
        };
        let first = usize::try_from(stored.first).unwrap_or_default();
        let requests = stored.requests.into_iter().enumerate().map(|(at, request)| {
            Ok(Request {
                webhook: request.webhook,
                webhook_id: request.id,
                method: request.method,
                endpoint: request.endpoint.into_owned(),
                path: request.path.into_owned(),
                body: if request.no_body { Body::none() } else { body(request.body, request.after_event)? },
                attempt_at: request.attempt_at,
                continue_on_failure: request.continue_on_failure,
                failure: request.failure,
                action: request.action,
                is_left_out: request.left_out || at < first,
                may_be_done: request.may_be_done,
            })
        });
        Ok(Self {
            requests: requests.collect::<Result<_, serde_json::Error>>()?,
            source_name: stored.name.into_owned(),
            source_id: stored.id,
            causation_depth: stored.depth,
            traceparent: stored.traceparent.into_owned(),
            parent_span: stored.parent_span.map(Cow::into_owned),
            explanation: stored.explanation,
            basis: stored.basis,
        })
    }

    /// How many executions led to one whose record is stored, without reading the rest of it.
    pub fn depth_of_stored(bytes: &[u8]) -> Result<u32, serde_json::Error> {
        #[derive(Deserialize)]
        struct Depth {
            #[serde(default)]
            depth: u32,
        }
        serde_json::from_slice(bytes).map(|Depth { depth }| depth)
    }

    /// The W3C trace id that the requests carry.
    pub fn trace_id(&self) -> &str {
        self.traceparent.get(3..35).unwrap_or_default()
    }

    /// About how much memory the record takes, without what it shares.
    pub fn weight_bytes(&self) -> usize {
        self.requests.iter().map(|request| request.body.own.len() + request.path.len() + 256).sum::<usize>() + 512
    }
}

#[cfg(test)]
#[path = "tests/request.rs"]
mod tests;
