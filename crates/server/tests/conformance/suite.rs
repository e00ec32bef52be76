//! The table of checks, and how a check asks.

use std::collections::BTreeSet;
use std::fmt::Debug;

use oci::{Algorithm, Digest, MediaType};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use testkit::Client;

pub(crate) type Outcome = Result<(), String>;

/// The versions of the specification, each with a run of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    V1_0,
    V1_1,
    /// What is written since 1.1.1 and has no number yet (`dev`).
    Next,
}

/// Where the second identity may push and pull, and nowhere else.
pub(crate) const NARROW: &str = "first/narrow";

pub(crate) struct Suite {
    pub(crate) version: Version,
    client: Client,
    narrow: Client,
    rows: Vec<(String, String, Outcome)>,
}

impl Suite {
    /// `narrow` is who may push to [`NARROW`] alone; `client` may do everything.
    pub(crate) fn new(version: Version, client: Client, narrow: Client) -> Self {
        Self { version, client, narrow, rows: Vec::new() }
    }

    pub(crate) async fn ask_as_narrow(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        Answer::of(self.narrow.request(method, path).body(body.to_vec()).send().await.unwrap()).await
    }

    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, path).body(body.to_vec());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request.send().await.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"").await
    }

    pub(crate) async fn head(&self, path: &str) -> Answer {
        self.ask("HEAD", path, &[], b"").await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path, &[], b"").await
    }

    /// A body without a length, in pieces.
    pub(crate) async fn stream(&self, path: &str, body: &[u8]) -> Answer {
        let pieces: Vec<Result<Vec<u8>, std::io::Error>> =
            body.chunks(7).map(|piece| Ok(piece.to_vec())).collect();
        let body = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
        Answer::of(self.client.request(Method::PATCH, path).body(body).send().await.unwrap()).await
    }

    /// Opens a session.
    pub(crate) async fn open(&self, repository: &str) -> Answer {
        self.ask("POST", &format!("/v2/{repository}/blobs/uploads/"), &[], b"").await
    }

    pub(crate) async fn push_blob(&self, repository: &str, digest: &Digest, bytes: &[u8]) -> Answer {
        self.ask("POST", &format!("/v2/{repository}/blobs/uploads/?digest={digest}"), &[], bytes).await
    }

    pub(crate) async fn push_manifest(&self, repository: &str, reference: &str, manifest: &Value) -> Answer {
        let media_type = manifest["mediaType"].as_str().unwrap_or(MediaType::OCI_MANIFEST).to_owned();
        let path = format!("/v2/{repository}/manifests/{reference}");
        self.ask("PUT", &path, &[("content-type", &media_type)], manifest.to_string().as_bytes()).await
    }

    pub(crate) fn row(&mut self, number: impl Into<String>, check: impl Into<String>, outcome: Outcome) {
        self.rows.push((number.into(), check.into(), outcome));
    }

    /// Prints the table. Every number that this version of the specification has is in it, no other is
    /// but what goes beyond the suites (`X`), and every outcome is good.
    #[expect(clippy::print_stdout, reason = "the table is for whoever runs it")]
    pub(crate) fn report(self) {
        let wanted = numbers(self.version);
        let (mut asked, mut missed) = (BTreeSet::new(), BTreeSet::new());
        for (number, check, outcome) in &self.rows {
            let official = number.split(' ').next().unwrap().to_owned();
            asked.insert(official.clone());
            match outcome {
                Ok(()) => println!("{number:<12} pass  {check}"),
                Err(why) => {
                    println!("{number:<12} MISS  {check}: {why}");
                    missed.insert(official);
                }
            }
        }
        asked.remove("X");
        let passed = wanted.intersection(&asked).filter(|number| !missed.contains(*number)).count();
        println!(
            "{:?}: {passed} of {} numbers pass, by {} checks",
            self.version,
            wanted.len(),
            self.rows.len()
        );
        let absent: Vec<_> = wanted.difference(&asked).collect();
        assert!(absent.is_empty(), "no check has these numbers: {absent:?}");
        let strange: Vec<_> = asked.difference(&wanted).collect();
        assert!(strange.is_empty(), "this version has no such numbers: {strange:?}");
        assert!(missed.is_empty(), "some checks were missed: the table says which of {missed:?}");
    }
}

/// What both suites ask of a version, by number.
fn numbers(version: Version) -> BTreeSet<String> {
    let groups = [
        ("P", 26),
        ("U", 30),
        ("D", 17),
        ("M", 10),
        ("B", 3),
        ("B4.", 21),
        ("B5.", SETS.len()),
        ("B6", 0),
        ("B7", 0),
    ];
    let all = groups.into_iter().flat_map(|(group, count)| match count {
        0 => vec![group.to_owned()],
        _ => (1..=count).map(|number| format!("{group}{number}")).collect(),
    });
    all.filter(|number| since(number) <= version).collect()
}

/// The version that first had what the number asks for.
fn since(number: &str) -> Version {
    match number {
        // Cancelling an upload, and tags by parameter.
        "B4.9" | "B5.19" | "B5.20" => Version::Next,
        // Where an upload stands, mounts without `from`, and referrers; `artifactType` came with them.
        "U14" | "U17" | "U21" | "U22" | "D5" | "D9" | "D10" | "D11" | "D12" | "D17" => Version::V1_1,
        "B3" | "B4.7" | "B4.12" | "B4.13" => Version::V1_1,
        "B5.7" | "B5.8" | "B5.9" | "B5.10" | "B5.11" | "B5.12" => Version::V1_1,
        _ => Version::V1_0,
    }
}

/// The data sets of B5, whose numbers are their places here.
const SETS: [&str; 21] = [
    "image",
    "image-uncompressed",
    "large-manifest",
    "index",
    "nested-index",
    "empty-index",
    "artifact",
    "artifact-index",
    "artifact-without-layers",
    "artifacts-with-subject",
    "index-with-subject",
    "missing-subject",
    "data-field",
    "nondistributable-layers",
    "custom-fields",
    "no-layers",
    "sparse",
    "sha512",
    "tag-params-sha256",
    "tag-params-sha512",
    "bad-digest",
];

/// The number of a data set; `X` if the suites have none such.
pub(crate) fn number_of_set(name: &str) -> String {
    SETS.iter().position(|set| *set == name).map_or_else(|| "X".to_owned(), |at| format!("B5.{}", at + 1))
}

/// Whether the version has what the number asks for.
pub(crate) fn has(version: Version, number: &str) -> bool {
    since(number) <= version
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, body: response.bytes().await.unwrap().to_vec() }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(crate) fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn is(&self, status: u16) -> Outcome {
        let told = String::from_utf8_lossy(&self.body[..self.body.len().min(300)]);
        if self.status == status { Ok(()) } else { Err(format!("{}, not {status}: {told}", self.status)) }
    }

    /// The status, and the header.
    pub(crate) fn says(&self, status: u16, header: &str, wanted: impl ToString) -> Outcome {
        self.is(status).and_then(|()| same(header, self.header(header), wanted.to_string().as_str()))
    }

    /// The status, and the code of the first error.
    pub(crate) fn refuses(&self, status: u16, code: &str) -> Outcome {
        self.is(status).and_then(|()| same("code", self.code().as_str(), code))
    }

    /// All of a blob or manifest, or (to HEAD) all but its bytes.
    pub(crate) fn holds(&self, bytes: &[u8], digest: &Digest, is_head: bool) -> Outcome {
        self.says(200, "docker-content-digest", digest)?;
        same("content-length", self.header("content-length"), bytes.len().to_string().as_str())?;
        same("the body", self.body.as_slice(), if is_head { b"" } else { bytes })?;
        same("content-encoding", self.header("content-encoding"), "")
    }
}

pub(crate) fn same<T: PartialEq + Debug>(what: &str, actual: T, wanted: T) -> Outcome {
    let shown = |value: &T| format!("{value:?}").chars().take(200).collect::<String>();
    if actual == wanted {
        Ok(())
    } else {
        Err(format!("{what} is {}, not {}", shown(&actual), shown(&wanted)))
    }
}

/// The first that went wrong.
pub(crate) fn all(outcomes: impl IntoIterator<Item = Outcome>) -> Outcome {
    outcomes.into_iter().collect()
}

pub(crate) fn descriptor(bytes: &[u8], media_type: &str, algorithm: Algorithm) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(algorithm, bytes), "size": bytes.len() })
}

/// An image of this configuration and these layers.
pub(crate) fn image(config: &[u8], layers: &[&[u8]], algorithm: Algorithm) -> Value {
    let layer = "application/vnd.oci.image.layer.v1.tar+gzip";
    let layers: Vec<_> = layers.iter().map(|bytes| descriptor(bytes, layer, algorithm)).collect();
    json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "config": descriptor(config, MediaType::OCI_CONFIG, algorithm),
        "layers": layers,
    })
}

pub(crate) fn digest_of(manifest: &Value, algorithm: Algorithm) -> Digest {
    Digest::of(algorithm, manifest.to_string().as_bytes())
}

pub(crate) const UNKNOWN: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
