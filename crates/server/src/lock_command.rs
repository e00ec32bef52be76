//! `lazaret lock`: what may be done with a repository, a manifest or a tag.

use metastore::{Attributes, AttributesChange, Metastore, RegistryId};
use oci::{Reference, Repository};

use crate::Failure;
use crate::cli::{AttributeArgs, LockCommand};
use crate::data::DataFolder;
use crate::output::say;

pub(crate) async fn run(command: LockCommand) -> Result<(), Failure> {
    let (LockCommand::Show { target, data } | LockCommand::Set { target, data, .. }) = &command;
    let metastore = DataFolder::existing(&data.path)?.metastore()?;
    let (repository, reference) = parse(target)?;
    let registry = default_registry(&metastore).await?;
    let attributes = match &command {
        LockCommand::Show { .. } => metastore.attributes(registry, &repository, reference.as_ref()).await?,
        LockCommand::Set { attributes, .. } => {
            let change = change(*attributes);
            if change == AttributesChange::default() {
                return Err("say what to change: --write-enabled=false, for one".into());
            }
            metastore.change_attributes(registry, &repository, reference.as_ref(), change).await?
        }
    };
    let attributes = attributes.ok_or_else(|| format!("there is no {target} in the registry"))?;
    show(attributes);
    Ok(())
}

/// The first registry: the one that a host without a name means.
async fn default_registry(metastore: &Metastore) -> Result<RegistryId, Failure> {
    let registry = metastore.registries().await?.into_iter().next();
    Ok(registry.ok_or("the database has no registry")?.id)
}

/// `app`, `app:1` or `app@sha256:…`.
fn parse(target: &str) -> Result<(Repository, Option<Reference>), Failure> {
    let (name, reference) = match target.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => match target.split_once(':') {
            Some((name, tag)) => (name, Some(tag)),
            None => (target, None),
        },
    };
    Ok((name.parse()?, reference.map(str::parse).transpose()?))
}

fn change(arguments: AttributeArgs) -> AttributesChange {
    AttributesChange {
        delete_enabled: arguments.delete_enabled,
        write_enabled: arguments.write_enabled,
        list_enabled: arguments.list_enabled,
        read_enabled: arguments.read_enabled,
    }
}

fn show(attributes: Attributes) {
    say!("deleteEnabled  {}", attributes.delete_enabled);
    say!("writeEnabled   {}", attributes.write_enabled);
    say!("listEnabled    {}", attributes.list_enabled);
    say!("readEnabled    {}", attributes.read_enabled);
}
