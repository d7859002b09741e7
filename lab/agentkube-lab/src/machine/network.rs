//! Which addresses a machine gets: those of its `network-config`, or one by DHCP.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lab_wire::GuestAddress;
use serde::Deserialize;

/// A `network-config`, version 1 or 2, with or without the outer `network` key.
#[derive(Debug, Deserialize)]
struct Document {
    network: Option<Config>,
    #[serde(flatten)]
    config: Config,
}

#[derive(Debug, Default, Deserialize)]
struct Config {
    #[serde(default)]
    version: u32,
    #[serde(default)]
    ethernets: BTreeMap<String, Ethernet>,
    #[serde(default)]
    config: Vec<Physical>,
}

/// An interface of version 2.
#[derive(Debug, Default, Deserialize)]
struct Ethernet {
    #[serde(rename = "match")]
    matching: Option<Match>,
    #[serde(default)]
    dhcp4: bool,
    #[serde(default)]
    addresses: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Match {
    macaddress: Option<String>,
}

/// An interface of version 1.
#[derive(Debug, Deserialize)]
struct Physical {
    #[serde(rename = "type")]
    kind: String,
    name: Option<String>,
    mac_address: Option<String>,
    #[serde(default)]
    subnets: Vec<Subnet>,
}

#[derive(Debug, Deserialize)]
struct Subnet {
    #[serde(rename = "type")]
    kind: String,
    address: Option<String>,
    netmask: Option<String>,
}

/// The addresses of a machine with these network cards. Without a `network-config` the first card asks DHCP, as cloud-init's
/// fallback does. A configuration that fits none of the cards leaves the machine without addresses, as it would a real one.
pub fn addresses(config: Option<&[u8]>, macs: &[String]) -> Result<Vec<GuestAddress>, String> {
    let Some(config) = config.filter(|config| !config.trim_ascii().is_empty()) else {
        return Ok(macs.first().map(|mac| dhcp(0, mac)).into_iter().collect());
    };
    let text = std::str::from_utf8(config).map_err(|_| "network-config is not UTF-8".to_owned())?;
    let document: Document = serde_saphyr::from_str(text).map_err(|error| format!("network-config: {error}"))?;
    let config = document.network.unwrap_or(document.config);
    match config.version {
        1 => Ok(version_1(&config, macs)),
        2 => Ok(version_2(&config, macs)),
        other => Err(format!("network-config: version {other} is not known")),
    }
}

/// Position of the card that an interface means: by its MAC, else by its name (`eth0` is the first).
fn card(mac: Option<&str>, name: &str, macs: &[String]) -> Option<usize> {
    match mac {
        Some(mac) => macs.iter().position(|own| own.eq_ignore_ascii_case(mac)),
        None => {
            let index = name.trim_start_matches(|letter: char| !letter.is_ascii_digit()).parse::<usize>().ok()?;
            // Predictable names count slots from a base: `ens18`, `enp6s18` are Proxmox VE's first card.
            let index = if name.starts_with("en") { index.checked_sub(18)? } else { index };
            (index < macs.len()).then_some(index)
        }
    }
}

fn version_1(config: &Config, macs: &[String]) -> Vec<GuestAddress> {
    let mut addresses = Vec::new();
    for physical in config.config.iter().filter(|entry| entry.kind == "physical") {
        let name = physical.name.as_deref().unwrap_or_default();
        let found = card(physical.mac_address.as_deref(), name, macs);
        let Some((index, mac)) = found.and_then(|index| Some((index, macs.get(index)?))) else { continue };
        for subnet in &physical.subnets {
            match (subnet.kind.as_str(), &subnet.address) {
                ("dhcp" | "dhcp4", _) => addresses.push(dhcp(index, mac)),
                ("static", Some(address)) => {
                    addresses.extend(fixed(index, mac, address, subnet.netmask.as_deref()));
                }
                _ => {}
            }
        }
    }
    addresses
}

fn version_2(config: &Config, macs: &[String]) -> Vec<GuestAddress> {
    let mut addresses = Vec::new();
    for (name, ethernet) in &config.ethernets {
        let wanted = ethernet.matching.as_ref().and_then(|matching| matching.macaddress.as_deref());
        let found = card(wanted, name, macs);
        let Some((index, mac)) = found.and_then(|index| Some((index, macs.get(index)?))) else { continue };
        addresses.extend(ethernet.addresses.iter().filter_map(|address| fixed(index, mac, address, None)));
        if ethernet.dhcp4 {
            addresses.push(dhcp(index, mac));
        }
    }
    addresses
}

fn fixed(index: usize, mac: &str, address: &str, netmask: Option<&str>) -> Option<GuestAddress> {
    let (address, prefix) = match address.split_once('/') {
        Some((address, prefix)) => (address, prefix.parse().ok()?),
        None => (address, u8::try_from(netmask?.parse::<std::net::Ipv4Addr>().ok()?.to_bits().count_ones()).ok()?),
    };
    let address = address.parse::<IpAddr>().ok()?.to_string();
    Some(GuestAddress { interface: format!("eth{index}"), mac: mac.to_owned(), address, prefix })
}

/// The lab's DHCP server: an address of 10.64.0.0/10 that follows from the MAC, so that it is the same after every boot.
fn dhcp(index: usize, mac: &str) -> GuestAddress {
    let byte =
        |at: usize| mac.split(':').nth(at).and_then(|pair| u8::from_str_radix(pair, 16).ok()).unwrap_or_default();
    let last = byte(5).clamp(1, 254);
    let address = format!("10.{}.{}.{last}", 64 + byte(3) % 64, byte(4));
    GuestAddress { interface: format!("eth{index}"), mac: mac.to_owned(), address, prefix: 10 }
}

/// The loopback interface, which guest agents report too.
pub fn loopback() -> GuestAddress {
    let mac = "00:00:00:00:00:00".to_owned();
    GuestAddress { interface: "lo".into(), mac, address: "127.0.0.1".into(), prefix: 8 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses_of(config: Option<&str>) -> Vec<String> {
        let macs = ["bc:24:11:00:01:02".to_owned(), "bc:24:11:00:01:03".to_owned()];
        let found = addresses(config.map(str::as_bytes), &macs).unwrap();
        found.iter().map(|found| format!("{} {}/{}", found.interface, found.address, found.prefix)).collect()
    }

    #[test]
    fn configured_or_by_dhcp() {
        assert_eq!(addresses_of(None), ["eth0 10.64.1.2/10"]);
        let v2 = "version: 2\nethernets:\n  nic0:\n    match: {macaddress: 'BC:24:11:00:01:03'}\n    addresses: [10.1.2.3/24]\n";
        assert_eq!(addresses_of(Some(v2)), ["eth1 10.1.2.3/24"]);
        let named = "network:\n  version: 2\n  ethernets:\n    eth0: {dhcp4: true}\n";
        assert_eq!(addresses_of(Some(named)), ["eth0 10.64.1.2/10"]);
        let v1 = "version: 1\nconfig:\n- type: physical\n  name: eth0\n  mac_address: bc:24:11:00:01:02\n  subnets:\n  - {type: static, address: 10.9.8.7, netmask: 255.255.0.0}\n- {type: nameserver, address: [1.1.1.1]}\n";
        assert_eq!(addresses_of(Some(v1)), ["eth0 10.9.8.7/16"]);
    }

    #[test]
    fn a_configuration_for_other_cards_gives_no_address() {
        let other = "version: 2\nethernets:\n  a:\n    match: {macaddress: '02:00:00:00:00:01'}\n    dhcp4: true\n";
        assert!(addresses_of(Some(other)).is_empty());
        assert!(addresses(Some(b"version: 7"), &[]).is_err());
        assert!(addresses(Some(b"version: [\n"), &[]).is_err());
    }
}
