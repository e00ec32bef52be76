//! Admission reviews (`admission.k8s.io/v1`): which images may run.

use assessment::{Cause, Handling, ImageState, Judged, Ruling};
use metastore::{Cluster, JudgedImage};
use oci::Digest;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::ClusterError;
use crate::image_name::ImageName;
use crate::{Api, ClusterPolicy, workload};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    api_version: String,
    kind: String,
    request: Request,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    uid: String,
    operation: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    object: Value,
    #[serde(default)]
    old_object: Value,
}

/// What is answered.
#[derive(Default)]
struct Answer {
    refusals: Vec<String>,
    warnings: Vec<String>,
}

impl Api {
    /// Answers a review. An object's images are judged once: what it ran before stays, so that an object
    /// can still be scaled, labelled and deleted when an advisory appears.
    pub(crate) async fn validate(
        &self,
        cluster: &Cluster,
        body: impl AsRef<[u8]>,
    ) -> Result<Value, ClusterError> {
        let review: Review = serde_json::from_slice(body.as_ref()).map_err(|error| {
            ClusterError::Content(format!("The request body is not an AdmissionReview: {error}."))
        })?;
        if review.api_version != API_VERSION || review.kind != "AdmissionReview" {
            let message = format!("The request body is not an AdmissionReview of {API_VERSION}.");
            return Err(ClusterError::Content(message));
        }
        let policy: ClusterPolicy = serde_json::from_str(&cluster.policy)
            .map_err(|_| metastore::Error::Damaged { what: "admission policy" })?;
        let request = review.request;
        let answer = self.answer(cluster, &policy, &request).await;
        let mut response = json!({ "uid": request.uid, "allowed": answer.refusals.is_empty() });
        if !answer.refusals.is_empty() {
            let message = answer.refusals.join("; ");
            tracing::info!(cluster = cluster.name, namespace = request.namespace, message, "refused images");
            response["status"] = json!({ "code": 403, "reason": "Forbidden", "message": message });
        }
        if !answer.warnings.is_empty() {
            response["warnings"] = json!(answer.warnings);
        }
        Ok(json!({ "apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response }))
    }

    async fn answer(&self, cluster: &Cluster, policy: &ClusterPolicy, request: &Request) -> Answer {
        let mut answer = Answer::default();
        let is_change = matches!(request.operation.as_str(), "CREATE" | "UPDATE");
        if !is_change || policy.exempt.contains(&request.namespace) {
            return answer;
        }
        let Some(mut images) = workload::images(&request.object) else {
            answer.warn(format!(
                "Lazaret does not read the images of {}: they are judged when its pods are admitted",
                request.object["kind"]
            ));
            return answer;
        };
        for known in workload::images(&request.old_object).unwrap_or_default() {
            images.remove(known);
        }
        if images.len() > IMAGES_MAX {
            let count = images.len();
            answer
                .refusals
                .push(format!("Lazaret judges {IMAGES_MAX} images of one object at most, not {count}"));
            return answer;
        }
        for image in images {
            match self.rule(cluster, policy, image).await {
                Ok(Ruling::Pass(None)) => {}
                Ok(Ruling::Pass(Some(sentence))) => answer.warn(format!("{image}: {sentence}")),
                Ok(Ruling::Block(sentence)) => {
                    answer.refusals.push(format!("Lazaret refuses {}: {sentence}", short(image)));
                }
                Err(error) => {
                    tracing::error!(error = %error, cluster = cluster.name, "an image could not be looked up");
                    let sentence = "it could not be looked up: the registry fails";
                    if policy.fail_open {
                        answer.warn(format!("{image}: {sentence}"));
                    } else {
                        answer.refusals.push(format!("Lazaret refuses {}: {sentence}", short(image)));
                    }
                }
            }
        }
        answer
    }

    /// A cluster sees the registries of its own subscription: what others hold is not here for it.
    async fn rule(
        &self,
        cluster: &Cluster,
        policy: &ClusterPolicy,
        image: &str,
    ) -> Result<Ruling, metastore::Error> {
        let Some(name) = ImageName::parse(image) else {
            return Ok(Ruling::Block("it is not the name of an image".to_owned()));
        };
        let Some(host) = name.host.filter(|host| policy.is_ours(host)) else {
            return Ok(match policy.others {
                Handling::Allow => Ruling::Pass(None),
                Handling::Deny => Ruling::Block(format!(
                    "it is not of this registry, and the cluster's policy admits images of {} alone",
                    policy.hosts.join(", ")
                )),
            });
        };
        let registries = self.metastore.registries().await?;
        let label = host.split(['.', ':']).next().unwrap_or_default();
        // A host that names no registry is the default one's.
        let registry = registries.iter().find(|known| known.name.eq_ignore_ascii_case(label));
        let registry = registry.or(registries.first());
        let Some(registry) = registry.filter(|it| it.subscription == cluster.subscription) else {
            return Ok(unknown(policy));
        };
        let pulled = self.metastore.pulled(registry.id, &name.repository, &name.reference).await?;
        let Some(pulled) = pulled else { return Ok(unknown(policy)) };
        let Some(images) = pulled.images else {
            return Ok(Ruling::Block("its index names more images than there are platforms".to_owned()));
        };
        if images.is_empty() {
            return Ok(unknown(policy));
        }
        Ok(policy.image.rule(images.iter().map(JudgedImage::judged)))
    }
}

/// What is not here was not judged.
fn unknown(policy: &ClusterPolicy) -> Ruling {
    let description = "the registry has no such image".to_owned();
    let causes = [Cause { code: "NoSuchImage".to_owned(), description }];
    let nothing = Digest::sha256(b"");
    let judged = Judged { digest: &nothing, state: ImageState::Unverified, causes: &causes, findings: &[] };
    policy.image.rule([judged])
}

impl Answer {
    /// Kubernetes drops all warnings when they are too many or too long.
    fn warn(&mut self, mut text: String) {
        if self.warnings.len() < WARNINGS_MAX {
            let end = text.floor_char_boundary(WARNING_BYTES_MAX);
            text.truncate(end);
            self.warnings.push(text);
        }
    }
}

/// A name to be shown; nobody writes longer ones in earnest.
fn short(image: &str) -> &str {
    &image[..image.floor_char_boundary(WARNING_BYTES_MAX)]
}

const API_VERSION: &str = "admission.k8s.io/v1";

/// More than any object has in earnest.
const IMAGES_MAX: usize = 100;

/// Kubernetes cuts a warning at 256 bytes, and drops all of them beyond 4096 in sum.
const WARNING_BYTES_MAX: usize = 250;
const WARNINGS_MAX: usize = 16;
