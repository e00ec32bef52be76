//! Who is calling, and whether they may (Docker token authentication specification).

use std::sync::Arc;

use auth::{
    Access, Action, AuthError, Caller, Entrance, RegistryClaims, ResourceAccess, TokenError, repository_scope,
};
use axum::http::header::{ALLOW, AUTHORIZATION, HOST, HeaderValue, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use base64::Engine as _;
use oci::Repository;

use crate::error::ApiError;
use crate::query::Parameters;
use crate::route::Target;
use crate::{Api, SERVICE};

/// Who sent a request.
pub(crate) enum Identity {
    /// Without credentials.
    Nobody,
    /// By name and secret, with each request.
    Caller(Caller),
    /// By a token of ours.
    Token(Arc<RegistryClaims>),
}

impl Identity {
    pub(crate) fn is_nobody(&self) -> bool {
        matches!(self, Self::Nobody)
    }

    /// The name that it logs in by, if the request says it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Caller(caller) => &caller.name,
            Self::Nobody | Self::Token(_) => "",
        }
    }

    /// What uploads and manifests remember of who pushed them.
    pub(crate) fn principal(&self) -> String {
        match self {
            Self::Nobody => String::new(),
            Self::Caller(caller) => caller.id.to_string(),
            Self::Token(claims) => claims.subject.map(|id| id.to_string()).unwrap_or_default(),
        }
    }
}

/// What a request takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Needed {
    /// To be somebody, or to have a token at all.
    Anything,
    Catalog,
    Repository {
        name: Repository,
        access: Access,
    },
}

impl Needed {
    /// What it takes to do `method` with `target`.
    ///
    /// # Errors
    /// 405, naming the methods that there are.
    pub(crate) fn by(target: &Target, method: &Method) -> Result<Self, ApiError> {
        let (name, methods) = Self::methods(target);
        let found = methods.iter().find(|(known, _)| known == method);
        let Some((_, access)) = found else {
            let message = format!("{method} is not possible here");
            return Err(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message)
                .with(ALLOW, Self::allowed(target)));
        };
        Ok(match (target, name) {
            (Target::Catalog | Target::AcrCatalog | Target::DeletedCatalog, _) => Self::Catalog,
            (_, Some(name)) => Self::Repository { name: name.clone(), access: *access },
            (_, None) => Self::Anything,
        })
    }

    /// The repository that a blob is to be mounted from.
    pub(crate) fn source(target: &Target, method: &Method, parameters: &Parameters) -> Option<Self> {
        let is_mount = matches!(target, Target::Uploads(_)) && method == Method::POST;
        parameters.get("mount").filter(|_| is_mount)?;
        let name = parameters.get("from")?.parse().ok()?;
        Some(Self::Repository { name, access: Access::Pull })
    }

    /// The methods that a target knows, as `Allow` lists them (RFC 9110, section 10.2.1).
    pub(crate) fn allowed(target: &Target) -> HeaderValue {
        let names: Vec<_> = Self::methods(target).1.iter().map(|(name, _)| *name).collect();
        HeaderValue::from_str(&names.join(", ")).unwrap_or(HeaderValue::from_static("GET"))
    }

    /// What can be done with a target, and what it takes.
    pub(crate) fn methods(target: &Target) -> (Option<&Repository>, &'static [(&'static str, Access)]) {
        match target {
            Target::Ping | Target::Catalog | Target::AcrCatalog | Target::DeletedCatalog => {
                (None, &[("GET", Access::Catalog), ("HEAD", Access::Catalog)])
            }
            Target::AcrRepository(name) | Target::AcrManifest(name, _) | Target::AcrTag(name, _) => {
                let methods = &[
                    ("GET", Access::MetadataRead),
                    ("HEAD", Access::MetadataRead),
                    ("PATCH", Access::MetadataWrite),
                    ("DELETE", Access::Delete),
                ];
                (Some(name), methods)
            }
            Target::Tags(name) | Target::AcrManifests(name) | Target::AcrTags(name) => {
                (Some(name), &[("GET", Access::MetadataRead), ("HEAD", Access::MetadataRead)])
            }
            Target::DeletedManifests(name) | Target::DeletedTags(name) => {
                (Some(name), &[("GET", Access::DeletedRead), ("HEAD", Access::DeletedRead)])
            }
            Target::DeletedManifest(name, _) => (Some(name), &[("POST", Access::DeletedRestore)]),
            Target::Referrers(name, _) => (Some(name), &[("GET", Access::Pull), ("HEAD", Access::Pull)]),
            Target::Manifest(name, _) => (
                Some(name),
                &[
                    ("GET", Access::Pull),
                    ("HEAD", Access::Pull),
                    ("PUT", Access::Push),
                    ("DELETE", Access::Delete),
                ],
            ),
            Target::Blob(name, _) => {
                (Some(name), &[("GET", Access::Pull), ("HEAD", Access::Pull), ("DELETE", Access::Delete)])
            }
            Target::Uploads(name) => (Some(name), &[("POST", Access::Push)]),
            Target::Upload(name, _) => (
                Some(name),
                &[
                    ("GET", Access::Push),
                    ("PATCH", Access::Push),
                    ("PUT", Access::Push),
                    ("DELETE", Access::Push),
                ],
            ),
        }
    }

    /// What it is, by Azure's names.
    pub(crate) fn action(&self) -> &'static str {
        let action = match self {
            Self::Anything | Self::Catalog => Action::Pull,
            Self::Repository { access, .. } => match access {
                Access::Push => Action::Push,
                Access::Delete => Action::Delete,
                Access::MetadataRead => Action::ReadArtifactMetadata,
                Access::MetadataWrite => Action::WriteArtifactMetadata,
                Access::DeletedRead => Action::ReadDeleted,
                Access::DeletedRestore => Action::RestoreDeleted,
                Access::Pull | Access::Catalog => Action::Pull,
            },
        };
        action.name()
    }

    /// The ARM id of what it is for, in a registry.
    pub(crate) fn resource(&self, registry: &str) -> String {
        match self {
            Self::Anything | Self::Catalog => registry.to_owned(),
            Self::Repository { name, .. } => repository_scope(registry, name.as_str()),
        }
    }

    fn scope(&self) -> Option<String> {
        Some(match self {
            Self::Anything => return None,
            Self::Catalog => "registry:catalog:*".to_owned(),
            Self::Repository { name, access } => {
                let actions = match access {
                    Access::Pull => "pull",
                    // A token that pushes must be able to look, too.
                    Access::Push => "pull,push",
                    Access::Delete => "delete",
                    Access::MetadataRead => "metadata_read",
                    Access::MetadataWrite => "metadata_write",
                    Access::DeletedRead => "deleted_read",
                    Access::DeletedRestore => "deleted_read,deleted_restore",
                    Access::Catalog => "*",
                };
                format!("repository:{name}:{actions}")
            }
        })
    }
}

/// The host and port that a request is for: a target in absolute form has it, as HTTP/2's `:authority` does, else
/// the header (RFC 9112, section 3.2.2; RFC 9113, section 8.3.1).
pub(crate) fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let host = uri.authority().map(axum::http::uri::Authority::as_str);
    host.or_else(|| headers.get(HOST)?.to_str().ok())
}

/// Sends clients to the token endpoint.
pub(crate) struct Challenger {
    realm: String,
    /// The host and port by which the client knows us.
    pub(crate) host: String,
}

impl Challenger {
    /// By the name that the client called us: it reaches us under that one.
    pub(crate) fn new(parts: &Parts) -> Result<Self, ApiError> {
        let host = host(&parts.headers, &parts.uri).unwrap_or("localhost");
        // It is quoted below, and sent back to whoever asked.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:-_[]".contains(&byte);
        if !host.bytes().all(is_plain) {
            return Err(ApiError::bad("UNSUPPORTED", "the Host header is not a valid host name"));
        }
        let base = parts.extensions.get::<Entrance>().cloned().unwrap_or_default().base(host);
        Ok(Self { realm: format!("{base}/token"), host: host.to_owned() })
    }

    /// Without blanks after the commas: Azure's Python client takes them for part of a name.
    fn header(&self, scope: Option<&str>, error: Option<&str>) -> HeaderValue {
        let mut challenge = format!("Bearer realm=\"{}\",service=\"{SERVICE}\"", self.realm);
        for (name, value) in [("scope", scope), ("error", error)] {
            if let Some(value) = value {
                challenge.push_str(&format!(",{name}=\"{value}\""));
            }
        }
        // Everything in it has passed a narrower grammar.
        HeaderValue::from_str(&challenge).unwrap_or(HeaderValue::from_static("Bearer"))
    }

    pub(crate) fn unauthorized(&self, scope: Option<&str>) -> ApiError {
        ApiError::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "authentication required")
            .with(WWW_AUTHENTICATE, self.header(scope, None))
    }

    fn refused(&self, scope: Option<&str>, error: &str, message: &str) -> ApiError {
        ApiError::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message)
            .with(WWW_AUTHENTICATE, self.header(scope, Some(error)))
    }
}

impl Api {
    /// Reads the credentials of a request.
    ///
    /// # Errors
    /// 401 for bad ones, 429 after too many.
    pub(crate) async fn identify(
        &self,
        challenger: &Challenger,
        headers: &HeaderMap,
    ) -> Result<Identity, ApiError> {
        let Some(header) = headers.get(AUTHORIZATION) else { return Ok(Identity::Nobody) };
        let invalid = || {
            challenger.refused(None, "invalid_token", "the Authorization header is neither Basic nor Bearer")
        };
        let (scheme, value) =
            header.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(invalid)?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return match self.auth.verify_registry_token(value.trim(), &self.home.audience) {
                Ok(claims) => Ok(Identity::Token(claims)),
                Err(error @ (TokenError::Expired | TokenError::Invalid | TokenError::UnknownPrincipal)) => {
                    Err(challenger.refused(None, "invalid_token", &error.to_string()))
                }
                Err(TokenError::Store(error)) => Err(error.into()),
            };
        }
        let credentials = basic(headers).ok_or_else(invalid)?;
        match self.authenticate(&credentials.0, &credentials.1).await {
            Ok(caller) => Ok(Identity::Caller(caller)),
            Err(AuthError::BadCredentials) => Err(challenger.unauthorized(None)),
            Err(error) => Err(error.into()),
        }
    }

    /// By name and secret; under the name that Azure gives to nobody the secret is a refresh token
    /// (`az acr login --expose-token`).
    ///
    /// # Errors
    /// [`AuthError`].
    pub(crate) async fn authenticate(&self, name: &str, secret: &str) -> Result<Caller, AuthError> {
        if name != TOKEN_NAME {
            return self.auth.sign_in(&self.home, name, secret).await;
        }
        self.auth.refresh(secret, &self.home).await.map_err(|error| match error {
            TokenError::Store(error) => AuthError::Store(error),
            _ => AuthError::BadCredentials,
        })
    }

    /// Lets a request through, or says what it lacks. A mount needs its `source`, too, as far as the caller may pull
    /// there: without that right it is an upload.
    ///
    /// # Errors
    /// 401 if credentials or another token would help, 403 if nothing would. That a repository does
    /// not exist makes no difference to either.
    pub(crate) async fn authorize(
        &self,
        challenger: &Challenger,
        identity: &Identity,
        needed: &Needed,
        source: Option<&Needed>,
    ) -> Result<(), ApiError> {
        let scopes: Vec<_> = [Some(needed), source].into_iter().flatten().filter_map(Needed::scope).collect();
        let scope = Some(scopes.join(" ")).filter(|scope| !scope.is_empty());
        let (says, holder) = match identity {
            Identity::Nobody => return Err(challenger.unauthorized(scope.as_deref())),
            Identity::Caller(caller) => (true, caller.clone()),
            Identity::Token(claims) => {
                let gone = || {
                    let message = "the token's owner was deleted, or has another secret now";
                    challenger.refused(None, "invalid_token", message)
                };
                let holder = self.auth.holder(&self.home, claims).await?.ok_or_else(gone)?;
                let shows_source =
                    source.is_none_or(|source| claims_allow(claims, source) || !self.allows(&holder, source));
                (claims_allow(claims, needed) && shows_source, holder)
            }
        };
        match (says, self.allows(&holder, needed)) {
            (true, true) => Ok(()),
            // Nobody in particular gets further by saying who they are.
            (_, false) if holder.id.is_nil() => Err(challenger.unauthorized(scope.as_deref())),
            (_, false) => Err(ApiError::new(StatusCode::FORBIDDEN, "DENIED", "your roles do not allow this")),
            (false, true) => {
                let message = "the token does not allow this: get one with the scope of the challenge";
                Err(challenger.refused(scope.as_deref(), "insufficient_scope", message))
            }
        }
    }

    /// True if the credentials themselves allow this, and whoever holds them may do it now: a token may have been
    /// asked for to do less than its principal could, and a right may have been taken away since.
    pub(crate) async fn shows_right(
        &self,
        identity: &Identity,
        name: &Repository,
        access: Access,
    ) -> Result<bool, ApiError> {
        let needed = Needed::Repository { name: name.clone(), access };
        let says = match identity {
            Identity::Nobody => false,
            Identity::Caller(_) => true,
            Identity::Token(claims) => claims_allow(claims, &needed),
        };
        Ok(says && self.caller_behind(identity).await?.is_some_and(|holder| self.allows(&holder, &needed)))
    }

    fn allows(&self, caller: &Caller, needed: &Needed) -> bool {
        match needed {
            Needed::Anything => true,
            Needed::Catalog => self.may_list(caller),
            Needed::Repository { name, access } => self.may(caller, name.as_str(), *access),
        }
    }

    /// True if the caller's roles allow this with the repository.
    pub(crate) fn may(&self, caller: &Caller, repository: &str, access: Access) -> bool {
        let action = match access {
            Access::Pull => Action::Pull,
            Access::Push => Action::Push,
            Access::Delete => Action::Delete,
            Access::MetadataRead => Action::ReadArtifactMetadata,
            Access::MetadataWrite => Action::WriteArtifactMetadata,
            Access::DeletedRead => Action::ReadDeleted,
            Access::DeletedRestore => Action::RestoreDeleted,
            Access::Catalog => return false,
        };
        caller.may(action, &repository_scope(&self.resource, repository))
    }

    /// True if there is something in the catalogue that the caller may see.
    pub(crate) fn may_list(&self, caller: &Caller) -> bool {
        caller.may(Action::ListCatalog, &self.resource)
            || caller.may_within(Action::ReadArtifactMetadata, &self.resource)
    }

    /// True if the catalogue shows the repository to the caller.
    pub(crate) fn is_listed(&self, caller: &Caller, repository: &Repository) -> bool {
        caller.may(Action::ListCatalog, &self.resource)
            || self.may(caller, repository.as_str(), Access::MetadataRead)
    }

    /// Whoever is behind a request, with the rights held now.
    pub(crate) async fn caller_behind(&self, identity: &Identity) -> Result<Option<Caller>, ApiError> {
        Ok(match identity {
            Identity::Nobody => None,
            Identity::Caller(caller) => Some(caller.clone()),
            Identity::Token(claims) => self.auth.holder(&self.home, claims).await?,
        })
    }
}

fn claims_allow(claims: &RegistryClaims, needed: &Needed) -> bool {
    let has = |kind: &str, name: &str, access: Access| {
        let is_it = |entry: &&ResourceAccess| entry.kind == kind && entry.name == name;
        claims.access.iter().filter(is_it).any(|entry| entry.actions.contains(&access))
    };
    // Docker's clients know no word for metadata: a token that pulls reads it, as far as its holder may.
    let (access, name) = match needed {
        Needed::Anything => return true,
        Needed::Catalog => return has("registry", "catalog", Access::Catalog),
        Needed::Repository { name, access } => (*access, name.as_str()),
    };
    let also = match access {
        Access::MetadataRead => Access::Pull,
        Access::MetadataWrite => Access::Push,
        other => other,
    };
    has("repository", name, access) || has("repository", name, also)
}

/// The name and secret of a Basic `Authorization` header (RFC 7617).
pub(crate) fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, value) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(value.trim()).ok()?;
    let (name, secret) =
        String::from_utf8(decoded).ok()?.split_once(':').map(|(a, b)| (a.to_owned(), b.to_owned()))?;
    Some((name, secret))
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        let message = error.to_string();
        match error {
            AuthError::BadCredentials | AuthError::ExpiredSecret => {
                Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message)
            }
            AuthError::TooManyAttempts { retry_after_s } => Self::too_many(message, retry_after_s),
            AuthError::Store(error) => error.into(),
        }
    }
}

const TOKEN_NAME: &str = "00000000-0000-0000-0000-000000000000";
