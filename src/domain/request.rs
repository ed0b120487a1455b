//! Requests: an execution's actions made concrete, frozen before anything is sent.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    automation::Automation,
    condition::Explanation,
    execution::Reason,
    id::{AccountId, ResourceId, WebhookUid},
    template::Scope,
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
    pub body: String,
    /// Where the number of the attempt stands in the body, for regular webhooks: the one thing that changes.
    pub attempt_at: Option<usize>,
    /// Whether a failure lets the later actions go on.
    pub continue_on_failure: bool,
    /// Why it could not be built.
    pub failure: Option<Reason>,
}

impl Request {
    /// The body for an attempt, from 1.
    pub fn body_of(&self, attempt_no: u32) -> Cow<'_, str> {
        match self.attempt_at.and_then(|at| Some((self.body.get(..at)?, self.body.get(at + 1..)?))) {
            Some((before, after)) if attempt_no != 1 => Cow::Owned(format!("{before}{attempt_no}{after}")),
            _ => Cow::Borrowed(&self.body),
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
    /// The action that it begins with, from 0: a retry leaves out those that have succeeded.
    pub first_action: usize,
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
            let body = compiled.body.render(scope, body_bytes_max);
            let joins = |path: &str| webhook.is_none_or(|webhook| webhook.endpoint.join(path).is_ok());
            let failure = match (&path, &body) {
                (Err(_), _) => Some(Reason::UnsafePath),
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
                body: body.map_or_else(|_| "null".to_owned(), |body| body.trim_ascii().to_owned()),
                attempt_at: None,
                continue_on_failure: spec.continue_on_failure,
                failure,
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
        body: body.to_string(),
        attempt_at: None,
        continue_on_failure: false,
        failure: None,
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
    #[serde(borrow)]
    body: &'a RawValue,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attempt_at: Option<usize>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not", rename = "continue")]
    continue_on_failure: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<Reason>,
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
                body: serde_json::from_str(&request.body)?,
                attempt_at: request.attempt_at,
                continue_on_failure: request.continue_on_failure,
                failure: request.failure,
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
            first: u32::try_from(self.first_action).unwrap_or_default(),
        })
    }

    /// Reads a record that was stored.
    pub fn from_stored(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let stored: StoredRecord<'_> = serde_json::from_slice(bytes)?;
        let requests = stored.requests.into_iter().map(|request| Request {
            webhook: request.webhook,
            webhook_id: request.id,
            method: request.method,
            endpoint: request.endpoint.into_owned(),
            path: request.path.into_owned(),
            body: request.body.get().to_owned(),
            attempt_at: request.attempt_at,
            continue_on_failure: request.continue_on_failure,
            failure: request.failure,
        });
        Ok(Self {
            requests: requests.collect(),
            source_name: stored.name.into_owned(),
            source_id: stored.id,
            causation_depth: stored.depth,
            traceparent: stored.traceparent.into_owned(),
            parent_span: stored.parent_span.map(Cow::into_owned),
            explanation: stored.explanation,
            first_action: usize::try_from(stored.first).unwrap_or_default(),
        })
    }

    /// The W3C trace id that the requests carry.
    pub fn trace_id(&self) -> &str {
        self.traceparent.get(3..35).unwrap_or_default()
    }

    /// About how much memory the record takes.
    pub fn weight_bytes(&self) -> usize {
        self.requests.iter().map(|request| request.body.len() + request.path.len() + 256).sum::<usize>() + 512
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_stored_form_stays_readable_and_keeps_every_digit() {
        let record = Record {
            source_name: "Won \"deals\"".into(),
            source_id: "au-1".parse().expect("an id"),
            causation_depth: 0,
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
            parent_span: Some("00f067aa0ba902b7".into()),
            requests: vec![Request {
                webhook: WebhookUid(Uuid::from_u128(1)),
                webhook_id: "wh-1".parse().expect("an id"),
                method: Method::Post,
                endpoint: "https://h.example/?key=***".into(),
                path: "a=1".into(),
                body: r#"{"n": 1e400, "m": 123456789012345678901234567890}"#.into(),
                attempt_at: None,
                continue_on_failure: false,
                failure: Some(Reason::UnsafePath),
            }],
            explanation: Vec::new(),
            first_action: 0,
        };
        let golden = r#"{"v":1,"name":"Won \"deals\"","id":"au-1","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","parent_span":"00f067aa0ba902b7","requests":[{"webhook":"00000000-0000-0000-0000-000000000001","id":"wh-1","method":"POST","endpoint":"https://h.example/?key=***","path":"a=1","body":{"n": 1e400, "m": 123456789012345678901234567890},"failure":"UNSAFE_PATH"}]}"#;
        let stored = record.to_stored().expect("serializes");
        assert_eq!(String::from_utf8_lossy(&stored), golden);
        assert_eq!(Record::from_stored(golden.as_bytes()).expect("reads"), record);
        let later = Record { first_action: 2, ..record };
        let stored = later.to_stored().expect("serializes");
        assert!(String::from_utf8_lossy(&stored).ends_with(r#","first":2}"#));
        assert_eq!(Record::from_stored(&stored).expect("reads"), later);
    }
}
