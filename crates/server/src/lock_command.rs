//! `lazaret lock`: what may be done with a repository, a manifest or a tag.

use metastore::{Attributes, AttributesChange};

use crate::Failure;
use crate::cli::{AttributeArgs, LockCommand, RegistryArgs};
use crate::data::DataFolder;
use crate::output::say;
use crate::target::{Target, registry_of};

pub(crate) async fn run(command: LockCommand) -> Result<(), Failure> {
    let (LockCommand::Show { target, data } | LockCommand::Set { target, data, .. }) = &command;
    let metastore = DataFolder::existing(&data.path)?.metastore()?;
    let Target { repository, reference } = target;
    let registry = registry_of(&metastore, &RegistryArgs::default()).await?.id;
    let attributes = match &command {
        LockCommand::Show { .. } => metastore.attributes(registry, repository, reference.as_ref()).await?,
        LockCommand::Set { attributes, .. } => {
            let change = change(*attributes);
            if change == AttributesChange::default() {
                return Err("say what to change: --write-enabled=false, for one".into());
            }
            metastore.change_attributes(registry, repository, reference.as_ref(), change).await?
        }
    };
    let attributes = attributes.ok_or_else(|| format!("there is no {target} in the registry"))?;
    show(attributes);
    Ok(())
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
