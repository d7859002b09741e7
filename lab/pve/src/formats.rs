//! The named formats of parameters.

use crate::params::Kind;

/// A VM's id.
pub const VMID: Kind = Kind::Integer(100, 999_999_999);
/// A node's name.
pub const NODE: Kind = Kind::Format(|text| shape(label(text), "value does not look like a valid node name\n"));
/// A storage's id.
pub const STORAGE: Kind = Kind::Format(|text| {
    let good = text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.len() > 1 && words(text);
    shape(good, &format!("storage ID '{text}' contains illegal characters\n"))
});
/// A pool's id.
pub const POOL: Kind = Kind::Format(|text| {
    shape(!text.is_empty() && text.split('/').all(words), "value does not look like a valid pool name\n")
});
/// A DNS name.
pub const DNS_NAME: Kind =
    Kind::Format(|text| shape(text.split('.').all(label), "value does not look like a valid DNS name\n"));
/// Tags, separated by commas, semicolons or spaces.
pub const TAGS: Kind = Kind::Format(|text| {
    let tag = |tag: &str| {
        tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && tag.chars().all(|c| c.is_ascii_alphanumeric() || "_+.-".contains(c))
    };
    shape(split(text).all(tag), "invalid characters in tag\n")
});
/// Percent-encoded text: no plus sign for a space.
pub const URL_ENCODED: Kind = Kind::Format(|text| {
    let good = text.chars().all(|c| c.is_ascii_alphanumeric() || "-%_.!~*'()".contains(c));
    shape(good, &format!("invalid urlencoded string: '{text}'\n"))
});
/// Names of configuration keys.
pub const CONFIG_IDS: Kind = Kind::Format(|text| {
    let id = |id: &str| id.starts_with(|c: char| c.is_ascii_alphabetic()) && words(id);
    shape(split(text).all(id), &format!("invalid configuration ID '{text}'\n"))
});
/// A size to grow a disk to, or by.
pub const SIZE: Kind = Kind::Format(|text| {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let digits = digits.strip_suffix(['K', 'M', 'G', 'T']).unwrap_or(digits);
    let good = digits.parse::<f64>().is_ok() && digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    if good { Ok(()) } else { Err(PATTERN.to_owned()) }
});
/// A size as it stands in a drive.
pub const DISK_SIZE: Kind =
    Kind::Format(|text| shape(crate::property::bytes(text).is_some(), "value does not look like a valid disk size\n"));
/// A MAC address of one card.
pub const MAC: Kind = Kind::Format(|text| {
    let pairs = text.split(':').filter(|pair| pair.len() == 2 && u8::from_str_radix(pair, 16).is_ok()).count();
    let first = text.get(..2).and_then(|pair| u8::from_str_radix(pair, 16).ok()).unwrap_or(1);
    let good = text.len() == 17 && pairs == 6 && first & 1 == 0;
    shape(good, "value does not look like a valid unicast MAC address\n")
});
/// A volume, or `none`, or a path.
pub const VOLUME: Kind = Kind::Format(|text| {
    let good = matches!(text, "none" | "cdrom") || text.starts_with('/') || text.contains(':');
    shape(good, &format!("unable to parse volume ID '{text}'\n"))
});
/// A list of VM ids.
pub const VMIDS: Kind = Kind::Format(|text| {
    shape(split(text).all(|id| id.parse::<u32>().is_ok_and(|id| id >= 100)), "value does not look like a valid VM ID\n")
});
/// An address with prefix, or how to get one.
pub const IPV4_CONFIG: Kind = Kind::Format(|text| {
    shape(
        text == "dhcp" || cidr::<std::net::Ipv4Addr>(text, 32),
        "value does not look like a valid ipv4 network configuration\n",
    )
});
/// The same for IPv6.
pub const IPV6_CONFIG: Kind = Kind::Format(|text| {
    let good = matches!(text, "dhcp" | "auto") || cidr::<std::net::Ipv6Addr>(text, 128);
    shape(good, "value does not look like a valid ipv6 network configuration\n")
});
/// An address.
pub const ADDRESS: Kind = Kind::Format(|text| {
    shape(text.parse::<std::net::IpAddr>().is_ok(), "value does not look like a valid IP address\n")
});
/// Several addresses.
pub const ADDRESSES: Kind = Kind::Format(|text| {
    shape(split(text).all(|a| a.parse::<std::net::IpAddr>().is_ok()), "value does not look like a valid IP address\n")
});
/// A UUID.
pub const UUID: Kind = Kind::Format(|text| {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    let hex = text.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    if hex && groups == [8, 4, 4, 4, 12] { Ok(()) } else { Err(PATTERN.to_owned()) }
});

const PATTERN: &str = "value does not match the regex pattern";

/// Splits a list as the API does.
pub fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ';', ' ', '\0']).filter(|part| !part.is_empty())
}

fn shape(good: bool, otherwise: &str) -> Result<(), String> {
    if good { Ok(()) } else { Err(format!("invalid format - {otherwise}")) }
}

fn label(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    edge(text.chars().next())
        && edge(text.chars().last())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && text.len() <= 63
}

fn words(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

fn cidr<A: std::str::FromStr>(text: &str, most: u8) -> bool {
    text.split_once('/').is_some_and(|(address, prefix)| {
        address.parse::<A>().is_ok() && prefix.parse::<u8>().is_ok_and(|prefix| prefix <= most)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::value_fault;

    #[test]
    fn formats_tell_good_from_bad() {
        for (kind, good, bad) in [
            (NODE, "pve1", "pve_1"),
            (STORAGE, "vm-data", "1x"),
            (POOL, "a/b", ""),
            (DNS_NAME, "a-1.b", "-a"),
            (TAGS, "k8s;A_b,c", "a b@"),
            (URL_ENCODED, "ssh-ed25519%20AA%2BB", "ssh AA+B"),
            (CONFIG_IDS, "net1,ide2", "1x"),
            (SIZE, "+10G", "10X"),
            (MAC, "BC:24:11:2E:C5:4A", "01:24:11:2E:C5:4A"),
            (VOLUME, "seeds:iso/a.iso", "seeds"),
            (IPV4_CONFIG, "10.0.0.5/24", "10.0.0.5"),
            (IPV6_CONFIG, "auto", "x"),
            (UUID, "6a1f0c2e-5b7d-4c55-9a3e-2f4b8d1c7e90", "6a1f"),
        ] {
            assert_eq!(value_fault(kind, "x", good), None, "{good}");
            assert!(value_fault(kind, "x", bad).is_some(), "{bad}");
        }
    }
}
