//! Software that is seen by its path and that nothing here judges yet.
//!
//! Two rules decide what counts:
//! - Package databases of other systems (rpm, opkg, pacman, chisel's manifest) always do: this
//!   engine cannot read them, so an image with one is not known through and through.
//! - Language packages do, except beneath `usr/` (but for `usr/local/`) and `lib/`: by the FHS
//!   (sections 4.1, 4.9) those belong to the system's package manager, whose own records are judged.
//!   A `pip install` into the system's Python is missed by this.
//!
//! Programs that carry their dependencies (Go build information, cargo-auditable) are known only
//! by reading every executable in full, which costs more than inflating the layer. They are left
//! out.

use std::collections::BTreeMap;

use inventory::UnjudgedSoftware;

/// What was seen, one entry a kind.
#[derive(Default)]
pub(crate) struct Seen(BTreeMap<&'static str, (String, u64)>);

impl Seen {
    /// Looks at the path of a regular file.
    pub(crate) fn look(&mut self, path: &str) {
        let Some(kind) = kind(path) else { return };
        let (_, count) = self.0.entry(kind).or_insert_with(|| (path.to_owned(), 0));
        *count += 1;
    }

    pub(crate) fn into_list(self) -> Vec<UnjudgedSoftware> {
        let software = |(kind, (example_path, count)): (&str, _)| UnjudgedSoftware {
            kind: kind.to_owned(),
            example_path,
            count,
        };
        self.0.into_iter().map(software).collect()
    }
}

fn kind(path: &str) -> Option<&'static str> {
    if let Some(database) = database(path) {
        return Some(database);
    }
    let is_systems =
        path.starts_with("lib/") || path.strip_prefix("usr/").is_some_and(|it| !it.starts_with("local/"));
    if is_systems { None } else { language(path) }
}

/// The database of a system that this engine cannot read.
fn database(path: &str) -> Option<&'static str> {
    let rest = match path.as_bytes().first() {
        Some(b'v') => path.strip_prefix("var/lib/")?,
        Some(b'u') => path
            .strip_prefix("usr/lib/sysimage/")
            .or_else(|| path.strip_prefix("usr/share/"))
            .or_else(|| path.strip_prefix("usr/lib/").filter(|rest| rest.starts_with("opkg/")))?,
        _ => return None,
    };
    match rest {
        "rpm/Packages" | "rpm/Packages.db" | "rpm/rpmdb.sqlite" => Some("rpm"),
        "opkg/status" => Some("opkg"),
        "chisel/manifest.wall" => Some("chisel"),
        _ if rest.starts_with("pacman/local/") && rest.ends_with("/desc") => Some("pacman"),
        _ => None,
    }
}

/// The language whose package manager put a file of that name there.
fn language(path: &str) -> Option<&'static str> {
    let (directory, name) = crate::archive::path::split(path);
    match name {
        "METADATA" if directory.ends_with(".dist-info") => return Some("python"),
        "PKG-INFO" if directory.ends_with(".egg-info") => return Some("python"),
        "package.json" if is_node_package(directory) => return Some("node"),
        "installed.json" if directory == "vendor/composer" || directory.ends_with("/vendor/composer") => {
            return Some("php");
        }
        _ => {}
    }
    match name.rsplit_once('.')?.1 {
        "egg-info" => Some("python"),
        "jar" | "war" | "ear" => Some("java"),
        "gemspec" if directory == "specifications" || directory.ends_with("/specifications") => Some("ruby"),
        "json" if name.ends_with(".deps.json") => Some("dotnet"),
        _ => None,
    }
}

/// `…node_modules/NAME` or `…node_modules/@SCOPE/NAME`.
fn is_node_package(directory: &str) -> bool {
    let (mut parent, _) = crate::archive::path::split(directory);
    let (above, scope) = crate::archive::path::split(parent);
    if scope.starts_with('@') {
        parent = above;
    }
    crate::archive::path::split(parent).1 == "node_modules"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_known_by_its_path() {
        for (path, wanted) in [
            ("usr/local/lib/python3.12/site-packages/pip-25.0.dist-info/METADATA", Some("python")),
            ("opt/venv/lib/x.egg-info/PKG-INFO", Some("python")),
            ("opt/venv/lib/x.egg-info", Some("python")),
            ("app/node_modules/left-pad/package.json", Some("node")),
            ("app/node_modules/@types/node/package.json", Some("node")),
            ("node_modules/a/node_modules/b/package.json", Some("node")),
            ("app/package.json", None),
            ("app/node_modules/a/lib/package.json", None),
            ("app.jar", Some("java")),
            ("srv/x.war", Some("java")),
            ("usr/local/bundle/specifications/rack-3.gemspec", Some("ruby")),
            ("app/rack.gemspec", None),
            ("var/www/vendor/composer/installed.json", Some("php")),
            ("app/web.deps.json", Some("dotnet")),
            ("var/lib/rpm/rpmdb.sqlite", Some("rpm")),
            ("usr/lib/sysimage/rpm/Packages.db", Some("rpm")),
            ("usr/share/rpm/Packages", Some("rpm")),
            ("usr/lib/opkg/status", Some("opkg")),
            ("var/lib/opkg/status", Some("opkg")),
            ("var/lib/chisel/manifest.wall", Some("chisel")),
            ("var/lib/pacman/local/bash-5-1/desc", Some("pacman")),
            ("usr/lib/python3/dist-packages/six.egg-info", None),
            ("usr/share/java/x.jar", None),
            ("lib/x.jar", None),
            ("bin/sh", None),
        ] {
            assert_eq!(kind(path), wanted, "{path}");
        }
    }
}
