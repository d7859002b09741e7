//! Throwing the switches, and what others do to the cluster.

use std::collections::BTreeMap;

use lab_wire::Millis;

use crate::Pve;
use crate::auth::Identity;
use crate::effects::Effect;
use crate::faults::{Fault, switch};
use crate::tasks::Step;

impl Pve {
    /// Lets something go wrong. What happens at once happens now; the rest waits for its request or task.
    pub fn fault(&mut self, fault: Fault) {
        let faults = &mut self.faults;
        match fault {
            Fault::When(on, fault) => faults.whens.push((on, *fault)),
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
            Fault::Backup(vmid, millis) => self.back_up(vmid, millis),
            Fault::ConfigLock(vmid, Some(lock)) => self.write(vmid, "lock", lock),
            Fault::ConfigLock(vmid, None) => {
                if let Some(vm) = self.store.vm_mut(vmid) {
                    vm.config.remove("lock");
                }
            }
            Fault::Protect(vmid, protected) => self.write(vmid, "protection", u8::from(protected).to_string()),
            Fault::Edit(vmid) => {
                let own = self.store.vm(vmid).and_then(|vm| vm.config.get("description").cloned()).unwrap_or_default();
                self.write(vmid, "description", format!("{}\nSeen at {}", own.trim_end(), self.now));
            }
            Fault::TokenRefused(refused) => faults.token_refused = refused,
            Fault::NoQuorum(lost) => faults.no_quorum = lost,
            Fault::TagsReserved(reserved) => faults.tags_reserved = reserved,
            Fault::StaleIndex(stale) => faults.stale_index = stale,
            Fault::Reboot(node, millis) => self.reboot(node, millis),
            Fault::ClockAhead(seconds) => faults.clock_ahead = seconds,
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

    /// Somebody writes one key of a configuration, past all locks.
    fn write(&mut self, vmid: u32, key: &str, value: String) {
        if let Some(vm) = self.store.vm_mut(vmid) {
            vm.config.insert(key.to_owned(), value);
        }
    }

    /// A backup holds no lock of the VM's file while it copies: the word in its configuration keeps others away.
    fn back_up(&mut self, vmid: u32, millis: u64) {
        let Some(node) = self.store.vm(vmid).map(|vm| vm.node.clone()) else { return };
        self.write(vmid, "lock", "backup".to_owned());
        let steps = vec![Step::Wait(self.settings.scaled(millis)), Step::Do(Effect::Unlock(vmid))];
        self.spawn(&node, "vzdump", &vmid.to_string(), &Identity::system(), steps);
    }

    fn reboot(&mut self, node: String, millis: u64) {
        let dying: Vec<usize> =
            self.tasks.active().filter(|(_, task)| task.node == node).map(|(index, _)| index).collect();
        for index in dying {
            self.kill(index, self.now);
        }
        let here: Vec<u32> = self.store.vms().filter(|vm| vm.node == node).map(|vm| vm.vmid).collect();
        for vmid in here {
            // It exists: it was just listed.
            let _ = self.stop(vmid);
        }
        let steps = vec![Step::Wait(self.settings.scaled(millis)), Step::Do(Effect::NodeUp(node.clone()))];
        self.spawn(&node, "startall", "", &Identity::system(), steps);
        self.faults.offline.insert(node);
    }

    /// A node is back: it starts what is to start with it.
    pub(crate) fn node_up(&mut self, node: &str, at: Millis) {
        self.faults.offline.remove(node);
        let starts = |vm: &&crate::Vm| {
            let onboot = vm.config.get("onboot").is_some_and(|value| value == "1");
            vm.node == node && onboot && !vm.template() && vm.lock().is_none() && vm.running.is_none()
        };
        let starting: Vec<u32> = self.store.vms().filter(starts).map(|vm| vm.vmid).collect();
        for vmid in starting {
            // One that cannot start stays off, as it does on a real node.
            let _ = self.start(vmid, at);
        }
    }
}
