//! `lazaret subscription` and `lazaret group`: what holds registries.

use clap::Subcommand;
use metastore::{DeleteGroup, DeleteSubscription, Held, Metastore, ResourceGroup, Subscription, Tier};
use serde_json::json;
use uuid::Uuid;

use crate::cli::{DataArgs, Format};
use crate::data::DataFolder;
use crate::output::say;
use crate::table::table;
use crate::{Failure, now_ms};

#[derive(Debug, Subcommand)]
pub(crate) enum SubscriptionCommand {
    /// Make one; its registries are scanned unless you say otherwise.
    Create {
        /// Its name, for people.
        name: String,
        /// Its id [default: a new one].
        #[arg(long, value_name = "GUID")]
        id: Option<Uuid>,
        /// With its plan off: nothing in it is scanned.
        #[arg(long)]
        unscanned: bool,
        #[command(flatten)]
        data: DataArgs,
    },
    /// List every subscription.
    List {
        #[command(flatten)]
        data: DataArgs,
        /// How the answer is printed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Give one another name.
    Rename {
        /// The subscription: its id or name.
        target: String,
        /// Its new name.
        to: String,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Let nobody change anything in one; what is there can be read and pulled.
    Disable {
        /// The subscription: its id or name.
        target: String,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Delete one that holds nothing, with the roles and rules that are held at it. Its usage is kept.
    Delete {
        /// The subscription: its id or name.
        target: String,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Undo `disable`.
    Enable {
        /// The subscription: its id or name.
        target: String,
        #[command(flatten)]
        data: DataArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// Make one.
    Create {
        /// Its name.
        name: String,
        /// Where it says it is.
        #[arg(long, value_name = "NAME", default_value = "local")]
        location: String,
        /// Which subscription (id or name), if there are several.
        #[arg(long, value_name = "SUBSCRIPTION")]
        subscription: Option<String>,
        #[command(flatten)]
        data: DataArgs,
    },
    /// List every resource group.
    List {
        #[command(flatten)]
        data: DataArgs,
        /// How the answer is printed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Delete one that holds no registry, with the roles that are held at it.
    Delete {
        /// Its name.
        name: String,
        /// Which subscription (id or name), if there are several.
        #[arg(long, value_name = "SUBSCRIPTION")]
        subscription: Option<String>,
        #[command(flatten)]
        data: DataArgs,
    },
}

pub(crate) async fn subscription(command: SubscriptionCommand) -> Result<(), Failure> {
    match command {
        SubscriptionCommand::Create { name, id, unscanned, data } => {
            let metastore = DataFolder::existing(&data.path)?.metastore()?;
            create(&metastore, name, id.unwrap_or_else(Uuid::new_v4), unscanned).await
        }
        SubscriptionCommand::List { data, format } => {
            list(&DataFolder::existing(&data.path)?.metastore()?, format).await
        }
        SubscriptionCommand::Rename { target, to, data } => {
            let metastore = DataFolder::existing(&data.path)?.metastore()?;
            let found = named(&metastore, Some(&target)).await?;
            check_name(&to)?;
            if !metastore.rename_subscription(found.id, to.clone()).await? {
                return Err(format!("there is a subscription {to} already").into());
            }
            say!("{} is called {to}", found.id);
            Ok(())
        }
        SubscriptionCommand::Disable { target, data } => {
            switch(&DataFolder::existing(&data.path)?.metastore()?, &target, true).await
        }
        SubscriptionCommand::Delete { target, data } => {
            delete(&DataFolder::existing(&data.path)?.metastore()?, &target).await
        }
        SubscriptionCommand::Enable { target, data } => {
            switch(&DataFolder::existing(&data.path)?.metastore()?, &target, false).await
        }
    }
}

pub(crate) async fn group(command: GroupCommand) -> Result<(), Failure> {
    match command {
        GroupCommand::Create { name, location, subscription, data } => {
            let metastore = DataFolder::existing(&data.path)?.metastore()?;
            let found = named(&metastore, subscription.as_deref()).await?;
            if !azure_documents::is_group_name(&name) {
                return Err(azure_documents::GROUP_NAME_RULE.into());
            }
            let wanted = ResourceGroup::new(found.id, name.clone(), location);
            match metastore.put_resource_group(wanted).await? {
                Some((_, true)) => {}
                Some((_, false)) => return Err(format!("there is a resource group {name} already").into()),
                None => return Err("the subscription went a moment ago: try again".into()),
            }
            say!("{name} is there\nid      /subscriptions/{}/resourceGroups/{name}", found.id);
            Ok(())
        }
        GroupCommand::List { data, format } => {
            list_groups(&DataFolder::existing(&data.path)?.metastore()?, format).await
        }
        GroupCommand::Delete { name, subscription, data } => {
            let metastore = DataFolder::existing(&data.path)?.metastore()?;
            let found = named(&metastore, subscription.as_deref()).await?;
            match metastore.delete_resource_group(found.id, &name).await? {
                DeleteGroup::Deleted => say!("{name} is deleted"),
                DeleteGroup::Missing => {
                    return Err(format!(
                        "there is no resource group {name}: `lazaret group list` shows those there are"
                    )
                    .into());
                }
                DeleteGroup::NotEmpty => {
                    return Err(format!(
                        "{name} holds registries: `lazaret registry list` shows them, `registry delete` and then `registry purge` remove each"
                    )
                    .into());
                }
            }
            Ok(())
        }
    }
}

/// The subscription of that id or name, or the only one.
pub(crate) async fn named(metastore: &Metastore, target: Option<&str>) -> Result<Subscription, Failure> {
    let all = metastore.subscriptions().await?;
    let Some(target) = target else {
        return match <[Subscription; 1]>::try_from(all) {
            Ok([only]) => Ok(only),
            Err(_) => {
                let hint = "`lazaret subscription list` shows them";
                Err(format!("there are several subscriptions: name one with --subscription; {hint}").into())
            }
        };
    };
    let is_it = |found: &Subscription| {
        Uuid::parse_str(target).is_ok_and(|id| id == found.id)
            || found.display_name.eq_ignore_ascii_case(target)
    };
    all.into_iter().find(is_it).ok_or_else(|| {
        format!("there is no subscription {target}: `lazaret subscription list` shows those there are").into()
    })
}

async fn create(metastore: &Metastore, name: String, id: Uuid, is_unscanned: bool) -> Result<(), Failure> {
    check_name(&name)?;
    let wanted = Subscription { id, display_name: name.clone(), is_disabled: false };
    let tier = if is_unscanned { Tier::Free } else { Tier::Standard };
    if !metastore.create_subscription(wanted, tier, now_ms()).await? {
        return Err(format!(
            "there is a subscription {name} or {id} already: `lazaret subscription list` shows it"
        )
        .into());
    }
    say!("{name} is there\nid      {id}");
    Ok(())
}

async fn delete(metastore: &Metastore, target: &str) -> Result<(), Failure> {
    let found = named(metastore, Some(target)).await?;
    let name = &found.display_name;
    let (what, command) = match metastore.delete_subscription(found.id, now_ms()).await? {
        DeleteSubscription::Deleted => {
            say!("{name} is deleted; what it had used stays in `lazaret usage`");
            return Ok(());
        }
        DeleteSubscription::Missing => return Err(format!("{target} went a moment ago").into()),
        DeleteSubscription::Holds(held) => match held {
            Held::Registry(it) => {
                let registries = metastore.registries().await?;
                if registries.first().is_some_and(|first| first.name == it) {
                    return Err(format!(
                        "{name} holds the default registry {it}, which serves every host that names no other: neither can be \
                         deleted"
                    )
                    .into());
                }
                (format!("the registry {it}"), format!("registry delete {it}"))
            }
            Held::DeletedRegistry(it) => {
                (format!("the deleted registry {it}"), format!("registry purge {it}"))
            }
            Held::Group(it) => {
                (format!("the resource group {it}"), format!("group delete {it} --subscription {}", found.id))
            }
            Held::Cluster(it) => (format!("the cluster {it}"), format!("cluster delete {it}")),
        },
    };
    Err(format!("{name} holds {what}: `lazaret {command}` first").into())
}

fn check_name(name: &str) -> Result<(), Failure> {
    let is_name = (1..=NAME_CHARS_MAX).contains(&name.chars().count())
        && name.trim() == name
        && !name.chars().any(char::is_control)
        && Uuid::parse_str(name).is_err();
    if is_name {
        return Ok(());
    }
    Err(format!("a subscription's name has 1 to {NAME_CHARS_MAX} characters and is not a GUID, so it cannot be {name:?}")
        .into())
}

async fn list(metastore: &Metastore, format: Format) -> Result<(), Failure> {
    let all = metastore.subscriptions().await?;
    let state = |found: &Subscription| if found.is_disabled { "Disabled" } else { "Enabled" };
    match format {
        Format::Json => {
            let document = |found: &Subscription| json!({ "id": found.id, "name": found.display_name, "state": state(found) });
            let documents: Vec<_> = all.iter().map(document).collect();
            say!("{}", serde_json::to_string_pretty(&documents)?);
        }
        Format::Table => {
            let mut rows = table(&["SUBSCRIPTION", "STATE", "ID"]);
            for found in &all {
                rows.add_row([found.display_name.clone(), state(found).to_owned(), found.id.to_string()]);
            }
            say!("{rows}");
        }
    }
    Ok(())
}

async fn list_groups(metastore: &Metastore, format: Format) -> Result<(), Failure> {
    let (mut documents, mut rows) = (Vec::new(), table(&["GROUP", "LOCATION", "SUBSCRIPTION"]));
    for subscription in metastore.subscriptions().await? {
        for group in metastore.resource_groups(subscription.id).await? {
            documents.push(
                json!({ "name": group.name, "location": group.location, "subscription": subscription.id }),
            );
            rows.add_row([group.name, group.location, subscription.display_name.clone()]);
        }
    }
    match format {
        Format::Json => say!("{}", serde_json::to_string_pretty(&documents)?),
        Format::Table => say!("{rows}"),
    }
    Ok(())
}

async fn switch(metastore: &Metastore, target: &str, is_disabled: bool) -> Result<(), Failure> {
    let found = named(metastore, Some(target)).await?;
    if !metastore.disable_subscription(found.id, is_disabled).await? {
        return Err(format!("{target} went a moment ago").into());
    }
    let name = found.display_name;
    if is_disabled {
        say!("{name} is disabled: what is there can be read and pulled, and nothing changed");
    } else {
        say!("{name} is enabled");
    }
    Ok(())
}

/// As Azure's.
const NAME_CHARS_MAX: usize = 64;
