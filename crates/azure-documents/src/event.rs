//! Events, as webhooks are sent them: Azure Container Registry's payload, and CloudEvents 1.0.

use metastore::{Event, EventAction, EventTarget, Judgement};
use serde_json::{Map, Value, json};

use crate::{Form, time};

/// As Azure Container Registry posts it (azure-docs, "webhook reference"). `verdict` is our own.
#[must_use]
pub fn webhook_payload(event: &Event, base: &str) -> Value {
    let mut payload = common(event);
    if let Some(target) = &event.target {
        payload.insert("target".to_owned(), target_of(event, target));
    }
    if !event.origin.request_id.is_empty() {
        let origin = &event.origin;
        let mut request = json!({ "id": origin.request_id, "host": origin.host, "method": origin.method });
        if event.action != EventAction::Quarantine {
            request["useragent"] = origin.user_agent.as_str().into();
        }
        payload.insert("request".to_owned(), request);
    }
    with_judgement(event, base, payload)
}

/// As a structured CloudEvent, with the data of Azure's Event Grid (azure-docs, "event schema for
/// Container Registry").
#[must_use]
pub fn cloud_event(event: &Event, base: &str) -> Value {
    let origin = &event.origin;
    let mut data = common(event);
    if let Some(target) = &event.target {
        let mut shown = target_of(event, target);
        if !origin.host.is_empty() {
            let url = format!("https://{}/v2/{}/manifests/{}", origin.host, target.repository, target.digest);
            shown["url"] = url.into();
        }
        data.insert("target".to_owned(), shown);
    }
    if !origin.request_id.is_empty() {
        let request = json!({
            "id": origin.request_id,
            "addr": origin.address,
            "host": origin.host,
            "method": origin.method,
            "useragent": origin.user_agent,
        });
        data.insert("request".to_owned(), request);
        data.insert("actor".to_owned(), json!({ "name": origin.principal }));
        let name = event.registry.rsplit('/').next().unwrap_or_default();
        data.insert("source".to_owned(), json!({ "addr": origin.host, "instanceID": name }));
    }
    let mut document = json!({
        "specversion": "1.0",
        "id": event.id,
        "source": event.registry,
        "type": event_type(event.action),
        "time": time(event.at_ms),
        "datacontenttype": "application/json",
        "data": with_judgement(event, base, data),
    });
    if let Some(target) = &event.target {
        document["subject"] = match &target.tag {
            Some(tag) => format!("{}:{tag}", target.repository),
            None => format!("{}@{}", target.repository, target.digest),
        }
        .into();
    } else if let Some(advisory) = &event.advisory {
        document["subject"] = advisory.id.as_str().into();
    }
    document
}

/// Azure's name where Azure has one.
fn event_type(action: EventAction) -> &'static str {
    match action {
        EventAction::Push => "Microsoft.ContainerRegistry.ImagePushed",
        EventAction::Delete => "Microsoft.ContainerRegistry.ImageDeleted",
        EventAction::ChartPush => "Microsoft.ContainerRegistry.ChartPushed",
        EventAction::ChartDelete => "Microsoft.ContainerRegistry.ChartDeleted",
        EventAction::Quarantine => "lazaret.image.quarantined",
        EventAction::Verdict => "lazaret.verdict.changed",
        EventAction::Advisory => "lazaret.advisory.found",
        EventAction::Ping => "lazaret.webhook.ping",
    }
}

fn common(event: &Event) -> Map<String, Value> {
    let mut document = Map::new();
    document.insert("id".to_owned(), json!(event.id));
    document.insert("timestamp".to_owned(), time(event.at_ms).into());
    document.insert("action".to_owned(), event.action.name().into());
    document
}

/// Of what is deleted no size is told, and no tag: it may have had several.
fn target_of(event: &Event, target: &EventTarget) -> Value {
    let mut shown = json!({ "mediaType": target.media_type });
    if event.action != EventAction::Delete {
        shown["size"] = target.size.into();
    }
    shown["digest"] = target.digest.as_str().into();
    if event.action != EventAction::Delete {
        shown["length"] = target.size.into();
    }
    shown["repository"] = target.repository.as_str().into();
    if let Some(tag) = &target.tag {
        shown["tag"] = tag.as_str().into();
    }
    if event.action == EventAction::Verdict {
        shown["tags"] = json!(target.tags);
    }
    shown
}

/// What is thought of the event's image or images; our own.
fn with_judgement(event: &Event, base: &str, mut document: Map<String, Value>) -> Value {
    let judgement = |judgement: &Judgement| json!({ "state": judgement.state, "causes": judgement.causes, "severities": judgement.severities });
    if let Some(verdict) = &event.verdict {
        let change = json!({ "from": judgement(&verdict.from), "to": judgement(&verdict.to) });
        document.insert("verdict".to_owned(), change);
    }
    if let Some(advisory) = &event.advisory {
        let link = affected_link(event, base);
        let shown = json!({
            "id": advisory.id,
            "severity": advisory.severity,
            "images": advisory.images,
            "repositories": advisory.repositories,
            "examples": advisory.examples,
            "link": link,
        });
        document.insert("advisory".to_owned(), shown);
    }
    Value::Object(document)
}

/// Where the findings of the event's registry are listed, in the Azure API at `base`.
#[must_use]
pub fn affected_link(event: &Event, base: &str) -> String {
    let key = Form::Of2020.key();
    let assessment = format!("{base}{}/providers/Microsoft.Security/assessments/{key}", event.registry);
    format!("{assessment}/subAssessments?api-version=2019-01-01-preview")
}

#[cfg(test)]
mod tests {
    use metastore::{Origin, VerdictChange};
    use uuid::Uuid;

    use super::*;

    fn event(action: EventAction, tag: Option<&str>) -> Event {
        Event {
            id: Uuid::from_u128(1),
            at_ms: 1_510_937_521_343,
            action,
            registry: "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/r"
                .to_owned(),
            target: Some(EventTarget {
                repository: "hello-world".to_owned(),
                tag: tag.map(str::to_owned),
                tags: vec!["v1".to_owned()],
                digest: "sha256:ab".to_owned(),
                media_type: "application/vnd.docker.distribution.manifest.v2+json".to_owned(),
                size: 524,
            }),
            verdict: None,
            advisory: None,
            origin: Origin {
                principal: "p".to_owned(),
                request_id: "q".to_owned(),
                host: "r.example".to_owned(),
                method: "PUT".to_owned(),
                user_agent: "docker/17.09".to_owned(),
                address: "192.0.2.1".to_owned(),
            },
        }
    }

    #[test]
    fn a_push_is_written_as_azures_page_shows_it() {
        let id = "00000000-0000-0000-0000-000000000001";
        let wanted = json!({
            "id": id, "timestamp": "2017-11-17T16:52:01.3430000Z", "action": "push",
            "target": {
                "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "size": 524,
                "digest": "sha256:ab", "length": 524, "repository": "hello-world", "tag": "v1",
            },
            "request": { "id": "q", "host": "r.example", "method": "PUT", "useragent": "docker/17.09" },
        });
        assert_eq!(
            webhook_payload(&event(EventAction::Push, Some("v1")), "").to_string(),
            wanted.to_string()
        );
        let quarantine = webhook_payload(&event(EventAction::Quarantine, Some("v1")), "");
        assert_eq!(quarantine["request"], json!({ "id": "q", "host": "r.example", "method": "PUT" }));
        assert_eq!(quarantine["target"], wanted["target"]);
        let deleted = webhook_payload(&event(EventAction::Delete, None), "");
        let target = json!({
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "digest": "sha256:ab",
            "repository": "hello-world",
        });
        assert_eq!(deleted["target"].to_string(), target.to_string());
        let ping = Event { target: None, origin: Origin::default(), ..event(EventAction::Ping, None) };
        let wanted = json!({ "id": id, "timestamp": "2017-11-17T16:52:01.3430000Z", "action": "ping" });
        assert_eq!(webhook_payload(&ping, ""), wanted);
    }

    #[test]
    fn a_cloud_event_carries_azures_data() {
        let pushed = cloud_event(&event(EventAction::Push, Some("v1")), "");
        for (member, wanted) in [
            ("specversion", "1.0"),
            ("type", "Microsoft.ContainerRegistry.ImagePushed"),
            ("subject", "hello-world:v1"),
            ("time", "2017-11-17T16:52:01.3430000Z"),
            ("datacontenttype", "application/json"),
        ] {
            assert_eq!(pushed[member], wanted);
        }
        assert_eq!(pushed["data"]["target"]["url"], "https://r.example/v2/hello-world/manifests/sha256:ab");
        assert_eq!(pushed["data"]["request"]["addr"], "192.0.2.1");
        assert_eq!(pushed["data"]["source"], json!({ "addr": "r.example", "instanceID": "r" }));
        let judgement = |state: &str| Judgement { state: state.to_owned(), ..Judgement::default() };
        let change = VerdictChange { from: judgement("Pending"), to: judgement("Healthy") };
        let judged =
            Event { verdict: Some(change), origin: Origin::default(), ..event(EventAction::Verdict, None) };
        let judged = cloud_event(&judged, "");
        assert_eq!(judged["type"], "lazaret.verdict.changed");
        assert_eq!(judged["subject"], "hello-world@sha256:ab");
        assert_eq!(judged["data"]["verdict"]["to"]["state"], "Healthy");
        assert_eq!(judged["data"]["target"]["tags"], json!(["v1"]));
        assert_eq!(judged["data"].get("request"), None);
    }
}
