//! `…/clone`.

use lab_wire::Random;

use super::config::may_use_bridge;
use super::{Call, Need, ON_VM, Route, route};
use crate::Pve;
use crate::answer::{Failure, Handled};
use crate::drive::Drive;
use crate::effects::{Clone, Effect};
use crate::formats::{DNS_NAME, NODE, POOL, STORAGE, VMID};
use crate::locks::{Lock, Mode};
use crate::params::{Kind, may, need};
use crate::store::{Vm, is_indexed};
use crate::tasks::Step;

pub(super) const ROUTES: &[Route] = &[route(
    "POST",
    "/nodes/{node}/qemu/{vmid}/clone",
    &[
        ON_VM,
        &[
            need("newid", VMID),
            may("bwlimit", Kind::Integer(0, i64::MAX)),
            may("description", Kind::Text),
            may("format", Kind::Word(&["raw", "qcow2", "vmdk"])),
            may("full", Kind::Boolean),
            may("name", DNS_NAME),
            may("pool", POOL),
            may("snapname", Kind::Short(40)),
            may("storage", STORAGE),
            may("target", NODE),
        ],
    ],
    Need::Check(allowed),
    clone,
)];

/// To clone the source, and to make the new VM: by its id or by its pool.
fn allowed(pve: &Pve, call: &Call) -> Result<(), String> {
    let access = pve.access();
    access.check(&call.who, &format!("/vms/{}", call.args.word("vmid")), &["VM.Clone"])?;
    let by_id = access.has(&call.who, &format!("/vms/{}", call.args.word("newid")), "VM.Allocate");
    let by_pool =
        call.args.text("pool").is_some_and(|pool| access.has(&call.who, &format!("/pool/{pool}"), "VM.Allocate"));
    // Alternatives that all fail leave no path to name.
    if by_id || by_pool { Ok(()) } else { Err("Permission check failed".to_owned()) }
}

fn clone(pve: &mut Pve, call: &Call, random: &mut Random) -> Handled {
    let args = &call.args;
    let newid = args.vmid("newid");
    if let Some(node) = pve.faults.next_clone.take() {
        pve.foreign(newid, &node);
    }
    let source = pve.local_vm(call)?;
    let full = args.given_flag("full").unwrap_or(!source.template());
    let target = args.text("target").unwrap_or(call.node()).to_owned();
    check(pve, call, source, full, &target)?;

    let vmid = source.vmid;
    let disks = source.drives().filter(|(_, drive)| !drive.cdrom() || drive.cloudinit()).count() as u64;
    let own =
        source.drives().find(|(_, drive)| !drive.cdrom()).and_then(|(_, drive)| drive.storage().map(str::to_owned));
    let storage = args.text("storage").map(str::to_owned);
    let allocates_on = storage.clone().or(own).unwrap_or_default();
    let (low, high) = if full { pve.settings.durations.full_clone } else { pve.settings.durations.linked_clone };
    let copying = pve.settings.scaled(low + random.below(high.saturating_sub(low) + 1));
    let mode = if source.running.is_some() { Mode::Exclusive } else { Mode::Shared };
    let job = Clone {
        source: vmid,
        newid,
        name: args.text("name").map(str::to_owned),
        description: args.text("description").map(str::to_owned),
        pool: args.text("pool").map(str::to_owned),
        storage,
        full,
        target,
        node: call.node().to_owned(),
    };
    let allocation = Lock::storage(&pve.settings, &allocates_on, call.node());
    let mut steps = vec![
        Step::Lock(Lock::Vm(vmid), mode, pve.millis(|d| d.clone_lock)),
        Step::Lock(Lock::Vm(newid), Mode::Exclusive, pve.millis(|d| d.clone_lock)),
        Step::Do(Effect::BeginClone(job.clone())),
        Step::Lock(allocation.clone(), Mode::Exclusive, pve.millis(|d| d.storage_lock)),
    ];
    let (allocating, most) = (pve.millis(|d| d.allocation) * disks, pve.millis(|d| d.cluster_lock));
    let clustered = matches!(&allocation, Lock::Storage { node: None, .. });
    if clustered && allocating > most {
        let text = format!("'storage-{allocates_on}'-locked command timed out - aborting");
        steps.extend([Step::Wait(most), Step::Do(Effect::Die(text))]);
    } else {
        let copy = [Step::Unlock(allocation), Step::Wait(copying), Step::Do(Effect::EndClone(job))];
        steps.push(Step::Wait(allocating));
        steps.extend(copy);
    }
    Ok(pve.spawn(call.node(), "qmclone", &vmid.to_string(), &call.who, steps).into())
}

/// What is refused before a task is started.
fn check(pve: &Pve, call: &Call, source: &Vm, full: bool, target: &str) -> Result<(), Failure> {
    let args = &call.args;
    if pve.settings.node(target).is_none() {
        return Err(Failure::died(format!("no such cluster node '{target}'")));
    }
    if let Some(pool) = args.text("pool").filter(|pool| !pve.settings.pools.iter().any(|known| known == pool)) {
        return Err(Failure::died(format!("pool '{pool}' does not exist")));
    }
    if !full {
        if args.text("storage").is_some() {
            return Err(Failure::died("parameter 'storage' not allowed for linked clones"));
        }
        if args.text("format").is_some() {
            return Err(Failure::died("parameter 'format' not allowed for linked clones"));
        }
    }
    if let Some(snapshot) = args.text("snapname") {
        return Err(Failure::died(format!("snapshot '{snapshot}' does not exist")));
    }
    pve.unlocked(source.vmid).map_err(Failure::died)?;
    let drives: Vec<(&str, Drive)> = source.drives().collect();
    for (key, drive) in &drives {
        let Some(own) = drive.storage() else { continue };
        if target != call.node() && !pve.known_storage(own)?.shared {
            return Err(Failure::died(format!("can't clone VM to node '{target}' (VM uses local storage)")));
        }
        if drive.cdrom() {
            continue;
        }
        let kind = &pve.known_storage(own)?.kind;
        let links = matches!(kind.as_str(), "dir" | "nfs" | "lvmthin" | "rbd" | "zfspool" | "btrfs");
        if !full && (!source.template() || !links) {
            return Err(Failure::died(format!("Linked clone feature is not supported for '{}' ({key})", drive.file)));
        }
        let storage = args.text("storage").unwrap_or(own);
        let known = pve.known_storage(storage)?;
        if target != call.node() && !known.shared {
            return Err(Failure::died(format!("can't clone VM to node '{target}' (storage '{storage}' is local)")));
        }
        let path = format!("/storage/{storage}");
        pve.access().check(&call.who, &path, &["Datastore.AllocateSpace"]).map_err(Failure::denied)?;
    }
    for (key, value) in source.config.iter().filter(|(key, _)| is_indexed(key, "net")) {
        may_use_bridge(pve, call, key, value).map_err(Failure::denied)?;
    }
    let newid = args.vmid("newid");
    if pve.store.vm(newid).is_some_and(|vm| vm.node == call.node()) {
        return Err(Failure::died(format!("unable to create VM {newid}: config file already exists")));
    }
    Ok(())
}
