//! Uploads: a session from its first byte to the blob.

use std::time::Duration;

use blobstore::UploadReader;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use metastore::{OpenUpload, RegistryId, Upload};
use oci::{Algorithm, Digest, Hasher, Repository};
use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

use crate::observer::FIRST_BYTES;
use crate::sessions::{Owner, Session, Stage, UploadStatus};
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
        self.metastore.check_may_fit(registry, 0, 0).await?;
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
                house.sessions.remove(id);
                return Err(error.into());
            }
            house.sessions.is_written(id);
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
        let mut session = self.work_on(owner, id).await?;
        let appended = self.take_in(&mut session, chunk, None).await;
        let mut session = session.done();
        self.pause(&mut session, appended).await?;
        Ok(UploadStatus { id, received: session.file.received() })
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
        let mut session = self.work_on(owner, id).await?;
        let taken = self.take_in(&mut session, chunk, Some(digest)).await;
        let mut session = session.done();
        if let Err(UploadError::Store(StoreError::Metastore(metastore::Error::OverQuota { .. }))) = &taken {
            // Whoever is told so at the end does not come back, and what has arrived would count for a day.
            self.drop_session(&mut session).await?;
            return taken;
        }
        if taken.is_err() {
            return self.pause(&mut session, taken).await;
        }
        let (registry, digest) = (self.clone(), digest.clone());
        carried(async move {
            let committed = registry.commit(&mut session, &digest, Some(id)).await;
            session.file.close();
            match committed {
                Err(error) if error.is_full() => {
                    Err(registry.end_for_want_of_room(&mut session, error).await)
                }
                committed => committed,
            }
        })
        .await
    }

    /// A request has ended and its session goes on: how far it has come is written down, and its file is closed. An
    /// upload that found no room on the disk does not go on: it would hold what everything else needs.
    async fn pause(&self, session: &mut Session, taken: Result<(), UploadError>) -> Result<(), UploadError> {
        session.file.close();
        session.touched_ms = (self.clock)();
        if let Err(error) = taken {
            if error.is_full() {
                return Err(self.end_for_want_of_room(session, error).await);
            }
            self.note(session).await?;
            return Err(error);
        }
        match self.note(session).await {
            Err(error) if error.is_full() => Err(self.end_for_want_of_room(session, error).await),
            noted => noted,
        }
    }

    /// Writes down how far a session has come.
    async fn note(&self, session: &mut Session) -> Result<(), UploadError> {
        let (id, received) = (session.id, session.file.received());
        self.sessions.holds(id, received, session.touched_ms);
        let upload = Upload { id, received, hasher: session.hasher.clone() };
        if !self.metastore.advance_upload(upload, session.touched_ms).await? {
            self.forget(session);
            // Its bytes are nothing's any more.
            self.blobs.discard(id).await?;
            return Err(UploadError::Unknown);
        }
        Ok(())
    }

    /// Ends an upload that found no room, and returns why it ended.
    async fn end_for_want_of_room(&self, session: &mut Session, error: UploadError) -> UploadError {
        tracing::warn!(upload = %session.id, error = %error, "an upload found no room on the disk and is dropped");
        match self.drop_session(session).await {
            Ok(()) | Err(UploadError::Unrecorded { .. }) => error,
            Err(worse) => worse,
        }
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
            let id = session.id;
            let outcome = registry.put_session(&mut session, chunk, &digest, begun).await;
            registry.sessions.remove(id);
            if outcome.is_err() {
                registry.blobs.discard(id).await?;
            }
            outcome
        })
        .await
    }

    async fn put_session<S, E>(
        &self,
        session: &mut Session,
        chunk: Chunk<S>,
        digest: &Digest,
        begun: impl FnOnce(UploadReader) + Send,
    ) -> Result<(), UploadError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
        E: Into<BoxError>,
    {
        begun(session.file.reader()?);
        self.take_in(session, chunk, Some(digest)).await?;
        self.commit(session, digest, None).await
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
        self.compare_uploads().await?;
        let expired = self.sessions.idle_since(now_ms - EXPIRY_MS);
        let ended = self.end_idle(&expired, now_ms - EXPIRY_MS).await?;
        Ok(ended)
    }

    /// Looks which unfinished uploads there are: others may have ended some.
    pub(crate) async fn compare_uploads(&self) -> Result<(), StoreError> {
        let rows = self.metastore.uploads().await?;
        for id in self.sessions.load(&rows) {
            self.blobs.discard(id).await?;
        }
        Ok(())
    }

    /// Ends those of the sessions that are still idle since `before_ms`: their room is free before that is
    /// written down, which itself takes some.
    async fn end_idle(&self, ids: &[Uuid], before_ms: i64) -> Result<usize, StoreError> {
        let mut ended = Vec::new();
        for id in ids {
            // Who takes it up again right now waits, and finds it gone.
            let _turn = self.revivals.take(id).await;
            if self.sessions.find(*id).is_some_and(|session| {
                session.try_lock().map_or(true, |session| session.touched_ms >= before_ms)
            }) {
                continue;
            }
            self.blobs.discard(*id).await?;
            self.sessions.remove(*id);
            ended.push(*id);
        }
        let count = ended.len();
        if count > 0 {
            self.metastore.delete_uploads(ended).await?;
        }
        Ok(count)
    }

    /// All unfinished uploads, the one that was touched longest ago first.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn open_uploads(&self) -> Result<Vec<OpenUpload>, StoreError> {
        Ok(self.metastore.uploads().await?)
    }

    /// Ends an upload, whoever's it is. `false`: there is none of that id. A server that runs beside this program
    /// notices within a second.
    ///
    /// # Errors
    /// [`StoreError`] if the stores fail.
    pub async fn end_upload(&self, id: Uuid) -> Result<bool, StoreError> {
        self.blobs.discard(id).await?;
        Ok(self.metastore.delete_upload(id).await?)
    }

    /// The process is about to stop: from now on each upload under way is written down as far as it has come.
    pub fn stopping(&self) {
        self.stage.send_replace(Stage::Stopping);
    }

    /// The process stops: uploads under way break off and keep what has arrived.
    pub fn break_off(&self) {
        self.stage.send_replace(Stage::BreakingOff);
    }

    async fn new_session(&self, owner: Owner, algorithm: Algorithm) -> Result<Session, UploadError> {
        if !self.sessions.is_loaded() {
            self.compare_uploads().await?;
        }
        let (id, now_ms) = (Uuid::new_v4(), (self.clock)());
        let file = self.blobs.upload(id, 0).await?.ok_or(UploadError::Unknown)?;
        let session = Session::new(id, owner, file, Hasher::new(algorithm), now_ms);
        let begun = self.sessions.begin(&session, SESSIONS_PER_PRINCIPAL_MAX, now_ms - GIVES_WAY_MS);
        if let Some(oldest) = begun.map_err(|count| UploadError::TooMany { count })? {
            let _turn = self.revivals.take(&oldest).await;
            self.blobs.discard(oldest).await?;
            self.metastore.delete_upload(oldest).await?;
            tracing::info!(upload = %oldest, "an idle upload gave way to a new one of the same principal");
        }
        Ok(session)
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

    async fn work_on(&self, owner: Owner, id: Uuid) -> Result<Worked, UploadError> {
        Ok(Worked { registry: self.clone(), session: Some(self.hold(owner, id).await?) })
    }

    async fn revive(&self, owner: &Owner, id: Uuid) -> Result<crate::sessions::Shared, UploadError> {
        let _turn = self.revivals.take(&id).await;
        let Owner { registry, repository, principal } = owner;
        let row = self.metastore.upload(*registry, repository, principal, id).await?;
        let row = row.ok_or(UploadError::Unknown)?;
        let Some(file) = self.blobs.upload(id, row.received).await? else {
            // The machine lost bytes that were never promised to be durable.
            self.metastore.delete_upload(id).await?;
            self.sessions.remove(id);
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
        // Nobody needs to send what does not fit.
        let upload = (session.owner.registry, session.id);
        session.file.check_room(length.unwrap_or(0))?;
        self.claim(upload, began.saturating_add(length.unwrap_or(0)), digest).await?;
        let mut claimed = began.saturating_add(length.unwrap_or(0));
        let mut stage = self.stage.subscribe();
        stage.mark_changed();
        loop {
            // A client that has gone silent must not hold its session.
            let next = tokio::select! {
                next = tokio::time::timeout(SILENCE_MAX, body.next()) => {
                    Some(next.map(|piece| piece.map(|piece| piece.map_err(E::into))))
                }
                Ok(()) = stage.changed() => None,
            };
            let Some(next) = next else {
                let stage = *stage.borrow_and_update();
                match stage {
                    Stage::BreakingOff => return Err(UploadError::Stopping),
                    // Whoever ends this process may have no patience.
                    Stage::Stopping if self.sessions.has_row(session.id) => self.note(session).await?,
                    Stage::Stopping | Stage::Running => {}
                }
                continue;
            };
            let Some(piece) = next.map_err(|silence| UploadError::Body(silence.into()))? else { break };
            let piece = piece.map_err(UploadError::Body)?;
            session.file.append(&piece)?;
            session.hasher.update(&piece);
            session.show(&*self.observer, &piece);
            let actual = session.file.received() - began;
            if let Some(stated) = stated
                && actual > stated
            {
                return self.undo(session, hasher, began, UploadError::WrongLength { stated, actual });
            }
            if session.file.received() > claimed {
                claimed = session.file.received().saturating_add(UNCLAIMED_BYTES_MAX);
                // What has come has to fit; what comes next is asked for when it is here.
                if let Err(error) = self.claim(upload, session.file.received(), digest).await {
                    return self.undo(session, hasher, began, error);
                }
            }
        }
        if session.file.received() > began.saturating_add(length.unwrap_or(0))
            && let Err(error) = self.claim(upload, session.file.received(), digest).await
        {
            return self.undo(session, hasher, began, error);
        }
        let actual = session.file.received() - began;
        match stated {
            Some(stated) if actual != stated => {
                self.undo(session, hasher, began, UploadError::WrongLength { stated, actual })
            }
            _ => Ok(()),
        }
    }

    /// Claims so many bytes of the registry's quota for an upload, beside what it holds and what the other unfinished
    /// uploads will come to. What has a known digest may be held already.
    async fn claim(
        &self,
        (registry, id): (RegistryId, Uuid),
        bytes: u64,
        digest: Option<&Digest>,
    ) -> Result<(), UploadError> {
        if !self.sessions.is_loaded() {
            self.compare_uploads().await?;
        }
        if self.sessions.has_claimed(id, bytes) {
            return Ok(());
        }
        loop {
            let others = self.sessions.unfinished(registry, id);
            match digest {
                Some(digest) => self.metastore.check_fits(registry, digest, bytes, others).await?,
                None => self.metastore.check_may_fit(registry, bytes, others).await?,
            }
            if self.sessions.claim(registry, id, bytes, others) {
                return Ok(());
            }
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
            self.blobs.digest(&mut session.file, digest.algorithm()).await?
        };
        if actual != *digest {
            self.drop_session(session).await?;
            return Err(UploadError::DigestMismatch { wanted: digest.clone(), actual });
        }
        let size = session.file.received();
        let registry = session.owner.registry;
        if let Err(error) = self.metastore.check_fits(registry, digest, size, 0).await {
            self.drop_session(session).await?;
            return Err(error.into());
        }
        if let Some(watch) = session.watch.take() {
            watch.complete(digest, size);
        }
        // From here until the row is there nobody may take these bytes for unwanted.
        let _turn = self.turns.take(digest).await;
        match self.blobs.commit(&mut session.file, digest).await {
            // Another program has ended the upload meanwhile.
            Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => {
                self.forget(session);
                return Err(UploadError::Unknown);
            }
            committed => committed?,
        }
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
        session.watch = None;
        session.file.close();
        // Its room first: on a full disk it is what the row needs.
        self.blobs.discard(session.id).await?;
        self.forget(session);
        self.metastore
            .delete_upload(session.id)
            .await
            .map_err(|source| UploadError::Unrecorded { source })?;
        Ok(())
    }

    fn forget(&self, session: &mut Session) {
        session.is_over = true;
        self.sessions.remove(session.id);
    }
}

/// A session under the hands of a request. If that goes away in the middle, a broken connection say, what has
/// arrived is kept as if its body had broken off.
struct Worked {
    registry: Registry,
    session: Option<OwnedMutexGuard<Session>>,
}

impl Worked {
    /// The request has seen its body's end.
    fn done(mut self) -> OwnedMutexGuard<Session> {
        self.session.take().expect("held until now")
    }
}

impl std::ops::Deref for Worked {
    type Target = Session;

    fn deref(&self) -> &Session {
        self.session.as_ref().expect("held until done")
    }
}

impl std::ops::DerefMut for Worked {
    fn deref_mut(&mut self) -> &mut Session {
        self.session.as_mut().expect("held until done")
    }
}

impl Drop for Worked {
    fn drop(&mut self) {
        let Some(mut session) = self.session.take() else { return };
        let registry = self.registry.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = registry.pause(&mut session, Ok(())).await {
                    tracing::warn!(error = %error, "an upload that broke off could not be written down");
                }
            });
        }
    }
}

/// What has begun is carried through, whoever stops waiting: a connection that breaks in the middle
/// must not leave a file without its row.
async fn carried<T: Send + 'static>(
    work: impl Future<Output = Result<T, UploadError>> + Send + 'static,
) -> Result<T, UploadError> {
    tokio::spawn(metastore::noted(work)).await.map_err(|_| UploadError::from(metastore::Error::Closed))?
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

/// So much of a body whose length is not known is taken before it is asked again whether it may get in at all.
const UNCLAIMED_BYTES_MAX: u64 = 4 << 20;

/// Uploads that one principal may have unfinished at once.
const SESSIONS_PER_PRINCIPAL_MAX: usize = 1_024;

/// Beyond those, one that was idle for so long gives way to a new one.
const GIVES_WAY_MS: i64 = 60_000;

/// After so long without a request a session is kept by its row alone.
const IDLE_MS: i64 = 600_000;

/// After so long without a request a session ends.
const EXPIRY_MS: i64 = 86_400_000;
