//! `lazaret token` and `lazaret scope-map`: names that log in at one registry alone, and what they may do there.

use auth::{SYSTEM_SCOPE_MAPS, ScopeAction, SystemScopeMap, hash_secret, random_secret};
use clap::{Args, Subcommand};
use metastore::{DeleteScopeMap, Metastore, PutToken, Registry, RegistryToken, TokenChange, TokenPassword};
use serde_json::json;

use crate::cli::{Format, PlaceArgs};
use crate::output::say;
use crate::table::{table, time};
use crate::{Failure, now_ms};

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make one, and show its password this once.
    Create {
        /// 5 to 50 letters, digits, - and _: what it logs in by.
        name: String,
        /// What it may do: a scope map of the registry, or one of the system's.
        #[arg(long, value_name = "NAME", default_value = "_repositories_pull_metadata_read")]
        scope_map: String,
        #[command(flatten)]
        expiry: ExpiryArgs,
        #[command(flatten)]
        at: PlaceArgs,
    },
    /// List the registry's tokens.
    List {
        #[command(flatten)]
        at: PlaceArgs,
        /// How the answer is printed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Give one another password, and show it this once. What stood for the old one ends.
    Rotate {
        /// Its name.
        name: String,
        /// Which of its two passwords; the other one stays good.
        #[arg(long, value_enum, default_value_t)]
        password: PasswordName,
        #[command(flatten)]
        expiry: ExpiryArgs,
        #[command(flatten)]
        at: PlaceArgs,
    },
    /// Let one log in no longer, or again.
    Set {
        /// Its name.
        name: String,
        /// Whether it may log in.
        #[arg(long, value_name = "BOOL")]
        enabled: Option<bool>,
        /// What it may do from now on.
        #[arg(long, value_name = "NAME")]
        scope_map: Option<String>,
        #[command(flatten)]
        at: PlaceArgs,
    },
    /// Remove one. It is let in no longer.
    Delete {
        /// Its name.
        name: String,
        #[command(flatten)]
        at: PlaceArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScopeMapCommand {
    /// Make or replace one. The tokens that hold it follow at once.
    Set {
        /// 5 to 50 letters, digits, - and _; none begins with _.
        name: String,
        /// What it allows, as `repositories/team/*/content/read`; can be given many times.
        #[arg(long = "action", value_name = "ACTION", required = true)]
        actions: Vec<ScopeAction>,
        /// What it is for.
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        #[command(flatten)]
        at: PlaceArgs,
    },
    /// List them, the system's included.
    List {
        #[command(flatten)]
        at: PlaceArgs,
        /// How the answer is printed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Remove one that no token holds.
    Delete {
        /// Its name.
        name: String,
        #[command(flatten)]
        at: PlaceArgs,
    },
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct ExpiryArgs {
    /// After how many days it is good no longer.
    #[arg(long, value_name = "DAYS")]
    expires_days: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub(crate) enum PasswordName {
    #[default]
    Password1,
    Password2,
}

impl PasswordName {
    fn name(self) -> &'static str {
        match self {
            Self::Password1 => "password1",
            Self::Password2 => "password2",
        }
    }
}

impl ExpiryArgs {
    pub(crate) fn at(self) -> Option<i64> {
        self.expires_days.map(|days| now_ms() + i64::from(days) * 86_400_000)
    }
}

pub(crate) async fn token(command: TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::Create { name, scope_map, expiry, at } => {
            let (metastore, registry) = at.open().await?;
            check_name(&name)?;
            if metastore.registry_token(registry.id, &name).await?.is_some() {
                return Err(format!("there is a token {name} already: `lazaret token list` shows it").into());
            }
            let token = put(&metastore, &registry, name, Some(scope_map), None).await?;
            let secret = renew(&metastore, &registry, &token, PasswordName::Password1, expiry).await?;
            show(&token, "password1", &secret, expiry);
            Ok(())
        }
        TokenCommand::List { at, format } => {
            let (metastore, registry) = at.open().await?;
            list_tokens(&metastore.registry_tokens(registry.id).await?, format)
        }
        TokenCommand::Rotate { name, password, expiry, at } => {
            let (metastore, registry) = at.open().await?;
            let token = metastore.registry_token(registry.id, &name).await?.ok_or_else(|| no_token(&name))?;
            let secret = renew(&metastore, &registry, &token, password, expiry).await?;
            show(&token, password.name(), &secret, expiry);
            Ok(())
        }
        TokenCommand::Set { name, enabled, scope_map, at } => {
            let (metastore, registry) = at.open().await?;
            if metastore.registry_token(registry.id, &name).await?.is_none() {
                return Err(no_token(&name));
            }
            let token = put(&metastore, &registry, name, scope_map, enabled).await?;
            let state = if token.is_enabled { "may log in" } else { "may not log in" };
            say!("{} {state}, and holds {}", token.name, token.scope_map);
            Ok(())
        }
        TokenCommand::Delete { name, at } => {
            let (metastore, registry) = at.open().await?;
            if !metastore.delete_registry_token(registry.id, &name).await? {
                return Err(no_token(&name));
            }
            say!("{name} is gone");
            Ok(())
        }
    }
}

pub(crate) async fn scope_map(command: ScopeMapCommand) -> Result<(), Failure> {
    match command {
        ScopeMapCommand::Set { name, actions, description, at } => {
            let (metastore, registry) = at.open().await?;
            check_name(&name)?;
            if name.starts_with('_') {
                return Err(format!("{name} is the system's: choose a name without the _").into());
            }
            let actions = actions.iter().map(ToString::to_string).collect();
            let put = metastore.put_scope_map(registry.id, name, description, Some(actions), now_ms());
            let (map, _) = put.await?;
            say!("{} allows {}", map.name, map.actions.join(", "));
            Ok(())
        }
        ScopeMapCommand::List { at, format } => {
            let (metastore, registry) = at.open().await?;
            let mut rows = table(&["SCOPE MAP", "ACTIONS", "DESCRIPTION"]);
            let mut documents = Vec::new();
            let own = metastore.scope_maps(registry.id).await?;
            let own = own.into_iter().map(|map| (map.name, map.actions, map.description));
            let system = SYSTEM_SCOPE_MAPS.iter().map(|map| {
                let actions = map.actions.iter().map(ToString::to_string).collect();
                (map.name.to_owned(), actions, map.description.to_owned())
            });
            for (name, actions, description) in system.chain(own) {
                let document = json!({ "name": name, "actions": actions, "description": description });
                documents.push(document);
                rows.add_row([name, actions.join("\n"), description]);
            }
            match format {
                Format::Json => say!("{}", serde_json::to_string_pretty(&documents)?),
                Format::Table => say!("{rows}"),
            }
            Ok(())
        }
        ScopeMapCommand::Delete { name, at } => {
            let (metastore, registry) = at.open().await?;
            match metastore.delete_scope_map(registry.id, &name).await? {
                DeleteScopeMap::Deleted => say!("{name} is gone"),
                DeleteScopeMap::Missing => return Err(no_scope_map(&name)),
                DeleteScopeMap::InUse(token) => {
                    let message = format!(
                        "the token {token} holds {name}: `lazaret token set {token} --scope-map …` first"
                    );
                    return Err(message.into());
                }
            }
            Ok(())
        }
    }
}

async fn put(
    metastore: &Metastore,
    registry: &Registry,
    name: String,
    scope_map: Option<String>,
    is_enabled: Option<bool>,
) -> Result<RegistryToken, Failure> {
    let wanted = scope_map.clone().unwrap_or_default();
    if wanted.starts_with('_') && SystemScopeMap::find(&wanted).is_none() {
        return Err(no_scope_map(&wanted));
    }
    let change = TokenChange { scope_map, is_enabled, passwords: None };
    match metastore.put_registry_token(registry.id, name, change, now_ms()).await? {
        PutToken::Created(token) | PutToken::Updated(token) => Ok(token),
        PutToken::NoScopeMap => Err(no_scope_map(&wanted)),
    }
}

async fn renew(
    metastore: &Metastore,
    registry: &Registry,
    token: &RegistryToken,
    name: PasswordName,
    expiry: ExpiryArgs,
) -> Result<String, Failure> {
    let secret = random_secret();
    let password = TokenPassword {
        name: name.name().to_owned(),
        secret_hash: hash_secret(&secret),
        created_ms: now_ms(),
        expires_ms: expiry.at(),
    };
    let set = metastore.set_token_passwords(registry.id, token.id, vec![password]).await?;
    set.map(|_| secret).ok_or_else(|| no_token(&token.name))
}

fn list_tokens(tokens: &[RegistryToken], format: Format) -> Result<(), Failure> {
    let mut rows = table(&["TOKEN", "ENABLED", "SCOPE MAP", "PASSWORD", "EXPIRES"]);
    let mut documents = Vec::new();
    for token in tokens {
        let expiry = |password: &TokenPassword| password.expires_ms.map(time);
        let passwords: Vec<_> = token
            .passwords
            .iter()
            .map(|password| json!({ "name": password.name, "created": time(password.created_ms), "expires": expiry(password) }))
            .collect();
        documents.push(json!({
            "name": token.name, "id": token.id, "enabled": token.is_enabled, "scopeMap": token.scope_map,
            "passwords": passwords,
        }));
        let lines = |shown: &dyn Fn(&TokenPassword) -> String| -> String {
            let lines: Vec<_> = token.passwords.iter().map(shown).collect();
            if lines.is_empty() { "-".to_owned() } else { lines.join("\n") }
        };
        rows.add_row([
            token.name.clone(),
            token.is_enabled.to_string(),
            token.scope_map.clone(),
            lines(&|password| password.name.clone()),
            lines(&|password| expiry(password).unwrap_or_else(|| "never".to_owned())),
        ]);
    }
    match format {
        Format::Json => say!("{}", serde_json::to_string_pretty(&documents)?),
        Format::Table => say!("{rows}"),
    }
    Ok(())
}

fn show(token: &RegistryToken, password: &str, secret: &str, expiry: ExpiryArgs) {
    let until = expiry.at().map_or_else(|| "never expires".to_owned(), |at| format!("expires {}", time(at)));
    say!(
        "name    {}\nsecret  {secret}    {password}, shown this once, {until}\nholds   {}",
        token.name,
        token.scope_map
    );
}

fn check_name(name: &str) -> Result<(), Failure> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if (5..=50).contains(&name.len()) && name.bytes().all(is_allowed) {
        return Ok(());
    }
    Err(format!("{name:?} is not a valid name: write 5 to 50 letters, digits, - and _").into())
}

fn no_token(name: &str) -> Failure {
    format!("there is no token {name}: `lazaret token list` shows those there are").into()
}

fn no_scope_map(name: &str) -> Failure {
    format!("there is no scope map {name}: `lazaret scope-map list` shows those there are").into()
}
