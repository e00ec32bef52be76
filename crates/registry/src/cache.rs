//! Manifests kept in memory: what tools ask for all day.
//!
//! Only this process pushes while it serves; what the command line changes is noticed within a
//! second. A reader that missed takes note of
//! the generation before it asks the store, and puts its answer here only if no change was committed
//! since: an answer can be old when it is given, never afterwards.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use metastore::RegistryId;
use oci::{Reference, Repository};
use parking_lot::RwLock;

use crate::Pulled;

/// Whose manifests.
type Key = (RegistryId, Repository);

/// Shared by all clones of a registry.
#[derive(Default)]
pub(crate) struct ManifestCache {
    inner: RwLock<Inner>,
    /// Up to where the store's log of changes is taken into account.
    followed: AtomicI64,
}

#[derive(Default)]
struct Inner {
    /// Counts the committed changes.
    generation: u64,
    repositories: HashMap<Key, HashMap<Reference, Arc<Pulled>>>,
    bytes: usize,
    /// What the store last said of changes by other programs.
    elsewhere: i64,
}

/// When a reader began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u64);

impl ManifestCache {
    /// The manifest, or since when whoever looks it up must not be overtaken.
    pub(crate) fn get(&self, key: &Key, reference: &Reference) -> Result<Arc<Pulled>, Generation> {
        let inner = self.inner.read();
        let found = inner.repositories.get(key).and_then(|known| known.get(reference));
        found.cloned().ok_or(Generation(inner.generation))
    }

    /// Since when whoever looks something up must not be overtaken.
    pub(crate) fn generation(&self) -> Generation {
        Generation(self.inner.read().generation)
    }

    /// Keeps what the store said, unless something has changed since `began`.
    pub(crate) fn put(&self, key: Key, reference: Reference, pulled: &Arc<Pulled>, began: Generation) {
        if pulled.manifest.bytes.len() > MANIFEST_BYTES_MAX {
            return;
        }
        let mut inner = self.inner.write();
        if Generation(inner.generation) != began {
            return;
        }
        let bytes = cost(pulled);
        if inner.bytes + bytes > BYTES_MAX {
            inner.clear();
        }
        inner.bytes += bytes;
        let replaced = inner.repositories.entry(key).or_default().insert(reference, Arc::clone(pulled));
        inner.bytes -= replaced.map_or(0, |replaced| cost(&replaced));
    }

    /// Up to where the store's log of changes is taken into account.
    pub(crate) fn followed(&self) -> i64 {
        self.followed.load(Ordering::Acquire)
    }

    /// Forgets the repositories of those row numbers: the log says so up to `upto`.
    pub(crate) fn forget(&self, repository_ids: &HashSet<i64>, upto: i64) {
        let mut inner = self.inner.write();
        inner.generation += 1;
        let mut gone = 0;
        inner.repositories.retain(|_, known| {
            let is_it = known.values().next().is_some_and(|one| repository_ids.contains(&one.repository_id));
            if is_it {
                gone += known.values().map(|pulled| cost(pulled)).sum::<usize>();
            }
            !is_it
        });
        inner.bytes = inner.bytes.saturating_sub(gone);
        drop(inner);
        self.followed.store(upto, Ordering::Release);
    }

    /// Forgets everything: the log says too much up to `upto`.
    pub(crate) fn forget_all(&self, upto: i64) {
        self.inner.write().clear();
        self.followed.store(upto, Ordering::Release);
    }

    /// Forgets everything if another program has changed the rows since this was last called.
    pub(crate) fn changed_elsewhere(&self, seen: i64) -> bool {
        if self.inner.read().elsewhere == seen {
            return false;
        }
        let mut inner = self.inner.write();
        inner.elsewhere = seen;
        inner.clear();
        true
    }

    /// Forgets a repository: a change of it has been committed.
    pub(crate) fn changed(&self, key: &Key) {
        let mut inner = self.inner.write();
        inner.generation += 1;
        if let Some(gone) = inner.repositories.remove(key) {
            let bytes: usize = gone.values().map(|pulled| cost(pulled)).sum();
            inner.bytes = inner.bytes.saturating_sub(bytes);
        }
    }
}

impl Inner {
    fn clear(&mut self) {
        self.generation += 1;
        self.repositories.clear();
        self.bytes = 0;
    }
}

fn cost(pulled: &Pulled) -> usize {
    pulled.manifest.bytes.len() + ENTRY_BYTES
}

/// Together; then it starts anew.
const BYTES_MAX: usize = 16 << 20;
/// Larger ones are rare, and their transfer costs more than their look-up.
const MANIFEST_BYTES_MAX: usize = 256 << 10;
/// What an entry costs besides its bytes, about.
const ENTRY_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use metastore::{ManifestKind, StoredManifest};
    use oci::{Digest, MediaType};

    use super::*;

    fn manifest(len: usize) -> Arc<Pulled> {
        let manifest = StoredManifest {
            digest: Digest::sha256(b"x"),
            media_type: MediaType::new(MediaType::OCI_MANIFEST),
            kind: ManifestKind::Image,
            bytes: vec![0; len],
            is_readable: true,
        };
        Arc::new(Pulled::sample(manifest, 7))
    }

    fn key(name: &str) -> Key {
        (RegistryId(1), name.parse().expect("a name"))
    }

    #[test]
    fn an_answer_that_was_overtaken_is_not_kept() {
        let cache = ManifestCache::default();
        let tag: Reference = "latest".parse().expect("a tag");
        let began = cache.get(&key("a"), &tag).expect_err("empty");
        cache.changed(&key("a"));
        cache.put(key("a"), tag.clone(), &manifest(1), began);
        let began = cache.get(&key("a"), &tag).expect_err("overtaken");
        cache.put(key("a"), tag.clone(), &manifest(1), began);
        assert!(cache.get(&key("a"), &tag).is_ok());
        assert!(cache.get(&key("b"), &tag).is_err());
        cache.changed(&key("a"));
        assert!(cache.get(&key("a"), &tag).is_err());
        assert_eq!(cache.inner.read().bytes, 0);
    }

    #[test]
    fn what_the_log_names_is_forgotten_and_nothing_else() {
        let cache = ManifestCache::default();
        let tag: Reference = "latest".parse().expect("a tag");
        let began = cache.generation();
        cache.put(key("a"), tag.clone(), &manifest(1), began);
        cache.forget(&HashSet::from([8]), 5);
        assert!(cache.get(&key("a"), &tag).is_ok());
        cache.put(key("b"), tag.clone(), &manifest(1), began);
        assert!(cache.get(&key("b"), &tag).is_err(), "it was looked up before the change");
        cache.forget(&HashSet::from([7]), 6);
        assert!(cache.get(&key("a"), &tag).is_err());
        assert_eq!((cache.inner.read().bytes, cache.followed()), (0, 6));
    }

    #[test]
    fn its_size_is_bounded() {
        let cache = ManifestCache::default();
        for number in 0..200 {
            let tag: Reference = format!("t{number}").parse().expect("a tag");
            let began = cache.get(&key("a"), &tag).expect_err("new");
            cache.put(key("a"), tag, &manifest(MANIFEST_BYTES_MAX), began);
            assert!(cache.inner.read().bytes <= BYTES_MAX);
        }
        let tag: Reference = "huge".parse().expect("a tag");
        let began = cache.get(&key("a"), &tag).expect_err("new");
        cache.put(key("a"), tag.clone(), &manifest(MANIFEST_BYTES_MAX + 1), began);
        assert!(cache.get(&key("a"), &tag).is_err());
    }
}
