//! Moving a VM to another node.

use lab_wire::Random;
use serde_json::{Value, json};

use super::{ANY, Call, Need, ON_VM, Route, route};
use crate::Pve;
use crate::answer::{Failure, Handled};
use crate::effects::Effect;
use crate::formats::NODE;
use crate::locks::{Lock, Mode};
use crate::params::{Kind, may, need};
use crate::settings::Release;
use crate::store::Vm;
use crate::tasks::Step;

const MIGRATE: Need = Need::All("/vms/{vmid}", &["VM.Migrate"]);

pub(super) const ROUTES: &[Route] = &[
    route("GET", "/nodes/{node}/qemu/{vmid}/migrate", &[ON_VM, &[may("target", NODE)]], MIGRATE, preconditions),
    route(
        "POST",
        "/nodes/{node}/qemu/{vmid}/migrate",
        &[
            ON_VM,
            &[
                need("target", NODE),
                may("online", Kind::Boolean),
                may("force", Kind::Boolean),
                may("with-local-disks", Kind::Boolean),
                may("targetstorage", ANY),
                may("bwlimit", Kind::Integer(0, i64::MAX)),
                may("migration_network", ANY),
                may("migration_type", Kind::Word(&["secure", "insecure"])),
                may("with-conntrack-state", Kind::Boolean).since(Release::V9_1),
            ],
        ],
        MIGRATE,
        migrate,
    ),
];

fn local_disks(pve: &Pve, vm: &Vm) -> Vec<Value> {
    let local = vm.drives().filter(|(_, drive)| {
        drive.storage().and_then(|id| pve.settings.storage(id)).is_some_and(|storage| !storage.shared)
    });
    local
        .map(|(_, drive)| json!({ "volid": drive.file, "cdrom": u8::from(drive.cdrom()), "size": drive.size() }))
        .collect()
}

fn preconditions(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let vm = pve.local_vm(call)?;
    let others = pve.settings.nodes.iter().filter(|node| node.name != vm.node);
    let others: Vec<&str> = others.map(|node| node.name.as_str()).collect();
    let mut answer = json!({ "running": u8::from(vm.running.is_some()), "local_disks": local_disks(pve, vm),
        "local_resources": [], "mapped-resources": [], "allowed_nodes": others });
    if let Some(answer) = answer.as_object_mut().filter(|_| pve.settings.release >= Release::V9_1) {
        answer.insert("mapped-resource-info".to_owned(), json!({}));
        answer.insert("has-dbus-vmstate".to_owned(), json!(0));
    }
    Ok(answer.into())
}

fn migrate(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let vm = pve.local_vm(call)?;
    let (vmid, target) = (vm.vmid, call.args.word("target").to_owned());
    if target == call.node() {
        return Err(Failure::parameter("target", "target is local node."));
    }
    if pve.settings.node(&target).is_none() {
        return Err(Failure::died(format!("no such cluster node '{target}'")));
    }
    if vm.running.is_some() && !call.args.flag("online") {
        return Err(Failure::parameter("online", "VM is running. You must use the 'online' option."));
    }
    // Disks that only this node has would have to be copied; the lab has no such migration.
    let stuck = !local_disks(pve, vm).is_empty();
    let end = match stuck {
        true => Effect::Die("migration aborted: can't migrate VM which uses local disks".to_owned()),
        false => Effect::EndMigrate { vmid, target },
    };
    let steps = vec![
        Step::Lock(Lock::Vm(vmid), Mode::Exclusive, pve.millis(|d| d.vm_lock)),
        Step::Do(if stuck { Effect::Nothing } else { Effect::BeginMigrate(vmid) }),
        Step::Wait(pve.millis(|d| d.migrate)),
        Step::Do(end),
    ];
    Ok(pve.spawn(call.node(), "qmigrate", &vmid.to_string(), &call.who, steps).into())
}
