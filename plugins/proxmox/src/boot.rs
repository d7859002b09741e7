//! The first boot: deliver, start, and after the join take everything away again that carried first-boot data.

use agentkube_sdk::ledger::{self, Note};
use agentkube_sdk::log;
use agentkube_sdk::machine::{Instance, Lifecycle, MachineKey};
use agentkube_sdk::node_provider::Bootstrap;
use agentkube_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{MACHINE, Proxmox};

/// The machine was started with its first-boot data. Stands in the machine's row, since the seed does not outlive the join.
#[derive(Serialize, Deserialize)]
struct Booted {}

impl Note for Booted {
    const SCHEMA: u32 = 1;
}

impl Proxmox {
    /// The machine, running, with its data delivered.
    pub(crate) async fn first_boot(
        &self,
        call: &Call,
        key: &MachineKey,
        seen: &Instance,
        bootstrap: &Bootstrap,
    ) -> Result<Instance> {
        let item = ledger::intend(MACHINE, &key.name, "").await?;
        let item = self.settle(call, item).await?;
        let mut machine = self.present_at(call, key, seen).await?;
        let booted = item.read_note::<Booted>()?.is_some();
        if self.api.current(&machine.node, machine.vmid).await?.running() {
            if booted || self.seed_slot(&machine.config, key).is_some() {
                if !booted {
                    item.write_note(&Booted {}).await?;
                }
                let addresses = self.addresses(&machine).await;
                return Ok(self.instance(&machine, Lifecycle::Running, addresses));
            }
            log::warn(
                "it runs and was never given its data: it is stopped and started again",
                &[("machine", &key.name)],
            );
            self.turn_off(call, key, item.entry, &machine).await?;
        }
        machine = self.deliver(call, key, item.entry, machine, bootstrap).await?;
        self.start_up(call, key, item.entry, &machine).await?;
        item.write_note(&Booted {}).await?;
        let addresses = self.awaited_addresses(call, &machine).await;
        Ok(self.instance(&machine, Lifecycle::Running, addresses))
    }

    /// Nothing is left that carried first-boot data.
    pub(crate) async fn after_join(&self, call: &Call, key: &MachineKey, seen: &Instance) -> Result<()> {
        let item = ledger::intend(MACHINE, &key.name, "").await?;
        if let Some(machine) = self.ours_at(call, key, seen).await? {
            if item.read_note::<Booted>()?.is_none() {
                item.write_note(&Booted {}).await?;
            }
            self.adopt_seed(key, &machine).await?;
            self.eject(call, key, item.entry, machine).await?;
        }
        self.discard(call, key).await
    }
}
