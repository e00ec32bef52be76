//! Space that nothing needs any more, given back while pushes go on.
//!
//! A repository's blob that no manifest needs is let go after a day in which nobody linked it or
//! asked for it: a push asks before it uploads, and that is its lease. Bytes that no repository
//! links are removed row first, then file; a push of the same bytes holds their [`Committing`] from
//! before its file is in place until its row is, and so never meets a removal.

use std::collections::HashMap;
use std::sync::Arc;

use oci::Digest;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use crate::{Registry, StoreError};

/// What a collection gave back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Links of blobs that no manifest needed.
    pub unlinked: usize,
    /// Blobs whose bytes were removed.
    pub removed: usize,
}

/// One turn for each digest whose bytes come or go right now.
#[derive(Default)]
pub(crate) struct Turns {
    turns: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
}

/// The bytes of one digest are nobody else's to place or remove.
pub(crate) struct Committing {
    turns: Arc<Turns>,
    digest: Digest,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    pub(crate) async fn take(self: &Arc<Self>, digest: &Digest) -> Committing {
        let turn = Arc::clone(self.turns.lock().entry(digest.clone()).or_default());
        let turn = Some(turn.lock_owned().await);
        Committing { turns: Arc::clone(self), digest: digest.clone(), turn }
    }
}

impl Drop for Committing {
    fn drop(&mut self) {
        drop(self.turn.take());
        let mut turns = self.turns.turns.lock();
        // The map's own is the last: nobody waits.
        if turns.get(&self.digest).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            turns.remove(&self.digest);
        }
    }
}

impl Registry {
    /// Gives back what nothing needs: a step at a time, so that pushes go on in between.
    ///
    /// # Errors
    /// [`StoreError`] if the stores fail; what was given back stays so.
    pub async fn collect(&self) -> Result<Collected, StoreError> {
        let mut collected = Collected::default();
        while self.metastore.forget_expired((self.clock)(), STEP).await? > 0 {}
        let before_ms = (self.clock)() - LEASE_MS;
        loop {
            let unlinked = self.metastore.unlink_unneeded(before_ms, STEP).await?;
            collected.unlinked += unlinked;
            if unlinked < STEP {
                break;
            }
        }
        loop {
            let found = self.metastore.unlinked_blobs(STEP).await?;
            let is_last = found.len() < STEP;
            let mut removed = 0;
            for digest in found {
                let _turn = self.turns.take(&digest).await;
                // Linked again meanwhile: then it stays.
                if self.metastore.forget_blob(&digest).await? {
                    self.blobs.remove(&digest).await?;
                    removed += 1;
                }
            }
            collected.removed += removed;
            if is_last || removed == 0 {
                return Ok(collected);
            }
        }
    }
}

/// A push takes less than a day from its first blob to its manifest.
pub(crate) const LEASE_MS: i64 = 86_400_000;

/// Rows in one transaction.
const STEP: usize = 500;
