//! The model of 2026: an assessment a package of an image that has something to fix, named by what it was
//! built from, with all its findings.

use assessment::{Exemption, Finding, RuledFinding};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::sub_assessment::{disabled, fix_status};
use crate::{Place, time};

/// What is to be fixed in one package of an image. If rules disable all of it, it is shown with that.
#[derive(Clone, Debug)]
pub struct SoftwareUpdate<'a> {
    source: &'a str,
    findings: Vec<&'a Finding>,
    exemption: Option<&'a Exemption>,
}

/// Those of an image, in the order of their worst findings.
#[must_use]
pub fn software_updates(findings: &[RuledFinding]) -> Vec<SoftwareUpdate<'_>> {
    let mut sources: Vec<&str> = Vec::new();
    for RuledFinding { finding, .. } in findings {
        if !sources.contains(&finding.source.as_str()) {
            sources.push(&finding.source);
        }
    }
    let update = |source| {
        let of_source: Vec<&RuledFinding> =
            findings.iter().filter(|ruled| ruled.finding.source == source).collect();
        let open: Vec<&Finding> =
            of_source.iter().filter(|ruled| ruled.exemption.is_none()).map(|ruled| &ruled.finding).collect();
        if open.is_empty() {
            let exemption = of_source.first().and_then(|ruled| ruled.exemption.as_ref());
            let findings = of_source.iter().map(|ruled| &ruled.finding).collect();
            SoftwareUpdate { source, findings, exemption }
        } else {
            SoftwareUpdate { source, findings: open, exemption: None }
        }
    };
    sources.into_iter().map(update).collect()
}

impl SoftwareUpdate<'_> {
    /// Its name: the same for the same package of the same image, for ever.
    #[must_use]
    pub fn name(&self, place: &Place<'_>) -> Uuid {
        let image = place.image;
        let bytes = format!("software-update\n{}\n{}\n{}", image.repository, image.digest, self.source);
        let digest = oci::Digest::sha256(bytes.as_bytes());
        let half = digest.hex().get(..32).and_then(|half| u128::from_str_radix(half, 16).ok());
        Uuid::new_v8(half.unwrap_or_default().to_be_bytes())
    }

    /// The assessment.
    #[must_use]
    pub fn document(&self, place: &Place<'_>) -> Value {
        let image = place.image;
        let mut versions: Vec<&str> =
            self.findings.iter().map(|finding| finding.source_version.as_str()).collect();
        versions.sort_unstable();
        versions.dedup();
        let fixed = self.findings.iter().find_map(|finding| finding.fixed_version.as_deref());
        let since_ms = image.verdict.as_ref().map_or(image.pushed_ms, |verdict| verdict.first_judged_ms);
        let mut status = match self.exemption {
            None => json!({ "code": "Unhealthy" }),
            Some(by) => json!({ "code": "NotApplicable", "cause": "Exempt", "description": disabled(by) }),
        };
        status["firstEvaluationDate"] = time(since_ms).into();
        let mut details = place.image_details();
        details["ResourceType"] = ".containerimage".into();
        let name = self.name(place);
        json!({
            "type": "Microsoft.Security/assessments",
            "id": format!("{}/providers/Microsoft.Security/assessments/{name}", place.image_id()),
            "name": name,
            "properties": {
                "displayName": format!("Update {}", self.source),
                "resourceDetails": details,
                "status": status,
                "additionalData": {
                    "SoftwareName": self.source,
                    "Language": "",
                    "PackageType": "OS",
                    "DetectedSoftwareVersions": versions.join(", "),
                    "FixedVersion": fixed.unwrap_or_default(),
                    "CvesDetails": self.flaws().to_string(),
                },
                "resourceAdditionalData": { "LastPushedToRegistryUTC": time(image.pushed_ms) },
            },
        })
    }

    /// What is said of it wherever it is.
    #[must_use]
    pub fn metadata(&self) -> Value {
        let worst = self.findings.iter().map(|finding| finding.severity).max().unwrap_or_default();
        json!({
            "displayName": format!("Update {}", self.source),
            "recommendationCategory": "SoftwareUpdate",
            "assessmentType": "BuiltIn",
            "severity": worst.name(),
        })
    }

    /// Each flaw once, though several packages were built from the source.
    fn flaws(&self) -> Value {
        let mut flaws: Vec<Value> = Vec::new();
        for finding in &self.findings {
            if flaws.iter().any(|known| known["CveId"] == finding.id.as_str()) {
                continue;
            }
            flaws.push(json!({
                "CveId": finding.id,
                "Severity": finding.severity.name(),
                "FixStatus": fix_status(finding.fix_state),
                "FixedVersion": finding.fixed_version.as_deref().unwrap_or_default(),
                "Description": finding.title,
            }));
        }
        flaws.into()
    }
}
