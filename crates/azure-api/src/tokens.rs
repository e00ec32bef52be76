//! A registry's tokens: names that log in there alone, with the rights of a scope map.

use auth::{Action, Caller, SystemScopeMap, hash_secret, random_secret};
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use azure_documents::{new_passwords, registry_token};
use metastore::{PutToken, RegistryToken, TokenChange, TokenPassword};
use serde::Deserialize;
use serde_json::Value;

use crate::arm::Scope;
use crate::body::{Kind, read};
use crate::error::ArmError;
use crate::scope_maps::{check_name, no_such_scope_map};
use crate::{Api, Call, paging};

#[derive(Deserialize)]
struct TokenBody {
    #[serde(default)]
    properties: Properties,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    #[serde(default)]
    scope_map_id: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    credentials: Option<Credentials>,
}

#[derive(Default, Deserialize)]
struct Credentials {
    #[serde(default)]
    certificates: Option<Vec<Value>>,
    #[serde(default)]
    passwords: Option<Vec<Password>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Password {
    name: String,
    #[serde(default)]
    expiry: Option<String>,
    #[serde(default)]
    creation_time: Option<jiff::Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GenerateBody {
    token_id: String,
    #[serde(default)]
    expiry: Option<String>,
    #[serde(default)]
    name: Option<String>,
}

impl Api {
    pub(crate) async fn registry_tokens(
        &self,
        caller: &Caller,
        scope: &Scope,
        call: &Call,
    ) -> Result<Value, ArmError> {
        let registry = self.registry_for(caller, scope, Action::ReadTokens).await?;
        let tokens = self.metastore.registry_tokens(registry.id).await?;
        let (page, next) = paging::page(tokens, call, |token| token.name.clone())?;
        let rows: Vec<Value> = page.iter().map(|token| registry_token(&registry, token)).collect();
        Ok(paging::listed(rows, next))
    }

    pub(crate) async fn registry_token(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &str,
    ) -> Result<Value, ArmError> {
        let registry = self.registry_for(caller, scope, Action::ReadTokens).await?;
        let found = self.metastore.registry_token(registry.id, name).await?;
        found.map(|token| registry_token(&registry, &token)).ok_or_else(|| no_such_token(name))
    }

    /// `PUT` and `PATCH`. A new token has no password yet: `generateCredentials` gives it one.
    pub(crate) async fn put_registry_token(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &str,
        body: Body,
        may_create: bool,
    ) -> Result<Response, ArmError> {
        let registry = self.registry_for(caller, scope, Action::WriteTokens).await?;
        check_name(name)?;
        let found = self.metastore.registry_token(registry.id, name).await?;
        if !may_create && found.is_none() {
            return Err(no_such_token(name));
        }
        let Properties { scope_map_id, status, credentials } =
            read::<TokenBody>(body, &TOKEN).await?.properties;
        let scope_map = scope_map_id.map(|id| last_segment(&id));
        let is_unknown = |map: &&String| map.starts_with('_') && SystemScopeMap::find(map).is_none();
        if let Some(map) = scope_map.as_ref().filter(is_unknown) {
            return Err(no_such_scope_map(map));
        }
        let Credentials { certificates, passwords } = credentials.unwrap_or_default();
        if certificates.is_some_and(|certificates| !certificates.is_empty()) {
            let message =
                "A token logs in by passwords, not by certificates (properties.credentials.certificates).";
            return Err(ArmError::bad("UnsupportedProperty", message));
        }
        for password in passwords.iter().flatten() {
            password.check(found.as_ref())?;
        }
        let is_enabled = status.map(|status| enabled(&status)).transpose()?;
        let passwords: Option<Result<Vec<_>, ArmError>> = passwords.map(|passwords| {
            passwords
                .into_iter()
                .map(|password| Ok((password.name, self.expiry(password.expiry.as_deref())?)))
                .collect()
        });
        let wanted_map = scope_map.clone().unwrap_or_default();
        let change = TokenChange { scope_map, is_enabled, passwords: passwords.transpose()? };
        let put =
            self.metastore.put_registry_token(registry.id, name.to_owned(), change, (self.clock)()).await?;
        let (token, status) = match put {
            PutToken::Created(token) => (token, StatusCode::CREATED),
            PutToken::Updated(token) => (token, StatusCode::OK),
            PutToken::NoScopeMap if wanted_map.is_empty() => {
                return Err(ArmError::bad(
                    "InvalidRequestContent",
                    "A new token needs properties.scopeMapId.",
                ));
            }
            PutToken::NoScopeMap => return Err(no_such_scope_map(&wanted_map)),
        };
        tracing::info!(registry = registry.name, token = token.name, by = %caller.id, "a registry's token was put");
        Ok((status, crate::json(registry_token(&registry, &token))).into_response())
    }

    pub(crate) async fn delete_registry_token(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &str,
    ) -> Result<Response, ArmError> {
        let registry = self.registry_for(caller, scope, Action::DeleteTokens).await?;
        let is_gone = self.metastore.delete_registry_token(registry.id, name).await?;
        Ok(if is_gone { StatusCode::OK } else { StatusCode::NO_CONTENT }.into_response())
    }

    /// Gives a token new passwords, which are shown this once.
    pub(crate) async fn generate_credentials(
        &self,
        caller: &Caller,
        scope: &Scope,
        body: Body,
    ) -> Result<Value, ArmError> {
        let registry = self.registry_for(caller, scope, Action::GenerateCredentials).await?;
        let GenerateBody { token_id, expiry, name } = read(body, &NEW_PASSWORDS).await?;
        let token_name = last_segment(&token_id);
        let found = self.metastore.registry_token(registry.id, &token_name).await?;
        let token = found.ok_or_else(|| no_such_token(&token_name))?;
        let names = match name.as_deref() {
            None => PASSWORDS.to_vec(),
            Some(name) => {
                let known = PASSWORDS.into_iter().find(|known| known.eq_ignore_ascii_case(name));
                let message =
                    || format!("A token has {} and {}, and no '{name}'.", PASSWORDS[0], PASSWORDS[1]);
                vec![known.ok_or_else(|| ArmError::bad("InvalidPasswordName", message()))?]
            }
        };
        let (expires_ms, created_ms) = (self.expiry(expiry.as_deref())?, (self.clock)());
        let secrets: Vec<(&str, String)> = names.into_iter().map(|name| (name, random_secret())).collect();
        let hashed = secrets.iter().map(|(name, secret)| TokenPassword {
            name: (*name).to_owned(),
            secret_hash: hash_secret(secret),
            created_ms,
            expires_ms,
        });
        let set = self.metastore.set_token_passwords(registry.id, token.id, hashed.collect()).await?;
        let token = set.ok_or_else(|| no_such_token(&token_name))?;
        tracing::info!(registry = registry.name, token = token.name, by = %caller.id, "a token got new passwords");
        Ok(new_passwords(&token, &secrets))
    }

    fn expiry(&self, text: Option<&str>) -> Result<Option<i64>, ArmError> {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
        let parsed: Result<jiff::Timestamp, _> = text.parse();
        let invalid = || {
            ArmError::bad(
                "InvalidExpiry",
                format!("The expiry must be a time in the future (RFC 3339), not '{text}'."),
            )
        };
        let expires_ms = parsed.map_err(|_| invalid())?.as_millisecond();
        if expires_ms > (self.clock)() { Ok(Some(expires_ms)) } else { Err(invalid()) }
    }
}

impl Password {
    /// Refuses one that the token does not have, or not since then: `generateCredentials` makes them.
    fn check(&self, found: Option<&RegistryToken>) -> Result<(), ArmError> {
        let unsupported = |message: String| Err(ArmError::bad("UnsupportedProperty", message));
        let is_it = |known: &&TokenPassword| known.name == self.name;
        let Some(known) = found.and_then(|found| found.passwords.iter().find(is_it)) else {
            let name: String = self.name.chars().take(NAME_CHARS_MAX).collect();
            return unsupported(format!(
                "The token has no '{name}' (properties.credentials.passwords): generateCredentials makes it."
            ));
        };
        if self.creation_time.is_some_and(|time| time.as_millisecond() != known.created_ms) {
            return unsupported(format!(
                "The creationTime of '{}' cannot be changed: leave it out of properties.credentials.passwords.",
                known.name
            ));
        }
        Ok(())
    }
}

fn enabled(status: &str) -> Result<bool, ArmError> {
    match status.to_ascii_lowercase().as_str() {
        "enabled" => Ok(true),
        "disabled" => Ok(false),
        _ => Err(ArmError::bad(
            "InvalidStatus",
            format!("The status '{status}' is neither enabled nor disabled."),
        )),
    }
}

fn last_segment(id: &str) -> String {
    id.rsplit('/').next().unwrap_or_default().to_owned()
}

fn no_such_token(name: &str) -> ArmError {
    ArmError::not_found("ResourceNotFound", format!("There is no token '{name}' in this registry."))
}

const NAME_CHARS_MAX: usize = 100;
const PASSWORDS: [&str; 2] = ["password1", "password2"];

const TOKEN: Kind = Kind {
    what: "token",
    kept: &[
        "properties.scopeMapId",
        "properties.status",
        "properties.credentials.certificates",
        "properties.credentials.passwords[].name",
        "properties.credentials.passwords[].expiry",
        "properties.credentials.passwords[].creationTime",
    ],
    shown: &["properties.creationDate", "properties.credentials.passwords[].value"],
    fixed: &[],
};

const NEW_PASSWORDS: Kind =
    Kind { what: "token's new password", kept: &["tokenId", "expiry", "name"], shown: &[], fixed: &[] };
