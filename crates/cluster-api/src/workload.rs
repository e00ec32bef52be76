//! Which images an object of Kubernetes runs.

use std::collections::BTreeSet;

use serde_json::Value;

/// The images that a workload names, in order; `None`: the object is no workload that is known here.
pub(crate) fn images(object: &Value) -> Option<BTreeSet<&str>> {
    let path = match object["kind"].as_str()? {
        "Pod" => "/spec",
        "PodTemplate" => "/template/spec",
        "ReplicationController" | "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job" => {
            "/spec/template/spec"
        }
        "CronJob" => "/spec/jobTemplate/spec/template/spec",
        _ => return None,
    };
    let Some(spec) = object.pointer(path) else { return Some(BTreeSet::new()) };
    let list = |name: &str| spec[name].as_array().into_iter().flatten();
    let containers = ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(list)
        .filter_map(|container| container["image"].as_str());
    // An image may be mounted, too.
    let mounted = list("volumes").filter_map(|volume| volume["image"]["reference"].as_str());
    Some(containers.chain(mounted).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_workload_and_container_is_looked_into() {
        let spec = json!({
            "initContainers": [{ "name": "i", "image": "init" }],
            "containers": [{ "name": "a", "image": "a" }, { "name": "b", "image": "b" }, { "name": "c", "image": "a" }],
            "ephemeralContainers": [{ "name": "e", "image": "debug" }],
            "volumes": [{ "name": "v", "image": { "reference": "data" } }, { "name": "w", "emptyDir": {} }],
        });
        let template = json!({ "spec": spec });
        for object in [
            json!({ "kind": "Pod", "spec": spec }),
            json!({ "kind": "PodTemplate", "template": template }),
            json!({ "kind": "ReplicationController", "spec": { "template": template } }),
            json!({ "kind": "Deployment", "spec": { "template": template } }),
            json!({ "kind": "ReplicaSet", "spec": { "template": template } }),
            json!({ "kind": "StatefulSet", "spec": { "template": template } }),
            json!({ "kind": "DaemonSet", "spec": { "template": template } }),
            json!({ "kind": "Job", "spec": { "template": template } }),
            json!({ "kind": "CronJob", "spec": { "jobTemplate": { "spec": { "template": template } } } }),
        ] {
            let found: Vec<_> = images(&object).expect("a workload").into_iter().collect();
            assert_eq!(found, ["a", "b", "data", "debug", "init"], "{object}");
        }
        assert_eq!(images(&json!({ "kind": "Service", "spec": spec })), None);
        assert_eq!(images(&json!([])), None);
        assert_eq!(
            images(&json!({ "kind": "Pod", "spec": { "containers": "x", "volumes": [1] } })),
            Some(BTreeSet::new())
        );
    }
}
