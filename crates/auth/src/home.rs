//! Who gets into one registry: principals by their roles, and by the registry's own leave its tokens, its admin
//! user and everybody.

use std::sync::Arc;

use jsonwebtoken::Algorithm;
use metastore::{PrincipalSecret, Registry, RegistryId, RegistryToken};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use uuid::Uuid;

use crate::caller::Grant;
use crate::{Auth, AuthError, Caller, RegistryClaims, ScopeAction, SystemScopeMap, secret};

/// One registry, as those who sign in there know it.
#[derive(Clone, Debug)]
pub struct Home {
    /// Its row number.
    pub id: RegistryId,
    /// Its ARM id: where its roles are held.
    pub resource: Arc<str>,
    /// What its tokens are for: a token of one registry is worth nothing at another.
    pub audience: Arc<str>,
    /// Whether everybody may pull from it.
    pub is_public: bool,
    /// Whether nothing in it can be changed: its subscription is disabled.
    pub is_read_only: bool,
    registry: Arc<Registry>,
}

impl Home {
    /// The registry as it is now, in its subscription.
    #[must_use]
    pub fn of(registry: Registry, is_read_only: bool) -> Self {
        Self {
            id: registry.id,
            resource: registry.resource_id().into(),
            audience: format!("lazaret/{}/{}", registry.id.0, registry.created_ms).into(),
            is_public: registry.is_public,
            is_read_only,
            registry: Arc::new(registry),
        }
    }

    /// Whoever does not say who they are: they may pull where everybody may, and nothing elsewhere.
    #[must_use]
    pub fn everybody(&self) -> Caller {
        let actions = if self.is_public { ScopeAction::public() } else { Vec::new() };
        self.resident(Uuid::nil(), String::new(), actions, String::new())
    }

    fn resident(&self, id: Uuid, name: String, actions: Vec<ScopeAction>, secret: String) -> Caller {
        let registry = self.resource.to_string();
        Caller { id, name, grants: vec![Grant::Scoped { registry, actions }], secret }
    }

    /// The admin user's object id: as its passwords, it is made of what the registry is.
    fn admin_id(&self) -> Uuid {
        let digest = Sha256::digest(format!("admin user of {}", self.audience));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    fn token(&self, token: &RegistryToken, secret: String) -> Caller {
        let system = SystemScopeMap::find(&token.scope_map);
        let named = system.map(|map| map.actions).into_iter().flatten().copied();
        let named = named.chain(token.actions.iter().map(String::as_str));
        // Each was checked when it was stored; one that means nothing gives nothing.
        let actions = named.filter_map(|action| action.parse().ok()).collect();
        self.resident(token.id, token.name.clone(), actions, secret)
    }
}

/// Somebody who may sign in, and by which secrets.
pub(crate) struct Standing {
    pub(crate) caller: Caller,
    /// What each secret that is good now is told by.
    pub(crate) secrets: Vec<String>,
}

impl Standing {
    /// Its caller, if this secret of theirs is good now.
    pub(crate) fn with(&self, secret: &str) -> Option<Caller> {
        let is_good = self.secrets.iter().any(|known| known == secret);
        is_good.then(|| Caller { secret: secret.to_owned(), ..self.caller.clone() })
    }
}

/// When that was looked up.
pub(crate) type KnownStanding = (Instant, Option<Arc<Standing>>);

impl Auth {
    /// Whoever has this name, or id, and secret at a registry.
    ///
    /// # Errors
    /// [`AuthError`].
    pub async fn sign_in(&self, home: &Home, name_or_id: &str, secret: &str) -> Result<Caller, AuthError> {
        if let Some(admin) = self.admin(home)
            && admin.name.eq_ignore_ascii_case(name_or_id)
        {
            let digests = self.admin_passwords(&home.registry).map(Sha256::digest);
            // Of digests: how much of a guess is right takes no other time.
            if digests.contains(&Sha256::digest(secret)) {
                let secret = secret::fingerprint(secret);
                return Ok(Caller { secret, ..admin });
            }
        }
        let principal = self.metastore.principal(name_or_id).await?;
        let token = self.metastore.registry_token(home.id, name_or_id).await?;
        let token = token.filter(|token| token.is_enabled);
        let secrets = self.secrets_of(principal.as_ref()).await?;
        let mut hashes: Vec<&str> = secrets.iter().filter_map(PrincipalSecret::hash).collect();
        let of_principals = hashes.len();
        hashes.extend(token.iter().flat_map(|token| self.passwords_of(token)));
        let fitting = self.check_secret(name_or_id, secret, &hashes).await?;
        match (&principal, &token) {
            (Some(principal), _) if fitting < of_principals => {
                self.caller_with(principal, &secrets[fitting]).await
            }
            (_, Some(token)) => Ok(home.token(token, secret::fingerprint(hashes[fitting]))),
            _ => Err(AuthError::BadCredentials),
        }
    }

    /// The admin user's two passwords. They are made anew each time from the key that signs tokens, so that they
    /// can be shown again while nothing that is stored tells them.
    #[must_use]
    pub fn admin_passwords(&self, registry: &Registry) -> [String; 2] {
        [0, 1].map(|place| {
            let (id, count) = (registry.id.0, registry.admin_passwords[place]);
            let made_of = format!("admin password {} {id} {} {count}", place + 1, registry.created_ms);
            // No token is signed over a text with blanks.
            jsonwebtoken::crypto::sign(made_of.as_bytes(), self.keys.sign(), Algorithm::HS256)
                .unwrap_or_default()
        })
    }

    /// Whoever a registry's token was issued to, with the rights held now, or those of up to a second ago.
    /// `None`: they are gone, or their secret is another one now.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn holder(
        &self,
        home: &Home,
        claims: &RegistryClaims,
    ) -> Result<Option<Caller>, metastore::Error> {
        let Some(subject) = claims.subject else { return Ok(Some(home.everybody())) };
        let key = (home.id, subject);
        let known = self.standings.read().get(&key).filter(|(read, _)| read.elapsed() < FRESH).cloned();
        let known = known.and_then(|(_, standing)| standing?.with(&claims.secret));
        // A secret that is not among those may have come since: a new one is good at once.
        if let Some(caller) = known {
            return Ok(Some(caller));
        }
        let standing = self.standing(home, subject).await?.map(Arc::new);
        let mut standings = self.standings.write();
        if standings.len() >= STANDINGS_MAX {
            standings.clear();
        }
        standings.insert(key, (Instant::now(), standing.clone()));
        drop(standings);
        Ok(standing.and_then(|standing| standing.with(&claims.secret)))
    }

    /// The same for a secret of theirs that a token stands for, as of now.
    pub(crate) async fn holding(
        &self,
        home: &Home,
        subject: Uuid,
        secret: &str,
    ) -> Result<Option<Caller>, metastore::Error> {
        let standing = self.standing(home, subject).await?;
        Ok(standing.and_then(|standing| standing.with(secret)))
    }

    async fn standing(&self, home: &Home, subject: Uuid) -> Result<Option<Standing>, metastore::Error> {
        if let Some(standing) = self.principal_standing(subject).await? {
            return Ok(Some(standing));
        }
        if let Some(admin) = self.admin(home).filter(|admin| admin.id == subject) {
            let secrets =
                self.admin_passwords(&home.registry).iter().map(|one| secret::fingerprint(one)).collect();
            return Ok(Some(Standing { caller: admin, secrets }));
        }
        let token = self.metastore.registry_token(home.id, &subject.to_string()).await?;
        Ok(token.filter(|token| token.is_enabled).map(|token| {
            let secrets = self.passwords_of(&token).map(secret::fingerprint).collect();
            Standing { caller: home.token(&token, String::new()), secrets }
        }))
    }

    fn admin(&self, home: &Home) -> Option<Caller> {
        let registry = &home.registry;
        let admin =
            || home.resident(home.admin_id(), registry.name.clone(), ScopeAction::all(), String::new());
        registry.is_admin_enabled.then(admin)
    }

    /// The hashes of those that are good now.
    fn passwords_of<'a>(&self, token: &'a RegistryToken) -> impl Iterator<Item = &'a str> {
        let now_ms = (self.clock)();
        let is_good = move |expires_ms: Option<i64>| expires_ms.is_none_or(|expires_ms| now_ms < expires_ms);
        let good = token.passwords.iter().filter(move |password| is_good(password.expires_ms));
        good.map(|password| password.secret_hash.as_str())
    }
}

/// How long what was taken away may still be used.
const FRESH: std::time::Duration = std::time::Duration::from_secs(1);
/// Then all are forgotten and looked up anew.
const STANDINGS_MAX: usize = 10_000;
