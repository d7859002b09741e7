//! The named formats that our requests and the lab's answers use. The description names them without saying what they are;
//! what is written here is what pve-common `PVE/JSONSchema.pm` and its callers check.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether a text has the format.
type Check = fn(&str) -> bool;

/// Formats by name. Those that are not here are not checked.
pub(super) fn all() -> Vec<(&'static str, Check)> {
    vec![
        ("pve-vmid", vmid),
        ("pve-vmid-list", |text| every(text, vmid)),
        ("pve-node", label),
        ("pve-node-list", |text| every(text, label)),
        ("dns-name", dns_name),
        ("pve-configid", config_id),
        ("pve-configid-list", |text| every(text, config_id)),
        ("pve-storage-id", storage_id),
        ("pve-storage-id-list", |text| every(text, storage_id)),
        ("pve-poolid", |text| text.split('/').all(|part| words(part, "-_."))),
        ("pve-tag", tag),
        ("pve-tag-list", |text| every(text, tag)),
        ("urlencoded", |text| text.chars().all(|c| c.is_ascii_alphanumeric() || "%-_.!~*'()".contains(c))),
        ("mac-addr", mac),
        ("ip", |text| text.parse::<IpAddr>().is_ok()),
        ("ipv4", |text| text.parse::<Ipv4Addr>().is_ok()),
        ("ipv6", |text| text.parse::<Ipv6Addr>().is_ok()),
        ("CIDR", cidr),
        ("pve-ipv4-config", |text| text == "dhcp" || cidr(text)),
        ("pve-ipv6-config", |text| text == "auto" || text == "dhcp" || cidr(text)),
        ("address", |text| text.parse::<IpAddr>().is_ok() || dns_name(text)),
        ("address-list", |text| every(text, |part| part.parse::<IpAddr>().is_ok() || dns_name(part))),
        ("disk-size", disk_size),
        ("pve-volume-id", volume),
        ("pve-volume-id-or-qm-path", |text| text == "none" || text == "cdrom" || text.starts_with('/') || volume(text)),
    ]
}

fn every(text: &str, check: impl Fn(&str) -> bool) -> bool {
    text.split([',', ';', ' ', '\0']).filter(|part| !part.is_empty()).all(check)
}

fn words(text: &str, more: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
}

fn vmid(text: &str) -> bool {
    text.len() >= 3 && text.len() <= 9 && !text.starts_with('0') && text.chars().all(|c| c.is_ascii_digit())
}

fn label(text: &str) -> bool {
    words(text, "-") && !text.starts_with('-') && !text.ends_with('-')
}

fn dns_name(text: &str) -> bool {
    text.split('.').all(label)
}

fn config_id(text: &str) -> bool {
    text.len() >= 2 && text.starts_with(|c: char| c.is_ascii_alphabetic()) && words(text, "-_")
}

fn storage_id(text: &str) -> bool {
    text.len() >= 2
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && words(text, "-_.")
}

fn tag(text: &str) -> bool {
    words(text, "_-+.") && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
}

fn mac(text: &str) -> bool {
    let bytes: Vec<&str> = text.split(':').collect();
    let unicast = bytes.first().and_then(|byte| u8::from_str_radix(byte, 16).ok()).is_some_and(|byte| byte & 1 == 0);
    let hex = |byte: &&str| byte.len() == 2 && byte.chars().all(|c| c.is_ascii_hexdigit());
    bytes.len() == 6 && bytes.iter().all(hex) && unicast
}

fn cidr(text: &str) -> bool {
    let Some((address, prefix)) = text.split_once('/') else { return false };
    let Ok(prefix) = prefix.parse::<u8>() else { return false };
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => prefix <= 32,
        Ok(IpAddr::V6(_)) => prefix <= 128,
        Err(_) => false,
    }
}

fn disk_size(text: &str) -> bool {
    let number = text.strip_suffix(['K', 'M', 'G', 'T']).unwrap_or(text);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    [whole, fraction].iter().all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit()))
}

fn volume(text: &str) -> bool {
    text.split_once(':').is_some_and(|(storage, name)| storage_id(storage) && !name.is_empty())
}
