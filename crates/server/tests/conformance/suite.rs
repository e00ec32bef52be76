//! The table of checks, and how a check asks.

use std::collections::BTreeSet;
use std::fmt::Debug;

use oci::{Algorithm, Digest, MediaType};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use testkit::Client;

pub(crate) type Outcome = Result<(), String>;

pub(crate) struct Suite {
    client: Client,
    rows: Vec<(String, String, Outcome)>,
}

impl Suite {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, rows: Vec::new() }
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

    /// Prints the table; every number of both suites is in it, and every outcome is good.
    #[expect(clippy::print_stdout, reason = "the table is for whoever runs it")]
    pub(crate) fn report(self) {
        let mut missed = 0;
        for (number, check, outcome) in &self.rows {
            match outcome {
                Ok(()) => println!("{number:<12} pass  {check}"),
                Err(why) => {
                    missed += 1;
                    println!("{number:<12} MISS  {check}: {why}");
                }
            }
        }
        let checked: BTreeSet<&str> =
            self.rows.iter().map(|(number, ..)| number.split(' ').next().unwrap()).collect();
        let absent: Vec<String> = numbers().filter(|number| !checked.contains(number.as_str())).collect();
        println!("{} checks, {missed} missed, {} numbers absent", self.rows.len(), absent.len());
        assert!(absent.is_empty(), "no check has these numbers: {absent:?}");
        assert_eq!(missed, 0, "some checks were missed: the table says which");
    }
}

/// What both suites ask, by number.
fn numbers() -> impl Iterator<Item = String> {
    let of = |letter: &'static str, count: u32| (1..=count).map(move |number| format!("{letter}{number}"));
    let first = of("P", 26).chain(of("U", 30)).chain(of("D", 17)).chain(of("M", 10));
    first.chain(of("B", 3)).chain(of("B4.", 21)).chain(of("B5.", 22)).chain(["B6".into(), "B7".into()])
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
