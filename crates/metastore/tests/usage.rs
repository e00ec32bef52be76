//! Metering: each digest once a subscription and month.

mod rows;

use assessment::{ImageState, Verdict};
use inventory::ImageInventory;
use metastore::{
    DeleteGroup, DeleteRegistry, DeleteSubscription, Held, Metastore, MeteredImage, NewRegistry, PutRegistry,
    ResourceGroup, Subscription, Tier, VerdictWrite,
};
use oci::Digest;
use rows::SUBSCRIPTION;

/// 2026-10-31T23:59:59.999Z; the next millisecond is November.
const LATE_OCTOBER: i64 = 1_793_491_199_999;
const DAY_MS: i64 = 86_400_000;

async fn store(folder: &tempfile::TempDir) -> Metastore {
    rows::open(folder.path(), Tier::Standard).await.0
}

async fn push(store: &Metastore, text: &str) -> Digest {
    let registry = store.registries().await.expect("lists")[0].id;
    let put = rows::manifest(registry, "app", text, &[]);
    let digest = put.digest.clone();
    store.put_manifest(put).await.expect("pushes");
    digest
}

async fn judge(store: &Metastore, image: &Digest, state: ImageState, now_ms: i64) {
    let write = VerdictWrite {
        image: image.clone(),
        inventory: ImageInventory::default(),
        snapshot: None,
        engine: "test".to_owned(),
        verdict: Verdict { state, causes: Vec::new(), findings: Vec::new() },
        keys: Vec::new(),
        now_ms,
    };
    assert!(store.put_verdict(write).await.expect("stores"));
}

async fn times(store: &Metastore) -> Vec<i64> {
    let found = store.metered(SUBSCRIPTION, 0, i64::MAX, None, usize::MAX).await.expect("lists");
    found.iter().map(|metered| metered.at_ms).collect()
}

#[tokio::test]
async fn a_digest_is_counted_once_in_each_month_in_which_it_is_judged() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = store(&folder).await;
    let image = push(&store, "an image").await;
    judge(&store, &image, ImageState::Unverified, LATE_OCTOBER - 3).await;
    assert!(times(&store).await.is_empty(), "what could not be judged costs nothing");
    judge(&store, &image, ImageState::Healthy, LATE_OCTOBER - 2).await;
    judge(&store, &image, ImageState::Unhealthy, LATE_OCTOBER).await;
    assert_eq!(times(&store).await, [LATE_OCTOBER - 2]);
    // Asked for again without being judged again: nothing is new.
    store.meter_image(&image, LATE_OCTOBER + 1).await.expect("counts");
    assert_eq!(times(&store).await, [LATE_OCTOBER - 2]);
    judge(&store, &image, ImageState::Healthy, LATE_OCTOBER + 1).await;
    judge(&store, &image, ImageState::Healthy, LATE_OCTOBER + 20 * DAY_MS).await;
    assert_eq!(times(&store).await, [LATE_OCTOBER + 1, LATE_OCTOBER - 2]);
    // A year later is another month, even if it has the same name.
    judge(&store, &image, ImageState::Healthy, LATE_OCTOBER + 366 * DAY_MS).await;
    assert_eq!(times(&store).await.len(), 3);
}

#[tokio::test]
async fn pages_hold_everything_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = store(&folder).await;
    let mut wanted = std::collections::BTreeSet::new();
    for number in 0..10_i64 {
        let image = push(&store, &number.to_string()).await;
        // Several in one millisecond.
        judge(&store, &image, ImageState::Healthy, LATE_OCTOBER - number / 4).await;
        wanted.insert(image.to_string());
    }
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.metered(SUBSCRIPTION, 0, LATE_OCTOBER + 1, after, 3).await.expect("lists");
        after = page.last().cloned();
        found.extend(page);
        if after.is_none() {
            break;
        }
    }
    assert!(found.is_sorted_by_key(|metered: &MeteredImage| std::cmp::Reverse(metered.at_ms)));
    let images: Vec<String> = found.iter().map(|metered| metered.image.to_string()).collect();
    assert_eq!(images.len(), 10);
    assert_eq!(images.into_iter().collect::<std::collections::BTreeSet<_>>(), wanted);
    let before = store.metered(SUBSCRIPTION, 0, LATE_OCTOBER, None, usize::MAX).await.expect("lists");
    assert_eq!(before.len(), 6, "the end of a span is not in it");
}

#[tokio::test]
async fn what_a_deleted_subscription_had_used_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(&folder).await;
    let id = uuid::Uuid::from_u128(8);
    let wanted = Subscription { id, display_name: "passing".to_owned(), is_disabled: false };
    assert!(store.create_subscription(wanted.clone(), Tier::Standard, 1).await.expect("makes"));
    let group = ResourceGroup::new(id, "web".to_owned(), "here".to_owned());
    store.put_resource_group(group).await.expect("makes");
    let wanted_registry = NewRegistry::new(id, "web".to_owned(), "passing".to_owned());
    let PutRegistry::Created(registry) = store.put_registry(wanted_registry, 1).await.expect("makes") else {
        panic!("it is made");
    };
    let put = rows::manifest(registry.id, "app", "image", &[]);
    let digest = put.digest.clone();
    store.put_manifest(put).await.expect("pushes");
    judge(&store, &digest, ImageState::Healthy, DAY_MS).await;
    let used = || async { store.metered(id, 0, i64::MAX, None, usize::MAX).await.expect("lists").len() };
    assert_eq!(used().await, 1);
    let holds = |held| DeleteSubscription::Holds(held);
    let delete = || async { store.delete_subscription(id, 2).await.expect("deletes") };
    assert_eq!(delete().await, holds(Held::Registry("passing".to_owned())));
    assert!(matches!(store.delete_registry(registry.id, 2).await.expect("deletes"), DeleteRegistry::Deleted));
    assert_eq!(delete().await, holds(Held::DeletedRegistry("passing".to_owned())));
    store.delete_repository(registry.id, &"app".parse().expect("a name"), 2).await.expect("deletes");
    assert!(store.forget_registry(registry.id).await.expect("forgets"));
    assert_eq!(delete().await, holds(Held::Group("web".to_owned())));
    assert_eq!(store.delete_resource_group(id, "web").await.expect("deletes"), DeleteGroup::Deleted);
    assert_eq!(delete().await, DeleteSubscription::Deleted);
    assert_eq!(delete().await, DeleteSubscription::Missing);
    assert_eq!(used().await, 1);
    assert_eq!(store.ended_subscriptions().await.expect("lists")[0].display_name, "passing");
    assert!(!store.create_subscription(wanted, Tier::Standard, 3).await.expect("asks"), "its id is spent");
}
