//! Azure Container Registry's data plane beside `/v2/`: what `azure-containerregistry` and
//! `az acr repository` read, lock and delete.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::LINK;
use axum::response::{IntoResponse as _, Response};
use metastore::{After, Attributes, AttributesChange, ManifestRow, Order, TagRow};
use oci::{Content, Digest, ImageConfig, Manifest, Reference, Repository, Tag};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::Api;
use crate::access::Identity;
use crate::error::ApiError;
use crate::listing::{cut, limit};
use crate::manifests::value;
use crate::query::Parameters;

impl Api {
    /// Like `/v2/_catalog`, under a link of its own.
    pub(crate) async fn acr_catalog(
        &self,
        identity: &Identity,
        parameters: &Parameters,
    ) -> Result<Response, ApiError> {
        let (repositories, next, limit) =
            self.visible_repositories(identity, parameters, Catalog::Present).await?;
        Ok(paged(
            &json!({ "repositories": repositories }),
            "/acr/v1/_catalog",
            parameters,
            limit,
            next.map(by_name),
        ))
    }

    pub(crate) async fn acr_repository(
        &self,
        host: &str,
        repository: &Repository,
    ) -> Result<Response, ApiError> {
        let row = self.registry.repository(self.id, repository).await?.ok_or_else(|| unknown(repository))?;
        let document = json!({
            "registry": host,
            "imageName": repository,
            "createdTime": time(row.created_ms),
            "lastUpdateTime": time(row.updated_ms),
            "manifestCount": row.manifests,
            "tagCount": row.tags,
            "changeableAttributes": attributes(row.attributes),
        });
        Ok(axum::Json(document).into_response())
    }

    /// With all its manifests and tags.
    pub(crate) async fn acr_delete_repository(&self, repository: &Repository) -> Result<Response, ApiError> {
        let deleted = self
            .registry
            .delete_repository(self.id, repository)
            .await
            .map_err(|error| ApiError::from(error).in_acr())?;
        let deleted = deleted.ok_or_else(|| unknown(repository))?;
        let document = json!({ "manifestsDeleted": deleted.manifests, "tagsDeleted": deleted.tags });
        Ok((StatusCode::ACCEPTED, axum::Json(document)).into_response())
    }

    pub(crate) async fn acr_manifests(
        &self,
        host: &str,
        repository: &Repository,
        parameters: &Parameters,
    ) -> Result<Response, ApiError> {
        let limit = acr_limit(parameters)?;
        let after = after(parameters);
        let rows = self.registry.manifests(self.id, repository, order(parameters), after, limit + 1).await?;
        let mut rows = rows.ok_or_else(|| unknown(repository))?;
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().filter(|_| has_more);
        let next = last.map(|row| After { key: row.digest.to_string(), time_ms: Some(row.pushed_ms) });
        let mut manifests = Vec::with_capacity(rows.len());
        for row in &rows {
            manifests.push(self.manifest_attributes(repository, row).await?);
        }
        let document = json!({ "registry": host, "imageName": repository, "manifests": manifests });
        Ok(paged(&document, &format!("/acr/v1/{repository}/_manifests"), parameters, limit, next))
    }

    pub(crate) async fn acr_manifest(
        &self,
        host: &str,
        repository: &Repository,
        digest: &str,
    ) -> Result<Response, ApiError> {
        let unknown =
            || ApiError::not_found("MANIFEST_UNKNOWN", format!("there is no manifest {digest} here"));
        let parsed: Digest = digest.parse().map_err(|_| unknown())?;
        let row = self.registry.manifest_row(self.id, repository, &parsed).await?.ok_or_else(unknown)?;
        let manifest = self.manifest_attributes(repository, &row).await?;
        Ok(axum::Json(json!({ "registry": host, "imageName": repository, "manifest": manifest }))
            .into_response())
    }

    pub(crate) async fn acr_tags(
        &self,
        host: &str,
        repository: &Repository,
        parameters: &Parameters,
    ) -> Result<Response, ApiError> {
        let limit = acr_limit(parameters)?;
        let after = after(parameters);
        let rows = self.registry.tag_rows(self.id, repository, order(parameters), after, limit + 1).await?;
        let mut rows = rows.ok_or_else(|| unknown(repository))?;
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().filter(|_| has_more);
        let next = last.map(|row| After { key: row.name.to_string(), time_ms: Some(row.updated_ms) });
        let wanted = parameters.get("digest");
        rows.retain(|row| wanted.is_none_or(|wanted| row.digest.to_string() == wanted));
        let tags: Vec<Value> = rows.iter().map(tag_attributes).collect();
        let document = json!({ "registry": host, "imageName": repository, "tags": tags });
        Ok(paged(&document, &format!("/acr/v1/{repository}/_tags"), parameters, limit, next))
    }

    pub(crate) async fn acr_tag(
        &self,
        host: &str,
        repository: &Repository,
        tag: &str,
    ) -> Result<Response, ApiError> {
        let unknown = || ApiError::not_found("TAG_UNKNOWN", format!("there is no tag {tag} here"));
        let parsed: Tag = tag.parse().map_err(|_| unknown())?;
        let row = self.registry.tag_row(self.id, repository, &parsed).await?.ok_or_else(unknown)?;
        let document = json!({ "registry": host, "imageName": repository, "tag": tag_attributes(&row) });
        Ok(axum::Json(document).into_response())
    }

    /// Locks and unlocks a repository, or what `reference` names in it, and shows it.
    pub(crate) async fn acr_change(
        &self,
        host: &str,
        repository: &Repository,
        reference: Option<&str>,
        request: Request,
    ) -> Result<Response, ApiError> {
        let change = change_of(&body_of(request).await?)?;
        self.acr_changed(host, repository, reference, change).await
    }

    /// Changes attributes, and shows what has them.
    pub(crate) async fn acr_changed(
        &self,
        host: &str,
        repository: &Repository,
        reference: Option<&str>,
        change: AttributesChange,
    ) -> Result<Response, ApiError> {
        let parsed: Option<Reference> = reference
            .map(|text| {
                let unknown = || ApiError::not_found("MANIFEST_UNKNOWN", format!("there is no {text} here"));
                text.parse().map_err(|_: oci::InvalidReference| unknown())
            })
            .transpose()?;
        self.registry.change_attributes(self.id, repository, parsed.clone(), change).await?;
        match (parsed, reference) {
            (Some(Reference::Digest(_)), Some(digest)) => self.acr_manifest(host, repository, digest).await,
            (Some(Reference::Tag(_)), Some(tag)) => self.acr_tag(host, repository, tag).await,
            _ => self.acr_repository(host, repository).await,
        }
    }

    async fn manifest_attributes(
        &self,
        repository: &Repository,
        row: &ManifestRow,
    ) -> Result<Value, ApiError> {
        let mut attributes = json!({
            "digest": row.digest,
            "imageSize": row.bytes.len(),
            "createdTime": time(row.pushed_ms),
            "lastUpdateTime": time(row.pushed_ms),
            "mediaType": row.media_type.as_str(),
            "tags": row.tags,
            "changeableAttributes": attributes(row.attributes),
        });
        if let Some(quarantine) = &row.quarantine {
            attributes["changeableAttributes"]["quarantineState"] = quarantine.state.name().into();
            if let Some(details) = &quarantine.details {
                attributes["changeableAttributes"]["quarantineDetails"] = details.as_str().into();
            }
        }
        // What is stored was valid once; what it lists is said as far as it is there.
        if let Ok(manifest) = Manifest::parse(&row.media_type, row.bytes.clone())
            && let Content::Image { config, layers } = manifest.content()
        {
            let size = layers.iter().fold(config.size, |sum, layer| sum.saturating_add(layer.size));
            attributes["imageSize"] = size.into();
            attributes["configMediaType"] = config.media_type.as_str().into();
            if config.media_type.is_image_config() && config.size <= CONFIG_BYTES_MAX {
                let blob = match self.registry.blob(self.id, repository, &config.digest).await {
                    // Its properties are shown, and nothing of what it holds.
                    Err(registry::StoreError::Locked(_)) => None,
                    blob => blob?,
                };
                if let Some(config) = blob.and_then(|blob| ImageConfig::parse(&blob.whole().ok()?).ok()) {
                    attributes["os"] = config.os.into();
                    attributes["architecture"] = config.architecture.into();
                }
            }
        }
        Ok(attributes)
    }

    /// The repositories that the caller may see, a page of them: where the next begins, and how many a page has.
    pub(crate) async fn visible_repositories(
        &self,
        identity: &Identity,
        parameters: &Parameters,
        of: Catalog,
    ) -> Result<(Vec<Repository>, Option<String>, usize), ApiError> {
        let limit = limit(parameters)?;
        let mut after = parameters.get("last").map(str::to_owned);
        let caller = self.caller_behind(identity).await?;
        let is_visible = |name: &Repository| {
            caller.as_ref().is_some_and(|caller| match of {
                Catalog::Present => self.is_listed(caller, name),
                Catalog::Deleted => self.may(caller, name.as_str(), auth::Access::DeletedRead),
            })
        };
        let mut repositories: Vec<Repository> = Vec::new();
        loop {
            let page = match of {
                Catalog::Present => self.registry.repositories(self.id, after, limit + 1).await?,
                Catalog::Deleted => self.registry.deleted_repositories(self.id, after, limit + 1).await?,
            };
            let is_last = page.len() <= limit;
            after = page.last().map(ToString::to_string);
            repositories.extend(page.into_iter().filter(is_visible));
            if is_last || repositories.len() > limit {
                break;
            }
        }
        let next = cut(&mut repositories, limit);
        Ok((repositories, next, limit))
    }
}

/// Which repositories are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Catalog {
    /// Those there are, as far as the caller may read their metadata.
    Present,
    /// Those of which something can be restored.
    Deleted,
}

fn tag_attributes(row: &TagRow) -> Value {
    json!({
        "name": row.name,
        "digest": row.digest,
        "createdTime": time(row.updated_ms),
        "lastUpdateTime": time(row.updated_ms),
        "signed": false,
        "changeableAttributes": attributes(row.attributes),
    })
}

fn attributes(attributes: Attributes) -> Value {
    json!({
        "deleteEnabled": attributes.delete_enabled,
        "writeEnabled": attributes.write_enabled,
        "readEnabled": attributes.read_enabled,
        "listEnabled": attributes.list_enabled,
    })
}

/// The object that a `PATCH` sends.
pub(crate) async fn body_of(request: Request) -> Result<Value, ApiError> {
    let bad = |message: &str| ApiError::bad("UNSUPPORTED", message);
    let body = axum::body::to_bytes(request.into_body(), PATCH_BYTES_MAX).await;
    let body = body.map_err(|_| bad("the attributes are too large, or their body broke off"))?;
    let body: Value = serde_json::from_slice(&body).map_err(|_| bad("the attributes are no JSON"))?;
    if body.is_object() { Ok(body) } else { Err(bad("the attributes must be an object")) }
}

/// What it asks for; members that are not attributes are left alone.
pub(crate) fn change_of(body: &Value) -> Result<AttributesChange, ApiError> {
    let flag = |name: &str| match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(_) => Err(ApiError::bad("UNSUPPORTED", format!("{name} must be true or false"))),
    };
    Ok(AttributesChange {
        delete_enabled: flag("deleteEnabled")?,
        write_enabled: flag("writeEnabled")?,
        list_enabled: flag("listEnabled")?,
        read_enabled: flag("readEnabled")?,
    })
}

fn order(parameters: &Parameters) -> Order {
    match parameters.get("orderby") {
        Some("timedesc") => Order::NewestFirst,
        Some("timeasc") => Order::OldestFirst,
        _ => Order::Name,
    }
}

/// A page costs a look at each manifest's configuration: fewer than elsewhere.
pub(crate) fn acr_limit(parameters: &Parameters) -> Result<usize, ApiError> {
    Ok(limit(parameters)?.clamp(1, PAGE_MAX))
}

fn unknown(repository: &Repository) -> ApiError {
    ApiError::not_found("NAME_UNKNOWN", format!("there is no repository {repository} here"))
}

/// The row after which a page begins. `lasttime` is ours: Azure's clients follow the link as it is.
fn after(parameters: &Parameters) -> Option<After> {
    let key = parameters.get("last").filter(|last| !last.is_empty())?.to_owned();
    Some(After { key, time_ms: parameters.get("lasttime").and_then(|ms| ms.parse().ok()) })
}

/// Of a list that has one order alone.
pub(crate) fn by_name(key: String) -> After {
    After { key, time_ms: None }
}

pub(crate) fn paged(
    document: &Value,
    path: &str,
    parameters: &Parameters,
    limit: usize,
    next: Option<After>,
) -> Response {
    let mut response = axum::Json(document).into_response();
    if let Some(After { key, time_ms }) = next {
        let is_word = |word: &&str| word.bytes().all(|byte| byte.is_ascii_alphabetic());
        let order = parameters.get("orderby").filter(is_word).unwrap_or_default();
        let last = key.replace('/', "%2F").replace(':', "%3A");
        let mut link = format!("{path}?last={last}&n={limit}&orderby={order}");
        if let Some(ms) = time_ms {
            link += &format!("&lasttime={ms}");
        }
        if let Some(digest) = parameters.get("digest") {
            link += &format!("&digest={}", utf8_percent_encode(digest, NON_ALPHANUMERIC));
        }
        response.headers_mut().insert(LINK, value(format!("<{link}>; rel=\"next\"")));
    }
    response
}

/// RFC 3339 with seven digits of a second, as Azure writes it.
pub(crate) fn time(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S.%3f0000Z").to_string()
}

const PAGE_MAX: usize = 100;
const PATCH_BYTES_MAX: usize = 64 << 10;
const CONFIG_BYTES_MAX: u64 = 8 << 20;
