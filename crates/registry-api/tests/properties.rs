//! What holds for any sequence of requests: paging, and the upload state machine against a model.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod house;

use std::collections::{BTreeMap, BTreeSet};

use house::{House, basic, descriptor, digest_of, house, image};
use oci::Digest;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

/// Runs a property over one house: cases are kept apart by their repositories.
fn holds<S: Strategy>(
    cases: u32,
    strategy: &S,
    property: impl Fn(&House, &tokio::runtime::Runtime, S::Value),
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let house = runtime.block_on(house());
    let mut runner = TestRunner::new(testkit::cases(cases));
    runner
        .run(strategy, |value| {
            property(&house, &runtime, value);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn any_sequence_of_page_sizes_shows_every_tag_and_repository_once() {
    let tags = prop::collection::btree_set("[a-zA-Z0-9_][a-zA-Z0-9._-]{0,5}", 1..40);
    let sizes = prop::collection::vec(1..9_usize, 1..6);
    let case = std::cell::Cell::new(0);
    holds(20, &(tags, sizes), |house, runtime, (tags, sizes)| {
        case.set(case.get() + 1);
        let repository = format!("paging/r{}", case.get());
        runtime.block_on(async {
            house.push_blob(&repository, b"config").await;
            let manifest = image(b"config", &[]);
            house.push_manifest(&repository, &digest_of(&manifest).to_string(), &manifest).await.is(201);
            let named = tags.iter().map(|tag| tag.parse().unwrap()).collect();
            house.tag(&repository, &manifest, named).await;
            let path = format!("/v2/{repository}/tags/list");
            assert_eq!(paged(house, &path, "tags", &sizes).await, Vec::from_iter(tags));
            let repositories = paged(house, "/v2/_catalog", "repositories", &sizes).await;
            let wanted: BTreeSet<String> =
                (1..=case.get()).map(|number| format!("paging/r{number}")).collect();
            assert_eq!(repositories, Vec::from_iter(wanted));
        });
    });
}

#[test]
fn any_sequence_of_page_sizes_shows_every_referrer_once_and_a_filter_stays_through_the_pages() {
    // Of two kinds, with annotations of which one page holds three or four of the long ones.
    let referrers =
        prop::collection::vec((any::<bool>(), prop_oneof![4 => 0..9_usize, 1 => Just(600_000)]), 1..12);
    let sizes = prop::collection::vec(1..5_usize, 1..4);
    let case = std::cell::Cell::new(0);
    holds(12, &(referrers, sizes), |house, runtime, (referrers, sizes)| {
        case.set(case.get() + 1);
        let repository = format!("referrers/r{}", case.get());
        let subject = Digest::sha256(b"what they are about");
        runtime.block_on(async {
            house.push_blob(&repository, b"config").await;
            let mut wanted = BTreeMap::new();
            for (number, (is_first, len)) in referrers.into_iter().enumerate() {
                let kind = if is_first { "application/vnd.first+json" } else { "application/second" };
                let mut referrer = image(b"config", &[]);
                referrer["artifactType"] = kind.into();
                referrer["subject"] = descriptor(b"what they are about", oci::MediaType::OCI_MANIFEST);
                referrer["annotations"] = json!({ "number": number.to_string(), "note": "x".repeat(len) });
                let digest = digest_of(&referrer);
                house.push_manifest(&repository, &digest.to_string(), &referrer).await.is(201);
                wanted.insert(digest.to_string(), kind);
            }
            for filter in [None, Some("application/vnd.first+json")] {
                let (mut seen, mut sizes) = (Vec::new(), sizes.iter().cycle());
                let filtered = filter.map(|kind: &str| format!("&artifactType={}", kind.replace('+', "%2B")));
                let mut path =
                    format!("/v2/{repository}/referrers/{subject}?n=1{}", filtered.unwrap_or_default());
                while !path.is_empty() {
                    let size = sizes.next().unwrap();
                    // Another size than the link says: it is the client's to choose.
                    let page = house.get(&path.replacen("n=", &format!("n={size}&was="), 1)).await.is(200);
                    assert!(page.body.len() < 4 << 20, "clients read no more");
                    assert_eq!(page.header("oci-filters-applied").is_empty(), filter.is_none());
                    let listed = page.json()["manifests"].as_array().unwrap().clone();
                    assert!(listed.len() <= *size);
                    seen.extend(listed.iter().map(|entry| entry["digest"].as_str().unwrap().to_owned()));
                    path = page.header("link").split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                    assert!(
                        path.is_empty() || !listed.is_empty(),
                        "a page that has a next one has something"
                    );
                }
                let wanted = wanted.iter().filter(|(_, kind)| filter.is_none_or(|filter| filter == **kind));
                assert_eq!(seen, wanted.map(|(digest, _)| digest.clone()).collect::<Vec<_>>());
            }
        });
    });
}

/// What is listed, and in which order it goes while it is.
fn going(max: usize) -> impl Strategy<Value = (usize, Vec<usize>, usize)> {
    (1..max, prop::collection::vec(any::<prop::sample::Index>(), 0..12), 1..5_usize).prop_map(
        |(count, going, size)| {
            let mut seen = BTreeSet::new();
            let going = going.iter().map(|index| index.index(count)).filter(|index| seen.insert(*index));
            (count, going.collect(), size)
        },
    )
}

#[test]
fn what_stays_is_listed_once_whatever_is_deleted_between_pages() {
    let case = std::cell::Cell::new(0);
    holds(15, &(going(25), going(10), going(10)), |house, runtime, (tags, referrers, repositories)| {
        case.set(case.get() + 1);
        let parent = format!("going/c{}", case.get());
        runtime.block_on(async {
            let repository = format!("{parent}/tags");
            house.push_blob(&repository, b"config").await;
            let manifest = image(b"config", &[]);
            house.push_manifest(&repository, &digest_of(&manifest).to_string(), &manifest).await.is(201);
            let all: Vec<String> = (0..tags.0).map(|number| format!("t{number:02}")).collect();
            house.tag(&repository, &manifest, all.iter().map(|tag| tag.parse().unwrap()).collect()).await;
            let list = format!("/v2/{repository}/tags/list?n={}", tags.2);
            let delete = |tag: &str| format!("/v2/{repository}/manifests/{tag}");
            shows_what_stays(house, list, |page| texts(&page["tags"]), &all, &tags.1, delete).await;

            let subject = Digest::sha256(b"what they are about");
            let mut all = Vec::new();
            for number in 0..referrers.0 {
                let mut referrer = image(b"config", &[]);
                referrer["subject"] = descriptor(b"what they are about", oci::MediaType::OCI_MANIFEST);
                referrer["annotations"] = json!({ "number": number.to_string() });
                all.push(digest_of(&referrer).to_string());
                house.push_manifest(&repository, all.last().unwrap(), &referrer).await.is(201);
            }
            all.sort();
            let list = format!("/v2/{repository}/referrers/{subject}?n={}", referrers.2);
            let read = |page: &Value| {
                let listed = page["manifests"].as_array().unwrap();
                listed.iter().map(|entry| entry["digest"].as_str().unwrap().to_owned()).collect()
            };
            shows_what_stays(house, list, read, &all, &referrers.1, delete).await;

            let all: Vec<String> = (0..repositories.0).map(|number| format!("{parent}/r{number}")).collect();
            for repository in &all {
                house.push_blob(repository, b"config").await;
                house.push_manifest(repository, "tag", &manifest).await.is(201);
            }
            let list = format!("/v2/_catalog?n={}&last={parent}/r", repositories.2);
            let read = |page: &Value| {
                let listed = texts(&page["repositories"]);
                listed.into_iter().filter(|name| name.starts_with(&format!("{parent}/r"))).collect()
            };
            let delete = |repository: &str| format!("/acr/v1/{repository}");
            shows_what_stays(house, list, read, &all, &repositories.1, delete).await;
        });
    });
}

fn texts(list: &Value) -> Vec<String> {
    serde_json::from_value(list.clone()).unwrap()
}

/// Reads page by page, and after each deletes the next of what goes.
async fn shows_what_stays(
    house: &House,
    mut path: String,
    read: impl Fn(&Value) -> Vec<String>,
    all: &[String],
    going: &[usize],
    delete: impl Fn(&str) -> String,
) {
    let (mut seen, mut going, mut gone) = (Vec::new(), going.iter(), BTreeSet::new());
    while !path.is_empty() {
        let page = house.get(&path).await.is(200);
        seen.extend(read(&page.json()));
        path = page.header("link").split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        if let Some(index) = going.next() {
            house.ask("DELETE", &delete(&all[*index]), &[], b"").await.is(202);
            gone.insert(&all[*index]);
        }
    }
    assert!(seen.is_sorted_by(|first, second| first < second), "each once, in order: {seen:?}");
    assert!(seen.iter().all(|item| all.contains(item)), "{seen:?} was never all there");
    let missed: Vec<_> = all.iter().filter(|item| !gone.contains(item) && !seen.contains(item)).collect();
    assert!(missed.is_empty(), "{missed:?} stayed, and was not among {seen:?}");
}

/// Everything, in pages of these sizes in turn.
async fn paged(house: &House, path: &str, key: &str, sizes: &[usize]) -> Vec<String> {
    let (mut seen, mut last) = (Vec::new(), String::new());
    for size in sizes.iter().cycle() {
        let page = house.get(&format!("{path}?n={size}{last}")).await.is(200);
        let listed = page.json()[key].as_array().unwrap().clone();
        assert!(listed.len() <= *size);
        let has_more = !page.header("link").is_empty();
        assert!(!has_more || listed.len() == *size, "a page that has a next one is full");
        seen.extend(listed.iter().map(|item| item.as_str().unwrap().to_owned()));
        if !has_more {
            break;
        }
        last = format!("&last={}", seen.last().unwrap());
    }
    seen
}

#[derive(Clone, Debug)]
enum Step {
    Post,
    /// Which bytes, and where they say that they belong, relative to where they do.
    Patch(Vec<u8>, Option<i8>),
    /// The same, and whether the digest is right.
    Put(Vec<u8>, Option<i8>, bool),
    Get,
    Delete,
    /// Of what the earlier steps have stored, or of what is nowhere.
    Mount(bool),
    /// Eleven minutes pass: the session is kept by its row alone.
    Idle,
    /// Another, who may push here too, comes upon the session.
    Another(&'static str),
    /// A day passes, after which an idle session is none.
    Expire,
    /// A new process finds what was stored.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    let shift = || prop::option::of(prop_oneof![3 => Just(0_i8), 1 => -2..3_i8]);
    let step = prop_oneof![
        3 => Just(Step::Post),
        6 => (bytes(), shift()).prop_map(|(bytes, shift)| Step::Patch(bytes, shift)),
        3 => (bytes(), shift(), any::<bool>()).prop_map(|(bytes, shift, is_right)| Step::Put(bytes, shift, is_right)),
        2 => Just(Step::Get),
        1 => Just(Step::Delete),
        1 => any::<bool>().prop_map(Step::Mount),
        1 => Just(Step::Idle),
        2 => prop::sample::select(vec!["GET", "PATCH", "PUT", "DELETE"]).prop_map(Step::Another),
        1 => Just(Step::Expire),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..30)
}

/// What the specification says that there is.
#[derive(Default)]
struct Model {
    location: String,
    /// The bytes of the session, if it is open.
    session: Option<Vec<u8>>,
    blobs: BTreeMap<String, Vec<u8>>,
}

#[test]
fn uploads_do_what_the_model_does() {
    let case = std::cell::Cell::new(0);
    holds(40, &steps(), |house, runtime, steps| {
        case.set(case.get() + 1);
        let repository = format!("team/r{}", case.get());
        runtime.block_on(async {
            let mut house = house.again().await;
            let mut model =
                Model { location: format!("/v2/{repository}/blobs/uploads/none"), ..Model::default() };
            for step in steps {
                match step {
                    Step::Restart => house = house.restart().await,
                    step => model.take(&house, &repository, step).await,
                }
            }
            for (digest, bytes) in &model.blobs {
                assert_eq!(&house.get(&format!("/v2/{repository}/blobs/{digest}")).await.is(200).body, bytes);
            }
        });
    });
}

impl Model {
    async fn take(&mut self, house: &House, repository: &str, step: Step) {
        match step {
            Step::Post => {
                self.location = house.open(repository).await;
                self.session = Some(Vec::new());
            }
            Step::Patch(bytes, shift) => {
                let wanted = self.appended(&bytes, shift, 202);
                let headers = self.range(&bytes, shift);
                let answer =
                    house.ask("PATCH", &self.location, &pairs(headers.as_deref()), &bytes).await.is(wanted);
                if wanted == 202 {
                    self.session.as_mut().unwrap().extend_from_slice(&bytes);
                }
                if wanted != 404 {
                    assert_eq!(answer.header("range"), self.stands());
                }
            }
            Step::Put(bytes, shift, is_right) => self.close(house, repository, bytes, shift, is_right).await,
            Step::Get => {
                let wanted = if self.session.is_some() { 204 } else { 404 };
                let answer = house.get(&self.location).await.is(wanted);
                if wanted == 204 {
                    assert_eq!(answer.header("range"), self.stands());
                }
            }
            Step::Delete => {
                let wanted = if self.session.take().is_some() { 204 } else { 404 };
                house.ask("DELETE", &self.location, &[], b"").await.is(wanted);
            }
            Step::Mount(is_there) => {
                let there = self.blobs.keys().next().filter(|_| is_there).cloned();
                let digest =
                    there.clone().unwrap_or_else(|| Digest::sha256(repository.as_bytes()).to_string());
                let path =
                    format!("/v2/{repository}-mounted/blobs/uploads/?mount={digest}&from={repository}");
                let answer =
                    house.ask("POST", &path, &[], b"").await.is(if there.is_some() { 201 } else { 202 });
                if there.is_none() {
                    house.ask("DELETE", answer.header("location"), &[], b"").await.is(204);
                }
            }
            Step::Idle => {
                house.turn_clock(700_000);
                house.registry.expire_uploads().await.unwrap();
            }
            Step::Another(method) => {
                let authorization = basic("pusher", "secret");
                let path = format!("{}?digest={}", self.location, Digest::sha256(b"theirs"));
                let headers = [("authorization", authorization.as_str()), ("content-length", "6")];
                let answer = house.send(method, &path, &headers, "theirs").await.is(404);
                assert_eq!(answer.code(), "BLOB_UPLOAD_UNKNOWN");
            }
            Step::Expire => {
                house.turn_clock(25 * 3600 * 1000);
                house.registry.expire_uploads().await.unwrap();
                self.session = None;
            }
            Step::Restart => unreachable!("who holds the house restarts it"),
        }
    }

    async fn close(
        &mut self,
        house: &House,
        repository: &str,
        bytes: Vec<u8>,
        shift: Option<i8>,
        is_right: bool,
    ) {
        let whole = [self.session.clone().unwrap_or_default(), bytes.clone()].concat();
        let digest = if is_right {
            Digest::sha256(&whole)
        } else {
            Digest::sha256(b"something else, longer than any")
        };
        let wanted = match self.appended(&bytes, shift, 201) {
            201 if !is_right => 400,
            wanted => wanted,
        };
        let headers = self.range(&bytes, shift);
        let path = format!("{}?digest={digest}", self.location);
        let answer = house.ask("PUT", &path, &pairs(headers.as_deref()), &bytes).await.is(wanted);
        match wanted {
            201 => {
                assert_eq!(answer.header("location"), format!("/v2/{repository}/blobs/{digest}"));
                self.session = None;
                self.blobs.insert(digest.to_string(), whole);
            }
            400 => self.session = None,
            _ => {}
        }
    }

    /// What appending must answer.
    fn appended(&self, bytes: &[u8], shift: Option<i8>, good: u16) -> u16 {
        match (&self.session, shift) {
            (None, _) => 404,
            (Some(session), Some(shift)) if !bytes.is_empty() && self.first(shift) != session.len() => 416,
            _ => good,
        }
    }

    fn first(&self, shift: i8) -> usize {
        self.session.as_ref().map_or(0, Vec::len).saturating_add_signed(isize::from(shift))
    }

    /// No range can say that it has no bytes.
    fn range(&self, bytes: &[u8], shift: Option<i8>) -> Option<String> {
        let first = self.first(shift.filter(|_| !bytes.is_empty())?);
        Some(format!("{first}-{}", first + bytes.len() - 1))
    }

    fn stands(&self) -> String {
        format!("0-{}", self.session.as_ref().map_or(0, Vec::len).max(1) - 1)
    }
}

fn pairs(range: Option<&str>) -> Vec<(&'static str, &str)> {
    range.into_iter().map(|range| ("content-range", range)).collect()
}
