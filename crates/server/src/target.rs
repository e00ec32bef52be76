//! What a command is about: a registry, and something in it.

use std::fmt;
use std::str::FromStr;

use metastore::{Metastore, Registry};
use oci::{Reference, Repository};

use crate::Failure;
use crate::cli::PlaceArgs;
use crate::data::DataFolder;

/// `REPOSITORY`, `REPOSITORY:TAG` or `REPOSITORY@DIGEST`.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) repository: Repository,
    pub(crate) reference: Option<Reference>,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, reference) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => match text.split_once(':') {
                Some((name, tag)) => (name, Some(tag)),
                None => (text, None),
            },
        };
        let repository = name.parse().map_err(|error: oci::InvalidRepository| error.to_string())?;
        let reference = reference.map(str::parse).transpose();
        Ok(Self {
            repository,
            reference: reference.map_err(|error: oci::InvalidReference| error.to_string())?,
        })
    }
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
