//! The calls of a connection: each is counted until its answer is read or given up.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::{Body, Bytes, HttpBody};
use http::{Request, Response};
use hyper::{
    body::{Frame, Incoming, SizeHint},
    service::Service as HyperService,
};
use tonic::codegen::Service;

use super::Connection;

/// A call under way; over when it is dropped.
struct Call {
    connection: Connection,
    number: u64,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.connection.end_call(self.number);
    }
}

/// The body of an answer that notices when the client does not read it.
pub struct TrackedBody {
    body: Body,
    call: Call,
}

impl Connection {
    /// Carries a call out and counts it until its answer is read. An answer that nobody takes ends the connection.
    pub async fn tracked<E>(
        self,
        answer: impl Future<Output = Result<axum::response::Response, E>>,
    ) -> Result<Response<TrackedBody>, E> {
        let number = self.begin_call();
        let call = Call { connection: self, number };
        let answer = answer.await?;
        call.connection.waits_for_client(number, true);
        Ok(answer.map(|body| TrackedBody { body, call }))
    }
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        // Nobody asks for the next part before the client has room for it.
        let call = &self.call;
        call.connection.waits_for_client(call.number, matches!(polled, Poll::Ready(Some(_))));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer that holds something, such as a place, until it is read or given up.
pub struct HeldBody<T> {
    body: Body,
    _held: T,
}

impl<T> HeldBody<T> {
    /// A body that holds something.
    pub fn new(body: Body, held: T) -> Self {
        Self { body, _held: held }
    }
}

impl<T: Unpin> HttpBody for HeldBody<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The calls of one connection, answered by a router that knows the connection.
pub struct RoutedCalls {
    router: axum::Router,
    connection: Connection,
}

impl RoutedCalls {
    /// Answers the calls of a connection.
    pub fn new(router: axum::Router, connection: Connection) -> Self {
        Self { router, connection }
    }
}

impl HyperService<Request<Incoming>> for RoutedCalls {
    type Response = Response<TrackedBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.connection.clone());
        let mut router = self.router.clone();
        let connection = self.connection.clone();
        Box::pin(connection.tracked(async move { router.call(request).await }))
    }
}
