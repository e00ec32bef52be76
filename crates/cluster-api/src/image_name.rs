//! The names by which pods call images (as the container runtimes read them).

use oci::{Reference, Repository};

/// An image's name, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageName<'a> {
    /// The registry's host, where one is written.
    pub(crate) host: Option<&'a str>,
    /// The repository on that host.
    pub(crate) repository: Repository,
    /// The digest if there is one, else the tag, else `latest`.
    pub(crate) reference: Reference,
}

impl<'a> ImageName<'a> {
    /// `[HOST/]REPOSITORY[:TAG][@DIGEST]`.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        let (name, tag) = match name.rsplit_once(':') {
            // The colon of a port is followed by a path.
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (name, None),
        };
        let (host, repository) = match name.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (Some(host), rest),
            _ => (None, name),
        };
        if let Some(tag) = tag {
            tag.parse::<oci::Tag>().ok()?;
        }
        let reference = digest.or(tag).unwrap_or("latest").parse().ok()?;
        if digest.is_some() && !matches!(reference, Reference::Digest(_)) {
            return None;
        }
        Some(Self { host, repository: repository.parse().ok()?, reference })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_runtimes_read_them() {
        let digest = oci::Digest::sha256(b"").to_string();
        for (text, wanted) in [
            ("nginx".to_owned(), "- nginx latest".to_owned()),
            ("library/nginx:1.27".to_owned(), "- library/nginx 1.27".to_owned()),
            ("reg.example/app/web".to_owned(), "reg.example app/web latest".to_owned()),
            ("reg.example:5000/app:2".to_owned(), "reg.example:5000 app 2".to_owned()),
            ("localhost/app".to_owned(), "localhost app latest".to_owned()),
            (format!("reg.example/app:2@{digest}"), format!("reg.example app {digest}")),
            (format!("app@{digest}"), format!("- app {digest}")),
        ] {
            let found = ImageName::parse(&text).expect("a name");
            let host = found.host.unwrap_or("-");
            assert_eq!(format!("{host} {} {}", found.repository, found.reference), wanted);
        }
        for text in [
            "",
            ":",
            "@",
            "App",
            "a b",
            "reg.example/",
            "app:",
            "app@latest",
            "app@sha256:1",
            "a/../b",
            "app:-x",
        ] {
            assert_eq!(ImageName::parse(text), None, "{text}");
        }
    }
}
