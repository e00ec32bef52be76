//! Azure's quarantine: a scanner says of a manifest that it may be pulled, or may not.

use auth::{Access, Action};
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use metastore::{AttributesChange, Quarantine, QuarantineState};
use oci::{Digest, Repository};
use serde_json::Value;

use crate::Api;
use crate::access::Identity;
use crate::acr::{body_of, change_of};
use crate::error::ApiError;
use crate::route::Target;

impl Api {
    /// Scanners need no right to push to say how they judge.
    pub(crate) async fn may_only_judge(
        &self,
        target: &Target,
        method: &Method,
        identity: &Identity,
    ) -> Result<bool, ApiError> {
        match target {
            Target::AcrManifest(repository, _) if *method == Method::PATCH => {
                self.may_in_quarantine(identity, repository, Action::WriteQuarantined).await
            }
            _ => Ok(false),
        }
    }

    /// `PATCH` of a manifest: `quarantineState` and `quarantineDetails`, and the attributes that may be changed.
    pub(crate) async fn acr_judge(
        &self,
        host: &str,
        identity: &Identity,
        repository: &Repository,
        digest: &str,
        request: Request,
    ) -> Result<Response, ApiError> {
        let body = body_of(request).await?;
        let (change, quarantine) = (change_of(&body)?, quarantine_of(&body)?);
        let denied = |what: &str| {
            ApiError::new(StatusCode::FORBIDDEN, "DENIED", format!("your roles do not allow {what}"))
        };
        if (change != AttributesChange::default() || quarantine.is_none())
            && !self.shows_right(identity, repository, Access::Push).await?
        {
            return Err(denied("changing attributes"));
        }
        if let Some(quarantine) = quarantine {
            if !self.may_in_quarantine(identity, repository, Action::WriteQuarantined).await? {
                return Err(denied("judging what is in quarantine: that takes the role AcrQuarantineWriter"));
            }
            let parsed: Option<Digest> = digest.parse().ok();
            let state = quarantine.state.name();
            let is_known = match &parsed {
                Some(parsed) => self.registry.judge(self.id, repository, parsed, quarantine).await?,
                None => false,
            };
            if !is_known {
                let message = format!("there is no manifest {digest} here");
                return Err(ApiError::not_found("MANIFEST_UNKNOWN", message));
            }
            tracing::info!(%repository, digest, state, principal = identity.principal(), "judged in quarantine");
        }
        self.acr_changed(host, repository, Some(digest), change).await
    }
}

fn quarantine_of(body: &Value) -> Result<Option<Quarantine>, ApiError> {
    let bad = |message: &str| ApiError::bad("UNSUPPORTED", message);
    let state = match body.get("quarantineState") {
        None | Some(Value::Null) => return Ok(None),
        Some(state) => state.as_str().and_then(QuarantineState::from_name),
    };
    let state = state.ok_or_else(|| bad("quarantineState is one of Quarantined, Passed, Failed"))?;
    let details = match body.get("quarantineDetails") {
        None | Some(Value::Null) => None,
        Some(Value::String(details)) if details.len() <= DETAILS_BYTES_MAX => Some(details.clone()),
        Some(_) => return Err(bad("quarantineDetails is text of 8192 bytes at most")),
    };
    Ok(Some(Quarantine { state, details }))
}

const DETAILS_BYTES_MAX: usize = 8192;
