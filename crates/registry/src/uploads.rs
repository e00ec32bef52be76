//! Uploads: a session from its first byte to the blob.

use std::time::Duration;

use blobstore::UploadReader;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use metastore::{RegistryId, Upload};
use oci::{Algorithm, Digest, Hasher, Repository};
use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

use crate::observer::FIRST_BYTES;
use crate::sessions::{Owner, Session, UploadStatus};
use crate::{Registry, StoreError, UploadError};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The bytes of one request, and what it says of them.
pub struct Chunk<S> {
    /// The first and the last byte's offset (`Content-Range`), if the request says.
    pub range: Option<(u64, u64)>,
    /// The length of the body (`Content-Length`), if the request says.
    pub length: Option<u64>,
    /// The body.
    pub body: S,
}

impl Registry {
    /// Opens a session in which content is to be hashed by `algorithm`.
    ///
    /// # Errors
    /// [`UploadError::TooMany`], or the stores.
    pub async fn begin_upload(
        &self,
        registry: RegistryId,
        repository: &Repository,
        principal: &str,
        algorithm: Algorithm,
    ) -> Result<UploadStatus, UploadError> {
        self.metastore.check_may_fit(registry, 0).await?;
        let owner = Owner { registry, repository: repository.clone(), principal: principal.to_owned() };
        let house = self.clone();
        carried(async move {
            let session = house.new_session(owner, algorithm).await?;
            let (id, now_ms) = (session.id, session.touched_ms);
            let Owner { registry, repository, principal } = &session.owner;
            let upload = Upload { id, received: 0, hasher: session.hasher.clone() };
            let created =
                house.metastore.create_upload(*registry, repository, principal, upload, now_ms).await;
            if let Err(error) = created {
                house.blobs.discard(id).await?;
                return Err(error.into());
            }
            house.sessions.insert(session);
            Ok(UploadStatus { id, received: 0 })
        })
        .await
    }

    /// Where a session stands.
    ///
    /// # Errors
    /// [`UploadError::Unknown`], or the stores.
    pub async fn upload_status(&self, owner: Owner, id: Uuid) -> Result<UploadStatus, UploadError> {
        let session = self.hold(owner, id).await?;
        Ok(UploadStatus { id, received: session.file.received() })
    }

    /// Appends a chunk. If the body breaks off, what arrived is kept.
    ///
    /// # Errors
    /// [`UploadError`]; the session stays, unless it is unknown.
    pub async fn append<S, E>(
        &self,
        owner: Owner,
        id: Uuid,
        chunk: Chunk<S>,
    ) -> Result<UploadStatus, UploadError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
        E: Into<BoxError>,
    {
        let mut session = self.hold(owner, id).await?;
        let appended = self.take_in(&mut session, chunk, None).await;
        session.touched_ms = (self.clock)();
        let upload = Upload { id, received: session.file.received(), hasher: session.hasher.clone() };
        if !self.metastore.advance_upload(upload, session.touched_ms).await? {
            self.forget(&mut session);
            return Err(UploadError::Unknown);
        }
        appended.map(|()| UploadStatus { id, received: session.file.received() })
    }

    /// Appends the last chunk, which may be empty or everything, and makes the whole the blob `digest`.
    ///
    /// # Errors
    /// [`UploadError`]; after [`UploadError::DigestMismatch`] the session has ended.
    pub async fn finish<S, E>(
        &self,
        owner: Owner,
        id: Uuid,
        chunk: Chunk<S>,
        digest: &Digest,
    ) -> Result<(), UploadError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
        E: Into<BoxError>,
    {
        let mut session = self.hold(owner, id).await?;
        if let Err(error) = self.take_in(&mut session, chunk, Some(digest)).await {
            session.touched_ms = (self.clock)();
            let upload = Upload { id, received: session.file.received(), hasher: session.hasher.clone() };
            self.metastore.advance_upload(upload, session.touched_ms).await?;
            return Err(error);
        }
        let (registry, digest) = (self.clone(), digest.clone());
        carried(async move { registry.commit(&mut session, &digest, Some(id)).await }).await
    }

    /// Stores a blob that comes in one request, without a session.
    ///
    /// # Errors
    /// [`UploadError`]; then nothing stays.
    pub async fn put_blob<S, E>(
        &self,
        owner: Owner,
        chunk: Chunk<S>,
        digest: &Digest,
    ) -> Result<(), UploadError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        self.put_blob_shared(owner, chunk, digest, |_| ()).await
    }

    /// As [`Self::put_blob`]; `begun` gets the bytes to be read while they arrive: each is there before the
    /// body is asked for the next piece. That they are right is certain only when this has succeeded.
    ///
    /// # Errors
    /// [`UploadError`]; then nothing stays.
    pub async fn put_blob_shared<S, E>(
        &self,
        owner: Owner,
        chunk: Chunk<S>,
        digest: &Digest,
        begun: impl FnOnce(UploadReader) + Send + 'static,
    ) -> Result<(), UploadError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        let (registry, digest) = (self.clone(), digest.clone());
        carried(async move {
            let mut session = registry.new_session(owner, digest.algorithm()).await?;
            begun(session.file.reader());
            let outcome = match registry.take_in(&mut session, chunk, Some(&digest)).await {
                Ok(()) => registry.commit(&mut session, &digest, None).await,
                Err(error) => Err(error),
            };
            if outcome.is_err() {
                registry.blobs.discard(session.id).await?;
            }
            outcome
        })
        .await
    }

    /// Ends a session and drops its bytes.
    ///
    /// # Errors
    /// [`UploadError::Unknown`], or the stores.
    pub async fn cancel_upload(&self, owner: Owner, id: Uuid) -> Result<(), UploadError> {
        let mut session = self.hold(owner, id).await?;
        self.drop_session(&mut session).await
    }

    /// Ends the sessions that nobody has touched for a day, and forgets what is idle in memory.
    ///
    /// # Errors
    /// [`StoreError`] if the stores fail.
    pub async fn expire_uploads(&self) -> Result<usize, StoreError> {
        let now_ms = (self.clock)();
        self.sessions.forget_idle(now_ms - IDLE_MS);
        let expired = self.metastore.expire_uploads(now_ms - EXPIRY_MS).await?;
        for id in &expired {
            self.sessions.remove(*id);
            self.blobs.discard(*id).await?;
        }
        Ok(expired.len())
    }

    async fn new_session(&self, owner: Owner, algorithm: Algorithm) -> Result<Session, UploadError> {
        let count = self.sessions.count(&owner.principal);
        if count >= SESSIONS_PER_PRINCIPAL_MAX {
            return Err(UploadError::TooMany { count });
        }
        let id = Uuid::new_v4();
        let file = self.blobs.upload(id, 0).await?.ok_or(UploadError::Unknown)?;
        Ok(Session::new(id, owner, file, Hasher::new(algorithm), (self.clock)()))
    }

    /// The session of that id under its lock, revived from its row if need be; only for its owner.
    async fn hold(&self, owner: Owner, id: Uuid) -> Result<OwnedMutexGuard<Session>, UploadError> {
        let shared = match self.sessions.find(id) {
            Some(shared) => shared,
            None => self.revive(&owner, id).await?,
        };
        // A client whose connection broke tries again while the server still notices: a moment's
        // patience. Two who really write at once are told apart.
        let session =
            tokio::time::timeout(PATIENCE, shared.lock_owned()).await.map_err(|_| UploadError::Busy)?;
        if session.is_over || session.owner != owner {
            return Err(UploadError::Unknown);
        }
        Ok(session)
    }

    async fn revive(&self, owner: &Owner, id: Uuid) -> Result<crate::sessions::Shared, UploadError> {
        let Owner { registry, repository, principal } = owner;
        let row = self.metastore.upload(*registry, repository, principal, id).await?;
        let row = row.ok_or(UploadError::Unknown)?;
        let Some(file) = self.blobs.upload(id, row.received).await? else {
            // The machine lost bytes that were never promised to be durable.
            self.metastore.delete_upload(id).await?;
            return Err(UploadError::Unknown);
        };
        let mut session = Session::new(id, owner.clone(), file, row.hasher, (self.clock)());
        // Observers see uploads from their first byte or not at all.
        session.was_offered = row.received > 0;
        Ok(self.sessions.insert(session))
    }

    /// Hashes and writes the body. After an error the session stands where it stood before, but for a
    /// body that broke off: then it stands where that ended.
    async fn take_in<S, E>(
        &self,
        session: &mut Session,
        chunk: Chunk<S>,
        digest: Option<&Digest>,
    ) -> Result<(), UploadError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
        E: Into<BoxError>,
    {
        let Chunk { range, length, mut body } = chunk;
        let began = session.file.received();
        let stated = match range {
            Some((first, _)) if first != began => {
                return Err(UploadError::OutOfOrder { offset: first, received: began });
            }
            Some((first, last)) => Some(last.saturating_sub(first).saturating_add(1)),
            None => length,
        };
        if let (Some(stated), Some(actual)) = (stated, length)
            && stated != actual
        {
            return Err(UploadError::WrongLength { stated, actual });
        }
        let hasher = session.hasher.clone();
        // Nobody needs to send what does not fit. What has a known digest may be held already.
        let registry = session.owner.registry;
        let check = async |size: u64| match digest {
            Some(digest) => self.metastore.check_fits(registry, digest, size).await,
            None => self.metastore.check_may_fit(registry, size).await,
        };
        check(began.saturating_add(length.unwrap_or(0))).await?;
        let mut checked = began;
        loop {
            // A client that has gone silent must not hold its session.
            let next = tokio::time::timeout(SILENCE_MAX, body.next()).await;
            let Some(piece) = next.map_err(|silence| UploadError::Body(silence.into()))? else { break };
            let piece = piece.map_err(|error| UploadError::Body(error.into()))?;
            session.file.append(&piece)?;
            session.hasher.update(&piece);
            session.show(&*self.observer, &piece);
            let actual = session.file.received() - began;
            if let Some(stated) = stated
                && actual > stated
            {
                return self.undo(session, hasher, began, UploadError::WrongLength { stated, actual });
            }
            if session.file.received() - checked > UNCHECKED_BYTES_MAX {
                checked = session.file.received();
                if let Err(error) = check(checked).await {
                    return self.undo(session, hasher, began, error.into());
                }
            }
        }
        let actual = session.file.received() - began;
        match stated {
            Some(stated) if actual != stated => {
                self.undo(session, hasher, began, UploadError::WrongLength { stated, actual })
            }
            _ => Ok(()),
        }
    }

    fn undo(
        &self,
        session: &mut Session,
        hasher: Hasher,
        began: u64,
        error: UploadError,
    ) -> Result<(), UploadError> {
        session.file.truncate(began)?;
        session.hasher = hasher;
        // The watch has seen bytes that are no longer there.
        session.watch = None;
        session.was_offered = true;
        Err(error)
    }

    async fn commit(
        &self,
        session: &mut Session,
        digest: &Digest,
        upload: Option<Uuid>,
    ) -> Result<(), UploadError> {
        session.offer(&*self.observer);
        let actual = if session.hasher.algorithm() == digest.algorithm() {
            session.hasher.clone().finish()
        } else {
            self.blobs.digest(&session.file, digest.algorithm()).await?
        };
        if actual != *digest {
            self.drop_session(session).await?;
            return Err(UploadError::DigestMismatch { wanted: digest.clone(), actual });
        }
        let size = session.file.received();
        let registry = session.owner.registry;
        if let Err(error) = self.metastore.check_fits(registry, digest, size).await {
            self.drop_session(session).await?;
            return Err(error.into());
        }
        if let Some(watch) = session.watch.take() {
            watch.complete(digest, size);
        }
        // From here until the row is there nobody may take these bytes for unwanted.
        let _turn = self.turns.take(digest).await;
        self.blobs.commit(&session.file, digest).await?;
        let (repository, now_ms) = (&session.owner.repository, (self.clock)());
        match self.metastore.commit_blob(registry, repository, digest, size, upload, now_ms).await {
            Err(error @ metastore::Error::OverQuota { .. }) => {
                // Another took the room in between. The bytes go, unless another registry has them.
                if !self.metastore.has_blob(digest).await? {
                    self.blobs.remove(digest).await?;
                }
                self.drop_session(session).await?;
                Err(error.into())
            }
            Err(error) => Err(error.into()),
            Ok(()) => {
                self.forget(session);
                Ok(())
            }
        }
    }

    async fn drop_session(&self, session: &mut Session) -> Result<(), UploadError> {
        self.forget(session);
        session.watch = None;
        self.metastore.delete_upload(session.id).await?;
        Ok(self.blobs.discard(session.id).await?)
    }

    fn forget(&self, session: &mut Session) {
        session.is_over = true;
        self.sessions.remove(session.id);
    }
}

/// What has begun is carried through, whoever stops waiting: a connection that breaks in the middle
/// must not leave a file without its row.
async fn carried<T: Send + 'static>(
    work: impl Future<Output = Result<T, UploadError>> + Send + 'static,
) -> Result<T, UploadError> {
    tokio::spawn(work).await.map_err(|_| UploadError::from(metastore::Error::Closed))?
}

impl Session {
    /// Keeps the observer informed: first asks it, then tells it how far the file has grown.
    fn show(&mut self, observer: &dyn crate::UploadObserver, piece: &[u8]) {
        if self.first.len() < FIRST_BYTES && !self.was_offered {
            let wanted = piece.len().min(FIRST_BYTES - self.first.len());
            self.first.extend_from_slice(&piece[..wanted]);
        }
        if self.first.len() >= FIRST_BYTES {
            self.offer(observer);
        }
        if let Some(watch) = &mut self.watch {
            watch.grew(self.file.received());
        }
    }

    /// Asks the observer, once, whether it is interested.
    fn offer(&mut self, observer: &dyn crate::UploadObserver) {
        if !std::mem::replace(&mut self.was_offered, true) {
            self.watch = observer.begin(self.file.path(), &self.first);
        }
    }
}

/// How long a request waits for another one on the same session.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a body may go without a byte.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// So much of a body is taken before it is asked again whether it may get in at all.
const UNCHECKED_BYTES_MAX: u64 = 64 << 20;

/// Sessions that one principal may have live at once; each holds a file open.
const SESSIONS_PER_PRINCIPAL_MAX: usize = 1_024;

/// After so long without a request a session is kept by its row alone.
const IDLE_MS: i64 = 600_000;

/// After so long without a request a session ends.
const EXPIRY_MS: i64 = 86_400_000;
