//! The pull-through cache: what a repository lacks comes from elsewhere when somebody pulls it.
//!
//! A manifest is answered as soon as it is there; it becomes one of the repository's own, with its
//! tags and its scan, when its blobs are there too. Blobs stream to whoever asks while they are stored,
//! each fetched once however many ask. Until then it waits in memory: a stop forgets it, and the next
//! pull brings it again.

mod flight;
mod memory;
mod rules;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use metastore::{ManifestKind, Metastore, RegistryId, StoredManifest};
use oci::{Digest, Manifest, MediaType, Reference, Repository, Tag};
use parking_lot::Mutex;
use registry::{Pulled, PutManifestError, Registry, StoreError};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use upstream::{RemoteManifest, UpstreamError};

pub use flight::Arrival;
pub use rules::Filled;

use flight::Flights;
use memory::{Memory, Turns};
use rules::Rules;
use waiting::Waiting;

/// Fills repositories from elsewhere. Clones share it.
#[derive(Clone)]
pub struct Cache {
    inner: Arc<Inner>,
}

struct Inner {
    metastore: Metastore,
    registry: Registry,
    settings: CacheSettings,
    rules: Rules,
    memory: Mutex<Memory>,
    waiting: Mutex<Waiting>,
    turns: Turns,
    flights: Flights,
    /// Images that are being completed at once.
    completing: Semaphore,
}

/// How long what was learnt holds.
#[derive(Clone, Copy, Debug)]
pub struct CacheSettings {
    /// A tag is asked for again after so long.
    pub fresh: Duration,
    /// What was not there, or was refused, is asked for again after so long.
    pub refused: Duration,
    /// A registry that fails is asked again after so long.
    pub trouble: Duration,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            fresh: Duration::from_secs(300),
            refused: Duration::from_secs(30),
            trouble: Duration::from_secs(10),
        }
    }
}

/// Where something is: a registry of the house, and a repository of it.
pub(crate) type Place = (RegistryId, Repository);

/// A manifest that was asked for.
#[derive(Clone, Debug)]
pub struct Served {
    /// Its digest.
    pub digest: Digest,
    /// What it is.
    pub media_type: MediaType,
    /// Its length in bytes.
    pub size: usize,
    /// `None`: only its head was asked for, and nothing more was fetched.
    pub content: Option<Content>,
    /// The source could not be asked whether the tag still means this.
    pub is_stale: bool,
}

/// A manifest as the repository has it.
#[derive(Clone, Debug)]
pub enum Content {
    /// One of its own.
    Own(Arc<Pulled>),
    /// One that becomes its own when its blobs are there. Nobody has judged it yet.
    Coming(Arc<StoredManifest>),
}

/// What of a manifest is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of it, and soon its blobs.
    Whole,
    /// To know it: registries that count pulls do not count that.
    Head,
}

/// Why something did not come.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CacheError {
    /// The source.
    #[error(transparent)]
    Upstream(#[from] Arc<UpstreamError>),
    /// What it sent is no manifest that can be stored.
    #[error("the source sent no manifest that can be stored: {0}")]
    Invalid(Arc<oci::InvalidManifest>),
    /// What it sent could not be stored.
    #[error("what the source sent could not be stored: {0}")]
    Upload(Arc<registry::UploadError>),
    /// A manifest could not be stored.
    #[error(transparent)]
    Put(Arc<PutManifestError>),
    /// The stores.
    #[error(transparent)]
    Store(Arc<StoreError>),
}

impl From<StoreError> for CacheError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl From<PutManifestError> for CacheError {
    fn from(error: PutManifestError) -> Self {
        Self::Put(Arc::new(error))
    }
}

impl Cache {
    /// A cache by the rules in `metastore`, which fills `registry`.
    #[must_use]
    pub fn new(metastore: Metastore, registry: Registry, settings: CacheSettings) -> Self {
        // Nobody pulls all platforms of an index.
        let registry = registry.with_sparse_indexes(true);
        Self {
            inner: Arc::new(Inner {
                metastore,
                registry,
                settings,
                rules: Rules::default(),
                memory: Mutex::default(),
                waiting: Mutex::default(),
                turns: Turns::default(),
                flights: Flights::default(),
                completing: Semaphore::new(COMPLETING_MAX),
            }),
        }
    }

    /// How the repository is filled; `None`: it is not, it is an ordinary one.
    ///
    /// # Errors
    /// [`StoreError`] if the rules cannot be read.
    pub async fn filled(
        &self,
        registry: RegistryId,
        repository: &Repository,
    ) -> Result<Option<Arc<Filled>>, StoreError> {
        let rules = self.inner.rules.current(&self.inner.metastore).await?;
        Ok(rules::filled(&rules, registry, repository))
    }

    /// The repository here that stands for one of another registry (`ns` of a pull by a mirror); `None`:
    /// there is no rule for that registry.
    ///
    /// # Errors
    /// [`StoreError`] if the rules cannot be read.
    pub async fn standing_for(
        &self,
        registry: RegistryId,
        host: &str,
        repository: &Repository,
    ) -> Result<Option<Repository>, StoreError> {
        let rules = self.inner.rules.current(&self.inner.metastore).await?;
        Ok(rules::standing_for(&rules, registry, host, repository))
    }

    /// The manifest that the reference names: the one here if it is still right, else the source's.
    ///
    /// # Errors
    /// [`CacheError`], if there is none here either.
    pub async fn manifest(
        &self,
        filled: &Arc<Filled>,
        reference: &Reference,
        wanted: Wanted,
    ) -> Result<Served, CacheError> {
        if let Some(known) = self.known(filled, reference).await?
            && self.is_fresh(filled, reference)
        {
            return Ok(Served::whole(known, false));
        }
        // Whoever comes meanwhile waits, and finds the answer.
        let key = (filled.place.clone(), reference.to_string());
        let _turn = self.inner.turns.take(&key).await;
        let known = self.known(filled, reference).await?;
        if let Some(known) = &known
            && self.is_fresh(filled, reference)
        {
            return Ok(Served::whole(known.clone(), false));
        }
        match self.ask(filled, reference, wanted, known.as_ref()).await {
            Ok(served) => Ok(served),
            // What the source no longer has, or cannot say now, is still here.
            Err(error) => {
                let known = known.ok_or(error.clone())?;
                tracing::debug!(repository = %filled.place.1, %reference, %error, "a stale manifest is served");
                Ok(Served::whole(known, true))
            }
        }
    }

    async fn ask(
        &self,
        filled: &Arc<Filled>,
        reference: &Reference,
        wanted: Wanted,
        known: Option<&Content>,
    ) -> Result<Served, CacheError> {
        let (upstream, there) = (&filled.upstream, &filled.there);
        if known.is_some() || wanted == Wanted::Head {
            let head = self.asked(filled, reference, upstream.manifest_head(there, reference)).await;
            match (head, known) {
                (Ok(head), Some(known)) if head.digest.as_ref() == Some(&known.manifest().digest) => {
                    self.note_fresh(filled, reference);
                    return Ok(Served::whole(known.clone(), false));
                }
                (Ok(head), _) if wanted == Wanted::Head => {
                    if let (Some(digest), Some(size)) = (head.digest, head.size) {
                        let size = usize::try_from(size).unwrap_or(usize::MAX);
                        return Ok(Served {
                            digest,
                            media_type: head.media_type,
                            size,
                            content: None,
                            is_stale: false,
                        });
                    }
                }
                (Ok(_), _) => {}
                // Some registries know no HEAD.
                (Err(CacheError::Upstream(error)), _)
                    if matches!(*error, UpstreamError::Status { status: 405, .. }) => {}
                (Err(error), _) => return Err(error),
            }
        }
        let found = self.asked(filled, reference, upstream.manifest(there, reference)).await?;
        let stored = self.accept(filled, reference, found, wanted).await?;
        self.note_fresh(filled, reference);
        Ok(Served::whole(stored, false))
    }

    /// Takes in a manifest: as one of the repository's own if its blobs are here, else to wait for them.
    async fn accept(
        &self,
        filled: &Arc<Filled>,
        reference: &Reference,
        found: RemoteManifest,
        wanted: Wanted,
    ) -> Result<Content, CacheError> {
        let RemoteManifest { digest, media_type, bytes } = found;
        let manifest =
            Manifest::parse(&media_type, bytes).map_err(|error| CacheError::Invalid(Arc::new(error)))?;
        let stored = Arc::new(StoredManifest {
            digest,
            media_type,
            kind: ManifestKind::of(&manifest),
            bytes: manifest.bytes().to_vec(),
            is_readable: true,
        });
        let tag = match reference {
            Reference::Tag(tag) => Some(tag.clone()),
            Reference::Digest(_) => None,
        };
        let needed: Vec<_> = manifest.required_blobs().map(|blob| (blob.digest.clone(), blob.size)).collect();
        let digests = needed.iter().map(|(digest, _)| digest.clone()).collect();
        self.inner.waiting.lock().insert(&filled.place, &stored, tag, digests);
        let (registry, repository) = &filled.place;
        for (blob, _) in &needed {
            if self.inner.registry.blob_size(*registry, repository, blob).await?.is_some() {
                self.inner.waiting.lock().arrived(&filled.place, blob);
            }
        }
        if !self.settle(&filled.place).await? && wanted == Wanted::Whole {
            tokio::spawn(self.clone().complete(Arc::clone(filled), stored.digest.clone(), needed));
        }
        let own = self
            .inner
            .registry
            .manifest(*registry, repository, &Reference::Digest(stored.digest.clone()))
            .await?;
        Ok(own.map_or(Content::Coming(stored), Content::Own))
    }

    /// Makes manifests that have all their blobs the repository's own; false if some still wait.
    pub(crate) async fn settle(&self, place: &Place) -> Result<bool, CacheError> {
        let ready = self.inner.waiting.lock().ready(place);
        for (manifest, tags) in ready {
            let reference = Reference::Digest(manifest.digest.clone());
            let content = (&manifest.media_type, manifest.bytes.clone());
            let put =
                self.inner.registry.put_manifest(place.0, &place.1, &reference, tags, content, "").await;
            // Whatever came of it, it waits no longer: a refusal is the answer to this pull.
            self.inner.waiting.lock().remove(place, &manifest.digest);
            put?;
        }
        Ok(!self.inner.waiting.lock().has(place))
    }

    /// Brings the blobs that nobody has asked for: clients have some already.
    async fn complete(self, filled: Arc<Filled>, digest: Digest, needed: Vec<(Digest, u64)>) {
        let Ok(_permit) = self.inner.completing.acquire().await else { return };
        for (blob, size) in needed {
            let arrival = match self.arrival(&filled, &blob, size).await {
                Ok(Some(arrival)) => arrival,
                Ok(None) => continue,
                Err(error) => return tracing::debug!(%digest, %error, "an image stays incomplete"),
            };
            if let Err(error) = arrival.whole().await {
                tracing::warn!(repository = %filled.place.1, %digest, %blob, %error, "an image stays incomplete");
                return;
            }
        }
    }

    /// The manifest by that reference as far as it is here.
    async fn known(&self, filled: &Filled, reference: &Reference) -> Result<Option<Content>, StoreError> {
        let coming = self.inner.waiting.lock().find(&filled.place, reference);
        if let Some(coming) = coming {
            return Ok(Some(Content::Coming(coming)));
        }
        let own = self.inner.registry.manifest(filled.place.0, &filled.place.1, reference).await?;
        Ok(own.map(Content::Own))
    }

    /// The size of a blob that a manifest of the repository names, here or on its way; what none names
    /// is not for this repository to give.
    pub(crate) async fn named_size(&self, filled: &Filled, blob: &Digest) -> Result<Option<u64>, StoreError> {
        let waiting = self.inner.waiting.lock().naming(&filled.place, blob);
        let naming = match waiting {
            Some(waiting) => Some(waiting),
            None => {
                let (registry, repository) = &filled.place;
                self.inner.registry.manifest_naming(*registry, repository, blob).await?.map(Arc::new)
            }
        };
        Ok(naming.and_then(|manifest| {
            let manifest = Manifest::parse(&manifest.media_type, manifest.bytes.clone()).ok()?;
            manifest.required_blobs().find(|named| named.digest == *blob).map(|named| named.size)
        }))
    }

    fn is_fresh(&self, filled: &Filled, reference: &Reference) -> bool {
        match reference {
            // A digest never means anything else.
            Reference::Digest(_) => true,
            Reference::Tag(tag) => {
                let checked = self.inner.memory.lock().checked(&filled.place, tag);
                checked.is_some_and(|checked| checked.elapsed() < self.inner.settings.fresh)
            }
        }
    }

    fn note_fresh(&self, filled: &Filled, reference: &Reference) {
        if let Reference::Tag(tag) = reference {
            self.inner.memory.lock().note_checked(&filled.place, tag, Instant::now());
        }
    }

    /// Asks the source, unless it has just said no, or wants to be left alone for a while.
    pub(crate) async fn asked<T>(
        &self,
        filled: &Filled,
        what: impl ToString,
        asking: impl Future<Output = Result<T, UpstreamError>>,
    ) -> Result<T, CacheError> {
        let host = filled.upstream.host().to_string();
        let key = (filled.place.clone(), what.to_string());
        if let Some(refusal) = self.inner.memory.lock().refusal(&host, &key) {
            return Err(refusal.into());
        }
        match asking.await {
            Ok(found) => Ok(found),
            Err(error) => {
                let CacheSettings { refused, trouble, .. } = self.inner.settings;
                let error = Arc::new(error);
                let now = Instant::now();
                let mut memory = self.inner.memory.lock();
                match &*error {
                    UpstreamError::TooMany { retry_after_s, .. } => {
                        memory.pause(host, now + Duration::from_secs(*retry_after_s), &error);
                    }
                    other if other.is_trouble() => memory.pause(host, now + trouble, &error),
                    _ => memory.refuse(key, now + refused, &error),
                }
                Err(error.into())
            }
        }
    }
}

impl Served {
    /// One that is the repository's own.
    #[must_use]
    pub fn own(pulled: Arc<Pulled>) -> Self {
        Self::whole(Content::Own(pulled), false)
    }

    fn whole(content: Content, is_stale: bool) -> Self {
        let manifest = content.manifest();
        let (digest, media_type) = (manifest.digest.clone(), manifest.media_type.clone());
        let size = manifest.bytes.len();
        Self { digest, media_type, size, content: Some(content), is_stale }
    }
}

impl Content {
    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &StoredManifest {
        match self {
            Self::Own(pulled) => &pulled.manifest,
            Self::Coming(manifest) => manifest,
        }
    }
}

/// A tag of a place.
pub(crate) type TagKey = (Place, Tag);

const COMPLETING_MAX: usize = 4;
