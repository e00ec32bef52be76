//! Whom webhooks may reach: the address that is connected to is looked at, not the name alone.
//!
//! Whoever may make webhooks has the server send requests for them. It does so to the network that it
//! stands in, for receivers stand there; not to where machines keep their secrets, and to itself only if
//! its operator says so. See `docs/decisions/0009-what-webhooks-may-reach.md`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use upstream::AddressKind;

/// Whom webhooks may reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// The machine that the server runs on, too.
    pub loopback: bool,
}

/// An address that webhooks do not reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} is {what}")]
pub(crate) struct OutOfReach {
    address: IpAddr,
    what: &'static str,
}

impl Reach {
    /// # Errors
    /// What the address is, if nothing is sent there.
    pub(crate) fn check(self, address: IpAddr) -> Result<(), OutOfReach> {
        let what = match AddressKind::from_here(address) {
            AddressKind::Public | AddressKind::Private => return Ok(()),
            AddressKind::Loopback if self.loopback => return Ok(()),
            AddressKind::Loopback => "this machine itself, which webhooks reach only with --webhook-loopback",
            AddressKind::Never => {
                "link-local, where clouds keep machines' secrets, or set apart for no machine's use"
            }
        };
        Err(OutOfReach { address, what })
    }

    /// Those of a name's addresses that are within reach.
    ///
    /// # Errors
    /// The first refusal, if all are refused.
    fn within(self, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, OutOfReach> {
        let (mut within, mut refused) = (Vec::new(), None);
        for found in found {
            match self.check(found.ip()) {
                Ok(()) => within.push(found),
                Err(refusal) => refused = refused.or(Some(refusal)),
            }
        }
        match refused {
            Some(refusal) if within.is_empty() => Err(refusal),
            _ => Ok(within),
        }
    }
}

/// Resolves names to the addresses within reach alone: those are what is connected to.
#[derive(Clone, Copy)]
pub(crate) struct Resolver(pub(crate) Reach);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(reach.within(found)?.into_iter()) as Addrs)
        })
    }
}

impl From<Resolver> for Arc<dyn Resolve> {
    fn from(resolver: Resolver) -> Self {
        Arc::new(resolver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_machines_are_out_of_reach_in_every_notation() {
        let (usual, own) = (Reach::default(), Reach { loopback: true });
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "fe80::1",
            "168.63.129.16",
            "100.100.100.200",
            "fd00:ec2::254",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "255.255.255.255",
            "224.0.0.1",
            "ff02::1",
            "fd20:ce::254",
            "192.0.0.192",
            "192.0.2.1",
            "198.18.0.1",
            "64:ff9b:1::a9fe:a9fe",
            "2001:0:a9fe:a9fe::1",
            "::ffff:198.19.0.1",
        ] {
            for reach in [usual, own] {
                assert!(reach.check(address.parse().unwrap()).is_err(), "{address}");
            }
        }
        for address in ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"] {
            assert!(usual.check(address.parse().unwrap()).is_err(), "{address}");
            assert_eq!(own.check(address.parse().unwrap()), Ok(()), "{address}");
        }
        for address in ["10.0.0.1", "192.168.1.1", "172.16.0.1", "8.8.8.8", "fd00::1", "2606:4700::1"] {
            assert_eq!(usual.check(address.parse().unwrap()), Ok(()), "{address}");
        }
    }

    #[test]
    fn of_a_names_addresses_only_those_within_reach_are_connected_to() {
        let found = |addresses: &[&str]| -> Vec<SocketAddr> {
            addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect()
        };
        let usual = Reach::default();
        let mixed = found(&["127.0.0.1", "10.0.0.1", "fd20:ce::254", "8.8.8.8"]);
        assert_eq!(usual.within(mixed), Ok(found(&["10.0.0.1", "8.8.8.8"])));
        let refused = usual.within(found(&["::1", "169.254.169.254"])).unwrap_err();
        assert!(refused.to_string().contains("--webhook-loopback"), "{refused}");
        assert_eq!(usual.within(Vec::new()), Ok(Vec::new()));
    }

    /// An address of this machine that its interfaces have and that is no loopback address by its number.
    #[test]
    fn this_machines_other_addresses_are_this_machine() {
        let (usual, own) = (Reach::default(), Reach { loopback: true });
        for address in ["10.0.0.1", "172.16.0.1", "fd00::1"] {
            // Those that no interface has are others'.
            let address = address.parse().unwrap();
            assert_eq!(
                usual.check(address).is_ok(),
                AddressKind::from_here(address) != AddressKind::Loopback
            );
        }
        // Which route leads out says which address this machine has there; connecting sends nothing.
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        let Ok(other) = socket.connect("8.8.8.8:9").and_then(|()| socket.local_addr()) else { return };
        assert!(usual.check(other.ip()).unwrap_err().to_string().contains("--webhook-loopback"), "{other}");
        assert_eq!(own.check(other.ip()), Ok(()));
    }
}
