//! Our own restatement of the official conformance checks, numbered as in the two suites: P, U, D
//! and M are the categories of v1.1.1, B the groups of the one that followed.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod house;

use house::{House, descriptor, digest_of, house, image};
use oci::{Algorithm, Digest, MediaType};
use serde_json::{Value, json};

const A: &str = "a/repo";
const UNKNOWN: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

async fn with_image(house: &House) -> Value {
    house.push_blob(A, b"config 0").await;
    house.push_blob(A, b"layer").await;
    image(b"config 0", &[b"layer"])
}

#[tokio::test]
async fn pull() {
    let house = house().await;
    let manifest = with_image(&house).await; // P1, P3
    house.push_blob(A, b"config 1").await; // P2
    let other = image(b"config 1", &[b"layer"]);
    house.push_manifest(A, "tag", &manifest).await.is(201); // P4
    house.push_manifest(A, &digest_of(&other).to_string(), &other).await.is(201); // P5
    let blob = Digest::sha256(b"layer");
    house.head(&format!("/v2/{A}/blobs/{UNKNOWN}")).await.is(404); // P7
    let head = house.head(&format!("/v2/{A}/blobs/{blob}")).await.is(200); // P8
    assert_eq!(head.header("docker-content-digest"), blob.to_string());
    assert_eq!((head.header("content-length"), head.body.len()), ("5", 0));
    assert_eq!(house.get(&format!("/v2/{A}/blobs/{UNKNOWN}")).await.is(404).code(), "BLOB_UNKNOWN"); // P9
    let get = house.get(&format!("/v2/{A}/blobs/{blob}")).await.is(200); // P10
    assert_eq!(get.body, b"layer");
    assert_eq!(get.header("accept-ranges"), "bytes");
    for unknown in [".INVALID_MANIFEST_NAME", "absent", UNKNOWN] {
        house.head(&format!("/v2/{A}/manifests/{unknown}")).await.is(404); // P11
        let absent = house.get(&format!("/v2/{A}/manifests/{unknown}")).await.is(404); // P15
        assert_eq!(absent.code(), "MANIFEST_UNKNOWN");
    }
    for (reference, wanted) in [
        (digest_of(&manifest).to_string(), &manifest), // P12, P16
        (digest_of(&other).to_string(), &other),       // P13, P17
        ("tag".to_owned(), &manifest),                 // P14, P18
    ] {
        let path = format!("/v2/{A}/manifests/{reference}");
        let (head, get) = (house.head(&path).await.is(200), house.get(&path).await.is(200));
        assert_eq!(get.body, wanted.to_string().as_bytes());
        for name in ["content-type", "content-length", "docker-content-digest", "etag"] {
            assert_eq!(head.header(name), get.header(name), "{name}");
        }
        assert_eq!(get.header("docker-content-digest"), digest_of(wanted).to_string());
        assert_eq!(get.header("content-type"), MediaType::OCI_MANIFEST);
        let etag = get.header("etag").to_owned();
        house.ask("GET", &path, &[("if-none-match", &etag)], b"").await.is(304);
    }
    let malformed = house.ask("GET", &format!("/v2/{A}/manifests/sha256:totallywrong"), &[], b"body").await; // P19
    assert_eq!((malformed.status, malformed.code().as_str()), (400, "DIGEST_INVALID"));
}

#[tokio::test]
async fn push() {
    let house = house().await;
    let digest = Digest::sha256(b"streamed");
    let location = house.open(A).await;
    let patched = house.ask("PATCH", &location, &[], b"streamed").await.is(202); // U1
    let closed =
        house.ask("PUT", &format!("{}?digest={digest}", patched.header("location")), &[], b"").await.is(201); // U2
    assert_eq!(closed.header("location"), format!("/v2/{A}/blobs/{digest}"));
    house.get(&format!("/v2/{A}/blobs/{UNKNOWN}")).await.is(404); // U3
    let posted = house.push_blob(A, b"posted").await; // U4
    assert_eq!(house.get(&format!("/v2/{A}/blobs/{posted}")).await.is(200).body, b"posted"); // U5
    let location = house.open(A).await; // U6, U9
    let digest = Digest::sha256(b"put");
    let put = house.ask("PUT", &format!("{location}?digest={digest}"), &[], b"put").await.is(201); // U7
    assert_eq!(house.get(put.header("location")).await.is(200).body, b"put"); // U8, U10

    let (first, second) = (b"first-".as_slice(), b"second".as_slice());
    let location = house.open(A).await;
    let early = house.chunk(&location, "6-11", second).await.is(416); // U11
    assert_eq!((early.code().as_str(), early.header("location")), ("RANGE_INVALID", location.as_str()));
    assert_eq!(house.chunk(&location, "0-5", first).await.is(202).header("range"), "0-5"); // U12
    assert_eq!(house.chunk(&location, "0-5", first).await.is(416).header("range"), "0-5"); // U13
    let status = house.get(&location).await.is(204); // U14
    assert_eq!((status.header("range"), status.header("location")), ("0-5", location.as_str()));
    assert_eq!(house.chunk(&location, "6-11", second).await.is(202).header("range"), "0-11"); // U15
    let whole = Digest::sha256(b"first-second");
    house.ask("PUT", &format!("{location}?digest={whole}"), &[], b"").await.is(201); // U16

    let anonymous = format!("/v2/{A}/blobs/uploads/?mount={UNKNOWN}");
    assert!(house.ask("POST", &anonymous, &[], b"").await.is(202).header("location").contains("/uploads/")); // U17
    let mount = format!("/v2/b/blobs/uploads/?mount={whole}&from={A}");
    let mounted = house.ask("POST", &mount, &[], b"").await.is(201); // U18
    assert_eq!(mounted.header("location"), format!("/v2/b/blobs/{whole}")); // U19
    assert_eq!(house.get(mounted.header("location")).await.is(200).body, b"first-second");
    let anonymous = format!("/v2/c/blobs/uploads/?mount={whole}");
    house.ask("POST", &anonymous, &[], b"").await.is(201); // U21

    house.get(&format!("/v2/{A}/manifests/unknown")).await.is(404); // U23
    let manifest = with_image(&house).await;
    for tag in ["1", "2", "3", "4"] {
        let put = house.push_manifest(A, tag, &manifest).await.is(201); // U24
        house.get(put.header("location")).await.is(200);
    }
    house.push_manifest(A, "empty", &image(b"config 0", &[])).await.is(201); // U25
    house.get(&format!("/v2/{A}/manifests/{}", digest_of(&manifest))).await.is(200); // U26
}

#[tokio::test]
async fn content_discovery() {
    let house = house().await;
    let manifest = with_image(&house).await; // D1, D2
    for tag in ["test2", "test0", "Test1", "test3"] {
        house.push_manifest(A, tag, &manifest).await.is(201); // D3
    }
    let subject = json!({ "mediaType": MediaType::OCI_MANIFEST, "digest": digest_of(&manifest), "size": manifest.to_string().len() });
    let unknown = json!({ "mediaType": MediaType::OCI_MANIFEST, "digest": UNKNOWN, "size": 1 });
    house.push_blob(A, b"{}").await; // D5
    let artifact = |by_config: bool, kind: &str, subject: &Value, note: &str| {
        let config = if by_config { kind } else { "application/vnd.oci.empty.v1+json" };
        let mut artifact = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_MANIFEST,
            "config": descriptor(b"{}", config),
            "layers": [descriptor(b"{}", "application/x.layer")],
            "subject": subject,
            "annotations": { "note": note },
        });
        if !by_config {
            artifact["artifactType"] = kind.into();
        }
        artifact
    };
    let index = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX,
        "artifactType": "application/index",
        "manifests": [],
        "subject": subject,
        "annotations": { "note": "index" },
    });
    let mut artifacts = vec![index];
    for kind in ["application/a", "application/b"] {
        artifacts.push(artifact(true, kind, &subject, "by config"));
        artifacts.push(artifact(false, kind, &subject, "by type"));
    }
    for artifact in &artifacts {
        let put = house.push_manifest(A, &digest_of(artifact).to_string(), artifact).await.is(201);
        assert_eq!(put.header("oci-subject"), digest_of(&manifest).to_string());
    }
    let orphan = artifact(false, "application/a", &unknown, "orphan");
    let put = house.push_manifest(A, "orphan", &orphan).await.is(201);
    assert_eq!(put.header("oci-subject"), UNKNOWN);

    let list = format!("/v2/{A}/tags/list");
    let all = house.get(&list).await.is(200).json(); // D6
    assert_eq!(all, json!({ "name": A, "tags": ["Test1", "orphan", "test0", "test2", "test3"] }));
    let half = house.get(&format!("{list}?n=2")).await.is(200); // D7
    assert_eq!(half.json()["tags"], json!(["Test1", "orphan"]));
    assert_eq!(half.header("link"), format!("<{list}?n=2&last=orphan>; rel=\"next\""));
    let rest = house.get(&format!("{list}?n=9&last=p")).await.is(200); // D8
    assert_eq!((rest.json()["tags"].clone(), rest.header("link")), (json!(["test0", "test2", "test3"]), ""));
    let none = house.get(&format!("{list}?n=0")).await.is(200);
    assert_eq!((none.json()["tags"].clone(), none.header("link")), (json!([]), ""));
    house.get(&format!("{list}?n=99999999999999999999")).await.is(200);
    assert_eq!(house.get(&format!("{list}?n=")).await.is(200).json(), all);
    for bad in ["-1", "x"] {
        assert_eq!(house.get(&format!("{list}?n={bad}")).await.is(400).code(), "PAGINATION_NUMBER_INVALID");
    }

    let referrers = format!("/v2/{A}/referrers/");
    let nobody = house.get(&format!("{referrers}sha256:{}", "1".repeat(64))).await.is(200); // D9
    assert_eq!(nobody.header("content-type"), MediaType::OCI_INDEX);
    assert_eq!(
        nobody.json(),
        json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [] })
    );
    let of_subject = format!("{referrers}{}", digest_of(&manifest));
    let found = house.get(&of_subject).await.is(200).json(); // D10
    let found = found["manifests"].as_array().unwrap();
    assert_eq!(found.len(), 5);
    for artifact in &artifacts {
        let digest = digest_of(artifact).to_string();
        let descriptor = found.iter().find(|it| it["digest"] == digest.as_str()).unwrap();
        assert_eq!(descriptor["annotations"], artifact["annotations"]);
        assert_eq!(descriptor["mediaType"], artifact["mediaType"]);
        assert_eq!(descriptor["size"], artifact.to_string().len());
        let kind = artifact.get("artifactType").unwrap_or(&artifact["config"]["mediaType"]);
        assert_eq!(&descriptor["artifactType"], kind);
    }
    let filtered = house.get(&format!("{of_subject}?artifactType=application/a")).await.is(200); // D11
    assert_eq!(filtered.header("oci-filters-applied"), "artifactType");
    assert_eq!(filtered.json()["manifests"].as_array().unwrap().len(), 2);
    let missing = house.get(&format!("{referrers}{UNKNOWN}")).await.is(200); // D12
    assert_eq!(missing.json()["manifests"].as_array().unwrap().len(), 1);
    house.ask("DELETE", &format!("/v2/{A}/manifests/{}", digest_of(&artifacts[1])), &[], b"").await.is(202);
    assert_eq!(house.get(&of_subject).await.json()["manifests"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn content_management() {
    let house = house().await;
    let manifest = with_image(&house).await; // M1, M2
    for tag in ["1", "2"] {
        house.push_manifest(A, tag, &manifest).await.is(201); // M3
    }
    let list = format!("/v2/{A}/tags/list");
    assert_eq!(house.get(&list).await.is(200).json()["tags"], json!(["1", "2"])); // M4
    let delete = |path: String| {
        let house = &house;
        async move { house.ask("DELETE", &path, &[], b"").await }
    };
    let blob = Digest::sha256(b"layer");
    let used = delete(format!("/v2/{A}/blobs/{blob}")).await.is(405);
    assert_eq!(used.code(), "UNSUPPORTED");
    delete(format!("/v2/{A}/manifests/1")).await.is(202); // M5
    assert_eq!(house.get(&list).await.json()["tags"], json!(["2"])); // M8
    let by_digest = format!("/v2/{A}/manifests/{}", digest_of(&manifest));
    house.get(&by_digest).await.is(200);
    delete(by_digest.clone()).await.is(202); // M6
    for gone in [by_digest.as_str(), "/v2/a/repo/manifests/2"] {
        house.get(gone).await.is(404); // M7
        house.head(gone).await.is(404);
        delete(gone.to_owned()).await.is(404);
    }
    for bytes in [b"config 0".as_slice(), b"layer"] {
        let path = format!("/v2/{A}/blobs/{}", Digest::sha256(bytes));
        delete(path.clone()).await.is(202); // M9
        house.get(&path).await.is(404); // M10
        delete(path).await.is(404);
    }
}

#[tokio::test]
async fn ping_and_what_was_never_pushed() {
    let house = house().await;
    for path in ["/v2", "/v2/"] {
        let pong = house.get(path).await.is(200); // B1
        assert_eq!(pong.header("docker-distribution-api-version"), "registry/2.0");
        assert_eq!(pong.header("x-content-type-options"), "nosniff");
    }
    assert_eq!(house.get("/v2/never/tags/list").await.is(404).code(), "NAME_UNKNOWN"); // B2
    let empty = house.get(&format!("/v2/never/referrers/{UNKNOWN}")).await.is(200); // B3
    assert_eq!(empty.json()["mediaType"], MediaType::OCI_INDEX);
    house.get("/v2/never/referrers/sha256:x").await.is(400);
    for reference in ["tag", UNKNOWN] {
        house.get(&format!("/v2/never/manifests/{reference}")).await.is(404); // B6
    }
    let bad = house.push_manifest("never", "sha256:baddigeststring", &image(b"", &[])).await.is(400); // B7
    assert_eq!(bad.code(), "DIGEST_INVALID");
    house.get("/v2/never/manifests/sha256:baddigeststring").await.is(400);
    house.ask("PUT", "/v2/never/manifests/.tag", &[], b"{}").await.is(400);
}

/// B4: every way to push a blob, in both algorithms, none of them announced.
#[tokio::test]
async fn blobs_by_every_way() {
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let house = house().await;
        for (number, blob) in [b"some content of three chunks".as_slice(), b"", b"{}"].into_iter().enumerate()
        {
            let digest = Digest::of(algorithm, blob);
            let path = format!("/v2/{A}/blobs/{digest}");
            for way in ["post", "put", "patch", "chunks", "chunks and put", "stream"] {
                if blob.is_empty() && way.starts_with("chunk") {
                    continue; // no chunk has no bytes
                }
                house.get(&path).await.is(404); // 1
                let pushed = push_by(&house, way, blob, &digest).await.is(201); // 2 to 5, 10, 11
                assert_eq!(pushed.header("location"), path, "{way} {number}");
                check_blob(&house, &path, blob).await;
                house.ask("DELETE", &path, &[], b"").await.is(202);
                house.head(&path).await.is(404);
                let wrong = Digest::of(algorithm, b"wrong"); // 17 to 21
                let refused = push_by(&house, way, blob, &wrong).await.is(400);
                assert_eq!(refused.code(), "DIGEST_INVALID", "{way} {number}");
                house.head(&format!("/v2/{A}/blobs/{wrong}")).await.is(404);
            }
        }
        mounts_and_cancels(&house, algorithm).await;
    }
}

async fn push_by(house: &House, way: &str, blob: &'static [u8], digest: &Digest) -> house::Answer {
    if way == "post" {
        return house.ask("POST", &format!("/v2/{A}/blobs/uploads/?digest={digest}"), &[], blob).await;
    }
    let location = house.open(A).await;
    let close = format!("{location}?digest={digest}");
    match way {
        "put" => house.ask("PUT", &close, &[], blob).await,
        "patch" | "stream" => {
            house.ask("PATCH", &location, &[], blob).await.is(202);
            house.ask("PUT", &close, &[], b"").await
        }
        _ => {
            let third = blob.len() / 3 + 1;
            let mut at = 0;
            for (number, piece) in blob.chunks(third).enumerate() {
                // 12 and 13: a chunk that does not fit is refused, and the session goes on.
                let early = format!("{}-{}", at + 1, at + piece.len());
                house.chunk(&location, &early, piece).await.is(416);
                let wrong = [("content-range", early.as_str())];
                house.ask("PUT", &close, &wrong, piece).await.is(416);
                let stands = format!("0-{}", at.max(1) - 1);
                assert_eq!(house.get(&location).await.is(204).header("range"), stands);
                let range = format!("{at}-{}", at + piece.len() - 1);
                let is_last = at + piece.len() == blob.len();
                if is_last && way == "chunks and put" {
                    return house.ask("PUT", &close, &[("content-range", &range)], piece).await;
                }
                house.chunk(&location, &range, piece).await.is(202);
                at += piece.len();
                assert!(number < 3);
            }
            house.ask("PUT", &close, &[], b"").await
        }
    }
}

async fn check_blob(house: &House, path: &str, blob: &[u8]) {
    let (head, get) = (house.head(path).await.is(200), house.get(path).await.is(200));
    assert_eq!((head.body.len(), get.body.as_slice()), (0, blob));
    for answer in [&head, &get] {
        assert_eq!(answer.header("content-length"), blob.len().to_string());
        assert!(path.ends_with(answer.header("docker-content-digest")));
        assert_eq!(answer.header("content-encoding"), "");
    }
}

async fn mounts_and_cancels(house: &House, algorithm: Algorithm) {
    let blob = b"to be mounted";
    let digest = Digest::of(algorithm, blob);
    push_by(house, "post", blob, &digest).await.is(201);
    for (target, from) in [("m1", "&from=a/repo"), ("m2", "")] {
        let mount = format!("/v2/{target}/blobs/uploads/?mount={digest}{from}");
        house.ask("POST", &mount, &[], b"").await.is(201); // 6, 7
        check_blob(house, &format!("/v2/{target}/blobs/{digest}"), blob).await;
    }
    let nowhere = Digest::of(algorithm, b"nowhere");
    for from in ["", "&from=a/repo", "&from=never/pushed", "&from=NO/NAME"] {
        let mount = format!("/v2/m3/blobs/uploads/?mount={nowhere}{from}");
        let session = house.ask("POST", &mount, &[], b"").await.is(202); // 8
        let close = format!("{}?digest={nowhere}", session.header("location"));
        house.ask("PUT", &close, &[], b"nowhere").await.is(201);
        house.ask("DELETE", &format!("/v2/m3/blobs/{nowhere}"), &[], b"").await.is(202);
    }
    house.ask("POST", "/v2/m3/blobs/uploads/?mount=sha256:x", &[], b"").await.is(400);
    let location = house.open(A).await; // 9
    house.ask("PATCH", &location, &[], b"some").await.is(202);
    house.ask("DELETE", &location, &[], b"").await.is(204);
    assert_eq!(house.get(&location).await.is(404).code(), "BLOB_UPLOAD_UNKNOWN");
}

/// B4, 14.
#[tokio::test]
async fn ranges() {
    let house = house().await;
    let blob: Vec<u8> = (0..2048_u32).map(|number| number.to_le_bytes()[0]).collect();
    let digest = house.push_blob(A, &blob).await;
    let path = format!("/v2/{A}/blobs/{digest}");
    let ask = |headers: Vec<(&'static str, String)>| {
        let (house, path) = (&house, &path);
        async move {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            house.ask("GET", path, &headers, b"").await
        }
    };
    for (range, wanted) in
        [("500-1499", 500..1500), ("500-", 500..2048), ("-500", 1548..2048), ("2000-5000", 2000..2048)]
    {
        let part = ask(vec![("range", format!("bytes={range}"))]).await.is(206);
        assert_eq!(part.body, blob[wanted.clone()]);
        assert_eq!(part.header("content-length"), wanted.len().to_string());
        assert_eq!(part.header("content-range"), format!("bytes {}-{}/2048", wanted.start, wanted.end - 1));
    }
    for range in ["500-0", "5000-10000"] {
        let outside = ask(vec![("range", format!("bytes={range}"))]).await.is(416);
        assert_eq!(outside.header("content-range"), "bytes */2048");
    }
    let several = ask(vec![("range", "bytes=0-1,4-5".to_owned())]).await.is(206);
    assert_eq!(several.header("content-length"), several.body.len().to_string());
    let condition = |tag: String| vec![("range", "bytes=0-1".to_owned()), ("if-range", tag)];
    ask(condition(format!("\"{digest}\""))).await.is(206);
    ask(condition("\"other\"".to_owned())).await.is(200);
    ask(vec![("if-none-match", format!("\"{digest}\""))]).await.is(304);
}

/// B5: sets of manifests and blobs that registries have been known to refuse or to change.
#[tokio::test]
async fn data_sets() {
    let house = house().await;
    for blob in [b"config".as_slice(), b"layer", b"{}"] {
        house.push_blob(A, blob).await;
    }
    let base = image(b"config", &[b"layer"]);
    house.push_manifest(A, "base", &base).await.is(201);
    let with = |key: &str, value: Value| {
        let mut manifest = base.clone();
        manifest[key] = value;
        manifest
    };
    let foreign = json!([{
        "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "digest": UNKNOWN, "size": 9,
        "urls": ["https://example.com/layer"],
    }]);
    let large: serde_json::Map<_, _> =
        (0..390).map(|number| (format!("key-{number}"), "x".repeat(10_000).into())).collect();
    let child = json!({ "mediaType": MediaType::OCI_MANIFEST, "digest": digest_of(&base), "size": base.to_string().len() });
    let index = json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [child] });
    let nested = json!({ "mediaType": MediaType::OCI_INDEX, "digest": digest_of(&index), "size": index.to_string().len() });
    let mut with_data = base.clone();
    with_data["config"]["data"] = "Y29uZmln".into();
    let mut untyped = base.clone();
    untyped.as_object_mut().unwrap().remove("mediaType");
    for (name, manifest) in [
        ("large", with("annotations", large.into())),
        ("index", index.clone()),
        ("nested", json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [nested] })),
        ("empty-index", json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [] })),
        ("data", with_data),
        ("foreign", with("layers", foreign)),
        ("custom", with("org.example.custom", json!({ "a": [1, 2.50] }))),
        ("no-layers", with("layers", json!([]))),
        (
            "artifact",
            json!({
                "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "artifactType": "application/x",
                "config": descriptor(b"{}", "application/vnd.oci.empty.v1+json"), "layers": [],
            }),
        ),
        (
            "docker",
            json!({
                "schemaVersion": 2, "mediaType": MediaType::DOCKER_MANIFEST,
                "config": descriptor(b"config", "application/vnd.docker.container.image.v1+json"),
                "layers": [descriptor(b"layer", "application/vnd.docker.image.rootfs.diff.tar.gzip")],
            }),
        ),
        ("untyped", untyped),
    ] {
        let text = manifest.to_string();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let digest = Digest::of(algorithm, text.as_bytes()).to_string();
            house.push_manifest(A, &digest, &manifest).await.is(201);
            let get = house.get(&format!("/v2/{A}/manifests/{digest}")).await.is(200);
            assert_eq!(get.body, text.as_bytes(), "{name}");
            assert_eq!(get.header("docker-content-digest"), digest, "{name}");
            let media_type = manifest["mediaType"].as_str().unwrap_or(MediaType::OCI_MANIFEST);
            assert_eq!(get.header("content-type"), media_type, "{name}");
        }
        house.push_manifest(A, name, &manifest).await.is(201);
        assert_eq!(house.get(&format!("/v2/{A}/manifests/{name}")).await.is(200).body, text.as_bytes());
    }
    let by_tags = with("annotations", json!({ "tags": "many" }));
    let digest = Digest::of(Algorithm::Sha512, by_tags.to_string().as_bytes()).to_string();
    let tags: String = (0..10).map(|number| format!("&tag=t{number}")).collect();
    let made = house.push_manifest(A, &format!("{digest}?x=1{tags}"), &by_tags).await.is(201);
    assert_eq!(made.header("oci-tag"), "t0, t1, t2, t3, t4, t5, t6, t7, t8, t9");
    let head = house.head(&format!("/v2/{A}/manifests/t9")).await.is(200);
    assert_eq!(head.header("docker-content-digest"), digest);
}

#[tokio::test]
async fn manifests_that_are_refused() {
    let house = house().await;
    for blob in [b"config".as_slice(), b"layer"] {
        house.push_blob(A, blob).await;
    }
    let base = image(b"config", &[b"layer"]);
    let put = |reference: &'static str, media_type: &'static str, body: Vec<u8>| {
        let house = &house;
        async move {
            house
                .ask("PUT", &format!("/v2/{A}/manifests/{reference}"), &[("content-type", media_type)], &body)
                .await
        }
    };
    let text = base.to_string().into_bytes();
    let (oci, index) = (MediaType::OCI_MANIFEST, MediaType::OCI_INDEX);
    assert_eq!(put(UNKNOWN, oci, text.clone()).await.is(400).code(), "DIGEST_INVALID");
    assert_eq!(put("t", index, text.clone()).await.is(400).code(), "MANIFEST_INVALID"); // another type
    assert_eq!(put("t", "application/json", text.clone()).await.is(400).code(), "MANIFEST_INVALID");
    assert_eq!(put("t", oci, b"no json".to_vec()).await.is(400).code(), "MANIFEST_INVALID");
    assert_eq!(put("t", oci, vec![]).await.is(400).code(), "MANIFEST_INVALID");
    let schema1 = "application/vnd.docker.distribution.manifest.v1+json";
    assert_eq!(put("t", schema1, text.clone()).await.is(400).code(), "MANIFEST_INVALID");
    let mut both = base.clone();
    both["manifests"] = json!([]);
    assert_eq!(put("t", oci, both.to_string().into_bytes()).await.is(400).code(), "MANIFEST_INVALID");
    let lacking = image(b"config", &[b"never pushed"]).to_string().into_bytes();
    let unknown = put("t", oci, lacking).await.is(404);
    assert_eq!(unknown.code(), "MANIFEST_BLOB_UNKNOWN");
    let wanted = Digest::sha256(b"never pushed").to_string();
    assert_eq!(unknown.json()["errors"][0]["detail"][0]["digest"], wanted.as_str());
    put("t", oci, vec![b' '; 5 << 20]).await.is(413);
    house.get(&format!("/v2/{A}/manifests/t")).await.is(404);
    put("t", oci, text).await.is(201);
}
