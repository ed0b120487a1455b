//! The requests of an execution, as they are stored.

use std::{borrow::Cow, sync::Arc};

use opentelemetry::trace::SpanId;
use serde::{Deserialize, Serialize, de::Error as _};
use serde_json::value::RawValue;

use super::request::{Request, RequestBody};
use crate::domain::{
    attempt::Reason,
    automation::{Method, condition::Explanation, template::BodyKind},
    id::{ResourceId, WebhookUid},
    trace_context::TraceContext,
};

/// What is frozen with an execution: its requests, and why it ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The automation's display name.
    pub source_name: String,
    /// The automation's id.
    pub source_id: ResourceId,
    /// How many executions led here, one after the other.
    pub causation_depth: u32,
    /// The context of its span, which the requests carry.
    pub trace: TraceContext,
    /// The span that the execution's own one belongs to: the event's.
    pub parent_span: Option<SpanId>,
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
            trace: TraceContext::unreadable(),
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
    tracestate: Option<Cow<'a, str>>,
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    left_out: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    may_be_done: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    no_body: bool,
    /// A body that is no JSON, and what it is.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    text: Option<(BodyKind, Cow<'a, str>)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
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
        let mut out = Vec::new();
        self.store_into(&mut out).map(|()| out)
    }

    /// Appends the record as it is stored.
    pub fn store_into(&self, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
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
                warnings: request.warnings.clone(),
                left_out: request.is_left_out,
                may_be_done: request.may_be_done,
                no_body: request.body.is_none(),
                text: (request.body.kind != BodyKind::Json && !request.body.is_none())
                    .then_some((request.body.kind, Cow::Borrowed(request.body.own.as_str()))),
                headers: request.headers.clone(),
            })
        });
        let stored = StoredRecord {
            v: 1,
            name: Cow::Borrowed(&self.source_name),
            id: self.source_id.clone(),
            depth: self.causation_depth,
            traceparent: Cow::Owned(self.trace.traceparent()),
            tracestate: self.trace.tracestate().map(Cow::Owned),
            parent_span: self.parent_span.map(|span| Cow::Owned(span.to_string())),
            requests: requests.collect::<Result<_, serde_json::Error>>()?,
            explanation: self.explanation.clone(),
            basis: self.basis,
            first: 0,
        };
        serde_json::to_writer(out, &stored)
    }

    /// Reads a record that was stored; with the beginning of its bodies, where that is made from the event.
    pub fn from_stored(bytes: &[u8], beginning: Option<&Arc<str>>) -> Result<Self, serde_json::Error> {
        let stored: StoredRecord<'_> = serde_json::from_slice(bytes)?;
        let body = |own: Option<&RawValue>, after_event: Option<Cow<'_, str>>| match (own, after_event, beginning) {
            (Some(own), ..) => Ok(RequestBody::from(own.get().to_owned())),
            (None, Some(own), Some(beginning)) => Ok(RequestBody::shared(beginning, own.into_owned())),
            // The body null: it could not be rendered, or is nothing else.
            (None, None, _) => Ok(RequestBody::from("null".to_owned())),
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
                body: match request.text {
                    Some((kind, text)) => RequestBody::of(kind, text.into_owned()),
                    None if request.no_body => RequestBody::none(),
                    None => body(request.body, request.after_event)?,
                },
                headers: request.headers,
                attempt_at: request.attempt_at,
                continue_on_failure: request.continue_on_failure,
                failure: request.failure,
                action: request.action,
                warnings: request.warnings,
                is_left_out: request.left_out || at < first,
                may_be_done: request.may_be_done,
            })
        });
        Ok(Self {
            requests: requests.collect::<Result<_, serde_json::Error>>()?,
            source_name: stored.name.into_owned(),
            source_id: stored.id,
            causation_depth: stored.depth,
            trace: TraceContext::parse(&stored.traceparent, stored.tracestate.as_deref().unwrap_or_default())
                .unwrap_or_else(TraceContext::unreadable),
            parent_span: stored.parent_span.and_then(|span| SpanId::from_hex(&span).ok()),
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

    /// About how much memory the record takes, without what it shares.
    pub fn weight_bytes(&self) -> usize {
        let warnings = |request: &Request| request.warnings.iter().map(String::len).sum::<usize>();
        let headers =
            |request: &Request| -> usize { request.headers.iter().map(|(name, value)| name.len() + value.len()).sum() };
        // A text is stored as a string of JSON, in which a control character has six bytes.
        let escapes = |request: &Request| match request.body.kind {
            BodyKind::Text => {
                5 * request.body.own.bytes().filter(|byte| *byte < b' ' || matches!(byte, b'"' | b'\\')).count()
            }
            BodyKind::Json | BodyKind::Form => 0,
        };
        let weight = |request: &Request| {
            request.body.own.len() + escapes(request) + request.path.len() + warnings(request) + headers(request) + 256
        };
        self.requests.iter().map(weight).sum::<usize>() + 512
    }
}

#[cfg(test)]
#[path = "tests/record.rs"]
mod tests;
