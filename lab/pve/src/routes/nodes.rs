//! `/nodes`, `/nodes/{node}/status`, networks of a node.

use lab_wire::Random;
use serde_json::{Value, json};

use super::{Call, Need, ON_NODE, Route, route};
use crate::Pve;
use crate::answer::{Failure, Handled};
use crate::params::{Kind, may};
use crate::settings::Release;
use crate::store::Vm;

const INTERFACES: Kind = Kind::Word(&[
    "OVSBond",
    "OVSBridge",
    "OVSIntPort",
    "OVSPort",
    "alias",
    "any_bridge",
    "any_local_bridge",
    "bond",
    "bridge",
    "eth",
    "fabric",
    "include_sdn",
    "vlan",
    "vnet",
]);

pub(super) const ROUTES: &[Route] = &[
    route("GET", "/nodes", &[], Need::Anyone, list),
    route("GET", "/nodes/{node}/status", &[ON_NODE], Need::All("/nodes/{node}", &["Sys.Audit"]), status),
    route("GET", "/nodes/{node}/network", &[ON_NODE, &[may("type", INTERFACES)]], Need::Anyone, network),
];

impl Pve {
    /// Memory that running VMs of a node use, in bytes.
    pub(crate) fn memory_used(&self, node: &str) -> u64 {
        let running = self.store.vms().filter(|vm| vm.node == node).filter_map(|vm| vm.running.as_ref());
        (4 << 30) + running.map(|running| running.memory_mib << 20).sum::<u64>()
    }

    /// Seconds since a VM was started.
    pub(crate) fn uptime(&self, vm: &Vm) -> u64 {
        vm.running.as_ref().map(|running| self.now.saturating_sub(running.since) / 1000).unwrap_or_default()
    }
}

fn list(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let access = pve.access();
    let mut nodes = Vec::new();
    for node in &pve.settings.nodes {
        let name = &node.name;
        let online = !pve.faults.offline.contains(name);
        let mut entry = json!({ "id": format!("node/{name}"), "type": "node", "node": name, "level": "",
            "status": if online { "online" } else { "offline" }, "ssl_fingerprint": fingerprint(name) });
        // Without Sys.Audit a node shows its name and state only.
        if let Some(entry) =
            entry.as_object_mut().filter(|_| online && access.has(&call.who, &format!("/nodes/{name}"), "Sys.Audit"))
        {
            let numbers = json!({ "maxcpu": node.cpus, "cpu": 0.03, "maxmem": node.memory,
                "mem": pve.memory_used(name), "uptime": 864_000, "maxdisk": 64u64 << 30, "disk": 8u64 << 30 });
            entry.extend(numbers.as_object().cloned().unwrap_or_default());
        }
        nodes.push(entry);
    }
    Ok(Value::Array(nodes).into())
}

fn fingerprint(node: &str) -> String {
    let hex = crate::checksum::hex("sha256", node.as_bytes()).to_uppercase();
    let bytes: Vec<&str> = (0..hex.len()).step_by(2).filter_map(|at| hex.get(at..at + 2)).collect();
    bytes.join(":")
}

fn status(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let Some(node) = pve.settings.node(call.node()) else { return Ok(Value::Null.into()) };
    let used = pve.memory_used(&node.name);
    let free = node.memory.saturating_sub(used);
    let release = pve.settings.release.version();
    Ok(json!({
        "boot-info": { "mode": "efi", "secureboot": 0 },
        "cpu": 0.03,
        "cpuinfo": { "cpus": node.cpus, "cores": node.cpus / 2, "sockets": 1, "model": "Lab CPU", "mhz": "2600.000" },
        "current-kernel": { "sysname": "Linux", "release": "6.8.12-pve", "machine": "x86_64", "version": "#1 SMP" },
        "loadavg": ["0.30", "0.25", "0.20"],
        "memory": { "total": node.memory, "used": used, "free": free, "available": free },
        "pveversion": format!("pve-manager/{release}/9f1c2f4c"),
        "rootfs": { "total": 64u64 << 30, "used": 8u64 << 30, "free": 56u64 << 30, "avail": 53u64 << 30 },
        "swap": { "total": 0, "used": 0, "free": 0 },
        "uptime": 864_000,
        "wait": 0.0,
    })
    .into())
}

fn network(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let access = pve.access();
    let asked = call.args.text("type");
    if let Some(newer) =
        asked.filter(|kind| matches!(*kind, "fabric" | "include_sdn") && pve.settings.release < Release::V9_1)
    {
        return Err(Failure::parameter("type", format!("value '{newer}' does not have a value in the enumeration")));
    }
    let bridges = asked.is_none_or(|kind| matches!(kind, "bridge" | "any_bridge" | "any_local_bridge" | "include_sdn"));
    let mut all = Vec::new();
    for bridge in pve.settings.bridges.iter().filter(|_| bridges) {
        let path = format!("/sdn/zones/localnetwork/{bridge}");
        if access.has_any(&call.who, &path, &["SDN.Audit", "SDN.Use"]) {
            all.push(json!({ "iface": bridge, "type": "bridge", "active": 1, "autostart": 1, "method": "manual",
                "bridge_vlan_aware": 1 }));
        }
    }
    Ok(Value::Array(all).into())
}
