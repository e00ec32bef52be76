//! What a stop in the middle of things leaves behind, put right before anything else runs.

use std::collections::BTreeSet;

use oci::Digest;

use crate::{Registry, StoreError};

/// What a sweep found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Upload files that no session had, removed.
    pub uploads: usize,
    /// Blobs that no repository linked, removed; and files that were nothing.
    pub blobs: usize,
    /// Sessions too old to go on, ended.
    pub expired: usize,
    /// Blobs that a repository links and whose bytes are not there: restore them from a backup.
    pub lost: Vec<Digest>,
}

impl Registry {
    /// Removes files that no row names and rows that nothing needs. Only for a start: a push that is
    /// under way has files whose rows are still to come.
    ///
    /// # Errors
    /// [`StoreError`] if the stores fail.
    pub async fn sweep(&self) -> Result<Swept, StoreError> {
        let mut swept = Swept { expired: self.expire_uploads().await?, ..Swept::default() };
        let sessions: BTreeSet<_> =
            self.metastore.uploads().await?.into_iter().map(|upload| upload.id).collect();
        let listing = self.blobs.list().await?;
        for id in listing.uploads {
            if !sessions.contains(&id) {
                self.blobs.discard(id).await?;
                swept.uploads += 1;
            }
        }
        for stray in listing.strays {
            self.blobs.remove_stray(stray).await?;
            swept.blobs += 1;
        }
        let files: BTreeSet<_> = listing.blobs.into_iter().collect();
        let mut linked = BTreeSet::new();
        for blob in self.metastore.blobs().await? {
            if !blob.is_linked {
                self.metastore.forget_blob(&blob.digest).await?;
            } else if files.contains(&blob.digest) {
                linked.insert(blob.digest);
            } else {
                tracing::error!(digest = %blob.digest, "the bytes of a linked blob are lost");
                swept.lost.push(blob.digest);
            }
        }
        for digest in files.difference(&linked) {
            self.blobs.remove(digest).await?;
            swept.blobs += 1;
        }
        Ok(swept)
    }
}
