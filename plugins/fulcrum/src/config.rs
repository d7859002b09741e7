//! What an operator configures. Nothing here is secret: address and token belong to the connection.

use std::collections::BTreeMap;

use agentkube_sdk::{Fault, Result, Scope};
use schemars::JsonSchema;
use serde::Deserialize;

/// Configuration of the plugin.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// Name of the HTTP connection to Core: its endpoint is Core's base URL without `/api/v1`, its credential the agent's token.
    pub connection: String,
    /// What begins every agent instance id; the service's id follows. Core demands that the whole is unique over all agents.
    #[serde(default = "prefix")]
    #[schemars(regex(pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"))]
    pub instance_prefix: String,
    /// Names that the service type gives to the properties.
    #[serde(default)]
    pub properties: Names,
    /// Shapes that a pool may name. They are added to `s1` (2 cores, 2 GiB), `s2` (4, 4) and `s4` (8, 8), or replace them.
    #[serde(default)]
    pub sizes: BTreeMap<String, Size>,
    /// Used where an order says nothing, nor does the agent's configuration in Core.
    #[serde(default)]
    pub defaults: Defaults,
    /// Metric types that must exist in Core; a missing one is a warning of the preflight check.
    #[serde(default = "metrics")]
    pub metrics: Vec<String>,
}

/// Property names. What a property means does not change with its name.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Names {
    /// Kubernetes version.
    pub version: String,
    /// Number of control-plane replicas.
    pub replicas: String,
    /// Pod CIDR, or IPv4 and IPv6 separated by a comma.
    pub pod_cidr: String,
    /// Service CIDR, likewise.
    pub service_cidr: String,
    /// DNS domain of the cluster.
    pub domain: String,
    /// Extra names and addresses for the API server's certificate.
    pub cert_sans: String,
    /// Provider of the control plane and its own settings.
    pub control_plane: String,
    /// Node pools by name.
    pub pools: String,
    /// Names of add-ons.
    pub addons: String,
    /// Written by the agent: where the API server is.
    pub endpoint: String,
    /// Written by the agent: CA certificates, PEM.
    pub ca: String,
    /// Written by the agent: what the nodes are.
    pub nodes: String,
    /// Written by the agent: the owner's kubeconfig.
    pub kubeconfig: String,
}

impl Default for Names {
    fn default() -> Self {
        Names {
            version: "kubernetesVersion".to_owned(),
            replicas: "controlPlaneReplicas".to_owned(),
            pod_cidr: "podCidr".to_owned(),
            service_cidr: "serviceCidr".to_owned(),
            domain: "clusterDomain".to_owned(),
            cert_sans: "certSans".to_owned(),
            control_plane: "controlPlane".to_owned(),
            pools: "nodePools".to_owned(),
            addons: "addons".to_owned(),
            endpoint: "apiEndpoint".to_owned(),
            ca: "clusterCa".to_owned(),
            nodes: "nodes".to_owned(),
            kubeconfig: "kubeconfig".to_owned(),
        }
    }
}

impl Names {
    /// What an order says.
    pub fn wanted(&self) -> [&str; 9] {
        [
            &self.version,
            &self.replicas,
            &self.pod_cidr,
            &self.service_cidr,
            &self.domain,
            &self.cert_sans,
            &self.control_plane,
            &self.pools,
            &self.addons,
        ]
    }

    /// What the agent writes.
    pub fn written(&self) -> [&str; 4] {
        [&self.endpoint, &self.ca, &self.nodes, &self.kubeconfig]
    }

    /// Whether what the agent writes under this name fits into a property of this type.
    pub fn takes(&self, name: &str, kind: &str) -> bool {
        kind == "json" || (kind == "string" && name != self.nodes)
    }
}

/// A shape with a name.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Size {
    /// CPU cores.
    #[schemars(range(min = 1, max = 1024))]
    pub cores: u32,
    /// Memory in MiB.
    #[schemars(range(min = 512))]
    pub memory_mib: u64,
    /// Root disk in GiB; left out: as the template has it.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub disk_gib: Option<u32>,
}

/// What is used where an order says nothing.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Defaults {
    /// Kubernetes version; left out: an order must say it.
    pub version: Option<String>,
    /// Control-plane replicas; left out: 2.
    #[schemars(range(min = 1, max = 9))]
    pub replicas: Option<u32>,
    /// Pod CIDR; left out: `10.244.0.0/16`.
    pub pod_cidr: Option<String>,
    /// Service CIDR; left out: `10.96.0.0/16`.
    pub service_cidr: Option<String>,
    /// DNS domain; left out: `cluster.local`.
    pub domain: Option<String>,
}

impl Defaults {
    /// These, and `other`'s where these say nothing.
    pub fn or(self, other: &Defaults) -> Defaults {
        Defaults {
            version: self.version.or_else(|| other.version.clone()),
            replicas: self.replicas.or(other.replicas),
            pod_cidr: self.pod_cidr.or_else(|| other.pod_cidr.clone()),
            service_cidr: self.service_cidr.or_else(|| other.service_cidr.clone()),
            domain: self.domain.or_else(|| other.domain.clone()),
        }
    }
}

impl Config {
    /// The configuration with the built-in sizes in its table. Fails with `BAD_CONFIG`, which names the key.
    pub fn checked(mut self) -> Result<Self> {
        let prefix = &self.instance_prefix;
        let plain = prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !plain || !(1..=40).contains(&prefix.len()) || prefix.starts_with('-') || prefix.ends_with('-') {
            let message =
                format!("instance-prefix `{prefix}` must be 1 to 40 of a-z, 0-9 and `-`, with `-` only inside");
            return Err(Fault::invalid("BAD_CONFIG", message).scope(Scope::Provider));
        }
        let names: Vec<&str> = self.properties.wanted().into_iter().chain(self.properties.written()).collect();
        for (at, name) in names.iter().enumerate() {
            if name.is_empty() || names.iter().skip(at + 1).any(|other| other == name) {
                let message = format!("properties: the name `{name}` is empty or stands twice");
                return Err(Fault::invalid("BAD_CONFIG", message).scope(Scope::Provider));
            }
        }
        for (name, cores, gib) in [("s1", 2, 2), ("s2", 4, 4), ("s4", 8, 8)] {
            self.sizes.entry(name.to_owned()).or_insert(Size { cores, memory_mib: gib * 1024, disk_gib: None });
        }
        Ok(self)
    }
}

fn prefix() -> String {
    "k8s".to_owned()
}

fn metrics() -> Vec<String> {
    ["nodes.total", "nodes.ready", "nodes.ready.ratio"].map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn checked(config: Value) -> Result<Config> {
        serde_json::from_value::<Config>(config).unwrap().checked()
    }

    #[test]
    fn sizes_are_laid_over_the_built_in_ones() {
        let config = checked(json!({"connection": "core", "sizes": {"s2": {"cores": 4, "memory-mib": 8192}}})).unwrap();
        assert_eq!(config.sizes["s1"], Size { cores: 2, memory_mib: 2048, disk_gib: None });
        assert_eq!(config.sizes["s2"].memory_mib, 8192);
        assert_eq!(config.sizes.len(), 3);
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for prefix in ["", "-a", "A", "a_b"] {
            let fault = checked(json!({"connection": "core", "instance-prefix": prefix})).unwrap_err();
            assert!(fault.message.contains("instance-prefix"), "{fault}");
        }
        let twice = checked(json!({"connection": "core", "properties": {"ca": "apiEndpoint"}})).unwrap_err();
        assert!(twice.message.contains("apiEndpoint"), "{twice}");
        assert!(serde_json::from_value::<Config>(json!({"connection": "core", "token": "x"})).is_err());
    }
}
