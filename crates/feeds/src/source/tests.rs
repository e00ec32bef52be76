use std::io::Write as _;

use advisory::{Namespace, Snapshot, Status};

use super::*;

const DEBIAN: &str = r#"{
  "openssl": {
    "CVE-2024-1": {"description": "It overflows.", "scope": "remote", "debianbug": 1, "releases": {
      "bookworm": {"status": "resolved", "repositories": {"bookworm": "3.0.11-1"}, "fixed_version": "3.0.15-1", "urgency": "high**"},
      "trixie": {"status": "resolved", "fixed_version": "0", "urgency": "unimportant"},
      "sid": {"status": "open", "urgency": "not yet assigned"}}},
    "TEMP-0000001-ABCDEF": {"releases": {
      "bookworm": {"status": "open", "urgency": "low", "nodsa": "Minor issue", "nodsa_reason": "postponed"},
      "trixie": {"status": "open", "urgency": "medium", "nodsa_reason": "ignored"},
      "bullseye": {"status": "open", "urgency": "end-of-life"},
      "Not A Release": {"status": "open"}}}},
  "zlib": {"CVE-2024-2": {"releases": {
      "bookworm": {"status": "undetermined", "urgency": "unimportant"},
      "trixie": {"status": "resolved"},
      "sid": {"status": "of tomorrow", "nodsa_reason": null}}}}
}"#;

const ALPINE: &str = r#"{
  "apkurl": "{{urlprefix}}/x.apk", "archs": ["x86_64"], "reponame": "main", "urlprefix": "https://dl.example.test",
  "distroversion": "v3.22",
  "packages": [
    {"pkg": {"name": "openssl", "secfixes": {
      "3.5.1-r0": ["CVE-2025-1", "CVE_2025-2 XSA-9"], "0": ["CVE-2025-3"], "3.5.4-r0": ["CVE-2025-1 (+)"]}}},
    {"pkg": {"name": "zlib", "secfixes": {"1.3-r0": null, "1.2-r0": ["CVE-2022-9"], "1.2-r0": ["CVE-2022-8"]}}},
    {"pkg": {"name": "musl"}}]
}"#;

fn read(bytes: &[u8]) -> Result<Parsed, ParseError> {
    parse(bytes, &Digest::sha256(bytes), 1 << 20)
}

/// `package ID status severity`, a line a record.
fn records(parsed: Parsed, namespace: &str, packages: &[&str]) -> Vec<String> {
    let (bytes, id) = parsed.statements.finish();
    let snapshot = Snapshot::open(bytes, id).expect("our own snapshot");
    let namespace: Namespace = namespace.parse().expect("valid");
    let mut lines = Vec::new();
    for package in packages {
        for record in snapshot.lookup(&namespace, package).expect("sound") {
            let record = record.expect("sound");
            let status = match record.status {
                Status::Fixed { version } => version.to_owned(),
                other => format!("{other:?}"),
            };
            let hidden = if record.unimportant { " unimportant" } else { "" };
            lines.push(format!("{package} {} {status} {}{hidden}", record.id, record.severity));
        }
    }
    lines
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).expect("memory");
    packed.finish().expect("memory")
}

#[test]
fn debians_tracker_says_what_each_release_does() {
    let say = |namespace| records(read(DEBIAN.as_bytes()).expect("good"), namespace, &["openssl", "zlib"]);
    assert_eq!(
        say("debian:bookworm"),
        [
            "openssl CVE-2024-1 3.0.15-1 High",
            "openssl TEMP-0000001-ABCDEF Unfixed(Deferred) Low",
            "zlib CVE-2024-2 UnderInvestigation Unknown unimportant"
        ]
    );
    assert_eq!(
        say("debian:trixie"),
        [
            "openssl CVE-2024-1 NotAffected Unknown unimportant",
            "openssl TEMP-0000001-ABCDEF Unfixed(WontFix) Medium",
            "zlib CVE-2024-2 UnderInvestigation Unknown"
        ]
    );
    assert_eq!(
        say("debian:sid"),
        ["openssl CVE-2024-1 Unfixed(NoneYet) Unknown", "zlib CVE-2024-2 UnderInvestigation Unknown"]
    );
    assert_eq!(say("debian:bullseye"), ["openssl TEMP-0000001-ABCDEF Unfixed(EndOfLife) Unknown"]);
}

#[test]
fn debians_tracker_covers_the_releases_it_names() {
    let parsed = read(DEBIAN.as_bytes()).expect("good");
    assert_eq!((parsed.name.as_str(), parsed.form, parsed.records), ("debian", Form::Debian, 9));
    let (bytes, id) = parsed.statements.finish();
    let snapshot = Snapshot::open(bytes, id).expect("our own");
    let covered: Vec<_> = snapshot.feeds()[0].namespaces.iter().map(ToString::to_string).collect();
    assert_eq!(covered, ["debian:bookworm", "debian:bullseye", "debian:sid", "debian:trixie"]);
    assert_eq!(snapshot.feeds()[0].payload, Digest::sha256(DEBIAN.as_bytes()));

    let bookworm = "debian:bookworm".parse().expect("valid");
    let record = snapshot.lookup(&bookworm, "openssl").expect("sound").next().expect("one").expect("sound");
    let details = snapshot.details(record.details).expect("sound");
    assert_eq!(details.description, "It overflows.");
    assert_eq!(details.references[0].1, "https://security-tracker.debian.org/tracker/CVE-2024-1");
    assert_eq!(record.severity_source, "debian urgency");
}

#[test]
fn alpines_secdb_says_which_versions_fixed_what() {
    let parsed = read(ALPINE.as_bytes()).expect("good");
    assert_eq!((parsed.name.as_str(), parsed.form), ("alpine/v3.22/main", Form::Alpine));
    let mut lines = records(parsed, "alpine:v3.22", &["openssl", "zlib", "musl"]);
    lines.sort();
    assert_eq!(
        lines,
        [
            "openssl CVE-2025-1 3.5.1-r0 Unknown",
            "openssl CVE-2025-1 3.5.4-r0 Unknown",
            "openssl CVE-2025-2 3.5.1-r0 Unknown",
            "openssl CVE-2025-3 NotAffected Unknown",
            "openssl XSA-9 3.5.1-r0 Unknown",
            "zlib CVE-2022-8 1.2-r0 Unknown",
            "zlib CVE-2022-9 1.2-r0 Unknown",
        ]
    );
}

#[test]
fn packing_makes_no_difference() {
    let zstd = zstd::encode_all(ALPINE.as_bytes(), 1).expect("memory");
    for bytes in [gzip(ALPINE.as_bytes()), zstd, ALPINE.as_bytes().to_vec()] {
        assert_eq!(read(&bytes).expect("good").records, 7);
    }
}

#[test]
fn a_payload_that_cannot_be_used_says_why() {
    let truncated_gzip = &gzip(ALPINE.as_bytes())[..200];
    let mut damaged_gzip = gzip(ALPINE.as_bytes());
    let last = damaged_gzip.len() - 6; // the checksum
    damaged_gzip[last] ^= 0xff;
    let cases: [(&[u8], &str); 16] = [
        (b"", "it holds no advisory"),
        (b" \n", "it holds no advisory"),
        (b"{}", "it holds no advisory"),
        (b"{\"openssl\": {}}", "it holds no advisory"),
        (b"<html>503</html>", "it is neither Debian's tracker JSON nor Alpine's secdb JSON"),
        (b"[1]", "it is neither Debian's tracker JSON nor Alpine's secdb JSON"),
        (b"{\"message\": \"not found\"}", "it is neither Debian's tracker JSON nor Alpine's secdb JSON"),
        (b"{\"error\": {\"code\": 500}}", "it is not of its form"),
        (b"{\"error\": {\"code\": {}}}", "it is not of its form"),
        (b"{\"a b\": {}, \"c\": {}}", "it is not of its form"),
        (b"{\"packages\": []}", "it is not of its form"),
        (br#"{"packages": [], "reponame": "../x", "distroversion": "v3.2"}"#, "it is not of its form"),
        (&DEBIAN.as_bytes()[..300], "it is cut short"),
        (&ALPINE.as_bytes()[..300], "it is cut short"),
        (truncated_gzip, "it is cut short"),
        (b"{\"a\": {\"CVE-1\": {\"releases\": {}}}} and more", "it is damaged"),
    ];
    for (bytes, wanted) in cases {
        let error = read(bytes).expect_err("bad");
        assert_eq!(error.to_string(), wanted, "{} ({error:?})", String::from_utf8_lossy(bytes));
    }
    assert!(matches!(read(&damaged_gzip), Err(ParseError::Damaged(_))));
}

#[test]
fn a_payload_is_read_no_further_than_its_limit() {
    let bomb = gzip(&[b"{\"a\": {\"CVE-1\": {\"description\": \"".as_slice(), &[b'x'; 4 << 20]].concat());
    assert!(bomb.len() < 64 << 10);
    assert!(matches!(read(&bomb), Err(ParseError::TooLarge { bytes_max: 1_048_576 })));
}

#[test]
fn depth_is_bounded() {
    let deep = format!("{{\"a\": {{\"CVE-1\": {}", "{\"x\":".repeat(100_000));
    assert!(read(deep.as_bytes()).is_err());
}

#[test]
fn a_real_shaped_feed_is_read_whole() {
    let what = "a tracker document of real size";
    let Some(path) = testkit::shared("feeds/debian/changelog-derived-tracker.json.gz", what) else { return };
    let bytes = std::fs::read(path).expect("reads");
    let parsed = read(&bytes);
    // 1 MiB is too little for it.
    assert!(matches!(parsed, Err(ParseError::TooLarge { .. })), "{parsed:?}");
    let parsed = parse(bytes.as_slice(), &Digest::sha256(&bytes), 64 << 20).expect("good");
    assert_eq!(parsed.records, 6526 + 6192 + 2283);
}

proptest::proptest! {
    #![proptest_config(testkit::cases(256))]

    #[test]
    fn damage_never_panics(at in 0usize..2000, value: u8, alpine: bool) {
        let mut bytes = if alpine { ALPINE } else { DEBIAN }.as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = value;
        let _ = read(&bytes);
        let _ = read(&gzip(&bytes));
        bytes.truncate(at);
        assert!(read(&bytes).is_err());
    }
}
