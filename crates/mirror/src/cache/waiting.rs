//! Manifests whose blobs are on their way.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use metastore::StoredManifest;
use oci::{Digest, Reference, Tag};
use tokio::time::Instant;

use super::{Place, TagKey};

#[derive(Default)]
pub(super) struct Waiting {
    manifests: HashMap<(Place, Digest), One>,
    tags: HashMap<TagKey, Digest>,
    bytes: usize,
}

struct One {
    manifest: Arc<StoredManifest>,
    tags: BTreeSet<Tag>,
    needed: BTreeSet<Digest>,
    missing: BTreeSet<Digest>,
    since: Instant,
    /// Somebody is making it the repository's own.
    is_taken: bool,
}

impl Waiting {
    /// Lets a manifest wait for the blobs; one that waits already gets the tag.
    pub(super) fn insert(
        &mut self,
        place: &Place,
        manifest: &Arc<StoredManifest>,
        tag: Option<Tag>,
        needed: BTreeSet<Digest>,
    ) {
        self.make_room(manifest.bytes.len());
        let key = (place.clone(), manifest.digest.clone());
        let bytes = &mut self.bytes;
        let one = self.manifests.entry(key).or_insert_with(|| {
            *bytes += manifest.bytes.len();
            One {
                manifest: Arc::clone(manifest),
                tags: BTreeSet::new(),
                missing: needed.clone(),
                needed,
                since: Instant::now(),
                is_taken: false,
            }
        });
        one.since = Instant::now();
        if let Some(tag) = tag {
            let before = self.tags.insert((place.clone(), tag.clone()), manifest.digest.clone());
            one.tags.insert(tag.clone());
            // The tag has moved while its older manifest still waits.
            if let Some(before) = before.filter(|before| *before != manifest.digest)
                && let Some(older) = self.manifests.get_mut(&(place.clone(), before))
            {
                older.tags.remove(&tag);
            }
        }
    }

    pub(super) fn find(&self, place: &Place, reference: &Reference) -> Option<Arc<StoredManifest>> {
        let digest = match reference {
            Reference::Digest(digest) => digest,
            Reference::Tag(tag) => self.tags.get(&(place.clone(), tag.clone()))?,
        };
        Some(Arc::clone(&self.manifests.get(&(place.clone(), digest.clone()))?.manifest))
    }

    /// One that names the blob.
    pub(super) fn naming(&self, place: &Place, blob: &Digest) -> Option<Arc<StoredManifest>> {
        let mut here = self.manifests.iter().filter(|((there, _), _)| there == place);
        let (_, one) = here.find(|(_, one)| one.needed.contains(blob))?;
        Some(Arc::clone(&one.manifest))
    }

    pub(super) fn arrived(&mut self, place: &Place, blob: &Digest) {
        for ((there, _), one) in &mut self.manifests {
            if there == place {
                one.missing.remove(blob);
            }
        }
    }

    /// Those that miss nothing, each for one taker.
    pub(super) fn ready(&mut self, place: &Place) -> Vec<(Arc<StoredManifest>, Vec<Tag>)> {
        let here = self.manifests.iter_mut().filter(|((there, _), _)| there == place);
        let ready = here.filter(|(_, one)| one.missing.is_empty() && !one.is_taken).map(|(_, one)| {
            one.is_taken = true;
            (Arc::clone(&one.manifest), one.tags.iter().cloned().collect())
        });
        ready.collect()
    }

    /// True if one waits in that place.
    pub(super) fn has(&self, place: &Place) -> bool {
        self.manifests.keys().any(|(there, _)| there == place)
    }

    pub(super) fn remove(&mut self, place: &Place, digest: &Digest) {
        let Some(gone) = self.manifests.remove(&(place.clone(), digest.clone())) else { return };
        self.bytes -= gone.manifest.bytes.len();
        for tag in gone.tags {
            let key = (place.clone(), tag);
            if self.tags.get(&key) == Some(digest) {
                self.tags.remove(&key);
            }
        }
    }

    /// What has waited too long, or is too much, goes: the next pull brings it again.
    fn make_room(&mut self, bytes: usize) {
        let now = Instant::now();
        let is_old = |one: &One| now.duration_since(one.since) > KEPT;
        let old: Vec<_> =
            self.manifests.iter().filter(|(_, one)| is_old(one)).map(|(key, _)| key.clone()).collect();
        for (place, digest) in old {
            self.remove(&place, &digest);
        }
        while self.manifests.len() >= MANIFESTS_MAX || self.bytes + bytes > BYTES_MAX {
            let oldest = self.manifests.iter().min_by_key(|(_, one)| one.since).map(|(key, _)| key.clone());
            let Some((place, digest)) = oldest else { return };
            self.remove(&place, &digest);
        }
    }
}

/// As long as any honest pull takes from its manifest to its last blob.
const KEPT: Duration = Duration::from_secs(6 * 3600);
const MANIFESTS_MAX: usize = 2_000;
const BYTES_MAX: usize = 64 << 20;
