//! What an image holds, merged as a runtime would see it.

use oci::Digest;
use serde::{Deserialize, Serialize};

use crate::{Distro, Ecosystem, Package, Problem, SourcePackage, UnjudgedSoftware};

/// The merged inventory of one image. Its digest (of its JSON) names it in verdicts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageInventory {
    /// The operating system, if the image says which.
    pub distro: Option<Distro>,
    /// Every installed package, sorted.
    pub packages: Vec<InstalledPackage>,
    /// The package databases that were read, by path, sorted. One without any package is one too:
    /// it says that nothing is installed, which no database at all does not say.
    #[serde(default)]
    pub databases: Vec<String>,
    /// Software seen that nothing here judges, summed over the layers.
    pub unjudged: Vec<UnjudgedSoftware>,
    /// What could not be read, each with its layer where one is to blame.
    pub problems: Vec<Problem>,
}

impl ImageInventory {
    /// The document that is stored and digested.
    ///
    /// # Panics
    /// Never: every field serialises.
    #[must_use]
    #[expect(clippy::expect_used, reason = "strings, numbers and lists always serialise")]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an inventory serialises")
    }

    /// True if nothing at all was identified: no distribution, no package, no other software.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.distro.is_none() && self.packages.is_empty() && self.unjudged.is_empty()
    }
}

/// A package and where in the image it comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", from = "FlatPackage")]
pub struct InstalledPackage {
    /// The package.
    #[serde(flatten)]
    pub package: Package,
    /// The database file that records it.
    pub path: String,
    /// The layer in which this name and version first appeared and then stayed.
    pub layer: Digest,
}

/// The same as it is written, read field by field without a copy of each in between.
#[derive(Deserialize)]
struct FlatPackage {
    ecosystem: Ecosystem,
    name: String,
    version: String,
    architecture: String,
    source: SourcePackage,
    path: String,
    layer: Digest,
}

impl From<FlatPackage> for InstalledPackage {
    fn from(flat: FlatPackage) -> Self {
        let FlatPackage { ecosystem, name, version, architecture, source, path, layer } = flat;
        Self { package: Package { ecosystem, name, version, architecture, source }, path, layer }
    }
}
