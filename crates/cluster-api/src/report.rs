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
    let list: PodList = serde_json::from_slice(bytes)
        .map_err(|error| ClusterError::Content(format!("The body is no pod list: {error}.")))?;
    if list.kind != "PodList" && list.kind != "List" {
        return Err(ClusterError::Content("The body is no pod list: its kind is another.".to_owned()));
    }
    let mut running = BTreeMap::new();
    let mut unresolved = 0;
    for pod in list.items.into_iter().flatten() {
        let (namespace, workload) = (pod.metadata.namespace.clone(), pod.metadata.workload());
        if namespace.len() > NAME_BYTES_MAX || workload.len() > NAME_BYTES_MAX {
            return Err(ClusterError::Content(format!("A name has more than {NAME_BYTES_MAX} bytes.")));
        }
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

/// Kubernetes' names have 253 at most.
const NAME_BYTES_MAX: usize = 320;
