//! Sub-assessments: every finding, and every image without one.

use assessment::is_row_of;
use auth::{Action, Caller};
use azure_documents::{Form, Place};
use metastore::{ImageRow, Metastore, Registry};
use oci::{Reference, Repository};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::error::ArmError;
use crate::paging::Cursor;
use crate::reach::Reach;
use crate::resources::login_server;
use crate::scopes::Readable;
use crate::{Api, Call};

impl Api {
    /// One page of them, of all registries in the scope that the caller may read.
    pub(crate) async fn sub_assessments(
        &self,
        caller: &Caller,
        reach: &Reach,
        key: Option<&str>,
        call: &Call,
    ) -> Result<Value, ArmError> {
        let registries = self.readable(caller, reach, Action::ReadSubAssessments).await?;
        let form = key.map(form_named).transpose()?;
        if let Reach::Image(_, name) = reach {
            let rows = self.rows_of_image(&registries, name, form, call).await?;
            return Ok(json!({ "value": rows }));
        }
        let mut from = Cursor::of(call)?;
        let begin = from.as_ref().map_or(i64::MIN, |cursor| cursor.registry);
        let forms = form.as_ref().map_or(Form::ALL.as_slice(), std::slice::from_ref);
        let mut rows = Vec::new();
        let mut next = None;
        for readable in registries.iter().filter(|readable| readable.registry.id.0 >= begin) {
            let registry = &readable.registry;
            let left = (PAGE_ROWS - rows.len()) / forms.len();
            if left == 0 {
                next = Some(Cursor { registry: registry.id.0, within: None });
                break;
            }
            let within = from
                .take()
                .filter(|cursor| cursor.registry == registry.id.0)
                .and_then(|cursor| cursor.within);
            let page = self.metastore.results(registry.id, readable.ids(), within, left).await?;
            let host = login_server(registry, call, &self.domain);
            for (image, findings) in &page.images {
                let mut of_image = Vec::new();
                for form in forms {
                    of_image.extend(Place { registry, host: &host, image, form: *form }.rows(findings));
                }
                self.say_where_it_runs(image, &mut of_image).await?;
                rows.extend(of_image);
            }
            if page.next.is_some() {
                next = Some(Cursor { registry: registry.id.0, within: page.next });
                break;
            }
        }
        let mut document = json!({ "value": rows });
        if let Some(next) = next {
            document["nextLink"] = next.link(call).into();
        }
        Ok(document)
    }

    /// One of them.
    pub(crate) async fn sub_assessment(
        &self,
        caller: &Caller,
        reach: &Reach,
        key: &str,
        name: &str,
        call: &Call,
    ) -> Result<Value, ArmError> {
        let registries = self.readable(caller, reach, Action::ReadSubAssessments).await?;
        let form = form_named(key)?;
        let unknown = || {
            let message =
                format!("There is no sub-assessment '{name}' of the assessment '{key}' in this scope.");
            ArmError::not_found("ResourceNotFound", message)
        };
        let wanted = Uuid::parse_str(name).map_err(|_| unknown())?;
        if let Reach::Image(_, image) = reach {
            let rows = self.rows_of_image(&registries, image, Some(form), call).await?;
            let name = wanted.to_string();
            return rows.into_iter().find(|row| row["name"] == name.as_str()).ok_or_else(unknown);
        }
        for readable in &registries {
            if let Some(row) = self.find(readable, wanted, form, call).await? {
                return Ok(row);
            }
        }
        Err(unknown())
    }

    /// The rows of the images that a name means; those of the form whose assessments are on images.
    async fn rows_of_image(
        &self,
        registries: &[Readable],
        name: &str,
        form: Option<Form>,
        call: &Call,
    ) -> Result<Vec<Value>, ArmError> {
        if let Some(form) = form.filter(|form| *form != Form::Of2024) {
            let message = format!("The assessment '{}' is on registries, not on images.", form.key());
            return Err(ArmError::not_found("ResourceNotFound", message));
        }
        let mut rows = Vec::new();
        for readable in registries {
            let registry = &readable.registry;
            let host = login_server(registry, call, &self.domain);
            for (image, findings) in self.images_named(readable, name).await? {
                if image.state().0 == assessment::ImageState::Pending {
                    continue;
                }
                let place = Place { registry, host: &host, image: &image, form: Form::Of2024 };
                let mut of_image = place.rows(&findings);
                self.say_where_it_runs(&image, &mut of_image).await?;
                rows.extend(of_image);
            }
        }
        Ok(rows)
    }

    /// Adds the places where the clusters say that an image runs to each of its rows.
    async fn say_where_it_runs(&self, image: &ImageRow, rows: &mut [Value]) -> Result<(), ArmError> {
        let (registry, repository) = (image.registry, &image.repository);
        let places = self.metastore.running(registry, repository, &image.digest, PLACES_MAX).await?;
        let places: Value = places
            .iter()
            .map(|place| {
                json!({
                    "cluster": place.cluster, "namespace": place.namespace, "workload": place.workload,
                    "containers": place.containers, "reported": azure_documents::time(place.reported_ms),
                })
            })
            .collect();
        for row in rows {
            row["properties"]["additionalData"]["running"] = places.clone();
        }
        Ok(())
    }

    async fn find(
        &self,
        readable: &Readable,
        wanted: Uuid,
        form: Form,
        call: &Call,
    ) -> Result<Option<Value>, ArmError> {
        let registry = &readable.registry;
        let host = login_server(registry, call, &self.domain);
        for (repository, digest) in self.metastore.image_names(registry.id).await? {
            if !readable.shows(&repository) || !is_row_of(wanted, repository.as_str(), &digest) {
                continue;
            }
            let reference = Reference::Digest(digest.clone());
            let Some(image) = self.metastore.image(registry.id, &repository, &reference).await? else {
                continue;
            };
            let findings = self.metastore.findings(&image).await?;
            let is_pending = image.state().0 == assessment::ImageState::Pending;
            let mut rows = Place { registry, host: &host, image: &image, form }.rows(&findings);
            self.say_where_it_runs(&image, &mut rows).await?;
            let name = wanted.to_string();
            if let Some(row) =
                rows.into_iter().find(|row| row["name"] == name.as_str()).filter(|_| !is_pending)
            {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }
}

/// The images of a registry that a name means: `repositories-REPOSITORY-images-DIGEST`, with dashes for the
/// repository's slashes.
pub(crate) async fn named_image(
    metastore: &Metastore,
    registry: &Registry,
    name: &str,
) -> Result<Vec<(Repository, Reference)>, ArmError> {
    let parts = name.get("repositories-".len()..).and_then(|rest| rest.rsplit_once("-images-"));
    let Some((repository, digest)) = parts else { return Ok(Vec::new()) };
    let Ok(digest) = digest.parse::<oci::Digest>() else { return Ok(Vec::new()) };
    let all = metastore.image_names(registry.id).await?;
    let is_it = |(known, of): &(Repository, oci::Digest)| {
        *of == digest && known.as_str().replace('/', "-").eq_ignore_ascii_case(repository)
    };
    Ok(all.into_iter().filter(is_it).map(|(known, of)| (known, Reference::Digest(of))).collect())
}

/// The form under that key.
pub(crate) fn form_named(key: &str) -> Result<Form, ArmError> {
    Form::of_key(key).ok_or_else(|| {
        let keys = Form::ALL.map(Form::key).join("', '");
        let message = format!("There is no assessment '{key}' here; there are '{keys}'.");
        ArmError::not_found("ResourceNotFound", message)
    })
}

/// As many as fit into a megabyte or so.
pub(crate) const PAGE_ROWS: usize = 500;

/// Every finding of an image repeats them.
const PLACES_MAX: usize = 20;
