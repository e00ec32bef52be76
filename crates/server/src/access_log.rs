//! The access log: one line for each request, where the operator asks for it.

use std::time::Instant;

use auth::Witness;
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, HOST, USER_AGENT};
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::Next;
use axum::response::Response;

/// Passes a request on, and logs it when the answer's head is there. Queries and bodies are left out, for they may
/// hold secrets; so are tokens in paths.
pub(crate) async fn log(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let witness = request.extensions().get::<Witness>().cloned().unwrap_or_default();
    let (method, path) = (request.method().clone(), shown_path(request.uri().path()));
    let protocol = format!("{:?}", request.version());
    let host = text(request.headers(), HOST).or_else(|| request.uri().authority().map(ToString::to_string));
    let user_agent = text(request.headers(), USER_AGENT).unwrap_or_default();
    let response = next.run(request).await;
    tracing::info!(
        %method,
        path,
        protocol,
        host = host.unwrap_or_default(),
        status = response.status().as_u16(),
        bytes = text(response.headers(), CONTENT_LENGTH).unwrap_or_default(),
        duration_ms = began.elapsed().as_secs_f64() * 1000.0,
        client = witness.address(),
        principal = witness.seen().name,
        user_agent,
        request_id = %witness.request_id(),
        "request",
    );
    response
}

/// The path without the token that a cluster's webhook URL ends with.
pub(crate) fn shown_path(path: &str) -> String {
    match path.strip_prefix("/admission/v1/").and_then(|rest| rest.split_once('/')) {
        Some((cluster, _)) => format!("/admission/v1/{cluster}/***"),
        None => path.to_owned(),
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    Some(value.chars().take(TEXT_CHARACTERS_MAX).collect())
}

/// Of one header in a line.
const TEXT_CHARACTERS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clusters_token_is_not_shown() {
        for (path, wanted) in [
            ("/admission/v1/prod/secret", "/admission/v1/prod/***"),
            ("/admission/v1/prod/secret/", "/admission/v1/prod/***"),
            ("/admission/v1/prod", "/admission/v1/prod"),
            ("/v2/app/manifests/1", "/v2/app/manifests/1"),
        ] {
            assert_eq!(shown_path(path), wanted);
        }
    }
}
