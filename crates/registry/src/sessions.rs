//! The upload sessions that are live in this process.
//!
//! A session's truth is its row; what is here saves reopening its file and rehashing. Each session has
//! its own lock, held by one request at a time; the map's lock is held for look-ups only.

use std::collections::HashMap;
use std::sync::Arc;

use blobstore::UploadFile;
use metastore::RegistryId;
use oci::{Hasher, Repository};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::UploadWatch;

/// Where an upload stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadStatus {
    /// Its id.
    pub id: Uuid,
    /// How many bytes have arrived.
    pub received: u64,
}

/// Whose session it is: it exists for nobody else, and nowhere else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The registry.
    pub registry: RegistryId,
    /// The repository.
    pub repository: Repository,
    /// Who pushes.
    pub principal: String,
}

/// One session, held by one request.
pub(crate) struct Session {
    pub(crate) id: Uuid,
    pub(crate) owner: Owner,
    pub(crate) file: UploadFile,
    pub(crate) hasher: Hasher,
    /// `None` until enough bytes are there to ask the observer, and if it is not interested.
    pub(crate) watch: Option<Box<dyn UploadWatch>>,
    pub(crate) first: Vec<u8>,
    pub(crate) was_offered: bool,
    /// Set when the session has ended while others may still wait for it.
    pub(crate) is_over: bool,
    pub(crate) touched_ms: i64,
}

impl Session {
    pub(crate) fn new(id: Uuid, owner: Owner, file: UploadFile, hasher: Hasher, now_ms: i64) -> Self {
        Self {
            id,
            owner,
            file,
            hasher,
            watch: None,
            first: Vec::new(),
            was_offered: false,
            is_over: false,
            touched_ms: now_ms,
        }
    }
}

pub(crate) type Shared = Arc<tokio::sync::Mutex<Session>>;

#[derive(Default)]
pub(crate) struct Sessions {
    /// Each with its principal.
    live: Mutex<HashMap<Uuid, (String, Shared)>>,
}

impl Sessions {
    pub(crate) fn insert(&self, session: Session) -> Shared {
        let (id, principal) = (session.id, session.owner.principal.clone());
        let shared = Arc::new(tokio::sync::Mutex::new(session));
        // Of two requests that revive one session, the second uses the first one's.
        Arc::clone(&self.live.lock().entry(id).or_insert((principal, shared)).1)
    }

    pub(crate) fn find(&self, id: Uuid) -> Option<Shared> {
        self.live.lock().get(&id).map(|(_, shared)| Arc::clone(shared))
    }

    pub(crate) fn remove(&self, id: Uuid) {
        self.live.lock().remove(&id);
    }

    /// How many are live that this principal has opened.
    pub(crate) fn count(&self, principal: &str) -> usize {
        self.live.lock().values().filter(|(owner, _)| owner == principal).count()
    }

    /// Forgets the sessions that nobody uses and nobody touched since `before_ms`. Their rows and files
    /// stay: they can be taken up again.
    pub(crate) fn forget_idle(&self, before_ms: i64) {
        self.live.lock().retain(|_, (_, shared)| {
            shared.try_lock().map_or(true, |session| session.touched_ms >= before_ms && !session.is_over)
        });
    }
}
