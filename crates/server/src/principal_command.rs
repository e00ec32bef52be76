//! `lazaret principal` and `lazaret role`: who may log in, and what they may do where.

use auth::roles::{self, OWNER, ROLES, Role};
use auth::{hash_secret, random_secret, repository_scope};
use metastore::{AssignRole, Metastore, Principal, PrincipalSecret, RoleAssignment};
use serde_json::json;
use uuid::Uuid;

use crate::cli::{Format, PrincipalCommand, RoleCommand, ScopeArgs};
use crate::data::DataFolder;
use crate::first_start::{ADMINISTRATOR, PASSWORD_FILE};
use crate::output::say;
use crate::secret_command;
use crate::table::table;
use crate::target::registry_of;
use crate::{Failure, now_ms};

pub(crate) async fn principal(command: PrincipalCommand) -> Result<(), Failure> {
    match command {
        PrincipalCommand::Create { name, role, scope, data } => {
            create(&DataFolder::existing(&data.path)?.metastore()?, name, &role, &scope).await
        }
        PrincipalCommand::List { data, format } => {
            list(&DataFolder::existing(&data.path)?.metastore()?, format).await
        }
        PrincipalCommand::Rotate { name, data } => {
            let data = DataFolder::existing(&data.path)?;
            let metastore = data.metastore()?;
            let found = find(&metastore, &name).await?;
            let secret = random_secret();
            let next = PrincipalSecret::new(Uuid::new_v4(), hash_secret(&secret));
            metastore.replace_secrets(found.id, next, now_ms()).await?;
            if found.name == ADMINISTRATOR {
                // What it says is true no longer.
                data.remove(PASSWORD_FILE)?;
            }
            show_secret(&found.name, found.id, &secret);
            Ok(())
        }
        PrincipalCommand::Secret(command) => secret_command::secret(command).await,
        PrincipalCommand::Delete { name, data } => {
            let metastore = DataFolder::existing(&data.path)?.metastore()?;
            let found = find(&metastore, &name).await?;
            metastore.delete_principal(found.id, OWNER).await?;
            say!("{} is gone", found.name);
            Ok(())
        }
    }
}

pub(crate) async fn role(command: RoleCommand) -> Result<(), Failure> {
    match command {
        RoleCommand::List { format } => list_roles(format),
        RoleCommand::Assign { name, role, scope, data } => {
            let metastore = DataFolder::existing(&data.path)?.metastore()?;
            let (found, role) = (find(&metastore, &name).await?, role_named(&role)?);
            let scope = scope_id(&metastore, &scope).await?;
            let assignment = RoleAssignment::new(Uuid::new_v4(), found.id, role.id, scope.clone());
            match metastore.assign_role(assignment, now_ms()).await? {
                AssignRole::Assigned(_) => say!("{} is {} at {scope}", found.name, role.name),
                AssignRole::Held { .. } | AssignRole::Kept(_) => {
                    say!("{} is {} at {scope} already", found.name, role.name)
                }
                AssignRole::NoPrincipal => return Err(unknown(&name)),
            }
            Ok(())
        }
        RoleCommand::Remove { name, role, scope, data } => {
            let metastore = DataFolder::existing(&data.path)?.metastore()?;
            let (found, role) = (find(&metastore, &name).await?, role_named(&role)?);
            let scope = scope_id(&metastore, &scope).await?;
            let held = metastore.role_assignments(found.id).await?;
            let is_it =
                |held: &&RoleAssignment| held.role == role.id && held.scope.eq_ignore_ascii_case(&scope);
            let Some(held) = held.iter().find(is_it) else {
                let message = format!(
                    "{} is not {} at {scope}: `lazaret principal list` shows what is",
                    found.name, role.name
                );
                return Err(message.into());
            };
            metastore.remove_role(held.id, OWNER).await?;
            say!("{} is no longer {} at {scope}", found.name, role.name);
            Ok(())
        }
    }
}

async fn create(metastore: &Metastore, name: String, role: &str, scope: &ScopeArgs) -> Result<(), Failure> {
    let is_plain = |character: char| character.is_alphanumeric() || "-_.@+".contains(character);
    // A name that is a GUID could be another's id.
    let is_name = (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.chars().all(is_plain)
        && Uuid::parse_str(&name).is_err();
    if !is_name {
        let message = format!(
            "a principal's name has up to {NAME_BYTES_MAX} letters, digits and -_.@+, and is no GUID"
        );
        return Err(message.into());
    }
    let (role, scope) = (role_named(role)?, scope_id(metastore, scope).await?);
    let (id, secret) = (Uuid::new_v4(), random_secret());
    let principal = Principal { id, name: name.clone() };
    let first = PrincipalSecret::new(Uuid::new_v4(), hash_secret(&secret));
    let assignment = RoleAssignment::new(Uuid::new_v4(), id, role.id, scope.clone());
    if !metastore.create_principal(principal, first, assignment, now_ms()).await? {
        return Err(format!("there is a principal {name} already: `lazaret principal list` shows it").into());
    }
    show_secret(&name, id, &secret);
    say!("role    {} at {scope}", role.name);
    Ok(())
}

async fn list(metastore: &Metastore, format: Format) -> Result<(), Failure> {
    let assignments = metastore.all_role_assignments().await?;
    let mut rows = table(&["NAME", "ID", "ROLE", "SCOPE"]);
    let mut documents = Vec::new();
    for principal in metastore.principals().await? {
        let held: Vec<_> = assignments.iter().filter(|held| held.principal == principal.id).collect();
        let name = |held: &RoleAssignment| {
            roles::find(&held.role.to_string())
                .map_or_else(|| held.role.to_string(), |role| role.name.to_owned())
        };
        if held.is_empty() {
            rows.add_row([principal.name.clone(), principal.id.to_string(), "-".to_owned(), "-".to_owned()]);
        }
        for held in &held {
            rows.add_row([principal.name.clone(), principal.id.to_string(), name(held), held.scope.clone()]);
        }
        let held: Vec<_> =
            held.iter().map(|held| json!({ "role": name(held), "scope": held.scope })).collect();
        documents.push(json!({ "name": principal.name, "id": principal.id, "roles": held }));
    }
    match format {
        Format::Json => say!("{}", serde_json::to_string_pretty(&documents)?),
        Format::Table => say!("{rows}"),
    }
    Ok(())
}

fn list_roles(format: Format) -> Result<(), Failure> {
    let mut rows = table(&["ROLE", "ID", "ALLOWS", "NOT", "FOR"]);
    let mut documents = Vec::new();
    for role in &ROLES {
        rows.add_row([
            role.name.to_owned(),
            role.id.to_string(),
            [role.actions, role.data_actions].concat().join("\n"),
            role.not_actions.join("\n"),
            role.description.to_owned(),
        ]);
        documents.push(json!({
            "name": role.name, "id": role.id, "actions": role.actions, "notActions": role.not_actions,
            "dataActions": role.data_actions, "description": role.description,
        }));
    }
    match format {
        Format::Json => say!("{}", serde_json::to_string_pretty(&documents)?),
        Format::Table => say!("{rows}"),
    }
    Ok(())
}

fn show_secret(name: &str, id: Uuid, secret: &str) {
    say!("name    {name}\nid      {id}\nsecret  {secret}    shown this once");
}

pub(crate) async fn find(metastore: &Metastore, name: &str) -> Result<Principal, Failure> {
    metastore.principal(name).await?.ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> Failure {
    format!("there is no principal {name}: `lazaret principal list` shows those there are").into()
}

fn role_named(name: &str) -> Result<&'static Role, Failure> {
    roles::find(name)
        .ok_or_else(|| format!("there is no role {name:?}: `lazaret role list` shows those there are").into())
}

async fn scope_id(metastore: &Metastore, scope: &ScopeArgs) -> Result<String, Failure> {
    if let Some(id) = &scope.scope {
        let is_id = id == "/" || (id.starts_with("/subscriptions/") && !id.ends_with('/'));
        return if is_id {
            Ok(id.clone())
        } else {
            Err(format!("{id:?} is no scope: write / or /subscriptions/...").into())
        };
    }
    let registry = registry_of(metastore, scope.registry.as_deref()).await?.resource_id();
    Ok(scope.repository.as_ref().map_or(registry.clone(), |name| repository_scope(&registry, name.as_str())))
}

const NAME_BYTES_MAX: usize = 100;
