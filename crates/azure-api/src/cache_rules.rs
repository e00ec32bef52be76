//! Cache rules: which repositories are filled from registries elsewhere. The credentials for those are kept by the command
//! line alone: Azure's clients name secrets of a vault, and here there is none.

use auth::{Action, Caller};
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use azure_documents::{cache_rule, credential_set};
use metastore::{CacheRule, PutCacheRule, Registry, RemoveCredential};
use mirror::Mapping;
use serde::Deserialize;
use serde_json::Value;

use crate::arm::Scope;
use crate::body::{Kind, read};
use crate::error::ArmError;
use crate::scope_maps::check_name;
use crate::{Api, Call, paging};

#[derive(Deserialize)]
struct CacheRuleBody {
    #[serde(default)]
    properties: Properties,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    #[serde(default)]
    source_repository: Option<String>,
    #[serde(default)]
    target_repository: Option<String>,
    /// Null takes it away.
    #[serde(default, deserialize_with = "given")]
    credential_set_resource_id: Option<Option<String>>,
}

/// Tells null from nothing.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Api {
    pub(crate) async fn cache_rules(
        &self,
        caller: &Caller,
        scope: &Scope,
        call: &Call,
    ) -> Result<Value, ArmError> {
        let registry = self.registry_for(caller, scope, Action::ReadCacheRules).await?;
        let rules = self.metastore.cache_rules(registry.id).await?;
        listed(rules.iter().map(|rule| cache_rule(&registry, rule)).collect(), call)
    }

    pub(crate) async fn cache_rule(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &str,
    ) -> Result<Value, ArmError> {
        let registry = self.registry_for(caller, scope, Action::ReadCacheRules).await?;
        let found = self.cache_rule_named(&registry, name).await?;
        found.map(|rule| cache_rule(&registry, &rule)).ok_or_else(|| missing("cache rule", name))
    }

    async fn cache_rule_named(&self, registry: &Registry, name: &str) -> Result<Option<CacheRule>, ArmError> {
        let rules = self.metastore.cache_rules(registry.id).await?;
        Ok(rules.into_iter().find(|rule| rule.name.eq_ignore_ascii_case(name)))
    }

    /// `PUT` and `PATCH`. What a rule has brought stays when it goes elsewhere.
    pub(crate) async fn put_cache_rule(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &str,
        body: Body,
        may_create: bool,
    ) -> Result<Response, ArmError> {
        let registry = self.registry_for(caller, scope, Action::WriteCacheRules).await?;
        check_name(name)?;
        let known = self.cache_rule_named(&registry, name).await?;
        if !may_create && known.is_none() {
            return Err(missing("cache rule", name));
        }
        let Properties { source_repository, target_repository, credential_set_resource_id } =
            read::<CacheRuleBody>(body, &CACHE_RULE).await?.properties;
        let kept = |text: Option<String>, known: Option<&String>, what: &str| {
            text.or_else(|| known.cloned()).ok_or_else(|| invalid(format!("A cache rule needs a {what}.")))
        };
        let source = kept(source_repository, known.as_ref().map(|rule| &rule.source), "sourceRepository")?;
        let target = kept(target_repository, known.as_ref().map(|rule| &rule.target), "targetRepository")?;
        let (mapping, is_private) = self.source_of(known.as_ref(), &source, &target)?;
        let credential = match credential_set_resource_id {
            None => known.as_ref().and_then(|rule| rule.credential.clone()),
            Some(None) => None,
            Some(Some(id)) => Some(self.credential_for(&registry, &id, &mapping).await?),
        };
        let rule = CacheRule {
            name: known.as_ref().map_or_else(|| name.to_owned(), |rule| rule.name.clone()),
            source: mapping.source(),
            target: mapping.target(),
            credential,
            is_private,
            created_ms: known.as_ref().map_or_else(|| (self.clock)(), |rule| rule.created_ms),
        };
        let status = match self.metastore.put_cache_rule(registry.id, rule.clone()).await? {
            PutCacheRule::Created => StatusCode::CREATED,
            PutCacheRule::Updated => StatusCode::OK,
            PutCacheRule::TargetTaken => {
                let message = format!("Another cache rule fills '{}'.", rule.target);
                return Err(ArmError::new(StatusCode::CONFLICT, "Conflict", message));
            }
            PutCacheRule::NoCredential => {
                return Err(missing("credential set", &rule.credential.unwrap_or_default()));
            }
        };
        tracing::info!(registry = registry.name, rule = rule.name, source = rule.source, by = %caller.id, "a cache rule was put");
        Ok((status, crate::json(cache_rule(&registry, &rule))).into_response())
    }

    /// What a rule leads to, and whether that may be in a private network.
    fn source_of(
        &self,
        known: Option<&CacheRule>,
        source: &str,
        target: &str,
    ) -> Result<(Mapping, bool), ArmError> {
        let parse = |source: &str| Mapping::parse(source, target).map_err(|error| invalid(sentence(&error)));
        let mapping = parse(source)?;
        // Without the scheme, as clients are shown it.
        let (bare, host) = (without_scheme(&mapping.source()).to_owned(), mapping.host());
        if let Some(rule) = known.filter(|rule| without_scheme(&rule.source) == bare) {
            // It was allowed to go there before.
            return Ok((parse(&rule.source)?, rule.is_private));
        }
        if let Some(known) = self.imports.known(host) {
            // As the operator has written it, with or without TLS.
            let path = bare.split_once('/').map_or("", |(_, path)| path);
            return Ok((parse(&format!("{known}/{path}"))?, true));
        }
        if host.is_plain() {
            let message = format!("'{host}' has no TLS: an operator allows it with `--import-from {host}`.");
            return Err(invalid(message));
        }
        Ok((mapping, false))
    }

    /// The name of the credential that the id names, which must be for the rule's host.
    async fn credential_for(
        &self,
        registry: &Registry,
        id: &str,
        mapping: &Mapping,
    ) -> Result<String, ArmError> {
        let beginning = format!("{}/credentialSets/", registry.resource_id());
        let is_here = id.get(..beginning.len()).is_some_and(|it| it.eq_ignore_ascii_case(&beginning));
        let name = id.get(beginning.len()..).filter(|_| is_here).unwrap_or(id);
        let all = self.metastore.upstream_credentials(registry.id).await?;
        let found = all.into_iter().find(|known| known.name.eq_ignore_ascii_case(name));
        let found = found.ok_or_else(|| missing("credential set", name))?;
        if found.host != mapping.host().to_string() {
            return Err(invalid(format!(
                "The credential set '{name}' is for {}, and not for {}.",
                found.host,
                mapping.host()
            )));
        }
        Ok(found.name)
    }

    pub(crate) async fn delete_cache_rule(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &str,
    ) -> Result<Response, ArmError> {
        let registry = self.registry_for(caller, scope, Action::DeleteCacheRules).await?;
        self.metastore.delete_cache_rule(registry.id, name).await?;
        // Azure's clients take no 200 here.
        Ok(StatusCode::NO_CONTENT.into_response())
    }

    pub(crate) async fn credential_sets(
        &self,
        caller: &Caller,
        scope: &Scope,
        call: &Call,
    ) -> Result<Value, ArmError> {
        let registry = self.registry_for(caller, scope, Action::ReadCredentialSets).await?;
        let all = self.metastore.upstream_credentials(registry.id).await?;
        listed(all.iter().map(|credential| credential_set(&registry, credential)).collect(), call)
    }

    pub(crate) async fn credential_set(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &str,
    ) -> Result<Value, ArmError> {
        let registry = self.registry_for(caller, scope, Action::ReadCredentialSets).await?;
        let all = self.metastore.upstream_credentials(registry.id).await?;
        let found = all.iter().find(|known| known.name.eq_ignore_ascii_case(name));
        found.map(|it| credential_set(&registry, it)).ok_or_else(|| missing("credential set", name))
    }

    /// `PUT` and `PATCH`: there is no vault to take it from.
    pub(crate) async fn put_credential_set(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &str,
    ) -> Result<Response, ArmError> {
        self.registry_for(caller, scope, Action::WriteCredentialSets).await?;
        let message = format!(
            "Lazaret has no key vault to read the secret of '{name}' from: an operator sets it with `lazaret cache credential \
             set {name}`; cache rules can name it then."
        );
        Err(ArmError::bad("UnsupportedResourceType", message))
    }

    pub(crate) async fn delete_credential_set(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &str,
    ) -> Result<Response, ArmError> {
        let registry = self.registry_for(caller, scope, Action::DeleteCredentialSets).await?;
        match self.metastore.delete_upstream_credential(registry.id, name).await? {
            RemoveCredential::Removed | RemoveCredential::Missing => {
                Ok(StatusCode::NO_CONTENT.into_response())
            }
            RemoveCredential::InUse => Err(ArmError::new(
                StatusCode::CONFLICT,
                "CredentialSetInUse",
                format!("A cache rule uses '{name}': take it away there first."),
            )),
        }
    }
}

fn listed(all: Vec<Value>, call: &Call) -> Result<Value, ArmError> {
    let (page, next) =
        paging::page(all, call, |it: &Value| it["name"].as_str().unwrap_or_default().to_owned())?;
    Ok(paging::listed(page, next))
}

fn without_scheme(source: &str) -> &str {
    source.strip_prefix("http://").unwrap_or(source)
}

fn invalid(message: String) -> ArmError {
    ArmError::bad("InvalidCacheRule", message)
}

/// With what is beneath it.
fn sentence(error: &dyn std::error::Error) -> String {
    let beneath = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    format!("{error}{beneath}.")
}

fn missing(what: &str, name: &str) -> ArmError {
    ArmError::not_found("ResourceNotFound", format!("There is no {what} '{name}' in this registry."))
}

const CACHE_RULE: Kind = Kind {
    what: "cache rule",
    kept: &[
        "properties.sourceRepository",
        "properties.targetRepository",
        "properties.credentialSetResourceId",
    ],
    shown: &["properties.creationDate"],
    fixed: &[],
};
