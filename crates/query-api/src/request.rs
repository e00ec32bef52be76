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
    #[serde(default)]
    pub(crate) options: Options,
    #[serde(default)]
    pub(crate) facets: Vec<Facet>,
    /// Not sent: versions of old have another default.
    #[serde(skip)]
    default_format: Format,
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
    #[serde(default)]
    pub(crate) allow_partial_scopes: bool,
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
    #[serde(default)]
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
            GraphError::bad("InvalidRequestContent", format!("The body does not parse: {error}."))
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
                GraphError::bad("InvalidSubscriptions", format!("'{text}' is no subscription's id."))
            })
        };
        wanted.iter().map(id).collect::<Result<_, _>>().map(Some)
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
        let wrong = || GraphError::bad("InvalidSkipToken", "The $skipToken is none that was given out here.");
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
            None => token.as_ref().map_or(usize::try_from(ROWS_MAX).unwrap_or(1000), |token| token.top),
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
        Ok(Self { skip, top: top.max(1), format, is_limited, token })
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
