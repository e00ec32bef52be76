//! One digest in the registries of two subscriptions: each sees, pays and dates what its own plan gives it.

use assessment::{Cause, Finding, FindingPackage, FixState, ImageState, Verdict};
use inventory::ImageInventory;
use metastore::{
    Cluster, ImageRow, Metastore, NewRegistry, Plan, PutRegistry, RegistryId, ReportedImage, ResourceGroup,
    Subscription, Tier, VerdictWrite,
};
use oci::{Digest, Reference, Repository};
use uuid::Uuid;

mod rows;

const OTHER: Uuid = Uuid::from_u128(99);

/// A house with the plan on, and the registry `other` of a subscription whose plan is off.
async fn house(folder: &tempfile::TempDir) -> (Metastore, RegistryId, RegistryId) {
    let (store, ours) = rows::open(folder.path(), Tier::Standard).await;
    let other = Subscription { id: OTHER, display_name: "other".to_owned(), is_disabled: false };
    store.create_subscription(other, Tier::Free, 1).await.expect("works");
    store
        .put_resource_group(ResourceGroup::new(OTHER, "group".to_owned(), "local".to_owned()))
        .await
        .expect("works");
    let wanted = NewRegistry::new(OTHER, "group".to_owned(), "other".to_owned());
    let made = store.put_registry(wanted, 1).await.expect("works");
    assert!(!matches!(made, PutRegistry::NoGroup));
    let theirs = store.registries().await.expect("works");
    let theirs = theirs.iter().find(|it| it.name == "other").expect("is there").id;
    (store, ours, theirs)
}

fn finding(id: &str) -> Finding {
    Finding {
        id: id.to_owned(),
        aliases: Vec::new(),
        title: id.to_owned(),
        description: String::new(),
        severity: advisory::Severity::High,
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
        source: "zlib".to_owned(),
        source_version: "1".to_owned(),
        fixed_version: None,
        fix_state: FixState::NoneYet,
        remediation: String::new(),
        reason: String::new(),
        feed: "debian".to_owned(),
        references: Vec::new(),
    }
}

async fn judge(store: &Metastore, image: &Digest, findings: Vec<Finding>, now_ms: i64) {
    let state = if findings.is_empty() { ImageState::Healthy } else { ImageState::Unhealthy };
    let write = VerdictWrite {
        image: image.clone(),
        inventory: ImageInventory::default(),
        snapshot: None,
        engine: "test".to_owned(),
        verdict: Verdict { state, causes: Vec::new(), findings },
        keys: Vec::new(),
        now_ms,
    };
    assert!(store.put_verdict(write).await.expect("works"));
}

async fn row(store: &Metastore, registry: RegistryId, image: &Digest) -> ImageRow {
    let (name, reference): (Repository, _) =
        ("app".parse().expect("a name"), Reference::Digest(image.clone()));
    store.image(registry, &name, &reference).await.expect("works").expect("is there")
}

/// What each reader of the store is told: the row, the gates, the pages, the tables, the counts.
async fn seen(
    store: &Metastore,
    registry: RegistryId,
    image: &Digest,
) -> (ImageState, Vec<String>, [usize; 4]) {
    let row = row(store, registry, image).await;
    let (state, causes) = row.state();
    let listed = store.results(registry, None, None, 100).await.expect("works").images;
    let now = store.images_now(vec![(row.repository_id, image.clone())]).await.expect("works");
    let pulled = store
        .pulled(registry, &row.repository, &Reference::Digest(image.clone()))
        .await
        .expect("works")
        .expect("is there");
    let judged = pulled.images.expect("few");
    assert_eq!(judged[0].state, state, "gates and rows agree");
    let counts = store.state_counts(registry).await.expect("works");
    assert_eq!(counts.judged.get(state.name()).copied().unwrap_or(0) > 0, row.verdict.is_some());
    let findings = [
        store.findings(&row).await.expect("works").len(),
        listed.iter().map(|(_, findings)| findings.len()).sum(),
        now[0].as_ref().expect("is there").1.len(),
        judged[0].findings.len(),
    ];
    (state, causes.into_iter().map(|Cause { code, .. }| code).collect(), findings)
}

async fn metered(store: &Metastore) -> usize {
    store.metered(OTHER, 0, i64::MAX, None, 100).await.expect("works").len()
}

#[tokio::test]
async fn a_verdict_is_shown_where_a_plan_paid_for_it_alone() {
    let folder = tempfile::tempdir().expect("works");
    let (store, ours, theirs) = house(&folder).await;
    let put = rows::manifest(ours, "app", "shared", &[]);
    let image = put.digest.clone();
    store.put_manifest(put).await.expect("works");
    judge(&store, &image, vec![finding("CVE-1"), finding("CVE-2")], 1_000).await;
    store.put_manifest(rows::manifest(theirs, "app", "shared", &[])).await.expect("works");
    let unhealthy = |causes: &[&str]| {
        (ImageState::Unhealthy, causes.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>(), [2; 4])
    };
    let off = (ImageState::NotApplicable, vec!["PlanOff".to_owned()], [0; 4]);
    assert_eq!(seen(&store, ours, &image).await, unhealthy(&[]));
    assert_eq!(seen(&store, theirs, &image).await, off);

    judge(&store, &image, vec![finding("CVE-1"), finding("CVE-3")], 2_000).await;
    assert_eq!(seen(&store, theirs, &image).await, off, "a new verdict is ours, too");
    assert_eq!(metered(&store).await, 0);

    assert!(store.set_plan(OTHER, Plan::Containers, Tier::Standard, 3_000).await.expect("works"));
    assert_eq!(seen(&store, theirs, &image).await, unhealthy(&[]));
    store.meter_image(&image, 3_500).await.expect("works");
    assert_eq!(metered(&store).await, 1, "what is shown is paid for");

    assert!(store.set_plan(OTHER, Plan::Containers, Tier::Free, 4_000).await.expect("works"));
    assert_eq!(seen(&store, theirs, &image).await, unhealthy(&["PlanOff"]), "kept, and says so");

    // Judged for us alone: what they were given stays what it was, and then is shown no longer.
    judge(&store, &image, vec![finding("CVE-4")], 5_000).await;
    assert_eq!(seen(&store, theirs, &image).await, off, "a verdict that nobody gave them");
    assert_eq!(seen(&store, ours, &image).await.2, [1; 4]);
    let counts = store.state_counts(theirs).await.expect("works");
    assert_eq!(counts.changed_ms, Some(5_000), "none is Unhealthy since then");
    assert_eq!(metered(&store).await, 1);
    // With the plan on nowhere, results are kept to the last.
    assert!(store.set_plan(OTHER, Plan::Containers, Tier::Standard, 6_000).await.expect("works"));
    let home = store.registries().await.expect("works");
    let home = home.iter().find(|it| it.id == ours).expect("is there").subscription;
    for (subscription, plan) in
        [(OTHER, Plan::Containers), (home, Plan::ContainerRegistry), (home, Plan::Containers)]
    {
        assert!(store.set_plan(subscription, plan, Tier::Free, 7_000).await.expect("works"));
    }
    judge(&store, &image, vec![finding("CVE-4"), finding("CVE-5")], 8_000).await;
    assert_eq!(seen(&store, theirs, &image).await, unhealthy(&["PlanOff"]), "begun for them");
}

#[tokio::test]
async fn dates_are_the_registrys_own_and_do_not_go_back() {
    let folder = tempfile::tempdir().expect("works");
    let (store, ours, theirs) = house(&folder).await;
    assert!(store.set_plan(OTHER, Plan::Containers, Tier::Standard, 2).await.expect("works"));
    let put = rows::manifest(ours, "app", "old", &[]);
    let old = put.digest.clone();
    store.put_manifest(put).await.expect("works");
    judge(&store, &old, vec![finding("CVE-1")], 1_000).await;
    let push = async |text: &str, now_ms: i64| {
        let mut put = rows::manifest(theirs, "app", text, &[]);
        put.now_ms = now_ms;
        let digest = put.digest.clone();
        store.put_manifest(put).await.expect("works");
        digest
    };
    let dates = async || {
        let counts = store.state_counts(theirs).await.expect("works");
        (counts.first_judged_ms, counts.changed_ms)
    };
    let healthy = push("healthy", 5_000).await;
    judge(&store, &healthy, Vec::new(), 5_000).await;
    assert_eq!(dates().await, (Some(5_000), Some(5_000)));
    push("old", 6_000).await;
    assert_eq!(dates().await, (Some(5_000), Some(6_000)), "Unhealthy since it came here");
    let verdict = row(&store, theirs, &old).await.verdict.expect("is judged");
    assert_eq!((verdict.first_judged_ms, verdict.changed_ms), (6_000, 6_000));
    let app: Repository = "app".parse().expect("a name");
    store.delete_manifest(theirs, &app, &old, 7_000).await.expect("works");
    assert_eq!(dates().await, (Some(5_000), Some(7_000)), "Healthy since the last Unhealthy one went");
    push("old", 8_000).await;
    assert_eq!(dates().await, (Some(5_000), Some(8_000)));
    store.delete_repository(theirs, &app, 9_000).await.expect("works");
    assert_eq!(dates().await, (None, Some(9_000)));
    assert_eq!(row(&store, ours, &old).await.verdict.expect("is judged").first_judged_ms, 1_000);
}

#[tokio::test]
async fn an_image_that_a_registry_does_not_see_keeps_it_from_no_date() {
    let folder = tempfile::tempdir().expect("works");
    let (store, ours, theirs) = house(&folder).await;
    let push = async |registry, text: &str, now_ms: i64| {
        let mut put = rows::manifest(registry, "app", text, &[]);
        put.now_ms = now_ms;
        let digest = put.digest.clone();
        store.put_manifest(put).await.expect("works");
        digest
    };
    assert!(store.set_plan(OTHER, Plan::Containers, Tier::Standard, 2).await.expect("works"));
    let seen = push(theirs, "seen", 1_000).await;
    judge(&store, &seen, vec![finding("CVE-1")], 1_000).await;
    assert!(store.set_plan(OTHER, Plan::Containers, Tier::Free, 2_000).await.expect("works"));
    let hidden = push(ours, "hidden", 3_000).await;
    judge(&store, &hidden, vec![finding("CVE-1")], 3_000).await;
    push(theirs, "hidden", 4_000).await;
    let app: Repository = "app".parse().expect("a name");
    store.delete_manifest(theirs, &app, &seen, 5_000).await.expect("works");
    let counts = store.state_counts(theirs).await.expect("works");
    assert_eq!(counts.changed_ms, Some(5_000), "nothing that it sees is Unhealthy since then");
}

#[tokio::test]
async fn a_cluster_speaks_of_its_own_subscription() {
    let folder = tempfile::tempdir().expect("works");
    let (store, ours, theirs) = house(&folder).await;
    let put = rows::manifest(ours, "app", "shared", &[]);
    let image = put.digest.clone();
    store.put_manifest(put).await.expect("works");
    store.put_manifest(rows::manifest(theirs, "app", "shared", &[])).await.expect("works");
    let home = store
        .registries()
        .await
        .expect("works")
        .iter()
        .find(|it| it.id == ours)
        .expect("is there")
        .subscription;
    for (name, subscription) in [("first", home), ("second", OTHER)] {
        let cluster = Cluster {
            name: name.to_owned(),
            subscription,
            token_hash: Digest::sha256(name.as_bytes()),
            policy: "{}".to_owned(),
            reported_ms: None,
            running: 0,
        };
        assert!(store.create_cluster(cluster, 1).await.expect("works"));
        let place = ReportedImage {
            digest: image.clone(),
            namespace: "team".to_owned(),
            workload: format!("Pod/{name}"),
            containers: 1,
        };
        assert!(store.report_running(name, vec![place], 2).await.expect("works"));
    }
    let app: Repository = "app".parse().expect("a name");
    for (registry, wanted) in [(ours, "first"), (theirs, "second")] {
        let places = store.running(registry, &app, &image, 10).await.expect("works");
        let clusters: Vec<_> = places.iter().map(|place| place.cluster.as_str()).collect();
        assert_eq!(clusters, [wanted]);
    }
}
