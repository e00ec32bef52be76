//! The second suite's data sets (B5): each is pushed whole, listed, pulled in every way, and deleted.

use oci::Algorithm::{self, Sha256, Sha512};
use oci::{Digest, MediaType};
use serde_json::{Value, json};

use crate::first::is_listed;
use crate::suite::{
    Suite, UNKNOWN, Version, all as each, descriptor, digest_of, has, image, number_of_set, same,
};

struct Set {
    name: &'static str,
    algorithm: Algorithm,
    /// In the order of pushing: children first.
    manifests: Vec<Value>,
    /// By `?tag=` in the push, rather than by a second one.
    tags_by_parameter: bool,
}

pub(crate) async fn all(suite: &mut Suite) {
    for set in sets() {
        let number = number_of_set(set.name);
        if has(suite.version, &number) {
            run(suite, &format!("{number} {}", set.name), &set).await;
        }
    }
    altered(suite).await;
}

fn sets() -> Vec<Set> {
    let set = |name, manifests| Set { name, algorithm: Sha256, manifests, tags_by_parameter: false };
    let base = image(b"config", &[b"layer 1", b"layer 2"], Sha256);
    let with = |key: &str, value: Value| {
        let mut manifest = base.clone();
        manifest[key] = value;
        manifest
    };
    let large: serde_json::Map<_, _> =
        (0..390).map(|number| (format!("key-{number}"), "x".repeat(10_000).into())).collect();
    let uncompressed = json!([descriptor(b"layer 1", "application/vnd.oci.image.layer.v1.tar", Sha256)]);
    let second = with("annotations", json!({ "platform": "another" }));
    let foreign = |digest: String| {
        json!({
            "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "digest": digest,
            "size": 9, "urls": ["https://example.com/layer"],
        })
    };
    let mut data = base.clone();
    data["config"]["data"] = "Y29uZmln".into();
    let mut no_layers = artifact("application/x", None);
    no_layers["layers"] = json!([]);
    let of_base = entry(&base, Sha256);
    let mut about_index = index(&[&base], Sha256);
    about_index["subject"] = entry(&index(&[], Sha256), Sha256);
    about_index["artifactType"] = "application/index".into();
    about_index["annotations"] = json!({ "about": "an index" });
    let mut untyped = base.clone();
    untyped.as_object_mut().unwrap().remove("mediaType");
    let sha512_image = image(b"config", &[b"layer 1"], Sha512);
    let nested = index(&[&index(&[&base], Sha256)], Sha256);
    let missing = json!({ "mediaType": MediaType::OCI_MANIFEST, "digest": UNKNOWN, "size": 1 });
    let artifacts_of_base = vec![
        base.clone(),
        artifact("application/a", Some(&of_base)),
        artifact("application/b", Some(&of_base)),
    ];
    vec![
        set("image", vec![base.clone()]),
        set("image-uncompressed", vec![with("layers", uncompressed)]),
        set("large-manifest", vec![with("annotations", large.into())]),
        set("index", vec![base.clone(), second.clone(), index(&[&base, &second], Sha256)]),
        set("nested-index", vec![base.clone(), index(&[&base], Sha256), nested]),
        set("empty-index", vec![index(&[], Sha256)]),
        set("artifact", vec![artifact("application/x", None)]),
        set(
            "artifact-index",
            vec![artifact("application/x", None), index(&[&artifact("application/x", None)], Sha256)],
        ),
        set("artifact-without-layers", vec![no_layers]),
        set("artifacts-with-subject", artifacts_of_base),
        set("index-with-subject", vec![base.clone(), index(&[], Sha256), about_index]),
        set("missing-subject", vec![artifact("application/a", Some(&missing))]),
        set("data-field", vec![data]),
        set(
            "nondistributable-layers",
            vec![with(
                "layers",
                json!([foreign(UNKNOWN.to_owned()), foreign(Digest::sha256(b"never").to_string())]),
            )],
        ),
        set("custom-fields", vec![with("org.example.custom", json!({ "a": [1, 2.50], "b": null }))]),
        set("no-layers", vec![image(b"config", &[], Sha256)]),
        set("sparse", vec![base.clone(), index(&[&base, &second], Sha256)]),
        Set {
            algorithm: Sha512,
            ..set("sha512", vec![sha512_image.clone(), index(&[&sha512_image], Sha512)])
        },
        Set { tags_by_parameter: true, ..set("tag-params-sha256", vec![base.clone()]) },
        Set { algorithm: Sha512, tags_by_parameter: true, ..set("tag-params-sha512", vec![sha512_image]) },
        set("docker", docker()),
        set("untyped", vec![untyped]),
    ]
}

fn docker() -> Vec<Value> {
    let image = json!({
        "schemaVersion": 2, "mediaType": MediaType::DOCKER_MANIFEST,
        "config": descriptor(b"config", "application/vnd.docker.container.image.v1+json", Sha256),
        "layers": [descriptor(b"layer 1", "application/vnd.docker.image.rootfs.diff.tar.gzip", Sha256)],
    });
    let child = entry(&image, Sha256);
    vec![image, json!({ "schemaVersion": 2, "mediaType": MediaType::DOCKER_LIST, "manifests": [child] })]
}

fn entry(manifest: &Value, algorithm: Algorithm) -> Value {
    let size = manifest.to_string().len();
    json!({ "mediaType": manifest["mediaType"], "digest": digest_of(manifest, algorithm), "size": size })
}

fn index(children: &[&Value], algorithm: Algorithm) -> Value {
    let children: Vec<_> = children.iter().map(|child| entry(child, algorithm)).collect();
    json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": children })
}

fn artifact(kind: &str, subject: Option<&Value>) -> Value {
    let mut artifact = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "artifactType": kind,
        "config": descriptor(b"{}", "application/vnd.oci.empty.v1+json", Sha256),
        "layers": [descriptor(b"{}", "application/x.layer", Sha256)],
        "annotations": { "kind": kind },
    });
    if let Some(subject) = subject {
        artifact["subject"] = subject.clone();
    }
    artifact
}

const BLOBS: [&[u8]; 4] = [b"config", b"layer 1", b"layer 2", b"{}"];

async fn run(suite: &mut Suite, row: &str, set: &Set) {
    let repository = format!("second/{}", set.name);
    for bytes in BLOBS {
        let pushed = suite.push_blob(&repository, &Digest::of(set.algorithm, bytes), bytes).await;
        suite.row(row, "push a blob", pushed.is(201));
    }
    let mut tags = Vec::new();
    for (number, manifest) in set.manifests.iter().enumerate() {
        tags.extend(push(suite, row, &repository, set, number, manifest).await);
    }
    tags.sort();
    list(suite, row, &repository, &tags).await;
    for (number, manifest) in set.manifests.iter().enumerate() {
        let digest = digest_of(manifest, set.algorithm);
        let tag = tags.iter().find(|tag| **tag == format!("tag-{number}"));
        for reference in [Some(&digest.to_string()), tag].into_iter().flatten() {
            pull(suite, row, &format!("/v2/{repository}/manifests/{reference}"), manifest, &digest).await;
        }
        if !manifest["subject"].is_null() {
            refers(suite, row, &repository, manifest, set.algorithm).await;
        }
    }
    delete(suite, row, &repository, set, &tags).await;
}

/// By digest, then under its tag; or both in one, and then ten tags. Returns the tags.
async fn push(
    suite: &mut Suite,
    row: &str,
    repository: &str,
    set: &Set,
    number: usize,
    manifest: &Value,
) -> Vec<String> {
    let digest = digest_of(manifest, set.algorithm);
    let mut checks = Vec::new();
    let mut tags = vec![format!("tag-{number}")];
    if set.tags_by_parameter {
        tags.extend((0..9).map(|more| format!("more-{more}")));
        let parameters: Vec<_> = tags.iter().map(|tag| format!("tag={tag}")).collect();
        let pushed =
            suite.push_manifest(repository, &format!("{digest}?{}", parameters.join("&")), manifest).await;
        let made: Vec<_> = pushed.header("oci-tag").split(", ").collect();
        checks.push(pushed.is(201).and(same("OCI-Tag", made, tags.iter().map(String::as_str).collect())));
    } else {
        let pushed = suite.push_manifest(repository, &digest.to_string(), manifest).await;
        checks.push(pushed.says(201, "docker-content-digest", &digest));
        checks.push(same(
            "OCI-Subject",
            pushed.header("oci-subject"),
            manifest["subject"]["digest"].as_str().unwrap_or_default(),
        ));
        // A push by tag is named by sha256: what has another digest is tagged by parameter, or not at all.
        let reference = match set.algorithm {
            Sha256 => tags[0].clone(),
            Sha512 if suite.version == Version::Next => format!("{digest}?tag={}", tags[0]),
            Sha512 => {
                suite.row(row, "push a manifest", each(checks));
                return Vec::new();
            }
        };
        let tagged = suite.push_manifest(repository, &reference, manifest).await;
        checks.push(tagged.says(201, "docker-content-digest", &digest));
        checks.push(suite.get(tagged.header("location")).await.is(200));
    }
    suite.row(row, "push a manifest", each(checks));
    tags
}

async fn list(suite: &mut Suite, row: &str, repository: &str, tags: &[String]) {
    let path = format!("/v2/{repository}/tags/list");
    if tags.is_empty() {
        return;
    }
    let answer = suite.get(&path).await;
    suite.row(row, "list its tags", same("tags", &answer.json()["tags"], &json!(tags)));
    let middle = tags.len() / 2;
    let answer = suite.get(&format!("{path}?last={}", tags[middle])).await;
    suite.row(
        row,
        "list what is after the middle",
        same("tags", &answer.json()["tags"], &json!(&tags[middle + 1..])),
    );
}

async fn pull(suite: &mut Suite, row: &str, path: &str, manifest: &Value, digest: &Digest) {
    let media_type = manifest["mediaType"].as_str().unwrap_or(MediaType::OCI_MANIFEST);
    let bytes = manifest.to_string().into_bytes();
    // Whatever a client says it accepts: another form would have another digest.
    for accept in ["*/*", "application/vnd.docker.distribution.manifest.v1+json"] {
        for method in ["HEAD", "GET"] {
            let answer = suite.ask(method, path, &[("accept", accept)], b"").await;
            let whole = answer.holds(&bytes, digest, method == "HEAD");
            suite.row(row, format!("{method} it"), answer.says(200, "content-type", media_type).and(whole));
        }
    }
    let tag = format!("\"{digest}\"");
    let fresh = suite.ask("GET", path, &[("if-none-match", &tag)], b"").await;
    suite.row(row, "GET it again", fresh.says(304, "etag", &tag));
}

async fn refers(suite: &mut Suite, row: &str, repository: &str, manifest: &Value, algorithm: Algorithm) {
    let path = format!("/v2/{repository}/referrers/{}", manifest["subject"]["digest"].as_str().unwrap());
    let answer = suite.get(&path).await;
    let typed = answer.says(200, "content-type", MediaType::OCI_INDEX);
    suite.row(row, "it is listed as a referrer", typed.and(is_listed(&answer.json(), manifest, algorithm)));
    let kind = manifest["artifactType"].as_str().unwrap();
    let answer = suite.get(&format!("{path}?artifactType={kind}")).await;
    let listed = answer.json();
    let others =
        listed["manifests"].as_array().into_iter().flatten().filter(|entry| entry["artifactType"] != kind);
    let filtered = each([
        answer.says(200, "oci-filters-applied", "artifactType"),
        same("others", others.count(), 0),
        is_listed(&listed, manifest, algorithm),
    ]);
    suite.row(row, "by its type too", filtered);
}

async fn delete(suite: &mut Suite, row: &str, repository: &str, set: &Set, tags: &[String]) {
    let manifests = set
        .manifests
        .iter()
        .rev()
        .map(|manifest| format!("manifests/{}", digest_of(manifest, set.algorithm)));
    let blobs = BLOBS.iter().map(|bytes| format!("blobs/{}", Digest::of(set.algorithm, bytes)));
    for path in tags.iter().map(|tag| format!("manifests/{tag}")).chain(manifests).chain(blobs) {
        let path = format!("/v2/{repository}/{path}");
        let (deleted, head) = (suite.delete(&path).await, suite.head(&path).await);
        suite.row(row, "delete it, and it is gone", deleted.is(202).and(head.is(404)));
    }
}

/// The bad digest image: the bytes are not those of the digest.
async fn altered(suite: &mut Suite) {
    let digest = digest_of(&image(b"config", &[], Sha256), Sha256);
    let other = image(b"config", &[b"altered"], Sha256);
    let answer = suite.push_manifest("second/image", &digest.to_string(), &other).await;
    suite.row(number_of_set("bad-digest"), "push altered bytes", answer.refuses(400, "DIGEST_INVALID"));
}
