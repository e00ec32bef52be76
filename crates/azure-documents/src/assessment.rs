//! The assessment on a registry: what its images' results come to.

use assessment::ImageState;
use metastore::{Registry, StateCounts};
use serde_json::{Value, json};

use crate::{Form, Names, time};

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
    let mut status = json!({ "code": code, "description": description });
    if let Some(cause) = cause {
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
