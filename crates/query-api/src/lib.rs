//! Resource Graph's door: queries over everything that the caller may read (azure-wire, section 3).
//!
//! [`Tables`] are the rows, kept up from the database by what changes; the language is `kql`'s. What is
//! not a request of Resource Graph goes on to the next door.

mod answers;
mod csv;
mod error;
mod facets;
mod quota;
mod request;
mod routes;
mod saved;
mod segments;
mod slots;
mod store;
mod tables;
mod view;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use auth::{Action, Auth, Caller};
use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, WARNING};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use kql::{Answer, Code, QueryError, Settings};
use metastore::Metastore;
use serde_json::{Value as Json, json};
use tokio::sync::oneshot;
use uuid::Uuid;

pub use csv::csv;
pub use routes::ROUTES;
pub use tables::{Hosts, Tables};
pub use view::{View, Viewer};

use answers::Answers;
use error::GraphError;
use quota::Quota;
use request::{Asked, Format, Page};
use slots::{Limits, Slots};

/// The time, in milliseconds since 1970 (UTC).
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What the door is made of.
#[derive(Clone)]
pub struct Graph {
    inner: Arc<Inner>,
}

struct Inner {
    metastore: Metastore,
    auth: Auth,
    tables: Tables,
    clock: Clock,
    quota: Quota,
    answers: Answers,
    slots: Slots,
}

/// Requests of one caller in five seconds, if the operator says nothing else: Azure's.
pub const QUERIES_PER_WINDOW: u32 = 15;

impl Graph {
    /// The door over these tables; each caller may ask `queries` times in five seconds.
    #[must_use]
    pub fn new(metastore: Metastore, auth: Auth, tables: Tables, clock: Clock, queries: u32) -> Self {
        let (answers, slots) = (Answers::default(), Slots::new(SLOTS));
        let inner = Inner { metastore, auth, tables, clock, quota: Quota::new(queries), answers, slots };
        Self { inner: Arc::new(inner) }
    }

    /// Answers what is Resource Graph's; the rest is for `next`.
    pub fn router(self, next: Router) -> Router {
        Router::new().fallback(move |request: Request| {
            let (graph, next) = (self.clone(), next.clone());
            async move {
                match Target::of(request.uri().path()) {
                    Some(target) => graph.serve(target, request).await,
                    None => match tower_call(next, request).await {
                        Ok(response) => response,
                        Err(never) => match never {},
                    },
                }
            }
        })
    }

    async fn serve(&self, target: Target, request: Request) -> Response {
        let began = Instant::now();
        let mut response = match self.answer(target, request).await {
            Ok(response) => response,
            Err(error) => error.into_response((self.inner.clock)()),
        };
        let headers = response.headers_mut();
        let request_id = Uuid::new_v4().to_string();
        let duration = timespan(began.elapsed());
        for (name, value) in [
            ("x-ms-request-id", request_id.as_str()),
            ("x-ms-correlation-request-id", request_id.as_str()),
            ("x-ms-resource-graph-request-duration", duration.as_str()),
            ("cache-control", "no-cache"),
            ("x-content-type-options", "nosniff"),
        ] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        response
    }

    async fn answer(&self, target: Target, request: Request) -> Result<Response, GraphError> {
        let authorization = request.headers().get(AUTHORIZATION).cloned();
        let witness = request.extensions().get::<auth::Witness>().cloned().unwrap_or_default();
        witness.asks_for(
            target.action(request.method()),
            request.uri().path().to_owned(),
            target.is_change(request.method()),
        );
        let authority = self.authority(&request);
        self.caller(authorization.as_ref(), &authority).await?;
        let version = request::api_version(request.uri())?;
        // Rights are looked at once the body is here: one that is held back is not answered with rights that are gone.
        let request = whole(request).await?;
        let caller = self.caller(authorization.as_ref(), &authority).await?;
        witness.is_from(&caller);
        match target {
            Target::Queries { subscription, group, name } => {
                saved::serve(self, &caller, subscription, group, name, request).await
            }
            Target::Resources if request.method() != Method::POST => Err(GraphError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "Queries are asked by POST.",
            )),
            Target::Resources => {
                let wants_csv = request
                    .headers()
                    .get(ACCEPT)
                    .is_some_and(|accept| accept.as_bytes().starts_with(b"text/csv"));
                let host = host(&request);
                let mut asked = asked(request, &version).await?;
                asked.host = host;
                let left = self.inner.quota.take(caller.id, (self.inner.clock)())?;
                let mut response = if wants_csv {
                    self.export(caller, asked).await?
                } else {
                    let (document, hidden) = self.page(caller, asked).await?;
                    let typed = [(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"))];
                    let mut response = (StatusCode::OK, typed, document.to_string()).into_response();
                    warn(&mut response, hidden.as_deref());
                    response
                };
                left.write(response.headers_mut());
                Ok(response)
            }
        }
    }

    /// Where tokens are to be had, as the client knows us.
    fn authority(&self, request: &Request) -> String {
        let host = host(request);
        let base = request.extensions().get::<auth::Entrance>().cloned().unwrap_or_default().base(&host);
        format!("{base}/{}", self.inner.tables.tenant())
    }

    async fn caller(&self, header: Option<&HeaderValue>, authority: &str) -> Result<Caller, GraphError> {
        let header = header.and_then(|header| header.to_str().ok());
        let token = header.and_then(|header| header.split_once(' '));
        let token =
            token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
        let Some(token) = token else {
            return Err(GraphError::unauthorized(
                "AuthenticationFailed",
                "Authentication failed. The 'Authorization' header is missing.",
                authority,
            ));
        };
        self.inner.auth.verify_management_token(token).await.map_err(|error| match error {
            auth::TokenError::Store(error) => error.into(),
            auth::TokenError::Expired => GraphError::unauthorized(
                "ExpiredAuthenticationToken",
                "The access token has expired.",
                authority,
            ),
            auth::TokenError::Invalid | auth::TokenError::UnknownPrincipal => GraphError::unauthorized(
                "InvalidAuthenticationToken",
                "The access token is invalid.",
                authority,
            ),
        })
    }

    /// The subscriptions and management groups that are asked about must be known to the caller.
    async fn view(&self, caller: &Caller, asked: &Asked) -> Result<View, GraphError> {
        let tenant = self.inner.tables.tenant();
        let mut wanted = asked.subscriptions()?;
        if let Some(group) = asked.unknown_groups(tenant).next()
            && !asked.options.allow_partial_scopes
        {
            let message = format!(
                "The management group '{group}' does not exist. There is one, the tenant's root, '{tenant}'. Leave it \
                 out, or allow partial scopes."
            );
            return Err(GraphError::bad("AccessDenied", message));
        }
        if asked.is_beside_the_root(tenant) {
            // Of those groups nothing is known: what else was named is all there is.
            wanted.get_or_insert_default();
        }
        let view =
            self.inner.tables.view(Viewer::Caller(caller.clone()), wanted.clone(), Some(&asked.host)).await?;
        for subscription in wanted.iter().flatten() {
            if !view.knows(*subscription) && !asked.options.allow_partial_scopes {
                let message = format!(
                    "The subscription '{subscription}' does not exist, or you may not read it. Leave it out, or allow \
                     partial scopes."
                );
                return Err(GraphError::bad("AccessDenied", message));
            }
        }
        Ok(view)
    }

    /// A page, and a sentence on results that are not shown, if there are any.
    async fn page(&self, caller: Caller, asked: Asked) -> Result<(Json, Option<String>), GraphError> {
        let page = Page::of(&asked)?;
        let mut hidden = None;
        let answer = match &page.token {
            // To run the query again and count its rows off would lose rows, or show them twice, without a word.
            Some(token) => self.inner.answers.find(token, &caller, &asked, self.now()).ok_or_else(|| {
                let message = "The $skipToken has expired, or the query, your roles or the server's process are others \
                               than when it was given out: begin at the first page.";
                GraphError::bad("SkipTokenExpired", message)
            })?,
            None => {
                let view = Arc::new(self.view(&caller, &asked).await?);
                hidden = hidden_from(&view, &asked);
                Arc::new(self.run(caller.id, asked.query.clone(), view).await??)
            }
        };
        let facets = if asked.facets.is_empty() {
            Vec::new()
        } else {
            let view = Arc::new(self.view(&caller, &asked).await?);
            self.facets(caller.id, &asked, view).await
        };
        let end = answer.rows.min(page.skip.saturating_add(page.top));
        let rows = page.skip.min(answer.rows)..end;
        let mut document = json!({
            "totalRecords": answer.rows,
            "count": rows.len(),
            "data": data(&answer, rows.clone(), page.format),
            "facets": facets,
            "resultTruncated": "false",
        });
        if end < answer.rows && !page.is_limited {
            let has_id = answer.columns.iter().any(|column| &*column.name == "id");
            if has_id {
                let token =
                    self.inner.answers.keep(&caller, &asked, &answer, end, page.token.as_ref(), self.now());
                document["$skipToken"] = token.into();
            } else {
                document["resultTruncated"] = "true".into();
            }
        }
        Ok((document, hidden))
    }

    /// The whole result as CSV.
    async fn export(&self, caller: Caller, asked: Asked) -> Result<Response, GraphError> {
        let view = Arc::new(self.view(&caller, &asked).await?);
        let hidden = hidden_from(&view, &asked);
        let answer = self.run(caller.id, asked.query.clone(), view).await??;
        let typed = [(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present"))];
        let mut response = (StatusCode::OK, typed, csv::body(answer)).into_response();
        warn(&mut response, hidden.as_deref());
        Ok(response)
    }

    /// Answers the administrator at the machine, who sees everything, under the limits of every query.
    ///
    /// # Errors
    /// The sentences that say why there is no answer.
    pub async fn answer_administrator(&self, text: String) -> Result<Answer, String> {
        let view = self.inner.tables.view(Viewer::Administrator, None, None).await;
        let view = view.map_err(|error| GraphError::from(error).sentences())?;
        let answer = self.run(Uuid::nil(), text, Arc::new(view)).await;
        let answer = answer.map_err(|error| error.sentences())?;
        answer.map_err(|error| error.to_string())
    }

    /// Runs a query on a thread of its own. When whoever asked is gone, it ends soon.
    async fn run(
        &self,
        caller: Uuid,
        text: String,
        view: Arc<View>,
    ) -> Result<Result<Answer, QueryError>, GraphError> {
        let slot = self.inner.slots.take(caller).await.map_err(|_| GraphError::too_many(WAIT_S))?;
        let now = self.now().saturating_mul(10_000);
        let gone = Arc::new(AtomicBool::new(false));
        let _told_when_dropped = Gone(Arc::clone(&gone));
        let (answer, answered) = oneshot::channel();
        let work = move || {
            // Held until the query has ended, even if nobody waits for it.
            let _slot = slot;
            let until = Instant::now() + QUERY_TIME_MAX;
            let stop = || gone.load(Ordering::Relaxed) || Instant::now() >= until;
            let settings = Settings { now, memory_bytes_max: QUERY_BYTES_MAX, stop: &stop };
            // Whoever asked may have gone.
            let _ = answer.send(kql::run(&text, &*view, &settings));
        };
        let thread = std::thread::Builder::new().name("query".to_owned()).stack_size(STACK_BYTES);
        thread.spawn(work).map_err(|error| {
            tracing::error!(error = %error, "a query has no thread");
            GraphError::failed()
        })?;
        answered.await.map_err(|_| GraphError::failed())
    }

    fn now(&self) -> i64 {
        (self.inner.clock)()
    }
}

/// Runs a query for the administrator at the machine.
///
/// # Errors
/// [`QueryError`] if the query has no answer.
pub fn run(text: &str, view: &View, now_ms: i64) -> Result<Answer, QueryError> {
    let stop = || false;
    let settings =
        Settings { now: now_ms.saturating_mul(10_000), memory_bytes_max: QUERY_BYTES_MAX, stop: &stop };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let spawned = thread.spawn_scoped(scope, || kql::run(text, view, &settings));
        let joined = spawned.map(std::thread::ScopedJoinHandle::join);
        joined.ok().and_then(Result::ok).unwrap_or_else(|| {
            let detail = kql::Detail {
                code: Code::Cancelled,
                message: "The server has no thread left for this facet: ask again.".to_owned(),
                position: None,
            };
            Err(QueryError { details: vec![detail] })
        })
    })
}

/// Tells a running query that nobody waits for it any more.
struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The host and port by which the client reached the server; they go into challenges and rows.
/// What to say of results that the viewer may not read, if the query asks for results.
fn hidden_from(view: &View, asked: &Asked) -> Option<String> {
    if asked.query.to_ascii_lowercase().contains("securityresources") { view.hidden() } else { None }
}

/// A `Warning` (RFC 7234, section 5.5): an answer of Resource Graph has no place for a sentence.
fn warn(response: &mut Response, sentence: Option<&str>) {
    if let Some(sentence) = sentence
        && let Ok(value) = HeaderValue::from_str(&format!("299 - \"{sentence}\""))
    {
        response.headers_mut().insert(WARNING, value);
    }
}

fn host(request: &Request) -> String {
    let host = request.uri().authority().map(axum::http::uri::Authority::as_str);
    let host = host.or_else(|| request.headers().get(HOST)?.to_str().ok());
    let is_plain =
        |host: &&str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-_[]".contains(&byte));
    host.filter(is_plain).unwrap_or("localhost").to_owned()
}

async fn tower_call(next: Router, request: Request) -> Result<Response, std::convert::Infallible> {
    use tower::ServiceExt as _;
    next.oneshot(request).await
}

/// The request with all of its body.
async fn whole(request: Request) -> Result<Request, GraphError> {
    let (parts, body) = request.into_parts();
    let bytes = to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| {
        let message = format!("The body has more than {BODY_BYTES_MAX} bytes, or broke off.");
        GraphError::bad("InvalidRequestContent", message)
    })?;
    Ok(Request::from_parts(parts, bytes.into()))
}

async fn asked(request: Request, version: &str) -> Result<Asked, GraphError> {
    let content_type =
        request.headers().get(CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        let message = "The Content-Type must be application/json.";
        return Err(GraphError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message));
    }
    let bytes = to_bytes(request.into_body(), BODY_BYTES_MAX).await.map_err(|_| {
        GraphError::bad(
            "InvalidRequestContent",
            format!("The body has more than {BODY_BYTES_MAX} bytes, or broke off."),
        )
    })?;
    Asked::parse(&bytes, version)
}

/// Rows in the format that was asked for.
fn data(answer: &Answer, rows: std::ops::Range<usize>, format: Format) -> Json {
    let cells = |row: usize| {
        answer.row(row).into_iter().zip(&answer.columns).map(|(value, column)| cell(&value, column.kind))
    };
    match format {
        Format::ObjectArray => {
            let object = |row: usize| {
                let names = answer.columns.iter().map(|column| column.name.to_string());
                Json::Object(names.zip(cells(row)).collect())
            };
            rows.map(object).collect()
        }
        Format::Table => {
            let columns = answer
                .columns
                .iter()
                .map(|column| json!({ "name": &*column.name, "type": type_name(column.kind) }));
            let rows = rows.map(|row| cells(row).collect::<Json>());
            json!({ "columns": columns.collect::<Json>(), "rows": rows.collect::<Json>() })
        }
    }
}

/// Truths in columns of that type are 1 and 0, as the scripts that read them expect.
fn cell(value: &kql::Value, kind: kql::Type) -> Json {
    match (value, kind) {
        (kql::Value::Bool(truth), kql::Type::Bool) => i64::from(*truth).into(),
        (value, _) => value.to_json(),
    }
}

fn type_name(kind: kql::Type) -> &'static str {
    use kql::Type;
    match kind {
        Type::Bool => "boolean",
        Type::Int | Type::Long => "integer",
        Type::Real | Type::Decimal => "number",
        Type::String | Type::Guid | Type::TimeSpan => "string",
        Type::DateTime => "datetime",
        Type::Dynamic => "object",
    }
}

/// `00:00:00.0120000`
fn timespan(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    let fraction = elapsed.subsec_nanos() / 100;
    format!("{:02}:{:02}:{:02}.{fraction:07}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// What a path asks for.
enum Target {
    Resources,
    Queries { subscription: Uuid, group: Option<String>, name: Option<String> },
}

impl Target {
    /// What a method does to it, by Azure's names.
    fn action(&self, method: &Method) -> String {
        let action = match (self, method) {
            (Self::Queries { .. }, &Method::PUT) => Action::WriteQueries.name(),
            (Self::Queries { .. }, &Method::DELETE) => Action::DeleteQueries.name(),
            (Self::Queries { .. }, _) => Action::ReadQueries.name(),
            (Self::Resources, _) => "Microsoft.ResourceGraph/resources/read",
        };
        action.to_owned()
    }

    fn is_change(&self, method: &Method) -> bool {
        matches!(self, Self::Queries { .. }) && [Method::PUT, Method::DELETE].contains(method)
    }

    /// `None`: not ours. Segments are compared in any case.
    fn of(path: &str) -> Option<Self> {
        let segments: Vec<String> = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(|segment| percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned())
            .collect();
        let lower: Vec<String> = segments.iter().map(|segment| segment.to_ascii_lowercase()).collect();
        let words: Vec<&str> = lower.iter().map(String::as_str).collect();
        let id = |text: &str| Uuid::parse_str(text).ok();
        match words.as_slice() {
            ["providers", "microsoft.resourcegraph", "resources"] => Some(Self::Resources),
            ["subscriptions", subscription, "providers", "microsoft.resourcegraph", "queries"] => {
                Some(Self::Queries { subscription: id(subscription)?, group: None, name: None })
            }
            [
                "subscriptions",
                subscription,
                "resourcegroups",
                _,
                "providers",
                "microsoft.resourcegraph",
                "queries",
            ] => Some(Self::Queries {
                subscription: id(subscription)?,
                group: segments.get(3).cloned(),
                name: None,
            }),
            [
                "subscriptions",
                subscription,
                "resourcegroups",
                _,
                "providers",
                "microsoft.resourcegraph",
                "queries",
                _,
            ] => {
                let (group, name) = (segments.get(3).cloned(), segments.get(7).cloned());
                Some(Self::Queries { subscription: id(subscription)?, group, name })
            }
            _ => None,
        }
    }
}

const BODY_BYTES_MAX: usize = 2 << 20;
/// Of one query, besides what it shares with the tables.
const QUERY_BYTES_MAX: usize = 512 << 20;
const QUERY_TIME_MAX: Duration = Duration::from_secs(30);
/// Two of one caller keep both of a small machine's cores busy; the third slot is for somebody else. Memory: at most
/// three times [`QUERY_BYTES_MAX`].
const SLOTS: Limits = Limits { running_max: 3, running_each_max: 2, waiting_each_max: 64 };
/// After how long a caller with too many waiting queries may ask again.
const WAIT_S: i64 = 5;
/// Queries nest, and what walks over them does, too.
const STACK_BYTES: usize = 64 << 20;
