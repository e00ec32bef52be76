//! Webhooks, and what they were sent.

use metastore::{Delivery, Registry, Webhook};
use serde_json::{Value, json};

/// A webhook, without what is for its sender alone: its address, headers and secret.
#[must_use]
pub fn webhook(webhook: &Webhook, registry: &Registry) -> Value {
    let tags: Value = serde_json::from_str(&webhook.tags).unwrap_or_else(|_| json!({}));
    let actions: Vec<&str> = webhook.actions.iter().map(|action| action.name()).collect();
    let mut document = json!({
        "id": format!("{}/webhooks/{}", registry.resource_id(), webhook.name),
        "name": webhook.name,
        "type": WEBHOOKS,
        "location": webhook.location,
        "tags": tags,
        "properties": {
            "status": if webhook.is_enabled { "enabled" } else { "disabled" },
            "scope": webhook.scope,
            "actions": actions,
            "provisioningState": "Succeeded",
            // Our own.
            "payloadFormat": webhook.form.name(),
        },
    });
    if let Some(reason) = &webhook.disabled_because {
        document["properties"]["disabledReason"] = reason.as_str().into();
    }
    document
}

/// A webhook, as lists of all resources have it.
#[must_use]
pub fn webhook_listed(webhook: &Webhook, registry: &Registry) -> Value {
    let tags: Value = serde_json::from_str(&webhook.tags).unwrap_or_else(|_| json!({}));
    json!({
        "id": format!("{}/webhooks/{}", registry.resource_id(), webhook.name),
        "name": format!("{}/{}", registry.name, webhook.name),
        "type": WEBHOOKS,
        "location": webhook.location,
        "tags": tags,
    })
}

/// A delivery with the document that was sent, as `listEvents` has it.
#[must_use]
pub fn webhook_event(delivery: &Delivery, payload: &Value) -> Value {
    let mut request = delivery.request.clone().unwrap_or_else(|| json!({}));
    request["content"] = payload.clone();
    json!({
        "id": delivery.event.id,
        "eventRequestMessage": request,
        "eventResponseMessage": delivery.response,
        // Our own.
        "state": delivery.state.name(),
        "attempts": delivery.attempts,
        "reason": delivery.reason,
    })
}

/// The type of webhooks.
pub const WEBHOOKS: &str = "Microsoft.ContainerRegistry/registries/webhooks";
