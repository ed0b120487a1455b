//! Sends requests: the only place that knows reqwest.

mod clients;
mod excerpt;
mod failure;
mod resolver;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::{
    StatusCode, Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use secrecy::ExposeSecret;
use tokio::time::{Instant, timeout_at};

use self::{
    clients::Clients,
    excerpt::Excerpt,
    failure::{classify, is_unprocessed},
    resolver::LOOKING_FOR,
};
use super::observe::traces;
use crate::{
    clock,
    domain::{
        address::AddressPolicy,
        attempt::{Attempt, DELIVERY_DISABLE, DELIVERY_HEADER, Outcome, Reason, retry_policy::is_retry_after},
        automation::Method,
        execution::{dispatch::Dispatch, request::Request},
        header::{is_kept_back, plain_name},
        id::AccountId,
        trace_context::TraceContext,
        webhook::{Webhook, redaction::Redactor, signing::signatures},
    },
    telemetry::Spans,
};

/// Headers of an answer that help to understand it.
const KEPT_HEADERS: [&str; 10] = [
    "content-encoding",
    "content-type",
    "content-length",
    "date",
    "location",
    "retry-after",
    "server",
    DELIVERY_HEADER,
    "www-authenticate",
    "x-request-id",
];
/// How much of a kept header's value is kept.
const HEADER_VALUE_BYTES_MAX: usize = 512;
/// How often the log warns of endpoints at most.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);
/// How often a request goes out again at once, on another connection, that the endpoint says it has not processed.
const SENT_AGAIN_MAX: usize = 2;

/// How requests are sent.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// One deadline over connecting, sending and the answer.
    pub deadline: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// Which addresses requests may go to.
    pub addresses: AddressPolicy,
    /// The name servers to ask; none for those of the system.
    pub dns_servers: Vec<SocketAddr>,
    /// Certificate authorities beside those of the system.
    pub ca_file: Option<PathBuf>,
}

/// The client that every request goes through.
#[derive(Clone)]
pub struct Http {
    clients: Arc<Clients>,
    config: Arc<HttpConfig>,
    /// When an endpoint was last warned of.
    warned_at: Arc<Mutex<Option<Instant>>>,
}

impl Http {
    /// A client for every endpoint.
    pub fn new(config: HttpConfig) -> Result<Self, String> {
        Ok(Self { clients: Arc::new(Clients::new(&config)?), config: Arc::new(config), warned_at: Arc::default() })
    }

    /// Tries to send one request of an account.
    pub async fn send(&self, account: &AccountId, dispatch: &Dispatch, spans: &Spans) -> Attempt {
        let started_at = clock::now();
        let begun = Instant::now();
        let endpoint = &dispatch.webhook.endpoint;
        let Some(request) = dispatch.record.requests.get(dispatch.action_no) else {
            return failed(started_at.0, begun, String::new(), Reason::UnsafePath, "the request does not exist");
        };
        let masked = endpoint.join_masked(&request.path);
        let real = format!("{}{}", endpoint.as_str(), request.path);
        let secret_url = (real != masked).then_some(real);
        let mut span = traces::start_attempt(spans, dispatch, request, &masked);
        let trace = span.context().unwrap_or_else(|| dispatch.record.trace.clone());
        let exchange = self.exchange(dispatch, request, &trace, begun);
        let outcome = LOOKING_FOR.scope(account.clone(), exchange).await;
        let attempt = Attempt { started_at, duration_us: micros(begun), url: masked, secret_url, outcome };
        traces::end_attempt(&mut span, dispatch, &trace, &attempt);
        attempt
    }

    async fn exchange(&self, dispatch: &Dispatch, request: &Request, trace: &TraceContext, begun: Instant) -> Outcome {
        let endpoint = &dispatch.webhook.endpoint;
        let Ok(url) = endpoint.join(&request.path) else {
            return error(Reason::UnsafePath, "the path would lead away from the endpoint as it is now");
        };
        if let Some(address) = endpoint.literal_address()
            && !self.config.addresses.permits(address)
        {
            return error(
                Reason::BlockedAddress,
                format!("{address} is a private, local or otherwise special address"),
            );
        }
        let method = match request.method {
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
            Method::Get => reqwest::Method::GET,
            Method::Head => reqwest::Method::HEAD,
        };
        let body = bytes::Bytes::from(request.body_of(dispatch.attempt_no).into_owned());
        let built = || {
            let mut built = reqwest::Request::new(method.clone(), url.clone());
            *built.headers_mut() = headers(dispatch, request, &body, trace);
            if !body.is_empty() {
                *built.body_mut() = Some(body.clone().into());
            } else if matches!(request.method, Method::Post | Method::Put | Method::Patch) {
                // Many servers answer 411 to one of these that does not say that it has no body.
                built.headers_mut().insert("content-length", HeaderValue::from_static("0"));
            }
            built
        };
        let deadline = begun + self.config.deadline;
        let mut sent_again = 0;
        let mut client = self.clients.of(&url);
        loop {
            let sent = timeout_at(deadline, client.execute(built())).await;
            return match sent {
                Err(_) => self.no_answer(&url, begun),
                Ok(Ok(response)) => answer(response, deadline, &dispatch.webhook).await,
                Ok(Err(failure)) if is_unprocessed(&failure) => {
                    if sent_again < SENT_AGAIN_MAX {
                        sent_again += 1;
                        // A connection of its own: those that were refused together would be refused together again.
                        client = self.clients.renewed().unwrap_or(client);
                        continue;
                    }
                    let message = "the endpoint refuses requests on every connection, and says that it processed none";
                    error(Reason::Connect, message)
                }
                Ok(Err(failure)) => self.failed(dispatch, &failure),
            };
        }
    }

    /// Whether it is time to warn of an endpoint again: whoever owns one must not fill the log.
    fn may_warn(&self) -> bool {
        let mut warned_at = self.warned_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = warned_at.is_none_or(|at| at.elapsed() >= WARNING_INTERVAL);
        if is_time {
            *warned_at = Some(Instant::now());
        }
        is_time
    }

    /// Whoever answers nothing may be gone: requests that come after go over another connection.
    fn no_answer(&self, url: &Url, begun: Instant) -> Outcome {
        self.clients.give_up(url, begun);
        let message = format!("no answer within {} ms", self.config.deadline.as_millis());
        Outcome::Error { kind: Reason::Timeout, message, was_sent: true }
    }

    fn failed(&self, dispatch: &Dispatch, failure: &reqwest::Error) -> Outcome {
        let outcome = classify(failure);
        if let Outcome::Error { kind: Reason::Tls, message, .. } = &outcome
            && self.may_warn()
        {
            let id = dispatch.webhook.id.as_str();
            tracing::warn!(webhook.id = id, error = message, "an endpoint's certificate or handshake is not good");
        }
        if matches!(outcome, Outcome::Error { kind: Reason::Internal, .. }) {
            tracing::error!(
                error = crate::telemetry::chain(failure),
                "a request could not be sent, for a reason of ours"
            );
            self.clients.give_up_all();
        }
        outcome
    }
}

fn micros(begun: Instant) -> i64 {
    i64::try_from(begun.elapsed().as_micros()).unwrap_or(i64::MAX)
}

fn failed(started_at: i64, begun: Instant, url: String, kind: Reason, message: &str) -> Attempt {
    Attempt {
        started_at: crate::domain::timestamp::Timestamp(started_at),
        duration_us: micros(begun),
        url,
        secret_url: None,
        outcome: error(kind, message),
    }
}

fn error(kind: Reason, message: impl Into<String>) -> Outcome {
    Outcome::Error { kind, message: message.into(), was_sent: false }
}

fn headers(dispatch: &Dispatch, request: &Request, body: &[u8], trace: &TraceContext) -> HeaderMap {
    let request_id = dispatch.execution.request_id(dispatch.action_no + 1);
    let seconds = clock::now().seconds();
    let signature = signatures(&dispatch.webhook.secrets, &request_id, seconds, body);
    let mut map = HeaderMap::with_capacity(12 + request.headers.len());
    let credentials = dispatch.webhook.credentials.headers();
    for (name, value) in &request.headers {
        // What the webhook itself says of who is calling stands alone.
        let is_of_credentials = credentials.iter().any(|(own, _)| plain_name(own) == plain_name(name));
        let is_of_body = name == "content-type";
        let is_kept_back = is_kept_back(name).is_some();
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value.as_bytes()))
            && !is_of_credentials
            && !is_of_body
            && !is_kept_back
        {
            map.insert(name, value);
        }
    }
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            map.insert(HeaderName::from_static(name), value);
        }
    };
    if let Some(content_type) = request.content_type().filter(|_| !body.is_empty()) {
        set("content-type", content_type);
    }
    set("webhook-id", &request_id);
    set("webhook-timestamp", &seconds.to_string());
    set("webhook-signature", &signature);
    set("traceparent", &trace.traceparent());
    if let Some(state) = trace.tracestate() {
        set("tracestate", &state);
    }
    set("hookline-execution-id", &dispatch.execution.to_string());
    if dispatch.is_test {
        set("hookline-test", "true");
    }
    set("hookline-causation-depth", &(dispatch.record.causation_depth + 1).to_string());
    for (name, value) in credentials {
        if let (Ok(name), Ok(mut value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value.expose_secret()))
        {
            value.set_sensitive(true);
            map.insert(name, value);
        }
    }
    map
}

/// Reads an answer. The status decides; a body that stalls afterwards is only marked truncated.
/// What is kept of it has none of the webhook's secrets.
async fn answer(mut response: reqwest::Response, deadline: Instant, webhook: &Webhook) -> Outcome {
    let redactor = Redactor::of(webhook);
    let status: StatusCode = response.status();
    let kept = KEPT_HEADERS.iter().filter_map(|name| {
        let value = response.headers().get(*name)?.as_bytes();
        // What is to be obeyed is no secret, whatever a secret may look like.
        let is_time = *name == "retry-after" && is_retry_after(value);
        let is_request =
            *name == DELIVERY_HEADER && value.trim_ascii().eq_ignore_ascii_case(DELIVERY_DISABLE.as_bytes());
        let value = if is_time || is_request { value.into() } else { redactor.header(value) };
        let value = String::from_utf8_lossy(&value).into_owned();
        Some(((*name).to_owned(), value.chars().take(HEADER_VALUE_BYTES_MAX).collect()))
    });
    let headers = kept.collect();
    let encoding = response.headers().get("content-encoding").and_then(|value| value.to_str().ok());
    let mut excerpt = Excerpt::new(encoding);
    let is_cut = loop {
        match timeout_at(deadline, response.chunk()).await {
            Ok(Ok(None)) => break false,
            Ok(Ok(Some(chunk))) => {
                if !excerpt.push(&chunk) {
                    break true;
                }
            }
            Ok(Err(_)) | Err(_) => break true,
        }
    };
    let (excerpt, truncated) = excerpt.finish(is_cut);
    let excerpt = redactor.text(&excerpt, truncated);
    let is_success = webhook.success.includes(status.as_u16());
    Outcome::Answer { status: status.as_u16(), headers, excerpt, truncated, is_success }
}
