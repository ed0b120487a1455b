//! The operations port: plain HTTP for those who run the service. It shows metrics, tells whether the process lives and
//! serves, and changes what is logged. It needs no token, so it belongs to no network but that of its operators.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Extension, Router,
    extract::{ConnectInfo, DefaultBodyLimit, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

use crate::telemetry::{LogLevel, Page};

/// How many connections are served at once; further ones wait. They must never take the files that the service needs.
const CONNECTIONS_MAX: usize = 32;
/// How long a request's headers may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection lives.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// How long to wait after a connection could not be taken: the process may have too many files open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How large the body of a request may be, in bytes.
const BODY_BYTES_MAX: usize = 4 * 1024;
const INDEX: &str = "GET /metrics     metrics, as Prometheus reads them
GET /livez       200 while the process lives
GET /readyz      200 while the gRPC port serves, 503 before and after
GET /log-level   what is logged
PUT /log-level   log something else, such as info,hookline=debug; only from this host
";

/// What the port knows.
#[derive(Clone)]
pub struct Operations {
    /// The page of metrics.
    pub page: Page,
    /// What is logged.
    pub level: LogLevel,
    /// Whether the gRPC port serves.
    pub is_ready: Arc<AtomicBool>,
}

impl Operations {
    /// Serves until it is told to stop. What still goes on then is not waited for.
    pub async fn serve(self, listener: TcpListener, stopped: CancellationToken) {
        let app = Router::new()
            .route("/", get(INDEX))
            .route("/metrics", get(metrics))
            .route("/livez", get("ok\n"))
            .route("/readyz", get(ready))
            .route("/log-level", get(level).put(change_level))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(self);
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stopped.cancelled() => return,
            };
            match accepted {
                Ok((stream, from)) => {
                    let service = app.clone().layer(Extension(ConnectInfo(from)));
                    tokio::spawn(async move {
                        let served = tokio::time::timeout(CONNECTION_TIMEOUT, connection(stream, service)).await;
                        if let Ok(Err(error)) = served {
                            tracing::debug!(error = %error, "a connection to the operations port ended badly");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(error = %error, "the operations port could not take a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Serves one connection: whoever sends nothing, or reads nothing, holds nobody up.
async fn connection(stream: TcpStream, service: Router) -> hyper::Result<()> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
        .await
}

async fn metrics(State(operations): State<Operations>) -> Response {
    match operations.page.text() {
        Ok(text) => ([(header::CONTENT_TYPE, Page::CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn ready(State(operations): State<Operations>) -> (StatusCode, &'static str) {
    if operations.is_ready.load(Ordering::SeqCst) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: starting, waiting for the database's lock, or stopping\n")
    }
}

async fn level(State(operations): State<Operations>) -> String {
    format!("{}\n", operations.level.read())
}

async fn change_level(
    State(operations): State<Operations>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    wanted: String,
) -> (StatusCode, String) {
    // Not the whole block: what a mesh's sidecar hands on comes from 127.0.0.6.
    let here = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    if !here.contains(&from.ip().to_canonical()) {
        let remedy = "the level is changed from this host only; in Kubernetes use `kubectl port-forward`\n";
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
