//! `lazaret import`: images that lie elsewhere, copied into a registry.
//!
//! The server may run beside it: both use the same database, and what is imported is scanned by the
//! server as if it had been pushed.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use layout::{Collection, Root};
use mirror::{Copied, Importer, Source, check_ordinary};
use oci::{Reference, Repository, Tag};
use registry::{NobodyWatches, Registry};
use upstream::{Credentials, Host, Limits, Reach, Upstream};

use crate::cli::{CredentialArgs, ImportArgs};
use crate::data::DataFolder;
use crate::output::say;
use crate::table::{bytes, counted};
use crate::target::{Target, registry_of};
use crate::{Failure, now_ms};

/// One image to be copied.
struct Item {
    source: Source,
    reference: Reference,
    repository: Repository,
    tags: Vec<Tag>,
}

pub(crate) async fn run(arguments: ImportArgs) -> Result<ExitCode, Failure> {
    let data = DataFolder::existing(&arguments.data.path)?;
    let metastore = data.metastore()?;
    let registry_id = registry_of(&metastore, arguments.registry.as_deref()).await?.id;
    let items = match remote(&arguments.source)? {
        Some((host, place)) => from_registry(&arguments, host, place).await?,
        None => from_files(&arguments)?,
    };
    for item in &items {
        check_ordinary(&metastore, registry_id, &item.repository).await?;
    }
    let _coming = data.bringing_blobs()?;
    let (observer, wake) = (Arc::new(NobodyWatches), Arc::new(|| ()));
    let registry = Registry::new(metastore, data.blobs()?, observer, wake, Arc::new(now_ms));
    let importer = Importer::new(registry, registry_id, "").with_referrers(!arguments.no_referrers);
    let (mut all, mut failed) = (Copied::default(), 0);
    let count = items.len();
    for Item { source, reference, repository, tags } in items {
        let shown = match tags.as_slice() {
            [] => format!("{repository}@{reference}"),
            tags => {
                let tags: Vec<_> = tags.iter().map(Tag::as_str).collect();
                format!("{repository}:{}", tags.join(","))
            }
        };
        match importer.copy(&source, &reference, &repository, tags).await {
            Ok((digest, copied)) if copied == Copied::default() => say!("{shown}  {digest}  was here"),
            Ok((digest, copied)) => {
                let Copied { manifests, blobs, bytes } = &copied;
                say!("{shown}  {digest}  {}", what(*manifests, *blobs, *bytes));
                all += &copied;
            }
            Err(error) => {
                failed += 1;
                crate::failed(&Named { shown, source: error });
            }
        }
    }
    say!(
        "{} of {} imported: {}",
        count - failed,
        counted(count, "image", "images"),
        what(all.manifests, all.blobs, all.bytes)
    );
    Ok(if failed == 0 && count > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `1 manifest, 2 blobs, 4.0 KiB (4,123 bytes)`
fn what(manifests: usize, blobs: usize, size: u64) -> String {
    let (manifests, blobs) = (counted(manifests, "manifest", "manifests"), counted(blobs, "blob", "blobs"));
    format!("{manifests}, {blobs}, {}", bytes(size))
}

/// Which image it is that could not be imported.
#[derive(Debug, thiserror::Error)]
#[error("{shown} was not imported")]
struct Named {
    shown: String,
    source: mirror::ImportError,
}

/// The host and the rest, if the source is a registry; a path otherwise.
fn remote(source: &str) -> Result<Option<(Host, &str)>, Failure> {
    let Some((scheme, rest)) = source.split_once("://") else {
        // A host is no folder's name that people choose, and then there is no such folder.
        let host = source.split_once('/').map_or("", |(host, _)| host);
        let is_host = host.contains(['.', ':']) && !host.starts_with('.');
        if is_host && !Path::new(source).exists() {
            return Err(format!(
                "there is no file or folder {source}: write docker://{source} for a registry"
            )
            .into());
        }
        return Ok(None);
    };
    let (authority, place) = rest.split_once('/').unwrap_or((rest, ""));
    Ok(Some((format!("{scheme}://{authority}").parse()?, place)))
}

async fn from_registry(arguments: &ImportArgs, host: Host, place: &str) -> Result<Vec<Item>, Failure> {
    let (name, reference) = split(place)?;
    let name: Repository = name.parse()?;
    let (to, to_tag) = target(arguments)?.unwrap_or((name.clone(), None));
    let canonical = host.canonical(&name);
    let credentials = arguments.credentials.settle()?;
    let upstream = Upstream::new(host, credentials, Reach::Anywhere, Limits::default())?;
    let source = Source::Remote { upstream: upstream.clone(), repository: canonical.clone() };
    if arguments.all_tags {
        if reference.is_some() || to_tag.is_some() {
            return Err("--all-tags takes all tags: name none".into());
        }
        let item = |tag: Tag| Item {
            source: source.clone(),
            reference: Reference::Tag(tag.clone()),
            repository: to.clone(),
            tags: vec![tag],
        };
        return Ok(upstream.tags(&canonical).await?.into_iter().map(item).collect());
    }
    let reference = match reference {
        Some(reference) => reference,
        None => Reference::Tag("latest".parse()?),
    };
    let tags = match (to_tag, &reference) {
        (Some(tag), _) => vec![tag],
        (None, Reference::Tag(tag)) => vec![tag.clone()],
        (None, Reference::Digest(_)) => Vec::new(),
    };
    Ok(vec![Item { source, reference, repository: to, tags }])
}

fn from_files(arguments: &ImportArgs) -> Result<Vec<Item>, Failure> {
    let collection = Collection::open(Path::new(&arguments.source))?;
    let mut roots = collection.roots.clone();
    if let Some(only) = &arguments.only {
        roots.retain(|root| root.repository.as_ref() == Some(only));
    }
    let to = target(arguments)?;
    let mut repositories: Vec<_> = roots.iter().map(|root| &root.repository).collect();
    repositories.sort();
    repositories.dedup();
    if to.is_some() && repositories.len() > 1 {
        return Err(format!(
            "{} holds several repositories: leave --to out, or choose one with --only",
            arguments.source
        )
        .into());
    }
    let source = Source::Files(Arc::new(collection));
    // One image may be listed once a tag.
    let mut images: BTreeMap<_, Vec<Tag>> = BTreeMap::new();
    for Root { repository, tag, digest, .. } in roots {
        let repository = to.as_ref().map(|(to, _)| to.clone()).or(repository).ok_or_else(|| {
            format!("{} does not say what its images are called: say it with --to", arguments.source)
        })?;
        images.entry((repository, digest)).or_default().extend(tag);
    }
    if let Some((_, Some(tag))) = to {
        if images.len() > 1 {
            return Err(format!("{} holds several images: name no tag in --to", arguments.source).into());
        }
        images.values_mut().for_each(|tags| *tags = vec![tag.clone()]);
    }
    let item = |((repository, digest), tags)| Item {
        source: source.clone(),
        reference: Reference::Digest(digest),
        repository,
        tags,
    };
    Ok(images.into_iter().map(item).collect())
}

/// What `--to` says.
fn target(arguments: &ImportArgs) -> Result<Option<(Repository, Option<Tag>)>, Failure> {
    let Some(to) = &arguments.to else { return Ok(None) };
    let Target { repository, reference } = to.parse()?;
    match reference {
        None => Ok(Some((repository, None))),
        Some(Reference::Tag(tag)) => Ok(Some((repository, Some(tag)))),
        Some(Reference::Digest(_)) => Err("--to takes a name and a tag: the digest stays what it is".into()),
    }
}

/// `app`, `app:1` or `app@sha256:…`.
fn split(text: &str) -> Result<(&str, Option<Reference>), Failure> {
    let parts = text.split_once('@').or_else(|| text.split_once(':'));
    let Some((name, reference)) = parts else { return Ok((text, None)) };
    Ok((name, Some(reference.parse()?)))
}

impl CredentialArgs {
    /// The credentials, if a name is given.
    pub(crate) fn settle(&self) -> Result<Option<Credentials>, Failure> {
        let Some(username) = self.username.clone() else { return Ok(None) };
        let secret = match (&self.password_file, &self.password) {
            (Some(path), _) => {
                let mut text = String::new();
                if path == Path::new("-") {
                    std::io::stdin().read_to_string(&mut text)?;
                } else {
                    let failed = |error| format!("{} cannot be read: {error}", path.display());
                    text = std::fs::read_to_string(path).map_err(failed)?;
                }
                text.trim_end_matches(['\r', '\n']).to_owned()
            }
            (None, Some(password)) => password.clone(),
            (None, None) => {
                return Err(
                    "--username needs a password: --password-file, or LAZARET_UPSTREAM_PASSWORD".into()
                );
            }
        };
        Ok(Some(Credentials { username, secret, realms: self.token_realm.clone() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_registry_or_a_path() {
        let shown = |text| match remote(text) {
            Ok(Some((host, place))) => format!("{host} {place}"),
            Ok(None) => "path".to_owned(),
            Err(_) => "-".to_owned(),
        };
        for (text, wanted) in [
            ("docker://docker.io/library/nginx:1", "docker.io library/nginx:1"),
            ("http://127.0.0.1:5000/a/b@sha256:00", "http://127.0.0.1:5000 a/b@sha256:00"),
            ("./layout", "path"),
            ("/srv/images:1", "path"),
            ("ftp://a/b", "-"),
            ("docker://", "-"),
        ] {
            assert_eq!(shown(text), wanted, "{text}");
        }
    }
}
