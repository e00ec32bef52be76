//! Signed assertions in the place of secrets (RFC 7523, section 2.2): by a principal's own certificate, or by an issuer that
//! it trusts (workload identity federation).
//!
//! The keys are those that were given to the principal. Of the assertion's header nothing decides but its algorithm, and that
//! must be one of the key's own kind. An assertion is good as often as it comes until it ends, as with Entra.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey};
use metastore::{Issuer, Proof};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Auth, AuthError, Caller};

/// Of a header nothing but this is looked at (RFC 7515, section 4.1).
#[derive(Deserialize)]
struct AssertionHeader {
    alg: Algorithm,
    /// What has to be understood: we understand nothing.
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

/// What an assertion says (RFC 7523, section 3).
#[derive(Deserialize)]
struct Assertion {
    iss: String,
    sub: String,
    aud: Audience,
    /// Azure's Python client writes fractions.
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn has(&self, wanted: &str) -> bool {
        match self {
            Self::One(audience) => audience == wanted,
            Self::Many(audiences) => audiences.iter().any(|audience| audience == wanted),
        }
    }
}

impl Auth {
    /// The principal of that name or id, if the assertion is signed by one of its keys or an issuer that it trusts.
    /// `endpoints`: by what this server's token endpoint is called, which the principal's own assertions are meant for.
    ///
    /// # Errors
    /// [`AuthError`].
    pub async fn assertion(
        &self,
        client: &str,
        assertion: &str,
        endpoints: &[String],
    ) -> Result<Caller, AuthError> {
        let refused = || {
            (self.turned_away)(client);
            AuthError::BadCredentials
        };
        if assertion.len() > ASSERTION_BYTES_MAX {
            return Err(refused());
        }
        let principal = self.metastore.principal(client).await?.ok_or_else(refused)?;
        let (now_ms, mut expired) = ((self.clock)(), None);
        for secret in self.metastore.principal_secrets(principal.id).await? {
            let Proof::Keys { keys, issuer } = &secret.proof else { continue };
            let Some(claims) = verified(assertion, keys) else { continue };
            let is_meant = match issuer {
                None => {
                    let is_self = |name: &str| name == client || name == principal.id.to_string();
                    is_self(&claims.iss)
                        && is_self(&claims.sub)
                        && endpoints.iter().any(|endpoint| claims.aud.has(endpoint))
                }
                Some(Issuer { issuer, subject, audience }) => {
                    claims.iss == *issuer && claims.sub == *subject && claims.aud.has(audience)
                }
            };
            if is_meant && is_in_time(&claims, now_ms / 1000) {
                if secret.is_good(now_ms) {
                    return self.caller_with(&principal, &secret).await;
                }
                // A renewed certificate may have the key of the one before.
                expired = Some(secret);
            }
        }
        match expired {
            Some(secret) => self.caller_with(&principal, &secret).await,
            None => Err(refused()),
        }
    }
}

/// What it says, if one of the keys has signed it.
///
/// Azure's Python client, where it is asynchronous, fills its base64 up with `=` and signs that; RFC 7515 has none.
fn verified(assertion: &str, keys: &str) -> Option<Assertion> {
    let (signed, signature) = assertion.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let header: AssertionHeader = decoded(header)?;
    if header.crit.is_some() {
        return None;
    }
    // They were looked at when they were stored.
    let keys: JwkSet = serde_json::from_str(keys).ok()?;
    let has_signed = |key: &Jwk| {
        let is_of_kind = algorithms(key).is_some_and(|known| known.contains(&header.alg));
        let verify = |key: &DecodingKey| {
            jsonwebtoken::crypto::verify(unpadded(signature), signed.as_bytes(), key, header.alg)
        };
        is_of_kind && DecodingKey::from_jwk(key).is_ok_and(|key| verify(&key).unwrap_or(false))
    };
    let is_signed = keys.keys.iter().take(ASSERTION_KEYS_MAX).any(has_signed);
    if is_signed { decoded(claims) } else { None }
}

fn decoded<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(unpadded(part)).ok()?).ok()
}

fn unpadded(part: &str) -> &str {
    part.trim_end_matches('=')
}

/// The algorithms of a key's kind; `None`: we take none of that kind.
fn algorithms(key: &Jwk) -> Option<Vec<Algorithm>> {
    match &key.algorithm {
        AlgorithmParameters::RSA(_) => Some(vec![Algorithm::RS256, Algorithm::PS256]),
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            Some(vec![Algorithm::ES256])
        }
        _ => None,
    }
}

fn is_in_time(claims: &Assertion, now_s: i64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "seconds of these centuries are exact")]
    let now = now_s as f64;
    now < claims.exp + LEEWAY_S && claims.nbf.is_none_or(|nbf| nbf <= now + LEEWAY_S)
}

/// True if the text is a JSON Web Key Set, each of whose keys we can use.
#[must_use]
pub fn are_keys(text: &str) -> bool {
    let is_usable = |key: &Jwk| algorithms(key).is_some() && DecodingKey::from_jwk(key).is_ok();
    serde_json::from_str::<JwkSet>(text)
        .is_ok_and(|set| (1..=ASSERTION_KEYS_MAX).contains(&set.keys.len()) && set.keys.iter().all(is_usable))
}

/// How many keys a set may have: each is tried.
pub const ASSERTION_KEYS_MAX: usize = 20;
const ASSERTION_BYTES_MAX: usize = 16 << 10;
/// Clocks of other machines; what Entra grants.
const LEEWAY_S: f64 = 300.0;
