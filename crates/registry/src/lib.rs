//! Push, pull, tag, refer, mount: what a registry does, without HTTP.
//!
//! Bytes are hashed as they arrive. A blob is acknowledged when its file is flushed under its digest and
//! its row committed, a manifest when it, its tags and its scan job are one committed transaction.

mod cache;
mod check;
mod collect;
mod deleted;
mod error;
mod gate;
mod manifests;
mod observer;
mod retention;
mod sessions;
mod sweep;
mod uploads;
mod vex;

pub use check::Checked;
pub use collect::Collected;
pub use error::{PutManifestError, StoreError, UploadError};
pub use gate::Pulled;
pub use manifests::StoredPush;
pub use observer::{NobodyWatches, UploadObserver, UploadWatch};
pub use retention::purge_registry;
pub use sessions::{Owner, UploadStatus};
pub use sweep::Swept;
pub use uploads::Chunk;
pub use vex::Attached;

use std::sync::Arc;

use blobstore::{Blob, BlobStore};
use metastore::{
    After, Attributes, AttributesChange, DeletedRepository, ManifestRow, Metastore, Order, Origin, Referrer,
    ReferrersPage, RegistryId, RepositoryRow, TagRow, UnlinkBlob,
};
use oci::{Digest, Reference, Repository, Tag};

use cache::ManifestCache;
use collect::{LEASE_MS, Turns};
use retention::Pulls;
use sessions::{Sessions, Stage};
use tokio::sync::watch;
use uuid::Uuid;

/// The time, in milliseconds since 1970 (UTC).
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The registry of one house, whichever registries it serves. Clones share it.
#[derive(Clone)]
pub struct Registry {
    metastore: Metastore,
    blobs: BlobStore,
    observer: Arc<dyn UploadObserver>,
    /// Tells the workers that a scan was queued.
    wake: Arc<dyn Fn() + Send + Sync>,
    clock: Clock,
    sessions: Arc<Sessions>,
    manifests: Arc<ManifestCache>,
    following: Arc<tokio::sync::Mutex<()>>,
    turns: Arc<Turns<Digest>>,
    /// Uploads that are taken up again, or ended for being idle.
    revivals: Arc<Turns<Uuid>>,
    stage: Arc<watch::Sender<Stage>>,
    /// Who looks a manifest up.
    looks: Arc<Turns<(RegistryId, Repository, Reference)>>,
    sparse_indexes: bool,
    pulls: Arc<Pulls>,
}

impl Registry {
    /// A registry over its stores. `observer` sees uploads grow; `wake` is called when a push has queued
    /// a scan.
    #[must_use]
    pub fn new(
        metastore: Metastore,
        blobs: BlobStore,
        observer: Arc<dyn UploadObserver>,
        wake: Arc<dyn Fn() + Send + Sync>,
        clock: Clock,
    ) -> Self {
        Self {
            metastore,
            blobs,
            observer,
            wake,
            clock,
            sessions: Arc::default(),
            manifests: Arc::default(),
            following: Arc::default(),
            turns: Arc::default(),
            revivals: Arc::default(),
            stage: Arc::new(watch::Sender::new(Stage::Running)),
            looks: Arc::default(),
            sparse_indexes: false,
            pulls: Arc::default(),
        }
    }

    /// The same registry; what is changed through it is said to come from there.
    #[must_use]
    pub fn on_behalf_of(&self, origin: Origin) -> Self {
        Self { metastore: self.metastore.on_behalf_of(origin), ..self.clone() }
    }

    /// Whether an index may name manifests that the repository does not hold: mirrors of some
    /// platforms need that.
    #[must_use]
    pub fn with_sparse_indexes(self, sparse_indexes: bool) -> Self {
        Self { sparse_indexes, ..self }
    }

    /// The blob, if this repository links it; that it exists elsewhere does not count.
    ///
    /// # Errors
    /// [`StoreError`] if the stores fail, or have lost the bytes.
    pub async fn blob(
        &self,
        registry: RegistryId,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<Blob>, StoreError> {
        let Some(linked) = self.metastore.linked_blob(registry, repository, digest).await? else {
            return Ok(None);
        };
        if !linked.is_readable {
            return Err(unreadable(format!("the repository {repository}")));
        }
        // Rehashing each read would cost more than the read. A torn file shows by its length; a flipped
        // bit is found by every client, which hashes what it gets, and by `fsck`.
        if let Some(blob) = self.blobs.open_blob(digest).await?
            && blob.len() == linked.size
        {
            return Ok(Some(blob));
        }
        // A link that went a moment ago took its bytes with it; one that is still there has lost them.
        match self.metastore.linked_blob(registry, repository, digest).await? {
            None => Ok(None),
            Some(_) => Err(StoreError::BytesLost { digest: digest.clone() }),
        }
    }

    /// The blob's size, if this repository links it and its file is whole, as far as a length tells: one that is not is as if it
    /// were not there, so that whoever asks pushes it again. Whoever is about to push a manifest asks so which
    /// blobs are there: they stay for a day from now.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn blob_size(
        &self,
        registry: RegistryId,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<u64>, StoreError> {
        let Some(linked) = self.metastore.linked_blob(registry, repository, digest).await? else {
            return Ok(None);
        };
        if !self.is_whole(digest, linked.size).await? {
            return Ok(None);
        }
        let now_ms = (self.clock)();
        if !linked.is_needed && now_ms - linked.linked_ms > LEASE_MS / 2 {
            match self.metastore.touch_link(registry, repository, digest, now_ms).await {
                // Nothing can be pushed now that would need it to stay; who only looks is answered.
                Err(metastore::Error::Full) => return Ok(Some(linked.size)),
                touched => touched?,
            };
            // It may have gone between the two.
            let linked = self.metastore.linked_blob(registry, repository, digest).await?;
            return Ok(linked.map(|linked| linked.size));
        }
        Ok(Some(linked.size))
    }

    async fn is_whole(&self, digest: &Digest, size: u64) -> Result<bool, StoreError> {
        let found = self.blobs.size(digest).await?;
        if found != Some(size) {
            tracing::error!(%digest, size, found, "a blob is not whole: it is asked for as if it were not there");
        }
        Ok(found == Some(size))
    }

    /// Takes a blob out of a repository, unless a manifest there needs it.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn delete_blob(
        &self,
        registry: RegistryId,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<UnlinkBlob, StoreError> {
        Ok(self.metastore.unlink_blob(registry, repository, digest).await?)
    }

    /// Links a blob of one of `sources`, into which the caller may look, into `target`. `false`: none of
    /// them has it whole.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn mount(
        &self,
        registry: RegistryId,
        sources: Vec<Repository>,
        target: &Repository,
        digest: &Digest,
    ) -> Result<bool, StoreError> {
        let target = (registry, target);
        match self.metastore.mount_blob(registry, sources, target, digest, (self.clock)()).await? {
            Some(size) => self.is_whole(digest, size).await,
            None => Ok(false),
        }
    }

    /// Links a blob of another registry of the house into `target`. `false`: `source` does not have it whole.
    /// That the caller may pull there is for the caller to have decided.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn mount_from(
        &self,
        (from, source): (RegistryId, &Repository),
        target: (RegistryId, &Repository),
        digest: &Digest,
    ) -> Result<bool, StoreError> {
        let sources = vec![source.clone()];
        match self.metastore.mount_blob(from, sources, target, digest, (self.clock)()).await? {
            Some(size) => self.is_whole(digest, size).await,
            None => Ok(false),
        }
    }

    /// A manifest of the repository that names the blob.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn manifest_naming(
        &self,
        registry: RegistryId,
        repository: &Repository,
        blob: &Digest,
    ) -> Result<Option<metastore::StoredManifest>, StoreError> {
        Ok(self.metastore.manifest_naming(registry, repository, blob).await?)
    }

    /// Changes a repository's manifests or tags. Once begun it is carried through, whoever stops
    /// waiting: what is kept in memory is forgotten when the change is committed, not before.
    pub(crate) async fn change<T, E>(
        &self,
        registry: RegistryId,
        repository: &Repository,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<metastore::Error> + Send + 'static,
    {
        let (manifests, key) = (Arc::clone(&self.manifests), (registry, repository.clone()));
        let carried = tokio::spawn(metastore::noted(async move {
            let outcome = work.await;
            manifests.changed(&key);
            outcome
        }));
        carried.await.map_err(|_| E::from(metastore::Error::Closed))?
    }

    /// Some repositories that link the blob, 100 at most: where an anonymous mount may look.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn repositories_linking(
        &self,
        registry: RegistryId,
        digest: &Digest,
    ) -> Result<Vec<Repository>, StoreError> {
        Ok(self.metastore.repositories_linking(registry, digest, 100).await?)
    }

    /// Removes a manifest with all its tags, or a tag alone. `false`: there was none.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn delete_manifest(
        &self,
        registry: RegistryId,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<bool, StoreError> {
        let (metastore, name, reference) = (self.metastore.clone(), repository.clone(), reference.clone());
        let now_ms = (self.clock)();
        let deleting = async move {
            Ok(match reference {
                Reference::Digest(digest) => {
                    metastore.delete_manifest(registry, &name, &digest, now_ms).await?
                }
                Reference::Tag(tag) => metastore.delete_tag(registry, &name, &tag, now_ms).await?,
            })
        };
        self.change(registry, repository, deleting).await
    }

    /// The tags after `after`, in byte order, `limit` at most; `None`: no such repository.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn tags(
        &self,
        registry: RegistryId,
        repository: &Repository,
        after: Option<String>,
        limit: usize,
    ) -> Result<Option<Vec<Tag>>, StoreError> {
        Ok(self.metastore.tags(registry, repository, after, limit).await?)
    }

    /// The repositories after `after`, in byte order, `limit` at most.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn repositories(
        &self,
        registry: RegistryId,
        after: Option<String>,
        limit: usize,
    ) -> Result<Vec<Repository>, StoreError> {
        Ok(self.metastore.repositories(registry, after, limit).await?)
    }

    /// The repository in figures; `None` if there is none of that name.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn repository(
        &self,
        registry: RegistryId,
        repository: &Repository,
    ) -> Result<Option<RepositoryRow>, StoreError> {
        Ok(self.metastore.repository(registry, repository).await?)
    }

    /// The manifests of a repository after the one of the digest `after`, `limit` at most; `None`: no
    /// such repository.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn manifests(
        &self,
        registry: RegistryId,
        repository: &Repository,
        order: Order,
        after: Option<After>,
        limit: usize,
    ) -> Result<Option<Vec<ManifestRow>>, StoreError> {
        Ok(self.metastore.manifest_rows(registry, repository, order, after, limit).await?)
    }

    /// The tags of a repository with what they point to, after `after`, `limit` at most; `None`: no
    /// such repository.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn tag_rows(
        &self,
        registry: RegistryId,
        repository: &Repository,
        order: Order,
        after: Option<After>,
        limit: usize,
    ) -> Result<Option<Vec<TagRow>>, StoreError> {
        Ok(self.metastore.tag_rows(registry, repository, order, after, limit).await?)
    }

    /// One manifest of a repository with its tags.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn manifest_row(
        &self,
        registry: RegistryId,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<ManifestRow>, StoreError> {
        Ok(self.metastore.manifest_row(registry, repository, digest).await?)
    }

    /// One tag of a repository with what it points to.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn tag_row(
        &self,
        registry: RegistryId,
        repository: &Repository,
        tag: &Tag,
    ) -> Result<Option<TagRow>, StoreError> {
        Ok(self.metastore.tag_row(registry, repository, tag).await?)
    }

    /// Removes a repository with all that it holds; `None`: there was none of that name.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn delete_repository(
        &self,
        registry: RegistryId,
        repository: &Repository,
    ) -> Result<Option<DeletedRepository>, StoreError> {
        let (metastore, name, now_ms) = (self.metastore.clone(), repository.clone(), (self.clock)());
        let deleting = async move { Ok(metastore.delete_repository(registry, &name, now_ms).await?) };
        self.change(registry, repository, deleting).await
    }

    /// Changes the attributes of a repository, or of what `reference` names in it, and returns what
    /// they are then. `None`: there is no such thing.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn change_attributes(
        &self,
        registry: RegistryId,
        repository: &Repository,
        reference: Option<Reference>,
        change: AttributesChange,
    ) -> Result<Option<Attributes>, StoreError> {
        let (metastore, name) = (self.metastore.clone(), repository.clone());
        let changing = async move {
            Ok(metastore.change_attributes(registry, &name, reference.as_ref(), change).await?)
        };
        self.change(registry, repository, changing).await
    }

    /// Forgets what is kept in memory if another program (the command line) has changed the rows. The
    /// server asks every second.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn notice_changes(&self) -> Result<(), StoreError> {
        let seen = self.metastore.foreign_changes().await?;
        if self.manifests.changed_elsewhere(seen) && self.sessions.is_loaded() {
            self.compare_uploads().await?;
        }
        Ok(())
    }

    /// The manifests that name `subject`, one page of them, and whether there is more; none if the
    /// repository or the subject is unknown.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn referrers(
        &self,
        registry: RegistryId,
        repository: &Repository,
        subject: &Digest,
        page: ReferrersPage,
    ) -> Result<(Vec<Referrer>, bool), StoreError> {
        Ok(self.metastore.referrers(registry, repository, subject, page).await?)
    }
}

fn unreadable(what: String) -> StoreError {
    StoreError::Locked(metastore::Locked::Attribute { what, flag: "readEnabled" })
}
