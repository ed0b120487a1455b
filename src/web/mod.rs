//! The HTTP port, for whatever speaks no gRPC. It has no authority of its own: every call goes through the same doors as over
//! gRPC, to the same services, within the same bounds.

mod answer;
mod content;
mod failure;
mod forms;
mod headers;
mod ingest;
mod message;
mod openapi;
mod serving;

use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use prost_reflect::MethodDescriptor;
use tonic::{Status, codegen::Service};

use self::{
    content::{Compression, Content, Form},
    failure::Failure,
};
pub use self::{headers::Origin, serving::serve};
use crate::{
    domain::id::AccountId,
    grpc::{Doors, Framing, invalid},
};

/// The version of the Connect protocol.
const PROTOCOL_VERSION: &str = "1";
/// The longest time that a client can give a call, in milliseconds: eight digits go into `grpc-timeout`.
const TIMEOUT_MS_MAX: u64 = 99_999_999;
/// What is asked for over HTTP, for the way in behind the doors.
#[derive(Clone)]
enum Asked {
    /// A call of the Connect protocol.
    Call { method: MethodDescriptor, content: Content, compression: Compression },
    /// Events of an account, in the form that their platform has.
    Events { account: AccountId, compression: Compression },
    /// The description of the port.
    Description,
}

/// What the port knows.
#[derive(Clone)]
struct Web {
    /// The way through the doors to the services.
    through: Router,
}

/// What the port serves.
pub fn router(doors: &Doors, origins: &[Origin], is_tls: bool) -> Router {
    let inside = Router::new().fallback(behind_the_doors).with_state(doors.clone());
    let web = Web { through: doors.around(inside) };
    let router = Router::new()
        .route("/v1/accounts/{account}/events", post(ingest::events).fallback(only_post))
        .route("/openapi.json", get(description))
        .fallback(call)
        .with_state(web);
    headers::around(router, origins, is_tls)
}

/// The description of the port, for callers with a token, as that of gRPC is.
async fn description(State(web): State<Web>, request: Request<Body>) -> Response {
    let answer = web.through(request, Asked::Description).await;
    match Status::from_header_map(answer.headers()) {
        Some(status) => failure::of_status(&status),
        None => answer,
    }
}

async fn only_post() -> Response {
    failure::only_post()
}

/// Behind the doors: what came over HTTP becomes a gRPC call of the services.
async fn behind_the_doors(State(doors): State<Doors>, mut request: Request<Body>) -> Response {
    let asked = request.extensions_mut().remove::<Asked>();
    let served = async {
        match asked {
            Some(Asked::Call { method, content, compression }) => {
                let request = message::to_services(request, &method, content, compression).await?;
                Ok(doors.serve(request).await)
            }
            Some(Asked::Events { account, compression }) => {
                let (request, sorting) = ingest::to_services(request, &account, compression).await?;
                let answer = if sorting.is_empty { ingest::nothing() } else { doors.serve(request).await };
                Ok(sorting.with(answer))
            }
            Some(Asked::Description) if doors.reflects() => {
                Ok(([(header::CONTENT_TYPE, Form::Json.content_type())], openapi::text()).into_response())
            }
            Some(Asked::Description) => Err(Status::unimplemented("the port does not describe itself (--reflection)")),
            None => Err(Status::internal("nothing was asked")),
        }
    };
    served.await.unwrap_or_else(|status: Status| status.into_http())
}

/// Any path that has no route of its own: a method of a service.
async fn call(State(web): State<Web>, request: Request<Body>) -> Response {
    match understood(&request) {
        Ok((method, content, compression)) => {
            let output = method.output();
            let asked = Asked::Call { method, content, compression };
            let answer = web.through(request, asked).await;
            if content.is_stream {
                answer::stream(answer, output, content.form)
            } else {
                answer::one(answer, &output, content.form).await
            }
        }
        Err(failure) => failure.into_response(),
    }
}

/// What a request asks for, from its line and its headers alone.
fn understood(request: &Request<Body>) -> Result<(MethodDescriptor, Content, Compression), Failure> {
    let method = message::method(request.uri().path()).ok_or(Failure::NoSuchPath)?;
    if request.method() != Method::POST {
        return Err(Failure::OnlyPost);
    }
    without_query(request)?;
    let headers = request.headers();
    if method.is_client_streaming() {
        let message =
            format!("{} streams in both directions, which HTTP does not: use PublishBatch, or gRPC", method.name());
        return Err(Status::unimplemented(message).into());
    }
    let content = Content::of(headers).filter(|content| content.is_stream == method.is_server_streaming());
    let content = content.ok_or_else(|| Failure::WrongContent { is_stream: method.is_server_streaming() })?;
    if let Some(version) = headers.get("connect-protocol-version")
        && version != PROTOCOL_VERSION
    {
        return Err(invalid("connect-protocol-version", format!("must be {PROTOCOL_VERSION}")).into());
    }
    let compression = match content.is_stream {
        true => Compression::of(headers, "connect-content-encoding")?,
        false => Compression::of(headers, "content-encoding")?,
    };
    Ok((method, content, compression))
}

/// A token in a URL would be kept by whatever logs URLs, so nothing is read from a query, and none is let in.
fn without_query(request: &Request<Body>) -> Result<(), Failure> {
    match request.uri().query() {
        None => Ok(()),
        Some(_) => {
            Err(invalid("query", "nothing is taken from the URL's query; send a token as `Authorization: Bearer …`")
                .into())
        }
    }
}

impl Web {
    /// Sends a request through the doors.
    async fn through(&self, mut request: Request<Body>, asked: Asked) -> Response {
        request.extensions_mut().insert(asked);
        request.extensions_mut().insert(Framing::Whole);
        if let Err(status) = to_grpc(request.headers_mut()) {
            return status.into_http();
        }
        match self.through.clone().call(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        }
    }
}

/// Headers as gRPC has them: its own are ours to set, and the client's time goes along.
fn to_grpc(headers: &mut HeaderMap) -> Result<(), Status> {
    let own: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with("grpc-")).cloned().collect();
    for name in own {
        headers.remove(name);
    }
    if let Some(timeout) = headers.remove("connect-timeout-ms") {
        let text = timeout.to_str().ok().filter(|text| (1..=10).contains(&text.len()));
        let ms: Option<u64> =
            text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit())).and_then(|text| text.parse().ok());
        let ms =
            ms.ok_or_else(|| invalid("connect-timeout-ms", "must be a number of milliseconds, of at most ten digits"))?;
        let value = HeaderValue::from_str(&format!("{}m", ms.min(TIMEOUT_MS_MAX)));
        headers.insert("grpc-timeout", value.map_err(|_| Status::internal("a timeout"))?);
    }
    headers.remove(header::ACCEPT_ENCODING);
    Ok(())
}

/// An answer in JSON.
fn json(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, Form::Json.content_type())], body).into_response()
}
