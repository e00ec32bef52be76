//! What a person's sign-in leaves a program with: who it was (an id token), and the right to go on without asking
//! again (a renewal token).
//!
//! Id tokens are for others to read, so they are signed with a key pair whose public half is published. It is made
//! anew at each start: an id token is looked at in the moment of the sign-in and never again.

use std::fmt;

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use uuid::Uuid;

use crate::token::{Kind, PrincipalToken, RENEWAL_AUDIENCE, RENEWAL_TOKEN_S};
use crate::{Auth, Caller, IssuedToken, TokenError};

/// The key pair that signs id tokens (ES256).
pub(crate) struct IdKey {
    sign: EncodingKey,
    public: PublicKey,
}

/// The public half, as a JSON Web Key (RFC 7517, RFC 7518 section 6.2).
#[derive(Clone, Debug, Serialize)]
pub struct PublicKey {
    kty: &'static str,
    crv: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: &'static str,
    /// What the tokens that it signed name in their headers.
    pub kid: String,
    x: String,
    y: String,
}

impl IdKey {
    /// A new one.
    ///
    /// # Panics
    /// If the operating system has no randomness to give.
    #[expect(clippy::expect_used, reason = "a house without randomness must not stand")]
    pub(crate) fn random() -> Self {
        Self::made().expect("the operating system has randomness")
    }

    fn made() -> Result<Self, Unspecified> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref())
            .map_err(|_| Unspecified)?;
        // Uncompressed: 4, then both coordinates (SEC 1, section 2.3.3).
        let point =
            pair.public_key().as_ref().get(1..).filter(|point| point.len() == 64).ok_or(Unspecified)?;
        let (x, y) = point.split_at(32);
        let public = PublicKey {
            kty: "EC",
            crv: "P-256",
            usage: "sig",
            alg: "ES256",
            kid: Uuid::new_v4().to_string(),
            x: URL_SAFE_NO_PAD.encode(x),
            y: URL_SAFE_NO_PAD.encode(y),
        };
        Ok(Self { sign: EncodingKey::from_ec_der(document.as_ref()), public })
    }
}

impl fmt::Debug for IdKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("IdKey").field("kid", &self.public.kid).finish_non_exhaustive()
    }
}

/// What an id token says (OpenID Connect Core 1.0, section 2, and what Azure adds).
#[derive(Serialize)]
struct IdToken<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: Uuid,
    oid: Uuid,
    tid: Uuid,
    name: &'a str,
    preferred_username: &'a str,
    ver: &'static str,
    iat: i64,
    nbf: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
}

impl Auth {
    /// The keys whose signatures on id tokens are good.
    #[must_use]
    pub fn id_keys(&self) -> Vec<PublicKey> {
        vec![self.id_key.public.clone()]
    }

    /// Tells the program `client` who signed in; `nonce` is what it asked to hear again.
    ///
    /// # Errors
    /// [`TokenError::Invalid`] if it cannot be signed.
    pub fn issue_id_token(
        &self,
        caller: &Caller,
        issuer: &str,
        client: &str,
        nonce: Option<&str>,
    ) -> Result<String, TokenError> {
        let now = (self.clock)() / 1000;
        let claims = IdToken {
            iss: issuer,
            aud: client,
            sub: caller.id,
            oid: caller.id,
            tid: self.tenant,
            name: &caller.name,
            preferred_username: &caller.name,
            ver: "2.0",
            iat: now,
            nbf: now,
            exp: now + ID_TOKEN_S,
            nonce,
        };
        let header = Header { kid: Some(self.id_key.public.kid.clone()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, &claims, &self.id_key.sign).map_err(|_| TokenError::Invalid)
    }

    /// A token by which the program `client` gets others without asking its person again. It ends with the secret
    /// that the person showed.
    ///
    /// # Errors
    /// [`TokenError::Invalid`] if it cannot be signed.
    pub fn issue_renewal_token(&self, caller: &Caller, client: Uuid) -> Result<IssuedToken, TokenError> {
        let common = self.common(Kind::Renewal, caller.id.to_string(), RENEWAL_AUDIENCE, RENEWAL_TOKEN_S);
        let secret = caller.secret.clone();
        let claims = PrincipalToken { common, tid: self.tenant, oid: caller.id, appid: client, secret };
        self.sign(&claims, RENEWAL_TOKEN_S)
    }

    /// Whom a renewal token of that program stands for, with the roles held now.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn renew(&self, token: &str, client: Uuid) -> Result<Caller, TokenError> {
        let is_it = |claims: &PrincipalToken| claims.appid == client;
        self.caller_of(token, Kind::Renewal, |audience| audience == RENEWAL_AUDIENCE, is_it).await
    }
}

const ID_TOKEN_S: i64 = 3600;
