//! What went wrong, as HTTP says it: a status, and the same code, message and details as over gRPC in JSON.

use axum::response::{IntoResponse, Response};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use http::{HeaderValue, StatusCode, header};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};
use std::sync::LazyLock;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::content::Form;

/// The kinds of details.
static DETAILS: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(tonic_types::pb::FILE_DESCRIPTOR_SET).unwrap_or_default());

/// Why a request got no answer of a service.
pub enum Failure {
    /// There is no method of this name, and nothing else.
    NoSuchPath,
    /// Methods are called with POST.
    OnlyPost,
    /// The body is in no form that the method takes.
    WrongContent { is_stream: bool },
    /// What gRPC would say.
    Status(Box<Status>),
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Failure::Status(Box::new(status))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Failure::NoSuchPath => {
                let message = "there is nothing here: methods are called at /hookline.v1.{Service}/{Method}, events are sent to \
                               /v1/accounts/{account}/events";
                plain(StatusCode::NOT_FOUND, Code::Unimplemented, message)
            }
            Failure::OnlyPost => only_post(),
            Failure::WrongContent { is_stream } => {
                let of = |form: Form| if is_stream { form.stream_type() } else { form.content_type() };
                let forms = format!("{}, {}", of(Form::Json), of(Form::Proto));
                let message = format!("the content type must be one of: {forms}");
                let mut response = plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::Unknown, &message);
                if let Ok(forms) = HeaderValue::from_str(&forms) {
                    response.headers_mut().insert("accept-post", forms);
                }
                response
            }
            Failure::Status(status) => of_status(&status),
        }
    }
}

/// What does not take other methods than POST.
pub fn only_post() -> Response {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, "this is called with POST");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    response
}

fn plain(status: StatusCode, code: Code, message: &str) -> Response {
    super::json(status, json!({ "code": word(code), "message": message }).to_string().into_bytes())
}

/// The answer that says what a status says.
pub fn of_status(status: &Status) -> Response {
    let mut response = super::json(http_status(status.code()), body(status).to_string().into_bytes());
    let headers = response.headers_mut();
    if let Some(delay) = status.get_details_retry_info().and_then(|info| info.retry_delay) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(delay.as_millis().div_ceil(1_000).max(1) as u64));
    }
    if status.code() == Code::Unauthenticated {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// A status in JSON.
pub fn body(status: &Status) -> Value {
    let details = tonic_types::Status::decode(status.details()).map(|status| status.details).unwrap_or_default();
    let detail = |detail: &prost_types::Any| {
        let kind = detail.type_url.rsplit('/').next().unwrap_or_default();
        let read = DETAILS.get_message_by_name(kind).and_then(|kind| DynamicMessage::decode(kind, &*detail.value).ok());
        let shown = read.and_then(|message| serde_json::to_value(message).ok());
        json!({ "type": kind, "value": STANDARD_NO_PAD.encode(&detail.value), "debug": shown })
    };
    let mut body = json!({ "code": word(status.code()), "message": status.message() });
    if !details.is_empty() {
        body["details"] = details.iter().map(detail).collect();
    }
    body
}

/// A code as the Connect protocol writes it.
fn word(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "canceled",
        Code::Unknown => "unknown",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
    }
}

/// The status of HTTP that the Connect protocol has for a code.
fn http_status(code: Code) -> StatusCode {
    let number = match code {
        Code::Ok => 200,
        Code::Cancelled => 499,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound => 404,
        Code::AlreadyExists | Code::Aborted => 409,
        Code::ResourceExhausted => 429,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        Code::DeadlineExceeded => 504,
        Code::Unknown | Code::Internal | Code::DataLoss => 500,
    };
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

#[cfg(test)]
#[path = "tests/failure.rs"]
mod tests;
