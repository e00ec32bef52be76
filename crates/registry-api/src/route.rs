//! The path grammar of `/v2/` (distribution specification, "Endpoints") and `/acr/v1/`.
//!
//! A repository's components may be called `blobs` or `tags` themselves, so the last suffix that
//! matches rules. Percent-encoding is undone once, before anything is split: Azure's clients send a
//! repository's slashes encoded.

use axum::http::Method;
use oci::Repository;
use percent_encoding::percent_decode_str;

use crate::error::ApiError;

/// What a path names. References and digests are still text: what a malformed one means depends on
/// the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Ping,
    Catalog,
    Tags(Repository),
    Manifest(Repository, String),
    Blob(Repository, String),
    Uploads(Repository),
    Upload(Repository, String),
    Referrers(Repository, String),
    AcrCatalog,
    AcrRepository(Repository),
    AcrManifests(Repository),
    AcrManifest(Repository, String),
    AcrTags(Repository),
    AcrTag(Repository, String),
    DeletedCatalog,
    DeletedManifests(Repository),
    DeletedManifest(Repository, String),
    DeletedTags(Repository),
}

impl Target {
    /// True if the method changes what others see of it: not its blobs, which nobody sees without a manifest.
    pub(crate) fn is_change(&self, method: &Method) -> bool {
        match self {
            Self::Manifest(..) => [Method::PUT, Method::DELETE].contains(method),
            Self::AcrRepository(..) | Self::AcrManifest(..) | Self::AcrTag(..) => {
                [Method::PATCH, Method::DELETE].contains(method)
            }
            Self::Blob(..) => method == Method::DELETE,
            Self::DeletedManifest(..) => method == Method::POST,
            Self::Ping
            | Self::Catalog
            | Self::Tags(..)
            | Self::Uploads(..)
            | Self::Upload(..)
            | Self::Referrers(..)
            | Self::AcrCatalog
            | Self::AcrManifests(..)
            | Self::AcrTags(..)
            | Self::DeletedCatalog
            | Self::DeletedManifests(..)
            | Self::DeletedTags(..) => false,
        }
    }
}

/// Reads a raw path.
pub(crate) fn parse(path: &str) -> Result<Target, ApiError> {
    let unknown = || ApiError::not_found("UNSUPPORTED", "there is nothing at this path");
    let path = percent_decode_str(path).decode_utf8().map_err(|_| unknown())?;
    if path.contains('\0') {
        return Err(unknown());
    }
    if let Some(path) = path.strip_prefix("/acr/v1/") {
        return acr(path);
    }
    let path = match path.strip_prefix("/v2") {
        Some("" | "/") => return Ok(Target::Ping),
        Some(rest) => rest.strip_prefix('/').ok_or_else(unknown)?,
        None => return Err(unknown()),
    };
    if path == "_catalog" {
        return Ok(Target::Catalog);
    }
    let segments: Vec<&str> = path.split('/').collect();
    match segments.as_slice() {
        [name @ .., "tags", "list"] => Ok(Target::Tags(repository(name)?)),
        [name @ .., "blobs", "uploads"] | [name @ .., "blobs", "uploads", ""] => {
            Ok(Target::Uploads(repository(name)?))
        }
        [name @ .., "blobs", "uploads", id] => Ok(Target::Upload(repository(name)?, (*id).to_owned())),
        [name @ .., "manifests", reference] => {
            Ok(Target::Manifest(repository(name)?, (*reference).to_owned()))
        }
        [name @ .., "blobs", digest] => Ok(Target::Blob(repository(name)?, (*digest).to_owned())),
        [name @ .., "referrers", subject] => Ok(Target::Referrers(repository(name)?, (*subject).to_owned())),
        _ => Err(unknown()),
    }
}

/// No component of a repository begins with an underscore.
fn acr(path: &str) -> Result<Target, ApiError> {
    if path == "_catalog" {
        return Ok(Target::AcrCatalog);
    }
    let segments: Vec<&str> = path.split('/').collect();
    match segments.as_slice() {
        ["_deleted", "_catalog"] => Ok(Target::DeletedCatalog),
        ["_deleted", name @ .., "_manifests"] => Ok(Target::DeletedManifests(repository(name)?)),
        ["_deleted", name @ .., "_manifests", digest] => {
            Ok(Target::DeletedManifest(repository(name)?, (*digest).to_owned()))
        }
        ["_deleted", name @ .., "_tags"] => Ok(Target::DeletedTags(repository(name)?)),
        [name @ .., "_manifests"] => Ok(Target::AcrManifests(repository(name)?)),
        [name @ .., "_manifests", digest] => Ok(Target::AcrManifest(repository(name)?, (*digest).to_owned())),
        [name @ .., "_tags"] => Ok(Target::AcrTags(repository(name)?)),
        [name @ .., "_tags", tag] => Ok(Target::AcrTag(repository(name)?, (*tag).to_owned())),
        name => Ok(Target::AcrRepository(repository(name)?)),
    }
}

fn repository(segments: &[&str]) -> Result<Repository, ApiError> {
    segments
        .join("/")
        .parse()
        .map_err(|error: oci::InvalidRepository| ApiError::bad("NAME_INVALID", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(path: &str) -> String {
        match parse(path) {
            Ok(Target::Ping) => "ping".to_owned(),
            Ok(Target::Catalog) => "catalog".to_owned(),
            Ok(Target::Tags(name)) => format!("tags {name}"),
            Ok(Target::Manifest(name, reference)) => format!("manifest {name} {reference}"),
            Ok(Target::Blob(name, digest)) => format!("blob {name} {digest}"),
            Ok(Target::Uploads(name)) => format!("uploads {name}"),
            Ok(Target::Upload(name, id)) => format!("upload {name} {id}"),
            Ok(Target::Referrers(name, subject)) => format!("referrers {name} {subject}"),
            Ok(Target::AcrCatalog) => "acr catalog".to_owned(),
            Ok(Target::AcrRepository(name)) => format!("acr {name}"),
            Ok(Target::AcrManifests(name)) => format!("acr {name} manifests"),
            Ok(Target::AcrManifest(name, digest)) => format!("acr {name} manifest {digest}"),
            Ok(Target::AcrTags(name)) => format!("acr {name} tags"),
            Ok(Target::AcrTag(name, tag)) => format!("acr {name} tag {tag}"),
            Ok(Target::DeletedCatalog) => "deleted catalog".to_owned(),
            Ok(Target::DeletedManifests(name)) => format!("deleted {name} manifests"),
            Ok(Target::DeletedManifest(name, digest)) => format!("deleted {name} manifest {digest}"),
            Ok(Target::DeletedTags(name)) => format!("deleted {name} tags"),
            Err(_) => "-".to_owned(),
        }
    }

    #[test]
    fn the_last_suffix_rules() {
        for (path, wanted) in [
            ("/v2", "ping"),
            ("/v2/", "ping"),
            ("/v2/_catalog", "catalog"),
            ("/v2/a/tags/list", "tags a"),
            ("/v2/a/b/manifests/1", "manifest a/b 1"),
            ("/v2/a%2Fb/manifests/sha256%3Aff", "manifest a/b sha256:ff"),
            ("/v2/a/blobs/uploads", "uploads a"),
            ("/v2/a/blobs/uploads/", "uploads a"),
            ("/v2/a/blobs/uploads/x", "upload a x"),
            ("/v2/a/blobs/sha256:ff", "blob a sha256:ff"),
            ("/v2/a/referrers/sha256:ff", "referrers a sha256:ff"),
            ("/v2/blobs/uploads/blobs/uploads/", "uploads blobs/uploads"),
            ("/v2/manifests/manifests/manifests", "manifest manifests manifests"),
            ("/v2/a/tags/list/tags/list", "tags a/tags/list"),
            ("/v2/tags/list/blobs/uploads/x", "upload tags/list x"),
            ("/acr/v1/_catalog", "acr catalog"),
            ("/acr/v1/library%2Fnginx", "acr library/nginx"),
            ("/acr/v1/a/b/_manifests", "acr a/b manifests"),
            ("/acr/v1/a/_manifests/sha256%3Aff", "acr a manifest sha256:ff"),
            ("/acr/v1/a/_tags", "acr a tags"),
            ("/acr/v1/a/_tags/1", "acr a tag 1"),
            ("/acr/v1/_deleted/_catalog", "deleted catalog"),
            ("/acr/v1/_deleted/a/b/_manifests", "deleted a/b manifests"),
            ("/acr/v1/_deleted/a/_manifests/sha256:ff", "deleted a manifest sha256:ff"),
            ("/acr/v1/_deleted/a/_tags", "deleted a tags"),
        ] {
            assert_eq!(show(path), wanted, "{path}");
        }
    }

    #[test]
    fn hostile_paths_name_nothing() {
        for path in [
            "/v2x",
            "/v2//tags/list",
            "/v2/../tags/list",
            "/v2/a/../b/tags/list",
            "/v2/%2e%2e/tags/list",
            "/v2/a%00/tags/list",
            "/v2/%zz/tags/list",
            "/v2/a%2/tags/list",
            "/v2/%ff/tags/list",
            "/v2/A/tags/list",
            "/v2/a//b/tags/list",
            "/v2/tags/list",
            "/v2/a/manifests",
            "/v2/a/tags/list/",
            "/v2/a/manifests/1/",
            "/v2/a/./b/tags/list",
            "/v2/a%252Fb/tags/list",
            "/v2/_catalog/",
            "/v2/a",
        ] {
            assert_eq!(show(path), "-", "{path}");
        }
    }
}
