//! What the services answer, as the Connect protocol has it.

use std::convert::Infallible;

use axum::{
    body::{Body, Bytes},
    response::{IntoResponse, Response},
};
use bytes::{Buf, BytesMut};
use futures::stream;
use http::{StatusCode, header};
use http_body_util::BodyExt;
use prost_reflect::MessageDescriptor;
use serde_json::json;
use tonic::{Code, Status};

use super::{
    content::Form,
    failure,
    message::{ENVELOPE_BYTES, in_envelope, to_json},
};

/// The flag of the envelope that ends a stream.
const END: u8 = 2;

/// The answer of a call with one message.
pub async fn one(answer: Response, kind: &MessageDescriptor, form: Form) -> Response {
    match message(answer).await.and_then(|wire| in_form(kind, &wire, form)) {
        Ok(body) => (StatusCode::OK, [(header::CONTENT_TYPE, form.content_type())], body).into_response(),
        Err(status) => failure::of_status(&status),
    }
}

/// The one message that a service answers.
pub async fn message(answer: Response) -> Result<Bytes, Status> {
    let (parts, body) = answer.into_parts();
    let collected = body.collect().await.map_err(|error| Status::from_error(Box::new(error)))?;
    let in_trailers = collected.trailers().and_then(Status::from_header_map);
    match Status::from_header_map(&parts.headers).or(in_trailers) {
        Some(status) if status.code() != Code::Ok => return Err(status),
        _ => {}
    }
    let mut bytes = collected.to_bytes();
    if bytes.len() < ENVELOPE_BYTES {
        return Err(Status::internal("a service answered nothing"));
    }
    bytes.advance(ENVELOPE_BYTES);
    Ok(bytes)
}

fn in_form(kind: &MessageDescriptor, wire: &[u8], form: Form) -> Result<Vec<u8>, Status> {
    match form {
        Form::Json => to_json(kind, wire),
        Form::Proto => Ok(wire.to_vec()),
    }
}

/// The answer of a call that streams: it has begun well whatever becomes of it, and its last envelope tells how it ended.
pub fn stream(answer: Response, kind: MessageDescriptor, form: Form) -> Response {
    let (parts, body) = answer.into_parts();
    let begun = Status::from_header_map(&parts.headers).filter(|status| status.code() != Code::Ok);
    let messages = Messages { body, kind, form, buffer: BytesMut::new(), ended: begun.map(Err), is_over: false };
    let envelopes = stream::unfold(messages, |mut messages| async move {
        let envelope = messages.next().await?;
        Some((Ok::<_, Infallible>(envelope), messages))
    });
    ([(header::CONTENT_TYPE, form.stream_type())], Body::from_stream(envelopes)).into_response()
}

/// The messages of a stream that is answered.
struct Messages {
    body: Body,
    kind: MessageDescriptor,
    form: Form,
    /// What came and is no whole message yet.
    buffer: BytesMut,
    /// How it ended.
    ended: Option<Result<(), Status>>,
    is_over: bool,
}

impl Messages {
    /// The next envelope; nothing after the last one.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.is_over {
                return None;
            }
            if let Some(wire) = self.whole_message() {
                match in_form(&self.kind, &wire, self.form) {
                    Ok(message) => return Some(in_envelope(0, &message)),
                    Err(status) => self.ended = Some(Err(status)),
                }
            }
            if let Some(ended) = self.ended.take() {
                self.is_over = true;
                let end = match &ended {
                    Ok(()) => json!({}),
                    Err(status) => json!({ "error": failure::body(status) }),
                };
                return Some(in_envelope(END, end.to_string().as_bytes()));
            }
            self.ended = match self.body.frame().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        self.buffer.extend_from_slice(&data);
                        None
                    }
                    Err(trailers) => {
                        let status = trailers.trailers_ref().and_then(Status::from_header_map);
                        Some(status.filter(|status| status.code() != Code::Ok).map_or(Ok(()), Err))
                    }
                },
                Some(Err(error)) => Some(Err(Status::from_error(Box::new(error)))),
                None => Some(Err(Status::unavailable("the answer was cut"))),
            };
        }
    }

    fn whole_message(&mut self) -> Option<BytesMut> {
        let (prefix, rest) = self.buffer.split_first_chunk::<ENVELOPE_BYTES>()?;
        let [_, length @ ..] = prefix;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        if rest.len() < length {
            return None;
        }
        self.buffer.advance(ENVELOPE_BYTES);
        Some(self.buffer.split_to(length))
    }
}
