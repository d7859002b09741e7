//! What the engine needs of a tenant cluster: the same on any conformant Kubernetes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{Bootstrap, Cluster, MachineKey, Millis, Owner, Pool, Reference, Result, Sample, Taint};

/// Opens tenant clusters from the kubeconfig references that control-plane providers return.
#[async_trait]
pub trait Tenants: Send + Sync {
    /// Opens one. `provider` is the configured name of the plugin that gave the reference. Refused when the kubeconfig holds
    /// more than a server, CA data and an inline credential, or when the server lies outside the plugin's tenant addresses.
    async fn open(&self, owner: &Owner, provider: &str, kubeconfig: &Reference) -> Result<Arc<dyn Tenant>>;
}

/// A bootstrap token.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// Public half, 6 characters.
    pub id: String,
    /// Secret half, 16 characters.
    pub secret: String,
    /// When it dies.
    pub expires: Millis,
}

impl std::fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JoinToken({}, expires {})", self.id, self.expires)
    }
}

/// What a machine needs to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinInfo {
    /// `host:port` of the API server, as cluster-info gives it.
    pub server: String,
    /// `sha256:…` of each CA's public key.
    pub ca_hashes: Vec<String>,
    /// CA certificates, PEM.
    pub ca: String,
    /// Version that serves, `v1.35.2`.
    pub version: String,
    /// The token.
    pub token: JoinToken,
}

/// A node as Kubernetes sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Condition Ready is True.
    pub ready: bool,
    /// Why not, when it is not.
    pub reason: String,
    /// Kubelet version.
    pub version: String,
    /// Internal address.
    pub address: String,
    /// `spec.providerID`.
    pub provider_id: Option<String>,
}

/// Which add-ons to apply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addons {
    /// Names from the configuration.
    pub names: Vec<String>,
}

/// One open tenant cluster.
#[async_trait]
pub trait Tenant: Send + Sync {
    /// Waits until `/readyz` says ok; gives the server's version.
    async fn ready(&self, within: Duration) -> Result<String>;
    /// CA certificates of the cluster, PEM.
    fn ca(&self) -> String;
    /// A join token that lives at least `lifetime`: the one with this id, extended, or a new one with it when there is none. The
    /// secret half is read back from the cluster, so that it stands nowhere else.
    async fn join_token(&self, id: &str, lifetime: Duration, description: &str) -> Result<JoinToken>;
    /// Waits until cluster-info carries the signature of the token, and the configuration that kubeadm reads is there.
    async fn join_info(&self, token: &JoinToken, within: Duration) -> Result<JoinInfo>;
    /// Removes a token; a missing one is success.
    async fn revoke_token(&self, id: &str) -> Result<()>;
    /// All nodes.
    async fn nodes(&self) -> Result<Vec<Node>>;
    /// Measurements of the cluster as a whole: `nodes.total` and `nodes.ready` in nodes, and `nodes.ready.ratio` from 0 to 1 (1 for a
    /// cluster without nodes: none is missing).
    async fn samples(&self, cluster: &str) -> Result<Vec<Sample>> {
        let nodes = self.nodes().await?;
        let total = nodes.len() as f64;
        let ready = nodes.iter().filter(|node| node.ready).count() as f64;
        let ratio = if nodes.is_empty() { 1.0 } else { ready / total };
        let sample = |(name, value): (&str, f64)| Sample { name: name.to_owned(), resource: cluster.to_owned(), value };
        Ok([("nodes.total", total), ("nodes.ready", ready), ("nodes.ready.ratio", ratio)].map(sample).to_vec())
    }
    /// Waits until the node exists, sets the pool's labels and taints on it, and, with `ready`, waits until it is Ready.
    async fn node(&self, name: &str, pool: &Pool, ready: bool, within: Duration) -> Result<Node>;
    /// Deletes the Node object; a missing one is success.
    async fn remove_node(&self, name: &str) -> Result<()>;
    /// Applies add-ons in their phases, network first. With `healthy` it waits until what they made is available; before that
    /// nodes must exist.
    async fn apply_addons(&self, addons: &Addons, healthy: bool, within: Duration) -> Result<()>;
}

/// What first-boot data is made from.
#[derive(Clone, Debug)]
pub struct BootstrapRequest<'a> {
    /// The cluster's owner.
    pub owner: &'a Owner,
    /// Which machine.
    pub key: &'a MachineKey,
    /// Its pool.
    pub pool: &'a Pool,
    /// The cluster.
    pub cluster: &'a Cluster,
    /// How to join.
    pub join: &'a JoinInfo,
    /// What the kubelet is told, when the provider has such an id.
    pub provider_id: Option<&'a str>,
    /// MAC addresses of the machine's cards, in order.
    pub macs: &'a [String],
}

/// Renders first-boot data from the operator's template.
pub trait BootstrapRenderer: Send + Sync {
    /// The data for one machine.
    fn render(&self, request: &BootstrapRequest<'_>) -> Result<Bootstrap>;

    /// The data for one machine whose user data somebody else made: the meta data and the network configuration are the same.
    fn carry(&self, request: &BootstrapRequest<'_>, user_data: Vec<u8>) -> Result<Bootstrap>;
}

/// Taints as the kubelet takes them: `key=value:Effect`.
pub fn taint_argument(taint: &Taint) -> String {
    format!("{}={}:{}", taint.key, taint.value, taint.effect)
}
