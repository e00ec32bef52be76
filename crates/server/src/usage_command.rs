//! `lazaret usage`: what each subscription is charged for.

use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::json;

use crate::cli::{UsageArgs, UsageFormat};
use crate::data::DataFolder;
use crate::output::say;
use crate::settings::Told;
use crate::table::{table, time};
use crate::{Failure, now_ms};

pub(crate) async fn run(arguments: UsageArgs) -> Result<(), Failure> {
    let metastore = DataFolder::existing(&arguments.data.path)?.metastore()?;
    let rates = arguments.rates.settle(&Told::read(&metastore).await?);
    let (price, currency) = (rates.per_image, rates.currency.code());
    let first = match &arguments.month {
        Some(month) => parse(month)?,
        None => jiff::Timestamp::from_millisecond(now_ms())?.to_zoned(TimeZone::UTC).date().first_of_month(),
    };
    let (from_ms, until_ms) = (start(first)?, start(first.checked_add(1.month())?)?);
    let mut rows = table(&["SUBSCRIPTION", "ID", "MONTH", "IMAGES", "AMOUNT"]);
    let mut documents = Vec::new();
    let month = first.strftime("%Y-%m").to_string();
    if arguments.format == UsageFormat::Csv {
        say!("subscription,month,image,firstJudged,amount,currency");
    }
    let ended = metastore.ended_subscriptions().await?;
    let live = metastore.subscriptions().await?.into_iter().map(|found| (found, false));
    for (subscription, is_ended) in live.chain(ended.into_iter().map(|found| (found, true))) {
        let images = metastore.metered(subscription.id, from_ms, until_ms, None, usize::MAX).await?;
        if is_ended && images.is_empty() {
            continue;
        }
        let amount = price.times(images.len());
        match arguments.format {
            UsageFormat::Csv => {
                for metered in &images {
                    let judged = time(metered.at_ms);
                    say!("{},{month},{},{judged},{price},{currency}", subscription.id, metered.image);
                }
            }
            UsageFormat::Table => {
                rows.add_row([
                    format!("{}{}", subscription.display_name, if is_ended { " (deleted)" } else { "" }),
                    subscription.id.to_string(),
                    month.clone(),
                    images.len().to_string(),
                    format!("{amount} {currency}"),
                ]);
            }
            UsageFormat::Json => {
                let images: Vec<_> = images
                    .iter()
                    .map(|metered| json!({ "image": metered.image, "firstJudged": time(metered.at_ms) }))
                    .collect();
                documents.push(json!({
                    "subscription": subscription.id, "name": subscription.display_name, "month": month, "count": images.len(),
                    "pricePerImage": price.to_string(), "amount": amount.to_string(), "currency": currency,
                    "images": images,
                }));
            }
        }
    }
    match arguments.format {
        UsageFormat::Json => say!("{}", serde_json::to_string_pretty(&documents)?),
        UsageFormat::Table => say!("{rows}"),
        UsageFormat::Csv => {}
    }
    Ok(())
}

/// `YYYY-MM`.
fn parse(month: &str) -> Result<Date, Failure> {
    format!("{month}-01").parse().map_err(|_| format!("{month:?} is not a month: write YYYY-MM").into())
}

fn start(day: Date) -> Result<i64, Failure> {
    Ok(day.to_zoned(TimeZone::UTC)?.timestamp().as_millisecond())
}
