//! Who is calling, and what may they do where. No HTTP: the doors carry the words in and out.
//!
//! - [`Auth::password`] turns a name and a secret into a [`Caller`].
//! - [`Caller::may`] judges an [`Action`] at a scope by the built-in [`roles`].
//! - [`Auth::assertion`] takes a signature instead of the secret.
//! - [`Auth::sign_in`] does the same at one registry, which knows others besides: see [`Home`].
//! - Tokens come in kinds that never pass for one another: registry tokens name what they allow as long as their
//!   holder may; refresh, management and renewal tokens name somebody whose rights are read anew.

mod assertion;
mod audit;
mod caller;
mod certificate;
mod condition;
mod entrance;
mod home;
mod password;
mod queue;
mod results;
pub mod roles;
mod scope;
mod scope_map;
mod secret;
mod sign_in;
mod throttle;
mod token;
mod witness;

use std::collections::HashMap;
use std::sync::Arc;

use metastore::{Metastore, RegistryId};
use parking_lot::RwLock;
use uuid::Uuid;

pub use assertion::{ASSERTION_KEYS_MAX, are_keys};
pub use audit::AuditLog;
pub use caller::{Action, Caller, covers, repository_scope};
pub use certificate::{Certificate, UnusableCertificate};
pub use condition::{Condition, InvalidCondition};
pub use entrance::Entrance;
pub use home::Home;
pub use password::{AuthError, is_login_name};
pub use results::ResultAccess;
pub use scope::is_scope;
pub use scope_map::{InvalidScopeAction, SYSTEM_SCOPE_MAPS, ScopeAction, SystemScopeMap};
pub use secret::{hash_secret, is_secret_of, random_secret};
pub use sign_in::PublicKey;
pub use throttle::source_of;
pub use token::{Access, IssuedToken, RegistryClaims, ResourceAccess, SigningKey, TokenError, WeakKey};
pub use witness::{Seen, Witness};

/// The time, in milliseconds since 1970 (UTC).
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Principals, their secrets and their tokens. Clones share it.
#[derive(Clone)]
pub struct Auth {
    metastore: Metastore,
    tenant: Uuid,
    clock: Clock,
    keys: Arc<token::Keys>,
    id_key: Arc<sign_in::IdKey>,
    passwords: Arc<password::Passwords>,
    verified: Arc<RwLock<HashMap<String, Arc<token::Verified>>>>,
    /// Is told under which name somebody was not let in.
    turned_away: Arc<dyn Fn(&str) + Send + Sync>,
    /// Says from which address the request comes that is being served; empty: none is known.
    asked_from: Arc<dyn Fn() -> String + Send + Sync>,
    standings: Arc<RwLock<HashMap<(RegistryId, Uuid), home::KnownStanding>>>,
}

impl Auth {
    /// The principals in `metastore`; tokens are signed with `key` and name `tenant`.
    #[must_use]
    pub fn new(metastore: Metastore, key: SigningKey, tenant: Uuid, clock: Clock) -> Self {
        let (keys, passwords) = (Arc::new(key.into_keys()), Arc::default());
        let id_key = Arc::new(sign_in::IdKey::random());
        Self {
            metastore,
            tenant,
            clock,
            keys,
            id_key,
            passwords,
            verified: Arc::default(),
            standings: Arc::default(),
            turned_away: Arc::new(|_| {}),
            asked_from: Arc::new(String::new),
        }
    }

    /// The same, telling `turned_away` each name under which somebody brings a wrong secret, or brings one
    /// too often.
    #[must_use]
    pub fn telling(self, turned_away: Arc<dyn Fn(&str) + Send + Sync>) -> Self {
        Self { turned_away, ..self }
    }

    /// The same, asking `asked_from` from which address the request comes that is being served, so that each
    /// place has its share of sign-ins and waits for its own failures alone.
    #[must_use]
    pub fn asked_from(self, asked_from: Arc<dyn Fn() -> String + Send + Sync>) -> Self {
        Self { asked_from, ..self }
    }

    /// The principal of that id with the roles that it holds now, if there still is one.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn caller(&self, id: Uuid) -> Result<Option<Caller>, metastore::Error> {
        let Some(principal) = self.metastore.principal(&id.to_string()).await? else { return Ok(None) };
        let roles = self.metastore.role_assignments(principal.id).await?;
        let grants = roles.into_iter().filter_map(caller::Grant::of).collect();
        Ok(Some(Caller { id: principal.id, name: principal.name, grants, secret: String::new() }))
    }

    /// The same, with the secrets that are good now.
    async fn principal_standing(&self, id: Uuid) -> Result<Option<home::Standing>, metastore::Error> {
        let Some(caller) = self.caller(id).await? else { return Ok(None) };
        let (now_ms, secrets) = ((self.clock)(), self.metastore.principal_secrets(id).await?);
        let good = secrets.into_iter().filter(|secret| secret.is_good(now_ms));
        Ok(Some(home::Standing { caller, secrets: good.map(|secret| secret.id.to_string()).collect() }))
    }
}
