//! Which addresses a request may go to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Special-purpose IPv4 blocks (IANA registry): private, shared, loopback, link-local with cloud metadata,
/// documentation, benchmarking, 6to4 relay, multicast, reserved.
const BLOCKED_V4: [(Ipv4Addr, u8); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
    (Ipv4Addr::new(168, 63, 129, 16), 32),
];

/// Of IPv6 only global unicast (`2000::/3`) is reachable at all; these blocks inside it are special: Teredo and
/// other protocol assignments, documentation, 6to4.
const BLOCKED_V6: [(Ipv6Addr, u8); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Every block that no request goes to, of the address space that is public otherwise.
pub fn blocked() -> Vec<IpNet> {
    let v4 = BLOCKED_V4.iter().filter_map(|(start, length)| Ipv4Net::new(*start, *length).ok()).map(IpNet::V4);
    let v6 = BLOCKED_V6.iter().filter_map(|(start, length)| Ipv6Net::new(*start, *length).ok()).map(IpNet::V6);
    v4.chain(v6).collect()
}

/// The addresses that are permitted: public ones, and the exceptions that the configuration opens.
#[derive(Debug, Clone, Default)]
pub struct AddressPolicy {
    /// Exceptions, such as `127.0.0.0/8`.
    pub allowed: Vec<IpNet>,
}

impl AddressPolicy {
    /// Whether a request may go to an address.
    pub fn permits(&self, address: IpAddr) -> bool {
        let canonical = address.to_canonical();
        self.allowed.iter().any(|net| net.contains(&canonical)) || is_public(canonical)
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            !BLOCKED_V4.iter().any(|(start, length)| Ipv4Net::new(*start, *length).is_ok_and(|net| net.contains(&v4)))
        }
        IpAddr::V6(v6) => {
            v6.segments()[0] & 0xe000 == 0x2000
                && !BLOCKED_V6
                    .iter()
                    .any(|(start, length)| Ipv6Net::new(*start, *length).is_ok_and(|net| net.contains(&v6)))
        }
    }
}

#[cfg(test)]
#[path = "tests/address.rs"]
mod tests;
