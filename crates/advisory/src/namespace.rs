//! Namespaces: whose statements apply to an image's packages, and for which release.

use std::fmt;
use std::str::FromStr;

use inventory::{Distro, Ecosystem};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A vendor's release: `debian:bookworm`, `alpine:v3.22`, `alpine:edge`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace {
    vendor: Vendor,
    release: String,
}

/// Whose packages they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Vendor {
    /// Debian.
    Debian,
    /// Alpine Linux.
    Alpine,
}

impl Vendor {
    /// As it stands before the colon, and as os-release's `ID`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Debian => "debian",
            Self::Alpine => "alpine",
        }
    }
}

impl Namespace {
    /// The namespace of a vendor's release: a Debian codename, an Alpine branch.
    ///
    /// # Errors
    /// [`InvalidNamespace`] if the release is not of that form.
    ///
    /// ```
    /// use advisory::{Namespace, Vendor::*};
    /// assert_eq!(Namespace::new(Debian, "bookworm").unwrap().to_string(), "debian:bookworm");
    /// assert_eq!(Namespace::new(Alpine, "3.22").unwrap().to_string(), "alpine:v3.22");
    /// assert!(Namespace::new(Alpine, "3.22.1").is_err());
    /// ```
    pub fn new(vendor: Vendor, release: &str) -> Result<Self, InvalidNamespace> {
        let release = match vendor {
            Vendor::Debian if is_codename(release) => release.to_owned(),
            Vendor::Alpine if release == EDGE => release.to_owned(),
            Vendor::Alpine => {
                let branch = release.strip_prefix('v').unwrap_or(release);
                let (major, minor) = branch.split_once('.').ok_or(InvalidNamespace)?;
                if !is_number(major) || !is_number(minor) {
                    return Err(InvalidNamespace);
                }
                format!("v{branch}")
            }
            Vendor::Debian => return Err(InvalidNamespace),
        };
        Ok(Self { vendor, release })
    }

    /// Whose statements apply to the packages of this operating system; `None` if nobody's here.
    ///
    /// Derivatives (Ubuntu, Raspbian, Kali) are not their parent: they rebuild, patch and version anew.
    #[must_use]
    pub fn of(distro: &Distro) -> Option<Self> {
        let version = distro.version_id.as_deref().unwrap_or_default().trim();
        match distro.id.as_str() {
            "debian" => {
                let major = version.split('.').next().unwrap_or_default();
                let by_number =
                    DEBIAN.iter().find(|(number, _)| *number == major).map(|(_, codename)| *codename);
                let by_name = distro.codename.as_deref().map(str::trim).filter(|name| !name.is_empty());
                Self::new(Vendor::Debian, by_name.or(by_number)?).ok()
            }
            "alpine" if version == EDGE || version.contains("_alpha") => Self::new(Vendor::Alpine, EDGE).ok(),
            "alpine" => {
                let mut numbers = version.split("_rc").next().unwrap_or_default().split('.');
                let branch = format!("{}.{}", numbers.next()?, numbers.next()?);
                let rest_is_numbers = numbers.all(is_number);
                Self::new(Vendor::Alpine, &branch).ok().filter(|_| rest_is_numbers)
            }
            _ => None,
        }
    }

    /// Whose.
    #[must_use]
    pub fn vendor(&self) -> Vendor {
        self.vendor
    }

    /// The release: `bookworm`, `v3.22`.
    #[must_use]
    pub fn release(&self) -> &str {
        &self.release
    }

    /// The package manager of that vendor.
    #[must_use]
    pub fn ecosystem(&self) -> Ecosystem {
        match self.vendor {
            Vendor::Debian => Ecosystem::Deb,
            Vendor::Alpine => Ecosystem::Apk,
        }
    }

    /// For people: `Debian 12 (bookworm)`, `Alpine 3.22`.
    #[must_use]
    pub fn title(&self) -> String {
        match self.vendor {
            Vendor::Debian => match DEBIAN.iter().find(|(_, codename)| *codename == self.release) {
                Some((number, codename)) => format!("Debian {number} ({codename})"),
                None => format!("Debian {}", self.release),
            },
            Vendor::Alpine => format!("Alpine {}", self.release.strip_prefix('v').unwrap_or(&self.release)),
        }
    }
}

fn is_codename(text: &str) -> bool {
    (1..=RELEASE_LEN_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn is_number(text: &str) -> bool {
    (1..=RELEASE_LEN_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.vendor.name(), self.release)
    }
}

impl FromStr for Namespace {
    type Err = InvalidNamespace;

    fn from_str(text: &str) -> Result<Self, InvalidNamespace> {
        let (vendor, release) = text.split_once(':').ok_or(InvalidNamespace)?;
        let vendor = [Vendor::Debian, Vendor::Alpine].into_iter().find(|known| known.name() == vendor);
        Self::new(vendor.ok_or(InvalidNamespace)?, release)
    }
}

impl Serialize for Namespace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Namespace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The text names no release of a vendor that we know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a namespace is written debian:CODENAME or alpine:vN.NN")]
pub struct InvalidNamespace;

/// Alpine's rolling branch.
const EDGE: &str = "edge";

/// Far longer than any release is called.
const RELEASE_LEN_MAX: usize = 32;

/// `VERSION_ID` and codename (Debian's distro-info-data).
const DEBIAN: [(&str, &str); 10] = [
    ("6", "squeeze"),
    ("7", "wheezy"),
    ("8", "jessie"),
    ("9", "stretch"),
    ("10", "buster"),
    ("11", "bullseye"),
    ("12", "bookworm"),
    ("13", "trixie"),
    ("14", "forky"),
    ("15", "duke"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(id: &str, version: &str, codename: &str) -> String {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let distro =
            Distro { id: id.into(), version_id: some(version), codename: some(codename), pretty_name: None };
        Namespace::of(&distro).map_or_else(|| "nobody".into(), |namespace| namespace.to_string())
    }

    #[test]
    fn an_operating_system_is_judged_by_its_own_vendor() {
        assert_eq!(of("debian", "12", "bookworm"), "debian:bookworm");
        assert_eq!(of("debian", "", "forky"), "debian:forky");
        assert_eq!(of("debian", "8", ""), "debian:jessie");
        assert_eq!(of("debian", "12.5", ""), "debian:bookworm");
        assert_eq!(of("alpine", "3.22.1", ""), "alpine:v3.22");
        assert_eq!(of("alpine", "3.22", ""), "alpine:v3.22");
        assert_eq!(of("alpine", "3.22.0_rc2", ""), "alpine:v3.22");
        assert_eq!(of("alpine", "3.23_alpha20250612", ""), "alpine:edge");
    }

    #[test]
    fn derivatives_and_nonsense_are_judged_by_nobody() {
        for (id, version, codename) in [
            ("ubuntu", "22.04", "jammy"),
            ("raspbian", "12", "bookworm"),
            ("kali", "2025.1", "kali-rolling"),
            ("wolfi", "20230201", ""),
            ("debian", "", ""),
            ("debian", "99", ""),
            ("debian", "12", "Book:worm"),
            ("alpine", "", ""),
            ("alpine", "3", ""),
            ("alpine", "3.x.1", ""),
            ("alpine", "3.22.one", ""),
            ("", "12", "bookworm"),
        ] {
            assert_eq!(of(id, version, codename), "nobody", "{id} {version} {codename}");
        }
    }

    #[test]
    fn a_printed_namespace_parses_to_itself() {
        for text in ["debian:sid", "alpine:v3.9", "alpine:edge"] {
            assert_eq!(text.parse::<Namespace>().expect("valid").to_string(), text);
        }
        for text in ["", "debian", "debian:", "ubuntu:jammy", "alpine:3", "debian:a\0b"] {
            assert!(text.parse::<Namespace>().is_err(), "{text}");
        }
    }
}
