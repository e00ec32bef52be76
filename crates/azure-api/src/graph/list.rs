//! What a request wants of a list: OData's `$filter`, `$select`, `$top`, `$count` and the next page.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::filter::Condition;
use super::{GraphError, context};
use crate::Call;
use crate::arm::Query;

/// How a list is wanted.
pub(crate) struct Options {
    filter: Option<Condition>,
    /// Properties' names; empty: all of them.
    select: Vec<String>,
    top: usize,
    is_counted: bool,
    /// The key of the last row of the page before.
    after: Option<String>,
}

impl Options {
    /// # Errors
    /// 400 for what does not parse, and for options of OData that are not had.
    pub(crate) fn of(query: &Query) -> Result<Self, GraphError> {
        if let Some(unknown) = query.names().find(|name| name.starts_with('$') && !is_known(name)) {
            let message = format!("The query option '{unknown}' is not supported: {} are.", KNOWN.join(", "));
            return Err(GraphError::bad(&message));
        }
        let by = query.get("$orderby").unwrap_or("displayName");
        if !by.eq_ignore_ascii_case("displayName") && !by.eq_ignore_ascii_case("displayName asc") {
            return Err(GraphError::bad("Lists are in the order of displayName, and of nothing else."));
        }
        let top = match query.get("$top").map(str::parse) {
            None => PAGE_ROWS,
            Some(Ok(top @ 1..=TOP_MAX)) => top,
            Some(_) => return Err(GraphError::bad(&format!("$top is a number from 1 to {TOP_MAX}."))),
        };
        let after = query.get("$skiptoken").map(|token| {
            let text = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            text.ok_or_else(|| {
                GraphError::bad("This server did not issue this $skiptoken: request the first page again.")
            })
        });
        let select = query.get("$select").unwrap_or_default();
        let select = select.split(',').map(str::trim).filter(|name| !name.is_empty());
        Ok(Self {
            filter: query.get("$filter").map(Condition::parse).transpose()?,
            select: select.map(str::to_owned).collect(),
            top,
            is_counted: query.get("$count").is_some_and(|text| text.eq_ignore_ascii_case("true")),
            after: after.transpose()?,
        })
    }

    /// The page of these rows that is wanted. `of` is what Graph calls the list.
    ///
    /// # Errors
    /// 400 for a filter by what such rows do not have.
    pub(crate) fn listed(&self, mut rows: Vec<Value>, call: &Call, of: &str) -> Result<Value, GraphError> {
        if let Some(filter) = &self.filter {
            filter.check(filterable(of))?;
            rows.retain(|row| filter.holds(row));
        }
        rows.sort_by_cached_key(key);
        let count = rows.len();
        if let Some(after) = &self.after {
            rows.retain(|row| key(row) > *after);
        }
        let has_more = rows.len() > self.top;
        rows.truncate(self.top);
        let next = rows.last().filter(|_| has_more).map(|last| link(call, &key(last)));
        let mut document = self.selected(rows, call, of);
        if self.is_counted {
            document["@odata.count"] = count.into();
        }
        if let Some(next) = next {
            document["@odata.nextLink"] = next.into();
        }
        Ok(document)
    }

    /// All of these rows, with the properties that are wanted.
    pub(crate) fn selected(&self, rows: Vec<Value>, call: &Call, of: &str) -> Value {
        let rows: Vec<Value> = rows.into_iter().map(|row| self.narrowed(row)).collect();
        json!({ "@odata.context": context(call, of), "value": rows })
    }

    /// One of a list.
    pub(crate) fn entity(&self, row: Value, call: &Call, of: &str) -> Value {
        let mut document = self.narrowed(row);
        document["@odata.context"] = context(call, &format!("{of}/$entity"));
        document
    }

    /// With the properties that are wanted. The id is always one of them.
    fn narrowed(&self, mut row: Value) -> Value {
        if let Some(properties) = row.as_object_mut().filter(|_| !self.select.is_empty()) {
            properties.retain(|name, _| {
                let is_it = |wanted: &String| wanted.eq_ignore_ascii_case(name);
                name == "id" || name.starts_with('@') || self.select.iter().any(is_it)
            });
        }
        row
    }
}

/// What rows are in the order of, and the next page goes on after. An application and its service principal have one id.
fn key(row: &Value) -> String {
    let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
    format!("{} {} {}", text("displayName"), text("id"), text("@odata.type"))
}

fn link(call: &Call, last: &str) -> String {
    let kept = KNOWN.iter().filter(|name| **name != "$skiptoken").filter_map(|name| {
        let value = call.query.get(name)?;
        Some(format!("{name}={}&", utf8_percent_encode(value, NON_ALPHANUMERIC)))
    });
    let kept: String = kept.collect();
    format!("{}{}?{kept}$skiptoken={}", call.base, call.path, URL_SAFE_NO_PAD.encode(last))
}

fn is_known(name: &str) -> bool {
    KNOWN.iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn filterable(of: &str) -> &'static [&'static str] {
    match of {
        "users" => &["id", "userPrincipalName", "displayName", "mail", "accountEnabled", "userType"],
        "servicePrincipals" => &[
            "id",
            "appId",
            "displayName",
            "appDisplayName",
            "servicePrincipalNames",
            "servicePrincipalType",
            "accountEnabled",
            "appOwnerOrganizationId",
            "tags",
        ],
        "applications" => &["id", "appId", "displayName", "identifierUris", "signInAudience", "tags"],
        "groups" => &["id", "displayName", "mail", "mailNickname", "mailEnabled", "securityEnabled"],
        _ => &["id", "displayName"],
    }
}

const KNOWN: [&str; 7] = ["$filter", "$select", "$top", "$count", "$orderby", "$format", "$skiptoken"];
/// Graph's.
const PAGE_ROWS: usize = 100;
/// Graph's.
const TOP_MAX: usize = 999;
