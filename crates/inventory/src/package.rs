//! Packages and the distributions they belong to.

use serde::{Deserialize, Serialize};

/// Which package manager installed a package, and so which version order and advisories apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ecosystem {
    /// Debian's dpkg.
    Deb,
    /// Alpine's apk.
    Apk,
}

impl Ecosystem {
    /// The package URL type (purl-spec, PURL-TYPES): `deb`, `apk`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Apk => "apk",
        }
    }
}

/// One installed package as its own database records it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Package {
    /// Who installed it.
    pub ecosystem: Ecosystem,
    /// Its name: `libssl3`.
    pub name: String,
    /// Its version, exactly as recorded: `3.0.11-1~deb12u2`.
    pub version: String,
    /// `amd64`, `all`, `x86_64`, …; empty if unrecorded.
    pub architecture: String,
    /// What it was built from; the vendor's advisories name this.
    pub source: SourcePackage,
}

/// What a package was built from: Debian's source package, Alpine's origin.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourcePackage {
    /// `openssl`.
    pub name: String,
    /// Its version; differs from the package's for binary-only rebuilds.
    pub version: String,
}

/// An operating system release (os-release(5)), as far as matching needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Distro {
    /// `ID`: `debian`, `alpine`.
    pub id: String,
    /// `VERSION_ID`: `12`, `3.22.1`; absent for Debian testing and rolling releases.
    pub version_id: Option<String>,
    /// `VERSION_CODENAME`: `bookworm`.
    pub codename: Option<String>,
    /// `PRETTY_NAME`, for people.
    pub pretty_name: Option<String>,
}

impl Distro {
    /// The release in one word, as results and rules write it: `alpine_3.22`, `ubuntu_linux_20.04`,
    /// `debian_linux_12`.
    ///
    /// ```
    /// let distro = |id: &str, version: &str| inventory::Distro {
    ///     id: id.to_owned(), version_id: Some(version.to_owned()), ..Default::default()
    /// };
    /// assert_eq!(distro("alpine", "3.22.1").label(), "alpine_3.22");
    /// assert_eq!(distro("debian", "12").label(), "debian_linux_12");
    /// ```
    #[must_use]
    pub fn label(&self) -> String {
        let linux = if matches!(self.id.as_str(), "debian" | "ubuntu") { "_linux" } else { "" };
        format!("{}{linux}_{}", self.id, self.release())
    }

    /// What of the version tells releases apart: Alpine's patch level does not. The codename where
    /// there is no version yet, and nothing where there is neither.
    #[must_use]
    pub fn release(&self) -> &str {
        let Some(version) = &self.version_id else { return self.codename.as_deref().unwrap_or_default() };
        match version.match_indices('.').nth(1) {
            Some((patch, _)) if self.id == "alpine" => &version[..patch],
            _ => version,
        }
    }
}

/// Software that was seen and that no matcher here judges yet.
///
/// An image with some of it cannot be called healthy on the strength of its other packages.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnjudgedSoftware {
    /// What kind: `python`, `node`, `java`, `ruby`, `rpm`.
    pub kind: String,
    /// Where the first piece of it was found.
    pub example_path: String,
    /// How many pieces were found in this layer.
    pub count: u64,
}
