//! Where a request may go: a stranger's redirect or token service must not lead it into the network
//! that this machine stands in, nor to the machine's own metadata.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::AddressKind as Kind;

/// Who has named the registry, and so where it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Whoever runs the server: it may be in a private network, and then so may what it points at.
    Anywhere,
    /// Somebody who calls an API: public addresses alone.
    Public,
}

/// Looks at each address before it is connected to.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    /// The host of the registry itself, as a URL has it.
    own: Arc<str>,
    reach: Reach,
    /// The registry itself was found in a private network.
    is_private: Arc<AtomicBool>,
}

/// An address to which we do not go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} ({name}) is an address to which this server does not go")]
pub(crate) struct Refused {
    pub(crate) name: String,
    pub(crate) address: IpAddr,
}

impl Guard {
    pub(crate) fn new(own: &Url, reach: Reach) -> Self {
        let own = own.host_str().unwrap_or_default().into();
        Self { own, reach, is_private: Arc::default() }
    }

    /// Looks at a URL whose host is an address already: no resolver will see it.
    pub(crate) fn check(&self, url: &Url) -> Result<(), Refused> {
        let name = url.host_str().unwrap_or_default();
        match name.trim_start_matches('[').trim_end_matches(']').parse() {
            Ok(address) => self.admit(name, address),
            Err(_) => Ok(()),
        }
    }

    fn admit(&self, name: &str, address: IpAddr) -> Result<(), Refused> {
        let is_own = *self.own == *name;
        let kind = Kind::from_here(address);
        let is_within = matches!(kind, Kind::Private | Kind::Loopback);
        if is_own && is_within {
            self.is_private.store(true, Ordering::Relaxed);
        }
        let may_be_private =
            self.reach == Reach::Anywhere && (is_own || self.is_private.load(Ordering::Relaxed));
        match kind {
            Kind::Public => Ok(()),
            Kind::Private | Kind::Loopback if may_be_private => Ok(()),
            Kind::Private | Kind::Loopback | Kind::Never => Err(Refused { name: name.to_owned(), address }),
        }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let mut admitted = Vec::new();
            let mut refused = None;
            for found in found {
                match guard.admit(name.as_str(), found.ip()) {
                    Ok(()) => admitted.push(found),
                    Err(refusal) => refused = Some(refusal),
                }
            }
            match refused {
                Some(refused) if admitted.is_empty() => Err(refused.into()),
                _ => {
                    Ok::<Addrs, _>(Box::new(admitted.into_iter().map(|found| SocketAddr::new(found.ip(), 0))))
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_admitted(own: &str, reach: Reach, urls: &[&str]) -> Vec<bool> {
        let guard = Guard::new(&Url::parse(own).expect("a URL"), reach);
        urls.iter().map(|url| guard.check(&Url::parse(url).expect("a URL")).is_ok()).collect()
    }

    #[test]
    fn metadata_is_never_asked() {
        for url in [
            "http://169.254.169.254/latest/meta-data",
            "http://[fe80::1]/",
            "http://[fd00:ec2::254]/",
            "http://[::ffff:169.254.169.254]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[2002:a9fe:a9fe::1]/",
            "http://2852039166/",
            "http://0xa9fea9fe/",
            "http://100.100.100.200/",
            "http://168.63.129.16/",
            "http://0.0.0.0/",
            "http://[::]/",
            "http://224.0.0.1/",
            "http://255.255.255.255/",
        ] {
            assert_eq!(
                is_admitted("http://127.0.0.1:5000/", Reach::Anywhere, &["http://127.0.0.1:5000/", url]),
                [true, false]
            );
            // Not even if the registry itself is said to be there.
            assert_eq!(is_admitted(url, Reach::Anywhere, &[url]), [false], "{url}");
        }
    }

    #[test]
    fn private_addresses_only_beside_a_private_registry() {
        let private = [
            "http://10.0.0.1/",
            "http://192.168.1.1/",
            "http://127.0.0.1/",
            "http://[::1]/",
            "http://[fd00::1]/",
        ];
        for url in private {
            assert_eq!(is_admitted("https://ghcr.io/", Reach::Anywhere, &[url]), [false], "{url}");
            assert_eq!(is_admitted(url, Reach::Public, &[url]), [false], "{url}");
            assert_eq!(
                is_admitted("http://172.16.0.1/", Reach::Anywhere, &["http://172.16.0.1/", url]),
                [true, true]
            );
        }
        assert_eq!(
            is_admitted("https://ghcr.io/", Reach::Public, &["https://8.8.8.8/", "https://[2606:4700::1]/"]),
            [true, true]
        );
    }
}
