//! What was deleted softly, seen and brought back.

use metastore::{DeletedManifest, DeletedTag, RegistryId, Restore, RestoreError};
use oci::{Digest, Repository, Tag};

use crate::{Registry, StoreError};

impl Registry {
    /// The repositories after `after` in which something can be restored.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn deleted_repositories(
        &self,
        registry: RegistryId,
        after: Option<String>,
        limit: usize,
    ) -> Result<Vec<Repository>, StoreError> {
        Ok(self.metastore.deleted_repositories(registry, after, limit).await?)
    }

    /// The deleted manifests of a repository after `after`, by digest.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn deleted_manifests(
        &self,
        registry: RegistryId,
        repository: &Repository,
        after: Option<String>,
        limit: usize,
    ) -> Result<Vec<DeletedManifest>, StoreError> {
        Ok(self.metastore.deleted_manifests(registry, repository, after, limit).await?)
    }

    /// The deleted tags of a repository, the newest deletion last.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn deleted_tags(
        &self,
        registry: RegistryId,
        repository: &Repository,
        limit: usize,
    ) -> Result<Vec<DeletedTag>, StoreError> {
        Ok(self.metastore.deleted_tags(registry, repository, limit).await?)
    }

    /// Brings a deleted manifest back under this tag, or under those of its own that are free; returns them.
    ///
    /// # Errors
    /// [`RestoreError`].
    pub async fn restore_manifest(
        &self,
        registry: RegistryId,
        repository: &Repository,
        digest: &Digest,
        tag: Option<Tag>,
        is_forced: bool,
    ) -> Result<Vec<Tag>, RestoreError> {
        let (repository, digest) = (repository.clone(), digest.clone());
        let restore = Restore {
            registry,
            repository: repository.clone(),
            digest,
            tag,
            is_forced,
            now_ms: (self.clock)(),
        };
        let metastore = self.metastore.clone();
        let restoring = async move { metastore.restore_manifest(restore).await };
        let tags = self.change(registry, &repository, restoring).await?;
        (self.wake)();
        Ok(tags)
    }
}
