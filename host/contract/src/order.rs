//! What is wrong in a description of a cluster: everything that every provider would trip over, found at once.
//!
//! Paths are those of the description with pools by their names: `network.podCidrs[0]`, `pools.workers.count`.

use std::collections::BTreeSet;

use crate::cidr::Cidr;
use crate::cluster::{clip, minor};
use crate::identity::check_pool_name;
use crate::mistake::{Mistake, refuse};
use crate::{Cluster, Pool, Result};

/// Most machines that one pool may ask for.
pub const POOL_LIMIT: u32 = 1000;
/// Most pools of one cluster.
pub const POOLS_LIMIT: usize = 100;
/// The least memory of a node (MiB).
const LEAST_MEMORY: u64 = 512;
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
        let pods = ranges(&mut found, "network.podCidrs", &self.network.pod_cidrs);
        let services = ranges(&mut found, "network.serviceCidrs", &self.network.service_cidrs);
        for pod in &pods {
            for service in services.iter().filter(|service| service.overlaps(*pod)) {
                let text = format!(
                    "{}/{} overlaps the service range {}/{}; choose ranges that do not",
                    pod.address, pod.length, service.address, service.length
                );
                found.push(Mistake::new("network.podCidrs", "CIDR_OVERLAP", text));
            }
        }
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
            if !is_domain(host) && name.parse::<std::net::IpAddr>().is_err() {
                let text = format!("`{}` is neither a DNS name nor an address", clip(name));
                found.push(Mistake::new(format!("controlPlane.certSans[{at}]"), "CERT_SAN", text));
            }
        }
        if self.pools.len() > POOLS_LIMIT {
            let text = format!("there are {}; at most {POOLS_LIMIT} are possible", self.pools.len());
            found.push(Mistake::new("pools", "POOLS", text));
        }
        let mut seen = BTreeSet::new();
        for pool in &self.pools {
            if !seen.insert(&pool.name) {
                let text = format!("two pools are named `{}`", clip(&pool.name));
                found.push(Mistake::new("pools", "POOL_TWICE", text));
            }
            pool.look(&mut found, &[("pod", pods.as_slice()), ("service", services.as_slice())]);
        }
        found
    }
}

impl Pool {
    fn look(&self, found: &mut Vec<Mistake>, ranges: &[(&str, &[Cidr])]) {
        if let Err(fault) = check_pool_name(&self.name) {
            found.push(Mistake::new("pools", &fault.code, fault.message));
        }
        let path = format!("pools.{}", clip(&self.name));
        let mut wrong = |at: String, code: &str, text: String| found.push(Mistake::new(at, code, text));
        if self.count > POOL_LIMIT {
            let text = format!("asks for {} machines; at most {POOL_LIMIT} are possible", self.count);
            wrong(format!("{path}.count"), "POOL_SIZE", text);
        }
        let (cores, memory) = (self.shape.cores, self.shape.memory_mib);
        if cores == 0 || memory < LEAST_MEMORY {
            let text =
                format!("has {cores} cores and {memory} MiB; a node needs at least 1 core and {LEAST_MEMORY} MiB");
            wrong(path.clone(), "POOL_SHAPE", text);
        }
        for (key, value) in &self.labels {
            let at = || format!("{path}.labels.{}", clip(key));
            if !fits_kubernetes(key, value) {
                let text = format!("`{}={}` is no label that Kubernetes takes", clip(key), clip(value));
                wrong(at(), "LABEL", text);
            }
            // Everything that finds a node by its name would find another.
            if key == "kubernetes.io/hostname" {
                wrong(at(), "LABEL", "is the node's own label".to_owned());
            }
        }
        for (number, taint) in self.taints.iter().enumerate() {
            let at = format!("{path}.taints[{number}]");
            if !fits_kubernetes(&taint.key, &taint.value) {
                let text = format!("`{}={}` is no taint that Kubernetes takes", clip(&taint.key), clip(&taint.value));
                wrong(at.clone(), "TAINT", text);
            }
            if !EFFECTS.contains(&taint.effect.as_str()) {
                let text = format!("`{}` is not known; use one of {}", clip(&taint.effect), EFFECTS.join(", "));
                wrong(format!("{at}.effect"), "TAINT_EFFECT", text);
            }
        }
        for (number, card) in self.shape.networks.iter().enumerate() {
            let Some(address) = &card.address else { continue };
            let at = || format!("{path}.networks[{number}].address.cidr");
            let Some(node) = Cidr::parse(&address.cidr) else {
                let text = format!("`{}` is no address with its prefix, such as 10.0.0.5/24", clip(&address.cidr));
                wrong(at(), "CIDR", text);
                continue;
            };
            for (whose, theirs) in ranges {
                for range in theirs.iter().filter(|range| range.overlaps(node)) {
                    let (first, length) = (range.address, range.length);
                    let text = format!(
                        "{} overlaps the {whose} range {first}/{length}; a node outside it is needed",
                        address.cidr
                    );
                    wrong(at(), "CIDR_OVERLAP", text);
                }
            }
        }
    }
}

/// The ranges that can be read; what is wrong with them is told.
fn ranges(found: &mut Vec<Mistake>, path: &str, cidrs: &[String]) -> Vec<Cidr> {
    let before = found.len();
    let mut read = Vec::new();
    for text in cidrs {
        let Some(cidr) = Cidr::parse(text) else {
            found.push(Mistake::new(path, "CIDR", format!("`{}` is no CIDR, such as 10.244.0.0/16", clip(text))));
            continue;
        };
        let (network, length) = (cidr.network(), cidr.length);
        if network != cidr.address {
            let text = format!("{} has bits behind its prefix; {network}/{length} is meant?", clip(text));
            found.push(Mistake::new(path, "CIDR", text));
        }
        read.push(Cidr { address: network, length });
    }
    let families: Vec<bool> = read.iter().map(|cidr| cidr.address.is_ipv4()).collect();
    if found.len() == before && !matches!(families.as_slice(), [_] | [true, false]) {
        let (code, text) = match cidrs {
            [] => ("CIDR", "is empty; a range is needed".to_owned()),
            _ => (
                "CIDR_FAMILIES",
                format!("is {}; give one range, or one IPv4 and then one IPv6", clip(&cidrs.join(", "))),
            ),
        };
        found.push(Mistake::new(path, code, text));
    }
    read
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
            r#"{"version":"v1.35.2","pools":[{"name":"w","count":2,"shape":{"cores":2,"memoryMib":2048}}]}"#,
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
            (vec!["0.0.0.0/0"], "CIDR_OVERLAP"),
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
        assert_eq!(found(|c| c.network.domain = "a b".into()), one("network.domain", "DOMAIN"));
        assert_eq!(found(|c| c.control_plane.replicas = 0), one("controlPlane.replicas", "REPLICAS"));
        let sans = vec!["api.example.org".into(), "*.example.org".into(), "192.0.2.1".into(), "a b".into()];
        assert_eq!(found(|c| c.control_plane.cert_sans = sans), one("controlPlane.certSans[3]", "CERT_SAN"));
        assert_eq!(found(|c| c.pools[0].name = "Workers".into()), one("pools", "POOL_NAME"));
        assert_eq!(found(|c| c.pools[0].name = "w".repeat(300)), one("pools", "POOL_NAME"));
        assert_eq!(found(|c| c.pools[0].count = 10_000), one("pools.w.count", "POOL_SIZE"));
        assert_eq!(found(|c| c.pools[0].count = 0), []);
        assert_eq!(found(|c| c.pools.push(c.pools[0].clone())), one("pools", "POOL_TWICE"));
        assert_eq!(found(|c| c.pools[0].shape.cores = 0), one("pools.w", "POOL_SHAPE"));
    }

    #[test]
    fn labels_and_taints_are_those_of_kubernetes() {
        for (key, value) in [("b,c", "d"), ("a", "x\ny"), ("", "x"), ("kubernetes.io/hostname", "evil"), ("A.b/c", "d")]
        {
            let found = found(|c| c.pools[0].labels = vec![(key.into(), value.into())]);
            assert_eq!(found, one(&format!("pools.w.labels.{key}"), "LABEL"), "{key:?}={value:?}");
        }
        let taint =
            |key: &str, effect: &str| vec![Taint { key: key.into(), value: String::new(), effect: effect.into() }];
        assert_eq!(found(|c| c.pools[0].taints = taint("a b\n", "NoExecute")), one("pools.w.taints[0]", "TAINT"));
        assert_eq!(found(|c| c.pools[0].taints = taint("a", "Never")), one("pools.w.taints[0].effect", "TAINT_EFFECT"));
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
