//! Resource Graph's queries over 1,000,000 sub-assessments: cold, warm, beside pushes.

use std::path::Path;
use std::time::{Duration, Instant};

use advisory::Severity;
use assessment::{Finding, FindingPackage, FixState, ImageState, Verdict};
use inventory::ImageInventory;
use metastore::{Durability, ManifestKind, Metastore, PutManifest, RegistryId, VerdictWrite};
use oci::{Digest, MediaType};
use serde_json::{Value, json};
use testkit::{Client, Server, ServerOptions, debian, dpkg, image};

use crate::figures::{median, quantile, spread};

/// Each finding is a row in each of three forms: 1,000,200 rows.
const IMAGES: usize = 3334;
const FINDINGS_PER_IMAGE: usize = 100;
const FINDINGS_PER_SOURCE: usize = 5;
const SOURCES: usize = 4000;
const WARM: usize = 5;
const CLIENTS: usize = 32;
const LOAD: Duration = Duration::from_secs(15);
const PATH: &str = "/providers/Microsoft.ResourceGraph/resources?api-version=2021-03-01";
const DASHBOARD: &str = "securityresources | where type == 'microsoft.security/assessments/subassessments'
    | summarize count() by severity = tostring(properties.status.severity), patchable = tostring(properties.additionalData.patchable)";

pub(crate) async fn run(lazaret: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let options = || {
        ServerOptions::new(lazaret.to_str().unwrap(), &folder.path().join("data")).with("--queries=1000000")
    };
    let first = Server::start(options());
    // It has begun in earnest once it answers.
    first.client().arm_token().await;
    assert!(first.terminate());
    let began = Instant::now();
    fill(&folder.path().join("data/lazaret.db")).await;
    println!(
        "\n## Queries over {} sub-assessments (filled in {:.0} s; bar: 1 s cold, 200 ms warm)",
        IMAGES * FINDINGS_PER_IMAGE * 3,
        began.elapsed().as_secs_f64()
    );
    let server = Server::start(options());
    let idle = resident_megabytes(server.pid());
    let began = Instant::now();
    let asker = Asker::new(&server).await;
    // On a machine that is busy all rows take longer than a client waits for one answer.
    let rows = loop {
        let asker = asker.clone();
        let query = "securityresources | where type has 'subassessments' | count";
        if let Ok((_, rows)) = tokio::spawn(async move { asker.ask(query).await }).await {
            break rows;
        }
        assert!(began.elapsed() < Duration::from_secs(900), "no answer");
    };
    assert_eq!(rows["data"][0]["Count"], json!(IMAGES * FINDINGS_PER_IMAGE * 3));
    println!(
        "from the start to the first answer: {:.1} s; memory {idle} MB, then {} MB",
        (began.elapsed() + server.ready_after).as_secs_f64(),
        resident_megabytes(server.pid())
    );
    let summed = dashboards(&asker).await;
    peer(summed);
    println!("memory after all queries: {} MB", resident_megabytes(server.pid()));
    fresh(&server, &asker).await;
    beside_pushes(&server, &asker).await;
    assert!(server.terminate());
}

/// Every published query, first run and then again; returns how long [`DASHBOARD`] takes when warm.
async fn dashboards(asker: &Asker) -> f64 {
    let texts = include_str!("../../crates/server/tests/published_queries.kql");
    let published = texts.split("\n// T").skip(1).filter_map(|text| {
        let (title, query) = text.split_once('\n')?;
        // T47 is the one that is refused.
        (!title.ends_with("historic") && title != "47").then(|| (format!("T{title}"), filled_in(query)))
    });
    let own = std::iter::once(("severities".to_owned(), DASHBOARD.to_owned()));
    let (mut colds, mut warms, mut summed) = (Vec::new(), Vec::new(), 0.0);
    for (name, query) in own.chain(published) {
        let (cold, answer) = asker.ask(&query).await;
        let mut times = Vec::new();
        for _ in 0..WARM {
            times.push(asker.ask(&query).await.0.as_secs_f64());
        }
        let warm = median(times);
        if name == "severities" {
            summed = warm;
        }
        println!(
            "{name}: cold {:.0} ms, warm {:.0} ms, {} rows",
            cold.as_secs_f64() * 1e3,
            warm * 1e3,
            answer["totalRecords"]
        );
        colds.push(cold);
        warms.push(Duration::from_secs_f64(warm));
    }
    println!("all, cold: {}\nall, warm: {}", spread(colds), spread(warms));
    summed
}

fn filled_in(query: &str) -> String {
    query
        .replace("{digest}", &manifest(1).1.to_string())
        .replace("{repo}", "bench/app1")
        .replace("{registryId}", "/subscriptions/none")
        .replace("{registry}", "lazaret")
        .replace("{qid}", "CVE-2024-10007")
        .replace("{name}", "Update lib7")
}

/// The same sums by a loop over arrays: the least that anybody can do.
fn peer(summed: f64) {
    let rows = (0..IMAGES * FINDINGS_PER_IMAGE * 3).map(|number| {
        let flaw = number % (SOURCES * FINDINGS_PER_SOURCE);
        (severity(flaw) as u8, u8::from(!flaw.is_multiple_of(3)))
    });
    let rows: Vec<(u8, u8)> = rows.collect();
    let times = (0..WARM).map(|_| {
        let began = Instant::now();
        let mut counts = [0_u64; 16];
        for (severity, patchable) in std::hint::black_box(&rows) {
            counts[usize::from(severity * 2 + patchable)] += 1;
        }
        assert!(std::hint::black_box(counts).iter().filter(|count| **count > 0).count() > 1);
        began.elapsed().as_secs_f64()
    });
    let looped = median(times.collect());
    println!("severities, warm: {:.0} × a loop over arrays ({:.1} ms)", summed / looped, looped * 1e3);
}

/// From a manifest's 201 to the query that shows its rows.
async fn fresh(server: &Server, asker: &Asker) {
    let mut waits = Vec::new();
    for number in 0..20 {
        let pushed = made(&format!("fresh{number}"));
        let digest = server.client().push("bench/fresh", "1", &pushed).await.unwrap();
        let began = Instant::now();
        let query =
            format!("securityresources | where properties.additionalData.imageDigest == '{digest}' | count");
        while asker.ask(&query).await.1["data"][0]["Count"] == json!(0) {
            assert!(began.elapsed() < Duration::from_secs(60), "no row");
        }
        waits.push(began.elapsed());
    }
    println!("from a manifest's 201 to a query that shows its rows: {}", spread(waits));
}

async fn beside_pushes(server: &Server, asker: &Asker) {
    let push_for = async |time: Duration, salt: &str| {
        let (client, began, mut times, mut number) = (server.client(), Instant::now(), Vec::new(), 0);
        while began.elapsed() < time {
            number += 1;
            let pushed = made(&format!("{salt}{number}"));
            let began = Instant::now();
            client.push("bench/load", &format!("t{number}"), &pushed).await.unwrap();
            times.push(began.elapsed());
        }
        times
    };
    let alone = push_for(LOAD / 3, "alone").await;
    let clients = (0..CLIENTS).map(|_| {
        let asker = asker.clone();
        tokio::spawn(async move {
            let (began, mut times) = (Instant::now(), Vec::new());
            while began.elapsed() < LOAD {
                times.push(asker.ask(DASHBOARD).await.0);
            }
            times
        })
    });
    let clients: Vec<_> = clients.collect();
    let beside = push_for(LOAD, "beside").await;
    let mut times = Vec::new();
    for client in clients {
        times.extend(client.await.unwrap());
    }
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let rate = |times: &[Duration], time: Duration| times.len() as f64 / time.as_secs_f64();
    println!("{CLIENTS} clients beside pushes: {:.0} queries/s, {}", rate(&times, LOAD), spread(times));
    println!("pushes: {:.1}/s alone, {:.1}/s beside them", rate(&alone, LOAD / 3), rate(&beside, LOAD));
    let p50 = |mut times: Vec<Duration>| {
        times.sort_unstable();
        quantile(&times, 0.5).as_secs_f64()
    };
    let (shown_alone, shown_beside) = (spread(alone.clone()), spread(beside.clone()));
    println!("a push alone: {shown_alone}; beside them: {shown_beside}; {:.1} ×", p50(beside) / p50(alone));
    println!("memory after it: {} MB", resident_megabytes(server.pid()));
}

#[derive(Clone)]
struct Asker {
    client: Client,
    token: String,
}

impl Asker {
    async fn new(server: &Server) -> Self {
        let client = server.client();
        let token = client.arm_token().await;
        Self { client, token }
    }

    async fn ask(&self, query: &str) -> (Duration, Value) {
        let began = Instant::now();
        let (status, answer) = self.client.post_json(PATH, &self.token, &json!({ "query": query })).await;
        assert_eq!(status, 200, "{query}: {answer}");
        (began.elapsed(), answer)
    }
}

fn made(salt: &str) -> testkit::Image {
    let (release, status) = (debian("12", "bookworm"), dpkg(&[("zlib", "1.0-1")]));
    image().layer(&[(release.0, &release.1), (status.0, &status.1)]).salted(salt)
}

/// Images as a server would have stored them: through the metastore, without bytes behind them.
async fn fill(database: &Path) {
    let store = Metastore::open(database, Durability::Unflushed).unwrap();
    let registry = store.registries().await.unwrap()[0].id;
    let all: Vec<usize> = (0..IMAGES).collect();
    for some in all.chunks(64) {
        let stored = some.iter().map(|number| {
            let (store, number) = (store.clone(), *number);
            tokio::spawn(async move { fill_one(&store, registry, number).await })
        });
        for one in stored.collect::<Vec<_>>() {
            one.await.unwrap();
        }
        while let Some(job) = store.claim_job(10, 20).await.unwrap() {
            store.complete_job(job.id, 10).await.unwrap();
        }
    }
}

fn manifest(number: usize) -> (Vec<u8>, Digest) {
    let bytes = format!("image {number}").into_bytes();
    let digest = Digest::sha256(&bytes);
    (bytes, digest)
}

async fn fill_one(store: &Metastore, registry: RegistryId, number: usize) {
    let (bytes, digest) = manifest(number);
    let put = PutManifest {
        registry,
        repository: format!("bench/app{}", number % 200).parse().unwrap(),
        digest: digest.clone(),
        kind: ManifestKind::Image,
        media_type: MediaType::new(MediaType::OCI_MANIFEST),
        artifact_type: None,
        subject: None,
        annotations: None,
        bytes,
        tags: vec![format!("v{number}").parse().unwrap()],
        blobs: vec![],
        children: vec![],
        is_sparse: false,
        pushed_by: "bench".to_owned(),
        now_ms: 1,
    };
    store.put_manifest(put).await.unwrap();
    let findings = (0..FINDINGS_PER_IMAGE).map(|at| finding(number, at)).collect();
    let write = VerdictWrite {
        image: digest,
        inventory: ImageInventory::default(),
        snapshot: None,
        engine: "bench".to_owned(),
        verdict: Verdict { state: ImageState::Unhealthy, causes: vec![], findings },
        keys: vec![],
        now_ms: 2,
    };
    assert!(store.put_verdict(write).await.unwrap());
}

/// Images share their flaws, and those of one source package come together.
fn finding(image: usize, at: usize) -> Finding {
    let source = (image * 7 + at / FINDINGS_PER_SOURCE) % SOURCES;
    let flaw = source * FINDINGS_PER_SOURCE + at % FINDINGS_PER_SOURCE;
    let is_fixed = !flaw.is_multiple_of(3);
    Finding {
        id: format!("CVE-2024-{}", 10_000 + flaw),
        aliases: vec![],
        title: format!("a flaw in lib{source}: number {flaw}"),
        description: "An attacker who controls the input may read beyond the end of a buffer. ".repeat(3),
        severity: severity(flaw),
        severity_source: "debian urgency".to_owned(),
        package: FindingPackage {
            name: format!("lib{source}"),
            version: "1.0-1".to_owned(),
            ecosystem: "deb".to_owned(),
            architecture: "amd64".to_owned(),
            path: "var/lib/dpkg/status".to_owned(),
            // Base images are shared.
            layer: Digest::sha256(&[u8::try_from(source % 50).unwrap()]),
            layer_command: None,
        },
        source: format!("lib{source}"),
        source_version: "1.0-1".to_owned(),
        fixed_version: is_fixed.then(|| "1.0-2".to_owned()),
        fix_state: if is_fixed { FixState::Fixed } else { FixState::NoneYet },
        remediation: format!("Upgrade lib{source} to 1.0-2 or later."),
        reason: "1.0-1 is below 1.0-2 in debian:bookworm".to_owned(),
        feed: "debian".to_owned(),
        references: vec![],
    }
}

fn severity(flaw: usize) -> Severity {
    [Severity::Low, Severity::Medium, Severity::High, Severity::Critical][flaw % 7 % 4]
}

fn resident_megabytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}
