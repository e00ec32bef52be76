//! The audit log's keeper. What was done is written before it is answered; what was refused is counted in
//! memory and written every few seconds, so that a flood of refusals costs neither disk nor time.

use std::collections::HashMap;
use std::sync::Arc;

use metastore::{AuditEntry, AuditLimits, Error, Metastore};
use parking_lot::Mutex;

/// The audit log. Clones share it.
#[derive(Clone)]
pub struct AuditLog {
    metastore: Metastore,
    refused: Arc<Mutex<HashMap<Key, AuditEntry>>>,
}

/// What makes refusals alike: who, what, to what, with what answer.
type Key = (String, String, String, String, u16);

impl AuditLog {
    /// The log of the store.
    #[must_use]
    pub fn new(metastore: Metastore) -> Self {
        Self { metastore, refused: Arc::default() }
    }

    /// Writes down what was done.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn done(&self, entry: AuditEntry) -> Result<(), Error> {
        self.metastore.add_audit(vec![named(clipped(entry))]).await
    }

    /// Counts what was refused.
    pub fn refused(&self, entry: AuditEntry) {
        let entry = clipped(AuditEntry { is_refused: true, ..entry });
        let key = |entry: &AuditEntry| {
            let AuditEntry { principal, name, action, scope, status, .. } = entry.clone();
            (principal, name, action, scope, status)
        };
        let mut refused = self.refused.lock();
        let is_known = refused.contains_key(&key(&entry));
        let entry = if is_known || refused.len() < ALIKE_MAX {
            entry
        } else {
            // A flood of things that are not alike is one thing, too.
            let AuditEntry { at_ms, last_ms, count, is_refused, status, .. } = entry;
            let (name, action) = ("(several)".to_owned(), "(several)".to_owned());
            AuditEntry { at_ms, last_ms, count, name, action, is_refused, status, ..AuditEntry::default() }
        };
        refused
            .entry(key(&entry))
            .and_modify(|known| {
                known.count += entry.count;
                known.last_ms = entry.last_ms;
            })
            .or_insert(entry);
    }

    /// Writes what was counted. The server asks every few seconds and at its end: a crash forgets as much.
    ///
    /// # Errors
    /// [`Error`] if the store fails; then it is counted on.
    pub async fn flush(&self) -> Result<(), Error> {
        let counted = std::mem::take(&mut *self.refused.lock());
        if counted.is_empty() {
            return Ok(());
        }
        let mut entries: Vec<AuditEntry> = counted.into_values().collect();
        entries.sort_by_key(|entry| entry.at_ms);
        let written = self.metastore.add_audit(entries.clone()).await;
        if written.is_err() {
            entries.into_iter().for_each(|entry| self.refused(entry));
        }
        written
    }

    /// Forgets what is too old or too much.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn tidy(&self, now_ms: i64) -> Result<(), Error> {
        self.metastore.tidy_audit(LIMITS, now_ms).await
    }
}

/// With roles by their names, beside the ids that the store knows.
fn named(mut entry: AuditEntry) -> AuditEntry {
    let assignments = entry.alterations.listed.iter_mut().filter(|it| it.kind == "role assignment");
    let roles = assignments.flat_map(|it| &mut it.fields).filter(|field| field.name == "role");
    for value in roles.flat_map(|field| [&mut field.before, &mut field.after]).flatten() {
        if let Some(role) = crate::roles::find(value) {
            *value = format!("{} ({})", role.name, role.id);
        }
    }
    entry
}

/// Strangers' texts are kept so far and no further.
fn clipped(entry: AuditEntry) -> AuditEntry {
    let clip = |text: String| text.chars().take(TEXT_LEN_MAX).collect::<String>();
    AuditEntry {
        name: clip(entry.name),
        action: clip(entry.action),
        scope: clip(entry.scope),
        request: clip(entry.request),
        ..entry
    }
}

/// Refusals between two writes that are told apart.
const ALIKE_MAX: usize = 100;
const TEXT_LEN_MAX: usize = 500;
const LIMITS: AuditLimits =
    AuditLimits { done_max: 200_000, refused_max: 20_000, keep_ms: 90 * 24 * 3_600_000 };
