//! VEX documents that are attached to images: carried out as rules, with the authority of whoever attached them.

use assessment::{InvalidVex, Vex};
use metastore::{REASON_BYTES_MAX, RegistryId, RulesDocument};
use oci::{Content, Descriptor, Digest, Manifest, Repository};

use crate::{Registry, StoreError, StoredPush};

/// What became of a manifest's VEX documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attached {
    /// There is none.
    Nothing,
    /// They hold, and disable so many findings now.
    Rules {
        /// How many.
        disabled: u64,
    },
    /// They are kept, but count for nothing: whoever attached them may not make rules.
    NotAllowed,
    /// The same: one goes beyond its bounds.
    Invalid(InvalidVex),
    /// The same: there are as many rules as there may be.
    TooMany,
}

impl Registry {
    /// Makes rules of the VEX documents that a pushed manifest brings, if whoever pushed it `may_rule`: may make rules for the
    /// registry. They are in force when this returns.
    ///
    /// # Errors
    /// [`StoreError`] if the stores fail.
    pub async fn attach(
        &self,
        registry: RegistryId,
        repository: &Repository,
        pushed: &StoredPush,
        may_rule: bool,
        principal: &str,
    ) -> Result<Attached, StoreError> {
        let Some(subject) = &pushed.subject else { return Ok(Attached::Nothing) };
        let mut rules = None;
        for digest in &pushed.documents {
            let Some(blob) = self.blob(registry, repository, digest).await? else { continue };
            let (bytes, of, repository) = (blob.whole(), subject.clone(), repository.clone());
            // Parsing takes its time, and other requests wait for the thread.
            let read = tokio::task::spawn_blocking(move || {
                Vex::read(&bytes, &of).map(|vex| vex.map(|vex| vex.rules(&repository, &of, REASON_BYTES_MAX)))
            });
            match read.await.map_err(|_| metastore::Error::Closed)? {
                Ok(None) => {}
                Ok(Some(found)) => rules.get_or_insert_with(Vec::new).extend(found),
                Err(error) => return Ok(Attached::Invalid(error)),
            }
        }
        let Some(rules) = rules else { return Ok(Attached::Nothing) };
        if !may_rule {
            return Ok(Attached::NotAllowed);
        }
        let document = RulesDocument {
            registry,
            repository: repository.clone(),
            digest: pushed.digest.clone(),
            subject: subject.clone(),
            by: principal.to_owned(),
        };
        let checked =
            rules.into_iter().filter_map(|(criteria, reason)| Some((criteria.checked().ok()?, reason)));
        let put = self.metastore.put_document_rules(document, checked.collect(), (self.clock)()).await?;
        Ok(put.map_or(Attached::TooMany, |disabled| Attached::Rules { disabled }))
    }
}

/// The blobs of a manifest that may be documents about its subject.
pub(crate) fn documents(manifest: &Manifest) -> Vec<Digest> {
    let Content::Image { layers, .. } = manifest.content() else { return Vec::new() };
    if manifest.subject().is_none() || manifest.is_container_image() {
        return Vec::new();
    }
    let may_be = |layer: &&Descriptor| {
        let media_type = layer.media_type.as_str().to_ascii_lowercase();
        layer.size <= DOCUMENT_BYTES_MAX
            && ["json", "vex", "csaf", "cyclonedx"].iter().any(|word| media_type.contains(word))
    };
    layers.iter().filter(may_be).take(DOCUMENTS_MAX).map(|layer| layer.digest.clone()).collect()
}

const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
/// Who attaches more attaches several manifests.
const DOCUMENTS_MAX: usize = 8;
