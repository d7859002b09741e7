//! Power: what was asked for and its task; of a highly available VM the state itself, since its manager starts and stops it later.

use std::cell::RefCell;

use agentkube_sdk::machine::MachineKey;
use agentkube_sdk::node_provider::PowerAction;
use agentkube_sdk::prelude::*;
use agentkube_sdk::wait;

use crate::Proxmox;
use crate::api::{at, start};
use crate::find::Machine;

/// What the end of a power task means.
enum Done {
    /// The state is what was asked for.
    ByItself,
    /// The HA manager knows of it.
    Requested,
}

impl Proxmox {
    /// Does it and waits until it is so.
    pub(crate) async fn switch(
        &self,
        call: &Call,
        key: &MachineKey,
        entry: Entry,
        machine: &Machine,
        action: PowerAction,
    ) -> Result<()> {
        let running = self.api.current(&machine.node, machine.vmid).await?.running();
        match action {
            PowerAction::Start if !running => self.start_up(call, key, entry, machine).await,
            PowerAction::Shutdown if running => self.shut_down(call, key, entry, machine).await,
            PowerAction::Stop if running => self.turn_off(call, key, entry, machine).await,
            // The guest is given the chance to end, and then it is not waited for.
            PowerAction::Reboot if running => {
                self.shut_down(call, key, entry, machine).await?;
                self.start_up(call, key, entry, machine).await
            }
            PowerAction::Reboot => self.start_up(call, key, entry, machine).await,
            _ => Ok(()),
        }
    }

    /// Starts it.
    pub(crate) async fn start_up(&self, call: &Call, key: &MachineKey, entry: Entry, machine: &Machine) -> Result<()> {
        match self.ask(call, entry, machine, "start", &[]).await {
            Ok(Done::ByItself) => return Ok(()),
            Err(fault) if fault.code != "VM_RUNNING" => return Err(fault),
            _ => {}
        }
        self.reaches(call, key, machine, true).await
    }

    /// Turns it off at once.
    pub(crate) async fn turn_off(&self, call: &Call, key: &MachineKey, entry: Entry, machine: &Machine) -> Result<()> {
        match self.ask(call, entry, machine, "stop", &[]).await {
            Ok(Done::ByItself) => return Ok(()),
            Err(fault) if fault.code != "VM_STOPPED" => return Err(fault),
            _ => {}
        }
        self.reaches(call, key, machine, false).await
    }

    async fn shut_down(&self, call: &Call, key: &MachineKey, entry: Entry, machine: &Machine) -> Result<()> {
        let seconds = (self.config.timings.shutdown_ms / 1000).max(1).to_string();
        match self.ask(call, entry, machine, "shutdown", &[("timeout", &seconds), ("forceStop", "1")]).await {
            Ok(Done::ByItself) => return Ok(()),
            Err(fault) if fault.code != "VM_STOPPED" => return Err(fault),
            _ => {}
        }
        self.reaches(call, key, machine, false).await
    }

    async fn ask(
        &self,
        call: &Call,
        entry: Entry,
        machine: &Machine,
        what: &str,
        form: &[(&str, &str)],
    ) -> Result<Done> {
        self.insist(call, || async {
            let path = at!("nodes", machine.node, "qemu", machine.vmid, "status", what);
            let mut request = self.api.change("POST", path, entry);
            if !form.is_empty() {
                request = request.form(form.iter().copied());
            }
            let upid = start(request).await?;
            // The manager's own request is a task of another kind, `hastart` or `hastop`.
            let itself = upid.as_ref().is_some_and(|upid| upid.kind.starts_with("qm"));
            self.done(call, upid).await?;
            Ok(if itself { Done::ByItself } else { Done::Requested })
        })
        .await
    }

    /// Waits for a state, on whichever node it comes about.
    async fn reaches(&self, call: &Call, key: &MachineKey, machine: &Machine, running: bool) -> Result<()> {
        let node = RefCell::new(machine.node.clone());
        wait::until(call.deadline_ms, self.config.timings.poll(), || async {
            let here = node.borrow().clone();
            match self.api.current(&here, machine.vmid).await {
                Ok(current) => Ok((current.running() == running).then_some(())),
                Err(fault) if matches!(fault.code.as_str(), "VM_MISSING" | "PERMISSION_MISSING") => {
                    let moved = self.present(call, key, &machine.vmid.to_string()).await?;
                    node.replace(moved.node);
                    Ok(None)
                }
                Err(fault) => Err(fault),
            }
        })
        .await
    }
}
