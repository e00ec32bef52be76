//! The queue's jobs: scan one image, or judge again what a new snapshot changed.

use std::collections::HashMap;
use std::io;

use advisory::changed;
use assessment::{Cause, ImageState, Verdict};
use blobstore::BlobStore;
use inventory::{ImageInventory, LayerInventory, Problem, ProblemKind};
use jobs::{Clock, Work};
use matching::StaleFeed;
use metastore::{Feed, Job, JobKind, Metastore, VerdictWrite};
use oci::{Content, Digest, ImageConfig, Manifest};
use tokio::sync::OwnedSemaphorePermit;

use crate::judge::{EVERY_IMAGE, ImageFacts, judge, rematch_keys};
use crate::read::{LayerRead, unread};
use crate::stack::{computing, distinct, stack};
use crate::{Advisories, AdvisoriesError, LayerReader, ScannedImage};

/// Does the queue's jobs. Clones share it.
#[derive(Clone)]
pub struct Scanner {
    metastore: Metastore,
    blobs: BlobStore,
    reader: LayerReader,
    advisories: Advisories,
    clock: Clock,
    stale_after_ms: i64,
}

/// Why a scan could not be done now; trying again may help.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The rows.
    #[error("the metastore failed")]
    Metastore(#[from] metastore::Error),
    /// The bytes.
    #[error("the blob store failed")]
    Blob(#[source] blobstore::Error),
    /// The advisories.
    #[error(transparent)]
    Advisories(#[from] AdvisoriesError),
    /// The stored manifest is none.
    #[error("the stored manifest cannot be read")]
    Manifest(#[from] oci::InvalidManifest),
    /// No process could be started.
    #[error("the extractor cannot be started")]
    Spawn(#[source] io::Error),
    /// Something outside ended the extractor.
    #[error("a layer was not read to its end")]
    Interrupted(#[source] sandbox::JailError),
    /// A computation ended badly.
    #[error("the layers could not be added up")]
    Computing(#[source] tokio::task::JoinError),
    /// A file could not be read.
    #[error("a file cannot be read")]
    File(#[source] io::Error),
    /// A layer is not what it is called.
    #[error("the layer {layer} holds other bytes than its digest says")]
    DigestMismatch {
        /// Which layer.
        layer: Digest,
    },
    /// The job's key is none of ours.
    #[error("the job {key:?} makes no sense")]
    Job {
        /// The key.
        key: String,
    },
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

impl Scanner {
    /// A scanner of the images in `metastore` and `blobs`. Advisory data that no source has
    /// confirmed for `stale_after_ms` is too old to call an image healthy by.
    #[must_use]
    pub fn new(
        metastore: Metastore,
        blobs: BlobStore,
        reader: LayerReader,
        advisories: Advisories,
        clock: Clock,
        stale_after_ms: i64,
    ) -> Self {
        Self { metastore, blobs, reader, advisories, clock, stale_after_ms }
    }

    /// Reads what is unread of an image, judges it and stores the verdict. An image judged by the
    /// current snapshot and this engine already is left as it is; a deleted one, or one that no plan
    /// covers any more, is nothing to do.
    ///
    /// # Errors
    /// [`ScanError`] if it must be tried again.
    pub async fn scan(&self, image: &Digest) -> Result<(), ScanError> {
        let Some(facts) = self.covered_facts(image).await? else { return Ok(()) };
        if let Some(verdict) = self.metastore.verdict(image).await? {
            let current = self.metastore.current_snapshot().await?;
            if verdict.snapshot == current
                && verdict.engine == ENGINE
                && verdict.state != ImageState::Unverified
            {
                // It may have come to a subscription that did not have it before.
                return Ok(self.metastore.meter_image(image, (self.clock)()).await?);
            }
        }
        self.judge_and_store(image, &facts, Basis::Complete).await
    }

    /// Judges again, from stored inventories, every image that holds a package of which the two
    /// snapshots speak differently. `old` is `None` for the first snapshot. Returns how many.
    ///
    /// # Errors
    /// [`ScanError`] if it must be tried again.
    pub async fn rematch(&self, old: Option<Digest>, new: &Digest) -> Result<usize, ScanError> {
        let every_image = || vec![EVERY_IMAGE.map(str::to_owned).into()];
        let keys = match old {
            None => every_image(),
            Some(old) => match self.advisories.open(old).await {
                Ok(old) => {
                    let new = self.advisories.open(new.clone()).await?;
                    let changes = changed(Some(&old), &new)
                        .map_err(|source| AdvisoriesError::Damaged { id: new.id().clone(), source })?;
                    changes.into_iter().map(|change| (change.namespace.to_string(), change.package)).collect()
                }
                // What changed cannot be told any more: then everything may have.
                Err(AdvisoriesError::Missing { .. } | AdvisoriesError::Damaged { .. }) => every_image(),
                Err(error) => return Err(error.into()),
            },
        };
        self.rejudge(keys).await
    }

    async fn rejudge(&self, keys: Vec<(String, String)>) -> Result<usize, ScanError> {
        let images = self.metastore.images_holding(keys).await?;
        for image in &images {
            self.judge_again(image).await?;
        }
        Ok(images.len())
    }

    /// Queues a new judgement of everything if a feed has become too old, or is no longer, since
    /// the last time this was asked. To be called now and then, for time alone can change it.
    ///
    /// # Errors
    /// [`ScanError`] if the store fails.
    pub async fn note_stale_feeds(&self) -> Result<(), ScanError> {
        let now_ms = (self.clock)();
        let feeds = self.metastore.feeds().await?;
        let stale = stale_feeds(&feeds, now_ms, self.stale_after_ms);
        let names: Vec<_> = stale.into_iter().map(|stale| stale.feed).collect();
        Ok(self.metastore.note_stale_feeds(names.join(" "), now_ms).await?)
    }

    /// Judges an image again from its stored inventory, or scans it if there is none.
    async fn judge_again(&self, image: &Digest) -> Result<(), ScanError> {
        let Some(facts) = self.covered_facts(image).await? else { return Ok(()) };
        self.judge_and_store(image, &facts, Basis::Stored).await
    }

    /// Judges a local image by the current snapshot; nothing is stored.
    ///
    /// # Errors
    /// [`ScanError`] if the advisories cannot be read.
    pub async fn judge_local(
        metastore: &Metastore,
        advisories: &Advisories,
        image: &ScannedImage,
        now_ms: i64,
        stale_after_ms: i64,
    ) -> Result<(Verdict, Option<Digest>), ScanError> {
        let stale = stale_feeds(&metastore.feeds().await?, now_ms, stale_after_ms);
        let current = advisories.current().await?;
        let verdict = judge(&image.facts, &image.inventory, current.as_deref(), &stale, date(now_ms));
        Ok((verdict, current.map(|current| current.id().clone())))
    }

    /// Nothing for an image that is gone, or that no plan covers: then what is known of it stays as
    /// it is.
    async fn covered_facts(&self, image: &Digest) -> Result<Option<ImageFacts>, ScanError> {
        if self.metastore.is_covered(image).await? { self.facts(image).await } else { Ok(None) }
    }

    async fn facts(&self, image: &Digest) -> Result<Option<ImageFacts>, ScanError> {
        let Some(stored) = self.metastore.any_manifest(image).await? else { return Ok(None) };
        let manifest = Manifest::parse(&stored.media_type, stored.bytes)?;
        let config = match manifest.content() {
            Content::Image { config, .. }
                if config.media_type.is_image_config() && config.size <= CONFIG_BYTES_MAX =>
            {
                let blob = self.blobs.open_blob(&config.digest).await.map_err(ScanError::Blob)?;
                let bytes = blob.map(|blob| blob.whole()).transpose().map_err(ScanError::File)?;
                bytes.and_then(|bytes| ImageConfig::parse(&bytes).ok())
            }
            _ => None,
        };
        Ok(Some(ImageFacts::new(&manifest, config)))
    }

    /// What the image holds, from the stored inventory as far as `basis` takes that, with the room that it
    /// takes in memory.
    async fn inventory(
        &self,
        image: &Digest,
        facts: &ImageFacts,
        basis: Basis,
    ) -> Result<(ImageInventory, Option<OwnedSemaphorePermit>), ScanError> {
        let room = &self.reader.inner.room;
        if let Some(bytes) = self.metastore.image_inventory_bytes(image).await? {
            let permit = room.take(bytes).await;
            let stored = self.metastore.image_inventory(image).await?;
            if let Some(stored) = stored.filter(|stored| basis.takes(stored)) {
                return Ok((stored, Some(permit)));
            }
        }
        if facts.not_applicable().is_some() {
            return Ok((ImageInventory::default(), None));
        }
        // Each is read and stored before the first is held in memory.
        let mut read = HashMap::new();
        for layer in distinct(&facts.layers) {
            let outcome = self.reader.read(&layer).await?;
            read.insert(layer, outcome);
        }
        let bytes = read.values().map(|read| match read {
            LayerRead::Stored { bytes } => *bytes,
            LayerRead::Unavailable => 0,
        });
        let permit = room.take(bytes.sum()).await;
        let load = |position: usize| {
            let layer = facts.layers.get(position).map(|layer| &layer.digest);
            let found = layer.and_then(|layer| Some((layer, *read.get(layer)?)));
            async move {
                let Some((layer, LayerRead::Stored { bytes })) = found else { return Ok((unavailable(), 0)) };
                let stored = self.metastore.layer_inventory(layer).await?;
                Ok(stored.map_or_else(|| (unavailable(), 0), |inventory| (inventory, bytes)))
            }
        };
        Ok((stack(&facts.layers, load).await?, Some(permit)))
    }

    async fn judge_and_store(
        &self,
        image: &Digest,
        facts: &ImageFacts,
        basis: Basis,
    ) -> Result<(), ScanError> {
        loop {
            let (inventory, _room) = self.inventory(image, facts, basis).await?;
            let now_ms = (self.clock)();
            let current = self.advisories.current().await?;
            let snapshot = current.as_ref().map(|current| current.id().clone());
            let stale = stale_feeds(&self.metastore.feeds().await?, now_ms, self.stale_after_ms);
            let facts = facts.clone();
            let (inventory, verdict) = computing(move || {
                if inventory.packages.len() > LARGE_PACKAGES {
                    // What adding the layers up took is not kept beside what the findings take.
                    sandbox::memory::give_back();
                }
                let verdict = judge(&facts, &inventory, current.as_deref(), &stale, date(now_ms));
                (inventory, verdict)
            })
            .await?;
            if self.store(image, inventory, snapshot, verdict, now_ms).await? {
                return Ok(());
            }
            // A new snapshot arrived in between: its rematch may have missed this image.
        }
    }

    async fn store(
        &self,
        image: &Digest,
        inventory: ImageInventory,
        snapshot: Option<Digest>,
        verdict: Verdict,
        now_ms: i64,
    ) -> Result<bool, ScanError> {
        tracing::info!(digest = %image, state = %verdict.state, findings = verdict.findings.len(), "judged");
        let write = VerdictWrite {
            image: image.clone(),
            keys: rematch_keys(&inventory),
            inventory,
            snapshot,
            engine: ENGINE.to_owned(),
            verdict,
            now_ms,
        };
        Ok(self.metastore.put_verdict(write).await?)
    }

    async fn perform(&self, job: &Job) -> Result<(), ScanError> {
        let senseless = || ScanError::Job { key: job.key.clone() };
        match job.kind {
            JobKind::Scan => self.scan(&job.key.parse().map_err(|_| senseless())?).await,
            JobKind::Rematch => {
                let (old, new) = job.key.split_once('>').ok_or_else(senseless)?;
                let old = if old.is_empty() { None } else { Some(old.parse().map_err(|_| senseless())?) };
                let images = self.rematch(old, &new.parse().map_err(|_| senseless())?).await?;
                let advisories = self.metastore.announce_advisories((self.clock)()).await?;
                tracing::info!(images, advisories, snapshot = new, "judged again by the new advisories");
                Ok(())
            }
        }
    }
}

impl Work for Scanner {
    async fn run(&self, job: &Job) -> Result<(), String> {
        self.perform(job).await.map_err(|error| chain(&error))
    }

    /// A scan that cannot be done says so where people look for its result.
    async fn give_up(&self, job: &Job, error: &str) -> Result<(), String> {
        let JobKind::Scan = job.kind else {
            return Err(format!("images still wait to be judged again: {error}"));
        };
        let image = job.key.parse().map_err(|_| format!("{:?} is not a digest", job.key))?;
        let description = format!("the scan failed {} times; the last time: {error}", job.attempts);
        let unread = Problem { kind: ProblemKind::ExtractorFailed, path: None, detail: description.clone() };
        let causes = vec![Cause { code: "ScanFailed".to_owned(), description }];
        let verdict = Verdict { state: ImageState::Unverified, causes, findings: Vec::new() };
        let inventory = ImageInventory { problems: vec![unread], ..ImageInventory::default() };
        loop {
            // By its id alone: a snapshot that cannot be opened may be what made the scan fail.
            let snapshot = self.metastore.current_snapshot().await.map_err(|error| chain(&error))?;
            let stored =
                self.store(&image, inventory.clone(), snapshot, verdict.clone(), (self.clock)()).await;
            if stored.map_err(|error| chain(&error))? {
                return Ok(());
            }
        }
    }
}

/// What a judgement may rest on.
#[derive(Clone, Copy, Debug)]
enum Basis {
    /// The stored inventory if it has no gap: unread parts may be readable by now.
    Complete,
    /// The stored inventory, whatever it lacks.
    Stored,
}

impl Basis {
    fn takes(self, stored: &ImageInventory) -> bool {
        match self {
            Self::Complete => stored.problems.is_empty(),
            Self::Stored => true,
        }
    }
}

fn unavailable() -> LayerInventory {
    unread(ProblemKind::Unavailable, "the layer's bytes are not in the registry".to_owned())
}

/// The feeds that no source has confirmed for too long.
fn stale_feeds(feeds: &[Feed], now_ms: i64, stale_after_ms: i64) -> Vec<StaleFeed> {
    let is_stale = |feed: &&Feed| now_ms - feed.checked_ms > stale_after_ms;
    let stale = feeds.iter().filter(is_stale).map(|feed| {
        let (age, limit) = ((now_ms - feed.checked_ms) / DAY_MS, stale_after_ms / DAY_MS);
        let detail = format!("last confirmed {age} days ago, the limit is {limit}");
        StaleFeed { feed: feed.name.clone(), detail }
    });
    stale.collect()
}

fn date(now_ms: i64) -> jiff::civil::Date {
    let now = jiff::Timestamp::from_millisecond(now_ms).unwrap_or_default();
    now.to_zoned(jiff::tz::TimeZone::UTC).date()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Who judges: a verdict of another engine is made anew when its image is pushed again.
pub const ENGINE: &str = concat!("lazaret ", env!("CARGO_PKG_VERSION"), ", extractor 1");

/// No usual image has as many.
const LARGE_PACKAGES: usize = 20_000;

const CONFIG_BYTES_MAX: u64 = 8 * 1024 * 1024;
const DAY_MS: i64 = 86_400_000;
