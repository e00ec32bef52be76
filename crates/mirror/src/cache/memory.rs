//! What was learnt of sources, for a while; and turns for those who want to learn the same.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use oci::Tag;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;
use upstream::UpstreamError;

use super::{Place, TagKey};

/// What was asked for: a place, and a reference or a blob.
pub(super) type Key = (Place, String);

#[derive(Default)]
pub(super) struct Memory {
    checked: HashMap<TagKey, Instant>,
    refused: HashMap<Key, Until>,
    /// By host.
    paused: HashMap<String, Until>,
}

struct Until {
    at: Instant,
    error: Arc<UpstreamError>,
}

impl Memory {
    /// When the source last said that the tag is right.
    pub(super) fn checked(&self, place: &Place, tag: &Tag) -> Option<Instant> {
        self.checked.get(&(place.clone(), tag.clone())).copied()
    }

    pub(super) fn note_checked(&mut self, place: &Place, tag: &Tag, now: Instant) {
        bound(&mut self.checked);
        self.checked.insert((place.clone(), tag.clone()), now);
    }

    /// What the source last said to this, or to anything, if it still holds.
    pub(super) fn refusal(&self, host: &str, key: &Key) -> Option<Arc<UpstreamError>> {
        let mut found = self.paused.get(host).into_iter().chain(self.refused.get(key));
        found.find(|until| until.at > Instant::now()).map(left)
    }

    pub(super) fn refuse(&mut self, key: Key, at: Instant, error: &Arc<UpstreamError>) {
        bound(&mut self.refused);
        self.refused.insert(key, Until { at, error: Arc::clone(error) });
    }

    pub(super) fn pause(&mut self, host: String, at: Instant, error: &Arc<UpstreamError>) {
        bound(&mut self.paused);
        self.paused.insert(host, Until { at, error: Arc::clone(error) });
    }
}

/// The error, with how long it still holds if it says so.
fn left(until: &Until) -> Arc<UpstreamError> {
    match &*until.error {
        UpstreamError::TooMany { host, .. } => {
            let left = until.at.saturating_duration_since(Instant::now());
            let retry_after_s = left.as_secs() + 1;
            Arc::new(UpstreamError::TooMany { host: host.clone(), retry_after_s })
        }
        _ => Arc::clone(&until.error),
    }
}

/// Forgetting costs a request each; remembering must not cost memory without end.
fn bound<K, V>(map: &mut HashMap<K, V>) {
    if map.len() >= ENTRIES_MAX {
        map.clear();
    }
}

/// One turn for each thing that is being asked for.
#[derive(Clone, Default)]
pub(super) struct Turns {
    turns: Arc<Mutex<HashMap<Key, Arc<tokio::sync::Mutex<()>>>>>,
}

pub(super) struct Turn {
    turns: Turns,
    key: Key,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    pub(super) async fn take(&self, key: &Key) -> Turn {
        let turn = Arc::clone(self.turns.lock().entry(key.clone()).or_default());
        let turn = Some(turn.lock_owned().await);
        Turn { turns: self.clone(), key: key.clone(), turn }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        drop(self.turn.take());
        release(&mut self.turns.turns.lock(), &self.key);
    }
}

/// Removes a turn for which nobody waits.
fn release<K: Eq + Hash>(turns: &mut HashMap<K, Arc<tokio::sync::Mutex<()>>>, key: &K) {
    if turns.get(key).is_some_and(|turn| Arc::strong_count(turn) == 1) {
        turns.remove(key);
    }
}

const ENTRIES_MAX: usize = 20_000;
