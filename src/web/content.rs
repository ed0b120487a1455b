//! What a body is made of, as its headers say.

use std::io::Read;

use axum::body::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, header};
use tonic::Status;

use crate::grpc::{invalid, message_too_large};

/// The form of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// JSON, as protobuf has it.
    Json,
    /// The wire's own.
    Proto,
}

impl Form {
    /// The content type of a single message.
    pub fn content_type(self) -> &'static str {
        match self {
            Form::Json => "application/json",
            Form::Proto => "application/proto",
        }
    }

    /// The content type of a stream of them.
    pub fn stream_type(self) -> &'static str {
        match self {
            Form::Json => "application/connect+json",
            Form::Proto => "application/connect+proto",
        }
    }
}

/// What a call has in its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// The form of its messages.
    pub form: Form,
    /// Whether they come in envelopes, as those of streams do.
    pub is_stream: bool,
}

impl Content {
    /// What the headers say, if it is a form that calls have.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let kind = media_type(headers)?;
        let forms = [Form::Json, Form::Proto];
        let of_form = |form: Form| {
            let is_stream = [(form.content_type(), false), (form.stream_type(), true)];
            is_stream.into_iter().find(|(text, _)| *text == kind).map(|(_, is_stream)| Self { form, is_stream })
        };
        forms.into_iter().find_map(of_form)
    }
}

/// The media type of a body, in small letters; none where it is given twice, or is in another charset than UTF-8.
pub fn media_type(headers: &HeaderMap) -> Option<String> {
    let mut given = headers.get_all(header::CONTENT_TYPE).iter();
    let text = given.next()?.to_str().ok().filter(|_| given.next().is_none())?;
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next()?.to_ascii_lowercase();
    let is_utf8 = |parameter: &str| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        !name.eq_ignore_ascii_case("charset") || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
    };
    parts.all(is_utf8).then_some(kind)
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// It is not.
    None,
    /// By gzip.
    Gzip,
}

impl Compression {
    /// What a header says.
    pub fn of(headers: &HeaderMap, name: &str) -> Result<Self, Status> {
        match headers.get(name).map(|value| value.as_bytes()) {
            None | Some(b"identity" | b"") => Ok(Compression::None),
            Some(b"gzip") => Ok(Compression::Gzip),
            Some(_) => Err(Status::unimplemented(format!("{name}: only gzip and identity are understood"))),
        }
    }

    /// Bytes as they were before, within a bound.
    pub fn inflated(self, bytes: Bytes, most: usize) -> Result<Bytes, Status> {
        if self == Compression::None {
            return Ok(bytes);
        }
        let mut inflated = Vec::new();
        let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
        let read = GzDecoder::new(&*bytes).take(limit).read_to_end(&mut inflated);
        read.map_err(|error| invalid("content-encoding", format!("the body is no gzip: {error}")))?;
        if inflated.len() > most { Err(message_too_large(inflated.len(), most)) } else { Ok(inflated.into()) }
    }
}

#[cfg(test)]
#[path = "tests/content.rs"]
mod tests;
