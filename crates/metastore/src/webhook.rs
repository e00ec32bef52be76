//! Webhooks: who is told of what happens in a registry.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;

use crate::event::queue;
use crate::{Error, Event, EventAction, Metastore, Origin, Registry, RegistryId};

/// How events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventForm {
    /// Azure Container Registry's.
    #[default]
    Acr,
    /// CloudEvents 1.0, structured.
    CloudEvents,
    /// A message for a Slack incoming webhook, for people to read.
    Slack,
    /// An Adaptive Card for a Microsoft Teams webhook, for people to read.
    Teams,
}

impl EventForm {
    /// Every form.
    pub const ALL: [Self; 4] = [Self::Acr, Self::CloudEvents, Self::Slack, Self::Teams];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Acr => "acr",
            Self::CloudEvents => "cloudevents",
            Self::Slack => "slack",
            Self::Teams => "teams",
        }
    }

    /// The form of that name, whatever its case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.name().eq_ignore_ascii_case(name))
    }
}

/// A webhook. Its address, headers and secret are for whoever sends to it, and for nobody else to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Its row number, which no other ever has.
    pub id: i64,
    /// The registry it is of.
    pub registry: RegistryId,
    /// Its name, unique in the registry.
    pub name: String,
    /// Where it says it is.
    pub location: String,
    /// A JSON object of text.
    pub tags: String,
    /// Where events are sent to.
    pub service_uri: String,
    /// Headers to send besides.
    pub headers: BTreeMap<String, String>,
    /// The repositories and tags it is for; empty: all.
    pub scope: String,
    /// What it is for.
    pub actions: Vec<EventAction>,
    /// How events are written.
    pub form: EventForm,
    /// False: nothing is sent.
    pub is_enabled: bool,
    /// Why it was disabled, unless somebody wanted that.
    pub disabled_because: Option<String>,
    /// What events are signed with.
    pub secret: String,
    /// When it was made.
    pub created_ms: i64,
}

/// A webhook as somebody wants it; what is `None` stays, or is as it is for a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookChange {
    /// Where it says it is. That of a webhook there is stays.
    pub location: Option<String>,
    /// A JSON object of text.
    pub tags: Option<String>,
    /// Where events are sent to. A new one needs it.
    pub service_uri: Option<String>,
    /// Headers to send besides.
    pub headers: Option<BTreeMap<String, String>>,
    /// The repositories and tags it is for.
    pub scope: Option<String>,
    /// What it is for. A new one needs it.
    pub actions: Option<Vec<EventAction>>,
    /// How events are written.
    pub form: Option<EventForm>,
    /// Whether anything is sent.
    pub is_enabled: Option<bool>,
    /// What events are signed with. A new one needs it.
    pub secret: Option<String>,
}

/// What became of making or changing a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutWebhook {
    /// It is there now.
    Created(Webhook),
    /// It was there, and is as wanted now.
    Changed(Webhook),
    /// There is none of that name, and none was to be made.
    Missing,
    /// A new one needs an address, actions and a secret.
    Incomplete,
    /// The registry has [`WEBHOOKS_MAX`].
    TooMany,
}

impl Metastore {
    /// The webhooks of a registry, by name.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn webhooks(&self, registry: RegistryId) -> Result<Vec<Webhook>, Error> {
        self.read(move |rows| {
            let mut statement =
                rows.prepare_cached(&format!("{WEBHOOKS} WHERE registry_id = ?1 ORDER BY name"))?;
            let found = statement.query_map([registry.0], raw)?;
            found.map(|row| parse(row?)).collect()
        })
        .await
    }

    /// Every registry's webhooks, but for deleted registries.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn all_webhooks(&self) -> Result<Vec<Webhook>, Error> {
        self.read(move |rows| {
            let sql = format!(
                "{WEBHOOKS} WHERE registry_id IN (SELECT id FROM registry WHERE deleted_ms IS NULL)
                 ORDER BY registry_id, name"
            );
            let mut statement = rows.prepare_cached(&sql)?;
            let found = statement.query_map([], raw)?;
            found.map(|row| parse(row?)).collect()
        })
        .await
    }

    /// The webhook of that name.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn webhook(&self, registry: RegistryId, name: &str) -> Result<Option<Webhook>, Error> {
        let name = name.to_owned();
        self.read(move |rows| named(rows, registry, &name)).await
    }

    /// Makes a webhook, or changes the one there is.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn put_webhook(
        &self,
        registry: RegistryId,
        name: &str,
        change: WebhookChange,
        may_create: bool,
        now_ms: i64,
    ) -> Result<PutWebhook, Error> {
        let name = name.to_owned();
        self.write(move |rows| {
            if let Some(mut found) = named(rows, registry, &name)? {
                found.apply(change);
                write(rows, &found)?;
                return Ok(PutWebhook::Changed(found));
            }
            if !may_create {
                return Ok(PutWebhook::Missing);
            }
            let count: usize = rows
                .prepare_cached("SELECT count(*) FROM webhook WHERE registry_id = ?1")?
                .query_row([registry.0], |row| row.get(0))?;
            if count >= WEBHOOKS_MAX {
                return Ok(PutWebhook::TooMany);
            }
            if change.service_uri.is_none() || change.actions.is_none() || change.secret.is_none() {
                return Ok(PutWebhook::Incomplete);
            }
            rows.prepare_cached(
                "INSERT INTO webhook (registry_id, name, location, tags, service_uri, headers, scope, actions,
                                      form, is_enabled, secret, created_ms)
                 VALUES (?1, ?2, ?3, '{}', '', '{}', '', 0, 'acr', 1, '', ?4)",
            )?
            .execute(params![registry.0, name, change.location.clone().unwrap_or_default(), now_ms])?;
            let mut made = named(rows, registry, &name)?.ok_or(Error::Damaged { what: "webhook" })?;
            made.apply(change);
            write(rows, &made)?;
            Ok(PutWebhook::Created(made))
        })
        .await
    }

    /// Removes a webhook with all that waits for it and its log. `false`: there was none.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn delete_webhook(&self, registry: RegistryId, name: &str) -> Result<bool, Error> {
        let name = name.to_owned();
        self.write(move |rows| {
            let sql = "DELETE FROM webhook WHERE registry_id = ?1 AND name = ?2";
            Ok(rows.prepare_cached(sql)?.execute(params![registry.0, name])? == 1)
        })
        .await
    }

    /// Queues a ping, even for a webhook that is disabled; returns the event's id. `None`: there is no
    /// such webhook.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn ping_webhook(
        &self,
        registry: &Registry,
        name: &str,
        now_ms: i64,
    ) -> Result<Option<Uuid>, Error> {
        let (id, resource, name) = (registry.id, registry.resource_id(), name.to_owned());
        let origin = Origin::clone(&self.origin);
        self.write(move |rows| {
            let Some(webhook) = named(rows, id, &name)? else { return Ok(None) };
            let event = Event {
                id: Uuid::new_v4(),
                at_ms: now_ms,
                action: EventAction::Ping,
                registry: resource,
                target: None,
                verdict: None,
                advisory: None,
                origin,
            };
            queue(rows, webhook.id, &event, now_ms)?;
            Ok(Some(event.id))
        })
        .await
    }
}

impl Webhook {
    fn apply(&mut self, change: WebhookChange) {
        let WebhookChange {
            location: _,
            tags,
            service_uri,
            headers,
            scope,
            actions,
            form,
            is_enabled,
            secret,
        } = change;
        let set = |to: &mut String, text: Option<String>| {
            if let Some(text) = text {
                *to = text;
            }
        };
        set(&mut self.tags, tags);
        set(&mut self.service_uri, service_uri);
        set(&mut self.scope, scope);
        set(&mut self.secret, secret);
        self.headers = headers.unwrap_or_else(|| std::mem::take(&mut self.headers));
        self.actions = actions.unwrap_or_else(|| std::mem::take(&mut self.actions));
        self.form = form.unwrap_or(self.form);
        if let Some(is_enabled) = is_enabled {
            self.is_enabled = is_enabled;
            self.disabled_because = None;
        }
    }
}

fn write(rows: &Connection, webhook: &Webhook) -> Result<(), Error> {
    let actions = webhook.actions.iter().fold(0, |bits, action| bits | action.bit());
    rows.prepare_cached(
        "UPDATE webhook SET tags = ?2, service_uri = ?3, headers = ?4, scope = ?5, actions = ?6, form = ?7,
           is_enabled = ?8, disabled_because = ?9, secret = ?10 WHERE id = ?1",
    )?
    .execute(params![
        webhook.id,
        webhook.tags,
        webhook.service_uri,
        serde_json::json!(webhook.headers).to_string(),
        webhook.scope,
        actions,
        webhook.form.name(),
        webhook.is_enabled,
        webhook.disabled_because,
        webhook.secret
    ])?;
    Ok(())
}

fn named(rows: &Connection, registry: RegistryId, name: &str) -> Result<Option<Webhook>, Error> {
    let sql = format!("{WEBHOOKS} WHERE registry_id = ?1 AND name = ?2");
    rows.prepare_cached(&sql)?.query_row(params![registry.0, name], raw).optional()?.map(parse).transpose()
}

/// A webhook, with its headers, actions and form as they are stored.
pub(crate) type RawWebhook = (Webhook, String, i64, String);

pub(crate) fn raw(row: &Row<'_>) -> rusqlite::Result<RawWebhook> {
    let webhook = Webhook {
        id: row.get(0)?,
        registry: RegistryId(row.get(1)?),
        name: row.get(2)?,
        location: row.get(3)?,
        tags: row.get(4)?,
        service_uri: row.get(5)?,
        headers: BTreeMap::new(),
        scope: row.get(7)?,
        actions: Vec::new(),
        form: EventForm::Acr,
        is_enabled: row.get(10)?,
        disabled_because: row.get(11)?,
        secret: row.get(12)?,
        created_ms: row.get(13)?,
    };
    Ok((webhook, row.get(6)?, row.get(8)?, row.get(9)?))
}

pub(crate) fn parse((webhook, headers, actions, form): RawWebhook) -> Result<Webhook, Error> {
    Ok(Webhook {
        headers: serde_json::from_str(&headers).map_err(|_| Error::Damaged { what: "webhook headers" })?,
        actions: EventAction::WANTED.into_iter().filter(|action| actions & action.bit() != 0).collect(),
        form: EventForm::from_name(&form).ok_or(Error::Damaged { what: "webhook form" })?,
        ..webhook
    })
}

pub(crate) const WEBHOOKS: &str =
    "SELECT id, registry_id, name, location, tags, service_uri, headers, scope, actions, form, is_enabled,
        disabled_because, secret, created_ms FROM webhook";

/// How many webhooks a registry may have: each event is compared with each.
pub const WEBHOOKS_MAX: usize = 100;
