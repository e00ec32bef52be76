//! Names of archive entries, made into paths inside the image.

/// Writes `name` into `path` without a leading `/`, `.`, `..` or empty components. True if it tries
/// to leave the root: containerd holds such a name at the root, docker refuses the layer.
///
/// This is Go's `filepath.Clean`, which knows no links: `a/../b` is `b` whatever `a` is.
pub(crate) fn normalise(name: &[u8], path: &mut String) -> bool {
    path.clear();
    let mut escapes = false;
    for component in String::from_utf8_lossy(name).split('/') {
        match component {
            "" | "." => {}
            ".." if path.is_empty() => escapes = true,
            ".." => path.truncate(path.rfind('/').unwrap_or(0)),
            _ => {
                if !path.is_empty() {
                    path.push('/');
                }
                path.push_str(component);
            }
        }
    }
    escapes
}

/// The directory, and the name in it.
pub(crate) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_up_inside_the_root() {
        let mut path = String::new();
        for (name, wanted, wanted_escapes) in [
            ("./etc//os-release", "etc/os-release", false),
            ("/etc/./x/", "etc/x", false),
            ("a/../etc/x", "etc/x", false),
            ("../../etc/x", "etc/x", true),
            ("a/../../etc", "etc", true),
            ("./", "", false),
        ] {
            assert_eq!(normalise(name.as_bytes(), &mut path), wanted_escapes, "{name}");
            assert_eq!(path, wanted);
        }
    }
}
