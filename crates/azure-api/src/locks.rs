//! Management locks (`Microsoft.Authorization/locks`) of subscriptions, groups and registries. What they forbid, the
//! metastore refuses at every door; this door looks before it does anything else, so that what is beneath a lock is
//! kept, too.

use auth::{Action, Caller, covers};
use axum::body::Body;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use metastore::{Intent, LockLevel, ManagementLock};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::arm::{Scope, Target};
use crate::body::{Kind, read};
use crate::error::ArmError;
use crate::registries::{no_such_group, no_such_registry};
use crate::{Api, Call};

#[derive(Deserialize)]
struct Put {
    properties: Properties,
}

#[derive(Deserialize)]
struct Properties {
    level: String,
    #[serde(default)]
    notes: Option<String>,
}

/// Azure's grammar, without what changes how other text is shown: control characters and marks of direction.
fn is_lock_name(name: &str) -> bool {
    let is_hidden = |found: char| {
        found.is_control()
            || matches!(found, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    (1..=NAME_CHARS_MAX).contains(&name.chars().count())
        && !name.contains(|found: char| "<>%&:\\?/".contains(found) || is_hidden(found))
}

impl Api {
    /// Those at the scope, above and beneath it; with `atScope()` those at it alone.
    pub(crate) async fn locks(&self, caller: &Caller, scope: &Scope, call: &Call) -> Result<Value, ArmError> {
        self.check_may(caller, scope, Action::ReadLocks).await?;
        let id = self.lockable(scope).await?;
        let filter = call.query.get("$filter").unwrap_or_default().to_ascii_lowercase();
        let is_at_scope = filter.contains("atscope()");
        let is_wanted = |lock: &&ManagementLock| {
            let (is_above, is_beneath) = (covers(&lock.scope, &id), covers(&id, &lock.scope));
            if is_at_scope { is_above && is_beneath } else { is_above || is_beneath }
        };
        let all = self.metastore.management_locks().await?;
        Ok(json!({ "value": all.iter().filter(is_wanted).map(document).collect::<Vec<_>>() }))
    }

    pub(crate) async fn lock(&self, caller: &Caller, scope: &Scope, name: &str) -> Result<Value, ArmError> {
        self.check_may(caller, scope, Action::ReadLocks).await?;
        let id = self.lockable(scope).await?;
        let all = self.metastore.management_locks().await?;
        let is_it = |lock: &&ManagementLock| {
            lock.scope.eq_ignore_ascii_case(&id) && lock.name.eq_ignore_ascii_case(name)
        };
        all.iter().find(is_it).map(document).ok_or_else(|| {
            let message = format!("The lock '{name}' could not be found at the scope '{id}'.");
            ArmError::not_found("LockNotFound", message)
        })
    }

    /// Makes a lock, or changes its level and notes. It holds before the answer.
    pub(crate) async fn put_lock(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &str,
        body: Body,
    ) -> Result<Response, ArmError> {
        self.check_may(caller, scope, Action::WriteLocks).await?;
        let id = self.lockable(scope).await?;
        let Put { properties } = read(body, &LOCK).await?;
        let bad = |message: String| ArmError::bad("InvalidLock", message);
        let level = LockLevel::from_name(&properties.level).ok_or_else(|| {
            bad(format!("The level '{}' is neither CanNotDelete nor ReadOnly.", properties.level))
        })?;
        let notes = properties.notes.unwrap_or_default();
        if notes.chars().count() > NOTES_CHARS_MAX {
            return Err(bad(format!("The notes have {NOTES_CHARS_MAX} characters at most.")));
        }
        if !is_lock_name(name) {
            return Err(bad(format!(
                "A lock's name has 1 to {NAME_CHARS_MAX} characters that can be seen, and none of <>%&:\\?/."
            )));
        }
        let lock = ManagementLock { scope: id, name: name.to_owned(), level, notes };
        let is_new = self.metastore.put_management_lock(lock.clone()).await?;
        tracing::info!(lock = lock.id(), level = level.name(), by = %caller.id, "a lock was set");
        let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
        Ok((status, crate::json(document(&lock))).into_response())
    }

    pub(crate) async fn delete_lock(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &str,
    ) -> Result<Response, ArmError> {
        self.check_may(caller, scope, Action::DeleteLocks).await?;
        let is_gone = self.metastore.delete_management_lock(&scope.id(), name).await?;
        tracing::info!(scope = scope.id(), name, is_gone, by = %caller.id, "a lock was taken away");
        Ok(if is_gone { StatusCode::OK } else { StatusCode::NO_CONTENT }.into_response())
    }

    /// Lets a change through unless a lock forbids it. Locks themselves can be changed and taken away.
    pub(crate) async fn check_unlocked(
        &self,
        target: &Target,
        method: &Method,
        path: &str,
    ) -> Result<(), ArmError> {
        if matches!(target, Target::Lock(..)) {
            return Ok(());
        }
        let intent = match target {
            Target::CancelSubscription(_) => Intent::Delete,
            _ if method == Method::DELETE => Intent::Delete,
            _ => Intent::Write,
        };
        let path = match target {
            Target::CancelSubscription(id) => format!("/subscriptions/{id}"),
            _ => {
                let path = percent_decode_str(path).decode_utf8_lossy();
                let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
                format!("/{}", segments.join("/"))
            }
        };
        Ok(self.metastore.check_unlocked(&path, intent).await?)
    }

    /// The ARM id of what the scope names, if there is that.
    pub(crate) async fn lockable(&self, scope: &Scope) -> Result<String, ArmError> {
        if scope.registry.is_some() {
            let all = self.metastore.registries().await?;
            let found = all.into_iter().find(|found| scope.holds(found));
            return found.map(|found| found.resource_id()).ok_or_else(|| no_such_registry(scope));
        }
        if scope.group.is_some() {
            let found = self.group_of(scope).await?.ok_or_else(|| no_such_group(scope))?;
            return Ok(format!("/subscriptions/{}/resourceGroups/{}", found.subscription, found.name));
        }
        Ok(scope.id())
    }
}

fn document(lock: &ManagementLock) -> Value {
    json!({
        "id": lock.id(),
        "name": lock.name,
        "type": "Microsoft.Authorization/locks",
        "properties": { "level": lock.level.name(), "notes": lock.notes },
    })
}

const LOCK: Kind =
    Kind { what: "lock", kept: &["properties.level", "properties.notes"], shown: &[], fixed: &[] };

/// Azure's limits.
const NOTES_CHARS_MAX: usize = 512;
const NAME_CHARS_MAX: usize = 260;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locks_name_is_what_it_looks_like() {
        for name in ["keep", "nicht löschen", "x"] {
            assert!(is_lock_name(name), "{name}");
        }
        for name in ["", "a\u{1b}[2J", "a\nb", "a\u{202e}b", "a\u{200b}b", "a/b", "a%b", &"x".repeat(261)] {
            assert!(!is_lock_name(name), "{name:?}");
        }
    }
}
