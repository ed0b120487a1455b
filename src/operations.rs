//! The operations port: plain HTTP for those who run the service. It shows metrics, tells whether the process lives and
//! serves, and changes what is logged. It needs no token, so it belongs to no network but that of its operators.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Extension, Router,
    body::Body,
    extract::{DefaultBodyLimit, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, StatusCode, header, uri::Authority};
use hyper::{body::Incoming, server::conn::http1, service::Service as HyperService};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tonic::codegen::Service;

use crate::{
    port::{Bounds, Connection, HeldBody, Io, Serve, TrackedBody},
    telemetry::{LogLevel, MetricsPage},
};

/// What the port lets in. It has few connections, so that they never take the files that the service needs, and the oldest
/// goes first, so that health can be asked whatever others hold.
pub const BOUNDS: Bounds = Bounds {
    connections_max: 64,
    connections_of_address_max: usize::MAX,
    oldest_goes_first: true,
    handshake_timeout: Duration::from_secs(3),
    preface_timeout: Duration::from_secs(5),
    stranger_timeout: Duration::from_secs(60),
    idle_timeout: Duration::from_secs(60),
    progress_timeout: Duration::from_secs(5),
};
/// How long a request's headers may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request may take, with its body.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How many pages of metrics are read at once.
const METRICS_AT_ONCE_MAX: usize = 4;
/// How large the body of a request may be, in bytes.
const BODY_BYTES_MAX: usize = 4 * 1024;
const INDEX: &str = "GET /metrics     metrics, as Prometheus reads them
GET /livez       200 while the process lives
GET /readyz      200 while the gRPC port serves, 503 before and after
GET /log-level   what is logged
PUT /log-level   log something else, such as info,hookline=debug; only from this host
";

/// Whether the gRPC port serves, and what is to be said about it.
pub struct Readiness(Mutex<Result<String, String>>);

impl Default for Readiness {
    fn default() -> Self {
        Self(Mutex::new(Err("not ready: starting, or waiting for the database's lease".to_owned())))
    }
}

impl Readiness {
    /// It is so from now on.
    pub fn set(&self, state: Result<String, String>) {
        *self.state() = state;
    }

    fn state(&self) -> MutexGuard<'_, Result<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the port knows.
#[derive(Clone)]
pub struct Operations {
    page: MetricsPage,
    level: LogLevel,
    readiness: Arc<Readiness>,
    readers: Arc<Semaphore>,
}

impl Operations {
    /// A port that shows this page, changes this level, and tells whether the gRPC port serves.
    pub fn new(page: MetricsPage, level: LogLevel, readiness: Arc<Readiness>) -> Self {
        Self { page, level, readiness, readers: Arc::new(Semaphore::new(METRICS_AT_ONCE_MAX)) }
    }

    /// Serves connections over HTTP/1.
    pub fn serve(self) -> impl Fn(Io, Connection) -> Http1 + Clone + Send + Sync + 'static {
        let router = Router::new()
            .route("/", get(INDEX))
            .route("/metrics", get(metrics))
            .route("/livez", get("ok\n"))
            .route("/readyz", get(ready))
            .route("/log-level", get(level).put(change_level))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(self);
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
        move |io, connection| {
            let requests = Requests { router: router.clone().layer(Extension(connection.clone())), connection };
            Http1(Box::pin(builder.serve_connection(TokioIo::new(io), requests)))
        }
    }
}

/// The requests of one connection.
pub struct Requests {
    router: Router,
    connection: Connection,
}

impl HyperService<http::Request<Incoming>> for Requests {
    type Response = http::Response<TrackedBody>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        let mut router = self.router.clone();
        let answer = async move {
            let answered = tokio::time::timeout(REQUEST_TIMEOUT, router.call(request)).await;
            answered.unwrap_or_else(|_| Ok(StatusCode::REQUEST_TIMEOUT.into_response()))
        };
        Box::pin(self.connection.clone().tracked(answer))
    }
}

/// A connection that is served.
pub struct Http1(Pin<Box<http1::Connection<TokioIo<Io>, Requests>>>);

impl Future for Http1 {
    type Output = Result<(), Box<dyn std::error::Error + Send + Sync>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context).map_err(Into::into)
    }
}

impl Serve for Http1 {
    fn goodbye(mut self: Pin<&mut Self>) {
        self.0.as_mut().graceful_shutdown();
    }
}

async fn metrics(State(operations): State<Operations>) -> Response {
    let Ok(place) = Arc::clone(&operations.readers).try_acquire_owned() else {
        let text = format!("{METRICS_AT_ONCE_MAX} pages are being read: try again in a moment\n");
        // Closed, so that whoever sends many requests at once has not all of them answered.
        let headers = [(header::RETRY_AFTER, "1"), (header::CONNECTION, "close")];
        return (StatusCode::SERVICE_UNAVAILABLE, headers, text).into_response();
    };
    match operations.page.text() {
        Ok(text) => ([(header::CONTENT_TYPE, MetricsPage::CONTENT_TYPE)], text)
            .into_response()
            .map(|body| Body::new(HeldBody::new(body, place))),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn ready(State(operations): State<Operations>) -> (StatusCode, String) {
    match &*operations.readiness.state() {
        Ok(text) => (StatusCode::OK, format!("{text}\n")),
        Err(text) => (StatusCode::SERVICE_UNAVAILABLE, format!("{text}\n")),
    }
}

/// Whether a request says that it goes to this host: a page of elsewhere whose name leads here says its own.
fn names_this_host(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    let authority = host.and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let is_here = |authority: Authority| ["localhost", "127.0.0.1", "[::1]"].contains(&authority.host());
    more.is_none() && authority.is_some_and(is_here)
}

async fn level(State(operations): State<Operations>) -> String {
    format!("{}\n", operations.level.read())
}

async fn change_level(
    State(operations): State<Operations>,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
    wanted: String,
) -> (StatusCode, String) {
    // Not the whole block: what a mesh's sidecar hands on comes from 127.0.0.6.
    let here = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let is_of_page = headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site");
    if !here.contains(&connection.from().ip().to_canonical()) || !names_this_host(&headers) || is_of_page {
        let remedy = "the level is changed from this host only, by no page of a browser, at localhost, 127.0.0.1 or [::1]; in \
                      Kubernetes use `kubectl port-forward`\n";
        return (StatusCode::FORBIDDEN, remedy.to_owned());
    }
    match operations.level.change(&wanted) {
        Ok(()) => {
            let now = operations.level.read();
            tracing::warn!(filter = now, "what is logged has changed");
            (StatusCode::OK, format!("{now}\n"))
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")),
    }
}
