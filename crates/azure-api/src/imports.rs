//! `importImage`: brings an image of another registry, of the house or elsewhere, into one of the house.
//!
//! What is there soon is answered with 200. For what takes longer the answer is 202 and the address of an
//! operation, to be asked until it has ended (Azure's asynchronous operations by `Location`); so it is at once for
//! who sends `Prefer: respond-async` (RFC 7240, section 4.1). An operation that a
//! restart has ended is unknown afterwards; to import again goes on where it stood.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use assessment::Ruling;
use auth::{Action, AuthError, Caller, Home, Witness, repository_scope};
use axum::body::Body;
use axum::http::header::{HeaderValue, LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use metastore::{Alteration, AlteredField, Fate, Origin, RegistryId};
use mirror::{ImportError, Importer, Source, check_ordinary};
use oci::{Digest, Reference, Repository, Tag};
use parking_lot::Mutex;
use registry::{PutManifestError, Registry, StoreError, UploadError};
use serde::Deserialize;
use upstream::{Credentials, Host, Limits, Reach, Upstream, UpstreamError};
use uuid::Uuid;

use crate::arm::{self, Scope};
use crate::body::{Kind, read};
use crate::error::ArmError;
use crate::{Api, Call};

/// What imports need: the registry's engine, and which registries in private networks may be asked, by cache rules, too.
#[derive(Clone)]
pub struct Imports {
    registry: Registry,
    known: Arc<[Host]>,
    under_way: Arc<Mutex<HashMap<Uuid, Operation>>>,
}

impl Imports {
    /// Imports into `registry`. Callers may name any registry at a public address, and those of `known` wherever
    /// they are.
    #[must_use]
    pub fn new(registry: Registry, known: Vec<Host>) -> Self {
        Self { registry, known: known.into(), under_way: Arc::default() }
    }

    /// The host as the operator has named it, if that was done.
    pub(crate) fn known(&self, host: &Host) -> Option<&Host> {
        self.known.iter().find(|known| known.name() == host.name())
    }
}

/// An import that takes longer.
struct Operation {
    by: Uuid,
    subscription: Uuid,
    /// When it ended, in milliseconds since 1970 (UTC), and how.
    ended: Option<(i64, Result<(), ArmError>)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ImportBody {
    source: SourceBody,
    #[serde(default)]
    target_tags: Option<Vec<String>>,
    #[serde(default)]
    untagged_target_repositories: Option<Vec<String>>,
    #[serde(default)]
    mode: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SourceBody {
    #[serde(default)]
    resource_id: Option<String>,
    #[serde(default)]
    registry_uri: Option<String>,
    #[serde(default)]
    credentials: Option<CredentialsBody>,
    source_image: String,
}

#[derive(Deserialize)]
struct CredentialsBody {
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: String,
}

/// An import that is possible as far as we know.
struct Order {
    registry: RegistryId,
    source: Source,
    reference: Reference,
    targets: BTreeMap<Repository, Vec<Tag>>,
}

impl Api {
    /// Begins an import, and waits for its end for a while.
    pub(crate) async fn import_image(
        &self,
        caller: &Caller,
        scope: &Scope,
        call: &Call,
        (headers, witness): (&HeaderMap, &Witness),
        body: Body,
    ) -> Result<Response, ArmError> {
        let target = self.registry_for(caller, scope, Action::ImportImage).await?;
        let body: ImportBody = read(body, &IMPORT).await?;
        let targets = targets_of(&body)?;
        let is_forced = match body.mode.as_deref() {
            None => false,
            Some(mode) if mode.eq_ignore_ascii_case("NoForce") => false,
            Some(mode) if mode.eq_ignore_ascii_case("Force") => true,
            Some(mode) => {
                return Err(ArmError::bad(
                    "InvalidImportMode",
                    format!("mode must be NoForce or Force, not '{mode}'."),
                ));
            }
        };
        for (repository, tags) in &targets {
            check_ordinary(&self.metastore, target.id, repository).await.map_err(refused)?;
            for tag in tags.iter().filter(|_| !is_forced) {
                let found = self.imports.registry.tag_row(target.id, repository, tag).await;
                if found.map_err(store_refused)?.is_some() {
                    let message = format!(
                        "The tag '{repository}:{tag}' exists in '{}': import with mode Force to move it.",
                        target.name
                    );
                    return Err(ArmError::new(StatusCode::CONFLICT, "Conflict", message));
                }
            }
        }
        let (repository, reference) = image(&body.source.source_image)?;
        let source = self.source(caller, call, &body.source, &repository, &reference).await?;
        let order = Order { registry: target.id, source, reference, targets };
        let user_agent = headers.get(axum::http::header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        let origin = Origin {
            principal: caller.id.to_string(),
            request_id: witness.request_id().to_string(),
            host: call.host.clone(),
            method: "POST".to_owned(),
            user_agent: user_agent.unwrap_or_default().chars().take(USER_AGENT_LEN_MAX).collect(),
            address: witness.address().to_owned(),
        };
        tracing::info!(
            registry = target.name, image = body.source.source_image, principal = %caller.id, "an import begins"
        );
        metastore::note(told(&body, &target.name, &order.targets));
        let prefers = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        let wait = if prefers.flat_map(|value| value.split(',')).any(|it| it.trim() == "respond-async") {
            Duration::ZERO
        } else {
            WAIT
        };
        self.carry_out((caller, origin), (scope.subscription, &target.location), call, order, wait).await
    }

    async fn carry_out(
        &self,
        (caller, origin): (&Caller, Origin),
        (subscription, location): (Uuid, &str),
        call: &Call,
        order: Order,
        wait: Duration,
    ) -> Result<Response, ArmError> {
        let id = Uuid::new_v4();
        let operation = Operation { by: caller.id, subscription, ended: None };
        self.imports.begin(id, operation, (self.clock)())?;
        let registry = self.imports.registry.on_behalf_of(origin);
        let importer = Importer::new(registry, order.registry, &caller.id.to_string());
        let (imports, clock) = (self.imports.clone(), Arc::clone(&self.clock));
        let mut running = tokio::spawn(metastore::noted(async move {
            // One more task: should it panic, the operation ends all the same.
            let ended = tokio::spawn(metastore::noted(async move { copy(&importer, order).await })).await;
            let ended = ended.unwrap_or_else(|error| Err(failed(&error)));
            imports.end(id, clock(), ended);
        }));
        if tokio::time::timeout(wait, &mut running).await.is_ok()
            && let Some(ended) = self.imports.take(id)
        {
            return ended.map(|()| StatusCode::OK.into_response());
        }
        let version = call.query.get("api-version").unwrap_or_default();
        let address = format!(
            "{}/subscriptions/{subscription}/providers/Microsoft.ContainerRegistry/locations/{location}/operationResults/\
             {id}?api-version={version}",
            call.base
        );
        Ok(pending(HeaderValue::from_str(&address).ok()))
    }

    /// How an import stands: 202 while it is under way, then 200, or why it failed.
    pub(crate) async fn import_result(
        &self,
        caller: &Caller,
        subscription: Uuid,
        id: &str,
    ) -> Result<Response, ArmError> {
        self.check_known(caller, subscription, Action::ReadRegistry).await?;
        let under_way = self.imports.under_way.lock();
        let found = Uuid::parse_str(id).ok().and_then(|id| under_way.get(&id));
        let found = found.filter(|it| it.by == caller.id && it.subscription == subscription);
        match found.map(|operation| operation.ended.clone()) {
            Some(None) => Ok(pending(None)),
            Some(Some((_, ended))) => ended.map(|()| StatusCode::OK.into_response()),
            None => Err(ArmError::not_found(
                "OperationNotFound",
                format!(
                    "There is no operation '{id}' that this caller began, or the server was restarted since: import again."
                ),
            )),
        }
    }

    /// Where the image comes from.
    async fn source(
        &self,
        caller: &Caller,
        call: &Call,
        body: &SourceBody,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Source, ArmError> {
        let credentials = body.credentials.as_ref();
        let (own, named) = match (&body.resource_id, &body.registry_uri) {
            (Some(_), Some(_)) => {
                let message = "The source has a resourceId or a registryUri, and not both.";
                return Err(ArmError::bad("InvalidImportSource", message));
            }
            (Some(id), None) => (Some(self.registry_of_id(id).await?), id.as_str()),
            (None, Some(uri)) => (self.registry_at(call, uri).await?, uri.as_str()),
            (None, None) => {
                return Err(ArmError::bad(
                    "InvalidImportSource",
                    "The source needs a resourceId or a registryUri.",
                ));
            }
        };
        let Some(own) = own else { return self.elsewhere(named, credentials, repository) };
        let by_secret = match credentials {
            None => None,
            Some(given) => {
                let home = Home::of(own.clone(), false);
                let name = given.username.as_deref().unwrap_or_default();
                let signed_in = self.auth.sign_in(&home, name, &given.password).await;
                Some(signed_in.map_err(|error| match error {
                    AuthError::Store(error) => ArmError::from(error),
                    error => ArmError::bad("SourceAccessDenied", format!("'{named}' refuses: {error}.")),
                })?)
            }
        };
        let reader = by_secret.as_ref().unwrap_or(caller);
        let scope = repository_scope(&own.resource_id(), repository.as_str());
        if !reader.may(Action::Pull, &scope) {
            return Err(ArmError::forbidden(reader, Action::Pull.name(), &own.resource_id()));
        }
        let found = self.imports.registry.manifest(own.id, repository, reference).await;
        let missing = || {
            ArmError::not_found("ImageNotFound", format!("'{named}' has no image '{}'.", body.source_image))
        };
        let found = found.map_err(store_refused)?.ok_or_else(missing)?;
        let blocked = match &found.ruling {
            _ if found.is_quarantined => Some("it is in quarantine"),
            Ruling::Block(sentence) => Some(sentence.trim_end_matches('.')),
            Ruling::Pass(_) => None,
        };
        if let Some(blocked) = blocked.filter(|_| !reader.may(Action::ReadQuarantined, &scope)) {
            let message = format!("'{}' may not be imported: {blocked}.", body.source_image);
            return Err(ArmError::new(StatusCode::FORBIDDEN, "ImageBlocked", message));
        }
        Ok(Source::House { registry: own.id, repository: repository.clone() })
    }

    async fn registry_of_id(&self, id: &str) -> Result<metastore::Registry, ArmError> {
        let segments: Vec<&str> = id.split('/').filter(|segment| !segment.is_empty()).collect();
        let folded: Vec<String> = segments.iter().map(|segment| segment.to_ascii_lowercase()).collect();
        let folded: Vec<&str> = folded.iter().map(String::as_str).collect();
        let scope = arm::scope(&segments, &folded)
            .filter(|(scope, length)| scope.registry.is_some() && *length == segments.len());
        let found = match scope {
            Some((scope, _)) => {
                self.metastore.registries().await?.into_iter().find(|found| scope.holds(found))
            }
            None => None,
        };
        found.ok_or_else(|| {
            ArmError::bad("InvalidImportSource", format!("There is no registry '{id}' on this server."))
        })
    }

    /// The registry of the house that is served at this host.
    async fn registry_at(&self, call: &Call, uri: &str) -> Result<Option<metastore::Registry>, ArmError> {
        let host = uri.split_once("://").map_or(uri, |(_, host)| host).trim_end_matches('/');
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let name = name.to_ascii_lowercase();
        let of_domain = name.strip_suffix(&self.domain.name.to_ascii_lowercase());
        let of_domain = of_domain.and_then(|name| name.strip_suffix('.'));
        let is_default = host.eq_ignore_ascii_case(&call.host);
        if of_domain.is_none() && !is_default {
            return Ok(None);
        }
        let found = self.metastore.registries().await?.into_iter().find(|found| match of_domain {
            Some(name) => found.name.eq_ignore_ascii_case(name),
            None => found.id == self.domain.default,
        });
        let missing =
            || ArmError::bad("InvalidImportSource", format!("There is no registry '{uri}' on this server."));
        found.map(Some).ok_or_else(missing)
    }

    fn elsewhere(
        &self,
        uri: &str,
        credentials: Option<&CredentialsBody>,
        repository: &Repository,
    ) -> Result<Source, ArmError> {
        let invalid = |why: String| ArmError::bad("InvalidImportSource", why);
        let host: Host = uri.trim_end_matches('/').parse().map_err(|error| invalid(format!("{error}.")))?;
        let (host, reach) = match self.imports.known(&host) {
            Some(known) => (known.clone(), Reach::Anywhere),
            None if host.is_plain() => {
                return Err(invalid(format!(
                    "'{uri}' has no TLS: an operator allows it with `--import-from {uri}`."
                )));
            }
            None => (host, Reach::Public),
        };
        let credentials = credentials.map(|given| Credentials {
            // Azure's registries take a token as the password of nobody.
            username: given.username.clone().unwrap_or_else(|| Uuid::nil().to_string()),
            secret: given.password.clone(),
            realms: Vec::new(),
        });
        let repository = host.canonical(repository);
        let upstream = Upstream::new(host, credentials, reach, Limits::default());
        let upstream = upstream.map_err(|error| refused(error.into()))?;
        Ok(Source::Remote { upstream, repository })
    }
}

impl Imports {
    fn begin(&self, id: Uuid, operation: Operation, now_ms: i64) -> Result<(), ArmError> {
        let mut under_way = self.under_way.lock();
        under_way.retain(|_, it| it.ended.as_ref().is_none_or(|(ended_ms, _)| now_ms - ended_ms < KEPT_MS));
        if under_way.values().filter(|it| it.ended.is_none()).count() >= RUNNING_MAX {
            let message = format!("{RUNNING_MAX} imports are under way: try again when one has ended.");
            return Err(ArmError::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message));
        }
        if under_way.len() >= OPERATIONS_MAX {
            let ended = under_way.iter().filter_map(|(id, it)| Some((it.ended.as_ref()?.0, *id)));
            if let Some((_, oldest)) = ended.min() {
                under_way.remove(&oldest);
            }
        }
        under_way.insert(id, operation);
        Ok(())
    }

    fn end(&self, id: Uuid, now_ms: i64, ended: Result<(), ArmError>) {
        if let Some(operation) = self.under_way.lock().get_mut(&id) {
            operation.ended = Some((now_ms, ended));
        }
    }

    fn take(&self, id: Uuid) -> Option<Result<(), ArmError>> {
        let operation = self.under_way.lock().remove(&id)?;
        operation.ended.map(|(_, ended)| ended)
    }
}

async fn copy(importer: &Importer, order: Order) -> Result<(), ArmError> {
    let Order { registry, mut source, mut reference, targets } = order;
    for (repository, tags) in targets {
        let copied = importer.copy(&source, &reference, &repository, tags).await;
        let (digest, copied) = copied.map_err(refused)?;
        tracing::info!(
            %repository, %digest, manifests = copied.manifests, blobs = copied.blobs, bytes = copied.bytes,
            "an image was imported"
        );
        // The next one gets it from here.
        source = Source::House { registry, repository };
        reference = Reference::Digest(digest);
    }
    Ok(())
}

/// What the audit log says of an import, which may go on when the request is answered.
fn told(body: &ImportBody, registry: &str, targets: &BTreeMap<Repository, Vec<Tag>>) -> Alteration {
    let tagged = |(repository, tags): (&Repository, &Vec<Tag>)| {
        let tags: Vec<String> = tags.iter().map(|tag| format!("{repository}:{tag}")).collect();
        if tags.is_empty() { repository.to_string() } else { tags.join(",") }
    };
    let field =
        |name: &str, after: Option<String>| AlteredField { name: name.to_owned(), before: None, after };
    let targets: Vec<String> = targets.iter().map(tagged).collect();
    let source = &body.source;
    Alteration {
        fate: Fate::Made,
        kind: "import".to_owned(),
        name: source.source_image.clone(),
        of: registry.to_owned(),
        fields: vec![
            field("from", source.registry_uri.clone().or_else(|| source.resource_id.clone())),
            field("targets", Some(targets.join(","))),
            field("mode", body.mode.clone()),
        ],
    }
}

fn pending(location: Option<HeaderValue>) -> Response {
    let mut response = StatusCode::ACCEPTED.into_response();
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("2"));
    if let Some(location) = location {
        headers.insert(LOCATION, location);
    }
    response
}

/// The repositories that it shall be in, each with its tags.
fn targets_of(body: &ImportBody) -> Result<BTreeMap<Repository, Vec<Tag>>, ArmError> {
    let invalid = |text: &str, why: &dyn std::fmt::Display| {
        ArmError::bad("InvalidTarget", format!("'{text}' is not a valid target: {why}."))
    };
    let mut targets: BTreeMap<Repository, Vec<Tag>> = BTreeMap::new();
    for text in body.target_tags.iter().flatten() {
        let (name, tag) = text.rsplit_once(':').unwrap_or((text, "latest"));
        let repository = name.parse().map_err(|error| invalid(text, &error))?;
        let tag = tag.parse().map_err(|error| invalid(text, &error))?;
        targets.entry(repository).or_default().push(tag);
    }
    for text in body.untagged_target_repositories.iter().flatten() {
        targets.entry(text.parse().map_err(|error| invalid(text, &error))?).or_default();
    }
    match targets.len() {
        0 => Err(ArmError::bad(
            "InvalidTarget",
            "Name at least one of targetTags and untaggedTargetRepositories.",
        )),
        count if count > TARGETS_MAX => {
            Err(ArmError::bad("InvalidTarget", format!("One import has at most {TARGETS_MAX} repositories.")))
        }
        _ => Ok(targets),
    }
}

/// `app`, `app:1` or `app@sha256:…`.
fn image(text: &str) -> Result<(Repository, Reference), ArmError> {
    let invalid = |why: &dyn std::fmt::Display| {
        ArmError::bad("InvalidImportSource", format!("'{text}' is not a valid image: {why}."))
    };
    let (name, reference) = match (text.split_once('@'), text.rsplit_once(':')) {
        (Some((name, digest)), _) => {
            (name, Reference::Digest(digest.parse::<Digest>().map_err(|error| invalid(&error))?))
        }
        (None, Some((name, tag))) => {
            (name, Reference::Tag(tag.parse::<Tag>().map_err(|error| invalid(&error))?))
        }
        (None, None) => (text, Reference::Tag("latest".parse().map_err(|error| invalid(&error))?)),
    };
    Ok((name.parse().map_err(|error| invalid(&error))?, reference))
}

/// What stopped an import, for whoever asked for it.
fn refused(error: ImportError) -> ArmError {
    let message = format!("{error}.");
    match error {
        ImportError::Upstream(UpstreamError::NotFound { .. }) | ImportError::Missing { .. } => {
            ArmError::not_found("ImageNotFound", message)
        }
        ImportError::Upstream(UpstreamError::Denied { .. }) => ArmError::bad("SourceAccessDenied", message),
        ImportError::Upstream(UpstreamError::Forbidden { ref host, .. }) => ArmError::bad(
            "SourceForbidden",
            format!("{error}: an operator allows it with `--import-from {host}`."),
        ),
        ImportError::Upstream(
            UpstreamError::Redirected { .. }
            | UpstreamError::RealmElsewhere { .. }
            | UpstreamError::Wrong { .. },
        )
        | ImportError::Layout(_)
        | ImportError::File { .. }
        | ImportError::WrongSize { .. }
        | ImportError::Invalid { .. }
        | ImportError::TooMuch { .. } => ArmError::bad("InvalidImportSource", message),
        ImportError::Upstream(
            UpstreamError::Setup(_)
            | UpstreamError::Unreachable { .. }
            | UpstreamError::TooSlow { .. }
            | UpstreamError::TooMany { .. }
            | UpstreamError::Status { .. },
        ) => ArmError::new(StatusCode::BAD_GATEWAY, "SourceUnavailable", message),
        ImportError::Cached { .. } => ArmError::new(StatusCode::CONFLICT, "Conflict", message),
        ImportError::Upload(UploadError::Store(error))
        | ImportError::Put(PutManifestError::Store(error))
        | ImportError::Store(error) => store_refused(error),
        ImportError::Upload(_) | ImportError::Put(_) => ArmError::bad("InvalidImportSource", message),
    }
}

fn store_refused(error: StoreError) -> ArmError {
    let message = format!("{error}.");
    match error {
        StoreError::Locked(_) => ArmError::new(StatusCode::CONFLICT, "ArtifactLocked", message),
        StoreError::Metastore(error @ metastore::Error::OverQuota { .. }) => {
            ArmError::new(StatusCode::CONFLICT, "QuotaExceeded", format!("{error}."))
        }
        StoreError::Blobs(error) if error.is_full() => {
            tracing::error!(error = %error, "an import was refused");
            ArmError::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "InsufficientStorage",
                "The server's disk is full.",
            )
        }
        StoreError::Metastore(error) => error.into(),
        StoreError::Blobs(_) | StoreError::BytesLost { .. } => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> ArmError {
    tracing::error!(error = %error, "an import failed");
    ArmError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "InternalServerError",
        "The server failed; its log says why.",
    )
}

/// So long the first answer waits: errors are told at once, and no client gives up before.
const WAIT: Duration = Duration::from_secs(20);
/// How many imports run at once.
const RUNNING_MAX: usize = 8;
/// How many ended ones are known, and how long.
const OPERATIONS_MAX: usize = 1000;
const KEPT_MS: i64 = 3_600_000;
const TARGETS_MAX: usize = 100;
const USER_AGENT_LEN_MAX: usize = 200;

const IMPORT: Kind = Kind {
    what: "import",
    kept: &[
        "source.resourceId",
        "source.registryUri",
        "source.credentials.username",
        "source.credentials.password",
        "source.sourceImage",
        "targetTags",
        "untaggedTargetRepositories",
        "mode",
    ],
    shown: &[],
    fixed: &[],
};
