//! What a call sends, watched as it comes in: how long each message says it is, before anything is set aside for it, and how
//! long it takes.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::sync::PollSemaphore;
use tonic::Status;

use super::{
    bounds::{MethodBounds, TooLarge},
    status,
};

/// What precedes a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// How the messages of a body are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Each follows its length, as gRPC has them.
    Prefixed,
    /// The body is one message, in another form than protobuf's.
    Whole,
}

/// The body of a request.
pub struct ReceivingBody {
    body: Body,
    method: MethodBounds,
    framing: Framing,
    /// How much of a body came in that is one message.
    received: usize,
    budgets: Vec<PollSemaphore>,
    held: Vec<OwnedSemaphorePermit>,
    timeout: Duration,
    /// When the message must be whole; for a call with one message, when the body must have ended.
    deadline: Option<Pin<Box<Sleep>>>,
    prefix: [u8; PREFIX_BYTES],
    prefix_bytes: usize,
    /// How much of the message is still to come.
    missing: usize,
    /// What was read and waits for room among the bytes that are received at once.
    waiting: Option<(Bytes, usize)>,
    has_failed: bool,
}

/// What bytes say of messages.
struct Followed {
    /// Whether the message that is under way at their end began in them.
    begins: bool,
    /// How much room that message wants, where it said so in them.
    wanted: Option<usize>,
}

impl ReceivingBody {
    /// A body whose messages take their room from these budgets.
    pub fn new(
        body: Body,
        method: MethodBounds,
        framing: Framing,
        budgets: Vec<Arc<Semaphore>>,
        timeout: Duration,
    ) -> Self {
        let deadline = (!method.is_stream).then(|| Box::pin(sleep_until(Instant::now() + timeout)));
        Self {
            body,
            method,
            framing,
            received: 0,
            budgets: budgets.into_iter().map(PollSemaphore::new).collect(),
            held: Vec::new(),
            timeout,
            deadline,
            prefix: [0; PREFIX_BYTES],
            prefix_bytes: 0,
            missing: 0,
            waiting: None,
            has_failed: false,
        }
    }

    /// Bytes came of a body that is one message: its length is said before it, or it may be as long as it is.
    fn follow_whole(&mut self, bytes: usize) -> Result<Followed, TooLarge> {
        let begins = self.received == 0;
        self.received += bytes;
        let most = self.method.whole_bytes_max;
        let missing = match self.body.size_hint().exact() {
            Some(missing) => usize::try_from(missing).unwrap_or(usize::MAX),
            None => most.saturating_sub(self.received),
        };
        let whole = self.received.saturating_add(missing);
        if whole > most {
            return Err(TooLarge::Bytes { bytes: whole, most });
        }
        Ok(Followed { begins, wanted: Some(missing).filter(|missing| begins && *missing > 0) })
    }

    /// Goes through bytes as they came.
    fn follow(&mut self, mut bytes: &[u8]) -> Result<Followed, TooLarge> {
        if self.framing == Framing::Whole {
            return self.follow_whole(bytes.len());
        }
        let mut followed = Followed { begins: self.is_between_messages(), wanted: None };
        while !bytes.is_empty() {
            if self.missing > 0 {
                let part = self.missing.min(bytes.len());
                self.missing -= part;
                bytes = &bytes[part..];
                if self.missing == 0 {
                    followed = Followed { begins: true, wanted: None };
                }
                continue;
            }
            let part = (PREFIX_BYTES - self.prefix_bytes).min(bytes.len());
            self.prefix[self.prefix_bytes..self.prefix_bytes + part].copy_from_slice(&bytes[..part]);
            self.prefix_bytes += part;
            bytes = &bytes[part..];
            if self.prefix_bytes == PREFIX_BYTES {
                self.prefix_bytes = 0;
                let [_, length @ ..] = self.prefix;
                let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                if length > self.method.bytes_max {
                    return Err(TooLarge::Bytes { bytes: length, most: self.method.bytes_max });
                }
                self.missing = length;
                // What has come with its beginning is in memory already.
                followed.wanted = Some(length.saturating_sub(bytes.len())).filter(|wanted| *wanted > 0);
            }
        }
        Ok(followed)
    }

    fn is_between_messages(&self) -> bool {
        self.missing == 0 && self.prefix_bytes == 0 && self.received == 0
    }

    /// A stream may be silent between its messages, never in one; each has its own time.
    fn watch_the_clock(&mut self, begins: bool) {
        if !self.method.is_stream {
            return;
        }
        if self.is_between_messages() {
            self.deadline = None;
        } else if begins || self.deadline.is_none() {
            self.deadline = Some(Box::pin(sleep_until(Instant::now() + self.timeout)));
        }
    }

    fn poll_room(&mut self, context: &mut Context<'_>, bytes: usize) -> Poll<Result<(), Status>> {
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        while self.held.len() < self.budgets.len() {
            let budget = &mut self.budgets[self.held.len()];
            match ready!(budget.poll_acquire_many(context, permits)) {
                Some(permit) => self.held.push(permit),
                None => return Poll::Ready(Err(status::stopping())),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if let Some((bytes, wanted)) = self.waiting.take() {
                match self.poll_room(context, wanted) {
                    Poll::Ready(Ok(())) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                    Poll::Ready(Err(status)) => return Poll::Ready(Some(Err(status))),
                    Poll::Pending => {
                        self.waiting = Some((bytes, wanted));
                        return Poll::Pending;
                    }
                }
            }
            if self.is_between_messages() {
                // Whoever reads has taken the message by now.
                self.held.clear();
            }
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(Status::from_error(Box::new(error))))),
                Some(Ok(frame)) => match frame.into_data() {
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                    Ok(bytes) => {
                        let followed = match self.follow(&bytes) {
                            Ok(followed) => followed,
                            Err(fault) => return Poll::Ready(Some(Err(status::too_large(&fault)))),
                        };
                        self.watch_the_clock(followed.begins);
                        if let Some(wanted) = followed.wanted {
                            // Another message than the one that had room before.
                            self.held.clear();
                            self.waiting = Some((bytes, wanted));
                        } else {
                            return Poll::Ready(Some(Ok(Frame::data(bytes))));
                        }
                    }
                },
            }
        }
    }
}

impl HttpBody for ReceivingBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.has_failed {
            return Poll::Ready(None);
        }
        let polled = self.poll_next(context);
        let is_late = polled.is_pending()
            && self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(context).is_ready());
        let polled = if is_late { Poll::Ready(Some(Err(status::slow_message(self.timeout)))) } else { polled };
        if matches!(polled, Poll::Ready(Some(Err(_)))) {
            self.has_failed = true;
            // Whoever waits for room gets it now, also where the answer takes its time.
            self.held.clear();
            self.budgets.clear();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.waiting.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
#[path = "tests/receiving.rs"]
mod tests;
