//! `…/config`: reading it, writing it at once (PUT) or in a task (POST), growing a disk, `…/template`.

use lab_wire::{Millis, Random};
use serde_json::{Map, Value, json};

use super::keys::{CHANGE, OPTIONS, Takes, takes};
use super::{Call, Need, ON_VM, Route, route};
use crate::Pve;
use crate::answer::{Failure, Handled};
use crate::config::Change;
use crate::drive::{BUSES, Drive, is_drive};
use crate::effects::Effect;
use crate::formats::{SIZE, STORAGE, split};
use crate::locks::{Lock, Mode};
use crate::params::{Kind, may, need};
use crate::server::later;
use crate::settings::Release;
use crate::store::{Net, is_indexed};
use crate::tasks::Step;

const ANY_CONFIG: &[&str] = &[
    "VM.Config.Disk",
    "VM.Config.CDROM",
    "VM.Config.CPU",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.HWType",
    "VM.Config.Options",
    "VM.Config.Cloudinit",
];

const DISK: Kind = Kind::Format(|text| match is_drive(text) {
    true => Ok(()),
    false => {
        let all: Vec<String> =
            BUSES.iter().flat_map(|(bus, count)| (0..*count).map(move |index| format!("{bus}{index}"))).collect();
        Err(format!("value '{text}' does not have a value in the enumeration '{}'", all.join(", ")))
    }
});

pub(super) const ROUTES: &[Route] = &[
    route(
        "GET",
        "/nodes/{node}/qemu/{vmid}/config",
        &[ON_VM, &[may("current", Kind::Boolean), may("snapshot", Kind::Short(40))]],
        Need::All("/vms/{vmid}", &["VM.Audit"]),
        read,
    ),
    route(
        "PUT",
        "/nodes/{node}/qemu/{vmid}/config",
        &[ON_VM, CHANGE, OPTIONS],
        Need::Any("/vms/{vmid}", ANY_CONFIG),
        put,
    ),
    route(
        "POST",
        "/nodes/{node}/qemu/{vmid}/config",
        &[
            ON_VM,
            CHANGE,
            OPTIONS,
            &[
                may("background_delay", Kind::Integer(1, 30)),
                may("import-working-storage", STORAGE).since(Release::V8_4),
            ],
        ],
        Need::Any("/vms/{vmid}", ANY_CONFIG),
        post,
    ),
    route(
        "PUT",
        "/nodes/{node}/qemu/{vmid}/resize",
        &[
            ON_VM,
            &[need("disk", DISK), need("size", SIZE), may("digest", Kind::Short(40)), may("skiplock", Kind::Boolean)],
        ],
        Need::All("/vms/{vmid}", &["VM.Config.Disk"]),
        resize,
    ),
    route(
        "POST",
        "/nodes/{node}/qemu/{vmid}/template",
        &[ON_VM, &[may("disk", DISK)]],
        Need::All("/vms/{vmid}", &["VM.Allocate"]),
        template,
    ),
];

fn read(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let vm = pve.local_vm(call)?;
    if let Some(snapshot) = call.args.text("snapshot") {
        return Err(Failure::died(format!("snapshot '{snapshot}' does not exist")));
    }
    let mut config = Map::new();
    for (key, value) in &vm.config {
        let value = match key.as_str() {
            "cipassword" => json!("**********"),
            // The file keeps a description as comment lines: reading it back ends the last one, too.
            "description" => json!(format!("{}\n", value.trim_end_matches('\n'))),
            _ => match value.parse::<u64>() {
                Ok(number) if number.to_string() == *value && !matches!(key.as_str(), "memory" | "name" | "tags") => {
                    json!(number)
                }
                _ => json!(value),
            },
        };
        config.insert(key.clone(), value);
    }
    config.insert("digest".to_owned(), json!(vm.digest()));
    Ok(Value::Object(config).into())
}

/// Everything that both forms check before anything changes, in the request itself. Gives the time at which the request
/// has the VM's lock.
fn check(pve: &Pve, call: &Call) -> Result<(Change, Millis), Failure> {
    Pve::only_root(call, &["skiplock"])?;
    let vm = pve.local_vm(call)?;
    let mut change = Change { force: call.args.flag("force"), ..Change::default() };
    let beside = [
        "node",
        "vmid",
        "digest",
        "delete",
        "force",
        "revert",
        "skiplock",
        "background_delay",
        "import-working-storage",
    ];
    for (key, value) in call.args.iter().filter(|(key, _)| !beside.contains(key)) {
        if key.starts_with("serial") && value != "socket" && !call.who.is_root() {
            return Err(Failure::died(format!("only root can set '{key}' config for real devices")));
        }
        let drive = Drive::parse(key, value);
        demand(pve, call, key, drive.as_ref().is_some_and(Drive::cdrom))?;
        if let Some(drive) = drive {
            may_use_volume(pve, call, &drive)?;
        }
        if is_indexed(key, "net") {
            may_use_bridge(pve, call, key, value).map_err(Failure::denied)?;
        }
        if key == "tags" && pve.faults.tags_reserved {
            may_use_tags(pve, call, vm.config.get("tags").map_or("", String::as_str), value)?;
        }
        change.set.insert(key.to_owned(), value.to_owned());
    }
    for key in split(call.args.word("delete")) {
        if change.set.contains_key(key) {
            return Err(Failure::parameter(
                "delete",
                format!("you can't use '-{key}' and -delete {key}' at the same time"),
            ));
        }
        let drive = vm.config.get(key).and_then(|value| Drive::parse(key, value));
        if drive.as_ref().is_some_and(Drive::cloudinit) {
            let path = format!("/vms/{}", vm.vmid);
            let both = ["VM.Config.Cloudinit", "VM.Config.CDROM"];
            pve.access().check(&call.who, &path, &both).map_err(Failure::denied)?;
        } else {
            demand(pve, call, key, drive.as_ref().is_some_and(Drive::cdrom))?;
        }
        change.delete.push(key.to_owned());
    }
    let at = pve.await_lock(&Lock::Vm(vm.vmid), pve.settings.durations.vm_lock);
    let at = at.map_err(|deadline| Failure::died(Lock::Vm(vm.vmid).timed_out()).at(deadline))?;
    if call.args.text("digest").is_some_and(|digest| digest != vm.digest()) {
        return Err(Failure::died("checksum mismatch (file change by other user?)").at(at));
    }
    pve.unlocked(vm.vmid).map_err(|text| Failure::died(text).at(at))?;
    Ok((change, at))
}

fn demand(pve: &Pve, call: &Call, key: &str, cdrom: bool) -> Result<(), Failure> {
    let path = format!("/vms/{}", call.vmid());
    match takes(key, cdrom) {
        Takes::Root if call.who.is_root() => Ok(()),
        Takes::Root => Err(Failure::died(format!("only root can set '{key}' config"))),
        Takes::OneOf([one]) => pve.access().check(&call.who, &path, &[one]).map_err(Failure::denied),
        Takes::OneOf(several) => pve.access().check_any(&call.who, &path, several).map_err(Failure::denied),
    }
}

/// Of reserved tags, those that are there may stay.
fn may_use_tags(pve: &Pve, call: &Call, has: &str, wants: &str) -> Result<(), Failure> {
    let new = split(wants).find(|tag| !split(has).any(|old| old.eq_ignore_ascii_case(tag)));
    match new.filter(|_| !pve.access().has(&call.who, "/", "Sys.Modify")) {
        Some(tag) => Err(Failure::denied(format!("Permission check failed (/, Sys.Modify for modifying tag '{tag}')"))),
        None => Ok(()),
    }
}

/// New volumes take space; images that exist must be readable.
fn may_use_volume(pve: &Pve, call: &Call, drive: &Drive) -> Result<(), Failure> {
    if drive.file == "cdrom" {
        return pve.access().check(&call.who, "/", &["Sys.Console"]).map_err(Failure::denied);
    }
    let Some((storage, name)) = drive.file.split_once(':') else { return Ok(()) };
    pve.known_storage(storage)?;
    let path = format!("/storage/{storage}");
    if name == "cloudinit" || name.parse::<f64>().is_ok() {
        return pve.access().check(&call.who, &path, &["Datastore.AllocateSpace"]).map_err(Failure::denied);
    }
    let owner = pve.store.volume(&pve.settings, &drive.file, call.node()).and_then(|volume| volume.vmid);
    match owner {
        Some(owner) if owner == call.vmid() => Ok(()),
        Some(_) => pve.access().check(&call.who, &path, &["Datastore.Allocate"]).map_err(Failure::denied),
        None => pve.access().check_any(&call.who, &path, super::storage::LOOK).map_err(Failure::denied),
    }
}

/// A card may sit on a bridge, or in a VLAN of it, that its maker may use.
pub(super) fn may_use_bridge(pve: &Pve, call: &Call, key: &str, value: &str) -> Result<(), String> {
    let Some(net) = Net::parse(key, value) else { return Ok(()) };
    let Some(bridge) = net.rest.get("bridge") else { return Ok(()) };
    let path = match net.rest.get("tag") {
        Some(tag) => format!("/sdn/zones/localnetwork/{bridge}/{tag}"),
        None => format!("/sdn/zones/localnetwork/{bridge}"),
    };
    pve.access().check(&call.who, &path, &["SDN.Use"])
}

fn put(pve: &mut Pve, call: &Call, random: &mut Random) -> Handled {
    let (change, at) = check(pve, call)?;
    pve.configure(call.vmid(), change, random).map_err(|text| Failure::died(text).at(at))?;
    Ok(later(Value::Null, at))
}

fn post(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let (change, at) = check(pve, call)?;
    let (vmid, took) = (call.vmid(), pve.millis(|d| d.config));
    let steps = vec![
        Step::Lock(Lock::Vm(vmid), Mode::Exclusive, pve.millis(|d| d.vm_lock)),
        Step::Wait(took),
        Step::Do(Effect::Configure(vmid, change)),
    ];
    let upid = pve.spawn(call.node(), "qmconfig", &vmid.to_string(), &call.who, steps);
    let troubled = pve.tasks.find(&upid).is_some_and(|(_, task)| task.fault.is_some());
    match call.args.number("background_delay").map(|seconds| pve.settings.scaled(seconds * 1000)) {
        None => Ok(later(upid, at)),
        Some(delay) if troubled || took > delay => Ok(later(upid, at + delay)),
        Some(_) => Ok(later(Value::Null, at + took)),
    }
}

fn resize(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    Pve::only_root(call, &["skiplock"])?;
    let vmid = pve.local_vm(call)?.vmid;
    let effect = Effect::Resize {
        vmid,
        disk: call.args.word("disk").to_owned(),
        size: call.args.word("size").to_owned(),
        digest: call.args.text("digest").map(str::to_owned),
    };
    let steps = vec![
        Step::Lock(Lock::Vm(vmid), Mode::Exclusive, pve.millis(|d| d.vm_lock)),
        Step::Wait(pve.millis(|d| d.resize)),
        Step::Do(effect),
    ];
    Ok(pve.spawn(call.node(), "resize", &vmid.to_string(), &call.who, steps).into())
}

fn template(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let vmid = pve.local_vm(call)?.vmid;
    let steps = vec![
        Step::Lock(Lock::Vm(vmid), Mode::Exclusive, pve.millis(|d| d.vm_lock)),
        Step::Wait(pve.millis(|d| d.config)),
        Step::Do(Effect::Template(vmid)),
    ];
    Ok(pve.spawn(call.node(), "qmtemplate", &vmid.to_string(), &call.who, steps).into())
}
