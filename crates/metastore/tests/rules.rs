//! Rules: what they disable at once, what comes back, and since when a state is what it is.

use advisory::Severity;
use assessment::{Cause, Criteria, Finding, FindingPackage, FixState, ImageState, RuledFinding, Verdict};
use inventory::{Distro, ImageInventory};
use metastore::{
    Durability, ImageRow, ManifestKind, Metastore, PutManifest, PutRule, RegistryId, ResourceGroup, Rule,
    RuleScope, RulesDocument, Subscription, Tier, VerdictWrite,
};
use oci::{Digest, MediaType, Reference};
use uuid::Uuid;

const SUBSCRIPTION: Uuid = Uuid::from_u128(7);

struct Rows {
    store: Metastore,
    registry: RegistryId,
    _folder: tempfile::TempDir,
}

async fn rows() -> Rows {
    let folder = tempfile::tempdir().expect("works");
    let store = Metastore::open(&folder.path().join("rows.sqlite"), Durability::Unflushed).expect("works");
    let subscription =
        Subscription { id: SUBSCRIPTION, display_name: "default".to_owned(), is_disabled: false };
    let group = ResourceGroup::new(SUBSCRIPTION, "group".to_owned(), "local".to_owned());
    store
        .create_tenancy(Uuid::nil(), subscription, Tier::Standard, group, "lazaret", 1)
        .await
        .expect("works");
    let registry = store.registries().await.expect("works")[0].id;
    Rows { store, registry, _folder: folder }
}

fn finding(id: &str, aliases: &[&str], severity: Severity) -> Finding {
    Finding {
        id: id.to_owned(),
        aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        title: id.to_owned(),
        description: String::new(),
        severity,
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

impl Rows {
    async fn push(&self, repository: &str, text: &str, tags: &[&str], now_ms: i64) -> Digest {
        let put = PutManifest {
            registry: self.registry,
            repository: repository.parse().expect("a name"),
            digest: Digest::sha256(text.as_bytes()),
            kind: ManifestKind::Image,
            media_type: MediaType::new(MediaType::OCI_MANIFEST),
            artifact_type: None,
            subject: None,
            annotations: None,
            bytes: text.as_bytes().to_vec(),
            tags: tags.iter().map(|tag| tag.parse().expect("a tag")).collect(),
            blobs: vec![],
            children: vec![],
            is_sparse: false,
            pushed_by: String::new(),
            now_ms,
        };
        let digest = put.digest.clone();
        self.store.put_manifest(put).await.expect("works");
        digest
    }

    async fn judge(&self, image: &Digest, findings: &[Finding], causes: &[&str], now_ms: i64) {
        let causes: Vec<Cause> = causes
            .iter()
            .map(|code| Cause { code: (*code).to_owned(), description: String::new() })
            .collect();
        let state =
            if findings.is_empty() { ImageState::without_findings(&causes) } else { ImageState::Unhealthy };
        let distro =
            Distro { id: "alpine".to_owned(), version_id: Some("3.22.1".to_owned()), ..Distro::default() };
        let write = VerdictWrite {
            image: image.clone(),
            inventory: ImageInventory { distro: Some(distro), ..ImageInventory::default() },
            snapshot: None,
            engine: "test".to_owned(),
            verdict: Verdict { state, causes, findings: findings.to_vec() },
            keys: vec![],
            now_ms,
        };
        assert!(self.store.put_verdict(write).await.expect("works"));
    }

    async fn image(&self, repository: &str, image: &Digest) -> (ImageRow, Vec<RuledFinding>) {
        let repository = repository.parse().expect("a name");
        let reference = Reference::Digest(image.clone());
        let row =
            self.store.image(self.registry, &repository, &reference).await.expect("works").expect("is there");
        let findings = self.store.findings(&row).await.expect("works");
        (row, findings)
    }

    /// State, since when, and by which rule each finding is disabled.
    async fn seen(&self, repository: &str, image: &Digest) -> String {
        let (row, findings) = self.image(repository, image).await;
        let of = |found: &RuledFinding| {
            let by = found.exemption.as_ref().map_or("-", |exemption| exemption.name.as_str());
            format!(" {}:{by}", found.finding.id)
        };
        let findings: String = findings.iter().map(of).collect();
        format!("{} {}{findings}", row.state().0, row.changed_ms().unwrap_or_default())
    }

    async fn put(
        &self,
        scope: RuleScope,
        name: &str,
        json: &str,
        expires_ms: Option<i64>,
        now_ms: i64,
    ) -> PutRule {
        let criteria: Criteria = serde_json::from_str(json).expect("parses");
        let criteria = criteria.checked().expect("is a rule");
        let rule = Rule { scope, name: name.to_owned(), criteria, reason: "because".to_owned(), expires_ms };
        self.store.put_rule(rule, "me", now_ms).await.expect("works")
    }

    async fn is_noticed(&self, since: i64, image: &Digest) -> bool {
        let changes = self.store.changes(since, 100).await.expect("works");
        changes.images.iter().any(|(_, digest)| digest == image)
    }
}

fn subscription() -> RuleScope {
    RuleScope { subscription: Some(SUBSCRIPTION), ..RuleScope::default() }
}

#[tokio::test]
async fn a_rule_takes_effect_at_once_and_is_undone_at_once() {
    let rows = rows().await;
    let image = rows.push("app", "a", &["1"], 10).await;
    let other = rows.push("app", "b", &[], 10).await;
    let both = [finding("CVE-1", &[], Severity::High), finding("TEMP-2", &["CVE-2"], Severity::Low)];
    rows.judge(&image, &both, &["EndOfLife"], 20).await;
    rows.judge(&other, &both[..1], &["UnjudgedSoftware"], 20).await;
    assert_eq!(rows.seen("app", &image).await, "Unhealthy 20 CVE-1:- TEMP-2:-");

    let since = rows.store.newest_change().await.expect("works");
    assert_eq!(
        rows.put(subscription(), "first", r#"{"advisories":["cve-2"]}"#, None, 30).await,
        PutRule::Created
    );
    assert_eq!(rows.seen("app", &image).await, "Unhealthy 20 CVE-1:- TEMP-2:first", "by its other name");
    assert!(rows.is_noticed(since, &image).await, "tables hear of it");
    assert!(!rows.is_noticed(since, &other).await, "what the rule is not about is left alone");

    assert_eq!(
        rows.put(subscription(), "second", r#"{"advisories":["CVE-1"]}"#, None, 40).await,
        PutRule::Created
    );
    assert_eq!(rows.seen("app", &image).await, "Healthy 40 CVE-1:second TEMP-2:first");
    assert_eq!(rows.seen("app", &other).await, "Unverified 40 CVE-1:second", "a doubt is no clean bill");
    let (row, _) = rows.image("app", &image).await;
    assert_eq!(
        row.state().1.last().map(|cause| cause.description.as_str()),
        Some("2 findings are disabled by rules")
    );
    let counts = rows.store.state_counts(rows.registry).await.expect("works");
    assert_eq!((counts.judged.get("Healthy"), counts.judged.get("Unhealthy")), (Some(&1), None));
    assert_eq!((counts.first_judged_ms, counts.changed_ms), (Some(20), Some(40)));
    let page = rows.store.results(rows.registry, None, None, 10).await.expect("works");
    assert_eq!(page.images.iter().map(|(_, findings)| findings.len()).sum::<usize>(), 3, "they stay visible");

    assert_eq!(
        rows.put(subscription(), "SECOND", r#"{"advisories":["CVE-9"]}"#, None, 50).await,
        PutRule::Updated
    );
    assert_eq!(rows.seen("app", &image).await, "Unhealthy 50 CVE-1:- TEMP-2:first");
    assert!(rows.store.delete_rule(subscription(), "First", 60).await.expect("works"));
    assert!(!rows.store.delete_rule(subscription(), "first", 60).await.expect("works"));
    assert_eq!(rows.seen("app", &image).await, "Unhealthy 50 CVE-1:- TEMP-2:-");
    let left = rows.store.rules().await.expect("works");
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].created_ms, left[0].changed_ms, left[0].disabled), (40, 50, 0));
}

#[tokio::test]
async fn new_verdicts_tags_and_copies_are_held_against_the_rules() {
    let rows = rows().await;
    let group = RuleScope { resource_group: Some("GROUP".to_owned()), ..subscription() };
    assert_eq!(rows.put(group, "dev", r#"{"tags":["dev-*"]}"#, None, 5).await, PutRule::Created);
    let image = rows.push("app", "a", &["dev-1"], 10).await;
    let found = [finding("CVE-1", &[], Severity::High)];
    rows.judge(&image, &[], &[], 20).await;
    assert_eq!(rows.seen("app", &image).await, "Healthy 20");
    rows.judge(&image, &found, &[], 30).await;
    assert_eq!(rows.seen("app", &image).await, "Healthy 20 CVE-1:dev", "it never was anything else");
    rows.push("app", "a", &["prod"], 40).await;
    assert_eq!(rows.seen("app", &image).await, "Unhealthy 40 CVE-1:-", "it is not for development only");
    let (app, prod) = ("app".parse().expect("a name"), "prod".parse().expect("a tag"));
    assert!(rows.store.delete_tag(rows.registry, &app, &prod, 50).await.expect("works"));
    assert_eq!(rows.seen("app", &image).await, "Healthy 50 CVE-1:dev");
    // The tag moves to another image: this one has none.
    rows.push("app", "b", &["dev-1"], 60).await;
    assert_eq!(rows.seen("app", &image).await, "Unhealthy 60 CVE-1:-");
    // A copy in another repository is judged already.
    rows.push("copy", "a", &["dev-2"], 70).await;
    assert_eq!(rows.seen("copy", &image).await, "Healthy 70 CVE-1:dev");
    // A rule that disables nothing any more leaves no trace in a new verdict.
    rows.judge(&image, &[], &[], 80).await;
    assert_eq!(rows.seen("copy", &image).await, "Healthy 70");
    assert_eq!(rows.seen("app", &image).await, "Healthy 80");
    assert!(rows.store.delete_manifest(rows.registry, &app, &image, 85).await.expect("works"));
    rows.judge(&image, &found, &[], 90).await;
    assert_eq!(rows.seen("copy", &image).await, "Healthy 70 CVE-1:dev");
}

#[tokio::test]
async fn a_rule_ends_at_its_time_and_says_so() {
    let rows = rows().await;
    let image = rows.push("app", "a", &["1"], 10).await;
    rows.judge(&image, &[finding("CVE-1", &[], Severity::Low)], &[], 20).await;
    let json = r#"{"distributions":["alpine_3.22"],"severityBelow":"Medium"}"#;
    rows.put(subscription(), "short", json, Some(100), 30).await;
    rows.put(subscription(), "long", json, Some(200), 30).await;
    assert_eq!(rows.store.expire_rules(99).await.expect("works"), 0);
    assert_eq!(rows.seen("app", &image).await, "Healthy 30 CVE-1:short");
    assert_eq!(rows.store.expire_rules(150).await.expect("works"), 1);
    assert_eq!(rows.seen("app", &image).await, "Healthy 30 CVE-1:long", "another rule covers it");
    // The server was down when it ended: it ended then all the same.
    assert_eq!(rows.store.expire_rules(999).await.expect("works"), 1);
    assert_eq!(rows.seen("app", &image).await, "Unhealthy 200 CVE-1:-");
    assert_eq!(rows.store.expire_rules(1000).await.expect("works"), 0);
    assert!(rows.store.rules().await.expect("works").iter().all(|rule| rule.is_expired));
    rows.put(subscription(), "long", json, None, 300).await;
    assert_eq!(rows.seen("app", &image).await, "Healthy 300 CVE-1:long");
}

#[tokio::test]
async fn a_rule_holds_in_its_scope_alone() {
    let rows = rows().await;
    let image = rows.push("app", "a", &["1"], 10).await;
    rows.judge(&image, &[finding("CVE-1", &[], Severity::Unknown)], &[], 20).await;
    let json = r#"{"notPatchable":true}"#;
    let elsewhere = RuleScope { subscription: Some(Uuid::from_u128(8)), ..RuleScope::default() };
    assert_eq!(rows.put(elsewhere, "x", json, None, 30).await, PutRule::NoScope);
    let absent =
        RuleScope { resource_group: Some("g".to_owned()), registry: Some("r".to_owned()), ..subscription() };
    assert_eq!(rows.put(absent, "x", json, None, 30).await, PutRule::NoScope);
    let registry = RuleScope {
        resource_group: Some("group".to_owned()),
        registry: Some("Lazaret".to_owned()),
        ..subscription()
    };
    assert_eq!(rows.put(RuleScope::default(), "x", json, None, 30).await, PutRule::Created, "everywhere");
    assert_eq!(
        rows.put(registry.clone(), "x", json, None, 31).await,
        PutRule::Created,
        "a name is one's of its scope"
    );
    assert_eq!(rows.seen("app", &image).await, "Healthy 30 CVE-1:x");
    let (_, findings) = rows.image("app", &image).await;
    let rule = findings[0].exemption.as_ref().map(|exemption| exemption.rule.as_str());
    assert_eq!(rule, Some("/providers/Microsoft.Security/findingRules/x"), "the oldest");
    assert!(rows.store.delete_rule(RuleScope::default(), "x", 40).await.expect("works"));
    assert_eq!(rows.seen("app", &image).await, "Healthy 30 CVE-1:x");
    assert!(rows.store.delete_rule(registry, "X", 50).await.expect("works"));
    assert_eq!(rows.seen("app", &image).await, "Unhealthy 50 CVE-1:-");
}

#[tokio::test]
async fn the_rules_of_a_document_are_for_what_it_is_attached_to() {
    let rows = rows().await;
    let image = rows.push("app", "a", &["1"], 10).await;
    let other = rows.push("app", "b", &[], 10).await;
    let copy = rows.push("copy", "a", &[], 10).await;
    let found = [finding("CVE-1", &[], Severity::High)];
    rows.judge(&image, &found, &[], 20).await;
    rows.judge(&other, &found, &[], 20).await;
    let attach = async |subject: &Digest, text: &str, now_ms: i64| {
        let digest = rows.push("app", text, &[], now_ms).await;
        let criteria: Criteria = serde_json::from_str(r#"{"advisories":["CVE-1"]}"#).expect("parses");
        let document = RulesDocument {
            registry: rows.registry,
            repository: "app".parse().expect("a name"),
            digest: digest.clone(),
            subject: subject.clone(),
            by: "somebody".to_owned(),
        };
        let put = rows.store.put_document_rules(document, vec![(criteria, "not built".to_owned())], now_ms);
        (digest, put.await.expect("works"))
    };
    let since = rows.store.newest_change().await.expect("works");
    let (document, disabled) = attach(&image, "document", 30).await;
    assert_eq!(disabled, Some(1));
    assert!(rows.is_noticed(since, &image).await, "tables hear of it");
    assert!(rows.seen("app", &image).await.starts_with("Healthy 30 CVE-1:vex-"));
    assert_eq!(rows.seen("app", &other).await, "Unhealthy 20 CVE-1:-");
    assert_eq!(rows.seen("copy", &copy).await, "Unhealthy 20 CVE-1:-", "the same image elsewhere");
    assert_eq!(attach(&image, "document", 31).await.1, Some(1), "pushed again");
    let rules = rows.store.rules().await.expect("works");
    assert_eq!((rules.len(), rules[0].disabled, rules[0].created_by.as_str()), (1, 1, "somebody"));
    assert_eq!(rules[0].rule.scope.registry.as_deref(), Some("lazaret"));

    // A new verdict is held against it, and a copy of the document does not count for the first.
    rows.judge(&image, &[], &[], 40).await;
    rows.judge(&image, &found, &[], 50).await;
    assert!(rows.seen("app", &image).await.starts_with("Healthy 30 CVE-1:vex-"));

    // One that is attached to an index is about its images, whichever comes first.
    let index = Digest::sha256(b"index");
    assert_eq!(attach(&index, "of an index", 60).await.1, Some(0));
    assert_eq!(rows.seen("app", &other).await, "Unhealthy 20 CVE-1:-");
    let put = PutManifest {
        registry: rows.registry,
        repository: "app".parse().expect("a name"),
        digest: index.clone(),
        kind: ManifestKind::Index,
        media_type: MediaType::new(MediaType::OCI_INDEX),
        artifact_type: None,
        subject: None,
        annotations: None,
        bytes: b"index".to_vec(),
        tags: vec![],
        blobs: vec![],
        children: vec![other.clone()],
        is_sparse: false,
        pushed_by: String::new(),
        now_ms: 70,
    };
    rows.store.put_manifest(put).await.expect("works");
    assert!(rows.seen("app", &other).await.starts_with("Healthy 70 CVE-1:vex-"));

    // It ends with its document.
    let app = "app".parse().expect("a name");
    assert!(rows.store.delete_manifest(rows.registry, &app, &document, 80).await.expect("works"));
    assert_eq!(rows.store.expire_rules(90).await.expect("works"), 1);
    assert_eq!(rows.store.expire_rules(91).await.expect("works"), 0);
    assert_eq!(rows.seen("app", &image).await, "Unhealthy 90 CVE-1:-");
    assert!(rows.seen("app", &other).await.starts_with("Healthy 70"));
    // Somebody who may change rules may end it before, or make it their own.
    let rules = rows.store.rules().await.expect("works");
    assert_eq!(rules.len(), 1);
    let (scope, name) = (rules[0].rule.scope.clone(), rules[0].rule.name.clone());
    assert_eq!(
        rows.put(scope.clone(), &name, r#"{"advisories":["CVE-2"]}"#, None, 95).await,
        PutRule::Updated
    );
    assert_eq!(rows.seen("app", &other).await, "Unhealthy 95 CVE-1:-");
    assert!(rows.store.delete_rule(scope, &name, 96).await.expect("works"));
    assert_eq!(attach(&index, "of an index", 97).await.1, Some(1), "pushed again by somebody who may");

    // What is attached to nothing that is there waits for it.
    let document = RulesDocument {
        registry: rows.registry,
        repository: "app".parse().expect("a name"),
        digest: Digest::sha256(b"never pushed"),
        subject: image.clone(),
        by: String::new(),
    };
    assert_eq!(rows.store.put_document_rules(document, vec![], 99).await.expect("works"), Some(0));
}
