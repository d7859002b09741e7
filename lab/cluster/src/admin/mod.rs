//! The admin cluster: an API server with Kamaji's kinds, webhooks and controller, and the tenant clusters behind it.
//!
//! - `definitions`, `outline`: the kinds. `webhooks`: defaults, CEL rules, refusals.
//! - `controller`: the reconcile queue and its lanes. `plane`: keys and pods of one control plane. `status`, `secrets`: what
//!   a reconcile writes. `soot`: the phases that run inside a tenant after it is Ready.
//! - `access`: users of the admin cluster. `faults`: what tests break.

mod access;
mod controller;
mod definitions;
mod faults;
mod outline;
mod plane;
mod secrets;
mod server;
mod settings;
mod soot;
mod status;
mod version;
mod webhooks;

#[cfg(test)]
mod contract;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use lab_wire::{Millis, Random};
use serde_json::{Value, json};

use crate::api::{ApiServer, Settings};
use crate::pki::{Authority, PkiError};
use crate::tenant::Tenant;

pub use faults::{AdminFault, Balancer};
pub use plane::{Plane, PlaneKey};
pub use secrets::KubeconfigFlaw;
pub use settings::{AdminSettings, Timings};
pub use version::{Skew, Version, version_skew};

/// API group, version and plural names of Kamaji's kinds.
pub use definitions::{GROUP, PLANES, STORES};

/// The admin cluster with all its tenants.
pub struct AdminCluster {
    settings: AdminSettings,
    api: ApiServer,
    authority: Authority,
    planes: BTreeMap<PlaneKey, Plane>,
    /// Planes that wait for a reconcile, and since when they may have one.
    queue: BTreeMap<PlaneKey, Millis>,
    /// Running reconciles: when each ends.
    lanes: Vec<(Millis, PlaneKey)>,
    /// Revision of the admin store up to which the controller has looked.
    seen: u64,
    /// Time of the last event that was handled.
    cursor: Millis,
    next_address: u32,
    next_tenant: u64,
    webhooks_down: Arc<AtomicBool>,
    faults: faults::Faults,
}

impl AdminCluster {
    /// A fresh admin cluster with a data store named `default`.
    pub fn new(settings: AdminSettings, now: Millis, random: &mut Random) -> Result<Self, PkiError> {
        let server = Settings { version: settings.version.clone(), ..Settings::default() };
        let mut api = ApiServer::new(server, now, random);
        for definition in definitions::definitions() {
            api.put(definition, now, random);
        }
        let webhooks_down = Arc::new(AtomicBool::new(false));
        api.set_admission(Box::new(webhooks::Webhooks { down: webhooks_down.clone() }));
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kamaji-system"}});
        api.put(namespace, now, random);
        api.put(default_store(now), now, random);
        let server = json!({
            "apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "kubernetes", "namespace": "default"},
            "subsets": [{"addresses": [{"ip": "127.0.0.1"}], "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}]}],
        });
        api.put(server, now, random);
        Ok(AdminCluster {
            authority: Authority::new("admin", now)?,
            planes: BTreeMap::new(),
            queue: BTreeMap::new(),
            lanes: Vec::new(),
            seen: 0,
            cursor: now,
            next_address: 0,
            next_tenant: 1,
            webhooks_down,
            faults: faults::Faults::default(),
            settings,
            api,
        })
    }

    /// Settings.
    pub fn settings(&self) -> &AdminSettings {
        &self.settings
    }

    /// The admin cluster's API server.
    pub fn admin(&self) -> &ApiServer {
        &self.api
    }

    /// The admin cluster's API server, to change things from outside.
    pub fn admin_mut(&mut self) -> &mut ApiServer {
        &mut self.api
    }

    /// A tenant cluster.
    pub fn tenant(&self, namespace: &str, name: &str) -> Option<&Tenant> {
        self.planes.get(&(namespace.to_owned(), name.to_owned())).map(|plane| &plane.tenant)
    }

    /// A tenant cluster, to change things from outside.
    pub fn tenant_mut(&mut self, namespace: &str, name: &str) -> Option<&mut Tenant> {
        self.planes.get_mut(&(namespace.to_owned(), name.to_owned())).map(|plane| &mut plane.tenant)
    }

    /// All tenant clusters.
    pub fn tenants(&self) -> impl Iterator<Item = (&PlaneKey, &Plane)> {
        self.planes.iter()
    }

    /// What `kubeadm join` pins for a tenant.
    pub fn ca_hash(&self, namespace: &str, name: &str) -> Option<String> {
        let plane = self.planes.get(&(namespace.to_owned(), name.to_owned()))?;
        Some(plane.keys.authority.hash())
    }

    /// All live bootstrap tokens, as (namespace, name, token id).
    pub fn live_tokens(&self, now: Millis) -> Vec<(String, String, String)> {
        let tokens = |((namespace, name), plane): (&PlaneKey, &Plane)| {
            let ids = plane.tenant.live_tokens(now).into_iter();
            ids.map(|token| (namespace.clone(), name.clone(), token.id)).collect::<Vec<_>>()
        };
        self.planes.iter().flat_map(tokens).collect()
    }
}

fn default_store(now: Millis) -> Value {
    let pem =
        |name: &str| json!({"secretReference": {"name": "etcd-certs", "namespace": "kamaji-system", "keyPath": name}});
    json!({
        "apiVersion": format!("{GROUP}/v1alpha1"), "kind": "DataStore", "metadata": {"name": "default"},
        "spec": {
            "driver": "etcd", "endpoints": ["etcd-0.etcd.kamaji-system.svc:2379"],
            "tlsConfig": {
                "certificateAuthority": {"certificate": pem("ca.crt"), "privateKey": pem("ca.key")},
                "clientCertificate": {"certificate": pem("tls.crt"), "privateKey": pem("tls.key")},
            },
        },
        "status": {
            "ready": true, "usedBy": [], "observedGeneration": 1,
            "conditions": [{
                "type": "kamaji.clastix.io/DataStoreValidation", "status": "True", "reason": "Valid", "message": "",
                "lastTransitionTime": lab_wire::rfc3339(now),
            }],
        },
    })
}
