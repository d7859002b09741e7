//! Everything outside the engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use agentkube_contract::{
    BootstrapRenderer, Class, Clock, ControlPlane, Fault, JobSource, NodeProvider, Random, Tenants,
};

use crate::journal::Journal;
use crate::plan::Providers;

/// Everything outside the engine: roles by their configured names, time, randomness, tenants, and the store.
#[derive(Clone)]
pub struct World {
    /// The durable store.
    pub journal: Journal,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Job sources.
    pub sources: BTreeMap<String, Arc<dyn JobSource>>,
    /// Control-plane providers.
    pub control_planes: BTreeMap<String, Arc<dyn ControlPlane>>,
    /// Node providers.
    pub node_providers: BTreeMap<String, Arc<dyn NodeProvider>>,
    /// Digest of each plugin's component, by its configured name.
    pub digests: BTreeMap<String, String>,
    /// Opens tenant clusters.
    pub tenants: Arc<dyn Tenants>,
    /// Renders first-boot data.
    pub renderer: Arc<dyn BootstrapRenderer>,
    /// Used by clusters that name no control-plane provider. With only one configured there is no need to say it.
    pub default_control_plane: Option<String>,
    /// Used by pools that name no node provider.
    pub default_nodes: Option<String>,
}

impl World {
    /// What the planner must know of the providers.
    pub fn providers(&self) -> Providers {
        let only = |names: Vec<&String>| match names.as_slice() {
            [name] => Some((*name).clone()),
            _ => None,
        };
        Providers {
            control_planes: self.control_planes.iter().map(|(name, p)| (name.clone(), p.oldest_minor())).collect(),
            nodes: self.node_providers.iter().map(|(name, p)| (name.clone(), p.bootstrap_at_create())).collect(),
            default_control_plane: self
                .default_control_plane
                .clone()
                .or_else(|| only(self.control_planes.keys().collect())),
            default_nodes: self.default_nodes.clone().or_else(|| only(self.node_providers.keys().collect())),
        }
    }

    pub(crate) fn control_plane(&self, name: &str) -> Result<&Arc<dyn ControlPlane>, Fault> {
        self.control_planes.get(name).ok_or_else(|| missing(name))
    }

    pub(crate) fn nodes(&self, name: &str) -> Result<&Arc<dyn NodeProvider>, Fault> {
        self.node_providers.get(name).ok_or_else(|| missing(name))
    }
}

/// The provider that made something was taken out of the configuration: putting it back mends it.
fn missing(name: &str) -> Fault {
    Fault::new(
        Class::Unavailable,
        "PROVIDER_GONE",
        format!("provider `{name}` is not configured any more, and it holds objects of this cluster: put it back"),
    )
}
