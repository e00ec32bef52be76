//! The paths that matter: where package managers and distributions write down what is installed.

use crate::Ecosystem;

/// What a path is to an inventory. Every other path is none of our business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// One file that is a whole package database.
    Database(Ecosystem),
    /// One file of Debian's database in parts (`var/lib/dpkg/status.d/NAME`, distroless).
    DatabasePart,
    /// A release file.
    Release(Release),
    /// Not a database, but proof that there was one: dpkg's `status-old` and the file lists in `info/`.
    Trace,
    /// A directory on the way to one of the above.
    Ancestor,
}

/// The release files, in the order in which they are believed (os-release(5), then the
/// distributions' own).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// `etc/os-release`, `usr/lib/os-release`.
    OsRelease,
    /// `etc/alpine-release`: the version and nothing else.
    Alpine,
    /// `etc/debian_version`: the version and nothing else.
    Debian,
}

impl Place {
    /// What `path` (normalised, relative to the root) is, if it matters.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        // Nearly every path of a layer ends here.
        if !matches!(path.as_bytes().first(), Some(b'e' | b'l' | b'u' | b'v')) {
            return path.is_empty().then_some(Self::Ancestor);
        }
        if let Some(below) = path.strip_prefix("var/lib/dpkg/") {
            return match below.split_once('/') {
                None => match below {
                    "status" => Some(Self::Database(Ecosystem::Deb)),
                    "status-old" => Some(Self::Trace),
                    "status.d" | "info" => Some(Self::Ancestor),
                    _ => None,
                },
                Some(("status.d", name)) if !name.contains('/') => Some(Self::DatabasePart),
                Some(("info", name)) if !name.contains('/') && name.ends_with(".list") => Some(Self::Trace),
                Some(_) => None,
            };
        }
        Some(match path {
            "lib/apk/db/installed" | "usr/lib/apk/db/installed" => Self::Database(Ecosystem::Apk),
            "etc/os-release" | "usr/lib/os-release" => Self::Release(Release::OsRelease),
            "etc/alpine-release" => Self::Release(Release::Alpine),
            "etc/debian_version" => Self::Release(Release::Debian),
            "etc" | "lib" | "lib/apk" | "lib/apk/db" | "usr" | "usr/lib" | "usr/lib/apk"
            | "usr/lib/apk/db" | "var" | "var/lib" | "var/lib/dpkg" => Self::Ancestor,
            _ => return None,
        })
    }
}

/// Where whole databases are, and whose they are.
pub(crate) const DATABASES: [(Ecosystem, &str); 3] = [
    (Ecosystem::Deb, "var/lib/dpkg/status"),
    (Ecosystem::Apk, "lib/apk/db/installed"),
    (Ecosystem::Apk, "usr/lib/apk/db/installed"),
];

/// Debian's database in parts.
pub(crate) const STATUS_D: &str = "var/lib/dpkg/status.d";

/// What else dpkg leaves behind.
pub(crate) const DPKG: &str = "var/lib/dpkg";

/// Release files, the most believed first.
pub(crate) const RELEASES: [&str; 4] =
    ["etc/os-release", "usr/lib/os-release", "etc/alpine-release", "etc/debian_version"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_a_place_is_an_ancestor() {
        let parts = ["var/lib/dpkg/status.d/base", "var/lib/dpkg/info/base.list"];
        for path in DATABASES.map(|(_, path)| path).into_iter().chain(RELEASES).chain(parts) {
            assert!(!matches!(Place::of(path), None | Some(Place::Ancestor)), "{path}");
            let mut rest = path;
            while let Some((parent, _)) = rest.rsplit_once('/') {
                assert_eq!(Place::of(parent), Some(Place::Ancestor), "{parent}");
                rest = parent;
            }
        }
        for path in ["etc/passwd", "usr/bin", "var/lib/dpkg/lock", "var/lib/dpkg/status.d/a/b", "bin"] {
            assert_eq!(Place::of(path), None, "{path}");
        }
    }
}
