//! What is wrong in a description of a cluster: everything that every provider would trip over, found at once.
//!
//! Paths are those of the description with pools by their names: `network.podCidrs[0]`, `pools.workers.count`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::cidr::Cidr;
use crate::cluster::{clip, minor};
use crate::identity::check_pool_name;
use crate::mistake::{Mistake, place, refuse};
use crate::{Card, Cluster, Pool, Result, StaticAddress};

/// Most machines that one pool may ask for.
pub const POOL_LIMIT: u32 = 1000;
/// Most machines of one cluster: what Kubernetes is made for (kubernetes.io/docs/setup/best-practices/cluster-large).
pub const CLUSTER_LIMIT: u64 = 5000;
/// Most pools of one cluster.
pub const POOLS_LIMIT: usize = 100;
/// Fewest and most cores of a machine.
const CORES: (u64, u64) = (1, 1024);
/// Least and most memory of a machine (MiB).
const MEMORY: (u64, u64) = (512, 16 << 20);
/// Smallest and largest root disk of a machine (GiB).
const DISK: (u64, u64) = (1, 64 << 10);
const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

impl Cluster {
    /// Refuses what cannot become a cluster, with `BAD_PROPERTIES` and every mistake.
    pub fn check(&self) -> Result<()> {
        refuse(&self.mistakes())
    }

    /// Everything that is wrong.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut found = Vec::new();
        if let Err(fault) = minor(&self.version) {
            found.push(Mistake::new("version", &fault.code, fault.message));
        }
        let counts = self.pools.iter().map(|pool| pool.count).filter(|count| *count <= POOL_LIMIT);
        let machines: u64 = counts.map(u64::from).sum();
        if machines > CLUSTER_LIMIT {
            let text = format!("{machines} machines are asked for; a cluster has {CLUSTER_LIMIT} at most");
            found.push(Mistake::new("pools", "CLUSTER_SIZE", text));
        }
        let (pods, services) = self.network.look(&mut found, machines);
        if !is_domain(&self.network.domain) {
            let text = format!("`{}` is no DNS domain, such as cluster.local", clip(&self.network.domain));
            found.push(Mistake::new("network.domain", "DOMAIN", text));
        }
        let replicas = self.control_plane.replicas;
        if !(1..=9).contains(&replicas) {
            found.push(Mistake::new(
                "controlPlane.replicas",
                "REPLICAS",
                format!("is {replicas}; 1 to 9 are possible"),
            ));
        }
        for (at, name) in self.control_plane.cert_sans.iter().enumerate() {
            let host = name.strip_prefix("*.").unwrap_or(name);
            if !is_domain(host) && name.parse::<IpAddr>().is_err() {
                let text = format!("`{}` is neither a DNS name nor an address", clip(name));
                found.push(Mistake::new(format!("controlPlane.certSans[{at}]"), "CERT_SAN", text));
            }
        }
        if self.pools.len() > POOLS_LIMIT {
            let text = format!("there are {}; at most {POOLS_LIMIT} are possible", self.pools.len());
            found.push(Mistake::new("pools", "POOLS", text));
        }
        let (mut seen, mut addresses) = (BTreeSet::new(), BTreeSet::new());
        for pool in &self.pools {
            if !seen.insert(&pool.name) {
                found.push(Mistake::new(pool.place(), "POOL_TWICE", "another pool has the same name"));
            }
            pool.look(&mut found, &[("pod", pods.as_slice()), ("service", services.as_slice())]);
            for (number, card) in pool.shape.networks.iter().enumerate() {
                let address = card.address.as_ref().and_then(|fixed| Cidr::parse(&fixed.cidr)).map(|cidr| cidr.address);
                if address.is_some_and(|address| !addresses.insert(address)) {
                    let at = format!("{}.networks[{number}].address.cidr", pool.place());
                    found.push(Mistake::new(at, "ADDRESS", "another card has the same address"));
                }
            }
        }
        found
    }
}

impl Pool {
    /// Where it stands in the description.
    pub fn place(&self) -> String {
        place("pools", &self.name)
    }

    fn look(&self, found: &mut Vec<Mistake>, ranges: &[(&str, &[Cidr])]) {
        let path = self.place();
        let mut wrong = |at: String, code: &str, text: String| found.push(Mistake::new(at, code, text));
        if let Err(fault) = check_pool_name(&self.name) {
            wrong(path.clone(), &fault.code, fault.message);
        }
        if self.count > POOL_LIMIT {
            let text = format!("asks for {} machines; at most {POOL_LIMIT} are possible", self.count);
            wrong(format!("{path}.count"), "POOL_SIZE", text);
        }
        let shape = &self.shape;
        let mut within = |key: &str, value: u64, unit: &str, range: (u64, u64)| {
            let (least, most) = range;
            if !(least..=most).contains(&value) {
                let text = format!("is {value}{unit}; a node has {least} to {most}{unit}");
                wrong(format!("{path}.{key}"), "POOL_SHAPE", text);
            }
        };
        within("cores", shape.cores.into(), "", CORES);
        within("memory", shape.memory_mib, " MiB", MEMORY);
        within("disk", shape.disk_gib.map_or(DISK.0, u64::from), " GiB", DISK);
        for (key, value) in &self.labels {
            let at = || place(&format!("{path}.labels"), key);
            if !fits_kubernetes(key, value) {
                let text = format!("`{}={}` is no label that Kubernetes takes", clip(key), clip(value));
                wrong(at(), "LABEL", text);
            }
            // Everything that finds a node by its name would find another.
            if key == "kubernetes.io/hostname" {
                wrong(at(), "LABEL", "is the node's own label".to_owned());
            }
        }
        let mut seen = BTreeSet::new();
        for (number, taint) in self.taints.iter().enumerate() {
            let at = format!("{path}.taints[{number}]");
            if !fits_kubernetes(&taint.key, &taint.value) {
                let text = format!("`{}={}` is no taint that Kubernetes takes", clip(&taint.key), clip(&taint.value));
                wrong(format!("{at}.key"), "TAINT", text);
            }
            if !EFFECTS.contains(&taint.effect.as_str()) {
                let text = format!("`{}` is not known; use one of {}", clip(&taint.effect), EFFECTS.join(", "));
                wrong(format!("{at}.effect"), "TAINT_EFFECT", text);
            }
            // A kubelet that is given both does not register its node.
            if !seen.insert((&taint.key, &taint.effect)) {
                let text = "stands with this effect in a taint before it; Kubernetes takes each pair once".to_owned();
                wrong(format!("{at}.key"), "TAINT", text);
            }
        }
        for (number, card) in shape.networks.iter().enumerate() {
            card.look(found, &format!("{path}.networks[{number}]"), self.count, ranges);
        }
    }
}

impl Card {
    fn look(&self, found: &mut Vec<Mistake>, path: &str, machines: u32, ranges: &[(&str, &[Cidr])]) {
        let mut wrong =
            |key: &str, code: &str, text: String| found.push(Mistake::new(format!("{path}.{key}"), code, text));
        // Providers write the name into lists of options.
        if self.network.contains(|c: char| c.is_control() || ",;=".contains(c)) {
            let text = format!(
                "`{}` is no network: no name of one has `,`, `;`, `=` or control characters",
                clip(&self.network)
            );
            wrong("network", "BAD_VALUE", text);
        }
        if let Some(vlan) = self.vlan.filter(|vlan| !(1..=4094).contains(vlan)) {
            wrong("vlan", "BAD_VALUE", format!("is {vlan}; 1 to 4094 are possible"));
        }
        let Some(StaticAddress { cidr, gateway, dns }) = &self.address else { return };
        if machines > 1 {
            let text =
                format!("is one address for {machines} machines; give each a pool of its own, or leave it to DHCP");
            wrong("address", "ADDRESS", text);
        }
        for (at, server) in dns.iter().enumerate().filter(|(_, server)| server.parse::<IpAddr>().is_err()) {
            wrong(&format!("address.dns[{at}]"), "ADDRESS", format!("`{}` is no address", clip(server)));
        }
        let Some(node) = Cidr::parse(cidr) else {
            let text = format!("`{}` is no address with its prefix, such as 10.0.0.5/24", clip(cidr));
            return wrong("address.cidr", "CIDR", text);
        };
        if let Some(gateway) = gateway {
            let via: Option<IpAddr> = gateway.parse().ok();
            // A router outside the range is never asked; one of IPv6 may have its link-local address (RFC 4861).
            let near =
                |via: IpAddr| node.contains(via) || matches!(via, IpAddr::V6(via) if via.is_unicast_link_local());
            let fits =
                via.is_some_and(|via| via != node.address && via.is_ipv4() == node.address.is_ipv4() && near(via));
            if !fits {
                let text = format!("`{}` is no other address within {cidr}", clip(gateway));
                wrong("address.gateway", "ADDRESS", text);
            }
        }
        for (whose, theirs) in ranges {
            for range in theirs.iter().filter(|range| range.overlaps(node)) {
                let text = format!("{cidr} overlaps the {whose} range {range}; a node outside it is needed");
                wrong("address.cidr", "CIDR_OVERLAP", text);
            }
        }
    }
}

/// Lower-case DNS labels of 1 to 63 characters, together at most 253.
fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && has_ends(label)
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn has_ends(text: &str) -> bool {
    let fits = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    fits(text.chars().next()) && fits(text.chars().next_back())
}

/// Keys and values of labels and taints have the same form (Kubernetes API conventions: labels): an optional DNS prefix and `/`, then
/// up to 63 characters of letters, digits, `-`, `_` and `.` with a letter or digit at both ends; a value may be empty.
fn fits_kubernetes(key: &str, value: &str) -> bool {
    let word = |text: &str| {
        text.len() <= 63 && has_ends(text) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let prefix = |text: &str| {
        text.len() <= 253
            && has_ends(text)
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
    };
    let key_fits = match key.split_once('/') {
        Some((before, name)) => prefix(before) && word(name),
        None => word(key),
    };
    key_fits && (value.is_empty() || word(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Card, StaticAddress, Taint};

    fn cluster() -> Cluster {
        serde_json::from_str(
            r#"{"version":"v1.35.2","pools":[{"name":"w","count":1,"shape":{"cores":2,"memoryMib":2048}}]}"#,
        )
        .unwrap()
    }

    #[test]
    fn a_short_description_gets_sensible_defaults() {
        let cluster = cluster();
        cluster.check().unwrap();
        assert_eq!(cluster.control_plane.replicas, 2);
        assert!(cluster.powered);
    }

    /// Path and code of everything wrong after a change.
    fn found(change: impl FnOnce(&mut Cluster)) -> Vec<(String, String)> {
        let mut cluster = cluster();
        change(&mut cluster);
        cluster.mistakes().into_iter().map(|mistake| (mistake.path, mistake.code)).collect()
    }

    fn one(path: &str, code: &str) -> Vec<(String, String)> {
        vec![(path.to_owned(), code.to_owned())]
    }

    fn at(cidr: &str) -> Vec<Card> {
        let address = StaticAddress { cidr: cidr.to_owned(), gateway: None, dns: Vec::new() };
        vec![Card { network: "n".to_owned(), vlan: None, firewall: false, address: Some(address) }]
    }

    // Checklist 146, 180.
    #[test]
    fn each_mistake_has_its_path_and_code() {
        assert_eq!(found(|c| c.version = "1.30".into()), one("version", "VERSION"));
        let pods = "network.podCidrs";
        for (cidrs, code) in [
            (vec!["10.0.0.0/33"], "CIDR"),
            (vec!["10.0.0.7/16"], "CIDR"),
            (vec![], "CIDR"),
            (vec!["10.96.128.0/20"], "CIDR_OVERLAP"),
            (vec!["10.244.0.0/30"], "CIDR_SIZE"),
            (vec!["127.0.0.0/16"], "CIDR"),
            (vec!["fd00::/56", "10.244.0.0/16"], "CIDR_FAMILIES"),
            (vec!["10.1.0.0/16", "10.2.0.0/16"], "CIDR_FAMILIES"),
        ] {
            let cidrs = cidrs.into_iter().map(str::to_owned).collect();
            assert_eq!(found(|c| c.network.pod_cidrs = cidrs), one(pods, code));
        }
        let address = "pools.w.networks[0].address.cidr";
        assert_eq!(found(|c| c.pools[0].shape.networks = at("10.244.3.5/24")), one(address, "CIDR_OVERLAP"));
        assert_eq!(found(|c| c.pools[0].shape.networks = at("10.96.0.5/24")), one(address, "CIDR_OVERLAP"));
        assert_eq!(found(|c| c.pools[0].shape.networks = at("10.0.0.5")), one(address, "CIDR"));
        assert_eq!(found(|c| c.pools[0].shape.networks = at("10.0.0.5/24")), []);
        let two = |c: &mut Cluster| (c.pools[0].shape.networks, c.pools[0].count) = (at("10.0.0.5/24"), 2);
        assert_eq!(found(two), one("pools.w.networks[0].address", "ADDRESS"));
        let twice = found(|c| c.pools[0].shape.networks = [at("10.0.0.5/24"), at("10.0.0.5/16")].concat());
        assert_eq!(twice, one("pools.w.networks[1].address.cidr", "ADDRESS"));
        for (gateway, dns, place) in [
            ("10.0.1.1", "10.0.0.2", Some("gateway")),
            ("10.0.0.5", "10.0.0.2", Some("gateway")),
            ("fe80::1", "10.0.0.2", Some("gateway")),
            ("x", "10.0.0.2", Some("gateway")),
            ("10.0.0.1", "ns.example.org", Some("dns[0]")),
            ("10.0.0.1", "192.0.2.53", None),
        ] {
            let mut cards = at("10.0.0.5/24");
            let fixed = cards[0].address.as_mut().unwrap();
            (fixed.gateway, fixed.dns) = (Some(gateway.to_owned()), vec![dns.to_owned()]);
            let expected = place.map(|key| one(&format!("pools.w.networks[0].address.{key}"), "ADDRESS"));
            assert_eq!(found(|c| c.pools[0].shape.networks = cards), expected.unwrap_or_default(), "{gateway} {dns}");
        }
        let tagged = vec![Card { vlan: Some(4095), address: None, ..at("10.0.0.5/24").remove(0) }];
        assert_eq!(found(|c| c.pools[0].shape.networks = tagged), one("pools.w.networks[0].vlan", "BAD_VALUE"));
        for name in ["vmbr0,tag=7", "a;b", "a\nb"] {
            let cards = vec![Card { network: name.to_owned(), address: None, ..at("10.0.0.5/24").remove(0) }];
            assert_eq!(found(|c| c.pools[0].shape.networks = cards), one("pools.w.networks[0].network", "BAD_VALUE"));
        }
        assert_eq!(found(|c| c.network.domain = "a b".into()), one("network.domain", "DOMAIN"));
        assert_eq!(found(|c| c.control_plane.replicas = 0), one("controlPlane.replicas", "REPLICAS"));
        let sans = vec!["api.example.org".into(), "*.example.org".into(), "192.0.2.1".into(), "a b".into()];
        assert_eq!(found(|c| c.control_plane.cert_sans = sans), one("controlPlane.certSans[3]", "CERT_SAN"));
        assert_eq!(found(|c| c.pools[0].name = "Workers".into()), one("pools.Workers", "POOL_NAME"));
        assert_eq!(found(|c| c.pools[0].name = "a.b".into()), one(r#"pools["a.b"]"#, "POOL_NAME"));
        assert_eq!(found(|c| c.pools[0].count = 10_000), one("pools.w.count", "POOL_SIZE"));
        assert_eq!(found(|c| c.pools[0].count = 0), []);
        let many = |c: &mut Cluster| {
            let pool = |n: u32| Pool { name: format!("w{n}"), count: 1000, ..c.pools[0].clone() };
            c.pools = (0..6).map(pool).collect();
            c.network.pod_cidrs = vec!["11.0.0.0/8".into()];
        };
        assert_eq!(found(many), one("pools", "CLUSTER_SIZE"));
        assert_eq!(found(|c| c.pools.push(c.pools[0].clone())), one("pools.w", "POOL_TWICE"));
        for (cores, memory, disk, key) in [
            (0, 2048, None, "cores"),
            (1025, 2048, None, "cores"),
            (1, 511, None, "memory"),
            (1, 1 << 40, None, "memory"),
            (1, 2048, Some(0), "disk"),
            (1, 2048, Some(u32::MAX), "disk"),
        ] {
            let odd = |c: &mut Cluster| {
                let shape = &mut c.pools[0].shape;
                (shape.cores, shape.memory_mib, shape.disk_gib) = (cores, memory, disk);
            };
            assert_eq!(found(odd), one(&format!("pools.w.{key}"), "POOL_SHAPE"), "{cores} {memory} {disk:?}");
        }
    }

    #[test]
    fn labels_and_taints_are_those_of_kubernetes() {
        for (key, value) in [("b,c", "d"), ("a", "x\ny"), ("", "x"), ("kubernetes.io/hostname", "evil"), ("A.b/c", "d")]
        {
            let found = found(|c| c.pools[0].labels = vec![(key.into(), value.into())]);
            assert_eq!(found, one(&place("pools.w.labels", key), "LABEL"), "{key:?}={value:?}");
        }
        let taint =
            |key: &str, effect: &str| vec![Taint { key: key.into(), value: String::new(), effect: effect.into() }];
        assert_eq!(found(|c| c.pools[0].taints = taint("a b\n", "NoExecute")), one("pools.w.taints[0].key", "TAINT"));
        assert_eq!(found(|c| c.pools[0].taints = taint("a", "Never")), one("pools.w.taints[0].effect", "TAINT_EFFECT"));
        let both = ["pools.w.taints[0].key", "pools.w.taints[0].effect"];
        let told: Vec<String> = found(|c| c.pools[0].taints = taint("a b", "Never")).into_iter().map(|m| m.0).collect();
        assert_eq!(told, both, "each mistake of a taint is told");
        let twice = || [taint("a", "NoExecute"), taint("a", "NoExecute"), taint("a", "NoSchedule")].concat();
        assert_eq!(found(|c| c.pools[0].taints = twice()), one("pools.w.taints[1].key", "TAINT"));
        let fine = found(|c| {
            c.pools[0].taints = taint("example.org/db", "NoSchedule");
            c.pools[0].labels = vec![("node-role.kubernetes.io/worker".into(), String::new())];
        });
        assert_eq!(fine, []);
    }

    // Checklist 146.
    #[test]
    fn all_mistakes_are_told_in_one_message() {
        let mut cluster = cluster();
        cluster.version = "1.30".into();
        cluster.network.service_cidrs = vec!["10.244.0.0/17".into()];
        cluster.pools[0].count = 10_000;
        let message = cluster.check().unwrap_err().to_string();
        assert!(message.starts_with("BAD_PROPERTIES: version: VERSION: Kubernetes version `1.30` is not"), "{message}");
        for told in [
            "network.podCidrs: CIDR_OVERLAP: 10.244.0.0/16 overlaps the service range 10.244.0.0/17;",
            "pools.w.count: POOL_SIZE: asks for 10000 machines; at most 1000 are possible",
        ] {
            assert!(message.contains(told), "{told}\n{message}");
        }
    }
}
