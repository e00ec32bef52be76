//! Goldens: what is judged how, and what is said about it.

use advisory::{Details, FeedInfo, Record, Severity, Snapshot, SnapshotBuilder, Status, Unfixed};
use assessment::Verdict;
use insta::assert_snapshot;
use inventory::{
    Distro, Ecosystem, ImageInventory, InstalledPackage, Package, Problem, ProblemKind, SourcePackage,
    UnjudgedSoftware,
};
use jiff::civil::{Date, date};
use matching::{Evidence, StaleFeed, judge, keys};
use oci::Digest;
use proptest::prelude::*;

const BOOKWORM: &str = "debian:bookworm";

/// An image of a distribution (`debian 12`) with packages (`libssl3/openssl 3.0.11-1`).
fn image(os: &str, packages: &[&str]) -> ImageInventory {
    let (id, version) = os.split_once(' ').expect("id and version");
    let ecosystem = if id == "alpine" { Ecosystem::Apk } else { Ecosystem::Deb };
    let distro = Distro { id: id.into(), version_id: Some(version.into()), ..Distro::default() };
    let install = |text: &&str| {
        let (names, version) = text.split_once(' ').expect("name and version");
        let (name, source) = names.split_once('/').unwrap_or((names, names));
        InstalledPackage {
            package: Package {
                ecosystem,
                name: name.into(),
                version: version.into(),
                architecture: "amd64".into(),
                source: SourcePackage { name: source.into(), version: version.into() },
            },
            path: "var/lib/dpkg/status".into(),
            layer: Digest::sha256(b"base"),
        }
    };
    let mut packages: Vec<_> = packages.iter().map(install).collect();
    packages.sort();
    ImageInventory { distro: Some(distro), packages, ..ImageInventory::default() }
}

/// Advisories of one namespace, `ID source status severity`: the status is a version, `none-yet`,
/// `deferred`, `wont-fix`, `end-of-life`, `not-affected`, `unknown`; the severity may be `unimportant`.
fn advisories(namespace: &str, lines: &[&str]) -> Snapshot<Vec<u8>> {
    let parsed = namespace.parse().expect("a namespace");
    let mut builder = SnapshotBuilder::new();
    let repositories: &[Option<&str>] =
        if namespace.starts_with("alpine") { &[Some("main"), Some("community")] } else { &[None] };
    for repository in repositories {
        builder.feed(FeedInfo {
            name: repository.map_or("debian".into(), |repository| format!("alpine/{repository}")),
            payload: Digest::sha256(b"payload"),
            records: lines.len() as u64,
            namespaces: vec![namespace.parse().expect("a namespace")],
            repository: repository.map(Into::into),
        });
    }
    for line in lines {
        let [id, source, status, severity] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let details = builder
            .details(&Details { description: "It overflows.", references: vec![("tracker", "https://t/")] });
        let record = Record {
            id,
            aliases: vec![],
            status: match status {
                "none-yet" => Status::Unfixed(Unfixed::NoneYet),
                "deferred" => Status::Unfixed(Unfixed::Deferred),
                "wont-fix" => Status::Unfixed(Unfixed::WontFix),
                "end-of-life" => Status::Unfixed(Unfixed::EndOfLife),
                "not-affected" => Status::NotAffected,
                "unknown" => Status::UnderInvestigation,
                version => Status::Fixed { version },
            },
            severity: severity.parse().unwrap_or(Severity::Unknown),
            severity_source: "debian urgency",
            unimportant: severity == "unimportant",
            feed: "debian",
            details,
        };
        builder.add(&parsed, source, &record);
    }
    let (bytes, id) = builder.finish();
    Snapshot::open(bytes, id).expect("our own snapshot")
}

fn verdict(inventory: &ImageInventory, snapshot: Option<&Snapshot<Vec<u8>>>) -> Verdict {
    verdict_on(date(2026, 11, 24), inventory, snapshot, &[])
}

fn verdict_on(
    today: Date,
    inventory: &ImageInventory,
    snapshot: Option<&Snapshot<Vec<u8>>>,
    stale: &[StaleFeed],
) -> Verdict {
    let layer_command =
        |layer: &Digest| (*layer == Digest::sha256(b"base")).then_some("RUN apt-get install -y libssl3");
    judge(&Evidence { inventory, layer_command: &layer_command, snapshot, today, stale })
}

/// The state, then a line a finding, then a line a cause.
fn say(verdict: &Verdict) -> String {
    let findings = verdict.findings.iter().map(|finding| {
        let fixed = finding.fixed_version.as_deref().unwrap_or("-");
        let (severity, state) = (finding.severity, finding.fix_state);
        format!(
            "{} {severity} {} {} -> {fixed} {state:?}",
            finding.id, finding.package.name, finding.package.version
        )
    });
    let causes = verdict.causes.iter().map(|cause| format!("{}: {}", cause.code, cause.description));
    [verdict.state.to_string()].into_iter().chain(findings).chain(causes).collect::<Vec<_>>().join("\n")
}

fn judged(os: &str, packages: &[&str], namespace: &str, lines: &[&str]) -> String {
    say(&verdict(&image(os, packages), Some(&advisories(namespace, lines))))
}

#[test]
fn an_older_source_version_is_affected_and_every_binary_package_is_a_finding() {
    let said = judged(
        "debian 12",
        &["libssl3/openssl 3.0.11-1", "openssl/openssl 3.0.11-1", "zlib1g/zlib 1:1.2"],
        BOOKWORM,
        &[
            "CVE-1 openssl 3.0.15-1~deb12u1 high",
            "CVE-2 openssl 3.0.11-1 high",
            "CVE-3 openssl 4 low",
            "CVE-4 curl 9 high",
        ],
    );
    assert_snapshot!(said, @r"
    Unhealthy
    CVE-1 High libssl3 3.0.11-1 -> 3.0.15-1~deb12u1 Fixed
    CVE-1 High openssl 3.0.11-1 -> 3.0.15-1~deb12u1 Fixed
    CVE-3 Low libssl3 3.0.11-1 -> 4 Fixed
    CVE-3 Low openssl 3.0.11-1 -> 4 Fixed
    ");
}

#[test]
fn the_source_version_decides_and_not_the_binary_version() {
    let mut inventory = image("debian 12", &["libssl3/openssl 3.0.11-1"]);
    inventory.packages[0].package.version = "99-1".into();
    let snapshot = advisories(BOOKWORM, &["CVE-1 openssl 3.0.15-1 high"]);
    assert_snapshot!(say(&verdict(&inventory, Some(&snapshot))), @r"
    Unhealthy
    CVE-1 High libssl3 99-1 -> 3.0.15-1 Fixed
    ");
}

#[test]
fn a_flaw_without_a_fix_is_a_finding_with_its_state() {
    let said = judged(
        "debian 12",
        &["zlib 1.2"],
        BOOKWORM,
        &[
            "CVE-1 zlib none-yet medium",
            "CVE-2 zlib deferred low",
            "CVE-3 zlib wont-fix high",
            "CVE-4 zlib end-of-life unknown",
        ],
    );
    assert_snapshot!(said, @r"
    Unhealthy
    CVE-3 High zlib 1.2 -> - WontFix
    CVE-1 Medium zlib 1.2 -> - NoneYet
    CVE-2 Low zlib 1.2 -> - Deferred
    CVE-4 Unknown zlib 1.2 -> - EndOfLife
    ");
}

#[test]
fn what_the_vendor_denies_or_calls_unimportant_is_no_finding() {
    let said = judged(
        "debian 12",
        &["zlib 1.2"],
        BOOKWORM,
        &["CVE-1 zlib not-affected high", "CVE-2 zlib none-yet unimportant", "CVE-3 zlib 9 unimportant"],
    );
    assert_snapshot!(said, @"Healthy");
}

#[test]
fn what_cannot_be_determined_is_a_doubt_and_never_healthy() {
    let said = judged(
        "debian 12",
        &["zlib 1.2", "zlib1g/zlib 1.2"],
        BOOKWORM,
        &["CVE-1 zlib ??? high", "CVE-2 zlib unknown low"],
    );
    assert_snapshot!(said, @r#"
    Unverified
    Undetermined: CVE-1 on zlib 1.2: "???" has no order among deb versions: no digits
    Undetermined: CVE-2 on zlib 1.2: the vendor has not determined yet who is affected
    "#);
}

#[test]
fn alpine_is_judged_by_origin_and_the_later_of_two_fixes_wins() {
    let said = judged(
        "alpine 3.22.1",
        &["libssl3/openssl 3.5.0-r0", "busybox 1.37-r1"],
        "alpine:v3.22",
        &[
            "CVE-1 openssl 3.5.1-r0 unknown",
            "CVE-1 openssl 3.5.4-r0 unknown",
            "CVE-1 openssl 3.5.10-r0 unknown",
            "CVE-2 openssl 3.5.0-r0 unknown",
            "CVE-3 openssl not-affected unknown",
            "CVE-4 busybox 1.37_rc1-r0 unknown",
        ],
    );
    assert_snapshot!(said, @r"
    Unhealthy
    CVE-1 Unknown libssl3 3.5.0-r0 -> 3.5.10-r0 Fixed
    ");
}

#[test]
fn a_finding_says_why_and_what_to_do() {
    let inventory = image("debian 12", &["libssl3/openssl 3.0.11-1", "linux-libc-dev/linux 6.1.1-1"]);
    let lines =
        ["CVE-1 openssl 3.0.15-1~deb12u1 high", "CVE-2 linux wont-fix low", "CVE-3 openssl deferred low"];
    let verdict = verdict(&inventory, Some(&advisories(BOOKWORM, &lines)));
    let lines: Vec<_> =
        verdict.findings.iter().map(|found| format!("{}\n{}", found.reason, found.remediation)).collect();
    assert_snapshot!(lines.join("\n"), @r"
    debian:bookworm openssl 3.0.11-1 < 3.0.15-1~deb12u1
    Upgrade libssl3 (source openssl) to 3.0.15-1~deb12u1 or later: rebuild the image on an updated base (layer sha256:cae662172fd4…, made by `RUN apt-get install -y libssl3`).
    debian:bookworm linux 6.1.1-1: no version of this release is fixed (these are the kernel's headers only: the kernel that runs is the host's)
    Debian 12 (bookworm) will not fix this: move to a newer release, or remove linux-libc-dev (source linux) if the image does not need it.
    debian:bookworm openssl 3.0.11-1: no version of this release is fixed
    No fixed version exists yet in Debian 12 (bookworm): its security team leaves the fix to a later update. Remove libssl3 (source openssl) if the image does not need it, or upgrade once there is one.
    ");
    let first = &verdict.findings[0];
    assert_eq!(first.title, "CVE-1 in openssl");
    assert_eq!(first.description, "It overflows.");
    assert_eq!(first.references[0].link, "https://t/");
    assert_eq!(first.package.layer_command.as_deref(), Some("RUN apt-get install -y libssl3"));
}

#[test]
fn without_advisory_data_nothing_is_healthy() {
    let bookworm = advisories(BOOKWORM, &[]);
    let case = |os, snapshot| say(&verdict(&image(os, &["zlib 1.2"]), snapshot));
    assert_snapshot!(case("debian 12", None), @r"
    Unverified
    NoAdvisoryData: no advisory data is loaded; import some with `lazaret feeds import`
    ");
    assert_snapshot!(case("debian 10", Some(&bookworm)), @r"
    Unverified
    NoAdvisoryData: the advisory data that is loaded says nothing of Debian 10 (buster)
    EndOfLife: Debian 10 (buster) has had no security updates since 2024-06-30: later flaws may be missing here
    ");
    assert_snapshot!(case("ubuntu 22.04", Some(&bookworm)), @r"
    Unverified
    NoAdvisoryData: Lazaret has no advisories for ubuntu 22.04
    ");
}

#[test]
fn a_release_with_one_of_its_repositories_unknown_is_not_healthy() {
    let mut builder = SnapshotBuilder::new();
    builder.feed(FeedInfo {
        name: "alpine/v3.22/main".into(),
        payload: Digest::sha256(b""),
        records: 0,
        namespaces: vec!["alpine:v3.22".parse().expect("valid")],
        repository: Some("main".into()),
    });
    let (bytes, id) = builder.finish();
    let snapshot = Snapshot::open(bytes, id).expect("our own");
    assert_snapshot!(say(&verdict(&image("alpine 3.22.0", &["zlib 1-r0"]), Some(&snapshot))), @r"
    Unverified
    NoAdvisoryData: the advisory data that is loaded lacks the community repository of Alpine 3.22
    ");
}

#[test]
fn stale_data_of_the_images_own_release_is_a_doubt() {
    let stale = |feed: &str| StaleFeed { feed: feed.into(), detail: "9 days old, the limit is 7".into() };
    let snapshot = advisories(BOOKWORM, &["CVE-1 openssl 9 high"]);
    let case = |package, feed: &str| {
        say(&verdict_on(date(2026, 1, 1), &image("debian 12", &[package]), Some(&snapshot), &[stale(feed)]))
    };
    assert_snapshot!(case("zlib 1.2", "debian"), @r"
    Unverified
    StaleAdvisoryData: the advisory data of feed debian is too old to rely on: 9 days old, the limit is 7
    ");
    assert_snapshot!(case("zlib 1.2", "alpine/v3.22/main"), @"Healthy");
    assert_snapshot!(case("openssl 1", "debian"), @r"
    Unhealthy
    CVE-1 High openssl 1 -> 9 Fixed
    StaleAdvisoryData: the advisory data of feed debian is too old to rely on: 9 days old, the limit is 7
    ");
}

#[test]
fn a_release_past_its_end_can_be_healthy_but_says_so() {
    let snapshot = advisories("debian:bullseye", &[]);
    let case = |today| say(&verdict_on(today, &image("debian 11", &["zlib 1.2"]), Some(&snapshot), &[]));
    assert_snapshot!(case(date(2026, 8, 31)), @"Healthy");
    assert_snapshot!(case(date(2026, 9, 1)), @r"
    Healthy
    EndOfLife: Debian 11 (bullseye) has had no security updates since 2026-08-31: later flaws may be missing here
    ");
}

#[test]
fn what_was_not_read_or_not_judged_is_a_doubt() {
    let snapshot = advisories(BOOKWORM, &[]);
    let problem =
        |kind, path: Option<&str>| Problem { kind, path: path.map(Into::into), detail: "at byte\n7".into() };
    let mut inventory = image("debian 12", &["zlib 1.2"]);
    inventory.problems = vec![
        problem(ProblemKind::Truncated, None),
        problem(ProblemKind::BadRecord, Some("var/lib/dpkg/status")),
        problem(ProblemKind::BadRecord, Some("etc/os-release")),
    ];
    inventory.unjudged =
        vec![UnjudgedSoftware { kind: "python".into(), example_path: "usr/lib/x".into(), count: 3 }];
    assert_snapshot!(say(&verdict(&inventory, Some(&snapshot))), @r"
    Unverified
    IncompleteInventory: a layer ends before its archive does: at byte 7
    IncompleteInventory: a package database or release file is damaged (2 times; first at var/lib/dpkg/status): at byte 7
    UnjudgedSoftware: 3 pieces of python software are not judged here; the first is usr/lib/x
    ");
}

#[test]
fn packages_need_a_distribution_and_a_distribution_needs_packages() {
    let snapshot = advisories(BOOKWORM, &["CVE-1 zlib 9 high"]);
    let mut homeless = image("debian 12", &["zlib 1.2"]);
    homeless.distro = None;
    assert_snapshot!(say(&verdict(&homeless, Some(&snapshot))), @r"
    Unverified
    UnknownDistribution: the image does not say which distribution its 1 deb packages belong to; the first is zlib
    ");
    let mut mixed = image("alpine 3.22.0", &["musl 1-r0"]);
    mixed.distro = image("debian 12", &[]).distro;
    assert_snapshot!(say(&verdict(&mixed, Some(&snapshot))), @r"
    Unverified
    UnknownDistribution: 1 apk packages do not belong to Debian 12 (bookworm); the first is musl
    ");
    assert_snapshot!(say(&verdict(&image("debian 12", &[]), Some(&snapshot))), @r"
    Unverified
    NoPackageDatabase: debian 12 is named in the image, but no package database was found
    ");
    let mut bare = image("debian 12", &[]);
    bare.databases = vec!["var/lib/dpkg/status".into()];
    assert_snapshot!(say(&verdict(&bare, Some(&snapshot))), @"Healthy");
}

#[test]
fn an_image_without_anything_known_is_not_applicable() {
    let blank = ImageInventory::default();
    assert_snapshot!(say(&verdict(&blank, None)), @r"
    NotApplicable
    NothingIdentifiable: no operating system, package or other known software was found in the image
    ");
    let unread = ImageInventory {
        problems: vec![Problem { kind: ProblemKind::Unavailable, path: None, detail: "gone".into() }],
        ..blank
    };
    assert_snapshot!(say(&verdict(&unread, None)), @r"
    Unverified
    IncompleteInventory: a layer is encrypted or not in the registry: gone
    ");
}

#[test]
fn a_thousand_doubts_are_counted_and_not_listed() {
    let lines: Vec<_> = (0..1000).map(|number| format!("CVE-{number:04} zlib unknown low")).collect();
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let verdict = verdict(&image("debian 12", &["zlib 1.2"]), Some(&advisories(BOOKWORM, &lines)));
    assert_eq!(verdict.causes.len(), 21);
    assert_eq!(verdict.causes[20].description, "and 980 more of this kind");
}

#[test]
fn a_damaged_snapshot_is_a_doubt() {
    let (bytes, id) = {
        let mut builder = SnapshotBuilder::new();
        builder.feed(FeedInfo {
            name: "debian".into(),
            payload: Digest::sha256(b""),
            records: 1,
            namespaces: vec![BOOKWORM.parse().expect("valid")],
            repository: None,
        });
        let details = builder.details(&Details::default());
        let record = Record {
            id: "CVE-1",
            aliases: vec![],
            status: Status::NotAffected,
            severity: Severity::Low,
            severity_source: "",
            unimportant: false,
            feed: "debian",
            details,
        };
        builder.add(&BOOKWORM.parse().expect("valid"), "zlib", &record);
        builder.finish()
    };
    let at = bytes.windows(5).rposition(|window| window == b"CVE-1").expect("the record");
    let mut damaged = bytes;
    damaged[at] = 0xff; // no UTF-8
    let snapshot = Snapshot::open(damaged, id).expect("the header is sound");
    assert_snapshot!(say(&verdict(&image("debian 12", &["zlib 1.2"]), Some(&snapshot))), @r"
    Unverified
    DamagedAdvisoryData: the advisory snapshot is damaged: a record does not read
    ");
}

#[test]
fn the_keys_of_an_image_are_its_sources_and_its_namespace() {
    let all = keys(&image("debian 12", &["libssl3/openssl 1", "openssl 1", "zlib1g/zlib 1"]));
    let said: Vec<_> = all.iter().map(|(namespace, package)| format!("{namespace} {package}")).collect();
    assert_eq!(said, ["debian:bookworm ", "debian:bookworm openssl", "debian:bookworm zlib"]);
    assert!(keys(&image("ubuntu 22.04", &["zlib 1"])).is_empty());
}

/// Lines for `advisories` on a handful of packages and ids.
fn lines() -> impl Strategy<Value = Vec<String>> {
    let status = prop_oneof![
        "[0-9]\\.[0-9](-[0-9])?",
        Just("none-yet".to_owned()),
        Just("wont-fix".to_owned()),
        Just("not-affected".to_owned()),
        Just("unknown".to_owned()),
        Just("???".to_owned()),
    ];
    let severity = prop_oneof![Just("low"), Just("high"), Just("unknown"), Just("unimportant")];
    let line = ("CVE-[1-4]", "(zlib|openssl|curl)", status, severity)
        .prop_map(|(id, source, status, severity)| format!("{id} {source} {status} {severity}"));
    proptest::collection::vec(line, 0..12)
}

proptest! {
    #![proptest_config(testkit::cases(256))]

    #[test]
    fn an_added_advisory_removes_no_finding(lines in lines(), added in lines(), version in "[0-9]\\.[0-9]") {
        let packages = [format!("zlib1g/zlib {version}"), format!("libssl3/openssl {version}"), "curl 5-1".to_owned()];
        let packages: Vec<_> = packages.iter().map(String::as_str).collect();
        let inventory = image("debian 12", &packages);
        let found = |lines: &[String]| {
            let lines: Vec<_> = lines.iter().map(String::as_str).collect();
            let verdict = verdict(&inventory, Some(&advisories(BOOKWORM, &lines)));
            let names = verdict.findings.iter().map(|found| (found.id.clone(), found.package.name.clone()));
            let names: Vec<_> = names.collect();
            (names, verdict)
        };
        let (before, verdict) = found(&lines);
        let (after, _) = found(&[lines.clone(), added].concat());
        for name in &before {
            prop_assert!(after.contains(name), "{name:?} vanished");
        }
        let mut unique = before.clone();
        unique.sort();
        unique.dedup();
        prop_assert_eq!(unique.len(), before.len(), "one finding a package and advisory");

        // The same evidence, stated in another order, is the same verdict.
        let (_, again) = found(&lines.iter().rev().cloned().collect::<Vec<_>>());
        prop_assert_eq!(again, verdict);
    }
}
