//! Room in memory for what children say, and for what is made of it: shared out, so that many at once take
//! no more than one of the largest.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How much of a process's memory large documents may take. Clones share it.
#[derive(Clone, Debug)]
pub struct Room {
    shares: Arc<Semaphore>,
}

impl Default for Room {
    fn default() -> Self {
        Self { shares: Arc::new(Semaphore::new(SHARES as usize)) }
    }
}

impl Room {
    /// Waits for room for documents of that many bytes; more than there is takes all of it. The room is given
    /// back when the permit is dropped.
    ///
    /// # Panics
    /// Never: the semaphore is never closed.
    #[expect(clippy::expect_used, reason = "nothing closes the semaphore")]
    pub async fn take(&self, bytes: u64) -> OwnedSemaphorePermit {
        let shares = u32::try_from(bytes.div_ceil(SHARE_BYTES)).unwrap_or(SHARES).clamp(1, SHARES);
        Arc::clone(&self.shares).acquire_many_owned(shares).await.expect("it is never closed")
    }
}

const SHARES: u32 = 16;
const SHARE_BYTES: u64 = 1 << 20;
