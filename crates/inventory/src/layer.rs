//! What one layer adds and hides, at the paths that matter.

use serde::{Deserialize, Serialize};

use crate::{Distro, Ecosystem, Package, Problem, UnjudgedSoftware};

/// The version of the extraction rules. Raise it with every change of what a layer's inventory
/// says; stored inventories of another version are then read anew.
pub const EXTRACTOR: u32 = 1;

/// What the extractor says of one layer. Stored under (layer digest, [`EXTRACTOR`]).
///
/// Paths are relative to the image's root, normalised: no leading `/`, no `.` or `..`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerInventory {
    /// What this layer leaves at the paths that matter, at most one entry a path, sorted by path.
    ///
    /// Those are the package databases and release files themselves, and every directory or
    /// symbolic link on the way to them.
    #[serde(default)]
    pub files: Vec<LayerFile>,
    /// What this layer hides of the layers below it, sorted.
    #[serde(default)]
    pub removals: Vec<Removal>,
    /// Software seen that nothing here judges, one entry a kind.
    #[serde(default)]
    pub unjudged: Vec<UnjudgedSoftware>,
    /// How many archive entries were read.
    #[serde(default)]
    pub entries: u64,
    /// How many bytes the layer unpacks to.
    #[serde(default)]
    pub unpacked_bytes: u64,
    /// What could not be read.
    #[serde(default)]
    pub problems: Vec<Problem>,
}

/// What stands at one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "FlatFile")]
pub struct LayerFile {
    /// The path.
    pub path: String,
    /// What was found there.
    #[serde(flatten)]
    pub content: FileContent,
}

/// The same as it is written, each field where it stands: what serde would make of [`LayerFile`] itself
/// holds every package twice while it reads.
#[derive(Deserialize)]
struct FlatFile {
    path: String,
    kind: FlatKind,
    ecosystem: Option<Ecosystem>,
    packages: Option<Vec<Package>>,
    distro: Option<Distro>,
    target: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum FlatKind {
    Packages,
    Distro,
    Directory,
    Symlink,
    Other,
}

impl TryFrom<FlatFile> for LayerFile {
    type Error = &'static str;

    fn try_from(file: FlatFile) -> Result<Self, Self::Error> {
        let content = match file.kind {
            FlatKind::Packages => FileContent::Packages {
                ecosystem: file.ecosystem.ok_or("a database without its ecosystem")?,
                packages: file.packages.ok_or("a database without packages")?,
            },
            FlatKind::Distro => {
                FileContent::Distro { distro: file.distro.ok_or("a release file without its distribution")? }
            }
            FlatKind::Directory => FileContent::Directory,
            FlatKind::Symlink => FileContent::Symlink { target: file.target.ok_or("a link without target")? },
            FlatKind::Other => FileContent::Other,
        };
        Ok(Self { path: file.path, content })
    }
}

/// What was found at a path that matters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum FileContent {
    /// A package database, or one file of a database that is a folder.
    Packages {
        /// Whose database.
        ecosystem: Ecosystem,
        /// The packages it records as present.
        packages: Vec<Package>,
    },
    /// A release file.
    Distro {
        /// What it says.
        distro: Distro,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// Where it points, as written.
        target: String,
    },
    /// Something else: it hides what lower layers had there. If it should have been a database
    /// or release file, a [`Problem`] of the layer says why it was not read.
    Other,
}

/// What a whiteout hides of the layers below (image-spec, layer.md, "Whiteouts").
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", content = "path", rename_all = "camelCase")]
pub enum Removal {
    /// The path and everything beneath it.
    Path(String),
    /// Everything beneath the directory, not the directory itself. The empty path is the root.
    Opaque(String),
}
