//! `/cluster/*`: the index of everything, the next free id, the members.

use lab_wire::Random;
use serde_json::{Map, Value, json};

use super::{Call, Need, Route, route};
use crate::Pve;
use crate::answer::{Failure, Handled};
use crate::formats::VMID;
use crate::params::{Kind, may};
use crate::store::Vm;

const TYPES: Kind = Kind::Word(&["vm", "storage", "node", "sdn"]);

pub(super) const ROUTES: &[Route] = &[
    route("GET", "/cluster/resources", &[&[may("type", TYPES)]], Need::Anyone, resources),
    route("GET", "/cluster/nextid", &[&[may("vmid", VMID)]], Need::Anyone, nextid),
    route("GET", "/cluster/status", &[], Need::All("/", &["Sys.Audit"]), status),
];

fn resources(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let wanted = |kind: &str| call.args.text("type").is_none_or(|given| given == kind);
    let access = pve.access();
    let mut all = Vec::new();
    if wanted("vm") {
        let visible = |vm: &&Vm| access.has(&call.who, &format!("/vms/{}", vm.vmid), "VM.Audit");
        all.extend(pve.store.vms().filter(visible).map(|vm| vm_entry(pve, vm)));
    }
    if wanted("node") {
        for node in &pve.settings.nodes {
            let audited = access.has(&call.who, &format!("/nodes/{}", node.name), "Sys.Audit");
            let mut entry = json!({ "id": format!("node/{}", node.name), "type": "node", "node": node.name,
                "status": if pve.faults.offline.contains(&node.name) { "offline" } else { "online" } });
            if let (Some(entry), true) = (entry.as_object_mut(), audited) {
                entry.insert("maxcpu".to_owned(), json!(node.cpus));
                entry.insert("maxmem".to_owned(), json!(node.memory));
                entry.insert("cpu".to_owned(), json!(0.03));
                entry.insert("mem".to_owned(), json!(pve.memory_used(&node.name)));
                entry.insert("uptime".to_owned(), json!(864_000));
            }
            all.push(entry);
        }
    }
    if wanted("storage") {
        for node in &pve.settings.nodes {
            for storage in &pve.settings.storages {
                if access.has(&call.who, &format!("/storage/{}", storage.id), "Datastore.Audit") {
                    all.push(json!({ "id": format!("storage/{}/{}", node.name, storage.id), "type": "storage",
                        "node": node.name, "storage": storage.id, "status": "available", "plugintype": storage.kind,
                        "content": storage.content.join(","), "shared": u8::from(storage.shared),
                        "maxdisk": storage.total, "disk": pve.store.used(&storage.id, &node.name) }));
                }
            }
        }
    }
    if wanted("sdn") {
        for node in pve.settings.nodes.iter().filter(|_| access.has(&call.who, "/sdn/zones/localnetwork", "SDN.Audit"))
        {
            all.push(json!({ "id": format!("sdn/{}/localnetwork", node.name), "type": "sdn", "node": node.name,
                "sdn": "localnetwork", "status": "ok" }));
        }
    }
    Ok(Value::Array(all).into())
}

/// Id, node, tags, lock and pool are of this moment; name, power state and numbers are of the last broadcast.
fn vm_entry(pve: &Pve, vm: &Vm) -> Value {
    let mut entry = Map::new();
    let mut put = |key: &str, value: Value| entry.insert(key.to_owned(), value);
    put("id", json!(format!("qemu/{}", vm.vmid)));
    put("vmid", json!(vm.vmid));
    put("type", json!("qemu"));
    put("node", json!(vm.node));
    put("template", json!(u8::from(vm.template())));
    for (key, value) in [("tags", vm.config.get("tags")), ("lock", vm.config.get("lock")), ("pool", vm.pool.as_ref())] {
        if let Some(value) = value {
            put(key, json!(value));
        }
    }
    if vm.ha {
        put("hastate", json!(if vm.running.is_some() { "started" } else { "stopped" }));
    }
    match &vm.broadcast {
        None => {
            put("status", json!("unknown"));
        }
        Some(seen) => {
            put("status", json!(if seen.running { "running" } else { "stopped" }));
            put("name", json!(seen.name));
            put("maxcpu", json!(vm.cores()));
            put("maxmem", json!(vm.memory_mib() << 20));
            put("maxdisk", json!(vm.disk()));
            put("cpu", json!(if seen.running { 0.01 } else { 0.0 }));
            put("mem", json!(if seen.running { vm.memory_mib() << 19 } else { 0 }));
            put("uptime", json!(pve.uptime(vm)));
            for counter in ["disk", "netin", "netout", "diskread", "diskwrite"] {
                put(counter, json!(0));
            }
        }
    }
    Value::Object(entry)
}

/// The id comes as text although its schema says integer, and nothing is reserved by asking.
fn nextid(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    if let Some(text) = call.args.text("vmid") {
        let vmid = call.args.vmid("vmid");
        return match pve.store.vm(vmid) {
            Some(_) => Err(Failure::parameter("vmid", format!("VM {vmid} already exists"))),
            None => Ok(text.to_owned().into()),
        };
    }
    let (low, high) = pve.settings.next_id;
    let free = (low..=high).find(|vmid| pve.store.vm(*vmid).is_none());
    let free = free.ok_or_else(|| Failure::died(format!("unable to get any free VMID in range [{low}, {high}]")))?;
    Ok(free.to_string().into())
}

fn status(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let settings = &pve.settings;
    let mut all = vec![json!({ "id": "cluster", "type": "cluster", "name": settings.cluster, "quorate": 1,
        "nodes": settings.nodes.len(), "version": settings.nodes.len() })];
    for (at, node) in settings.nodes.iter().enumerate() {
        all.push(json!({ "id": format!("node/{}", node.name), "type": "node", "name": node.name, "nodeid": at + 1,
            "ip": format!("192.0.2.{}", at + 11), "level": "", "local": u8::from(node.name == call.receiver),
            "online": u8::from(!pve.faults.offline.contains(&node.name)) }));
    }
    Ok(Value::Array(all).into())
}
