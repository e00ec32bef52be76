//! The second suite's ping, empty repository and blob groups (B1 to B4).

use oci::{Algorithm, Digest, MediaType};

use crate::suite::{Answer, Suite, UNKNOWN, all, has, same};

const A: &str = "second/repo1";

/// B1 to B3, and B6 and B7, which ask for what is not there.
pub(crate) async fn nothing_yet(suite: &mut Suite) {
    for path in ["/v2/", "/v2"] {
        let answer = suite.get(path).await;
        suite.row(
            "B1",
            format!("ping {path}"),
            answer.says(200, "docker-distribution-api-version", "registry/2.0"),
        );
    }
    let answer = suite.get("/v2/second/never/tags/list").await;
    suite.row("B2", "tags of an empty repository", answer.refuses(404, "NAME_UNKNOWN"));
    if has(suite.version, "B3") {
        let answer = suite.get(&format!("/v2/second/never/referrers/{UNKNOWN}")).await;
        let index = answer.json();
        let wanted = all([
            answer.says(200, "content-type", MediaType::OCI_INDEX),
            same("schemaVersion", index["schemaVersion"].as_i64(), Some(2)),
            same("mediaType", index["mediaType"].as_str(), Some(MediaType::OCI_INDEX)),
            same("manifests", index["manifests"].as_array().map(Vec::len), Some(0)),
        ]);
        suite.row("B3", "referrers in an empty repository", wanted);
    }
    for reference in ["tag", UNKNOWN] {
        let answer = suite.get(&format!("/v2/second/never/manifests/{reference}")).await;
        suite.row(
            "B6",
            format!("GET the missing manifest {reference}"),
            answer.refuses(404, "MANIFEST_UNKNOWN"),
        );
    }
    let path = "/v2/second/never/manifests/sha256:baddigeststring";
    let body = br#"{"schemaVersion":2,"manifests":[]}"#;
    let answer = suite.ask("PUT", path, &[("content-type", MediaType::OCI_INDEX)], body).await;
    suite.row("B7", "PUT a malformed digest", answer.refuses(400, "DIGEST_INVALID"));
    let answer = suite.get(path).await;
    suite.row("B7", "GET a malformed digest", answer.refuses(400, "DIGEST_INVALID"));
}

/// B4, in both algorithms, neither of them announced unless a line says so.
pub(crate) async fn every_way(suite: &mut Suite) {
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        ways(suite, algorithm).await;
        bad_digests(suite, algorithm).await;
        mounts(suite, algorithm).await;
        if has(suite.version, "B4.9") {
            cancel(suite, algorithm).await;
        }
        ranges(suite, algorithm).await;
    }
    if has(suite.version, "B4.9") {
        announced(suite).await;
    }
}

/// `digest-algorithm` is as old as cancelling is.
async fn announced(suite: &mut Suite) {
    let digest = Digest::of(Algorithm::Sha512, b"announced");
    let opened =
        suite.ask("POST", &format!("/v2/{A}/blobs/uploads/?digest-algorithm=sha512"), &[], b"").await;
    let closed = format!("{}?digest={digest}", opened.header("location"));
    let answer = suite.ask("PUT", &closed, &[], b"announced").await;
    suite.row("X", "sha512 announced: post and put", opened.is(202).and(answer.is(201)));
    let answer = suite.ask("POST", &format!("/v2/{A}/blobs/uploads/?digest-algorithm=md5"), &[], b"").await;
    suite.row("X", "an unknown algorithm announced", answer.refuses(400, "DIGEST_INVALID"));
}

/// A blob of three chunks of at least 1024 bytes.
fn blob(number: u8) -> Vec<u8> {
    (0..3500_u32).map(|at| at.to_le_bytes()[0] ^ number).collect()
}

async fn ways(suite: &mut Suite, algorithm: Algorithm) {
    let ways: [(u8, &str, Vec<u8>); 10] = [
        (2, "post only", blob(2)),
        (3, "post and put", blob(3)),
        (4, "one chunk", blob(4)),
        (5, "stream", blob(5)),
        (10, "three chunks", blob(10)),
        (11, "three chunks, the last in the put", blob(11)),
        (12, "chunks, each after a wrong PATCH", blob(12)),
        (13, "chunks, each after a wrong PUT", blob(13)),
        (15, "empty", Vec::new()),
        (16, "{}", b"{}".to_vec()),
    ];
    for (number, way, bytes) in ways {
        if !has(suite.version, &format!("B4.{number}")) {
            continue;
        }
        let digest = Digest::of(algorithm, &bytes);
        let (row, path) = (format!("B4.{number} {}", algorithm.name()), format!("/v2/{A}/blobs/{digest}"));
        let answer = suite.get(&path).await;
        suite.row(
            format!("B4.1 {}", algorithm.name()),
            "GET a missing blob",
            answer.refuses(404, "BLOB_UNKNOWN"),
        );
        let pushed = push(suite, &row, way, &bytes, &digest).await;
        suite.row(
            &row,
            way,
            pushed.says(201, "location", &path).and(pushed.says(201, "docker-content-digest", &digest)),
        );
        stays_until_deleted(suite, &row, &path, &bytes, &digest).await;
    }
}

async fn stays_until_deleted(suite: &mut Suite, row: &str, path: &str, bytes: &[u8], digest: &Digest) {
    let (head, get) = (suite.head(path).await, suite.get(path).await);
    suite.row(row, "HEAD it", head.holds(bytes, digest, true));
    suite.row(row, "GET it", get.holds(bytes, digest, false).and(get.says(200, "accept-ranges", "bytes")));
    let (delete, gone) = (suite.delete(path).await, suite.head(path).await);
    suite.row(row, "DELETE it, and it is gone", delete.is(202).and(gone.is(404)));
}

async fn push(suite: &mut Suite, row: &str, way: &str, bytes: &[u8], digest: &Digest) -> Answer {
    if way == "post only" {
        return suite.push_blob(A, digest, bytes).await;
    }
    let opened = suite.open(A).await;
    suite.row(row, "POST", opened.is(202));
    let location = opened.header("location");
    let close = format!("{location}?digest={digest}");
    match way {
        "post and put" | "empty" | "{}" => suite.ask("PUT", &close, &[], bytes).await,
        "stream" => {
            let answer = suite.stream(location, bytes).await;
            suite.row(row, "PATCH without a length", answer.is(202));
            suite.ask("PUT", &close, &[], b"").await
        }
        _ => chunked(suite, row, way, bytes, location, &close).await,
    }
}

async fn chunked(
    suite: &mut Suite,
    row: &str,
    way: &str,
    bytes: &[u8],
    location: &str,
    close: &str,
) -> Answer {
    let size = if way == "one chunk" { bytes.len() } else { 1500 };
    let mut at = 0;
    for piece in bytes.chunks(size) {
        match way {
            "chunks, each after a wrong PATCH" => {
                misplaced(suite, row, "PATCH", location, location, at, piece).await
            }
            "chunks, each after a wrong PUT" => {
                misplaced(suite, row, "PUT", close, location, at, piece).await
            }
            _ => {}
        }
        let end = at + piece.len();
        let range = format!("{at}-{}", end - 1);
        if end == bytes.len() && way.ends_with("in the put") {
            return suite.ask("PUT", close, &[("content-range", &range)], piece).await;
        }
        let answer = suite.ask("PATCH", location, &[("content-range", &range)], piece).await;
        suite.row(row, format!("PATCH {range}"), answer.says(202, "range", format!("0-{}", end - 1)));
        at = end;
    }
    suite.ask("PUT", close, &[], b"").await
}

/// A chunk that begins one byte too late.
async fn misplaced(
    suite: &mut Suite,
    row: &str,
    method: &str,
    path: &str,
    location: &str,
    at: usize,
    piece: &[u8],
) {
    let late = format!("{}-{}", at + 1, at + piece.len());
    let stands = format!("0-{}", at.max(1) - 1);
    let answer = suite.ask(method, path, &[("content-range", &late)], piece).await;
    let told = answer.says(416, "location", location).and(answer.says(416, "range", &stands));
    suite.row(row, format!("{method} out of order at {at}"), told);
    let status = suite.get(location).await;
    let located = status.says(204, "location", location);
    suite.row(row, "the session stands as it stood", status.says(204, "range", stands).and(located));
}

async fn bad_digests(suite: &mut Suite, algorithm: Algorithm) {
    for (number, way) in [
        (17, "post only"),
        (18, "post and put"),
        (19, "three chunks"),
        (20, "three chunks, the last in the put"),
        (21, "stream"),
    ] {
        let row = format!("B4.{number} {}", algorithm.name());
        let wrong = Digest::of(algorithm, b"something else");
        let answer = push(suite, &row, way, &blob(number), &wrong).await;
        let head = suite.head(&format!("/v2/{A}/blobs/{wrong}")).await;
        suite.row(
            &row,
            format!("a wrong digest by {way}"),
            answer.refuses(400, "DIGEST_INVALID").and(head.is(404)),
        );
    }
}

async fn mounts(suite: &mut Suite, algorithm: Algorithm) {
    let (bytes, name) = (b"to be mounted", algorithm.name());
    let digest = Digest::of(algorithm, bytes);
    suite.push_blob(A, &digest, bytes).await;
    for (number, way, from) in [(6, "mount", format!("&from={A}")), (7, "anonymous mount", String::new())] {
        let row = format!("B4.{number} {name}");
        if !has(suite.version, &format!("B4.{number}")) {
            continue;
        }
        let target = format!("second/m{number}");
        let path = format!("/v2/{target}/blobs/uploads/?mount={digest}{from}");
        let answer = suite.ask("POST", &path, &[], b"").await;
        let located = format!("/v2/{target}/blobs/{digest}");
        suite.row(&row, way, answer.says(201, "location", &located));
        stays_until_deleted(suite, &row, &located, bytes, &digest).await;
    }
    let row = format!("B4.8 {name}");
    let nowhere = Digest::of(algorithm, b"nowhere");
    for from in
        [format!("&from={A}"), "&from=second/never".to_owned(), "&from=NO/NAME".to_owned(), String::new()]
    {
        let answer =
            suite.ask("POST", &format!("/v2/second/m8/blobs/uploads/?mount={nowhere}{from}"), &[], b"").await;
        suite.row(&row, format!("mount what exists nowhere {from}"), answer.is(202));
        let close = format!("{}?digest={nowhere}", answer.header("location"));
        let answer = suite.ask("PUT", &close, &[], b"nowhere").await;
        let path = format!("/v2/second/m8/blobs/{nowhere}");
        suite.row(&row, "and its session works", answer.says(201, "location", &path));
        stays_until_deleted(suite, &row, &path, b"nowhere", &nowhere).await;
    }
    let answer = suite.ask("POST", "/v2/second/m8/blobs/uploads/?mount=sha256:x", &[], b"").await;
    suite.row(&row, "mount a malformed digest", answer.refuses(400, "DIGEST_INVALID"));
}

async fn cancel(suite: &mut Suite, algorithm: Algorithm) {
    let row = format!("B4.9 {}", algorithm.name());
    let opened = suite.open(A).await;
    let location = opened.header("location");
    suite.stream(location, b"some").await;
    let (deleted, status, again) =
        (suite.delete(location).await, suite.get(location).await, suite.delete(location).await);
    suite.row(&row, "DELETE a session", deleted.is(204));
    let gone = status.refuses(404, "BLOB_UPLOAD_UNKNOWN").and(again.refuses(404, "BLOB_UPLOAD_UNKNOWN"));
    suite.row(&row, "it is gone", gone);
}

async fn ranges(suite: &mut Suite, algorithm: Algorithm) {
    let row = format!("B4.14 {}", algorithm.name());
    let bytes: Vec<u8> = (0..2048_u32).map(|at| at.to_le_bytes()[0]).collect();
    let digest = Digest::of(algorithm, &bytes);
    suite.push_blob(A, &digest, &bytes).await;
    let path = format!("/v2/{A}/blobs/{digest}");
    for (range, part) in
        [("500-1499", 500..1500), ("500-", 500..2048), ("-500", 1548..2048), ("2000-5000", 2000..2048)]
    {
        let answer = suite.ask("GET", &path, &[("range", &format!("bytes={range}"))], b"").await;
        let shown = format!("bytes {}-{}/2048", part.start, part.end - 1);
        let length = same("length", answer.header("content-length"), part.len().to_string().as_str());
        let body = same("body", answer.body.as_slice(), &bytes[part]);
        suite.row(
            &row,
            format!("the range {range}"),
            all([answer.says(206, "content-range", shown), length, body]),
        );
    }
    for range in ["500-0", "5000-10000"] {
        let answer = suite.ask("GET", &path, &[("range", &format!("bytes={range}"))], b"").await;
        suite.row(&row, format!("the range {range}"), answer.says(416, "content-range", "bytes */2048"));
    }
    let answer = suite.ask("GET", &path, &[("range", "bytes=0-1, 2046-")], b"").await;
    let kind = answer.header("content-type").to_owned();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap_or("no boundary");
    let mut wanted = Vec::new();
    for (part, shown) in [(&bytes[..2], "0-1"), (&bytes[2046..], "2046-2047")] {
        wanted.extend_from_slice(
            format!("--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {shown}/2048\r\n\r\n")
                .as_bytes(),
        );
        wanted.extend_from_slice(part);
        wanted.extend_from_slice(b"\r\n");
    }
    wanted.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    let length = same("length", answer.header("content-length"), wanted.len().to_string().as_str());
    let body = same("body", String::from_utf8_lossy(&answer.body), String::from_utf8_lossy(&wanted));
    suite.row(&row, "several ranges", all([answer.is(206), body, length]));
    let tag = format!("\"{digest}\"");
    for (if_range, status) in [(tag.as_str(), 206), ("\"another\"", 200), ("W/\"weak\"", 200)] {
        let headers = [("range", "bytes=0-1"), ("if-range", if_range)];
        let answer = suite.ask("GET", &path, &headers, b"").await;
        suite.row(&row, format!("If-Range, answered {status}"), answer.is(status));
    }
    for method in ["GET", "HEAD"] {
        let answer = suite.ask(method, &path, &[("if-none-match", &tag)], b"").await;
        suite.row(&row, format!("{method} with If-None-Match"), answer.says(304, "etag", &tag));
    }
    suite.delete(&path).await;
}
