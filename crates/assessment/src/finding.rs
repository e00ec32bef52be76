//! Findings: one advisory on one package in one image.

use advisory::{Reference, Severity};
use oci::Digest;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::row_id::{half, row_id};

/// One advisory on one package in one image digest. Its JSON is stored, and printed by the CLI.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The advisory's id: `CVE-2024-5535`, `TEMP-…`.
    pub id: String,
    /// The flaw's other names.
    pub aliases: Vec<String>,
    /// One line for a list.
    pub title: String,
    /// What the advisory says; may be empty.
    pub description: String,
    /// How bad, by the source named beside it.
    pub severity: Severity,
    /// Whose word the severity is: `debian urgency`; empty for an unknown one.
    pub severity_source: String,
    /// The package that is affected.
    pub package: FindingPackage,
    /// The name of the source package that the advisory speaks of.
    pub source: String,
    /// The installed version of that source package.
    pub source_version: String,
    /// The first version without the flaw, where there is one.
    pub fixed_version: Option<String>,
    /// What the vendor does about it.
    pub fix_state: FixState,
    /// What a person should do.
    pub remediation: String,
    /// Why it matched: namespace, range and versions.
    pub reason: String,
    /// The feed whose statement this is: `debian`.
    pub feed: String,
    /// Where to read on.
    pub references: Vec<Reference>,
}

/// The affected package.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FindingPackage {
    /// `libssl3`.
    pub name: String,
    /// As installed.
    pub version: String,
    /// `deb`, `apk`.
    pub ecosystem: String,
    /// `amd64`, …
    pub architecture: String,
    /// The database file that records it.
    pub path: String,
    /// The layer it came with.
    pub layer: Digest,
    /// The command that made that layer, if the image's history tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_command: Option<String>,
}

impl Finding {
    /// Whose advisory it is: `debian`, `alpine`.
    #[must_use]
    pub fn category(&self) -> &str {
        self.feed.split('/').next().unwrap_or_default()
    }

    /// The name of the sub-assessment that shows this finding for one image in one repository:
    /// the same for the same finding, for ever, whoever computes it.
    #[must_use]
    pub fn sub_assessment_id(&self, repository: &str, image: &Digest) -> Uuid {
        row_id(repository, image, self.identity().as_bytes())
    }

    /// The same for the same finding of an image, whenever it is judged: what lists of one image go on after. It is
    /// the second half of [`Self::sub_assessment_id`].
    #[must_use]
    pub fn key(&self) -> u64 {
        half(self.identity().as_bytes())
    }

    fn identity(&self) -> String {
        let package = &self.package;
        let parts = [&self.id, &package.name, &package.version, &package.architecture, &package.path];
        parts.map(String::as_str).join("\n")
    }
}

/// What the vendor does about a flaw that is present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FixState {
    /// A fixed version exists.
    Fixed,
    /// Affected, nothing decided yet.
    NoneYet,
    /// Will be fixed with a later update.
    Deferred,
    /// Will not be fixed.
    WontFix,
    /// The release is no longer looked after.
    EndOfLife,
}
