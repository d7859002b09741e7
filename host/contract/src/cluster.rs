//! A cluster as somebody wants it: the same record from every job source, checked once, here.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::identity::check_pool_name;
use crate::{Fault, More, Result};

/// A cluster as somebody wants it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cluster {
    /// `v1.35.2`.
    pub version: String,
    /// Address ranges.
    #[serde(default)]
    pub network: Network,
    /// The control plane.
    #[serde(default)]
    pub control_plane: ControlPlaneWish,
    /// Node pools; names differ.
    #[serde(default)]
    pub pools: Vec<Pool>,
    /// Names of add-ons from the host's configuration.
    #[serde(default)]
    pub addons: Vec<String>,
    /// False: hibernated.
    #[serde(default = "yes")]
    pub powered: bool,
    /// Whatever else.
    #[serde(default)]
    pub more: More,
}

/// Address ranges of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Network {
    /// One CIDR, or one IPv4 and one IPv6, IPv4 first.
    pub pod_cidrs: Vec<String>,
    /// Likewise.
    pub service_cidrs: Vec<String>,
    /// DNS domain.
    pub domain: String,
}

impl Default for Network {
    fn default() -> Self {
        Network {
            pod_cidrs: vec!["10.244.0.0/16".to_owned()],
            service_cidrs: vec!["10.96.0.0/16".to_owned()],
            domain: "cluster.local".to_owned(),
        }
    }
}

/// The wanted control plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ControlPlaneWish {
    /// Configured name of the provider; `None`: the default one.
    pub provider: Option<String>,
    /// How many replicas.
    pub replicas: u32,
    /// Extra names and addresses for the API server's certificate.
    pub cert_sans: Vec<String>,
    /// Provider's own settings, JSON.
    pub settings: String,
}

impl Default for ControlPlaneWish {
    fn default() -> Self {
        ControlPlaneWish { provider: None, replicas: 2, cert_sans: Vec::new(), settings: "{}".to_owned() }
    }
}

/// A taint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value, may be empty.
    #[serde(default)]
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// Machines of one shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pool {
    /// `[a-z0-9-]{1,20}`.
    pub name: String,
    /// Configured name of the node provider; `None`: the default one.
    #[serde(default)]
    pub provider: Option<String>,
    /// How many machines.
    pub count: u32,
    /// What each must have.
    pub shape: Shape,
    /// Node labels.
    #[serde(default)]
    pub labels: Vec<(String, String)>,
    /// Node taints.
    #[serde(default)]
    pub taints: Vec<Taint>,
    /// Provider's own settings, JSON.
    #[serde(default = "no_settings")]
    pub settings: String,
}

/// What a machine must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Shape {
    /// CPU cores.
    pub cores: u32,
    /// MiB.
    pub memory_mib: u64,
    /// Root disk in GiB; `None`: as the template has it.
    #[serde(default)]
    pub disk_gib: Option<u32>,
    /// Template, image or series.
    #[serde(default)]
    pub image: Option<String>,
    /// Network cards in order; none: as the provider's configuration says.
    #[serde(default)]
    pub networks: Vec<Card>,
}

/// A network card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Card {
    /// As the provider names it.
    pub network: String,
    /// VLAN tag.
    #[serde(default)]
    pub vlan: Option<u32>,
    /// Whether the provider's firewall applies.
    #[serde(default)]
    pub firewall: bool,
    /// `None`: DHCP.
    #[serde(default)]
    pub address: Option<StaticAddress>,
}

/// A fixed address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StaticAddress {
    /// `10.0.0.5/24`.
    pub cidr: String,
    /// Gateway.
    #[serde(default)]
    pub gateway: Option<String>,
    /// Name servers.
    #[serde(default)]
    pub dns: Vec<String>,
}

fn yes() -> bool {
    true
}

fn no_settings() -> String {
    "{}".to_owned()
}

/// Most machines that one pool may ask for.
pub const POOL_LIMIT: u32 = 1000;
/// Most pools of one cluster.
pub const POOLS_LIMIT: usize = 100;

impl Cluster {
    /// Checks what every provider would trip over. The first thing wrong is named, with where and how to mend it.
    pub fn check(&self) -> Result<()> {
        minor(&self.version)?;
        check_cidrs("pod", &self.network.pod_cidrs)?;
        check_cidrs("service", &self.network.service_cidrs)?;
        for pod in &self.network.pod_cidrs {
            for service in &self.network.service_cidrs {
                if overlap(pod, service) {
                    return Err(Fault::invalid(
                        "CIDR_OVERLAP",
                        format!("pod CIDR {pod} and service CIDR {service} overlap; choose ranges that do not"),
                    ));
                }
            }
        }
        if !(1..=9).contains(&self.control_plane.replicas) {
            return Err(Fault::invalid(
                "REPLICAS",
                format!("{} control plane replicas; 1 to 9 are possible", self.control_plane.replicas),
            ));
        }
        if self.pools.len() > POOLS_LIMIT {
            let message = format!("{} pools; at most {POOLS_LIMIT} are possible", self.pools.len());
            return Err(Fault::invalid("POOLS", message));
        }
        let mut seen = Vec::new();
        for pool in &self.pools {
            pool.check()?;
            if seen.contains(&&pool.name) {
                return Err(Fault::invalid("POOL_TWICE", format!("two pools are named `{}`", pool.name)));
            }
            seen.push(&pool.name);
        }
        Ok(())
    }
}

impl Pool {
    fn check(&self) -> Result<()> {
        check_pool_name(&self.name)?;
        if self.count > POOL_LIMIT {
            return Err(Fault::invalid(
                "POOL_SIZE",
                format!("pool `{}` asks for {} machines; at most {POOL_LIMIT} are possible", self.name, self.count),
            ));
        }
        if self.shape.cores == 0 || self.shape.memory_mib < 512 {
            return Err(Fault::invalid(
                "POOL_SHAPE",
                format!(
                    "pool `{}`: {} cores and {} MiB; a node needs at least 1 core and 512 MiB",
                    self.name, self.shape.cores, self.shape.memory_mib
                ),
            ));
        }
        for (key, value) in &self.labels {
            check_label(&self.name, "label", key, value)?;
            // Everything that finds a node by its name would find another.
            if key == "kubernetes.io/hostname" {
                let message = format!("pool `{}`: label {key} is the node's own", self.name);
                return Err(Fault::invalid("LABEL", message));
            }
        }
        for taint in &self.taints {
            check_label(&self.name, "taint", &taint.key, &taint.value)?;
            if !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&taint.effect.as_str()) {
                return Err(Fault::invalid(
                    "TAINT_EFFECT",
                    format!(
                        "pool `{}`: taint effect `{}`; known are NoSchedule, PreferNoSchedule and NoExecute",
                        self.name,
                        clip(&taint.effect)
                    ),
                ));
            }
        }
        Ok(())
    }
}

/// Keys and values of labels and taints have the same form (Kubernetes API conventions: labels): an optional DNS prefix and `/`, then up to
/// 63 characters of letters, digits, `-`, `_` and `.` with a letter or digit at both ends; a value may be empty.
fn check_label(pool: &str, what: &str, key: &str, value: &str) -> Result<()> {
    let ends = |text: &str| {
        let fits = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        fits(text.chars().next()) && fits(text.chars().next_back())
    };
    let word = |text: &str| {
        text.len() <= 63 && ends(text) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let prefix = |text: &str| {
        text.len() <= 253
            && ends(text)
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
    };
    let key_fits = match key.split_once('/') {
        Some((before, name)) => prefix(before) && word(name),
        None => word(key),
    };
    if key_fits && (value.is_empty() || word(value)) {
        return Ok(());
    }
    Err(Fault::invalid(
        if what == "label" { "LABEL" } else { "TAINT" },
        format!("pool `{pool}`: {what} `{}={}` is none that Kubernetes takes", clip(key), clip(value)),
    ))
}

/// Minor number of a version such as `v1.35.2`; anything else is refused.
pub fn minor(version: &str) -> Result<u32> {
    let parts: Option<Vec<u32>> =
        version.strip_prefix('v').map(|rest| rest.split('.').map_while(|part| part.parse().ok()).collect());
    match parts.as_deref() {
        Some([1, minor, patch]) if version == format!("v1.{minor}.{patch}") => Ok(*minor),
        _ => Err(Fault::invalid(
            "VERSION",
            format!("Kubernetes version `{}` is not of the form v1.MINOR.PATCH, such as v1.35.2", clip(version)),
        )),
    }
}

/// At most 60 characters of a text that somebody else wrote, for a message.
pub fn clip(text: &str) -> String {
    let clipped: String = text.chars().filter(|c| !c.is_control()).take(60).collect();
    if clipped.len() < text.len() { format!("{clipped}…") } else { clipped }
}

fn check_cidrs(what: &str, cidrs: &[String]) -> Result<()> {
    let families: Vec<bool> = cidrs
        .iter()
        .map(|cidr| {
            let (address, length) = parse_cidr(cidr).ok_or_else(|| {
                Fault::invalid("CIDR", format!("{what} CIDR `{}` is no CIDR, such as 10.244.0.0/16", clip(cidr)))
            })?;
            let network = network(address, length);
            if network != address {
                let message = format!("{what} CIDR {cidr} has bits behind its prefix; {network}/{length} is meant?");
                return Err(Fault::invalid("CIDR", message));
            }
            Ok(address.is_ipv4())
        })
        .collect::<Result<_>>()?;
    match families.as_slice() {
        [_] | [true, false] => Ok(()),
        [] => Err(Fault::invalid("CIDR", format!("no {what} CIDR is given"))),
        _ => Err(Fault::invalid(
            "CIDR_FAMILIES",
            format!("{what} CIDRs {}: give one, or one IPv4 and then one IPv6", cidrs.join(", ")),
        )),
    }
}

fn parse_cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let length: u8 = length.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    (length <= most).then_some((address, length))
}

/// The first address of a range.
fn network(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            IpAddr::V4((u32::from(v4) & u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)).into())
        }
        IpAddr::V6(v6) => {
            IpAddr::V6((u128::from(v6) & u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)).into())
        }
    }
}

fn overlap(a: &str, b: &str) -> bool {
    let (Some((a, a_length)), Some((b, b_length))) = (parse_cidr(a), parse_cidr(b)) else {
        return false;
    };
    let length = u32::from(a_length.min(b_length));
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            (u32::from(a) ^ u32::from(b)).checked_shr(32 - length).is_none_or(|differ| differ == 0)
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            (u128::from(a) ^ u128::from(b)).checked_shr(128 - length).is_none_or(|differ| differ == 0)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    // Checklist 146, 180.
    #[test]
    fn each_mistake_is_named() {
        let code = |change: fn(&mut Cluster)| {
            let mut cluster = cluster();
            change(&mut cluster);
            cluster.check().unwrap_err().code
        };
        for version in ["v1.30", "1.30.2", "v1.030.2", "v2.1.0", "", "latest"] {
            assert_eq!(minor(version).unwrap_err().code, "VERSION", "{version}");
        }
        assert_eq!(code(|c| c.network.pod_cidrs = vec!["10.0.0.0/33".into()]), "CIDR");
        assert_eq!(code(|c| c.network.pod_cidrs = vec!["10.96.128.0/20".into()]), "CIDR_OVERLAP");
        assert_eq!(code(|c| c.network.pod_cidrs = vec!["0.0.0.0/0".into()]), "CIDR_OVERLAP");
        assert_eq!(code(|c| c.network.pod_cidrs = vec!["fd00::/56".into(), "10.244.0.0/16".into()]), "CIDR_FAMILIES");
        assert_eq!(code(|c| c.pools[0].name = "Workers".into()), "POOL_NAME");
        assert_eq!(code(|c| c.pools[0].count = 10_000), "POOL_SIZE");
        assert_eq!(code(|c| c.pools.push(c.pools[0].clone())), "POOL_TWICE");
        assert_eq!(code(|c| c.pools[0].shape.cores = 0), "POOL_SHAPE");
        assert_eq!(code(|c| c.control_plane.replicas = 0), "REPLICAS");
        assert_eq!(code(|c| c.network.pod_cidrs = vec!["10.0.0.7/16".into()]), "CIDR");
        assert_eq!(code(|c| c.pools = vec![c.pools[0].clone(); 101]), "POOLS");
        for (key, value) in [("b,c", "d"), ("a", "x\ny"), ("", "x"), ("kubernetes.io/hostname", "evil"), ("A.b/c", "d")]
        {
            let mut cluster = cluster();
            cluster.pools[0].labels = vec![(key.into(), value.into())];
            assert_eq!(cluster.check().unwrap_err().code, "LABEL", "{key:?}={value:?}");
        }
        let taint = |key: &str| Taint { key: key.into(), value: String::new(), effect: "NoSchedule".into() };
        let mut cluster = cluster();
        cluster.pools[0].taints = vec![taint("a b\n")];
        assert_eq!(cluster.check().unwrap_err().code, "TAINT");
        cluster.pools[0].taints = vec![taint("example.org/db")];
        cluster.pools[0].labels = vec![("node-role.kubernetes.io/worker".into(), String::new())];
        cluster.check().unwrap();
    }

    #[test]
    fn a_hostile_text_is_clipped_in_messages() {
        let message = minor(&format!("v{}\0", "9".repeat(10_000))).unwrap_err().message;
        assert!(message.len() < 300 && !message.contains('\0'));
    }
}
