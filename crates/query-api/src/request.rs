//! What a request asks for.

use axum::http::Uri;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kql::syntax::{Source, Step};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::GraphError;

/// The body of a request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Asked {
    pub(crate) query: String,
    #[serde(default)]
    subscriptions: Option<Vec<String>>,
    #[serde(default)]
    management_groups: Option<Vec<String>>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) options: Options,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) facets: Vec<Facet>,
    /// Not sent: versions of old have another default.
    #[serde(skip)]
    default_format: Format,
    /// The host and port by which the client reached the server. Not sent in the body.
    #[serde(skip)]
    pub(crate) host: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Options {
    #[serde(rename = "$top", default)]
    top: Option<i64>,
    #[serde(rename = "$skip", default)]
    skip: Option<i64>,
    #[serde(rename = "$skipToken", default)]
    skip_token: Option<String>,
    #[serde(default)]
    result_format: Option<Format>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) allow_partial_scopes: bool,
}

/// Clients write `null` for what they have nothing to say of.
fn or_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub(crate) enum Format {
    #[serde(rename = "table", alias = "Table")]
    Table,
    #[default]
    #[serde(rename = "objectArray", alias = "ObjectArray")]
    ObjectArray,
}

/// A summary beside the rows.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Facet {
    pub(crate) expression: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) options: FacetOptions,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FacetOptions {
    #[serde(default)]
    pub(crate) sort_by: Option<String>,
    #[serde(default)]
    pub(crate) sort_order: Option<String>,
    #[serde(default)]
    pub(crate) filter: Option<String>,
    #[serde(rename = "$top", default)]
    pub(crate) top: Option<i64>,
}

impl Asked {
    pub(crate) fn parse(bytes: &[u8], version: &str) -> Result<Self, GraphError> {
        let mut asked: Self = serde_json::from_slice(bytes).map_err(|error| {
            GraphError::bad("InvalidRequestContent", format!("The request body cannot be read: {error}."))
        })?;
        if version <= LAST_WITH_TABLES {
            asked.default_format = Format::Table;
        }
        if asked.facets.len() > FACETS_MAX {
            return Err(GraphError::bad("InvalidFacets", format!("A request may have {FACETS_MAX} facets.")));
        }
        Ok(asked)
    }

    /// The subscriptions that are asked about; `None` for all.
    pub(crate) fn subscriptions(&self) -> Result<Option<Vec<Uuid>>, GraphError> {
        let Some(wanted) = self.subscriptions.as_ref().filter(|wanted| !wanted.is_empty()) else {
            return Ok(None);
        };
        if wanted.len() > SUBSCRIPTIONS_MAX {
            let message = format!(
                "A request may name {SUBSCRIPTIONS_MAX} subscriptions; this one names {}.",
                wanted.len()
            );
            return Err(GraphError::bad("InvalidSubscriptions", message));
        }
        let id = |text: &String| {
            Uuid::parse_str(text).map_err(|_| {
                GraphError::bad("InvalidSubscriptions", format!("'{text}' is not the id of a subscription."))
            })
        };
        wanted.iter().map(id).collect::<Result<_, _>>().map(Some)
    }

    /// The management groups that are asked about, without the one that there is: the tenant's root. It is
    /// named by the tenant's id.
    pub(crate) fn unknown_groups(&self, tenant: Uuid) -> impl Iterator<Item = &str> {
        let is_root = move |group: &&str| Uuid::parse_str(group).is_ok_and(|group| group == tenant);
        let groups = self.management_groups.iter().flatten().map(String::as_str);
        groups.filter(move |group| !is_root(group))
    }

    /// True if management groups limit what is asked about, and the root is none of them.
    pub(crate) fn is_beside_the_root(&self, tenant: Uuid) -> bool {
        let groups = self.management_groups.as_deref().unwrap_or_default();
        !groups.is_empty() && self.unknown_groups(tenant).count() == groups.len()
    }

    pub(crate) fn top(&self) -> Option<usize> {
        self.options.top.and_then(|top| usize::try_from(top).ok())
    }

    /// What tells this request's rows from another's.
    pub(crate) fn key(&self) -> String {
        format!("{:?}\n{:?}\n{}", self.subscriptions, self.management_groups, self.query)
    }
}

/// Which rows are wanted, and how.
pub(crate) struct Page {
    pub(crate) skip: usize,
    pub(crate) top: usize,
    pub(crate) format: Format,
    /// The query itself says how many: there is no next page.
    pub(crate) is_limited: bool,
    pub(crate) token: Option<SkipToken>,
}

/// Where a next page begins, and in which answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SkipToken {
    #[serde(rename = "a")]
    pub(crate) answer: Uuid,
    #[serde(rename = "s")]
    pub(crate) skip: usize,
    #[serde(rename = "n")]
    pub(crate) top: usize,
}

impl SkipToken {
    pub(crate) fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::json!(self).to_string())
    }

    fn parse(text: &str) -> Result<Self, GraphError> {
        let wrong = || {
            GraphError::bad(
                "InvalidSkipToken",
                "This server did not issue this $skipToken: request the first page again.",
            )
        };
        let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| wrong())?;
        serde_json::from_slice(&bytes).map_err(|_| wrong())
    }
}

impl Page {
    pub(crate) fn of(asked: &Asked) -> Result<Self, GraphError> {
        let options = &asked.options;
        let token = options
            .skip_token
            .as_deref()
            .filter(|text| !text.is_empty())
            .map(SkipToken::parse)
            .transpose()?;
        let top = match options.top {
            Some(top) if (1..=ROWS_MAX).contains(&top) => usize::try_from(top).unwrap_or(1),
            Some(top) => {
                let message = format!("$top must be from 1 to {ROWS_MAX}, not {top}.");
                return Err(GraphError::bad("InvalidTop", message));
            }
            // A token is no secret: what it says is checked like what the request says.
            None => {
                let most = usize::try_from(ROWS_MAX).unwrap_or(1000);
                token.as_ref().map_or(most, |token| token.top.clamp(1, most))
            }
        };
        let skip = match options.skip {
            Some(skip) if skip >= 0 => usize::try_from(skip).ok(),
            Some(skip) => {
                return Err(GraphError::bad("InvalidSkip", format!("$skip must not be negative: {skip}.")));
            }
            None => None,
        };
        // What follows a token is its own place, unless a place is named.
        let skip = skip.filter(|skip| token.is_none() || *skip > 0);
        let is_limited = is_limited(&asked.query);
        let skip = if is_limited { 0 } else { skip.or(token.as_ref().map(|token| token.skip)).unwrap_or(0) };
        let format = options.result_format.unwrap_or(asked.default_format);
        Ok(Self { skip, top, format, is_limited, token })
    }
}

/// True if the query ends with `take` or `limit`.
fn is_limited(query: &str) -> bool {
    // What does not parse is refused when it is run.
    let Ok(query) = kql::parse(query) else { return false };
    let mut body = &query.body;
    while let (Source::Nested(inner), true) = (&body.source, body.steps.is_empty()) {
        body = inner;
    }
    matches!(body.steps.last(), Some(Step::Take(_)))
}

/// The version that the request names.
pub(crate) fn api_version(uri: &Uri) -> Result<String, GraphError> {
    let pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let version = pairs
        .filter(|(name, _)| name.eq_ignore_ascii_case("api-version"))
        .map(|(_, value)| value)
        .next_back();
    let Some(version) = version else {
        let message = "The api-version query parameter (?api-version=) is required for all requests.";
        return Err(GraphError::new(
            axum::http::StatusCode::BAD_REQUEST,
            "MissingApiVersionParameter",
            message,
        ));
    };
    let date = version.get(..10).unwrap_or_default().as_bytes();
    let is_date = date.len() == 10
        && date
            .iter()
            .enumerate()
            .all(|(at, byte)| if at == 4 || at == 7 { *byte == b'-' } else { byte.is_ascii_digit() });
    if !is_date {
        let message = format!("The api-version '{version}' is invalid.");
        return Err(GraphError::new(
            axum::http::StatusCode::BAD_REQUEST,
            "InvalidApiVersionParameter",
            message,
        ));
    }
    Ok(version.get(..10).unwrap_or_default().to_owned())
}

/// Up to this version rows came as a table unless somebody asked otherwise.
const LAST_WITH_TABLES: &str = "2019-04-01";
const ROWS_MAX: i64 = 1000;
const SUBSCRIPTIONS_MAX: usize = 10_000;
const FACETS_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(document: &serde_json::Value) -> Asked {
        Asked::parse(document.to_string().as_bytes(), "2021-03-01").expect("parses")
    }

    #[test]
    fn null_is_nothing_to_say() {
        let asked = asked(&json!({
            "query": "resources", "subscriptions": null, "managementGroups": null, "facets": null,
            "options": { "$top": null, "$skip": null, "$skipToken": null, "resultFormat": null, "allowPartialScopes": null },
        }));
        let page = Page::of(&asked).expect("a page");
        assert_eq!((page.skip, page.top, page.format), (0, 1000, Format::ObjectArray));
    }

    #[test]
    fn a_token_that_somebody_made_gives_no_larger_page() {
        let made = SkipToken { answer: Uuid::nil(), skip: usize::MAX, top: usize::MAX };
        let asked = asked(&json!({ "query": "resources", "options": { "$skipToken": made.text() } }));
        let page = Page::of(&asked).expect("a page");
        assert_eq!((page.skip, page.top), (usize::MAX, 1000));
    }

    #[test]
    fn tables_were_the_default_of_the_first_versions() {
        let body = br#"{"query":"resources"}"#;
        for (version, format) in [
            ("2018-09-01", Format::Table),
            ("2019-04-01", Format::Table),
            ("2020-04-01", Format::ObjectArray),
            ("2024-04-01", Format::ObjectArray),
        ] {
            let asked = Asked::parse(body, version).expect("parses");
            assert_eq!(Page::of(&asked).expect("a page").format, format, "{version}");
        }
    }

    #[test]
    fn the_tenant_is_the_only_management_group() {
        let tenant = Uuid::from_u128(7);
        let of =
            |groups: serde_json::Value| asked(&json!({ "query": "resources", "managementGroups": groups }));
        assert!(!of(json!([tenant])).is_beside_the_root(tenant));
        assert!(!of(json!([tenant, "mg1"])).is_beside_the_root(tenant));
        assert!(of(json!(["mg1"])).is_beside_the_root(tenant));
        assert!(!of(json!([])).is_beside_the_root(tenant));
        assert_eq!(of(json!([tenant, "mg1"])).unknown_groups(tenant).collect::<Vec<_>>(), ["mg1"]);
    }
}
