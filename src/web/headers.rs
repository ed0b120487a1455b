//! What every answer says beside itself: that nothing of it is to be guessed, kept or framed, and which pages of elsewhere
//! may read it.

use std::{
    pin::Pin,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::State,
    middleware,
    middleware::Next,
    response::Response,
};
use http::{HeaderName, HeaderValue, Method, Request, Version, header};
use hyper::body::{Frame, SizeHint};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// Headers of every answer.
const ALWAYS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
];
/// What a browser keeps in mind of a port that speaks TLS.
const TRANSPORT_SECURITY: &str = "max-age=31536000";
/// How long a browser may keep what it was allowed.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(7_200);

/// An origin of pages, such as `https://app.example`: a scheme, a host, and a port where it is not the scheme's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(HeaderValue);

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no origin: give a scheme and a host, such as https://app.example");
        let url = url::Url::parse(text).map_err(|_| wrong())?;
        if !matches!(url.scheme(), "https" | "http") || url.origin().ascii_serialization() != text {
            return Err(wrong());
        }
        HeaderValue::from_str(text).map(Self).map_err(|_| wrong())
    }
}

/// A router whose answers have these headers.
pub fn around(router: Router, origins: &[Origin], is_tls: bool) -> Router {
    let router = router.layer(middleware::from_fn_with_state(is_tls, secured));
    if origins.is_empty() {
        return router;
    }
    let sent = [header::AUTHORIZATION, header::CONTENT_TYPE, header::CONTENT_ENCODING];
    let of_protocol =
        ["connect-protocol-version", "connect-timeout-ms", "connect-content-encoding", "connect-accept-encoding"];
    let sent = sent.into_iter().chain(of_protocol.map(HeaderName::from_static));
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.iter().map(|origin| origin.0.clone())))
        .allow_methods([Method::POST])
        .allow_headers(sent.collect::<Vec<_>>())
        .expose_headers([header::RETRY_AFTER, header::WWW_AUTHENTICATE])
        .max_age(PREFLIGHT_MAX_AGE);
    router.layer(cors)
}

async fn secured(State(is_tls): State<bool>, request: Request<Body>, next: Next) -> Response {
    let is_shared = request.version() >= Version::HTTP_2;
    let is_read = Arc::new(AtomicBool::new(request.body().is_end_stream()));
    let request = request.map(|body| Body::new(FollowedBody { body, is_read: Arc::clone(&is_read) }));
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if !is_shared && !is_read.load(Ordering::SeqCst) {
        // What is left unread is in the way of the next request: the client is told not to send one.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if is_tls {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(TRANSPORT_SECURITY));
    }
    response
}

/// A body that notes when all of it was read.
struct FollowedBody {
    body: Body,
    is_read: Arc<AtomicBool>,
}

impl HttpBody for FollowedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.is_read.store(true, Ordering::SeqCst);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
#[path = "tests/headers.rs"]
mod tests;
