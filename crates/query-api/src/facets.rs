//! Facets: how many rows of the result there are of each value of an expression.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::error::detail;
use crate::request::{Asked, Facet};
use crate::{Graph, View, cell};

impl Graph {
    /// One result a facet; a facet that is wrong spoils no other.
    pub(crate) async fn facets(&self, caller: Uuid, asked: &Asked, view: Arc<View>) -> Vec<Json> {
        let mut results = Vec::new();
        for facet in &asked.facets {
            results.push(self.facet(caller, &asked.query, facet, &view).await);
        }
        results
    }

    async fn facet(&self, caller: Uuid, query: &str, facet: &Facet, view: &Arc<View>) -> Json {
        let expression = &facet.expression;
        let failed = |errors: Vec<Json>| json!({ "expression": expression, "resultType": "FacetError", "errors": errors });
        let text = match text(query, facet) {
            Ok(text) => text,
            Err(message) => return failed(vec![json!({ "code": "InvalidFacet", "message": message })]),
        };
        match self.run(caller, text, Arc::clone(view)).await {
            Err(_) => failed(vec![json!({ "code": "InternalServerError", "message": "The server failed." })]),
            Ok(Ok(answer)) => {
                let top = usize::try_from(facet.options.top.unwrap_or(TOP).clamp(1, TOP_MAX)).unwrap_or(1);
                let count = answer.rows.min(top);
                let object = |row: usize| {
                    let cells = answer.row(row).into_iter().zip(&answer.columns);
                    let members =
                        cells.map(|(value, column)| (column.name.to_string(), cell(&value, column.kind)));
                    Json::Object(members.collect())
                };
                json!({
                    "expression": expression, "resultType": "FacetResult", "totalRecords": answer.rows,
                    "count": count, "data": (0..count).map(object).collect::<Json>(),
                })
            }
            Ok(Err(error)) => {
                let details = error.details.iter().map(detail);
                let mut errors = vec![
                    json!({ "code": "NoValidColumns", "message": "No valid columns in facet expression." }),
                ];
                errors.extend(details);
                failed(errors)
            }
        }
    }
}

/// The query of a facet, over the result of the query.
fn text(query: &str, facet: &Facet) -> Result<String, String> {
    let query = query.trim_end().trim_end_matches(';');
    let options = &facet.options;
    let filter = options.filter.as_ref().map(|filter| format!("\n| where {filter}")).unwrap_or_default();
    let order = match options.sort_order.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None | Some("desc") => "desc",
        Some("asc") => "asc",
        Some(other) => return Err(format!("sortOrder must be asc or desc, not '{other}'.")),
    };
    let by = options.sort_by.as_deref().unwrap_or("count");
    let by = if by.eq_ignore_ascii_case("count") { "['count']" } else { by };
    Ok(format!(
        "{query}\n{filter}\n| summarize ['count'] = count() by {}\n| sort by {by} {order}",
        facet.expression
    ))
}

const TOP: i64 = 10;
const TOP_MAX: i64 = 1000;
