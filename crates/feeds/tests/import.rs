//! Payloads from files: what is taken in, what is refused, and what stays.

mod house;

use std::io::Write as _;

use feeds::{Outcome, Refusal};
use house::{House, alpine, debian};
use metastore::Metastore;

async fn rematches(metastore: &Metastore) -> usize {
    // Each snapshot that a queued job compares is needed, besides the current one.
    metastore.snapshots_needed().await.expect("rows").len().saturating_sub(1)
}

#[tokio::test]
async fn an_import_makes_a_snapshot_and_queues_a_rematch() {
    let house = House::new();
    let report = house.import(&[house.file("tracker.json", debian(3))], 7).await;
    assert!(report.is_new && !report.has_refusals(), "{report}");
    assert!(matches!(report.payloads[0].outcome, Outcome::Imported { records: 3, before: None }));
    assert_eq!(house.rows().await, ["debian 3 7"]);
    assert_eq!(house.records("debian:bookworm", "zlib").await, 3);
    assert!(house.snapshot().await.verify());
    assert_eq!(rematches(&house.metastore).await, 1);
    assert!(report.to_string().contains("debian ("), "{report}");
}

#[tokio::test]
async fn the_same_again_changes_nothing_but_the_date() {
    let house = House::new();
    let file = house.file("tracker.json", debian(3));
    let first = house.import(std::slice::from_ref(&file), 7).await;
    let again = house.import(&[file], 9).await;
    assert_eq!(again.snapshot, first.snapshot);
    assert!(!again.is_new && matches!(again.payloads[0].outcome, Outcome::Unchanged), "{again}");
    assert_eq!(house.rows().await, ["debian 3 9"]);
    assert_eq!(rematches(&house.metastore).await, 1);
}

#[tokio::test]
async fn a_folder_is_imported_with_those_beneath_it_whatever_the_packing() {
    let house = House::new();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(debian(2).as_bytes()).expect("memory");
    let folder = house.file("feeds/debian/tracker.json.gz", gzip.finish().expect("memory"));
    let zstd = zstd::encode_all(alpine("edge", "main", "1-r0").as_bytes(), 1).expect("memory");
    house.file("feeds/alpine/v3.22/main.json", alpine("v3.22", "main", "1-r0"));
    house.file("feeds/alpine/v3.22/community.json", alpine("v3.22", "community", "2-r0"));
    house.file("feeds/alpine/edge/main.json.zst", zstd);
    house.file("feeds/README.md", "no payload");
    let folder = folder.ancestors().nth(2).expect("feeds").to_owned();
    let report = house.import(&[folder], 1).await;
    assert!(!report.has_refusals(), "{report}");
    assert_eq!(
        house.rows().await,
        ["alpine/edge/main 1 1", "alpine/v3.22/community 1 1", "alpine/v3.22/main 1 1", "debian 2 1"]
    );
    assert_eq!(house.records("alpine:v3.22", "musl").await, 2, "both repositories speak of it");
    let coverage = house.snapshot().await;
    let missing = |name: &str| {
        let coverage = coverage.covers(&name.parse().expect("valid"));
        coverage.map(|coverage| coverage.missing)
    };
    assert_eq!(missing("alpine:v3.22"), Some(vec![]));
    assert_eq!(missing("alpine:edge"), Some(vec!["community"]));
}

#[tokio::test]
async fn one_feed_is_replaced_and_the_others_stay() {
    let house = House::new();
    house
        .import(&[house.file("a.json", debian(3)), house.file("b.json", alpine("v3.22", "main", "1-r0"))], 1)
        .await;
    let before = house.snapshot().await;
    let report = house.import(&[house.file("c.json", debian(4))], 2).await;
    assert!(
        matches!(report.payloads[0].outcome, Outcome::Imported { records: 4, before: Some(3) }),
        "{report}"
    );
    assert_eq!(house.rows().await, ["alpine/v3.22/main 1 1", "debian 4 2"]);
    assert_eq!(house.records("alpine:v3.22", "musl").await, 1);
    let changes = advisory::changed(Some(&before), &house.snapshot().await).expect("sound");
    let changes: Vec<_> =
        changes.iter().map(|change| format!("{} {}", change.namespace, change.package)).collect();
    assert_eq!(changes, ["debian:bookworm zlib"]);
}

#[tokio::test]
async fn a_payload_that_cannot_be_used_leaves_everything_as_it_was() {
    let house = House::new();
    let good = debian(10);
    let first = house.import(&[house.file("good.json", &good)], 1).await;
    let bad = [
        house.file("cut.json", &good[..good.len() / 2]),
        house.file("empty.json", ""),
        house.file("nothing.json", "{}"),
        house.file("other.json", "[1]"),
        house.file("small.json", debian(7)),
        house.folder.path().join("absent.json"),
        house.file("folder/readme.txt", "").parent().expect("a folder").to_owned(),
    ];
    for path in bad {
        let report = house.import(std::slice::from_ref(&path), 2).await;
        assert!(report.has_refusals(), "{report}");
        assert!(report.to_string().contains(&path.display().to_string()), "{report}");
        assert_eq!(report.snapshot, first.snapshot);
        assert_eq!(house.rows().await, ["debian 10 1"]);
    }
    let report = house.import(&[house.file("smaller.json", debian(8))], 3).await;
    assert!(!report.has_refusals(), "a loss of exactly the share is allowed: {report}");
}

#[tokio::test]
async fn the_good_payloads_of_an_import_are_taken_in_beside_the_bad() {
    let house = House::new();
    let files = [
        house.file("1.json", "{\"a\": {\"CVE-1\": {\"rel"),
        house.file("2.json", debian(3)),
        house.file("3.json", debian(5)),
        house.file("4.json", alpine("v3.22", "main", "1-r0")),
    ];
    let report = house.import(&files, 1).await;
    let refused: Vec<_> =
        report.payloads.iter().map(|payload| matches!(payload.outcome, Outcome::Refused(_))).collect();
    assert_eq!(refused, [true, false, true, false], "{report}");
    assert!(matches!(report.payloads[2].outcome, Outcome::Refused(Refusal::Twice)), "{report}");
    assert_eq!(house.rows().await, ["alpine/v3.22/main 1 1", "debian 3 1"]);
}

#[tokio::test]
async fn a_first_import_of_nothing_good_leaves_no_snapshot() {
    let house = House::new();
    let report = house.import(&[house.file("bad.json", "")], 1).await;
    assert_eq!(report.snapshot, None);
    assert_eq!(house.metastore.current_snapshot().await.expect("rows"), None);
}

#[tokio::test]
async fn a_lost_snapshot_is_made_again_from_the_payloads() {
    let house = House::new();
    let report = house.import(&[house.file("tracker.json", debian(3))], 1).await;
    let id = report.snapshot.expect("a snapshot");
    assert!(!house.feeds.recover(2).await.expect("the stores work"));
    house.blobs.remove(&id).await.expect("removed");
    assert!(house.feeds.recover(2).await.expect("the stores work"));
    assert_eq!(house.snapshot().await.id(), &id);
    assert_eq!(house.records("debian:bookworm", "zlib").await, 3);
}

#[tokio::test]
async fn a_sweep_removes_only_what_nobody_needs() {
    let house = House::new();
    house.import(&[house.file("1.json", debian(3))], 1).await;
    house.import(&[house.file("2.json", debian(4))], 2).await;
    // What a crash leaves of a payload that was being stored.
    let uploads = house.folder.path().join("blobs/uploads");
    std::fs::write(uploads.join("6a1f7c52-7f0b-4c39-9d5e-0c4a53f1a001"), "half").expect("a file");
    // It and the first payload go; the first snapshot stays as long as the queued rematch compares with it.
    assert_eq!(house.feeds.sweep().await.expect("the stores work"), 2);
    assert_eq!(house.feeds.sweep().await.expect("the stores work"), 0);
    assert_eq!(house.records("debian:bookworm", "zlib").await, 4);
    house.import(&[house.file("3.json", alpine("edge", "main", "1-r0"))], 3).await;
    assert_eq!(house.rows().await.len(), 2, "the payload that was kept still reads");
}

#[tokio::test]
async fn imports_at_the_same_time_lose_nothing() {
    let house = House::new();
    // Two that share no lock, as the server and the command line do.
    let other = feeds::Feeds::new(house.metastore.clone(), house.blobs.clone(), 20);
    let (a, b) = ([house.file("1.json", debian(3))], [house.file("2.json", alpine("edge", "main", "1-r0"))]);
    let (first, second) = tokio::join!(house.feeds.import(&a, 1), other.import(&b, 1));
    assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
    assert_eq!(house.records("debian:bookworm", "zlib").await, 3);
    assert_eq!(house.records("alpine:edge", "musl").await, 1);
}
