//! Tokens for ourselves: signed with our own key (HS256, RFC 7519), in four kinds.
//!
//! The algorithm is fixed and the key is never taken from a token's header. Every payload is plain
//! ASCII without `?`, `>` and `~`, because Azure's Python client decodes refresh tokens with the
//! standard base64 alphabet.

use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rand::RngExt as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Auth, Caller, Home};

/// The key that signs every token.
pub struct SigningKey(Vec<u8>);

/// The key has too few bytes.
#[derive(Debug, thiserror::Error)]
#[error("the token key has {len} bytes, it needs {KEY_BYTES}: remove its file to have a new one made")]
pub struct WeakKey {
    len: usize,
}

impl SigningKey {
    /// Bytes for a new key.
    #[must_use]
    pub fn random_bytes() -> Vec<u8> {
        rand::rng().random::<[u8; KEY_BYTES]>().to_vec()
    }

    /// # Errors
    /// [`WeakKey`] if there are fewer than 32 bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, WeakKey> {
        if bytes.len() < KEY_BYTES { Err(WeakKey { len: bytes.len() }) } else { Ok(Self(bytes.to_vec())) }
    }

    pub(crate) fn into_keys(self) -> Keys {
        Keys { sign: EncodingKey::from_secret(&self.0), verify: DecodingKey::from_secret(&self.0) }
    }
}

pub(crate) struct Keys {
    sign: EncodingKey,
    verify: DecodingKey,
}

impl Keys {
    pub(crate) fn sign(&self) -> &EncodingKey {
        &self.sign
    }
}

/// Why a token is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It was good once.
    #[error("the token has expired: get a new one")]
    Expired,
    /// Not ours, tampered with, of another kind, or for another audience.
    #[error("the token is not valid here")]
    Invalid,
    /// Its principal is gone, or has another secret now.
    #[error("the token's principal is gone, or has another secret now")]
    UnknownPrincipal,
    /// The store failed.
    #[error("the metastore failed")]
    Store(#[from] metastore::Error),
}

/// A token on its way to whoever asked.
#[derive(Clone)]
pub struct IssuedToken {
    /// The token itself: a secret.
    pub token: String,
    /// Seconds for which it is good.
    pub expires_in_s: i64,
    /// When it was made, in milliseconds since 1970 (UTC).
    pub issued_ms: i64,
}

/// What a registry token allows on one resource (distribution token specification).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceAccess {
    /// `repository` or `registry`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The repository's name, or `catalog`.
    pub name: String,
    /// What may be done with it.
    pub actions: Vec<Access>,
}

/// One thing that may be done with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Read.
    Pull,
    /// Write.
    Push,
    /// Delete.
    Delete,
    /// Read what is said of it.
    #[serde(rename = "metadata_read")]
    MetadataRead,
    /// Lock and unlock.
    #[serde(rename = "metadata_write")]
    MetadataWrite,
    /// See what was deleted and can be restored.
    #[serde(rename = "deleted_read")]
    DeletedRead,
    /// Restore it.
    #[serde(rename = "deleted_restore")]
    DeletedRestore,
    /// List the catalogue.
    #[serde(rename = "*")]
    Catalog,
}

/// What a registry token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryClaims {
    /// Whose it is, by object id; `None`: nobody in particular.
    pub subject: Option<Uuid>,
    /// Which of their secrets it stands for: with that it ends.
    pub(crate) secret: String,
    /// What it allows.
    pub access: Vec<ResourceAccess>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Registry,
    Refresh,
    Management,
    Renewal,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Common {
    iss: String,
    sub: String,
    aud: String,
    exp: i64,
    nbf: i64,
    iat: i64,
    jti: Uuid,
    kind: Kind,
}

#[derive(Serialize, Deserialize)]
struct RegistryToken {
    #[serde(flatten)]
    common: Common,
    /// Which of its subject's secrets it stands for.
    #[serde(default)]
    secret: String,
    access: Vec<ResourceAccess>,
}

/// A registry token whose signature was found good; its times and audience are looked at each time.
pub(crate) struct Verified {
    common: Common,
    claims: Arc<RegistryClaims>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct PrincipalToken {
    #[serde(flatten)]
    pub(crate) common: Common,
    pub(crate) tid: Uuid,
    pub(crate) oid: Uuid,
    /// The program that has it.
    pub(crate) appid: Uuid,
    /// Which of the principal's secrets it stands for, by key id: with that it ends.
    pub(crate) secret: String,
}

impl Auth {
    /// A token for one registry (`service`) that allows what `access` says.
    ///
    /// # Errors
    /// [`TokenError::Invalid`] if it cannot be signed.
    pub fn issue_registry_token(
        &self,
        caller: Option<&Caller>,
        service: &str,
        access: Vec<ResourceAccess>,
    ) -> Result<IssuedToken, TokenError> {
        let subject = caller.map(|caller| caller.id.to_string()).unwrap_or_default();
        let common = self.common(Kind::Registry, subject, service, REGISTRY_TOKEN_S);
        let secret = caller.map(|caller| caller.secret.clone()).unwrap_or_default();
        self.sign(&RegistryToken { common, secret, access }, REGISTRY_TOKEN_S)
    }

    /// What a registry token for `service` says. One that was verified is remembered: a client sends
    /// the same with each of a pull's many requests.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify_registry_token(
        &self,
        token: &str,
        service: &str,
    ) -> Result<Arc<RegistryClaims>, TokenError> {
        let known = self.verified.read().get(token).cloned();
        let verified = match known {
            Some(verified) => verified,
            None => {
                let RegistryToken { common, secret, access } = self.decode(token)?;
                let subject = match common.sub.as_str() {
                    "" => None,
                    id => Some(Uuid::parse_str(id).map_err(|_| TokenError::Invalid)?),
                };
                let claims = Arc::new(RegistryClaims { subject, secret, access });
                let verified = Arc::new(Verified { common, claims });
                let mut known = self.verified.write();
                if known.len() >= VERIFIED_MAX {
                    known.clear();
                }
                known.insert(token.to_owned(), Arc::clone(&verified));
                verified
            }
        };
        self.check(&verified.common, Kind::Registry, |audience| audience == service)?;
        Ok(Arc::clone(&verified.claims))
    }

    /// A token that stands for the caller's secret at one registry (`docker login` keeps it).
    ///
    /// # Errors
    /// [`TokenError::Invalid`] if it cannot be signed.
    pub fn issue_refresh_token(&self, caller: &Caller, service: &str) -> Result<IssuedToken, TokenError> {
        self.issue(caller, Kind::Refresh, service, REFRESH_TOKEN_S)
    }

    /// The caller whom a registry's refresh token stands for, with the rights held now.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn refresh(&self, token: &str, home: &Home) -> Result<Caller, TokenError> {
        let claims: PrincipalToken = self.decode(token)?;
        self.check(&claims.common, Kind::Refresh, |audience| audience == &*home.audience)?;
        if claims.tid != self.tenant {
            return Err(TokenError::Invalid);
        }
        let found = self.holding(home, claims.oid, &claims.secret).await?;
        found.ok_or(TokenError::UnknownPrincipal)
    }

    /// A token for the Azure API, or to be exchanged at a registry.
    ///
    /// # Errors
    /// [`TokenError::Invalid`] if the audience is not one of the API's, or it cannot be signed.
    pub fn issue_management_token(&self, caller: &Caller, audience: &str) -> Result<IssuedToken, TokenError> {
        if !is_management(audience) && !is_registry(audience) {
            return Err(TokenError::Invalid);
        }
        self.issue(caller, Kind::Management, audience, MANAGEMENT_TOKEN_S)
    }

    /// The caller whom a token for the Azure API stands for, with the roles held now.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn verify_management_token(&self, token: &str) -> Result<Caller, TokenError> {
        self.caller_of(token, Kind::Management, is_management, |_| true).await
    }

    /// The caller whom a token for Azure's registry service or for its management stands for: what a
    /// registry takes in exchange for one of its own.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn exchange(&self, token: &str) -> Result<Caller, TokenError> {
        let is_audience = |audience: &str| is_management(audience) || is_registry(audience);
        self.caller_of(token, Kind::Management, is_audience, |_| true).await
    }

    fn issue(
        &self,
        caller: &Caller,
        kind: Kind,
        audience: &str,
        life_s: i64,
    ) -> Result<IssuedToken, TokenError> {
        let common = self.common(kind, caller.id.to_string(), audience, life_s);
        let secret = caller.secret.clone();
        self.sign(
            &PrincipalToken { common, tid: self.tenant, oid: caller.id, appid: caller.id, secret },
            life_s,
        )
    }

    pub(crate) async fn caller_of(
        &self,
        token: &str,
        kind: Kind,
        is_audience: impl Fn(&str) -> bool,
        is_it: impl Fn(&PrincipalToken) -> bool,
    ) -> Result<Caller, TokenError> {
        let claims: PrincipalToken = self.decode(token)?;
        self.check(&claims.common, kind, is_audience)?;
        if claims.tid != self.tenant || !is_it(&claims) {
            return Err(TokenError::Invalid);
        }
        let standing = self.principal_standing(claims.oid).await?.ok_or(TokenError::UnknownPrincipal)?;
        standing.with(&claims.secret).ok_or(TokenError::Invalid)
    }

    pub(crate) fn common(&self, kind: Kind, sub: String, aud: &str, life_s: i64) -> Common {
        let now = (self.clock)() / 1000;
        let (iss, aud) = (ISSUER.to_owned(), aud.to_owned());
        Common { iss, sub, aud, exp: now + life_s, nbf: now, iat: now, jti: Uuid::new_v4(), kind }
    }

    pub(crate) fn sign(&self, claims: &impl Serialize, expires_in_s: i64) -> Result<IssuedToken, TokenError> {
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &self.keys.sign)
            .map_err(|_| TokenError::Invalid)?;
        Ok(IssuedToken { token, expires_in_s, issued_ms: (self.clock)() })
    }

    fn decode<T: DeserializeOwned>(&self, token: &str) -> Result<T, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Invalid);
        }
        let mut validation = Validation::new(Algorithm::HS256);
        // Times are checked below, by our own clock; so are audience and issuer.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let decoded = jsonwebtoken::decode(token.as_bytes(), &self.keys.verify, &validation);
        decoded.map(|data| data.claims).map_err(|_| TokenError::Invalid)
    }

    fn check(
        &self,
        common: &Common,
        kind: Kind,
        is_audience: impl Fn(&str) -> bool,
    ) -> Result<(), TokenError> {
        let now = (self.clock)() / 1000;
        if common.kind != kind || common.iss != ISSUER || !is_audience(&common.aud) {
            return Err(TokenError::Invalid);
        }
        if common.nbf > now + LEEWAY_S {
            return Err(TokenError::Invalid);
        }
        if common.exp + LEEWAY_S < now { Err(TokenError::Expired) } else { Ok(()) }
    }
}

/// The audiences that Azure's clients ask for, with whatever slashes.
fn is_management(audience: &str) -> bool {
    let audience = audience.trim_end_matches('/');
    ["https://management.azure.com", "https://management.core.windows.net"].contains(&audience)
}

fn is_registry(audience: &str) -> bool {
    audience.trim_end_matches('/') == "https://containerregistry.azure.net"
}

const ISSUER: &str = "Lazaret";
const KEY_BYTES: usize = 32;
const REGISTRY_TOKEN_S: i64 = 600;
const REFRESH_TOKEN_S: i64 = 30 * 86_400;
const MANAGEMENT_TOKEN_S: i64 = 3600;
pub(crate) const RENEWAL_TOKEN_S: i64 = 30 * 86_400;
/// No client asks for it: the token endpoint alone takes them.
pub(crate) const RENEWAL_AUDIENCE: &str = "renewal";
const LEEWAY_S: i64 = 5;
/// Then all are forgotten and verified anew.
const VERIFIED_MAX: usize = 10_000;
/// Fits a header of 8 KiB twice over.
const TOKEN_BYTES_MAX: usize = 16 << 10;
