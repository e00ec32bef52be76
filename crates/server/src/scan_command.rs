//! `lazaret scan`: a judgement for a person or a CI job, with an exit code.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use advisory::Severity;
use assessment::{Cause, ImageState, RuledFinding};
use oci::Digest;
use scanner::{Advisories, Scanner, local_images, scan_local};
use serde_json::json;

use crate::cli::{Format, ScanArgs};
use crate::data::DataFolder;
use crate::image_command::{House, Known, print_findings};
use crate::output::say;
use crate::settings::Told;
use crate::table::counted;
use crate::{Failure, now_ms, serve};

/// One judged image, wherever it was.
struct Judged {
    name: String,
    digest: Digest,
    platform: Option<String>,
    state: ImageState,
    causes: Vec<Cause>,
    findings: Vec<RuledFinding>,
    packages: usize,
    snapshot: Option<Digest>,
}

pub(crate) async fn run(arguments: ScanArgs) -> Result<ExitCode, Failure> {
    let is_path = Path::new(&arguments.target).exists();
    if !is_path && is_path_like(&arguments.target) {
        return Err(format!("there is no file or folder {}", arguments.target).into());
    }
    let judged = if is_path { judge_path(&arguments).await? } else { judge_reference(&arguments).await? };
    match arguments.format {
        Format::Json => {
            let documents: Vec<_> = judged.iter().map(document).collect();
            let document = if documents.len() == 1 { documents[0].clone() } else { json!(documents) };
            say!("{}", serde_json::to_string_pretty(&document)?);
        }
        Format::Table => {
            for image in &judged {
                let platform =
                    image.platform.as_ref().map_or_else(String::new, |platform| format!(" ({platform})"));
                say!("{}@{}{platform}", image.name, image.digest);
                say!("state {}, {}", image.state, counted(image.packages, "package", "packages"));
                for cause in &image.causes {
                    say!("      {} ({})", cause.description, cause.code);
                }
                print_findings(&image.findings);
            }
        }
    }
    Ok(arguments.fail_on.map_or(ExitCode::SUCCESS, |threshold| exit_code(&judged, threshold)))
}

async fn judge_path(arguments: &ScanArgs) -> Result<Vec<Judged>, Failure> {
    let data = DataFolder::create(&arguments.place.data.path)?;
    let metastore = data.metastore()?;
    let advisories = Advisories::new(metastore.clone(), data.advisory_blobs()?);
    let jail = serve::jail()?;
    let stale_after_days = match arguments.stale_after_days {
        Some(days) => days,
        None => Told::read(&metastore).await?.stale_after_days,
    };
    let stale_after_ms = i64::from(stale_after_days) * DAY_MS;
    let mut judged = Vec::new();
    for image in local_images(Path::new(&arguments.target))? {
        let scanned = scan_local(&image, &jail).await?;
        let (verdict, snapshot) =
            Scanner::judge_local(&metastore, &advisories, &scanned, now_ms(), stale_after_ms).await?;
        judged.push(Judged {
            name: image.name.unwrap_or_else(|| arguments.target.clone()),
            digest: image.digest,
            platform: image.platform.map(|platform| format!("{}/{}", platform.os, platform.architecture)),
            state: verdict.state,
            causes: verdict.causes,
            findings: verdict.findings.into_iter().map(RuledFinding::from).collect(),
            packages: scanned.inventory.packages.len(),
            snapshot,
        });
    }
    if judged.is_empty() {
        return Err(format!("{} holds no image", arguments.target).into());
    }
    Ok(judged)
}

async fn judge_reference(arguments: &ScanArgs) -> Result<Vec<Judged>, Failure> {
    let house = House::open(&arguments.place.data.path).await?;
    let metastore = &house.metastore;
    let mut judged = Vec::new();
    for Known { image, platform, .. } in judged_images(&house, arguments).await? {
        let (state, causes) = image.state();
        judged.push(Judged {
            name: image.repository.to_string(),
            platform,
            state,
            causes,
            findings: metastore.findings(&image).await?,
            packages: match image.verdict {
                Some(_) => {
                    metastore.image_inventory(&image.digest).await?.map_or(0, |found| found.packages.len())
                }
                None => 0,
            },
            snapshot: image.verdict.and_then(|verdict| verdict.snapshot),
            digest: image.digest,
        });
    }
    Ok(judged)
}

/// The images that a reference names. A scan that is under way is waited for: whoever asks right
/// after a push wants to know what comes of it.
async fn judged_images(house: &House, arguments: &ScanArgs) -> Result<Vec<Known>, Failure> {
    let (registry, reference) = (arguments.place.registry.as_deref(), &arguments.target);
    let began = Instant::now();
    let mut is_told = false;
    loop {
        let images = house.find(registry, reference).await?;
        let is_pending = images.iter().any(|known| known.image.state().0 == ImageState::Pending);
        if !is_pending || began.elapsed() > PATIENCE {
            return Ok(images);
        }
        if began.elapsed() > SILENCE && !std::mem::replace(&mut is_told, true) {
            crate::output::aside(format_args!(
                "waiting for the scan of {reference}, which `lazaret serve` does"
            ));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Whether a person means a file by it: no repository is written like that, or ends so.
fn is_path_like(text: &str) -> bool {
    text.starts_with(['.', '/', '~'])
        || [".tar", ".tar.gz", ".tgz"].iter().any(|end| text.ends_with(end)) && !text.contains([':', '@'])
}

fn document(image: &Judged) -> serde_json::Value {
    json!({
        "name": image.name,
        "digest": image.digest,
        "platform": image.platform,
        "state": image.state,
        "causes": image.causes,
        "packageCount": image.packages,
        "snapshot": image.snapshot,
        "findings": image.findings,
    })
}

/// A gate that cannot tell must not open: what was not judged fails too, with its own code.
fn exit_code(judged: &[Judged], threshold: Severity) -> ExitCode {
    let open: Vec<_> = judged.iter().flat_map(|image| RuledFinding::open(&image.findings)).collect();
    if open.iter().any(|finding| finding.severity >= threshold) {
        return ExitCode::from(EXIT_FINDING);
    }
    let unknown = open.iter().filter(|finding| finding.severity == Severity::Unknown).count();
    if unknown > 0 {
        let said = counted(unknown, "finding has", "findings have");
        crate::output::aside(format_args!("{said} no severity yet; `--fail-on unknown` fails on those too"));
    }
    if judged.iter().any(|image| matches!(image.state, ImageState::Unverified | ImageState::Pending)) {
        return ExitCode::from(EXIT_UNJUDGED);
    }
    ExitCode::SUCCESS
}

/// A finding is at least as severe as asked.
const EXIT_FINDING: u8 = 3;

/// The image could not be judged.
const EXIT_UNJUDGED: u8 = 4;

const DAY_MS: i64 = 86_400_000;

/// How long a pending scan is waited for; and for how long without a word.
const PATIENCE: Duration = Duration::from_secs(60);
const SILENCE: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(20);
