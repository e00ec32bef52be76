//! The same documents as Resource Graph has them (azure-wire, section 3.4).

use metastore::Registry;
use serde_json::{Value, json};

use crate::{Form, Names, Place, SoftwareUpdate, metadata};

/// A sub-assessment: its id has the last segment's name in lower case, and the registry is named.
#[must_use]
pub fn sub_assessment(mut row: Value, registry: &Registry) -> Value {
    if let Some(id) = row["id"].as_str() {
        row["id"] = id.replace("/subAssessments/", "/subassessments/").into();
    }
    let details = &mut row["properties"]["resourceDetails"];
    if details["ResourceName"].is_null() {
        details["ResourceName"] = registry.name.clone().into();
    }
    row
}

/// An assessment: always with its metadata, a link, and what it is about in capitals.
#[must_use]
pub fn assessment(mut row: Value, registry: &Registry, form: Form, names: Names) -> Value {
    row["properties"]["resourceDetails"] = json!({
        "Source": "Azure",
        "Id": registry.resource_id(),
        "ResourceType": crate::REGISTRIES.to_ascii_lowercase(),
        "ResourceName": registry.name,
        "ResourceProvider": "Microsoft.ContainerRegistry",
    });
    row["properties"]["metadata"] = named(form, names);
    linked(row, registry)
}

/// The assessment on an image.
#[must_use]
pub fn image_assessment(place: &Place<'_>, names: Names) -> Value {
    let row = crate::image_assessment(place, names);
    about_image(row, place, "containerImage", named(Form::Of2024, names))
}

/// An assessment on a package of an image.
#[must_use]
pub fn software_update(update: &SoftwareUpdate<'_>, place: &Place<'_>) -> Value {
    let mut row = about_image(update.document(place), place, ".containerimage", update.metadata());
    let more = row["properties"]["resourceAdditionalData"].to_string();
    row["properties"]["resourceAdditionalData"] = more.into();
    row
}

/// The metadata with all names that Azure has had for the assessment: queries that look for one in any column find
/// it, whatever it is called here.
fn named(form: Form, names: Names) -> Value {
    let mut metadata = metadata(form, names);
    metadata["otherNames"] = form.azures_names().into();
    metadata
}

fn about_image(mut row: Value, place: &Place<'_>, kind: &str, metadata: Value) -> Value {
    row["properties"]["resourceDetails"] = json!({
        "Source": "Azure",
        "Id": place.image_id(),
        "ResourceType": kind,
        "ResourceName": format!("{}@{}", place.image.repository, place.image.digest),
        "ResourceProvider": "Azure Container Registry",
    });
    row["properties"]["metadata"] = metadata;
    linked(row, place.registry)
}

fn linked(mut row: Value, registry: &Registry) -> Value {
    row["properties"]["links"] = json!({ "azurePortal": format!("/portal/registries/{}", registry.name) });
    row
}
