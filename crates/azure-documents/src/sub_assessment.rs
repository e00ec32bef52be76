//! Results as sub-assessments.

use advisory::Severity;
use assessment::{Exemption, Finding, FixState, ImageState, RuledFinding, image_row_id};
use inventory::Distro;
use metastore::{ImageRow, Registry};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Form, time};

/// Where rows are, and in which form.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The registry.
    pub registry: &'a Registry,
    /// The registry's host, as the client knows it.
    pub host: &'a str,
    /// The image.
    pub image: &'a ImageRow,
    /// The form.
    pub form: Form,
}

impl Place<'_> {
    /// The rows of an image: one a finding, disabled or not, or the one that says that there are none, or why.
    #[must_use]
    pub fn rows(&self, findings: &[RuledFinding]) -> Vec<Value> {
        if findings.is_empty() {
            vec![self.image_row()]
        } else {
            findings.iter().map(|it| self.finding_row(it)).collect()
        }
    }

    /// What a finding's row is called.
    #[must_use]
    pub fn finding_name(&self, finding: &Finding) -> Uuid {
        finding.sub_assessment_id(self.image.repository.as_str(), &self.image.digest)
    }

    /// What a finding's row says depends on these alone, whatever the image; the rest of it is the same in all
    /// rows of the image.
    #[must_use]
    pub fn saying<'a>(&'a self, finding: &'a RuledFinding) -> (Form, Option<String>, bool, &'a RuledFinding) {
        (self.form, self.os_version(), self.image.plan_is_on, finding)
    }

    fn os_version(&self) -> Option<String> {
        let distro = self.image.verdict.as_ref().and_then(|verdict| verdict.distro.as_ref());
        distro.map(Distro::label)
    }

    /// The row of a finding, disabled or not.
    #[must_use]
    pub fn finding_row(&self, RuledFinding { finding, exemption }: &RuledFinding) -> Value {
        let name = self.finding_name(finding);
        let mut row = self.row(name);
        let properties = &mut row["properties"];
        properties["id"] = finding.id.clone().into();
        let severity = self.severity(finding.severity);
        properties["status"] = match exemption {
            None => json!({
                "code": "Unhealthy", "severity": severity, "description": "The resource is unhealthy",
            }),
            Some(exemption) => json!({
                "code": "NotApplicable", "cause": "Exempt", "severity": severity,
                "description": disabled(exemption),
            }),
        };
        self.say_if_plan_is_off(properties);
        properties["remediation"] = finding.remediation.clone().into();
        properties["description"] =
            if finding.description.is_empty() { finding.title.clone() } else { finding.description.clone() }
                .into();
        let details = match self.form {
            Form::Of2020 => {
                properties["displayName"] = finding.title.clone().into();
                properties["impact"] = impact(finding.severity).into();
                properties["category"] = finding.category().into();
                details_of_2020(finding)
            }
            Form::Of2023 | Form::Of2024 => {
                properties["displayName"] = finding.id.clone().into();
                details_of_2023(finding, self.os_version())
            }
        };
        if let (Value::Object(data), Value::Object(details)) = (&mut properties["additionalData"], details) {
            data.extend(details);
        }
        row
    }

    /// A result that was kept when the plan went off says so in its status.
    fn say_if_plan_is_off(&self, properties: &mut Value) {
        if self.image.plan_is_on {
            return;
        }
        let status = &mut properties["status"];
        if status["cause"].is_null() {
            status["cause"] = "PlanOff".into();
        }
        let said = status["description"].as_str().unwrap_or_default();
        status["description"] = format!("{said}; the plan is off: this result is not kept up").into();
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
        if state == ImageState::Healthy {
            self.say_if_plan_is_off(properties);
        }
        properties["description"] = sentences.join("; ").into();
        let data = &mut properties["additionalData"];
        if self.form == Form::Of2020 {
            data["patchable"] = false.into();
            data["cve"] = json!([]);
            data["vendorReferences"] = json!([]);
        }
        data["state"] = state.name().into();
        data["causes"] = json!(causes.iter().map(|cause| cause.code.as_str()).collect::<Vec<_>>());
        row
    }

    /// What every row has.
    fn row(&self, name: Uuid) -> Value {
        let (registry, image, key) = (self.registry.resource_id(), self.image, self.form.key());
        let verdict = image.verdict.as_ref();
        let (repository, digest) = (&image.repository, &image.digest);
        let (resource, mut data) = match self.form {
            Form::Of2020 => {
                let data = json!({
                    "assessedResourceType": "ContainerRegistryVulnerability",
                    "type": "Vulnerability",
                    "cvss": {},
                    "imageDigest": digest,
                    "repositoryName": repository,
                    "registryHost": self.host,
                    "tags": image.tags,
                });
                (format!("{registry}/repository/{repository}/imageDigest/{digest}"), data)
            }
            Form::Of2023 | Form::Of2024 => {
                let data = json!({
                    "assessedResourceType": "AzureContainerRegistryVulnerability",
                    "artifactDetails": {
                        "registryHost": self.host,
                        "repositoryName": repository,
                        "digest": digest,
                        "tags": image.tags,
                        "artifactType": "ContainerImage",
                        "mediaType": image.media_type,
                        "lastPushedToRegistryUTC": time(image.pushed_ms),
                    },
                });
                (format!("/repositories/{repository}/images/{digest}"), data)
            }
        };
        let resource = match self.form {
            Form::Of2024 => self.image_details(),
            _ => json!({ "source": "Azure", "id": resource }),
        };
        let assessed = if self.form == Form::Of2024 { self.image_id() } else { registry };
        data["inventory"] = json!(verdict.map(|verdict| &verdict.inventory));
        data["snapshot"] = json!(verdict.and_then(|verdict| verdict.snapshot.as_ref()));
        data["engine"] = json!(verdict.map(|verdict| &verdict.engine));
        json!({
            "type": "Microsoft.Security/assessments/subAssessments",
            "id": format!("{assessed}/providers/Microsoft.Security/assessments/{key}/subAssessments/{name}"),
            "name": name,
            "properties": {
                "timeGenerated": time(verdict.map_or(image.pushed_ms, |verdict| verdict.judged_ms)),
                "resourceDetails": resource,
                "additionalData": data,
            },
        })
    }

    /// What the image is called where it is a resource of its own.
    pub(crate) fn image_id(&self) -> String {
        let repository = self.image.repository.as_str().replace('/', "-");
        format!("{}/repositories-{repository}-images-{}", self.registry.resource_id(), self.image.digest)
    }

    pub(crate) fn image_details(&self) -> Value {
        json!({
            "source": "Azure",
            "id": self.image_id(),
            "ResourceType": "containerImage",
            "ResourceName": format!("{}@{}", self.image.repository, self.image.digest),
            "ResourceProvider": "Azure Container Registry",
        })
    }

    /// The form of 2020 knows three; the finding's own word is in `additionalData.severity`.
    fn severity(&self, severity: Severity) -> &'static str {
        match (self.form, severity) {
            (Form::Of2020, Severity::Critical) => Severity::High.name(),
            (_, other) => other.name(),
        }
    }
}

fn details_of_2020(finding: &Finding) -> Value {
    let package = &finding.package;
    let link = finding.references.first().map(|reference| reference.link.as_str()).unwrap_or_default();
    let names = std::iter::once(&finding.id).chain(&finding.aliases);
    let cve: Vec<Value> = names
        .filter(|name| name.starts_with("CVE-"))
        .map(|name| json!({ "title": name, "link": link }))
        .collect();
    json!({
        "patchable": finding.fixed_version.is_some(),
        "cve": cve,
        "vendorReferences": references(finding),
        "packageName": package.name,
        "packageVersion": package.version,
        "sourcePackage": finding.source,
        "fixedVersion": finding.fixed_version,
        "fixState": finding.fix_state,
        "severity": finding.severity.name(),
        "severitySource": finding.severity_source,
        "layer": package.layer,
        "reason": finding.reason,
    })
}

/// What no source of ours tells (scores, weaknesses, exploits, dates) is null or empty, never made up.
fn details_of_2023(finding: &Finding, os_version: Option<String>) -> Value {
    let package = &finding.package;
    let mut names = std::iter::once(&finding.id).chain(&finding.aliases);
    let cve = names.find(|name| name.starts_with("CVE-")).unwrap_or(&finding.id);
    json!({
        "cvssV30Score": null,
        "vulnerabilityDetails": {
            "cveId": cve,
            "severity": finding.severity.name(),
            "publishedDate": null,
            "lastModifiedDate": null,
            "cvss": { "2.0": null, "3.0": null },
            "weaknesses": { "cwe": [] },
            "references": references(finding),
            "workarounds": [],
        },
        "softwareDetails": {
            "packageName": package.name,
            "version": package.version,
            "vendor": finding.category(),
            "category": "OS",
            "language": "",
            "osDetails": { "osPlatform": "linux", "osVersion": os_version },
            "sourcePackage": finding.source,
            "fixedVersion": finding.fixed_version.as_deref().unwrap_or_default(),
            "fixStatus": fix_status(finding.fix_state),
            "fixReference": null,
            "evidence": [package.path],
        },
        "severitySource": finding.severity_source,
        "layer": package.layer,
        "reason": finding.reason,
    })
}

/// By which rule, why, and until when.
pub(crate) fn disabled(exemption: &Exemption) -> String {
    let Exemption { rule, name, reason, expires_ms } = exemption;
    let until = expires_ms.map_or_else(String::new, |ms| format!(" until {}", time(ms)));
    let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    format!("Disabled by the rule '{name}' ({rule}){until}{because}")
}

fn references(finding: &Finding) -> Vec<Value> {
    let reference = |it: &advisory::Reference| json!({ "title": it.title, "link": it.link });
    finding.references.iter().map(reference).collect()
}

pub(crate) fn fix_status(state: FixState) -> &'static str {
    match state {
        FixState::Fixed => "FixAvailable",
        FixState::NoneYet => "NoFixAvailable",
        FixState::Deferred => "Scheduled",
        FixState::WontFix | FixState::EndOfLife => "WontFix",
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
