//! `lazaret cluster`: which images Kubernetes clusters may run, and which they do run.

use auth::random_secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use cluster_api::{ClusterPolicy, token_hash};
use metastore::{Cluster, ImageRow, Metastore, RunningImage};
use serde_json::{Value, json};

use crate::cli::{DataArgs, Format};
use crate::data::DataFolder;
use crate::output::say;
use crate::policy_args::{Choice, ImagePolicyArgs, threshold_word, word};
use crate::subscription_command::named;
use crate::table::{table, time};
use crate::{Failure, now_ms, tls};

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Add a cluster, and print the webhook configuration for `kubectl apply -f -`, with its token in it.
    Create {
        /// Its name here: up to 63 lower-case letters, digits and dashes.
        name: String,
        /// How the cluster reaches this server: `https://registry.example:5443`.
        #[arg(long, value_name = "URL")]
        url: String,
        /// The subscription (id or name) that it belongs to, if there are several.
        #[arg(long, value_name = "SUBSCRIPTION")]
        subscription: Option<String>,
        #[command(flatten)]
        policy: PolicyArgs,
        #[command(flatten)]
        data: DataArgs,
    },
    /// List the clusters with their policies, and when each last said what it runs.
    List {
        #[command(flatten)]
        data: DataArgs,
        /// How the answer is printed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Give a cluster another policy: what is not said is the default again, the hosts apart.
    Set {
        /// The cluster's name.
        name: String,
        #[command(flatten)]
        policy: PolicyArgs,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Give a cluster another token, and print its webhook configuration again.
    Rotate {
        /// The cluster's name.
        name: String,
        /// How the cluster reaches this server.
        #[arg(long, value_name = "URL")]
        url: String,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Remove a cluster with what it said.
    Delete {
        /// The cluster's name.
        name: String,
        #[command(flatten)]
        data: DataArgs,
    },
}

/// What a cluster admits.
#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    #[command(flatten)]
    image: ImagePolicyArgs,
    /// What becomes of images of other registries.
    #[arg(long, value_enum, default_value_t = Choice::Allow)]
    others: Choice,
    /// A namespace in which everything is admitted; may be repeated.
    #[arg(long, value_name = "NAMESPACE", default_value = "kube-system")]
    exempt: Vec<String>,
    /// A host by which pods name images of ours, those beneath it included; may be repeated [default: that of
    /// the URL, with its port and without].
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// Admit images that cannot be looked up, because this server cannot be reached or its store fails.
    #[arg(long)]
    fail_open: bool,
}

pub(crate) async fn run(command: ClusterCommand) -> Result<(), Failure> {
    match command {
        ClusterCommand::Create { name, url, subscription, policy, data } => {
            let data = DataFolder::existing(&data.path)?;
            let metastore = data.metastore()?;
            check(&name)?;
            let policy = policy.settle(hosts_of(&url)?);
            let subscription = named(&metastore, subscription.as_deref()).await?.id;
            let token = random_secret();
            let cluster = Cluster {
                name: name.clone(),
                subscription,
                token_hash: token_hash(&token),
                policy: serde_json::to_string(&policy)?,
                reported_ms: None,
                running: 0,
            };
            if !metastore.create_cluster(cluster, now_ms()).await? {
                return Err(
                    format!("there is a cluster {name} already: `lazaret cluster list` shows it").into()
                );
            }
            configuration(&data, &name, &url, &token, &policy)
        }
        ClusterCommand::List { data, format } => {
            list(&DataFolder::existing(&data.path)?.metastore()?, format).await
        }
        ClusterCommand::Set { name, policy, data } => {
            let metastore = DataFolder::existing(&data.path)?.metastore()?;
            let policy = policy.settle(policy_of(&find(&metastore, &name).await?)?.hosts);
            metastore.change_cluster(&name, Some(serde_json::to_string(&policy)?), None).await?;
            say!("the policy of {name} holds from now on");
            Ok(())
        }
        ClusterCommand::Rotate { name, url, data } => {
            let data = DataFolder::existing(&data.path)?;
            let metastore = data.metastore()?;
            let cluster = find(&metastore, &name).await?;
            hosts_of(&url)?;
            let token = random_secret();
            metastore.change_cluster(&name, None, Some(token_hash(&token))).await?;
            configuration(&data, &cluster.name, &url, &token, &policy_of(&cluster)?)
        }
        ClusterCommand::Delete { name, data } => {
            let metastore = DataFolder::existing(&data.path)?.metastore()?;
            if !metastore.delete_cluster(&name).await? {
                return Err(unknown(&name));
            }
            say!("{name} is gone; remove its webhook configuration from it as well");
            Ok(())
        }
    }
}

impl PolicyArgs {
    fn settle(self, hosts: Vec<String>) -> ClusterPolicy {
        ClusterPolicy {
            image: self.image.settle(),
            others: self.others.into(),
            exempt: self.exempt,
            hosts: if self.host.is_empty() { hosts } else { self.host },
            fail_open: self.fail_open,
        }
    }
}

async fn list(metastore: &Metastore, format: Format) -> Result<(), Failure> {
    let mut rows =
        table(&["CLUSTER", "REFUSES", "UNVERIFIED", "OTHERS", "EXEMPT", "FAILS", "REPORTED", "IMAGES"]);
    let mut documents = Vec::new();
    for cluster in metastore.clusters().await? {
        let policy = policy_of(&cluster)?;
        let reported = cluster.reported_ms.map(time);
        rows.add_row([
            cluster.name.clone(),
            threshold_word(&policy.image),
            word(policy.image.unverified).to_owned(),
            word(policy.others).to_owned(),
            policy.exempt.join(","),
            if policy.fail_open { "open" } else { "closed" }.to_owned(),
            reported.clone().unwrap_or_else(|| "-".to_owned()),
            cluster.running.to_string(),
        ]);
        documents.push(json!({
            "cluster": cluster.name, "subscription": cluster.subscription, "policy": policy,
            "reported": reported, "running": cluster.running,
        }));
    }
    match format {
        Format::Json => say!("{}", serde_json::to_string_pretty(&documents)?),
        Format::Table => say!("{rows}"),
    }
    Ok(())
}

/// JSON is YAML to kubectl.
fn configuration(
    data: &DataFolder,
    name: &str,
    url: &str,
    token: &str,
    policy: &ClusterPolicy,
) -> Result<(), Failure> {
    let authority = std::fs::read(data.path(tls::CA_CERTIFICATE))?;
    let rule = |group: &str, resources: &[&str]| json!({ "apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": resources });
    let mut webhook = json!({
        "name": "images.lazaret.internal",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "timeoutSeconds": 10,
        "matchPolicy": "Equivalent",
        "failurePolicy": if policy.fail_open { "Ignore" } else { "Fail" },
        "clientConfig": {
            "url": format!("{}/admission/v1/{name}/{token}", url.trim_end_matches('/')),
            "caBundle": STANDARD.encode(authority),
        },
        "rules": [
            rule("", &["pods", "pods/ephemeralcontainers", "podtemplates", "replicationcontrollers"]),
            rule("apps", &["deployments", "replicasets", "statefulsets", "daemonsets"]),
            rule("batch", &["jobs", "cronjobs"]),
        ],
    });
    if !policy.exempt.is_empty() {
        // Not even asked: a server that is down must not stop the cluster's own pods.
        webhook["namespaceSelector"] = json!({ "matchExpressions": [
            { "key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": policy.exempt },
        ] });
    }
    let document = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": "lazaret" },
        "webhooks": [webhook],
    });
    say!("{}", serde_json::to_string_pretty(&document)?);
    Ok(())
}

/// Where an image runs, by the clusters' last reports.
pub(crate) async fn running(metastore: &Metastore, image: &ImageRow) -> Result<Vec<RunningImage>, Failure> {
    Ok(metastore.running(image.registry, &image.repository, &image.digest, PLACES_MAX).await?)
}

pub(crate) fn running_documents(running: &[RunningImage]) -> Value {
    let document = |place: &RunningImage| {
        json!({
            "cluster": place.cluster, "namespace": place.namespace, "workload": place.workload,
            "containers": place.containers, "reported": time(place.reported_ms),
        })
    };
    running.iter().map(document).collect()
}

async fn find(metastore: &Metastore, name: &str) -> Result<Cluster, Failure> {
    metastore.cluster(name).await?.ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> Failure {
    format!("there is no cluster {name}: `lazaret cluster list` shows those there are").into()
}

fn policy_of(cluster: &Cluster) -> Result<ClusterPolicy, Failure> {
    Ok(serde_json::from_str(&cluster.policy)?)
}

/// It stands in a path.
fn check(name: &str) -> Result<(), Failure> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=63).contains(&name.len()) && name.bytes().all(is_plain) {
        return Ok(());
    }
    Err(format!(
        "{name:?} is not a valid name of a cluster: write up to 63 lower-case letters, digits and dashes"
    )
    .into())
}

/// The host of the URL, with its port and without. Kubernetes wants HTTPS, and neither credentials nor a query.
fn hosts_of(url: &str) -> Result<Vec<String>, Failure> {
    let wrong = || format!("{url:?} is not a URL of this server: write https://HOST or https://HOST:PORT");
    let host = url.strip_prefix("https://").ok_or_else(wrong)?.trim_end_matches('/');
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:-[]".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_plain) {
        return Err(wrong().into());
    }
    let mut hosts = vec![host.to_owned()];
    if let Some((name, port)) = host.rsplit_once(':')
        && port.parse::<u16>().is_ok()
    {
        hosts.push(name.to_owned());
    }
    Ok(hosts)
}

/// As many as anybody reads.
const PLACES_MAX: usize = 1000;
