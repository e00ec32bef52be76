//! Docker's token flow from the client's side (distribution, "Token Authentication").

use std::time::{Duration, Instant};

use oci::Repository;
use reqwest::Url;
use serde::Deserialize;

use crate::UpstreamError;
use crate::client::{Credentials, Inner, is_same_origin};

/// A token of one repository.
pub(crate) struct Token {
    text: String,
    until: Instant,
}

#[derive(Deserialize)]
struct Issued {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Inner {
    /// The token that is still good.
    pub(crate) fn token(&self, repository: &Repository) -> Option<String> {
        let tokens = self.tokens.lock();
        let token = tokens.get(repository.as_str()).filter(|token| token.until > Instant::now());
        token.map(|token| token.text.clone())
    }

    /// Gets a token where the registry says, as whom the credentials are for, or as nobody.
    pub(crate) async fn fetch_token(
        &self,
        repository: &Repository,
        realm: &str,
        service: Option<&str>,
        scope: Option<&str>,
    ) -> Result<String, UpstreamError> {
        let realm = Url::parse(realm).map_err(|_| self.wrong("its token service is not a URL"))?;
        let is_downgrade = !self.host.is_plain() && realm.scheme() != "https";
        if is_downgrade || !matches!(realm.scheme(), "http" | "https") {
            return Err(self.wrong("its token service is not behind https"));
        }
        self.guard.check(&realm).map_err(|refused| self.forbidden(&refused))?;
        if let Some(credentials) = &self.credentials
            && !self.is_trusted(&realm, credentials)
        {
            let realm = realm.host_str().unwrap_or_default().to_owned();
            return Err(UpstreamError::RealmElsewhere { host: self.host.to_string(), realm });
        }
        let wanted = scope.map_or_else(|| format!("repository:{repository}:pull"), str::to_owned);
        let mut query = vec![("scope", wanted.as_str())];
        query.extend(service.map(|service| ("service", service)));
        let mut url = realm;
        url.query_pairs_mut().extend_pairs(query);
        let mut request = self.http.get(url).timeout(self.limits.document);
        if let Some(credentials) = &self.credentials {
            request = request.basic_auth(&credentials.username, Some(&credentials.secret));
        }
        let answer = request.send().await.map_err(|error| self.failed(error))?;
        let answer = self.succeeded(answer)?;
        let bytes = self.document(answer, TOKEN_BYTES_MAX).await?;
        let issued: Issued =
            serde_json::from_slice(&bytes).map_err(|_| self.wrong("its token service sends no token"))?;
        let text = if issued.token.is_empty() { issued.access_token } else { issued.token };
        let is_plain = |byte: u8| byte.is_ascii_graphic();
        if text.is_empty() || !text.bytes().all(is_plain) {
            return Err(self.wrong("its token service sends no token"));
        }
        let lifetime_s = issued.expires_in.unwrap_or(LIFETIME_S).min(LIFETIME_S_MAX);
        let until = Instant::now() + Duration::from_secs(lifetime_s.saturating_sub(MARGIN_S));
        let mut tokens = self.tokens.lock();
        if tokens.len() >= TOKENS_MAX {
            tokens.clear();
        }
        tokens.insert(repository.to_string(), Token { text: text.clone(), until });
        Ok(text)
    }

    /// True if the credentials may be shown to the token service: the registry's own host, one that it
    /// is known to have, or one that whoever gave the credentials has named.
    fn is_trusted(&self, realm: &Url, credentials: &Credentials) -> bool {
        let host = realm.host_str().unwrap_or_default();
        let with_port = realm.port().map(|port| format!("{host}:{port}"));
        let named = with_port.as_deref().unwrap_or(host);
        is_same_origin(realm, self.host.base())
            || self.host.known_realms().contains(&named)
            || credentials.realms.iter().any(|allowed| allowed.eq_ignore_ascii_case(named))
    }
}

/// The specification's default.
const LIFETIME_S: u64 = 60;
const LIFETIME_S_MAX: u64 = 3600;
/// A token must not expire on its way.
const MARGIN_S: u64 = 5;
/// Tokens for dozens of scopes stay below it.
const TOKEN_BYTES_MAX: usize = 256 * 1024;
const TOKENS_MAX: usize = 1_000;
