//! The token endpoint and its discovery document (OpenID Connect Discovery 1.0; RFC 6749).

use auth::AuthError;
use axum::extract::{Form, FromRequest as _, Request};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, HeaderValue, RETRY_AFTER};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::arm::TokenVersion;
use crate::error::ArmError;
use crate::{Api, Call};

impl Api {
    pub(crate) fn openid_configuration(&self, tenant: Uuid, call: &Call) -> Result<Value, ArmError> {
        if tenant != self.tenant {
            let message = format!("There is no tenant '{tenant}' here.");
            return Err(ArmError::bad("invalid_tenant", message));
        }
        let authority = format!("{}/{tenant}", call.base);
        Ok(json!({
            "issuer": format!("{authority}/v2.0"),
            "token_endpoint": format!("{authority}/oauth2/v2.0/token"),
            "authorization_endpoint": format!("{authority}/oauth2/v2.0/authorize"),
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            "response_types_supported": ["token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["HS256"],
        }))
    }

    /// A token for a client's secret or a person's password.
    pub(crate) async fn token(&self, tenant: Uuid, version: TokenVersion, request: Request) -> Response {
        let granted = match Form::from_request(request, &()).await {
            Ok(Form(form)) => self.grant(tenant, version, form).await,
            Err(error) => Err(Refusal::bad("invalid_request", &error.to_string())),
        };
        let mut response = match granted {
            Ok(document) => (StatusCode::OK, axum::Json(document)).into_response(),
            Err(refusal) => refusal.into_response(),
        };
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    async fn grant(
        &self,
        tenant: Uuid,
        version: TokenVersion,
        form: Vec<(String, String)>,
    ) -> Result<Value, Refusal> {
        if tenant != self.tenant {
            let message = format!("AADSTS90002: Tenant '{tenant}' not found. It is {} here.", self.tenant);
            return Err(Refusal::bad("invalid_request", &message));
        }
        let field = |name: &str| {
            let found = form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
            found.unwrap_or_default()
        };
        let (name, secret) = match field("grant_type") {
            "client_credentials" => (field("client_id"), field("client_secret")),
            "password" => (field("username"), field("password")),
            other => {
                let message = format!("AADSTS70003: The grant type '{other}' is not supported.");
                return Err(Refusal::bad("unsupported_grant_type", &message));
            }
        };
        let caller = self.auth.password(name, secret).await?;
        let audience = match version {
            TokenVersion::V1 => field("resource"),
            TokenVersion::V2 => {
                field("scope").split_whitespace().find(|scope| !is_openid(scope)).unwrap_or_default()
            }
        };
        let audience = audience
            .strip_suffix("/.default")
            .or(audience.strip_suffix("/user_impersonation"))
            .unwrap_or(audience);
        let issued = self.auth.issue_management_token(&caller, audience).map_err(|_| {
            let message = format!("AADSTS500011: The resource '{audience}' is unknown: ask for https://management.azure.com/.default.");
            Refusal::bad("invalid_scope", &message)
        })?;
        let mut document = json!({
            "token_type": "Bearer",
            "expires_in": issued.expires_in_s,
            "ext_expires_in": issued.expires_in_s,
            "access_token": issued.token,
        });
        if version == TokenVersion::V1 {
            // The first generation writes numbers as text.
            document["expires_in"] = issued.expires_in_s.to_string().into();
            document["expires_on"] = (issued.issued_ms / 1000 + issued.expires_in_s).to_string().into();
            document["resource"] = audience.into();
        }
        Ok(document)
    }
}

fn is_openid(scope: &str) -> bool {
    ["openid", "profile", "offline_access", "email"].contains(&scope)
}

/// A refusal as OAuth writes it (RFC 6749, section 5.2).
struct Refusal {
    status: StatusCode,
    error: &'static str,
    description: String,
    retry_after_s: Option<u64>,
}

impl Refusal {
    fn bad(error: &'static str, description: &str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error,
            description: description.to_owned(),
            retry_after_s: None,
        }
    }

    fn into_response(self) -> Response {
        // `AADSTS7000215: …` has its number once more for programs.
        let digits = self.description.strip_prefix("AADSTS").and_then(|rest| rest.split_once(':'));
        let codes: Vec<u64> = digits.and_then(|(digits, _)| digits.parse().ok()).into_iter().collect();
        let document =
            json!({ "error": self.error, "error_description": self.description, "error_codes": codes });
        let mut response = (self.status, axum::Json(document)).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::BadCredentials => Self {
                status: StatusCode::UNAUTHORIZED,
                ..Self::bad(
                    "invalid_client",
                    "AADSTS7000215: The client or user is unknown, or the secret is wrong.",
                )
            },
            AuthError::ExpiredSecret => Self {
                status: StatusCode::UNAUTHORIZED,
                ..Self::bad("invalid_client", "AADSTS7000222: The provided client secret keys are expired.")
            },
            AuthError::TooManyAttempts { retry_after_s } => Self {
                status: StatusCode::TOO_MANY_REQUESTS,
                retry_after_s: Some(retry_after_s),
                ..Self::bad("temporarily_unavailable", &error.to_string())
            },
            AuthError::Store(error) => {
                tracing::error!(error = %error, "a token request failed");
                Self {
                    status: StatusCode::INTERNAL_SERVER_ERROR,
                    ..Self::bad("server_error", "the server failed; its log says why")
                }
            }
        }
    }
}
