//! From the manifest's 201 to the verdict, over pushes of images with new layers, and of known ones.

use std::path::Path;
use std::time::{Duration, Instant};

use assessment::image_row_id;
use testkit::{Image, debian, dpkg, image};

use crate::figures::spread;
use crate::start;

const PUSHES: usize = 50;
const SUB_ASSESSMENTS: &str =
    "/providers/Microsoft.Security/assessments/dbd0cb49-b563-45e7-9724-889e799fa648/subAssessments";
const VERSION: &str = "?api-version=2019-01-01-preview";

pub(crate) async fn run(lazaret: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let server = start(lazaret, folder.path());
    let feed = folder.path().join("tracker.json");
    std::fs::write(&feed, tracker()).unwrap();
    assert!(server.command(&["feeds", "import", feed.to_str().unwrap()]).status.success());
    let client = server.client();
    let token = client.arm_token().await;
    let registry = client.registry_id(&token).await;
    println!("\n## From the manifest's 201 to the verdict (bar: p50 20 ms, p99 250 ms; again: p99 20 ms)");
    for (what, packages, megabytes) in
        [("small: 100 packages, 1 MB", 100, 1), ("large: 400 packages, 20 MB", 400, 20)]
    {
        let images: Vec<_> =
            (0..PUSHES).map(|number| made(&format!("{what}{number}"), packages, megabytes)).collect();
        for (how, tag) in [("new layers", "new"), ("pushed again", "again")] {
            let mut waits = Vec::new();
            for pushed in &images {
                let row = image_row_id("bench/app", &client.push("bench/app", tag, pushed).await.unwrap());
                waits.push(
                    until_judged(&client, &token, &format!("{registry}{SUB_ASSESSMENTS}/{row}{VERSION}"))
                        .await,
                );
            }
            println!("{what}, {how}: {}", spread(waits));
        }
        // A push over loopback is faster than anybody can inflate: that is what is waited for.
        let limits = images.iter().map(inflated).collect();
        println!("{what}, limit of this machine, inflating the layers once: {}", spread(limits));
    }
    assert!(server.terminate());
}

fn inflated(image: &Image) -> Duration {
    let began = Instant::now();
    for layer in image.layers() {
        std::io::copy(&mut flate2::read::MultiGzDecoder::new(layer), &mut std::io::sink()).unwrap();
    }
    began.elapsed()
}

async fn until_judged(client: &testkit::Client, token: &str, path: &str) -> Duration {
    let began = Instant::now();
    loop {
        let answer = client.with_token(token, path).await.unwrap();
        if answer.status() == 200 {
            return began.elapsed();
        }
        assert_eq!(answer.status(), 404);
        assert!(began.elapsed() < Duration::from_secs(60), "no verdict");
    }
}

/// Advisories that none of the packages is affected by: each is compared, and each image is healthy,
/// with one row to look for.
fn tracker() -> String {
    let release = |fixed: &str| {
        format!(
            r#"{{"releases":{{"bookworm":{{"status":"resolved","fixed_version":"{fixed}","urgency":"high"}}}}}}"#
        )
    };
    let package = |number: usize| {
        let advisories: Vec<String> =
            (0..20).map(|id| format!(r#""CVE-2024-{number}{id}":{}"#, release("0.9-1"))).collect();
        format!(r#""package{number}":{{{}}}"#, advisories.join(","))
    };
    format!("{{{}}}", (0..400).map(package).collect::<Vec<_>>().join(","))
}

/// An image whose second layer does not compress.
fn made(salt: &str, packages: usize, megabytes: usize) -> Image {
    let names: Vec<String> = (0..packages).map(|number| format!("package{number}")).collect();
    let list: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1.0-1")).collect();
    let (release, status) = (debian("12", "bookworm"), dpkg(&list));
    let noise: String = (0..megabytes * 16_384)
        .map(|number| oci::Digest::sha256(format!("{salt}{number}").as_bytes()).hex().to_owned())
        .collect();
    image()
        .layer(&[(release.0, &release.1), (status.0, &status.1), ("salt", salt)])
        .layer(&[("noise", &noise)])
}
