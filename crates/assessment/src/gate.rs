//! The gate: what images of a registry must be to be pulled, and what is let through all the same.

use oci::{Digest, matches};

use crate::Finding;
use crate::policy::{Judged, Policy, Ruling};

/// One gate of a registry. Where several guard a repository, an image must pass them all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Its name, unique in the registry.
    pub name: String,
    /// The repositories that it guards; `*` stands for any characters.
    pub repositories: String,
    /// What an image must be.
    pub policy: Policy,
}

/// What is let through although a gate would block it. Every condition that is given must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateExemption {
    /// Its name, unique in the registry.
    pub name: String,
    /// In these repositories; `*` stands for any characters.
    pub repositories: String,
    /// Images with a tag of this pattern.
    pub tags: Option<String>,
    /// The image, or all images of the index, of this digest.
    pub digest: Option<Digest>,
    /// This finding, by its advisory's id or an alias; `None`: whatever the image has.
    pub advisory: Option<String>,
    /// Why, for whoever asks later.
    pub reason: String,
    /// Until when.
    pub expires_ms: Option<i64>,
}

/// What is pulled.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// From where.
    pub repository: &'a str,
    /// What: an image, or an index.
    pub digest: &'a Digest,
    /// The tags that it has.
    pub tags: &'a [oci::Tag],
}

/// What a registry's gates say of images that are pulled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gates {
    /// The gates, by name.
    pub gates: Vec<Gate>,
    /// What is let through.
    pub exemptions: Vec<GateExemption>,
}

impl Gates {
    /// Rules on what is pulled, by the images that it stands for. Without a gate everything passes.
    #[must_use]
    pub fn rule(&self, asked: &Asked<'_>, images: &[Judged<'_>], now_ms: i64) -> Ruling {
        let exemptions: Vec<&GateExemption> =
            self.exemptions.iter().filter(|exemption| exemption.is_for(asked, now_ms)).collect();
        let is_exempt = |image: &Judged<'_>| exemptions.iter().any(|it| it.lets_pass(asked, image));
        let held: Vec<Judged<'_>> = images.iter().copied().filter(|image| !is_exempt(image)).collect();
        for gate in self.guarding(asked.repository) {
            let ruling = gate.policy.rule_but(held.iter().copied(), |image, finding| {
                exemptions.iter().any(|exemption| exemption.excuses(asked, image, finding))
            });
            if let Ruling::Block(sentence) = ruling {
                return Ruling::Block(format!("the gate {} blocks it: {sentence}", gate.name));
            }
        }
        let is_guarded = self.guard(asked.repository);
        // Whoever has switched the plan off and set no gate need not be told at every pull.
        Policy::OPEN.rule(images.iter().copied().filter(|image| is_guarded || !image.is_of_no_plan()))
    }

    /// True if one of the gates guards the repository.
    #[must_use]
    pub fn guard(&self, repository: &str) -> bool {
        self.guarding(repository).next().is_some()
    }

    fn guarding(&self, repository: &str) -> impl Iterator<Item = &Gate> {
        self.gates.iter().filter(move |gate| matches(&gate.repositories, repository))
    }

    /// When the next exemption ends: until then a ruling holds.
    #[must_use]
    pub fn next_end_ms(&self, now_ms: i64) -> Option<i64> {
        self.exemptions.iter().filter_map(|exemption| exemption.expires_ms).filter(|end| *end > now_ms).min()
    }
}

impl GateExemption {
    fn is_for(&self, asked: &Asked<'_>, now_ms: i64) -> bool {
        self.expires_ms.is_none_or(|end| end > now_ms)
            && matches(&self.repositories, asked.repository)
            && self.tags.as_ref().is_none_or(|tags| asked.tags.iter().any(|tag| matches(tags, tag.as_str())))
    }

    fn covers(&self, asked: &Asked<'_>, image: &Judged<'_>) -> bool {
        self.digest.as_ref().is_none_or(|digest| digest == image.digest || digest == asked.digest)
    }

    /// The image passes whatever it has.
    fn lets_pass(&self, asked: &Asked<'_>, image: &Judged<'_>) -> bool {
        self.advisory.is_none() && self.covers(asked, image)
    }

    fn excuses(&self, asked: &Asked<'_>, image: &Judged<'_>, finding: &Finding) -> bool {
        let is = |id: &str| self.advisory.as_deref().is_some_and(|it| it.eq_ignore_ascii_case(id));
        self.covers(asked, image) && (is(&finding.id) || finding.aliases.iter().any(|alias| is(alias)))
    }
}

#[cfg(test)]
mod tests {
    use advisory::Severity;

    use super::*;
    use crate::policy::tests::finding;
    use crate::{Cause, Handling, ImageState};

    fn gates() -> Gates {
        let gate = |name: &str, repositories: &str, policy| Gate {
            name: name.to_owned(),
            repositories: repositories.to_owned(),
            policy,
        };
        let high = Policy { severity: Some(Severity::High), ..Policy::OPEN };
        let judged = Policy { unverified: Handling::Deny, ..Policy::OPEN };
        Gates { gates: vec![gate("all", "*", high), gate("prod", "prod/*", judged)], exemptions: Vec::new() }
    }

    fn exemption() -> GateExemption {
        GateExemption {
            name: "e".to_owned(),
            repositories: "*".to_owned(),
            tags: None,
            digest: None,
            advisory: None,
            reason: "because".to_owned(),
            expires_ms: None,
        }
    }

    /// `app` or `prod/app`, with the tag 1 and one High finding, or not judged.
    fn ruled(gates: &Gates, repository: &str, is_judged: bool, now_ms: i64) -> &'static str {
        let (digest, tags) = (Digest::sha256(b"image"), ["1".parse().expect("a tag")]);
        let findings = [finding(Severity::High, None)];
        let causes = [Cause { code: "ScanPending".to_owned(), description: "wait".to_owned() }];
        let image = if is_judged {
            Judged { digest: &digest, state: ImageState::Unhealthy, causes: &[], findings: &findings }
        } else {
            Judged { digest: &digest, state: ImageState::Pending, causes: &causes, findings: &[] }
        };
        let index = Digest::sha256(b"index");
        let asked = Asked { repository, digest: &index, tags: &tags };
        match gates.rule(&asked, &[image], now_ms) {
            Ruling::Block(_) => "blocks",
            Ruling::Pass(Some(_)) => "warns",
            Ruling::Pass(None) => "passes",
        }
    }

    #[test]
    fn an_image_must_pass_every_gate_that_guards_its_repository() {
        let gates = gates();
        assert_eq!(ruled(&gates, "app", true, 0), "blocks");
        assert_eq!(ruled(&gates, "prod/app", true, 0), "blocks");
        assert_eq!(ruled(&gates, "app", false, 0), "warns");
        assert_eq!(ruled(&gates, "prod/app", false, 0), "blocks");
        assert_eq!(ruled(&Gates::default(), "app", true, 0), "warns");
    }

    #[test]
    fn an_exemption_lets_pass_what_all_its_conditions_name() {
        type Change = fn(&mut GateExemption);
        let cases: [(&str, Change, &str); 12] = [
            ("everything", |_| (), "warns"),
            ("this repository", |it| it.repositories = "prod/*".to_owned(), "warns"),
            ("another", |it| it.repositories = "test/*".to_owned(), "blocks"),
            ("this tag", |it| it.tags = Some("1*".to_owned()), "warns"),
            ("another tag", |it| it.tags = Some("2".to_owned()), "blocks"),
            ("the image", |it| it.digest = Some(Digest::sha256(b"image")), "warns"),
            ("its index", |it| it.digest = Some(Digest::sha256(b"index")), "warns"),
            ("another image", |it| it.digest = Some(Digest::sha256(b"other")), "blocks"),
            ("the finding", |it| it.advisory = Some("cve-1".to_owned()), "warns"),
            ("another finding", |it| it.advisory = Some("CVE-2".to_owned()), "blocks"),
            ("until later", |it| it.expires_ms = Some(11), "warns"),
            ("until now", |it| it.expires_ms = Some(10), "blocks"),
        ];
        for (name, change, wanted) in cases {
            let mut gates = gates();
            let mut exemption = exemption();
            change(&mut exemption);
            gates.exemptions.push(exemption);
            assert_eq!(ruled(&gates, "prod/app", true, 10), wanted, "{name}");
        }
        let mut gates = gates();
        gates.exemptions.push(GateExemption { expires_ms: Some(20), ..exemption() });
        assert_eq!(ruled(&gates, "prod/app", false, 10), "warns", "an unjudged image may be exempt, too");
        assert_eq!((gates.next_end_ms(10), gates.next_end_ms(20)), (Some(20), None));
    }
}
