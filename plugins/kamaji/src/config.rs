//! What the operator configures, and what one cluster may choose.

use agentkube_sdk::cluster::Cluster;
use agentkube_sdk::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Configuration of the plugin.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The Kubernetes connection to the admin cluster.
    pub connection: String,
    /// Namespace of a cluster. `{cluster}` stands for the cluster's name: each cluster then gets a namespace of its own, deleted
    /// after it. Without it the namespace is shared and must exist.
    #[serde(default = "own_namespace")]
    pub namespace: String,
    /// How the API server is exposed.
    #[serde(default)]
    pub service_type: ServiceType,
    /// Name of the DataStore; none: the operator's default.
    #[serde(default)]
    pub data_store: Option<String>,
    /// Port of the API server.
    #[serde(default = "port")]
    #[schemars(range(min = 1))]
    pub port: u16,
    /// Whether traffic from the control plane to the workers goes through Konnectivity.
    #[serde(default = "yes")]
    pub konnectivity: bool,
    /// Key of the kubeconfig for the host: `super-admin.conf`, or `super-admin.svc` when the host runs in the admin cluster. The
    /// super-admin's works as soon as the API server does; `admin.conf` is refused until a later phase has bound its group.
    #[serde(default = "operator_key")]
    pub operator_key: String,
    /// Key of the kubeconfig for the owner of the cluster.
    #[serde(default = "owner_key")]
    pub owner_key: String,
    /// Milliseconds to wait for the address of the API server before saying what is missing.
    #[serde(default = "address_timeout")]
    pub address_timeout_ms: u64,
    /// Merged (RFC 7386) into the spec of every TenantControlPlane: any field of the CRD.
    #[serde(default)]
    #[schemars(with = "Option<Map<String, Value>>")]
    pub overrides: Value,
}

/// How the API server is exposed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// By a load balancer, which must give an IP address.
    #[default]
    LoadBalancer,
    /// On a port of the admin cluster's nodes; `networkProfile.address` must be given in `overrides`.
    NodePort,
    /// Inside the admin cluster, or behind an ingress or gateway given in `overrides`.
    ClusterIP,
}

/// What one cluster may choose: the `settings` of its control plane.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// Another DataStore.
    #[schemars(regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub data_store: Option<String>,
    /// Another way of exposure.
    pub service_type: Option<ServiceType>,
    /// Whether Konnectivity is used.
    pub konnectivity: Option<bool>,
    /// Merged into the spec after the plugin's own overrides.
    #[schemars(with = "Option<Map<String, Value>>")]
    pub overrides: Value,
}

fn own_namespace() -> String {
    "{cluster}".to_owned()
}

fn port() -> u16 {
    6443
}

fn yes() -> bool {
    true
}

fn operator_key() -> String {
    "super-admin.conf".to_owned()
}

fn owner_key() -> String {
    "admin.conf".to_owned()
}

fn address_timeout() -> u64 {
    300_000
}

impl Config {
    /// Finds what the schema cannot say.
    pub fn check(&self) -> Result<()> {
        let fixed = self.namespace.replace("{cluster}", "k");
        let fits = !fixed.is_empty()
            && fixed.len() <= 53
            && fixed.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !fixed.starts_with('-')
            && !fixed.ends_with('-');
        if !fits {
            return Err(Fault::invalid(
                "BAD_CONFIG",
                format!("namespace `{}` is no template of a namespace, such as `tenant-{{cluster}}`", self.namespace),
            ));
        }
        if self.owner_key.starts_with("super-admin") {
            return Err(Fault::invalid(
                "BAD_CONFIG",
                "owner-key must not be a super-admin's: no role could take it back",
            ));
        }
        Ok(())
    }

    /// The namespace of a cluster.
    pub fn namespace_of(&self, owner: &Owner) -> String {
        self.namespace.replace("{cluster}", &owner.cluster)
    }

    /// Whether each cluster has a namespace of its own.
    pub fn owns_namespace(&self) -> bool {
        self.namespace.contains("{cluster}")
    }

    /// What the cluster chose.
    pub fn settings_of(&self, wanted: &Cluster) -> Result<Settings> {
        wanted.control_plane.settings()
    }
}
