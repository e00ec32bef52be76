//! What an image in a folder or archive was called.

use oci::{Repository, Tag};

/// The repository and tag in what a builder called an image: `reg.example:5000/app/web:1`, `app:1`, `1`.
/// A host is left out; what is no name is none.
pub(crate) fn parse(text: &str) -> (Option<Repository>, Option<Tag>) {
    let text = text.split_once('@').map_or(text, |(name, _)| name);
    if !text.contains([':', '/']) {
        return (None, text.parse().ok());
    }
    let (name, tag) = match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (text, None),
    };
    let repository = match name.split_once('/') {
        // As Docker tells a host from a repository's first component.
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => rest,
        _ => name,
    };
    (repository.parse().ok(), tag.and_then(|tag| tag.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_builders_write_them() {
        let shown = |text| {
            let (repository, tag) = parse(text);
            let repository = repository.map_or_else(|| "-".to_owned(), |repository| repository.to_string());
            format!("{repository} {}", tag.map_or_else(|| "-".to_owned(), |tag| tag.to_string()))
        };
        for (text, wanted) in [
            ("1", "- 1"),
            ("app:1", "app 1"),
            ("team/app", "team/app -"),
            ("team/app:1", "team/app 1"),
            ("reg.example:5000/team/app:1", "team/app 1"),
            ("reg.example:5000/team/app", "team/app -"),
            ("localhost/app:1", "app 1"),
            ("docker.io/library/app:1", "library/app 1"),
            ("app:1@sha256:00", "app 1"),
            ("App:1", "- 1"),
            ("a b", "- -"),
            ("", "- -"),
        ] {
            assert_eq!(shown(text), wanted, "{text}");
        }
    }
}
