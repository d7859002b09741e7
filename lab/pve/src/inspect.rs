//! What really is, for whoever judges a test.

use lab_wire::Millis;

use crate::Pve;
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
}
