//! What a command is about: a registry, and something in it.
//!
//! References are written as for docker: a host before the repository is ignored, as the registry is named by
//! `--registry`.

use std::fmt;
use std::str::FromStr;

use metastore::{Metastore, Registry};
use oci::{Reference, Repository, Tag};

use crate::Failure;
use crate::cli::PlaceArgs;
use crate::data::DataFolder;

/// A pattern of repositories, in which `*` stands for any characters.
///
/// # Errors
/// A sentence, if no repository can be called so: a host stands before it, or an upper-case letter is in it.
pub(crate) fn repository_pattern(text: &str) -> Result<String, String> {
    let is_possible =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-/*".contains(&byte);
    if text.is_empty() || !text.bytes().all(is_possible) {
        return Err(
            "no repository is called so: write lower-case letters, digits and . _ - / with * for any \
                    characters, as in team/*, without a host"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

/// `REPOSITORY`, `REPOSITORY:TAG` or `REPOSITORY@DIGEST`.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) repository: Repository,
    pub(crate) reference: Option<Reference>,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            let hint =
                if text.starts_with(['/', '.', '~']) { "there is no such file, and it " } else { "it " };
            format!("{text:?}: {hint}is not a reference: write REPOSITORY:TAG or REPOSITORY@DIGEST")
        };
        if text.starts_with(['/', '.', '~']) {
            return Err(wrong());
        }
        let (name, reference) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => match text.rsplit_once(':') {
                Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
                _ => (text, None),
            },
        };
        let name = match name.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => rest,
            _ => name,
        };
        // A tag beside a digest says nothing more: `app:1@sha256:…`.
        let name = match reference {
            Some(digest) if digest.contains(':') => name.split_once(':').map_or(name, |(name, _)| name),
            _ => name,
        };
        Ok(Self {
            repository: name.parse().map_err(|_| wrong())?,
            reference: reference.map(str::parse).transpose().map_err(|_| wrong())?,
        })
    }
}

impl Target {
    /// What is meant if neither a tag nor a digest is given is the tag `latest`, as for docker.
    pub(crate) fn reference_or_latest(&self) -> Reference {
        self.reference.clone().unwrap_or_else(|| Reference::Tag(latest()))
    }
}

fn latest() -> Tag {
    "latest".parse().unwrap_or_else(|_| unreachable!("`latest` is a tag"))
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repository = &self.repository;
        match &self.reference {
            None => write!(f, "{repository}"),
            Some(Reference::Tag(tag)) => write!(f, "{repository}:{tag}"),
            Some(Reference::Digest(digest)) => write!(f, "{repository}@{digest}"),
        }
    }
}

impl PlaceArgs {
    /// The data, and the registry in it.
    pub(crate) async fn open(&self) -> Result<(Metastore, Registry), Failure> {
        let metastore = DataFolder::existing(&self.data.path)?.metastore()?;
        let registry = registry_of(&metastore, self.registry.as_deref()).await?;
        Ok((metastore, registry))
    }
}

/// The registry that is named, or the first: the one that a host without a name means.
pub(crate) async fn registry_of(metastore: &Metastore, named: Option<&str>) -> Result<Registry, Failure> {
    let mut registries = metastore.registries().await?.into_iter();
    match named {
        None => registries.next().ok_or_else(|| "the database has no registry".into()),
        Some(name) => registries.find(|known| known.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
            format!("there is no registry {name}: `lazaret registry list` shows those there are").into()
        }),
    }
}

/// The registry that is named, or all of them.
pub(crate) async fn registries_of(
    metastore: &Metastore,
    named: Option<&str>,
) -> Result<Vec<Registry>, Failure> {
    match named {
        Some(_) => Ok(vec![registry_of(metastore, named).await?]),
        None => Ok(metastore.registries().await?),
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn a_reference_may_carry_a_host() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for (text, wanted) in [
            ("app/web:1", "app/web:1"),
            ("app/web", "app/web"),
            ("localhost:5000/app/web:1", "app/web:1"),
            ("localhost/web", "web"),
            ("registry.example/app/web:v2", "app/web:v2"),
            ("localhost:5000/web", "web"),
            (&format!("localhost:5000/app:1@{digest}"), &format!("app@{digest}")),
        ] {
            assert_eq!(text.parse::<Target>().expect("a reference").to_string(), wanted);
        }
        assert!("App/Web".parse::<Target>().is_err());
        assert!("web@sha256:short".parse::<Target>().is_err());
        assert!("./missing.tar".parse::<Target>().expect_err("none").contains("there is no such file"));
    }
}
