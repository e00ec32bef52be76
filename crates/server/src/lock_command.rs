//! `lazaret lock`: what may be done with a repository, a manifest or a tag.

use metastore::{Attributes, AttributesChange, ImmutableTags};

use crate::Failure;
use crate::cli::{AttributeArgs, ImmutableCommand, LockCommand};
use crate::output::say;
use crate::table::table;
use crate::target::Target;

pub(crate) async fn run(command: LockCommand) -> Result<(), Failure> {
    let (target, place) = match &command {
        LockCommand::Show { target, place } | LockCommand::Set { target, place, .. } => (target, place),
        LockCommand::Immutable(command) => return immutable(command).await,
    };
    let (metastore, registry) = place.open().await?;
    let (registry, Target { repository, reference }) = (registry.id, target);
    let attributes = match &command {
        LockCommand::Set { attributes, .. } => {
            let change = change(*attributes);
            if change == AttributesChange::default() {
                return Err("say what to change: --write-enabled=false, for one".into());
            }
            metastore.change_attributes(registry, repository, reference.as_ref(), change).await?
        }
        _ => metastore.attributes(registry, repository, reference.as_ref()).await?,
    };
    let attributes = attributes.ok_or_else(|| format!("there is no {target} in the registry"))?;
    show(attributes);
    Ok(())
}

async fn immutable(command: &ImmutableCommand) -> Result<(), Failure> {
    let (ImmutableCommand::Set { place, .. }
    | ImmutableCommand::List { place }
    | ImmutableCommand::Remove { place, .. }) = command;
    let (metastore, registry) = place.open().await?;
    let registry = registry.id;
    match command {
        ImmutableCommand::Set { name, repositories, tags, .. } => {
            if [name, repositories, tags].iter().any(|text| !(1..=TEXT_MAX).contains(&text.len())) {
                return Err(format!("names and patterns have 1 to {TEXT_MAX} bytes").into());
            }
            let [name, repositories, tags] = [name, repositories, tags].map(String::clone);
            say!("tags {tags} of the repositories {repositories} cannot be moved from now on");
            metastore.put_immutable_tags(registry, ImmutableTags { name, repositories, tags }).await?;
        }
        ImmutableCommand::List { .. } => {
            let mut rows = table(&["RULE", "REPOSITORIES", "TAGS"]);
            for rule in metastore.immutable_tags(registry).await? {
                rows.add_row([rule.name, rule.repositories, rule.tags]);
            }
            say!("{rows}");
        }
        ImmutableCommand::Remove { name, .. } => {
            if !metastore.delete_immutable_tags(registry, name).await? {
                return Err(
                    format!("there is no rule {name}: `lazaret lock immutable list` shows them").into()
                );
            }
            say!("rule {name} is removed");
        }
    }
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

const TEXT_MAX: usize = 255;
