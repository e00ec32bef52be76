//! Blobs on their way: each fetched once, read by as many as want it while it is stored.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use blobstore::UploadReader;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use oci::Digest;
use parking_lot::Mutex;
use registry::{Chunk, Owner, UploadError};
use tokio::sync::{Semaphore, watch};

use super::{Cache, CacheError, Filled, Place};

/// The blobs that are under way.
pub(super) struct Flights {
    under_way: Mutex<HashMap<(Place, Digest), Arc<Flight>>>,
    permits: Semaphore,
}

struct Flight {
    size: u64,
    /// There as soon as the first byte may be.
    reader: OnceLock<UploadReader>,
    state: watch::Sender<State>,
}

#[derive(Clone, Debug)]
enum State {
    Asking,
    /// So many bytes can be read.
    Arriving(u64),
    /// All of them, and they are right.
    Whole,
    /// It was here before it was asked for.
    Here,
    Failed(CacheError),
}

/// A blob that is arriving.
#[derive(Clone)]
pub struct Arrival {
    flight: Arc<Flight>,
}

impl Default for Flights {
    fn default() -> Self {
        Self { under_way: Mutex::default(), permits: Semaphore::new(FLIGHTS_MAX) }
    }
}

impl Cache {
    /// How long a blob is that the repository may give though it is not here yet; `None`: no manifest of
    /// the repository names it.
    ///
    /// # Errors
    /// [`CacheError`] if the stores fail.
    pub async fn blob_size(&self, filled: &Filled, digest: &Digest) -> Result<Option<u64>, CacheError> {
        Ok(self.named_size(filled, digest).await?)
    }

    /// A blob that a manifest of the repository names, as it arrives from the source; `None`: no manifest
    /// names it, or it is here by now.
    ///
    /// # Errors
    /// [`CacheError`] if the source does not give it.
    pub async fn blob(&self, filled: &Arc<Filled>, digest: &Digest) -> Result<Option<Arrival>, CacheError> {
        match self.named_size(filled, digest).await? {
            Some(size) => self.arrival(filled, digest, size).await,
            None => Ok(None),
        }
    }

    /// The blob on its way, as soon as its first byte may be there; `None`: it is here.
    pub(super) async fn arrival(
        &self,
        filled: &Arc<Filled>,
        digest: &Digest,
        size: u64,
    ) -> Result<Option<Arrival>, CacheError> {
        let key = (filled.place.clone(), digest.clone());
        let (flight, is_new) = {
            let mut under_way = self.inner.flights.under_way.lock();
            match under_way.get(&key) {
                Some(flight) => (Arc::clone(flight), false),
                None => {
                    let state = watch::Sender::new(State::Asking);
                    let flight = Arc::new(Flight { size, reader: OnceLock::new(), state });
                    under_way.insert(key, Arc::clone(&flight));
                    (flight, true)
                }
            }
        };
        if is_new {
            // Whoever asked may go away: others may want it, and the image is incomplete without it.
            tokio::spawn(self.clone().fly(Arc::clone(filled), digest.clone(), Arc::clone(&flight)));
        }
        let mut state = flight.state.subscribe();
        let state = state.wait_for(|state| !matches!(state, State::Asking)).await;
        let state = state.map(|state| state.clone()).unwrap_or(State::Here);
        match state {
            State::Here => Ok(None),
            State::Failed(error) => Err(error),
            State::Asking | State::Arriving(_) | State::Whole => Ok(Some(Arrival { flight })),
        }
    }

    async fn fly(self, filled: Arc<Filled>, digest: Digest, flight: Arc<Flight>) {
        let outcome = self.bring(&filled, &digest, &flight).await;
        let state = match outcome {
            Ok(is_new) => {
                self.inner.waiting.lock().arrived(&filled.place, &digest);
                // A reader who has the last byte finds the image complete, if this was all it lacked.
                if let Err(error) = self.settle(&filled.place).await {
                    tracing::warn!(repository = %filled.place.1, %error, "a manifest from elsewhere was not stored");
                }
                if is_new { State::Whole } else { State::Here }
            }
            Err(error) => State::Failed(error),
        };
        self.inner.flights.under_way.lock().remove(&(filled.place.clone(), digest));
        flight.state.send_replace(state);
    }

    /// False: it was here.
    async fn bring(
        &self,
        filled: &Arc<Filled>,
        digest: &Digest,
        flight: &Arc<Flight>,
    ) -> Result<bool, CacheError> {
        let (registry, repository) = &filled.place;
        // Between the look of whoever asked and this flight another one may have ended.
        if self.inner.registry.blob_size(*registry, repository, digest).await?.is_some() {
            return Ok(false);
        }
        let Ok(_permit) = self.inner.flights.permits.acquire().await else { return Ok(false) };
        let asking = filled.upstream.blob(&filled.there, digest, flight.size);
        let mut body = self.asked(filled, digest, asking).await?;
        let (mut handed, watched) = (0, Arc::clone(flight));
        // What was handed on is in the file when the next piece is asked for.
        let counted = stream::poll_fn(move |context| {
            watched.grew(handed);
            let next = std::task::ready!(body.poll_next_unpin(context));
            handed += next.as_ref().and_then(|next| next.as_ref().ok()).map_or(0, |piece| piece.len() as u64);
            Poll::Ready(next)
        });
        let owner = Owner { registry: *registry, repository: repository.clone(), principal: String::new() };
        let chunk = Chunk { range: None, length: Some(flight.size), body: counted };
        let begun = {
            let flight = Arc::clone(flight);
            move |reader| drop(flight.reader.set(reader))
        };
        let stored = self.inner.registry.put_blob_shared(owner, chunk, digest, begun).await;
        match stored {
            Ok(()) => Ok(true),
            Err(UploadError::Store(error)) => Err(error.into()),
            Err(error) => Err(CacheError::Upload(Arc::new(error))),
        }
    }
}

impl Flight {
    fn grew(&self, written: u64) {
        self.state.send_if_modified(|state| match state {
            State::Asking => {
                *state = State::Arriving(written);
                true
            }
            State::Arriving(before) if *before < written => {
                *before = written;
                true
            }
            _ => false,
        });
    }
}

impl Arrival {
    /// How long the blob is.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.flight.size
    }

    /// Waits until all of it is here and right.
    ///
    /// # Errors
    /// [`CacheError`] if it is not.
    pub async fn whole(&self) -> Result<(), CacheError> {
        let mut state = self.flight.state.subscribe();
        let is_over = |state: &State| !matches!(state, State::Asking | State::Arriving(_));
        let state = state.wait_for(is_over).await.map(|state| state.clone());
        match state {
            Ok(State::Failed(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// The bytes of a range as they arrive. The last byte of the blob is given only when all of it is
    /// right: whoever has the whole has the right one.
    ///
    /// # Errors
    /// The stream errs if the source broke off or sent something else.
    pub fn pieces(self, range: Range<u64>) -> impl Stream<Item = Result<Bytes, CacheError>> + Send + 'static {
        let state = self.flight.state.subscribe();
        stream::try_unfold((self, state, range.start), move |(arrival, mut state, at)| async move {
            if at >= range.end {
                return Ok(None);
            }
            let size = arrival.flight.size;
            let readable = |state: &State| match state {
                State::Asking => 0,
                State::Arriving(written) => (*written).min(size.saturating_sub(1)),
                State::Whole | State::Here | State::Failed(_) => size,
            };
            let now = state.wait_for(|state| readable(state) > at).await.map(|state| state.clone());
            let now = now.unwrap_or(State::Here);
            if let State::Failed(error) = now {
                return Err(error);
            }
            let end = readable(&now).min(range.end).min(at + PIECE_BYTES);
            let mut piece = vec![0; usize::try_from(end - at).unwrap_or_default()];
            if let Some(reader) = arrival.flight.reader.get() {
                reader.read_at(&mut piece, at).map_err(registry::StoreError::from)?;
            }
            Ok(Some((Bytes::from(piece), (arrival, state, end))))
        })
    }
}

/// Transfers at once; others wait for one to end.
const FLIGHTS_MAX: usize = 64;
const PIECE_BYTES: u64 = 256 * 1024;
