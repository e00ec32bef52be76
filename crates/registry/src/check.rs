//! Is everything there, and is it what it is called?

use oci::{Digest, Hasher, Repository};

use crate::{Registry, StoreError};

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Blobs that were read and are right.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Manifests that were read and are right.
    pub manifests: u64,
    /// Blobs whose bytes are others than their digest says.
    pub damaged: Vec<Digest>,
    /// Blobs whose bytes are not there.
    pub missing: Vec<Digest>,
    /// Manifests whose bytes are others than their digest says, with their repositories.
    pub damaged_manifests: Vec<(Repository, Digest)>,
    /// Manifests that need what their repository does not hold: which, and what.
    pub incomplete: Vec<(Repository, Digest, Digest)>,
}

impl Checked {
    /// Nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damaged.is_empty()
            && self.missing.is_empty()
            && self.damaged_manifests.is_empty()
            && self.incomplete.is_empty()
    }
}

impl Registry {
    /// Reads every blob and manifest and compares them with their digests. Takes as long as reading
    /// the disk does; pushes and pulls may go on.
    ///
    /// # Errors
    /// [`StoreError`] if the stores fail.
    pub async fn check(&self) -> Result<Checked, StoreError> {
        let mut checked = Checked::default();
        for blob in self.metastore.blobs().await? {
            match self.blobs.open_blob(&blob.digest).await? {
                Some(bytes) => {
                    let mut hasher = Hasher::new(blob.digest.algorithm());
                    // One that cannot be read to its end has another digest.
                    for piece in bytes.pieces(0..bytes.len()) {
                        let Ok(piece) = piece else { break };
                        hasher.update(&piece);
                        tokio::task::yield_now().await;
                    }
                    if hasher.finish() == blob.digest && bytes.len() == blob.size {
                        checked.blobs += 1;
                        checked.bytes += blob.size;
                    } else {
                        checked.damaged.push(blob.digest);
                    }
                }
                // Given back since it was listed: then it is no longer listed.
                None if self.metastore.blob(&blob.digest).await?.is_none() => {}
                None => checked.missing.push(blob.digest),
            }
        }
        let mut after = None;
        loop {
            let page = self.metastore.all_manifests(after.take(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.0);
            for (_, repository, stored) in page {
                if Digest::of(stored.digest.algorithm(), &stored.bytes) == stored.digest {
                    checked.manifests += 1;
                } else {
                    checked.damaged_manifests.push((repository, stored.digest));
                }
            }
        }
        checked.incomplete = self.metastore.incomplete_manifests(INCOMPLETE_MAX).await?;
        Ok(checked)
    }

    /// Forgets blobs whose bytes are lost or damaged, wherever they are linked: a client that pushes
    /// them again is then told to send them. Returns how many.
    ///
    /// # Errors
    /// [`StoreError`] if the stores fail.
    pub async fn forget_lost(&self, checked: &Checked) -> Result<usize, StoreError> {
        for digest in checked.damaged.iter().chain(&checked.missing) {
            let _turn = self.turns.take(digest).await;
            self.metastore.drop_blob(digest).await?;
            self.blobs.remove(digest).await?;
        }
        Ok(checked.damaged.len() + checked.missing.len())
    }
}

const PAGE: usize = 100;
/// Enough to see what is wrong.
const INCOMPLETE_MAX: usize = 1000;
