//! Sends requests: the only place that knows reqwest.

use std::{error::Error, sync::Arc, time::Duration};

use reqwest::{
    Client, StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use secrecy::ExposeSecret;
use tokio::time::{Instant, timeout_at};

use super::{
    clock,
    resolver::{GuardedResolver, ResolveError},
    traces,
};
use crate::{
    domain::{
        address::AddressPolicy,
        decision::Dispatch,
        execution::{Attempt, Outcome, RESPONSE_EXCERPT_BYTES_MAX, Reason},
        redaction::Redactor,
        request::{Method, Request},
        webhook::signatures,
    },
    telemetry::Spans,
};

/// Headers of an answer that help to understand it.
const KEPT_HEADERS: [&str; 8] =
    ["content-type", "content-length", "date", "location", "retry-after", "server", "www-authenticate", "x-request-id"];
/// How much of a kept header's value is kept.
const HEADER_VALUE_BYTES_MAX: usize = 512;
/// How long an idle connection is kept.
const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// How requests are sent.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// One deadline over connecting, sending and the answer.
    pub deadline: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// Which addresses requests may go to.
    pub addresses: AddressPolicy,
}

/// The client that every request goes through.
#[derive(Clone)]
pub struct Http {
    client: Client,
    config: Arc<HttpConfig>,
}

impl Http {
    /// A client: no redirects, no proxy, guarded name resolution.
    pub fn new(config: HttpConfig) -> Result<Self, reqwest::Error> {
        let resolver = GuardedResolver { policy: Arc::new(config.addresses.clone()) };
        let client = Client::builder()
            .dns_resolver(Arc::new(resolver))
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(config.connect_timeout)
            .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
            .user_agent(concat!("hookline/", env!("CARGO_PKG_VERSION")))
            .tcp_nodelay(true)
            .build()?;
        Ok(Self { client, config: Arc::new(config) })
    }

    /// Tries to send one request.
    pub async fn send(&self, dispatch: &Dispatch, spans: &Spans) -> Attempt {
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
        let traceparent = span.traceparent();
        let traceparent = traceparent.as_deref().unwrap_or(&dispatch.record.traceparent);
        let outcome = self.exchange(dispatch, request, traceparent, begun).await;
        let attempt = Attempt { started_at, duration_us: micros(begun), url: masked, secret_url, outcome };
        traces::end_attempt(&mut span, dispatch, traceparent, &attempt);
        attempt
    }

    async fn exchange(&self, dispatch: &Dispatch, request: &Request, traceparent: &str, begun: Instant) -> Outcome {
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
            Method::Delete => reqwest::Method::DELETE,
        };
        let body = request.body_of(dispatch.attempt_no);
        let builder =
            self.client.request(method, url).headers(headers(dispatch, &body, traceparent)).body(body.into_owned());
        let deadline = begun + self.config.deadline;
        match timeout_at(deadline, builder.send()).await {
            Err(_) => error(Reason::Timeout, format!("no answer within {} ms", self.config.deadline.as_millis())),
            Ok(Err(failure)) => classify(&failure),
            Ok(Ok(response)) => answer(response, deadline, &Redactor::of(&dispatch.webhook)).await,
        }
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
    Outcome::Error { kind, message: message.into() }
}

fn headers(dispatch: &Dispatch, body: &str, traceparent: &str) -> HeaderMap {
    let request_id = dispatch.execution.request_id(dispatch.action_no + 1);
    let seconds = clock::now().seconds();
    let signature = signatures(&dispatch.webhook.secrets, &request_id, seconds, body.as_bytes());
    let mut map = HeaderMap::with_capacity(12);
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            map.insert(HeaderName::from_static(name), value);
        }
    };
    set("content-type", "application/json");
    set("webhook-id", &request_id);
    set("webhook-timestamp", &seconds.to_string());
    set("webhook-signature", &signature);
    set("traceparent", traceparent);
    set("hookline-execution-id", &dispatch.execution.to_string());
    set("hookline-causation-depth", &(dispatch.record.causation_depth + 1).to_string());
    for (name, value) in dispatch.webhook.credentials.headers() {
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
async fn answer(mut response: reqwest::Response, deadline: Instant, redactor: &Redactor) -> Outcome {
    let status: StatusCode = response.status();
    let kept = KEPT_HEADERS.iter().filter_map(|name| {
        let value = redactor.header(response.headers().get(*name)?.as_bytes());
        let value = String::from_utf8_lossy(&value).into_owned();
        Some(((*name).to_owned(), value.chars().take(HEADER_VALUE_BYTES_MAX).collect()))
    });
    let headers = kept.collect();
    let mut excerpt = Vec::new();
    let truncated = loop {
        match timeout_at(deadline, response.chunk()).await {
            Ok(Ok(None)) => break false,
            Ok(Ok(Some(chunk))) => {
                let room = RESPONSE_EXCERPT_BYTES_MAX - excerpt.len();
                excerpt.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if chunk.len() > room {
                    break true;
                }
            }
            Ok(Err(_)) | Err(_) => break true,
        }
    };
    let excerpt = redactor.text(&excerpt, truncated);
    Outcome::Answer { status: status.as_u16(), headers, excerpt, truncated }
}

/// The fault of TLS in an error of a connection. I/O errors wrap each other, and their `source` leaves out what they wrap.
fn tls_error<'e>(mut found: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    loop {
        if let Some(tls) = found.downcast_ref() {
            return Some(tls);
        }
        found = found.downcast_ref::<std::io::Error>()?.get_ref()?;
    }
}

/// What kind of failure kept an answer from coming.
fn classify(failure: &reqwest::Error) -> Outcome {
    let mut cause: Option<&(dyn Error + 'static)> = Some(failure);
    let mut message = String::new();
    while let Some(found) = cause {
        if let Some(resolve) = found.downcast_ref::<ResolveError>() {
            let kind = match resolve {
                ResolveError::Lookup(_) => Reason::Dns,
                ResolveError::Blocked(_) => Reason::BlockedAddress,
            };
            return error(kind, resolve.to_string());
        }
        if let Some(tls) = tls_error(found) {
            let hint = match tls {
                rustls::Error::InvalidMessage(_) => "the endpoint does not speak TLS: ",
                _ => "",
            };
            return error(Reason::Tls, format!("{hint}{tls}"));
        }
        message = found.to_string();
        cause = found.source();
    }
    let kind = if failure.is_timeout() { Reason::Timeout } else { Reason::Connect };
    error(kind, message)
}
