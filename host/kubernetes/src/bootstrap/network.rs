//! Network configuration (version 2) for machines with addresses of their own.

use std::net::IpAddr;

use agentkube_contract::{BootstrapRequest, Card, Pool, StaticAddress};
use serde_json::{Map, Value, json};

use crate::{Error, Result, yaml};

fn wrong(what: impl Into<String>) -> Error {
    Error::bootstrap("NETWORK_ADDRESS", what)
}

fn address(card: &StaticAddress) -> Result<IpAddr> {
    let parsed = card.cidr.split_once('/').and_then(|(address, length)| {
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        (length.parse::<u8>().ok()? <= most).then_some(address)
    });
    let shown = agentkube_contract::cluster::clip(&card.cidr);
    parsed.ok_or_else(|| wrong(format!("`{shown}` is no address with a prefix length, such as 10.0.0.5/24")))
}

/// The address that the kubelet is told: the first fixed one. Without one it finds its own.
pub(crate) fn node_ip(pool: &Pool) -> Result<Option<IpAddr>> {
    pool.shape.networks.iter().find_map(|card| card.address.as_ref()).map(address).transpose()
}

/// The document, when any card has a fixed address. Cards are told by their MAC: names depend on the machine's hardware.
pub(crate) fn configuration(request: &BootstrapRequest<'_>) -> Result<Option<Vec<u8>>> {
    let cards = &request.pool.shape.networks;
    if cards.iter().all(|card| card.address.is_none()) {
        return Ok(None);
    }
    let mut ethernets = Map::new();
    for (n, card) in cards.iter().enumerate() {
        let Some(mac) = request.macs.get(n) else {
            let message = format!(
                "{} has {} cards and {} MAC addresses are known",
                request.key.name,
                cards.len(),
                request.macs.len()
            );
            return Err(Error::bootstrap("NETWORK_MAC", message));
        };
        ethernets.insert(format!("card{n}"), ethernet(card, mac)?);
    }
    let document = yaml::document(&json!({"version": 2, "ethernets": ethernets}));
    Ok(Some(document.into_bytes()))
}

fn ethernet(card: &Card, mac: &str) -> Result<Value> {
    let matched = json!({"macaddress": mac.to_ascii_lowercase()});
    let Some(fixed) = &card.address else { return Ok(json!({"match": matched, "dhcp4": true})) };
    let own = address(fixed)?;
    let mut ethernet = json!({"match": matched, "dhcp4": false, "addresses": [fixed.cidr]});
    let mut also = |field: &str, value: Value| {
        if let Some(fields) = ethernet.as_object_mut() {
            fields.insert(field.to_owned(), value);
        }
    };
    if let Some(gateway) = &fixed.gateway {
        let via: IpAddr = gateway.parse().map_err(|_| wrong("a gateway is no address"))?;
        if via.is_ipv4() != own.is_ipv4() {
            return Err(wrong(format!("the gateway {via} and the address {own} are of different families")));
        }
        // `default` is not understood by every renderer of cloud-init; the range is.
        let to = if own.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
        also("routes", json!([{"to": to, "via": gateway}]));
    }
    if !fixed.dns.is_empty() {
        for server in &fixed.dns {
            server.parse::<IpAddr>().map_err(|_| wrong("a name server is no address"))?;
        }
        also("nameservers", json!({"addresses": fixed.dns}));
    }
    Ok(ethernet)
}
