//! Payloads from sources: asked for only when new, and never believed blindly.

mod house;

use feeds::{Feeds, FetchError, FetchLimits, Outcome, Refusal, Report, Sources};
use house::{House, alpine, debian};
use testkit::{Reply, Source};

/// Which of its two vendors a mirror is asked as.
fn sources(mirror: &Source) -> Sources {
    Sources { debian: mirror.url("/tracker/data/json"), alpine: mirror.url("/") }
}

/// A mirror of two feeds with entity tags, whose Debian payload is `tracker`.
async fn mirror(tracker: Reply) -> Source {
    Source::start(move |request| {
        let path = request.split(' ').nth(1).unwrap_or_default();
        let reply = match path {
            "/tracker/data/json" => tracker.clone().header("etag: \"d\""),
            "/v3.22/main.json" => Reply::ok(alpine("v3.22", "main", "1-r0")).header("etag: \"a\""),
            // What it says is not what it was asked for.
            "/v3.21/main.json" => Reply::ok(alpine("v3.22", "main", "1-r0")),
            _ => return Reply::status(404),
        };
        let known = ["/tracker/data/json", "/v3.22/main.json"].contains(&path)
            && request.contains("if-none-match: \"");
        if known { Reply::status(304) } else { reply }
    })
    .await
}

async fn update(feeds: &Feeds, mirror: &Source, now_ms: i64) -> Report {
    feeds.update(&sources(mirror), now_ms).await.expect("the stores work")
}

fn outcome<'a>(report: &'a Report, feed: &str) -> &'a Outcome {
    let found = report.payloads.iter().find(|payload| payload.feed.as_deref() == Some(feed));
    &found.expect("asked for").outcome
}

#[tokio::test]
async fn what_is_new_is_taken_in_and_each_failure_said() {
    let house = House::new();
    let mirror = mirror(Reply::ok(debian(3))).await;
    let report = update(&house.feeds, &mirror, 1).await;
    assert_eq!(report.payloads.len(), 15);
    assert_eq!(house.rows().await, ["alpine/v3.22/main 1 1", "debian 3 1"]);
    assert!(matches!(outcome(&report, "debian"), Outcome::Imported { records: 3, .. }), "{report}");
    let missing = outcome(&report, "alpine/edge/main");
    assert!(
        matches!(missing, Outcome::Refused(Refusal::Fetch(FetchError::Status { status: 404 }))),
        "{report}"
    );
    let wrong = outcome(&report, "alpine/v3.21/main");
    assert!(matches!(wrong, Outcome::Refused(Refusal::OtherFeed { .. })), "{report}");
}

#[tokio::test]
async fn what_is_not_new_is_not_fetched_but_confirmed() {
    let house = House::new();
    let mirror = mirror(Reply::ok(debian(3))).await;
    let first = update(&house.feeds, &mirror, 1).await;
    let second = update(&house.feeds, &mirror, 2).await;
    assert!(matches!(outcome(&second, "debian"), Outcome::Unchanged), "{second}");
    assert_eq!(second.snapshot, first.snapshot);
    assert!(!second.is_new);
    assert_eq!(house.rows().await, ["alpine/v3.22/main 1 2", "debian 3 2"]);
}

#[tokio::test]
async fn a_payload_that_was_lost_here_is_fetched_again() {
    let house = House::new();
    let mirror = mirror(Reply::ok(debian(3))).await;
    let first = update(&house.feeds, &mirror, 1).await;
    let payload = house.metastore.feeds().await.expect("rows").pop().expect("debian").payload.digest;
    house.blobs.remove(&payload).await.expect("removed");
    update(&house.feeds, &mirror, 2).await;
    assert!(house.blobs.read(&payload).await.expect("blobs").is_some());
    assert_eq!(Some(house.snapshot().await.id()), first.snapshot.as_ref());
}

#[tokio::test]
async fn a_failing_source_leaves_its_feed_as_it_was() {
    let house = House::new();
    let limits = FetchLimits { idle: std::time::Duration::from_millis(200), ..FetchLimits::default() };
    let feeds = house.feeds.clone().with_limits(limits);
    house.import(&[house.file("tracker.json", debian(10))], 1).await;
    let whole = debian(10);
    let half = &whole[..whole.len() / 2];
    let broken = [
        Reply::status(500),
        Reply::ok(half),
        Reply::ok("<html>busy</html>"),
        Reply::ok(debian(2)),
        Reply::raw(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{half}", whole.len())),
        Reply::silence(""),
    ];
    for reply in broken {
        let source = Source::start(move |_| reply.clone()).await;
        let sources = Sources { debian: source.url("/x"), alpine: String::new() };
        let report = feeds.update(&sources, 2).await.expect("the stores work");
        assert!(
            matches!(report.payloads[..], [ref one] if matches!(one.outcome, Outcome::Refused(_))),
            "{report}"
        );
        assert_eq!(house.rows().await, ["debian 10 1"], "{report}");
        assert_eq!(house.records("debian:bookworm", "zlib").await, 10);
    }
}
