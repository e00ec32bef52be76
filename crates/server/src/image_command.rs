//! `lazaret image`: what the registries hold and what is known of it.

use std::collections::{BTreeSet, HashMap};

use assessment::{Finding, ImageState, RuledFinding};
use blobstore::BlobStore;
use clap::{Args, Subcommand, ValueEnum};
use metastore::{ImageRow, Metastore, RegistryId};
use oci::{Content, Digest, ImageConfig, Manifest, Reference, Repository, Tag};
use serde_json::{Value, json};

use crate::Failure;
use crate::cli::{AnyPlaceArgs, Format};
use crate::cluster_command::{running, running_documents};
use crate::data::DataFolder;
use crate::output::say;
use crate::table::{counted, short, table, time};
use crate::target::{Target, registries_of};

#[derive(Debug, Args)]
pub(crate) struct ImageListArgs {
    #[command(flatten)]
    pub(crate) place: AnyPlaceArgs,
    /// Only of these repositories; `*` stands for any characters.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) repository: Option<String>,
    /// Only images in this state.
    #[arg(long, value_name = "STATE", value_parser = image_state)]
    pub(crate) state: Option<ImageState>,
    /// What comes first.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) sort: ImageOrder,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// The order of a list of images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImageOrder {
    /// By registry, repository and tag.
    #[default]
    Name,
    /// The newest push first.
    Pushed,
    /// The most findings first.
    Findings,
    /// By state.
    State,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// List images with their tags, platforms and states. An index is listed as its images.
    List(ImageListArgs),
    /// Show one image, or each image of an index: its platform, state, packages and findings.
    Show {
        /// `REPOSITORY:TAG` or `REPOSITORY@DIGEST`; a host before it is ignored.
        reference: String,
        #[command(flatten)]
        place: AnyPlaceArgs,
        /// How the answer is printed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

fn image_state(text: &str) -> Result<ImageState, String> {
    let all = [
        ImageState::Pending,
        ImageState::Healthy,
        ImageState::Unhealthy,
        ImageState::NotApplicable,
        ImageState::Unverified,
    ];
    all.into_iter()
        .find(|state| state.name().eq_ignore_ascii_case(text))
        .ok_or_else(|| format!("it is not one of {}", all.map(ImageState::name).join(", ")))
}

pub(crate) async fn run(command: ImageCommand) -> Result<(), Failure> {
    match command {
        ImageCommand::List(arguments) => {
            list(&House::open(&arguments.place.data.path).await?, arguments).await
        }
        ImageCommand::Show { reference, place, format } => {
            let house = House::open(&place.data.path).await?;
            show(&house, place.registry.as_deref(), &reference, format).await
        }
    }
}

/// What images are looked up in.
pub(crate) struct House {
    pub(crate) metastore: Metastore,
    blobs: BlobStore,
}

/// An image, with what its row alone does not say.
pub(crate) struct Known {
    pub(crate) image: ImageRow,
    pub(crate) registry: String,
    /// `linux/arm64`; `None` where its configuration does not say.
    pub(crate) platform: Option<String>,
    /// The tags of indexes that lead to it.
    index_tags: Vec<Tag>,
}

impl House {
    pub(crate) async fn open(path: &std::path::Path) -> Result<Self, Failure> {
        let data = DataFolder::existing(path)?;
        Ok(Self { metastore: data.current_rows().await?, blobs: data.blobs()? })
    }

    /// What the image says it runs on.
    async fn platform(&self, image: &Digest) -> Result<Option<String>, Failure> {
        let Some(stored) = self.metastore.any_manifest(image).await? else { return Ok(None) };
        let manifest = Manifest::parse(&stored.media_type, stored.bytes)?;
        let Content::Image { config, .. } = manifest.content() else { return Ok(None) };
        if !config.media_type.is_image_config() || config.size > CONFIG_BYTES_MAX {
            return Ok(None);
        }
        let blob = self.blobs.open_blob(&config.digest).await?;
        Ok(blob
            .and_then(|blob| ImageConfig::parse(&blob.whole().ok()?).ok())
            .and_then(|config| config.platform()))
    }

    async fn known(&self, registry: &str, image: ImageRow, index_tags: Vec<Tag>) -> Result<Known, Failure> {
        let platform = self.platform(&image.digest).await?;
        Ok(Known { registry: registry.to_owned(), platform, index_tags, image })
    }

    /// The image that a reference names, or the images of the index that it names: of the registry that is
    /// named, or of the first that has it.
    pub(crate) async fn find(&self, registry: Option<&str>, text: &str) -> Result<Vec<Known>, Failure> {
        let target: Target = text.parse()?;
        let reference = target.reference_or_latest();
        for registry in registries_of(&self.metastore, registry).await? {
            let images =
                images_of(&self.metastore, registry.id, &target.repository, reference.clone()).await?;
            if images.is_empty() {
                continue;
            }
            let mut known = Vec::new();
            for image in images {
                known.push(self.known(&registry.name, image, Vec::new()).await?);
            }
            return Ok(known);
        }
        let wanted = Target { reference: Some(reference), ..target };
        let of = registry.map_or_else(String::new, |name| format!(" in the registry {name}"));
        Err(format!("there is no image {wanted}{of}: `lazaret image list` shows those there are").into())
    }
}

async fn list(house: &House, arguments: ImageListArgs) -> Result<(), Failure> {
    let ImageListArgs { place, repository, state, sort, format } = arguments;
    let mut images = Vec::new();
    for registry in registries_of(&house.metastore, place.registry.as_deref()).await? {
        let mut index_tags: HashMap<(i64, Digest), Vec<Tag>> = HashMap::new();
        for (repository, image, tag) in house.metastore.index_tags(registry.id).await? {
            index_tags.entry((repository, image)).or_default().push(tag);
        }
        let mut after = None;
        loop {
            let page = house.metastore.images(registry.id, after, 500).await?;
            let Some(last) = page.last() else { break };
            after = Some((last.repository_id, last.digest.to_string()));
            for image in page {
                let is_meant = state.is_none_or(|state| image.state().0 == state)
                    && repository
                        .as_ref()
                        .is_none_or(|pattern| oci::matches(pattern, image.repository.as_str()));
                if is_meant {
                    let tags = index_tags.remove(&(image.repository_id, image.digest.clone()));
                    images.push(house.known(&registry.name, image, tags.unwrap_or_default()).await?);
                }
            }
        }
    }
    // The sort is stable: what is alike stays in the order of names.
    images.sort_by(|a, b| {
        let name = |known: &Known| (known.registry.clone(), known.image.repository.to_string());
        name(a)
            .cmp(&name(b))
            .then_with(|| a.all_tags().cmp(&b.all_tags()))
            .then_with(|| a.platform.cmp(&b.platform))
    });
    match sort {
        ImageOrder::Name => {}
        ImageOrder::Pushed => images.sort_by_key(|known| std::cmp::Reverse(known.image.pushed_ms)),
        ImageOrder::Findings => images.sort_by_key(|known| std::cmp::Reverse(open_findings(&known.image))),
        ImageOrder::State => images.sort_by_key(|known| known.image.state().0.name()),
    }
    match format {
        Format::Json => {
            let rows: Vec<_> = images.iter().map(summary).collect();
            say!("{}", serde_json::to_string_pretty(&rows)?);
        }
        Format::Table => {
            let header =
                ["REGISTRY", "REPOSITORY", "TAGS", "PLATFORM", "DIGEST", "STATE", "FINDINGS", "PUSHED"];
            let mut rows = table(&header);
            for known in &images {
                let image = &known.image;
                let findings = open_findings(image).map_or_else(|| "-".to_owned(), |count| count.to_string());
                rows.add_row([
                    known.registry.clone(),
                    image.repository.to_string(),
                    known.all_tags().join(","),
                    known.platform.clone().unwrap_or_else(|| "-".to_owned()),
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

impl Known {
    /// Its own tags, and those of indexes that lead to it.
    fn all_tags(&self) -> Vec<String> {
        let all: BTreeSet<&Tag> = self.image.tags.iter().chain(&self.index_tags).collect();
        all.into_iter().map(ToString::to_string).collect()
    }
}

async fn show(house: &House, registry: Option<&str>, text: &str, format: Format) -> Result<(), Failure> {
    let metastore = &house.metastore;
    let images = house.find(registry, text).await?;
    let mut documents = Vec::new();
    for known in &images {
        let image = &known.image;
        // Read for another subscription, an inventory is not this one's.
        let inventory = match image.verdict {
            Some(_) => metastore.image_inventory(&image.digest).await?.unwrap_or_default(),
            None => Default::default(),
        };
        let findings = metastore.findings(image).await?;
        let running = running(metastore, image).await?;
        match format {
            Format::Json => {
                let mut document = summary(known);
                document["distro"] = json!(inventory.distro);
                document["packages"] = json!(inventory.packages);
                document["findings"] = json!(findings);
                document["running"] = running_documents(&running);
                documents.push(document);
            }
            Format::Table => {
                say!("{}@{}", image.repository, image.digest);
                say!("registry   {}", known.registry);
                say!("platform   {}", known.platform.as_deref().unwrap_or("not said by the image"));
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
                say!("\n{}\n{packages}", counted(inventory.packages.len(), "package", "packages"));
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
                    say!("\nrunning at {}\n{rows}", counted(running.len(), "place", "places"));
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
    say!("\n{}", counted(open.len(), "finding", "findings"));
    let mut rows = table(&["SEVERITY", "ADVISORY", "PACKAGE", "INSTALLED", "FIXED IN", "REMEDIATION"]);
    rows.add_rows(open.iter().map(|finding| row(finding, &finding.remediation)));
    say!("{rows}");
    if open.len() < findings.len() {
        let disabled = findings.len() - open.len();
        say!("\n{} disabled by rules", counted(disabled, "finding is", "findings are"));
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

/// How many findings count; `None`: it is not judged yet.
fn open_findings(image: &ImageRow) -> Option<u64> {
    let disabled = image.ruled.as_ref().map_or(0, |ruled| ruled.disabled);
    image.verdict.as_ref().map(|verdict| verdict.findings.saturating_sub(disabled))
}

fn summary(known: &Known) -> Value {
    let Known { image, registry, platform, index_tags } = known;
    let (state, causes) = image.state();
    let verdict = image.verdict.as_ref();
    json!({
        "registry": registry,
        "repository": image.repository,
        "digest": image.digest,
        "tags": image.tags,
        "indexTags": index_tags,
        "platform": platform,
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

/// As the scanner reads them.
const CONFIG_BYTES_MAX: u64 = 8 << 20;
