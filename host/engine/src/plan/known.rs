//! What the ledger knows of a service, as the planner reads it, and what there is to plan with.

use std::collections::{BTreeMap, BTreeSet};

use agentkube_contract::cluster::{clip, minor};
use agentkube_contract::mistake::refuse;
use agentkube_contract::{Cluster, Item, MachineKey, Mistake, Result};
use serde::{Deserialize, Serialize};

/// Ledger kind of a machine; its name is the machine's name.
pub(crate) const MACHINE: &str = "machine";
/// Ledger kind of a control plane; its name is the cluster's name.
pub(crate) const CONTROL_PLANE: &str = "control-plane";
/// Ledger kind of a join token; its name is the public half.
pub(crate) const JOIN_TOKEN: &str = "join-token";

/// What the engine writes into the detail of its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Detail {
    pub provider: String,
    #[serde(default)]
    pub pool: String,
    #[serde(default)]
    pub index: u32,
}

impl Detail {
    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A machine that exists or may exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownMachine {
    /// Which.
    pub key: MachineKey,
    /// Configured name of its provider.
    pub provider: String,
    /// The provider's id, once it is known.
    pub external_id: Option<String>,
}

/// All of a service that exists or may exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Machines, by their rows.
    pub machines: Vec<KnownMachine>,
    /// Configured name of the control plane's provider, when there is a row of it.
    pub control_plane: Option<String>,
    /// Whether the control plane's row has an id: something was made or adopted for certain.
    pub control_plane_live: bool,
    /// Public halves of join tokens.
    pub tokens: Vec<String>,
    /// Node names that the tenant shows; their indices are taken too.
    pub nodes: BTreeSet<String>,
}

impl Known {
    /// What the engine's rows say.
    pub(crate) fn from_rows(rows: &[Item]) -> std::result::Result<Known, serde_json::Error> {
        let mut known = Known::default();
        for row in rows {
            match row.kind.as_str() {
                MACHINE => {
                    let detail: Detail = serde_json::from_str(&row.detail)?;
                    known.machines.push(KnownMachine {
                        key: MachineKey { pool: detail.pool, index: detail.index, name: row.name.clone() },
                        provider: detail.provider,
                        external_id: row.external_id.clone(),
                    });
                }
                CONTROL_PLANE => {
                    let detail: Detail = serde_json::from_str(&row.detail)?;
                    known.control_plane = Some(detail.provider);
                    known.control_plane_live = row.external_id.is_some();
                }
                JOIN_TOKEN => known.tokens.push(row.name.clone()),
                _ => {}
            }
        }
        Ok(known)
    }

    /// Whether nothing may exist.
    pub fn is_empty(&self) -> bool {
        self.machines.is_empty() && self.control_plane.is_none() && self.tokens.is_empty()
    }
}

/// The providers that there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Providers {
    /// Names of control-plane providers, and the minor number of the oldest Kubernetes that each makes.
    pub control_planes: BTreeMap<String, u32>,
    /// Names of node providers, and whether each needs the first-boot data at creation.
    pub nodes: BTreeMap<String, bool>,
    /// Used by a cluster that names none.
    pub default_control_plane: Option<String>,
    /// Used by a pool that names none.
    pub default_nodes: Option<String>,
}

impl Providers {
    /// The description with the names of its providers filled in, so that a later change of defaults moves nothing.
    pub fn resolve(&self, wanted: &Cluster) -> Result<Cluster> {
        refuse(&self.mistakes(wanted))?;
        let mut wanted = wanted.clone();
        let plane = &mut wanted.control_plane.provider;
        *plane = plane.take().or_else(|| self.default_control_plane.clone());
        for pool in &mut wanted.pools {
            pool.provider = pool.provider.take().or_else(|| self.default_nodes.clone());
        }
        Ok(wanted)
    }

    /// Providers that the description names, or should name, and that do not exist or cannot make what it wants.
    pub fn mistakes(&self, wanted: &Cluster) -> Vec<Mistake> {
        let plane = wanted.control_plane.provider.as_ref().or(self.default_control_plane.as_ref());
        let oldest = plane.and_then(|name| Some((name, *self.control_planes.get(name)?)));
        let old = oldest.filter(|(_, oldest)| minor(&wanted.version).is_ok_and(|minor| minor < *oldest));
        let old = old.map(|(name, oldest)| {
            let text = format!("{} is too old; v1.{oldest} is the oldest that `{name}` makes", wanted.version);
            Mistake::new("version", "VERSION_TOO_OLD", text)
        });
        let plane = missing("controlPlane.provider".to_owned(), plane, |name| self.control_planes.contains_key(name));
        let pools = wanted.pools.iter().filter_map(|pool| {
            let path = format!("{}.provider", pool.place());
            let name = pool.provider.as_ref().or(self.default_nodes.as_ref());
            missing(path, name, |name| self.nodes.contains_key(name))
        });
        old.into_iter().chain(plane).chain(pools).collect()
    }
}

fn missing(path: String, name: Option<&String>, known: impl Fn(&str) -> bool) -> Option<Mistake> {
    match name {
        Some(name) if known(name) => None,
        Some(name) => {
            let text = format!("no provider `{}` of that role is configured", clip(name));
            Some(Mistake::new(path, "UNKNOWN_PROVIDER", text))
        }
        None => {
            let text = "is missing, and the configuration has no default for it under [defaults]";
            Some(Mistake::new(path, "NO_PROVIDER", text))
        }
    }
}
