//! Azure's Activity Log over our audit log: who changed what in a subscription, and who was refused what there.

use auth::{Action, Caller};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use metastore::{AuditEntry, AuditFilter};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::error::ArmError;
use crate::{Api, Call, paging};

/// What a filter asks for; all of it must hold.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    since_ms: i64,
    until_ms: Option<i64>,
    group: Option<String>,
    resource: Option<String>,
    provider: Option<String>,
    correlation: Option<String>,
    caller: Option<String>,
    status: Option<String>,
}

impl Api {
    /// From the newest, what the caller may read of it.
    pub(crate) async fn activity_log(
        &self,
        caller: &Caller,
        subscription: Uuid,
        call: &Call,
    ) -> Result<Value, ArmError> {
        self.check_known(caller, subscription, Action::ReadActivityLog).await?;
        let asked = Asked::parse(call.query.get("$filter").unwrap_or_default())?;
        let filter = AuditFilter {
            since_ms: Some(asked.since_ms),
            until_ms: asked.until_ms,
            beneath: Some(format!("/subscriptions/{subscription}")),
            before: call.query.get("$skipToken").map(before).transpose()?,
            ..AuditFilter::default()
        };
        let entries = self.metastore.audit(filter, ROWS_AT_ONCE).await?;
        // A page may be empty: what others may read was in it.
        let last = entries.last().filter(|_| entries.len() == ROWS_AT_ONCE);
        let next = last.map(|last| {
            let token = URL_SAFE_NO_PAD.encode(format!("{} {}", last.last_ms, last.id));
            let filter = utf8_percent_encode(call.query.get("$filter").unwrap_or_default(), NON_ALPHANUMERIC);
            let version = call.query.get("api-version").unwrap_or_default();
            format!("{}{}?api-version={version}&$filter={filter}&$skipToken={token}", call.base, call.path)
        });
        let is_shown =
            |entry: &&AuditEntry| caller.may(Action::ReadActivityLog, &entry.scope) && asked.is_for(entry);
        let rows = entries.iter().filter(is_shown).map(|entry| self.event(subscription, entry));
        Ok(paging::listed(rows.collect(), next))
    }

    fn event(&self, subscription: Uuid, entry: &AuditEntry) -> Value {
        let localized = |text: &str| json!({ "value": text, "localizedValue": text });
        let id = if entry.request_id.is_empty() { entry.id.to_string() } else { entry.request_id.clone() };
        let (method, uri) = entry.request.split_once(' ').unwrap_or_default();
        let time = azure_documents::time(entry.last_ms);
        json!({
            "id": format!("{}/events/{id}", entry.scope),
            "eventDataId": id,
            "correlationId": entry.request_id,
            "operationId": entry.request_id,
            "eventTimestamp": time,
            "submissionTimestamp": time,
            "eventName": localized("EndRequest"),
            "category": localized("Administrative"),
            "level": if entry.is_refused { "Warning" } else { "Informational" },
            "operationName": localized(&entry.action),
            "status": localized(status(entry)),
            "subStatus": localized(&entry.status.to_string()),
            "caller": entry.name,
            "claims": { "oid": entry.principal, "name": entry.name },
            "authorization": { "action": entry.action, "scope": entry.scope },
            "httpRequest": { "clientRequestId": entry.request_id, "clientIpAddress": entry.address, "method": method, "uri": uri },
            "resourceId": entry.scope,
            "resourceGroupName": segment_after(&entry.scope, "resourceGroups").unwrap_or_default(),
            "resourceProviderName": localized(provider(entry)),
            "subscriptionId": subscription,
            "tenantId": self.tenant,
            // Refusals that are alike are counted.
            "properties": properties(entry),
        })
    }
}

impl Asked {
    fn parse(filter: &str) -> Result<Self, ArmError> {
        let bad = |why: &str| {
            let message = format!(
                "Invalid $filter specified in the query string: {why}. Write eventTimestamp ge 'TIME', and then eventTimestamp \
                 le, resourceGroupName, resourceId, resourceProvider, correlationId, caller or status eq 'TEXT' with and."
            );
            ArmError::bad("InvalidFilterInQueryString", message)
        };
        if filter.len() > FILTER_BYTES_MAX {
            return Err(bad("it is too long"));
        }
        let (mut asked, mut has_start) = (Self::default(), false);
        for clause in filter.split(" and ").flat_map(|part| part.split(" AND ")) {
            let mut words = clause.trim().splitn(3, char::is_whitespace);
            let (Some(name), Some(operator), Some(text)) = (words.next(), words.next(), words.next()) else {
                return Err(bad(&format!("'{clause}' is not a comparison")));
            };
            let text = text.trim().trim_matches('\'');
            let place = match (name.to_ascii_lowercase().as_str(), operator.to_ascii_lowercase().as_str()) {
                ("eventtimestamp", "ge") => {
                    (asked.since_ms, has_start) = (moment(text).ok_or_else(|| bad("no time"))?, true);
                    continue;
                }
                ("eventtimestamp", "le") => {
                    asked.until_ms = Some(moment(text).ok_or_else(|| bad("no time"))?);
                    continue;
                }
                ("resourcegroupname", "eq") => &mut asked.group,
                ("resourceid" | "resourceuri", "eq") => &mut asked.resource,
                ("resourceprovider", "eq") => &mut asked.provider,
                ("correlationid", "eq") => &mut asked.correlation,
                ("caller", "eq") => &mut asked.caller,
                ("status", "eq") => &mut asked.status,
                _ => return Err(bad(&format!("'{name} {operator}' is not understood"))),
            };
            *place = Some(text.to_owned());
        }
        if has_start { Ok(asked) } else { Err(bad("it does not say from when")) }
    }

    fn is_for(&self, entry: &AuditEntry) -> bool {
        let is = |wanted: &Option<String>, found: &[&str]| {
            wanted.as_ref().is_none_or(|wanted| found.iter().any(|found| wanted.eq_ignore_ascii_case(found)))
        };
        is(&self.group, &[segment_after(&entry.scope, "resourceGroups").unwrap_or_default()])
            && self.resource.as_ref().is_none_or(|wanted| auth::covers(wanted, &entry.scope))
            && is(&self.provider, &[provider(entry)])
            && is(&self.correlation, &[&entry.request_id])
            && is(&self.caller, &[&entry.name, &entry.principal])
            && is(&self.status, &[status(entry)])
    }
}

/// Texts alone, as in Azure: what was altered is a document in one.
fn properties(entry: &AuditEntry) -> Value {
    let mut properties = json!({ "count": entry.count.to_string(), "statusCode": entry.status.to_string() });
    if !entry.alterations.is_empty() {
        properties["changes"] = json!(json!(entry.alterations.listed).to_string());
        properties["changesLeftOut"] = json!(entry.alterations.left_out.to_string());
    }
    properties
}

fn status(entry: &AuditEntry) -> &'static str {
    if entry.is_refused { "Failed" } else { "Succeeded" }
}

/// `Microsoft.ContainerRegistry` of `Microsoft.ContainerRegistry/registries/write`.
fn provider(entry: &AuditEntry) -> &str {
    entry.action.split('/').next().unwrap_or_default()
}

fn segment_after<'a>(scope: &'a str, wanted: &str) -> Option<&'a str> {
    let mut segments = scope.split('/');
    segments.find(|segment| segment.eq_ignore_ascii_case(wanted))?;
    segments.next()
}

/// A time; without a zone it is UTC's, as clients mean it.
fn moment(text: &str) -> Option<i64> {
    let zoned = text.parse::<Timestamp>().ok();
    let plain = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp());
    zoned.or_else(plain).map(Timestamp::as_millisecond)
}

fn before(token: &str) -> Result<(i64, i64), ArmError> {
    let text = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let parts = text.as_deref().and_then(|text| text.split_once(' '));
    parts.and_then(|(time, id)| Some((time.parse().ok()?, id.parse().ok()?))).ok_or_else(|| {
        ArmError::bad(
            "InvalidSkipToken",
            "This server did not issue this $skipToken: request the first page again.",
        )
    })
}

/// Rows of the log that one page looks at.
const ROWS_AT_ONCE: usize = 1000;
const FILTER_BYTES_MAX: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_has_a_start_and_names_what_is_known() {
        let asked = Asked::parse(
            "eventTimestamp ge 1970-01-01T00:00:01.5 and eventTimestamp le '1970-01-01T00:00:02Z' and caller eq 'a b'",
        );
        let wanted = Asked {
            since_ms: 1500,
            until_ms: Some(2000),
            caller: Some("a b".to_owned()),
            ..Asked::default()
        };
        assert_eq!(asked.expect("parses"), wanted);
        for (filter, why) in [
            ("", "'' is not a comparison"),
            ("caller eq 'x'", "it does not say from when"),
            ("eventTimestamp ge 'soon'", "no time"),
            ("eventTimestamp ge '2026-01-01' or caller eq 'x'", "no time"),
            ("eventTimestamp ge '2026-01-01' and colour eq 'x'", "'colour eq' is not understood"),
        ] {
            let error = format!("{:?}", Asked::parse(filter).expect_err(filter));
            assert!(error.contains("InvalidFilterInQueryString") && error.contains(why), "{filter}: {error}");
        }
    }
}
