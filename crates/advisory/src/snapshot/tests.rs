use proptest::prelude::*;

use super::*;
use crate::{Details, Record, Severity, Status, Unfixed};

/// Adds `id`, fixed in `version`, with `description`, to a package of a namespace.
fn add(
    builder: &mut SnapshotBuilder,
    namespace: &str,
    package: &str,
    id: &str,
    version: &str,
    description: &str,
) {
    let details =
        builder.details(&Details { description, references: vec![("tracker", "https://example.test/")] });
    let record = Record {
        id,
        aliases: vec!["GHSA-1"],
        status: Status::Fixed { version },
        severity: Severity::High,
        severity_source: "debian urgency",
        unimportant: false,
        feed: "debian",
        details,
    };
    builder.add(&namespace.parse().expect("valid"), package, &record);
}

fn feed(name: &str, namespace: &str, repository: Option<&str>) -> FeedInfo {
    FeedInfo {
        name: name.into(),
        payload: Digest::sha256(name.as_bytes()),
        records: 1,
        namespaces: vec![namespace.parse().expect("valid")],
        repository: repository.map(Into::into),
    }
}

fn sample() -> SnapshotBuilder {
    let mut builder = SnapshotBuilder::new();
    builder.feed(feed("debian", "debian:bookworm", None));
    add(&mut builder, "debian:bookworm", "openssl", "CVE-1", "3.0", "one");
    add(&mut builder, "debian:bookworm", "openssl", "CVE-2", "3.1", "two");
    add(&mut builder, "debian:trixie", "openssl", "CVE-1", "3.2", "one");
    add(&mut builder, "debian:bookworm", "zlib", "CVE-3", "1.2", "three");
    builder
}

fn open(builder: SnapshotBuilder) -> Snapshot<Vec<u8>> {
    let (bytes, id) = builder.finish();
    Snapshot::open(bytes, id).expect("our own snapshot")
}

fn ids(snapshot: &Snapshot<Vec<u8>>, namespace: &str, package: &str) -> Vec<String> {
    let records = snapshot.lookup(&namespace.parse().expect("valid"), package).expect("a sound index");
    records.map(|record| record.expect("a sound record").id.to_owned()).collect()
}

#[test]
fn a_lookup_finds_the_records_of_one_package_in_one_release() {
    let snapshot = open(sample());
    assert_eq!(ids(&snapshot, "debian:bookworm", "openssl"), ["CVE-1", "CVE-2"]);
    assert_eq!(ids(&snapshot, "debian:trixie", "openssl"), ["CVE-1"]);
    assert_eq!(ids(&snapshot, "debian:trixie", "zlib"), [""; 0]);
    assert_eq!(ids(&snapshot, "debian:bookworm", ""), [""; 0]);
    assert!(snapshot.verify());
}

#[test]
fn a_record_reads_back_as_it_was_added() {
    let mut builder = SnapshotBuilder::new();
    let details = builder.details(&Details { description: "é", references: vec![("a", "b"), ("c", "d")] });
    let namespace: Namespace = "alpine:edge".parse().expect("valid");
    let statuses = [
        Status::Fixed { version: "1-r0" },
        Status::Unfixed(Unfixed::NoneYet),
        Status::Unfixed(Unfixed::Deferred),
        Status::Unfixed(Unfixed::WontFix),
        Status::Unfixed(Unfixed::EndOfLife),
        Status::NotAffected,
        Status::UnderInvestigation,
    ];
    for status in statuses {
        for severity in
            [Severity::Unknown, Severity::Low, Severity::Medium, Severity::High, Severity::Critical]
        {
            let name = format!("{status:?}{severity}");
            let record = Record {
                id: "XSA-1",
                aliases: vec![],
                status,
                severity,
                severity_source: "",
                unimportant: true,
                feed: "f",
                details,
            };
            builder.add(&namespace, &name, &record);
            let snapshot = open(builder.clone());
            let found: Vec<_> = snapshot.lookup(&namespace, &name).expect("sound").collect();
            assert_eq!(found, [Ok(record)]);
            let details = snapshot.details(details).expect("sound");
            assert_eq!(details.references, [("a", "b"), ("c", "d")]);
            assert_eq!(details.description, "é");
        }
    }
}

#[test]
fn the_order_of_adding_does_not_matter() {
    let mut other = SnapshotBuilder::new();
    add(&mut other, "debian:bookworm", "zlib", "CVE-3", "1.2", "three");
    add(&mut other, "debian:trixie", "openssl", "CVE-1", "3.2", "one");
    add(&mut other, "debian:bookworm", "openssl", "CVE-2", "3.1", "two");
    let mut rest = SnapshotBuilder::new();
    add(&mut rest, "debian:bookworm", "openssl", "CVE-1", "3.0", "one");
    add(&mut rest, "debian:bookworm", "openssl", "CVE-1", "3.0", "one");
    rest.feed(feed("debian", "debian:bookworm", None));
    other.merge(rest);
    assert_eq!(other.records(), 4);
    assert_eq!(other.finish(), sample().finish());
}

#[test]
fn only_what_differs_is_changed() {
    let say = |old: SnapshotBuilder, new: SnapshotBuilder| {
        let changes = changed(Some(&open(old)), &open(new)).expect("sound");
        changes.iter().map(|change| format!("{} {}", change.namespace, change.package)).collect::<Vec<_>>()
    };
    assert_eq!(say(sample(), sample()), [""; 0]);

    let mut more = sample();
    add(&mut more, "debian:bookworm", "aaa", "CVE-9", "1", "x");
    add(&mut more, "debian:bookworm", "zlib", "CVE-9", "1", "x");
    assert_eq!(say(sample(), more.clone()), ["debian:bookworm aaa", "debian:bookworm zlib"]);
    assert_eq!(say(more, sample()), ["debian:bookworm aaa", "debian:bookworm zlib"]);

    let mut reworded = SnapshotBuilder::new();
    reworded.feed(feed("debian", "debian:bookworm", None));
    add(&mut reworded, "debian:bookworm", "openssl", "CVE-1", "3.0", "one, reworded");
    add(&mut reworded, "debian:bookworm", "openssl", "CVE-2", "3.1", "two");
    add(&mut reworded, "debian:trixie", "openssl", "CVE-1", "3.2", "one");
    add(&mut reworded, "debian:bookworm", "zlib", "CVE-3", "1.2", "three");
    assert_eq!(say(sample(), reworded), ["debian:bookworm openssl"]);

    let mut covered = sample();
    covered.feed(feed("alpine/v3.22/main", "alpine:v3.22", Some("main")));
    assert_eq!(say(sample(), covered.clone()), ["alpine:v3.22 "]);
    let mut complete = covered.clone();
    complete.feed(feed("alpine/v3.22/community", "alpine:v3.22", Some("community")));
    assert_eq!(say(covered, complete), ["alpine:v3.22 "]);
}

#[test]
fn against_no_snapshot_everything_is_changed() {
    let changes = changed(None::<&Snapshot<Vec<u8>>>, &open(sample())).expect("sound");
    assert_eq!(changes.len(), 4, "three keys and the coverage of bookworm");
}

#[test]
fn coverage_names_the_repositories_that_are_missing() {
    let mut builder = sample();
    builder.feed(feed("alpine/v3.22/main", "alpine:v3.22", Some("main")));
    let snapshot = open(builder);
    let missing = |namespace: &str| {
        snapshot.covers(&namespace.parse().expect("valid")).map(|coverage| coverage.missing)
    };
    assert_eq!(missing("debian:bookworm"), Some(vec![]));
    assert_eq!(missing("debian:trixie"), None);
    assert_eq!(missing("alpine:v3.22"), Some(vec!["community"]));
}

/// Opens bytes and reads everything that can be read.
fn read_all(bytes: Vec<u8>) -> Result<usize, InvalidSnapshot> {
    let snapshot = Snapshot::open(bytes, Digest::sha256(b""))?;
    let mut read = 0;
    for index in 0..snapshot.len() {
        snapshot.key(index)?;
        for record in Records::new(snapshot.block(index)?) {
            snapshot.details(record?.details)?;
            read += 1;
        }
    }
    for package in ["openssl", "zlib"] {
        for record in snapshot.lookup(&"debian:bookworm".parse().expect("valid"), package)? {
            record?;
        }
    }
    changed(Some(&snapshot), &snapshot)?;
    Ok(read)
}

#[test]
fn a_cut_snapshot_is_an_error_and_never_a_panic() {
    let (bytes, _) = sample().finish();
    assert_eq!(read_all(bytes.clone()), Ok(4));
    for len in 0..bytes.len() {
        assert!(read_all(bytes[..len].to_vec()).is_err(), "cut to {len}");
    }
    assert_eq!(read_all(b"something else entirely".repeat(9)), Err(InvalidSnapshot::NotASnapshot));
}

#[test]
fn a_changed_byte_never_panics_and_never_verifies() {
    let (bytes, id) = sample().finish();
    for at in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            if damaged[at] == value {
                continue;
            }
            damaged[at] = value;
            let _ = read_all(damaged.clone());
            if let Ok(snapshot) = Snapshot::open(damaged, id.clone()) {
                assert!(!snapshot.verify());
            }
        }
    }
}

proptest! {
    #![proptest_config(testkit::cases(256))]

    #[test]
    fn noise_behind_a_sound_preamble_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..400), at in 16usize..700) {
        let (mut bytes, _) = sample().finish();
        let at = at.min(bytes.len());
        let end = (at + noise.len()).min(bytes.len());
        bytes[at..end].copy_from_slice(&noise[..end - at]);
        let _ = read_all(bytes);
    }
}
