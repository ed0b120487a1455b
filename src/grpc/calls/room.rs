//! Room for the events that are held unacknowledged: so many bytes in all, and so many more whose frames wait for it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tonic::Status;

use crate::grpc::calls::status;

/// How many bytes of all streams and batches are held unacknowledged; beyond that streams are read no further until there
/// is room.
pub const UNACKED_BYTES_OF_ALL_MAX: usize = 256 * 1024 * 1024;
/// How many bytes of frames that were read wait for room. A frame beyond that is turned away.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The room.
#[derive(Clone)]
pub struct Room {
    held: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Default for Room {
    fn default() -> Self {
        Self::new(UNACKED_BYTES_OF_ALL_MAX, WAITING_BYTES_MAX)
    }
}

impl Room {
    fn new(held: usize, waiting: usize) -> Self {
        Self { held: Arc::new(Semaphore::new(held)), waiting: Arc::new(Semaphore::new(waiting)) }
    }

    /// Waits until there is room for a frame; it is free again when it is dropped. Frames that were read take memory while
    /// they wait, too: where too many do, this one is turned away.
    pub async fn enter(&self, frame: &impl prost::Message) -> Result<OwnedSemaphorePermit, Status> {
        let bytes = u32::try_from(frame.encoded_len()).unwrap_or(u32::MAX);
        match Arc::clone(&self.held).try_acquire_many_owned(bytes) {
            Ok(room) => return Ok(room),
            Err(TryAcquireError::Closed) => return Err(status::stopping()),
            Err(TryAcquireError::NoPermits) => {}
        }
        let Ok(_waits) = self.waiting.try_acquire_many(bytes) else { return Err(status::full()) };
        Arc::clone(&self.held).acquire_many_owned(bytes).await.map_err(|_| status::stopping())
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::grpc::pb;

    fn frame(bytes: usize) -> pb::PublishRequest {
        pb::PublishRequest { parent: "x".repeat(bytes - 2), ..pb::PublishRequest::default() }
    }

    #[test]
    fn frames_wait_for_room_and_what_waits_is_bounded() {
        let room = Room::new(100, 50);
        let first = room.enter(&frame(90)).now_or_never().expect("at once").expect("has room");
        let (large, small) = (frame(40), frame(20));
        let mut waits = Box::pin(room.enter(&large));
        assert!(waits.as_mut().now_or_never().is_none(), "it waits");
        let refused = room.enter(&small).now_or_never().expect("at once").expect_err("too much waits");
        assert_eq!(refused.code(), tonic::Code::Unavailable);
        drop(first);
        let second = waits.now_or_never().expect("has its turn").expect("has room");
        assert_eq!(second.num_permits(), 40);
        assert!(room.enter(&small).now_or_never().expect("at once").is_ok());
    }
}
