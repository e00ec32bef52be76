//! Notices: events in words for people, as chat rooms and mailboxes take them.
//!
//! One text serves all forms: a title, facts by name, and a link. Names from images and advisories are
//! escaped in each form's own way, so that they cannot become links or mentions.

use metastore::{AffectedImage, Event, EventAction, EventTarget, Judgement};
use serde_json::{Value, json};

/// What a person is told of an event.
pub(crate) struct Notice {
    title: String,
    facts: Vec<(&'static str, String)>,
    link: Option<String>,
}

impl Notice {
    /// `base` is the URL by which people reach this server, without a slash at its end.
    pub(crate) fn new(event: &Event, base: &str) -> Self {
        let registry = event.registry.rsplit('/').next().unwrap_or_default().to_owned();
        let mut facts = vec![("Registry", registry)];
        let mut link = None;
        let title = if let Some(advisory) = &event.advisory {
            let repositories = counted(advisory.repositories, "repository", "repositories");
            facts.push(("Severity", advisory.severity.clone()));
            facts.push((
                "Affected",
                format!("{} in {repositories}", counted(advisory.images, "image", "images")),
            ));
            facts.extend(advisory.examples.iter().map(|image| ("Image", affected_image(image))));
            let more = advisory.images.saturating_sub(advisory.examples.len() as u64);
            if more > 0 {
                facts.push(("Image", format!("and {more} more")));
            }
            link = Some(azure_documents::affected_link(event, base));
            format!("{} affects {}", advisory.id, counted(advisory.images, "image", "images"))
        } else {
            let image = event.target.as_ref().map(target_image).unwrap_or_default();
            match event.action {
                EventAction::Push => format!("{image} was pushed"),
                EventAction::Delete => format!("{image} was deleted"),
                EventAction::Quarantine => format!("{image} was pushed and waits to be released"),
                EventAction::Verdict => match &event.verdict {
                    Some(change) => {
                        facts.push(("Before", judgement(&change.from)));
                        facts.push(("Now", judgement(&change.to)));
                        format!("{image} is {}", change.to.state)
                    }
                    None => format!("{image} was judged"),
                },
                EventAction::Ping => "Lazaret reaches this webhook".to_owned(),
                EventAction::Advisory | EventAction::ChartPush | EventAction::ChartDelete => {
                    event.action.name().to_owned()
                }
            }
        };
        if let Some(target) = &event.target {
            facts.push(("Digest", target.digest.clone()));
        }
        Self { title, facts, link }
    }

    /// The body of a message to a Slack incoming webhook.
    pub(crate) fn slack(&self) -> Value {
        // Slack reads <…> as links and mentions, once these three are escaped (its page "formatting text").
        let plain = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let mut lines = vec![format!("*{}*", plain(&self.title))];
        lines.extend(
            self.facts.iter().map(|(name, fact)| format!("{name}: `{}`", plain(fact).replace('`', "'"))),
        );
        if let Some(link) = &self.link {
            lines.push(format!("<{}|Findings>", plain(link)));
        }
        json!({ "text": lines.join("\n") })
    }

    /// The subject and the plain text of a mail.
    pub(crate) fn mail(&self) -> (String, String) {
        let mut text = String::new();
        for (name, fact) in &self.facts {
            text += &format!("{name}: {fact}\n");
        }
        if let Some(link) = &self.link {
            text += &format!("Findings: {link}\n");
        }
        (format!("[Lazaret] {}", self.title), text)
    }

    /// The body of a message to a Teams webhook: an Adaptive Card 1.4.
    pub(crate) fn teams(&self) -> Value {
        let facts =
            self.facts.iter().map(|(name, fact)| json!({ "title": name, "value": without_markdown(fact) }));
        let mut card = json!({
            "type": "AdaptiveCard",
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "version": "1.4",
            "body": [
                { "type": "TextBlock", "size": "Medium", "weight": "Bolder", "wrap": true,
                  "text": without_markdown(&self.title) },
                { "type": "FactSet", "facts": facts.collect::<Vec<_>>() },
            ],
        });
        if let Some(link) = &self.link {
            card["actions"] = json!([{ "type": "Action.OpenUrl", "title": "Findings", "url": link }]);
        }
        let content_type = "application/vnd.microsoft.card.adaptive";
        json!({ "type": "message", "attachments": [{ "contentType": content_type, "content": card }] })
    }
}

/// Adaptive Cards read a part of Markdown in all texts.
fn without_markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if r"\`*_[]()#!<>&~".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn target_image(target: &EventTarget) -> String {
    match (&target.tag, target.tags.as_slice()) {
        (Some(tag), _) => format!("{}:{tag}", target.repository),
        (None, []) => format!("{}@{}", target.repository, target.digest),
        (None, tags) => format!("{}:{}", target.repository, tags.join(", ")),
    }
}

fn affected_image(image: &AffectedImage) -> String {
    match image.tags.as_slice() {
        [] => format!("{}@{}", image.repository, image.digest),
        tags => format!("{}:{}", image.repository, tags.join(", ")),
    }
}

fn judgement(judgement: &Judgement) -> String {
    let severities = judgement.severities.iter().map(|(severity, count)| format!("{count} {severity}"));
    let details: Vec<String> = judgement.causes.iter().cloned().chain(severities).collect();
    if details.is_empty() {
        judgement.state.clone()
    } else {
        format!("{} ({})", judgement.state, details.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use metastore::{AdvisoryNews, Origin, VerdictChange};
    use uuid::Uuid;

    use super::*;

    fn event(action: EventAction) -> Event {
        let registry = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/r";
        Event {
            id: Uuid::from_u128(1),
            at_ms: 0,
            action,
            registry: registry.to_owned(),
            target: None,
            verdict: None,
            advisory: None,
            origin: Origin::default(),
        }
    }

    fn advisory() -> Event {
        let image = |repository: &str, tags: &[&str]| AffectedImage {
            repository: repository.to_owned(),
            digest: "sha256:ab".to_owned(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        };
        let news = AdvisoryNews {
            id: "CVE-1".to_owned(),
            severity: "High".to_owned(),
            images: 21,
            repositories: 2,
            examples: vec![image("a_b", &["1", "2"]), image("team/x", &[])],
        };
        Event { advisory: Some(news), ..event(EventAction::Advisory) }
    }

    #[test]
    fn an_advisory_is_one_message_in_a_chat() {
        let notice = Notice::new(&advisory(), "https://r.example");
        let link = "https://r.example/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/r/providers/Microsoft.Security/assessments/dbd0cb49-b563-45e7-9724-889e799fa648/subAssessments?api-version=2019-01-01-preview";
        let text = format!(
            "*CVE-1 affects 21 images*\nRegistry: `r`\nSeverity: `High`\nAffected: `21 images in 2 repositories`\n\
             Image: `a_b:1, 2`\nImage: `team/x@sha256:ab`\nImage: `and 19 more`\n<{link}|Findings>"
        );
        assert_eq!(notice.slack(), json!({ "text": text }));
        let card = &notice.teams()["attachments"][0]["content"];
        assert_eq!(card["body"][0]["text"], "CVE-1 affects 21 images");
        assert_eq!(card["body"][1]["facts"][3], json!({ "title": "Image", "value": "a\\_b:1, 2" }));
        assert_eq!(card["actions"][0]["url"], link);
    }

    #[test]
    fn every_event_is_a_sentence() {
        let target = EventTarget {
            repository: "app".to_owned(),
            tag: Some("1".to_owned()),
            tags: vec!["1".to_owned()],
            digest: "sha256:ab".to_owned(),
            media_type: String::new(),
            size: 1,
        };
        let judged = |state: &str, causes: &[&str]| Judgement {
            state: state.to_owned(),
            causes: causes.iter().map(|cause| (*cause).to_owned()).collect(),
            severities: [("High".to_owned(), 2)].into(),
        };
        let change = VerdictChange {
            from: Judgement { severities: [].into(), ..judged("Pending", &[]) },
            to: judged("Unhealthy", &["x"]),
        };
        for (action, wanted) in [
            (EventAction::Push, "*app:1 was pushed*\nRegistry: `r`\nDigest: `sha256:ab`"),
            (EventAction::Delete, "*app:1 was deleted*\nRegistry: `r`\nDigest: `sha256:ab`"),
            (
                EventAction::Verdict,
                "*app:1 is Unhealthy*\nRegistry: `r`\nBefore: `Pending`\nNow: `Unhealthy (x, 2 High)`\nDigest: `sha256:ab`",
            ),
        ] {
            let verdict = (action == EventAction::Verdict).then(|| change.clone());
            let event = Event { target: Some(target.clone()), verdict, ..event(action) };
            assert_eq!(Notice::new(&event, "").slack()["text"], wanted);
        }
        let ping = Notice::new(&event(EventAction::Ping), "").slack();
        assert_eq!(ping["text"], "*Lazaret reaches this webhook*\nRegistry: `r`");
    }

    #[test]
    fn names_cannot_become_links_or_mentions() {
        let news =
            AdvisoryNews { id: "<!channel> [x](http://y) `*`".to_owned(), ..advisory().advisory.unwrap() };
        let notice = Notice::new(&Event { advisory: Some(news), ..event(EventAction::Advisory) }, "");
        let slack = notice.slack()["text"].as_str().unwrap().to_owned();
        assert!(slack.starts_with("*&lt;!channel&gt; "), "{slack}");
        let title = notice.teams()["attachments"][0]["content"]["body"][0]["text"].clone();
        assert_eq!(title, r"\<\!channel\> \[x\]\(http://y\) \`\*\` affects 21 images");
    }
}
