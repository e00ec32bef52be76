//! The suite of 1.1: pull, push, content discovery, content management.

use oci::Algorithm::Sha256;
use oci::{Digest, MediaType};
use serde_json::{Value, json};

use crate::suite::{Answer, NARROW, Suite, UNKNOWN, Version, all, descriptor, digest_of, image, same};

/// The order in which an official suite takes its content away again
/// (`OCI_DELETE_MANIFEST_BEFORE_BLOBS`); each has numbers of its own.
#[derive(Clone, Copy)]
pub(crate) enum Order {
    ManifestsFirst,
    BlobsFirst,
}

pub(crate) async fn pull(suite: &mut Suite, repository: &str, order: Order) {
    let blobs = [("P1", b"config 0".as_slice()), ("P2", b"config 1"), ("P3", b"layer")];
    for (number, bytes) in blobs {
        let pushed = suite.push_blob(repository, &Digest::sha256(bytes), bytes).await;
        suite.row(number, "setup: a blob", pushed.is(201));
    }
    let (manifest, other) =
        (image(b"config 0", &[b"layer"], Sha256), image(b"config 1", &[b"layer"], Sha256));
    let pushed = suite.push_manifest(repository, "tagtest0", &manifest).await;
    suite.row("P4", "setup: a manifest by tag", pushed.is(201));
    let (first, second) = (digest_of(&manifest, Sha256).to_string(), digest_of(&other, Sha256).to_string());
    let pushed = suite.push_manifest(repository, &second, &other).await;
    suite.row("P5", "setup: a manifest by digest", pushed.is(201));
    // Without setup the suite knows only a tag that it is told: here the registry tells it.
    let tags = suite.get(&format!("/v2/{repository}/tags/list")).await.json();
    suite.row("P6", "the tag is known without setup", same("tags", &tags["tags"], &json!(["tagtest0"])));
    let tag = tags["tags"][0].as_str().unwrap_or_default();

    unknown_and_known_blobs(suite, repository).await;
    for (head, get, reference, wanted) in [
        ("P12", "P16", first.as_str(), &manifest),
        ("P13", "P17", &second, &other),
        ("P14", "P18", tag, &manifest),
    ] {
        let (path, digest) = (format!("/v2/{repository}/manifests/{reference}"), digest_of(wanted, Sha256));
        for (number, method) in [(head, "HEAD"), (get, "GET")] {
            let answer = suite.ask(method, &path, &[], b"").await;
            let typed = answer.says(200, "content-type", MediaType::OCI_MANIFEST);
            let whole = answer.holds(wanted.to_string().as_bytes(), &digest, method == "HEAD");
            suite.row(number, format!("{method} a manifest by {reference}"), typed.and(whole));
        }
    }
    let malformed = format!("/v2/{repository}/manifests/sha256:totallywrong");
    let answer = suite.ask("GET", &malformed, &[], b"body").await;
    suite.row("P19", "GET a malformed digest", answer.refuses(400, "DIGEST_INVALID"));
    let manifests = [("P20", "P25", first), ("P21", "P26", second)];
    let blobs = ["P22", "P23", "P24"].into_iter().zip(blobs.map(|(_, bytes)| Digest::sha256(bytes)));
    teardown(suite, repository, order, &manifests, &blobs.collect::<Vec<_>>()).await;
}

async fn unknown_and_known_blobs(suite: &mut Suite, repository: &str) {
    let blob = Digest::sha256(b"layer");
    let known = format!("/v2/{repository}/blobs/{blob}");
    let unknown = format!("/v2/{repository}/blobs/{UNKNOWN}");
    let answer = suite.head(&unknown).await;
    suite.row("P7", "HEAD an unknown blob", all([answer.is(404), same("body", answer.body.len(), 0)]));
    let answer = suite.head(&known).await;
    suite.row("P8", "HEAD a known blob", answer.holds(b"layer", &blob, true));
    let answer = suite.get(&unknown).await;
    suite.row("P9", "GET an unknown blob", answer.refuses(404, "BLOB_UNKNOWN"));
    let answer = suite.get(&known).await;
    suite.row("P10", "GET a known blob", answer.holds(b"layer", &blob, false));
    for (number, method) in [("P11", "HEAD"), ("P15", "GET")] {
        for reference in [".INVALID_MANIFEST_NAME", "absent", UNKNOWN] {
            let path = format!("/v2/{repository}/manifests/{reference}");
            let answer = suite.ask(method, &path, &[], b"").await;
            suite.row(number, format!("{method} the unknown manifest {reference}"), answer.is(404));
        }
    }
}

/// Takes manifests (with their numbers before and after the blobs) and blobs away. Blobs that a manifest
/// still needs stay.
async fn teardown(
    suite: &mut Suite,
    repository: &str,
    order: Order,
    manifests: &[(&str, &str, String)],
    blobs: &[(&str, Digest)],
) {
    if matches!(order, Order::BlobsFirst) {
        for (number, digest) in blobs {
            let path = format!("/v2/{repository}/blobs/{digest}");
            let (deleted, head) = (suite.delete(&path).await, suite.head(&path).await);
            let stays = deleted.refuses(405, "UNSUPPORTED").and(head.is(200));
            suite.row(*number, "teardown: a blob that a manifest needs", stays);
        }
    }
    for (before, after, digest) in manifests {
        let number = if matches!(order, Order::BlobsFirst) { after } else { before };
        let path = format!("/v2/{repository}/manifests/{digest}");
        let (deleted, again) = (suite.delete(&path).await, suite.delete(&path).await);
        suite.row(*number, "teardown: a manifest", deleted.is(202).and(again.is(404)));
    }
    for (number, digest) in blobs {
        let path = format!("/v2/{repository}/blobs/{digest}");
        let (deleted, again) = (suite.delete(&path).await, suite.delete(&path).await);
        suite.row(*number, "teardown: a blob", deleted.is(202).and(again.is(404)));
    }
}

pub(crate) async fn push(suite: &mut Suite, repository: &str, order: Order) {
    let digest = Digest::sha256(b"streamed");
    let opened = suite.open(repository).await;
    let patched = suite.stream(opened.header("location"), b"streamed").await;
    let located = patched.says(202, "location", opened.header("location"));
    suite.row("U1", "PATCH a blob as a stream", patched.says(202, "range", "0-7").and(located));
    let closed = suite.ask("PUT", &format!("{}?digest={digest}", patched.header("location")), &[], b"").await;
    suite.row("U2", "close it", closed.says(201, "location", format!("/v2/{repository}/blobs/{digest}")));
    let answer = suite.get(&format!("/v2/{repository}/blobs/{UNKNOWN}")).await;
    suite.row("U3", "GET an unknown blob", answer.is(404));
    let posted = suite.push_blob(repository, &Digest::sha256(b"posted"), b"posted").await;
    let wanted = format!("/v2/{repository}/blobs/{}", Digest::sha256(b"posted"));
    suite.row("U4", "POST a whole blob", posted.says(201, "location", wanted));
    let answer = suite.get(posted.header("location")).await;
    suite.row("U5", "GET it", answer.holds(b"posted", &Digest::sha256(b"posted"), false));
    for (open, put, get, bytes) in [("U6", "U7", "U8", b"config".as_slice()), ("U9", "U9", "U10", b"layer")] {
        let (opened, digest) = (suite.open(repository).await, Digest::sha256(bytes));
        suite.row(open, "POST opens a session", opened.says(202, "range", "0-0"));
        let path = format!("{}?digest={digest}", opened.header("location"));
        let answer = suite.ask("PUT", &path, &[], bytes).await;
        let located = answer.says(201, "location", format!("/v2/{repository}/blobs/{digest}"));
        suite.row(put, "PUT a whole blob", located);
        let answer = suite.get(answer.header("location")).await;
        suite.row(get, "GET it", answer.holds(bytes, &digest, false));
    }
    let whole = chunks(suite, repository).await;
    mounts(suite, repository, &whole).await;

    let answer = suite.get(&format!("/v2/{repository}/manifests/unknown")).await;
    suite.row("U23", "GET an unknown manifest", answer.refuses(404, "MANIFEST_UNKNOWN"));
    let manifest = image(b"config", &[b"layer"], Sha256);
    for tag in ["test0", "test1", "test2", "test3"] {
        let put = suite.push_manifest(repository, tag, &manifest).await;
        suite.row("U24", format!("PUT a manifest under {tag}"), put.is(201));
        let answer = suite.get(put.header("location")).await;
        suite.row("U24", "its location can be pulled", answer.is(200));
    }
    let empty = image(b"config", &[], Sha256);
    let answer = suite.push_manifest(repository, "emptylayer", &empty).await;
    suite.row("U25", "PUT a manifest without layers", answer.is(201));
    let digest = digest_of(&manifest, Sha256);
    let answer = suite.get(&format!("/v2/{repository}/manifests/{digest}")).await;
    suite.row("U26", "GET it by digest", answer.holds(manifest.to_string().as_bytes(), &digest, false));
    let manifests =
        [("U27", "U30", digest.to_string()), ("U27", "U30", digest_of(&empty, Sha256).to_string())];
    let blobs = [("U28", Digest::sha256(b"config")), ("U29", Digest::sha256(b"layer"))];
    teardown(suite, repository, order, &manifests, &blobs).await;
}

async fn chunks(suite: &mut Suite, repository: &str) -> Digest {
    let (first, second) = (b"first-".as_slice(), b"second".as_slice());
    let opened = suite.open(repository).await;
    let location = opened.header("location");
    let early = suite.ask("PATCH", location, &[("content-range", "6-11")], second).await;
    suite.row("U11", "PATCH the second chunk first", early.says(416, "location", location));
    let answer = suite.ask("PATCH", location, &[("content-range", "0-5")], first).await;
    suite.row("U12", "PATCH the first chunk", answer.says(202, "range", "0-5"));
    let answer = suite.ask("PATCH", location, &[("content-range", "0-5")], first).await;
    suite.row("U13", "PATCH it again", answer.says(416, "range", "0-5"));
    if suite.version >= Version::V1_1 {
        let status = suite.get(location).await;
        let stands = all([status.says(204, "range", "0-5"), status.says(204, "location", location)]);
        suite.row("U14", "GET the session", stands);
    }
    let answer = suite.ask("PATCH", location, &[("content-range", "6-11")], second).await;
    let located = answer.says(202, "location", location);
    suite.row("U15", "PATCH the second chunk", answer.says(202, "range", "0-11").and(located));
    let whole = Digest::sha256(b"first-second");
    let answer = suite.ask("PUT", &format!("{location}?digest={whole}"), &[], b"").await;
    suite.row("U16", "close it", answer.says(201, "location", format!("/v2/{repository}/blobs/{whole}")));
    whole
}

async fn mounts(suite: &mut Suite, source: &str, whole: &Digest) {
    let mount =
        |target: &str, digest: &str, from: &str| format!("/v2/{target}/blobs/uploads/?mount={digest}{from}");
    let is_session = |answer: &Answer, target: &str| {
        let begins = answer.header("location").starts_with(&format!("/v2/{target}/blobs/uploads/"));
        answer.is(202).and(same("location is a session's", begins, true))
    };
    let (b, c, d) = (format!("{source}-b"), format!("{source}-c"), format!("{source}-d"));
    let answer =
        suite.ask("POST", &mount(&b, &whole.to_string(), &format!("&from={source}")), &[], b"").await;
    suite.row("U18", "mount from a repository", answer.is(201));
    let wanted = answer.says(201, "location", format!("/v2/{b}/blobs/{whole}"));
    let pulled = suite.get(answer.header("location")).await.holds(b"first-second", whole, false);
    suite.row("U19", "its location can be pulled", wanted.and(pulled));
    let answer = suite.ask("POST", &mount(&c, UNKNOWN, "&from=first/never"), &[], b"").await;
    suite.row("U20", "a mount that is none is a session", is_session(&answer, &c));
    if suite.version < Version::V1_1 {
        return;
    }
    let answer = suite.ask("POST", &mount(source, UNKNOWN, ""), &[], b"").await;
    suite.row("U17", "mount what is nowhere", is_session(&answer, source));
    let answer = suite.ask("POST", &mount(&d, &whole.to_string(), ""), &[], b"").await;
    let wanted = answer.says(201, "location", format!("/v2/{d}/blobs/{whole}"));
    suite.row("U21", "mount without from", wanted);
    // The other setting of the official switch, whose registry mounts nothing without `from`. Ours does
    // so for whoever may not pull the blob from anywhere: for them there is a session, which works.
    let answer = suite.ask_as_narrow("POST", &mount(NARROW, &whole.to_string(), ""), b"").await;
    suite.row("U22", "mount without from what one may not pull", is_session(&answer, NARROW));
    let close = format!("{}?digest={whole}", answer.header("location"));
    let closed = suite.ask_as_narrow("PUT", &close, b"first-second").await;
    suite.row("U22", "and its session works", closed.is(201));
    let path = format!("/v2/{NARROW}/blobs/{whole}");
    suite.row("U22", "teardown", suite.delete(&path).await.is(202));
}

pub(crate) async fn discovery(suite: &mut Suite, repository: &str, order: Order) {
    for (number, bytes) in [("D1", b"config".as_slice()), ("D2", b"layer")] {
        let pushed = suite.push_blob(repository, &Digest::sha256(bytes), bytes).await;
        suite.row(number, "setup: a blob", pushed.is(201));
    }
    let manifest = image(b"config", &[b"layer"], Sha256);
    for tag in ["test2", "test0", "TEST1", "test3"] {
        let pushed = suite.push_manifest(repository, tag, &manifest).await;
        suite.row("D3", format!("setup: the tag {tag}"), pushed.is(201));
    }
    tags(suite, repository).await;
    let mut manifests = Vec::new();
    if suite.version >= Version::V1_1 {
        let pushed = suite.push_blob(repository, &Digest::sha256(b"{}"), b"{}").await;
        suite.row("D5", "setup: a blob", pushed.is(201));
        for referrer in referrers(suite, repository, &manifest).await {
            manifests.push(("D13", "D16", digest_of(&referrer, Sha256).to_string()));
        }
    }
    let digest = digest_of(&manifest, Sha256);
    manifests.push(("D13", "D16", digest.to_string()));
    let mut blobs = vec![("D14", Digest::sha256(b"config")), ("D15", Digest::sha256(b"layer"))];
    if suite.version >= Version::V1_1 {
        blobs.push(("D17", Digest::sha256(b"{}")));
    }
    teardown(suite, repository, order, &manifests, &blobs).await;
    if suite.version >= Version::V1_1 {
        let gone = suite.get(&format!("/v2/{repository}/referrers/{digest}")).await.json();
        suite.row("D17", "teardown: none refers any more", same("index", &gone, &no_referrers()));
    }
}

async fn tags(suite: &mut Suite, repository: &str) {
    let list = format!("/v2/{repository}/tags/list");
    let answer = suite.get(&list).await;
    let sorted = json!({ "name": repository, "tags": ["TEST1", "test0", "test2", "test3"] });
    suite.row("D6", "GET the tags", answer.is(200).and(same("list", &answer.json(), &sorted)));
    // Without setup the suite asks for the tags that it is told: here the registry tells them.
    let told: Vec<String> = serde_json::from_value(answer.json()["tags"].clone()).unwrap_or_default();
    suite.row("D4", "the list is known without setup", same("count", told.len(), 4));
    let half = told.len() / 2;
    let answer = suite.get(&format!("{list}?n={half}")).await;
    let link = format!("<{list}?n={half}&last={}>; rel=\"next\"", told[half - 1]);
    let first = same("tags", &answer.json()["tags"], &json!(&told[..half]));
    suite.row("D7", "half of them", answer.says(200, "link", link).and(first));
    let answer = suite.get(&format!("{list}?n={half}&last={}", told[half - 1])).await;
    let rest = same("tags", &answer.json()["tags"], &json!(&told[half..]));
    suite.row("D8", "the other half", answer.says(200, "link", "").and(rest));
}

fn no_referrers() -> Value {
    json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [] })
}

/// Pushes what refers to the manifest, and one that refers to nothing; returns them all.
async fn referrers(suite: &mut Suite, repository: &str, manifest: &Value) -> Vec<Value> {
    let digest = digest_of(manifest, Sha256);
    let subject =
        json!({ "mediaType": MediaType::OCI_MANIFEST, "digest": digest, "size": manifest.to_string().len() });
    let missing = json!({ "mediaType": MediaType::OCI_MANIFEST, "digest": UNKNOWN, "size": 1 });
    let mut artifacts = artifacts(&subject);
    for artifact in &artifacts {
        let put = suite.push_manifest(repository, &digest_of(artifact, Sha256).to_string(), artifact).await;
        suite.row("D5", "setup: an artifact with a subject", put.says(201, "oci-subject", &digest));
    }
    let orphan = artifact(false, "application/a", &missing, "orphan");
    let put = suite.push_manifest(repository, &digest_of(&orphan, Sha256).to_string(), &orphan).await;
    suite.row("D5", "setup: an artifact whose subject is not there", put.says(201, "oci-subject", UNKNOWN));

    let path = format!("/v2/{repository}/referrers");
    let answer = suite.get(&format!("{path}/sha256:{}", "1".repeat(64))).await;
    let typed = answer.says(200, "content-type", MediaType::OCI_INDEX);
    let empty = same("index", &answer.json(), &no_referrers());
    suite.row("D9", "referrers of what is not there", typed.and(empty));
    let of_a: Vec<_> = artifacts
        .iter()
        .filter(|artifact| {
            [&artifact["artifactType"], &artifact["config"]["mediaType"]].contains(&&json!("application/a"))
        })
        .collect();
    for (number, asked, filters, wanted) in [
        ("D10", digest.to_string(), "", artifacts.iter().collect()),
        ("D11", format!("{digest}?artifactType=application/a"), "artifactType", of_a),
        ("D12", UNKNOWN.to_owned(), "", vec![&orphan]),
    ] {
        let answer = suite.get(&format!("{path}/{asked}")).await;
        let listed = answer.json();
        let typed = answer.says(200, "content-type", MediaType::OCI_INDEX);
        let filtered = same("filters", answer.header("oci-filters-applied"), filters);
        let count = same("count", listed["manifests"].as_array().map_or(0, Vec::len), wanted.len());
        let each = all(wanted.iter().map(|artifact| is_listed(&listed, artifact, Sha256)));
        suite.row(number, format!("referrers of {asked}"), all([typed, filtered, count, each]));
    }
    artifacts.push(orphan);
    artifacts
}

/// Two kinds, each once by its configuration's type and once by its own, and an index.
fn artifacts(subject: &Value) -> Vec<Value> {
    let mut artifacts = vec![json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX,
        "artifactType": "application/index",
        "manifests": [],
        "subject": subject,
        "annotations": { "note": "index" },
    })];
    for kind in ["application/a", "application/b"] {
        artifacts.push(artifact(true, kind, subject, "by configuration"));
        artifacts.push(artifact(false, kind, subject, "by type"));
    }
    artifacts
}

pub(crate) fn artifact(by_config: bool, kind: &str, subject: &Value, note: &str) -> Value {
    let config = if by_config { kind } else { "application/vnd.oci.empty.v1+json" };
    let mut artifact = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "config": descriptor(b"{}", config, Sha256),
        "layers": [descriptor(b"{}", "application/x.layer", Sha256)],
        "subject": subject,
        "annotations": { "note": note },
    });
    if !by_config {
        artifact["artifactType"] = kind.into();
    }
    artifact
}

/// The referrer stands in the list, with everything that the specification copies.
pub(crate) fn is_listed(list: &Value, artifact: &Value, algorithm: oci::Algorithm) -> Result<(), String> {
    let digest = digest_of(artifact, algorithm).to_string();
    let entries = list["manifests"].as_array().ok_or("there is no list")?;
    let mut found = entries.iter().filter(|entry| entry["digest"] == digest.as_str());
    let entry = found.next().ok_or_else(|| format!("{digest} is not listed"))?;
    let fallback = artifact.get("config").map_or(&Value::Null, |config| &config["mediaType"]);
    all([
        same("further entries", found.count(), 0),
        same("annotations", &entry["annotations"], &artifact["annotations"]),
        same("mediaType", &entry["mediaType"], &artifact["mediaType"]),
        same("size", entry["size"].as_u64(), Some(artifact.to_string().len() as u64)),
        same("artifactType", &entry["artifactType"], artifact.get("artifactType").unwrap_or(fallback)),
    ])
}

pub(crate) async fn management(suite: &mut Suite) {
    const A: &str = "first/management";
    for (number, bytes) in [("M1", b"config".as_slice()), ("M2", b"layer")] {
        let pushed = suite.push_blob(A, &Digest::sha256(bytes), bytes).await;
        suite.row(number, "setup: a blob", pushed.is(201));
    }
    let manifest = image(b"config", &[b"layer"], Sha256);
    for tag in ["one", "two"] {
        let pushed = suite.push_manifest(A, tag, &manifest).await;
        suite.row("M3", "setup: a tag", pushed.is(201));
    }
    let list = format!("/v2/{A}/tags/list");
    let answer = suite.get(&list).await;
    suite.row("M4", "count the tags", same("tags", &answer.json()["tags"], &json!(["one", "two"])));
    let blob = format!("/v2/{A}/blobs/{}", Digest::sha256(b"layer"));
    let answer = suite.delete(&blob).await;
    suite.row("M9", "DELETE a blob that a manifest needs", answer.refuses(405, "UNSUPPORTED"));
    let answer = suite.delete(&format!("/v2/{A}/manifests/one")).await;
    suite.row("M5", "DELETE by tag", answer.is(202));
    let answer = suite.get(&list).await;
    suite.row("M8", "one tag fewer", same("tags", &answer.json()["tags"], &json!(["two"])));
    let by_digest = format!("/v2/{A}/manifests/{}", digest_of(&manifest, Sha256));
    let answer = suite.delete(&by_digest).await;
    suite.row("M6", "DELETE by digest", answer.is(202));
    for path in [by_digest, format!("/v2/{A}/manifests/two")] {
        let (get, head, again) = (suite.get(&path).await, suite.head(&path).await, suite.delete(&path).await);
        suite.row("M7", "it is gone", all([get.is(404), head.is(404), again.is(404)]));
    }
    for bytes in [b"config".as_slice(), b"layer"] {
        let path = format!("/v2/{A}/blobs/{}", Digest::sha256(bytes));
        let answer = suite.delete(&path).await;
        suite.row("M9", "DELETE a blob", answer.is(202));
        let answer = suite.get(&path).await;
        suite.row("M10", "it is gone", answer.refuses(404, "BLOB_UNKNOWN"));
    }
}
