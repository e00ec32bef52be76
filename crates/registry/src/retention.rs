//! Retention at work: pulls remembered, rules carried out.

use std::collections::HashMap;

use metastore::{DeleteError, Metastore, Pull, RegistryId, Removal};
use oci::{Digest, Repository};
use parking_lot::Mutex;

use crate::{Registry, StoreError};

/// Pulls that are not in the store yet: the last of each manifest.
#[derive(Default)]
pub(crate) struct Pulls {
    last_ms: Mutex<HashMap<(RegistryId, Repository, Digest), i64>>,
}

/// Removes a deleted registry for good, one repository at a time: pushes elsewhere go on between them, and a stop in
/// the middle is gone on with the next time. `false`: it was restored meanwhile.
///
/// # Errors
/// [`DeleteError`] if something in it is locked, or the store fails.
pub async fn purge_registry(
    metastore: &Metastore,
    registry: &metastore::Registry,
    now_ms: i64,
) -> Result<bool, DeleteError> {
    loop {
        let repositories = metastore.repositories(registry.id, None, PURGE_PAGE).await?;
        if repositories.is_empty() {
            break;
        }
        for repository in repositories {
            metastore.delete_repository(registry.id, &repository, now_ms).await?;
        }
    }
    Ok(metastore.forget_registry(registry.id).await?)
}

const PURGE_PAGE: usize = 100;

impl Registry {
    /// Notes that somebody pulls a manifest, or asks whether it is still what they have. Kept in
    /// memory until [`Registry::record_pulls`]: a crash forgets the last minute's.
    pub fn note_pull(&self, registry: RegistryId, repository: &Repository, digest: &Digest) {
        let now_ms = (self.clock)();
        let key = (registry, repository.clone(), digest.clone());
        let mut last_ms = self.pulls.last_ms.lock();
        if last_ms.len() < PULLS_MAX || last_ms.contains_key(&key) {
            last_ms.insert(key, now_ms);
        }
    }

    /// Writes the noted pulls to the store, in one transaction.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails; then they are kept for the next time.
    pub async fn record_pulls(&self) -> Result<(), StoreError> {
        let noted = std::mem::take(&mut *self.pulls.last_ms.lock());
        if noted.is_empty() {
            return Ok(());
        }
        let pulls = noted.iter().map(|((registry, repository, digest), at_ms)| Pull {
            registry: *registry,
            repository: repository.clone(),
            digest: digest.clone(),
            at_ms: *at_ms,
        });
        let recorded = self.metastore.record_pulls(pulls.collect()).await;
        if recorded.is_err() {
            let mut last_ms = self.pulls.last_ms.lock();
            for (key, at_ms) in noted {
                last_ms.entry(key).or_insert(at_ms);
            }
        }
        Ok(recorded?)
    }

    /// Removes what the registries' rules say, a repository at a time, and returns how much went.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails; what went stays gone.
    pub async fn purge(&self) -> Result<usize, StoreError> {
        // A pull of a moment ago counts.
        self.record_pulls().await?;
        let mut removed = 0;
        for registry in self.metastore.registries().await? {
            if self.metastore.retention_rules(registry.id).await?.is_empty() {
                continue;
            }
            for repository in self.metastore.every_repository(registry.id).await? {
                let (metastore, name, now_ms) = (self.metastore.clone(), repository.clone(), (self.clock)());
                let purging = async move { Ok(metastore.purge(registry.id, &name, now_ms).await?) };
                let removals: Vec<Removal> =
                    self.change::<_, StoreError>(registry.id, &repository, purging).await?;
                for Removal { reference, rule, reason } in &removals {
                    tracing::info!(%repository, %reference, rule, reason, "purged");
                }
                removed += removals.len();
            }
        }
        Ok(removed)
    }
}

/// Of one minute: more are not noted until these are written.
const PULLS_MAX: usize = 100_000;
