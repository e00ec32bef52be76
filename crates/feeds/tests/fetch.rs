//! Fetching from sources that behave, and from those that do not.

use std::io::{Read, Seek};
use std::time::Duration;

use feeds::{FetchError, FetchLimits, Fetched, Fetcher, Validators};
use oci::Digest;
use testkit::{Reply, Source};

fn fetcher() -> Fetcher {
    let limits =
        FetchLimits { payload_bytes_max: 1000, idle: Duration::from_millis(200), ..FetchLimits::default() };
    Fetcher::new(limits).expect("a client")
}

async fn failure(reply: Reply) -> FetchError {
    let source = Source::start(move |_| reply.clone()).await;
    fetcher().fetch(&source.url("/x"), &Validators::default()).await.expect_err("a failure")
}

#[tokio::test]
async fn a_payload_comes_with_what_the_source_says_of_it() {
    let source = Source::start(|_| {
        Reply::ok("payload").header("etag: \"1\"").header("last-modified: Tue, 24 Nov 2026 00:00:00 GMT")
    })
    .await;
    let Fetched::Payload(mut download) =
        fetcher().fetch(&source.url("/x"), &Validators::default()).await.expect("fetched")
    else {
        panic!("nothing came");
    };
    let mut text = String::new();
    download.file.rewind().expect("a file");
    download.file.read_to_string(&mut text).expect("a file");
    assert_eq!(text, "payload");
    assert_eq!(download.digest, Digest::sha256(b"payload"));
    assert_eq!(download.validators.etag.as_deref(), Some("\"1\""));
    assert_eq!(download.validators.last_modified.as_deref(), Some("Tue, 24 Nov 2026 00:00:00 GMT"));
}

#[tokio::test]
async fn what_is_known_is_not_sent_again() {
    let source = Source::start(|request| {
        let knows =
            request.contains("if-none-match: \"1\"") && request.contains("if-modified-since: yesterday");
        if knows { Reply::status(304) } else { Reply::status(500) }
    })
    .await;
    let known = Validators { etag: Some("\"1\"".into()), last_modified: Some("yesterday".into()) };
    let fetched = fetcher().fetch(&source.url("/x"), &known).await.expect("an answer");
    assert!(matches!(fetched, Fetched::Unchanged));
}

#[tokio::test]
async fn any_other_status_is_a_failure() {
    for status in [204, 206, 403, 404, 429, 500, 503] {
        let error = failure(Reply::status(status)).await;
        assert!(matches!(error, FetchError::Status { status: found } if found == status), "{error:?}");
    }
}

#[tokio::test]
async fn a_payload_cut_short_is_a_failure() {
    let announced = Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort");
    let chunked = Reply::raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\n");
    for reply in [announced, chunked] {
        let error = failure(reply).await;
        assert!(matches!(error, FetchError::BrokenOff(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_payload_beyond_the_limit_is_a_failure_announced_or_not() {
    let chunk = format!("3e9\r\n{}\r\n0\r\n\r\n", "x".repeat(0x3e9));
    let chunked = Reply::raw(&format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunk}"));
    for reply in [Reply::ok("x".repeat(1001)), chunked] {
        let error = failure(reply).await;
        assert!(matches!(error, FetchError::TooLarge { bytes_max: 1000 }), "{error:?}");
    }
}

#[tokio::test]
async fn a_source_that_falls_silent_is_given_up() {
    for reply in [Reply::silence(""), Reply::silence("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome")] {
        let error = failure(reply).await;
        assert!(matches!(error, FetchError::TooSlow(_)), "{error:?}");
    }
}

#[tokio::test]
async fn redirects_are_followed_but_not_for_ever() {
    let source = Source::start(|request| match request.split(' ').nth(1) {
        Some("/moved") => Reply::status(302).header("location: /here"),
        Some("/here") => Reply::ok("payload"),
        _ => Reply::status(302).header("location: /round"),
    })
    .await;
    let fetched = fetcher().fetch(&source.url("/moved"), &Validators::default()).await.expect("fetched");
    assert!(matches!(fetched, Fetched::Payload(_)));
    let error = fetcher().fetch(&source.url("/round"), &Validators::default()).await.expect_err("a circle");
    assert!(matches!(error, FetchError::Redirected(_)), "{error:?}");
    assert!(source.requests() < 12);
}

#[tokio::test]
async fn nobody_there_is_a_failure() {
    let url = Source::start(|_| Reply::ok("")).await.stop().await;
    let error = fetcher().fetch(&url, &Validators::default()).await.expect_err("nobody");
    assert!(matches!(error, FetchError::Unreachable(_)), "{error:?}");
}
