//! Sources: where each feed is published.

/// Where to fetch feeds from: the vendors' own sites, or a mirror with the same paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// The URL of the Debian tracker's JSON; empty to leave Debian out.
    pub debian: String,
    /// The folder of Alpine's secdb, beneath which are `BRANCH/REPOSITORY.json`; empty to leave
    /// Alpine out.
    pub alpine: String,
}

impl Default for Sources {
    fn default() -> Self {
        Self { debian: DEBIAN_URL.to_owned(), alpine: ALPINE_URL.to_owned() }
    }
}

impl Sources {
    /// One entry a feed.
    #[must_use]
    pub fn list(&self) -> Vec<Source> {
        let debian = Source { feed: "debian".to_owned(), url: self.debian.clone() };
        let base = self.alpine.trim_end_matches('/');
        let alpine = ALPINE_BRANCHES.iter().flat_map(|branch| {
            ALPINE_REPOSITORIES.iter().map(move |repository| Source {
                feed: format!("alpine/{branch}/{repository}"),
                url: format!("{base}/{branch}/{repository}.json"),
            })
        });
        let debian = [debian].into_iter().filter(|_| !self.debian.is_empty());
        debian.chain(alpine.filter(|_| !base.is_empty())).collect()
    }
}

/// Where one feed's payload is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The feed: `alpine/v3.22/main`.
    pub feed: String,
    /// The URL.
    pub url: String,
}

/// True if a feed can be fetched from there: an http or https URL with a host.
///
/// ```
/// assert!(feeds::is_source_url("http://127.0.0.1:8000/debian.json"));
/// assert!(!feeds::is_source_url("notaurl"));
/// assert!(!feeds::is_source_url("ftp://mirror.example/debian.json"));
/// ```
#[must_use]
pub fn is_source_url(text: &str) -> bool {
    reqwest::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// Where Debian publishes what its security tracker knows.
pub const DEBIAN_URL: &str = "https://security-tracker.debian.org/tracker/data/json";

/// Where Alpine publishes its secdb.
pub const ALPINE_URL: &str = "https://secdb.alpinelinux.org/";

/// What Alpine looked after in the last two years, and what it makes now. Data of other branches
/// can be imported from files.
const ALPINE_BRANCHES: [&str; 7] = ["v3.18", "v3.19", "v3.20", "v3.21", "v3.22", "v3.23", "edge"];

const ALPINE_REPOSITORIES: [&str; 2] = ["main", "community"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_keeps_the_vendors_paths() {
        let urls = |sources: Sources| sources.list().into_iter().map(|source| source.url).collect::<Vec<_>>();
        let vendors = urls(Sources::default());
        assert_eq!(vendors.len(), 15);
        assert_eq!(vendors[0], "https://security-tracker.debian.org/tracker/data/json");
        assert_eq!(vendors[14], "https://secdb.alpinelinux.org/edge/community.json");
        let mirror = urls(Sources { debian: String::new(), alpine: "http://127.0.0.1:80/m".into() });
        assert_eq!(mirror.len(), 14);
        assert_eq!(mirror[13], "http://127.0.0.1:80/m/edge/community.json");
    }
}
