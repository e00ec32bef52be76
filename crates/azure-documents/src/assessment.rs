//! Assessments: what a registry's images' results come to, and what each image's do.

use assessment::ImageState;
use metastore::{Registry, StateCounts};
use serde_json::{Value, json};

use crate::{Form, Names, Place, time};

/// A registry's assessment; whether its subscription's plan is on says what "nothing judged" means.
#[must_use]
pub fn assessment(registry: &Registry, counts: &StateCounts, is_on: bool, form: Form, names: Names) -> Value {
    let (id, key) = (registry.resource_id(), form.key());
    json!({
        "type": "Microsoft.Security/assessments",
        "id": format!("{id}/providers/Microsoft.Security/assessments/{key}"),
        "name": key,
        "properties": {
            "resourceDetails": { "source": "Azure", "id": id },
            "displayName": form.display_name(names),
            "status": status(counts, is_on),
            // Azure's model has text only here.
            "additionalData": additional_data(counts),
        },
    })
}

/// An image's assessment, of the form of 2024.
#[must_use]
pub fn image_assessment(place: &Place<'_>, names: Names) -> Value {
    let form = Form::Of2024;
    let (state, causes) = place.image.state();
    let code = match state {
        ImageState::Healthy => "Healthy",
        ImageState::Unhealthy => "Unhealthy",
        _ => "NotApplicable",
    };
    let mut status = json!({ "code": code });
    if let ("NotApplicable", Some(cause)) = (code, causes.first()) {
        status["cause"] = cause.code.clone().into();
        status["description"] = cause.description.clone().into();
    } else if let Some(cause) = causes.iter().find(|cause| cause.code == "PlanOff") {
        status["cause"] = cause.code.clone().into();
        status["description"] = cause.description.clone().into();
    }
    if let (Some(verdict), Some(changed_ms)) = (&place.image.verdict, place.image.changed_ms()) {
        status["firstEvaluationDate"] = time(verdict.first_judged_ms).into();
        status["statusChangeDate"] = time(changed_ms).into();
    }
    json!({
        "type": "Microsoft.Security/assessments",
        "id": format!("{}/providers/Microsoft.Security/assessments/{}", place.image_id(), form.key()),
        "name": form.key(),
        "properties": {
            "resourceDetails": place.image_details(),
            "displayName": form.display_name(names),
            "status": status,
        },
    })
}

/// What is said of an assessment wherever it is.
#[must_use]
pub fn metadata(form: Form, names: Names) -> Value {
    json!({
        "displayName": form.display_name(names),
        "assessmentType": "BuiltIn",
        "description": DESCRIPTION,
        "remediationDescription": "Rebuild each unhealthy image with the fixed versions that its findings name.",
        "categories": ["Compute"],
        "severity": "High",
        "userImpact": "Moderate",
        "implementationEffort": "Moderate",
        "threats": ["accountBreach", "dataExfiltration"],
    })
}

/// What is said of an assessment, as a resource at the tenant (`at` is empty) or at a subscription's id.
#[must_use]
pub fn metadata_document(at: &str, form: Form, names: Names) -> Value {
    let key = form.key();
    json!({
        "id": format!("{at}/providers/Microsoft.Security/assessmentMetadata/{key}"),
        "name": key,
        "type": "Microsoft.Security/assessmentMetadata",
        "properties": metadata(form, names),
    })
}

fn status(counts: &StateCounts, is_on: bool) -> Value {
    let count = |state: ImageState| counts.judged.get(state.name()).copied().unwrap_or(0);
    let (code, cause, description) = if count(ImageState::Unhealthy) > 0 {
        (
            "Unhealthy",
            None,
            images(count(ImageState::Unhealthy), "has something to fix", "have something to fix"),
        )
    } else if count(ImageState::Healthy) > 0 {
        ("Healthy", None, images(count(ImageState::Healthy), "has nothing to fix", "have nothing to fix"))
    } else if !is_on {
        (
            "NotApplicable",
            Some("PlanOff"),
            "the container registries plan of the subscription is off".to_owned(),
        )
    } else if count(ImageState::Unverified) > 0 {
        let reason = images(count(ImageState::Unverified), "could not be judged", "could not be judged");
        ("NotApplicable", Some("Unverified"), reason)
    } else {
        ("NotApplicable", Some("NothingJudged"), "no image was judged yet".to_owned())
    };
    let is_kept = !is_on && cause.is_none();
    let description =
        if is_kept { format!("{description}; the plan is off: this is not kept up") } else { description };
    let mut status = json!({ "code": code, "description": description });
    if let Some(cause) = cause.or(is_kept.then_some("PlanOff")) {
        status["cause"] = cause.into();
    }
    for (name, ms) in
        [("firstEvaluationDate", counts.first_judged_ms), ("statusChangeDate", counts.changed_ms)]
    {
        if let Some(ms) = ms {
            status[name] = time(ms).into();
        }
    }
    status
}

fn images(count: u64, one: &str, many: &str) -> String {
    if count == 1 { format!("1 image {one}") } else { format!("{count} images {many}") }
}

fn additional_data(counts: &StateCounts) -> Value {
    let mut data = serde_json::Map::new();
    for (state, count) in &counts.judged {
        data.insert(format!("images{state}"), count.to_string().into());
    }
    data.insert("imagesPending".to_owned(), counts.unjudged.to_string().into());
    data.into()
}

const DESCRIPTION: &str = "Lazaret judges every image of the registry by its distribution's own advisories and lists \
                           what is to be fixed in each.";
