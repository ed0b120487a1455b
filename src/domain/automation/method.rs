//! The methods of requests.

use serde::{Deserialize, Serialize};

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// `POST`: make something.
    Post,
    /// `PUT`: replace something.
    Put,
    /// `PATCH`: change a part of something.
    Patch,
    /// `DELETE`: delete something.
    Delete,
    /// `GET`: ask for something, without a body.
    Get,
    /// `HEAD`: ask whether something is there, without a body.
    Head,
}

impl Method {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
            Method::Get => "GET",
            Method::Head => "HEAD",
        }
    }

    /// Whether a request of it may have a body.
    pub fn takes_body(self) -> bool {
        !matches!(self, Method::Get | Method::Head)
    }
}
