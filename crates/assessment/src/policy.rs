//! What an image must be to be let through: one rule for whoever guards a gate.

use advisory::Severity;
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
    /// Rules on an image in its state, with the findings that no rule disables, worst first.
    #[must_use]
    pub fn rule(&self, state: ImageState, causes: &[Cause], findings: &[&Finding]) -> Ruling {
        let blocking: Vec<&&Finding> = findings.iter().filter(|finding| self.blocks(finding)).collect();
        if let (Some(worst), Some(severity)) = (blocking.first(), self.severity) {
            let (count, fixable) = (blocking.len(), if self.fixable_only { "fixable " } else { "" });
            let plural = if count == 1 { "" } else { "s" };
            return Ruling::Block(format!(
                "it has {count} {fixable}finding{plural} of severity {severity} or worse, first {} in {} {}: {}",
                worst.id, worst.package.name, worst.package.version, worst.remediation
            ));
        }
        let is_unjudged = match state {
            ImageState::Pending | ImageState::Unverified => true,
            // Nobody looked at it: that is no clean bill.
            ImageState::NotApplicable => causes.iter().any(|cause| cause.code == "PlanOff"),
            ImageState::Healthy | ImageState::Unhealthy => false,
        };
        if is_unjudged {
            let why = causes.first().map_or("no reason is known", |cause| cause.description.as_str());
            let sentence = format!("it is not judged ({state}): {why}");
            return match self.unverified {
                Handling::Allow => Ruling::Pass(Some(sentence)),
                Handling::Deny => Ruling::Block(sentence),
            };
        }
        Ruling::Pass(findings.first().map(|worst| {
            let plural = if findings.len() == 1 { "" } else { "s" };
            format!("it has {} finding{plural}, the worst {} ({})", findings.len(), worst.id, worst.severity)
        }))
    }

    fn blocks(&self, finding: &Finding) -> bool {
        self.severity.is_some_and(|severity| finding.severity >= severity)
            && (!self.fixable_only || finding.fixed_version.is_some())
    }
}

#[cfg(test)]
mod tests {
    use oci::Digest;

    use super::*;
    use crate::{FindingPackage, FixState};

    fn finding(severity: Severity, fixed: Option<&str>) -> Finding {
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
        match policy.rule(state, causes, &findings.iter().collect::<Vec<_>>()) {
            Ruling::Pass(None) => "pass".to_owned(),
            Ruling::Pass(Some(sentence)) => format!("pass: {sentence}"),
            Ruling::Block(sentence) => format!("block: {sentence}"),
        }
    }

    #[test]
    fn a_finding_blocks_by_severity_and_fix() {
        let mut policy =
            Policy { severity: Some(Severity::High), fixable_only: true, unverified: Handling::Deny };
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
        assert_eq!(check(&policy, &[fixed, open]), "pass: it has 2 findings, the worst CVE-1 (Critical)");
    }

    #[test]
    fn what_nobody_judged_is_no_clean_bill() {
        let mut policy = Policy { severity: None, fixable_only: false, unverified: Handling::Deny };
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
    }
}
