//! What becomes known of a request while it is served: the door that serves it writes it down, and
//! whoever keeps the audit log reads it when the answer is there.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use uuid::Uuid;

use crate::Caller;

/// One request's. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Witness {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    address: String,
    request_id: OnceLock<Uuid>,
    seen: Mutex<Seen>,
}

/// What is known of a request. Empty text: not known, or not yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The caller's id.
    pub principal: String,
    /// The name they log in by.
    pub name: String,
    /// What they want to do, by Azure's names.
    pub action: String,
    /// To what: an ARM id.
    pub scope: String,
    /// If it succeeds, something has changed, or a secret was shown.
    pub is_change: bool,
}

impl Witness {
    /// Of a request that comes from there.
    #[must_use]
    pub fn new(address: String) -> Self {
        Self { inner: Arc::new(Inner { address, ..Inner::default() }) }
    }

    /// The request's id, by which answers, events and the log name it.
    #[must_use]
    pub fn request_id(&self) -> Uuid {
        *self.inner.request_id.get_or_init(Uuid::new_v4)
    }

    /// Where the request comes from; empty if nobody has said.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.inner.address
    }

    /// It is from this caller.
    pub fn is_from(&self, caller: &Caller) {
        self.is_from_principal(&caller.id.to_string(), &caller.name);
    }

    /// It is from this principal; the name may be unknown.
    pub fn is_from_principal(&self, id: &str, name: &str) {
        let mut seen = self.inner.seen.lock();
        id.clone_into(&mut seen.principal);
        name.clone_into(&mut seen.name);
    }

    /// It asks for this.
    pub fn asks_for(&self, action: String, scope: String, is_change: bool) {
        let mut seen = self.inner.seen.lock();
        (seen.action, seen.scope, seen.is_change) = (action, scope, is_change);
    }

    /// What is known so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.inner.seen.lock().clone()
    }
}
