//! What really is there, by the lab's own state.

use agentkube_lab::{Clock, Lab};

/// Everything that a cluster leaves somewhere, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// VMs on Proxmox VE, without its templates.
    pub vms: usize,
    /// Seed images on Proxmox VE.
    pub seeds: usize,
    /// Machines on the toy cloud.
    pub toy_machines: usize,
    /// Control planes.
    pub planes: usize,
    /// Namespaces that carry the installation's mark.
    pub namespaces: usize,
    /// Files of first-boot data, or with a token, on the disks of machines.
    pub files: usize,
    /// Join tokens that are still good.
    pub tokens: usize,
    /// Nodes in all tenants.
    pub nodes: usize,
    /// Nodes that are Ready.
    pub ready: usize,
}

impl Found {
    /// Counts.
    pub fn of(lab: &Lab) -> Self {
        let mut found = lab.admin(|cluster| {
            let mut found = Found { tokens: cluster.live_tokens(Clock::real().now()).len(), ..Found::default() };
            let api = cluster.admin();
            found.planes = api.objects("kamaji.clastix.io", "tenantcontrolplanes", None).len();
            let ours = |object: &&std::sync::Arc<serde_json::Value>| {
                object.pointer("/metadata/labels/agentkube.dev~1installation").is_some()
            };
            found.namespaces = api.objects("", "namespaces", None).iter().filter(ours).count();
            for (_, plane) in cluster.tenants() {
                for node in plane.tenant.api().objects("", "nodes", None) {
                    found.nodes += 1;
                    found.ready += usize::from(is_ready(&node));
                }
            }
            found
        });
        lab.proxmox(|pve| {
            found.vms = pve.vms().filter(|vm| !vm.template()).count();
            found.seeds = pve.volumes().filter(|volume| volume.content() == "iso").count();
        });
        found.files = lab.machines().all().iter().map(|machine| machine.leftovers().len()).sum();
        found.toy_machines = lab.toy(|toy| toy.machines().count());
        found
    }

    /// Nothing of anything.
    pub fn nothing() -> Self {
        Found::default()
    }
}

fn is_ready(node: &serde_json::Value) -> bool {
    let conditions = node.pointer("/status/conditions").and_then(serde_json::Value::as_array);
    conditions.into_iter().flatten().any(|condition| {
        let is = |key: &str, value: &str| condition.get(key).and_then(serde_json::Value::as_str) == Some(value);
        is("type", "Ready") && is("status", "True")
    })
}
