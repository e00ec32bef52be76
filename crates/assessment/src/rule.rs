//! Rules that disable findings: what a rule is for, and what becomes of what it hides.
//!
//! Whether a rule covers a finding is decided here alone. The store keeps what was decided; every reader,
//! gate and table takes it from there.

use std::collections::BTreeSet;

use advisory::Severity;
use inventory::Distro;
use oci::{Digest, Repository, Tag, matches};
use serde::{Deserialize, Serialize};

use crate::Finding;

/// What a rule disables. Every criterion that is set must hold, and at least one is set; of a list one entry
/// is enough. Its JSON is stored, and is what people write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Criteria {
    /// Ids or aliases of advisories, whatever their case: `CVE-2024-5535`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub advisories: BTreeSet<String>,
    /// Whose advisories: `debian`, `alpine`; or `OS`: every operating system's.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub categories: BTreeSet<String>,
    /// Patterns of packages' names, or of the sources they were built from; `*` stands for any characters. `name@version`
    /// means that version alone.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub packages: BTreeSet<String>,
    /// What the id, the title or the description contains, whatever the case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Only findings less severe than this. One whose severity nobody knows is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity_below: Option<Severity>,
    /// Only findings without a fixed version.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub not_patchable: bool,
    /// Patterns of repositories' names.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub repositories: BTreeSet<String>,
    /// Patterns of tags. An image is meant if it has tags and each of them is: one that is also tagged
    /// otherwise is not, so that nobody hides an image's findings by giving it one more tag.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// Digests of images.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub images: BTreeSet<Digest>,
    /// Patterns of distributions with their versions, as [`Distro::label`] writes them.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub distributions: BTreeSet<String>,
}

/// What a rule looks at of an image.
#[derive(Clone, Copy, Debug)]
pub struct RuledImage<'a> {
    /// Where it is.
    pub repository: &'a Repository,
    /// Which it is.
    pub digest: &'a Digest,
    /// Its tags there.
    pub tags: &'a [Tag],
    /// Its operating system, if it says which.
    pub distro: Option<&'a Distro>,
}

/// What disables a finding.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Exemption {
    /// The rule's resource id.
    pub rule: String,
    /// The rule's name.
    pub name: String,
    /// Why, in the words of who made the rule.
    pub reason: String,
    /// Until when, in milliseconds since 1970 (UTC).
    pub expires_ms: Option<i64>,
}

/// A finding of an image in its repository, and the rule that disables it there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuledFinding {
    /// The finding.
    #[serde(flatten)]
    pub finding: Finding,
    /// `None`: it counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exemption: Option<Exemption>,
}

impl RuledFinding {
    /// The findings that no rule disables, in their order.
    #[must_use]
    pub fn open(findings: &[Self]) -> Vec<&Finding> {
        findings.iter().filter(|ruled| ruled.exemption.is_none()).map(|ruled| &ruled.finding).collect()
    }
}

/// A finding that nothing disables.
impl From<Finding> for RuledFinding {
    fn from(finding: Finding) -> Self {
        Self { finding, exemption: None }
    }
}

impl Criteria {
    /// Brings what is compared whatever its case into one, and checks that a rule may be made of it.
    ///
    /// # Errors
    /// [`InvalidCriteria`].
    pub fn checked(mut self) -> Result<Self, InvalidCriteria> {
        self.advisories = self.advisories.iter().map(|id| id.trim().to_ascii_uppercase()).collect();
        for list in [&mut self.categories, &mut self.distributions] {
            *list = list.iter().map(|entry| entry.trim().to_ascii_lowercase()).collect();
        }
        self.text = self.text.map(|text| text.to_lowercase());
        if self == Self::default() {
            return Err(InvalidCriteria::Nothing);
        }
        let lists = [
            ("advisories", &self.advisories),
            ("categories", &self.categories),
            ("packages", &self.packages),
            ("repositories", &self.repositories),
            ("tags", &self.tags),
            ("distributions", &self.distributions),
        ];
        let is_bad = |entry: &str| entry.is_empty() || entry.len() > ENTRY_BYTES_MAX;
        for (name, list) in lists {
            if list.len() > ENTRIES_MAX {
                return Err(InvalidCriteria::TooMany { name });
            }
            if list.iter().any(|entry| is_bad(entry)) {
                return Err(InvalidCriteria::Entry { name });
            }
        }
        if self.images.len() > ENTRIES_MAX {
            return Err(InvalidCriteria::TooMany { name: "images" });
        }
        if self.text.as_deref().is_some_and(is_bad) {
            return Err(InvalidCriteria::Entry { name: "text" });
        }
        Ok(self)
    }

    /// True if an image is one of those that are meant.
    #[must_use]
    pub fn is_for(&self, image: &RuledImage<'_>) -> bool {
        let any = |patterns: &BTreeSet<String>, text: &str| patterns.iter().any(|it| matches(it, text));
        let is_tagged =
            || !image.tags.is_empty() && image.tags.iter().all(|tag| any(&self.tags, tag.as_str()));
        let is_of = |distro: &Distro| {
            let (label, short) = (distro.label(), format!("{}_{}", distro.id, distro.release()));
            any(&self.distributions, &label) || any(&self.distributions, &short)
        };
        (self.repositories.is_empty() || any(&self.repositories, image.repository.as_str()))
            && (self.images.is_empty() || self.images.contains(image.digest))
            && (self.tags.is_empty() || is_tagged())
            && (self.distributions.is_empty() || image.distro.is_some_and(is_of))
    }

    /// True if a finding, of an image that is meant, is one of those that are meant.
    #[must_use]
    pub fn covers(&self, finding: &Finding) -> bool {
        let package = &finding.package;
        let mut names = std::iter::once(&finding.id).chain(&finding.aliases);
        let is_in = |text: &str| self.text.as_ref().is_none_or(|part| text.to_lowercase().contains(part));
        let is_mild = |threshold| finding.severity != Severity::Unknown && finding.severity < threshold;
        let of_package = |pattern: &String| {
            let versions = [(&package.name, &package.version), (&finding.source, &finding.source_version)];
            versions.iter().any(|(name, version)| {
                matches(pattern, name)
                    || pattern.contains('@') && matches(pattern, &format!("{name}@{version}"))
            })
        };
        (!self.not_patchable || finding.fixed_version.is_none())
            && self.severity_below.is_none_or(is_mild)
            && (self.advisories.is_empty()
                || names.any(|name| self.advisories.contains(&name.to_ascii_uppercase())))
            && (self.categories.is_empty()
                || [finding.category(), "os"].iter().any(|category| self.categories.contains(*category)))
            && (self.packages.is_empty() || self.packages.iter().any(of_package))
            && [&finding.id, &finding.title, &finding.description].iter().any(|text| is_in(text))
    }
}

/// Why no rule can be made of criteria.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCriteria {
    /// It would disable everything.
    #[error("a rule without a criterion would disable every finding: set one at least")]
    Nothing,
    /// A list is too long.
    #[error("the criterion {name} has more than {ENTRIES_MAX} entries")]
    TooMany {
        /// Which.
        name: &'static str,
    },
    /// An entry is none.
    #[error("the criterion {name} has an entry that is empty or longer than {ENTRY_BYTES_MAX} bytes")]
    Entry {
        /// Which.
        name: &'static str,
    },
}

/// What a list of a criterion may hold.
pub(crate) const ENTRIES_MAX: usize = 1000;
pub(crate) const ENTRY_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FindingPackage, FixState};

    fn finding() -> Finding {
        Finding {
            id: "TEMP-1".to_owned(),
            aliases: vec!["CVE-2024-1".to_owned()],
            title: "TEMP-1 in openssl".to_owned(),
            description: "An Overflow in the parser".to_owned(),
            severity: Severity::Medium,
            severity_source: String::new(),
            package: FindingPackage {
                name: "libssl3".to_owned(),
                version: "1".to_owned(),
                ecosystem: "apk".to_owned(),
                architecture: String::new(),
                path: String::new(),
                layer: Digest::sha256(b""),
                layer_command: None,
            },
            source: "openssl".to_owned(),
            source_version: "1".to_owned(),
            fixed_version: None,
            fix_state: FixState::NoneYet,
            remediation: String::new(),
            reason: String::new(),
            feed: "alpine/v3.22/main".to_owned(),
            references: Vec::new(),
        }
    }

    fn criteria(json: &str) -> Criteria {
        let criteria: Criteria = serde_json::from_str(json).expect("parses");
        criteria.checked().expect("is a rule")
    }

    #[test]
    fn each_criterion_covers_what_it_says() {
        for (json, wanted) in [
            (r#"{"advisories":["cve-2024-1"]}"#, true),
            (r#"{"advisories":["CVE-2024-2","temp-1"]}"#, true),
            (r#"{"advisories":["CVE-2024-2"]}"#, false),
            (r#"{"categories":["Alpine"]}"#, true),
            (r#"{"categories":["debian","OS"]}"#, true),
            (r#"{"categories":["debian"]}"#, false),
            (r#"{"packages":["libssl*"]}"#, true),
            (r#"{"packages":["openssl"]}"#, true),
            (r#"{"packages":["ssl"]}"#, false),
            (r#"{"packages":["libssl3@1"]}"#, true),
            (r#"{"packages":["openssl@1"]}"#, true),
            (r#"{"packages":["libssl3@2"]}"#, false),
            (r#"{"text":"OVERFLOW"}"#, true),
            (r#"{"text":"underflow"}"#, false),
            (r#"{"severityBelow":"High"}"#, true),
            (r#"{"severityBelow":"Medium"}"#, false),
            (r#"{"notPatchable":true}"#, true),
            (r#"{"notPatchable":true,"severityBelow":"Low"}"#, false),
        ] {
            assert_eq!(criteria(json).covers(&finding()), wanted, "{json}");
        }
        let unknown = Finding { severity: Severity::Unknown, ..finding() };
        assert!(!criteria(r#"{"severityBelow":"Critical"}"#).covers(&unknown), "nobody said that it is mild");
        let fixed = Finding { fixed_version: Some("2".to_owned()), ..finding() };
        assert!(!criteria(r#"{"notPatchable":true}"#).covers(&fixed));
    }

    #[test]
    fn an_image_is_meant_by_name_digest_tags_and_distribution() {
        let repository: Repository = "team/app".parse().expect("a name");
        let digest = Digest::sha256(b"x");
        let tags: Vec<Tag> = ["dev-1", "dev-2"].iter().map(|tag| tag.parse().expect("a tag")).collect();
        let distro = Distro {
            id: "debian".to_owned(),
            version_id: Some("12".to_owned()),
            codename: Some("bookworm".to_owned()),
            pretty_name: None,
        };
        let image =
            RuledImage { repository: &repository, digest: &digest, tags: &tags, distro: Some(&distro) };
        for (json, wanted) in [
            (r#"{"repositories":["team/*"]}"#.to_owned(), true),
            (r#"{"repositories":["team"]}"#.to_owned(), false),
            (format!(r#"{{"images":["{digest}"]}}"#), true),
            (format!(r#"{{"images":["{}"]}}"#, Digest::sha256(b"y")), false),
            (r#"{"tags":["dev-*"]}"#.to_owned(), true),
            (r#"{"tags":["dev-1"]}"#.to_owned(), false),
            (r#"{"tags":["dev-1","dev-2"]}"#.to_owned(), true),
            (r#"{"distributions":["Debian_Linux_12"]}"#.to_owned(), true),
            (r#"{"distributions":["debian_*"]}"#.to_owned(), true),
            (r#"{"distributions":["alpine_3.22"]}"#.to_owned(), false),
            (r#"{"repositories":["team/*"],"tags":["prod"]}"#.to_owned(), false),
        ] {
            assert_eq!(criteria(&json).is_for(&image), wanted, "{json}");
        }
        let bare = RuledImage { tags: &[], distro: None, ..image };
        assert!(!criteria(r#"{"tags":["*"]}"#).is_for(&bare));
        assert!(!criteria(r#"{"distributions":["*"]}"#).is_for(&bare));
    }

    #[test]
    fn a_rule_for_everything_or_out_of_bounds_is_refused() {
        let check = |json: &str| serde_json::from_str::<Criteria>(json).expect("parses").checked();
        assert_eq!(check("{}"), Err(InvalidCriteria::Nothing));
        assert_eq!(check(r#"{"notPatchable":false,"tags":[]}"#), Err(InvalidCriteria::Nothing));
        assert_eq!(check(r#"{"tags":[""]}"#), Err(InvalidCriteria::Entry { name: "tags" }));
        let long = format!(r#"{{"text":"{}"}}"#, "a".repeat(ENTRY_BYTES_MAX + 1));
        assert_eq!(check(&long), Err(InvalidCriteria::Entry { name: "text" }));
        let many: Vec<String> = (0..=ENTRIES_MAX).map(|number| format!("CVE-{number}")).collect();
        let many = serde_json::json!({ "advisories": many }).to_string();
        assert_eq!(check(&many), Err(InvalidCriteria::TooMany { name: "advisories" }));
        assert!(
            serde_json::from_str::<Criteria>(r#"{"cvssBelow":7}"#).is_err(),
            "what is not known is refused"
        );
    }

    #[test]
    fn criteria_are_written_as_they_are_read() {
        let json =
            r#"{"advisories":["CVE-1"],"severityBelow":"Medium","notPatchable":true,"tags":["dev-*"]}"#;
        assert_eq!(serde_json::to_string(&criteria(json)).expect("writes"), json);
    }
}
