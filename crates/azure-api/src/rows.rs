//! A result as a sub-assessment, in the form of 2020 (`ContainerRegistryVulnerability`).

use advisory::Severity;
use assessment::{Finding, ImageState, image_row_id};
use metastore::{ImageRow, Registry};
use serde_json::{Value, json};
use uuid::Uuid;

/// The assessment key of the 2020 form.
pub(crate) const KEY: &str = "dbd0cb49-b563-45e7-9724-889e799fa648";

/// Where a row is.
pub(crate) struct Place<'a> {
    pub(crate) registry: &'a Registry,
    /// The registry's host, as the client knows it.
    pub(crate) host: &'a str,
    pub(crate) image: &'a ImageRow,
}

impl Place<'_> {
    /// The rows of an image: one a finding, or the one that says that there are none, or why.
    pub(crate) fn rows(&self, findings: &[Finding]) -> Vec<Value> {
        if findings.is_empty() {
            vec![self.image_row()]
        } else {
            findings.iter().map(|it| self.finding_row(it)).collect()
        }
    }

    fn finding_row(&self, finding: &Finding) -> Value {
        let package = &finding.package;
        let link = finding.references.first().map(|reference| reference.link.as_str()).unwrap_or_default();
        let names = std::iter::once(&finding.id).chain(&finding.aliases);
        let cve: Vec<Value> = names
            .filter(|name| name.starts_with("CVE-"))
            .map(|name| json!({ "title": name, "link": link }))
            .collect();
        let references: Vec<Value> = finding
            .references
            .iter()
            .map(|reference| json!({ "title": reference.title, "link": reference.link }))
            .collect();
        let name = finding.sub_assessment_id(self.image.repository.as_str(), &self.image.digest);
        let mut row = self.row(name);
        let properties = &mut row["properties"];
        properties["id"] = finding.id.clone().into();
        properties["displayName"] = finding.title.clone().into();
        properties["status"] = json!({
            "code": "Unhealthy",
            "severity": severity(finding.severity),
            "description": "The resource is unhealthy",
        });
        properties["remediation"] = finding.remediation.clone().into();
        properties["impact"] = impact(finding.severity).into();
        properties["category"] = finding.feed.clone().into();
        properties["description"] =
            if finding.description.is_empty() { finding.title.clone() } else { finding.description.clone() }
                .into();
        let data = &mut properties["additionalData"];
        data["patchable"] = finding.fixed_version.is_some().into();
        data["cve"] = json!(cve);
        data["vendorReferences"] = json!(references);
        data["packageName"] = package.name.clone().into();
        data["packageVersion"] = package.version.clone().into();
        data["sourcePackage"] = finding.source.clone().into();
        data["fixedVersion"] = json!(finding.fixed_version);
        data["fixState"] = json!(finding.fix_state);
        data["severity"] = finding.severity.name().into();
        data["severitySource"] = finding.severity_source.clone().into();
        data["layer"] = json!(package.layer);
        data["reason"] = finding.reason.clone().into();
        row
    }

    /// No severity: tools count rows by it whatever their status.
    fn image_row(&self) -> Value {
        let (state, causes) = self.image.state();
        let name = image_row_id(self.image.repository.as_str(), &self.image.digest);
        let mut row = self.row(name);
        let properties = &mut row["properties"];
        let sentences: Vec<&str> = causes.iter().map(|cause| cause.description.as_str()).collect();
        let (id, title) = match state {
            ImageState::Healthy => ("healthy", "No known vulnerability is left to fix in this image"),
            ImageState::Unverified => ("unverified", "This image could not be judged"),
            _ => ("not-applicable", "This image is not judged"),
        };
        properties["id"] = id.into();
        properties["displayName"] = title.into();
        properties["status"] = if state == ImageState::Healthy {
            json!({ "code": "Healthy", "description": "The resource is healthy" })
        } else {
            let cause = causes.first().map(|cause| cause.code.as_str()).unwrap_or_default();
            json!({ "code": "NotApplicable", "cause": cause, "description": sentences.join("; ") })
        };
        properties["description"] = sentences.join("; ").into();
        let data = &mut properties["additionalData"];
        data["patchable"] = false.into();
        data["cve"] = json!([]);
        data["vendorReferences"] = json!([]);
        data["state"] = state.name().into();
        data["causes"] = json!(causes.iter().map(|cause| cause.code.as_str()).collect::<Vec<_>>());
        row
    }

    /// What every row has.
    fn row(&self, name: Uuid) -> Value {
        let (registry, image) = (self.registry.resource_id(), self.image);
        let verdict = image.verdict.as_ref();
        json!({
            "type": "Microsoft.Security/assessments/subAssessments",
            "id": format!("{registry}/providers/Microsoft.Security/assessments/{KEY}/subAssessments/{name}"),
            "name": name,
            "properties": {
                "timeGenerated": time(verdict.map_or(image.pushed_ms, |verdict| verdict.judged_ms)),
                "resourceDetails": {
                    "source": "Azure",
                    "id": format!("{registry}/repository/{}/imageDigest/{}", image.repository, image.digest),
                },
                "additionalData": {
                    "assessedResourceType": "ContainerRegistryVulnerability",
                    "type": "Vulnerability",
                    "cvss": {},
                    "imageDigest": image.digest,
                    "repositoryName": image.repository,
                    "registryHost": self.host,
                    "tags": image.tags,
                    "inventory": verdict.map(|verdict| &verdict.inventory),
                    "snapshot": verdict.and_then(|verdict| verdict.snapshot.as_ref()),
                    "engine": verdict.map(|verdict| &verdict.engine),
                },
            },
        })
    }
}

/// The form of 2020 knows three; the finding's own word is in `additionalData.severity`.
fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => Severity::High.name(),
        other => other.name(),
    }
}

/// From `1` to `3`, as text.
fn impact(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "3",
        Severity::Medium => "2",
        _ => "1",
    }
}

/// RFC 3339 with seven digits of a second, as Azure writes it.
pub(crate) fn time(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S.%3f0000Z").to_string()
}
