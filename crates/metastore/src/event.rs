//! Events: what happened in a registry, written to the outbox by the transaction in which it happened.
//!
//! An event that no webhook wants is not written.

use std::collections::{BTreeMap, BTreeSet};

use advisory::Severity;
use oci::{Digest, Repository, matches};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::image::tags_of;
use crate::{Error, Origin};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventAction {
    /// A manifest was pushed, or may be pulled from now on.
    Push,
    /// A manifest is gone, alone or with its repository. Not: a tag.
    Delete,
    /// A manifest was pushed and may have to be looked at before it can be pulled.
    Quarantine,
    /// A Helm chart was pushed to Azure's own chart store, which is not here: it never happens.
    ChartPush,
    /// A Helm chart was deleted there.
    ChartDelete,
    /// What is thought of an image changed.
    Verdict,
    /// New advisory data brought a finding to images that were judged before: once an advisory and registry.
    Advisory,
    /// Somebody wants to see whether a webhook works.
    Ping,
}

impl EventAction {
    /// Those that a webhook can be for.
    ///
    /// Stored as bits by their place here: add at the end.
    pub const WANTED: [Self; 7] = [
        Self::Push,
        Self::Delete,
        Self::Quarantine,
        Self::ChartPush,
        Self::ChartDelete,
        Self::Verdict,
        Self::Advisory,
    ];

    /// As Azure writes it, or as it would.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Delete => "delete",
            Self::Quarantine => "quarantine",
            Self::ChartPush => "chart_push",
            Self::ChartDelete => "chart_delete",
            Self::Verdict => "verdict",
            Self::Advisory => "advisory",
            Self::Ping => "ping",
        }
    }

    /// The action of that name that a webhook can be for, whatever its case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::WANTED.into_iter().find(|action| action.name().eq_ignore_ascii_case(name))
    }

    pub(crate) fn bit(self) -> i64 {
        Self::WANTED.iter().position(|action| *action == self).map_or(0, |place| 1 << place)
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The same each time that it is sent, and to whomever.
    pub id: Uuid,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// What.
    pub action: EventAction,
    /// The ARM id of the registry.
    pub registry: String,
    /// To what; a ping is about nothing.
    pub target: Option<EventTarget>,
    /// What is thought of it now, and was before.
    pub verdict: Option<VerdictChange>,
    /// The advisory that an `advisory` event is about, and what it affects.
    #[serde(default)]
    pub advisory: Option<AdvisoryNews>,
    /// By whom.
    pub origin: Origin,
}

/// An advisory that affects images of a registry since the newest advisory data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdvisoryNews {
    /// The advisory's id, such as `CVE-2026-1234`.
    pub id: String,
    /// The worst severity that it has in any of the images.
    pub severity: String,
    /// How many image digests have it now that did not have it before.
    pub images: u64,
    /// In how many repositories.
    pub repositories: u64,
    /// Some of the images, [`EXAMPLES_MAX`] at most, by repository and digest.
    pub examples: Vec<AffectedImage>,
}

/// An image in a repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AffectedImage {
    /// The repository's name.
    pub repository: String,
    /// The image's digest.
    pub digest: String,
    /// Every tag that it has there.
    pub tags: Vec<String>,
}

/// A manifest that an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventTarget {
    /// The repository's name.
    pub repository: String,
    /// The tag that was pushed.
    pub tag: Option<String>,
    /// Every tag that it has, or had when it went.
    pub tags: Vec<String>,
    /// Its digest.
    pub digest: String,
    /// What it was pushed as.
    pub media_type: String,
    /// Bytes of the manifest.
    pub size: u64,
}

/// What is thought of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictChange {
    /// Before.
    pub from: Judgement,
    /// Now.
    pub to: Judgement,
}

/// A state, with its reasons and how many findings there are of which severity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// `Pending`, `Healthy`, `Unhealthy`, `NotApplicable` or `Unverified`.
    pub state: String,
    /// Why, by code.
    pub causes: Vec<String>,
    /// Findings by severity; those without any are left out.
    pub severities: BTreeMap<String, u64>,
}

/// Writes events of one registry to the outbox.
pub(crate) struct Outbox<'a> {
    rows: &'a Connection,
    registry: String,
    /// The row number, scope and actions of each webhook that is for some of what happens.
    webhooks: Vec<(i64, String, i64)>,
    origin: Origin,
    now_ms: i64,
}

impl<'a> Outbox<'a> {
    /// `None`: no webhook of the registry is for any of these actions.
    pub(crate) fn open(
        rows: &'a Connection,
        registry_id: i64,
        actions: &[EventAction],
        origin: &Origin,
        now_ms: i64,
    ) -> Result<Option<Self>, Error> {
        let wanted = actions.iter().fold(0, |bits, action| bits | action.bit());
        let webhooks: Vec<(i64, String, i64)> = rows
            .prepare_cached(
                "SELECT id, scope, actions FROM webhook
                 WHERE registry_id = ?1 AND is_enabled AND actions & ?2 <> 0 ORDER BY id",
            )?
            .query_map(params![registry_id, wanted], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        if webhooks.is_empty() {
            return Ok(None);
        }
        let found = rows
            .prepare_cached("SELECT subscription_id, resource_group, name FROM registry WHERE id = ?1 AND deleted_ms IS NULL")?
            .query_row([registry_id], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
            })
            .optional()?;
        let Some((subscription, group, name)) = found else { return Ok(None) };
        let registry = format!(
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerRegistry/registries/{name}"
        );
        Ok(Some(Self { rows, registry, webhooks, origin: origin.clone(), now_ms }))
    }

    /// Queues the event for each webhook that wants it.
    pub(crate) fn put(
        &self,
        action: EventAction,
        target: EventTarget,
        verdict: Option<VerdictChange>,
    ) -> Result<(), Error> {
        let wanting: Vec<i64> = self
            .webhooks
            .iter()
            .filter(|(_, scope, actions)| {
                actions & action.bit() != 0
                    && is_in_scope(scope, &target.repository, target.tag.as_deref(), &target.tags)
            })
            .map(|(id, ..)| *id)
            .collect();
        if wanting.is_empty() {
            return Ok(());
        }
        let event = Event { target: Some(target), verdict, ..self.event(action) };
        wanting.into_iter().try_for_each(|webhook| queue(self.rows, webhook, &event, self.now_ms))
    }

    /// Queues one event about an advisory for each webhook with an affected image in its scope; the event
    /// counts those images alone.
    pub(crate) fn put_advisory(&self, id: &str, affected: &[(AffectedImage, Severity)]) -> Result<(), Error> {
        for (webhook, scope, actions) in &self.webhooks {
            let is_wanted = |image: &AffectedImage| is_in_scope(scope, &image.repository, None, &image.tags);
            let in_scope: Vec<_> = affected.iter().filter(|(image, _)| is_wanted(image)).collect();
            let worst = in_scope.iter().map(|(_, severity)| *severity).max();
            let Some(worst) = worst.filter(|_| actions & EventAction::Advisory.bit() != 0) else { continue };
            let count = |each: fn(&AffectedImage) -> &str| {
                in_scope.iter().map(|(image, _)| each(image)).collect::<BTreeSet<_>>().len() as u64
            };
            let news = AdvisoryNews {
                id: id.to_owned(),
                severity: worst.name().to_owned(),
                images: count(|image| &image.digest),
                repositories: count(|image| &image.repository),
                examples: in_scope.iter().take(EXAMPLES_MAX).map(|(image, _)| image.clone()).collect(),
            };
            let event = Event { advisory: Some(news), ..self.event(EventAction::Advisory) };
            queue(self.rows, *webhook, &event, self.now_ms)?;
        }
        Ok(())
    }

    fn event(&self, action: EventAction) -> Event {
        Event {
            id: Uuid::new_v4(),
            at_ms: self.now_ms,
            action,
            registry: self.registry.clone(),
            target: None,
            verdict: None,
            advisory: None,
            origin: self.origin.clone(),
        }
    }
}

impl Outbox<'_> {
    /// Tells that a manifest is about to go. Nothing if it is not there.
    pub(crate) fn deleted(
        &self,
        repository_id: i64,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<(), Error> {
        let digest = digest.to_string();
        let found = self
            .rows
            .prepare_cached(
                "SELECT media_type, length(bytes) FROM manifest WHERE repository_id = ?1 AND digest = ?2",
            )?
            .query_row(params![repository_id, digest], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))
            .optional()?;
        let Some((media_type, size)) = found else { return Ok(()) };
        let tags = tags_of(self.rows, repository_id, &digest)?.iter().map(ToString::to_string).collect();
        let repository = repository.to_string();
        let target = EventTarget { repository, tag: None, tags, digest, media_type, size };
        self.put(EventAction::Delete, target, None)
    }
}

/// Queues an event for a webhook.
pub(crate) fn queue(rows: &Connection, webhook: i64, event: &Event, now_ms: i64) -> Result<(), Error> {
    let event = serde_json::to_string(event).map_err(|_| Error::Damaged { what: "event" })?;
    rows.prepare_cached(
        "INSERT INTO delivery (webhook_id, event, state, created_ms, due_ms) VALUES (?1, ?2, 'waiting', ?3, ?3)",
    )?
    .execute(params![webhook, event, now_ms])?;
    Ok(())
}

/// Azure's rule: `app:v1` is one tag, `app:*` every tag of a repository, `app` means `app:latest`, and
/// nothing at all means everything. `*` stands for any characters on either side. What has no tag is in
/// the scope of every tag alone.
fn is_in_scope(scope: &str, repository: &str, tag: Option<&str>, tags: &[String]) -> bool {
    if scope.is_empty() {
        return true;
    }
    let (wanted_repository, wanted) = scope.split_once(':').unwrap_or((scope, "latest"));
    if !matches(wanted_repository, repository) {
        return false;
    }
    match tag {
        Some(tag) => matches(wanted, tag),
        None => wanted == "*" || tags.iter().any(|tag| matches(wanted, tag)),
    }
}

/// How many images an `advisory` event names: what a message for people can hold.
pub const EXAMPLES_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_for_what_azure_says() {
        let of = |tag: Option<&str>, tags: &[&str]| EventTarget {
            repository: "team/app".to_owned(),
            tag: tag.map(str::to_owned),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            digest: String::new(),
            media_type: String::new(),
            size: 0,
        };
        for (scope, target, wanted) in [
            ("", of(Some("v1"), &[]), true),
            ("", of(None, &[]), true),
            ("team/app:v1", of(Some("v1"), &["v1", "v2"]), true),
            ("team/app:v1", of(Some("v2"), &["v1", "v2"]), false),
            ("team/app:*", of(Some("v2"), &[]), true),
            ("team/app:*", of(None, &[]), true),
            ("team/app:v1", of(None, &["v1"]), true),
            ("team/app:v1", of(None, &["v2"]), false),
            ("team/app:v*", of(Some("v2"), &[]), true),
            ("team/app", of(Some("latest"), &[]), true),
            ("team/app", of(Some("v1"), &[]), false),
            ("team/*:*", of(Some("v1"), &[]), true),
            ("team/ap:*", of(Some("v1"), &[]), false),
            ("Team/app:*", of(Some("v1"), &[]), false),
        ] {
            let found = is_in_scope(scope, &target.repository, target.tag.as_deref(), &target.tags);
            assert_eq!(found, wanted, "{scope} {target:?}");
        }
    }

    #[test]
    fn every_action_has_a_bit_of_its_own() {
        let bits: std::collections::BTreeSet<_> =
            EventAction::WANTED.into_iter().map(EventAction::bit).collect();
        assert_eq!(bits, [1, 2, 4, 8, 16, 32, 64].into());
        assert_eq!(EventAction::Ping.bit(), 0);
        for action in EventAction::WANTED {
            assert_eq!(EventAction::from_name(&action.name().to_uppercase()), Some(action));
        }
        assert_eq!(EventAction::from_name("ping"), None);
    }
}
