//! `lazaret webhook`: who is told of what happens in a registry.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, Subcommand};
use events::check;
use metastore::{
    Delivery, DeliveryState, EventAction, EventForm, Metastore, PutWebhook, Registry, WEBHOOKS_MAX, Webhook,
    WebhookChange,
};
use serde_json::{Value, json};

use crate::cli::{Format, PlaceArgs};
use crate::output::say;
use crate::table::{table, time};
use crate::{Failure, now_ms};

#[derive(Debug, Subcommand)]
pub(crate) enum WebhookCommand {
    /// Make one, and show the secret that its messages are signed with this once.
    Create {
        /// 5 to 50 letters and digits.
        name: String,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// List every webhook of a registry.
    List {
        #[command(flatten)]
        place: PlaceArgs,
        /// How the answer is printed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Change one; what is not named stays.
    Set {
        /// Its name.
        name: String,
        #[command(flatten)]
        change: ChangeArgs,
        /// Whether anything is sent.
        #[arg(long, value_name = "BOOL")]
        enabled: Option<bool>,
        /// Sign with another secret from now on, and show it this once.
        #[arg(long)]
        rotate_secret: bool,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Remove one with all that waits for it.
    Delete {
        /// Its name.
        name: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Have the server send it a ping, and say what came of it.
    Ping {
        /// Its name.
        name: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Show what it was sent of late, and what came back.
    Events {
        /// Its name.
        name: String,
        #[command(flatten)]
        place: PlaceArgs,
        /// How the answer is printed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

/// What a webhook is.
#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// Where messages are sent to: `https://…`, or `mailto:security@example.com` where the server has a mail relay.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// What it is for: push, delete, quarantine, verdict, advisory.
    #[arg(long, value_name = "ACTION", value_delimiter = ',', value_parser = action)]
    actions: Option<Vec<EventAction>>,
    /// The tags it is for: `app:v1`, `app:*`, `team/*:*`; `app` means `app:latest`, and nothing means all.
    #[arg(long, value_name = "REPOSITORY:TAG")]
    scope: Option<String>,
    /// How events are written: `acr` or `cloudevents` for programs, `slack` or `teams` for people [default: acr].
    #[arg(long, value_name = "FORM", value_parser = form)]
    form: Option<EventForm>,
    /// A header to send besides; may be repeated. Those there were are replaced.
    #[arg(long, value_name = "NAME=VALUE")]
    header: Vec<String>,
}

fn action(name: &str) -> Result<EventAction, String> {
    let known = EventAction::WANTED.map(EventAction::name).join(", ");
    EventAction::from_name(name).ok_or_else(|| format!("it is not one of {known}"))
}

fn form(name: &str) -> Result<EventForm, String> {
    EventForm::from_name(name)
        .ok_or_else(|| format!("it is not one of {}", EventForm::ALL.map(EventForm::name).join(", ")))
}

pub(crate) async fn run(command: WebhookCommand) -> Result<(), Failure> {
    let (WebhookCommand::Create { place, .. }
    | WebhookCommand::List { place, .. }
    | WebhookCommand::Set { place, .. }
    | WebhookCommand::Delete { place, .. }
    | WebhookCommand::Ping { place, .. }
    | WebhookCommand::Events { place, .. }) = &command;
    let (metastore, registry) = place.open().await?;
    match command {
        WebhookCommand::Create { name, change, .. } => create(&metastore, &registry, &name, change).await,
        WebhookCommand::List { format, .. } => list(&metastore, &registry, format).await,
        WebhookCommand::Set { name, change, enabled, rotate_secret, .. } => {
            let secret = rotate_secret.then(events::random_secret);
            let change = WebhookChange { is_enabled: enabled, secret: secret.clone(), ..wanted(change)? };
            if change == WebhookChange::default() {
                return Err("say what to change: --enabled=false, for one".into());
            }
            match metastore.put_webhook(registry.id, &name, change, false, now_ms()).await? {
                PutWebhook::Changed(changed) => say!("webhook {} is changed", changed.name),
                _ => return Err(no_such(&name)),
            }
            secret.iter().for_each(|secret| show_secret(secret));
            Ok(())
        }
        WebhookCommand::Delete { name, .. } => {
            if !metastore.delete_webhook(registry.id, &name).await? {
                return Err(no_such(&name));
            }
            say!("webhook {name} is gone");
            Ok(())
        }
        WebhookCommand::Ping { name, .. } => ping(&metastore, &registry, &name).await,
        WebhookCommand::Events { name, format, .. } => {
            let webhook = metastore.webhook(registry.id, &name).await?.ok_or_else(|| no_such(&name))?;
            let log = metastore.deliveries(webhook.id, LOG_MAX).await?;
            show_log(&webhook, &log, format)
        }
    }
}

async fn create(
    metastore: &Metastore,
    registry: &Registry,
    name: &str,
    change: ChangeArgs,
) -> Result<(), Failure> {
    check::name(name)?;
    if metastore.webhook(registry.id, name).await?.is_some() {
        return Err(format!("there is a webhook {name}: change it with `lazaret webhook set {name}`").into());
    }
    let secret = events::random_secret();
    let change = wanted(change)?;
    if change.service_uri.is_none() {
        return Err("say where messages are sent to, with --url".into());
    }
    let change = WebhookChange {
        location: Some(registry.location.clone()),
        actions: Some(change.actions.unwrap_or_else(|| vec![EventAction::Push])),
        secret: Some(secret.clone()),
        ..change
    };
    match metastore.put_webhook(registry.id, name, change, true, now_ms()).await? {
        PutWebhook::Created(made) => {
            say!("webhook {} is made; try it with `lazaret webhook ping {}`", made.name, made.name);
            show_secret(&secret);
            Ok(())
        }
        PutWebhook::TooMany => {
            Err(format!("a registry has {WEBHOOKS_MAX} webhooks at most: delete one first").into())
        }
        PutWebhook::Changed(_) | PutWebhook::Missing | PutWebhook::Incomplete => Err(no_such(name)),
    }
}

fn wanted(arguments: ChangeArgs) -> Result<WebhookChange, Failure> {
    let ChangeArgs { url, actions, scope, form, header } = arguments;
    let mut headers = BTreeMap::new();
    for header in &header {
        let (name, value) = header.split_once('=').ok_or("a header is written NAME=VALUE")?;
        headers.insert(name.to_owned(), value.to_owned());
    }
    url.as_deref().map_or(Ok(()), check::service_uri)?;
    scope.as_deref().map_or(Ok(()), check::scope)?;
    check::headers(&headers)?;
    let headers = (!header.is_empty()).then_some(headers);
    Ok(WebhookChange { service_uri: url, headers, scope, actions, form, ..WebhookChange::default() })
}

async fn list(metastore: &Metastore, registry: &Registry, format: Format) -> Result<(), Failure> {
    let webhooks = metastore.webhooks(registry.id).await?;
    let mut rows = table(&["NAME", "STATUS", "ACTIONS", "SCOPE", "FORM", "WAITING"]);
    let mut documents = Vec::new();
    for webhook in &webhooks {
        let waiting = metastore.waiting_deliveries(webhook.id).await?;
        let actions = webhook.actions.iter().map(|action| action.name()).collect::<Vec<_>>();
        let status = match (&webhook.disabled_because, webhook.is_enabled) {
            (Some(reason), _) => format!("disabled: {reason}"),
            (None, true) => "enabled".to_owned(),
            (None, false) => "disabled".to_owned(),
        };
        documents.push(json!({
            "name": webhook.name,
            "status": if webhook.is_enabled { "enabled" } else { "disabled" },
            "disabledReason": webhook.disabled_because,
            "actions": actions,
            "scope": webhook.scope,
            "form": webhook.form.name(),
            "waiting": waiting,
        }));
        let scope = if webhook.scope.is_empty() { "*" } else { &webhook.scope };
        rows.add_row([
            webhook.name.as_str(),
            &status,
            &actions.join(","),
            scope,
            webhook.form.name(),
            &waiting.to_string(),
        ]);
    }
    match format {
        Format::Json => say!("{}", serde_json::to_string_pretty(&documents)?),
        Format::Table if documents.is_empty() => say!("no webhooks: make one with `lazaret webhook create`"),
        Format::Table => say!("{rows}"),
    }
    Ok(())
}

async fn ping(metastore: &Metastore, registry: &Registry, name: &str) -> Result<(), Failure> {
    let id = metastore.ping_webhook(registry, name, now_ms()).await?.ok_or_else(|| no_such(name))?;
    let webhook = metastore.webhook(registry.id, name).await?.ok_or_else(|| no_such(name))?;
    let deadline = tokio::time::Instant::now() + PING_MAX;
    loop {
        let log = metastore.deliveries(webhook.id, LOG_MAX).await?;
        if let Some(delivery) = log.iter().find(|delivery| delivery.event.id == id) {
            let status = delivery.response.as_ref().and_then(|response| response["statusCode"].as_str());
            if delivery.state == DeliveryState::Delivered {
                say!("{name} answered {}", status.unwrap_or_default());
                return Ok(());
            }
            let reason = delivery.reason.as_deref().unwrap_or_default();
            return Err(format!("{name} was not reached: {reason}").into());
        }
        if tokio::time::Instant::now() >= deadline {
            say!("the ping waits: no server has sent it within {} seconds", PING_MAX.as_secs());
            say!("start the server, then see `lazaret webhook events {name}`");
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn show_log(webhook: &Webhook, log: &[Delivery], format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        let documents: Vec<Value> = log
            .iter()
            .map(|delivery| {
                json!({
                    "id": delivery.event.id,
                    "action": delivery.event.action.name(),
                    "created": time(delivery.created_ms),
                    "tried": delivery.tried_ms.map(time),
                    "state": delivery.state.name(),
                    "attempts": delivery.attempts,
                    "reason": delivery.reason,
                    "payload": events::payload(&delivery.event, webhook, ""),
                    "request": delivery.request,
                    "response": delivery.response,
                })
            })
            .collect();
        say!("{}", serde_json::to_string_pretty(&documents)?);
        return Ok(());
    }
    if log.is_empty() {
        say!("nothing was sent of late");
        return Ok(());
    }
    let mut rows = table(&["CREATED", "ACTION", "SUBJECT", "STATE", "ATTEMPTS", "ANSWER"]);
    for delivery in log {
        let subject = delivery.event.target.as_ref().map(|target| {
            let tag =
                target.tag.as_ref().map_or_else(|| format!("@{}", target.digest), |tag| format!(":{tag}"));
            format!("{}{tag}", target.repository)
        });
        let status = delivery.response.as_ref().and_then(|response| response["statusCode"].as_str());
        rows.add_row([
            time(delivery.created_ms),
            delivery.event.action.name().to_owned(),
            subject.unwrap_or_default(),
            delivery.state.name().to_owned(),
            delivery.attempts.to_string(),
            delivery.reason.as_deref().or(status).unwrap_or_default().to_owned(),
        ]);
    }
    say!("{rows}");
    Ok(())
}

fn show_secret(secret: &str) {
    say!("  signing secret         {secret}");
    say!("                         shown this once; see docs/events.md for what it is good for");
}

fn no_such(name: &str) -> Failure {
    format!("there is no webhook {name}: `lazaret webhook list` shows them").into()
}

/// All that the log keeps.
const LOG_MAX: usize = 500;
/// A little longer than a receiver may take.
const PING_MAX: Duration = Duration::from_secs(20);
