//! `lazaret principal secret`: what a principal logs in by, rotated while the old one is still good.

use auth::{hash_secret, is_secret_of, random_secret};
use clap::Subcommand;
use metastore::{AddSecret, PrincipalSecret, Proof, SECRETS_MAX};
use serde_json::json;
use uuid::Uuid;

use crate::cli::{DataArgs, Format};
use crate::data::DataFolder;
use crate::first_start::{ADMINISTRATOR, PASSWORD_FILE};
use crate::output::say;
use crate::principal_command::find;
use crate::proof::ProofArgs;
use crate::table::{table, time};
use crate::token_command::ExpiryArgs;
use crate::{Failure, now_ms};

#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Give a principal one more secret, and show it this once; or let a certificate or another issuer's tokens stand
    /// for it. Those it has stay good.
    Add {
        /// The principal's name or id.
        principal: String,
        /// What people call the secret.
        #[arg(long, value_name = "NAME", default_value = "")]
        name: String,
        #[command(flatten)]
        proof: ProofArgs,
        #[command(flatten)]
        expiry: ExpiryArgs,
        #[command(flatten)]
        data: DataArgs,
    },
    /// List a principal's secrets: their key ids and ends, never the secrets.
    List {
        /// The principal's name or id.
        principal: String,
        #[command(flatten)]
        data: DataArgs,
        /// How the answer is printed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Take a secret away. What it was exchanged for is good no longer.
    Remove {
        /// The principal's name or id.
        principal: String,
        /// The secret's key id.
        id: Uuid,
        #[command(flatten)]
        data: DataArgs,
    },
}

pub(crate) async fn secret(command: SecretCommand) -> Result<(), Failure> {
    match command {
        SecretCommand::Add { principal, name, proof, expiry, data } => {
            add(&principal, name, &proof, &expiry, &data).await
        }
        SecretCommand::List { principal, data, format } => list(&principal, &data, format).await,
        SecretCommand::Remove { principal, id, data } => remove(&principal, id, &data).await,
    }
}

async fn add(
    principal: &str,
    name: String,
    proof: &ProofArgs,
    expiry: &ExpiryArgs,
    data: &DataArgs,
) -> Result<(), Failure> {
    if name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let message = format!("a secret's name has up to {NAME_BYTES_MAX} bytes, and no control characters");
        return Err(message.into());
    }
    let metastore = DataFolder::existing(&data.path)?.metastore()?;
    let found = find(&metastore, principal).await?;
    let (id, secret) = (Uuid::new_v4(), random_secret());
    let (proof, shown, end_ms) = match proof.settle()? {
        Some((proof, end_ms)) => (proof, None, end_ms),
        None => (Proof::Hash(hash_secret(&secret)), Some(secret), None),
    };
    // Whichever comes first.
    let expires_ms = [expiry.at(), end_ms].into_iter().flatten().min();
    let secret = PrincipalSecret { name, proof, expires_ms, ..PrincipalSecret::new(id, String::new()) };
    match metastore.add_secret(found.id, secret, now_ms()).await? {
        AddSecret::Added => {}
        AddSecret::TooMany => {
            let message = format!(
                "{} has {SECRETS_MAX} secrets already: remove one of `lazaret principal secret list {0}`",
                found.name
            );
            return Err(message.into());
        }
        AddSecret::NoPrincipal => return Err(format!("{} was removed meanwhile", found.name).into()),
    }
    let end = expires_ms.map_or_else(|| "never".to_owned(), time);
    let shown = shown.map(|secret| format!("secret   {secret}    shown this once\n")).unwrap_or_default();
    say!("name     {}\nid       {}\nkey      {id}\n{shown}expires  {end}", found.name, found.id);
    Ok(())
}

async fn list(principal: &str, data: &DataArgs, format: Format) -> Result<(), Failure> {
    let metastore = DataFolder::existing(&data.path)?.metastore()?;
    let found = find(&metastore, principal).await?;
    let mut rows = table(&["KEY", "KIND", "NAME", "CREATED", "EXPIRES", "GOOD"]);
    let mut documents = Vec::new();
    for secret in metastore.principal_secrets(found.id).await? {
        let (expires, is_good) = (secret.expires_ms.map(time), secret.is_good(now_ms()));
        let created = time(secret.created_ms);
        let (kind, issuer) = match &secret.proof {
            Proof::Hash(_) => ("secret", None),
            Proof::Keys { issuer: None, .. } => ("certificate", None),
            Proof::Keys { issuer: Some(issuer), .. } => ("federation", Some(issuer)),
        };
        documents.push(json!({
            "id": secret.id, "kind": kind, "issuer": issuer.map(|it| &it.issuer),
            "subject": issuer.map(|it| &it.subject), "name": secret.name, "created": created, "expires": expires, "good": is_good,
        }));
        let end = expires.unwrap_or_else(|| "never".to_owned());
        rows.add_row([
            secret.id.to_string(),
            kind.to_owned(),
            secret.name,
            created,
            end,
            is_good.to_string(),
        ]);
    }
    match format {
        Format::Json => say!("{}", serde_json::to_string_pretty(&documents)?),
        Format::Table => say!("{rows}"),
    }
    Ok(())
}

async fn remove(principal: &str, id: Uuid, data: &DataArgs) -> Result<(), Failure> {
    let data = DataFolder::existing(&data.path)?;
    let metastore = data.metastore()?;
    let found = find(&metastore, principal).await?;
    let secrets = metastore.principal_secrets(found.id).await?;
    let held = secrets.iter().find(|secret| secret.id == id);
    let Some(held) = held.filter(|_| secrets.len() > 1) else {
        let message = match held {
            Some(_) => format!(
                "it is the only secret of {}: `lazaret principal rotate` replaces it, `delete` removes both",
                found.name
            ),
            None => format!(
                "{} has no secret {id}: `lazaret principal secret list {0}` shows those it has",
                found.name
            ),
        };
        return Err(message.into());
    };
    metastore.remove_secret(found.id, id).await?;
    if found.name == ADMINISTRATOR {
        // The first password's file says what is true no longer, if it was that one.
        let first = std::fs::read_to_string(data.path(PASSWORD_FILE));
        if first.is_ok_and(|first| held.hash().is_some_and(|hash| is_secret_of(first.trim_end(), hash))) {
            data.remove(PASSWORD_FILE)?;
        }
    }
    say!("{} has the secret {id} no longer", found.name);
    Ok(())
}

const NAME_BYTES_MAX: usize = 100;
