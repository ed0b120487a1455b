//! Requests: an execution's actions made concrete, frozen before anything is sent.

use std::{borrow::Cow, sync::Arc};

use serde_json::value::RawValue;

use crate::domain::{
    attempt::Reason,
    automation::{
        Automation, Method,
        header::HeaderFault,
        path_template::PathFault,
        placeholder::{Rendering, Scope},
        template::{BodyFault, BodyKind, BodyTemplate},
    },
    id::{AccountId, ResourceId, WebhookUid},
    timestamp::Timestamp,
    webhook::Webhook,
};

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
    /// The body as rendered. Null where it is JSON and could not be rendered.
    pub body: RequestBody,
    /// The headers as rendered that the action asks for, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// Where the number of the attempt stands in the body's own part, for regular webhooks: the one thing that changes.
    pub attempt_at: Option<usize>,
    /// Whether a failure lets the later actions go on.
    pub continue_on_failure: bool,
    /// Why it could not be built.
    pub failure: Option<Reason>,
    /// The automation's action that it is made of; none for regular webhooks, and where it is older than these ids.
    pub action: Option<ResourceId>,
    /// What filters made nothing of, for people who read it.
    pub warnings: Vec<String>,
    /// Whether a retry leaves it out, because it, or an action behind it, succeeded in a run before.
    pub is_left_out: bool,
    /// Whether it may have been carried out in a run before.
    pub may_be_done: bool,
}

/// A body. Regular webhooks that are told of the same event share the beginning of theirs, the event itself: in memory,
/// and in the database, where it is the event's own part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestBody {
    pub(super) shared: Option<Arc<str>>,
    pub(super) own: String,
    pub(super) kind: BodyKind,
}

impl RequestBody {
    /// A body that begins as others do.
    pub fn shared(beginning: &Arc<str>, own: String) -> Self {
        Self { shared: Some(Arc::clone(beginning)), own, kind: BodyKind::Json }
    }

    /// The body of a request that has none.
    pub fn none() -> Self {
        Self { shared: None, own: String::new(), kind: BodyKind::Json }
    }

    /// Whether there is none: nothing is sent behind the headers.
    pub fn is_none(&self) -> bool {
        self.shared.is_none() && self.own.is_empty()
    }

    /// A body of a kind.
    pub fn of(kind: BodyKind, own: String) -> Self {
        Self { shared: None, own, kind }
    }

    /// What it is.
    pub fn kind(&self) -> BodyKind {
        self.kind
    }

    /// What is stored with the request, where it is JSON; nothing where there is none, or where it begins as others do.
    pub(super) fn to_stored(&self) -> Result<Option<&RawValue>, serde_json::Error> {
        if self.shared.is_some() || self.is_none() || self.kind != BodyKind::Json {
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

impl From<String> for RequestBody {
    fn from(own: String) -> Self {
        Self { shared: None, own, kind: BodyKind::Json }
    }
}

impl Request {
    /// The media type of the body; none where there is none.
    pub fn content_type(&self) -> Option<&str> {
        let named = self.headers.iter().find(|(name, _)| name == "content-type").map(|(_, value)| value.as_str());
        (!self.body.is_none()).then(|| named.unwrap_or_else(|| self.body.kind.content_type()))
    }

    /// The body for an attempt, from 1.
    pub fn body_of(&self, attempt_no: u32) -> Cow<'_, str> {
        let RequestBody { shared, own, .. } = &self.body;
        match self.attempt_at.and_then(|at| Some((own.get(..at)?, own.get(at + 1..)?))) {
            Some((before, after)) if attempt_no != 1 => {
                let shared = shared.as_deref().unwrap_or_default();
                Cow::Owned(format!("{shared}{before}{attempt_no}{after}"))
            }
            _ => self.body.text(),
        }
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
            let rendering = Rendering::default();
            let path = compiled.path.render(scope, &rendering);
            let kind = compiled.body.as_ref().map(BodyTemplate::kind).unwrap_or_default();
            let body = compiled.body.as_ref().map(|body| body.render(scope, body_bytes_max, &rendering)).transpose();
            let headers = compiled.headers.render(scope, &rendering);
            let joins = |path: &str| webhook.is_none_or(|webhook| webhook.endpoint.join(path).is_ok());
            let failure = match (&path, &body) {
                (Err(PathFault::ValueMissing), _) => Some(Reason::ValueMissing),
                (Err(PathFault::Unsafe), _) => Some(Reason::UnsafePath),
                (Ok(path), _) if !joins(path) => Some(Reason::UnsafePath),
                (_, Err(BodyFault::TooLarge)) => Some(Reason::BodyTooLarge),
                (_, Err(BodyFault::ValueMissing)) => Some(Reason::ValueMissing),
                _ => match headers {
                    Err(HeaderFault::TooLarge) => Some(Reason::HeadersTooLarge),
                    Err(HeaderFault::ValueMissing) => Some(Reason::ValueMissing),
                    Ok(_) => None,
                },
            };
            Request {
                webhook: spec.webhook_uid,
                webhook_id: webhook.map_or_else(|| spec.webhook.clone(), |webhook| webhook.id.clone()),
                method: spec.method,
                endpoint: webhook.map(|webhook| webhook.endpoint.masked()).unwrap_or_default(),
                path: path.unwrap_or_default(),
                body: match body {
                    Ok(Some(body)) if kind == BodyKind::Json => body.trim_ascii().to_owned().into(),
                    Ok(Some(body)) => RequestBody::of(kind, body),
                    Err(_) if kind == BodyKind::Json => "null".to_owned().into(),
                    Ok(None) | Err(_) => RequestBody::none(),
                },
                headers: headers.unwrap_or_default(),
                attempt_at: None,
                continue_on_failure: spec.continue_on_failure,
                failure,
                action: spec.id.clone(),
                warnings: rendering.warnings(),
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
        headers: Vec::new(),
        attempt_at: None,
        continue_on_failure: false,
        failure: None,
        action: None,
        warnings: Vec::new(),
        is_left_out: false,
        may_be_done: false,
    }
}
