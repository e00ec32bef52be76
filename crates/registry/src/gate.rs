//! What is said of a manifest that somebody pulls: decided once, and kept with it in memory until
//! something that it rests on changes.

use std::sync::Arc;

use assessment::Ruling;
use metastore::{PulledManifest, Quarantine, RegistryId, StoredManifest};
use oci::{Digest, Reference, Repository};

use crate::cache::Generation;
use crate::{Registry, StoreError};

/// A manifest, and whether it may be pulled.
#[derive(Debug)]
pub struct Pulled {
    /// The manifest.
    pub manifest: StoredManifest,
    /// What the registry's gates say of it, and what it has.
    pub ruling: Ruling,
    /// Somebody has to let it pass first (Azure's quarantine).
    pub is_quarantined: bool,
    pushed_by: String,
    pushed_ms: i64,
    /// Until when the ruling holds, if nothing changes.
    pub(crate) until_ms: Option<i64>,
    pub(crate) repository_id: i64,
}

#[cfg(test)]
impl Pulled {
    pub(crate) fn sample(manifest: StoredManifest, repository_id: i64) -> Self {
        let (pushed_by, ruling) = (String::new(), Ruling::Pass(None));
        Self {
            manifest,
            ruling,
            is_quarantined: false,
            pushed_by,
            pushed_ms: 0,
            until_ms: None,
            repository_id,
        }
    }
}

impl Registry {
    /// The manifest that the reference names, with what decides whether it may be pulled. Whether it
    /// does is for the caller, who knows who asks.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails, or an attribute forbids pulls.
    pub async fn manifest(
        &self,
        registry: RegistryId,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Option<Arc<Pulled>>, StoreError> {
        self.follow_changes().await?;
        let key = (registry, repository.clone());
        if let Ok(pulled) = self.known(&key, reference) {
            return readable(repository, reference, pulled).map(Some);
        }
        // A thousand nodes ask for one image at once: the first looks it up, with its findings, for all.
        let _turn = self.looks.take(&(registry, repository.clone(), reference.clone())).await;
        let began = match self.known(&key, reference) {
            Ok(pulled) => return readable(repository, reference, pulled).map(Some),
            Err(began) => began,
        };
        let Some(found) = self.metastore.pulled(registry, repository, reference).await? else {
            return Ok(None);
        };
        let pulled = Arc::new(ruled(repository, found, (self.clock)()));
        self.manifests.put(key, reference.clone(), &pulled, began);
        readable(repository, reference, pulled).map(Some)
    }

    /// What is kept and still holds, or since when whoever looks it up must not be overtaken.
    fn known(
        &self,
        key: &(RegistryId, Repository),
        reference: &Reference,
    ) -> Result<Arc<Pulled>, Generation> {
        let pulled = self.manifests.get(key, reference)?;
        let holds = pulled.until_ms.is_none_or(|end_ms| (self.clock)() < end_ms);
        if holds { Ok(pulled) } else { Err(self.manifests.generation()) }
    }

    /// True if an image that is new to the repository may not be pulled by everybody before it was judged.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn holds_back(
        &self,
        registry: RegistryId,
        repository: &Repository,
    ) -> Result<bool, StoreError> {
        Ok(self.metastore.holds_back(registry, repository).await?)
    }

    /// True if that principal pushed the manifest a moment ago: tools look at what they pushed.
    #[must_use]
    pub fn has_just_pushed(&self, principal: &str, pulled: &Pulled) -> bool {
        !principal.is_empty()
            && pulled.pushed_by == principal
            && (self.clock)().saturating_sub(pulled.pushed_ms) < JUST_PUSHED_MS
    }

    /// Says how a manifest in quarantine was judged. `false`: the repository does not hold it.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn judge(
        &self,
        registry: RegistryId,
        repository: &Repository,
        digest: &Digest,
        quarantine: Quarantine,
    ) -> Result<bool, StoreError> {
        let (metastore, name, digest) = (self.metastore.clone(), repository.clone(), digest.clone());
        let judging =
            async move { Ok(metastore.put_quarantine(registry, &name, &digest, quarantine).await?) };
        self.change(registry, repository, judging).await
    }

    /// Forgets what was said of images that were judged, tagged or deleted since. In most calls that is a
    /// look at a number.
    async fn follow_changes(&self) -> Result<(), StoreError> {
        if self.manifests.followed() >= self.metastore.changed_upto() {
            return Ok(());
        }
        // One reads for all who wait.
        let _turn = self.following.lock().await;
        let (from, upto) = (self.manifests.followed(), self.metastore.changed_upto());
        if from >= upto {
            return Ok(());
        }
        let changes = self.metastore.changes(from, CHANGES_MAX).await?;
        if changes.is_partial {
            self.manifests.forget_all(upto);
        } else {
            let repositories = changes.images.iter().map(|(repository_id, _)| *repository_id).collect();
            self.manifests.forget(&repositories, changes.upto);
        }
        Ok(())
    }
}

fn ruled(repository: &Repository, found: PulledManifest, now_ms: i64) -> Pulled {
    let (ruling, until_ms) = (found.rule(repository, now_ms), found.gates.next_end_ms(now_ms));
    let PulledManifest { manifest, repository_id, pushed_by, pushed_ms, is_quarantined, .. } = found;
    Pulled { manifest, ruling, is_quarantined, pushed_by, pushed_ms, until_ms, repository_id }
}

fn readable(
    repository: &Repository,
    reference: &Reference,
    pulled: Arc<Pulled>,
) -> Result<Arc<Pulled>, StoreError> {
    if pulled.manifest.is_readable {
        return Ok(pulled);
    }
    Err(crate::unreadable(format!("{reference} in the repository {repository}")))
}

/// As long as a build takes to sign and list what it pushed.
const JUST_PUSHED_MS: i64 = 600_000;

/// Beyond that many it is cheaper to begin anew.
const CHANGES_MAX: usize = 1000;
