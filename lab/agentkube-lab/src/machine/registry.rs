//! All machines of the lab, whatever hypervisor they run on.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use lab_wire::{Boot, Hypervisor, MachineEvent};
use tokio::task::{AbortHandle, JoinHandle};

use super::disk::Disk;
use super::guest::Guest;
use super::timings::Timings;
use super::transport::{Https, Transport};
use super::{Machine, Reporter, State};
use crate::{Clock, Shell};

/// How machines live.
#[derive(Clone)]
pub struct Options {
    /// How long things take.
    pub timings: Timings,
    /// The version of kubelet and kubeadm on every image (`v1.35.2`), for user data that install none.
    pub preinstalled: Option<String>,
    /// The way to API servers.
    pub transport: Arc<dyn Transport>,
}

impl Default for Options {
    fn default() -> Self {
        Options { timings: Timings::default(), preinstalled: None, transport: Arc::new(Https) }
    }
}

/// Hypervisor and id.
type Key = (String, String);

struct Slot {
    machine: Arc<Mutex<Machine>>,
    running: Option<AbortHandle>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.power_off();
    }
}

impl Slot {
    fn power_off(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
        }
    }
}

/// All machines. Clones share them.
#[derive(Clone)]
pub struct Machines {
    options: Arc<Options>,
    clock: Clock,
    slots: Arc<Mutex<BTreeMap<Key, Slot>>>,
}

impl Machines {
    /// No machines yet.
    pub fn new(options: Options, clock: Clock) -> Self {
        Machines { options: Arc::new(options), clock, slots: Arc::default() }
    }

    /// Follows what a hypervisor says about its machines until the returned task is aborted.
    pub fn follow<H: Hypervisor + 'static>(&self, hypervisor: &str, shell: &Shell<H>) -> JoinHandle<()> {
        let (machines, hypervisor, shared) = (self.clone(), hypervisor.to_owned(), shell.shared());
        let reporter: Reporter = {
            let shared = Arc::clone(&shared);
            Arc::new(move |id, report| shared.with(|server, now, _| server.guest_report(id, report, now)))
        };
        tokio::spawn(async move {
            let mut changes = shared.changes();
            loop {
                changes.mark_unchanged();
                for event in shared.peek(|server| server.machine_events()) {
                    machines.event(&hypervisor, event, &reporter);
                }
                if changes.changed().await.is_err() {
                    return;
                }
            }
        })
    }

    /// Something happened to a machine. Needs a tokio runtime: what starts runs as a task of its own.
    pub fn event(&self, hypervisor: &str, event: MachineEvent, report: &Reporter) {
        let mut slots = self.slots();
        match event {
            MachineEvent::Started(boot) => {
                let slot = slots.entry((hypervisor.to_owned(), boot.id.clone())).or_insert_with(|| Slot {
                    machine: Arc::new(Mutex::new(new_machine(hypervisor, &boot))),
                    running: None,
                });
                slot.power_off();
                let guest = self.guest(boot, Arc::clone(&slot.machine), Arc::clone(report));
                slot.running = Some(tokio::spawn(guest.run()).abort_handle());
            }
            MachineEvent::Stopped { id } => {
                if let Some(slot) = slots.get_mut(&(hypervisor.to_owned(), id)) {
                    slot.power_off();
                    let mut machine = lock(&slot.machine);
                    machine.state = State::Off;
                    machine.addresses.clear();
                    machine.console.push((self.clock.now(), "power off".to_owned()));
                }
            }
            MachineEvent::Destroyed { id } => {
                slots.remove(&(hypervisor.to_owned(), id));
            }
        }
    }

    /// Stops whatever runs inside machines, as when the lab is switched off.
    pub fn power_off(&self) {
        self.slots().values_mut().for_each(Slot::power_off);
    }

    fn guest(&self, boot: Boot, machine: Arc<Mutex<Machine>>, report: Reporter) -> Guest {
        Guest {
            boot,
            machine,
            transport: Arc::clone(&self.options.transport),
            clock: self.clock.clone(),
            timings: self.options.timings,
            preinstalled: self.options.preinstalled.clone(),
            report,
            first_boot: AtomicBool::new(false),
        }
    }

    /// One machine, as it is now.
    pub fn get(&self, hypervisor: &str, id: &str) -> Option<Machine> {
        self.slots().get(&(hypervisor.to_owned(), id.to_owned())).map(|slot| lock(&slot.machine).clone())
    }

    /// All machines that are not destroyed, as they are now.
    pub fn all(&self) -> Vec<Machine> {
        self.slots().values().map(|slot| lock(&slot.machine).clone()).collect()
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock(machine: &Mutex<Machine>) -> std::sync::MutexGuard<'_, Machine> {
    machine.lock().unwrap_or_else(PoisonError::into_inner)
}

fn new_machine(hypervisor: &str, boot: &Boot) -> Machine {
    Machine {
        hypervisor: hypervisor.to_owned(),
        id: boot.id.clone(),
        name: boot.name.clone(),
        state: State::Off,
        console: Vec::new(),
        addresses: Vec::new(),
        disk: Disk::default(),
    }
}
