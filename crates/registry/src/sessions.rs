//! The upload sessions there are.
//!
//! A session's truth is its row; what is here saves rehashing, and counts what unfinished uploads hold. Each
//! session has its own lock, held by one request at a time; the map's lock is held for look-ups only.
//! A file is open while a request is at work on it, and no longer.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use blobstore::UploadFile;
use metastore::{OpenUpload, RegistryId};
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

/// What the process is about, for uploads under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    #[default]
    Running,
    Stopping,
    BreakingOff,
}

pub(crate) type Shared = Arc<tokio::sync::Mutex<Session>>;

/// All unfinished uploads, and the sessions of those that somebody works on.
#[derive(Default)]
pub(crate) struct Sessions {
    known: Mutex<HashMap<Uuid, Known>>,
    /// Whether those are known that an earlier process left.
    is_loaded: AtomicBool,
}

/// One unfinished upload.
struct Known {
    registry: RegistryId,
    principal: String,
    /// What it holds, or will when the request under way has ended.
    bytes: u64,
    touched_ms: i64,
    /// Whether it is written down, so that it ends with its row.
    has_row: bool,
    session: Option<Shared>,
}

impl Known {
    /// `false`: a request is at work on it.
    fn is_idle(&self) -> bool {
        self.session.as_ref().is_none_or(|session| session.try_lock().is_ok())
    }
}

impl Sessions {
    pub(crate) fn insert(&self, session: Session) -> Shared {
        let (id, registry) = (session.id, session.owner.registry);
        let (principal, touched_ms) = (session.owner.principal.clone(), session.touched_ms);
        let bytes = session.file.received();
        let mut known = self.known.lock();
        let known = known.entry(id).or_insert_with(|| Known {
            registry,
            principal,
            bytes,
            touched_ms,
            has_row: true,
            session: None,
        });
        // Of two requests that revive one session, the second uses the first one's.
        let shared = || Arc::new(tokio::sync::Mutex::new(session));
        Arc::clone(known.session.get_or_insert_with(shared))
    }

    /// Counts an upload that begins, before it has a row. Returns which idle one of the same principal, the
    /// oldest, has to give way to it; an error says how many there are, none of them idle since `before_ms`.
    pub(crate) fn begin(&self, session: &Session, max: usize, before_ms: i64) -> Result<Option<Uuid>, usize> {
        let principal = &session.owner.principal;
        let mut known = self.known.lock();
        let own = || known.iter().filter(|(_, known)| known.principal == *principal);
        let count = own().count();
        let mut gives_way = None;
        if count >= max {
            let idle =
                own().filter(|(_, known)| known.has_row && known.touched_ms < before_ms && known.is_idle());
            let oldest = idle.min_by_key(|(id, known)| (known.touched_ms, **id)).map(|(id, _)| *id);
            gives_way = Some(oldest.ok_or(count)?);
        }
        if let Some(id) = gives_way {
            known.remove(&id);
        }
        let begun = Known {
            registry: session.owner.registry,
            principal: principal.clone(),
            bytes: 0,
            touched_ms: session.touched_ms,
            has_row: false,
            session: None,
        };
        known.insert(session.id, begun);
        Ok(gives_way)
    }

    pub(crate) fn find(&self, id: Uuid) -> Option<Shared> {
        self.known.lock().get(&id)?.session.clone()
    }

    pub(crate) fn remove(&self, id: Uuid) {
        self.known.lock().remove(&id);
    }

    /// The session has its row.
    pub(crate) fn is_written(&self, id: Uuid) {
        if let Some(known) = self.known.lock().get_mut(&id) {
            known.has_row = true;
        }
    }

    pub(crate) fn has_row(&self, id: Uuid) -> bool {
        self.known.lock().get(&id).is_some_and(|known| known.has_row)
    }

    /// What the other unfinished uploads of the registry hold.
    pub(crate) fn unfinished(&self, registry: RegistryId, except: Uuid) -> u64 {
        unfinished(&self.known.lock(), registry, except)
    }

    /// Claims so many bytes for an upload, unless the others of its registry hold more by now than `others`.
    pub(crate) fn claim(&self, registry: RegistryId, id: Uuid, bytes: u64, others: u64) -> bool {
        let mut known = self.known.lock();
        let is_so = unfinished(&known, registry, id) <= others;
        if let (true, Some(known)) = (is_so, known.get_mut(&id)) {
            known.bytes = bytes;
        }
        is_so
    }

    /// Whether an upload has claimed so many bytes before, one at least.
    pub(crate) fn has_claimed(&self, id: Uuid, bytes: u64) -> bool {
        self.known.lock().get(&id).is_some_and(|known| (1..=known.bytes).contains(&bytes))
    }

    /// A request has ended: what the upload holds now.
    pub(crate) fn holds(&self, id: Uuid, bytes: u64, touched_ms: i64) {
        if let Some(known) = self.known.lock().get_mut(&id) {
            (known.bytes, known.touched_ms) = (bytes, touched_ms);
        }
    }

    /// Lets go of the sessions that nobody uses and nobody touched since `before_ms`. Their rows and files
    /// stay: they can be taken up again.
    pub(crate) fn forget_idle(&self, before_ms: i64) {
        for known in self.known.lock().values_mut() {
            if let Some(session) = &known.session
                && session.try_lock().is_ok_and(|session| session.touched_ms < before_ms || session.is_over)
            {
                known.session = None;
            }
        }
    }

    pub(crate) fn is_loaded(&self) -> bool {
        self.is_loaded.load(Ordering::Acquire)
    }

    /// Takes the rows for what there is: learns of those that another process has left, and forgets those whose
    /// row is gone, unless a request is at work on them. Returns the forgotten.
    pub(crate) fn load(&self, rows: &[OpenUpload]) -> Vec<Uuid> {
        let mut known = self.known.lock();
        let ids: HashSet<Uuid> = rows.iter().map(|row| row.id).collect();
        let gone: Vec<Uuid> = known
            .iter()
            .filter(|(id, known)| known.has_row && !ids.contains(id) && known.is_idle())
            .map(|(id, _)| *id)
            .collect();
        for id in &gone {
            known.remove(id);
        }
        // What begins or ends right now is not in these rows as it will be: only a first look adds.
        if !self.is_loaded.swap(true, Ordering::AcqRel) {
            for row in rows {
                known.entry(row.id).or_insert_with(|| Known {
                    registry: row.registry,
                    principal: row.principal.clone(),
                    bytes: row.received,
                    touched_ms: row.touched_ms,
                    has_row: true,
                    session: None,
                });
            }
        }
        gone
    }

    /// The uploads that nobody has touched since `before_ms`, and nobody works on.
    pub(crate) fn idle_since(&self, before_ms: i64) -> Vec<Uuid> {
        let known = self.known.lock();
        let idle = known
            .iter()
            .filter(|(_, known)| known.has_row && known.touched_ms < before_ms && known.is_idle());
        idle.map(|(id, _)| *id).collect()
    }
}

fn unfinished(known: &HashMap<Uuid, Known>, registry: RegistryId, except: Uuid) -> u64 {
    let others = known.iter().filter(|(id, known)| **id != except && known.registry == registry);
    others.map(|(_, known)| known.bytes).fold(0, u64::saturating_add)
}
