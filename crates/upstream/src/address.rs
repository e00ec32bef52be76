//! What kind of address an address is: by IANA's registries of special-purpose addresses, and by the few more
//! at which clouds keep what their machines may know.
//!
//! <https://www.iana.org/assignments/iana-ipv4-special-registry> and
//! <https://www.iana.org/assignments/iana-ipv6-special-registry>, as of 2025-10. What they list as globally
//! reachable is not special here: AS112's servers (192.31.196.0/24, 192.175.48.0/24, 2620:4f:8000::/48) and AMT's
//! relays (192.52.193.0/24); but for the few within 2001::/23, at which no registry or receiver is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use AddressKind::{Loopback, Never, Private, Public};

/// What kind of address it is, for whoever is asked by others to connect to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// Anybody's.
    Public,
    /// Of the network that this machine stands in.
    Private,
    /// This machine.
    Loopback,
    /// Link-local, metadata services, examples, multicast, nowhere.
    Never,
}

impl AddressKind {
    /// The kind of an address by its number alone, also of one that stands for another (IPv4 within IPv6).
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => kind_v4(address),
            IpAddr::V6(address) => kind_v6(address),
        }
    }

    /// The same, seen from this machine: its own addresses are [`AddressKind::Loopback`], whatever their
    /// numbers. Asks the system which route leads there, and sends nothing.
    #[must_use]
    pub fn from_here(address: IpAddr) -> Self {
        match Self::of(address) {
            Public | Private if sends_from(address) || binds_to(address) => Loopback,
            // Laboratories use addresses that are set apart.
            Never if sends_from(address) => Loopback,
            kind => kind,
        }
    }
}

/// The system sends what goes to one of its own addresses from that very address.
fn sends_from(address: IpAddr) -> bool {
    let address = led_to(address);
    let unspecified: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = || {
        let socket = UdpSocket::bind((unspecified, 0))?;
        // Connecting such a socket only looks the route up. The port is discard's; nothing is sent to it.
        socket.connect((address, 9))?;
        socket.local_addr()
    };
    // No route: nothing can be connected to there, either.
    source().is_ok_and(|source| source.ip() == address)
}

/// The system lets a socket have one of its own addresses, also those of a whole network that is routed to it.
fn binds_to(address: IpAddr) -> bool {
    let address = led_to(address);
    let binds = |address: IpAddr| UdpSocket::bind((address, 0)).is_ok();
    // Some systems let a socket have any address (`ip_nonlocal_bind`): then that says nothing.
    let others: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::new(240, 0, 0, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0x77).into(),
    };
    binds(address) && !binds(others)
}

fn led_to(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(within) => embedded(within).map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

fn kind_v4(address: Ipv4Addr) -> AddressKind {
    let number = u32::from(address);
    let within = |(network, bits, _): &&(Ipv4Addr, u32, AddressKind)| {
        (number ^ u32::from(*network)).checked_shr(32 - bits).unwrap_or(0) == 0
    };
    SPECIAL_V4.iter().find(within).map_or(Public, |(_, _, kind)| *kind)
}

fn kind_v6(address: Ipv6Addr) -> AddressKind {
    let number = u128::from(address);
    let within = |(network, bits, _): &&(Ipv6Addr, u32, AddressKind)| {
        (number ^ u128::from(*network)).checked_shr(128 - bits).unwrap_or(0) == 0
    };
    let own = match SPECIAL_V6.iter().find(within) {
        Some((_, _, kind)) => *kind,
        // Global unicast; nothing else is given to anybody (RFC 4291, section 2.4).
        None if address.segments()[0] & 0xe000 == 0x2000 => Public,
        None if embedded(address).is_some() => Public,
        None => Never,
    };
    match (own, embedded(address)) {
        (Public | Private, Some(embedded)) if kind_v4(embedded) != Public => kind_v4(embedded),
        (own, _) => own,
    }
}

/// The IPv4 address that an IPv6 address leads to: mapped, NAT64 (RFC 6052), 6to4 (RFC 3056), ISATAP
/// (RFC 5214). What Teredo and IPv4-compatible addresses hold is not looked for: they lead nowhere.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => (high, low),
        [0x2002, high, low, ..] => (high, low),
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => (high, low),
        _ => return None,
    };
    Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
}

/// The first that fits decides.
const SPECIAL_V4: [(Ipv4Addr, u32, AddressKind); 17] = [
    // Metadata services that are not at a link-local address: Alibaba's, and Azure's own agent.
    (Ipv4Addr::new(100, 100, 100, 200), 32, Never),
    (Ipv4Addr::new(168, 63, 129, 16), 32, Never),
    // "This network".
    (Ipv4Addr::new(0, 0, 0, 0), 8, Never),
    (Ipv4Addr::new(10, 0, 0, 0), 8, Private),
    // Shared by carriers and their customers.
    (Ipv4Addr::new(100, 64, 0, 0), 10, Private),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Loopback),
    (Ipv4Addr::new(169, 254, 0, 0), 16, Never),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Private),
    // IETF protocol assignments; Oracle's metadata service was there.
    (Ipv4Addr::new(192, 0, 0, 0), 24, Never),
    // Documentation.
    (Ipv4Addr::new(192, 0, 2, 0), 24, Never),
    (Ipv4Addr::new(198, 51, 100, 0), 24, Never),
    (Ipv4Addr::new(203, 0, 113, 0), 24, Never),
    // 6to4 relays, given up.
    (Ipv4Addr::new(192, 88, 99, 0), 24, Never),
    (Ipv4Addr::new(192, 168, 0, 0), 16, Private),
    // Benchmarks.
    (Ipv4Addr::new(198, 18, 0, 0), 15, Never),
    // Multicast; AS112's and AMT's anycast addresses are in no row.
    (Ipv4Addr::new(224, 0, 0, 0), 4, Never),
    // Reserved, and the limited broadcast.
    (Ipv4Addr::new(240, 0, 0, 0), 4, Never),
];

/// The first that fits decides. What is in no row and not within 2000::/3 is given to nobody.
const SPECIAL_V6: [(Ipv6Addr, u32, AddressKind); 17] = [
    // Metadata services within unique local addresses: Amazon's, Google's, Oracle's, Scaleway's.
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0), 32, Never),
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0), 32, Never),
    (Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0, 0), 32, Never),
    (Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0), 32, Never),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 1), 128, Loopback),
    // NAT64 by a translator of one's own: where in it the IPv4 address is, only that one knows.
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, Never),
    // Discard, and what no interface has.
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 63, Never),
    // IETF protocol assignments: Teredo, ORCHID, port control, drones.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, Never),
    // Benchmarks are within the row above (2001:2::/48). Documentation:
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, Never),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, Never),
    // Segment routing's identifiers.
    (Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0), 16, Never),
    // Unique local.
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, Private),
    // Link-local, and site-local, given up.
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, Never),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, Never),
    // Multicast.
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, Never),
    // Test networks of 6bone, given back.
    (Ipv6Addr::new(0x3ffe, 0, 0, 0, 0, 0, 0, 0), 16, Never),
    (Ipv6Addr::UNSPECIFIED, 128, Never),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_special_address_is_of_its_kind() {
        for (kind, addresses) in [
            (
                Public,
                "8.8.8.8 1.0.0.1 100.63.255.255 100.128.0.1 172.15.0.1 172.32.0.1 192.0.1.1 192.0.3.1 198.17.255.255 198.20.0.1 223.255.255.255 192.31.196.1 2606:4700::1 2001:200::1 2620:4f:8000::1 64:ff9b::808:808 2002:808:808::1 ::ffff:8.8.8.8",
            ),
            (
                Private,
                "10.0.0.1 100.64.0.1 100.127.255.255 172.16.0.1 172.31.255.255 192.168.1.1 fc00::1 fd00::1 fd12:3456::1 ::ffff:10.0.0.1 64:ff9b::a00:1 2002:a00:1::1 2606:4700::5efe:10.0.0.1",
            ),
            (Loopback, "127.0.0.1 127.255.255.255 ::1 ::ffff:127.0.0.1 64:ff9b::7f00:1 2002:7f00:1::1"),
            (
                Never,
                "0.0.0.0 0.1.2.3 169.254.169.254 192.0.0.1 192.0.0.192 192.0.0.255 192.0.2.1 198.51.100.1 203.0.113.1 192.88.99.1 198.18.0.1 198.19.255.255 224.0.0.1 240.0.0.1 255.255.255.255 100.100.100.200 168.63.129.16",
            ),
            (
                Never,
                ":: ::8.8.8.8 ::127.0.0.1 ::ffff:0:8.8.8.8 64:ff9b:1::1 64:ff9b:1:a00:0:100:: 100::1 100:0:0:1::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2::1 2001:1ff::1 2001:db8::1 3fff::1 3fff:fff::1 5f00::1 fe80::1 febf::1 fec0::1 ff02::1 fd00:ec2::254 fd20:ce::254 fd20:ce:1::1 fd00:c1::a9fe:a9fe fd00:42::42 ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe::1 ::ffff:198.18.0.1 64:ff9b::c000:201 4000::1 200::1 fe00::1",
            ),
        ] {
            for address in addresses.split(' ') {
                assert_eq!(AddressKind::of(address.parse().expect("an address")), kind, "{address}");
            }
        }
    }

    #[test]
    fn this_machine_knows_its_own_addresses() {
        for own in ["127.0.0.1", "::ffff:127.0.0.1"] {
            let own = own.parse().expect("an address");
            assert!(sends_from(own) && binds_to(own), "{own}");
        }
        // No machine has these.
        for other in ["240.0.0.2", "100::78"] {
            let other = other.parse().expect("an address");
            assert!(!sends_from(other) && !binds_to(other), "{other}");
        }
        for never in ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "169.254.169.254"] {
            assert_eq!(AddressKind::from_here(never.parse().expect("an address")), Never, "{never}");
        }
    }
}
