//! `POST /v1/accounts/{account}/events`: events from anywhere, in the form that their platform has, become one batch.

use axum::{
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Request, StatusCode, Uri, header};
use prost::Message;
use serde_json::json;
use tonic::Status;

use super::{
    Asked, Web, answer,
    content::Compression,
    failure::{self, Failure},
    forms::{self, Fault},
    message::{self, framed, received},
    without_query,
};
use crate::{
    domain::id::AccountId,
    grpc::{Identified, IngestFor, invalid, pb, whole_bytes_max},
};

/// The method that events go to.
const PUBLISH_BATCH: &str = "/hookline.v1.EventService/PublishBatch";
/// When to send again what was not taken in, in seconds, where nothing else is said.
const RETRY_AFTER_SECONDS: u64 = 1;
/// The reason of what is a fault of the server.
const INTERNAL: &str = "INTERNAL";

/// What became of the forms before the services saw anything: which places the events have that they see, and what is wrong
/// with the others.
#[derive(Clone, Default)]
struct Sorted {
    places: Vec<usize>,
    faults: Vec<(usize, Fault)>,
}

/// Takes events in.
pub async fn events(
    State(web): State<Web>,
    account: Result<Path<String>, PathRejection>,
    mut request: Request<Body>,
) -> Response {
    let account = account.map_err(|_| invalid("account", "the account's id in the path is not UTF-8"));
    let account = match account.and_then(|Path(id)| message::account(&id)) {
        Ok(account) => account,
        Err(status) => return failure::of_status(&status),
    };
    let compression = match without_query(&request)
        .and_then(|()| Compression::of(request.headers(), "content-encoding").map_err(Failure::from))
    {
        Ok(compression) => compression,
        Err(failure) => return failure.into_response(),
    };
    *request.uri_mut() = Uri::from_static(PUBLISH_BATCH);
    request.extensions_mut().insert(IngestFor(account.clone()));
    let mut answer = web.through(request, Asked::Events { account, compression }).await;
    let sorted = answer.extensions_mut().remove::<Sorted>().unwrap_or_default();
    let published = answer::message(answer).await.and_then(|wire| {
        pb::PublishBatchResponse::decode(wire)
            .map_err(|error| Status::internal(format!("an answer cannot be read: {error}")))
    });
    match published {
        Ok(published) => told(&sorted, &published.results),
        Err(status) => failure::of_status(&status),
    }
}

/// Behind the doors: the forms become a batch. What is in none of them is told beside the others.
pub async fn to_services(
    request: Request<Body>,
    account: &AccountId,
    compression: Compression,
) -> Result<(Request<Body>, Sorting), Status> {
    let parent = format!("accounts/{account}");
    let (parts, body) = request.into_parts();
    let most = whole_bytes_max(PUBLISH_BATCH);
    let body = received(body).await?;
    // What came slowly is taken in only from those who are still known.
    if let Some(identified) = parts.extensions.get::<Identified>() {
        identified.check().await?;
    }
    let bytes = compression.inflated(body, most)?;
    let (mut batch, mut sorted) = (pb::PublishBatchRequest { parent, events: Vec::new() }, Sorted::default());
    for (place, read) in forms::read(&parts.headers, &bytes)?.into_iter().enumerate() {
        match read {
            Ok(event) => {
                sorted.places.push(place);
                batch.events.push(event);
            }
            Err(fault) => sorted.faults.push((place, fault)),
        }
    }
    let is_empty = batch.events.is_empty();
    Ok((framed(parts, &batch.encode_to_vec()), Sorting { sorted, is_empty }))
}

/// How the forms were sorted, on the way to whoever tells of it.
pub struct Sorting {
    sorted: Sorted,
    /// Whether there is nothing for the services.
    pub is_empty: bool,
}

impl Sorting {
    /// Goes along with an answer.
    pub fn with(self, mut answer: Response) -> Response {
        answer.extensions_mut().insert(self.sorted);
        answer
    }
}

/// The answer of services that had nothing to do.
pub fn nothing() -> Response {
    message::in_envelope(0, &pb::PublishBatchResponse::default().encode_to_vec()).into_response()
}

/// What became of each event, and of all: some are to be sent again; or some were refused; or all are durable.
fn told(sorted: &Sorted, results: &[pb::EventResult]) -> Response {
    let count = sorted.places.len() + sorted.faults.len();
    let mut told: Vec<_> = (0..count).map(|index| json!({ "index": index, "status": "ACCEPTED" })).collect();
    let (mut is_refused, mut is_open, mut retry_after) = (false, false, RETRY_AFTER_SECONDS);
    for (place, fault) in &sorted.faults {
        is_refused = true;
        told[*place] = json!({
            "index": place, "status": "REJECTED", "field": fault.field, "reason": fault.reason, "message": fault.message,
        });
    }
    for result in results {
        let Some(place) = usize::try_from(result.index).ok().and_then(|at| sorted.places.get(at)) else { continue };
        let status = pb::EventStatus::try_from(result.status).unwrap_or_default();
        let field = result.field.replacen(&format!("events[{}]", result.index), &format!("events[{place}]"), 1);
        told[*place] = match status {
            pb::EventStatus::Duplicate => json!({ "index": place, "status": "DUPLICATE" }),
            _ => json!({
                "index": place,
                "status": status.as_str_name().trim_start_matches("EVENT_STATUS_"),
                "field": field,
                "reason": result.reason,
                "message": result.message,
            }),
        };
        match status {
            pb::EventStatus::Rejected if result.reason == INTERNAL => is_open = true,
            pb::EventStatus::Rejected => is_refused = true,
            pb::EventStatus::RetryLater => {
                is_open = true;
                let seconds = result.retry_after.as_ref().map(|wait| wait.seconds.unsigned_abs() + 1);
                retry_after = retry_after.max(seconds.unwrap_or_default());
            }
            _ => {}
        }
    }
    let status = match (is_open, is_refused) {
        (true, _) => StatusCode::SERVICE_UNAVAILABLE,
        (false, true) => StatusCode::BAD_REQUEST,
        (false, false) => StatusCode::OK,
    };
    let mut response = super::json(status, json!({ "results": told }).to_string().into_bytes());
    if is_open {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after));
    }
    response
}
