//! Saved queries, as resources of a group.

use auth::{Action, Caller};
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use metastore::{Intent, SavedQuery};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::Graph;
use crate::error::GraphError;

#[derive(Deserialize)]
struct Put {
    properties: Properties,
}

#[derive(Deserialize)]
struct Properties {
    query: String,
    #[serde(default)]
    description: String,
}

pub(crate) async fn serve(
    graph: &Graph,
    caller: &Caller,
    subscription: Uuid,
    group: Option<String>,
    name: Option<String>,
    request: Request,
) -> Result<Response, GraphError> {
    let method = request.method().clone();
    let metastore = &graph.inner.metastore;
    let in_group = group.as_ref().map(|group| format!("/resourceGroups/{group}")).unwrap_or_default();
    let scope = format!("/subscriptions/{subscription}{in_group}");
    if !caller.may_within(Action::ReadQueries, &format!("/subscriptions/{subscription}")) {
        return Err(GraphError::new(
            StatusCode::NOT_FOUND,
            "SubscriptionNotFound",
            format!("The subscription '{subscription}' could not be found."),
        ));
    }
    let check = |action: Action| {
        if caller.may(action, &scope) {
            return Ok(());
        }
        Err(GraphError::forbidden(caller, action.name(), &scope))
    };
    if ![Method::GET, Method::HEAD].contains(&method) {
        let all = metastore.subscriptions().await?;
        if all.iter().any(|found| found.id == subscription && found.is_disabled) {
            let message = format!(
                "The subscription '{subscription}' is disabled and therefore marked as read only. You cannot perform any \
                 write actions on this subscription until it is re-enabled."
            );
            return Err(GraphError::new(StatusCode::CONFLICT, "ReadOnlyDisabledSubscription", message));
        }
    }
    if ![Method::GET, Method::HEAD].contains(&method) {
        let intent = if method == Method::DELETE { Intent::Delete } else { Intent::Write };
        match metastore.check_unlocked(&scope, intent).await {
            Err(error @ metastore::Error::Locked { .. }) => {
                return Err(GraphError::new(StatusCode::CONFLICT, "ScopeLocked", format!("{error}.")));
            }
            checked => checked?,
        }
    }
    let all = metastore.saved_queries(Some(subscription)).await?;
    let is_in = |saved: &&SavedQuery| {
        group.as_ref().is_none_or(|group| saved.resource_group.eq_ignore_ascii_case(group))
            && caller.may(Action::ReadQueries, &saved.resource_id())
    };
    let (Some(group), Some(name)) = (group.clone(), name) else {
        if method != Method::GET {
            return Err(not_allowed(&method));
        }
        let rows: Vec<Json> = all.iter().filter(is_in).map(document).collect();
        return Ok(json_response(StatusCode::OK, &json!({ "value": rows })));
    };
    let known = all.iter().filter(is_in).find(|saved| saved.name.eq_ignore_ascii_case(&name));
    match method {
        Method::GET => {
            check(Action::ReadQueries)?;
            match known {
                Some(saved) => Ok(json_response(StatusCode::OK, &document(saved))),
                None => Err(GraphError::new(
                    StatusCode::NOT_FOUND,
                    "ResourceNotFound",
                    format!("There is no saved query '{name}' in the group '{group}'."),
                )),
            }
        }
        Method::PUT => {
            check(Action::WriteQueries)?;
            let is_new = known.is_none();
            let bytes = to_bytes(request.into_body(), BODY_BYTES_MAX).await.map_err(|_| {
                GraphError::bad("InvalidRequestContent", "The body is too large or broke off.")
            })?;
            let put: Put = serde_json::from_slice(&bytes).map_err(|error| {
                GraphError::bad("InvalidRequestContent", format!("The request body cannot be read: {error}."))
            })?;
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_. ()".contains(&byte);
            if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_plain) {
                let message =
                    format!("A name has 1 to {NAME_BYTES_MAX} letters, digits, blanks and - _ . ( ).");
                return Err(GraphError::bad("InvalidName", message));
            }
            kql::parse(&put.properties.query)?;
            let saved = SavedQuery {
                subscription,
                resource_group: group.clone(),
                name,
                description: put.properties.description,
                query: put.properties.query,
                changed_ms: (graph.inner.clock)(),
            };
            let shown = document(&saved);
            if !metastore.put_saved_query(saved).await? {
                let message = format!("Resource group '{group}' could not be found.");
                return Err(GraphError::new(StatusCode::NOT_FOUND, "ResourceGroupNotFound", message));
            }
            let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
            Ok(json_response(status, &shown))
        }
        Method::DELETE => {
            check(Action::DeleteQueries)?;
            let was_there = metastore.delete_saved_query(subscription, &group, &name).await?;
            Ok(if was_there { StatusCode::OK } else { StatusCode::NO_CONTENT }.into_response())
        }
        method => Err(not_allowed(&method)),
    }
}

fn not_allowed(method: &Method) -> GraphError {
    GraphError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "MethodNotAllowed",
        format!("{method} is not possible here."),
    )
}

pub(crate) fn document(saved: &SavedQuery) -> Json {
    json!({
        "id": saved.resource_id(),
        "name": saved.name,
        "type": "microsoft.resourcegraph/queries",
        "location": "global",
        "properties": {
            "query": saved.query,
            "description": saved.description,
            "resultKind": "basic",
            "timeModified": azure_documents::time(saved.changed_ms),
        },
    })
}

fn json_response(status: StatusCode, document: &Json) -> Response {
    let typed = [(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"))];
    (status, typed, document.to_string()).into_response()
}

const BODY_BYTES_MAX: usize = 1 << 20;
const NAME_BYTES_MAX: usize = 90;
