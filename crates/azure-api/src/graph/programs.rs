//! Programs: read, made, given secrets and removed.

use auth::roles::OWNER;
use auth::{Action, Caller, Witness, hash_secret, is_login_name, random_secret};
use axum::http::{Method, StatusCode};
use metastore::{AddProgram, AddSecret, KeepRole, Principal, PrincipalKind, PrincipalSecret, SECRETS_MAX};
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::certificates::Certificates;
use super::documents::{self, AUDIENCE};
use super::list::Options;
use super::target::{Face, Target};
use super::{GraphError, Viewer, context, typed};
use crate::{Api, Call};

/// `POST …/addPassword`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NewPassword {
    display_name: Option<String>,
    start_date_time: Option<jiff::Timestamp>,
    end_date_time: Option<jiff::Timestamp>,
}

impl Api {
    pub(super) async fn programs(
        &self,
        viewer: &Viewer<'_>,
        face: Face,
        call: &Call,
        options: &Options,
    ) -> Result<Value, GraphError> {
        let all = self.metastore.principals().await?;
        let programs = all.iter().filter(|one| one.kind == PrincipalKind::Program && viewer.sees(one));
        let rows = programs.map(|one| self.bare_document(face, one)).collect();
        self.with_credentials(options.listed(rows, call, face.collection())?).await
    }

    /// The program of this id, if the caller may know of it.
    pub(super) async fn program(&self, viewer: &Viewer<'_>, id: &str) -> Result<Principal, GraphError> {
        let found = self.seen(viewer, id).await?;
        if found.kind == PrincipalKind::Program { Ok(found) } else { Err(GraphError::not_found(id)) }
    }

    pub(super) async fn program_document(&self, face: Face, one: &Principal) -> Result<Value, GraphError> {
        self.with_credentials(self.bare_document(face, one)).await
    }

    /// Without what it logs in by.
    pub(super) fn bare_document(&self, face: Face, one: &Principal) -> Value {
        match face {
            Face::Application => documents::application(one, &self.domain.name),
            Face::ServicePrincipal => documents::service_principal(one, self.tenant),
        }
    }

    /// The same document or list, with what its programs log in by, where that is wanted.
    pub(super) async fn with_credentials(&self, mut document: Value) -> Result<Value, GraphError> {
        let rows = match document.get_mut("value") {
            Some(Value::Array(rows)) => rows.iter_mut().collect(),
            _ => vec![&mut document],
        };
        for row in rows.into_iter().filter_map(Value::as_object_mut) {
            let is_wanted = row.contains_key("passwordCredentials") || row.contains_key("keyCredentials");
            let id = row.get("id").and_then(Value::as_str).and_then(|id| Uuid::parse_str(id).ok());
            if let Some(id) = id.filter(|_| is_wanted) {
                let secrets = self.metastore.principal_secrets(id).await?;
                documents::add_credentials(row, &secrets);
            }
        }
        Ok(document)
    }

    pub(super) async fn owners(
        &self,
        viewer: &Viewer<'_>,
        id: &str,
        call: &Call,
        options: &Options,
    ) -> Result<Value, GraphError> {
        let program = self.program(viewer, id).await?;
        let owner = match program.owner {
            Some(owner) => self.principal_by_id(owner).await?.filter(|owner| viewer.sees(owner)),
            None => None,
        };
        let document = owner.map(|owner| match owner.kind {
            PrincipalKind::Person => typed(documents::user(&owner), "user"),
            PrincipalKind::Program => {
                let face = Face::ServicePrincipal;
                typed(self.bare_document(face, &owner), face.type_name())
            }
        });
        let listed = options.listed(document.into_iter().collect(), call, "directoryObjects")?;
        self.with_credentials(listed).await
    }

    /// Makes a program, whose owner is the caller. It logs in when it has got a secret, and may do what it is given.
    pub(super) async fn create_application(
        &self,
        caller: &Caller,
        body: Map<String, Value>,
        call: &Call,
        witness: &Witness,
    ) -> Result<Value, GraphError> {
        check_makes(caller)?;
        let name = body.get("displayName").and_then(Value::as_str).unwrap_or_default();
        // Names with an @ are people's.
        if !is_login_name(name) || name.contains('@') {
            return Err(GraphError::bad(
                "Invalid value specified for property 'displayName': it is the name that the program logs in by, with up \
                 to 100 letters, digits and -_.+ of ASCII, a letter or digit first, and is not a GUID.",
            ));
        }
        check_kept(&body)?;
        let secrets = Certificates::of(&body, &[], (self.clock)())?.unwrap_or_default().added;
        if secrets.len() > SECRETS_MAX {
            return Err(too_many());
        }
        let owned_max = if gives_all(caller) { usize::MAX } else { OWNED_MAX };
        let program = Principal {
            owner: Some(caller.id),
            created_ms: (self.clock)(),
            ..Principal::new(Uuid::new_v4(), name.to_owned(), PrincipalKind::Program)
        };
        match self.metastore.add_program(program.clone(), secrets, owned_max, program.created_ms).await? {
            AddProgram::Added => {}
            AddProgram::NameTaken => {
                let message = format!(
                    "Another object with the same value for property displayName already exists: '{name}'."
                );
                return Err(GraphError::new(
                    StatusCode::CONFLICT,
                    "Request_MultipleObjectsWithSameKeyValue",
                    message,
                ));
            }
            AddProgram::TooMany => {
                let message = format!(
                    "You own {OWNED_MAX} applications, which are as many as may be: delete one first."
                );
                return Err(GraphError::new(StatusCode::FORBIDDEN, "Directory_QuotaExceeded", message));
            }
        }
        let made = Target::Program(Face::Application, program.id.to_string());
        let (action, _) = Target::Programs(Face::Application).operation(&Method::POST);
        witness.asks_for(action.to_owned(), made.operation(&Method::POST).1, true);
        tracing::info!(program = program.name, id = %program.id, by = %caller.id, "a program was made");
        let mut document = self.program_document(Face::Application, &program).await?;
        document["@odata.context"] = context(call, "applications/$entity");
        Ok(document)
    }

    /// A program is a service principal from the start: a caller who may make one finds it.
    pub(super) async fn create_service_principal(
        &self,
        viewer: &Viewer<'_>,
        body: Map<String, Value>,
        call: &Call,
    ) -> Result<Value, GraphError> {
        check_makes(viewer.caller)?;
        if body.get("accountEnabled").is_some_and(|value| *value == Value::Bool(false)) {
            return Err(GraphError::bad("A program that is there may log in: accountEnabled is true."));
        }
        let id = body.get("appId").and_then(Value::as_str).unwrap_or_default();
        let program = self.program(viewer, id).await.map_err(|_| {
            GraphError::bad("The appId of the service principal is not that of an application here.")
        })?;
        let mut document = self.program_document(Face::ServicePrincipal, &program).await?;
        document["@odata.context"] = context(call, "servicePrincipals/$entity");
        Ok(document)
    }

    /// Gives it the certificates that are listed, and takes the others away. What else is said must be so already, as
    /// `az ad sp create-for-rbac` says it of a name that it finds.
    pub(super) async fn update_program(
        &self,
        caller: &Caller,
        program: &Principal,
        body: Map<String, Value>,
    ) -> Result<(), GraphError> {
        self.check_manages(caller, program).await?;
        if body.get("displayName").is_some_and(|name| *name != Value::String(program.name.clone())) {
            return Err(GraphError::bad(
                "A program keeps its displayName: it is the name that it logs in by.",
            ));
        }
        check_kept(&body)?;
        let (held, now_ms) = (self.metastore.principal_secrets(program.id).await?, (self.clock)());
        let Some(Certificates { kept, added }) = Certificates::of(&body, &held, now_ms)? else {
            return Ok(());
        };
        match self.metastore.set_own_keys(program.id, kept, added, now_ms).await? {
            AddSecret::Added => {}
            AddSecret::TooMany => return Err(too_many()),
            AddSecret::NoPrincipal => return Err(GraphError::not_found(&program.id.to_string())),
        }
        tracing::info!(program = program.name, by = %caller.id, "a program's certificates were set");
        Ok(())
    }

    /// Removes a program with its secrets and roles.
    pub(super) async fn delete_program(
        &self,
        caller: &Caller,
        program: &Principal,
    ) -> Result<(), GraphError> {
        self.check_manages(caller, program).await?;
        let removed = self.metastore.delete_principal(program.id, OWNER).await;
        removed.map_err(|error| match error {
            KeepRole::LastHolder => {
                GraphError::new(StatusCode::CONFLICT, "Request_BadRequest", error.to_string())
            }
            KeepRole::Store(error) => error.into(),
        })?;
        tracing::info!(program = program.name, by = %caller.id, "a program was removed");
        Ok(())
    }

    /// Gives a program one more secret, which is shown this once.
    pub(super) async fn add_password(
        &self,
        caller: &Caller,
        program: &Principal,
        mut body: Map<String, Value>,
        call: &Call,
    ) -> Result<Value, GraphError> {
        self.check_manages(caller, program).await?;
        let wanted = body.remove("passwordCredential").filter(|wanted| !wanted.is_null());
        let wanted = wanted.unwrap_or_else(|| Value::Object(Map::new()));
        let wanted: NewPassword = serde_json::from_value(wanted)
            .map_err(|error| GraphError::bad(&format!("The passwordCredential cannot be read: {error}.")))?;
        let name = checked_name(wanted.display_name)?;
        let now_ms = (self.clock)();
        if wanted.start_date_time.is_some_and(|start| start.as_millisecond() > now_ms + CLOCKS_APART_MS) {
            return Err(GraphError::bad("A secret is good from when it is made: startDateTime is to come."));
        }
        let expires_ms = wanted.end_date_time.map_or(now_ms + GOOD_FOR_MS, jiff::Timestamp::as_millisecond);
        if expires_ms <= now_ms {
            return Err(GraphError::bad("The endDateTime is over."));
        }
        let text = random_secret();
        let secret = PrincipalSecret {
            name,
            created_ms: now_ms,
            expires_ms: Some(expires_ms),
            ..PrincipalSecret::new(Uuid::new_v4(), hash_secret(&text))
        };
        match self.metastore.add_secret(program.id, secret.clone(), now_ms).await? {
            AddSecret::Added => {}
            AddSecret::TooMany => return Err(too_many()),
            AddSecret::NoPrincipal => return Err(GraphError::not_found(&program.id.to_string())),
        }
        tracing::info!(program = program.name, key = %secret.id, by = %caller.id, "a program got a secret");
        let mut document = documents::shown_secret(&secret, &text);
        document["@odata.context"] = context(call, "microsoft.graph.passwordCredential");
        Ok(document)
    }

    /// Takes a secret away, and what it was exchanged for.
    pub(super) async fn remove_password(
        &self,
        caller: &Caller,
        program: &Principal,
        body: Map<String, Value>,
    ) -> Result<(), GraphError> {
        self.check_manages(caller, program).await?;
        let key = body.get("keyId").and_then(Value::as_str).unwrap_or_default();
        let secrets = self.metastore.principal_secrets(program.id).await?;
        let held =
            secrets.iter().find(|one| one.hash().is_some() && one.id.to_string().eq_ignore_ascii_case(key));
        let held = held.ok_or_else(|| GraphError::bad("No password credential found with this keyId."))?;
        self.metastore.remove_secret(program.id, held.id).await?;
        tracing::info!(program = program.name, key = %held.id, by = %caller.id, "a program's secret was taken away");
        Ok(())
    }

    /// Whoever gives a program a secret can act as it. So it takes more than to own it: nobody gets by it a role that
    /// they could not give themselves.
    async fn check_manages(&self, caller: &Caller, program: &Principal) -> Result<(), GraphError> {
        if gives_all(caller) {
            return Ok(());
        }
        check_makes(caller)?;
        if program.owner != Some(caller.id) {
            return Err(GraphError::denied("its owner may, and who gives roles everywhere"));
        }
        let held = self.metastore.role_assignments(program.id).await?;
        if held.iter().all(|held| caller.may(Action::WriteRoles, &held.scope)) {
            return Ok(());
        }
        Err(GraphError::denied("it holds a role where you may give none"))
    }
}

/// What people call a secret.
///
/// # Errors
/// 400 for what is too long.
pub(super) fn checked_name(name: Option<String>) -> Result<String, GraphError> {
    let name = name.unwrap_or_default();
    if name.len() <= SECRET_NAME_BYTES_MAX && !name.chars().any(char::is_control) {
        return Ok(name);
    }
    let message =
        format!("A secret's displayName has up to {SECRET_NAME_BYTES_MAX} bytes, and no control characters.");
    Err(GraphError::bad(&message))
}

fn too_many() -> GraphError {
    GraphError::bad(&format!("A program has up to {SECRETS_MAX} secrets: remove one first."))
}

fn check_makes(caller: &Caller) -> Result<(), GraphError> {
    if caller.may_within(Action::WriteRoles, "/") {
        return Ok(());
    }
    Err(GraphError::denied(
        "it takes the right to give roles somewhere, as Owner and User Access Administrator have it",
    ))
}

fn gives_all(caller: &Caller) -> bool {
    caller.may(Action::WriteRoles, "/")
}

/// Refuses what an application here does not have, unless it is set to nothing, or to what we show.
fn check_kept(body: &Map<String, Value>) -> Result<(), GraphError> {
    for (name, value) in body {
        let is_kept = match name.as_str() {
            "displayName" | "keyCredentials" => true,
            "signInAudience" => *value == AUDIENCE,
            name => name.starts_with('@') || is_nothing(value),
        };
        if is_kept {
            continue;
        }
        let message = match name.as_str() {
            "passwordCredentials" => "Secrets are made by addPassword.".to_owned(),
            name => format!("Lazaret does not keep the property '{name}' of an application."),
        };
        return Err(GraphError::bad(&message));
    }
    Ok(())
}

/// What clients send for a property without a value.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(rows) => rows.is_empty(),
        Value::Object(properties) => properties.values().all(is_nothing),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

/// As many as Microsoft Entra lets those own who do not administer it.
const OWNED_MAX: usize = 250;
const SECRET_NAME_BYTES_MAX: usize = 100;
/// As Graph has it for who does not say: two years.
const GOOD_FOR_MS: i64 = 2 * 365 * 24 * 3_600_000;
/// By which a client's clock may be ahead.
const CLOCKS_APART_MS: i64 = 3_600_000;
