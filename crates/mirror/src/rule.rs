//! Which repository here stands for which one elsewhere.

use std::fmt;

use metastore::{Metastore, RegistryId};
use oci::Repository;
use upstream::Host;

use crate::ImportError;

/// A rule's two sides: `docker.io/library/*` → `hub/*`.
///
/// Holding one means that both are of one kind: two repositories, or two prefixes whose `*` stands for
/// the same rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    host: Host,
    source: Side,
    target: Side,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Side {
    One(Repository),
    /// Everything beneath; `None`: everything.
    Beneath(Option<Repository>),
}

/// Why a rule makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMapping {
    /// The source's host is none.
    #[error(transparent)]
    Host(#[from] upstream::InvalidHost),
    /// A side is neither a repository nor a prefix.
    #[error("{text:?} is neither a repository nor a prefix that ends in /*")]
    Side {
        /// What was written.
        text: String,
        /// What is wrong with it.
        source: oci::InvalidRepository,
    },
    /// One side stands for many repositories, the other for one.
    #[error(
        "either both sides end in * or neither: {source_text} would be many repositories, or {target_text} would"
    )]
    Unlike {
        /// The source.
        source_text: String,
        /// The target.
        target_text: String,
    },
}

impl Mapping {
    /// Reads a rule: where images come from, and the repositories that they fill. A source without a `*`
    /// is taken for a prefix if the target is one.
    ///
    /// # Errors
    /// [`InvalidMapping`].
    pub fn parse(source: &str, target: &str) -> Result<Self, InvalidMapping> {
        let (scheme, rest) = source.split_once("://").map_or(("", source), |(scheme, rest)| (scheme, rest));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host =
            if scheme.is_empty() { authority.parse()? } else { format!("{scheme}://{authority}").parse()? };
        let target = side(target)?;
        let source = match (path, &target) {
            ("", Side::Beneath(_)) => Side::Beneath(None),
            (path, Side::Beneath(_)) if !path.ends_with('*') => side(&format!("{path}/*"))?,
            (path, _) => side(path)?,
        };
        match (&source, &target) {
            (Side::One(_), Side::One(_)) | (Side::Beneath(_), Side::Beneath(_)) => {
                Ok(Self { host, source, target })
            }
            _ => Err(InvalidMapping::Unlike {
                source_text: source.to_string(),
                target_text: target.to_string(),
            }),
        }
    }

    /// The registry that the images come from.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The source as it is kept.
    #[must_use]
    pub fn source(&self) -> String {
        format!("{}/{}", self.host, self.source)
    }

    /// The target as it is kept.
    #[must_use]
    pub fn target(&self) -> String {
        self.target.to_string()
    }

    /// The repository elsewhere that fills this one; `None`: the rule is not for it.
    #[must_use]
    pub fn elsewhere(&self, here: &Repository) -> Option<Repository> {
        let there = carried(&self.target, &self.source, here)?;
        Some(self.host.canonical(&there))
    }

    /// The repository here that is filled from that one of the host.
    #[must_use]
    pub fn here(&self, host: &str, there: &Repository) -> Option<Repository> {
        if !self.host.name().eq_ignore_ascii_case(host) {
            return None;
        }
        carried(&self.source, &self.target, there)
    }

    /// How closely it names its repositories: of two rules for one, the closer counts.
    pub(crate) fn closeness(&self) -> usize {
        match &self.target {
            Side::One(_) => usize::MAX,
            Side::Beneath(prefix) => prefix.as_ref().map_or(0, |prefix| prefix.as_str().len()),
        }
    }
}

/// What `name`, which is of one side, is on the other.
fn carried(from: &Side, to: &Side, name: &Repository) -> Option<Repository> {
    match (from, to) {
        (Side::One(from), Side::One(to)) => (from == name).then(|| to.clone()),
        (Side::Beneath(from), Side::Beneath(to)) => {
            let rest = match from {
                Some(prefix) => name.as_str().strip_prefix(prefix.as_str())?.strip_prefix('/')?,
                None => name.as_str(),
            };
            match to {
                Some(prefix) => format!("{prefix}/{rest}").parse().ok(),
                None => rest.parse().ok(),
            }
        }
        _ => None,
    }
}

fn side(text: &str) -> Result<Side, InvalidMapping> {
    let name = |name: &str| {
        name.parse::<Repository>().map_err(|source| InvalidMapping::Side { text: text.to_owned(), source })
    };
    match text.strip_suffix('*') {
        Some("") => Ok(Side::Beneath(None)),
        Some(prefix) => Ok(Side::Beneath(Some(name(prefix.strip_suffix('/').unwrap_or(text))?))),
        None => Ok(Side::One(name(text)?)),
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(name) => name.fmt(f),
            Self::Beneath(Some(prefix)) => write!(f, "{prefix}/*"),
            Self::Beneath(None) => f.write_str("*"),
        }
    }
}

/// Refuses to write into what is filled from elsewhere.
///
/// # Errors
/// [`ImportError::Cached`] if a cache rule of the registry fills the repository; [`ImportError::Store`].
pub async fn check_ordinary(
    metastore: &Metastore,
    registry: RegistryId,
    repository: &Repository,
) -> Result<(), ImportError> {
    let rules = metastore.cache_rules(registry).await.map_err(registry::StoreError::from)?;
    for rule in rules {
        let damaged = |_| registry::StoreError::from(metastore::Error::Damaged { what: "cache rule" });
        if Mapping::parse(&rule.source, &rule.target).map_err(damaged)?.elsewhere(repository).is_some() {
            return Err(ImportError::Cached { repository: repository.clone(), rule: rule.name });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_carried_both_ways() {
        for (source, target, here, there) in [
            ("docker.io/library", "hub/*", "hub/nginx", Some("library/nginx")),
            ("docker.io/library/*", "hub/*", "hub/a/b", Some("library/a/b")),
            ("docker.io/*", "hub/*", "hub/nginx", Some("library/nginx")),
            ("docker.io", "hub/*", "hub/team/app", Some("team/app")),
            ("ghcr.io/team/app", "app", "app", Some("team/app")),
            ("http://127.0.0.1:5000/*", "*", "a/b", Some("a/b")),
            ("docker.io/library", "hub/*", "hub", None),
            ("docker.io/library", "hub/*", "hubs/nginx", None),
            ("ghcr.io/team/app", "app", "app/more", None),
        ] {
            let mapping = Mapping::parse(source, target).expect("a rule");
            let here: Repository = here.parse().expect("a name");
            let found = mapping.elsewhere(&here);
            assert_eq!(found.as_ref().map(Repository::as_str), there, "{source} {target} {here}");
            let again = Mapping::parse(&mapping.source(), &mapping.target()).expect("a rule");
            assert_eq!(again, mapping);
            // Hub's own names lead back, but for the `library/` that nobody wrote.
            if let Some(there) = found.filter(|_| source != "docker.io/*") {
                assert_eq!(mapping.here(mapping.host().name(), &there), Some(here));
                assert_eq!(mapping.here("other.example", &there), None);
            }
        }
        for (source, target) in [
            ("docker.io/library/*", "hub"),
            ("docker.io/library", "Hub/*"),
            ("docker.io/li*", "hub/*"),
            ("docker.io", "hub"),
            ("", "hub/*"),
            ("docker.io/*/a", "hub/*"),
        ] {
            assert!(Mapping::parse(source, target).is_err(), "{source} {target}");
        }
    }
}
