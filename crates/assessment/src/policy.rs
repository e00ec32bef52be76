//! What an image must be to be let through: one rule for whoever guards a gate.

use advisory::Severity;
use oci::Digest;
use serde::{Deserialize, Serialize};

use crate::{Cause, Finding, ImageState};

/// What blocks an image. Its JSON is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// A finding of at least this severity blocks; `None`: none does.
    pub severity: Option<Severity>,
    /// Only findings with a fixed version block.
    pub fixable_only: bool,
    /// What becomes of an image that should be judged and is not.
    pub unverified: Handling,
    /// What becomes of an image whose scan is queued or running; `None`: as of an unverified one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Handling>,
}

/// One image as it was judged.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// Which.
    pub digest: &'a Digest,
    /// Its state.
    pub state: ImageState,
    /// Why it is in it.
    pub causes: &'a [Cause],
    /// The findings that no rule disables, worst first.
    pub findings: &'a [Finding],
}

impl Judged<'_> {
    /// Nobody looks at it, because its owner wants nobody to.
    pub(crate) fn is_of_no_plan(&self) -> bool {
        self.state == ImageState::NotApplicable && self.causes.iter().any(|cause| cause.code == "PlanOff")
    }
}

/// What becomes of what the rule cannot judge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Handling {
    /// It passes, with a warning.
    Allow,
    /// It is blocked.
    #[default]
    Deny,
}

/// What a policy says of one image, each in a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It passes; the sentence says what the image has all the same.
    Pass(Option<String>),
    /// It is blocked, and why.
    Block(String),
}

impl Policy {
    /// Blocks nothing.
    pub const OPEN: Self =
        Self { severity: None, fixable_only: false, unverified: Handling::Allow, pending: None };

    /// Rules on the images that a name stands for: an image, or those of an index. Which platform will
    /// run is not known, so that every one must pass; of what they have all the same, the worst is said.
    #[must_use]
    pub fn rule<'a>(&self, images: impl IntoIterator<Item = Judged<'a>>) -> Ruling {
        self.rule_but(images, |_, _| false)
    }

    /// As [`Policy::rule`], as if the findings that are exempt were not there.
    pub(crate) fn rule_but<'a>(
        &self,
        images: impl IntoIterator<Item = Judged<'a>>,
        is_exempt: impl Fn(&Judged<'a>, &Finding) -> bool,
    ) -> Ruling {
        let mut worst = (None, None);
        for image in images {
            match self.rule_one(&image, |finding| is_exempt(&image, finding)) {
                blocked @ Ruling::Block(_) => return blocked,
                Ruling::Pass(None) => {}
                Ruling::Pass(said) => {
                    let severity = image.findings.first().map(|finding| finding.severity);
                    if worst.1.is_none() || severity > worst.0 {
                        worst = (severity, said);
                    }
                }
            }
        }
        Ruling::Pass(worst.1)
    }

    fn rule_one(&self, image: &Judged<'_>, is_exempt: impl Fn(&Finding) -> bool) -> Ruling {
        let Judged { state, causes, findings, .. } = *image;
        let blocking: Vec<&Finding> =
            findings.iter().filter(|finding| self.blocks(finding) && !is_exempt(finding)).collect();
        if let (Some(worst), Some(severity)) = (blocking.first(), self.severity) {
            let fixable = if self.fixable_only { "fixable " } else { "" };
            return Ruling::Block(format!(
                "it has {} of severity {severity} or worse, first {} in {} {}: {}",
                counted(blocking.len(), &format!("{fixable}finding")),
                worst.id,
                worst.package.name,
                worst.package.version,
                worst.remediation
            ));
        }
        let is_unjudged = match state {
            ImageState::Pending | ImageState::Unverified => true,
            // Nobody looked at it: that is no clean bill.
            ImageState::NotApplicable => image.is_of_no_plan(),
            ImageState::Healthy | ImageState::Unhealthy => false,
        };
        if is_unjudged {
            let why = causes.first().map_or("no reason is known", |cause| cause.description.as_str());
            let sentence = format!("it is not judged ({state}): {why}");
            let handling = match (state, self.pending) {
                (ImageState::Pending, Some(pending)) => pending,
                _ => self.unverified,
            };
            return match handling {
                Handling::Allow => Ruling::Pass(Some(sentence)),
                Handling::Deny => Ruling::Block(sentence),
            };
        }
        Ruling::Pass(findings.first().map(|worst| {
            format!("it has {}, the worst {} ({})", by_severity(findings), worst.id, worst.severity)
        }))
    }

    fn blocks(&self, finding: &Finding) -> bool {
        self.severity.is_some_and(|severity| finding.severity >= severity)
            && (!self.fixable_only || finding.fixed_version.is_some())
    }
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// `3 findings: 1 Critical, 2 Low`; of one alone its severity is said elsewhere.
fn by_severity(findings: &[Finding]) -> String {
    let total = counted(findings.len(), "finding");
    let parts: Vec<String> = findings
        .chunk_by(|one, other| one.severity == other.severity)
        .map(|same| format!("{} {}", same.len(), same[0].severity))
        .collect();
    if findings.len() == 1 { total } else { format!("{total} ({})", parts.join(", ")) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{FindingPackage, FixState};

    pub(crate) fn finding(severity: Severity, fixed: Option<&str>) -> Finding {
        Finding {
            id: "CVE-1".to_owned(),
            aliases: Vec::new(),
            title: String::new(),
            description: String::new(),
            severity,
            severity_source: String::new(),
            package: FindingPackage {
                name: "zlib".to_owned(),
                version: "1".to_owned(),
                ecosystem: "deb".to_owned(),
                architecture: String::new(),
                path: String::new(),
                layer: Digest::sha256(b""),
                layer_command: None,
            },
            source: String::new(),
            source_version: String::new(),
            fixed_version: fixed.map(str::to_owned),
            fix_state: FixState::NoneYet,
            remediation: "upgrade".to_owned(),
            reason: String::new(),
            feed: String::new(),
            references: Vec::new(),
        }
    }

    fn ruled(policy: &Policy, state: ImageState, causes: &[Cause], findings: &[Finding]) -> String {
        let digest = Digest::sha256(b"");
        match policy.rule([Judged { digest: &digest, state, causes, findings }]) {
            Ruling::Pass(None) => "pass".to_owned(),
            Ruling::Pass(Some(sentence)) => format!("pass: {sentence}"),
            Ruling::Block(sentence) => format!("block: {sentence}"),
        }
    }

    #[test]
    fn a_finding_blocks_by_severity_and_fix() {
        let mut policy = Policy {
            severity: Some(Severity::High),
            fixable_only: true,
            unverified: Handling::Deny,
            pending: None,
        };
        let check =
            |policy: &Policy, findings: &[Finding]| ruled(policy, ImageState::Unhealthy, &[], findings);
        let (fixed, open) = (finding(Severity::Critical, Some("2")), finding(Severity::High, None));
        let wanted =
            "block: it has 1 fixable finding of severity High or worse, first CVE-1 in zlib 1: upgrade";
        assert_eq!(check(&policy, &[fixed.clone(), open.clone()]), wanted);
        assert_eq!(
            check(&policy, std::slice::from_ref(&open)),
            "pass: it has 1 finding, the worst CVE-1 (High)"
        );
        policy.fixable_only = false;
        assert!(check(&policy, &[fixed.clone(), open.clone()]).starts_with("block: it has 2 findings of"));
        assert!(check(&policy, &[finding(Severity::Unknown, None)]).starts_with("pass"));
        policy.severity = Some(Severity::Unknown);
        assert!(check(&policy, &[finding(Severity::Unknown, None)]).starts_with("block"));
        policy.severity = None;
        assert_eq!(
            check(&policy, &[fixed, open]),
            "pass: it has 2 findings (1 Critical, 1 High), the worst CVE-1 (Critical)"
        );
    }

    #[test]
    fn what_nobody_judged_is_no_clean_bill() {
        let mut policy =
            Policy { severity: None, fixable_only: false, unverified: Handling::Deny, pending: None };
        let cause = |code: &str| vec![Cause { code: code.to_owned(), description: "because".to_owned() }];
        use ImageState::{Healthy, NotApplicable, Pending, Unverified};
        for (state, code, wanted) in [
            (Healthy, "", "pass"),
            (NotApplicable, "NothingIdentifiable", "pass"),
            (NotApplicable, "PlanOff", "block: it is not judged (NotApplicable): because"),
            (Pending, "ScanPending", "block: it is not judged (Pending): because"),
            (Unverified, "NoAdvisoryData", "block: it is not judged (Unverified): because"),
        ] {
            assert_eq!(ruled(&policy, state, &cause(code), &[]), wanted);
        }
        policy.unverified = Handling::Allow;
        assert!(ruled(&policy, Pending, &cause("ScanPending"), &[]).starts_with("pass: it is not judged"));
        policy.pending = Some(Handling::Deny);
        assert!(ruled(&policy, Pending, &cause("ScanPending"), &[]).starts_with("block: it is not judged"));
        assert!(ruled(&policy, Unverified, &cause("NoAdvisoryData"), &[]).starts_with("pass: it is not"));
    }

    #[test]
    fn every_image_of_an_index_must_pass_and_the_worst_is_said() {
        let policy = Policy { severity: Some(Severity::Critical), ..Policy::OPEN };
        let digest = Digest::sha256(b"");
        let (low, high) = ([finding(Severity::Low, None)], [finding(Severity::High, None)]);
        let critical = [finding(Severity::Critical, None)];
        let image =
            |findings| Judged { digest: &digest, state: ImageState::Unhealthy, causes: &[], findings };
        let said = "it has 1 finding, the worst CVE-1 (High)".to_owned();
        assert_eq!(policy.rule([image(&low), image(&high), image(&low)]), Ruling::Pass(Some(said)));
        assert!(matches!(policy.rule([image(&low), image(&critical)]), Ruling::Block(_)));
        assert_eq!(policy.rule([]), Ruling::Pass(None));
    }
}
