//! Layers added up to an image.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use oci::Digest;

use crate::place::{DATABASES, DPKG, RELEASES, STATUS_D};
use crate::view::{Landing, View, Walk};
use crate::{
    Distro, Ecosystem, FileContent, ImageInventory, InstalledPackage, LayerInventory, Package, Place,
    Problem, ProblemKind, Removal, UnjudgedSoftware,
};

/// How much an image's layers may add up to. Each limit that is reached is a [`Problem`]; what was within
/// it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageLimits {
    /// Layers, each counted as often as the manifest lists it. Linux mounts 500 over one another
    /// (overlayfs), and containerd fewer.
    pub layers_max: usize,
    /// Packages that are there at once. A large desktop has 5,000.
    pub packages_max: usize,
    /// Bytes of text that are there at once: names, versions, paths.
    pub text_bytes_max: usize,
    /// Files, directories and links that matter and are there at once.
    pub places_max: usize,
    /// Problems that are kept.
    pub problems_max: usize,
}

impl Default for ImageLimits {
    fn default() -> Self {
        Self {
            layers_max: 1_000,
            packages_max: 100_000,
            text_bytes_max: 8 << 20,
            places_max: 100_000,
            problems_max: 1_000,
        }
    }
}

/// A layer's inventory, readied to be laid over others; a manifest may list it more than once.
#[derive(Clone, Debug)]
pub struct LayerParts {
    /// Those at places that matter, parents before what is beneath them.
    files: Vec<(String, Arc<FileContent>)>,
    removals: Vec<Removal>,
    unjudged: Vec<UnjudgedSoftware>,
    problems: Vec<Problem>,
}

impl From<LayerInventory> for LayerParts {
    fn from(layer: LayerInventory) -> Self {
        let LayerInventory { files, removals, unjudged, problems, .. } = layer;
        let matters = |path: &str| !path.is_empty() && Place::of(path).is_some();
        let files = files.into_iter().filter(|file| matters(&file.path));
        let mut files: Vec<_> = files.map(|file| (file.path, Arc::new(file.content))).collect();
        files.sort_by(|(a, _), (b, _)| a.cmp(b));
        Self { files, removals, unjudged, problems }
    }
}

/// An image's layers, added up one by one from the lowest: no more is held of them than what a container
/// would find.
///
/// Removals of a layer hide what is below it, never its own files. Links are followed inside the
/// root. What cannot be told is a [`Problem`], never silence. Two things err on the side of doubt:
/// a layer's problems stay even if a later layer hides what they are about, and so does software
/// that nothing here judges, because layers do not record where each piece of it is.
#[derive(Debug)]
pub struct LayerStack {
    limits: ImageLimits,
    view: View,
    /// By their position.
    layers: Vec<Digest>,
    /// Each once, however often it is listed.
    known: HashSet<Digest>,
    /// The packages of the view, each with the position of the layer since which it has been there
    /// without a break.
    attributed: Vec<(Arc<FileContent>, Vec<usize>)>,
    seen: BTreeSet<Ecosystem>,
    unjudged: BTreeMap<String, UnjudgedSoftware>,
    problems: Problems,
}

impl LayerStack {
    /// An image without layers.
    #[must_use]
    pub fn new(limits: ImageLimits) -> Self {
        let problems = Problems { max: limits.problems_max, kept: BTreeSet::new() };
        Self {
            limits,
            view: View::default(),
            layers: Vec::new(),
            known: HashSet::new(),
            attributed: Vec::new(),
            seen: BTreeSet::new(),
            unjudged: BTreeMap::new(),
            problems,
        }
    }

    /// Lays a layer over those that are there. `false`: there are as many as there may be, and this one
    /// was left out, which is a problem of the image.
    pub fn add(&mut self, digest: &Digest, layer: &LayerParts) -> bool {
        if self.layers.len() >= self.limits.layers_max {
            self.problems.kept.insert(limit_reached("layers_max", None));
            return false;
        }
        self.layers.push(digest.clone());
        if self.known.insert(digest.clone()) {
            for problem in &layer.problems {
                self.problems.add(in_layer(problem, digest));
            }
            for software in &layer.unjudged {
                let is_full = self.unjudged.len() >= UNJUDGED_MAX;
                match self.unjudged.get_mut(&software.kind) {
                    Some(sum) => sum.count = sum.count.saturating_add(software.count),
                    None if is_full => {
                        self.problems.kept.insert(limit_reached("unjudged_max", None));
                    }
                    None => drop(self.unjudged.insert(software.kind.clone(), software.clone())),
                }
            }
        }
        if !layer.files.is_empty() || !layer.removals.is_empty() {
            self.apply(digest, layer);
            self.attribute();
        }
        true
    }

    /// Notes what is wrong with the image besides its layers.
    pub fn problem(&mut self, problem: Problem) {
        self.problems.add(problem);
    }

    /// What a container started from these layers would find.
    #[must_use]
    pub fn finish(mut self) -> ImageInventory {
        let Databases { found, contents, present, lost } = Databases::read(&self.view);
        for link in &lost {
            self.problems.add(off_map(link, ProblemKind::UnsupportedDatabase));
        }
        for problem in removed(&self.view, &present, &self.seen) {
            self.problems.add(problem);
        }
        let distro = release(&self.view, &mut self.problems);
        let paths: Vec<String> = contents.into_iter().map(|(path, _)| path).collect();
        // From here on the packages have one owner, and are moved.
        drop(self.view);
        let mut packages = Vec::new();
        for (path, (content, since)) in paths.into_iter().zip(self.attributed) {
            let content = Arc::try_unwrap(content).unwrap_or_else(|shared| (*shared).clone());
            let FileContent::Packages { packages: found, .. } = content else { continue };
            packages.reserve_exact(found.len());
            for (package, since) in found.into_iter().zip(since) {
                if let Some(layer) = self.layers.get(since) {
                    packages.push(InstalledPackage { package, path: path.clone(), layer: layer.clone() });
                }
            }
        }
        packages.sort_unstable();
        packages.dedup();
        ImageInventory {
            distro,
            packages,
            databases: found.into_keys().collect(),
            unjudged: self.unjudged.into_values().collect(),
            problems: self.problems.kept.into_iter().collect(),
        }
    }

    /// What no runtime could unpack is doubted.
    fn apply(&mut self, digest: &Digest, layer: &LayerParts) {
        let mut doubts = BTreeSet::new();
        // Where whiteouts point is decided by the layers below, before any of them is carried out.
        let removals: Vec<(Landing, bool)> = layer
            .removals
            .iter()
            .map(|removal| match removal {
                Removal::Path(path) => (self.view.landing(path), true),
                Removal::Opaque(path) => (self.view.follow(path, true), false),
            })
            .collect();
        for (Landing { path, left_by }, is_whole) in removals {
            if let Some(link) = left_by {
                doubts.insert((link, "what is hidden by way of this link is where nothing was read"));
            }
            let Some(path) = path else { continue };
            if is_whole {
                self.view.remove(&path);
            } else {
                self.view.remove_beneath(&path);
            }
        }
        let mut landed = BTreeSet::new();
        for (named, content) in &layer.files {
            let Landing { path, left_by } = self.view.landing(named);
            if let Some(link) = left_by {
                // Unread links may lead it back to where it matters.
                doubts.insert((link, "what is put down by way of this link is where nothing was read"));
            }
            let Some(path) = path else { continue };
            if !self.view.put(&path, content) {
                doubts.insert((named.clone(), "it stands beneath something that is not a directory"));
            }
            self.keep_within(&path);
            if !matches!(**content, FileContent::Directory) && !landed.insert(path) {
                doubts.insert((named.clone(), "two entries of one layer end up here by different names"));
            }
        }
        for (path, detail) in doubts {
            let (path, detail) = (Some(path), detail.to_owned());
            self.problems.add(in_layer(&Problem { kind: ProblemKind::Ambiguous, path, detail }, digest));
        }
    }

    /// What has come last and is too much is not kept.
    fn keep_within(&mut self, path: &str) {
        let weight = self.view.weight();
        let limit = if weight.places > self.limits.places_max {
            "places_max"
        } else if weight.packages > self.limits.packages_max {
            "packages_max"
        } else if weight.text_bytes > self.limits.text_bytes_max {
            "text_bytes_max"
        } else {
            return;
        };
        self.problem(limit_reached(limit, Some(path)));
        self.view.remove(path);
        if limit == "packages_max" {
            // Something stands there all the same: it was not removed.
            self.view.put(path, &Arc::new(FileContent::Other));
        }
    }

    /// Says of each package which layer brought it.
    fn attribute(&mut self) {
        let contents: Vec<Arc<FileContent>> =
            Databases::read(&self.view).contents.into_iter().map(|(_, content)| content).collect();
        let before = self.attributed.iter().map(|(content, _)| content);
        if before.len() == contents.len() && before.zip(&contents).all(|(a, b)| Arc::ptr_eq(a, b)) {
            return;
        }
        let position = self.layers.len() - 1;
        let mut since = HashMap::new();
        for (content, layers) in &self.attributed {
            since.extend(packages(content).iter().map(identity).zip(layers.iter().copied()));
        }
        let attribute = |content: Arc<FileContent>| {
            let layer = |package| since.get(&identity(package)).copied().unwrap_or(position);
            let layers = packages(&content).iter().map(layer).collect();
            (content, layers)
        };
        let attributed: Vec<_> = contents.into_iter().map(attribute).collect();
        for (content, _) in &attributed {
            self.seen.extend(packages(content).iter().map(|package| package.ecosystem));
        }
        self.attributed = attributed;
    }
}

/// The problems of an image: no more than there may be, for one is as bad as many.
#[derive(Debug)]
struct Problems {
    max: usize,
    kept: BTreeSet<Problem>,
}

impl Problems {
    fn add(&mut self, problem: Problem) {
        if self.kept.len() < self.max {
            self.kept.insert(problem);
        } else if !self.kept.contains(&problem) {
            self.kept.insert(limit_reached("problems_max", None));
        }
    }
}

fn limit_reached(limit: &str, path: Option<&str>) -> Problem {
    let detail = format!("the limit {limit} of an image was reached");
    Problem { kind: ProblemKind::LimitReached, path: path.map(str::to_owned), detail }
}

/// What a container started from these layers, lowest first, would find: a [`LayerStack`] of all of them.
#[must_use]
pub fn coalesce(layers: &[(Digest, LayerInventory)]) -> ImageInventory {
    let mut stack = LayerStack::new(ImageLimits::default());
    for (digest, layer) in layers {
        stack.add(digest, &layer.clone().into());
    }
    stack.finish()
}

/// What makes a package the same package in another layer.
type Identity<'a> = (Ecosystem, &'a str, &'a str, &'a str);

fn identity(package: &Package) -> Identity<'_> {
    (package.ecosystem, &package.name, &package.version, &package.architecture)
}

fn packages(content: &FileContent) -> &[Package] {
    match content {
        FileContent::Packages { packages, .. } => packages,
        _ => &[],
    }
}

/// The package databases that a view holds.
#[derive(Default)]
struct Databases {
    /// Each database's path without links, and whose it is.
    found: BTreeMap<String, Ecosystem>,
    /// Each file that records packages.
    contents: Vec<(String, Arc<FileContent>)>,
    /// Something stands where this one's database should be, readable or not.
    present: BTreeSet<Ecosystem>,
    /// Links that lead to where a database may be that we know nothing of.
    lost: BTreeSet<String>,
}

impl Databases {
    fn read(view: &View) -> Self {
        let mut read = Self::default();
        for (ecosystem, path) in DATABASES {
            read.file(view, ecosystem, path);
        }
        match view.walk(STATUS_D, true) {
            Walk::At(directory) => {
                for (path, _) in view.beneath(&directory) {
                    if Place::of(path) == Some(Place::DatabasePart) {
                        read.file(view, Ecosystem::Deb, path);
                    }
                }
            }
            Walk::OffMap(link) => {
                read.lost.insert(link);
            }
        }
        read
    }

    fn file(&mut self, view: &View, ecosystem: Ecosystem, path: &str) {
        let path = match view.walk(path, true) {
            Walk::At(path) => path,
            Walk::OffMap(link) => {
                self.lost.insert(link);
                return;
            }
        };
        let Some(content) = view.get(&path) else { return };
        if !matches!(**content, FileContent::Directory) {
            self.present.insert(ecosystem);
        }
        let FileContent::Packages { ecosystem, .. } = **content else { return };
        if self.found.insert(path.clone(), ecosystem).is_none() {
            self.contents.push((path, Arc::clone(content)));
        }
    }
}

/// Databases of which only traces are left. Their packages may well still be there.
fn removed(view: &View, present: &BTreeSet<Ecosystem>, seen: &BTreeSet<Ecosystem>) -> Vec<Problem> {
    let has_trace = || match view.walk(DPKG, true) {
        Walk::At(directory) => view.beneath(&directory).any(|(path, content)| {
            Place::of(path) == Some(Place::Trace) && !matches!(content, FileContent::Directory)
        }),
        Walk::OffMap(_) => false, // reported by whoever looked for the database
    };
    DATABASES
        .iter()
        .take(2) // one an ecosystem
        .filter(|(ecosystem, _)| !present.contains(ecosystem))
        .filter(|(ecosystem, _)| seen.contains(ecosystem) || (*ecosystem == Ecosystem::Deb && has_trace()))
        .map(|(ecosystem, path)| Problem {
            kind: ProblemKind::DatabaseRemoved,
            path: Some((*path).to_owned()),
            detail: format!("the {} package database was removed", ecosystem.name()),
        })
        .collect()
}

fn release(view: &View, problems: &mut Problems) -> Option<Distro> {
    for candidate in RELEASES {
        match view.walk(candidate, true) {
            Walk::At(path) => {
                if let Some(FileContent::Distro { distro }) = view.get(&path).map(|content| &**content) {
                    return Some(distro.clone());
                }
            }
            Walk::OffMap(link) => problems.add(off_map(&link, ProblemKind::UnsupportedFormat)),
        }
    }
    None
}

fn off_map(link: &str, kind: ProblemKind) -> Problem {
    let detail = match kind {
        ProblemKind::UnsupportedDatabase => {
            "this link leads to where a package database may be that was not read"
        }
        _ => "this link leads to where a release file may be that was not read",
    };
    Problem { kind, path: Some(link.to_owned()), detail: detail.to_owned() }
}

fn in_layer(problem: &Problem, layer: &Digest) -> Problem {
    let detail = format!("{} (layer {layer})", problem.detail);
    Problem { kind: problem.kind, path: problem.path.clone(), detail }
}

/// Kinds of software that nothing here judges; an extractor knows ten.
const UNJUDGED_MAX: usize = 100;
