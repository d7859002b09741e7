//! The end of a machine: prove, stop, destroy, see it gone; then its seed, then its rows.

use agentkube_sdk::ledger::{self, Item};
use agentkube_sdk::machine::MachineKey;
use agentkube_sdk::prelude::*;
use agentkube_sdk::{log, wait};

use crate::api::{at, start};
use crate::find::{Machine, Sight, vmid};
use crate::{MACHINE, Proxmox};

impl Proxmox {
    /// Deletes the machine and everything made for it.
    pub(crate) async fn remove(&self, call: &Call, key: &MachineKey, id: Option<&str>) -> Result<()> {
        let mut item = ledger::intend(MACHINE, &key.name, "").await?;
        if !item.is_fresh() {
            item = self.settle(call, item).await?;
        }
        let mut machine = None;
        if let Some(id) = id {
            machine = self.named(call, key, &item, id).await?;
        }
        if machine.is_none() && (id.is_none() || item.external_id.as_deref() != id) {
            machine = self.locate(call, key, Some(item.clone())).await?;
            if machine.is_none()
                && !item.is_fresh()
                && let Ok(vmid) = self.number(&item).await
                && let Sight::Remains(node) = self.look(&call.owner, key, vmid).await?
            {
                self.remains(call, &node, vmid).await?;
            }
        }
        if let Some(machine) = machine {
            self.adopt_seed(key, &machine).await?;
            self.destroy(call, key, &item, machine).await?;
        }
        self.discard(call, key).await?;
        item.gone().await
    }

    /// The machine with this id. A VM that is not ours under the number of our row means that ours is gone; under any other number it
    /// means that the wrong one was named.
    async fn named(&self, call: &Call, key: &MachineKey, item: &Item, id: &str) -> Result<Option<Machine>> {
        if item.external_id.as_deref() != Some(id)
            && let Sight::Foreign(name) = self.look(&call.owner, key, vmid(id)?).await?
        {
            let name = name.unwrap_or_default();
            return Err(Fault::not_ours(format!("VM {id} ({name}) does not carry the mark of {}", key.name)));
        }
        self.left(call, key, id).await
    }

    async fn destroy(&self, call: &Call, key: &MachineKey, item: &Item, machine: Machine) -> Result<()> {
        let id = machine.vmid.to_string();
        log::info("deleting", &[("machine", &key.name), ("vmid", &machine.vmid), ("node", &machine.node)]);
        wait::until(call.deadline_ms, self.config.timings.poll(), || async {
            // Proven anew each time: the number may change hands while somebody else's lock is waited for.
            let Some(machine) = self.left(call, key, &id).await? else { return Ok(Some(())) };
            self.not_stuck(call, &machine, !item.is_fresh()).await?;
            if self.api.current(&machine.node, machine.vmid).await?.running() {
                self.turn_off(call, key, item.entry, &machine).await?;
            }
            let path = at!("nodes", machine.node, "qemu", machine.vmid);
            let request =
                self.api.change("DELETE", path, item.entry).query("purge", 1).query("destroy-unreferenced-disks", 1);
            let destroyed = match start(request).await {
                Ok(upid) => self.done(call, upid).await,
                Err(fault) => Err(fault),
            };
            match destroyed {
                Err(fault) if !matches!(fault.code.as_str(), "VM_RUNNING" | "VM_MISSING") => Err(fault),
                // Gone only when it is seen to be.
                _ => Ok(self.left(call, key, &id).await?.is_none().then_some(())),
            }
        })
        .await
    }
}
