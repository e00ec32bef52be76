//! Names and secrets.

use std::collections::HashMap;
use std::sync::Arc;

use metastore::{Principal, PrincipalSecret};
use parking_lot::Mutex;
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use crate::queue::{FairQueue, Source};
use crate::secret::is_secret_of;
use crate::throttle::{Throttle, source_of};
use crate::{Auth, Caller, hash_secret};

/// Why nobody was authenticated.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// No such principal, or another secret. Which of the two is not said.
    #[error("the name or the secret is wrong")]
    BadCredentials,
    /// It was theirs once.
    #[error("the secret has expired: ask for a new one")]
    ExpiredSecret,
    /// Too many failures under this name.
    #[error("too many failed attempts: wait {retry_after_s} seconds")]
    TooManyAttempts {
        /// Seconds to wait.
        retry_after_s: u64,
    },
    /// The store failed.
    #[error("the metastore failed")]
    Store(#[from] metastore::Error),
}

/// True if a new principal may be called so: up to 100 letters, digits and `-_.@+`, of ASCII alone, since others look
/// alike; a letter or digit first; and not a GUID, which could be another's id.
///
/// ```
/// assert!(auth::is_login_name("ann@example.org") && auth::is_login_name("ci-1"));
/// // The second begins with a Cyrillic letter.
/// for wrong in ["", "\u{430}dmin", ".", "@a", "-a", "a b", "5f2f4f8e-4d5c-4f0e-9a43-0a8d6a6b7c11"] {
///     assert!(!auth::is_login_name(wrong), "{wrong}");
/// }
/// ```
#[must_use]
pub fn is_login_name(name: &str) -> bool {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_.@+".contains(character);
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.chars().all(is_plain)
        && uuid::Uuid::parse_str(name).is_err()
}

/// What makes checking secrets bearable: each check takes 20 ms and 19 MiB.
pub(crate) struct Passwords {
    /// Secrets found right of late, as keyed digests, with the time at which they are forgotten.
    known: Mutex<HashMap<[u8; 32], i64>>,
    cache_key: [u8; 32],
    throttle: Mutex<Throttle>,
    checks: Arc<FairQueue<Check>>,
    /// What a name that nobody has is checked against, so that it takes as long.
    nobody: String,
}

/// One secret to be checked.
struct Check {
    secret: String,
    hash: String,
    answer: oneshot::Sender<bool>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            cache_key: rand::rng().random(),
            throttle: Mutex::default(),
            checks: checker(),
            nobody: hash_secret(""),
        }
    }
}

impl Passwords {
    /// The hash is part of it: a changed secret is forgotten at once.
    fn key(&self, hash: &str, secret: &str) -> [u8; 32] {
        let mut hasher = Sha256::new_with_prefix(self.cache_key);
        for part in [hash.as_bytes(), secret.as_bytes()] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.finalize().into()
    }
}

impl Drop for Passwords {
    fn drop(&mut self) {
        self.checks.close();
    }
}

/// One thread checks them all. On the runtime's many threads each would keep its 19 MiB for ever.
#[expect(clippy::expect_used, reason = "a house that has no thread to give cannot stand")]
fn checker() -> Arc<FairQueue<Check>> {
    let checks = Arc::new(FairQueue::<Check>::new(CHECKS_WAITING_MAX));
    let waiting = Arc::clone(&checks);
    let work = move || {
        while let Some(Check { secret, hash, answer }) = waiting.pop() {
            // Who asked may have gone.
            if !answer.is_closed() {
                let _ = answer.send(is_secret_of(&secret, &hash));
            }
        }
    };
    std::thread::Builder::new().name("passwords".to_owned()).spawn(work).expect("a thread");
    checks
}

impl Auth {
    /// The principal of that name or id, if the secret is theirs.
    ///
    /// # Errors
    /// [`AuthError`].
    pub async fn password(&self, name_or_id: &str, secret: &str) -> Result<Caller, AuthError> {
        let principal = self.metastore.principal(name_or_id).await?;
        let secrets = self.secrets_of(principal.as_ref()).await?;
        let hashes: Vec<&str> = secrets.iter().filter_map(PrincipalSecret::hash).collect();
        let fitting = self.check_secret(name_or_id, secret, &hashes).await?;
        let principal = principal.ok_or(AuthError::BadCredentials)?;
        self.caller_with(&principal, &secrets[fitting]).await
    }

    /// All there are that can be typed, good or expired.
    pub(crate) async fn secrets_of(
        &self,
        principal: Option<&Principal>,
    ) -> Result<Vec<PrincipalSecret>, metastore::Error> {
        let Some(principal) = principal else { return Ok(Vec::new()) };
        let mut secrets = self.metastore.principal_secrets(principal.id).await?;
        secrets.retain(|secret| secret.hash().is_some());
        Ok(secrets)
    }

    /// The principal, who has shown this secret of theirs.
    pub(crate) async fn caller_with(
        &self,
        principal: &Principal,
        secret: &PrincipalSecret,
    ) -> Result<Caller, AuthError> {
        if !secret.is_good((self.clock)()) {
            (self.turned_away)(&principal.name);
            return Err(AuthError::ExpiredSecret);
        }
        let caller = self.caller(principal.id).await?.ok_or(AuthError::BadCredentials)?;
        Ok(Caller { secret: secret.id.to_string(), ..caller })
    }

    /// Which of the hashes that are kept under a name the secret fits.
    ///
    /// A secret found right is remembered for a minute, and lets its owner in even while somebody
    /// else's guesses make others wait.
    ///
    /// # Errors
    /// [`AuthError`].
    pub(crate) async fn check_secret(
        &self,
        name: &str,
        secret: &str,
        hashes: &[&str],
    ) -> Result<usize, AuthError> {
        let checked = self.checked(name, secret, hashes).await;
        if let Err(AuthError::BadCredentials | AuthError::TooManyAttempts { .. }) = &checked {
            (self.turned_away)(name);
        }
        checked
    }

    async fn checked(&self, name: &str, secret: &str, hashes: &[&str]) -> Result<usize, AuthError> {
        let now_ms = (self.clock)();
        let passwords = &self.passwords;
        for (index, hash) in hashes.iter().enumerate() {
            let known = passwords.known.lock().get(&passwords.key(hash, secret)).copied();
            if known.is_some_and(|until_ms| now_ms < until_ms) {
                let source = source_of(&(self.asked_from)());
                passwords.throttle.lock().succeeded(name, &source, now_ms);
                return Ok(index);
            }
        }
        let source = source_of(&(self.asked_from)());
        let is_home = {
            let throttle = passwords.throttle.lock();
            if let Some(retry_after_s) = throttle.wait_s(name, &source, now_ms) {
                return Err(AuthError::TooManyAttempts { retry_after_s });
            }
            throttle.is_home(name, &source)
        };
        let source = Source { address: source, is_home };
        if hashes.is_empty() {
            // The name is unknown, and that takes as long.
            self.matches(&source, name, secret, &passwords.nobody).await?;
        }
        for (index, hash) in hashes.iter().enumerate() {
            if self.matches(&source, name, secret, hash).await? {
                let mut known = passwords.known.lock();
                if known.len() >= KNOWN_MAX {
                    known.clear();
                }
                known.insert(passwords.key(hash, secret), now_ms + KNOWN_MS);
                passwords.throttle.lock().succeeded(name, &source.address, now_ms);
                return Ok(index);
            }
        }
        passwords.throttle.lock().failed(name, &source.address, now_ms);
        Err(AuthError::BadCredentials)
    }

    /// On the thread that does nothing else, when the source and the name have their turn.
    async fn matches(
        &self,
        source: &Source,
        name: &str,
        secret: &str,
        hash: &str,
    ) -> Result<bool, AuthError> {
        let (answer, answered) = oneshot::channel();
        let check = Check { secret: secret.to_owned(), hash: hash.to_owned(), answer };
        self.passwords.checks.push(source.clone(), name, check);
        // It gave way: so many from one place are no clients.
        answered.await.map_err(|_| AuthError::TooManyAttempts { retry_after_s: 5 })
    }
}

const NAME_BYTES_MAX: usize = 100;
const KNOWN_MS: i64 = 60_000;
const KNOWN_MAX: usize = 10_000;
const CHECKS_WAITING_MAX: usize = 1000;
