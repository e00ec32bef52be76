//! What a cluster admits.

use assessment::{Handling, Policy};
use serde::{Deserialize, Serialize};

/// A cluster's admission policy. Its JSON is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterPolicy {
    /// What an image of ours must be.
    pub image: Policy,
    /// What becomes of images of other registries.
    pub others: Handling,
    /// Namespaces in which everything is admitted.
    pub exempt: Vec<String>,
    /// The hosts by which images of ours are named; hosts beneath one count, too.
    pub hosts: Vec<String>,
    /// Whether an image passes that cannot be looked up because the store fails.
    pub fail_open: bool,
}

impl ClusterPolicy {
    /// True if images of that host are ours. Case does not matter.
    pub(crate) fn is_ours(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        self.hosts.iter().any(|ours| {
            let ours = ours.to_ascii_lowercase();
            host == ours || host.strip_suffix(&ours).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_beneath_ours_are_ours() {
        let policy = ClusterPolicy {
            image: Policy { unverified: Handling::Deny, ..Policy::OPEN },
            others: Handling::Allow,
            exempt: Vec::new(),
            hosts: vec!["Acr.example:5443".to_owned()],
            fail_open: false,
        };
        for (host, wanted) in [
            ("acr.example:5443", true),
            ("TEAM.acr.example:5443", true),
            ("acr.example", false),
            ("evilacr.example:5443", false),
            (".acr.example:5443", false),
            ("acr.example:5443.evil.example", false),
        ] {
            assert_eq!(policy.is_ours(host), wanted, "{host}");
        }
        let stored = serde_json::to_string(&policy).expect("text");
        assert_eq!(serde_json::from_str::<ClusterPolicy>(&stored).expect("parses"), policy);
        assert_eq!(
            stored,
            r#"{"image":{"severity":null,"fixableOnly":false,"unverified":"deny"},"others":"allow","exempt":[],"hosts":["Acr.example:5443"],"failOpen":false}"#,
            "stored by released servers: a change needs a default"
        );
    }
}
