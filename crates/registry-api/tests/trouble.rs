//! What clients and machines do to a registry, over the real stores in this process: each test's name
//! is the trouble and its outcome.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod house;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use futures_util::stream;
use house::{House, basic, digest_of, house, image};
use oci::Digest;
use serde_json::{Value, json};

const A: &str = "team/app";

#[tokio::test(flavor = "multi_thread")]
async fn two_pushes_of_one_blob_at_once_both_succeed_and_one_copy_stays() {
    let house = Arc::new(house().await);
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let digest = Digest::sha256(&bytes);
    let (first, second) = (house.open(A).await, house.open(A).await);
    // Byte for byte beside each other, and closed at once.
    for piece in bytes.chunks(250_000) {
        for location in [&first, &second] {
            house.ask("PATCH", location, &[], piece).await.is(202);
        }
    }
    let (first, second) = (format!("{first}?digest={digest}"), format!("{second}?digest={digest}"));
    let (one, other) = tokio::join!(house.ask("PUT", &first, &[], b""), house.ask("PUT", &second, &[], b""));
    one.is(201);
    other.is(201);
    assert_eq!(house.get(&format!("/v2/{A}/blobs/{digest}")).await.is(200).body, bytes);
    let left = std::fs::read_dir(house.folder().join("blobs/uploads")).unwrap().count();
    assert_eq!(left, 0, "no half file stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tag_by_50_writers_names_one_of_them_and_every_manifest_stays() {
    let house = Arc::new(house().await);
    house.push_blob(A, b"config").await;
    house.push_blob(A, b"layer").await;
    let manifests: Vec<Value> = (0..50)
        .map(|number| {
            let mut manifest = image(b"config", &[b"layer"]);
            manifest["annotations"] = json!({ "writer": number.to_string() });
            manifest
        })
        .collect();
    let writers: Vec<_> = manifests
        .iter()
        .map(|manifest| {
            let (house, manifest) = (Arc::clone(&house), manifest.clone());
            tokio::spawn(async move { house.push_manifest(A, "latest", &manifest).await.status })
        })
        .collect();
    for writer in writers {
        assert_eq!(writer.await.unwrap(), 201);
    }
    let digests: BTreeSet<String> =
        manifests.iter().map(|manifest| digest_of(manifest).to_string()).collect();
    let tagged = house.get(&format!("/v2/{A}/manifests/latest")).await.is(200);
    assert!(digests.contains(tagged.header("docker-content-digest")));
    for digest in &digests {
        house.head(&format!("/v2/{A}/manifests/{digest}")).await.is(200);
    }
}

#[tokio::test]
async fn an_upload_session_is_unknown_to_another_identity_and_another_repository() {
    let house = house().await;
    let location = house.open(A).await;
    house.ask("PATCH", &location, &[], b"mine").await.is(202);
    let digest = Digest::sha256(b"mine");
    let elsewhere = location.replace(A, "team/other");
    for (who, path) in [("pusher", &location), ("admin", &elsewhere)] {
        let authorization = basic(who, "secret");
        let with = [("authorization", authorization.as_str())];
        for (method, path) in [
            ("GET", path.clone()),
            ("PATCH", path.clone()),
            ("PUT", format!("{path}?digest={digest}")),
            ("DELETE", path.clone()),
        ] {
            let answer = house.send(method, &path, &with, "").await.is(404);
            assert_eq!(answer.code(), "BLOB_UPLOAD_UNKNOWN", "{who} {method}");
        }
    }
    house.ask("PUT", &format!("{location}?digest={digest}"), &[], b"").await.is(201);
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_is_cut_off_and_its_session_survives() {
    let house = house().await;
    let location = house.open(A).await;
    let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"some "))]);
    let silent = Body::from_stream(futures_util::StreamExt::chain(first, stream::pending()));
    let authorization = basic("admin", "secret");
    let with = [("authorization", authorization.as_str())];
    // The clock of the runtime goes on by itself when all else waits.
    let cut = house.send("PATCH", &location, &with, silent).await.is(400);
    assert_eq!(cut.code(), "BLOB_UPLOAD_INVALID");
    assert_eq!(house.get(&location).await.is(204).header("range"), "0-4");
    let digest = Digest::sha256(b"some more");
    house.chunk(&location, "5-8", b"more").await.is(202);
    house.ask("PUT", &format!("{location}?digest={digest}"), &[], b"").await.is(201);
}

#[tokio::test]
async fn a_hundred_thousand_tags_are_listed_by_pages_each_once() {
    const COUNT: usize = 100_000;
    let house = house().await;
    house.push_blob(A, b"config").await;
    let manifest = image(b"config", &[]);
    house.push_manifest(A, &digest_of(&manifest).to_string(), &manifest).await.is(201);
    let tags: Vec<oci::Tag> = (0..COUNT).map(|number| format!("t{number:06}").parse().unwrap()).collect();
    house.tag(A, &manifest, tags).await;
    let (mut path, mut listed, mut pages) = (format!("/v2/{A}/tags/list"), Vec::with_capacity(COUNT), 0);
    while !path.is_empty() {
        let page = house.get(&path).await.is(200);
        let document = page.json();
        listed
            .extend(document["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned()));
        path = page.header("link").split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        pages += 1;
    }
    assert_eq!((listed.len(), pages), (COUNT, 10));
    assert!(listed.windows(2).all(|pair| pair[0] < pair[1]), "in byte order, each once");
}

#[tokio::test]
async fn a_clock_that_jumps_ends_no_upload_under_way_and_a_day_back_does_no_harm() {
    let house = house().await;
    let location = house.open(A).await;
    house.ask("PATCH", &location, &[], b"before ").await.is(202);
    house.turn_clock(-86_400_000);
    house.registry.expire_uploads().await.unwrap();
    house.ask("PATCH", &location, &[], b"after").await.is(202);
    house.turn_clock(2 * 86_400_000);
    // Between two chunks, a day ahead: touched now, it is not idle.
    house.ask("PATCH", &location, &[], b"!").await.is(202);
    assert_eq!(house.registry.expire_uploads().await.unwrap(), 0);
    let digest = Digest::sha256(b"before after!");
    house.ask("PUT", &format!("{location}?digest={digest}"), &[], b"").await.is(201);
    let idle = house.open(A).await;
    house.turn_clock(2 * 86_400_000);
    assert_eq!(house.registry.expire_uploads().await.unwrap(), 1);
    house.get(&idle).await.is(404);
}

#[tokio::test]
async fn a_torn_upload_file_is_found_and_its_session_ends() {
    let house = house().await;
    let location = house.open(A).await;
    house.ask("PATCH", &location, &[], b"whole").await.is(202);
    // A power cut lost bytes that were not yet promised: the process begins anew.
    let id = location.rsplit('/').next().unwrap();
    let file =
        std::fs::File::options().write(true).open(house.folder().join("blobs/uploads").join(id)).unwrap();
    file.set_len(2).unwrap();
    let house = house.restart().await;
    assert_eq!(house.get(&location).await.is(404).code(), "BLOB_UPLOAD_UNKNOWN");
    house.push_blob(A, b"whole").await;
}

#[tokio::test]
async fn a_file_with_more_than_was_recorded_is_cut_to_what_was() {
    let house = house().await;
    let location = house.open(A).await;
    house.ask("PATCH", &location, &[], b"whole").await.is(202);
    let id = location.rsplit('/').next().unwrap();
    let path = house.folder().join("blobs/uploads").join(id);
    std::fs::write(&path, b"whole and torn").unwrap();
    let house = house.restart().await;
    assert_eq!(house.get(&location).await.is(204).header("range"), "0-4");
    let digest = Digest::sha256(b"whole");
    house.ask("PUT", &format!("{location}?digest={digest}"), &[], b"").await.is(201);
}

#[tokio::test]
async fn a_blob_whose_file_lost_bytes_is_not_served_and_a_flipped_bit_is_named_by_fsck_and_seen_by_clients() {
    let house = house().await;
    let (torn, flipped) = (vec![7_u8; 300_000], vec![8_u8; 300_000]);
    let [torn_digest, flipped_digest] = [house.push_blob(A, &torn).await, house.push_blob(A, &flipped).await];
    let path = |digest: &Digest| {
        house.folder().join("blobs/blobs/sha256").join(&digest.hex()[..2]).join(digest.hex())
    };
    std::fs::write(path(&torn_digest), &torn[..1000]).unwrap();
    std::fs::write(path(&flipped_digest), [&[9_u8][..], &flipped[1..]].concat()).unwrap();
    for digest in [&torn_digest, &flipped_digest] {
        let answer = house.get(&format!("/v2/{A}/blobs/{digest}")).await;
        assert!(answer.status == 500 || Digest::sha256(&answer.body) != *digest);
    }
    house.get(&format!("/v2/{A}/blobs/{torn_digest}")).await.is(500);
    let checked = house.registry.check().await.unwrap();
    assert_eq!(BTreeSet::from_iter(&checked.damaged), BTreeSet::from([&torn_digest, &flipped_digest]));
    // Repaired: a client that pushes again is told to send the bytes, and they are right.
    house.registry.forget_lost(&checked).await.unwrap();
    for (digest, bytes) in [(&torn_digest, &torn), (&flipped_digest, &flipped)] {
        house.head(&format!("/v2/{A}/blobs/{digest}")).await.is(404);
        house.push_blob(A, bytes).await;
        assert_eq!(&house.get(&format!("/v2/{A}/blobs/{digest}")).await.is(200).body, bytes);
    }
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let house = house().await.limited(3);
    for _ in 0..3 {
        house.get("/v2/").await.is(200);
    }
    let refused = house.get("/v2/").await.is(429);
    assert_eq!(refused.code(), "TOOMANYREQUESTS");
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    let other = basic("puller", "secret");
    house.send("GET", "/v2/", &[("authorization", &other)], "").await.is(200);
    house.send("GET", "/v2/", &[], "").await.is(401);
}

#[tokio::test]
async fn a_refused_request_is_read_to_its_end_so_that_its_client_sees_why() {
    let house = house().await;
    let location = house.open(A).await;
    for (method, path, status) in [
        ("PATCH", location.clone(), 416),
        ("PUT", format!("{location}?digest={}", Digest::sha256(b"x")), 416),
        ("PUT", format!("/v2/{A}/manifests/1"), 413),
        ("PUT", "/v2/NO/manifests/1".to_owned(), 400),
    ] {
        let pieces = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let body = stream::iter((0..6).map({
            let pieces = Arc::clone(&pieces);
            move |_| {
                pieces.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                Ok::<_, std::io::Error>(Bytes::from(vec![0; 1 << 20]))
            }
        }));
        let authorization = basic("admin", "secret");
        let with = [("authorization", authorization.as_str()), ("content-range", "9-6291464")];
        house.send(method, &path, &with, Body::from_stream(body)).await.is(status);
        assert_eq!(pieces.load(std::sync::atomic::Ordering::Relaxed), 6, "{method} {path}");
        // Who waits for our word before they send is not asked to.
        let waiting = stream::poll_fn(|_| -> std::task::Poll<Option<Result<Bytes, std::io::Error>>> {
            panic!("the body is asked for")
        });
        let with = [with[0], with[1], ("content-length", "6291464"), ("expect", "100-continue")];
        if status != 413 {
            house.send(method, &path, &with, Body::from_stream(waiting)).await.is(status);
        }
    }
}

#[tokio::test]
async fn one_who_opens_a_thousand_sessions_is_refused_and_nobody_else() {
    let house = house().await;
    for _ in 0..1024 {
        house.open(A).await;
    }
    let path = format!("/v2/{A}/blobs/uploads/");
    let refused = house.ask("POST", &path, &[], b"").await.is(429);
    assert_eq!((refused.code().as_str(), refused.header("retry-after")), ("TOOMANYREQUESTS", "60"));
    let other = basic("pusher", "secret");
    house.send("POST", &path, &[("authorization", &other), ("content-length", "0")], "").await.is(202);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_at_the_end_of_a_push_leaves_a_whole_blob_or_none_and_no_file() {
    let house = Arc::new(house().await);
    for number in 0..60_u64 {
        let bytes = vec![7_u8; 50_000 + usize::try_from(number).unwrap()];
        let digest = Digest::sha256(&bytes);
        let location = house.open(A).await;
        house.ask("PATCH", &location, &[], &bytes).await.is(202);
        let (in_session, at_once) =
            (format!("{location}?digest={digest}"), format!("/v2/{A}/blobs/uploads/?digest={digest}"));
        // The future of the request is dropped somewhere on its way, as a broken connection does it.
        let patience = std::time::Duration::from_micros(number * 40);
        if number % 2 == 0 {
            drop(tokio::time::timeout(patience, house.ask("PUT", &in_session, &[], b"")).await);
        } else {
            house.ask("DELETE", &location, &[], b"").await.is(204);
            drop(tokio::time::timeout(patience, house.ask("POST", &at_once, &[], &bytes)).await);
        }
        // What was begun ends by itself; then a client that tries again succeeds.
        let again = house.ask("PUT", &in_session, &[], b"").await;
        assert!(matches!(again.status, 201 | 404), "{again:?}");
        if again.status == 404 {
            house.ask("POST", &at_once, &[], &bytes).await.is(201);
        }
        assert_eq!(house.get(&format!("/v2/{A}/blobs/{digest}")).await.is(200).body, bytes);
    }
    let began = std::time::Instant::now();
    while std::fs::read_dir(house.folder().join("blobs/uploads")).unwrap().count() > 0 {
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "half files stay");
        tokio::task::yield_now().await;
    }
}

/// What one pusher has been told, and not taken back since.
type Kept = std::collections::BTreeMap<String, (Value, Vec<u8>)>;

async fn all_kept(house: &House, repository: &str, kept: &Kept) {
    for (tag, (manifest, layer)) in kept {
        let digest = Digest::sha256(layer);
        let answer = house.get(&format!("/v2/{repository}/manifests/{tag}")).await.is(200);
        assert_eq!(answer.body, manifest.to_string().into_bytes(), "{repository}:{tag}");
        let blob = house.get(&format!("/v2/{repository}/blobs/{digest}")).await.is(200);
        assert_eq!(&blob.body, layer, "{repository}:{tag}");
    }
}

/// `LAZARET_GC_SECONDS` says how long (3 by default).
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn collecting_all_the_time_while_others_push_and_delete_takes_nothing_that_was_acknowledged() {
    let seconds = std::env::var("LAZARET_GC_SECONDS").map_or(3, |text| text.parse().unwrap());
    let (house, began) = (Arc::new(house().await), std::time::Instant::now());
    let is_over = move || began.elapsed() > std::time::Duration::from_secs(seconds);
    let pushers = (0..4_u8).map(|number| {
        let house = Arc::clone(&house);
        tokio::spawn(async move {
            let (repository, mut kept) = (format!("gc/r{number}"), Kept::new());
            for round in 0_u32.. {
                if is_over() && round > 20 {
                    break;
                }
                // Leases run out while others push; none within one push, however slow the machine is.
                house.turn_clock(600_000);
                // Few layers that everybody has, so that they come and go all the time; each its own.
                let layer = vec![b'x'; 10_000 + (round % 5) as usize];
                house.push_blob(&repository, b"config").await;
                house.push_blob(&repository, &layer).await;
                let mut manifest = image(b"config", &[&layer]);
                manifest["annotations"] = json!({ "of": format!("{number} {round}") });
                let tag = format!("t{}", round % 7);
                house.push_manifest(&repository, &tag, &manifest).await.is(201);
                if let Some((old, _)) = kept.insert(tag.clone(), (manifest, layer)) {
                    let path = format!("/v2/{repository}/manifests/{}", digest_of(&old));
                    house.ask("DELETE", &path, &[], b"").await.is(202);
                }
                if round % 3 == 0 {
                    let (gone, _) = kept.remove(&tag).unwrap();
                    let path = format!("/v2/{repository}/manifests/{}", digest_of(&gone));
                    house.ask("DELETE", &path, &[], b"").await.is(202);
                }
                all_kept(&house, &repository, &kept).await;
            }
            (repository, kept)
        })
    });
    let pushers: Vec<_> = pushers.collect();
    let (mut collected, mut rounds) = (0, 0);
    while !pushers.iter().all(tokio::task::JoinHandle::is_finished) {
        let gone = house.registry.collect().await.unwrap();
        (collected, rounds) = (collected + gone.unlinked + gone.removed, rounds + 1);
        tokio::task::yield_now().await;
    }
    for pusher in pushers {
        let (repository, kept) = pusher.await.unwrap();
        all_kept(&house, &repository, &kept).await;
    }
    // What nobody needs goes in the end: the test has collected something.
    house.turn_clock(2 * 86_400_000);
    let gone = house.registry.collect().await.unwrap();
    assert!(collected + gone.unlinked + gone.removed > 0 && rounds > 0, "nothing was ever collected");
    assert!(house.registry.check().await.unwrap().is_sound());
}

#[tokio::test]
async fn a_crash_at_any_step_of_a_collection_loses_nothing_and_the_next_one_ends_it() {
    let mut house = house().await;
    let mut steps = 0;
    loop {
        let kept_layer = format!("kept {steps}").into_bytes();
        house.push_blob(A, b"config").await;
        house.push_blob(A, &kept_layer).await;
        let manifest = image(b"config", &[&kept_layer]);
        house.push_manifest(A, "kept", &manifest).await.is(201);
        let unneeded: Vec<Digest> = {
            let mut unneeded = Vec::new();
            for number in 0..5 {
                unneeded.push(house.push_blob(A, format!("unneeded {steps} {number}").as_bytes()).await);
            }
            unneeded
        };
        house.turn_clock(2 * 86_400_000);
        // The collection is dropped where it waits for the n-th time, and so is all that was in memory.
        let ended = {
            let mut collecting = std::pin::pin!(house.registry.collect());
            let mut polls = 0;
            std::future::poll_fn(|context| {
                let polled = collecting.as_mut().poll(context);
                polls += 1;
                match polled {
                    std::task::Poll::Ready(done) => std::task::Poll::Ready(Some(done)),
                    std::task::Poll::Pending if polls > steps => std::task::Poll::Ready(None),
                    std::task::Poll::Pending => std::task::Poll::Pending,
                }
            })
            .await
        };
        house = house.restart().await;
        house.registry.sweep().await.unwrap();
        let kept = Kept::from([("kept".to_owned(), (manifest, kept_layer))]);
        all_kept(&house, A, &kept).await;
        house.registry.collect().await.unwrap();
        all_kept(&house, A, &kept).await;
        for digest in &unneeded {
            house.get(&format!("/v2/{A}/blobs/{digest}")).await.is(404);
            let file = house.folder().join("blobs/blobs/sha256").join(&digest.hex()[..2]).join(digest.hex());
            assert!(!file.exists(), "{digest} still takes room");
        }
        assert!(house.registry.check().await.unwrap().is_sound());
        if ended.is_some() {
            break;
        }
        steps += 1;
    }
    assert!(steps > 5, "a collection waits more often than {steps} times");
}

#[tokio::test]
async fn a_clock_that_jumps_refuses_old_tokens_gives_new_ones_and_removes_nothing_by_rule() {
    let house = house().await;
    house.push_blob(A, b"config").await;
    house.push_manifest(A, "1", &image(b"config", &[])).await.is(201);
    let served = house.metastore.registries().await.unwrap().remove(0);
    let rule = metastore::RetentionRule {
        name: "old".to_owned(),
        repositories: "*".to_owned(),
        tags: "*".to_owned(),
        keep_newest: None,
        older_than_days: Some(30),
        not_pulled_days: None,
        untagged_days: Some(30),
    };
    house.metastore.put_retention_rule(served.id, rule).await.unwrap();
    let path = format!("/v2/{A}/manifests/1");
    let scope = format!("repository:{A}:pull");
    for jump in [-86_400_000, 10 * 86_400_000, -40 * 86_400_000, 32 * 86_400_000] {
        let old = format!("Bearer {}", house.token("puller", &[&scope]).await);
        house.send("GET", &path, &[("authorization", &old)], "").await.is(200);
        house.turn_clock(jump);
        let refused = house.send("GET", &path, &[("authorization", &old)], "").await.is(401);
        assert!(refused.header("www-authenticate").contains("invalid_token"), "{refused:?}");
        let new = format!("Bearer {}", house.token("puller", &[&scope]).await);
        house.send("GET", &path, &[("authorization", &new)], "").await.is(200);
        house.registry.expire_uploads().await.unwrap();
        house.registry.collect().await.unwrap();
        assert_eq!(house.registry.purge().await.unwrap(), 0, "after a jump of {jump}");
        house.get(&path).await.is(200);
    }
}

#[tokio::test]
async fn bit_rot_is_mended_by_a_client_that_pushes_the_bytes_again_even_if_nobody_has_found_it() {
    let house = house().await;
    for bytes in [vec![7_u8; 300_000], b"small".to_vec()] {
        let digest = house.push_blob(A, &bytes).await;
        let path = house.folder().join("blobs/blobs/sha256").join(&digest.hex()[..2]).join(digest.hex());
        let mut rotten = bytes.clone();
        rotten[3] ^= 1;
        std::fs::write(&path, &rotten).unwrap();
        let rotten_answer = house.get(&format!("/v2/{A}/blobs/{digest}")).await.is(200).body;
        assert_ne!(Digest::sha256(&rotten_answer), digest, "a client that hashes sees it");
        house.push_blob(A, &bytes).await;
        assert_eq!(house.get(&format!("/v2/{A}/blobs/{digest}")).await.is(200).body, bytes);
        assert!(house.registry.check().await.unwrap().is_sound());
    }
}
