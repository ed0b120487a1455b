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
pub struct ByteBudget {
    held: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Default for ByteBudget {
    fn default() -> Self {
        Self::new(UNACKED_BYTES_OF_ALL_MAX, WAITING_BYTES_MAX)
    }
}

impl ByteBudget {
    fn new(held: usize, waiting: usize) -> Self {
        Self { held: Arc::new(Semaphore::new(held)), waiting: Arc::new(Semaphore::new(waiting)) }
    }

    /// Waits until there is room for a frame; it is free again when it is dropped. Frames that were read take memory while
    /// they wait, too: where too many do, this one is turned away.
    pub async fn enter(&self, frame: &impl prost::Message) -> Result<OwnedSemaphorePermit, Status> {
        let bytes = u32::try_from(frame.encoded_len()).unwrap_or(u32::MAX);
        match Arc::clone(&self.held).try_acquire_many_owned(bytes) {
            Ok(held) => return Ok(held),
            Err(TryAcquireError::Closed) => return Err(status::stopping()),
            Err(TryAcquireError::NoPermits) => {}
        }
        let Ok(_waits) = self.waiting.try_acquire_many(bytes) else { return Err(status::full()) };
        Arc::clone(&self.held).acquire_many_owned(bytes).await.map_err(|_| status::stopping())
    }
}

#[cfg(test)]
#[path = "tests/byte_budget.rs"]
mod tests;
