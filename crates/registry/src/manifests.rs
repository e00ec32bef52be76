//! Manifests pushed.

use metastore::{ManifestKind, PutManifest, RegistryId};
use oci::{Digest, InvalidManifest, Manifest, MediaType, Reference, Repository, Tag};

use crate::{PutManifestError, Registry, StoreError};

/// What a push of a manifest came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPush {
    /// The manifest's digest, in the algorithm it was pushed by.
    pub digest: Digest,
    /// The manifest it is about.
    pub subject: Option<Digest>,
    /// Blobs of it that may be documents about something else, after what they are about.
    pub(crate) documents: Option<(Digest, Vec<Digest>)>,
}

impl StoredPush {
    /// True if it may bring documents with it, that are to be [attached](Registry::attach).
    #[must_use]
    pub fn has_documents(&self) -> bool {
        self.documents.is_some()
    }
}

impl Registry {
    /// Stores the manifest, moves the tags to it and queues its scan, or does none of them.
    ///
    /// `tags` are further ones, besides the reference if that is one.
    ///
    /// # Errors
    /// [`PutManifestError`].
    pub async fn put_manifest(
        &self,
        registry: RegistryId,
        repository: &Repository,
        reference: &Reference,
        tags: Vec<Tag>,
        (media_type, bytes): (&MediaType, Vec<u8>),
        principal: &str,
    ) -> Result<StoredPush, PutManifestError> {
        let manifest = Manifest::parse(&manifest_type(media_type, &bytes)?, bytes)?;
        self.blobs.check_room().map_err(StoreError::from)?;
        let mut tags = tags;
        let digest = match reference {
            Reference::Tag(tag) => {
                tags.push(tag.clone());
                manifest.digest(oci::Algorithm::Sha256)
            }
            Reference::Digest(wanted) => {
                let actual = manifest.digest(wanted.algorithm());
                if actual != *wanted {
                    return Err(PutManifestError::DigestMismatch { wanted: wanted.clone(), actual });
                }
                actual
            }
        };
        let subject = manifest.subject().map(|subject| subject.digest.clone());
        let documents = crate::vex::documents(&manifest, &tags);
        let put = PutManifest {
            registry,
            repository: repository.clone(),
            digest: digest.clone(),
            kind: ManifestKind::of(&manifest),
            media_type: manifest.media_type().clone(),
            artifact_type: manifest.artifact_type().map(str::to_owned),
            subject: subject.clone(),
            annotations: manifest.annotations().cloned(),
            blobs: manifest.required_blobs().map(|blob| blob.digest.clone()).collect(),
            children: manifest.children().map(|child| child.digest.clone()).collect(),
            is_sparse: self.sparse_indexes,
            bytes: manifest.bytes().to_vec(),
            tags,
            pushed_by: principal.to_owned(),
            now_ms: (self.clock)(),
        };
        let metastore = self.metastore.clone();
        let putting = async move { metastore.put_manifest(put).await };
        self.change(registry, repository, putting).await?;
        (self.wake)();
        Ok(StoredPush { digest, subject, documents })
    }
}

/// The type under which a manifest is kept and served back: the one it was pushed as, or the document's own if it
/// was pushed without one. A type that is no manifest's would be served from the origin of the sign-in pages.
fn manifest_type(pushed: &MediaType, bytes: &[u8]) -> Result<MediaType, InvalidManifest> {
    let own = || MediaType::of_document(bytes);
    let found = if pushed.as_str().is_empty() { own() } else { Some(pushed.clone()) };
    let invalid = || InvalidManifest::NoManifestType { media_type: pushed.to_string() };
    found.filter(MediaType::is_manifest).ok_or_else(invalid)
}
