//! A registry's quota, with many who push at once.

use testkit::{Image, Server, ServerOptions, image};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

fn noise(number: u8) -> Image {
    // A layer that no other image has.
    let mut state = u64::from(number) + 1;
    let letters = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'!' + (state >> 58) as u8)
    });
    let text: String = letters.take(50_000).collect();
    image().layer(&[("noise", &text)])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fits_gets_in_and_what_does_not_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    let said = |arguments: &[&str]| {
        let output = server.command(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let set = said(&["registry", "set", "lazaret", "--quota-bytes", "1000000"]);
    assert!(set.contains("it holds 0 bytes of 976.5 KiB (1,000,000 bytes)"), "{set}");
    let pushes = (0..50).map(|number| {
        let client = server.client();
        tokio::spawn(
            async move { client.push(&format!("team/app{}", number % 5), "1", &noise(number)).await },
        )
    });
    let (mut fitted, mut refused) = (0_u64, 0);
    for push in pushes.collect::<Vec<_>>() {
        match push.await.expect("ends") {
            Ok(_) => fitted += 1,
            Err(error) => {
                assert_eq!(error.status().map(|status| status.as_u16()), Some(403), "{error:?}");
                refused += 1;
            }
        }
    }
    // A layer takes a little more than its 50,000 bytes, and its image a config and a manifest.
    assert!((10..=19).contains(&fitted) && refused == 50 - fitted, "{fitted} got in, {refused} did not");

    let listed: serde_json::Value =
        serde_json::from_str(&said(&["registry", "list", "--format=json"])).expect("a list");
    assert_eq!(listed[0]["quotaBytes"], 1_000_000, "{listed}");
    assert!((500_000..=1_000_000).contains(&listed[0]["usedBytes"].as_u64().expect("a number")), "{listed}");

    let client = server.client();
    let bytes = vec![7; 500_000];
    let path = format!("/v2/team/late/blobs/uploads/?digest={}", oci::Digest::sha256(&bytes));
    let response = client.request(reqwest::Method::POST, &path).body(bytes).send().await.expect("answers");
    assert_eq!(response.status(), 403);
    let error: serde_json::Value = response.json().await.expect("JSON");
    assert_eq!(error["errors"][0]["code"], "DENIED", "{error}");
    let message = error["errors"][0]["message"].as_str().expect("a text");
    assert!(
        message.contains("no more than 1000000 bytes") && message.contains("500000 bytes more do not fit"),
        "{message}"
    );

    // A chunk that cannot fit is refused before it is sent; one that may be held already is not.
    let open =
        client.request(reqwest::Method::POST, "/v2/team/late/blobs/uploads/").send().await.expect("answers");
    let session = open.headers()["location"].to_str().expect("a path").to_owned();
    let chunk = |bytes: Vec<u8>| client.request(reqwest::Method::PATCH, &session).body(bytes).send();
    let refused = chunk(vec![7; 900_000]).await.expect("answers");
    assert_eq!(refused.status(), 403);
    assert!(refused.text().await.expect("text").contains("900000 bytes or more do not fit"));
    let taken = chunk(vec![7; 40_000]).await.expect("answers");
    let status = taken.status();
    let answer = taken.text().await.expect("text");
    assert_eq!(status, 202, "the session stands where it stood: {answer}");
    let held = vec![9; 1000];
    let put = |repository: &str| {
        let digest = oci::Digest::sha256(&held);
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        client.request(reqwest::Method::POST, &path).body(held.clone()).send()
    };
    said(&["registry", "set", "lazaret", "--quota-bytes", "2000000"]);
    assert_eq!(put("team/app0").await.expect("answers").status(), 201);
    let used = said(&["registry", "list", "--format=json"]);
    let used: serde_json::Value = serde_json::from_str(&used).expect("a list");
    let full = format!("--quota-bytes={}", used[0]["usedBytes"]);
    said(&["registry", "set", "lazaret", &full]);
    let open =
        client.request(reqwest::Method::POST, "/v2/team/late/blobs/uploads/").send().await.expect("answers");
    assert_eq!(open.status(), 403, "not even a manifest fits");
    assert_eq!(put("team/app1").await.expect("answers").status(), 201, "what is held takes no room");
    let closed = client.request(reqwest::Method::DELETE, &session).send().await.expect("answers");
    assert_eq!(closed.status(), 204);

    said(&["registry", "set", "lazaret", "--quota-bytes", "1001000"]);
    let token = client.arm_token().await;
    let id = client.registry_id(&token).await;
    let usages = client.with_token(&token, &format!("{id}/listUsages?api-version=2023-07-01")).await;
    let usages: serde_json::Value = usages.expect("answers").json().await.expect("JSON");
    let size = &usages["value"][0];
    let used = size["currentValue"].as_u64().expect("a number");
    assert_eq!(size["limit"], 1_001_000, "{usages}");
    assert!(used <= 1_001_000 && used > fitted * 50_000, "{used} bytes, {fitted} images");
    // No file lies about that no row knows.
    said(&["fsck"]);
    let mut files = 0;
    let mut folders = vec![server.data().join("registry/blobs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("reads") {
            let entry = entry.expect("reads");
            let found = entry.metadata().expect("reads");
            if found.is_dir() {
                folders.push(entry.path());
            } else {
                files += found.len();
            }
        }
    }
    assert!(files <= 1_001_000, "{files} bytes of blobs");

    said(&["registry", "set", "lazaret", "--quota-bytes", "none"]);
    client.push("team/late", "1", &noise(99)).await.expect("pushes");
}

/// Chunks of a mebibyte, with their length said or not, to as many uploads at once.
#[tokio::test(flavor = "multi_thread")]
async fn unfinished_uploads_count_against_the_quota() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    let client = server.client();
    assert!(server.command(&["registry", "set", "lazaret", "--quota-bytes=5MB"]).status.success());
    // What is held excuses no more than one.
    client.push("team/held", "1", &noise(1)).await.expect("pushes");
    let send = |is_said: bool| {
        let client = client.clone();
        tokio::spawn(async move {
            let open = client.request(reqwest::Method::POST, "/v2/team/app/blobs/uploads/");
            let open = open.send().await.expect("answers");
            assert_eq!(open.status(), 202);
            let session = open.headers()["location"].to_str().expect("a path").to_owned();
            let pieces = (0..16).map(|_| Ok::<_, std::io::Error>(bytes::Bytes::from(vec![7; 1 << 16])));
            let body = if is_said {
                reqwest::Body::from(vec![7; 1 << 20])
            } else {
                reqwest::Body::wrap_stream(futures_util::stream::iter(pieces.collect::<Vec<_>>()))
            };
            let sent = client.request(reqwest::Method::PATCH, &session).body(body).send().await;
            (sent.expect("answers").status().as_u16(), session)
        })
    };
    let mut taken = Vec::new();
    for sending in (0..30).map(|number| send(number % 2 == 0)).collect::<Vec<_>>() {
        match sending.await.expect("ends") {
            (202, session) => taken.push(session),
            (status, _) => assert_eq!(status, 403),
        }
    }
    assert!((1..=4).contains(&taken.len()), "{} of 30 were taken", taken.len());
    // They are counted still when the server has forgotten them.
    let server = Server::start(server.kill());
    let client = server.client();
    let open = client.request(reqwest::Method::POST, "/v2/team/app/blobs/uploads/").send().await;
    let session = open.expect("answers").headers()["location"].to_str().expect("a path").to_owned();
    let chunk = |len: usize| client.request(reqwest::Method::PATCH, &session).body(vec![1; len]).send();
    let refused = chunk(4_500_000).await.expect("answers");
    assert_eq!(refused.status(), 403);
    let text = refused.text().await.expect("text");
    assert!(text.contains("in unfinished uploads"), "{text}");
    // One that ends makes room.
    for session in taken {
        let ended = client.request(reqwest::Method::DELETE, &session).send().await.expect("answers");
        assert_eq!(ended.status(), 204);
    }
    assert_eq!(chunk(4_500_000).await.expect("answers").status(), 202);
}
