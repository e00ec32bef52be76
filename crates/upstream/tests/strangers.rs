//! Registries that behave, and registries that do not.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use oci::{Digest, MediaType, Reference, Repository};
use testkit::{Reply, Source};
use upstream::{Credentials, Limits, Reach, Upstream, UpstreamError};

/// So long that no test waits for its end: what a busy machine does late is not refused for it.
fn limits() -> Limits {
    let long = Duration::from_secs(60);
    Limits { connect: long, silence: long, document: long }
}

fn upstream(source: &Source, credentials: Option<Credentials>) -> Upstream {
    upstream_within(limits(), source, credentials)
}

fn upstream_within(limits: Limits, source: &Source, credentials: Option<Credentials>) -> Upstream {
    let host = source.url("").parse().expect("a host");
    Upstream::new(host, credentials, Reach::Anywhere, limits).expect("a client")
}

fn me(realms: &[&str]) -> Option<Credentials> {
    let realms = realms.iter().map(|realm| (*realm).to_owned()).collect();
    Some(Credentials { username: "me".to_owned(), secret: "hush".to_owned(), realms })
}

fn repository() -> Repository {
    "app/web".parse().expect("a name")
}

fn tag() -> Reference {
    "1".parse().expect("a tag")
}

const INDEX: &str = r#"{"schemaVersion":2,"manifests":[]}"#;

fn index() -> Reply {
    Reply::ok(INDEX).header(&format!("content-type: {}", MediaType::OCI_INDEX))
}

/// What comes of asking for a manifest by tag.
async fn asked(reply: Reply) -> Result<upstream::RemoteManifest, UpstreamError> {
    let source = Source::start(move |_| reply.clone()).await;
    upstream(&source, None).manifest(&repository(), &tag()).await
}

/// What comes of a blob of which the upstream says that it is this one.
async fn fetched(content: &[u8], reply: Reply) -> Result<Vec<u8>, UpstreamError> {
    fetched_within(limits(), content, reply).await
}

async fn fetched_within(limits: Limits, content: &[u8], reply: Reply) -> Result<Vec<u8>, UpstreamError> {
    let source = Source::start(move |_| reply.clone()).await;
    let upstream = upstream_within(limits, &source, None);
    let mut body = upstream.blob(&repository(), &Digest::sha256(content), content.len() as u64).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes)
}

#[tokio::test]
async fn a_manifest_comes_with_its_type_and_digest() {
    let found = asked(index()).await.expect("a manifest");
    assert_eq!(found.digest, Digest::sha256(INDEX.as_bytes()));
    assert_eq!(found.media_type.as_str(), MediaType::OCI_INDEX);
    assert_eq!(found.bytes, INDEX.as_bytes());
    // A file server knows no media types; the document does.
    let typed = format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#, MediaType::DOCKER_LIST);
    let found = asked(Reply::ok(typed).header("content-type: application/json")).await.expect("a manifest");
    assert_eq!(found.media_type.as_str(), MediaType::DOCKER_LIST);
}

#[tokio::test]
async fn a_manifest_of_another_digest_is_refused() {
    let lie = format!("docker-content-digest: {}", Digest::sha256(b"another"));
    assert!(matches!(asked(index().header(&lie)).await, Err(UpstreamError::Wrong { .. })));
    let source = Source::start(|_| index()).await;
    let by_digest = Reference::Digest(Digest::sha256(b"another"));
    let found = upstream(&source, None).manifest(&repository(), &by_digest).await;
    assert!(matches!(found, Err(UpstreamError::Wrong { .. })), "{found:?}");
}

#[tokio::test]
async fn nothing_without_an_end_is_read_to_its_end() {
    let manifest = asked(Reply::endless([b' '; 4096])).await;
    assert!(matches!(manifest, Err(UpstreamError::Wrong { .. })), "{manifest:?}");
    let endless = fetched(b"blob", Reply::endless(*b"blob")).await;
    assert!(matches!(endless, Err(UpstreamError::Wrong { .. })), "{endless:?}");
    let source = Source::start(|_| Reply::endless([b' '; 4096])).await;
    let tags = upstream(&source, None).tags(&repository()).await;
    assert!(matches!(tags, Err(UpstreamError::Wrong { .. })), "{tags:?}");
}

#[tokio::test]
async fn a_blob_has_the_length_that_its_manifest_says() {
    assert_eq!(fetched(b"blob", Reply::ok("blob")).await.expect("whole"), b"blob");
    for reply in [
        Reply::ok("blo"),
        Reply::ok("blobb"),
        Reply::ok("blob").with_body(b"bl"),
        Reply::raw("HTTP/1.1 200 OK\r\n").with_body(b"bl"),
        Reply::raw("HTTP/1.1 200 OK\r\n").with_body(b"blobb"),
    ] {
        assert!(fetched(b"blob", reply).await.is_err());
    }
}

#[tokio::test]
async fn silence_is_given_up() {
    let limits = Limits { silence: Duration::from_millis(300), ..limits() };
    for reply in [Reply::silence(""), Reply::silence("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbl")] {
        let waited = fetched_within(limits, b"blob", reply).await;
        assert!(matches!(waited, Err(UpstreamError::TooSlow { .. })), "{waited:?}");
    }
}

#[tokio::test]
async fn a_redirect_never_leads_to_metadata() {
    for target in ["http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/", "http://0.0.0.0:1/"] {
        let led = fetched(b"blob", Reply::status(307).header(&format!("location: {target}"))).await;
        assert!(matches!(led, Err(UpstreamError::Forbidden { .. })), "{target}: {led:?}");
    }
    for target in ["file:///etc/passwd", "gopher://127.0.0.1/", "http://"] {
        let led = fetched(b"blob", Reply::status(302).header(&format!("location: {target}"))).await;
        assert!(matches!(led, Err(UpstreamError::Redirected { .. })), "{target}: {led:?}");
    }
    let round = fetched(b"blob", Reply::status(307).header("location: /v2/round")).await;
    assert!(matches!(round, Err(UpstreamError::Redirected { .. })), "{round:?}");
    assert!(matches!(fetched(b"blob", Reply::status(307)).await, Err(UpstreamError::Redirected { .. })));
}

#[tokio::test]
async fn who_calls_an_api_sends_us_to_public_addresses_alone() {
    let source = Source::start(|_| index()).await;
    for host in [source.url(""), source.url("").replace("127.0.0.1", "localhost")] {
        let host = host.parse().expect("a host");
        let upstream = Upstream::new(host, None, Reach::Public, limits()).expect("a client");
        let found = upstream.manifest(&repository(), &tag()).await;
        assert!(matches!(found, Err(UpstreamError::Forbidden { .. })), "{found:?}");
    }
    assert_eq!(source.requests(), 0);
}

#[tokio::test]
async fn a_redirect_elsewhere_carries_no_credentials() {
    let store = Source::start(|_| Reply::ok("blob")).await;
    let target = store.url("/bucket/blob?signature=x");
    let registry = Source::start(move |head| {
        if head.contains("\nauthorization: basic") || head.contains("\r\nauthorization: basic") {
            Reply::status(307).header(&format!("location: {target}"))
        } else {
            Reply::status(401).header("www-authenticate: Basic realm=\"r\"")
        }
    })
    .await;
    let upstream = upstream(&registry, me(&[]));
    let mut body = upstream.blob(&repository(), &Digest::sha256(b"blob"), 4).await.expect("found");
    assert_eq!(body.next().await.expect("a piece").expect("whole"), "blob");
    let seen = store.seen();
    assert_eq!(seen.len(), 1);
    assert!(!seen[0].contains("authorization"), "{seen:?}");
}

#[tokio::test]
async fn tokens_are_asked_for_once_and_shown_again() {
    let tokens = Source::start(|_| Reply::ok(r#"{"token":"ticket","expires_in":300}"#)).await;
    let realm = tokens.url("/token");
    let registry = Source::start(move |head| {
        if head.contains("authorization: bearer ticket") {
            index()
        } else {
            let challenge = format!(
                "www-authenticate: Bearer realm=\"{realm}\",service=\"here\",scope=\"repository:app/web:pull\""
            );
            Reply::status(401).header(&challenge)
        }
    })
    .await;
    // Without credentials it may be anywhere: nothing is given away.
    let anonymous = upstream(&registry, None);
    anonymous.manifest(&repository(), &tag()).await.expect("found");
    anonymous.manifest(&repository(), &tag()).await.expect("found");
    let seen = tokens.seen();
    assert_eq!((seen.len(), registry.requests()), (1, 3));
    assert!(
        seen[0].contains("service=here") && seen[0].contains("scope=repository%3Aapp%2Fweb%3Apull"),
        "{seen:?}"
    );
    assert!(!seen[0].contains("authorization"));
    // With credentials it has to be the registry's own host, or one that was named.
    let found = upstream(&registry, me(&[])).manifest(&repository(), &tag()).await;
    assert!(matches!(found, Err(UpstreamError::RealmElsewhere { .. })), "{found:?}");
    assert_eq!(tokens.requests(), 1);
    let address = tokens.url("").trim_start_matches("http://").to_owned();
    upstream(&registry, me(&[&address])).manifest(&repository(), &tag()).await.expect("found");
    assert!(tokens.seen()[1].contains("authorization: basic bwu6ahvzaa=="), "{:?}", tokens.seen());
}

#[tokio::test]
async fn a_token_service_is_no_way_into_the_network() {
    for realm in ["http://169.254.169.254/token", "file:///etc/passwd", "nonsense", ""] {
        let challenge = format!("www-authenticate: Bearer realm=\"{realm}\"");
        let refused = asked(Reply::status(401).header(&challenge)).await.expect_err("refused");
        assert!(
            matches!(refused, UpstreamError::Forbidden { .. } | UpstreamError::Wrong { .. }),
            "{realm}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn who_asks_for_credentials_again_and_again_is_left_alone() {
    let asked_for = AtomicUsize::new(0);
    let registry = Source::start(move |head| {
        if head.starts_with("GET /token") {
            return Reply::ok(r#"{"access_token":"ticket"}"#);
        }
        asked_for.fetch_add(1, Ordering::SeqCst);
        let host = head.split("host: ").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap_or_default();
        Reply::status(401).header(&format!("www-authenticate: Bearer realm=\"http://{host}/token\""))
    })
    .await;
    let refused = upstream(&registry, me(&[])).manifest(&repository(), &tag()).await;
    assert!(matches!(refused, Err(UpstreamError::Denied { .. })), "{refused:?}");
    assert_eq!(registry.requests(), 3);
}

#[tokio::test]
async fn what_a_status_means() {
    let too_many = asked(Reply::status(429).header("retry-after: 7")).await;
    assert!(matches!(too_many, Err(UpstreamError::TooMany { retry_after_s: 7, .. })), "{too_many:?}");
    let never = asked(Reply::status(429).header("retry-after: 99999999999")).await;
    assert!(matches!(never, Err(UpstreamError::TooMany { retry_after_s: 21_600, .. })), "{never:?}");
    assert!(matches!(asked(Reply::status(404)).await, Err(UpstreamError::NotFound { .. })));
    assert!(matches!(asked(Reply::status(403)).await, Err(UpstreamError::Denied { .. })));
    let broken = asked(Reply::status(503)).await.expect_err("broken");
    assert!(broken.is_trouble(), "{broken:?}");
    let gone = Source::start(|_| index()).await.stop().await;
    let upstream =
        Upstream::new(gone.parse().expect("a host"), None, Reach::Anywhere, limits()).expect("a client");
    assert!(upstream.manifest(&repository(), &tag()).await.expect_err("gone").is_trouble());
}

#[tokio::test]
async fn tags_go_on_where_the_link_says() {
    let registry = Source::start(|head| {
        if head.contains("last=b") {
            Reply::ok(r#"{"tags":["c"]}"#)
        } else {
            Reply::ok(r#"{"name":"app/web","tags":["b","a"]}"#)
                .header("link: </v2/app/web/tags/list?n=2&last=b>; rel=\"next\"")
        }
    })
    .await;
    let tags = upstream(&registry, None).tags(&repository()).await.expect("a list");
    assert_eq!(tags.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a", "b", "c"]);
    let elsewhere = Source::start(|_| {
        Reply::ok(r#"{"tags":["a"]}"#).header("link: <http://127.0.0.1:1/v2/x>; rel=\"next\"")
    })
    .await;
    assert!(matches!(upstream(&elsewhere, None).tags(&repository()).await, Err(UpstreamError::Wrong { .. })));
    let none = Source::start(|_| Reply::ok(r#"{"tags":null}"#)).await;
    assert!(upstream(&none, None).tags(&repository()).await.expect("a list").is_empty());
}

#[tokio::test]
async fn referrers_by_list_or_by_tag() {
    let digest = Digest::sha256(b"referrer");
    let list = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{}","digest":"{digest}","size":8}}]}}"#,
        MediaType::OCI_MANIFEST
    );
    let subject = Digest::sha256(b"subject");
    let by_tag = format!("manifests/sha256-{}", subject.hex());
    let (shown, is_listed) = (list.clone(), format!("referrers/{subject}"));
    let modern =
        Source::start(
            move |head| if head.contains(&is_listed) { Reply::ok(shown.clone()) } else { Reply::status(404) },
        )
        .await;
    let older =
        Source::start(
            move |head| if head.contains(&by_tag) { Reply::ok(list.clone()) } else { Reply::status(404) },
        )
        .await;
    let neither = Source::start(|_| Reply::status(404)).await;
    for (source, wanted) in [(modern, 1), (older, 1), (neither, 0)] {
        let found = upstream(&source, None).referrers(&repository(), &subject).await.expect("a list");
        assert_eq!(found.len(), wanted);
        assert!(found.iter().all(|found| found.digest == digest));
    }
}
