//! VMs of a node: the list, the state of one, its end.

use lab_wire::Random;
use serde_json::{Map, Value, json};

use super::{Call, Need, ON_NODE, ON_VM, Route, route};
use crate::Pve;
use crate::answer::{Failure, Handled};
use crate::effects::Effect;
use crate::locks::{Lock, Mode};
use crate::params::{Kind, may};
use crate::settings::Release;
use crate::store::Vm;
use crate::tasks::Step;

pub(super) const ROUTES: &[Route] = &[
    route("GET", "/nodes/{node}/qemu", &[ON_NODE, &[may("full", Kind::Boolean)]], Need::Anyone, list),
    route(
        "GET",
        "/nodes/{node}/qemu/{vmid}/status/current",
        &[ON_VM],
        Need::All("/vms/{vmid}", &["VM.Audit"]),
        current,
    ),
    route(
        "DELETE",
        "/nodes/{node}/qemu/{vmid}",
        &[
            ON_VM,
            &[
                may("purge", Kind::Boolean),
                may("destroy-unreferenced-disks", Kind::Boolean),
                may("skiplock", Kind::Boolean),
            ],
        ],
        Need::All("/vms/{vmid}", &["VM.Allocate"]),
        destroy,
    ),
];

fn list(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let access = pve.access();
    let visible = |vm: &&Vm| vm.node == call.node() && access.has(&call.who, &format!("/vms/{}", vm.vmid), "VM.Audit");
    Ok(Value::Array(pve.store.vms().filter(visible).map(|vm| Value::Object(summary(pve, vm))).collect()).into())
}

fn summary(pve: &Pve, vm: &Vm) -> Map<String, Value> {
    let mut entry = Map::new();
    let mut put = |key: &str, value: Value| entry.insert(key.to_owned(), value);
    let (cores, memory) = match &vm.running {
        Some(running) => (running.cores, running.memory_mib),
        None => (vm.cores(), vm.memory_mib()),
    };
    put("vmid", json!(vm.vmid));
    put("name", json!(vm.name()));
    put("status", json!(if vm.running.is_some() { "running" } else { "stopped" }));
    put("cpus", json!(cores));
    put("maxmem", json!(memory << 20));
    put("maxdisk", json!(vm.disk()));
    put("mem", json!(if vm.running.is_some() { memory << 19 } else { 0 }));
    put("cpu", json!(if vm.running.is_some() { 0.01 } else { 0.0 }));
    put("uptime", json!(pve.uptime(vm)));
    for counter in ["disk", "netin", "netout", "diskread", "diskwrite"] {
        put(counter, json!(0));
    }
    if let Some(running) = &vm.running {
        put("pid", json!(running.pid));
    }
    if vm.template() {
        put("template", json!(1));
    }
    for key in ["tags", "lock"] {
        if let Some(value) = vm.config.get(key) {
            put(key, json!(value));
        }
    }
    entry
}

fn current(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let vm = pve.local_vm(call)?;
    let mut entry = summary(pve, vm);
    let running = vm.running.is_some();
    entry.insert("qmpstatus".to_owned(), json!(if running { "running" } else { "stopped" }));
    entry.insert("ha".to_owned(), json!({ "managed": u8::from(vm.ha) }));
    if vm.agent() {
        entry.insert("agent".to_owned(), json!(1));
    }
    if running {
        let nines = pve.settings.release >= Release::V9_1;
        entry.insert("running-qemu".to_owned(), json!(if nines { "10.1.2" } else { "9.2.0" }));
        entry.insert("running-machine".to_owned(), json!("pc-i440fx-9.2+pve1"));
        if nines {
            entry.insert("memhost".to_owned(), json!(vm.memory_mib() << 19));
        }
    }
    Ok(Value::Object(entry).into())
}

fn destroy(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    Pve::only_root(call, &["skiplock"])?;
    let vm = pve.local_vm(call)?;
    let vmid = vm.vmid;
    if vm.protected() {
        return Err(Failure::died(format!("can't remove VM {vmid} - protection mode enabled")));
    }
    if vm.ha && !call.args.flag("purge") {
        let text = format!("unable to remove VM {vmid} - used in HA resources and purge parameter not set.");
        return Err(Failure::died(text));
    }
    if vm.running.is_some() {
        return Err(Failure::died(format!("VM {vmid} is running - destroy failed")));
    }
    let unreferenced = call.args.flag("destroy-unreferenced-disks");
    let steps = vec![
        Step::Lock(Lock::Vm(vmid), Mode::Exclusive, pve.millis(|d| d.vm_lock)),
        Step::Do(Effect::BeginDestroy { vmid, unreferenced }),
        Step::Wait(pve.millis(|d| d.destroy)),
        Step::Do(Effect::EndDestroy(vmid)),
    ];
    Ok(pve.spawn(call.node(), "qmdestroy", &vmid.to_string(), &call.who, steps).into())
}
