//! The places that matter, as they stand after some layers: a small file system with links.
//!
//! It does what containerd's `archive.Apply` does with a whole tree. Only places that matter are
//! known; a link that leads anywhere else ends in [`Walk::OffMap`], never in a guess. Where entries of a
//! layer land is followed off the map as well, as far as links there are known, and is said to be doubtful.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{FileContent, Package, Place};

/// What stands at each place. Directories on the way need no entry.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    nodes: BTreeMap<String, Arc<FileContent>>,
    weight: Weight,
    /// How many of them are links off the map.
    off_map: usize,
}

/// Where an entry of a layer belongs once links on the way are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Landing {
    /// The path, without links on the way; `None` if there is no end of links.
    pub(crate) path: Option<String>,
    /// The link by which the way leaves the places that layers tell us about. What else may be there is not
    /// known, so that the path is not certain.
    pub(crate) left_by: Option<String>,
}

/// What part of an inventory costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weight {
    pub(crate) places: usize,
    pub(crate) packages: usize,
    pub(crate) text_bytes: usize,
}

impl Weight {
    fn of(path: &str, content: &FileContent) -> Self {
        let (packages, text_bytes) = match content {
            FileContent::Packages { packages, .. } => (packages.len(), packages.iter().map(text_bytes).sum()),
            FileContent::Symlink { target } => (0, target.len()),
            FileContent::Distro { distro } => {
                let texts = [&distro.version_id, &distro.codename, &distro.pretty_name];
                (0, distro.id.len() + texts.into_iter().flatten().map(String::len).sum::<usize>())
            }
            FileContent::Directory | FileContent::Other => (0, 0),
        };
        Self { places: 1, packages, text_bytes: text_bytes + path.len() }
    }
}

fn text_bytes(package: &Package) -> usize {
    let source = &package.source;
    let texts = [&package.name, &package.version, &package.architecture, &source.name, &source.version];
    texts.into_iter().map(String::len).sum()
}

/// Where a path ends up once links are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Walk {
    /// At this path, which has no link on the way. Nothing need stand there.
    At(String),
    /// Somewhere that layers do not tell us about, by way of this link.
    OffMap(String),
}

impl View {
    /// What stands at a path without links in it.
    pub(crate) fn get(&self, path: &str) -> Option<&Arc<FileContent>> {
        self.nodes.get(path)
    }

    /// What all of it costs.
    pub(crate) fn weight(&self) -> Weight {
        self.weight
    }

    /// Everything beneath a directory, in order.
    pub(crate) fn beneath(&self, directory: &str) -> impl Iterator<Item = (&str, &FileContent)> {
        let prefix = prefix_of(directory);
        let from = self.nodes.range(prefix.clone()..);
        from.take_while(move |(path, _)| path.starts_with(&prefix))
            .map(|(path, content)| (path.as_str(), &**content))
    }

    /// Follows the links on the way to `path`, and at its end if `last` is set. Absolute links and
    /// `..` stay inside the root.
    pub(crate) fn walk(&self, path: &str, last: bool) -> Walk {
        match self.follow(path, last) {
            Landing { path: Some(at), left_by: None } => Walk::At(at),
            Landing { left_by, .. } => Walk::OffMap(left_by.unwrap_or_default()),
        }
    }

    /// As [`View::walk`], and on by the links that are known where the map ends.
    pub(crate) fn follow(&self, path: &str, last: bool) -> Landing {
        let mut left_by: Option<String> = None;
        let mut at = String::new();
        let mut link = String::new();
        let mut hops = 0;
        // The next component is at the end.
        let mut ahead: Vec<&str> = path.split('/').rev().collect();
        while let Some(component) = ahead.pop() {
            match component {
                "" | "." => continue,
                ".." => {
                    at.truncate(at.rfind('/').unwrap_or(0));
                    continue;
                }
                _ => {}
            }
            let parent_len = at.len();
            if !at.is_empty() {
                at.push('/');
            }
            at.push_str(component);
            let is_last = ahead.is_empty();
            match self.nodes.get(&at).map(|content| &**content) {
                Some(FileContent::Symlink { target }) if !is_last || last => {
                    if Place::of(&at).is_none() {
                        left_by = left_by.or_else(|| Some(link.clone()));
                    }
                    hops += 1;
                    if hops > HOPS_MAX {
                        return Landing { path: None, left_by: left_by.or(Some(at)) };
                    }
                    link.clone_from(&at);
                    at.truncate(if target.starts_with('/') { 0 } else { parent_len });
                    ahead.extend(target.split('/').rev());
                }
                _ => match Place::of(&at) {
                    Some(Place::Ancestor) => {}
                    Some(_) if is_last => {}
                    _ => left_by = left_by.or_else(|| Some(link.clone())),
                },
            }
            if at.len() > PATH_BYTES_MAX {
                return Landing { path: None, left_by: left_by.or(Some(link)) };
            }
        }
        Landing { path: Some(at), left_by }
    }

    /// Where an entry named `path` is put: links on the way are followed, its own name is not.
    pub(crate) fn landing(&self, path: &str) -> Landing {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Landing { path, left_by } = self.follow(parent, true);
        let path =
            path.map(|parent| if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") });
        Landing { path, left_by }
    }

    /// Takes away what is at `path` and beneath it.
    pub(crate) fn remove(&mut self, path: &str) {
        self.take(path);
        self.remove_beneath(path);
    }

    /// Takes away what is beneath `path`.
    pub(crate) fn remove_beneath(&mut self, path: &str) {
        let gone: Vec<String> = self.beneath(path).map(|(path, _)| path.to_owned()).collect();
        for path in gone {
            self.take(&path);
        }
    }

    /// Puts `content` at `path`, a [`View::landing`]. False if something on the way is no
    /// directory: then no runtime could unpack this, and what is in the way is replaced here. Off the map only
    /// links are kept: they lead on.
    pub(crate) fn put(&mut self, path: &str, content: &Arc<FileContent>) -> bool {
        let mut is_clear = true;
        for (end, _) in path.match_indices('/') {
            let parent = &path[..end];
            if self.get(parent).is_some_and(|there| !matches!(**there, FileContent::Directory)) {
                self.take(parent);
                is_clear = false;
            }
        }
        if !matches!(**content, FileContent::Directory) {
            self.remove_beneath(path);
        }
        self.take(path);
        let is_on_map = Place::of(path).is_some();
        let is_link = matches!(**content, FileContent::Symlink { .. });
        if is_on_map || is_link && self.off_map < OFF_MAP_MAX {
            self.off_map += usize::from(!is_on_map);
            self.weigh(Weight::of(path, content), usize::saturating_add);
            self.nodes.insert(path.to_owned(), Arc::clone(content));
        }
        is_clear
    }

    fn take(&mut self, path: &str) {
        if let Some(content) = self.nodes.remove(path) {
            self.off_map -= usize::from(Place::of(path).is_none());
            self.weigh(Weight::of(path, &content), usize::saturating_sub);
        }
    }

    fn weigh(&mut self, weight: Weight, change: fn(usize, usize) -> usize) {
        self.weight.places = change(self.weight.places, weight.places);
        self.weight.packages = change(self.weight.packages, weight.packages);
        self.weight.text_bytes = change(self.weight.text_bytes, weight.text_bytes);
    }
}

fn prefix_of(directory: &str) -> String {
    if directory.is_empty() { String::new() } else { format!("{directory}/") }
}

/// Linux gives up after as many (path_resolution(7)).
const HOPS_MAX: usize = 40;

/// Linux takes no longer path.
const PATH_BYTES_MAX: usize = 4096;

/// Links off the map that are kept. What lands there is doubtful anyhow; more than a few are made by somebody who
/// wants us to keep many.
const OFF_MAP_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn walked(links: &[(&str, &str)], path: &str) -> Walk {
        let links: Vec<_> = links
            .iter()
            .map(|(at, target)| (*at, Arc::new(FileContent::Symlink { target: (*target).to_owned() })))
            .collect();
        let mut view = View::default();
        for (at, link) in &links {
            view.put(at, link);
        }
        view.walk(path, true)
    }

    #[test]
    fn links_stay_inside_the_root() {
        let at = |path: &str| Walk::At(path.to_owned());
        assert_eq!(walked(&[], "etc/os-release"), at("etc/os-release"));
        assert_eq!(
            walked(&[("etc/os-release", "../usr/lib/os-release")], "etc/os-release"),
            at("usr/lib/os-release")
        );
        assert_eq!(
            walked(&[("etc/os-release", "/usr/lib/os-release")], "etc/os-release"),
            at("usr/lib/os-release")
        );
        let far = "../../../../usr/./lib//os-release";
        assert_eq!(walked(&[("etc/os-release", far)], "etc/os-release"), at("usr/lib/os-release"));
        assert_eq!(walked(&[("lib", "usr/lib")], "lib/apk/db/installed"), at("usr/lib/apk/db/installed"));
    }

    #[test]
    fn a_link_to_elsewhere_is_off_the_map() {
        let off = |link: &str| Walk::OffMap(link.to_owned());
        assert_eq!(walked(&[("var", "data/var")], "var/lib/dpkg/status"), off("var"));
        assert_eq!(walked(&[("etc/os-release", "os-version")], "etc/os-release"), off("etc/os-release"));
        // `x` may itself be a link.
        assert_eq!(
            walked(&[("etc/os-release", "../x/../usr/lib/os-release")], "etc/os-release"),
            off("etc/os-release")
        );
        assert_eq!(walked(&[("lib", "usr/lib"), ("usr/lib", "../lib")], "lib/apk"), off("lib"));
        assert_eq!(walked(&[("lib", "etc/os-release")], "lib/apk"), off("lib"));
    }
}
