//! Copying an image with all that belongs to it.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use metastore::RegistryId;
use oci::{Content, Descriptor, Digest, Manifest, Reference, Repository, Tag};
use registry::{Chunk, Owner, Registry};
use upstream::RemoteManifest;

use crate::{ImportError, Source};

/// Copies images into one registry of the house.
#[derive(Clone)]
pub struct Importer {
    registry: Registry,
    target: RegistryId,
    principal: String,
    with_referrers: bool,
}

/// What a copy came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Manifests that were not here before.
    pub manifests: usize,
    /// Blobs that were not here before.
    pub blobs: usize,
    /// The bytes of those.
    pub bytes: u64,
}

impl std::ops::AddAssign<&Copied> for Copied {
    fn add_assign(&mut self, other: &Copied) {
        self.manifests += other.manifests;
        self.blobs += other.blobs;
        self.bytes += other.bytes;
    }
}

impl Importer {
    /// An importer into `target`; what it brings counts as pushed by `principal`.
    #[must_use]
    pub fn new(registry: Registry, target: RegistryId, principal: &str) -> Self {
        Self { registry, target, principal: principal.to_owned(), with_referrers: true }
    }

    /// Whether what refers to an image (signatures, SBOMs) comes with it; it does unless this says no.
    #[must_use]
    pub fn with_referrers(self, with_referrers: bool) -> Self {
        Self { with_referrers, ..self }
    }

    /// Copies what `reference` names into `repository`, with all that belongs to it, and moves the tags
    /// to it. What is here already is not copied again. Returns its digest.
    ///
    /// # Errors
    /// [`ImportError`]; then no tag has moved. Another try goes on where this one ended.
    pub async fn copy(
        &self,
        source: &Source,
        reference: &Reference,
        repository: &Repository,
        tags: Vec<Tag>,
    ) -> Result<(Digest, Copied), ImportError> {
        let mut journey =
            Journey { importer: self, source, repository, seen: BTreeSet::new(), copied: Copied::default() };
        let root = journey.find(reference).await?;
        let (digest, is_here) = (root.manifest.digest.clone(), root.is_here);
        journey.seen.insert(digest.clone());
        let manifest = journey.needs(root, 0).await?;
        if self.with_referrers {
            journey.referrers().await?;
        }
        // Last of all, and at once with its tags: who pulls it finds everything.
        let tags = journey.moved(&digest, tags).await?;
        if !is_here || !tags.is_empty() {
            journey.put(&digest, &manifest, tags).await?;
            journey.copied.manifests += usize::from(!is_here);
        }
        Ok((digest, journey.copied))
    }
}

/// One image on its way.
struct Journey<'a> {
    importer: &'a Importer,
    source: &'a Source,
    repository: &'a Repository,
    seen: BTreeSet<Digest>,
    copied: Copied,
}

struct Found {
    manifest: RemoteManifest,
    is_here: bool,
}

impl Journey<'_> {
    /// The manifest; its own if it is here by that digest.
    async fn find(&self, reference: &Reference) -> Result<Found, ImportError> {
        let (registry, target) = (&self.importer.registry, self.importer.target);
        if let Reference::Digest(_) = reference
            && let Some(here) = registry.manifest(target, self.repository, reference).await?
        {
            let here = &here.manifest;
            let (digest, media_type) = (here.digest.clone(), here.media_type.clone());
            let manifest = RemoteManifest { digest, media_type, bytes: here.bytes.clone() };
            return Ok(Found { manifest, is_here: true });
        }
        let manifest = self.source.manifest(registry, reference).await?;
        let by_digest = Reference::Digest(manifest.digest.clone());
        let is_here = registry.manifest(target, self.repository, &by_digest).await?.is_some();
        Ok(Found { manifest, is_here })
    }

    /// Brings the blobs or children of a manifest, and returns it, to be put now.
    async fn needs(&mut self, found: Found, depth: usize) -> Result<Manifest, ImportError> {
        let Found { manifest: RemoteManifest { digest, media_type, bytes }, is_here } = found;
        let invalid = |source| ImportError::Invalid { digest, source };
        let manifest = Manifest::parse(&media_type, bytes).map_err(invalid)?;
        match manifest.content() {
            Content::Index { .. } => {
                for child in manifest.children() {
                    self.beneath(&child.digest, depth + 1).await?;
                }
                if !is_here {
                    self.blobs(&manifest).await?;
                }
            }
            // What is here has its blobs.
            Content::Image { .. } if is_here => {}
            Content::Image { .. } => self.blobs(&manifest).await?,
        }
        Ok(manifest)
    }

    async fn beneath(&mut self, digest: &Digest, depth: usize) -> Result<(), ImportError> {
        if self.seen.contains(digest) {
            return Ok(());
        }
        if depth > DEPTH_MAX || self.seen.len() >= MANIFESTS_MAX {
            return Err(ImportError::TooMuch { max: MANIFESTS_MAX, depth: DEPTH_MAX });
        }
        self.seen.insert(digest.clone());
        let found = self.find(&Reference::Digest(digest.clone())).await?;
        let is_here = found.is_here;
        let manifest = Box::pin(self.needs(found, depth)).await?;
        if !is_here {
            self.put(digest, &manifest, Vec::new()).await?;
            self.copied.manifests += 1;
        }
        Ok(())
    }

    async fn blobs(&mut self, manifest: &Manifest) -> Result<(), ImportError> {
        // An image may have one layer twice.
        let needed: BTreeMap<_, _> = manifest.required_blobs().map(|blob| (&blob.digest, blob)).collect();
        let this = &*self;
        let on_their_way = needed.into_values().map(|blob| this.blob(blob).boxed()).collect::<Vec<_>>();
        let copied: Vec<Copied> = stream::iter(on_their_way).buffer_unordered(PARALLEL).try_collect().await?;
        copied.iter().for_each(|copied| self.copied += copied);
        Ok(())
    }

    async fn blob(&self, blob: &Descriptor) -> Result<Copied, ImportError> {
        let Importer { registry, target, principal, .. } = self.importer;
        if registry.blob_size(*target, self.repository, &blob.digest).await?.is_some() {
            return Ok(Copied::default());
        }
        let Some(body) = self.source.blob(registry, blob, (*target, self.repository)).await? else {
            return Ok(Copied { blobs: 1, ..Copied::default() });
        };
        let owner =
            Owner { registry: *target, repository: self.repository.clone(), principal: principal.clone() };
        let chunk = Chunk { range: None, length: Some(blob.size), body };
        registry.put_blob(owner, chunk, &blob.digest).await?;
        Ok(Copied { blobs: 1, bytes: blob.size, manifests: 0 })
    }

    /// Signatures and SBOMs of all that was copied, and what refers to those.
    async fn referrers(&mut self) -> Result<(), ImportError> {
        let mut asked = BTreeSet::new();
        while let Some(subject) = self.seen.difference(&asked).next().cloned() {
            for referrer in self.source.referrers(&self.importer.registry, &subject).await? {
                self.beneath(&referrer, 0).await?;
            }
            asked.insert(subject);
        }
        Ok(())
    }

    /// The tags that do not point there yet.
    async fn moved(&self, digest: &Digest, mut tags: Vec<Tag>) -> Result<Vec<Tag>, ImportError> {
        let (registry, target) = (&self.importer.registry, self.importer.target);
        let mut right = BTreeSet::new();
        for tag in &tags {
            let now = registry.tag_row(target, self.repository, tag).await?;
            if now.is_some_and(|now| now.digest == *digest) {
                right.insert(tag.clone());
            }
        }
        tags.retain(|tag| !right.contains(tag));
        Ok(tags)
    }

    async fn put(&self, digest: &Digest, manifest: &Manifest, tags: Vec<Tag>) -> Result<(), ImportError> {
        let Importer { registry, target, principal, .. } = self.importer;
        let by_digest = Reference::Digest(digest.clone());
        let content = (manifest.media_type(), manifest.bytes().to_vec());
        registry.put_manifest(*target, self.repository, &by_digest, tags, content, principal).await?;
        Ok(())
    }
}

/// Blobs on their way at once.
const PARALLEL: usize = 4;
/// Of one image: platforms, their signatures and SBOMs.
const MANIFESTS_MAX: usize = 10_000;
const DEPTH_MAX: usize = 8;
