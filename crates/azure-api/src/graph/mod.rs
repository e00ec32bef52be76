//! The directory, as Microsoft Graph shows it: enough for `az ad` and for role assignments by name.
//!
//! People are users; a program is an application and its service principal, which here are one thing with one id.
//! Who may read role assignments somewhere sees everybody; everybody sees themself and what they made. Who may give
//! roles somewhere makes programs, and changes those that they own or, giving roles everywhere, all: but none that
//! holds a role where they could not give it, because a caller who gives it a secret can act as it.

mod certificates;
mod documents;
mod error;
mod filter;
mod list;
mod programs;
mod target;

use auth::{Action, Caller, Witness};
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, RETRY_AFTER};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use metastore::{Principal, PrincipalKind};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::error::RETRY_AFTER_S;
use crate::{Api, Call};
use error::GraphError;
use list::Options;
use target::{Face, Target};
pub(crate) use target::{PATHS, is_path, methods_at};

/// `POST /directoryObjects/getByIds`.
#[derive(Deserialize)]
struct ByIds {
    ids: Vec<String>,
    #[serde(default)]
    types: Vec<String>,
}

impl Api {
    /// Answers a path that [`is_path`] takes.
    pub(crate) async fn graph(&self, request: Request, witness: &Witness) -> Response {
        let mut response = match self.graph_answer(request, witness).await {
            Ok(response) => response,
            Err(error) => error.into_response(witness, (self.clock)()),
        };
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_S.into());
        }
        if let Ok(id) = witness.request_id().to_string().parse() {
            response.headers_mut().insert("request-id", id);
        }
        response
    }

    async fn graph_answer(&self, request: Request, witness: &Witness) -> Result<Response, GraphError> {
        let target = Target::parse(request.uri().path())?;
        let method = request.method().clone();
        if !target.methods().contains(&method) {
            return Err(GraphError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "Request_BadRequest",
                format!("{method} is not possible here."),
            ));
        }
        let call = Call::new(&request)?;
        let (action, resource) = target.operation(&method);
        witness.asks_for(action.to_owned(), resource, target.is_change(&method));
        self.authenticate(&call, request.headers().get(AUTHORIZATION).cloned()).await?;
        let (request, caller) = self.whole(&call, request).await?;
        witness.is_from(&caller);
        let options = Options::of(&call.query)?;
        let body = request.into_body();
        let viewer = Viewer::of(&caller);
        match target {
            Target::Me => self.me(&viewer, &call, &options).await.map(found),
            Target::OwnedObjects => self.owned_objects(&viewer, &call, &options).await.map(found),
            Target::Users => self.users(&viewer, &call, &options).await.map(found),
            Target::User(id) => self.user(&viewer, &id, &call, &options).await.map(found),
            // There are none, and a list of none says so.
            Target::Groups => Ok(found(options.listed(Vec::new(), &call, "groups")?)),
            Target::ByIds => self.objects(&viewer, read(body).await?, &call, &options).await.map(found),
            Target::Object(id) => self.object(&viewer, &id, &call, &options).await.map(found),
            Target::Programs(Face::Application) if method == Method::POST => {
                let made = self.create_application(&caller, read(body).await?, &call, witness).await?;
                Ok((StatusCode::CREATED, found(made)).into_response())
            }
            Target::Programs(Face::ServicePrincipal) if method == Method::POST => {
                let made = self.create_service_principal(&viewer, read(body).await?, &call).await?;
                Ok((StatusCode::CREATED, found(made)).into_response())
            }
            Target::Programs(face) => self.programs(&viewer, face, &call, &options).await.map(found),
            Target::Program(face, id) => {
                let program = self.program(&viewer, &id).await?;
                match method {
                    Method::PATCH => {
                        let body = read(body).await?;
                        if body.contains_key("keyCredentials") {
                            let (action, resource) = Target::AddPassword(face, id).operation(&method);
                            witness.asks_for(action.to_owned(), resource, true);
                        }
                        self.update_program(&caller, &program, body).await?;
                    }
                    Method::DELETE => self.delete_program(&caller, &program).await?,
                    _ => {
                        let document = self.program_document(face, &program).await?;
                        return Ok(found(options.entity(document, &call, face.collection())));
                    }
                }
                Ok(StatusCode::NO_CONTENT.into_response())
            }
            Target::Owners(_, id) => self.owners(&viewer, &id, &call, &options).await.map(found),
            Target::AddPassword(_, id) => {
                let program = self.program(&viewer, &id).await?;
                self.add_password(&caller, &program, read(body).await?, &call).await.map(found)
            }
            Target::RemovePassword(_, id) => {
                let program = self.program(&viewer, &id).await?;
                self.remove_password(&caller, &program, read(body).await?).await?;
                Ok(StatusCode::NO_CONTENT.into_response())
            }
        }
    }

    async fn me(&self, viewer: &Viewer<'_>, call: &Call, options: &Options) -> Result<Value, GraphError> {
        let caller = viewer.caller;
        let own = self.principal_by_id(caller.id).await?;
        let person = own.filter(|own| own.kind == PrincipalKind::Person).ok_or_else(|| {
            let message = format!(
                "/me request is only valid with delegated authentication flow: '{}' is a program, and no person.",
                caller.name
            );
            GraphError::bad(&message)
        })?;
        Ok(options.entity(documents::user(&person), call, "users"))
    }

    /// What the caller made, each program in both its faces.
    async fn owned_objects(
        &self,
        viewer: &Viewer<'_>,
        call: &Call,
        options: &Options,
    ) -> Result<Value, GraphError> {
        let mut rows = Vec::new();
        for program in self.metastore.principals().await? {
            if program.owner == Some(viewer.caller.id) {
                for face in [Face::Application, Face::ServicePrincipal] {
                    rows.push(typed(self.bare_document(face, &program), face.type_name()));
                }
            }
        }
        self.with_credentials(options.listed(rows, call, "directoryObjects")?).await
    }

    async fn users(&self, viewer: &Viewer<'_>, call: &Call, options: &Options) -> Result<Value, GraphError> {
        let all = self.metastore.principals().await?;
        let people = all.iter().filter(|one| one.kind == PrincipalKind::Person && viewer.sees(one));
        options.listed(people.map(documents::user).collect(), call, "users")
    }

    async fn user(
        &self,
        viewer: &Viewer<'_>,
        id_or_name: &str,
        call: &Call,
        options: &Options,
    ) -> Result<Value, GraphError> {
        let found = self.metastore.principal(id_or_name).await?;
        let person = found.filter(|one| one.kind == PrincipalKind::Person && viewer.sees(one));
        let person = person.ok_or_else(|| GraphError::not_found(id_or_name))?;
        Ok(options.entity(documents::user(&person), call, "users"))
    }

    /// Of these ids those that are there: the others are left out, as Graph does it.
    async fn objects(
        &self,
        viewer: &Viewer<'_>,
        wanted: Map<String, Value>,
        call: &Call,
        options: &Options,
    ) -> Result<Value, GraphError> {
        let wanted: ByIds = serde_json::from_value(Value::Object(wanted))
            .map_err(|error| GraphError::bad(&format!("The request body cannot be read: {error}.")))?;
        if wanted.ids.len() > IDS_MAX {
            return Err(GraphError::bad(&format!("Up to {IDS_MAX} ids can be asked for at once.")));
        }
        let parse =
            |id: &String| Uuid::parse_str(id).map_err(|_| GraphError::bad(&format!("Invalid GUID: '{id}'.")));
        let ids: Vec<Uuid> = wanted.ids.iter().map(parse).collect::<Result<_, _>>()?;
        let is_wanted = |kind: &str| {
            let is_it = |wanted: &String| wanted.eq_ignore_ascii_case(kind) || wanted == "directoryObject";
            wanted.types.is_empty() || wanted.types.iter().any(is_it)
        };
        let all = self.metastore.principals().await?;
        let asked_for = all.iter().filter(|one| ids.contains(&one.id) && viewer.sees(one));
        let rows = asked_for.filter_map(|one| self.typed_document(one, is_wanted)).collect();
        let document = options.selected(rows, call, "directoryObjects");
        self.with_credentials(document).await
    }

    async fn object(
        &self,
        viewer: &Viewer<'_>,
        id: &str,
        call: &Call,
        options: &Options,
    ) -> Result<Value, GraphError> {
        let object = self.seen(viewer, id).await?;
        let document = self.typed_document(&object, |_| true);
        let document = document.ok_or_else(|| GraphError::not_found(id))?;
        let document = options.entity(document, call, "directoryObjects");
        self.with_credentials(document).await
    }

    /// With its type; a program as a service principal, where such are wanted.
    fn typed_document(&self, one: &Principal, is_wanted: impl Fn(&str) -> bool) -> Option<Value> {
        match one.kind {
            PrincipalKind::Person if is_wanted("user") => Some(typed(documents::user(one), "user")),
            PrincipalKind::Person => None,
            PrincipalKind::Program => {
                let faces = [Face::ServicePrincipal, Face::Application];
                let face = faces.into_iter().find(|face| is_wanted(face.type_name()))?;
                Some(typed(self.bare_document(face, one), face.type_name()))
            }
        }
    }

    async fn principal_by_id(&self, id: Uuid) -> Result<Option<Principal>, GraphError> {
        Ok(self.metastore.principal(&id.to_string()).await?)
    }

    /// The principal of this id, if the caller may know of it.
    async fn seen(&self, viewer: &Viewer<'_>, id: &str) -> Result<Principal, GraphError> {
        let parsed = Uuid::parse_str(id).map_err(|_| GraphError::not_found(id))?;
        let found = self.principal_by_id(parsed).await?.filter(|one| viewer.sees(one));
        found.ok_or_else(|| GraphError::not_found(id))
    }
}

/// Who looks at the directory.
struct Viewer<'a> {
    caller: &'a Caller,
    /// They may read somewhere who holds which role: names make sense of it.
    sees_all: bool,
}

impl<'a> Viewer<'a> {
    fn of(caller: &'a Caller) -> Self {
        Self { caller, sees_all: caller.may_within(Action::ReadRoles, "/") }
    }

    fn sees(&self, one: &Principal) -> bool {
        self.sees_all || one.id == self.caller.id || one.owner == Some(self.caller.id)
    }
}

fn typed(mut document: Value, name: &str) -> Value {
    document["@odata.type"] = format!("#microsoft.graph.{name}").into();
    document
}

fn found(document: Value) -> Response {
    crate::json(document)
}

/// A body that is an object.
async fn read(body: Body) -> Result<Map<String, Value>, GraphError> {
    let bytes = to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| {
        let message = format!("The body has more than {BODY_BYTES_MAX} bytes, or broke off.");
        GraphError::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
    })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| GraphError::bad(&format!("The request body is not a JSON object: {error}.")))
}

fn context(call: &Call, of: &str) -> Value {
    json!(format!("{}/v1.0/$metadata#{of}", call.base))
}

/// As Graph has it.
const IDS_MAX: usize = 1000;
const BODY_BYTES_MAX: usize = 64 << 10;
