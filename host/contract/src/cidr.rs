//! Ranges of addresses.

use std::fmt;
use std::net::IpAddr;

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cidr {
    /// The address as it was written; it may lie within the range.
    pub address: IpAddr,
    /// Bits of the prefix.
    pub length: u8,
}

impl Cidr {
    pub fn parse(text: &str) -> Option<Cidr> {
        let (address, length) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let plain = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
        let length: u8 = length.parse().ok().filter(|_| plain)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        (length <= most).then_some(Cidr { address, length })
    }

    /// The first address.
    pub fn network(self) -> IpAddr {
        let length = u32::from(self.length);
        match self.address {
            IpAddr::V4(v4) => IpAddr::V4((u32::from(v4) & u32::MAX.checked_shl(32 - length).unwrap_or(0)).into()),
            IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & u128::MAX.checked_shl(128 - length).unwrap_or(0)).into()),
        }
    }

    /// Whether the address lies in it.
    pub fn contains(self, address: IpAddr) -> bool {
        self.overlaps(Cidr { address, length: if address.is_ipv4() { 32 } else { 128 } })
    }

    /// Whether an address lies in both.
    pub fn overlaps(self, other: Cidr) -> bool {
        let length = self.length.min(other.length);
        self.address.is_ipv4() == other.address.is_ipv4()
            && Cidr { length, ..self }.network() == Cidr { length, ..other }.network()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_compared() {
        let cidr = |text| Cidr::parse(text).unwrap();
        assert_eq!(cidr("10.0.0.7/16").network().to_string(), "10.0.0.0");
        assert_eq!(cidr("fd00::7/64").network().to_string(), "fd00::");
        for (a, b, both) in [
            ("10.0.0.0/8", "10.96.0.0/12", true),
            ("10.96.0.0/12", "10.0.0.0/8", true),
            ("0.0.0.0/0", "10.0.0.0/8", true),
            ("10.0.0.0/16", "10.1.0.0/16", false),
            ("10.0.0.1/32", "10.0.0.1/32", true),
            ("::/0", "10.0.0.0/8", false),
            ("fd00::/56", "fd00:0:0:80::/64", true),
        ] {
            assert_eq!(cidr(a).overlaps(cidr(b)), both, "{a} {b}");
        }
        for text in ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/", "x/8", "::/129", ""] {
            assert_eq!(Cidr::parse(text), None, "{text}");
        }
    }
}
