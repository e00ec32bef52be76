//! Every route of this door, as others may list them.

use axum::http::Method;

use crate::access::Needed;
use crate::route;

/// Every route: a method, and a path with its parameters in braces.
#[must_use]
pub fn routes() -> Vec<(Method, &'static str)> {
    let methods = |path: &'static str| {
        let methods = route::parse(&sample(path)).map_or(&[][..], |target| Needed::methods(&target).1);
        methods
            .iter()
            .filter_map(move |(method, _)| Some((Method::from_bytes(method.as_bytes()).ok()?, path)))
    };
    PATHS.into_iter().flat_map(methods).chain(TOKENS).collect()
}

/// A path that its template stands for.
fn sample(template: &str) -> String {
    template.replace("{name}", "name")
}

const PATHS: [&str; 18] = [
    "/v2/",
    "/v2/_catalog",
    "/v2/{name}/tags/list",
    "/v2/{name}/manifests/{reference}",
    "/v2/{name}/blobs/{digest}",
    "/v2/{name}/blobs/uploads/",
    "/v2/{name}/blobs/uploads/{id}",
    "/v2/{name}/referrers/{digest}",
    "/acr/v1/_catalog",
    "/acr/v1/{name}",
    "/acr/v1/{name}/_manifests",
    "/acr/v1/{name}/_manifests/{digest}",
    "/acr/v1/{name}/_tags",
    "/acr/v1/{name}/_tags/{tag}",
    "/acr/v1/_deleted/_catalog",
    "/acr/v1/_deleted/{name}/_manifests",
    "/acr/v1/_deleted/{name}/_manifests/{digest}",
    "/acr/v1/_deleted/{name}/_tags",
];

const TOKENS: [(Method, &str); 5] = [
    (Method::GET, "/token"),
    (Method::POST, "/token"),
    (Method::GET, "/oauth2/token"),
    (Method::POST, "/oauth2/token"),
    (Method::POST, "/oauth2/exchange"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::route::Target;

    macro_rules! kinds {
        ($($kind:pat => $name:literal,)*) => {
            fn kind(target: &Target) -> &'static str {
                match target { $($kind => $name),* }
            }
            const KINDS: &[&str] = &[$($name),*];
        };
    }
    // A new kind of target is named here, and its path goes into `PATHS`.
    kinds! {
        Target::Ping => "ping",
        Target::Catalog => "catalog",
        Target::Tags(..) => "tags",
        Target::Manifest(..) => "manifest",
        Target::Blob(..) => "blob",
        Target::Uploads(..) => "uploads",
        Target::Upload(..) => "upload",
        Target::Referrers(..) => "referrers",
        Target::AcrCatalog => "acr catalog",
        Target::AcrRepository(..) => "acr repository",
        Target::AcrManifests(..) => "acr manifests",
        Target::AcrManifest(..) => "acr manifest",
        Target::AcrTags(..) => "acr tags",
        Target::AcrTag(..) => "acr tag",
        Target::DeletedCatalog => "deleted catalog",
        Target::DeletedManifests(..) => "deleted manifests",
        Target::DeletedManifest(..) => "deleted manifest",
        Target::DeletedTags(..) => "deleted tags",
    }

    #[test]
    fn every_kind_of_target_is_listed_with_its_path() {
        let kind_of = |path: &&'static str| {
            let target = route::parse(&sample(path)).unwrap_or_else(|_| panic!("{path} is no path"));
            kind(&target)
        };
        let listed: BTreeSet<_> = PATHS.iter().map(kind_of).collect();
        assert_eq!(listed, KINDS.iter().copied().collect());
    }
}
