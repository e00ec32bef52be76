//! Assessments: of each registry what its images' results come to, of each image its own, and of each
//! package of an image that has something to fix.

use assessment::{ImageState, RuledFinding};
use auth::{Action, Caller};
use azure_documents::{Form, Place, image_assessment, metadata, metadata_document, software_updates};
use metastore::{ImageKey, ImageRow, Registry, ResultCursor, Tier};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::error::ArmError;
use crate::paging::Cursor;
use crate::reach::Reach;
use crate::resources::login_server;
use crate::scopes::Readable;
use crate::sub_assessments::{PAGE_ROWS, form_named, named_image};
use crate::{Api, Call};

impl Api {
    /// One page of them, of all registries in the reach that the caller may read: a registry's own first, then those of
    /// its images. A registry's own tells of all its images: it is left out where the caller may read those of some
    /// repositories alone.
    pub(crate) async fn assessments(
        &self,
        caller: &Caller,
        reach: &Reach,
        call: &Call,
    ) -> Result<Value, ArmError> {
        let registries = self.readable(caller, reach, Action::ReadAssessments).await?;
        if let Reach::Image(_, name) = reach {
            let mut rows = Vec::new();
            for readable in &registries {
                for (image, findings) in self.images_named(readable, name).await? {
                    rows.extend(self.of_image(&readable.registry, &image, &findings, call));
                }
            }
            return Ok(json!({ "value": rows }));
        }
        let mut from = Cursor::of(call)?;
        let begin = from.as_ref().map_or(i64::MIN, |cursor| cursor.registry);
        let mut rows = Vec::new();
        let mut next = None;
        for readable in registries.iter().filter(|readable| readable.registry.id.0 >= begin) {
            let registry = &readable.registry;
            let after =
                from.take().filter(|cursor| cursor.registry == registry.id.0).and_then(|at| at.within);
            if rows.len() >= PAGE_ROWS {
                next = Some(Cursor { registry: registry.id.0, within: None });
                break;
            }
            if after.is_none() && readable.is_whole() {
                for form in Form::ON_REGISTRIES {
                    rows.push(self.roll_up(registry, form, call).await?);
                }
            }
            let within = self.images_from(readable, after, &mut rows, call).await?;
            if within.is_some() {
                next = Some(Cursor { registry: registry.id.0, within });
                break;
            }
        }
        let mut document = json!({ "value": rows });
        if let Some(next) = next {
            document["nextLink"] = next.link(call).into();
        }
        Ok(document)
    }

    pub(crate) async fn assessment(
        &self,
        caller: &Caller,
        reach: &Reach,
        key: &str,
        call: &Call,
    ) -> Result<Value, ArmError> {
        let registries = self.readable(caller, reach, Action::ReadAssessments).await?;
        let form = Form::of_key(key);
        match reach {
            Reach::Image(_, name) => {
                for readable in &registries {
                    for (image, findings) in self.images_named(readable, name).await? {
                        let mut rows = self.of_image(&readable.registry, &image, &findings, call).into_iter();
                        let is_it = |row: &Value| {
                            row["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(key))
                        };
                        if let Some(row) = rows.find(is_it) {
                            return Ok(row);
                        }
                    }
                }
                Err(no_such_assessment(key, "on this image"))
            }
            Reach::Within(scope) if scope.registry.is_some() => match (registries.first(), form) {
                (_, Some(Form::Of2024)) => Err(no_such_assessment(key, "on registries: it is on images")),
                (Some(readable), Some(_)) if !readable.is_whole() => {
                    let action = Action::ReadAssessments.name();
                    Err(ArmError::forbidden(caller, action, &readable.registry.resource_id()))
                }
                (Some(readable), Some(form)) => self.roll_up(&readable.registry, form, call).await,
                _ => Err(no_such_assessment(key, "on this registry")),
            },
            // It is on a registry or an image: of a subscription or group there is none.
            _ => Err(no_such_assessment(key, "here: name the registry or image, or list those of the scope")),
        }
    }

    /// What there is to be said of the assessments of a key wherever they are, at the tenant or a subscription.
    pub(crate) async fn assessments_metadata(
        &self,
        caller: &Caller,
        subscription: Option<Uuid>,
    ) -> Result<Value, ArmError> {
        let at = self.metadata_at(caller, subscription).await?;
        let rows = Form::ALL.map(|form| metadata_document(&at, form, self.names));
        Ok(json!({ "value": rows }))
    }

    pub(crate) async fn assessment_metadata(
        &self,
        caller: &Caller,
        subscription: Option<Uuid>,
        key: &str,
    ) -> Result<Value, ArmError> {
        let at = self.metadata_at(caller, subscription).await?;
        let form = form_named(key)?;
        Ok(metadata_document(&at, form, self.names))
    }

    /// At the tenant it is everybody's who signs in: it says what Lazaret judges, and of what nothing.
    async fn metadata_at(&self, caller: &Caller, subscription: Option<Uuid>) -> Result<String, ArmError> {
        let Some(subscription) = subscription else { return Ok(String::new()) };
        self.check_subscription(caller, subscription, Action::ReadMetadata).await?;
        Ok(format!("/subscriptions/{subscription}"))
    }

    async fn roll_up(&self, registry: &Registry, form: Form, call: &Call) -> Result<Value, ArmError> {
        let counts = self.metastore.state_counts(registry.id).await?;
        let plans = self.metastore.plans(registry.subscription).await?;
        let is_on = plans.iter().any(|setting| setting.tier == Tier::Standard);
        let row = azure_documents::assessment(registry, &counts, is_on, form, self.names);
        Ok(expanded(row, registry, metadata(form, self.names), call))
    }

    /// The assessments of a registry's images after one of them, until the page is full; returns where the next begins.
    async fn images_from(
        &self,
        readable: &Readable,
        after: Option<ResultCursor>,
        rows: &mut Vec<Value>,
        call: &Call,
    ) -> Result<Option<ResultCursor>, ArmError> {
        let key = |at: ResultCursor| at.digest.parse().ok().map(|digest| (at.repository_id, digest));
        let mut after: Option<ImageKey> = after.and_then(key);
        let registry = &readable.registry;
        // One image at least, so that each page goes on.
        let mut has_moved = false;
        loop {
            let keys =
                self.metastore.image_keys(registry.id, readable.ids(), after.clone(), IMAGES_AT_ONCE).await?;
            if keys.is_empty() {
                return Ok(None);
            }
            let images = self.metastore.images_now(keys.clone()).await?;
            for (key, image) in keys.into_iter().zip(images) {
                if rows.len() >= PAGE_ROWS && has_moved {
                    return Ok(after.map(|(repository_id, digest)| ResultCursor {
                        repository_id,
                        digest: digest.to_string(),
                        after: None,
                    }));
                }
                if let Some((image, findings)) = image {
                    rows.extend(self.of_image(registry, &image, &findings, call));
                }
                after = Some(key);
                has_moved = true;
            }
        }
    }

    /// An image's own assessment, and those of its packages; none while it waits for its scan.
    fn of_image(
        &self,
        registry: &Registry,
        image: &ImageRow,
        findings: &[RuledFinding],
        call: &Call,
    ) -> Vec<Value> {
        if image.state().0 == ImageState::Pending {
            return Vec::new();
        }
        let host = login_server(registry, call, &self.domain);
        let place = Place { registry, host: &host, image, form: Form::Of2024 };
        let worst = RuledFinding::open(findings).iter().map(|finding| finding.severity).max();
        let mut own = image_assessment(&place, self.names);
        let mut updates: Vec<(Value, Value)> = software_updates(findings)
            .iter()
            .map(|update| (update.document(&place), update.metadata()))
            .collect();
        if has_risk(call) {
            own["properties"]["risk"] = risk(worst.unwrap_or_default().name());
            for (row, metadata) in &mut updates {
                let level = metadata["severity"].as_str().unwrap_or_default();
                let is_open = row["properties"]["status"]["code"] == "Unhealthy";
                row["properties"]["risk"] = risk(if is_open { level } else { "Unknown" });
            }
        }
        let own = expanded(own, registry, metadata(Form::Of2024, self.names), call);
        let updates = updates.into_iter().map(|(row, metadata)| expanded(row, registry, metadata, call));
        std::iter::once(own).chain(updates).collect()
    }

    /// The images that a name means. Slashes of a repository are dashes in it: it may mean several.
    pub(crate) async fn images_named(
        &self,
        readable: &Readable,
        name: &str,
    ) -> Result<Vec<(ImageRow, Vec<RuledFinding>)>, ArmError> {
        let registry = &readable.registry;
        let mut images = Vec::new();
        for reference in named_image(&self.metastore, registry, name).await? {
            if readable.shows(&reference.0)
                && let Some(image) = self.metastore.image(registry.id, &reference.0, &reference.1).await?
            {
                let findings = self.metastore.findings(&image).await?;
                images.push((image, findings));
            }
        }
        if images.is_empty() {
            let message = format!("There is no image '{name}' in the registry '{}'.", registry.name);
            return Err(ArmError::not_found("ResourceNotFound", message));
        }
        Ok(images)
    }
}

/// Adds what was asked for besides.
fn expanded(mut row: Value, registry: &Registry, metadata: Value, call: &Call) -> Value {
    let asked = call.query.get("$expand").unwrap_or_default().to_ascii_lowercase();
    if asked.contains("metadata") {
        row["properties"]["metadata"] = metadata;
    }
    if asked.contains("links") {
        // Azure's clients expect it without a scheme.
        let base = call.base.split_once("://").map_or(call.base.as_str(), |(_, rest)| rest);
        let link = format!("{base}/portal/registries/{}", registry.name);
        row["properties"]["links"] = json!({ "azurePortalUri": link });
    }
    row
}

/// Clients of that version on know of risks.
fn has_risk(call: &Call) -> bool {
    call.query.get("api-version").is_some_and(|version| version >= "2025-05-04")
}

/// The severity is what we know; what else Azure counts in (paths of attack, exposure) nobody looked at.
fn risk(severity: &str) -> Value {
    let level = if severity == "Unknown" { "None" } else { severity };
    json!({ "level": level, "riskFactors": [], "attackPathsReferences": [], "paths": [] })
}

fn no_such_assessment(key: &str, place: &str) -> ArmError {
    ArmError::not_found("ResourceNotFound", format!("There is no assessment '{key}' {place}."))
}

/// Images that are read at once.
const IMAGES_AT_ONCE: usize = 32;
