//! One layer, entry by entry.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};

use inventory::{
    Ecosystem, FileContent, LayerFile, LayerInventory, Package, Place, Problem, ProblemKind, Release, Removal,
};

use crate::archive::compression::{self, Packing};
use crate::archive::{Archive, Entry, Kind, Stop, path};
use crate::ecosystem::{Records, apk, dpkg, unread::Seen, whole_records};
use crate::{Limits, release};

/// Reads one layer to its end, or as far as it can be read.
///
/// Entries that come later win over earlier ones, as they do for every unpacker. A whiteout
/// (image-spec, layer.md, "Whiteouts") hides only what lower layers have.
#[must_use]
pub fn extract(layer: impl Read, limits: &Limits) -> LayerInventory {
    let mut reading = Reading::new(limits);
    let (packing, input) = match compression::open(layer, limits) {
        Ok(opened) => opened,
        Err(stop) => {
            reading.stopped(&stop);
            return reading.into_inventory();
        }
    };
    match packing {
        Packing::Other(name) => {
            reading.problem(
                ProblemKind::UnsupportedFormat,
                None,
                format!("a layer should be a tar, this is {name}"),
            );
        }
        // Whatever its media type says: runtimes go by the first bytes, too, or refuse the layer.
        Packing::Layer(_) => {
            let mut archive = Archive::new(input, limits);
            let walked = reading.walk(&mut archive);
            reading.inventory.entries = archive.entries();
            let mut rest = archive.into_inner();
            // What is behind the end must be read: it may be damaged, or say something else to
            // readers that go on.
            match walked.and_then(|()| compression::drain(&mut rest)) {
                Ok(true) => {}
                Ok(false) => {
                    let detail = "something follows the end of the archive".to_owned();
                    reading.problem(ProblemKind::Ambiguous, None, detail);
                }
                Err(stop) => reading.stopped(&stop),
            }
            reading.inventory.unpacked_bytes = rest.get_ref().unpacked();
        }
    }
    reading.into_inventory()
}

/// A layer being read.
struct Reading<'a> {
    limits: &'a Limits,
    inventory: LayerInventory,
    files: BTreeMap<String, FileContent>,
    seen: Seen,
    packages: usize,
    /// Bytes of text that go into the inventory.
    bytes: usize,
}

impl<'a> Reading<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            inventory: LayerInventory::default(),
            files: BTreeMap::new(),
            seen: Seen::default(),
            packages: 0,
            bytes: 0,
        }
    }

    fn walk<R: BufRead>(&mut self, archive: &mut Archive<R>) -> Result<(), Stop> {
        let mut path = String::new();
        while let Some(entry) = archive.next()? {
            let escapes = path::normalise(archive.name(), &mut path);
            if let Some(doubt) = entry.doubt {
                self.problem(ProblemKind::Ambiguous, Some(&path), doubt.to_owned());
            }
            if archive.name().len() > self.limits.path_bytes_max {
                self.limit_reached("path_bytes_max", None);
                continue;
            }
            match entry.kind {
                Kind::Global => continue,
                Kind::Unknown => {
                    let detail = "an entry of no known type".to_owned();
                    self.problem(ProblemKind::BadArchive, Some(&path), detail);
                    continue;
                }
                _ => {}
            }
            let (_, name) = path::split(&path);
            if let Some(hidden) = name.strip_prefix(".wh.") {
                self.whiteout(&path, hidden)?;
                continue;
            }
            match Place::of(&path) {
                None if matches!(entry.kind, Kind::Regular | Kind::HardLink) => self.seen.look(&path),
                None => {}
                Some(place) => {
                    if escapes {
                        let detail = "its name leads out of the root".to_owned();
                        self.problem(ProblemKind::Ambiguous, Some(&path), detail);
                    }
                    self.place(archive, &entry, &path, place)?;
                }
            }
        }
        Ok(())
    }

    /// An entry at a path that matters.
    fn place<R: BufRead>(
        &mut self,
        archive: &mut Archive<R>,
        entry: &Entry,
        path: &str,
        place: Place,
    ) -> Result<(), Stop> {
        match entry.kind {
            Kind::Directory => self.put(path, FileContent::Directory),
            Kind::Symlink if archive.link().len() > self.limits.path_bytes_max => {
                self.limit_reached("path_bytes_max", Some(path));
                self.put(path, FileContent::Other)
            }
            Kind::Symlink => {
                let target = String::from_utf8_lossy(archive.link()).into_owned();
                self.put(path, FileContent::Symlink { target })
            }
            Kind::HardLink => {
                let content = self.linked(archive.link(), path, place);
                self.put(path, content)
            }
            Kind::Regular if matches!(place, Place::Ancestor | Place::Trace) => {
                self.put(path, FileContent::Other)
            }
            Kind::Regular => self.file(archive, entry, path, place),
            Kind::Special | Kind::Unknown | Kind::Global => {
                if !matches!(place, Place::Ancestor | Place::Trace) {
                    let detail = "a device or pipe stands where a file should".to_owned();
                    self.problem(ProblemKind::BadRecord, Some(path), detail);
                }
                self.put(path, FileContent::Other)
            }
        }
    }

    /// What a hard link shares with a file of this layer.
    fn linked(&mut self, target: &[u8], path: &str, place: Place) -> FileContent {
        let mut there = String::new();
        path::normalise(target, &mut there);
        let content = self.files.get(&there).cloned();
        let fits = match (&content, place) {
            (_, Place::Ancestor | Place::Trace) => return content.unwrap_or(FileContent::Other),
            (Some(FileContent::Packages { ecosystem, .. }), Place::Database(wanted)) => *ecosystem == wanted,
            (Some(FileContent::Packages { ecosystem, .. }), Place::DatabasePart) => {
                *ecosystem == Ecosystem::Deb
            }
            (Some(FileContent::Distro { .. }), Place::Release(_))
            | (Some(FileContent::Symlink { .. }), _) => true,
            _ => false,
        };
        match content.filter(|_| fits) {
            // Its packages are there once more.
            Some(FileContent::Packages { ecosystem, packages }) => {
                self.database(ecosystem, Records { packages, bad: 0 }, path)
            }
            Some(content) => content,
            None => {
                let detail = "a hard link to a file that was not read".to_owned();
                self.problem(ProblemKind::Ambiguous, Some(path), detail);
                FileContent::Other
            }
        }
    }

    /// A regular file that should be a database or release file.
    fn file<R: BufRead>(
        &mut self,
        archive: &mut Archive<R>,
        entry: &Entry,
        path: &str,
        place: Place,
    ) -> Result<(), Stop> {
        if place == Place::DatabasePart && path.ends_with(".md5sums") {
            return Ok(());
        }
        let (limit, bytes_max) = match place {
            Place::Release(_) => ("release_bytes_max", self.limits.release_bytes_max),
            _ => ("database_bytes_max", self.limits.database_bytes_max),
        };
        if entry.is_sparse {
            let detail = "it is a sparse file, which is not read".to_owned();
            self.problem(ProblemKind::UnsupportedFormat, Some(path), detail);
            return self.put(path, FileContent::Other);
        }
        if entry.size > bytes_max {
            self.limit_reached(limit, Some(path));
            return self.put(path, FileContent::Other);
        }
        let (bytes, read) = archive.body();
        let known = if read.is_ok() { bytes.as_slice() } else { whole_records(&bytes) };
        let content = match place {
            Place::Release(_) if read.is_err() => FileContent::Other,
            Place::Release(kind) => self.release(kind, &bytes, path),
            Place::Database(Ecosystem::Apk) => {
                self.database(Ecosystem::Apk, apk::parse(known, self.limits.text_bytes_max), path)
            }
            Place::DatabasePart if !dpkg::names_a_package(&bytes) => {
                self.problem(ProblemKind::BadRecord, Some(path), "it describes no package".to_owned());
                FileContent::Other
            }
            _ => self.database(Ecosystem::Deb, dpkg::parse(known, self.limits.text_bytes_max), path),
        };
        self.put(path, content)?;
        read
    }

    fn release(&mut self, kind: Release, bytes: &[u8], path: &str) -> FileContent {
        match release::parse(kind, bytes, self.limits.text_bytes_max) {
            Some(distro) => {
                let texts = [&distro.version_id, &distro.codename, &distro.pretty_name];
                self.bytes += distro.id.len() + texts.into_iter().flatten().map(String::len).sum::<usize>();
                FileContent::Distro { distro }
            }
            None => {
                let detail = "it does not say which distribution this is".to_owned();
                self.problem(ProblemKind::BadRecord, Some(path), detail);
                FileContent::Other
            }
        }
    }

    fn database(&mut self, ecosystem: Ecosystem, records: Records, path: &str) -> FileContent {
        let Records { mut packages, bad } = records;
        if bad > 0 {
            let detail = format!("{bad} of its records are damaged");
            self.problem(ProblemKind::BadRecord, Some(path), detail);
        }
        let left = self.limits.packages_max - self.packages;
        if packages.len() > left {
            self.limit_reached("packages_max", Some(path));
            packages.truncate(left);
        }
        let mut bytes = self.limits.inventory_bytes_max.saturating_sub(self.bytes);
        let fit = packages.iter().take_while(|package| {
            let left = bytes.checked_sub(text_bytes(package));
            bytes = left.unwrap_or(0);
            left.is_some()
        });
        let fit = fit.count();
        if fit < packages.len() {
            self.limit_reached("inventory_bytes_max", Some(path));
            packages.truncate(fit);
            packages.shrink_to_fit();
        }
        self.packages += packages.len();
        self.bytes += packages.iter().map(text_bytes).sum::<usize>();
        FileContent::Packages { ecosystem, packages }
    }

    /// Hides what lower layers have at the path that this entry stands for.
    fn whiteout(&mut self, path: &str, hidden: &str) -> Result<(), Stop> {
        let (directory, _) = path::split(path);
        if hidden == ".wh..opq" {
            if Place::of(directory).is_some() {
                self.remove(Removal::Opaque(directory.to_owned()))?;
            }
            return Ok(());
        }
        // aufs kept its books under such names; no runtime takes them for anything.
        if hidden.starts_with(".wh.") {
            return Ok(());
        }
        let hidden = match hidden {
            // Joined to the directory, these name the directory itself, or the one above.
            "" | "." | ".." => {
                if Place::of(directory).is_some() {
                    let detail = "a whiteout that names no file".to_owned();
                    self.problem(ProblemKind::Ambiguous, Some(path), detail);
                }
                return Ok(());
            }
            _ if directory.is_empty() => hidden.to_owned(),
            _ => format!("{directory}/{hidden}"),
        };
        if Place::of(&hidden).is_none() {
            return Ok(());
        }
        let beneath = format!("{hidden}/");
        let is_here = |known: &String| *known == hidden || known.starts_with(&beneath);
        if self
            .files
            .range(hidden.clone()..)
            .take_while(|(known, _)| known.starts_with(&hidden))
            .any(|(known, _)| is_here(known))
        {
            // The specification spares this layer's own files, containerd deletes them.
            let detail = "the layer has a file and, after it, a whiteout of it".to_owned();
            self.problem(ProblemKind::Ambiguous, Some(&hidden), detail);
        }
        self.remove(Removal::Path(hidden))
    }

    fn put(&mut self, path: &str, content: FileContent) -> Result<(), Stop> {
        // The root itself.
        if path.is_empty() {
            return Ok(());
        }
        if !matches!(content, FileContent::Directory) {
            let beneath = format!("{path}/");
            let gone: Vec<String> = self
                .files
                .range(beneath.clone()..)
                .map(|(known, _)| known)
                .take_while(|known| known.starts_with(&beneath))
                .cloned()
                .collect();
            for known in gone {
                self.files.remove(&known);
            }
        }
        let link = if let FileContent::Symlink { target } = &content { target.len() } else { 0 };
        self.files.insert(path.to_owned(), content);
        self.account(path.len() + link)
    }

    fn remove(&mut self, removal: Removal) -> Result<(), Stop> {
        let (Removal::Path(path) | Removal::Opaque(path)) = &removal;
        let bytes = path.len();
        self.inventory.removals.push(removal);
        self.account(bytes)
    }

    /// Adds to what the inventory weighs.
    fn account(&mut self, bytes: usize) -> Result<(), Stop> {
        self.bytes += bytes;
        if self.files.len() + self.inventory.removals.len() > self.limits.paths_max {
            return Err(Stop::Limit("paths_max"));
        }
        if self.bytes > self.limits.inventory_bytes_max {
            return Err(Stop::Limit("inventory_bytes_max"));
        }
        Ok(())
    }

    fn stopped(&mut self, stop: &Stop) {
        self.problem(stop.kind(), None, stop.to_string());
    }

    fn limit_reached(&mut self, limit: &'static str, path: Option<&str>) {
        self.problem(ProblemKind::LimitReached, path, Stop::Limit(limit).to_string());
    }

    /// Beyond the limit only the last place is used again: one problem is as bad as many.
    fn problem(&mut self, kind: ProblemKind, path: Option<&str>, detail: String) {
        let path = path.map(|path| path.chars().take(self.limits.text_bytes_max).collect());
        if self.inventory.problems.len() >= self.limits.problems_max {
            self.inventory.problems.pop();
        }
        self.inventory.problems.push(Problem { kind, path, detail });
    }

    fn into_inventory(mut self) -> LayerInventory {
        let files = std::mem::take(&mut self.files).into_iter();
        self.inventory.files = files.map(|(path, content)| LayerFile { path, content }).collect();
        self.inventory.removals.sort();
        self.inventory.removals.dedup();
        self.inventory.unjudged = self.seen.into_list();
        self.inventory
    }
}

fn text_bytes(package: &Package) -> usize {
    let source = &package.source;
    let texts = [&package.name, &package.version, &package.architecture, &source.name, &source.version];
    texts.into_iter().map(String::len).sum()
}
