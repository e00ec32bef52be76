//! What was deleted and can be restored: `/acr/v1/_deleted/`, as `az acr manifest list-deleted` and its like ask.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use metastore::{DeletedManifest, RestoreError};
use oci::{Digest, Repository, Tag};
use serde_json::{Value, json};

use crate::Api;
use crate::access::Identity;
use crate::acr::{Catalog, acr_limit, body_of, by_name, paged, time};
use crate::error::ApiError;
use crate::query::Parameters;

impl Api {
    /// The repositories in which the caller may see something deleted.
    pub(crate) async fn deleted_catalog(
        &self,
        identity: &Identity,
        parameters: &Parameters,
    ) -> Result<Response, ApiError> {
        let (repositories, next, limit) =
            self.visible_repositories(identity, parameters, Catalog::Deleted).await?;
        Ok(paged(
            &json!({ "repositories": repositories }),
            "/acr/v1/_deleted/_catalog",
            parameters,
            limit,
            next.map(by_name),
        ))
    }

    pub(crate) async fn deleted_manifests(
        &self,
        repository: &Repository,
        parameters: &Parameters,
    ) -> Result<Response, ApiError> {
        let limit = acr_limit(parameters)?;
        let after = parameters.get("last").map(str::to_owned);
        let mut rows = self.registry.deleted_manifests(self.id, repository, after, limit + 1).await?;
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| has_more).map(|row| row.digest.to_string());
        let manifests: Vec<Value> = rows.iter().map(manifest).collect();
        let document = json!({ "imageName": repository, "manifests": manifests });
        let path = format!("/acr/v1/_deleted/{repository}/_manifests");
        Ok(paged(&document, &path, parameters, limit, next.map(by_name)))
    }

    /// The newest deletion last: `az acr manifest restore` takes the last one of a tag.
    pub(crate) async fn deleted_tags(&self, repository: &Repository) -> Result<Response, ApiError> {
        let rows = self.registry.deleted_tags(self.id, repository, TAGS_MAX).await?;
        let tags = rows
            .iter()
            .map(|row| json!({ "tag": row.name, "digest": row.digest, "deletedAt": time(row.deleted_ms) }));
        let document = json!({ "imageName": repository, "tags": tags.collect::<Vec<_>>() });
        Ok(axum::Json(document).into_response())
    }

    /// `POST` with `{"tag": …}`, or without one: then its own tags come back. `?force=true` takes the tag from
    /// what has it now.
    pub(crate) async fn restore_manifest(
        &self,
        repository: &Repository,
        digest: &str,
        parameters: &Parameters,
        request: Request,
    ) -> Result<Response, ApiError> {
        let unknown =
            || ApiError::not_found("MANIFEST_UNKNOWN", format!("there is no manifest {digest} here"));
        let digest: Digest = digest.parse().map_err(|_| unknown())?;
        let body = body_of(request).await?;
        let tag = match body.get("tag") {
            None | Some(Value::Null) => None,
            Some(Value::String(tag)) if tag.is_empty() => None,
            Some(Value::String(tag)) => {
                Some(tag.parse::<Tag>().map_err(|error| ApiError::bad("TAG_INVALID", error.to_string()))?)
            }
            Some(_) => return Err(ApiError::bad("TAG_INVALID", "the tag must be text")),
        };
        let is_forced = parameters.get("force").is_some_and(|force| force.eq_ignore_ascii_case("true"));
        let restored = self.registry.restore_manifest(self.id, repository, &digest, tag, is_forced).await;
        let tags = restored.map_err(|error| match error {
            RestoreError::Unknown(_) => ApiError::not_found("MANIFEST_UNKNOWN", error.to_string()),
            RestoreError::TagTaken { .. } => {
                ApiError::new(StatusCode::CONFLICT, "TAG_ALREADY_EXISTS", error.to_string())
            }
            RestoreError::Put(error) => ApiError::from(registry::PutManifestError::from(error)).in_acr(),
            RestoreError::Store(error) => error.into(),
        })?;
        Ok(axum::Json(json!({ "imageName": repository, "digest": digest, "tags": tags })).into_response())
    }
}

fn manifest(row: &DeletedManifest) -> Value {
    json!({
        "digest": row.digest,
        "mediaType": row.media_type.as_str(),
        "tags": row.tags,
        "deletedAt": time(row.deleted_ms),
    })
}

/// A list of az's has no pages here.
const TAGS_MAX: usize = 10_000;
