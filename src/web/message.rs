//! Messages between the forms that HTTP has and the wire's.

use axum::body::{Body, Bytes};
use bytes::{BufMut, BytesMut};
use http::{HeaderValue, Request, header};
use http_body_util::BodyExt;
use prost::Message;
use prost_reflect::{DeserializeOptions, DynamicMessage, MessageDescriptor, MethodDescriptor, SerializeOptions};
use tonic::Status;

use super::content::{Compression, Content, Form};
use crate::{
    domain::id::AccountId,
    grpc::{POOL, check_json, invalid, malformed, whole_bytes_max},
};

/// What precedes a message in a stream: its flags, and its length.
pub const ENVELOPE_BYTES: usize = 5;
/// The flag of an envelope whose message is compressed.
const COMPRESSED: u8 = 1;

/// The method that a path names, `/hookline.v1.WebhookService/GetWebhook`.
pub fn method(path: &str) -> Option<MethodDescriptor> {
    let (service, name) = path.strip_prefix('/')?.split_once('/')?;
    POOL.get_service_by_name(service)?.methods().find(|method| method.name() == name)
}

/// A request as the services take it.
pub async fn to_services(
    request: Request<Body>,
    method: &MethodDescriptor,
    content: Content,
    compression: Compression,
) -> Result<Request<Body>, Status> {
    let most = whole_bytes_max(request.uri().path());
    let (parts, body) = request.into_parts();
    let mut bytes = received(body).await?;
    let mut compression = compression;
    if content.is_stream {
        let is_compressed;
        (bytes, is_compressed) = out_of_envelope(&bytes)?;
        compression = if is_compressed { compression } else { Compression::None };
    }
    let bytes = compression.inflated(bytes, most)?;
    let wire = match content.form {
        Form::Json => from_json(&method.input(), &bytes)?,
        Form::Proto => bytes.to_vec(),
    };
    Ok(framed(parts, &wire))
}

/// A whole body.
pub async fn received(body: Body) -> Result<Bytes, Status> {
    let collected = body.collect().await.map_err(|error| Status::from_error(Box::new(error)))?;
    Ok(collected.to_bytes())
}

/// A message out of its envelope, and whether it is compressed.
fn out_of_envelope(bytes: &Bytes) -> Result<(Bytes, bool), Status> {
    let Some(([flags, length @ ..], message)) = bytes.split_first_chunk::<ENVELOPE_BYTES>() else {
        return Err(malformed("it needs an envelope: a byte of flags and four of its length, then the message"));
    };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if length != message.len() || *flags > COMPRESSED {
        return Err(malformed("its envelope does not hold exactly one message"));
    }
    Ok((bytes.slice(ENVELOPE_BYTES..), *flags == COMPRESSED))
}

/// A message in an envelope; gRPC's own has the same shape.
pub fn in_envelope(flags: u8, message: &[u8]) -> Bytes {
    let mut envelope = BytesMut::with_capacity(ENVELOPE_BYTES + message.len());
    envelope.put_u8(flags);
    envelope.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    envelope.put_slice(message);
    envelope.freeze()
}

/// A call of gRPC with one message.
pub fn framed(mut parts: http::request::Parts, wire: &[u8]) -> Request<Body> {
    for name in [header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::TRANSFER_ENCODING] {
        parts.headers.remove(name);
    }
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    parts.headers.insert(header::TE, HeaderValue::from_static("trailers"));
    Request::from_parts(parts, Body::from(in_envelope(0, wire)))
}

/// A message of a kind from JSON, on the wire.
pub fn from_json(kind: &MessageDescriptor, json: &[u8]) -> Result<Vec<u8>, Status> {
    check_json(kind.full_name(), json)?;
    let mut reader = serde_json::Deserializer::from_slice(json);
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let message = DynamicMessage::deserialize_with_options(kind.clone(), &mut reader, &options);
    let message = message.and_then(|message| reader.end().map(|()| message));
    message.map(|message| message.encode_to_vec()).map_err(|error| malformed(&error.to_string()))
}

/// A message of a kind in JSON, from the wire.
pub fn to_json(kind: &MessageDescriptor, wire: &[u8]) -> Result<Vec<u8>, Status> {
    let message = DynamicMessage::decode(kind.clone(), wire);
    let message = message.map_err(|error| Status::internal(format!("an answer cannot be read: {error}")))?;
    let mut json = Vec::with_capacity(wire.len() * 2);
    let written = message.serialize_with_options(&mut serde_json::Serializer::new(&mut json), &SerializeOptions::new());
    written.map_err(|error| Status::internal(format!("an answer cannot be written: {error}")))?;
    Ok(json)
}

/// The account that a path names.
pub fn account(id: &str) -> Result<AccountId, Status> {
    let one = |error| invalid("account", format!("must be the id of one account: {error}"));
    id.parse().map_err(|error: String| one(error))
}
