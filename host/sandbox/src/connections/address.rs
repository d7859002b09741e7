//! Which addresses a connection may reach: public ones, and those that its configuration lists.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    length: u8,
}

impl Cidr {
    /// Reads `10.0.0.0/8`, or one address.
    pub fn parse(text: &str) -> Option<Cidr> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address.parse::<IpAddr>().ok()?, Some(length.parse::<u8>().ok()?)),
            None => (text.parse::<IpAddr>().ok()?, None),
        };
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = length.unwrap_or(most);
        (length <= most).then_some(Cidr { address, length })
    }

    /// Whether the range holds the address. An IPv4 address within IPv6 counts as that IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let same = |a: u128, b: u128, bits: u32| (a ^ b).checked_shr(bits - u32::from(self.length)).unwrap_or(0) == 0;
        match (self.address, canonical(address)) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(u32::from(a).into(), u32::from(b).into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.into(), b.into(), 128),
            _ => false,
        }
    }
}

/// Whether an address may be reached: it is public, or listed.
pub fn allowed(address: IpAddr, listed: &[Cidr]) -> bool {
    listed.iter().any(|range| range.contains(address)) || is_public(canonical(address))
}

/// The IPv4 address that an IPv6 address carries (mapped, compatible, NAT64, 6to4), which is where the packets would end.
fn canonical(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let embedded = match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, a, b] => Some((a, b)),
        [0, 0, 0, 0, 0, 0, a, b] if !v6.is_loopback() && !v6.is_unspecified() => Some((a, b)),
        [0x64, 0xff9b, 0, 0, 0, 0, a, b] => Some((a, b)),
        [0x2002, a, b, ..] => Some((a, b)),
        _ => None,
    };
    match embedded {
        Some((a, b)) => IpAddr::V4(Ipv4Addr::from((u32::from(a) << 16) | u32::from(b))),
        None => address,
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let special = v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_documentation()
        || a == 0
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 198 && (b == 18 || b == 19))
        || (a == 192 && b == 0 && c == 0);
    !special
}

/// Global unicast, 2000::/3, is all that is public; documentation and Teredo within it are not.
fn is_public_v6(v6: Ipv6Addr) -> bool {
    match v6.segments() {
        [0x2001, 0, ..] | [0x2001, 0xdb8, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_that_are_not_public_must_be_listed() {
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "172.16.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "ff02::1",
            "2001:db8::1",
        ] {
            assert!(!allowed(ip(address), &[]), "{address}");
        }
        for address in ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1"] {
            assert!(allowed(ip(address), &[]), "{address}");
        }
    }

    #[test]
    fn a_listed_range_allows_what_it_holds_and_no_more() {
        let listed =
            [Cidr::parse("10.0.0.0/8").unwrap(), Cidr::parse("fd00::/8").unwrap(), Cidr::parse("127.0.0.1").unwrap()];
        for address in ["10.9.9.9", "fd12::1", "127.0.0.1", "::ffff:10.0.0.1"] {
            assert!(allowed(ip(address), &listed), "{address}");
        }
        for address in ["11.0.0.1", "127.0.0.2", "fe80::1", "192.168.1.1"] {
            assert_eq!(allowed(ip(address), &listed), address == "11.0.0.1", "{address}");
        }
        assert!(Cidr::parse("0.0.0.0/0").unwrap().contains(ip("127.0.0.1")));
        assert!(Cidr::parse("10.0.0.0/33").is_none());
    }
}
