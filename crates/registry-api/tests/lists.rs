//! Paged lists while rows come and go: what is there throughout is listed once, and nothing twice.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod house;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use house::*;

/// What a list goes over: how its rows are made and taken away, and where they stand in the answer.
struct List {
    path: String,
    rows: fn(&Value) -> &Value,
    name: fn(&Value) -> String,
    put: Put,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Put {
    Repository,
    Tag,
    Manifest,
    Referrer,
}

fn manifest(number: usize, subject: Option<&Value>) -> Value {
    let mut manifest = image(b"config", &[]);
    manifest["annotations"] = json!({ "number": number.to_string() });
    if let Some(subject) = subject {
        manifest["subject"] = subject.clone();
        manifest["artifactType"] = "application/vnd.example".into();
    }
    manifest
}

/// Makes row `number` and returns its name in the list.
async fn put(house: &House, kind: Put, number: usize, subject: &Value) -> String {
    let name = format!("row-{number:03}");
    match kind {
        Put::Repository => {
            house.push_blob(&name, b"config").await;
            house.push_manifest(&name, "latest", &manifest(0, None)).await.is(201);
            name
        }
        Put::Tag => {
            house.push_manifest("team/app", &name, &manifest(0, None)).await.is(201);
            name
        }
        Put::Manifest | Put::Referrer => {
            let made = manifest(number, (kind == Put::Referrer).then_some(subject));
            let digest = digest_of(&made).to_string();
            house.push_manifest("team/app", &digest, &made).await.is(201);
            digest
        }
    }
}

async fn take_away(house: &House, kind: Put, name: &str) {
    let path = match kind {
        Put::Repository => format!("/acr/v1/{name}"),
        Put::Tag => format!("/acr/v1/team/app/_tags/{name}"),
        Put::Manifest | Put::Referrer => format!("/v2/team/app/manifests/{name}"),
    };
    house.ask("DELETE", &path, &[], b"").await.is(202);
}

fn lists(subject: &str) -> Vec<List> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let digest = |value: &Value| value["digest"].as_str().unwrap().to_owned();
    let list = |path: &str, rows, name, put| List { path: path.to_owned(), rows, name, put };
    let mut lists = vec![
        list("/v2/_catalog?n=3", |page| &page["repositories"], text, Put::Repository),
        list("/acr/v1/_catalog?n=3", |page| &page["repositories"], text, Put::Repository),
        list("/v2/team/app/tags/list?n=3", |page| &page["tags"], text, Put::Tag),
        list(
            &format!("/v2/team/app/referrers/{subject}?n=3"),
            |page| &page["manifests"],
            digest,
            Put::Referrer,
        ),
        list(
            &format!("/v2/team/app/referrers/{subject}?n=3&artifactType=application%2Fvnd.example"),
            |page| &page["manifests"],
            digest,
            Put::Referrer,
        ),
    ];
    for order in ["", "timeasc", "timedesc"] {
        let tag = |value: &Value| value["name"].as_str().unwrap().to_owned();
        let (tags, manifests) = ("/acr/v1/team/app/_tags", "/acr/v1/team/app/_manifests");
        lists.push(list(&format!("{tags}?n=3&orderby={order}"), |page| &page["tags"], tag, Put::Tag));
        lists.push(list(
            &format!("{manifests}?n=3&orderby={order}"),
            |page| &page["manifests"],
            digest,
            Put::Manifest,
        ));
    }
    lists
}

#[tokio::test]
async fn every_list_has_each_row_once_while_rows_come_and_go() {
    // Rows of one instant, and rows of different ones where that decides the order.
    for step_ms in [0, 1000] {
        let subject = manifest(999, None);
        for list in lists(&digest_of(&subject).to_string()) {
            if step_ms > 0 && !list.path.contains("orderby=time") {
                continue;
            }
            let house = house().await;
            house.push_blob("team/app", b"config").await;
            let bytes = subject.to_string();
            let subject = descriptor(bytes.as_bytes(), "application/vnd.oci.image.manifest.v1+json");
            let mut rows = Vec::new();
            for number in 0..12 {
                house.turn_clock(step_ms);
                rows.push(put(&house, list.put, number, &subject).await);
            }
            // Every second one stays; the others may go.
            let (stays, mut goes): (Vec<_>, Vec<_>) =
                rows.iter().enumerate().partition(|(number, _)| number % 2 == 0);
            let (mut listed, mut next, mut made) = (Vec::new(), Some(list.path.clone()), 100);
            while let Some(path) = next {
                let page = house.get(&path).await.is(200);
                let document = page.json();
                let names = (list.rows)(&document).as_array().unwrap().iter().map(list.name);
                listed.extend(names);
                let link = page.header("link").to_owned();
                next = link
                    .strip_prefix('<')
                    .and_then(|link| link.split_once('>'))
                    .map(|(path, _)| path.to_owned());
                // The last row that was listed, if it may go, and another.
                for _ in 0..2 {
                    let last = listed.last().unwrap();
                    let place = goes.iter().position(|(_, name)| *name == last).unwrap_or(0);
                    if place < goes.len() {
                        take_away(&house, list.put, goes.remove(place).1).await;
                    }
                }
                house.turn_clock(step_ms);
                put(&house, list.put, made, &subject).await;
                made += 1;
            }
            let names: BTreeSet<_> = listed.iter().collect();
            assert_eq!(names.len(), listed.len(), "{} lists a row twice: {listed:?}", list.path);
            for (_, name) in stays {
                assert!(names.contains(name), "{} does not list {name}: {listed:?}", list.path);
            }
        }
    }
}

#[tokio::test]
async fn a_filter_by_digest_holds_on_every_page() {
    let house = house().await;
    house.push_blob("team/app", b"config").await;
    for number in 0..6 {
        let made = manifest(number % 2, None);
        house.push_manifest("team/app", &format!("t{number}"), &made).await.is(201);
    }
    let digest = digest_of(&manifest(1, None));
    let (mut tags, mut next) = (Vec::new(), Some(format!("/acr/v1/team/app/_tags?n=2&digest={digest}")));
    while let Some(path) = next {
        let page = house.get(&path).await.is(200);
        let found = page.json()["tags"].as_array().unwrap().clone();
        tags.extend(found.iter().map(|tag| tag["name"].as_str().unwrap().to_owned()));
        let link = page.header("link").to_owned();
        next = link.strip_prefix('<').and_then(|link| link.split_once('>')).map(|(path, _)| path.to_owned());
    }
    assert_eq!(tags, ["t1", "t3", "t5"]);
}
