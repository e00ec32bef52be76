//! Where a request may go: a stranger's redirect or token service must not lead it into the network
//! that this machine stands in, nor to the machine's own metadata.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use AddressKind as Kind;

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

/// What kind of address it is, for whoever is asked by others to connect to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// Anybody's.
    Public,
    /// Of the network that this machine stands in.
    Private,
    /// This machine.
    Loopback,
    /// Link-local, metadata services, multicast, nowhere.
    Never,
}

impl AddressKind {
    /// The kind of an address, also of one that stands for another (IPv4 within IPv6).
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => kind_v4(address),
            IpAddr::V6(address) => kind_v6(address),
        }
    }
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
        let kind = Kind::of(address);
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

fn kind_v4(address: Ipv4Addr) -> Kind {
    let octets = address.octets();
    if address.is_link_local()
        || address.is_multicast()
        || octets[0] == 0
        || octets[0] >= 240
        || METADATA.contains(&address)
    {
        Kind::Never
    } else if address.is_loopback() {
        Kind::Loopback
    } else if address.is_private() || (octets[0] == 100 && octets[1] & 0xc0 == 64) {
        Kind::Private
    } else {
        Kind::Public
    }
}

fn kind_v6(address: Ipv6Addr) -> Kind {
    let segments = address.segments();
    // Forms in which an IPv4 address travels: mapped, compatible, NAT64, 6to4.
    let embedded = match segments {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some((high, low)),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some((high, low)),
        [0x2002, high, low, ..] => Some((high, low)),
        _ => None,
    };
    if let Some((high, low)) = embedded {
        return kind_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    }
    if address.is_unspecified()
        || address.is_multicast()
        || address.is_unicast_link_local()
        || address == METADATA_V6
    {
        Kind::Never
    } else if address.is_loopback() {
        Kind::Loopback
    } else if address.is_unique_local() || segments[0] & 0xffc0 == 0xfec0 {
        Kind::Private
    } else {
        Kind::Public
    }
}

/// Metadata services that are not at a link-local address: Alibaba's, and Azure's own agent.
const METADATA: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16)];
/// Amazon's over IPv6.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

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
