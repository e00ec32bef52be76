//! Taking in payloads, and making the advisory snapshot of all that are good.

use std::collections::BTreeMap;
use std::io::{Read, Seek};
use std::path::PathBuf;
use std::sync::Arc;

use advisory::{Snapshot, SnapshotBuilder};
use blobstore::BlobStore;
use futures_util::StreamExt;
use metastore::{Feed, FeedPayload, Metastore};
use oci::Digest;
use tokio::sync::Mutex;

use crate::addresses::{Source, Sources};
use crate::batch::{Batch, known_feeds};
use crate::fetch::{Download, FetchError, FetchLimits, Fetched, Fetcher, Validators};
use crate::import_files;
use crate::report::{Outcome, PayloadReport, Refusal, Report};
use crate::source::{ParseError, Parsed, parse};

/// All feeds of the house. Clones share it.
#[derive(Clone)]
pub struct Feeds {
    metastore: Metastore,
    blobs: BlobStore,
    shrink_max_percent: u8,
    limits: FetchLimits,
    /// One import at a time.
    turn: Arc<Mutex<()>>,
}

/// The feeds could not be worked on at all; one payload's fate is in the [`Report`].
#[derive(Debug, thiserror::Error)]
pub enum FeedsError {
    /// The rows.
    #[error("the metastore failed")]
    Metastore(#[from] metastore::Error),
    /// The bytes.
    #[error("the store of payloads and snapshots failed")]
    Blobs(#[from] blobstore::Error),
    /// No requests can be made.
    #[error("fetching is not possible")]
    Fetch(#[source] FetchError),
    /// A payload that was good is lost.
    #[error("the stored payload of {feed} is missing: import it again")]
    PayloadMissing {
        /// Whose.
        feed: String,
    },
    /// A payload that was good is so no more.
    #[error("the stored payload of {feed} is damaged: import it again")]
    PayloadDamaged {
        /// Whose.
        feed: String,
        /// How.
        source: ParseError,
    },
    /// Somebody else kept importing meanwhile.
    #[error("the feeds are being changed by others all the time: try again")]
    Contended,
    /// The program is stopping.
    #[error("the program is stopping")]
    Stopping,
}

impl FeedsError {
    /// True if there was no room on the disk.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Metastore(error) => matches!(error, metastore::Error::Full),
            Self::Blobs(error) => error.is_full(),
            _ => false,
        }
    }
}

impl Feeds {
    /// The feeds whose rows are in `metastore`, whose payloads and snapshots are in `blobs`. A payload
    /// that lost more than `shrink_max_percent` of its records is refused.
    #[must_use]
    pub fn new(metastore: Metastore, blobs: BlobStore, shrink_max_percent: u8) -> Self {
        Self { metastore, blobs, shrink_max_percent, limits: FetchLimits::default(), turn: Arc::default() }
    }

    /// The same with other limits on fetching.
    #[must_use]
    pub fn with_limits(self, limits: FetchLimits) -> Self {
        Self { limits, ..self }
    }

    /// Takes in the payloads in files, or in folders and those beneath them, and makes a snapshot of
    /// them and of the other feeds' newest good ones. A refused payload leaves its feed as it was.
    ///
    /// # Errors
    /// [`FeedsError`]; then nothing has changed.
    pub async fn import(&self, paths: &[PathBuf], now_ms: i64) -> Result<Report, FeedsError> {
        let _turn = self.turn.lock().await;
        let paths = paths.to_vec();
        let files =
            blocking(move || paths.iter().flat_map(|path| import_files::list(path)).collect::<Vec<_>>())
                .await?;
        let mut batch = Batch::new(&self.metastore).await?;
        for (path, found) in files {
            let origin = path.display().to_string();
            let bytes_max = self.limits.payload_bytes_max;
            match blocking(move || found.and_then(|()| import_files::read(&path, bytes_max))).await? {
                Ok(bytes) => self.take_in(&mut batch, origin, None, Validators::default(), bytes).await?,
                Err(refusal) => batch.refuse(origin, None, refusal),
            }
        }
        self.commit(batch, now_ms).await
    }

    /// Asks every source for what is new and takes it in as [`Feeds::import`] does.
    ///
    /// # Errors
    /// [`FeedsError`]; then nothing has changed.
    pub async fn update(&self, sources: &Sources, now_ms: i64) -> Result<Report, FeedsError> {
        let fetcher = Fetcher::new(self.limits).map_err(FeedsError::Fetch)?.holding_in(&self.blobs.scratch());
        let _turn = self.turn.lock().await;
        let mut batch = Batch::new(&self.metastore).await?;
        let mut asked = Vec::new();
        for source in sources.list() {
            let known = self.validators(batch.known.get(&source.feed), &source).await?;
            asked.push((source, known));
        }
        let fetches = asked.into_iter().map(|(source, known)| {
            let fetcher = fetcher.clone();
            async move { (fetcher.fetch(&source.url, &known).await, source) }
        });
        let mut fetches = futures_util::stream::iter(fetches).buffered(CONNECTIONS_MAX);
        while let Some((fetched, source)) = fetches.next().await {
            let Source { feed, url } = source;
            match fetched {
                Ok(Fetched::Unchanged) => batch.unchanged(url, feed),
                Ok(Fetched::Payload(Download { file, validators, .. })) => {
                    match blocking(|| whole(file)).await? {
                        Ok(bytes) => self.take_in(&mut batch, url, Some(feed), validators, bytes).await?,
                        Err(error) => batch.refuse(url, Some(feed), Refusal::Fetch(FetchError::Disk(error))),
                    }
                }
                Err(error) => batch.refuse(url, Some(feed), Refusal::Fetch(error)),
            }
        }
        self.commit(batch, now_ms).await
    }

    /// Makes the current snapshot anew from the stored payloads if it is missing, damaged or from
    /// another release of this program. True if that was necessary.
    ///
    /// # Errors
    /// [`FeedsError`]; then nothing has changed.
    pub async fn recover(&self, now_ms: i64) -> Result<bool, FeedsError> {
        let _turn = self.turn.lock().await;
        let batch = Batch::new(&self.metastore).await?;
        if batch.known.is_empty() || self.usable_snapshot().await?.is_some() {
            return Ok(false);
        }
        self.commit(batch, now_ms).await?;
        Ok(true)
    }

    /// Removes payloads and snapshots that nothing refers to any more, and what a crash left half
    /// written. Tells how many. For the start of the server: it would pull the files from under
    /// another process that is importing.
    ///
    /// # Errors
    /// [`FeedsError`] if the stores fail.
    pub async fn sweep(&self) -> Result<usize, FeedsError> {
        let _turn = self.turn.lock().await;
        let mut needed = self.metastore.snapshots_needed().await?;
        needed.extend(self.metastore.feeds().await?.into_iter().map(|feed| feed.payload.digest));
        let blobstore::Listing { mut blobs, uploads, strays } = self.blobs.list().await?;
        blobs.retain(|digest| !needed.contains(digest));
        let removed = blobs.len() + uploads.len() + strays.len();
        for digest in blobs {
            self.blobs.remove(&digest).await?;
        }
        for id in uploads {
            self.blobs.discard(id).await?;
        }
        for path in strays {
            self.blobs.remove_stray(path).await?;
        }
        Ok(removed)
    }

    /// What to tell a source is here already: nothing if it was of another origin, or is lost.
    async fn validators(&self, known: Option<&Feed>, source: &Source) -> Result<Validators, FeedsError> {
        let Some(known) = known.filter(|known| known.payload.origin == source.url) else {
            return Ok(Validators::default());
        };
        let is_here = self.blobs.size(&known.payload.digest).await?.is_some();
        let FeedPayload { etag, last_modified, .. } = known.payload.clone();
        Ok(if is_here { Validators { etag, last_modified } } else { Validators::default() })
    }

    /// Reads one payload and, if it is good, stores it and adds it to the batch.
    async fn take_in(
        &self,
        batch: &mut Batch,
        origin: String,
        expected: Option<String>,
        validators: Validators,
        bytes: Vec<u8>,
    ) -> Result<(), FeedsError> {
        let (bytes, digest, parsed) = blocking(move || {
            let digest = Digest::sha256(&bytes);
            let parsed = parse(bytes.as_slice(), &digest, UNPACKED_BYTES_MAX);
            (bytes, digest, parsed)
        })
        .await?;
        let Parsed { name, form, records, statements } = match parsed {
            Ok(parsed) => parsed,
            Err(error) => {
                batch.refuse(origin, expected, Refusal::Parse(error));
                return Ok(());
            }
        };
        let before = batch.known.get(&name).map(|feed| feed.payload.records);
        let refusal = if expected.as_ref().is_some_and(|expected| *expected != name) {
            Some(Refusal::OtherFeed { found: name.clone() })
        } else if batch.accepted.contains_key(&name) {
            Some(Refusal::Twice)
        } else {
            before.filter(|before| self.has_shrunk(*before, records)).map(|before| Refusal::Shrunk {
                before,
                records,
                percent: self.shrink_max_percent,
            })
        };
        if let Some(refusal) = refusal {
            batch.refuse(origin, expected.or(Some(name)), refusal);
            return Ok(());
        }
        let is_known = batch.known.get(&name).is_some_and(|feed| feed.payload.digest == digest);
        self.blobs.put(bytes.into()).await?;
        let outcome = if is_known { Outcome::Unchanged } else { Outcome::Imported { records, before } };
        let payload = FeedPayload {
            kind: form.name().to_owned(),
            origin: origin.clone(),
            etag: validators.etag,
            last_modified: validators.last_modified,
            digest,
            records,
        };
        batch.statements.merge(statements);
        batch.payloads.push(PayloadReport { origin, feed: Some(name.clone()), outcome });
        batch.accepted.insert(name, payload);
        Ok(())
    }

    fn has_shrunk(&self, before: u64, records: u64) -> bool {
        let kept = 100_u128.saturating_sub(u128::from(self.shrink_max_percent));
        u128::from(records) * 100 < u128::from(before) * kept
    }

    /// Makes and installs the snapshot, in one transaction with the rows of what was accepted.
    async fn commit(&self, batch: Batch, now_ms: i64) -> Result<Report, FeedsError> {
        for feed in &batch.untouched {
            self.metastore.touch_feed(feed, now_ms).await?;
        }
        let before = self.metastore.current_snapshot().await?;
        let usable = self.usable_snapshot().await?;
        let is_empty = batch.accepted.is_empty() && batch.known.is_empty();
        if is_empty || (batch.accepted.is_empty() && usable.is_some()) {
            return Ok(Report { payloads: batch.payloads, snapshot: before, is_new: false });
        }
        let (mut known, mut statements) = (batch.known, batch.statements);
        let mut accepted: Vec<_> = batch.accepted.into_iter().collect();
        // The command line may import while the server does: whoever finishes last sees to it that the
        // snapshot holds both.
        for _ in 0..ATTEMPTS_MAX {
            let mut held: BTreeMap<_, _> =
                known.into_iter().map(|(name, feed)| (name, feed.payload.digest)).collect();
            for (name, _) in &accepted {
                held.remove(name);
            }
            for (name, digest) in &held {
                statements.merge(self.stored(name, digest).await?);
            }
            held.extend(accepted.iter().map(|(name, payload)| (name.clone(), payload.digest.clone())));
            let (bytes, snapshot) = blocking(|| statements.finish()).await?;
            self.blobs.put(bytes.into()).await?;
            self.metastore.install_snapshot(accepted, &snapshot, now_ms).await?;

            known = known_feeds(&self.metastore).await?;
            let is_whole = known.iter().map(|(name, feed)| (name, &feed.payload.digest)).eq(&held);
            if is_whole && self.usable_snapshot().await?.as_ref() == Some(&snapshot) {
                let is_new = before.as_ref() != Some(&snapshot);
                return Ok(Report { payloads: batch.payloads, snapshot: Some(snapshot), is_new });
            }
            (accepted, statements) = (Vec::new(), SnapshotBuilder::new());
        }
        Err(FeedsError::Contended)
    }

    /// What the stored payload of a feed says.
    async fn stored(&self, feed: &str, digest: &Digest) -> Result<SnapshotBuilder, FeedsError> {
        let stored = self.blobs.read(digest).await?;
        let stored = stored.ok_or_else(|| FeedsError::PayloadMissing { feed: feed.to_owned() })?;
        let digest = digest.clone();
        let parsed = blocking(move || parse(stored.as_ref(), &digest, UNPACKED_BYTES_MAX)).await?;
        let damaged = |source| FeedsError::PayloadDamaged { feed: feed.to_owned(), source };
        Ok(parsed.map_err(damaged)?.statements)
    }

    /// The current snapshot, if it can be opened.
    async fn usable_snapshot(&self) -> Result<Option<Digest>, FeedsError> {
        let Some(id) = self.metastore.current_snapshot().await? else { return Ok(None) };
        let bytes = self.blobs.read(&id).await?;
        Ok(bytes.and_then(|bytes| Snapshot::open(bytes, id.clone()).ok()).map(|_| id))
    }
}

fn whole(mut file: std::fs::File) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Parsing and reading files would hold up whatever else the thread has to do.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, FeedsError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| FeedsError::Stopping)
}

/// Seven times what Debian's tracker publishes in 2026.
const UNPACKED_BYTES_MAX: u64 = 512 << 20;

/// Sources are other people's machines.
const CONNECTIONS_MAX: usize = 4;

/// An import takes seconds; who loses this often has another problem.
const ATTEMPTS_MAX: usize = 5;
