//! The outbox: what happens is queued with it, for those who want it, and kept within bounds.

use assessment::{Criteria, Finding, ImageState, Verdict};
use inventory::ImageInventory;
use metastore::{
    Attempt, AttemptOutcome, Delivery, DeliveryLimits, DeliveryState, Durability, EventAction, JobKind,
    ManifestKind, Metastore, Origin, Plan, PutManifest, PutWebhook, Registry, ResourceGroup, RetentionRule,
    Rule, RuleScope, Subscription, Tier, VerdictWrite, WEBHOOKS_MAX, Webhook, WebhookChange,
};
use oci::{Digest, MediaType};
use serde_json::json;
use uuid::Uuid;

const SUBSCRIPTION: Uuid = Uuid::from_u128(7);

struct House {
    store: Metastore,
    registry: Registry,
    _folder: tempfile::TempDir,
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("works");
        let store =
            Metastore::open(&folder.path().join("rows.sqlite"), Durability::Unflushed).expect("works");
        let subscription =
            Subscription { id: SUBSCRIPTION, display_name: "default".to_owned(), is_disabled: false };
        let group = ResourceGroup::new(SUBSCRIPTION, "g".to_owned(), "local".to_owned());
        store
            .create_tenancy(Uuid::nil(), subscription, Tier::Standard, group, "lazaret", 1)
            .await
            .expect("works");
        let registry = store.registries().await.expect("works").remove(0);
        Self { store, registry, _folder: folder }
    }

    async fn put(&self, name: &str, change: WebhookChange) -> PutWebhook {
        self.store.put_webhook(self.registry.id, name, change, true, 1).await.expect("works")
    }

    async fn webhook(&self, name: &str, scope: &str, actions: &[EventAction]) -> Webhook {
        let change = WebhookChange {
            service_uri: Some("http://127.0.0.1:1/".to_owned()),
            scope: Some(scope.to_owned()),
            actions: Some(actions.to_vec()),
            secret: Some("s".to_owned()),
            ..WebhookChange::default()
        };
        match self.put(name, change).await {
            PutWebhook::Created(made) => made,
            other => panic!("{other:?}"),
        }
    }

    async fn push(&self, text: &str, tags: &[&str]) -> Digest {
        let digest = Digest::sha256(text.as_bytes());
        let put = PutManifest {
            registry: self.registry.id,
            repository: "team/app".parse().expect("works"),
            digest: digest.clone(),
            kind: ManifestKind::Image,
            media_type: MediaType::new(MediaType::OCI_MANIFEST),
            artifact_type: None,
            subject: None,
            annotations: None,
            bytes: text.into(),
            tags: tags.iter().map(|tag| tag.parse().expect("works")).collect(),
            blobs: vec![],
            children: vec![],
            is_sparse: false,
            pushed_by: "x".to_owned(),
            now_ms: 10,
        };
        let origin = Origin { request_id: "r1".to_owned(), method: "PUT".to_owned(), ..Origin::default() };
        self.store.on_behalf_of(origin).put_manifest(put).await.expect("works");
        digest
    }

    async fn judge(&self, image: &Digest, state: ImageState, severities: &[advisory::Severity]) {
        let findings = severities.iter().map(|severity| Finding { severity: *severity, ..finding() });
        let write = VerdictWrite {
            image: image.clone(),
            inventory: ImageInventory::default(),
            snapshot: None,
            engine: "test".to_owned(),
            verdict: Verdict { state, causes: vec![], findings: findings.collect() },
            keys: vec![],
            now_ms: 20,
        };
        assert!(self.store.put_verdict(write).await.expect("works"));
    }

    /// What waits for a webhook, as `action repository:tag`.
    async fn waiting(&self, webhook: &Webhook) -> Vec<String> {
        let due = self.store.due_deliveries(i64::MAX, 1000).await.expect("works");
        let due = due.into_iter().find(|(found, _)| found.id == webhook.id);
        due.map_or(Vec::new(), |(_, deliveries)| deliveries.iter().map(shown).collect())
    }
}

fn finding() -> Finding {
    serde_json::from_value(json!({
        "id": "CVE-1", "aliases": [], "title": "", "description": "", "severity": "High", "severitySource": "",
        "package": {
            "name": "zlib", "version": "1", "ecosystem": "deb", "architecture": "amd64", "path": "",
            "layer": Digest::sha256(b"layer").to_string(),
        },
        "source": "zlib", "sourceVersion": "1", "fixedVersion": null, "fixState": "noneYet", "remediation": "",
        "reason": "", "feed": "debian", "references": [],
    }))
    .unwrap_or_else(|error| panic!("{error}"))
}

fn shown(delivery: &Delivery) -> String {
    let event = &delivery.event;
    let Some(target) = &event.target else { return event.action.name().to_owned() };
    let tag = target.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
    let verdict = event.verdict.as_ref().map(|verdict| {
        format!(
            " {} {:?} -> {} {:?}",
            verdict.from.state, verdict.from.severities, verdict.to.state, verdict.to.severities
        )
    });
    format!("{} {}{tag}{}", event.action.name(), target.repository, verdict.unwrap_or_default())
}

#[tokio::test]
async fn a_push_is_told_once_a_tag_to_those_who_want_it() {
    use EventAction::{Delete, Push, Quarantine};
    let house = House::new().await;
    house.push("before", &["v0"]).await;
    let all = house.webhook("all", "", &[Push, Quarantine]).await;
    let one = house.webhook("one", "team/app:v1", &[Push]).await;
    let deletes = house.webhook("deletes", "", &[Delete]).await;
    house.push("m", &["v1", "v2"]).await;
    let both = |tag: &str| [format!("push team/app:{tag}"), format!("quarantine team/app:{tag}")];
    assert_eq!(house.waiting(&all).await, [both("v1"), both("v2")].concat());
    assert_eq!(house.waiting(&one).await, ["push team/app:v1"]);
    assert!(house.waiting(&deletes).await.is_empty());
    house.push("untagged", &[]).await;
    assert_eq!(house.waiting(&all).await.len(), 6);
    assert_eq!(house.waiting(&one).await.len(), 1);
    // One event, one id, whoever is told; and it says by what request.
    let due = house.store.due_deliveries(i64::MAX, 1).await.expect("works");
    assert_eq!(due[0].1[0].event.id, due[1].1[0].event.id);
    assert_eq!(due[0].1[0].event.origin.request_id, "r1");
    assert_eq!(due[0].1[0].event.registry, house.registry.resource_id());
}

#[tokio::test]
async fn a_manifest_that_goes_is_told_however_it_goes_and_a_tag_is_not() {
    let house = House::new().await;
    let hook = house.webhook("deletes", "team/app:v1", &[EventAction::Delete]).await;
    let everything = house.webhook("everything", "", &[EventAction::Delete]).await;
    let repository = "team/app".parse().expect("works");
    let (one, _two) = (house.push("one", &["v1", "x"]).await, house.push("two", &["v2"]).await);
    assert!(
        house
            .store
            .delete_tag(house.registry.id, &repository, &"x".parse().expect("works"), 5)
            .await
            .expect("works")
    );
    assert!(house.waiting(&everything).await.is_empty());
    assert!(house.store.delete_manifest(house.registry.id, &repository, &one, 5).await.expect("works"));
    assert!(!house.store.delete_manifest(house.registry.id, &repository, &one, 5).await.expect("works"));
    assert_eq!(house.waiting(&hook).await, ["delete team/app"], "it had the tag when it went");
    house.push("three", &[]).await;
    let rule = RetentionRule {
        name: "untagged".to_owned(),
        repositories: "*".to_owned(),
        tags: "*".to_owned(),
        untagged_days: Some(1),
        ..RetentionRule::default()
    };
    house.store.put_retention_rule(house.registry.id, rule).await.expect("works");
    assert_eq!(
        house.store.purge(house.registry.id, &repository, 9 * 86_400_000).await.expect("works").len(),
        1
    );
    assert_eq!(house.waiting(&everything).await.len(), 2);
    assert!(house.store.delete_repository(house.registry.id, &repository, 5).await.expect("works").is_some());
    assert_eq!(house.waiting(&everything).await.len(), 3);
    assert_eq!(house.waiting(&hook).await.len(), 1);
}

#[tokio::test]
async fn a_verdict_is_told_when_it_changes() {
    use advisory::Severity::{High, Low};
    let house = House::new().await;
    let image = house.push("m", &["v1"]).await;
    house.judge(&image, ImageState::Healthy, &[]).await;
    let hook = house.webhook("verdicts", "team/app:v1", &[EventAction::Verdict]).await;
    let other = house.webhook("other", "team/app:v2", &[EventAction::Verdict]).await;
    house.judge(&image, ImageState::Healthy, &[]).await;
    assert!(house.waiting(&hook).await.is_empty(), "judged again, and it is what it was");
    house.judge(&image, ImageState::Unhealthy, &[High, Low]).await;
    house.judge(&image, ImageState::Unhealthy, &[Low, High]).await;
    house.judge(&image, ImageState::Unhealthy, &[Low]).await;
    let told = house.waiting(&hook).await;
    assert_eq!(
        told,
        [
            "verdict team/app Healthy {} -> Unhealthy {\"High\": 1, \"Low\": 1}",
            "verdict team/app Unhealthy {\"High\": 1, \"Low\": 1} -> Unhealthy {\"Low\": 1}"
        ]
    );
    assert!(house.waiting(&other).await.is_empty());
    // A scan that fails leaves its image Unverified.
    house.push("n", &["v1"]).await;
    let job = loop {
        let job = house.store.claim_job(100, 1000).await.expect("works").expect("a scan waits");
        if job.kind == JobKind::Scan && job.key == Digest::sha256(b"n").to_string() {
            break job;
        }
    };
    house.store.retry_job(job.id, "broken".to_owned(), 500, 400).await.expect("works");
    house.store.retry_job(job.id, "broken".to_owned(), 600, 500).await.expect("works");
    assert_eq!(house.waiting(&hook).await[2..], ["verdict team/app Pending {} -> Unverified {}"]);
}

#[tokio::test]
async fn what_a_plan_makes_of_an_image_that_nobody_judged_is_told() {
    let house = House::new().await;
    let judged = house.push("m", &["v1"]).await;
    house.judge(&judged, ImageState::Healthy, &[]).await;
    house.push("n", &["v2"]).await;
    let hook = house.webhook("verdicts", "", &[EventAction::Verdict]).await;
    let set = |plan, tier| house.store.set_plan(SUBSCRIPTION, plan, tier, 30);
    assert!(set(Plan::Containers, Tier::Standard).await.expect("works"));
    assert!(set(Plan::ContainerRegistry, Tier::Free).await.expect("works"));
    assert_eq!(house.waiting(&hook).await, [""; 0], "the other plan is on still");
    assert!(set(Plan::Containers, Tier::Free).await.expect("works"));
    assert!(set(Plan::Containers, Tier::Standard).await.expect("works"));
    let (off, on) = ("Pending {} -> NotApplicable {}", "NotApplicable {} -> Pending {}");
    assert_eq!(house.waiting(&hook).await, [off, on].map(|change| format!("verdict team/app {change}")));
}

#[tokio::test]
async fn what_a_rule_makes_of_an_image_is_told() {
    let house = House::new().await;
    let image = house.push("m", &["v1"]).await;
    house.judge(&image, ImageState::Unhealthy, &[advisory::Severity::High]).await;
    let hook = house.webhook("verdicts", "", &[EventAction::Verdict]).await;
    let scope = RuleScope::of(&house.registry);
    let criteria = Criteria { tags: ["v1".to_owned()].into(), ..Criteria::default() };
    let (name, reason) = ("accepted".to_owned(), "because".to_owned());
    let rule = Rule { scope: scope.clone(), name, criteria, reason, expires_ms: Some(100) };
    house.store.put_rule(rule, "me", 5).await.expect("works");
    house.push("m", &["prod"]).await;
    let (app, prod) = ("team/app".parse().expect("works"), "prod".parse().expect("works"));
    house.store.delete_tag(house.registry.id, &app, &prod, 40).await.expect("works");
    house.store.expire_rules(200).await.expect("works");
    house.store.delete_rule(scope, "accepted", 300).await.expect("works");
    let hidden = r#"verdict team/app Unhealthy {"High": 1} -> Healthy {}"#;
    let shown = r#"verdict team/app Healthy {} -> Unhealthy {"High": 1}"#;
    assert_eq!(
        house.waiting(&hook).await,
        [hidden, shown, hidden, shown],
        "by the rule, a tag, a tag, its end"
    );
}

#[tokio::test]
async fn a_webhook_is_made_changed_and_removed_with_all_that_waits() {
    let house = House::new().await;
    let nothing = WebhookChange::default();
    assert_eq!(house.put("w", nothing.clone()).await, PutWebhook::Incomplete);
    let made = house.webhook("w", "a:*", &[EventAction::Push]).await;
    assert_eq!(house.put("W", nothing.clone()).await, PutWebhook::Changed(made.clone()), "case, and nothing");
    let off = WebhookChange { is_enabled: Some(false), ..nothing.clone() };
    house.put("w", off).await;
    house.push("m", &["v1"]).await;
    assert!(house.waiting(&made).await.is_empty(), "disabled");
    house.store.ping_webhook(&house.registry, "w", 3).await.expect("works").expect("an id");
    assert_eq!(house.waiting(&made).await, ["ping"], "whoever pings wants to see, even so");
    assert_eq!(house.store.ping_webhook(&house.registry, "none", 3).await.expect("works"), None);
    assert!(house.store.delete_webhook(house.registry.id, "w").await.expect("works"));
    assert!(!house.store.delete_webhook(house.registry.id, "w").await.expect("works"));
    assert!(house.store.due_deliveries(i64::MAX, 1).await.expect("works").is_empty());
    for number in 0..WEBHOOKS_MAX {
        house.webhook(&format!("w{number}"), "", &[EventAction::Push]).await;
    }
    let full = WebhookChange {
        service_uri: Some(String::new()),
        actions: Some(Vec::new()),
        secret: Some(String::new()),
        ..nothing
    };
    assert_eq!(house.put("more", full).await, PutWebhook::TooMany);
}

#[tokio::test]
async fn what_an_attempt_came_to_is_kept_within_bounds() {
    let house = House::new().await;
    let hook = house.webhook("w", "", &[EventAction::Push]).await;
    let attempt = |delivery: i64, outcome: AttemptOutcome, now_ms: i64| Attempt {
        delivery,
        request: json!({ "method": "POST" }),
        response: Some(json!({ "statusCode": "200" })),
        outcome,
        now_ms,
    };
    for number in 0..6 {
        house.push(&format!("m{number}"), &["v1"]).await;
    }
    let due = house.store.due_deliveries(100, 10).await.expect("works").remove(0).1;
    assert_eq!(due.len(), 6);
    let retry = AttemptOutcome::Retry { due_ms: 900, reason: "no answer".to_owned() };
    house.store.record_attempt(attempt(due[0].id, retry, 100)).await.expect("works");
    house.store.record_attempt(attempt(due[1].id, AttemptOutcome::Delivered, 100)).await.expect("works");
    assert_eq!(house.store.due_deliveries(100, 10).await.expect("works")[0].1.len(), 4);
    let log = house.store.deliveries(hook.id, 10).await.expect("works");
    let states: Vec<_> = log.iter().map(|row| (row.state, row.attempts, row.reason.as_deref())).collect();
    assert_eq!(states, [(DeliveryState::Delivered, 1, None), (DeliveryState::Waiting, 1, Some("no answer"))]);
    assert_eq!(log[0].response, Some(json!({ "statusCode": "200" })));
    // Bounds: the two oldest of those that wait are given up, and the log keeps the two newest.
    let limits = DeliveryLimits { log_max: 2, log_ms: 1000, waiting_max: 3, waiting_ms: 1000 };
    house.store.tidy_deliveries(limits, 100).await.expect("works");
    assert_eq!(house.store.waiting_deliveries(hook.id).await.expect("works"), 3);
    let log = house.store.deliveries(hook.id, 10).await.expect("works");
    let states: Vec<_> = log.iter().map(|row| (row.state, row.reason.as_deref())).collect();
    let full = Some("more than 3 newer events wait");
    assert_eq!(states, [(DeliveryState::Dead, full), (DeliveryState::Delivered, None)]);
    house.store.tidy_deliveries(limits, 5000).await.expect("works");
    assert_eq!(house.store.waiting_deliveries(hook.id).await.expect("works"), 0, "too long");
    assert!(house.store.deliveries(hook.id, 10).await.expect("works").is_empty(), "too old");
    // Gone: nothing is sent any more.
    house.push("last", &["v1"]).await;
    house.push("very last", &["v1"]).await;
    let due = house.store.due_deliveries(6000, 10).await.expect("works").remove(0).1;
    let gone = AttemptOutcome::Disable { reason: "gone".to_owned() };
    house.store.record_attempt(attempt(due[0].id, gone, 6000)).await.expect("works");
    assert_eq!(house.store.waiting_deliveries(hook.id).await.expect("works"), 0);
    let found = house.store.webhook(house.registry.id, "w").await.expect("works").expect("works");
    assert_eq!((found.is_enabled, found.disabled_because.as_deref()), (false, Some("gone")));
}

/// What `advisory` events wait for a webhook, as `id severity images/repositories`.
async fn news(house: &House, webhook: &Webhook) -> Vec<String> {
    let due = house.store.due_deliveries(i64::MAX, 1000).await.expect("works");
    let due = due.into_iter().find(|(found, _)| found.id == webhook.id);
    let shown = due.into_iter().flat_map(|(_, deliveries)| deliveries).filter_map(|delivery| {
        let news = delivery.event.advisory?;
        let examples = news.examples.iter().map(|image| image.tags.join("+")).collect::<Vec<_>>().join(",");
        Some(format!("{} {} {}/{} {examples}", news.id, news.severity, news.images, news.repositories))
    });
    shown.collect()
}

#[tokio::test]
async fn new_advisories_are_told_once_a_registry_and_not_once_an_image() {
    let house = House::new().await;
    let all = house.webhook("all", "", &[EventAction::Advisory]).await;
    let one = house.webhook("one", "team/app:v1", &[EventAction::Advisory]).await;
    let other = house.webhook("other", "", &[EventAction::Push]).await;
    let images = [house.push("a", &["v1"]).await, house.push("b", &["v2"]).await];
    let advisories = |number: u8| Digest::sha256(&[number]);
    let judge = async |image: &Digest, snapshot: u8, inventory: &str, ids: &[(&str, advisory::Severity)]| {
        let findings = ids.iter().map(|(id, severity)| Finding {
            id: (*id).to_owned(),
            severity: *severity,
            ..finding()
        });
        let mut read = ImageInventory::default();
        read.problems.push(inventory::Problem {
            kind: inventory::ProblemKind::UnsupportedFormat,
            path: None,
            detail: inventory.to_owned(),
        });
        let write = VerdictWrite {
            image: image.clone(),
            inventory: read,
            snapshot: Some(advisories(snapshot)),
            engine: "test".to_owned(),
            verdict: Verdict { state: ImageState::Unhealthy, causes: vec![], findings: findings.collect() },
            keys: vec![],
            now_ms: 20,
        };
        assert!(house.store.put_verdict(write).await.expect("works"));
    };
    let (high, low) = (advisory::Severity::High, advisory::Severity::Low);
    house.store.install_snapshot(vec![], &advisories(1), 15).await.expect("works");
    judge(&images[0], 1, "x", &[("CVE-1", low)]).await;
    judge(&images[1], 1, "x", &[("CVE-1", low)]).await;
    assert_eq!(house.store.announce_advisories(21).await.expect("works"), 0, "a first verdict is no news");

    house.store.install_snapshot(vec![], &advisories(2), 25).await.expect("works");
    judge(&images[0], 2, "x", &[("CVE-1", low), ("CVE-2", low), ("CVE-3", low)]).await;
    judge(&images[1], 2, "x", &[("CVE-1", low), ("CVE-2", high)]).await;
    // Judged twice, as after a crash.
    judge(&images[1], 2, "x", &[("CVE-1", low), ("CVE-2", high)]).await;
    assert_eq!(news(&house, &all).await, [""; 0], "not before the rematch is over");
    assert_eq!(house.store.announce_advisories(26).await.expect("works"), 2);
    // Examples come by repository and digest.
    let both = if images[0].to_string() < images[1].to_string() { "v1,v2" } else { "v2,v1" };
    assert_eq!(news(&house, &all).await, [format!("CVE-2 High 2/1 {both}"), "CVE-3 Low 1/1 v1".to_owned()]);
    assert_eq!(news(&house, &one).await, ["CVE-2 Low 1/1 v1", "CVE-3 Low 1/1 v1"], "of its scope alone");
    assert_eq!(news(&house, &other).await, [""; 0]);
    assert_eq!(house.store.announce_advisories(27).await.expect("works"), 0, "told once");

    // Other packages were read: that is no news of an advisory.
    house.store.install_snapshot(vec![], &advisories(3), 35).await.expect("works");
    judge(&images[0], 3, "y", &[("CVE-4", high)]).await;
    assert_eq!(house.store.announce_advisories(36).await.expect("works"), 0);
    // An image that is deleted before the rematch ends is not told of.
    house.store.install_snapshot(vec![], &advisories(4), 45).await.expect("works");
    judge(&images[0], 4, "y", &[("CVE-4", high), ("CVE-5", high)]).await;
    let repository = "team/app".parse().expect("works");
    house.store.delete_repository(house.registry.id, &repository, 46).await.expect("works");
    assert_eq!(house.store.announce_advisories(47).await.expect("works"), 0);
}
