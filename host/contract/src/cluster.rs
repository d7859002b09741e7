//! A cluster as somebody wants it: the same record from every job source. What is wrong in one, [`crate::order`] says.

use serde::{Deserialize, Serialize};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_text_is_clipped_in_messages() {
        let message = minor(&format!("v{}\0", "9".repeat(10_000))).unwrap_err().message;
        assert!(message.len() < 300 && !message.contains('\0'));
    }

    // Checklist 146, 180.
    #[test]
    fn only_full_versions_are_taken() {
        assert_eq!(minor("v1.35.2"), Ok(35));
        for version in ["v1.30", "1.30", "1.30.2", "v1.030.2", "v2.1.0", "", "latest"] {
            assert_eq!(minor(version).unwrap_err().code, "VERSION", "{version}");
        }
    }
}
