//! `lazaret principal` and `lazaret role`: who may log in, and what they may do where.

use auth::roles::{self, OWNER, ROLES, Role};
use auth::{hash_secret, is_login_name, random_secret, repository_scope};
use clap::{Subcommand, ValueEnum};
use metastore::{AssignRole, Metastore, Principal, PrincipalKind, PrincipalSecret, RoleAssignment};
use serde_json::json;
use uuid::Uuid;

use crate::cli::{DataArgs, Format, ScopeArgs};
use crate::data::DataFolder;
use crate::first_start::{ADMINISTRATOR, PASSWORD_FILE};
use crate::output::say;
use crate::secret_command;
use crate::table::table;
use crate::target::registry_of;
use crate::{Failure, now_ms};

#[derive(Debug, Subcommand)]
pub(crate) enum PrincipalCommand {
    /// Make one, and show its secret this once.
    Create {
        /// The name it logs in by.
        name: String,
        /// Whether somebody or something logs in by it [default: a person if the name has an @, as mail addresses do].
        #[arg(long, value_enum)]
        kind: Option<Kind>,
        /// The role it begins with, by Azure's name: `AcrPush`, `"Security Reader"`.
        #[arg(long, value_name = "ROLE")]
        role: String,
        #[command(flatten)]
        scope: ScopeArgs,
        #[command(flatten)]
        data: DataArgs,
    },
    /// List every principal with its roles.
    List {
        #[command(flatten)]
        data: DataArgs,
        /// How the answer is printed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Add, list and remove the secrets of one, of which several are good at once.
    #[command(subcommand)]
    Secret(secret_command::SecretCommand),
    /// Give one another secret, and show it this once. All old ones, and what they were exchanged for,
    /// are good no longer.
    Rotate {
        /// Its name or id.
        name: String,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Say that one is a person, or a program.
    Set {
        /// Its name or id.
        name: String,
        /// What it is, to Azure's clients: a user, or a service principal.
        #[arg(long, value_enum)]
        kind: Kind,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Remove one with its roles.
    Delete {
        /// Its name or id.
        name: String,
        #[command(flatten)]
        data: DataArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RoleCommand {
    /// List the roles there are, and what each allows.
    List {
        /// How the answer is printed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Give a principal one more role.
    Assign {
        /// Its name or id.
        name: String,
        /// The role, by Azure's name.
        role: String,
        #[command(flatten)]
        scope: ScopeArgs,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Take a role from a principal.
    Remove {
        /// Its name or id.
        name: String,
        /// The role, by Azure's name.
        role: String,
        #[command(flatten)]
        scope: ScopeArgs,
        #[command(flatten)]
        data: DataArgs,
    },
}

/// Who logs in by a name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Kind {
    /// Somebody.
    Person,
    /// A service or a CI job.
    Program,
}

impl From<Kind> for PrincipalKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Person => Self::Person,
            Kind::Program => Self::Program,
        }
    }
}

pub(crate) async fn principal(command: PrincipalCommand) -> Result<(), Failure> {
    match command {
        PrincipalCommand::Create { name, kind, role, scope, data } => {
            let guess = if name.contains('@') { PrincipalKind::Person } else { PrincipalKind::Program };
            let principal = Principal::new(Uuid::new_v4(), name, kind.map_or(guess, Into::into));
            create(&DataFolder::existing(&data.path)?.metastore()?, principal, &role, &scope).await
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
        PrincipalCommand::Set { name, kind, data } => {
            let metastore = DataFolder::existing(&data.path)?.metastore()?;
            let found = find(&metastore, &name).await?;
            let kind = PrincipalKind::from(kind);
            metastore.set_principal_kind(found.id, kind).await?;
            say!("{} is a {}", found.name, kind.name());
            Ok(())
        }
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
            let scope = existing_scope(&metastore, &scope).await?;
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

async fn create(
    metastore: &Metastore,
    principal: Principal,
    role: &str,
    scope: &ScopeArgs,
) -> Result<(), Failure> {
    let Principal { id, name, kind, .. } = principal.clone();
    if !is_login_name(&name) {
        let message = "a principal's name has up to 100 letters, digits and -_.@+ of ASCII, a letter or digit first, and is not a GUID";
        return Err(message.into());
    }
    let (role, scope) = (role_named(role)?, existing_scope(metastore, scope).await?);
    let secret = random_secret();
    let first = PrincipalSecret::new(Uuid::new_v4(), hash_secret(&secret));
    let assignment = RoleAssignment::new(Uuid::new_v4(), id, role.id, scope.clone());
    if !metastore.create_principal(principal, first, assignment, now_ms()).await? {
        return Err(format!(
            "there is a principal or a registry {name} already, in whatever case: `lazaret principal list` and `lazaret registry \
             list` show them"
        ).into());
    }
    show_secret(&name, id, &secret);
    say!("kind    {}\nrole    {} at {scope}", kind.name(), role.name);
    Ok(())
}

async fn list(metastore: &Metastore, format: Format) -> Result<(), Failure> {
    let assignments = metastore.all_role_assignments().await?;
    let mut rows = table(&["NAME", "ID", "KIND", "ROLE", "SCOPE"]);
    let mut documents = Vec::new();
    let principals = metastore.principals().await?;
    for principal in &principals {
        let held: Vec<_> = assignments.iter().filter(|held| held.principal == principal.id).collect();
        let name = |held: &RoleAssignment| {
            roles::find(&held.role.to_string())
                .map_or_else(|| held.role.to_string(), |role| role.name.to_owned())
        };
        let kind = principal.kind.name();
        let mut row = |role: String, scope: String| {
            rows.add_row([principal.name.clone(), principal.id.to_string(), kind.to_owned(), role, scope]);
        };
        if held.is_empty() {
            row("-".to_owned(), "-".to_owned());
        }
        for held in &held {
            row(name(held), held.scope.clone());
        }
        let held: Vec<_> =
            held.iter().map(|held| json!({ "role": name(held), "scope": held.scope })).collect();
        let owner = principals.iter().find(|one| principal.owner == Some(one.id)).map(|owner| &owner.name);
        documents.push(json!({
            "name": principal.name, "id": principal.id, "kind": kind, "owner": owner, "roles": held,
        }));
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

/// The same, of what is there: a role that is given at a misspelt name would wait for something of that name.
async fn existing_scope(metastore: &Metastore, scope: &ScopeArgs) -> Result<String, Failure> {
    let id = scope_id(metastore, scope).await?;
    if auth::is_scope(metastore, &id).await? {
        return Ok(id);
    }
    Err(format!(
        "there is nothing at the scope {id}: `lazaret subscription list`, `lazaret group list` and `lazaret registry list` show \
         what there is"
    )
    .into())
}

async fn scope_id(metastore: &Metastore, scope: &ScopeArgs) -> Result<String, Failure> {
    if let Some(id) = &scope.scope {
        let is_id = id == "/" || (id.starts_with("/subscriptions/") && !id.ends_with('/'));
        return if is_id {
            Ok(id.clone())
        } else {
            Err(format!("{id:?} is not a scope: write / or /subscriptions/...").into())
        };
    }
    let registry = registry_of(metastore, scope.registry.as_deref()).await?.resource_id();
    Ok(scope.repository.as_ref().map_or(registry.clone(), |name| repository_scope(&registry, name.as_str())))
}
