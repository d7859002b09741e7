//! Power: start, stop, shutdown, reboot, reset.

use lab_wire::Random;

use super::{ANY, Call, Need, ON_VM, Route, route};
use crate::Pve;
use crate::answer::{Failure, Handled};
use crate::auth::Identity;
use crate::effects::Effect;
use crate::locks::{Lock, Mode};
use crate::params::{Kind, Param, may};
use crate::settings::Release;
use crate::tasks::Step;

const FLAG: Kind = Kind::Boolean;
const POWER: Need = Need::All("/vms/{vmid}", &["VM.PowerMgmt"]);
const PATIENCE: &[Param] = &[may("timeout", Kind::Integer(0, i64::MAX))];
const SKIP: &[Param] = &[may("skiplock", FLAG)];

pub(super) const ROUTES: &[Route] = &[
    route(
        "POST",
        "/nodes/{node}/qemu/{vmid}/status/start",
        &[
            ON_VM,
            PATIENCE,
            SKIP,
            &[
                may("force-cpu", ANY),
                may("machine", ANY),
                may("migratedfrom", ANY),
                may("migration_network", ANY),
                may("migration_type", Kind::Word(&["secure", "insecure"])),
                may("stateuri", Kind::Short(128)),
                may("targetstorage", ANY),
                may("with-conntrack-state", FLAG).since(Release::V9_1),
            ],
        ],
        POWER,
        start,
    ),
    route(
        "POST",
        "/nodes/{node}/qemu/{vmid}/status/stop",
        &[ON_VM, PATIENCE, SKIP, &[may("keepActive", FLAG), may("migratedfrom", ANY), may("overrule-shutdown", FLAG)]],
        POWER,
        stop,
    ),
    route(
        "POST",
        "/nodes/{node}/qemu/{vmid}/status/shutdown",
        &[ON_VM, PATIENCE, SKIP, &[may("forceStop", FLAG), may("keepActive", FLAG)]],
        POWER,
        shutdown,
    ),
    route("POST", "/nodes/{node}/qemu/{vmid}/status/reboot", &[ON_VM, PATIENCE], POWER, reboot),
    route("POST", "/nodes/{node}/qemu/{vmid}/status/reset", &[ON_VM, SKIP], POWER, reset),
];

impl Pve {
    fn locked(&self, vmid: u32, steps: Vec<Step>) -> Vec<Step> {
        let lock = Step::Lock(Lock::Vm(vmid), Mode::Exclusive, self.millis(|d| d.vm_lock));
        std::iter::once(lock).chain(steps).collect()
    }

    /// Starts a power task; for a VM under HA the request only asks its manager, which acts later in a task of its own.
    fn power(&mut self, call: &Call, kind: &str, vmid: u32, steps: Vec<Step>) -> Handled {
        let steps = self.locked(vmid, steps);
        let managed = self.store.vm(vmid).is_some_and(|vm| vm.ha);
        let asks = match kind {
            "qmstart" => "hastart",
            "qmstop" | "qmshutdown" => "hastop",
            _ => "",
        };
        if !managed || asks.is_empty() {
            return Ok(self.spawn(call.node(), kind, &vmid.to_string(), &call.who, steps).into());
        }
        let upid = self.spawn(call.node(), asks, &vmid.to_string(), &call.who, vec![Step::Do(Effect::Nothing)]);
        let delayed = std::iter::once(Step::Wait(self.millis(|d| d.ha))).chain(steps).collect();
        self.spawn(call.node(), kind, &vmid.to_string(), &Identity::system(), delayed);
        Ok(upid.into())
    }
}

fn start(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    Pve::only_root(call, &["skiplock"])?;
    let vmid = pve.local_vm(call)?.vmid;
    let steps =
        vec![Step::Do(Effect::CheckStart(vmid)), Step::Wait(pve.millis(|d| d.start)), Step::Do(Effect::Start(vmid))];
    pve.power(call, "qmstart", vmid, steps)
}

fn stop(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    Pve::only_root(call, &["skiplock", "keepActive"])?;
    let vmid = pve.local_vm(call)?.vmid;
    if call.args.flag("overrule-shutdown") {
        let id = vmid.to_string();
        let ending = pve.tasks.active().filter(|(_, task)| task.kind == "qmshutdown" && task.id == id);
        let ending: Vec<usize> = ending.map(|(index, _)| index).collect();
        for index in ending {
            pve.abort(index, pve.now);
        }
    }
    let steps = vec![Step::Wait(pve.millis(|d| d.stop)), Step::Do(Effect::Stop(vmid))];
    pve.power(call, "qmstop", vmid, steps)
}

fn shutdown(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    Pve::only_root(call, &["skiplock", "keepActive"])?;
    let vmid = pve.local_vm(call)?.vmid;
    let patience =
        call.args.number("timeout").map_or(pve.settings.durations.shutdown_timeout, |seconds| seconds * 1000);
    let patience = pve.settings.scaled(patience);
    let took = if pve.faults.shutdown_ignored { patience } else { pve.millis(|d| d.shutdown).min(patience) };
    let forced = call.args.flag("forceStop");
    pve.power(call, "qmshutdown", vmid, vec![Step::Wait(took), Step::Do(Effect::Shutdown { vmid, forced })])
}

fn reboot(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let vm = pve.local_vm(call)?;
    let vmid = vm.vmid;
    if vm.running.is_none() {
        return Err(Failure::died(format!("VM {vmid} not running")));
    }
    let steps = vec![
        Step::Wait(pve.millis(|d| d.shutdown)),
        Step::Do(Effect::Shutdown { vmid, forced: false }),
        Step::Wait(pve.millis(|d| d.start)),
        Step::Do(Effect::Start(vmid)),
    ];
    pve.power(call, "qmreboot", vmid, steps)
}

fn reset(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    Pve::only_root(call, &["skiplock"])?;
    let vm = pve.local_vm(call)?;
    let vmid = vm.vmid;
    if vm.running.is_none() {
        return Err(Failure::died(format!("VM {vmid} not running")));
    }
    pve.power(call, "qmreset", vmid, vec![Step::Do(Effect::Reset(vmid))])
}
