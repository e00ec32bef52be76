//! Space that nothing needs any more, given back while pushes go on.
//!
//! A repository's blob that no manifest needs is let go after a day in which nobody linked it or
//! asked for it: a push asks before it uploads, and that is its lease. Bytes that no repository
//! links are removed row first, then file; a push of the same bytes holds their [`Turn`] from
//! before its file is in place until its row is, and so never meets a removal.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

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

/// One turn for each of what only one may work on at a time: the bytes of a digest that come or go, say.
pub(crate) struct Turns<K> {
    turns: Mutex<HashMap<K, Arc<tokio::sync::Mutex<()>>>>,
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self { turns: Mutex::default() }
    }
}

/// Until it is dropped it is nobody else's turn.
pub(crate) struct Turn<K: Eq + Hash> {
    turns: Arc<Turns<K>>,
    of: K,
    held: Option<OwnedMutexGuard<()>>,
}

impl<K: Clone + Eq + Hash> Turns<K> {
    pub(crate) async fn take(self: &Arc<Self>, of: &K) -> Turn<K> {
        // Whoever gives up waiting tidies up, too.
        let mut turn = Turn { turns: Arc::clone(self), of: of.clone(), held: None };
        let waited_for = Arc::clone(self.turns.lock().entry(of.clone()).or_default());
        turn.held = Some(waited_for.lock_owned().await);
        turn
    }
}

impl<K: Eq + Hash> Drop for Turn<K> {
    fn drop(&mut self) {
        drop(self.held.take());
        let mut turns = self.turns.turns.lock();
        // The map's own is the last: nobody waits.
        if turns.get(&self.of).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            turns.remove(&self.of);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time_for_each_and_nothing_is_left_behind() {
        let turns = Arc::new(Turns::default());
        let first = turns.take(&1).await;
        let other = turns.take(&2).await;
        let waiting = tokio::spawn({
            let turns = Arc::clone(&turns);
            async move { drop(turns.take(&1).await) }
        });
        // Somebody who gives up waiting leaves the others their turn.
        let wait = std::time::Duration::from_secs(1);
        assert!(tokio::time::timeout(wait, turns.take(&1)).await.is_err());
        assert!(!waiting.is_finished());
        drop(first);
        waiting.await.expect("gets its turn");
        drop(other);
        // And if they were the last: the turn had come when they were gone.
        let first = turns.take(&1).await;
        let mut last = Box::pin(turns.take(&1));
        assert!(tokio::time::timeout(wait, &mut last).await.is_err());
        drop(first);
        assert!(!turns.turns.lock().is_empty(), "somebody waits");
        drop(last);
        assert!(turns.turns.lock().is_empty());
    }
}
