//! A VM as the engine sees it.

use agentkube_sdk::machine::{Address, Instance, Lifecycle};
use agentkube_sdk::prelude::*;

use crate::Proxmox;
use crate::api::Current;
use crate::find::Machine;

impl Proxmox {
    /// The machine with its state.
    pub(crate) fn instance(&self, machine: &Machine, lifecycle: Lifecycle, addresses: Vec<Address>) -> Instance {
        let config = &machine.config;
        let form = &self.config.provider_id;
        let known = !form.is_empty() && (!form.contains("{uuid}") || config.uuid().is_some());
        let provider_id = known.then(|| {
            let uuid = config.uuid().unwrap_or_default();
            form.replace("{uuid}", &uuid).replace("{vmid}", &machine.vmid.to_string())
        });
        Instance {
            id: machine.vmid.to_string(),
            provider_id,
            lifecycle,
            location: machine.node.clone(),
            macs: config.macs(),
            addresses,
            cores: u32::try_from(config.number("cores", 1) * config.number("sockets", 1)).unwrap_or(u32::MAX),
            memory_mib: config.number("memory", 512),
            more: More::new(),
        }
    }

    /// The machine as it is now; a running one with the addresses that its agent tells, if it tells any.
    pub(crate) async fn observed(&self, machine: &Machine) -> Result<Instance> {
        let current = self.api.current(&machine.node, machine.vmid).await?;
        let addresses = if current.running() { self.addresses(machine).await } else { Vec::new() };
        Ok(self.instance(machine, lifecycle(&current), addresses))
    }
}

/// What a state means.
pub(crate) fn lifecycle(current: &Current) -> Lifecycle {
    match (current.lock.as_deref(), current.running()) {
        (Some("clone" | "create"), _) => Lifecycle::Creating,
        (Some("destroyed"), _) => Lifecycle::Deleting,
        (_, true) => Lifecycle::Running,
        (_, false) => Lifecycle::Stopped,
    }
}
