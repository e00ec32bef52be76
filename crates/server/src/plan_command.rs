//! `lazaret plan`: whether the registries of a subscription are scanned.

use metastore::{Metastore, Plan, Tier};
use serde_json::json;

use crate::cli::{Format, PlanCommand};
use crate::data::DataFolder;
use crate::output::say;
use crate::subscription_command::named;
use crate::table::{table, time};
use crate::{Failure, now_ms};

pub(crate) async fn run(command: PlanCommand) -> Result<(), Failure> {
    match command {
        PlanCommand::Show { data, format } => {
            show(&DataFolder::existing(&data.path)?.metastore()?, format).await
        }
        PlanCommand::On { subscription, data } => {
            set(&DataFolder::existing(&data.path)?.metastore()?, subscription, Tier::Standard).await
        }
        PlanCommand::Off { subscription, data } => {
            set(&DataFolder::existing(&data.path)?.metastore()?, subscription, Tier::Free).await
        }
    }
}

async fn show(metastore: &Metastore, format: Format) -> Result<(), Failure> {
    let mut documents = Vec::new();
    let mut rows = table(&["SUBSCRIPTION", "ID", "PLAN", "TIER", "SINCE"]);
    for subscription in metastore.subscriptions().await? {
        for setting in metastore.plans(subscription.id).await? {
            let since = setting.changed_ms.map(time);
            documents.push(json!({
                "subscription": subscription.id,
                "displayName": subscription.display_name,
                "plan": setting.plan.name(),
                "tier": setting.tier.name(),
                "since": since,
            }));
            rows.add_row([
                subscription.display_name.clone(),
                subscription.id.to_string(),
                setting.plan.name().to_owned(),
                setting.tier.name().to_owned(),
                since.unwrap_or_else(|| "-".to_owned()),
            ]);
        }
    }
    match format {
        Format::Json => say!("{}", serde_json::to_string_pretty(&documents)?),
        Format::Table => say!("{rows}"),
    }
    Ok(())
}

/// On turns on the plan of old, off turns off both: what is off is not scanned.
async fn set(metastore: &Metastore, subscription: Option<String>, tier: Tier) -> Result<(), Failure> {
    let id = named(metastore, subscription.as_deref()).await?.id;
    let plans: &[Plan] = if tier == Tier::Standard { &[Plan::ContainerRegistry] } else { &Plan::ALL };
    for plan in plans {
        if !metastore.set_plan(id, *plan, tier, now_ms()).await? {
            return Err(format!("there is no subscription {id}: `lazaret plan show` lists them").into());
        }
    }
    match tier {
        Tier::Standard => say!("the plan of subscription {id} is on; what is stored is being scanned"),
        Tier::Free => say!("the plan of subscription {id} is off; results are kept and no longer kept up"),
    }
    Ok(())
}
