//! Registries as people name them: `docker.io`, `ghcr.io`, `http://10.0.0.5:5000`.

use std::fmt;
use std::str::FromStr;

use oci::Repository;
use reqwest::Url;

/// A registry elsewhere, by the name that images there are known by.
///
/// Holding one means that it is a bare host with or without a port: no path, no user, no query.
///
/// ```
/// let hub: upstream::Host = "docker.io".parse().unwrap();
/// assert_eq!(hub.name(), "docker.io");
/// assert!("ghcr.io/team".parse::<upstream::Host>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Host {
    name: String,
    base: Url,
}

/// Why a text names no registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a registry: write HOST or HOST:PORT, with http:// before it if the registry has no TLS"
)]
pub struct InvalidHost {
    /// What was written.
    pub text: String,
}

impl Host {
    /// The host, with its port if it has one of its own: as in an image's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// True if it is spoken to without TLS.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.base.scheme() == "http"
    }

    /// Where its API is.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// The repository as the registry itself calls it: Docker Hub's official images stand in `library/`.
    #[must_use]
    pub fn canonical(&self, repository: &Repository) -> Repository {
        if self.name != HUB || repository.as_str().contains('/') {
            return repository.clone();
        }
        // Too long a name has no such image.
        format!("library/{repository}").parse().unwrap_or_else(|_| repository.clone())
    }

    /// The token services that the registry is known to have at another host than its own.
    pub(crate) fn known_realms(&self) -> &'static [&'static str] {
        KNOWN_REALMS.iter().find(|(host, _)| *host == self.name).map_or(&[], |(_, realms)| realms)
    }
}

impl FromStr for Host {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let invalid = || InvalidHost { text: text.to_owned() };
        let (scheme, authority) = match text.split_once("://") {
            Some((scheme @ ("http" | "https"), authority)) => (scheme, authority),
            Some(("docker", authority)) => ("https", authority),
            Some(_) => return Err(invalid()),
            None => ("https", text),
        };
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
        if authority.is_empty() || authority.len() > HOST_LEN_MAX || !authority.bytes().all(is_allowed) {
            return Err(invalid());
        }
        let name = authority.to_ascii_lowercase();
        let name = if HUB_NAMES.contains(&name.as_str()) { HUB.to_owned() } else { name };
        let served = if name == HUB { HUB_API } else { name.as_str() };
        let base = Url::parse(&format!("{scheme}://{served}/")).map_err(|_| invalid())?;
        if base.host_str().is_none_or(str::is_empty) || base.path() != "/" {
            return Err(invalid());
        }
        Ok(Self { name, base })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_plain() { "http://" } else { "" })?;
        f.write_str(&self.name)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const HUB: &str = "docker.io";
const HUB_API: &str = "registry-1.docker.io";
const HUB_NAMES: [&str; 3] = [HUB, "index.docker.io", HUB_API];

/// Registries whose own documentation names a token service elsewhere.
const KNOWN_REALMS: [(&str, &[&str]); 2] =
    [(HUB, &["auth.docker.io"]), ("registry.gitlab.com", &["gitlab.com"])];

/// A host name has 253 characters at most; a port six.
const HOST_LEN_MAX: usize = 260;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_as_people_write_them() {
        for (text, name, base) in [
            ("docker.io", "docker.io", "https://registry-1.docker.io/"),
            ("index.docker.io", "docker.io", "https://registry-1.docker.io/"),
            ("GHCR.io", "ghcr.io", "https://ghcr.io/"),
            ("docker://reg.example:5000", "reg.example:5000", "https://reg.example:5000/"),
            ("http://127.0.0.1:5000", "127.0.0.1:5000", "http://127.0.0.1:5000/"),
            ("[::1]:5000", "[::1]:5000", "https://[::1]:5000/"),
        ] {
            let host: Host = text.parse().expect("a host");
            assert_eq!((host.name(), host.base().as_str()), (name, base));
        }
        for text in
            ["", "http://", "ftp://a", "a/b", "u@a", "a?b", "a:port", "a b", "[::1", "é.example", ".:1:2"]
        {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
    }

    #[test]
    fn official_images_stand_in_library() {
        let canonical = |host: &str, name: &str| {
            let host: Host = host.parse().expect("a host");
            host.canonical(&name.parse().expect("a name")).to_string()
        };
        assert_eq!(canonical("docker.io", "nginx"), "library/nginx");
        assert_eq!(canonical("docker.io", "team/nginx"), "team/nginx");
        assert_eq!(canonical("ghcr.io", "nginx"), "nginx");
    }
}
