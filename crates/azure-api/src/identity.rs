//! The token endpoint and its discovery document (OpenID Connect Discovery 1.0; RFC 6749, RFC 7636, RFC 8628).

use auth::{AuthError, Caller, TokenError, Witness};
use axum::extract::{Form, FromRequest as _, Request};
use axum::http::header::{CACHE_CONTROL, HeaderValue, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::arm::TokenVersion;
use crate::error::ArmError;
use crate::sign_in::KEPT_BYTES_MAX;
use crate::sign_ins::{POLL_MS, Polled, SIGN_IN_MS};
use crate::{Api, Call};

impl Api {
    /// `tenant` is `None` where a client leaves it open (`common`, `organizations`).
    pub(crate) fn openid_configuration(&self, tenant: Option<Uuid>, call: &Call) -> Result<Value, ArmError> {
        self.check_tenant(tenant)?;
        let authority = format!("{}/{}", call.base, self.tenant);
        Ok(json!({
            "issuer": issuer(&call.base, self.tenant),
            "authorization_endpoint": format!("{authority}/oauth2/v2.0/authorize"),
            "token_endpoint": format!("{authority}/oauth2/v2.0/token"),
            "device_authorization_endpoint": format!("{authority}/oauth2/v2.0/devicecode"),
            "jwks_uri": format!("{authority}/discovery/v2.0/keys"),
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "none"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS256", "PS256", "ES256"],
            "grant_types_supported": [
                "client_credentials", "password", "authorization_code", "refresh_token", DEVICE_GRANT,
            ],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query", "form_post"],
            "code_challenge_methods_supported": ["S256"],
            "scopes_supported": OPENID_SCOPES,
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "claims_supported": [
                "iss", "aud", "sub", "oid", "tid", "name", "preferred_username", "ver", "iat", "nbf", "exp", "nonce",
            ],
        }))
    }

    /// The keys that id tokens are signed with (RFC 7517, section 5).
    pub(crate) fn id_keys(&self, tenant: Option<Uuid>) -> Result<Value, ArmError> {
        self.check_tenant(tenant)?;
        Ok(json!({ "keys": self.auth.id_keys() }))
    }

    /// What Azure's clients ask before they send a person's password: all people are known here itself.
    pub(crate) fn user_realm(&self, name: &str) -> Value {
        json!({ "ver": "1.0", "account_type": "Managed", "cloud_instance_name": "Lazaret", "domain_name": self.domain.name, "login": name })
    }

    fn check_tenant(&self, tenant: Option<Uuid>) -> Result<(), ArmError> {
        match tenant.filter(|tenant| *tenant != self.tenant) {
            Some(tenant) => {
                Err(ArmError::bad("invalid_tenant", format!("There is no tenant '{tenant}' here.")))
            }
            None => Ok(()),
        }
    }

    /// A token for a client's secret, or for what a person's sign-in left with a client.
    pub(crate) async fn token(
        &self,
        tenant: Option<Uuid>,
        version: TokenVersion,
        call: &Call,
        request: Request,
    ) -> Response {
        let answered = match Form::from_request(request, &()).await {
            Ok(Form(form)) => self.answer(tenant, version, call, &Fields(form)).await,
            Err(error) => Err(Refusal::bad("invalid_request", &error.to_string())),
        };
        respond(answered)
    }

    /// A token for a program that believes to run in Azure's App Service, and asks its machine for it (version
    /// 2019-08-01): the header that the machine gives it is the principal's id and secret.
    pub(crate) async fn managed_identity(&self, call: &Call, headers: HeaderMap) -> Response {
        let header = headers.get("x-identity-header").and_then(|header| header.to_str().ok());
        let (id, secret) = header.and_then(|header| header.split_once(':')).unwrap_or_default();
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let form = Fields(vec![
            field("grant_type", "client_credentials"),
            field("client_id", id),
            field("client_secret", secret),
            field("resource", call.query.get("resource").unwrap_or_default()),
        ]);
        let answered = self.answer(None, TokenVersion::V1, call, &form).await;
        let mut response = answered
            .map_or_else(Refusal::into_machine_response, |document| axum::Json(document).into_response());
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// A code for a device on which nobody can type a password (RFC 8628, section 3.2).
    pub(crate) async fn device_code(&self, tenant: Option<Uuid>, call: &Call, request: Request) -> Response {
        let witness = request.extensions().get::<Witness>().cloned().unwrap_or_default();
        let begun = match Form::from_request(request, &()).await {
            Ok(Form(form)) => self.begin_device(tenant, call, witness.address(), &Fields(form)),
            Err(error) => Err(Refusal::bad("invalid_request", &error.to_string())),
        };
        respond(begun)
    }

    fn begin_device(
        &self,
        tenant: Option<Uuid>,
        call: &Call,
        address: &str,
        form: &Fields,
    ) -> Result<Value, Refusal> {
        self.check_token_tenant(tenant)?;
        let client = form.client()?;
        let scope = form.get("scope");
        if scope.len() > KEPT_BYTES_MAX {
            return Err(Refusal::bad("invalid_scope", "The scope is too long."));
        }
        let begun = self.sign_ins.begin_device(address, client, scope, (self.clock)());
        let begun = begun.map_err(Refusal::busy)?;
        let address = format!("{}/devicelogin", call.base);
        let message = format!(
            "To sign in, open the page {address} in a browser and enter the code {}.",
            begun.user_code
        );
        Ok(json!({
            "device_code": begun.device_code,
            "user_code": begun.user_code,
            "verification_uri": address,
            "expires_in": SIGN_IN_MS / 1000,
            "interval": POLL_MS / 1000,
            "message": message,
        }))
    }

    fn check_token_tenant(&self, tenant: Option<Uuid>) -> Result<(), Refusal> {
        match tenant.filter(|tenant| *tenant != self.tenant) {
            Some(tenant) => {
                let message =
                    format!("AADSTS90002: Tenant '{tenant}' not found. It is {} here.", self.tenant);
                Err(Refusal::bad("invalid_request", &message))
            }
            None => Ok(()),
        }
    }

    async fn answer(
        &self,
        tenant: Option<Uuid>,
        version: TokenVersion,
        call: &Call,
        form: &Fields,
    ) -> Result<Value, Refusal> {
        self.check_token_tenant(tenant)?;
        let granted = self.granted(call, form).await?;
        let scopes = match (form.get("scope"), &granted.person) {
            // It was said when the sign-in began.
            ("", Some(person)) => &person.scope,
            (scopes, _) => scopes,
        };
        let audience = match version {
            TokenVersion::V1 => form.get("resource"),
            TokenVersion::V2 => scopes.split_whitespace().find(|scope| !is_openid(scope)).unwrap_or_default(),
        };
        let audience = audience
            .strip_suffix("/.default")
            .or(audience.strip_suffix("/user_impersonation"))
            .unwrap_or(audience);
        let audience = match (audience, &granted.person) {
            // Who asks for no more than to know who it is gets what Azure's clients want most.
            ("", Some(_)) => MANAGEMENT,
            (audience, _) => audience,
        };
        // Clients that are told another address of Azure's API ask for a token for that address.
        let issued_for = if self.is_own_address(audience, call) { MANAGEMENT } else { audience };
        let issued = self.auth.issue_management_token(&granted.caller, issued_for).map_err(|_| {
            let message = format!(
                "AADSTS500011: The resource '{audience}' is unknown: ask for https://management.azure.com/.default or {}/.default.",
                call.base
            );
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
        if let Some(person) = &granted.person {
            let asks_for = |wanted: &str| scopes.split_whitespace().any(|scope| scope == wanted);
            let is_first = version == TokenVersion::V1;
            if is_first || asks_for("offline_access") {
                let renewal = self.auth.issue_renewal_token(&granted.caller, person.client);
                document["refresh_token"] = renewal.map_err(|_| Refusal::failed())?.token.into();
            }
            if is_first || asks_for("openid") {
                let (issuer, client) = (issuer(&call.base, self.tenant), person.client.to_string());
                let nonce = person.nonce.as_deref();
                let token = self.auth.issue_id_token(&granted.caller, &issuer, &client, nonce);
                document["id_token"] = token.map_err(|_| Refusal::failed())?.into();
            }
            if form.get("client_info") == "1" {
                document["client_info"] = self.client_info(&granted.caller).into();
            }
        }
        Ok(document)
    }

    /// True if the audience is an address of this server: the one that the client uses, the domain of the
    /// registries or a name beneath it, or a loopback address, at any port.
    fn is_own_address(&self, audience: &str, call: &Call) -> bool {
        let audience = audience.trim_end_matches('/');
        if audience.eq_ignore_ascii_case(call.base.trim_end_matches('/')) {
            return true;
        }
        let Ok(uri) = audience.parse::<Uri>() else { return false };
        let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
        // More than an address names something else.
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let Some(authority) = uri.authority().filter(|_| is_web && is_bare) else { return false };
        if authority.as_str().contains('@') {
            return false;
        }
        let host = authority.host().to_ascii_lowercase();
        let own = call.host.strip_suffix(call.port()).unwrap_or(&call.host);
        let domain = self.domain.name.to_ascii_lowercase();
        let is_beneath =
            host.strip_suffix(&domain).is_some_and(|name| name.is_empty() || name.ends_with('.'));
        let is_loopback = ["localhost", "127.0.0.1", "[::1]"].contains(&host.as_str());
        is_loopback || is_beneath || host.eq_ignore_ascii_case(own)
    }

    /// By what Azure's clients tell accounts apart.
    pub(crate) fn client_info(&self, caller: &Caller) -> String {
        URL_SAFE_NO_PAD.encode(json!({ "uid": caller.id, "utid": self.tenant }).to_string())
    }

    async fn granted(&self, call: &Call, form: &Fields) -> Result<Granted, Refusal> {
        let now_ms = (self.clock)();
        match form.get("grant_type") {
            "client_credentials" if !form.get("client_assertion").is_empty() => {
                let caller = self.asserted(call, form).await?;
                Ok(Granted { caller, person: None })
            }
            "client_credentials" => {
                let caller = self.auth.password(form.get("client_id"), form.get("client_secret")).await?;
                Ok(Granted { caller, person: None })
            }
            "password" => {
                let signed_in = self.auth.password(form.get("username"), form.get("password")).await;
                let caller = signed_in.map_err(Refusal::of_person)?;
                // Scripts that name no program get a token, and nothing by which to go on.
                let client = form.client().ok();
                Ok(Granted { caller, person: client.map(Person::of) })
            }
            "refresh_token" => {
                let client = form.client()?;
                let caller = self.auth.renew(form.get("refresh_token"), client).await.map_err(|error| match error {
                    TokenError::Store(error) => Refusal::from(AuthError::Store(error)),
                    TokenError::Expired => Refusal::bad(
                        "invalid_grant",
                        "AADSTS700082: The refresh token has expired due to inactivity: sign in again.",
                    ),
                    TokenError::Invalid | TokenError::UnknownPrincipal => Refusal::bad(
                        "invalid_grant",
                        "AADSTS50173: The provided grant is not one of this client, or was revoked: sign in again.",
                    ),
                })?;
                Ok(Granted { caller, person: Some(Person::of(client)) })
            }
            "authorization_code" => {
                let client = form.client()?;
                let (code, redirect) = (form.get("code"), form.get("redirect_uri"));
                let redeemed =
                    self.sign_ins.redeem(code, client, redirect, form.get("code_verifier"), now_ms);
                let code = redeemed.ok_or_else(|| {
                    Refusal::bad(
                        "invalid_grant",
                        "AADSTS70008: The authorization code is unknown, has been used or has expired, or it is another \
                         client's: sign in again.",
                    )
                })?;
                let person = Person { client, nonce: code.nonce, scope: code.scope };
                Ok(Granted { caller: code.caller, person: Some(person) })
            }
            DEVICE_GRANT | "device_code" => {
                let client = form.client()?;
                // The first generation calls it `code`.
                let code = Some(form.get("device_code")).filter(|code| !code.is_empty());
                match self.sign_ins.poll(code.unwrap_or(form.get("code")), client, now_ms) {
                    Polled::Granted(caller, scope) => {
                        let person = Person { scope, ..Person::of(client) };
                        Ok(Granted { caller: *caller, person: Some(person) })
                    }
                    Polled::Pending => Err(Refusal::bad(
                        "authorization_pending",
                        "AADSTS70016: The user has not entered the code yet: ask again.",
                    )),
                    Polled::TooSoon => Err(Refusal::bad(
                        "slow_down",
                        "AADSTS70016: Ask again no sooner than every 5 seconds.",
                    )),
                    Polled::Unknown => Err(Refusal::bad(
                        "expired_token",
                        "AADSTS70020: The code is unknown or has expired: begin again.",
                    )),
                }
            }
            other => {
                let message = format!("AADSTS70003: The grant type '{other}' is not supported.");
                Err(Refusal::bad("unsupported_grant_type", &message))
            }
        }
    }
}

impl Api {
    /// Whoever has signed the form's assertion (RFC 7523, section 2.2).
    async fn asserted(&self, call: &Call, form: &Fields) -> Result<Caller, Refusal> {
        if form.get("client_assertion_type") != ASSERTION_TYPE {
            let message = format!("AADSTS50012: The client_assertion_type is {ASSERTION_TYPE}.");
            return Err(Refusal::bad("invalid_request", &message));
        }
        let authority = format!("{}/{}", call.base, self.tenant);
        let endpoints = [
            format!("{authority}/oauth2/v2.0/token"),
            format!("{authority}/oauth2/token"),
            issuer(&call.base, self.tenant),
            format!("{}{}", call.base, call.path),
        ];
        let asserted =
            self.auth.assertion(form.get("client_id"), form.get("client_assertion"), &endpoints).await;
        asserted.map_err(|error| match error {
            AuthError::BadCredentials => Refusal {
                status: StatusCode::UNAUTHORIZED,
                ..Refusal::bad(
                    "invalid_client",
                    "AADSTS700027: The client is unknown, or its assertion is not signed by a key that it has, has \
                     expired, or is meant for another audience.",
                )
            },
            other => other.into(),
        })
    }
}

/// What a grant came to.
struct Granted {
    caller: Caller,
    /// `None`: a program acts for itself.
    person: Option<Person>,
}

/// A program to which somebody signed in.
struct Person {
    client: Uuid,
    nonce: Option<String>,
    /// What was asked for when the sign-in began.
    scope: String,
}

impl Person {
    fn of(client: Uuid) -> Self {
        Self { client, nonce: None, scope: String::new() }
    }
}

/// A form's fields, or a query's.
pub(crate) struct Fields(pub(crate) Vec<(String, String)>);

impl Fields {
    /// Nothing if there is none of that name.
    pub(crate) fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// The program that asks: its id is its own affair, as nobody registers programs here.
    pub(crate) fn client(&self) -> Result<Uuid, Refusal> {
        Uuid::parse_str(self.get("client_id")).map_err(|_| {
            let message = "AADSTS900144: The request must have a 'client_id' that is a GUID.";
            Refusal::bad("invalid_request", message)
        })
    }
}

fn respond(answered: Result<Value, Refusal>) -> Response {
    let mut response = match answered {
        Ok(document) => (StatusCode::OK, axum::Json(document)).into_response(),
        Err(refusal) => refusal.into_response(),
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn issuer(base: &str, tenant: Uuid) -> String {
    format!("{base}/{tenant}/v2.0")
}

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
const MANAGEMENT: &str = "https://management.azure.com";
const OPENID_SCOPES: [&str; 4] = ["openid", "profile", "offline_access", "email"];

fn is_openid(scope: &str) -> bool {
    OPENID_SCOPES.contains(&scope)
}

/// A refusal as OAuth writes it (RFC 6749, section 5.2).
pub(crate) struct Refusal {
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

    fn busy(retry_after_s: u64) -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        let message = format!("too many sign-ins are under way: wait {retry_after_s} seconds");
        Self { status, retry_after_s: Some(retry_after_s), ..Self::bad("temporarily_unavailable", &message) }
    }

    fn failed() -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self { status, ..Self::bad("server_error", "the server failed; its log says why") }
    }

    /// A person's password is a grant, not a client's authentication (RFC 6749, section 5.2).
    fn of_person(error: AuthError) -> Self {
        match error {
            AuthError::BadCredentials => Self::bad(
                "invalid_grant",
                "AADSTS50126: Error validating credentials due to invalid username or password.",
            ),
            AuthError::ExpiredSecret => Self::bad("invalid_grant", "AADSTS50055: The password is expired."),
            other => other.into(),
        }
    }

    fn into_response(self) -> Response {
        let document = self.document();
        self.written(document)
    }

    /// As the clients of machines' endpoints read it.
    fn into_machine_response(self) -> Response {
        let mut document = self.document();
        document["statusCode"] = self.status.as_u16().into();
        document["message"] = self.description.as_str().into();
        self.written(document)
    }

    fn document(&self) -> Value {
        // `AADSTS7000215: …` has its number once more for programs.
        let digits = self.description.strip_prefix("AADSTS").and_then(|rest| rest.split_once(':'));
        let codes: Vec<u64> = digits.and_then(|(digits, _)| digits.parse().ok()).into_iter().collect();
        json!({ "error": self.error, "error_description": self.description, "error_codes": codes })
    }

    fn written(self, document: Value) -> Response {
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
                tracing::error!(error = &error as &dyn std::error::Error, "a token request failed");
                Self::failed()
            }
        }
    }
}
