//! What is wrong with the address ranges of a cluster.

use std::net::IpAddr;

use crate::Network;
use crate::cidr::Cidr;
use crate::cluster::clip;
use crate::mistake::Mistake;

/// Prefix of the range that each node gets out of the pods' (defaults of kube-controller-manager: `--node-cidr-mask-size-ipv4` and
/// `-ipv6`).
const NODE: Lengths = Lengths { v4: 24, v6: 64 };
/// Most bits between the two (kubeadm's validation of `podSubnet`; kube-controller-manager keeps a bit for each node's range).
const NODES: u8 = 16;
/// Prefixes that a service range may have: kube-apiserver allocates from at most 2^20 addresses, and the DNS service has the tenth.
const SERVICES: (Lengths, Lengths) = (Lengths { v4: 12, v6: 108 }, Lengths { v4: 28, v6: 120 });

#[derive(Clone, Copy)]
struct Lengths {
    v4: u8,
    v6: u8,
}

impl Lengths {
    fn of(self, cidr: &Cidr) -> u8 {
        if cidr.address.is_ipv4() { self.v4 } else { self.v6 }
    }
}

impl Network {
    /// Everything that is wrong with the ranges of a cluster of so many machines. Gives those of pods and of services that can be read.
    pub(crate) fn look(&self, found: &mut Vec<Mistake>, machines: u64) -> (Vec<Cidr>, Vec<Cidr>) {
        let (pods_at, services_at) = ("network.podCidrs", "network.serviceCidrs");
        let pods = ranges(found, pods_at, &self.pod_cidrs);
        let services = ranges(found, services_at, &self.service_cidrs);
        for pod in &pods {
            let (node, length) = (NODE.of(pod), pod.length);
            let least = node.saturating_sub(NODES);
            if !(least..=node).contains(&length) {
                let text =
                    format!("{pod} cannot be divided: each node gets a /{node}; give a range from /{least} to /{node}");
                found.push(Mistake::new(pods_at, "CIDR_SIZE", text));
            } else if machines > 1 << (node - length) {
                let room = 1_u32 << (node - length);
                let text =
                    format!("{pod} has room for {room} nodes, of a /{node} each; {machines} machines are asked for");
                found.push(Mistake::new(pods_at, "CIDR_SIZE", text));
            }
            for service in services.iter().filter(|service| service.overlaps(*pod)) {
                let text = format!("{pod} overlaps the service range {service}; choose ranges that do not");
                found.push(Mistake::new(pods_at, "CIDR_OVERLAP", text));
            }
        }
        for service in &services {
            let (least, most) = (SERVICES.0.of(service), SERVICES.1.of(service));
            if !(least..=most).contains(&service.length) {
                let text =
                    format!("{service} has no size that Kubernetes takes; give a range from /{least} to /{most}");
                found.push(Mistake::new(services_at, "CIDR_SIZE", text));
            }
        }
        (pods, services)
    }
}

/// The ranges that can be read; what is wrong with each is told.
fn ranges(found: &mut Vec<Mistake>, path: &str, cidrs: &[String]) -> Vec<Cidr> {
    let before = found.len();
    let mut read = Vec::new();
    for text in cidrs {
        let Some(cidr) = Cidr::parse(text) else {
            found.push(Mistake::new(path, "CIDR", format!("`{}` is no CIDR, such as 10.244.0.0/16", clip(text))));
            continue;
        };
        let network = Cidr { address: cidr.network(), ..cidr };
        if network != cidr {
            let text = format!("{} has bits behind its prefix; {network} is meant?", clip(text));
            found.push(Mistake::new(path, "CIDR", text));
        } else if !routed(network.address) {
            let text = format!("{network} is set aside for another use; take a private range, such as 10.244.0.0/16");
            found.push(Mistake::new(path, "CIDR", text));
        }
        read.push(network);
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

/// Whether packets to such addresses go anywhere: not those of a host itself, of one link, of groups, or of nobody.
fn routed(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, ..] = v4.octets();
            first != 0 && first < 240 && !v4.is_loopback() && !v4.is_link_local() && !v4.is_multicast()
        }
        IpAddr::V6(v6) => {
            !v6.is_unspecified() && !v6.is_loopback() && !v6.is_unicast_link_local() && !v6.is_multicast()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes of what is wrong.
    fn codes(pods: &[&str], services: &[&str], machines: u64) -> Vec<String> {
        let owned = |cidrs: &[&str]| cidrs.iter().map(|cidr| (*cidr).to_owned()).collect();
        let network = Network { pod_cidrs: owned(pods), service_cidrs: owned(services), ..Network::default() };
        let mut found = Vec::new();
        network.look(&mut found, machines);
        found.into_iter().map(|mistake| mistake.code).collect()
    }

    const SERVICE: &[&str] = &["10.96.0.0/16"];

    // Checklist 92, 180.
    #[test]
    fn a_pod_range_has_a_range_for_every_node() {
        for (cidr, machines, fits) in [
            ("10.244.0.0/16", 256, true),
            ("10.244.0.0/16", 257, false),
            ("10.244.0.0/24", 1, true),
            ("10.244.0.0/24", 2, false),
            ("10.244.0.0/30", 0, false),
            ("11.0.0.0/8", 65_536, true),
            ("12.0.0.0/7", 1, false),
            ("fd00::/64", 1, true),
            ("fd00::/56", 256, true),
            ("fd00::/56", 257, false),
            ("fd00::/65", 1, false),
            ("fd00::/47", 1, false),
        ] {
            let expected = if fits { vec![] } else { vec!["CIDR_SIZE"] };
            assert_eq!(codes(&[cidr], SERVICE, machines), expected, "{cidr} for {machines}");
        }
    }

    #[test]
    fn a_service_range_has_a_size_that_kubernetes_takes() {
        for (cidr, fits) in [
            ("10.96.0.0/12", true),
            ("10.96.0.0/28", true),
            ("10.96.0.0/29", false),
            ("10.0.0.0/8", false),
            ("fd01::/112", true),
            ("fd01::/64", false),
            ("fd01::/126", false),
        ] {
            let expected = if fits { vec![] } else { vec!["CIDR_SIZE"] };
            assert_eq!(codes(&["172.16.0.0/16"], &[cidr], 1), expected, "{cidr}");
        }
    }

    #[test]
    fn ranges_that_nothing_is_routed_to_are_refused() {
        for cidr in
            ["127.0.0.0/16", "169.254.0.0/16", "224.0.0.0/16", "240.0.0.0/16", "0.0.0.0/16", "fe80::/64", "ff00::/56"]
        {
            assert_eq!(codes(&[cidr], SERVICE, 1), ["CIDR"], "{cidr}");
        }
        assert_eq!(codes(&["100.64.0.0/16"], SERVICE, 1), Vec::<String>::new());
    }
}
