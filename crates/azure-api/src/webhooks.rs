//! Webhooks as resources of their registry. What is read of one never shows where it sends to, nor with
//! what headers: `getCallbackConfig` does, and that is a right of its own.

use std::collections::BTreeMap;

use auth::{Action, Caller};
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use events::check;
use metastore::{EventAction, EventForm, PutWebhook, Registry, WEBHOOKS_MAX, Webhook, WebhookChange};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::Api;
use crate::arm::{Scope, WebhookVerb};
use crate::body::{Kind, read};
use crate::error::ArmError;
use crate::registries::{check_location, tags_of};

/// What clients send of a webhook; they may send back all that they were shown.
#[derive(Deserialize)]
struct WebhookBody {
    #[serde(default)]
    location: Option<String>,
    #[serde(default)]
    tags: Option<Map<String, Value>>,
    #[serde(default)]
    properties: Properties,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    #[serde(default)]
    service_uri: Option<String>,
    #[serde(default)]
    custom_headers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    scope: Option<String>,
    #[serde(default)]
    actions: Option<Vec<String>>,
    #[serde(default)]
    payload_format: Option<String>,
}

impl Api {
    pub(crate) async fn webhooks(&self, caller: &Caller, scope: &Scope) -> Result<Value, ArmError> {
        let registry = self.registry_for(caller, scope, Action::ReadWebhooks).await?;
        let webhooks = self.metastore.webhooks(registry.id).await?;
        let shown = webhooks.iter().map(|webhook| azure_documents::webhook(webhook, &registry));
        Ok(json!({ "value": shown.collect::<Vec<_>>() }))
    }

    pub(crate) async fn webhook(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &str,
    ) -> Result<Value, ArmError> {
        let (registry, webhook) = self.webhook_for(caller, scope, name, Action::ReadWebhooks).await?;
        Ok(azure_documents::webhook(&webhook, &registry))
    }

    /// `PUT` and `PATCH`. The answer to the making of one has the secret by which its messages are signed,
    /// this once.
    pub(crate) async fn put_webhook(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &str,
        body: Body,
        may_create: bool,
    ) -> Result<Response, ArmError> {
        let registry = self.registry_for(caller, scope, Action::WriteWebhooks).await?;
        let body: WebhookBody = read(body, &WEBHOOK).await?;
        let location = body.location.clone();
        let mut change = change(body)?;
        if may_create {
            check::name(name).map_err(invalid)?;
            // A PUT says all of it.
            change.headers.get_or_insert_default();
            change.scope.get_or_insert_default();
            change.form.get_or_insert_default();
            change.is_enabled.get_or_insert(true);
            change.tags.get_or_insert_with(|| "{}".to_owned());
            change.location.get_or_insert_with(|| registry.location.clone());
            if change.service_uri.is_none() || change.actions.is_none() {
                return Err(bad("properties.serviceUri and properties.actions are required."));
            }
        }
        let found = self.metastore.webhook(registry.id, name).await?;
        if let Some(found) = &found {
            check_location(location.as_deref(), &found.name, &found.location)?;
        }
        let secret = events::random_secret();
        let wanted = WebhookChange {
            // Only a new one has none yet.
            secret: found.is_none().then(|| secret.clone()),
            ..change
        };
        match self.metastore.put_webhook(registry.id, name, wanted, may_create, (self.clock)()).await? {
            PutWebhook::Created(made) => {
                let mut document = azure_documents::webhook(&made, &registry);
                document["properties"]["signingSecret"] = secret.into();
                Ok((StatusCode::CREATED, crate::json(document)).into_response())
            }
            PutWebhook::Changed(changed) => Ok(crate::json(azure_documents::webhook(&changed, &registry))),
            PutWebhook::Missing | PutWebhook::Incomplete => Err(no_such_webhook(&registry, name)),
            PutWebhook::TooMany => Err(ArmError::new(
                StatusCode::FORBIDDEN,
                "QuotaExceeded",
                format!("A registry has {WEBHOOKS_MAX} webhooks at most: delete one first."),
            )),
        }
    }

    pub(crate) async fn delete_webhook(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &str,
    ) -> Result<Response, ArmError> {
        let registry = self.registry_for(caller, scope, Action::DeleteWebhooks).await?;
        let is_gone = self.metastore.delete_webhook(registry.id, name).await?;
        Ok(if is_gone { StatusCode::OK } else { StatusCode::NO_CONTENT }.into_response())
    }

    pub(crate) async fn webhook_verb(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &str,
        verb: WebhookVerb,
        base: &str,
    ) -> Result<Value, ArmError> {
        let action = match verb {
            WebhookVerb::Ping => Action::PingWebhooks,
            WebhookVerb::ListEvents => Action::ListWebhookEvents,
            WebhookVerb::GetCallbackConfig => Action::ReadCallbackConfig,
        };
        let (registry, webhook) = self.webhook_for(caller, scope, name, action).await?;
        match verb {
            WebhookVerb::Ping => {
                let id = self.metastore.ping_webhook(&registry, name, (self.clock)()).await?;
                (self.wake)();
                id.map(|id| json!({ "id": id })).ok_or_else(|| no_such_webhook(&registry, name))
            }
            WebhookVerb::ListEvents => {
                let log = self.metastore.deliveries(webhook.id, EVENTS_MAX).await?;
                let shown = log.iter().map(|delivery| {
                    azure_documents::webhook_event(
                        delivery,
                        &events::payload(&delivery.event, &webhook, base),
                    )
                });
                Ok(json!({ "value": shown.collect::<Vec<_>>() }))
            }
            WebhookVerb::GetCallbackConfig => {
                Ok(json!({ "serviceUri": webhook.service_uri, "customHeaders": webhook.headers }))
            }
        }
    }

    async fn webhook_for(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &str,
        action: Action,
    ) -> Result<(Registry, Webhook), ArmError> {
        let registry = self.registry_for(caller, scope, action).await?;
        let webhook = self.metastore.webhook(registry.id, name).await?;
        let webhook = webhook.ok_or_else(|| no_such_webhook(&registry, name))?;
        Ok((registry, webhook))
    }
}

fn change(body: WebhookBody) -> Result<WebhookChange, ArmError> {
    let Properties { service_uri, custom_headers, status, scope, actions, payload_format } = body.properties;
    if let Some(uri) = &service_uri {
        check::service_uri(uri).map_err(invalid)?;
    }
    if let Some(headers) = &custom_headers {
        check::headers(headers).map_err(invalid)?;
    }
    if let Some(scope) = &scope {
        check::scope(scope).map_err(invalid)?;
    }
    let is_enabled = match status.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None => None,
        Some("enabled") => Some(true),
        Some("disabled") => Some(false),
        Some(_) => return Err(bad("properties.status is enabled or disabled.")),
    };
    let form = match payload_format {
        None => None,
        Some(name) => {
            let form = EventForm::from_name(&name);
            Some(form.ok_or_else(|| bad("properties.payloadFormat is acr, cloudevents, slack or teams."))?)
        }
    };
    Ok(WebhookChange {
        location: body.location,
        tags: body.tags.map(|tags| tags_of(&tags)).transpose()?,
        service_uri,
        headers: custom_headers,
        scope,
        actions: actions.map(|names| actions_named(&names)).transpose()?,
        form,
        is_enabled,
        secret: None,
    })
}

fn actions_named(names: &[String]) -> Result<Vec<EventAction>, ArmError> {
    let known = || EventAction::WANTED.map(EventAction::name).join(", ");
    let named = |name: &String| {
        EventAction::from_name(name)
            .ok_or_else(|| bad(&format!("The action '{name}' is not one of {}.", known())))
    };
    if names.is_empty() {
        return Err(bad(&format!("A webhook is for one action at least, of {}.", known())));
    }
    names.iter().map(named).collect()
}

fn no_such_webhook(registry: &Registry, name: &str) -> ArmError {
    let message = format!(
        "The Resource '{}/{}/{name}' under resource group '{}' was not found.",
        azure_documents::WEBHOOKS,
        registry.name,
        registry.resource_group
    );
    ArmError::not_found("ResourceNotFound", message)
}

fn invalid(error: check::InvalidWebhook) -> ArmError {
    bad(&format!("Webhook: {error}."))
}

fn bad(message: &str) -> ArmError {
    ArmError::bad("InvalidWebhook", message)
}

/// All that the log keeps of what is over.
const EVENTS_MAX: usize = 500;

const WEBHOOK: Kind = Kind {
    what: "webhook",
    kept: &[
        "location",
        "tags",
        "properties.serviceUri",
        "properties.customHeaders",
        "properties.status",
        "properties.scope",
        "properties.actions",
        "properties.payloadFormat",
    ],
    shown: &["properties.signingSecret", "properties.disabledReason"],
    fixed: &[],
};
