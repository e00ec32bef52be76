//! Property: adding layers up is the same as unpacking them over one another, the way containerd
//! does, and reading the tree that results. The tree here is a naive one of nested maps that
//! knows nothing of places that matter.

use std::collections::BTreeMap;

use inventory::{
    Distro, Ecosystem, FileContent, ImageInventory, LayerFile, LayerInventory, Package, Place, Removal,
    SourcePackage, coalesce,
};
use oci::Digest;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Node {
    Directory(BTreeMap<String, Node>),
    Leaf(FileContent),
}

/// A path of a real directory, component by component.
type Real = Vec<String>;

struct Tree(Node);

impl Tree {
    fn at(&self, path: &[String]) -> Option<&Node> {
        path.iter().try_fold(&self.0, |node, name| match node {
            Node::Directory(children) => children.get(name),
            Node::Leaf(_) => None,
        })
    }

    /// Follows every link, as the kernel would in a chroot; what is not there stays as written.
    fn real(&self, path: &str) -> Option<Real> {
        let mut ahead: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut at = Real::new();
        let mut hops = 0;
        while let Some(name) = ahead.pop() {
            match name.as_str() {
                "" | "." => {}
                ".." => drop(at.pop()),
                _ => {
                    at.push(name);
                    if let Some(Node::Leaf(FileContent::Symlink { target })) = self.at(&at) {
                        hops += 1;
                        if hops > 40 {
                            return None;
                        }
                        at.pop();
                        if target.starts_with('/') {
                            at.clear();
                        }
                        ahead.extend(target.split('/').rev().map(str::to_owned));
                    }
                }
            }
        }
        Some(at)
    }

    /// Makes directories on the way; no file is in the way.
    fn directory(&mut self, path: &[String]) -> &mut BTreeMap<String, Node> {
        let mut node = &mut self.0;
        for name in path {
            let Node::Directory(children) = node else { unreachable!("made below") };
            node = children.entry(name.clone()).or_insert_with(|| Node::Directory(BTreeMap::new()));
        }
        let Node::Directory(children) = node else { unreachable!("made above") };
        children
    }

    /// False if containerd would give up: something on the way to an entry is no directory.
    fn unpack(&mut self, layer: &LayerInventory) -> bool {
        let split = |path: &str| match path.rsplit_once('/') {
            Some((parent, name)) => (parent.to_owned(), name.to_owned()),
            None => (String::new(), path.to_owned()),
        };
        let mut doomed = Vec::new();
        for removal in &layer.removals {
            match removal {
                Removal::Path(path) => {
                    let (parent, name) = split(path);
                    doomed.extend(self.real(&parent).map(|parent| (parent, Some(name))));
                }
                Removal::Opaque(path) => doomed.extend(self.real(path).map(|path| (path, None))),
            }
        }
        for (parent, name) in doomed {
            if !matches!(self.at(&parent), Some(Node::Directory(_))) {
                continue;
            }
            let children = self.directory(&parent);
            match name {
                Some(name) => drop(children.remove(&name)),
                None => children.clear(),
            }
        }
        for file in &layer.files {
            let (parent, name) = split(&file.path);
            let Some(parent) = self.real(&parent) else { return false };
            if (0..=parent.len()).any(|end| matches!(self.at(&parent[..end]), Some(Node::Leaf(_)))) {
                return false;
            }
            let children = self.directory(&parent);
            match (&file.content, children.get(&name)) {
                (FileContent::Directory, Some(Node::Directory(_))) => {}
                (FileContent::Directory, _) => {
                    children.insert(name, Node::Directory(BTreeMap::new()));
                }
                (content, _) => drop(children.insert(name, Node::Leaf(content.clone()))),
            }
        }
        true
    }

    /// What an extractor would say of the whole tree.
    fn extracted(&self) -> LayerInventory {
        fn visit(node: &Node, path: &str, files: &mut Vec<LayerFile>) {
            let content = match node {
                Node::Directory(children) => {
                    for (name, child) in children {
                        let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
                        visit(child, &path, files);
                    }
                    FileContent::Directory
                }
                Node::Leaf(content) => content.clone(),
            };
            if !path.is_empty() && Place::of(path).is_some() {
                files.push(LayerFile { path: path.to_owned(), content });
            }
        }
        let mut files = Vec::new();
        visit(&self.0, "", &mut files);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        LayerInventory { files, ..LayerInventory::default() }
    }
}

const FILES: [&str; 9] = [
    "etc/os-release",
    "usr/lib/os-release",
    "etc/alpine-release",
    "var/lib/dpkg/status",
    "var/lib/dpkg/status.d/a",
    "var/lib/dpkg/status.d/b",
    "var/lib/dpkg/status-old",
    "lib/apk/db/installed",
    "usr/lib/apk/db/installed",
];
const DIRECTORIES: [&str; 11] = [
    "etc",
    "lib",
    "lib/apk",
    "lib/apk/db",
    "usr",
    "usr/lib",
    "usr/lib/apk",
    "var",
    "var/lib",
    "var/lib/dpkg",
    "var/lib/dpkg/status.d",
];
const TARGETS: [&str; 12] = [
    "usr/lib",
    "/usr/lib",
    "../usr/lib",
    "../usr/lib/os-release",
    "lib",
    "/lib/apk",
    "etc",
    "data",
    "../../x/y",
    "/",
    "../lib",
    "apk",
];

fn content(path: &'static str) -> BoxedStrategy<FileContent> {
    let link = proptest::sample::select(TARGETS.as_slice())
        .prop_map(|target| FileContent::Symlink { target: target.to_owned() });
    let is_directory = DIRECTORIES.contains(&path);
    let own = (0..4u8).prop_map(move |number| match path {
        _ if is_directory => FileContent::Directory,
        _ if path.contains("release") => {
            FileContent::Distro { distro: Distro { id: format!("{path}{number}"), ..Distro::default() } }
        }
        "var/lib/dpkg/status-old" => FileContent::Other,
        _ => {
            let ecosystem = if path.contains("dpkg") { Ecosystem::Deb } else { Ecosystem::Apk };
            let source = SourcePackage { name: "p".to_owned(), version: "1".to_owned() };
            let (version, architecture) = (number.to_string(), String::new());
            let package = Package { ecosystem, name: "p".to_owned(), version, architecture, source };
            FileContent::Packages { ecosystem, packages: vec![package] }
        }
    });
    prop_oneof![6 => own, 1 => link, 1 => Just(FileContent::Other)].boxed()
}

fn layer() -> impl Strategy<Value = LayerInventory> {
    let path = || proptest::sample::select([FILES.as_slice(), DIRECTORIES.as_slice()].concat());
    let file = path().prop_flat_map(|path| content(path).prop_map(move |content| (path, content)));
    let removal = path().prop_flat_map(|path| {
        prop_oneof![
            3 => Just(Removal::Path(path.to_owned())),
            1 => Just(Removal::Opaque(path.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned())),
        ]
    });
    (proptest::collection::vec(file, 0..5), proptest::collection::vec(removal, 0..2)).prop_map(
        |(files, removals)| {
            let files: BTreeMap<_, _> = files.into_iter().collect();
            let files = files
                .into_iter()
                .map(|(path, content)| LayerFile { path: path.to_owned(), content })
                .collect();
            LayerInventory { files, removals, ..LayerInventory::default() }
        },
    )
}

/// All but layers and problems: a flattened tree has one layer, and no past.
fn facts(image: &ImageInventory) -> (Option<Distro>, Vec<(Package, String)>, Vec<String>) {
    let packages = image.packages.iter().map(|it| (it.package.clone(), it.path.clone())).collect();
    (image.distro.clone(), packages, image.databases.clone())
}

proptest! {
    #![proptest_config(testkit::cases(4000))]

    #[test]
    fn layers_add_up_to_the_flattened_tree(layers in proptest::collection::vec(layer(), 0..5)) {
        let mut tree = Tree(Node::Directory(BTreeMap::new()));
        for layer in &layers {
            prop_assume!(tree.unpack(layer));
        }
        let digest = Digest::sha256(b"layer");
        let layers: Vec<_> = layers.into_iter().map(|layer| (digest.clone(), layer)).collect();
        let merged = coalesce(&layers);
        let flat = coalesce(&[(digest, tree.extracted())]);
        let is_lost = |image: &ImageInventory| {
            image.problems.iter().filter(|it| it.detail.contains("leads to")).count()
        };
        prop_assert_eq!(facts(&merged), facts(&flat));
        prop_assert_eq!(is_lost(&merged), is_lost(&flat));
    }
}
