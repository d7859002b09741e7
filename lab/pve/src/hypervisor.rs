//! The seam to the machines that boot here.

use lab_wire::{GuestReport, Hypervisor, MachineEvent, Millis};

use crate::Pve;

impl Hypervisor for Pve {
    fn machine_events(&mut self) -> Vec<MachineEvent> {
        std::mem::take(&mut self.events)
    }

    fn guest_report(&mut self, id: &str, report: GuestReport, now: Millis) {
        self.now = self.now.max(now);
        // A report that comes after the power went is of a guest that is no more.
        let vm = self.store.vms_mut().find(|vm| vm.running.is_some() && vm.machine_id() == id);
        if let Some(vm) = vm {
            vm.guest = report;
        }
    }
}
