//! `lazaret import`: from folders, archives and registries, beside a running server.

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use oci::{Digest, MediaType};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::{Client, Image, Packing, Reply, Server, ServerOptions, Source, debian, dpkg, image, tool};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

fn house(folder: &tempfile::TempDir, name: &str) -> Server {
    Server::start(ServerOptions::new(LAZARET, &folder.path().join(name)))
}

fn made(salt: &str, packing: Packing) -> Image {
    let (release, status) = (debian("12", "bookworm"), dpkg(&[("zlib", "1.0-1")]));
    image()
        .packed_layer(&[(release.0, &release.1), (status.0, &status.1)], packing)
        .packed_layer(&[("opt/salt", salt)], packing)
        .salted(salt)
}

#[track_caller]
fn ok(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    out.into_owned()
}

#[track_caller]
fn refused(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a push would have brought, and the scan that follows every push.
async fn assert_pushed(server: &Server, repository: &str, tag: &str, image: &Image) {
    let client = server.client();
    let answer = client.get(&format!("/v2/{repository}/manifests/{tag}")).await.expect("answers");
    assert_eq!(answer.status(), StatusCode::OK, "{repository}:{tag}");
    assert_eq!(answer.bytes().await.expect("a body"), image.manifest());
    for layer in image.layers() {
        let blob = client.get(&format!("/v2/{repository}/blobs/{}", Digest::sha256(layer))).await;
        assert_eq!(blob.expect("answers").bytes().await.expect("a body"), layer);
    }
    let judged = server.command(&["scan", &format!("{repository}:{tag}"), "--format=json"]);
    let judged: Value = serde_json::from_str(&ok(&judged)).expect("a document");
    assert_eq!((&judged["state"], &judged["packageCount"]), (&json!("Unverified"), &json!(1)), "{judged}");
}

#[tokio::test]
async fn folders_and_archives_beside_a_running_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = house(&folder, "data");
    let (layout, archive) = (folder.path().join("layout"), folder.path().join("saved.tar"));
    let (one, two, three) = (made("1", Packing::Gzip), made("2", Packing::Zstd), made("3", Packing::Plain));
    one.save_layout(&layout, "1");
    two.save_layout(&layout, "2");
    three.save_docker_archive(&archive, "reg.example:5000/saved/app:3");
    let (layout, archive) = (layout.to_str().expect("text"), archive.to_str().expect("text"));

    assert!(refused(&server.command(&["import", layout])).contains("--to"));
    let told = ok(&server.command(&["import", layout, "--to=kept/app"]));
    assert!(told.contains("2 of 2 images imported: 2 manifests, 6 blobs"), "{told}");
    assert_pushed(&server, "kept/app", "1", &one).await;
    assert_pushed(&server, "kept/app", "2", &two).await;
    // Again: nothing is copied, nothing moves.
    let told = ok(&server.command(&["import", layout, "--to=kept/app"]));
    assert!(told.contains("2 of 2 images imported: 0 manifests, 0 blobs, 0 bytes"), "{told}");

    ok(&server.command(&["import", archive]));
    assert_pushed(&server, "saved/app", "3", &three).await;
    ok(&server.command(&["import", archive, "--to=other:4"]));
    assert_pushed(&server, "other", "4", &three).await;
    assert!(refused(&server.command(&["import", layout, "--to=kept/app:1"])).contains("several images"));
    assert!(refused(&server.command(&["import", "/nowhere"])).contains("cannot be read"));
}

#[tokio::test]
async fn the_folder_of_dockers_registry_and_what_is_broken_in_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = house(&folder, "data");
    let kept = folder.path().join("registry");
    let (good, rotten) = (made("good", Packing::Gzip), made("rotten", Packing::Gzip));
    good.save_distribution(&kept, "team/good", "1");
    good.save_distribution(&kept, "team/good", "latest");
    rotten.save_distribution(&kept, "team/rotten", "1");
    let digest = Digest::sha256(rotten.layers().nth(1).expect("a layer"));
    let data = format!("docker/registry/v2/blobs/sha256/{}/{}/data", &digest.hex()[..2], digest.hex());
    let len = std::fs::metadata(kept.join(&data)).expect("there").len();
    std::fs::write(kept.join(&data), vec![0; usize::try_from(len).expect("small")]).expect("writes");

    let output = server.command(&["import", kept.to_str().expect("text")]);
    let why = refused(&output);
    assert!(why.contains("team/rotten:1 was not imported") && why.contains("digests to"), "{why}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 of 2 images imported"), "{output:?}");
    assert_pushed(&server, "team/good", "1", &good).await;
    assert_pushed(&server, "team/good", "latest", &good).await;
    let gone = server.client().get("/v2/team/rotten/manifests/1").await.expect("answers");
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    ok(&server.command(&["import", kept.to_str().expect("text"), "--only=team/good", "--to=renamed"]));
    assert_pushed(&server, "renamed", "latest", &good).await;
    ok(&server.command(&["fsck"]));
}

/// An index of two platforms under `tag`, and a signature that refers to it.
async fn push_signed_index(client: &Client, repository: &str, tag: &str) -> (Vec<u8>, Digest) {
    let mut children = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let child = made(architecture, Packing::Gzip);
        client.push(repository, architecture, &child).await.expect("pushes");
        children.push(json!({
            "mediaType": MediaType::OCI_MANIFEST, "digest": child.digest(), "size": child.manifest().len(),
            "platform": { "os": "linux", "architecture": architecture },
        }));
    }
    let index = json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": children });
    let index = index.to_string().into_bytes();
    put(client, repository, tag, MediaType::OCI_INDEX, &index).await;
    let empty = client.push_blob(repository, b"{}").await.expect("pushes");
    let described = json!({ "mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2 });
    let signature = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "artifactType": "application/x.signature",
        "config": described, "layers": [described],
        "subject": { "mediaType": MediaType::OCI_INDEX, "digest": Digest::sha256(&index), "size": index.len() },
    });
    let signature = signature.to_string().into_bytes();
    let digest = Digest::sha256(&signature);
    put(client, repository, &digest.to_string(), MediaType::OCI_MANIFEST, &signature).await;
    (index, digest)
}

async fn put(client: &Client, repository: &str, reference: &str, media_type: &str, bytes: &[u8]) {
    let request = client.request(Method::PUT, &format!("/v2/{repository}/manifests/{reference}"));
    let answer =
        request.header("Content-Type", media_type).body(bytes.to_vec()).send().await.expect("answers");
    assert_eq!(answer.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn another_registry_with_its_indexes_and_signatures() {
    let folder = tempfile::tempdir().expect("a folder");
    let (there, here) = (house(&folder, "there"), house(&folder, "here"));
    let (index, signature) = push_signed_index(&there.client(), "team/app", "all").await;
    let source = |place: &str| format!("http://{}/{place}", there.address);
    let password = folder.path().join("password");
    std::fs::write(&password, format!("{}\n", there.password())).expect("writes");
    let me = ["--username=admin".to_owned(), format!("--password-file={}", password.display())];
    let import = |place: &str, more: &[&str]| {
        let source = source(place);
        let arguments = [&["import", &source, &me[0], &me[1]], more].concat();
        here.command(&arguments)
    };

    let told = ok(&import("team/app:all", &["--to=copied/app"]));
    assert!(told.contains("1 of 1 image imported: 4 manifests"), "{told}");
    let client = here.client();
    let copied = client.get("/v2/copied/app/manifests/all").await.expect("answers");
    assert_eq!(copied.bytes().await.expect("a body"), index);
    let referrers = client.json(&format!("/v2/copied/app/referrers/{}", Digest::sha256(&index))).await;
    assert_eq!(referrers["manifests"][0]["digest"], json!(signature));
    let judged = ok(&here.command(&["scan", "copied/app:all", "--format=json"]));
    assert_eq!(serde_json::from_str::<Value>(&judged).expect("a list").as_array().expect("a list").len(), 2);
    // Children have no tags of their own unless all are asked for.
    assert_eq!(client.json("/v2/copied/app/tags/list").await["tags"], json!(["all"]));
    ok(&import("team/app", &["--all-tags", "--to=copied/app"]));
    assert_eq!(client.json("/v2/copied/app/tags/list").await["tags"], json!(["all", "amd64", "arm64"]));
    let digest = made("amd64", Packing::Gzip).digest();
    ok(&import(&format!("team/app@{digest}"), &["--to=one:1", "--no-referrers"]));
    assert_pushed(&here, "one", "1", &made("amd64", Packing::Gzip)).await;

    assert!(refused(&import("team/app:missing", &[])).contains("has no team/app/manifests/missing"));
    let wrong = here.command(&["import", &source("team/app:all"), "--username=admin", "--password=wrong"]);
    assert!(refused(&wrong).contains("does not accept our credentials"), "{wrong:?}");
    let nobody = here.command(&["import", &source("team/app:all")]);
    assert!(refused(&nobody).contains("refuses"), "{nobody:?}");
}

/// What `importImage` of a registry here comes to: the status and the error's code, after its operation has ended.
async fn ordered(here: &Server, registry: &str, order: Value, more: &[(&str, &str)]) -> (u16, String) {
    ordered_by(&here.client(), here, registry, order, more).await
}

async fn ordered_by(
    client: &Client,
    here: &Server,
    registry: &str,
    order: Value,
    more: &[(&str, &str)],
) -> (u16, String) {
    let http = reqwest::Client::new();
    let token = client.arm_token().await;
    let default = client.registry_id(&token).await;
    let beside = default.strip_suffix("lazaret").expect("the default registry's");
    let path = format!("{beside}{registry}/importImage?api-version=2025-11-01");
    let mut request = http.post(format!("http://{}{path}", here.address)).bearer_auth(&token).json(&order);
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    let mut answer = request.send().await.expect("answers");
    let mut location = None;
    while answer.status() == StatusCode::ACCEPTED {
        let named = answer.headers().get("location").map(|it| it.to_str().expect("text").to_owned());
        let location = location.get_or_insert_with(|| named.expect("the first answer names it"));
        tokio::time::sleep(Duration::from_millis(50)).await;
        // It is announced for HTTPS; the same path serves here.
        let path = location.splitn(4, '/').nth(3).expect("a path");
        let url = format!("http://{}/{path}", here.address);
        answer = http.get(url).bearer_auth(&token).send().await.expect("answers");
    }
    let status = answer.status().as_u16();
    let body: Value = serde_json::from_slice(&answer.bytes().await.expect("a body")).unwrap_or_default();
    (status, body["error"]["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn import_image_by_the_azure_api() {
    let folder = tempfile::tempdir().expect("a folder");
    let there = house(&folder, "there");
    let known = format!("--import-from=http://{}", there.address);
    let here = Server::start(ServerOptions::new(LAZARET, &folder.path().join("here")).with(&known));
    let (image, other) = (made("one", Packing::Gzip), made("two", Packing::Gzip));
    there.client().push("team/app", "1", &image).await.expect("pushes");
    there.client().push("team/app", "2", &other).await.expect("pushes");
    let order = |uri: &str, image: &str, password: &str, mode: &str| {
        json!({
            "source": {
                "registryUri": uri, "sourceImage": image,
                "credentials": { "username": "admin", "password": password },
            },
            "targetTags": ["copied/app:1"], "untaggedTargetRepositories": ["bare"], "mode": mode,
        })
    };
    let (uri, password) = (there.address.to_string(), there.password());
    let password = password.as_str();
    let is = |status: u16, code: &str| (status, code.to_owned());
    let good = order(&uri, "team/app:1", password, "NoForce");
    assert_eq!(ordered(&here, "lazaret", good.clone(), &[]).await, is(200, ""));
    assert_pushed(&here, "copied/app", "1", &image).await;
    assert_eq!(here.client().json("/v2/bare/tags/list").await["tags"], json!([]));
    let bare = here.client().get(&format!("/v2/bare/manifests/{}", image.digest())).await.expect("answers");
    assert_eq!(bare.status(), StatusCode::OK);

    assert_eq!(ordered(&here, "lazaret", good, &[]).await, is(409, "Conflict"));
    let moved = order(&uri, "team/app:2", password, "Force");
    assert_eq!(ordered(&here, "lazaret", moved, &[("prefer", "respond-async")]).await, is(200, ""));
    assert_pushed(&here, "copied/app", "1", &other).await;
    for (order, status, code) in [
        (order(&uri, "team/app:1", "wrong", "Force"), 400, "SourceAccessDenied"),
        (order(&uri, "team/app:none", password, "Force"), 404, "ImageNotFound"),
        (order("127.0.0.1:1", "team/app:1", password, "Force"), 400, "SourceForbidden"),
        (order("169.254.169.254", "team/app:1", password, "Force"), 400, "SourceForbidden"),
        (order("http://registry.example", "team/app:1", password, "Force"), 400, "InvalidImportSource"),
        (order(&uri, "Team/app:1", password, "Force"), 400, "InvalidImportSource"),
        (order(&uri, "team/app:1", password, "Maybe"), 400, "InvalidImportMode"),
        (json!({ "source": { "registryUri": uri, "sourceImage": "a" } }), 400, "InvalidTarget"),
        (json!({ "source": { "sourceImage": "a" }, "targetTags": ["a"] }), 400, "InvalidImportSource"),
    ] {
        for more in [&[][..], &[("prefer", "respond-async")]] {
            assert_eq!(ordered(&here, "lazaret", order.clone(), more).await, is(status, code), "{order}");
        }
    }
    // What a failed order would have moved is where it was.
    assert_pushed(&here, "copied/app", "1", &other).await;

    ok(&here.command(&["cache", "create", "hub", "--upstream=docker.io/library/*", "--repository=hub/*"]));
    let cached =
        json!({ "source": { "registryUri": uri, "sourceImage": "team/app:1" }, "targetTags": ["hub/app:1"] });
    assert_eq!(ordered(&here, "lazaret", cached, &[]).await, is(409, "Conflict"));
}

#[tokio::test]
async fn import_image_from_one_registry_of_the_house_to_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = house(&folder, "here");
    ok(&here.command(&["registry", "create", "second"]));
    let image = made("one", Packing::Gzip);
    here.client().push("team/app", "1", &image).await.expect("pushes");
    let token = here.client().arm_token().await;
    let default = here.client().registry_id(&token).await;
    let id =
        |name: &str| format!("{}{name}", default.strip_suffix("lazaret").expect("the default registry's"));
    let order =
        |source: Value, tag: &str| json!({ "source": source, "targetTags": [format!("copied:{tag}")] });
    let by_id = json!({ "resourceId": id("lazaret"), "sourceImage": format!("team/app@{}", image.digest()) });
    assert_eq!(ordered(&here, "second", order(by_id, "1"), &[]).await.0, 200);
    let by_host = json!({ "registryUri": here.address.to_string(), "sourceImage": "team/app:1" });
    assert_eq!(ordered(&here, "second", order(by_host, "2"), &[]).await.0, 200);
    let by_name = json!({ "registryUri": "second.lazaret.localhost", "sourceImage": "copied:2" });
    assert_eq!(ordered(&here, "lazaret", order(by_name, "3"), &[]).await.0, 200);
    assert_pushed(&here, "copied", "3", &image).await;
    let with_secret = json!({
        "resourceId": id("lazaret"), "sourceImage": "team/app:1",
        "credentials": { "username": "admin", "password": "wrong" },
    });
    let refused = ordered(&here, "second", order(with_secret, "4"), &[]).await;
    assert_eq!(refused, (400, "SourceAccessDenied".to_owned()));
    let nowhere = json!({ "resourceId": id("third"), "sourceImage": "team/app:1" });
    assert_eq!(
        ordered(&here, "second", order(nowhere, "5"), &[]).await,
        (400, "InvalidImportSource".to_owned())
    );

    // What a gate blocks does not get round it, and what somebody may not pull they may not import.
    ok(&here.command(&["gate", "set", "judged", "--unverified=deny"]));
    let created =
        ok(&here.command(&["principal", "create", "importer", "--role=Owner", "--scope", &id("second")]));
    let secret = created.lines().find(|line| line.starts_with("secret")).expect("a secret");
    let importer =
        Client::new(&here.address, "importer", secret.split_whitespace().nth(1).expect("a secret"));
    let wanted = || order(json!({ "resourceId": id("lazaret"), "sourceImage": "team/app:1" }), "6");
    // A running server follows within a second.
    let becomes = async |status: u16, code: &str| {
        let began = Instant::now();
        let mut found = (0, String::new());
        while found != (status, code.to_owned()) {
            assert!(began.elapsed() < Duration::from_secs(20), "{found:?} is not {status} {code}");
            found = ordered_by(&importer, &here, "second", wanted(), &[]).await;
        }
    };
    becomes(403, "AuthorizationFailed").await;
    ok(&here.command(&["role", "assign", "importer", "AcrPull"]));
    becomes(403, "ImageBlocked").await;
    ok(&here.command(&["gate", "remove", "judged"]));
    becomes(200, "").await;

    // What refers to an image has a gate of its own: here the image is exempt, and what refers to it is not.
    let other = made("referring", Packing::Gzip);
    let mut referring: Value = serde_json::from_slice(&other.manifest()).expect("a document");
    let (media_type, size) = (oci::MediaType::OCI_MANIFEST, image.manifest().len());
    referring["subject"] = json!({ "mediaType": media_type, "digest": image.digest(), "size": size });
    let referring = referring.to_string().into_bytes();
    for blob in other.layers().map(<[u8]>::to_vec).chain([other.config()]) {
        here.client().push_blob("team/app", &blob).await.expect("pushes");
    }
    here.client().push_manifest("team/app", "referring", &referring).await.expect("pushes");
    ok(&here.command(&["gate", "set", "judged", "--unverified=deny"]));
    let digest = image.digest().to_string();
    ok(&here.command(&["gate", "exempt", "image", "--digest", &digest, "--reason=known", "--days=1"]));
    let blocked = json!({ "resourceId": id("lazaret"), "sourceImage": "team/app:referring" });
    let began = Instant::now();
    while ordered_by(&importer, &here, "second", order(blocked.clone(), "7"), &[]).await.0 != 403 {
        assert!(began.elapsed() < Duration::from_secs(20), "the gate does not close");
    }
    let fresh = |tag: &str| {
        let source = json!({ "resourceId": id("lazaret"), "sourceImage": format!("team/app@{digest}") });
        json!({ "source": source, "targetTags": [format!("gated:{tag}")] })
    };
    assert_eq!(ordered_by(&importer, &here, "second", fresh("1"), &[]).await.0, 200);
    ok(&here.command(&["gate", "remove", "judged"]));
    let arrived = |digest: Digest| {
        let client = Client::new(&here.address, "admin", &here.password());
        async move {
            let path = format!("/v2/gated/manifests/{digest}");
            let asked =
                client.request(reqwest::Method::HEAD, &path).header("Host", "second.lazaret.localhost");
            asked.send().await.expect("answers").status()
        }
    };
    assert_eq!(arrived(image.digest()).await, 200);
    assert_eq!(arrived(Digest::sha256(&referring)).await, 404);
    // Without the gate it comes along.
    let began = Instant::now();
    while arrived(Digest::sha256(&referring)).await != 200 {
        assert!(began.elapsed() < Duration::from_secs(20), "it does not come along");
        assert_eq!(ordered_by(&importer, &here, "second", fresh("2"), &[]).await.0, 200);
    }

    // Into the default registry they may not bring anything.
    let refused = ordered_by(&importer, &here, "lazaret", wanted(), &[]).await;
    assert_eq!(refused, (403, "AuthorizationFailed".to_owned()));
}

/// Debian's `docker-registry`, on a port and a folder of its own.
struct Distribution {
    child: Child,
    address: String,
}

impl Distribution {
    fn start(folder: &std::path::Path) -> Self {
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
        let config = folder.join("registry.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
             http: {{addr: '127.0.0.1:{port}', secret: x}}\n",
            folder.join("distribution").display()
        );
        std::fs::write(&config, text).expect("writes");
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry starts");
        Self { child, address: format!("127.0.0.1:{port}") }
    }

    async fn client(&self) -> Client {
        let client = Client::new(&self.address, "nobody", "");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while client.get("/v2/").await.is_err() {
            assert!(std::time::Instant::now() < deadline, "docker-registry does not answer");
            tokio::task::yield_now().await;
        }
        client
    }
}

impl Drop for Distribution {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn dockers_own_registry_over_http_and_from_its_folder() {
    if !tool("docker-registry", "imports from Docker's registry", "apt-get install docker-registry") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let server = house(&folder, "data");
    let distribution = Distribution::start(folder.path());
    let client = distribution.client().await;
    let (one, two) = (made("1", Packing::Gzip), made("2", Packing::Gzip));
    client.push("team/app", "1", &one).await.expect("pushes");
    client.push("team/app", "2", &two).await.expect("pushes");
    ok(&server.command(&[
        "import",
        &format!("http://{}/team/app", distribution.address),
        "--all-tags",
        "--to=net/app",
    ]));
    assert_pushed(&server, "net/app", "1", &one).await;
    assert_pushed(&server, "net/app", "2", &two).await;
    drop(distribution);
    ok(&server.command(&["import", folder.path().join("distribution").to_str().expect("text")]));
    assert_pushed(&server, "team/app", "1", &one).await;
    assert_pushed(&server, "team/app", "2", &two).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_cut_off_shows_nothing_and_is_gone_on_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = house(&folder, "data");
    let image = made("cut", Packing::Gzip);
    let (release, held) = tokio::sync::watch::channel(false);
    let (asked, mut was_asked) = tokio::sync::watch::channel(0);
    let source = {
        let image = image.clone();
        Source::start(move |head| {
            let path = head.split(' ').nth(1).unwrap_or_default();
            if path.ends_with("/manifests/1") {
                return Reply::ok(image.manifest())
                    .header(&format!("content-type: {}", MediaType::OCI_MANIFEST));
            }
            let contents = image.layers().map(<[u8]>::to_vec).chain([image.config()]);
            let found =
                contents.enumerate().find(|(_, bytes)| path.ends_with(&Digest::sha256(bytes).to_string()));
            match found {
                // The second layer comes when the test says so.
                Some((1, bytes)) => {
                    asked.send_modify(|count| *count += 1);
                    Reply::held(&bytes, bytes.len() / 2, held.clone())
                }
                Some((_, bytes)) => Reply::ok(bytes),
                None => Reply::status(404),
            }
        })
        .await
    };
    let place = source.url("/team/app:1");
    let arguments = ["import", &place, "--to=cut/app", "--data", server.data().to_str().expect("text")];
    let mut import = Command::new(LAZARET).args(arguments).stdout(Stdio::null()).spawn().expect("starts");
    was_asked.wait_for(|count| *count == 1).await.expect("the source lives");
    import.kill().expect("it runs");
    import.wait().expect("it ends");
    let client = server.client();
    for path in ["manifests/1".to_owned(), format!("manifests/{}", image.digest())] {
        let answer = client.get(&format!("/v2/cut/app/{path}")).await.expect("answers");
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
    release.send_replace(true);
    ok(&server.command(&arguments[..3]));
    assert_pushed(&server, "cut/app", "1", &image).await;
    ok(&server.command(&["fsck"]));
}

#[tokio::test]
async fn a_hostile_folder_reads_nothing_that_is_not_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = house(&folder, "data");
    let layout = folder.path().join("layout");
    let image = made("link", Packing::Gzip);
    image.save_layout(&layout, "1");
    // The right bytes, and yet by a link that leads out.
    let layer =
        layout.join("blobs/sha256").join(Digest::sha256(image.layers().next().expect("a layer")).hex());
    let outside = folder.path().join("outside");
    std::fs::rename(&layer, &outside).expect("moves");
    std::os::unix::fs::symlink(&outside, &layer).expect("links");
    let why = refused(&server.command(&["import", layout.to_str().expect("text"), "--to=x"]));
    assert!(why.contains("the source does not have the blob"), "{why}");
    assert_eq!(
        server.client().get("/v2/x/manifests/1").await.expect("answers").status(),
        StatusCode::NOT_FOUND
    );
}
