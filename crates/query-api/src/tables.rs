//! The tables that queries ask, with the rows that whoever asks may see.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

use auth::{Action, ResultAccess};
use azure_documents::{Form, Names, Place as At, graph};
use metastore::{Error, Metastore, Registry, RegistryId, Tier};
use parking_lot::RwLock;
use serde_json::Value as Json;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::store::{NewRow, Of, Place, Row, Version};
use crate::view::{House, View, Viewer};

/// The rows of all tables, kept up from the database by what changes there.
#[derive(Clone)]
pub struct Tables {
    inner: Arc<Inner>,
}

struct Inner {
    metastore: Metastore,
    tenant: Uuid,
    hosts: Hosts,
    names: Names,
    version: RwLock<Arc<Version>>,
    /// One keeps the rows up at a time; who comes meanwhile finds it done.
    refreshing: Mutex<()>,
    keys: [RandomState; 2],
}

/// Where others find the registries.
#[derive(Clone, Debug)]
pub struct Hosts {
    /// The host and port of the first registry: it answers to whatever host names no other.
    pub login_server: String,
    /// The operator says so: it holds for clients that reach the server by another host, too.
    pub is_told: bool,
    /// The others are at `NAME.` before this, at the same port.
    pub domain: String,
}

impl Hosts {
    pub(crate) fn of(&self, registry: &Registry, default: Option<RegistryId>) -> String {
        let is_default = Some(registry.id) == default;
        azure_documents::login_server(registry, is_default, &self.login_server, &self.domain)
    }
}

impl Tables {
    /// Tables over the database; nothing is read yet.
    #[must_use]
    pub fn new(metastore: Metastore, tenant: Uuid, hosts: Hosts, names: Names) -> Self {
        let (version, refreshing, keys) = (RwLock::default(), Mutex::default(), Default::default());
        Self { inner: Arc::new(Inner { metastore, tenant, hosts, names, version, refreshing, keys }) }
    }

    /// The tenant whose tables they are.
    #[must_use]
    pub fn tenant(&self) -> Uuid {
        self.inner.tenant
    }

    /// The rows as they are now: what changed since the last time is read, and nothing else.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn refresh(&self) -> Result<Arc<Version>, Error> {
        let inner = &self.inner;
        let newest = inner.metastore.newest_change().await?;
        let known = Arc::clone(&inner.version.read());
        if known.upto >= newest {
            return Ok(known);
        }
        let _alone = inner.refreshing.lock().await;
        let known = Arc::clone(&inner.version.read());
        if known.upto >= newest {
            return Ok(known);
        }
        let registries = inner.metastore.registries().await?;
        let mut version = (*known).clone();
        drop(known);
        if version.upto == 0 {
            // What is pushed while all is read is read again after it.
            version.upto = newest;
            for registry in &registries {
                version = self.load(version, &registries, registry.id).await?;
            }
        }
        loop {
            let changes = inner.metastore.changes(version.upto, PAGE).await?;
            let images = inner.metastore.images_now(changes.images.clone()).await?;
            version = self.put(version, &registries, changes.images, images).await?;
            version.upto = changes.upto;
            if !changes.is_partial {
                break;
            }
        }
        version.put_others(self.others(&registries).await?);
        version.settle();
        let version = Arc::new(version);
        *inner.version.write() = Arc::clone(&version);
        Ok(version)
    }

    async fn load(
        &self,
        mut version: Version,
        registries: &[Registry],
        of: RegistryId,
    ) -> Result<Version, Error> {
        let mut after = None;
        loop {
            let keys = self.inner.metastore.image_keys(of, None, after.take(), PAGE).await?;
            let Some(last) = keys.last() else { return Ok(version) };
            after = Some(last.clone());
            let images = self.inner.metastore.images_now(keys.clone()).await?;
            version = self.put(version, registries, keys, images).await?;
        }
    }

    /// Renders images and puts them in: a page takes a while, so not on the threads that serve others.
    async fn put(
        &self,
        mut version: Version,
        registries: &[Registry],
        keys: Vec<metastore::ImageKey>,
        images: Vec<Option<(metastore::ImageRow, Vec<assessment::RuledFinding>)>>,
    ) -> Result<Version, Error> {
        let (this, registries) = (self.clone(), registries.to_vec());
        let rendered = tokio::task::spawn_blocking(move || {
            let by_id: HashMap<RegistryId, &Registry> = registries.iter().map(|it| (it.id, it)).collect();
            let default = registries.first().map(|registry| registry.id);
            for (key, image) in keys.into_iter().zip(images) {
                let Some((image, findings)) = image else {
                    version.remove_image(&key);
                    continue;
                };
                let Some(registry) = by_id.get(&image.registry) else { continue };
                let host = this.inner.hosts.of(registry, default);
                let rows = this.image_rows(&mut version, registry, &host, &image, &findings);
                if rows.is_empty() {
                    version.remove_image(&key);
                } else {
                    version.put_image(key, registry.id.0, rows);
                }
            }
            version
        });
        rendered.await.map_err(|_| Error::Damaged { what: "finding that cannot be shown" })
    }

    /// The rows of an image in every form; none while it waits for its scan.
    fn image_rows(
        &self,
        version: &mut Version,
        registry: &Registry,
        host: &str,
        image: &metastore::ImageRow,
        findings: &[assessment::RuledFinding],
    ) -> Vec<Row> {
        if image.state().0 == assessment::ImageState::Pending {
            return Vec::new();
        }
        let mut rows = Vec::new();
        for form in Form::ALL {
            let at = At { registry, host, image, form };
            let new = |document: Json| NewRow {
                document: graph::sub_assessment(document, registry),
                place: self.place(SUB_ASSESSMENTS, registry),
            };
            // The first tells what is the same of all.
            let document = at.rows(findings.get(..1).unwrap_or_default()).pop();
            let Some(first) = document.map(|document| version.row(new(document))) else { continue };
            rows.push(first.clone());
            for finding in findings.iter().skip(1) {
                let name = at.finding_name(&finding.finding);
                let print = self.fingerprint(&at.saying(finding));
                rows.push(version.row_like(&first, name, print, || new(at.finding_row(finding))));
            }
        }
        let at = At { registry, host, image, form: Form::Of2024 };
        let mut put = |document: Json| {
            rows.push(version.row(NewRow { document, place: self.place(ASSESSMENTS, registry) }));
        };
        put(graph::image_assessment(&at, self.inner.names));
        for update in azure_documents::software_updates(findings) {
            put(graph::software_update(&update, &at));
        }
        rows
    }

    /// 128 bits that nobody can foresee: two keyed hashes.
    fn fingerprint(&self, of: &impl Hash) -> u128 {
        let [one, other] = &self.inner.keys;
        u128::from(one.hash_one(of)) << 64 | u128::from(other.hash_one(of))
    }

    fn place(&self, kind: &'static str, registry: &Registry) -> Place {
        let group = Arc::from(registry.resource_group.as_str());
        Place { kind, tenant: self.inner.tenant, group, subscription: registry.subscription }
    }

    /// The assessments of registries and the plans of subscriptions.
    async fn others(&self, registries: &[Registry]) -> Result<Vec<(Of, Vec<NewRow>)>, Error> {
        let inner = &self.inner;
        let mut others = Vec::new();
        for registry in registries {
            let counts = inner.metastore.state_counts(registry.id).await?;
            let plans = inner.metastore.plans(registry.subscription).await?;
            let is_on = plans.iter().any(|setting| setting.tier == Tier::Standard);
            let row = |form: Form| {
                let document = azure_documents::assessment(registry, &counts, is_on, form, inner.names);
                let document = graph::assessment(document, registry, form, inner.names);
                NewRow { document, place: self.place(ASSESSMENTS, registry) }
            };
            others.push((Of::Registry(registry.id.0), Form::ON_REGISTRIES.map(row).into()));
        }
        for subscription in inner.metastore.subscriptions().await? {
            let plans = inner.metastore.plans(subscription.id).await?;
            let place = Place {
                kind: "microsoft.security/pricings",
                tenant: inner.tenant,
                group: Arc::from(""),
                subscription: subscription.id,
            };
            let row = |setting: &metastore::PlanSetting| NewRow {
                document: azure_documents::pricing(subscription.id, setting),
                place: place.clone(),
            };
            others.push((Of::Subscription(subscription.id), plans.iter().map(row).collect()));
        }
        Ok(others)
    }

    /// The tables as a viewer sees them now. Registries are shown at the login servers that ARM shows to a client
    /// that reaches the server by `host`; without it, or where the operator tells one, at those that are told.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn view(
        &self,
        viewer: Viewer,
        subscriptions: Option<Vec<Uuid>>,
        host: Option<&str>,
    ) -> Result<View, Error> {
        let version = self.refresh().await?;
        let known = self.inner.metastore.subscriptions().await?;
        let mut groups = Vec::new();
        for subscription in &known {
            groups.extend(self.inner.metastore.resource_groups(subscription.id).await?);
        }
        let registries = self.inner.metastore.registries().await?;
        let mut repositories = HashMap::new();
        for registry in &registries {
            if viewer.result_access(registry, Action::ReadSubAssessments) == ResultAccess::Repositories {
                repositories.insert(registry.id, self.inner.metastore.repository_ids(registry.id).await?);
            }
        }
        let house = House {
            tenant: self.inner.tenant,
            hosts: match host.filter(|_| !self.inner.hosts.is_told) {
                Some(host) => Hosts { login_server: host.to_owned(), ..self.inner.hosts.clone() },
                None => self.inner.hosts.clone(),
            },
            registries,
            repositories,
            webhooks: self.inner.metastore.all_webhooks().await?,
            subscriptions: known,
            subscription_tags: self.inner.metastore.subscription_tags().await?,
            groups,
            assignments: self.inner.metastore.all_role_assignments().await?,
            saved: self.inner.metastore.saved_queries(None).await?,
        };
        Ok(View { version, house: Arc::new(house), viewer, subscriptions })
    }
}

const SUB_ASSESSMENTS: &str = "microsoft.security/assessments/subassessments";
const ASSESSMENTS: &str = "microsoft.security/assessments";
/// Images that are read at once.
const PAGE: usize = 256;

#[cfg(test)]
mod tests {
    use assessment::{Exemption, Finding, FindingPackage, FixState, RuledFinding};
    use metastore::{ImageRow, RegistryId};

    use super::*;

    fn registry(name: &str) -> Registry {
        Registry {
            id: RegistryId(1),
            subscription: Uuid::nil(),
            resource_group: "g".to_owned(),
            name: name.to_owned(),
            location: "here".to_owned(),
            created_ms: 1,
            sku: "Premium".to_owned(),
            tags: "{}".to_owned(),
            deleted_ms: None,
            quarantine: false,
            is_admin_enabled: false,
            admin_passwords: [0, 0],
            is_public: false,
            created_by: String::new(),
            changed_ms: 1,
            changed_by: String::new(),
            untagged_days: None,
            untagged_changed_ms: None,
            soft_delete: metastore::SoftDelete { is_on: false, days: 7 },
            soft_delete_changed_ms: None,
        }
    }

    fn image(repository: &str, media_type: &str, pushed_ms: i64) -> ImageRow {
        ImageRow {
            repository_id: 1,
            registry: RegistryId(1),
            repository: repository.parse().unwrap(),
            digest: oci::Digest::sha256(repository.as_bytes()),
            media_type: media_type.to_owned(),
            pushed_ms,
            tags: vec![repository.parse().unwrap()],
            plan_is_on: true,
            verdict: None,
            ruled: None,
            failure: None,
        }
    }

    fn finding(id: &str, exemption: Option<Exemption>) -> RuledFinding {
        let finding = Finding {
            id: id.to_owned(),
            aliases: vec![],
            title: format!("{id}: a flaw"),
            description: String::new(),
            severity: advisory::Severity::High,
            severity_source: "debian urgency".to_owned(),
            package: FindingPackage {
                name: "zlib1g".to_owned(),
                version: "1".to_owned(),
                ecosystem: "deb".to_owned(),
                architecture: "amd64".to_owned(),
                path: "var/lib/dpkg/status".to_owned(),
                layer: oci::Digest::sha256(id.as_bytes()),
                layer_command: None,
            },
            source: "zlib".to_owned(),
            source_version: "1".to_owned(),
            fixed_version: Some("2".to_owned()),
            fix_state: FixState::Fixed,
            remediation: "Upgrade".to_owned(),
            reason: "1 is below 2".to_owned(),
            feed: "debian".to_owned(),
            references: vec![],
        };
        RuledFinding { finding, exemption }
    }

    /// [`Version::row_like`] rests on this: what a row says of its finding does not depend on the image, and what
    /// it says of its image does not depend on the finding.
    #[test]
    fn a_row_is_what_its_finding_says_and_what_its_image_says() {
        let exemption = Exemption {
            rule: "/rule".to_owned(),
            name: "r".to_owned(),
            reason: "known".to_owned(),
            expires_ms: None,
        };
        let findings = [finding("CVE-1", None), finding("CVE-2", Some(exemption))];
        let (first, other) = (registry("first"), registry("other"));
        let (one, two) =
            (image("one", "application/vnd.oci.image.manifest.v1+json", 1), image("two", "x/y", 2));
        let places = [(&first, "host:1", &one), (&other, "host:2", &two)];
        for form in Form::ALL {
            let rows = places.map(|(registry, host, image)| {
                let at = At { registry, host, image, form };
                findings.each_ref().map(|finding| {
                    let mut version = Version::default();
                    let document = graph::sub_assessment(at.finding_row(finding), registry);
                    let place = Place {
                        kind: SUB_ASSESSMENTS,
                        tenant: Uuid::nil(),
                        group: "g".into(),
                        subscription: Uuid::nil(),
                    };
                    let row = version.row(NewRow { document, place });
                    assert_eq!(row.tail, at.finding_name(&finding.finding));
                    version.texts_of(&row)
                })
            });
            let [[(own, shared), (own_2, shared_2)], [(other_own, other_shared), (other_own_2, _)]] = &rows;
            assert_eq!((own, own_2), (other_own, other_own_2), "{form:?}: whatever the image");
            assert_eq!(shared, shared_2, "{form:?}: whatever the finding");
            assert!(own != own_2 && shared != other_shared, "{form:?}");
        }
    }
}
