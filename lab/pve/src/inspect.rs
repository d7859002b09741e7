//! What really is: for whoever judges a test, and for throwing switches.

use std::collections::BTreeMap;

use lab_wire::Millis;

use crate::Pve;
use crate::faults::{Fault, switch};
use crate::settings::Settings;
use crate::store::{Vm, Volume};
use crate::tasks::Task;

/// One request as it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// When it came.
    pub at: Millis,
    /// Method.
    pub method: String,
    /// Path, without the query.
    pub path: String,
    /// User or token, empty when nobody was recognised.
    pub who: String,
    /// Status of the answer; in the extjs form the one inside the body. 0 when none was sent.
    pub status: u16,
    /// The message of an answer that is an error.
    pub message: String,
}

impl Pve {
    /// How the cluster was set up.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Every VM, templates included, by id.
    pub fn vms(&self) -> impl Iterator<Item = &Vm> {
        self.store.vms()
    }

    /// One VM.
    pub fn vm(&self, vmid: u32) -> Option<&Vm> {
        self.store.vm(vmid)
    }

    /// Every volume on every storage.
    pub fn volumes(&self) -> impl Iterator<Item = &Volume> {
        self.store.volumes()
    }

    /// Every task, running or ended, oldest first.
    pub fn tasks(&self) -> &[Task] {
        self.tasks.all()
    }

    /// What is there beyond the templates: VMs, and volumes that belong to none of them.
    pub fn leftovers(&self) -> Vec<String> {
        let template = |vmid: u32| self.store.vm(vmid).is_some_and(Vm::template);
        let vms = self.store.vms().filter(|vm| !vm.template()).map(|vm| format!("VM {} {}", vm.vmid, vm.name()));
        let volumes = self.store.volumes().filter(|volume| !volume.vmid.is_some_and(template)).map(Volume::id);
        vms.chain(volumes).collect()
    }

    /// Every request, oldest first.
    pub fn log(&self) -> &[LogEntry] {
        &self.log
    }

    /// Lets something go wrong. What happens at once happens now; the rest waits for its request or task.
    pub fn fault(&mut self, fault: Fault) {
        let faults = &mut self.faults;
        match fault {
            Fault::DropReply(on) => faults.drops.push(on),
            Fault::Status(on, status, text) => faults.statuses.push((on, status, text)),
            Fault::ProxyTimeout(on) => faults.proxies.push(on),
            Fault::Task { kind, times, fault } => faults.add_task(kind, times, fault),
            Fault::Vanish(vmid) => {
                self.store.remove_volumes_of(vmid);
                self.forget(vmid);
            }
            Fault::ForeignVm(vmid, node) => self.foreign(vmid, &node),
            Fault::ForeignTakesNextClone(node) => faults.next_clone = Some(node),
            Fault::Move(vmid, node) => {
                if let Some(vm) = self.store.vm_mut(vmid) {
                    vm.node = node;
                }
            }
            Fault::StorageFull(storage, full) => switch(&mut faults.full, storage, full),
            Fault::AgentSilent(Some(vmid), silent) => switch(&mut faults.silent, vmid, silent),
            Fault::AgentSilent(None, silent) => faults.all_silent = silent,
            Fault::ShutdownIgnored(ignored) => faults.shutdown_ignored = ignored,
            Fault::Hold(lock, millis) => faults.holds.push((lock, millis)),
            Fault::Withhold(privilege, missing) => switch(&mut faults.withheld, privilege, missing),
            Fault::NodeOffline(node, offline) => switch(&mut faults.offline, node, offline),
            Fault::UploadLost(lost) => faults.upload_lost = lost,
            Fault::HighAvailability(vmid, managed) => {
                if let Some(vm) = self.store.vm_mut(vmid) {
                    vm.ha = managed;
                }
            }
        }
    }

    /// Somebody else's VM, unless the id is taken already.
    pub(crate) fn foreign(&mut self, vmid: u32, node: &str) {
        if self.store.vm(vmid).is_none() {
            let config = [("name", "somebody-elses"), ("cores", "1"), ("memory", "512")];
            let config: BTreeMap<String, String> =
                config.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            self.store.register(vmid, node, config);
        }
    }
}
