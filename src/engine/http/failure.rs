//! What kept an answer from coming: whose fault it was, and whether the endpoint may have seen the request.

use std::fmt;
use std::{error::Error, io};

use hyper_util::client::legacy::Error as PoolError;

use crate::domain::attempt::{Outcome, Reason};

/// Errors of the system that say that this machine has no more of something: files of the process, of the system, memory,
/// buffers, ports.
const OUT_OF: [i32; 5] = [24, 23, 12, 105, 99];

/// An error and what caused it. I/O errors wrap each other, and their `source` leaves out what they wrap.
fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    let inner = |found: &'e (dyn Error + 'static)| -> Option<&'e (dyn Error + 'static)> {
        match found.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
            None => found.source(),
        }
    };
    std::iter::successors(Some(error), move |found| inner(*found))
}

/// Whether this machine, not the endpoint, kept a request from being sent.
pub fn is_fault_of_ours(error: &(dyn Error + 'static)) -> bool {
    let is_ours = |found: &(dyn Error + 'static)| {
        found.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error).is_some_and(|code| OUT_OF.contains(&code))
    };
    chain(error).any(is_ours)
}

/// What the pool of connections says of a request of which no byte was written: its connection closed before, or another
/// one was being made. The kind of its errors is not public.
const UNSENT: &str = "client error (Canceled)";

/// Whether the endpoint has certainly not processed a request, because it says so or because nothing was sent: it may go out
/// again at once.
pub fn is_unprocessed(error: &(dyn Error + 'static)) -> bool {
    let is_unsent = |found: &(dyn Error + 'static)| {
        found.downcast_ref::<PoolError>().is_some_and(|error| error.to_string() == UNSENT)
    };
    let says_so = |found: &(dyn Error + 'static)| {
        found.downcast_ref::<h2::Error>().is_some_and(|error| {
            let is_above_the_last = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
            let is_refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
            error.is_remote() && (is_above_the_last || is_refused)
        })
    };
    chain(error).any(|found| says_so(found) || is_unsent(found))
}

/// What kind of failure it is.
pub fn classify(failure: &reqwest::Error) -> Outcome {
    // Before a connection is there nothing was sent; after that the endpoint may have got all of it.
    let was_sent = !failure.is_connect();
    let outcome = |kind, message| Outcome::Error { kind, message, was_sent };
    if is_fault_of_ours(failure) {
        let message = "this server has no more files, ports or memory for connections: see its log".to_owned();
        return outcome(Reason::Internal, message);
    }
    let mut last = String::new();
    for found in chain(failure) {
        if let Some(resolve) = found.downcast_ref::<ResolveError>() {
            let kind = match resolve {
                ResolveError::Lookup(_) => Reason::Dns,
                ResolveError::Internal(_) => Reason::Internal,
                ResolveError::Blocked(_) => Reason::BlockedAddress,
            };
            return Outcome::Error { kind, message: resolve.to_string(), was_sent: false };
        }
        if let Some(tls) = found.downcast_ref::<rustls::Error>() {
            let hint = match tls {
                rustls::Error::InvalidMessage(_) => "the endpoint does not speak TLS: ",
                _ => "",
            };
            return outcome(Reason::Tls, format!("{hint}{tls}"));
        }
        last = found.to_string();
    }
    outcome(if failure.is_timeout() { Reason::Timeout } else { Reason::Connect }, last)
}

/// A name did not lead to an address that may be used.
#[derive(Debug)]
pub enum ResolveError {
    /// It could not be looked up.
    Lookup(String),
    /// It could not be looked up, for a reason of ours.
    Internal(String),
    /// Every address is blocked.
    Blocked(String),
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResolveError::Lookup(error) | ResolveError::Internal(error) => {
                write!(f, "the host name could not be looked up: {error}")
            }
            ResolveError::Blocked(name) => {
                write!(f, "{name} leads only to private, local or otherwise special addresses")
            }
        }
    }
}

impl Error for ResolveError {}

#[cfg(test)]
#[path = "tests/failure.rs"]
mod tests;
