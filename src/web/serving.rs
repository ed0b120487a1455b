//! The connections of the port: HTTP/1.1 and HTTP/2, whichever the client begins with.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};

use crate::port::{Connection, Io, RoutedCalls, Serve, http2};

/// How long the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How many headers a request has at most.
const HEADERS_MAX: usize = 64;

/// Serves connections.
pub fn serve(router: Router, streams_max: u32) -> impl Fn(Io, Connection) -> Http + Clone + Send + Sync + 'static {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(http2::HEAD_BYTES_MAX as usize)
        .max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(http2::KEEPALIVE_INTERVAL)
        .keep_alive_timeout(http2::KEEPALIVE_TIMEOUT)
        .max_header_list_size(http2::HEAD_BYTES_MAX)
        .max_concurrent_streams(streams_max)
        .initial_stream_window_size(http2::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(http2::CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(http2::SEND_BUFFER_BYTES_MAX);
    move |io, connection| {
        let calls = RoutedCalls::new(router.clone(), connection);
        Http(Box::pin(builder.serve_connection(TokioIo::new(io), calls).into_owned()))
    }
}

/// A connection that is served.
pub struct Http(Pin<Box<auto::Connection<'static, TokioIo<Io>, RoutedCalls, TokioExecutor>>>);

impl Future for Http {
    type Output = Result<(), Box<dyn std::error::Error + Send + Sync>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context)
    }
}

impl Serve for Http {
    fn goodbye(mut self: Pin<&mut Self>) {
        self.0.as_mut().graceful_shutdown();
    }
}
