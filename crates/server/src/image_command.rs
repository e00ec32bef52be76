//! `lazaret image`: what the registry holds and what is known of it.

use assessment::{Finding, RuledFinding};
use metastore::{ImageRow, Metastore, RegistryId};
use oci::{Content, Manifest, Reference, Repository};
use serde_json::{Value, json};

use crate::Failure;
use crate::cli::{Format, ImageCommand};
use crate::cluster_command::{running, running_documents};
use crate::data::DataFolder;
use crate::output::say;
use crate::table::{short, table, time};

pub(crate) async fn run(command: ImageCommand) -> Result<(), Failure> {
    match command {
        ImageCommand::List { data, format } => {
            list(&DataFolder::existing(&data.path)?.current_rows().await?, format).await
        }
        ImageCommand::Show { reference, data, format } => {
            show(&DataFolder::existing(&data.path)?.current_rows().await?, &reference, format).await
        }
    }
}

async fn list(metastore: &Metastore, format: Format) -> Result<(), Failure> {
    let mut images = Vec::new();
    for registry in metastore.registries().await? {
        let mut after = None;
        loop {
            let page = metastore.images(registry.id, after, 500).await?;
            let Some(last) = page.last() else { break };
            after = Some((last.repository_id, last.digest.to_string()));
            images.extend(page);
        }
    }
    match format {
        Format::Json => {
            let rows: Vec<_> = images.iter().map(summary).collect();
            say!("{}", serde_json::to_string_pretty(&rows)?);
        }
        Format::Table => {
            let mut rows = table(&["REPOSITORY", "TAGS", "DIGEST", "STATE", "FINDINGS", "PUSHED"]);
            for image in &images {
                let tags: Vec<_> = image.tags.iter().map(ToString::to_string).collect();
                let findings = open_findings(image).unwrap_or_default().to_string();
                rows.add_row([
                    image.repository.to_string(),
                    tags.join(","),
                    short(&image.digest),
                    image.state().0.to_string(),
                    findings,
                    time(image.pushed_ms),
                ]);
            }
            say!("{rows}");
        }
    }
    Ok(())
}

async fn show(metastore: &Metastore, text: &str, format: Format) -> Result<(), Failure> {
    let images = find(metastore, text).await?;
    let mut documents = Vec::new();
    for image in &images {
        let inventory = metastore.image_inventory(&image.digest).await?.unwrap_or_default();
        let findings = metastore.findings(image).await?;
        let running = running(metastore, image).await?;
        match format {
            Format::Json => {
                let mut document = summary(image);
                document["distro"] = json!(inventory.distro);
                document["packages"] = json!(inventory.packages);
                document["findings"] = json!(findings);
                document["running"] = running_documents(&running);
                documents.push(document);
            }
            Format::Table => {
                say!("{}@{}", image.repository, image.digest);
                let (state, causes) = image.state();
                say!("state      {state}");
                for cause in causes {
                    say!("           {} ({})", cause.description, cause.code);
                }
                if let Some(verdict) = &image.verdict {
                    let snapshot =
                        verdict.snapshot.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
                    say!("judged     {} by {}", time(verdict.judged_ms), verdict.engine);
                    say!("inventory  {}\nadvisories {snapshot}", verdict.inventory);
                }
                if let Some(distro) = &inventory.distro {
                    say!("system     {}", distro.pretty_name.as_ref().unwrap_or(&distro.id));
                }
                let mut packages = table(&["PACKAGE", "VERSION", "SOURCE", "LAYER"]);
                for installed in &inventory.packages {
                    let package = &installed.package;
                    packages.add_row([
                        &package.name,
                        &package.version,
                        &package.source.name,
                        &short(&installed.layer),
                    ]);
                }
                say!("\n{} packages\n{packages}", inventory.packages.len());
                print_findings(&findings);
                if !running.is_empty() {
                    let mut rows = table(&["CLUSTER", "NAMESPACE", "WORKLOAD", "CONTAINERS", "REPORTED"]);
                    for place in &running {
                        rows.add_row([
                            place.cluster.clone(),
                            place.namespace.clone(),
                            place.workload.clone(),
                            place.containers.to_string(),
                            time(place.reported_ms),
                        ]);
                    }
                    say!("\nrunning at {} places\n{rows}", running.len());
                }
            }
        }
    }
    if format == Format::Json {
        // An index has several images; a plain reference one.
        let document = if documents.len() == 1 { documents.remove(0) } else { json!(documents) };
        say!("{}", serde_json::to_string_pretty(&document)?);
    }
    Ok(())
}

/// Every finding with what to do about it, or with the rule that disables it.
pub(crate) fn print_findings(findings: &[RuledFinding]) {
    let row = |finding: &Finding, last: &str| {
        let fixed = finding.fixed_version.as_deref().unwrap_or("-");
        let package = &finding.package;
        [finding.severity.name(), &finding.id, &package.name, &package.version, fixed, last]
            .map(str::to_owned)
    };
    let open = RuledFinding::open(findings);
    say!("\n{} findings", open.len());
    let mut rows = table(&["SEVERITY", "ADVISORY", "PACKAGE", "INSTALLED", "FIXED IN", "REMEDIATION"]);
    rows.add_rows(open.iter().map(|finding| row(finding, &finding.remediation)));
    say!("{rows}");
    if open.len() < findings.len() {
        say!("\n{} findings are disabled by rules", findings.len() - open.len());
        let mut rows = table(&["SEVERITY", "ADVISORY", "PACKAGE", "INSTALLED", "FIXED IN", "RULE"]);
        for RuledFinding { finding, exemption } in findings {
            if let Some(exemption) = exemption {
                let until =
                    exemption.expires_ms.map_or_else(String::new, |ms| format!(" until {}", time(ms)));
                rows.add_row(row(finding, &format!("{}{until}: {}", exemption.name, exemption.reason)));
            }
        }
        say!("{rows}");
    }
}

/// The image that a reference names, or the images of the index that it names.
pub(crate) async fn find(metastore: &Metastore, text: &str) -> Result<Vec<ImageRow>, Failure> {
    let (repository, reference) = parse(text)?;
    for registry in metastore.registries().await? {
        let images = images_of(metastore, registry.id, &repository, reference.clone()).await?;
        if !images.is_empty() {
            return Ok(images);
        }
    }
    Err(format!(
        "the registry has no image {repository} {reference}: `lazaret image list` shows those it has"
    )
    .into())
}

async fn images_of(
    metastore: &Metastore,
    registry: RegistryId,
    repository: &Repository,
    reference: Reference,
) -> Result<Vec<ImageRow>, Failure> {
    let mut images = Vec::new();
    let mut wanted = vec![reference];
    let mut seen = std::collections::BTreeSet::new();
    while let Some(reference) = wanted.pop() {
        if let Some(image) = metastore.image(registry, repository, &reference).await? {
            images.push(image);
        } else if let Some(stored) = metastore.manifest(registry, repository, &reference).await? {
            let manifest = Manifest::parse(&stored.media_type, stored.bytes)?;
            if let Content::Index { manifests } = manifest.content() {
                let children = manifests.iter().map(|child| child.digest.clone());
                wanted.extend(children.filter(|digest| seen.insert(digest.clone())).map(Reference::Digest));
            }
        }
    }
    Ok(images)
}

/// `[HOST/]REPOSITORY[:TAG|@DIGEST]`, as people write it for docker.
fn parse(text: &str) -> Result<(Repository, Reference), Failure> {
    let wrong = || {
        let hint = if text.starts_with(['/', '.']) { "there is no such file, and it " } else { "it " };
        format!("{text:?}: {hint}is no reference: write REPOSITORY:TAG or REPOSITORY@DIGEST")
    };
    let (name, reference) = match text.split_once('@') {
        Some((name, digest)) => (name, digest),
        None => match text.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            _ => (text, "latest"),
        },
    };
    let name = match name.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => rest,
        _ => name,
    };
    Ok((name.parse().map_err(|_| wrong())?, reference.parse().map_err(|_| wrong())?))
}

/// How many findings count; `None`: it is not judged yet.
fn open_findings(image: &ImageRow) -> Option<u64> {
    let disabled = image.ruled.as_ref().map_or(0, |ruled| ruled.disabled);
    image.verdict.as_ref().map(|verdict| verdict.findings.saturating_sub(disabled))
}

fn summary(image: &ImageRow) -> Value {
    let (state, causes) = image.state();
    let verdict = image.verdict.as_ref();
    json!({
        "repository": image.repository,
        "digest": image.digest,
        "tags": image.tags,
        "mediaType": image.media_type,
        "pushed": time(image.pushed_ms),
        "state": state,
        "causes": causes,
        "findingCount": open_findings(image),
        "disabledCount": image.ruled.as_ref().map_or(0, |ruled| ruled.disabled),
        "judged": verdict.map(|verdict| time(verdict.judged_ms)),
        "inventory": verdict.map(|verdict| &verdict.inventory),
        "snapshot": verdict.and_then(|verdict| verdict.snapshot.as_ref()),
        "engine": verdict.map(|verdict| &verdict.engine),
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_reference_may_carry_a_host() {
        for (text, wanted) in [
            ("app/web:1", "app/web 1"),
            ("app/web", "app/web latest"),
            ("localhost:5000/app/web:1", "app/web 1"),
            ("localhost/web", "web latest"),
            ("registry.example/app/web:v2", "app/web v2"),
            ("localhost:5000/web", "web latest"),
        ] {
            let (repository, reference) = parse(text).expect("a reference");
            assert_eq!(format!("{repository} {reference}"), wanted);
        }
        assert!(parse("App/Web").is_err());
        assert!(parse("web@sha256:short").is_err());
    }
}
