//! The audit log: what was done stays, and a flood of refusals is a few rows.

use auth::AuditLog;
use metastore::{AuditEntry, AuditFilter, AuditLimits, Durability, Metastore};

const DAY_MS: i64 = 86_400_000;

fn entry(name: &str, action: &str, at_ms: i64) -> AuditEntry {
    let (name, action) = (name.to_owned(), action.to_owned());
    AuditEntry { at_ms, last_ms: at_ms, count: 1, name, action, ..AuditEntry::default() }
}

#[tokio::test]
async fn a_flood_of_refusals_is_a_few_rows_and_hides_nothing_that_was_done() {
    let folder = tempfile::tempdir().unwrap();
    let store = Metastore::open(&folder.path().join("rows.sqlite"), Durability::Unflushed).unwrap();
    let log = AuditLog::new(store.clone());
    log.done(entry("ann", "write", 1)).await.unwrap();
    for at_ms in 2..5_002 {
        log.refused(entry("mallory", "read", at_ms));
    }
    for at_ms in 6_000..8_000 {
        log.refused(entry(&format!("name{at_ms}"), &"x".repeat(10_000), at_ms));
    }
    log.flush().await.unwrap();
    let all = store.audit(AuditFilter::default(), 1_000).await.unwrap();
    assert_eq!(all.len(), 1 + 1 + 99 + 1, "done, alike, told apart, the rest");
    assert_eq!(all.iter().map(|entry| entry.count).sum::<u64>(), 1 + 5_000 + 2_000, "each is counted");
    assert!(all.iter().all(|entry| entry.action.len() <= 500));
    let mallory = AuditFilter { who: Some("Mallory".to_owned()), ..AuditFilter::default() };
    let mallory = store.audit(mallory, 10).await.unwrap();
    assert_eq!((mallory[0].count, mallory[0].at_ms, mallory[0].last_ms), (5_000, 2, 5_001));
    assert!(mallory[0].is_refused);
    // Rows of refusals go for rows of refusals.
    let limits = AuditLimits { done_max: 10, refused_max: 3, keep_ms: DAY_MS };
    store.tidy_audit(limits, 9_000).await.unwrap();
    let kept = store.audit(AuditFilter::default(), 1_000).await.unwrap();
    assert_eq!(kept.iter().filter(|entry| entry.is_refused).count(), 3);
    assert_eq!(kept.iter().filter(|entry| entry.name == "ann").count(), 1);
    let since = AuditFilter { since_ms: Some(2), ..AuditFilter::default() };
    assert_eq!(store.audit(since, 1_000).await.unwrap().len(), 3);
    store.tidy_audit(limits, DAY_MS + 9_000).await.unwrap();
    assert!(store.audit(AuditFilter::default(), 1_000).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_log_of_a_scope_is_read_page_by_page_and_holds_nothing_of_its_neighbours() {
    let folder = tempfile::tempdir().unwrap();
    let store = Metastore::open(&folder.path().join("rows.sqlite"), Durability::Unflushed).unwrap();
    let at = |scope: &str, at_ms| AuditEntry { scope: scope.to_owned(), ..entry("ann", "write", at_ms) };
    let inside = [at("/subscriptions/A/x", 3), at("/Subscriptions/a", 3), at("/subscriptions/a/y", 5)];
    let outside =
        [at("/subscriptions/ab", 4), at("/", 4), at("app/web:1", 4), at("/subscriptions/a/late", 9)];
    store
        .add_audit([inside, [outside[0].clone(), outside[1].clone(), outside[2].clone()]].concat())
        .await
        .unwrap();
    store.add_audit(vec![outside[3].clone()]).await.unwrap();
    let mut before = None;
    let mut found = Vec::new();
    loop {
        let filter = AuditFilter {
            until_ms: Some(8),
            beneath: Some("/subscriptions/a".to_owned()),
            before,
            ..AuditFilter::default()
        };
        let Some(next) = store.audit(filter, 1).await.unwrap().pop() else { break };
        before = Some((next.last_ms, next.id));
        found.push(next.scope);
    }
    assert_eq!(found, ["/subscriptions/a/y", "/Subscriptions/a", "/subscriptions/A/x"]);
}
