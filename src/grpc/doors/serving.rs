//! The port's calls on their way in and out: over HTTP/2, measured, and to services that are open once the database is ours.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use axum::{body::Body, middleware, middleware::Next};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tonic::{
    Status,
    body::Body as TonicBody,
    codegen::{
        Service,
        http::{Request, Response},
    },
    server::NamedService,
    service::Routes,
};

use super::{
    admission::{Admission, admitted},
    identities::Identities,
};
use crate::{
    grpc::{
        calls::{measured::observed, status},
        services::api::Api,
    },
    port::{Connection, Io, RoutedCalls, Serve, http2 as bounds},
    telemetry::Metrics,
};

/// The services of the port: closed until the database is ours, then open. Health answers from the start.
#[derive(Clone)]
pub struct Doors {
    services: Arc<OnceLock<axum::Router>>,
    admission: Admission,
    metrics: Metrics,
}

impl Doors {
    /// Doors that let nobody in but those whom admission does.
    pub fn new(admission: Admission, metrics: Metrics) -> Self {
        Self { services: Arc::default(), admission, metrics }
    }

    /// What the port serves.
    pub fn router<H>(&self, health: H) -> axum::Router
    where
        H: Service<Request<TonicBody>, Response = Response<TonicBody>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        H::Future: Send + 'static,
    {
        let doors = self.clone();
        let mut routes = Routes::new(health);
        let router = routes.axum_router_mut();
        *router = std::mem::take(router).fallback(async move |request: Request<Body>| doors.serve(request).await);
        self.around(routes.prepare().into_axum_router())
    }

    /// Whether the port describes itself.
    pub fn reflects(&self) -> bool {
        self.admission.reflects()
    }

    /// The services, for a call that is behind the doors already.
    pub async fn serve(&self, request: Request<Body>) -> Response<Body> {
        match self.services.get() {
            Some(services) => services.clone().call(request).await.unwrap_or_else(|never| match never {}),
            None => status::starting().into_http(),
        }
    }

    /// The doors around a router: who calls, whether there is a place, how long it may take; and it is measured.
    pub fn around(&self, router: axum::Router) -> axum::Router {
        router
            .layer(middleware::from_fn(in_time))
            .layer(middleware::from_fn_with_state(self.admission.clone(), admitted))
            .layer(middleware::from_fn_with_state(self.metrics.clone(), observed))
    }

    /// Lets calls in.
    pub fn open(&self, api: Api) -> Result<(), tonic_reflection::server::Error> {
        self.admission.know(Identities::new(api.store.clone()));
        let services = api.routes(self.admission.reflects())?.prepare().into_axum_router();
        let _ = self.services.set(services);
        Ok(())
    }
}

/// Ends a call when the time is over that its client gives it.
async fn in_time(request: Request<Body>, next: Next) -> Response<Body> {
    let given = request.headers().get("grpc-timeout").and_then(|value| timeout_of(value.to_str().ok()?));
    let Some(timeout) = given else { return next.run(request).await };
    match tokio::time::timeout(timeout, next.run(request)).await {
        Ok(answer) => answer,
        Err(_) => Status::deadline_exceeded("the time that the client gave the call is over").into_http(),
    }
}

/// The time of a `grpc-timeout` header: up to eight digits and a unit.
fn timeout_of(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok().filter(|_| (1..=8).contains(&number.len()))?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3_600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Serves connections over HTTP/2.
pub fn serve(
    router: axum::Router,
    streams_max: u32,
) -> impl Fn(Io, Connection) -> Http2 + Clone + Send + Sync + 'static {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(bounds::KEEPALIVE_INTERVAL)
        .keep_alive_timeout(bounds::KEEPALIVE_TIMEOUT)
        .max_header_list_size(bounds::HEAD_BYTES_MAX)
        .max_concurrent_streams(streams_max)
        .initial_stream_window_size(bounds::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(bounds::CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(bounds::SEND_BUFFER_BYTES_MAX);
    move |io, connection| {
        let calls = RoutedCalls::new(router.clone(), connection);
        Http2(Box::pin(builder.serve_connection(TokioIo::new(io), calls)))
    }
}

/// A connection that is served.
pub struct Http2(Pin<Box<http2::Connection<TokioIo<Io>, RoutedCalls, TokioExecutor>>>);

impl Future for Http2 {
    type Output = Result<(), Box<dyn std::error::Error + Send + Sync>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context).map_err(Into::into)
    }
}

impl Serve for Http2 {
    fn goodbye(mut self: Pin<&mut Self>) {
        self.0.as_mut().graceful_shutdown();
    }
}
