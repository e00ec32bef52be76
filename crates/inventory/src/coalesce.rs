//! Layers added up to an image.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use oci::Digest;

use crate::place::{DATABASES, DPKG, RELEASES, STATUS_D};
use crate::view::{Landing, View, Walk};
use crate::{
    Distro, Ecosystem, FileContent, ImageInventory, InstalledPackage, LayerInventory, Package, Place,
    Problem, ProblemKind, Removal, UnjudgedSoftware,
};

/// What a container started from these layers, lowest first, would find.
///
/// Removals of a layer hide what is below it, never its own files. Links are followed inside the
/// root. What cannot be told is a [`Problem`], never silence. Two things err on the side of doubt:
/// a layer's problems stay even if a later layer hides what they are about, and so does software
/// that nothing here judges, because layers do not record where each piece of it is.
#[must_use]
pub fn coalesce(layers: &[(Digest, LayerInventory)]) -> ImageInventory {
    let mut view = View::default();
    let mut problems = Vec::new();
    let mut since = HashMap::new();
    let mut seen = BTreeSet::new();
    for (index, (digest, layer)) in layers.iter().enumerate() {
        problems.extend(layer.problems.iter().map(|problem| in_layer(problem, digest)));
        if layer.files.is_empty() && layer.removals.is_empty() {
            continue;
        }
        apply(&mut view, layer, |path, detail| {
            let path = Some(path.to_owned());
            let problem = Problem { kind: ProblemKind::Ambiguous, path, detail: detail.to_owned() };
            problems.push(in_layer(&problem, digest));
        });
        let read = Databases::read(&view);
        // A package belongs to the layer since which it has been there without a break.
        let mut still = HashMap::with_capacity(read.packages.len());
        for (_, package) in &read.packages {
            seen.insert(package.ecosystem);
            let key = identity(package);
            still.insert(key, since.get(&key).copied().unwrap_or(index));
        }
        since = still;
    }

    let read = Databases::read(&view);
    problems.extend(read.lost.iter().map(|link| off_map(link, ProblemKind::UnsupportedDatabase)));
    problems.extend(removed(&view, &read, &seen));
    let distro = release(&view, &mut problems);
    let mut packages: Vec<InstalledPackage> = read
        .packages
        .iter()
        .filter_map(|(path, package)| {
            let layer = layers.get(*since.get(&identity(package))?)?.0.clone();
            Some(InstalledPackage { package: (*package).clone(), path: path.clone(), layer })
        })
        .collect();
    packages.sort();
    packages.dedup();
    problems.sort();
    problems.dedup();
    ImageInventory {
        distro,
        packages,
        databases: read.found.into_keys().collect(),
        unjudged: unjudged(layers),
        problems,
    }
}

/// Lays one layer over what is there. What no runtime could unpack is told to `doubt`.
fn apply<'a>(view: &mut View<'a>, layer: &'a LayerInventory, mut doubt: impl FnMut(&str, &str)) {
    // Where whiteouts point is decided by the layers below, before any of them is carried out.
    let removals: Vec<(Landing, bool)> = layer
        .removals
        .iter()
        .map(|removal| match removal {
            Removal::Path(path) => (view.landing(path), true),
            Removal::Opaque(path) => (view.follow(path, true), false),
        })
        .collect();
    for (Landing { path, left_by }, is_whole) in removals {
        if let Some(link) = left_by {
            doubt(&link, "what is hidden by way of this link is where nothing was read");
        }
        let Some(path) = path else { continue };
        if is_whole {
            view.remove(&path);
        } else {
            view.remove_beneath(&path);
        }
    }
    // Parents sort before what is beneath them.
    let mut files: Vec<_> = layer.files.iter().filter(|file| Place::of(&file.path).is_some()).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut landed = BTreeSet::new();
    for file in files {
        if file.path.is_empty() {
            continue;
        }
        let Landing { path, left_by } = view.landing(&file.path);
        if let Some(link) = left_by {
            // Unread links may lead it back to where it matters.
            doubt(&link, "what is put down by way of this link is where nothing was read");
        }
        let Some(path) = path else { continue };
        if !view.put(&path, &file.content) {
            doubt(&file.path, "it stands beneath something that is no directory");
        }
        if !matches!(file.content, FileContent::Directory) && !landed.insert(path) {
            doubt(&file.path, "two entries of one layer end up here by different names");
        }
    }
}

/// What makes a package the same package in another layer.
type Identity<'a> = (Ecosystem, &'a str, &'a str, &'a str);

fn identity(package: &Package) -> Identity<'_> {
    (package.ecosystem, &package.name, &package.version, &package.architecture)
}

/// The package databases that a view holds.
struct Databases<'a> {
    /// Each database's path without links, and whose it is.
    found: BTreeMap<String, Ecosystem>,
    /// Each package with the file that records it.
    packages: Vec<(String, &'a Package)>,
    /// Something stands where this one's database should be, readable or not.
    present: BTreeSet<Ecosystem>,
    /// Links that lead to where a database may be that we know nothing of.
    lost: BTreeSet<String>,
}

impl<'a> Databases<'a> {
    fn read(view: &View<'a>) -> Self {
        let mut read = Self {
            found: BTreeMap::new(),
            packages: Vec::new(),
            present: BTreeSet::new(),
            lost: BTreeSet::new(),
        };
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

    fn file(&mut self, view: &View<'a>, ecosystem: Ecosystem, path: &str) {
        let path = match view.walk(path, true) {
            Walk::At(path) => path,
            Walk::OffMap(link) => {
                self.lost.insert(link);
                return;
            }
        };
        let Some(content) = view.get(&path) else { return };
        if !matches!(content, FileContent::Directory) {
            self.present.insert(ecosystem);
        }
        let FileContent::Packages { ecosystem, packages } = content else { return };
        if self.found.insert(path.clone(), *ecosystem).is_none() {
            self.packages.extend(packages.iter().map(|package| (path.clone(), package)));
        }
    }
}

/// Databases of which only traces are left. Their packages may well still be there.
fn removed(view: &View<'_>, read: &Databases<'_>, seen: &BTreeSet<Ecosystem>) -> Vec<Problem> {
    let has_trace = || match view.walk(DPKG, true) {
        Walk::At(directory) => view.beneath(&directory).any(|(path, content)| {
            Place::of(path) == Some(Place::Trace) && !matches!(content, FileContent::Directory)
        }),
        Walk::OffMap(_) => false, // reported by whoever looked for the database
    };
    DATABASES
        .iter()
        .take(2) // one an ecosystem
        .filter(|(ecosystem, _)| !read.present.contains(ecosystem))
        .filter(|(ecosystem, _)| seen.contains(ecosystem) || (*ecosystem == Ecosystem::Deb && has_trace()))
        .map(|(ecosystem, path)| Problem {
            kind: ProblemKind::DatabaseRemoved,
            path: Some((*path).to_owned()),
            detail: format!("the {} package database was removed", ecosystem.name()),
        })
        .collect()
}

fn release(view: &View<'_>, problems: &mut Vec<Problem>) -> Option<Distro> {
    for candidate in RELEASES {
        match view.walk(candidate, true) {
            Walk::At(path) => {
                if let Some(FileContent::Distro { distro }) = view.get(&path) {
                    return Some(distro.clone());
                }
            }
            Walk::OffMap(link) => problems.push(off_map(&link, ProblemKind::UnsupportedFormat)),
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

fn unjudged(layers: &[(Digest, LayerInventory)]) -> Vec<UnjudgedSoftware> {
    let mut kinds: BTreeMap<&str, UnjudgedSoftware> = BTreeMap::new();
    for software in layers.iter().flat_map(|(_, layer)| &layer.unjudged) {
        kinds
            .entry(&software.kind)
            .and_modify(|sum| sum.count = sum.count.saturating_add(software.count))
            .or_insert_with(|| software.clone());
    }
    kinds.into_values().collect()
}
