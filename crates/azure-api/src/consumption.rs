//! Usage details (`Microsoft.Consumption`): one row for each image digest and month that a subscription is
//! charged for, in the *legacy* form, the newest first.

use assessment::RateCard;
use auth::{Action, Caller};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use metastore::{MeteredImage, Subscription};
use oci::Digest;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::error::ArmError;
use crate::{Api, Call};

impl Api {
    pub(crate) async fn usage_details(
        &self,
        caller: &Caller,
        id: Uuid,
        call: &Call,
    ) -> Result<Value, ArmError> {
        self.check_subscription(caller, id, Action::ReadUsage).await?;
        let subscriptions = self.metastore.subscriptions().await?;
        let subscription = subscriptions.into_iter().find(|known| known.id == id);
        let subscription = subscription.ok_or_else(|| ArmError::no_such_subscription(id))?;
        let filter = call.query.get("$filter");
        let (first, end) = match filter {
            Some(filter) => days(filter)?,
            None => month((self.clock)()),
        };
        let wanted = call.query.get("$top").map(|text| text.parse::<usize>()).transpose();
        let wanted = wanted
            .ok()
            .filter(|wanted| *wanted != Some(0))
            .ok_or_else(|| ArmError::bad("InvalidQueryParameter", "$top must be a number, 1 or more."))?;
        let after = call.query.get("$skiptoken").map(cursor).transpose()?;
        let size = wanted.map_or(PAGE_ROWS, |wanted| wanted.min(PAGE_ROWS));
        // One more than fits: if it is there, there is a next page.
        let mut images =
            self.metastore.metered(id, start_ms(first)?, start_ms(end)?, after, size + 1).await?;
        let is_more = images.len() > size && wanted.is_none_or(|wanted| wanted > size);
        images.truncate(size);
        let expand = call.query.get("$expand").unwrap_or_default().to_ascii_lowercase();
        let rows: Vec<Value> =
            images.iter().map(|image| row(&subscription, image, &self.rates, &expand)).collect();
        let mut document = json!({ "value": rows });
        if let Some(last) = images.last().filter(|_| is_more) {
            let mut link = format!("{}{}?$skiptoken={}", call.base, call.path, token(last));
            // The page after this one is for the same days, whatever the clock says by then.
            let days = format!("properties/usageStart ge '{first}' and properties/usageStart lt '{end}'");
            let left = wanted.map(|wanted| (wanted - size).to_string());
            for (name, value) in [
                ("api-version", call.query.get("api-version")),
                ("$filter", Some(days.as_str())),
                ("$expand", Some(expand.as_str()).filter(|expand| !expand.is_empty())),
                ("$top", left.as_deref()),
            ] {
                if let Some(value) = value {
                    link.push_str(&format!("&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
                }
            }
            document["nextLink"] = link.into();
        }
        Ok(document)
    }
}

fn row(subscription: &Subscription, metered: &MeteredImage, rates: &RateCard, expand: &str) -> Value {
    let (scope, image) = (format!("/subscriptions/{}", subscription.id), &metered.image);
    let day = day_of(metered.at_ms);
    let (first, end) = month(metered.at_ms);
    let last = end.yesterday().unwrap_or(end);
    let name = Digest::sha256(format!("{}\n{image}\n{first}", subscription.id).as_bytes());
    let price = rates.per_image.to_string().parse::<f64>().unwrap_or_default();
    let mut properties = json!({
        "billingAccountId": scope,
        "billingAccountName": subscription.display_name,
        "billingPeriodStartDate": start(first),
        "billingPeriodEndDate": start(last),
        "subscriptionId": subscription.id,
        "subscriptionName": subscription.display_name,
        "date": start(day),
        "usageStart": start(day),
        "usageEnd": start(day),
        "product": PRODUCT,
        "meterId": METER,
        "quantity": 1.0,
        "effectivePrice": price,
        "cost": price,
        "unitPrice": price,
        "billingCurrency": rates.currency.code(),
        "consumedService": "Microsoft.Security",
        "resourceId": format!("{scope}/providers/Microsoft.Security/pricings/ContainerRegistry"),
        "resourceName": "ContainerRegistry",
        "chargeType": "Usage",
        "frequency": "UsageBased",
        "publisherType": "Azure",
        "isAzureCreditEligible": false,
    });
    if expand.contains("additionalinfo") {
        let info = json!({ "imageDigest": image, "firstJudged": azure_documents::time(metered.at_ms) });
        properties["additionalInfo"] = info.to_string().into();
    }
    if expand.contains("meterdetails") {
        properties["meterDetails"] = json!({
            "meterName": "Images judged", "meterCategory": PRODUCT, "unitOfMeasure": "1",
            "serviceFamily": "Security",
        });
    }
    let name = Uuid::new_v8(u128::from_str_radix(&name.hex()[..32], 16).unwrap_or_default().to_be_bytes());
    json!({
        "id": format!("{scope}/providers/Microsoft.Consumption/usageDetails/{name}"),
        "name": name,
        "type": "Microsoft.Consumption/usageDetails",
        "kind": "legacy",
        "tags": null,
        "properties": properties,
    })
}

/// The days that a filter lets by: the first, and the one after the last. All that a row has to be asked
/// for is its day.
fn days(filter: &str) -> Result<(Date, Date), ArmError> {
    let wrong = |clause: &str| {
        let message = format!(
            "The $filter clause '{clause}' is not understood: write properties/usageStart or properties/usageEnd, \
             one of ge, gt, le, lt, eq, and a date in quotes; join clauses with 'and'."
        );
        ArmError::bad("InvalidFilter", message)
    };
    let (mut first, mut end) = (Date::new(1970, 1, 1).unwrap_or(Date::MIN), DAY_AFTER_LAST);
    let clauses = filter.split(" and ").flat_map(|part| part.split(" AND "));
    for clause in clauses.map(str::trim) {
        let words: Vec<&str> = clause.split_ascii_whitespace().collect();
        let [property, operator, value] = words.as_slice() else { return Err(wrong(clause)) };
        let property = property.to_ascii_lowercase();
        if !["usagestart", "usageend", "date"].contains(&property.trim_start_matches("properties/")) {
            return Err(wrong(clause));
        }
        let value = value.trim_matches('\'');
        let day: Date = value.get(..10).and_then(|day| day.parse().ok()).ok_or_else(|| wrong(clause))?;
        let next = day.tomorrow().unwrap_or(DAY_AFTER_LAST);
        match operator.to_ascii_lowercase().as_str() {
            "ge" => first = first.max(day),
            "gt" => first = first.max(next),
            "le" => end = end.min(next),
            "lt" => end = end.min(day),
            "eq" => (first, end) = (first.max(day), end.min(next)),
            _ => return Err(wrong(clause)),
        }
    }
    Ok((first, end))
}

/// The month that a time is in: its first day, and the next one's.
fn month(ms: i64) -> (Date, Date) {
    let first = day_of(ms).first_of_month();
    (first, first.checked_add(1.month()).unwrap_or(first))
}

fn day_of(ms: i64) -> Date {
    jiff::Timestamp::from_millisecond(ms).unwrap_or_default().to_zoned(TimeZone::UTC).date()
}

fn start(day: Date) -> String {
    format!("{day}T00:00:00.0000000Z")
}

fn start_ms(day: Date) -> Result<i64, ArmError> {
    let start = day.to_zoned(TimeZone::UTC).map(|start| start.timestamp().as_millisecond());
    start.map_err(|_| ArmError::bad("InvalidFilter", format!("The day {day} is out of range.")))
}

fn token(last: &MeteredImage) -> String {
    URL_SAFE_NO_PAD.encode(format!("{} {}", last.at_ms, last.image))
}

fn cursor(token: &str) -> Result<MeteredImage, ArmError> {
    let parse = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
        let (at_ms, image) = text.split_once(' ')?;
        Some(MeteredImage { at_ms: at_ms.parse().ok()?, image: image.parse().ok()? })
    };
    parse().ok_or_else(|| {
        ArmError::bad(
            "InvalidSkipToken",
            "This server did not issue this $skiptoken: request the first page again.",
        )
    })
}

const PRODUCT: &str = "Container registry scanning";

/// Names the one meter there is.
const METER: &str = "5c6ba1b4-5b27-4c6f-9d0c-0f6a3b5d0a71";

/// As many as Azure answers with.
const PAGE_ROWS: usize = 1000;

/// Later than whatever was metered.
const DAY_AFTER_LAST: Date = Date::constant(9999, 1, 1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_span_of_days() {
        for (filter, wanted) in [
            (
                "properties/usageStart ge '2026-11-01' and properties/usageEnd le '2026-11-30'",
                "2026-11-01 2026-12-01",
            ),
            (
                "properties/usageEnd ge '2026-11-01T00:00:00Z' AND properties/usageEnd lt '2026-11-02'",
                "2026-11-01 2026-11-02",
            ),
            ("properties/date gt '2026-12-31'", "2027-01-01 9999-01-01"),
            ("usageStart eq '2026-02-28'", "2026-02-28 2026-03-01"),
        ] {
            let days = days(filter).map(|(first, end)| format!("{first} {end}"));
            assert_eq!(days.ok().as_deref(), Some(wanted), "{filter}");
        }
        for filter in [
            "x",
            "properties/usageStart ne '2026-11-01'",
            "properties/tags eq 'a:b'",
            "usageStart ge é-01-01",
        ] {
            assert!(days(filter).is_err(), "{filter}");
        }
    }
}
