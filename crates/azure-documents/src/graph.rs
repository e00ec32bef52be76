//! The same documents as Resource Graph has them (azure-wire, section 3.4).

use assessment::{Finding, ImageState};
use metastore::Registry;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::sub_assessment::fix_status;
use crate::{Form, Names, Place, metadata, time};

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
    let properties = &mut row["properties"];
    properties["resourceDetails"] = json!({
        "Source": "Azure",
        "Id": registry.resource_id(),
        "ResourceType": crate::REGISTRIES.to_ascii_lowercase(),
        "ResourceName": registry.name,
        "ResourceProvider": "Microsoft.ContainerRegistry",
    });
    properties["metadata"] = metadata(form, names);
    properties["links"] = json!({ "azurePortal": format!("/portal/registries/{}", registry.name) });
    row
}

/// The assessment on an image, of the form of 2024.
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
    }
    if let Some(verdict) = &place.image.verdict {
        status["firstEvaluationDate"] = time(verdict.first_judged_ms).into();
        status["statusChangeDate"] = time(verdict.changed_ms).into();
    }
    let id = place.image_id();
    json!({
        "type": "Microsoft.Security/assessments",
        "id": format!("{id}/providers/Microsoft.Security/assessments/{}", form.key()),
        "name": form.key(),
        "properties": {
            "displayName": form.display_name(names),
            "resourceDetails": {
                "Source": "Azure",
                "Id": id,
                "ResourceType": "containerImage",
                "ResourceName": format!("{}@{}", place.image.repository, place.image.digest),
                "ResourceProvider": "Azure Container Registry",
            },
            "status": status,
            "metadata": metadata(form, names),
            "links": { "azurePortal": format!("/portal/registries/{}", place.registry.name) },
        },
    })
}

/// The model of 2026: an assessment a package of an image that has something to fix, named by what it was
/// built from, with all its findings. Resource Graph alone has these: in the REST list they would be taken
/// for registries' assessments.
#[must_use]
pub fn software_updates(place: &Place<'_>, findings: &[Finding]) -> Vec<Value> {
    let mut sources: Vec<&str> = Vec::new();
    for finding in findings {
        if !sources.contains(&finding.source.as_str()) {
            sources.push(&finding.source);
        }
    }
    sources.into_iter().filter_map(|source| software_update(place, source, findings)).collect()
}

fn software_update(place: &Place<'_>, source: &str, findings: &[Finding]) -> Option<Value> {
    let of_source: Vec<&Finding> = findings.iter().filter(|finding| finding.source == source).collect();
    let worst = of_source.iter().max_by_key(|finding| finding.severity)?;
    let image = place.image;
    let mut details: Vec<Value> = Vec::new();
    for finding in &of_source {
        // Each flaw once, though several packages were built from the source.
        if details.iter().any(|known| known["CveId"] == finding.id.as_str()) {
            continue;
        }
        details.push(json!({
            "CveId": finding.id,
            "Severity": finding.severity.name(),
            "FixStatus": fix_status(finding.fix_state),
            "FixedVersion": finding.fixed_version.as_deref().unwrap_or_default(),
            "Description": finding.title,
        }));
    }
    let mut versions: Vec<&str> = of_source.iter().map(|finding| finding.source_version.as_str()).collect();
    versions.sort_unstable();
    versions.dedup();
    let fixed = of_source.iter().find_map(|finding| finding.fixed_version.as_deref()).unwrap_or_default();
    let image_id = place.image_id();
    let bytes = format!("software-update\n{}\n{}\n{source}", image.repository, image.digest);
    let digest = oci::Digest::sha256(bytes.as_bytes());
    let halves = u128::from_str_radix(digest.hex().get(..32)?, 16).ok()?;
    let name = Uuid::new_v8(halves.to_be_bytes());
    let since_ms = image.verdict.as_ref().map_or(image.pushed_ms, |verdict| verdict.first_judged_ms);
    Some(json!({
        "type": "Microsoft.Security/assessments",
        "id": format!("{image_id}/providers/Microsoft.Security/assessments/{name}"),
        "name": name,
        "properties": {
            "displayName": format!("Update {source}"),
            "resourceDetails": {
                "Source": "Azure",
                "Id": image_id,
                "ResourceType": ".containerimage",
                "ResourceName": format!("{}@{}", image.repository, image.digest),
                "ResourceProvider": "Azure Container Registry",
            },
            "status": { "code": "Unhealthy", "firstEvaluationDate": time(since_ms) },
            "metadata": {
                "displayName": format!("Update {source}"),
                "recommendationCategory": "SoftwareUpdate",
                "assessmentType": "BuiltIn",
                "severity": worst.severity.name(),
            },
            "additionalData": {
                "SoftwareName": source,
                "Language": "",
                "PackageType": "OS",
                "DetectedSoftwareVersions": versions.join(", "),
                "FixedVersion": fixed,
                "CvesDetails": Value::from(details).to_string(),
            },
            "resourceAdditionalData": json!({ "LastPushedToRegistryUTC": time(image.pushed_ms) }).to_string(),
        },
    }))
}
