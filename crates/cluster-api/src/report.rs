//! What a cluster runs: a pod list as Kubernetes itself writes it.

use std::collections::BTreeMap;

use metastore::ReportedImage;
use oci::Digest;
use serde::Deserialize;

use crate::error::ClusterError;

/// A report, read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Each image with where it runs.
    pub(crate) images: Vec<ReportedImage>,
    /// Running containers whose image has no digest in its name.
    pub(crate) unresolved: u32,
}

#[derive(Deserialize)]
struct PodList {
    kind: String,
    items: Option<Vec<Pod>>,
}

#[derive(Deserialize)]
struct Pod {
    metadata: Metadata,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
    labels: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<Owner>>,
}

#[derive(Deserialize)]
struct Owner {
    kind: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    container_statuses: Option<Vec<Container>>,
    init_container_statuses: Option<Vec<Container>>,
    ephemeral_container_statuses: Option<Vec<Container>>,
}

#[derive(Deserialize)]
struct Container {
    #[serde(rename = "imageID", default)]
    image_id: String,
    #[serde(default)]
    state: State,
}

#[derive(Default, Deserialize)]
struct State {
    running: Option<serde::de::IgnoredAny>,
}

/// Reads a list of pods (`kubectl get pods -A -o json`, or the API's own answer); only what runs counts.
pub(crate) fn parse(bytes: &[u8]) -> Result<Report, ClusterError> {
    let list: PodList = serde_json::from_slice(bytes).map_err(|error| {
        ClusterError::Content(format!("The request body is not a list of pods: {error}."))
    })?;
    if list.kind != "PodList" && list.kind != "List" {
        return Err(ClusterError::Content(
            "The request body is not a list of pods: it has another kind.".to_owned(),
        ));
    }
    let mut running = BTreeMap::new();
    let mut unresolved = 0;
    for pod in list.items.into_iter().flatten() {
        let (namespace, workload) = (pod.metadata.namespace.clone(), pod.metadata.workload());
        pod.metadata.check()?;
        let Status { container_statuses, init_container_statuses, ephemeral_container_statuses } = pod.status;
        let containers = [container_statuses, init_container_statuses, ephemeral_container_statuses];
        for container in containers.into_iter().flatten().flatten() {
            if container.state.running.is_none() {
                continue;
            }
            match digest(&container.image_id) {
                Some(digest) => {
                    *running.entry((digest, namespace.clone(), workload.clone())).or_insert(0_u32) += 1;
                }
                None => unresolved += 1,
            }
        }
        if running.len() > PLACES_MAX {
            return Err(ClusterError::Content(format!(
                "The cluster runs images at more than {PLACES_MAX} places."
            )));
        }
    }
    let images = running
        .into_iter()
        .map(|((digest, namespace, workload), containers)| ReportedImage {
            digest,
            namespace,
            workload,
            containers,
        })
        .collect();
    Ok(Report { images, unresolved })
}

/// `[docker-pullable://]NAME@DIGEST`. A bare digest is that of a configuration in docker's own store.
fn digest(image_id: &str) -> Option<Digest> {
    image_id.rsplit_once('@')?.1.parse().ok()
}

impl Metadata {
    /// The names are shown to people: they must be names by the grammar that Kubernetes itself holds them to.
    fn check(&self) -> Result<(), ClusterError> {
        let refuse = |what: &str| {
            Err(ClusterError::Content(format!("A pod's {what}, which Kubernetes does not allow.")))
        };
        if !is_label(&self.namespace) {
            return refuse("namespace is not a lower-case DNS label");
        }
        if !is_subdomain(&self.name) {
            return refuse("name is not a lower-case DNS name");
        }
        if let Some(owner) = self.owner_references.as_ref().and_then(|owners| owners.first()) {
            if !is_kind(&owner.kind) {
                return refuse("owner has a kind that is not valid");
            }
            if !is_subdomain(&owner.name) {
                return refuse("owner has a name that is not a lower-case DNS name");
            }
        }
        Ok(())
    }

    /// What people call it: a deployment's pods belong to one of its replica sets, which is named by it.
    fn workload(&self) -> String {
        let owner = self.owner_references.as_ref().and_then(|owners| owners.first());
        let Some(Owner { kind, name }) = owner else { return format!("Pod/{}", self.name) };
        let hash = self.labels.as_ref().and_then(|labels| labels.get("pod-template-hash"));
        let deployment = hash.and_then(|hash| name.strip_suffix(hash.as_str())?.strip_suffix('-'));
        match deployment.filter(|_| kind == "ReplicaSet") {
            Some(name) => format!("Deployment/{name}"),
            None => format!("{kind}/{name}"),
        }
    }
}

/// A list of some thousand whole pods; of ten times as many without what is not read here.
pub(crate) const BYTES_MAX: usize = 32 << 20;

/// What a report may write in one transaction.
const PLACES_MAX: usize = 20_000;

/// RFC 1123, as Kubernetes checks namespaces.
fn is_label(text: &str) -> bool {
    let is_end = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    (1..=LABEL_BYTES_MAX).contains(&bytes.len())
        && bytes.iter().all(|byte| is_end(*byte) || *byte == b'-')
        && bytes.first().is_some_and(|byte| is_end(*byte))
        && bytes.last().is_some_and(|byte| is_end(*byte))
}

/// RFC 1123, as Kubernetes checks the names of most objects: there, a label is as long as the whole may be.
fn is_subdomain(text: &str) -> bool {
    let is_end = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_part = |part: &str| {
        let bytes = part.as_bytes();
        bytes.iter().all(|byte| is_end(byte) || *byte == b'-')
            && bytes.first().is_some_and(is_end)
            && bytes.last().is_some_and(is_end)
    };
    text.len() <= SUBDOMAIN_BYTES_MAX && text.split('.').all(is_part)
}

/// RFC 1035 in whatever case, as Kubernetes checks the kinds of custom resources.
fn is_kind(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && is_label(&text.to_ascii_lowercase())
}

const LABEL_BYTES_MAX: usize = 63;
const SUBDOMAIN_BYTES_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    fn report(namespace: &str, name: &str, kind: &str, owner: &str) -> Result<Report, ClusterError> {
        let list = serde_json::json!({ "kind": "PodList", "items": [{
            "metadata": { "namespace": namespace, "name": name, "ownerReferences": [{ "kind": kind, "name": owner }] },
            "status": {},
        }] });
        parse(list.to_string().as_bytes())
    }

    #[test]
    fn names_are_kubernetes_own_or_the_report_is_refused() {
        let (label, name) = ("a".repeat(63), "a".repeat(253));
        for (namespace, pod, kind, owner) in
            [("team-1", "web-7c5b.x-1", "ReplicaSet", "web.example"), (&label, &name, "Rollout2", &name)]
        {
            assert!(report(namespace, pod, kind, owner).is_ok(), "{namespace} {pod} {kind} {owner}");
        }
        let long = ["a".repeat(64), "a".repeat(254)];
        for bad in
            ["", "-a", "a-", "A", "a_b", "a/b", "<script>", "a b", "a\u{202e}b", "é", "a..b", ".", &long[1]]
        {
            assert!(report(bad, "pod", "Job", "job").is_err(), "namespace {bad}");
            assert!(report("team", bad, "Job", "job").is_err(), "pod {bad}");
            assert!(report("team", "pod", "Job", bad).is_err(), "owner {bad}");
        }
        for bad in ["", "1Job", "-Job", "Job/x", "<script>", "Job.x", "a b", &long[0]] {
            assert!(report("team", "pod", bad, "job").is_err(), "kind {bad}");
        }
        assert!(report("a.b", "pod", "Job", "job").is_err(), "a namespace has no dots");
        assert!(report(&long[0], "pod", "Job", "job").is_err(), "63 bytes at most");
    }
}
